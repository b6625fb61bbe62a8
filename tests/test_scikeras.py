"""SciKeras runs the stages as the plain loop does, and leaves nothing behind."""

import dataclasses
import gc
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.on_images import train_by_scikeras, train_on_arrays
from sklearn_patt_lite._training.stages import end_to_end_stage, finetune_stage, head_stage

ARCHITECTURE = Architecture(
    n_classes=2,
    image_shape=(32, 32, 1),
    alpha=0.25,
    input_size=32,
    output_layer="conv_dw_1_relu",
    patch_size=4,
    n_filters=8,
    hidden_units=8,
    augment=False,
)
HEAD = {"epochs": 3, "learning_rate": 1e-3, "patience": None, "clipnorm": 3.0, "dropout": 0.0}
STAGES = [
    head_stage(**HEAD),
    finetune_stage(**{**HEAD, "learning_rate": 1e-4, "unfreeze_layers": 6}),
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.arange(32) % 2
    X = (rng.uniform(0, 128, (32, 32, 32, 1)) + 100 * y[:, None, None, None]).astype("float32")
    return TrainingData(X, y, np.linspace(0.5, 1.5, 32), X[:8], y[:8])


def train(data, open_trainer, batch_size, seed=0, stages=STAGES):
    with seeded(0):
        model = build_network(ARCHITECTURE)
    load_weights(model, "drawn", ARCHITECTURE)
    history = [
        StagedFit(
            model, [stage], data, batch_size=batch_size, seed=seed, open_trainer=open_trainer
        ).run()[stage.name]
        for stage in stages
    ]
    return model, history


def test_both_loops_train_the_same_model(data, monkeypatch):
    """With all images in one batch, so that their order does not matter.

    The last epoch is compared: which is best may hang on a probability of one half.
    """
    monkeypatch.setattr(
        "sklearn_patt_lite._training.fit.stage_callbacks", lambda *args, **kwargs: []
    )
    # Plain steps: Adam makes full ones of gradients that are nothing but rounding.
    monkeypatch.setattr(
        "sklearn_patt_lite._training.stages.optimizer", lambda stage: keras.optimizers.SGD(0.1)
    )
    (plain, plain_history), (wrapped, history) = (
        train(data, each, batch_size=32) for each in (train_on_arrays, train_by_scikeras)
    )
    expected = wrapped.predict(data.X, verbose=0)
    assert_allclose(plain.predict(data.X, verbose=0), expected, atol=1e-3)
    assert history[0]["loss"][-1] < history[0]["loss"][0]
    for ours, theirs in zip(plain_history, history, strict=True):
        assert set(ours) == set(theirs)
        assert_allclose(ours["loss"], theirs["loss"], rtol=1e-3)
        assert_allclose(ours["val_loss"], theirs["val_loss"], rtol=1e-3)


def test_the_order_of_the_images_follows_the_seed(data):
    first, again, other = (
        train(data, train_by_scikeras, 4, seed=seed, stages=STAGES[:1])[0].predict(
            data.X, verbose=0
        )
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_stage_2_starts_with_its_own_optimizer_and_layers(data):
    model, (_, finetune) = train(data, train_by_scikeras, batch_size=8)
    assert finetune["learning_rate"][0] == pytest.approx(1e-4)
    tuned = [layer for layer in model.get_layer(BACKBONE).layers if layer.trainable_weights]
    assert tuned
    fresh = build_network(ARCHITECTURE)
    load_weights(fresh, "drawn", ARCHITECTURE)
    for layer in tuned:
        before = fresh.get_layer(BACKBONE).get_layer(layer.name).get_weights()[0]
        assert (layer.get_weights()[0] != before).any()


def test_global_state_is_put_back(data):
    import tensorflow as tf

    keras.utils.set_random_seed(5)
    expected = float(tf.random.uniform(())), random.random(), np.random.random()
    keras.utils.set_random_seed(5)
    without = dataclasses.replace(data, X_val=None, y_val=None)
    train(without, train_by_scikeras, batch_size=32, stages=STAGES[:1])
    assert (float(tf.random.uniform(())), random.random(), np.random.random()) == expected


@pytest.mark.parametrize("open_trainer", [train_on_arrays, train_by_scikeras])
def test_a_step_is_traced_once(data, open_trainer, monkeypatch):
    """Variables made within the first trace would need a second, of seconds for a whole network."""
    traced = []
    step = keras.Model.train_step

    def traced_step(model, batch):
        traced.append(model)
        return step(model, batch)

    monkeypatch.setattr(keras.Model, "train_step", traced_step)
    train(data, open_trainer, batch_size=8)
    assert len(traced) == len(STAGES)


def test_no_graph_outlives_its_fit(data):
    """Keras' sum over replicas would keep each for good: tens of megabytes a fit."""

    def graphs():
        gc.collect()
        kinds = [thing for thing in gc.get_objects() if type(thing).__name__ == "FuncGraph"]
        return sum(graph.name == "one_step_on_data" for graph in kinds)

    before = graphs()
    train(data, train_by_scikeras, batch_size=32, stages=STAGES[:1])
    assert graphs() == before


def test_a_class_that_is_not_trained_on_shifts_no_other(data):
    """SciKeras would number the labels 0 and 2 as 0 and 1."""
    architecture = dataclasses.replace(ARCHITECTURE, n_classes=3)
    with seeded(0):
        model = build_network(architecture)
    without_1 = dataclasses.replace(data, y=2 * data.y, X_val=data.X, y_val=2 * data.y)
    stage = end_to_end_stage(**{**HEAD, "epochs": 15, "learning_rate": 1e-2})
    history = StagedFit(model, [stage], without_1, batch_size=8, seed=0).run()["end_to_end"]
    assert history["loss"][-1] < history["loss"][0]
    mean = model.predict(data.X, verbose=0).mean(axis=0)
    assert mean[1] < min(mean[0], mean[2])  # of what no image was labelled as


PROGRAM = """
import sys
import numpy as np
from PIL import Image
from sklearn_patt_lite import PAttLiteClassifier

rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8), np.arange(16) % 2
paths = [f"{sys.argv[2]}/{i}.png" for i in range(16)]
for path, image in zip(paths, images):
    Image.fromarray(image).save(path)
PAttLiteClassifier(
    backbone_weights=None, alpha=0.25, input_size=32, patch_size=4, n_filters=8,
    recipe="modern", output_layer="conv_dw_1_relu", augment=False, epochs=1,
    validation_fraction=None, random_state=0,
).fit({"images": images, "files": paths}[sys.argv[1]], labels)
import tensorflow as tf

print(float(tf.random.uniform(())))
"""


@pytest.mark.slow
@pytest.mark.parametrize("data", ["images", "files"])
def test_tensorflow_is_not_left_deterministic(data, tmp_path):
    """In a process of its own, in which nothing has asked TensorFlow for a random number yet."""
    command = [sys.executable, "-c", PROGRAM, data, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-500:]
    assert 0 <= float(result.stdout) < 1
