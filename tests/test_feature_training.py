"""Training on features does what Keras does on images."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._features.memory import FeatureMemory
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.parts import to_numpy
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import LRUCache, seeded
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.head_trainer import _TRAINERS, HeadTrainer
from sklearn_patt_lite._training.on_features import FrozenFeatures
from sklearn_patt_lite._training.on_images import train_on_arrays
from sklearn_patt_lite._training.stages import (
    Trainer,
    epoch_order,
    finetune_stage,
    head_stage,
    prepare,
)

SIZE = 32
ARCHITECTURE = Architecture(
    n_classes=2,
    image_shape=(SIZE, SIZE, 1),
    alpha=0.25,
    input_size=SIZE,
    output_layer="conv_dw_4_relu",
    patch_size=2,
    n_filters=8,
    hidden_units=8,
    augment=False,
)
HEAD = {"epochs": 3, "learning_rate": 1e-3, "patience": None, "clipnorm": 3.0, "dropout": 0.0}
FINETUNE = {**HEAD, "learning_rate": 1e-4, "unfreeze_layers": 4}
STAGES = [head_stage(**HEAD), finetune_stage(**FINETUNE)]
BATCH = 8


@pytest.fixture(scope="module")
def data():
    """Faces of a kind: bright above or below; the last batch is not full."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.uniform(0, 128, (40, 4, 4, 1)).repeat(8, axis=1).repeat(8, axis=2)
    X[y == 0, :16] += 100
    X[y == 1, 16:] += 100
    X = X.astype("float32")
    return TrainingData(X[:29], y[:29], np.linspace(0.5, 1.5, 29), X[29:], y[29:])


def build(architecture=ARCHITECTURE):
    with seeded(0):
        network = build_network(architecture)
    load_weights(network, "drawn", architecture)
    return network


def refuse(*args, **kwargs):
    raise AssertionError("no stage should be trained on images")


def train(
    data,
    stages=STAGES,
    network=None,
    *,
    architecture=ARCHITECTURE,
    memory=None,
    augment=False,
    open_trainer=refuse,
):
    network = network or build(architecture)
    features = FrozenFeatures(network, architecture, stages, data, memory, augment=augment)
    fit = StagedFit(
        network,
        stages,
        data,
        batch_size=BATCH,
        seed=0,
        features=features,
        open_trainer=open_trainer,
    )
    return network, fit.run(), features


@contextlib.contextmanager
def by_hand(network, stage, data, *, batch_size, seed):
    """The plain loop, over the same order of images."""
    network = prepare(network, stage)

    def run_epoch(epoch, on_step):
        order, totals = epoch_order(seed, epoch, len(data.y)), np.zeros(2)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            network.reset_metrics()
            scores = network.train_on_batch(data.X[rows], data.y[rows], data.sample_weight[rows])
            totals += len(rows) * np.array(scores)  # of this batch alone
        scores = [*totals / len(order), *network.evaluate(*data.validation, verbose=0)]
        return dict(zip(("loss", "accuracy", "val_loss", "val_accuracy"), scores, strict=True))

    yield Trainer(network, run_epoch)


def plain_optimizer(stage):
    return keras.optimizers.SGD(stage.learning_rate)


@pytest.mark.parametrize(
    ("many", "normalization"),
    [(0, False), (10**9, False), (10**9, True)],
    ids=["compiled", "plain", "normalization trains"],
)
def test_it_trains_as_keras_does(many, normalization, data, monkeypatch):
    """Chunks of two batches, a chunk that is not full, a last batch that is not full."""
    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer._MANY_STEPS", many)
    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer._CHUNK", 2 * BATCH)
    monkeypatch.setattr(
        "sklearn_patt_lite._training.fit.stage_callbacks", lambda *args, **kwargs: []
    )
    # Plain steps: Adam makes full ones of gradients that are nothing but rounding.
    monkeypatch.setattr("sklearn_patt_lite._training.stages.optimizer", plain_optimizer)
    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer.optimizer", plain_optimizer)
    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer._TRAINERS", LRUCache(2))
    stages = [
        dataclasses.replace(stage, learning_rate=100 * stage.learning_rate) for stage in STAGES
    ]
    stages[1] = dataclasses.replace(stages[1], normalization=normalization)
    expected = build()
    histories = StagedFit(
        expected, stages, data, batch_size=BATCH, seed=0, open_trainer=by_hand
    ).run()
    network, found, _ = train(data, stages)
    assert abs(histories["head"]["loss"][-1] - histories["head"]["loss"][0]) > 0.01
    for name, history in histories.items():
        for key in ("loss", "val_loss"):
            assert_allclose(found[name][key], history[key], rtol=2e-3)
        for key in ("accuracy", "val_accuracy"):
            assert_allclose(found[name][key], history[key], atol=0.1)
    probabilities = expected.predict(data.X, verbose=0)
    assert probabilities.std(axis=0).max() > 0.005
    assert_allclose(network.predict(data.X, verbose=0), probabilities, atol=2e-3)


def test_what_is_frozen_stays_and_what_trains_moves(data):
    network = build()
    before = {v.path: to_numpy(v) for v in network.variables}
    # Without validation, which might give back the weights of before.
    train(dataclasses.replace(data, X_val=None, y_val=None), STAGES, network)
    moved = {v.path for v in network.weights if (to_numpy(v) != before[v.path]).any()}
    backbone = {v.path for v in network.get_layer(BACKBONE).weights}
    trained = {v.path for v in network.trainable_variables}
    assert moved & backbone == trained & backbone
    assert len(trained & backbone) == 1  # conv_dw_4; stage 2's last 4 layers
    assert {v.path for v in network.weights} - backbone <= moved


@pytest.mark.parametrize("augment", [False, True])
def test_it_learns(data, augment):
    stages = [head_stage(**{**HEAD, "epochs": 10, "learning_rate": 0.01})]
    _, history, _ = train(data, stages, augment=augment)
    assert history["head"]["loss"][-1] < history["head"]["loss"][0]


def test_a_fit_knows_nothing_of_the_one_before(data):
    """Trainers are kept: weights, optimizers and dropout's seeds must not be."""
    stages = [dataclasses.replace(stage, token_dropout=0.3) for stage in STAGES]
    first, first_history, _ = train(data, stages)
    with seeded(1):
        other = build_network(ARCHITECTURE)
    train(data, stages, other)
    again, history, _ = train(data, stages)
    assert history == first_history
    for mine, theirs in zip(again.get_weights(), first.get_weights(), strict=True):
        assert_array_equal(mine, theirs)


def test_dropout_drops(data):
    plain, _, _ = train(data)
    dropped, _, _ = train(data, [dataclasses.replace(STAGES[0], token_dropout=0.5), STAGES[1]])
    assert (
        np.abs(plain.predict(data.X, verbose=0) - dropped.predict(data.X, verbose=0)).max() > 1e-3
    )


def test_networks_of_one_architecture_share_a_trainer(data):
    train(data)
    n_trainers = len(_TRAINERS)
    train(data)
    assert len(_TRAINERS) == n_trainers


def test_many_steps_are_compiled(data, monkeypatch):
    """Few are not: to compile them would take longer than all of them."""
    n_steps = HEAD["epochs"] * 4  # 29 images in batches of 8

    trainers = []

    class Noted(HeadTrainer):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            trainers.append(self)

    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer.HeadTrainer", Noted)
    monkeypatch.setattr("sklearn_patt_lite._training.head_trainer._TRAINERS", LRUCache(1))
    for many in (n_steps, n_steps + 1):
        monkeypatch.setattr("sklearn_patt_lite._training.head_trainer._MANY_STEPS", many)
        train(data, STAGES[:1])
    traced = [trainer._compiled_steps.experimental_get_tracing_count() for trainer in trainers]
    assert traced == [1, 0]


def test_the_best_epochs_weights_are_kept(data):
    stages = [head_stage(**{**HEAD, "epochs": 8, "learning_rate": 0.05, "patience": 3})]
    network, history, _ = train(data, stages)
    loss, accuracy = network.evaluate(*data.validation, verbose=0)
    best = history["head"]["best_epoch"]
    assert accuracy == pytest.approx(history["head"]["val_accuracy"][best])
    assert loss == pytest.approx(history["head"]["val_loss"][best], rel=0.02)


def test_epochs_beyond_the_views_compute_nothing(data):
    stages = [head_stage(**{**HEAD, "epochs": 9})]
    _, _, features = train(data, stages, augment=True)
    n_train, n_val = len(data.y), len(data.y_val)
    assert features.counts["computed"] == 6 * n_train + n_val
    assert features.counts["found"] == 3 * n_train + 8 * n_val
    _, _, features = train(data, stages, augment=False)
    assert features.counts["computed"] == n_train + n_val


def test_stage_2_finds_what_stage_1_passed(data):
    """Its layer lies on the way to that of stage 1."""
    architecture = dataclasses.replace(
        ARCHITECTURE, input_size=64, image_shape=(64, 64, 1), output_layer="conv_dw_7_relu"
    )
    larger = dataclasses.replace(
        data, X=data.X.repeat(2, 1).repeat(2, 2), X_val=data.X_val.repeat(2, 1).repeat(2, 2)
    )
    _, _, features = train(larger, architecture=architecture)
    assert features.counts["computed"] == len(data.y) + len(data.y_val)


def test_a_stage_whose_features_would_not_pay_is_trained_on_images(data):
    stages = [STAGES[0], dataclasses.replace(STAGES[1], unfreeze_layers=1000)]
    trained = []

    def noted(network, stage, *args, **settings):
        trained.append(stage.name)
        return train_on_arrays(network, stage, *args, **settings)

    _, history, features = train(data, stages, open_trainer=noted)
    assert trained == ["finetune"]
    assert list(history) == ["head", "finetune"]
    assert [features.layer(stage) is None for stage in stages] == [False, True]


@pytest.mark.parametrize(
    ("unfreeze_layers", "cut", "kept", "kept_in_memory"),
    [
        (4, "conv_pw_3_relu", False, True),  # 8×8×96 values, of images of 32×32×3
        (13, "conv_dw_2_relu", True, True),  # 8×8×48
        (16, "conv_pw_1_relu", False, False),  # 16×16×48
        (20, "conv_dw_1_relu", False, True),  # 16×16×24
        (1000, None, False, False),
    ],
)
def test_affine_views_go_through_frozen_layers_however_large_their_maps(
    unfreeze_layers, cut, kept, kept_in_memory, data, tmp_path
):
    """With a bank of views, a stage whose features are not worth keeping trains on images."""
    architecture = dataclasses.replace(ARCHITECTURE, alpha=0.75)
    network = build_network(architecture)
    stages = [STAGES[0], dataclasses.replace(STAGES[1], unfreeze_layers=unfreeze_layers)]

    def layers(augment, memory=None):
        features = FrozenFeatures(network, architecture, stages, data, memory, augment=augment)
        return features.layer(stages[1]), features.kept_layer(stages[1])

    assert layers("affine") == (cut, cut if kept else None)
    assert layers("affine", FeatureMemory(tmp_path)) == (cut, cut if kept_in_memory else None)
    assert layers(True) == (cut if kept else None,) * 2
    assert layers(False) == (cut, cut if kept else None)  # of one view, passed anew


def test_what_is_not_kept_passes_the_frozen_layers_in_every_epoch(data):
    architecture = dataclasses.replace(ARCHITECTURE, alpha=0.75)
    network = build_network(architecture)
    stages = [STAGES[0], dataclasses.replace(STAGES[1], unfreeze_layers=16)]
    features = FrozenFeatures(network, architecture, stages, data, augment=False)
    assert features.passes == {stages[0]: 1, stages[1]: stages[1].epochs}
    assert features.kept_layer(stages[1]) is None
