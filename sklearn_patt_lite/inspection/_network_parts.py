"""A fitted network, taken apart to look inside."""

import numpy as np
from keras import Model, backend, layers, ops

from sklearn_patt_lite._network import BACKBONE, head_of

_BATCH = 32  # images a forward pass


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


def in_batches(function, *arrays):
    """Call a function of ndarrays on some rows at a time; an ndarray of float32."""
    starts = range(0, len(arrays[0]), _BATCH)
    parts = [function(*(array[i : i + _BATCH] for array in arrays)) for i in starts]
    return np.concatenate([ops.convert_to_numpy(ops.cast(part, "float32")) for part in parts])


def gradient(function, x):
    """Differentiate the sum of a function's values, on any backend of Keras.

    Parameters
    ----------
    function : callable
        Maps a tensor to another one, by layers of Keras.
    x : tensor
        Where.

    Returns
    -------
    tensor
        Of the shape of `x`.
    """
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(function(x))
        return tape.gradient(total, x)
    if backend.backend() == "jax":
        import jax

        return jax.grad(lambda x: ops.sum(function(x)))(x)
    x = x.detach().requires_grad_()
    ops.sum(function(x)).backward()
    return x.grad
