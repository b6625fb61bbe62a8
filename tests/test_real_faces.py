"""Real faces and real weights, where they are at hand."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import clone

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.inspection import batch_invariance

SHARED = Path(__file__).parents[2] / "shared"
FACES = SHARED / "data" / "fer2013_sample.npz"
KERAS_HOME = SHARED / "keras"
IMAGENET = KERAS_HOME / "models" / "mobilenet_1_0_224_tf_no_top.h5"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_faces,
    pytest.mark.skipif(
        not (FACES.exists() and IMAGENET.exists()), reason=f"needs {FACES.name} and {IMAGENET.name}"
    ),
]


@pytest.fixture(scope="module")
def faces():
    with np.load(FACES) as data:
        rng = np.random.default_rng(0)
        rows = rng.permutation(len(data["y_train"]))[:1440]
        return data["X_train"][rows], data["y_train"][rows]


@pytest.fixture(scope="module")
def fitted(faces):
    """The head on frozen ImageNet features, at a small size with smaller patches."""
    X, y = faces
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights=IMAGENET,
        input_size=96,
        patch_size=3,
        epochs=5,
        patience=None,
        validation_fraction=None,
        batch_size=16,
        unfreeze_layers=0,
        random_state=0,
    )
    return classifier.fit(X[:600], y[:600])


def test_a_short_training_learns(fitted):
    loss = fitted.history_["head"]["loss"]
    assert loss[-1] < loss[0]


def test_probabilities_do_not_depend_on_the_company(faces, fitted):
    X = faces[0][:32]
    together = fitted.predict_proba(X)
    assert together.std(axis=0).min() > 0.01
    alone = np.concatenate([fitted.predict_proba(x[np.newaxis]) for x in X])
    assert_allclose(alone, together, atol=1e-5)
    assert_allclose(fitted.predict_proba(X[::-1])[::-1], together, atol=1e-5)


def test_batch_invariance_tells_the_variants_apart(faces, fitted):
    """The default passes; the published attention over the batch is flagged."""
    X, y = faces
    X_test, y_test = X[1200:1320], y[1200:1320]
    report = batch_invariance(fitted, X_test, y_test, batch_sizes=[8], random_state=0)
    assert report.is_invariant
    published = clone(fitted).set_params(attention="batch", epochs=1)  # passes all of the network
    with pytest.warns(UserWarning, match="batch"):
        published.fit(X[:240], y[:240])
    report = batch_invariance(published, X_test, y_test, batch_sizes=[8], random_state=0)
    assert not report.is_invariant


@pytest.fixture(scope="module")
def pooled(faces, fitted):
    """Frozen ImageNet features of all faces, averaged over the map: (n, 512), and a test's."""
    images, backbone = fitted.model_.inputs, fitted.model_.get_layer("mobilenet")
    scaled = fitted.model_.get_layer("scale").output
    pool = keras.layers.GlobalAveragePooling2D()
    return keras.Model(images, pool(backbone(scaled))).predict(
        faces[0][..., np.newaxis], batch_size=32, verbose=0
    )


class NormalizedByTheBatch(keras.layers.Layer):
    """As BatchNormalization that is left in training mode."""

    def call(self, x):
        return (x - keras.ops.mean(x, axis=0)) / (keras.ops.std(x, axis=0) + 1e-3)


class AttentionOverTheBatch(keras.layers.Layer):
    """Softmax(QKᵀ/√d)V of a (batch, features) tensor, as in the published code."""

    def call(self, x):
        scores = keras.ops.matmul(x, keras.ops.transpose(x)) / x.shape[-1] ** 0.5
        return keras.ops.matmul(keras.ops.softmax(scores), x)


@pytest.mark.parametrize(
    ("layer", "is_invariant"),
    [
        (keras.layers.Identity, True),
        (NormalizedByTheBatch, False),
        (AttentionOverTheBatch, False),
    ],
)
def test_batch_invariance_of_plain_keras_models(layer, is_invariant, faces, pooled):
    """Heads that were trained on the frozen features of 1,200 faces."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((pooled.shape[1],))
    x = keras.layers.Dense(32, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    probabilities = keras.layers.Dense(7, activation="softmax")(layer()(x))
    model = keras.Model(inputs, probabilities)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(pooled[:1200], faces[1][:1200], epochs=5, verbose=0)
    report = batch_invariance(model, pooled[1200:], faces[1][1200:], random_state=0)
    assert report.is_invariant == is_invariant
    if not is_invariant:
        assert report.largest_change > 0.1
        assert "NOT TO BE TRUSTED" in str(report)


def test_imagenet_weights_are_found_in_keras_home():
    """In a process of its own: Keras looks for its home when it is imported."""
    program = (
        "import sys; from sklearn_patt_lite._network.weights import read_weights\n"
        "found, given = read_weights('imagenet', 1.0), read_weights(sys.argv[1], 1.0)\n"
        "assert len(found) > 50 and set(found) == set(given)\n"
        "assert all((a == b).all() for n in found for a, b in zip(found[n], given[n]))\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(IMAGENET)],
        env={**os.environ, "KERAS_HOME": str(KERAS_HOME)},
        check=True,
    )
