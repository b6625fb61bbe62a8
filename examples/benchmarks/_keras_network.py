"""The library's network with the weights that `whole_fer2013.py` trained."""

import contextlib
import json
import math
from unittest.mock import patch

import numpy as np
from keras import layers

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import BACKBONE, _attend, _hidden, build_network

_NETWORK = "sklearn_patt_lite._network.patt_lite"


def build(path):
    """Build the library's network, with weights that PyTorch trained.

    Parameters
    ----------
    path : str or path
        An .npz of `whole_fer2013.py`: arrays by Keras' names, and the network's form.

    Returns
    -------
    keras.Model
        As `build_network` returns it, for images of 48×48×1. Saved with `save("faces.keras")`, it
        can be the start of `PAttLiteClassifier(backbone_weights="faces.keras")`. If strides differ
        from the kernel size, or attention comes before the dense layer, this part is not the
        library's.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    form = json.loads(str(arrays.pop("form")))
    architecture = Architecture(
        n_classes=form["n_classes"],
        image_shape=(48, 48, 1),
        alpha=arrays["conv1/kernel"].shape[-1] / 32,
        input_size=form["input_size"],
        patch_size=form["patch_stride"],
        n_filters=form["n_filters"],
        hidden_units=form["hidden_units"],
        augment=False,
    )
    with _changed(form):
        network = build_network(architecture)
    _assign(network, arrays)
    return network


@contextlib.contextmanager
def _changed(form):
    """Let the library build variants that it does not offer."""
    with contextlib.ExitStack() as stack:
        if form["patch_size"] != form["patch_stride"]:

            def extract(x, architecture):
                return _overlapping_patches(x, architecture, form["patch_size"])

            stack.enter_context(patch(f"{_NETWORK}._separable_patches", extract))
        if form["attention"] == "tokens":
            stack.enter_context(patch(f"{_NETWORK}._classify", _attend_first))
        yield


def _overlapping_patches(x, architecture, kernel):
    """Make patches whose first kernel is larger than its stride: 7×7 → 4×4 → 2×2."""
    depth = architecture.n_filters
    relu = {"padding": "same", "activation": "relu"}
    x = layers.SeparableConv2D(depth, kernel, architecture.patch_size, name="patch_conv_1", **relu)(
        x
    )
    half = math.ceil(x.shape[1] / 2)
    x = layers.SeparableConv2D(depth, half, half, name="patch_conv_2", **relu)(x)
    return layers.Conv2D(depth, 1, name="patch_pointwise", **relu)(x)


def _attend_first(x, architecture):
    """Attend over tokens of 256 dimensions, take their mean, then apply the dense layer."""
    x = layers.Reshape((-1, x.shape[-1]), name="tokens")(x)
    x = _attend(x, "patch_attention")
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    x = layers.Dropout(0.5, name="token_dropout")(x)
    x = _hidden(x, architecture)
    x = layers.Dropout(0.5, name="attention_dropout")(x)
    return layers.Dense(architecture.n_classes, activation="softmax", name="probabilities")(x)


def _assign(network, arrays):
    """Assign each weight its array, and check that no array is left."""
    remaining = set(arrays)
    for layer in [*network.layers, *network.get_layer(BACKBONE).layers]:
        for weight in layer.weights:
            name = f"{layer.name}/{weight.name}"
            if name in remaining:
                weight.assign(arrays[name])
                remaining.remove(name)
    if remaining:
        raise ValueError(f"The network has no place for {', '.join(sorted(remaining))}.")
