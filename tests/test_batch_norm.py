"""A folded network is the network, a little quicker."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.batch_norm import (
    FoldedConvolution,
    FusedNormalization,
    fold_for_training,
)
from sklearn_patt_lite._network.parts import set_trainable, to_numpy
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.stages import end_to_end_stage, finetune_stage, prepare, set_stage


@pytest.fixture
def network():
    """With statistics that come from faces."""
    architecture = Architecture(
        n_classes=3,
        image_shape=(32, 32, 3),
        alpha=0.25,
        input_size=32,
        output_layer="conv_dw_4_relu",
        patch_size=2,
        n_filters=8,
        augment=False,
    )
    with seeded(0):
        network = build_network(architecture)
    load_weights(network, "drawn", architecture)
    return network


@pytest.fixture(scope="module")
def images():
    coarse = np.random.default_rng(1).uniform(0, 255, (12, 4, 4, 3)).astype("float32")
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def folded_convolutions(network):
    return [layer for layer in network.layers if isinstance(layer, FoldedConvolution)]


@pytest.mark.parametrize("n_layers", [0, 4, 1000])
def test_it_says_the_same_of_the_same_weights(network, images, n_layers):
    set_trainable(network, n_layers)
    folded = fold_for_training(network)
    assert len(folded_convolutions(folded)) == 8  # conv1; dw and pw of 3 blocks; dw of the fourth
    expected = network.predict(images, verbose=0)
    assert expected.std(axis=0).max() > 1e-3
    assert_allclose(folded.predict(images, verbose=0), expected, atol=1e-6)
    assert {id(v) for v in folded.weights} == {id(v) for v in network.weights}
    trained = {id(v) for v in network.trainable_weights}
    assert {id(v) for v in folded.trainable_weights} == trained


SETTINGS = {"epochs": 1, "learning_rate": 0.1, "patience": None, "clipnorm": None, "dropout": 0.0}


@pytest.mark.parametrize(
    "stage",
    [
        finetune_stage(unfreeze_layers=1000, **SETTINGS),
        end_to_end_stage(**SETTINGS),
    ],
    ids=["frozen normalization", "all trains"],
)
def test_its_gradient_and_its_statistics_are_the_networks(network, images, stage):
    """Of one step, a plain one: after several, a unit at ReLU's edge may part what rounding parts.

    Without dropout, nothing is drawn.
    """
    y = np.arange(len(images)) % 3
    set_stage(network, stage)
    before = network.get_weights()
    moved = []
    for model in (fold_for_training(network), network):
        network.set_weights(before)
        model.compile(keras.optimizers.SGD(1.0), loss="sparse_categorical_crossentropy")
        model.train_on_batch(images, y)
        moved.append(network.get_weights())
    for old, mine, theirs in zip(before, *moved, strict=True):
        step = np.linalg.norm(theirs - old)
        assert np.linalg.norm(mine - theirs) <= 1e-3 * step + 1e-6 * np.linalg.norm(old) + 1e-6


def test_normalization_that_trains_is_fused(network, images):
    network.get_layer(BACKBONE).trainable = True
    fused = fold_for_training(network)
    assert not folded_convolutions(fused)
    assert sum(isinstance(layer, FusedNormalization) for layer in fused.layers) == 8
    assert {id(v) for v in fused.weights} == {id(v) for v in network.weights}
    assert {id(v) for v in fused.trainable_weights} == {id(v) for v in network.trainable_weights}
    expected = network.predict(images, verbose=0)
    assert_allclose(fused.predict(images, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("n", [1, 5])
def test_fused_normalization_is_keras_normalization(n, policy):
    keras.utils.set_random_seed(0)
    x = ops.cast(keras.random.normal((n, 4, 3, 6), mean=2.0, stddev=3.0), policy.split("_")[-1])
    plain = keras.layers.BatchNormalization(
        momentum=0.7, gamma_initializer="normal", beta_initializer="normal", dtype=policy
    )
    plain.build(x.shape)
    copy = keras.layers.BatchNormalization.from_config(plain.get_config())
    copy.build(x.shape)
    copy.set_weights(plain.get_weights())
    fused = FusedNormalization(copy)
    for _ in range(2):
        expected, found = plain(x, training=True), fused(x, training=True)
        assert found.dtype == expected.dtype
        assert_allclose(ops.cast(found, "float32"), ops.cast(expected, "float32"), atol=1e-4)
    for mine, theirs in zip(copy.get_weights(), plain.get_weights(), strict=True):
        assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_frozen_statistics_stay(network, images):
    stage = finetune_stage(
        epochs=1, learning_rate=0.01, patience=None, clipnorm=3.0, dropout=0.2, unfreeze_layers=1000
    )
    backbone = network.get_layer(BACKBONE)
    names = [v.path for v in backbone.variables if "bn" in v.path]
    before = {v.path: to_numpy(v) for v in backbone.variables}
    y = np.arange(len(images)) % 3
    prepare(network, stage).fit(images, y, verbose=0)
    assert len(names) == 8 * 4
    for variable in backbone.variables:
        if variable.path in names:
            assert_array_equal(to_numpy(variable), before[variable.path])
        else:
            assert (to_numpy(variable) != before[variable.path]).any()
