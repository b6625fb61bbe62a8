"""Quick forward passes say what the Keras network says."""

import functools
import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from sklearn_patt_lite._inference.predictor import Predictor
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import LiteRTEngine, TensorFlowEngine, forward, steps_engine
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights

needs_litert = pytest.mark.skipif(
    not importlib.util.find_spec("ai_edge_litert"), reason="needs the extra 'litert'"
)
ENGINES = [pytest.param(True, marks=needs_litert, id="litert"), pytest.param(False, id="tf")]


@functools.cache
def build(image_shape=(64, 64, 3), seed=0, **settings):
    """A network whose probabilities vary: drawn features, and logits that are far apart."""
    keras.utils.set_random_seed(seed)
    settings = {"alpha": 0.25, "input_size": 64, "patch_size": 2, "n_filters": 16, **settings}
    architecture = Architecture(n_classes=7, image_shape=image_shape, **settings)
    network = build_network(architecture)
    load_weights(network, "drawn", architecture)
    last = network.get_layer("probabilities")
    hidden = keras.Model(network.input, last.input).predict(noise(40, image_shape), verbose=0)
    kernel = last.get_weights()[0]
    kernel /= (hidden @ kernel).std(axis=0)
    last.set_weights([kernel, -hidden.mean(axis=0) @ kernel])
    return network


def noise(n, image_shape=(64, 64, 3)):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 4, 4, image_shape[2]))
    rows, columns = (np.arange(side) * 4 // side for side in image_shape[:2])
    return coarse[:, rows][:, :, columns].astype(np.uint8)


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    monkeypatch.setattr("sklearn_patt_lite._network.engines._has_litert", lambda: request.param)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("image_shape", "settings"),
    [
        ((64, 64, 3), {}),
        ((48, 40, 1), {"augment": False, "attention": None}),  # enlarged
        ((96, 80, 3), {"patch_extraction": "attention"}),  # shrunk, with antialiasing
        ((64, 64, 3), {"patch_extraction": "conv", "output_layer": "conv_pw_5_relu"}),
        ((64, 64, 3), {"patch_extraction": None, "output_layer": None}),
        ((64, 64, 3), {"output_layer": "conv_dw_12_relu", "patch_size": 1, "hidden_units": None}),
    ],
)
def test_probabilities_are_the_networks(image_shape, settings):
    network, images = build(image_shape, **settings), noise(40, image_shape)
    expected = network.predict(images, verbose=0)
    assert expected.std(axis=0).max() > 0.05  # else the test could not fail
    found = Predictor(network)(images)
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-4)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("n", [1, 2, 3, 31, 33])
def test_any_number_of_images(n):
    network, images = build(), noise(33)
    predict = Predictor(network)
    assert_allclose(predict(images[:n]), predict(images)[:n], atol=1e-6)


@pytest.mark.usefixtures("engine")
def test_attention_across_the_batch_gets_batches_of_its_size():
    network, images = build(attention="batch"), noise(20)
    expected = network.predict(images, batch_size=8, verbose=0)
    assert_allclose(Predictor(network, batch_size=8)(images), expected, atol=1e-4)
    other = Predictor(network, batch_size=20)(images)
    assert np.abs(other - expected).max() > 1e-3


@needs_litert
@pytest.mark.parametrize("found", [False, True], ids=["none", "one"])
def test_a_gpu_is_left_to_tensorflow(found, monkeypatch):
    monkeypatch.setattr("sklearn_patt_lite._network.engines._has_gpu", lambda: found)
    predict = Predictor(build())
    predict(noise(3))
    litert = [isinstance(engine, LiteRTEngine) for engine in predict._engines[None]]
    assert litert == ([False, False] if found else [True, True])


def test_a_smaller_last_batch_is_not_traced_again():
    calls = []

    def function(x):
        calls.append(x.shape)  # runs while TensorFlow traces
        return x + 1

    engine = TensorFlowEngine(function, (2,))
    for n in (32, 7, 1, 32):
        assert engine(np.zeros((n, 2))).shape == (n, 2)
    assert len(calls) == 1


def backbone_engine(network):
    backbone = network.get_layer(BACKBONE)
    return steps_engine(fold_for_inference(backbone), backbone.input.shape[1:])


@pytest.mark.usefixtures("engine")
def test_networks_with_one_backbone_share_its_engine():
    first, second = build(), build.__wrapped__(n_filters=8)  # one that may be changed
    shared = backbone_engine(first)
    assert backbone_engine(second) is shared
    kernel = second.get_layer(BACKBONE).get_layer("conv_dw_3")
    kernel.set_weights([1.01 * array for array in kernel.get_weights()])
    assert backbone_engine(second) is not shared


def test_every_normalization_is_folded_away():
    backbone = build(output_layer=None, patch_extraction=None).get_layer(BACKBONE)
    rng = np.random.default_rng(0)
    for layer in backbone.layers:  # of another scale and shift than the file's
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    steps = fold_for_inference(backbone)
    convolutions = [step for kind, step in steps if kind in ("conv", "depthwise")]
    assert len(convolutions) == 27
    assert all(step["bias"] is not None for step in convolutions)
    images = noise(4).astype(np.float32)
    expected = backbone.predict(images / 127.5 - 1, verbose=0)
    assert expected.std() > 0.1
    assert_allclose(forward(steps, tf.constant(images)), expected, atol=1e-3)


@needs_litert
@pytest.mark.parametrize(("largest", "kind"), [(0, TensorFlowEngine), (2**20, LiteRTEngine)])
def test_a_head_with_a_large_kernel_is_left_to_tensorflow(largest, kind, monkeypatch):
    monkeypatch.setattr("sklearn_patt_lite._inference.predictor._LARGE_KERNEL", largest)
    network, images = build(patch_extraction="conv"), noise(3)
    predict = Predictor(network)
    assert_allclose(predict(images), network.predict(images, verbose=0), atol=1e-4)
    assert type(predict._engines[None][-1]) is kind
