"""A network as a graph of operations: what is computed for a prediction, its arrays as constants.

It is written from the architecture and the weights alone, without Keras: BatchNormalization of the
backbone is folded into the convolutions before it, dropout and augmentation are left out. Resizing
is linear along each side of an image, so that it is two products with constant matrices: the same
in every runtime, antialiasing included.
"""

import hashlib

import numpy as np

from sklearn_patt_lite._network.architecture import backbone_convolutions

IMAGE, PROBABILITIES = "image", "probabilities"  # names of what goes in, and comes out
_EPSILON = 1e-3  # of BatchNormalization, as Keras has it
#: Between the levels of stored features, which are 16-bit integers over ReLU6's range.
STEP = 6 / (2**16 - 1)


# The parts of a network: they add operations to a graph


def write_prediction(graph, architecture, weights, *, flip_averaging=False):
    """Write a network from images to probabilities; bytes.

    Parameters
    ----------
    graph : LiteRTGraph or OnnxGraph
        A new one.
    architecture : Architecture
        Of the network; its attention is not over a batch.
    weights : dict of str to ndarray
        Its weights, by the paths of its variables.
    flip_averaging : bool, default=False
        Whether to average over an image and its mirror image.
    """
    x = graph.input(IMAGE, architecture.image_shape)
    if flip_averaging:
        x = graph.join_batches(x, graph.flip(x))
    x = _preprocess(graph, x, architecture)
    x = _backbone(graph, x, folded_backbone(architecture, weights))
    x = _head(graph, x, architecture, weights)
    if flip_averaging:
        x = graph.average_halves(x)
    return graph.output(x, PROBABILITIES)


def write_prediction_from_features(graph, architecture, weights, layer):
    """Write what leads from stored features at an activation to probabilities; bytes."""
    steps = folded_backbone(architecture, weights)
    place = [step.activation for step, *_ in steps].index(layer) + 1
    x = graph.input("features", steps[place - 1][0].shape)
    x = _backbone(graph, graph.scale(x, STEP), steps[place:])
    return graph.output(_head(graph, x, architecture, weights), PROBABILITIES)


def write_resizing(graph, architecture):
    """Write what brings images to the backbone's size, 0 to 255; bytes."""
    x = graph.input(IMAGE, architecture.image_shape)
    return graph.output(_resize(graph, x, architecture), "resized")


def write_preprocessing(graph, architecture):
    """Write what brings images to what the backbone takes; bytes."""
    x = graph.input(IMAGE, architecture.image_shape)
    return graph.output(_preprocess(graph, x, architecture), "preprocessed")


def write_convolution(graph, step, shape):
    """Write a step of `folded_backbone` over maps of a shape, without its activation; bytes."""
    x = graph.input("map", shape)
    return graph.output(_convolve(graph, x, *step, activation=None), "convolved")


def write_features(graph, steps, shape, *, encoded):
    """Write some steps of the backbone: to stored features, from others or from images; bytes.

    Parameters
    ----------
    graph : LiteRTGraph or OnnxGraph
        A new one.
    steps : list of tuple
        From `folded_backbone`, or a part of them.
    shape : tuple of int
        Of what goes in: a map, or an image of the backbone's size.
    encoded : bool
        Whether that is stored features, and not an image.
    """
    x = graph.input("map", shape)
    x = graph.scale(x, STEP) if encoded else _to_unit(graph, x)
    # `Engine` truncates to integers: half a step more makes that rounding.
    x = graph.scale(_backbone(graph, x, steps), 1 / STEP, 0.5)
    return graph.output(x, "features")


def _preprocess(graph, x, architecture):
    """Bring images of 0 to 255 to what the backbone takes."""
    return _to_unit(graph, _resize(graph, x, architecture))


def _to_unit(graph, x):
    """Map 0 to 255 to -1 to 1; grey to three channels."""
    x = graph.scale(x, 1 / 127.5, -1)
    return graph.join_channels([x, x, x]) if x.shape[2] == 1 else x


def _resize(graph, x, architecture):
    (height, width), size = x.shape[:2], architecture.input_size
    if (height, width) == (size, size):
        return x
    antialias = max(height, width) > size
    return graph.resize(x, *(resizing_matrix(side, size, antialias) for side in (height, width)))


def _backbone(graph, x, steps):
    for step in steps:
        x = _convolve(graph, x, *step, activation="relu6")
    return x


def _convolve(graph, x, step, kernel, bias, *, activation):
    convolve = graph.convolve_depthwise if step.is_depthwise else graph.convolve
    padding = "same"
    # Where a side is even, "same" pads by one row and column at the end, too.
    if step.pads_end and x.shape[0] % 2:
        x, padding = graph.pad_end(x), "valid"
    name = step.activation
    settings = {"stride": step.stride, "padding": padding, "activation": activation, "name": name}
    return convolve(x, kernel, bias, **settings)


def _head(graph, x, architecture, weights):
    """From the backbone's map to probabilities; see `build_network` for what the layers are."""
    extract = {
        "separable": _separable_patches,
        "conv": _conv_patches,
        "conv_pointwise": _conv_pointwise_patches,
        "attention": _attention_patches,
        None: lambda graph, x, architecture, weights: x,
    }[architecture.patch_extraction]
    x = extract(graph, x, architecture, weights)
    if architecture.patch_extraction is None and architecture.attention is None:
        x = graph.average(x, 1, 2)
    else:
        rows, columns, channels = x.shape
        x = graph.reshape(x, (rows * columns, channels))
    if architecture.hidden_units is not None:
        x = graph.dense(x, weights["hidden/kernel"], weights["hidden/bias"], activation="relu")
        x = graph.scale(x, *_linear(weights, "hidden_bn"))
    if architecture.attention == "patches":
        scores = graph.multiply_matrices(graph.scale(x, x.shape[1] ** -0.5), x, transpose=True)
        x = graph.multiply_matrices(graph.softmax(scores), x)
    if len(x.shape) == 2:
        x = graph.average(x, 1)
    x = graph.dense(x, weights["probabilities/kernel"], weights["probabilities/bias"])
    return graph.softmax(x)


def _separable_patches(graph, x, architecture, weights):
    x = _separable(graph, x, weights, "patch_conv_1")
    x = _separable(graph, x, weights, "patch_conv_2")
    return _pointwise(graph, x, weights, "patch_pointwise")


def _conv_patches(graph, x, architecture, weights):
    return _pointwise(graph, x, weights, "patch_conv", stride=architecture.patch_size)


def _conv_pointwise_patches(graph, x, architecture, weights):
    x = _conv_patches(graph, x, architecture, weights)
    return _pointwise(graph, x, weights, "patch_pointwise")


def _attention_patches(graph, x, architecture, weights):
    # A larger patch covers the whole map, too; LiteRT would take memory for its cells.
    x = graph.average_pool(x, min(architecture.patch_size, x.shape[0]))
    x = _pointwise(graph, x, weights, "patch_pointwise")
    gate = _pointwise(graph, x, weights, "patch_gate_hidden")
    gate = _pointwise(graph, gate, weights, "patch_gate", activation=None)
    return graph.multiply(x, graph.sigmoid(gate))


def _separable(graph, x, weights, name):
    depthwise = weights[f"{name}/depthwise_kernel"]
    bias = np.zeros(depthwise.shape[2], dtype=np.float32)
    x = graph.convolve_depthwise(x, depthwise, bias, stride=len(depthwise))
    kernel, bias = weights[f"{name}/pointwise_kernel"], weights[f"{name}/bias"]
    return graph.convolve(x, kernel, bias, activation="relu", name=name)


def _pointwise(graph, x, weights, name, *, stride=1, activation="relu"):
    kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
    return graph.convolve(x, kernel, bias, stride=stride, activation=activation, name=name)


# Arrays


def folded_backbone(architecture, weights):
    """Fold each BatchNormalization of the backbone into the convolution before it.

    Returns
    -------
    list of (Convolution, ndarray, ndarray)
        In order, with kernel and bias, float32.
    """
    folded = []
    for step in backbone_convolutions(architecture):
        factor, offset = _linear(weights, f"{step.name}_bn")
        kernel = weights[f"{step.name}/kernel"]
        kernel = kernel * (factor[:, np.newaxis] if step.is_depthwise else factor)
        folded.append((step, kernel, offset))
    return folded


def _linear(weights, name):
    """BatchNormalization as what it does to a channel: a factor, and then an offset."""
    gamma, beta, mean, variance = (
        weights[f"{name}/{variable}"]
        for variable in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + np.float32(_EPSILON))
    return factor, beta - mean * factor


def resizing_matrix(side, size, antialias):
    """Make the matrix that resizes along one side, linearly, as the network's layer does.

    Returns
    -------
    ndarray of shape (size, side), dtype float32
        Weights of the pixels for each new one; rows sum to 1.
    """
    scale = side / size
    # In the middle of each new pixel, in old ones; and how far it sees from there.
    middle = (np.arange(size) + 0.5) * scale - 0.5
    reach = max(scale, 1.0) if antialias else 1.0
    weights = np.maximum(0, 1 - abs(np.arange(side) - middle[:, np.newaxis]) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def digest_of(steps):
    """16-byte digest of folded steps: their arrays, and what is done with them."""
    settings = repr([step for step, *_ in steps]).encode()
    digest = hashlib.blake2b(settings, digest_size=16)
    for _, *arrays in steps:
        for array in arrays:
            digest.update(np.ascontiguousarray(array))
    return digest.digest()
