"""Displays show what the network does, where it looks, and which mistakes it makes."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import (
    ClassRecallDisplay,
    GradCAMDisplay,
    MistakesDisplay,
    PatchAttentionDisplay,
    TrainingHistoryDisplay,
)
from sklearn_patt_lite.inspection._figures import RIGHT, WRONG
from sklearn_patt_lite.preprocessing import FaceResizer

plt = pytest.importorskip("matplotlib.pyplot")

QUICK = {
    "recipe": "paper",
    "backbone_weights": "drawn",
    "alpha": 0.25,
    "input_size": 64,
    "patch_size": 2,
    "epochs": 2,
    "unfreeze_layers": 0,
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def faces():
    return make_expression_faces(n_subjects=4, image_size=64, random_state=0)


@pytest.fixture(scope="module")
def fitted(faces):
    return PAttLiteClassifier(**QUICK).fit(faces.images, faces.target)


def fit(faces, rows=slice(None), **parameters):
    classifier = PAttLiteClassifier(**{**QUICK, "epochs": 1, **parameters})
    return classifier.fit(faces.images[rows], faces.target[rows])


# Grad-CAM


def test_heat_maps_are_where_the_images_are_and_say_what_is_predicted(faces, fitted):
    X, y = faces.images[:5], faces.target[:5]
    display = GradCAMDisplay.from_estimator(fitted, X, y, target_names=faces.target_names)
    assert display.heat_maps.shape == (5, 64, 64)
    assert display.heat_maps.min() >= 0
    assert display.heat_maps.max() > 0
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(display.probability, probabilities.max(axis=1), atol=1e-4)
    assert display.predicted == faces.target_names[probabilities.argmax(axis=1)].tolist()
    for axes, predicted, true in zip(display.axes_, display.predicted, display.true, strict=True):
        assert axes.title.get_color() == (RIGHT if predicted == true else WRONG)
        assert predicted in axes.get_title()
        assert predicted == true or f"is {true}" in axes.get_title()


def test_a_bar_explains_the_colours(faces, fitted):
    bar = GradCAMDisplay.from_estimator(fitted, faces.images[:2]).figure_.axes[-1]
    assert "evidence" in bar.get_ylabel()
    bar = PatchAttentionDisplay.from_estimator(fitted, faces.images[:2]).figure_.axes[-1]
    assert bar.get_ylabel() == "added to the class's score\n(arrows: attention)"
    with_bar, without = (
        GradCAMDisplay.from_estimator(fitted, faces.images[:2], colorbar=colorbar).figure_
        for colorbar in (True, False)
    )
    assert len(with_bar.axes) == 3
    assert len(without.axes) == 2
    assert with_bar.get_figwidth() > without.get_figwidth()


def test_a_map_is_the_gradient_weighted_sum_of_its_layer(faces):
    """Where patches are averaged, and mapped linearly, the gradient is known."""
    from sklearn_patt_lite._network.maps import places_of, split_at

    classifier = fit(faces, attention=None, hidden_units=None)
    network, X = classifier.model_, faces.images[:3]
    patches = np.asarray(split_at(network, "patch_pointwise")[0](X))  # 3 × 2 × 2 × 256
    kernel = network.get_layer("probabilities").kernel.numpy()
    expected = np.maximum(patches @ kernel[:, 2] / 4, 0)
    assert expected.max() > 0
    display = GradCAMDisplay.from_estimator(classifier, X, layer="patch_pointwise", target=2)
    distance, first = places_of(network, "patch_pointwise")
    places = first + distance * np.arange(2)
    assert places.tolist() == [23.0, 55.0]
    found = display.heat_maps[:, [[23], [55]], [23, 55]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_cells_are_put_where_they_look(faces, fitted):
    """A change of the image at a cell's place changes that cell the most."""
    from sklearn_patt_lite._network.maps import places_of, split_at

    to_map, _ = split_at(fitted.model_, "conv_dw_6_relu")
    distance, first = places_of(fitted.model_, "conv_dw_6_relu")
    assert distance == 16
    grey = np.full((1, 64, 64, 3), 128, dtype=np.float32)
    before = np.asarray(to_map(grey))
    for row, column in [(1, 1), (2, 1), (1, 2)]:
        dotted = grey.copy()
        y, x = (round(first + distance * place) for place in (row, column))
        dotted[0, y - 1 : y + 2, x - 1 : x + 2] = 255
        change = np.abs(np.asarray(to_map(dotted)) - before).sum(axis=3)[0]
        assert np.unravel_index(change.argmax(), change.shape) == (row, column)


def test_every_layer_with_a_map_can_be_shown(faces, fitted):
    from sklearn_patt_lite._network.maps import maps_of, split_at

    probabilities = fitted.predict_proba(faces.images[:2])
    for layer in maps_of(fitted.model_):
        to_map, to_logits = split_at(fitted.model_, layer)
        logits = np.asarray(to_logits(to_map(faces.images[:2].astype(np.float32))))
        softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(softmax, probabilities, atol=1e-4)
    GradCAMDisplay.from_estimator(fitted, faces.images[:1], layer="patch_pointwise")


def test_another_class_has_another_map(faces, fitted):
    maps = [
        GradCAMDisplay.from_estimator(fitted, faces.images[:3], target=target).heat_maps
        for target in (0, 3)
    ]
    assert np.abs(maps[0] - maps[1]).max() > 0.1 * maps[0].max()


@pytest.mark.slow
def test_the_map_moves_when_the_evidence_does():
    """Happiness is told by the mouth: covered, both map and decision leave it."""
    faces = make_expression_faces(
        n_subjects=30, image_size=96, occlusion=0.0, max_yaw=5.0, random_state=0
    )
    happy, sad, neutral = (
        list(faces.target_names).index(name) for name in ("happy", "sad", "neutral")
    )
    is_told_by_mouth = np.isin(faces.target, [happy, sad, neutral])
    is_trained = is_told_by_mouth & (faces.groups < np.quantile(faces.groups, 0.75))
    classifier = fit(faces, rows=is_trained, input_size=96, patch_size=3, epochs=25, patience=None)
    shown = faces.images[~is_trained & (faces.target == happy)]
    mouth, corner = np.s_[:, 58:84, 28:68], np.s_[:, :26, :40]
    without = {"nothing": shown}
    for name, place in {"mouth": mouth, "corner": corner}.items():
        without[name] = shown.copy()
        without[name][place] = 128
    maps = {
        name: GradCAMDisplay.from_estimator(classifier, X, target=happy).heat_maps[mouth]
        for name, X in without.items()
    }
    change = {name: np.abs(map_ - maps["nothing"]).mean() for name, map_ in maps.items()}
    column = list(classifier.classes_).index(happy)
    found = {name: classifier.predict_proba(X)[:, column].mean() for name, X in without.items()}
    assert change["mouth"] > change["corner"]
    assert found["mouth"] < min(found["nothing"], found["corner"])


# Patch attention


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"attention": None},
        {"hidden_units": None},
        {"patch_extraction": None},
        {"patch_extraction": "conv"},
        {"patch_extraction": "attention"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("without_training")
def test_contributions_are_the_whole_of_the_decision(faces, parameters):
    from sklearn_patt_lite.inspection._patch_attention import _weigh_patches

    classifier = fit(faces, **parameters)
    attention, logits, contributions = _weigh_patches(classifier, faces.images[:4])
    np.testing.assert_allclose(attention.sum(axis=2), 1, atol=1e-5)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, classifier.predict_proba(faces.images[:4]), atol=1e-4)
    bias = classifier.model_.get_layer("probabilities").bias.numpy()
    scores = contributions.sum(axis=1) + bias
    centred = [x - x.mean(axis=1, keepdims=True) for x in (scores, logits)]
    np.testing.assert_allclose(*centred, atol=1e-4)
    display = PatchAttentionDisplay.from_estimator(classifier, faces.images[:4])
    rows, columns = (len(edges) - 1 for edges in display.edges)
    assert rows * columns == attention.shape[1]
    assert all(np.all(np.diff(edges) >= 0) for edges in display.edges)


def test_the_patch_that_adds_most_has_the_frame(faces, fitted):
    display = PatchAttentionDisplay.from_estimator(fitted, faces.images[:3], faces.target[:3])
    for axes, contributions in zip(display.axes_, display.contributions, strict=True):
        (frame,) = (patch for patch in axes.patches if not patch.get_fill())
        is_right, is_low = frame.get_x() > 0, frame.get_y() > 0
        assert 2 * is_low + is_right == contributions.argmax()


@pytest.mark.usefixtures("without_training")
def test_a_classifier_without_patches_of_its_own_is_refused(faces):
    with pytest.warns(UserWarning, match="each prediction depend"):
        across = fit(faces, attention="batch")
    for display in (GradCAMDisplay, PatchAttentionDisplay):
        with pytest.raises(ValueError, match="predictions depend on the whole batch: an image"):
            display.from_estimator(across, faces.images[:2])
    plain = fit(faces, attention=None, patch_extraction=None, hidden_units=None)
    with pytest.raises(ValueError, match="has no patches"):
        PatchAttentionDisplay.from_estimator(plain, faces.images[:2])


# History


def test_both_stages_are_in_one_with_the_epochs_that_were_kept(faces):
    classifier = fit(faces, epochs=3, unfreeze_layers=4, finetune_epochs=2)
    display = TrainingHistoryDisplay.from_estimator(classifier)
    accuracy, loss = display.axes_
    head, finetune = classifier.history_["head"], classifier.history_["finetune"]
    drawn = {tuple(line.get_xdata()): line for line in accuracy.get_lines()}
    assert (1, 2, 3) in drawn
    assert (4, 5) in drawn
    stars = [line for line in accuracy.get_lines() if line.get_marker() == "*"]
    places = [int(line.get_xdata()[0]) for line in stars]
    best = [head["best_epoch"] + 1, finetune["best_epoch"] + 4]
    assert places == [place for place in best if place != 3 or place == best[0]]
    assert [line.get_xdata()[0] for line in loss.get_lines() if line.get_linestyle() == ":"] == [
        3.5
    ]
    assert [text.get_text()[:7] for text in loss.texts] == ["Stage 1", "Stage 2"]


def test_a_history_without_validation_has_the_training_curves(faces):
    classifier = fit(faces, validation_fraction=None, patience=None, finetune_patience=None)
    display = TrainingHistoryDisplay.from_estimator(classifier)
    labels = display.axes_[0].get_legend_handles_labels()[1]
    assert "Training" in labels
    assert "Validation" not in labels


# Mistakes


def test_the_most_confident_mistakes_come_first(faces):
    proba = np.full((5, 7), 0.05)
    proba[np.arange(5), [0, 1, 1, 2, 3]] = [0.7, 0.6, 0.8, 0.7, 0.5]
    display = MistakesDisplay.from_predictions(
        faces.images[:5],
        np.array([0, 0, 0, 0, 0]),
        proba,
        classes=np.arange(7),
        n_images=3,
        target_names=faces.target_names,
    )
    assert display.indices.tolist() == [2, 3, 1]
    assert (display.n_mistakes, display.n_total) == (4, 5)
    assert display.true == [faces.target_names[0]] * 3
    assert len(display.axes_) == 3


def test_mistakes_of_any_classifier_and_of_images_of_any_kind(faces):
    guessing = make_pipeline(FaceResizer(size=16), DummyClassifier(strategy="prior"))
    ragged = [faces.images[0], faces.images[1][:40], faces.images[2] / 255]
    guessing.fit(ragged, ["sad", "happy", "sad"])
    display = MistakesDisplay.from_estimator(guessing, ragged, ["sad", "happy", "sad"])
    assert display.true == ["happy"]
    with pytest.raises(ValueError, match="no mistakes among 2"):
        MistakesDisplay.from_estimator(guessing, [ragged[0], ragged[2]], ["sad", "sad"])


# Recall


def test_recalls_are_those_of_scikit_learn(faces, fitted):
    guessing = DummyClassifier(strategy="uniform", random_state=0).fit(faces.images, faces.target)
    models = {"ours": fitted, "guessing": guessing}
    display = ClassRecallDisplay.from_estimator(
        models, faces.images, faces.target, groups=faces.groups, target_names=faces.target_names
    )
    for name, model in models.items():
        expected = recall_score(faces.target, model.predict(faces.images), average=None)
        np.testing.assert_allclose(display.recall[name], expected)
        low, high = display.intervals[name].T
        assert np.all((low <= expected) & (expected <= high))
    assert display.support.tolist() == [8] * 7
    assert len(display.ax_.patches) == 14
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == list(models)


def test_intervals_know_that_a_subject_is_one_person():
    """Four people who succeed or fail as wholes are four answers, not forty."""
    groups = np.repeat(np.arange(4), 10)
    y_true, y_pred = np.zeros(40, dtype=int), np.repeat([0, 1, 0, 1], 10)
    widths = []
    for given in (None, groups):
        display = ClassRecallDisplay.from_predictions(y_true, y_pred, groups=given, random_state=0)
        widths.append(np.ptp(display.intervals[""][0]))
    assert widths[1] > 2 * widths[0]
    assert np.isnan(display.intervals[""][1]).all()  # a class without images
    assert np.isnan(display.recall[""][1])


# All


def test_pipelines_and_searches_are_looked_into(faces):
    pipeline = make_pipeline(FaceResizer(size=64), PAttLiteClassifier(**QUICK))
    search = GridSearchCV(pipeline, {"pattliteclassifier__dropout": [0.1]}, cv=2)
    with pytest.raises(NotFittedError):
        GradCAMDisplay.from_estimator(search, faces.images[:2])
    search.fit(faces.images, faces.target)
    ragged = [faces.images[0], faces.images[1][:40]]
    display = GradCAMDisplay.from_estimator(search, ragged, faces.target[:2])
    np.testing.assert_allclose(
        display.probability, search.predict_proba(ragged).max(axis=1), atol=1e-4
    )
    TrainingHistoryDisplay.from_estimator(search)
    PatchAttentionDisplay.from_estimator(search, ragged)


def test_axes_may_be_given_and_nothing_is_shown(faces, fitted, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a display must not call show"))
    figure, (left, right) = plt.subplots(1, 2)
    display = GradCAMDisplay.from_estimator(fitted, faces.images[:2], ax=left)
    assert display.figure_ is figure
    assert len(display.axes_) == 2
    TrainingHistoryDisplay.from_estimator(fitted, ax=right)
    _, several = plt.subplots(1, 2)
    display = PatchAttentionDisplay.from_estimator(fitted, faces.images[:2], ax=several)
    assert list(display.axes_) == list(several)
    with pytest.raises(ValueError, match="ax has 2 axes, but 3 are needed"):
        GradCAMDisplay.from_estimator(fitted, faces.images[:3], ax=several)


def test_grey_images_are_shown(faces):
    grey = faces.images.mean(axis=3).astype(np.uint8)
    classifier = PAttLiteClassifier(**{**QUICK, "epochs": 1}).fit(grey, faces.target)
    assert GradCAMDisplay.from_estimator(classifier, grey[:2]).images.shape == (2, 64, 64, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c, X, y: GradCAMDisplay.from_estimator(c, X, layer="tokens"), ValueError, "no map"),
        (lambda c, X, y: GradCAMDisplay.from_estimator(c, X, target=9), ValueError, r"target .*9"),
        (lambda c, X, y: GradCAMDisplay.from_estimator(c, X, y[:1]), ValueError, "inconsistent"),
        (lambda c, X, y: GradCAMDisplay.from_estimator(c, X, y + 9), ValueError, r"y contains \["),
        (
            lambda c, X, y: GradCAMDisplay.from_estimator(c, X, target_names=["one"]),
            ValueError,
            "With 1 target_names",
        ),
        (
            lambda c, X, y: PatchAttentionDisplay.from_estimator(LogisticRegression(), X),
            TypeError,
            "got LogisticRegression",
        ),
        (
            lambda c, X, y: TrainingHistoryDisplay.from_estimator(PAttLiteClassifier()),
            NotFittedError,
            "not fitted",
        ),
        (
            lambda c, X, y: MistakesDisplay.from_predictions(X, y, np.ones((len(y), 9))),
            ValueError,
            "one column for each",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(faces, fitted, call, error, message):
    with pytest.raises(error, match=message):
        call(fitted, faces.images[:3], faces.target[:3])


MISTAKES = {
    "X": np.full((3, 8, 8), 0.5),
    "y_true": ["a", "b", "a"],
    "y_proba": np.full((3, 2), 0.5),
}


def mistakes(**changed):
    return MistakesDisplay.from_predictions(**{**MISTAKES, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_images": 0}, "n_images == 0, must be >= 1"),
        ({"n_columns": 0}, "n_columns == 0, must be >= 1"),
        ({"y_proba": np.full((3, 2), np.nan)}, "y_proba contains NaN"),
        ({"y_proba": np.full((3, 2), 3.0)}, "between 0 and 1, got 3 to 3"),
        ({"classes": ["a", "a"]}, "distinct classes"),
        ({"y_true": [0, 1, 0], "target_names": ["a", "a"]}, "contains a name twice"),
        ({"y_true": [0, 1, 0], "target_names": "ab"}, "must be a list of names"),
    ],
)
def test_mistakes_that_cannot_be_told(changed, message):
    with pytest.raises(ValueError, match=message):
        mistakes(**changed)


def test_classes_may_be_in_any_order():
    """As a database's `target_names` are, which are not sorted."""
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    display = mistakes(y_proba=proba, y_true=["b", "a", "b"], classes=["b", "a"])
    assert display.indices.tolist() == [2]
    assert (display.predicted, display.true) == (["a"], ["b"])


def test_integers_are_shown_as_the_classifier_reads_them():
    X = np.full((3, 8, 8), 200, dtype=np.uint16)
    assert mistakes(X=X).images.max() == 200


@pytest.mark.parametrize(
    "X",
    [
        np.full((3, 8, 8, 4), 255, dtype=np.uint8),
        np.ones((3, 8, 8), dtype=bool),
        np.full((3, 8, 8), 200 * 257, dtype=np.uint16),
    ],
    ids=["RGBA", "booleans", "16 bits"],
)
def test_images_are_shown_that_only_face_resizer_takes(X):
    """As the first step of a Pipeline."""
    assert mistakes(X=X).images.max() >= 200


@pytest.mark.parametrize("ax", [[], "here", [1, 2]])
def test_what_is_no_place_to_draw(ax):
    with pytest.raises(TypeError, match="ax must be a Matplotlib Axes"):
        mistakes(ax=ax)


def test_a_place_that_cannot_be_divided_is_left_as_it_was():
    axes = plt.figure().add_axes([0.1, 0.1, 0.8, 0.8])
    with pytest.raises(ValueError, match="cannot be divided"):
        TrainingHistoryDisplay({}).plot(ax=axes)
    assert axes.axison


def test_each_model_is_in_the_legend():
    y = np.array(["a", "b", "a"])
    display = ClassRecallDisplay.from_predictions(y, {"_base": y, 0: y[:, np.newaxis]})
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["_base", "0"]
    with pytest.raises(ValueError, match="contains no models"):
        ClassRecallDisplay.from_predictions(y, {})
    with pytest.raises(ValueError, match="no subject in"):
        ClassRecallDisplay.from_predictions(y, y, groups=[1.0, np.nan, 2.0])


@pytest.mark.parametrize(
    ("contributions", "numbers"),
    [
        ([10.5, -0.01, 2.0, 0.3], ["+10.5", "+0.0", "+2.0", "+0.3"]),
        ([0.0031, -0.0001, 0.0, 0.002], ["+0.0031", "-0.0001", "+0.0000", "+0.0020"]),
    ],
)
def test_numbers_are_as_long_as_they_must_be(contributions, numbers):
    halves = np.array([0, 0.5, 1])
    display = PatchAttentionDisplay(
        images=np.full((1, 48, 48, 1), 128),
        attention=np.full((1, 4, 4), 0.25),
        contributions=np.array([contributions]),
        edges=(halves, halves),
        predicted=["happy"],
        probability=[0.8],
        shown=["sad"],
    ).plot()
    (axes,) = display.axes_
    assert [text.get_text() for text in axes.texts if text.get_text()] == numbers
    assert axes.get_title() == "happy 80 %\nfor sad"


def test_without_matplotlib_the_extra_is_named():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from sklearn_patt_lite.inspection import TrainingHistoryDisplay\n"
        "TrainingHistoryDisplay({}).plot()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "the extra 'displays'" in result.stderr


def test_importing_the_displays_imports_neither_tensorflow_nor_matplotlib():
    program = (
        "import sys, sklearn_patt_lite.inspection\n"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_a_class_that_does_not_occur_has_no_recall():
    names = ["sad", "angry", "happy"]
    display = ClassRecallDisplay.from_predictions(
        ["sad", "happy", "sad"], ["sad", "sad", "sad"], target_names=names
    )
    assert display.target_names == names
    assert display.support.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(display.recall[""], [1, np.nan, 0])
