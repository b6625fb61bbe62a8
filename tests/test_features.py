"""Features of frozen layers: the right ones, the same wherever they come from, and kept."""

import errno
import hashlib
import os
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._features.backbone import FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._features.memory import FeatureMemory
from sklearn_patt_lite._features.views import clean
from sklearn_patt_lite._inference.predictor import Predictor
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.parts import (
    frozen_until,
    is_small,
    named_weights,
    set_trainable,
)
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import seeded

SIZE = 64
EARLY, LATE = "conv_pw_6_relu", "conv_dw_9_relu"
N = 6


def architecture_of(**settings):
    settings = {"image_shape": (SIZE, SIZE, 3), "alpha": 0.25, "input_size": SIZE, **settings}
    return Architecture(n_classes=3, patch_size=2, n_filters=8, **settings)


def build(**settings):
    architecture = architecture_of(**settings)
    with seeded(0):
        network = build_network(architecture)
    load_weights(network, "drawn" if architecture.alpha == 0.25 else None, architecture)
    return network


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module")
def frozen(network):
    return freeze(network)


def freeze(network, **settings):
    return FrozenBackbone(architecture_of(**settings), named_weights(network))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture
def memory(tmp_path):
    return FeatureMemory(tmp_path)


@pytest.fixture
def passes(monkeypatch):
    """The activations at which features are computed, once for each row."""
    calls = []
    forward = FrozenBackbone.forward

    def counted(self, name, x, out):
        calls.extend([name] * len(x))
        forward(self, name, x, out)

    monkeypatch.setattr(FrozenBackbone, "forward", counted)
    return calls


def bank_of(frozen, images, memory=None, **settings):
    return FeatureBank(frozen, images, FeatureCache(memory, **settings))


def read(bank, layer, *, flip=False, worth_keeping=(EARLY, LATE)):
    views = clean(len(bank), flip=flip)
    return bank.read(layer, np.arange(len(bank)), views, worth_keeping)


# What is computed


def test_clean_features_are_the_backbones(network, frozen, images):
    backbone = network.get_layer(BACKBONE)
    found = np.asarray(decode(read(bank_of(frozen, images), LATE)))
    expected = backbone.predict(images / 127.5 - 1, verbose=0)
    assert expected.std(axis=0).mean() > 0.1
    assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("shape", [(48, 40, 1), (96, 96, 3)], ids=str)
def test_images_of_other_shapes_are_resized_as_the_network_does(shape, tmp_path):
    network = build(image_shape=shape)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    predict = Predictor(
        architecture_of(image_shape=shape), named_weights(network), frozen_until=LATE
    )
    found = predict(images, FeatureMemory(tmp_path))
    assert_allclose(found, network.predict(images, verbose=0), atol=1e-3)


@pytest.mark.parametrize(
    ("alpha", "unfreeze_layers", "expected", "small"),
    [
        (1.0, 0, LATE, True),
        (1.0, 2, LATE, True),  # neither an activation nor its normalization trains
        (1.0, 3, "conv_pw_8_relu", True),
        (1.0, 4, "conv_pw_8_relu", True),
        (1.0, 16, EARLY, True),
        (1.0, 18, "conv_dw_6_relu", True),
        (1.0, 40, "conv_dw_3_relu", False),  # 56×56×128 values: more than 224×224×3
        (1.0, 1000, None, False),
        (0.25, 40, "conv_dw_3_relu", True),  # 56×56×32 values
    ],
)
def test_where_the_frozen_part_ends(alpha, unfreeze_layers, expected, small, paper_networks):
    network = paper_networks[alpha]
    set_trainable(network, unfreeze_layers)
    assert frozen_until(network) == expected
    assert is_small(network, expected) == small


@pytest.fixture(scope="module")
def paper_networks():
    return {
        alpha: build_network(Architecture(3, (224, 224, 3), alpha=alpha)) for alpha in (0.25, 1.0)
    }


# The same, wherever they come from


def test_features_do_not_depend_on_what_is_kept(frozen, images, memory):
    expected = read(bank_of(frozen, images), LATE, worth_keeping=())
    kept = bank_of(frozen, images, memory)
    read(kept, EARLY)
    assert_array_equal(read(kept, LATE), expected)
    assert_array_equal(read(bank_of(frozen, images, memory), LATE), expected)
    few = bank_of(frozen, images[::2], memory)
    assert_array_equal(read(few, LATE), expected[::2])


def test_the_way_is_shared(frozen, images, memory, passes):
    """Features of an earlier layer are kept on the way to a later one, and found there."""
    read(bank_of(frozen, images, memory), LATE)
    assert set(passes) > {EARLY, LATE}
    passes.clear()
    read(bank_of(frozen, images, memory), EARLY)
    assert passes == []
    read(bank_of(frozen, images, memory), "conv_dw_7_relu")
    assert passes == ["conv_dw_7_relu"] * N


def test_only_what_is_worth_it_is_kept(frozen, images, passes):
    bank = bank_of(frozen, images)
    read(bank, LATE, worth_keeping={EARLY})
    passes.clear()
    read(bank, EARLY)
    assert passes == []
    read(bank, LATE)
    assert LATE in passes


def test_what_exceeds_memory_goes_to_a_temporary_file(
    frozen, images, passes, monkeypatch, tmp_path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    row = read(bank_of(frozen, images), LATE)[0].nbytes
    bank = bank_of(frozen, images, ram=2 * row)
    expected = read(bank, LATE, worth_keeping={LATE})
    passes.clear()
    assert_array_equal(read(bank, LATE), expected)
    assert passes == []
    assert len(bank._cache._ram) == 2
    assert list(tmp_path.iterdir())
    del bank
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_have_left_is_removed(frozen, images, monkeypatch, tmp_path):
    """Only features, and only after a week: others may be in use, or somebody's results."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = ("old", "new", "with_notes")
    old, new, with_notes = (tmp_path / f"sklearn_patt_lite_fit_{name}" for name in names)
    for folder in (old, new, with_notes):
        key = hashlib.blake2b(b"", digest_size=16).digest()
        FeatureMemory(folder).rows((3,)).write([key], np.zeros((1, 3), np.uint16))
    (with_notes / "notes.txt").write_text("mine")
    for folder in (old, with_notes):
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (0, time.time() - 8 * 24 * 3600))
    read(bank_of(frozen, images, ram=0), LATE, worth_keeping={LATE})
    assert not old.exists()
    assert FeatureMemory(new).nbytes > 0
    assert [path.name for path in with_notes.iterdir()] == ["notes.txt"]


def test_without_a_place_for_temporary_files_features_are_computed_again(
    frozen, images, passes, monkeypatch
):
    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    bank = bank_of(frozen, images, ram=0)
    with pytest.warns(UserWarning, match="computed again") as caught:
        expected = read(bank, LATE, worth_keeping={EARLY, LATE})
    (said,) = (str(each.message) for each in caught if "computed again" in str(each.message))
    assert "No space left on device" in said
    passes.clear()
    assert_array_equal(read(bank, LATE), expected)
    assert LATE in passes


def test_rows_are_counted(frozen, images):
    bank = bank_of(frozen, images)
    rows = np.array([0, 1, 2])
    for _ in range(2):
        bank.read(LATE, rows, clean(3), {LATE})
    read(bank, LATE)
    assert (bank.n_computed, bank.n_found) == (N, 6)


def test_other_images_views_weights_and_sizes_have_other_features(frozen, images, memory, passes):
    read(bank_of(frozen, images, memory), LATE)
    passes.clear()
    read(bank_of(frozen, images, memory), LATE, flip=True)
    assert passes.count(LATE) == N
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    read(bank_of(frozen, changed, memory), LATE)
    assert passes.count(LATE) == N + 1
    other = build()
    layer = other.get_layer(BACKBONE).get_layer("conv_dw_2")
    layer.set_weights([1.01 * array for array in layer.get_weights()])
    read(bank_of(freeze(other), images, memory), LATE)
    assert passes.count(LATE) == 2 * N + 1
    # The same arrays of pixels, as images of another size.
    shape = SIZE // 2, SIZE, 3
    halves = images.reshape(2 * N, *shape)
    other = freeze(build(image_shape=shape), image_shape=shape)
    read(bank_of(other, halves, memory), LATE)
    assert passes.count(LATE) == 4 * N + 1


def test_weights_behind_the_layer_do_not_matter(frozen, images, memory, passes):
    read(bank_of(frozen, images, memory), EARLY, worth_keeping={EARLY})
    passes.clear()
    other = build()
    layer = other.get_layer(BACKBONE).get_layer("conv_dw_8")
    layer.set_weights([1.01 * array for array in layer.get_weights()])
    read(bank_of(freeze(other), images, memory), EARLY)
    assert passes == []
