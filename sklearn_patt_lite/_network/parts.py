"""Parts of a built network, found by layer name."""

import math

import keras
import numpy as np
from keras import ops

from sklearn_patt_lite._network.graph import crop_matrices
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._process import (
    FIT_LOCK,
    keras_settings,
    on_tensorflow,
    seeded,
)


def backbone_of(network):
    """Return the truncated MobileNetV1, a nested model of the network."""
    return network.get_layer(BACKBONE)


def backbone_after(network, layer):
    """Return the backbone's layers after one of them, and the shape of its output map."""
    layers = backbone_of(network).layers
    last = backbone_of(network).get_layer(layer)
    return layers[layers.index(last) + 1 :], tuple(last.output.shape[1:])


def image_to_backbone(network):
    """Make a model of the layers before the backbone: from images to the backbone's input."""
    return keras.Model(network.input, network.get_layer("scale").output)


def head_layers(network):
    """Return the layers after the backbone."""
    return network.layers[network.layers.index(backbone_of(network)) + 1 :]


def head_of(network, until=None):
    """Make a model of the layers after the backbone; `until` ends it before a layer."""
    end = network.output if until is None else network.get_layer(until).input
    return keras.Model(head_layers(network)[0].input, end)


@keras_settings()
def with_crops(network):
    """Make a network of the same layers that averages over an image and its crops."""
    images = resized = network.input
    size = backbone_of(network).input.shape[1]
    if images.shape[1:3] != (size, size):
        resized = network.get_layer("resize").output
    crops = [
        ops.einsum("ih,nhwc,jw->nijc", rows, images, columns)
        for rows, columns in crop_matrices(images.shape[1:3], size)
    ]
    classify = keras.Model(resized, network.output)
    probabilities = ops.stack([classify(view) for view in (resized, *crops)])
    return keras.Model(images, ops.mean(probabilities, axis=0))


def set_trainable(network, unfreeze_layers, *, normalization=False):
    """Let the head train, and the given number of the backbone's last layers.

    None unfreezes all layers, BatchNormalization included. With a number, BatchNormalization trains
    only if `normalization`, and otherwise stays in inference mode. A number above the number of
    layers means all.
    """
    backbone = backbone_of(network)
    backbone.trainable = True
    if unfreeze_layers is None:
        return
    first = max(0, len(backbone.layers) - unfreeze_layers)
    for i, layer in enumerate(backbone.layers):
        is_frozen = isinstance(layer, keras.layers.BatchNormalization) and not normalization
        layer.trainable = i >= first and not is_frozen


def set_dropout(network, *, patches, tokens, attention):
    """Set the dropout rates of the patch map's channels, the tokens and the attention's output."""
    network.get_layer("patch_dropout").rate = patches
    network.get_layer("token_dropout").rate = tokens
    network.get_layer("attention_dropout").rate = attention


def frozen_until(network):
    """Return the backbone's last activation before the first layer that trains, or None."""
    last = None
    for layer in backbone_of(network).layers:
        if layer.trainable_weights:
            break
        if isinstance(layer, keras.layers.ReLU):
            last = layer.name
    return last


def is_small(network, layer, factor=1):
    """Return whether a backbone layer's map holds at most `factor` times an image's values.

    Larger features cost more to keep than to recompute.
    """
    if layer is None:
        return False
    backbone = backbone_of(network)
    shape = backbone.get_layer(layer).output.shape[1:]
    return math.prod(shape) <= factor * math.prod(backbone.input.shape[1:])


def new_network(architecture, policy="float32"):
    """Build a network whose weights will be replaced; see `policy_of` for its policy."""
    # Any seed: the weights are replaced.
    with keras_settings(policy), FIT_LOCK, seeded(0):
        return build_network(architecture)


def rebuild_network(architecture, weights, policy):
    """Rebuild a network from its weights; see `named_weights`."""
    network = new_network(architecture, policy)
    for variable in network.weights:
        variable.assign(weights[variable.path])
    return network


def named_weights(network):
    """Return a network's weights as ndarrays, by variable path: "conv1/kernel"."""
    return {variable.path: np.asarray(to_numpy(variable)) for variable in network.weights}


def policy_of(network):
    """Return the name of the Keras dtype policy that a network was built with."""
    return backbone_of(network).dtype_policy.name


def to_numpy(variable):
    """Copy a variable's value to an ndarray.

    With Keras' `convert_to_numpy`, NumPy 2 warns that the `__array__` method of TensorFlow's
    variables has no `copy` argument.
    """
    return variable.numpy() if on_tensorflow() else ops.convert_to_numpy(variable)
