"""A network's prediction as a graph of operations, with its arrays as constants.

The graph is written from the architecture and the weights alone, without Keras. The backbone's
BatchNormalization is folded into the preceding convolutions; dropout and augmentation are omitted.
Resizing is linear along each side of an image, so it is two products with constant matrices: the
same in every runtime, antialiasing included.
"""

import hashlib

import numpy as np

from sklearn_patt_lite._network.architecture import backbone_convolutions

IMAGE, PROBABILITIES = "image", "probabilities"  # names of input and output
_EPSILON = 1e-3  # of BatchNormalization, as in Keras
#: Side of a crop, as a fraction of the image's: 44 of FER2013's 48 pixels.
CROP = 11 / 12
#: Step between the levels of stored features, which are 16-bit integers over ReLU6's range.
STEP = 6 / (2**16 - 1)


# Parts of a network, which add operations to a graph


def write_prediction(graph, architecture, weights, *, flip_averaging=False, crop_averaging=False):
    """Write a network from images to probabilities; return bytes.

    Parameters
    ----------
    graph : LiteRTGraph or OnnxGraph
        A new graph.
    architecture : Architecture
        Architecture of the network; its attention is not across a batch.
    weights : dict of str to ndarray
        Weights of the network, by variable path.
    flip_averaging : bool, default=False
        Whether to average over an image and its mirror image.
    crop_averaging : bool, default=False
        Whether to average over an image and its crops.
    """
    x = graph.input(IMAGE, architecture.image_shape)
    x = graph.join_batches([x, graph.flip(x)] if flip_averaging else [x])
    views = [_resize(graph, x, architecture)]
    if crop_averaging:
        crops = crop_matrices(x.shape[:2], architecture.input_size)
        views += [graph.resize(x, *matrices) for matrices in crops]
    x = _to_unit(graph, graph.join_batches(views))
    x = _backbone(graph, x, folded_backbone(architecture, weights))
    x = _head(graph, x, architecture, weights)
    n_batches = len(views) * (2 if flip_averaging else 1)
    return graph.output(graph.average_batches(x, n_batches), PROBABILITIES)


def write_prediction_from_features(graph, architecture, weights, layer):
    """Write the layers from an activation's stored features to probabilities; return bytes."""
    steps = folded_backbone(architecture, weights)
    place = [step.activation for step, *_ in steps].index(layer) + 1
    x = graph.input("features", steps[place - 1][0].shape)
    x = _backbone(graph, graph.scale(x, STEP), steps[place:])
    return graph.output(_head(graph, x, architecture, weights), PROBABILITIES)


def write_resizing(graph, architecture):
    """Write the resizing of images to the backbone's size, 0 to 255; return bytes."""
    x = graph.input(IMAGE, architecture.image_shape)
    return graph.output(_resize(graph, x, architecture), "resized")


def write_preprocessing(graph, architecture):
    """Write the preprocessing from images to the backbone's input; return bytes."""
    x = graph.input(IMAGE, architecture.image_shape)
    return graph.output(_preprocess(graph, x, architecture), "preprocessed")


def write_convolution(graph, step, shape):
    """Write a step of `folded_backbone` for maps of a shape, without activation; return bytes."""
    x = graph.input("map", shape)
    return graph.output(_convolve(graph, x, *step, activation=None), "convolved")


def write_features(graph, steps, shape, *, encoded):
    """Write backbone steps from images or stored features to stored features; return bytes.

    Parameters
    ----------
    graph : LiteRTGraph or OnnxGraph
        A new graph.
    steps : list of tuple
        Steps from `folded_backbone`, or a part of them.
    shape : tuple of int
        Input shape: that of a map, or of an image of the backbone's size.
    encoded : bool
        Whether the input is stored features, not an image.
    """
    x = graph.input("map", shape)
    x = graph.scale(x, STEP) if encoded else _to_unit(graph, x)
    # `Engine` truncates to integers; adding half a step rounds instead.
    x = graph.scale(_backbone(graph, x, steps), 1 / STEP, 0.5)
    return graph.output(x, "features")


def _preprocess(graph, x, architecture):
    """Resize images, and scale 0 to 255 to the backbone's input range."""
    return _to_unit(graph, _resize(graph, x, architecture))


def _to_unit(graph, x):
    """Scale 0 to 255 to -1 to 1, and repeat grey to three channels."""
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
    # For an even side, "same" itself pads one row and column at the end.
    if step.pads_end and x.shape[0] % 2:
        x, padding = graph.pad_end(x), "valid"
    name = step.activation
    settings = {"stride": step.stride, "padding": padding, "activation": activation, "name": name}
    return convolve(x, kernel, bias, **settings)


def _head(graph, x, architecture, weights):
    """Write the head, from the backbone's map to probabilities; see `build_network` for layers."""
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
    # A larger patch also covers just the whole map, but LiteRT would take memory for its cells.
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
        Convolutions in order, with kernel and bias, float32.
    """
    folded = []
    for step in backbone_convolutions(architecture):
        factor, offset = _linear(weights, f"{step.name}_bn")
        kernel = weights[f"{step.name}/kernel"]
        kernel = kernel * (factor[:, np.newaxis] if step.is_depthwise else factor)
        folded.append((step, kernel, offset))
    return folded


def _linear(weights, name):
    """Return BatchNormalization as a factor and an offset for each channel."""
    gamma, beta, mean, variance = (
        weights[f"{name}/{variable}"]
        for variable in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + np.float32(_EPSILON))
    return factor, beta - mean * factor


def resizing_matrix(side, size, antialias, *, start=0.0, share=1.0):
    """Make the matrix that resizes along one side, linearly, as the network's layer does.

    Parameters
    ----------
    side, size : int
        Number of old and of new pixels.
    antialias : bool
        Whether no pixel is skipped if the side shrinks.
    start, share : float
        Part of the side that is resized: where it starts, and how long it is, as fractions of the
        side. Pixels just outside it contribute at its ends, unlike when a crop is resized.

    Returns
    -------
    ndarray of shape (size, side), dtype float32
        Weights of the old pixels for each new pixel; rows sum to 1.
    """
    scale = share * side / size
    # Centre of each new pixel, in old pixels; and how far its weights reach from there.
    middle = start * side + (np.arange(size) + 0.5) * scale - 0.5
    reach = max(scale, 1.0) if antialias else 1.0
    weights = np.maximum(0, 1 - abs(np.arange(side) - middle[:, np.newaxis]) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def crop_matrices(sides, size):
    """Return a pair of matrices for each crop, which resize the rows and columns of an image.

    The crops are two opposite corners; mirror images show the others.
    """
    return [
        [resizing_matrix(side, size, antialias=True, start=start, share=CROP) for side in sides]
        for start in (0, 1 - CROP)
    ]


def digest_of(steps):
    """Return a 16-byte digest of folded steps: their arrays and their settings."""
    settings = repr([step for step, *_ in steps]).encode()
    digest = hashlib.blake2b(settings, digest_size=16)
    for _, *arrays in steps:
        for array in arrays:
            digest.update(np.ascontiguousarray(array))
    return digest.digest()
