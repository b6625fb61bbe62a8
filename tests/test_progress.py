"""How far a long fit is, by a clock that tests wind."""

import io
import re
import warnings

import numpy as np
import pytest
from quick import NETWORK

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._settings import Settings
from sklearn_patt_lite._training.progress import Progress, duration, timed
from sklearn_patt_lite._training.stages import end_to_end_stage, finetune_stage, head_stage

SETTINGS = {"learning_rate": 1e-3, "clipnorm": 3.0, "dropout": 0.1}
HEAD = head_stage(epochs=10, patience=5, **SETTINGS)
FINETUNE = finetune_stage(epochs=50, patience=20, unfreeze_layers=4, **SETTINGS)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run_epoch(progress, clock, epoch, *, n_steps, seconds, is_first=False, once=0.0):
    """An epoch of steps that take so many seconds each, of which some once."""
    progress.begin_epoch(epoch, is_first=is_first)
    for step in range(n_steps):
        clock.now += seconds
        progress.step(step + 1, once)
    progress.end_epoch()


def shown(*, n_steps, seconds, stream=None, once=0.0, n_epochs=1):
    clock, stream = Clock(), stream or io.StringIO()
    progress = Progress(shows=True, stream=stream, clock=clock)
    progress.begin_stage(HEAD, n_steps)
    for epoch in range(n_epochs):
        settings = {"n_steps": n_steps, "seconds": seconds, "once": once}
        run_epoch(progress, clock, epoch, is_first=epoch == 0, **settings)
    return stream.getvalue()


def warned(stages, *, n_steps=100, seconds=1.0, once=0.0, **settings):
    """What is said of a fit whose stages train an epoch each."""
    clock = Clock()
    progress = Progress(stages, clock=clock, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for stage in stages:
            progress.begin_stage(stage, n_steps)
            run_epoch(
                progress, clock, 0, n_steps=n_steps, seconds=seconds, is_first=True, once=once
            )
    assert all(each.category is UserWarning for each in caught)
    return [str(each.message) for each in caught]


def test_an_epoch_of_a_few_seconds_shows_nothing():
    assert shown(n_steps=9, seconds=1.0, n_epochs=3) == ""


def test_a_file_gets_a_line_each_half_a_minute():
    lines = shown(n_steps=100, seconds=1.0).splitlines()
    assert lines == [
        "epoch 1/10: step 30/100, 70 s left (at most 16 min of the stage)",
        "epoch 1/10: step 60/100, 40 s left (at most 16 min of the stage)",
        "epoch 1/10: step 90/100, 10 s left (at most 15 min of the stage)",
    ]


def test_a_terminal_gets_one_line_that_is_renewed_and_taken_away():
    written = shown(n_steps=30, seconds=1.0, stream=Terminal())
    assert "\n" not in written
    lines = [line.strip() for line in written.split("\r") if line.strip()]
    assert lines[0].startswith("epoch 1/10: step 10/30, 20 s left")
    assert len(lines) == 21
    assert written.endswith("\r" + " " * len(lines[-2]) + "\r")


def test_a_narrow_terminal_gets_what_fits(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    written = shown(n_steps=30, seconds=1.0, stream=Terminal())
    assert max(len(line) for line in written.split("\r")) < 20


def test_features_that_are_being_computed_are_named():
    assert "computing features" in shown(n_steps=100, seconds=1.0, once=0.5)
    assert "computing features" not in shown(n_steps=100, seconds=1.0)


def test_the_first_step_which_compiles_is_not_the_pace():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(shows=True, stream=stream, clock=clock)
    progress.begin_stage(HEAD, 100)
    progress.begin_epoch(0, is_first=True)
    for n_done, now in ((1, 60), (2, 61)):
        clock.now = now
        progress.step(n_done)
    assert "step 2/100, 98 s left" in stream.getvalue()


def test_a_fit_of_hours_is_warned_of_once():
    (message,) = warned([HEAD, FINETUNE], seconds=1.5, ways_out="Take a walk.")
    assert message == (
        "This fit may take 2.5 hours or more: 25 min for up to 10 epochs of stage 'head', 2.1 "
        "hours or more for up to 50 epochs of stage 'finetune'. Early stopping may end a stage "
        "sooner. Take a walk."
    )


def test_a_fit_of_less_than_an_hour_is_not():
    assert warned([HEAD, FINETUNE], seconds=0.5) == []


def test_a_stage_that_turns_out_longer_than_the_one_before_is_warned_of():
    clock = Clock()
    progress = Progress([HEAD, FINETUNE], clock=clock)
    progress.begin_stage(HEAD, 100)
    run_epoch(progress, clock, 0, n_steps=100, seconds=0.1, is_first=True)
    progress.begin_stage(FINETUNE, 100)
    with pytest.warns(UserWarning, match="may take 83 min: .*stage 'finetune'"):
        run_epoch(progress, clock, 0, n_steps=100, seconds=1.0, is_first=True)


def test_features_count_in_the_epochs_that_compute_them():
    kind = {"seconds": 4.0, "once": 3.0}
    (message,) = warned([HEAD, FINETUNE], passes={HEAD: 6, FINETUNE: 50}, **kind)
    assert "47 min for up to 10 epochs" in message  # 10 × 100 s, and 6 × 300 s
    assert "5.6 hours or more for up to 50 epochs" in message  # 50 × 400 s
    (message,) = warned([HEAD, FINETUNE], passes={HEAD: 6}, **kind)
    assert "83 min or more for up to 50 epochs" in message  # 50 × 100 s


def test_a_fit_without_patience_is_not_said_to_stop_early():
    stage = end_to_end_stage(epochs=10, patience=None, **SETTINGS)
    (message,) = warned([stage], seconds=5.0)
    assert message == (
        "This fit may take 83 min: 83 min for up to 10 epochs of stage 'end_to_end'."
    )


def test_ten_seconds_of_steps_are_enough():
    clock = Clock()
    progress = Progress([HEAD], clock=clock)
    progress.begin_stage(HEAD, 1000)
    progress.begin_epoch(0, is_first=True)
    assert progress.watches
    for step in range(10):
        clock.now += 1
        progress.step(step + 1)
    clock.now += 1
    with pytest.warns(UserWarning, match="hours"):
        progress.step(11)
    assert not progress.watches


def test_epochs_of_a_single_step_are_judged_by_the_second():
    clock = Clock()
    progress = Progress([HEAD], clock=clock)
    progress.begin_stage(HEAD, 1)
    run_epoch(progress, clock, 0, n_steps=1, seconds=2000.0, is_first=True)
    with pytest.warns(UserWarning, match=r"2\.5 hours"):
        run_epoch(progress, clock, 1, n_steps=1, seconds=1000.0)


def test_what_takes_no_time_takes_no_attention():
    progress = Progress()
    progress.begin_stage(HEAD, 10)
    assert not progress.watches


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_waiting_is_timed():
    items = list(timed("ab"))
    assert [item for _, item in items] == ["a", "b"]
    assert all(seconds >= 0 for seconds, _ in items)


# In a fit


class Minutes(Progress):
    """Takes each step for one that has taken a minute."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings, clock=Clock())

    def step(self, n_done, once=0.0):
        self._clock.now += 60
        super().step(n_done, once)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr("sklearn_patt_lite._training.fit.Progress", Minutes)


def classifier(**settings):
    paper = {"recipe": "paper", "unfreeze_layers": 0, "batch_size": 8}
    return PAttLiteClassifier(**NETWORK | paper | settings)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (60, 48, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "settings", [{"augment": "exact"}, {"augment": "affine", "end_to_end": True}], ids=str
)
def test_a_fit_on_images_warns_and_says_what_to_do(images, slow, settings):
    y = np.arange(len(images)) % 2
    with pytest.warns(UserWarning, match="may take") as caught:
        classifier(epochs=20, patience=1, **settings).fit(images, y)
    (message,) = [str(each.message) for each in caught]
    assert "recipe='transfer'" in message
    assert "verbose=1" in message


def test_a_fit_on_features_shows_how_far_it_is(images, slow, monkeypatch, capsys):
    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer._CHUNK", 8)
    model = classifier(epochs=2, verbose=1, patience=None).fit(images, np.arange(len(images)) % 2)
    said = capsys.readouterr().out
    assert "epoch 1/2: step 2/7" in said
    assert "epoch 2/2: step 6/7" in said
    assert re.search(r"Epoch 2/2\n(.*\n)+7/7 - ", said)
    assert len(model.history_["head"]["loss"]) == 2


def test_watching_changes_no_result(images):
    y = np.arange(len(images)) % 2
    settings = {"epochs": 2, "augment": "exact", "patience": None}
    quiet, loud = (classifier(verbose=v, **settings).fit(images, y) for v in (0, 1))
    assert quiet.history_ == loud.history_


def test_the_default_recipe_is_not_recommended_to_itself():
    assert "recipe" not in Settings.of(PAttLiteClassifier()).faster_fits()
    assert "verbose" not in Settings.of(PAttLiteClassifier(verbose=1)).faster_fits()
