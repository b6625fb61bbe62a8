"""What scikit-learn's callbacks hear of fits, and what becomes of their answers."""

import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick import NETWORK, QUICK, SIZE, TRANSFER, quick
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, check_cv
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.inspection import SearchHistoryDisplay
from sklearn_patt_lite.metrics import epoch_scores
from sklearn_patt_lite.model_selection import search_history
from sklearn_patt_lite.preprocessing import (
    BackboneFeatures,
    FaceAugmenter,
    FaceCropper,
    FaceResizer,
)

pytest.importorskip("sklearn.callback", reason="callbacks are new in scikit-learn 1.9")
from sklearn.callback import ProgressBar, ScoringMonitor


class Recorder:
    """Writes down what it hears of tasks that end, and asks to stop after some of them."""

    def __init__(self, *, stops_after=()):
        self.begun, self.ended, self.stops_after = [], [], stops_after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(place_of(context))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        place = place_of(context)
        self.ended.append(place)
        self.X, self.y, self.metadata = X, y, metadata
        self.hear(place, fitted_estimator, X)
        return place in self.stops_after

    def hear(self, place, fitted_estimator, X):
        pass


class Keeping(Recorder):
    """Keeps the classifiers so far."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.classifiers = {}

    def hear(self, place, fitted_estimator, X):
        if fitted_estimator is not None:
            self.classifiers[place] = fitted_estimator


class Predicting(Keeping):
    """And lets them predict while the fit waits."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.predicted = {}

    def hear(self, place, fitted_estimator, X):
        super().hear(place, fitted_estimator, X)
        if fitted_estimator is not None:
            self.predicted[place] = fitted_estimator.predict_proba(X)


def place_of(context):
    """The names of a task and of those that it is part of; of an epoch its number, too."""
    place = ()
    while context is not None:
        is_epoch = context.task_name == "epoch"
        place = (f"epoch {context.task_id}" if is_epoch else context.task_name, *place)
        context = context.parent
    return place


def all_places(**n_epochs):
    """The places of a fit's tasks in the order of their ends."""
    for stage, n in n_epochs.items():
        yield from (("fit", stage, f"epoch {i}") for i in range(n))
        yield "fit", stage
    yield ("fit",)


def test_a_fit_tells_of_its_stages_and_epochs(faces):
    recorder = Recorder()
    weights = np.ones(len(faces.images))
    quick().set_callbacks(recorder).fit(faces.images, faces.target, sample_weight=weights)
    assert recorder.ended == list(all_places(head=2, finetune=2))
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.begun[0] == ("fit",)
    assert recorder.X is faces.images
    assert recorder.y is faces.target
    assert recorder.metadata["sample_weight"] is weights


@pytest.mark.parametrize(
    "settings",
    [
        TRANSFER,  # trains on features
        {**NETWORK, "recipe": "modern", "epochs": 2},  # on images
    ],
    ids=["features", "images"],
)
def test_the_classifier_so_far_is_that_of_a_fit_that_ends_there(settings, faces):
    """With a constant rate and no validation data an epoch does not know how many follow it."""
    settings = {**settings, "schedule": "plateau"}
    whole = PAttLiteClassifier(**settings)
    plain = clone(whole).fit(faces.images, faces.target)
    predicting, keeping = Predicting(), Keeping()
    whole.set_callbacks(predicting, keeping).fit(faces.images, faces.target)
    # Who looks changes nothing.
    assert_array_equal(whole.predict_proba(faces.images), plain.predict_proba(faces.images))
    assert whole.history_ == plain.history_
    assert_allclose(
        predicting.predicted["fit",], whole.predict_proba(faces.images), rtol=0, atol=1e-6
    )
    stage = next(name for name in ("finetune", "end_to_end") if name in whole.history_)
    shorter = {"finetune": "finetune_epochs", "end_to_end": "epochs"}[stage]
    short = PAttLiteClassifier(**{**settings, shorter: 1}).fit(faces.images, faces.target)
    place = "fit", stage, "epoch 0"
    assert_allclose(
        predicting.predicted[place], short.predict_proba(faces.images), rtol=0, atol=1e-6
    )
    history = keeping.classifiers[place].history_
    assert history[stage] == short.history_[stage]
    assert history["data"] == whole.history_["data"]


def test_a_classifier_that_a_callback_keeps_learns_nothing_more(faces):
    predicting, keeping = Predicting(), Keeping()
    for callback in (predicting, keeping):
        classifier = PAttLiteClassifier(**TRANSFER).set_callbacks(callback)
        classifier.fit(faces.images, faces.target)
    assert len(keeping.classifiers) == 7  # of four epochs, two stages and the fit
    for place, kept in keeping.classifiers.items():
        assert_array_equal(kept.predict_proba(faces.images), predicting.predicted[place])


def test_a_classifier_that_an_interrupting_callback_keeps_stays_as_it_was(faces):
    class Interrupting(Keeping):
        def hear(self, place, fitted_estimator, X):
            super().hear(place, fitted_estimator, X)
            if place == ("fit", "head", "epoch 0"):
                raise KeyboardInterrupt

    predicting, interrupting = Predicting(), Interrupting()
    PAttLiteClassifier(**TRANSFER).set_callbacks(predicting).fit(faces.images, faces.target)
    with pytest.raises(KeyboardInterrupt):
        PAttLiteClassifier(**TRANSFER).set_callbacks(interrupting).fit(faces.images, faces.target)
    PAttLiteClassifier(**TRANSFER).fit(faces.images, faces.target)  # by the same trainer
    kept = interrupting.classifiers["fit", "head", "epoch 0"]
    assert_array_equal(
        kept.predict_proba(faces.images), predicting.predicted["fit", "head", "epoch 0"]
    )


def test_a_thread_may_ask_for_the_network_of_a_classifier_so_far(faces):
    """It waits for the fit, which does not wait for it."""

    class Asking(Recorder):
        threads = []

        def hear(self, place, fitted_estimator, X):
            if place == ("fit", "head", "epoch 0"):
                thread = threading.Thread(target=lambda: fitted_estimator.model_, daemon=True)
                thread.start()
                self.threads.append(thread)
                thread.join(1)  # it has reached where it waits

    classifier = quick().set_callbacks(Asking())
    fit = threading.Thread(target=classifier.fit, args=(faces.images, faces.target), daemon=True)
    fit.start()
    for thread in (fit, *Asking.threads):
        thread.join(300)
        assert not thread.is_alive()


def test_a_callback_may_stop_a_stage(faces):
    settings = {**TRANSFER, "finetune_epochs": 3}
    recorder = Recorder(stops_after=[("fit", "finetune", "epoch 1")])
    classifier = PAttLiteClassifier(**settings).set_callbacks(recorder)
    classifier.fit(faces.images, faces.target)
    assert recorder.ended == list(all_places(head=2, finetune=2))
    assert len(classifier.history_["finetune"]["loss"]) == 2
    assert classifier.history_["finetune"]["best_epoch"] == 1
    assert classifier.predict(faces.images).shape == faces.target.shape


def test_a_callback_may_stop_after_stage_1(faces):
    recorder = Recorder(stops_after=[("fit", "head")])
    classifier = quick().set_callbacks(recorder).fit(faces.images, faces.target)
    assert recorder.ended == list(all_places(head=2))
    assert "finetune" not in classifier.history_
    head_only = quick(unfreeze_layers=0).fit(faces.images, faces.target)
    assert_allclose(
        classifier.predict_proba(faces.images),
        head_only.predict_proba(faces.images),
        rtol=0,
        atol=1e-6,
    )


def test_an_interruption_after_a_stop_says_how_to_go_on(faces, tmp_path):
    class Interrupting(Recorder):
        def hear(self, place, fitted_estimator, X):
            if place == ("fit", "finetune", "epoch 0"):
                raise KeyboardInterrupt

    stopping = Interrupting(stops_after=[("fit", "head", "epoch 0")])
    classifier = quick(checkpoint_dir=tmp_path).set_callbacks(stopping)
    with pytest.raises(KeyboardInterrupt) as caught:
        classifier.fit(faces.images, faces.target)
    (note,) = caught.value.__notes__
    assert "resumes where a callback stopped a stage" in note


@pytest.mark.parametrize("stopped", [("fit", "head"), ("fit", "head", "epoch 0")], ids=len)
def test_a_fit_that_was_stopped_is_no_checkpoint_of_one_that_is_not(stopped, faces, tmp_path):
    expected = quick().fit(faces.images, faces.target)
    settings = {**QUICK, "checkpoint_dir": tmp_path}
    runs = []
    for _ in range(2):  # the second finds what the first has left
        classifier = PAttLiteClassifier(**settings).set_callbacks(Recorder(stops_after=[stopped]))
        runs.append(classifier.fit(faces.images, faces.target))
    for first, again in zip(*(each.model_.get_weights() for each in runs), strict=True):
        assert_array_equal(first, again)
    whole = PAttLiteClassifier(**settings).fit(faces.images, faces.target)
    for mine, theirs in zip(whole.model_.get_weights(), expected.model_.get_weights(), strict=True):
        assert_array_equal(mine, theirs)


def test_a_resumed_fit_tells_of_all_its_epochs(faces, tmp_path):
    class Interrupting(Recorder):
        def hear(self, place, fitted_estimator, X):
            if place == ("fit", "finetune", "epoch 1"):
                raise KeyboardInterrupt

    classifier = quick(checkpoint_dir=tmp_path, finetune_patience=None)
    with pytest.raises(KeyboardInterrupt):
        clone(classifier).set_callbacks(Interrupting()).fit(faces.images, faces.target)
    predicting = Predicting()
    classifier.set_callbacks(predicting).fit(faces.images, faces.target)
    assert predicting.ended == list(all_places(head=2, finetune=2))
    known = {("fit", "head"), *(place for place in predicting.ended if len(place) == 3)}
    assert known - predicting.predicted.keys() == {
        *(("fit", "head"), ("fit", "head", "epoch 0"), ("fit", "head", "epoch 1")),
        ("fit", "finetune", "epoch 0"),
    }


def test_a_monitor_scores_each_epoch_of_a_search(faces):
    monitor = ScoringMonitor(scoring="balanced_accuracy")
    search = GridSearchCV(
        PAttLiteClassifier(**TRANSFER).set_callbacks(monitor),
        {"unfreeze_layers": [0, 8]},
        cv=2,
    ).fit(faces.images, faces.target)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    # Stage 1 alone takes the epochs of stage 2. The refit is one more fit.
    n_epochs = {0: 2, 8: 4}
    best = search.best_params_["unfreeze_layers"]
    assert len(rows) == 2 * sum(n_epochs.values()) + n_epochs[best]
    assert all(0 <= row["balanced_accuracy"] <= 1 for row in rows)
    (last,) = [row for row in monitor.get_logs().data if row["task_id_path"] == (0, 1)]
    y_pred = search.best_estimator_.predict(faces.images)
    recall = [np.mean(y_pred[faces.target == i] == i) for i in range(7)]
    assert last["balanced_accuracy"] == pytest.approx(np.mean(recall))


# Searches


def search_with(grid, faces, *, search=GridSearchCV, scoring=epoch_scores, **settings):
    """Search, and return the search and its monitor."""
    monitor = ScoringMonitor(scoring=scoring)
    classifier = PAttLiteClassifier(**TRANSFER).set_callbacks(monitor)
    pipeline = make_pipeline(FaceResizer(size=SIZE), classifier)
    grid = {f"pattliteclassifier__{name}": values for name, values in grid.items()}
    return search(pipeline, grid, cv=2, **settings).fit(faces.images, faces.target), monitor


@pytest.fixture(scope="module")
def searched(faces):
    return search_with({"unfreeze_layers": [0, 8]}, faces)


def test_a_history_has_a_row_for_each_epoch_of_each_fold(searched):
    history = search_history(*searched)
    assert history["candidate"].tolist() == [0] * 4 + [1] * 8
    assert history["split"].tolist() == [0, 0, 1, 1] + [0] * 4 + [1] * 4
    assert history["stage"].tolist() == 4 * ["head"] + 2 * (2 * ["head"] + 2 * ["finetune"])
    assert history["epoch"].tolist() == [0, 1] * 6
    assert np.isfinite(history["loss"]).all()
    assert {*history} - {"candidate", "split", "stage", "epoch"} == {
        *("loss", "accuracy", "learning_rate"),
    }


def test_a_history_holds_what_the_fits_have_written_down(faces, searched):
    search, monitor = searched
    history = search_history(search, monitor)
    train, _ = next(check_cv(2, faces.target, classifier=True).split(faces.images, faces.target))
    classifier = PAttLiteClassifier(**TRANSFER).fit(faces.images[train], faces.target[train])
    rows = (history["candidate"] == 1) & (history["split"] == 0)
    for name in ("loss", "accuracy"):
        expected = classifier.history_["head"][name] + classifier.history_["finetune"][name]
        assert history[name][rows].tolist() == expected


def test_candidates_of_halving_are_counted_over_its_iterations(faces):
    search, monitor = search_with(
        {"learning_rate": [1e-2, 1e-3, 1e-4], "unfreeze_layers": [0]},
        faces,
        search=HalvingGridSearchCV,
        factor=3,
        min_resources=28,
        random_state=0,
    )
    assert search.cv_results_["iter"].tolist() == [0, 0, 0, 1]
    history = search_history(search, monitor)
    assert history["candidate"].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    display = SearchHistoryDisplay.from_search(search, monitor)
    assert display.labels[0] == "learning_rate=0.01, iter=0"
    assert display.labels[3].endswith("iter=1")


def test_the_curves_of_a_search_are_means_over_its_folds(searched):
    search, monitor = searched
    display = SearchHistoryDisplay.from_search(search, monitor)
    assert display.ax_.get_ylabel() == "accuracy"  # there is no validation data
    frozen, deep = display.ax_.lines
    assert [line.get_label() for line in (frozen, deep)] == display.labels
    assert display.labels == ["unfreeze_layers=0", "unfreeze_layers=8"]
    history = search_history(search, monitor)
    expected = history["accuracy"][history["candidate"] == 1].reshape(2, 4).mean(axis=0)
    assert_allclose(deep.get_ydata(), expected)
    assert deep.get_xdata().tolist() == [1, 2, 3, 4]
    assert deep.get_markevery() == [2]  # where stage 2 begins
    assert frozen.get_markevery() == []
    widths = [line.get_linewidth() for line in (frozen, deep)]
    assert np.argmax(widths) == search.best_index_
    with pytest.raises(ValueError, match=r"no score 'val_loss'; available: .*loss"):
        display.plot(score="val_loss")


def test_a_fold_that_was_resumed_leaves_the_stages_in_order():
    history = {
        "candidate": np.zeros(5, int),
        "split": np.array([0, 1, 1, 1, 1]),
        "stage": np.array(["finetune", "head", "head", "finetune", "finetune"]),
        "epoch": np.array([1, 0, 1, 0, 1]),
        "loss": np.array([0.2, 2.0, 1.0, 0.5, 0.4]),
    }
    (line,) = SearchHistoryDisplay(history, ["a"]).plot().ax_.lines
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert_allclose(line.get_ydata(), [2, 1, 0.5, 0.3])
    assert line.get_markevery() == [2]


def test_of_a_search_inside_a_search_the_refits_count(faces):
    monitor = ScoringMonitor(scoring=epoch_scores)
    inner = GridSearchCV(
        quick(unfreeze_layers=0, epochs=1).set_callbacks(monitor), {"random_state": [0, 1]}, cv=2
    )
    search = GridSearchCV(inner, {"estimator__learning_rate": [1e-3, 1e-2]}, cv=2)
    search.fit(faces.images, faces.target)
    history = search_history(search, monitor)
    assert list(zip(history["candidate"], history["split"], strict=True)) == [
        *((0, 0), (0, 1), (1, 0), (1, 1)),
    ]


def test_a_later_fit_leaves_the_search_its_history(faces):
    monitor = ScoringMonitor(scoring=epoch_scores)
    classifier = quick(unfreeze_layers=0, epochs=1).set_callbacks(monitor)
    search = GridSearchCV(classifier, {"learning_rate": [1e-3]}, cv=2).fit(
        faces.images, faces.target
    )
    before = search_history(search, monitor)
    search.best_estimator_.fit(faces.images, faces.target)
    after = search_history(search, monitor)
    assert before["loss"].tolist() == after["loss"].tolist()


def test_at_the_beginning_of_a_stage_the_scores_are_those_of_the_one_before():
    history = {"head": {"loss": [2.0, 1.5], "best_epoch": 1}, "finetune": {"best_epoch": -1}}
    assert epoch_scores(SimpleNamespace(history_={"data": {}, **history})) == {"loss": 1.5}


def test_validation_scores_are_the_first_choice(faces):
    monitor = ScoringMonitor(scoring=epoch_scores)
    classifier = quick(unfreeze_layers=0).set_callbacks(monitor)
    search = GridSearchCV(classifier, {"learning_rate": [1e-3]}, cv=2).fit(
        faces.images, faces.target
    )
    display = SearchHistoryDisplay.from_search(search, monitor)
    assert display.ax_.get_ylabel() == "val_accuracy"
    assert display.labels == ["learning_rate=0.001"]


def test_a_monitor_of_another_fit_is_refused(faces, searched):
    search, _ = searched
    monitor = ScoringMonitor(scoring=epoch_scores)
    quick(unfreeze_layers=0).set_callbacks(monitor).fit(faces.images, faces.target)
    with pytest.raises(ValueError, match=r"last run is of PAttLiteClassifier.*set it on the"):
        search_history(search, monitor)
    with pytest.raises(NotFittedError):
        search_history(clone(search), monitor)
    with pytest.raises(TypeError, match="set the monitor on the classifier"):
        epoch_scores(search)


@pytest.mark.parametrize(
    "transformer",
    [
        FaceResizer(size=SIZE),
        FaceAugmenter(random_state=0),
        FaceCropper(size=SIZE, detector=lambda photograph: [[(1, 1, 20, 20), 0.9]]),
        BackboneFeatures(backbone_weights="drawn", alpha=0.25, input_size=SIZE),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_a_transformer_is_one_task(transformer, faces):
    recorder = Recorder()
    clone(transformer).set_callbacks(recorder).fit(faces.images)
    assert recorder.begun == recorder.ended == [("fit",)]


def test_progress_bars_show_a_search_over_a_pipeline(faces, capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(FaceResizer(size=SIZE), quick())
    search = GridSearchCV(pipeline, {"pattliteclassifier__learning_rate": [1e-2, 1e-3]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of steps that know no callbacks
        search.set_callbacks(ProgressBar(max_propagation_depth=None))
        search.fit(faces.images, faces.target)
    shown = capsys.readouterr().out
    for name in ("GridSearchCV", "Pipeline", "PAttLiteClassifier - fine"):
        assert name in shown


def test_callbacks_go_with_clones_and_not_into_files(faces, fitted, tmp_path):
    recorder = Recorder()
    classifier = clone(fitted).set_callbacks(recorder)
    assert clone(classifier)._skl_callbacks == [recorder]
    fitted = clone(fitted).set_callbacks(recorder).fit(faces.images, faces.target)
    fitted.save_model(tmp_path / "faces.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "faces.zip")
    assert not hasattr(loaded, "_skl_callbacks")
