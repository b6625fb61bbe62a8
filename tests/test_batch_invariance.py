"""Models that peek at the batch are told from those that do not."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from quick import NETWORK
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import batch_invariance

QUICK = {
    **NETWORK,
    "epochs": 2,
    "unfreeze_layers": 0,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def data():
    """Three classes of points, hard to tell apart: (X, y)."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    return rng.normal(size=(120, 3)) + np.eye(3)[y], y


def row_by_row(X):
    return softmax(X, axis=1)


def helped_by_the_batch(X):
    """Each row votes for what the batch's mean says, too."""
    return softmax(X + 5 * X.mean(axis=0), axis=1)


def attention_over_the_batch():
    """A plain Keras model: the rows are the tokens."""
    inputs = keras.Input((3,))
    x = ops.expand_dims(layers.Dense(8)(inputs), 0)  # 1 × batch × 8
    x = ops.squeeze(layers.Attention()([x, x]), 0)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


@keras.saving.register_keras_serializable("tests")
class NormalizedByTheBatch(layers.Layer):
    """As BatchNormalization that is left in training mode."""

    def call(self, x):
        return (x - ops.mean(x, axis=0)) / (ops.std(x, axis=0) + 1e-3)


def normalization_by_the_batch():
    inputs = keras.Input((3,))
    x = NormalizedByTheBatch()(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def plain_model():
    inputs = keras.Input((3,))
    x = layers.BatchNormalization()(layers.Dense(8)(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def test_predictions_of_their_own(data):
    report = batch_invariance(row_by_row, *data, random_state=0)
    assert report.is_invariant
    assert report.largest_change == report.changed_labels == report.noise == 0
    assert report.n_images == 120
    settings = [(company.order, company.batch_size) for company in report.companies]
    orders = ["shuffled", "class-sorted"]
    assert settings == [(order, size) for size in (8, 32) for order in orders]
    assert str(report).startswith("Scores can be trusted in this respect")


def test_the_batch_helps_most_in_the_order_of_classes(data):
    X, y = data
    report = batch_invariance(helped_by_the_batch, X, y, random_state=0)
    assert not report.is_invariant
    accuracies = {(c.order, c.batch_size): c.accuracy for c in report.companies}
    assert report.accuracy_alone == (X.argmax(axis=1) == y).mean()
    assert accuracies["class-sorted", 8] > report.accuracy_alone + 0.2
    assert accuracies["class-sorted", 8] > accuracies["shuffled", 8] + 0.2
    assert report.changed_labels > 0.2
    text = str(report)
    assert text.startswith("NOT TO BE TRUSTED: predictions depend on the images")
    assert f"Accuracy alone is {report.accuracy_alone:.3f}" in text
    assert "class-sorted in batches of" in text


@pytest.mark.parametrize("model", [attention_over_the_batch, normalization_by_the_batch])
def test_keras_models_that_peek(data, model):
    keras.utils.set_random_seed(0)
    report = batch_invariance(model(), data[0].astype("float32"), random_state=0)
    assert not report.is_invariant
    assert report.largest_change > 0.01
    assert report.accuracy_alone is None


def test_a_keras_model_that_does_not(data):
    report = batch_invariance(plain_model(), *data, random_state=0)
    assert report.is_invariant
    assert report.largest_change < 1e-5


def test_any_estimator_of_scikit_learn(data):
    X, y = data
    names = np.array(["sad", "happy", "angry"])[y]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, names)
    report = batch_invariance(pipeline, X, names)
    assert report.is_invariant
    assert report.accuracy_alone == pipeline.score(X, names)
    assert batch_invariance(pipeline, X.tolist(), names.tolist()).is_invariant


def test_predictions_that_are_drawn(data):
    rng = np.random.default_rng(0)
    report = batch_invariance(lambda X: softmax(X + rng.normal(size=X.shape), axis=1), data[0])
    assert report.noise > 0.01
    assert not report.is_invariant
    assert "predicted again" in str(report)


def test_without_labels_the_given_order_is_tried(data):
    X, y = data
    ordered = X[np.argsort(y)]
    report = batch_invariance(helped_by_the_batch, ordered, batch_sizes=[8], random_state=0)
    assert [company.order for company in report.companies] == ["given", "shuffled"]
    assert {company.accuracy for company in report.companies} == {None}
    assert "Accuracy" not in str(report)


def test_sizes_beyond_all_images_are_all_of_them(data):
    X, y = data
    report = batch_invariance(helped_by_the_batch, X[:10], y[:10], batch_sizes=(1, 4, 64, 128))
    assert [company.batch_size for company in report.companies] == [4, 4, 10, 10]


def test_the_same_seed_gives_the_same(data):
    first, second = (batch_invariance(helped_by_the_batch, *data, random_state=3) for _ in "ab")
    assert first == second
    assert first != batch_invariance(helped_by_the_batch, *data, random_state=4)


def test_plain_data(data):
    found = batch_invariance(helped_by_the_batch, *data, random_state=0).to_dict()
    assert found["is_invariant"] is False
    assert found["companies"][0]["order"] == "shuffled"
    assert isinstance(found["companies"][0]["accuracy"], float)


@pytest.mark.parametrize(
    ("estimator", "options", "error", "message"),
    [
        ("model", {}, TypeError, "predict_proba.*got str"),
        (lambda X: X[:, 0], {}, ValueError, r"shape \(1, n_classes\), got shape \(1,\)"),
        (lambda X: X[:0], {}, ValueError, r"shape \(1, n_classes\), got shape \(0, 3\)"),
        (lambda X: X * np.nan, {}, ValueError, "not finite"),
        (row_by_row, {"y": np.full(120, 3)}, ValueError, r"y contains \[3\], but the classes are"),
        (row_by_row, {"y": [0, 1]}, ValueError, "inconsistent numbers of samples"),
        (row_by_row, {"batch_sizes": [8, 0]}, ValueError, "positive integers, got 0"),
        (row_by_row, {"batch_sizes": [2.5]}, ValueError, "positive integers, got 2.5"),
        (row_by_row, {"batch_sizes": [1]}, ValueError, "a size above 1"),
        (row_by_row, {"atol": -1}, ValueError, "'atol' parameter"),
    ],
)
def test_what_cannot_be_checked(data, estimator, options, error, message):
    with pytest.raises(error, match=message):
        batch_invariance(estimator, data[0], **options)


def test_a_single_image_may_come_back_without_its_axis(data):
    """As from SciKeras."""
    squeezing = batch_invariance(lambda X: row_by_row(X).squeeze(), data[0], random_state=0)
    assert squeezing.is_invariant


@pytest.mark.parametrize("attention", ["patches", "batch"])
def test_the_published_variant_is_flagged_and_the_default_passes(attention):
    faces = make_expression_faces(n_subjects=4, image_size=48, random_state=0)
    classifier = PAttLiteClassifier(attention=attention, **QUICK)
    if attention == "batch":
        with pytest.warns(UserWarning, match="batch"):
            classifier.fit(faces.images, faces.target)
    else:
        classifier.fit(faces.images, faces.target)
    some = faces.images[:24], faces.target[:24]
    report = batch_invariance(classifier, *some, batch_sizes=[8], random_state=0)
    assert report.is_invariant == (attention == "patches")
