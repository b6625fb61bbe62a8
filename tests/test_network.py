"""The architecture: its shapes, sizes and switches, on any Keras backend."""

import dataclasses

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from random_networks import spread_logits

from sklearn_patt_lite._network.architecture import (
    Architecture,
    check_architecture,
    count_parameters,
    output_layers,
)
from sklearn_patt_lite._network.parts import to_numpy
from sklearn_patt_lite._network.patt_lite import (
    BACKBONE,
    _attention_patches,
    _conv_patches,
    _separable_patches,
    build_network,
    draw_weights,
)
from sklearn_patt_lite._process import LRUCache

PAPER = Architecture(n_classes=7, image_shape=(224, 224, 3))
TINY = Architecture(
    n_classes=3,
    image_shape=(32, 32, 3),
    alpha=0.25,
    input_size=32,
    output_layer="conv_dw_4_relu",
    patch_size=1,
    n_filters=16,
    hidden_units=16,
)
# Without tokens, there is nothing for patches to do: cells stand in for them.
VARIANTS = [
    {"patch_extraction": patches, "attention": attention, "hidden_units": hidden}
    for patches in ("separable", "conv", "conv_pointwise", "attention", None)
    for attention in ("patches", "batch", None)
    for hidden in (16, None)
]


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(0)


@pytest.fixture
def images():
    coarse = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3)).astype("float32")
    return coarse.repeat(16, axis=1).repeat(16, axis=2)  # (12, 32, 32, 3)


def liven(model, images):
    """Make the predictions of a random network vary."""
    for _ in range(30):  # BatchNormalization learns what it sees
        model(images, training=True)
    spread_logits(model, images)


def layer_names(architecture):
    return {layer.name for layer in build_network(architecture).layers}


def test_parameters_are_those_of_the_paper():
    network = build_network(PAPER)
    assert network.get_layer(BACKBONE).count_params() == 821_952
    assert len(network.get_layer(BACKBONE).layers) == 58
    assert network.get_layer(BACKBONE).output.shape[1:] == (14, 14, 512)
    # The published 1,102,664 include the one scalar of its attention over the batch.
    assert network.count_params() == 1_102_663
    published = dataclasses.replace(PAPER, attention="batch")
    assert build_network(published).count_params() == 1_102_664


def test_parameters_of_the_plain_mobilenet():
    plain = dataclasses.replace(
        PAPER, output_layer=None, patch_extraction=None, attention=None, hidden_units=None
    )
    assert build_network(plain).count_params() == 3_236_039


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_gives_probabilities(variant, images):
    architecture = tiny(**variant, alpha=0.37, n_filters=40)
    network = build_network(architecture)
    probabilities = to_numpy(network(images))
    assert probabilities.shape == (12, 3)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    # They are counted without a network, too.
    assert count_parameters(architecture) == network.count_params()


@pytest.fixture(scope="module", params=[0.25, 0.37])
def plain(request):
    """The whole of MobileNetV1, which is nothing but a backbone."""
    return Architecture(
        n_classes=None,
        image_shape=(224, 224, 3),
        alpha=request.param,
        output_layer=None,
        patch_extraction=None,
        attention=None,
        hidden_units=None,
    )


def test_parameters_of_the_backbone_are_counted_up_to_each_output_layer(plain):
    backbone = build_network(plain).get_layer(BACKBONE)
    n_before, counts = 0, {}
    for layer in backbone.layers:
        n_before += layer.count_params()
        counts[layer.name] = n_before
    for name in output_layers():
        channels = backbone.get_layer(name).output.shape[-1]
        truncated = dataclasses.replace(plain, n_classes=2, output_layer=name)
        assert count_parameters(truncated) == counts[name] + 2 * channels + 2


def test_output_layers_of_table_5_have_14_cells_a_side(plain):
    backbone = build_network(plain).get_layer(BACKBONE)
    for block in range(6, 12):
        assert backbone.get_layer(f"conv_dw_{block}_relu").output.shape[1:3] == (14, 14)


@pytest.mark.parametrize(
    ("patch_size", "side"),
    [(7, 2), (3, 5), (5, 3), (4, 4), (8, 2)],
    ids=["NP7", "OP3", "OP5", "P4", "P8"],
)
def test_patches_of_table_5(patch_size, side):
    architecture = dataclasses.replace(PAPER, patch_size=patch_size)
    patches = _conv_patches(keras.Input((14, 14, 512)), architecture)
    assert patches.shape[1:] == (side, side, 256)


@pytest.mark.parametrize("patch_size", [1, 2, 3, 4, 5, 7, 8])
def test_separable_patches_are_2_by_2_at_every_size(patch_size):
    for cells in range(patch_size + 1, 15):
        maps = keras.Input((cells, cells, 4))
        patches = _separable_patches(maps, tiny(patch_size=patch_size))
        assert patches.shape[1:3] == (2, 2)


def test_a_switch_changes_one_thing_only():
    default = layer_names(TINY)
    assert default - layer_names(tiny(attention=None)) == {"query", "patch_attention"}
    assert default - layer_names(tiny(hidden_units=None)) == {"hidden", "hidden_bn"}
    assert default - layer_names(tiny(augment=False)) == {"flip", "contrast"}
    separable = {"patch_conv_1", "patch_conv_2", "patch_pointwise"}
    assert default - layer_names(tiny(patch_extraction=None)) == separable
    conv = layer_names(tiny(patch_extraction="conv"))
    assert default ^ conv == separable | {"patch_conv"}
    with_pointwise = layer_names(tiny(patch_extraction="conv_pointwise"))
    assert with_pointwise - conv == {"patch_pointwise"}


def test_attention_is_the_papers_formula():
    network = build_network(TINY)
    attention = network.get_layer("patch_attention")
    tokens = np.random.default_rng(0).normal(size=(2, 4, 16)).astype("float32")
    query = network.get_layer("query")(tokens)
    scores = np.exp(tokens @ tokens.transpose(0, 2, 1) / np.sqrt(tokens.shape[-1]))
    expected = scores / scores.sum(axis=-1, keepdims=True) @ tokens
    result = keras.ops.convert_to_numpy(attention([query, tokens]))
    assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "patch"), [(5, 2), (7, 4), (8, 4), (3, 5)])
def test_a_gated_patch_is_the_mean_of_its_own_cells(side, patch):
    """Keras' own pooling counted copies of the border on PyTorch, if an odd number was missing."""
    x = keras.Input((side, side, 4))
    patches = keras.Model(x, _attention_patches(x, tiny(patch_size=patch)))
    means = keras.Model(x, patches.get_layer("patch_pointwise").input)
    maps = np.random.default_rng(0).normal(size=(2, side, side, 4)).astype("float32")
    patch = min(patch, side)
    missing = -side % patch
    border = missing // 2, missing - missing // 2
    padded = np.pad(maps, [(0, 0), border, border, (0, 0)], constant_values=np.nan)
    n = len(padded[0]) // patch
    expected = np.nanmean(padded.reshape(2, n, patch, n, patch, 4), axis=(2, 4))
    assert_allclose(means.predict(maps, verbose=0), expected, atol=1e-5)


def test_a_gate_weights_a_whole_patch():
    network = build_network(tiny(patch_extraction="attention"))
    gate = network.get_layer("patch_gate").output
    assert gate.shape[1:] == (*network.get_layer("patch_pointwise").output.shape[1:3], 1)


@pytest.mark.parametrize("patch_extraction", ["separable", "conv", None])
def test_a_prediction_depends_on_its_own_image_only(patch_extraction, images):
    network = build_network(tiny(patch_extraction=patch_extraction))
    liven(network, images)
    together = network.predict(images, verbose=0)
    assert together.std(axis=0).min() > 0.02  # else the test could not fail
    alone = np.concatenate([network.predict(image[None], verbose=0) for image in images])
    assert_allclose(alone, together, atol=1e-5)


def test_attention_across_the_batch_depends_on_the_company(images):
    network = build_network(tiny(attention="batch"))
    liven(network, images)
    together = network.predict(images, verbose=0)
    in_pairs = network.predict(images, batch_size=2, verbose=0)
    assert np.abs(in_pairs - together).max() > 1e-3


def test_grey_images_are_seen_as_rgb(images):
    grey, colour = build_network(tiny(image_shape=(32, 32, 1))), build_network(TINY)
    colour.set_weights(grey.get_weights())
    assert_allclose(
        grey.predict(images[..., :1], verbose=0),
        colour.predict(np.repeat(images[..., :1], 3, axis=-1), verbose=0),
        rtol=1e-5,
    )


def test_grey_images_are_augmented_as_rgb(images):
    seen = []
    for channels in (1, 3):
        network = build_network(tiny(image_shape=(32, 32, channels), input_size=48, affine=True))
        draw_weights(network, 0)  # seeds of the augmentation, too
        scaled = keras.Model(network.input, network.get_layer("scale").output)
        grey = images[..., :1]
        seen.append(scaled(grey if channels == 1 else np.repeat(grey, 3, axis=-1), training=True))
    mine, theirs = (keras.ops.convert_to_numpy(each) for each in seen)
    assert mine.shape == theirs.shape == (len(images), 48, 48, 3)
    assert_allclose(mine, theirs, atol=1e-4)


def test_a_shrunk_image_is_antialiased():
    stripes = np.zeros((1, 128, 128, 3), "float32")
    stripes[:, ::4] = 255
    network = build_network(tiny(image_shape=(128, 128, 3)))
    shrunk = keras.ops.convert_to_numpy(network.get_layer("resize")(stripes))
    inner = shrunk[0, 4:-4, 4:-4]
    assert_allclose(inner, 255 / 4, rtol=0.1)


def test_augmentation_is_for_training_only(images):
    network = build_network(TINY)
    for name in ("flip", "contrast"):
        layer = network.get_layer(name)
        assert_allclose(keras.ops.convert_to_numpy(layer(images, training=False)), images)
        augmented = keras.ops.convert_to_numpy(layer(images, training=True))
        assert np.abs(augmented - images).max() > 10
        assert augmented.min() >= 0
        assert augmented.max() <= 255


def test_unknown_output_layer_names_those_there_are():
    with pytest.raises(ValueError, match=r"output_layer='conv_dw_14_relu'.*conv_dw_9_relu.*None"):
        build_network(tiny(output_layer="conv_dw_14_relu"))


def test_every_output_layer_can_be_built():
    whole = keras.applications.MobileNet(
        input_shape=(64, 64, 3), alpha=0.25, include_top=False, weights=None
    )
    activations = {layer.name for layer in whole.layers if layer.name.startswith("conv_")}
    assert set(output_layers()) <= activations


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"patch_size": 4},
        {"output_layer": None},
        {"output_layer": "conv_dw_9_relu", "patch_size": 3, "patch_extraction": "conv"},
        {"output_layer": None, "patch_extraction": None},
    ],
    ids=str,
)
def test_the_smallest_size_is_named_and_works(changes):
    with pytest.raises(ValueError, match="the smallest that works is") as error:
        check_architecture(tiny(input_size=8, **changes))
    smallest = int(str(error.value).rstrip(".").split()[-1])
    network = build_network(tiny(input_size=smallest, **changes))
    assert network.output.shape == (None, 3)
    with pytest.raises(ValueError, match=f"the smallest that works is {smallest}"):
        check_architecture(tiny(input_size=smallest - 1, **changes))


def test_attention_over_a_single_token_is_refused():
    # The softmax of one score is 1: it would be the identity, in disguise.
    single = tiny(patch_extraction="conv", patch_size=8)
    with pytest.raises(ValueError, match="smallest that works"):
        check_architecture(single)
    check_architecture(dataclasses.replace(single, attention=None))


def test_the_network_survives_keras_own_saving(tmp_path, images):
    network = build_network(TINY)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert_array_equal(loaded.predict(images, verbose=0), network.predict(images, verbose=0))


def test_a_copied_backbone_draws_what_the_first_one_drew(monkeypatch):
    """What a cache holds must not show in the weights that a seed gives."""
    monkeypatch.setattr("sklearn_patt_lite._network.patt_lite._BACKBONES", LRUCache(1))
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        network = build_network(TINY)
        names = [layer.name for layer in network.get_layer(BACKBONE).layers[1:]]
        weights.append(network.get_weights())
    assert names[0] == "conv1"
    assert names[-1] == TINY.output_layer
    for first, second in zip(*weights, strict=True):
        assert_array_equal(first, second)
    # They are copies: what trains in one does not in another.
    other = build_network(TINY)
    other.get_layer(BACKBONE).trainable = False
    assert network.get_layer(BACKBONE).trainable
