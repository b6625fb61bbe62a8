"""A fit that is killed goes on from its last epoch, and ends as if it had never been."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from quick import QUICK as SHORT
from sklearn.model_selection import GridSearchCV

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._training.checkpoint import Checkpoint
from sklearn_patt_lite._training.fit import StagedFit

QUICK = {
    **SHORT,
    "epochs": 3,
    "patience": None,
    "finetune_epochs": 3,
    "finetune_patience": None,
}


class Interrupted(Exception):
    pass


def interrupt(monkeypatch, after, *, before_it_is_kept=False):
    """Break a fit off after one epoch of a stage: the (number of the stage, epochs) given."""
    end_epoch = Checkpoint.end_epoch

    def end_and_break_off(self, trained, callbacks, history):
        reached = len(self.histories), len(history.epoch)
        if before_it_is_kept and reached == after:
            raise Interrupted
        end_epoch(self, trained, callbacks, history)
        if reached == after:
            raise Interrupted

    monkeypatch.setattr(Checkpoint, "end_epoch", end_and_break_off)


def assert_same_fit(fitted, expected):
    mine, theirs = (
        {name: part for name, part in each.history_.items() if name != "features"}
        for each in (fitted, expected)
    )
    assert mine == theirs
    for weights, others in zip(
        fitted.model_.get_weights(), expected.model_.get_weights(), strict=True
    ):
        assert_array_equal(weights, others)


PROGRAM = """
import os, signal, sys
import numpy as np
from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._training.checkpoint import Checkpoint

data = np.load(sys.argv[1])
stage, epoch = int(sys.argv[3]), int(sys.argv[4])
end_epoch = Checkpoint.end_epoch

def end_and_die(self, trained, callbacks, history):
    end_epoch(self, trained, callbacks, history)
    if (len(self.histories), len(history.epoch)) == (stage, epoch):
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.end_epoch = end_and_die
PAttLiteClassifier(checkpoint_dir=sys.argv[2], **{settings}).fit(data["X"], data["y"])
"""


@pytest.mark.slow
def test_a_fit_that_is_killed_in_stage_2(faces, tmp_path, capsys):
    expected = PAttLiteClassifier(**QUICK).fit(faces.images, faces.target)
    assert expected.history_["finetune"]["best_epoch"] >= 0  # its weights are those of stage 2
    np.savez(tmp_path / "data.npz", X=faces.images, y=faces.target)
    program = PROGRAM.replace("{settings}", f"{QUICK}")
    command = [sys.executable, "-c", program, "data.npz", "checkpoints", "1", "1"]
    killed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-500:]
    going_on = PAttLiteClassifier(checkpoint_dir=tmp_path / "checkpoints", verbose=1, **QUICK)
    going_on.fit(faces.images, faces.target)
    said = capsys.readouterr().out
    assert "stage 'head'" not in said
    assert "resumes after epoch 1" in said
    assert_same_fit(going_on, expected)


@pytest.mark.parametrize("kept", [True, False])
def test_a_fit_that_is_broken_off_in_each_stage(kept, faces, tmp_path, monkeypatch):
    expected = PAttLiteClassifier(**QUICK).fit(faces.images, faces.target)
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path, **QUICK)
    for place in (0, 2), (1, 2):
        with monkeypatch.context() as patch:
            interrupt(patch, place, before_it_is_kept=not kept)
            with pytest.raises(Interrupted):
                classifier.fit(faces.images, faces.target)
    assert_same_fit(classifier.fit(faces.images, faces.target), expected)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "files"])
def test_a_stage_that_trains_on_images(kind, faces, tmp_path, monkeypatch):
    """Dropout, augmentation, the order of images and running means are where they were."""
    X, settings = faces.images, {k: v for k, v in QUICK.items() if "finetune" not in k}
    settings |= {"backbone_weights": None, "unfreeze_layers": 0, "output_layer": "conv_dw_1_relu"}
    settings |= {"patch_size": 4}
    if kind == "files":
        X = [tmp_path / f"{i}.png" for i in range(len(faces.images))]
        for path, image in zip(X, faces.images, strict=True):
            Image.fromarray(image).save(path)
    expected = PAttLiteClassifier(**settings).fit(X, faces.target)
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path / "checkpoints", **settings)
    with monkeypatch.context() as patch:
        interrupt(patch, (0, 2))
        with pytest.raises(Interrupted):
            classifier.fit(X, faces.target)
    assert_same_fit(classifier.fit(X, faces.target), expected)


def test_callbacks_go_on_counting(faces, tmp_path, monkeypatch):
    """Broken off after each epoch: patience that began anew would never end."""
    settings = {**QUICK, "epochs": 30, "patience": 3, "learning_rate": 0.03, "unfreeze_layers": 0}
    y = np.random.default_rng(0).permutation(faces.target)  # nothing to learn: it stalls
    expected = PAttLiteClassifier(**settings).fit(faces.images, y)
    head = expected.history_["head"]
    assert len(head["loss"]) == head["best_epoch"] + 1 + 3
    assert head["learning_rate"][-1] < 0.11 * head["learning_rate"][0]
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path, **settings)
    for epoch in range(1, len(head["loss"]) + 1):
        with monkeypatch.context() as patch:
            interrupt(patch, (0, epoch))
            with pytest.raises(Interrupted):
                classifier.fit(faces.images, y)
    assert_same_fit(classifier.fit(faces.images, y), expected)


def test_a_checkpoint_changes_no_result_and_finds_what_has_ended(faces, tmp_path, monkeypatch):
    expected = PAttLiteClassifier(**QUICK).fit(faces.images, faces.target)
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path / "new" / "folder", **QUICK)
    assert_same_fit(classifier.fit(faces.images, faces.target), expected)
    monkeypatch.setattr(StagedFit, "_run_stage", None)  # is not called
    assert_same_fit(classifier.fit(faces.images, faces.target), expected)
    assert classifier.model_.evaluate(faces.images, faces.target, verbose=0)[1] > 0


def test_what_is_kept_of_a_fit_that_ended_is_small(faces, tmp_path, monkeypatch):
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path, **QUICK)
    with monkeypatch.context() as patch:
        interrupt(patch, (1, 3))
        with pytest.raises(Interrupted):
            classifier.fit(faces.images, faces.target)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_size
    classifier.fit(faces.images, faces.target)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size < before / 2


ONE_EPOCH = {**QUICK, "unfreeze_layers": 0, "epochs": 1}


@pytest.fixture(scope="module")
def checkpoint_of_one(faces, tmp_path_factory):
    """The file of a fit that has ended."""
    folder = tmp_path_factory.mktemp("checkpoints")
    PAttLiteClassifier(checkpoint_dir=folder, **ONE_EPOCH).fit(faces.images, faces.target)
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"random_state": 1},
        {"epochs": 4},
        {"dropout": 0.2},
        {"batch_size": 7},
        {"augment": False},
        {"class_weight": {1: 2.0}},
        {"validation_fraction": 0.5},
        {"X": 0},
        {"y": 0},
        {"sample_weight": 0},
        {"groups": 0},
        {"X_val": 0},
    ],
    ids=str,
)
def test_another_fit_is_not_taken_for_this_one(
    change, faces, checkpoint_of_one, tmp_path, monkeypatch
):
    X, y = faces.images.copy(), faces.target.copy()
    paths = []

    def run(fit):
        paths.append(fit._checkpoint._path)
        return {}

    monkeypatch.setattr(StagedFit, "run", run)
    changes, further = {}, {}
    match change:
        case {"X": _}:
            X[0] ^= 1
        case {"y": _}:
            y[0] = 1 - y[0] if y[0] < 2 else 0
        case {"sample_weight": _}:
            further = {"sample_weight": np.linspace(1, 2, len(y))}
        case {"groups": _}:
            further = {"groups": faces.groups}
        case {"X_val": _}:
            further = {"X_val": X[::2], "y_val": y[::2]}
        case _:
            changes = change
    PAttLiteClassifier(checkpoint_dir=tmp_path, **{**ONE_EPOCH, **changes}).fit(X, y, **further)
    PAttLiteClassifier(checkpoint_dir=tmp_path, **ONE_EPOCH).fit(faces.images, faces.target)
    other, same = (path.name for path in paths)
    assert same == checkpoint_of_one.name
    assert other != same


def test_the_same_fit_is_found(faces, checkpoint_of_one, tmp_path, monkeypatch):
    shutil.copy(checkpoint_of_one, tmp_path)
    monkeypatch.setattr(StagedFit, "_run_stage", None)  # is not called
    PAttLiteClassifier(checkpoint_dir=tmp_path, **ONE_EPOCH).fit(faces.images, faces.target)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_file_is_told_of(faces, tmp_path):
    settings = {**QUICK, "unfreeze_layers": 0}
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path, **settings)
    expected = PAttLiteClassifier(**settings).fit(faces.images, faces.target)
    classifier.fit(faces.images, faces.target)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    packed = bytearray(good)  # "in a way that is not known", says its table of contents
    packed[good.rindex(b"PK\x01\x02") + 10] = 77
    for bad in (b"", good[: len(good) // 2], bytes(flipped), bytes(packed), b"\x80\x04pickle"):
        path.write_bytes(bad)
        with pytest.warns(UserWarning, match=r"fit-.*npz' is damaged .*: the fit starts over"):
            classifier.fit(faces.images, faces.target)
        assert_same_fit(classifier, expected)


def test_a_disk_that_fails_for_a_moment_loses_nothing(faces, tmp_path, monkeypatch):
    settings = {**QUICK, "unfreeze_layers": 0, "epochs": 1}
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path, **settings)
    classifier.fit(faces.images, faces.target)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", fail)
        with pytest.raises(OSError, match="Stale file handle"):
            classifier.fit(faces.images, faces.target)
    assert path.read_bytes() == good


def test_a_full_disk_ends_no_fit(faces, tmp_path, monkeypatch):
    settings = {**QUICK, "unfreeze_layers": 0, "epochs": 2}
    expected = PAttLiteClassifier(**settings).fit(faces.images, faces.target)

    def refuse(file, **arrays):
        file.write(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", refuse)
    classifier = PAttLiteClassifier(checkpoint_dir=tmp_path, **settings)
    with pytest.warns(UserWarning, match="cannot be written") as caught:
        classifier.fit(faces.images, faces.target)
    (said,) = (str(each.message) for each in caught if "cannot be written" in str(each.message))
    assert "No space left on device" in said
    assert_same_fit(classifier, expected)
    assert not list(tmp_path.iterdir())


def test_the_home_folder_is_known_by_its_sign(faces, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):  # the latter on Windows
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    settings = {**QUICK, "unfreeze_layers": 0, "epochs": 1}
    memory = joblib.Memory("~/kept", verbose=0)
    PAttLiteClassifier(checkpoint_dir="~/fits", memory=memory, **settings).fit(
        faces.images, faces.target
    )
    assert len(list((tmp_path / "home" / "fits").iterdir())) == 1
    assert list((tmp_path / "home" / "kept").rglob("*.features"))
    assert not list((tmp_path / "work").iterdir())


def test_a_random_state_draws_the_same_seed_after_an_interruption(faces, tmp_path, monkeypatch):
    settings = {**QUICK, "unfreeze_layers": 0, "epochs": 3}

    def with_a_state(**changes):
        state = np.random.RandomState(0)
        return PAttLiteClassifier(**{**settings, "random_state": state}, **changes)

    expected = with_a_state().fit(faces.images, faces.target)
    classifier = with_a_state(checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        interrupt(patch, (0, 1))
        with pytest.raises(Interrupted):
            classifier.fit(faces.images, faces.target)
    assert classifier.random_state.randint(2**31) == np.random.RandomState(0).randint(2**31)
    classifier.random_state.seed(0)
    classifier.fit(faces.images, faces.target)
    assert len(list(tmp_path.iterdir())) == 1  # the same checkpoint
    assert_same_fit(classifier, expected)
    # The next fit draws another seed.
    assert classifier.random_state.randint(2**31) != np.random.RandomState(0).randint(2**31)


def test_what_was_left_by_a_write_that_was_killed_goes_in_the_end(faces, tmp_path):
    old, new, other = (tmp_path / f".{name}.part" for name in ("a" * 32, "b" * 32, "download"))
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, time.time() - 2 * 24 * 3600))
    settings = {**QUICK, "unfreeze_layers": 0, "epochs": 1}
    PAttLiteClassifier(checkpoint_dir=tmp_path, **settings).fit(faces.images, faces.target)
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_a_seed_that_is_drawn_anew_is_refused(faces, tmp_path):
    classifier = PAttLiteClassifier(**{**QUICK, "random_state": None}, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"random_state=None draws a new one .* set it to an int"):
        classifier.fit(faces.images, faces.target)


RATES = [1e-2, 1e-3]


def test_a_search_goes_on_with_the_candidate_it_was_at(faces, tmp_path, monkeypatch):
    settings = {**QUICK, "unfreeze_layers": 0, "epochs": 2}
    search = GridSearchCV(
        PAttLiteClassifier(**settings, checkpoint_dir=tmp_path), {"learning_rate": RATES}, cv=2
    )
    expected = GridSearchCV(PAttLiteClassifier(**settings), {"learning_rate": RATES}, cv=2).fit(
        faces.images, faces.target
    )
    begun, run_stage = [], StagedFit._run_stage

    def break_off_the_third(*args, **kwargs):
        begun.append(1)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return run_stage(*args, **kwargs)

    monkeypatch.setattr(StagedFit, "_run_stage", break_off_the_third)
    with pytest.raises(KeyboardInterrupt):
        search.fit(faces.images, faces.target)
    search.fit(faces.images, faces.target)
    assert len(begun) == 3 + 2 + 1  # those that were left, and the refit
    for name in ("split0_test_score", "split1_test_score"):
        assert_array_equal(search.cv_results_[name], expected.cv_results_[name])


@pytest.mark.parametrize("keeps", [False, True])
def test_an_interruption_says_how_to_go_on(keeps, faces, tmp_path, monkeypatch):
    def break_off(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(StagedFit, "_run_stage", break_off)
    classifier = PAttLiteClassifier(**QUICK, checkpoint_dir=tmp_path if keeps else None)
    with pytest.raises(KeyboardInterrupt) as caught:
        classifier.fit(faces.images, faces.target)
    (note,) = caught.value.__notes__
    assert ("Run it again unchanged" in note) == keeps
    assert ("nothing was saved. With checkpoint_dir" in note) != keeps
