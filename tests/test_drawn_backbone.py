"""The backbone inside the package: its file, and that its features are worth building on."""

import importlib.resources
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights, read_weights
from sklearn_patt_lite.datasets import make_expression_faces

FILE = importlib.resources.files("sklearn_patt_lite") / "weights" / "drawn.npz"
SCRIPT = Path(__file__).parents[1] / "examples" / "train_drawn_backbone.py"
PLAIN = {"patch_extraction": None, "attention": None}


def drawn_backbone(**settings):
    settings = {"input_size": 96, **PLAIN, **settings}
    size = settings["input_size"]
    architecture = Architecture(
        n_classes=7, image_shape=(size, size, 3), alpha=0.25, augment=False, **settings
    )
    network = build_network(architecture)
    load_weights(network, "drawn", architecture)
    return network.get_layer(BACKBONE)


@pytest.fixture(scope="module")
def faces():
    return make_expression_faces(n_subjects=16, random_state=0)


@pytest.fixture(scope="module")
def features(faces):
    """The map at the default output layer, (n, 6, 6, 128)."""
    return drawn_backbone().predict(faces.images / 127.5 - 1, batch_size=64, verbose=0)


def accuracy(X, faces):
    """Mean accuracy of a linear model on unseen subjects."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
    folds = GroupKFold(4)
    return cross_val_score(model, X, faces.target, groups=faces.groups, cv=folds).mean()


def test_file_is_small():
    assert len(FILE.read_bytes()) <= 600_000


def test_file_holds_finite_numbers_in_half_precision_except_for_normalization():
    with FILE.open("rb") as stream, np.load(stream) as arrays:
        for key in arrays.files:
            name = key.split("/")[0]
            assert arrays[key].dtype == (np.float32 if name.endswith("_bn") else np.float16)
            assert np.isfinite(arrays[key]).all(), key


def test_file_holds_the_whole_of_mobilenet_and_nothing_else():
    whole = drawn_backbone(output_layer=None)
    names = {layer.name for layer in whole.layers if layer.weights}
    assert set(read_weights("drawn", 0.25)) == names


@pytest.mark.parametrize("output_layer", ["conv_dw_6_relu", "conv_dw_9_relu", "conv_pw_11_relu"])
def test_weights_fit_at_every_depth_and_size(output_layer):
    backbone = drawn_backbone(output_layer=output_layer, input_size=64)
    held = read_weights("drawn", 0.25)
    for layer in backbone.layers:
        for weight, expected in zip(layer.get_weights(), held.get(layer.name, []), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_features_differ_between_faces_in_nearly_all_channels(features):
    pooled = features.mean(axis=(1, 2))
    alive = pooled.std(axis=0) > 0.01 * pooled.mean()
    assert alive.mean() > 0.9


def test_running_means_match_what_drawn_faces_look_like(faces):
    """Otherwise frozen BatchNormalization would put its outputs out of place and scale."""
    whole = drawn_backbone(output_layer=None)
    layers = [whole.get_layer(name) for name in ("conv1_bn", "conv_dw_9_bn", "conv_pw_13_bn")]
    maps = keras.Model(whole.input, [layer.input for layer in layers]).predict(
        faces.images / 127.5 - 1, batch_size=64, verbose=0
    )
    for layer, seen in zip(layers, maps, strict=True):
        mean, deviation = layer.moving_mean.numpy(), np.sqrt(layer.moving_variance.numpy())
        shift = np.abs(seen.mean(axis=(0, 1, 2)) - mean) / (deviation + 1e-3)
        assert np.median(shift) < 0.3, layer.name


def test_features_tell_expressions_of_unseen_subjects_better_than_pixels(faces, features):
    pixels = faces.images[:, ::3, ::3].mean(axis=-1).reshape(len(faces.images), -1)
    n, _, _, channels = features.shape
    pooled = features.reshape(n, 2, 3, 2, 3, channels).mean(axis=(2, 4)).reshape(n, -1)
    assert accuracy(pooled, faces) > accuracy(pixels, faces) + 0.1


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_other_widths_are_refused(alpha):
    with pytest.raises(ValueError, match=rf"alpha=0\.25.*alpha={alpha}"):
        read_weights("drawn", alpha)


def test_training_subjects_are_never_a_users(faces):
    training_subject_ids = runpy.run_path(str(SCRIPT))["training_subject_ids"]
    ids = training_subject_ids(1000)
    assert len(np.unique(ids)) == 1000
    assert (ids % 2 == 1).all()
    assert (faces.subject_ids % 2 == 0).all()
