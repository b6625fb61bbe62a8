"""Feature maps of a network: their receptive fields, and the network before and after them."""

from keras import Model, layers, ops

from sklearn_patt_lite._network.parts import (
    backbone_of,
    head_layers,
    head_of,
    image_to_backbone,
)


def _map_layers(network):
    """List the layers from image to patches, in order, without the gate beside them."""
    gate = {"patch_gate_hidden", "patch_gate"}
    patches = [
        layer for layer in head_layers(network) if layer.output.ndim == 4 and layer.name not in gate
    ]
    return [*backbone_of(network).layers[1:], *patches]


def maps_of(network):
    """List the layers with a feature map at which a network can be split in two.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.

    Returns
    -------
    list of str
        Names of layers of the backbone and of the patch extraction whose output has the shape (n,
        rows, columns, channels), and that all data passes through.
    """
    return [layer.name for layer in _map_layers(network)]


def places_of(network, layer):
    """Find the centres of the receptive fields of a map's cells.

    Where MobileNetV1 halves a map, it pads only at the right and bottom. So the centre of a cell's
    receptive field lies to the right of and below the centre of the cell's share of the image: by
    half a cell after four such layers.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    layer : str
        One of `maps_of`.

    Returns
    -------
    distance : int
        Distance between neighbouring cells, in pixels of the network's `input_size`.
    first : float
        Position of the first cell; the first pixel is at 0.
    """
    distance, first = 1, 0.0
    for step in _map_layers(network):
        kernel, stride, padding = _window(step)
        first += distance * ((kernel - 1) / 2 - padding)
        distance *= stride
        if step.name == layer:
            return distance, first
    raise ValueError(f"{layer!r} is not a map.")


def _window(layer):
    """Return a layer's kernel size, stride, and padding before the first cell."""
    if isinstance(layer, layers.ZeroPadding2D):
        return 1, 1, layer.padding[0][0]
    kernel = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1,)))[0]
    stride = getattr(layer, "strides", (1,))[0]
    if getattr(layer, "padding", "valid") == "valid":
        return kernel, stride, 0
    cells, cells_after = layer.input.shape[1], layer.output.shape[1]
    return kernel, stride, max(0, (cells_after - 1) * stride + kernel - cells) // 2


def last_map(network):
    """Return the name of the backbone's last activation, at `output_layer`."""
    return backbone_of(network).layers[-1].name


def split_at(network, layer):
    """Split a network in two at a feature map.

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
        From the map to the logits: a tensor of shape (n, n_classes), float32.
    """
    backbone, last = backbone_of(network), network.get_layer("probabilities")
    names = [inner.name for inner in backbone.layers]
    if layer not in names:
        start = network.get_layer(layer).output
        way, rest = Model(network.input, start), [Model(start, last.input)]
    else:
        start = backbone.get_layer(layer).output
        before = image_to_backbone(network)
        way = Model(before.input, Model(backbone.input, start)(before.output))
        rest = [Model(start, backbone.output)] if layer != names[-1] else []
        rest.append(head_of(network, until="probabilities"))

    def to_map(images):
        return way(images, training=False)  # otherwise augmentation layers are active

    def to_logits(x):
        for part in rest:
            x = part(x, training=False)
        return ops.matmul(ops.cast(x, "float32"), last.kernel) + last.bias

    return to_map, to_logits


def patches_of(network):
    """Split a network into its attention over patches and its last dense layer.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with patches that are attended over or averaged.

    Returns
    -------
    to_tokens : callable
        From images (n, height, width, channels), values 0 to 255, to attention (n, t, t), each
        row summing to 1, and tokens (n, t, units), concatenated along the last axis.
    kernel : ndarray of shape (units, n_classes)
        Kernel of the dense layer that follows the mean over tokens.
    bias : ndarray of shape (n_classes,)
        Bias of the same layer.
    """
    attends = any(layer.name == "patch_attention" for layer in network.layers)
    attention = network.get_layer("patch_attention" if attends else "pool")
    before = Model(network.input, attention.input)

    def to_tokens(images):
        tokens = before(images, training=False)
        if attends:
            _, scores = attention(tokens, return_attention_scores=True)
            tokens = tokens[1]  # the first is the query: the same, scaled
        else:
            n_tokens = tokens.shape[1]
            scores = ops.ones_like(tokens[:, :, :1]) * ops.ones((1, 1, n_tokens)) / n_tokens
        return ops.concatenate([scores, tokens], axis=2)  # n × t × (t + units)

    kernel, bias = network.get_layer("probabilities").get_weights()
    return to_tokens, kernel, bias


def patch_grid(network):
    """Return the numbers of rows and columns of a network's patches."""
    return tuple(network.get_layer("tokens").input.shape[1:3])
