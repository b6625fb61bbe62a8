"""LiteRT predicts what the Keras network predicts, however many threads ask at the same time."""

import dataclasses
import functools
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from random_networks import spread_logits
from scipy.ndimage import map_coordinates

from sklearn_patt_lite._features.backbone import FrozenBackbone
from sklearn_patt_lite._features.memory import FeatureMemory
from sklearn_patt_lite._inference.fitted import FittedNetwork
from sklearn_patt_lite._inference.predictor import KerasPredictor, Predictor
from sklearn_patt_lite._network.architecture import Architecture, backbone_convolutions
from sklearn_patt_lite._network.engines import Engine
from sklearn_patt_lite._network.graph import (
    CROP,
    resizing_matrix,
    write_convolution,
    write_prediction,
)
from sklearn_patt_lite._network.kept import KeptNetwork
from sklearn_patt_lite._network.litert import LiteRTGraph
from sklearn_patt_lite._network.parts import named_weights
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._network.weights import load_weights

#: All that a table of the paper varies, and images of all kinds of shapes.
NETWORKS = [
    ((64, 64, 3), {}),
    ((48, 40, 1), {"augment": False, "attention": None}),  # enlarged
    ((96, 80, 3), {"patch_extraction": "attention"}),  # shrunk, with antialiasing
    ((64, 64, 3), {"patch_extraction": "attention", "patch_size": 500, "attention": None}),
    ((40, 96, 1), {}),  # one side enlarged, one shrunk
    ((64, 64, 3), {"patch_extraction": "conv", "output_layer": "conv_pw_5_relu"}),
    ((64, 64, 3), {"patch_extraction": "conv_pointwise", "output_layer": "conv_pw_5_relu"}),
    ((64, 64, 3), {"patch_extraction": None, "output_layer": None}),
    ((64, 64, 3), {"patch_extraction": None, "attention": None, "hidden_units": None}),
    ((64, 64, 3), {"output_layer": "conv_dw_12_relu", "patch_size": 1, "hidden_units": None}),
    ((64, 64, 3), {"input_size": 101}),  # maps of odd sides
]

BOTH = {"flip_averaging": True, "crop_averaging": True}


@functools.cache
def build(image_shape=(64, 64, 3), seed=0, **settings):
    """A network whose probabilities vary: drawn features, and logits that are far apart."""
    keras.utils.set_random_seed(seed)
    settings = {"alpha": 0.25, "input_size": 64, "patch_size": 2, "n_filters": 16, **settings}
    architecture = Architecture(n_classes=7, image_shape=image_shape, **settings)
    network = build_network(architecture)
    load_weights(network, "drawn", architecture)
    vary(network, noise(40, image_shape))
    return architecture, network


def vary(network, images):
    """Change biases and normalization of the head, and spread the logits of these images."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        if variable.path.startswith(("hidden", "patch_")) and len(variable.shape) == 1:
            low = 0.5 if variable.name in ("gamma", "moving_variance") else -0.2
            variable.assign(rng.uniform(low, low + 0.7, variable.shape))
    spread_logits(network, images)


def predictor(image_shape=(64, 64, 3), **settings):
    architecture, network = build(image_shape, **settings)
    return Predictor(architecture, named_weights(network))


def noise(n, image_shape=(64, 64, 3)):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 4, 4, image_shape[2]))
    rows, columns = (np.arange(side) * 4 // side for side in image_shape[:2])
    return coarse[:, rows][:, :, columns].astype(np.uint8)


@pytest.mark.parametrize(("image_shape", "settings"), NETWORKS)
def test_probabilities_are_the_networks(image_shape, settings):
    network, images = build(image_shape, **settings)[1], noise(40, image_shape)
    expected = network.predict(images, verbose=0)
    assert expected.std(axis=0).max() > 0.05  # else the test could not fail
    found = predictor(image_shape, **settings)(images)
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("averaging", [{}, {"flip_averaging": True}, BOTH], ids=len)
@pytest.mark.parametrize(("image_shape", "settings"), NETWORKS)
def test_an_onnx_graph_says_the_same(image_shape, settings, averaging):
    onnxruntime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    from sklearn_patt_lite._network.onnx import OnnxGraph

    architecture, network = build(image_shape, **settings)
    images = noise(40, image_shape)
    expected = KerasPredictor(network, **averaging)(images)
    weights = named_weights(network)
    graph = write_prediction(OnnxGraph(), architecture, weights, **averaging)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": images.astype(np.float32)})[0]
    assert_allclose(found, expected, atol=1e-4)


def test_mirror_images_are_averaged():
    architecture, network = build()
    images = noise(5)
    predict = Predictor(architecture, named_weights(network), flip_averaging=True)
    expected = (network.predict(images, verbose=0) + network.predict(images[:, :, ::-1])) / 2
    assert np.abs(expected - network.predict(images, verbose=0)).max() > 1e-3
    assert_allclose(predict(images), expected, atol=1e-4)
    assert_allclose(predict(images[:1]), expected[:1], atol=1e-4)


@pytest.mark.parametrize("kind", [Predictor, KerasPredictor])
def test_crops_are_averaged(kind):
    architecture, network = build()
    images, size = noise(5), 64

    def crop(top, left):
        """Enlarge a part of all images, as SciPy does."""
        rows, columns = (first + (np.arange(size) + 0.5) * CROP - 0.5 for first in (top, left))
        places = np.meshgrid(np.arange(5), rows, columns, np.arange(3), indexing="ij")
        return map_coordinates(images.astype(float), places, order=1, mode="nearest")

    rest = size * (1 - CROP)
    views = [images, crop(0, 0), crop(rest, rest)]
    expected = np.mean([network.predict(view, verbose=0) for view in views], axis=0)
    assert np.abs(expected - network.predict(images, verbose=0)).max() > 1e-3
    weights = architecture, named_weights(network)
    predict = kind(*(weights if kind is Predictor else [network]), crop_averaging=True)
    assert_allclose(predict(images), expected, atol=1e-4)
    assert_allclose(predict(images[:1]), expected[:1], atol=1e-4)


def test_features_of_crops_are_not_kept(tmp_path):
    architecture, network = build()
    settings = {"crop_averaging": True, "frozen_until": "conv_pw_6_relu"}
    predict = Predictor(architecture, named_weights(network), **settings)
    images = noise(3)
    assert_array_equal(predict(images, FeatureMemory(tmp_path)), predict(images))
    assert not any(tmp_path.iterdir())
    whole = Predictor(architecture, named_weights(network), frozen_until="conv_pw_6_relu")
    whole(images, FeatureMemory(tmp_path))
    assert any(tmp_path.iterdir())


@pytest.mark.parametrize("n", [1, 2, 3, 31, 33])
def test_any_number_of_images(n):
    images = noise(33)
    predict = predictor()
    assert_allclose(predict(images[:n]), predict(images)[:n], atol=1e-6)


@pytest.mark.parametrize(
    ("side", "size", "antialias"),
    [(48, 224, False), (48, 112, True), (300, 112, True), (7, 5, True)],
)
def test_images_are_resized_as_keras_does(side, size, antialias):
    image = np.random.default_rng(0).uniform(0, 255, (1, side, side, 1)).astype(np.float32)
    expected = keras.layers.Resizing(size, size, antialias=antialias)(image)
    matrix = resizing_matrix(side, size, antialias)
    found = matrix @ image[0, :, :, 0] @ matrix.T
    assert_allclose(found, np.asarray(expected)[0, :, :, 0], atol=1e-3)


# Who predicts


def fitted(attention="patches", batch_size=8):
    architecture, network = build(attention=attention)
    kept = KeptNetwork(architecture, network)
    return FittedNetwork(kept, batch_size=batch_size, averaging={}, frozen_until=None)


def test_attention_across_the_batch_gets_batches_of_its_size():
    network, images = build(attention="batch")[1], noise(20)
    expected = network.predict(images, batch_size=8, verbose=0)
    assert_allclose(fitted("batch").predict_proba(images), expected, atol=1e-4)
    other = fitted("batch", batch_size=20).predict_proba(images)
    assert np.abs(other - expected).max() > 1e-3


@pytest.mark.parametrize(("found", "kind"), [(False, Predictor), (True, KerasPredictor)])
def test_an_accelerator_is_left_to_keras(found, kind, monkeypatch):
    monkeypatch.setattr("sklearn_patt_lite._inference.fitted.on_accelerator", lambda: found)
    network, images = fitted(), noise(3)
    expected = build()[1].predict(images, verbose=0)
    assert_allclose(network.predict_proba(images), expected, atol=1e-4)
    assert isinstance(network._predictor, kind)


def test_frozen_layers_of_equal_weights_share_an_engine():
    architecture, network = build()
    weights = named_weights(network)
    other = {**weights, "conv_dw_3/kernel": 1.01 * weights["conv_dw_3/kernel"]}
    layer = "conv_pw_6_relu"
    x, made = noise(3).astype(np.float32), []
    for each in (weights, dict(weights), other):
        frozen = FrozenBackbone(dataclasses.replace(architecture, n_filters=8), each)
        frozen.forward(layer, x, np.empty((3, *frozen.shape(layer)), dtype=np.uint16))
        made.append(frozen._engines[layer])
    assert made[0] is made[1]
    assert made[0] is not made[2]


# Many at once


def test_threads_do_not_wait_for_each_other(monkeypatch):
    """With one thread a call, two calls run at the same time: each waits for the other here."""
    monkeypatch.setattr("sklearn_patt_lite._network.engines.n_threads", lambda: 1)
    monkeypatch.setattr("sklearn_patt_lite._network.engines.joblib.cpu_count", lambda: 2)
    architecture, network = build()
    engine = Engine(write_prediction(LiteRTGraph(), architecture, named_weights(network)))
    both, rows = threading.Barrier(2, timeout=20), noise(4)

    class Meeting:
        """Rows that are handed out once two calls ask for them."""

        def __len__(self):
            return len(rows)

        def __iter__(self):
            both.wait()
            return iter(rows)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(engine, [Meeting(), Meeting()]))
    assert_array_equal(*found)


def test_an_interpreter_that_could_not_be_made_is_made_later(monkeypatch):
    monkeypatch.setattr("sklearn_patt_lite._network.engines.n_threads", lambda: 1)
    monkeypatch.setattr("sklearn_patt_lite._network.engines.joblib.cpu_count", lambda: 1)
    architecture, network = build()
    engine = Engine(write_prediction(LiteRTGraph(), architecture, named_weights(network)))
    expected = engine(noise(2))
    engine._start()  # as in a forked child
    with monkeypatch.context() as patch:
        patch.setattr("sklearn_patt_lite._network.engines._Interpreter", refuse)
        with pytest.raises(MemoryError):
            engine(noise(2))
    with ThreadPoolExecutor(1) as pool:
        assert_array_equal(pool.submit(engine, noise(2)).result(timeout=60), expected)


def refuse(*args):
    raise MemoryError


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_predicts():
    """Its parent's threads are gone there."""
    predict, images = predictor(), noise(40)
    expected = predict(images)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(predict(images)))
    child.start()
    assert receiver.poll(60)
    assert_allclose(receiver.recv(), expected, atol=1e-6)
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_that_ends_as_any_process_does():
    """What its parent's threads belonged to is not destroyed in it: that would crash."""
    program = """
        import os, sys
        import numpy as np
        from sklearn_patt_lite import PAttLiteClassifier

        classifier = PAttLiteClassifier.from_pretrained("fer2013")
        X = np.full((1, 48, 48), 100, np.uint8)
        classifier.predict(X)  # with its mirror image, on all threads together
        child = os.fork()
        classifier.predict(X)
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "OMP_NUM_THREADS": "4"},
        check=True,
        timeout=120,
    )


def test_results_are_written_where_they_are_wanted():
    kernel = np.ones((1, 1, 3, 2), dtype=np.float32)
    step = backbone_convolutions(build()[0])[2]
    engine = Engine(write_convolution(LiteRTGraph(), (step, kernel, np.zeros(2, "f4")), (4, 4, 3)))
    out = np.zeros((5, 4, 4, 2), dtype=np.uint16)
    assert engine(np.full((5, 4, 4, 3), 2.5), out) is out
    assert (out == 7).all()  # 7.5, cut
