"""The library's network with the weights that `whole_fer2013.py` trained."""

import contextlib
import functools
import json
from unittest.mock import patch

import numpy as np
from _variants import attend_first, overlapping_patches
from keras import layers

from sklearn_patt_lite._network import patt_lite
from sklearn_patt_lite._network.architecture import Architecture


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
        patch_size=form["patch_size"],
        n_filters=form["n_filters"],
        hidden_units=form["hidden_units"],
        augment=False,
    )
    with _changed(form):
        network = patt_lite.build_network(architecture)
    _assign(network, arrays)
    return network


@contextlib.contextmanager
def _changed(form):
    """Let the library build variants that it does not offer."""
    with contextlib.ExitStack() as stack:
        if form["patch_size"] != form["patch_stride"]:
            extract = functools.partial(
                overlapping_patches,
                stride=form["patch_stride"],
                convolution=layers.SeparableConv2D,  # Keras' own, so that the network can be loaded
            )
            stack.enter_context(patch.object(patt_lite, "_separable_patches", extract))
        if form["attention"] == "tokens":
            stack.enter_context(patch.object(patt_lite, "_classify", attend_first))
        yield


def _assign(network, arrays):
    """Assign each weight its array, and check that no array is left."""
    remaining = set(arrays)
    for layer in [*network.layers, *network.get_layer(patt_lite.BACKBONE).layers]:
        for weight in layer.weights:
            name = f"{layer.name}/{weight.name}"
            if name in remaining:
                weight.assign(arrays[name])
                remaining.remove(name)
    if remaining:
        raise ValueError(f"The network has no place for {', '.join(sorted(remaining))}.")
