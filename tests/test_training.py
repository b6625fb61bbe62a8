"""The two stages, on any Keras backend."""

import dataclasses
import random

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.parts import set_trainable
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.stages import (
    MIN_DELTA,
    end_to_end_stage,
    finetune_stage,
    head_stage,
    prepare,
)

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
HEAD = {"epochs": 3, "learning_rate": 1e-2, "patience": None, "clipnorm": 3.0, "dropout": 0.1}
FINETUNE = {**HEAD, "unfreeze_layers": 6}


@pytest.fixture(autouse=True)
def _same_order_every_time():
    keras.utils.set_random_seed(0)  # TensorFlow's too, by which Keras shuffles


@pytest.fixture(scope="module")
def data():
    """Faces of a kind: bright above or below."""
    rng = np.random.default_rng(0)
    y = np.arange(48) % 2
    X = rng.uniform(0, 128, (48, 32, 32, 1))
    X[y == 0, :16] += 100
    X[y == 1, 16:] += 100
    X = X.astype("float32")
    return TrainingData(X[:36], y[:36], np.ones(36), X[36:], y[36:])


@pytest.fixture
def model():
    with seeded(0):
        return build_network(ARCHITECTURE)


@pytest.fixture(scope="module")
def paper_backbone():
    return build_network(Architecture(n_classes=None, image_shape=(224, 224, 3), alpha=0.25))


def without_validation(data):
    return dataclasses.replace(data, X_val=None, y_val=None)


def train_stage(model, stage, data):
    return StagedFit(model, [stage], data, batch_size=8, seed=0).run()[stage.name]


def weights_by_layer(model):
    layers = [*model.layers, *model.get_layer(BACKBONE).layers]
    return {layer.name: layer.get_weights() for layer in layers if layer.weights}


def changed(before, after):
    return {
        name
        for name in before
        if any((b != a).any() for b, a in zip(before[name], after[name], strict=True))
    }


@pytest.mark.parametrize("n_layers", [0, 1, 40, 58, 59, 1000])
def test_the_last_layers_are_unfrozen(paper_backbone, n_layers):
    set_trainable(paper_backbone, n_layers)
    layers = paper_backbone.get_layer(BACKBONE).layers
    last = layers[len(layers) - min(n_layers, len(layers)) :]
    expected = [
        layer.name
        for layer in last
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    trainable = [layer.name for layer in layers if layer.trainable_weights]
    assert trainable == expected
    # The published slip: 59 of 58 layers was an index of -1, which froze them all.
    n_with_weights = {0: 0, 1: 0, 40: 12, 58: 18, 59: 18, 1000: 18}
    assert len(trainable) == n_with_weights[n_layers]


def test_stage_1_moves_the_head_only(model, data):
    before = weights_by_layer(model)
    train_stage(model, head_stage(**HEAD), data)
    backbone = {layer.name for layer in model.get_layer(BACKBONE).layers} | {BACKBONE}
    moved = changed(before, weights_by_layer(model))
    assert moved == set(before) - backbone


@pytest.mark.parametrize("n_layers", [1, 3, 1000])
def test_stage_2_moves_the_unfrozen_layers(model, data, n_layers):
    stage = finetune_stage(**{**FINETUNE, "unfreeze_layers": n_layers})
    before = weights_by_layer(model)
    train_stage(model, stage, without_validation(data))
    moved = changed(before, weights_by_layer(model))
    backbone = model.get_layer(BACKBONE).layers
    expected = {layer.name for layer in backbone[-n_layers:] if layer.trainable_weights}
    assert moved & {layer.name for layer in backbone} == expected
    assert not any("bn" in name for name in expected)


def test_end_to_end_moves_everything(model, data):
    before = weights_by_layer(model)
    train_stage(model, end_to_end_stage(**HEAD), without_validation(data))
    assert changed(before, weights_by_layer(model)) == set(before)


def test_dropout_of_the_stages(model):
    def rates():
        names = ("patch_dropout", "token_dropout", "attention_dropout")
        return [model.get_layer(name).rate for name in names]

    prepare(model, head_stage(**HEAD))
    assert rates() == [0, 0.1, 0]
    prepare(model, finetune_stage(**{**FINETUNE, "dropout": 0.2}))
    assert rates() == [0.2, 0.2, 0.2]


def test_the_best_epochs_weights_are_kept(model, data):
    stage = end_to_end_stage(**{**HEAD, "epochs": 8, "learning_rate": 0.03})
    history = train_stage(model, stage, data)
    best = history["best_epoch"]
    assert len(history["val_accuracy"]) == 8
    assert history["val_accuracy"][best] >= max(history["val_accuracy"]) - MIN_DELTA
    loss, accuracy = model.evaluate(data.X_val, data.y_val, verbose=0)
    assert accuracy == pytest.approx(history["val_accuracy"][best])
    assert loss == pytest.approx(history["val_loss"][best], rel=1e-4)


def test_early_stopping_watches_validation_accuracy(model, data):
    rng = np.random.default_rng(0)
    # Labels that cannot be learnt from these images: validation accuracy cannot keep rising.
    noise = dataclasses.replace(data, y_val=rng.integers(0, 2, len(data.y_val)))
    stage = head_stage(**{**HEAD, "epochs": 60, "patience": 2})
    history = train_stage(model, stage, noise)
    assert len(history["loss"]) == history["best_epoch"] + 1 + 2


def test_without_patience_every_epoch_is_trained(model, data):
    history = train_stage(model, head_stage(**HEAD), without_validation(data))
    assert set(history) == {"loss", "accuracy", "learning_rate", "best_epoch"}
    assert len(history["loss"]) == HEAD["epochs"]
    assert history["best_epoch"] == HEAD["epochs"] - 1


def test_stage_2_decays_with_inverse_time_per_epoch(model, data):
    stage = finetune_stage(**{**FINETUNE, "epochs": 4, "learning_rate": 1e-5})
    history = train_stage(model, stage, data)
    expected = 1e-5 / (1 + np.arange(4) / 80)
    assert_allclose(history["learning_rate"], expected, rtol=1e-5)


@pytest.mark.parametrize("make_stage", [head_stage, finetune_stage])
def test_a_stall_lowers_the_learning_rate_in_both_stages(model, data, make_stage):
    settings = {**HEAD, "epochs": 40, "patience": 5}
    if make_stage is finetune_stage:
        settings["unfreeze_layers"] = 6
    one_image = dataclasses.replace(data, X_val=data.X_val[:2], y_val=np.array([0, 0]))
    stage = make_stage(**settings)
    history = train_stage(model, stage, one_image)
    rates = np.array(history["learning_rate"])
    assert len(rates) == history["best_epoch"] + 1 + 5  # stopped by a stall of 5 epochs
    assert rates[-1] < 0.11 * rates[0]


def test_clipping_bounds_the_step(model, data):
    prepared = prepare(model, head_stage(**HEAD))
    assert prepared.optimizer.global_clipnorm == 3.0
    prepared = prepare(model, head_stage(**{**HEAD, "clipnorm": None}))
    assert prepared.optimizer.global_clipnorm is None


def test_images_of_weight_zero_do_not_count(data):
    """Whatever their labels, the same weights come out; with a weight, others do."""
    wrong = np.arange(len(data.y)) % 3 == 0
    stage = head_stage(**{**HEAD, "epochs": 1})

    def trained(y, sample_weight):
        with seeded(0):
            model = build_network(ARCHITECTURE)
        some = dataclasses.replace(data, y=y, sample_weight=sample_weight, X_val=None, y_val=None)
        train_stage(model, stage, some)
        return model.get_layer("probabilities").get_weights()[0]

    mislabelled, without = np.where(wrong, 1 - data.y, data.y), np.where(wrong, 0.0, 1.0)
    expected = trained(data.y, without)
    assert_array_equal(trained(mislabelled, without), expected)
    assert (trained(mislabelled, np.ones(len(wrong))) != expected).any()


def test_global_seeds_are_put_back():
    python_state, numpy_state = random.getstate(), np.random.get_state()[1].copy()
    with seeded(3):
        first = random.random(), np.random.random()
    assert random.getstate() == python_state
    assert_array_equal(np.random.get_state()[1], numpy_state)
    with seeded(3):
        assert (random.random(), np.random.random()) == first


def test_a_stage_says_what_it_does(data):
    said = finetune_stage(**FINETUNE).describe(data)
    assert "finetune" in said
    assert "unfrozen in the last 6 layers" in said
    assert "36 images to train on, 12 to validate on" in said
    assert "backbone frozen, at most" in head_stage(**HEAD).describe(without_validation(data))


def test_a_stage_2_that_only_harms_gives_back_what_stage_1_reached(model, data, monkeypatch):
    run_stage, after_stage_1 = StagedFit._run_stage, []

    def ruin_in_stage_2(fit, stage, task):
        if stage.name == "head":
            history = run_stage(fit, stage, task)
            after_stage_1.extend(model.get_weights())
            return history
        model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
        return {"val_accuracy": [-1.0], "best_epoch": 0}

    monkeypatch.setattr(StagedFit, "_run_stage", ruin_in_stage_2)
    stages = [head_stage(**HEAD), finetune_stage(**FINETUNE)]
    histories = StagedFit(model, stages, data, batch_size=8, seed=0).run()
    assert histories["finetune"]["best_epoch"] == -1
    for found, expected in zip(model.get_weights(), after_stage_1, strict=True):
        assert_array_equal(found, expected)


def test_training_that_diverges_is_an_error(model, data):
    stage = head_stage(**{**HEAD, "learning_rate": 1e30, "clipnorm": None})
    with pytest.raises(ValueError, match=r"diverged in stage 'head'.*learning rate"):
        train_stage(model, stage, data)
