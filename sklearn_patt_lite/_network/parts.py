"""The parts of a built network, found by the names of its layers."""

import math

import keras
from keras import Model, layers, ops

from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._process import seeded, under_policy


def head_of(network, until=None):
    """Take what is behind the backbone as a model of its own, of the same layers.

    It ends where the layer named `until` begins, or with the network.
    """
    following = network.layers.index(network.get_layer(BACKBONE)) + 1
    end = network.output if until is None else network.get_layer(until).input
    return keras.Model(network.layers[following].input, end)


def to_numpy(variable):
    """Copy a variable's value to an ndarray.

    Keras' `convert_to_numpy` has NumPy ask TensorFlow's variables for a copy in NumPy 2's way,
    which they do not know: NumPy warns of each.
    """
    is_tensorflow = keras.backend.backend() == "tensorflow"
    return variable.numpy() if is_tensorflow else ops.convert_to_numpy(variable)


def set_trainable(model, stage):
    """Let train what trains in a stage."""
    backbone = model.get_layer(BACKBONE)
    if stage.unfreeze_layers is None:
        backbone.trainable = True
    else:
        unfreeze_last(backbone, stage.unfreeze_layers)


def unfreeze_last(backbone, n_layers):
    """Let the last `n_layers` of the backbone train, except its BatchNormalization.

    BatchNormalization stays in inference mode: the batches are too small to re-estimate it.
    More layers than there are means all of them.
    """
    backbone.trainable = True
    first = max(0, len(backbone.layers) - n_layers)
    for i, layer in enumerate(backbone.layers):
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = i >= first and not is_normalization


def frozen_until(network):
    """Find where the frozen part of a network's backbone ends.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with what trains set.

    Returns
    -------
    str or None
        The last activation before the first layer that trains; None if there is none, or if its
        map holds more values than the image: computing such features anew costs less than
        keeping them.
    """
    backbone = network.get_layer(BACKBONE)
    cut = None
    for layer in backbone.layers:
        if layer.trainable_weights:
            break
        if isinstance(layer, keras.layers.ReLU):
            cut = layer
    if cut is None or math.prod(cut.output.shape[1:]) > math.prod(backbone.input.shape[1:]):
        return None
    return cut.name


def rebuild_network(architecture, weights, policy):
    """Build a network anew around weights that it had; see `policy_of` for its policy."""
    with seeded(0), under_policy(policy):  # any seed: the weights are replaced at once
        network = build_network(architecture)
    network.set_weights(weights)
    return network


def policy_of(network):
    """Name the dtype policy of Keras that a network was built under."""
    return network.get_layer(BACKBONE).dtype_policy.name


def _map_layers(network):
    """The layers from image to patches, one after the other, without the gate beside them."""
    backbone = network.get_layer(BACKBONE)
    head = network.layers[network.layers.index(backbone) + 1 :]
    gate = {"patch_gate_hidden", "patch_gate"}
    patches = [layer for layer in head if layer.output.ndim == 4 and layer.name not in gate]
    return [*backbone.layers[1:], *patches]


def maps_of(network):
    """List the layers at which a network can be cut in two, and that hold a map.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.

    Returns
    -------
    list of str
        Names of layers of the backbone and of the patch extraction whose output has the shape
        (n, rows, columns, channels), and through which everything goes.
    """
    return [layer.name for layer in _map_layers(network)]


def places_of(network, layer):
    """Find where the cells of a map look: the centres of their receptive fields.

    MobileNetV1 pads at the right and below only where it halves a map, so that a cell looks at a
    place right and below of its share of the image: by half a cell behind four of them.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    layer : str
        One of `maps_of`.

    Returns
    -------
    distance : int
        Between neighbouring cells, in pixels of the network's `input_size`.
    first : float
        Place of the first cell, that of the first pixel being 0.
    """
    distance, first = 1, 0.0
    for step in _map_layers(network):
        kernel, stride, padding = _window(step)
        first += distance * ((kernel - 1) / 2 - padding)
        distance *= stride
        if step.name == layer:
            return distance, first
    raise ValueError(f"{layer!r} is no map.")


def _window(layer):
    """Kernel, stride and padding before the first cell, of a layer over a map."""
    if isinstance(layer, layers.ZeroPadding2D):
        return 1, 1, layer.padding[0][0]
    kernel = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1,)))[0]
    stride = getattr(layer, "strides", (1,))[0]
    if getattr(layer, "padding", "valid") == "valid":
        return kernel, stride, 0
    cells, cells_after = layer.input.shape[1], layer.output.shape[1]
    return kernel, stride, max(0, (cells_after - 1) * stride + kernel - cells) // 2


def last_map(network):
    """Name the backbone's last activation, at `output_layer`."""
    return network.get_layer(BACKBONE).layers[-1].name


def cut_at(network, layer):
    """Cut a network in two.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    layer : str
        One of `maps_of`.

    Returns
    -------
    to_map : callable
        From images (n, height, width, channels), values 0 to 255, to the layer's map.
    to_logits : callable
        From the map to what the softmax is taken of: a tensor of shape (n, n_classes), float32.
    """
    backbone, last = network.get_layer(BACKBONE), network.get_layer("probabilities")
    names = [inner.name for inner in backbone.layers]
    if layer not in names:
        start = network.get_layer(layer).output
        way, rest = Model(network.input, start), [Model(start, last.input)]
    else:
        sized = network.get_layer("scale").output
        start = backbone.get_layer(layer).output
        way = Model(network.input, Model(backbone.input, start)(sized))
        rest = [Model(start, backbone.output)] if layer != names[-1] else []
        rest.append(head_of(network, until="probabilities"))

    def to_map(images):
        return way(images, training=False)  # layers that augment do so unless told

    def to_logits(x):
        for part in rest:
            x = part(x, training=False)
        return ops.matmul(ops.cast(x, "float32"), last.kernel) + last.bias

    return to_map, to_logits
