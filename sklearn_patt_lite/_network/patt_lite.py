"""PAtt-Lite's network, top to bottom, in plain Keras 3.

For images of 224×224 pixels, shapes without the batch::

    image 224×224×3 → augmentation (training only) → [-1, 1]
      → MobileNetV1 to conv_dw_9_relu                                    14×14×512
      → separable conv k4 s4 → separable conv k2 s2 → pointwise conv     2×2×256
      → 4 tokens of 256 → dense, ReLU, BatchNormalization                4×32
      → attention over the tokens → mean → dense, softmax                classes

The rates of the dropout layers here are placeholders: each training stage sets them.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from sklearn_patt_lite._network.architecture import (
    CONTRAST,
    ROTATION,
    SHIFT,
    ZOOM,
    check_architecture,
)
from sklearn_patt_lite._process import LRUCache, seeded

#: The name of the nested model that holds the truncated MobileNetV1.
BACKBONE = "mobilenet"
# With Keras' 0.99, moving statistics take hundreds of steps to forget their initial values. Until
# then, validation accuracy, which early stopping watches, is meaningless. A small database has only
# 12 steps per epoch.
NORMALIZATION_MOMENTUM = 0.9
# Copying a backbone is faster than building all of MobileNetV1 (examples/benchmarks/ablations.py).
_BACKBONES = LRUCache(8)


def build_network(architecture):
    """Build the untrained network: images (0 to 255) in, class probabilities out.

    Parameters
    ----------
    architecture : Architecture
        Architecture to build.

    Returns
    -------
    keras.Model
        Takes float32 images of shape (n, *architecture.image_shape) and returns float32
        probabilities of shape (n, n_classes), or maps of shape (n, rows, columns, channels) if
        `n_classes` is None. Its weights are random; `draw_weights` draws them from a seed.

    Raises
    ------
    ValueError
        If `output_layer` is not one of MobileNetV1's, `alpha` leaves no filters, or `input_size` is
        too small; the message says what works.
    """
    check_architecture(architecture)
    images = keras.Input(architecture.image_shape, name="image")
    x = _preprocess(images, architecture)  # input_size × input_size × 3
    x = build_backbone(architecture)(x)
    if architecture.n_classes is None:
        return keras.Model(images, x, name=BACKBONE + "_features")
    x = _extract_patches(x, architecture)
    probabilities = _classify(x, architecture)
    return keras.Model(images, probabilities, name="patt_lite")


def draw_weights(network, seed):
    """Draw the random weights of a network, and the seeds of its random layers, from one seed.

    While a network is built, Keras draws them from Python's `random`, which other threads (an event
    loop, say) may use at the same time.
    """
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        drawn = int(rng.integers(2**31))
        if variable.name.endswith("kernel"):
            initializer = keras.initializers.GlorotUniform(drawn)  # Keras' default for all of them
            variable.assign(initializer(variable.shape, variable.dtype))
        elif variable.name.endswith("seed_generator_state"):
            variable.assign(np.array([drawn, 0]))


def _preprocess(images, architecture):
    x = images
    height, width, channels = architecture.image_shape
    size = architecture.input_size
    if (height, width) != (size, size):
        # Without antialiasing, shrinking an image would skip pixels.
        shrinks = max(height, width) > size
        x = layers.Resizing(size, size, antialias=shrinks, name="resize")(x)
    if architecture.augment:
        x = layers.RandomFlip("horizontal", name="flip")(x)
        if architecture.affine:
            edge = {"fill_mode": "nearest"}
            x = layers.RandomRotation(ROTATION, name="rotation", **edge)(x)
            x = layers.RandomTranslation(SHIFT, SHIFT, name="shift", **edge)(x)
            x = layers.RandomZoom(ZOOM, name="zoom", **edge)(x)
        x = layers.RandomContrast(CONTRAST, name="contrast")(x)
    if channels == 1:  # last: earlier layers treat channels alike; one costs a third
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    return layers.Rescaling(1 / 127.5, offset=-1, name="scale")(x)


def build_backbone(architecture):
    """Build MobileNetV1 up to `output_layer` as a nested model, with Keras' layer names."""
    policy = keras.config.dtype_policy().name
    key = architecture.input_size, architecture.alpha, architecture.output_layer, policy
    return keras.models.clone_model(_BACKBONES.get(key, lambda: _truncate(architecture)))


def _truncate(architecture):
    """Build the whole MobileNetV1, and copy its layers up to `output_layer`."""
    size = architecture.input_size
    with seeded(0):  # so that later random numbers do not depend on the cache
        whole = keras.applications.MobileNet(
            input_shape=(size, size, 3), alpha=architecture.alpha, include_top=False, weights=None
        )
        for layer in whole.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = NORMALIZATION_MOMENTUM
        output = whole.output
        if architecture.output_layer is not None:
            output = whole.get_layer(architecture.output_layer).output
        # A copy, because the layers refer to those after them.
        return keras.models.clone_model(keras.Model(whole.input, output, name=BACKBONE))


def _extract_patches(x, architecture):
    """Map the backbone's cells to patches, which become the attention's tokens."""
    extract = {
        "separable": _separable_patches,
        "conv": _conv_patches,
        "conv_pointwise": _conv_pointwise_patches,
        "attention": _attention_patches,
        None: lambda x, architecture: x,
    }[architecture.patch_extraction]
    x = extract(x, architecture)
    return layers.SpatialDropout2D(0.5, name="patch_dropout")(x)


def _separable_patches(x, architecture):
    """Apply the paper's block: from any map to 2×2 patches of depth `n_filters`."""
    depth, patch = architecture.n_filters, architecture.patch_size
    relu = {"padding": "same", "activation": "relu"}
    x = layers.SeparableConv2D(depth, patch, patch, name="patch_conv_1", **relu)(x)
    half = math.ceil(x.shape[1] / 2)
    x = layers.SeparableConv2D(depth, half, half, name="patch_conv_2", **relu)(x)  # 2×2×256
    return layers.Conv2D(depth, 1, name="patch_pointwise", **relu)(x)


def _conv_patches(x, architecture):
    """Make Table 5's patches: one convolution whose kernel size equals its stride."""
    patch = architecture.patch_size
    return layers.Conv2D(
        architecture.n_filters, patch, patch, padding="same", activation="relu", name="patch_conv"
    )(x)


def _conv_pointwise_patches(x, architecture):
    """Make the block that the paper's grid search began with: Table 5's, then a pointwise conv."""
    x = _conv_patches(x, architecture)
    pointwise = {"padding": "same", "activation": "relu", "name": "patch_pointwise"}
    return layers.Conv2D(architecture.n_filters, 1, **pointwise)(x)


def _attention_patches(x, architecture):
    """Weight each patch by a number between 0 and 1 that is computed from the patch itself.

    The paper's Table 6 compares with "patch attention" but does not define it. This is modelled on
    gACNN's gate unit (Li et al., 2019): average the cells of a patch, map them to `n_filters`, and
    scale the patch by a sigmoid gate, so that an occluded patch can be ignored.
    """
    x = _average_patches(x, architecture.patch_size)
    x = layers.Conv2D(architecture.n_filters, 1, activation="relu", name="patch_pointwise")(x)
    gate = layers.Conv2D(64, 1, activation="relu", name="patch_gate_hidden")(x)
    gate = layers.Conv2D(1, 1, activation="sigmoid", name="patch_gate")(gate)  # 4×4×1
    return layers.Multiply(name="gated_patches")([x, gate])


def _average_patches(x, patch):
    """Average the cells of each patch, of which there are fewer at the border.

    `AveragePooling2D(padding="same")` does so on TensorFlow and JAX. On PyTorch, until Keras' pull
    request 23233, it also counts copies of border cells if there is an odd number of them to add.
    """
    side = x.shape[1]
    patch = min(patch, side)
    n_missing = -side % patch
    padding = n_missing // 2, n_missing - n_missing // 2
    x = layers.ZeroPadding2D((padding, padding), name="patch_padding")(x)
    x = layers.AveragePooling2D(patch, name="patch_pool")(x)  # 4×4×512
    n_cells = np.pad(np.ones(side), padding).reshape(-1, patch).sum(axis=1)  # of a row of patches
    scale = patch**2 / np.outer(n_cells, n_cells)
    return layers.Rescaling(scale[..., np.newaxis].tolist(), name="patch_mean")(x)


def _classify(x, architecture):
    """Map patches to class probabilities."""
    has_tokens = architecture.patch_extraction is not None or architecture.attention == "patches"
    if architecture.attention == "batch" or not has_tokens:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    else:
        x = layers.Reshape((-1, x.shape[-1]), name="tokens")(x)
    # Without a seed, Keras draws from PyTorch's global state. `draw_weights` replaces the seed.
    x = layers.Dropout(0.5, seed=0, name="token_dropout")(x)
    x = _hidden(x, architecture)
    if architecture.attention == "patches":
        x = _attend(x, "patch_attention")
    if architecture.attention == "batch":
        x = _attend_across_batch(x)
    if x.ndim == 3:
        x = layers.GlobalAveragePooling1D(name="pool")(x)
    x = layers.Dropout(0.5, seed=0, name="attention_dropout")(x)
    # In float32 whatever the precision of the rest, so that probabilities sum to 1.
    return layers.Dense(
        architecture.n_classes, activation="softmax", dtype="float32", name="probabilities"
    )(x)


def _hidden(x, architecture):
    if architecture.hidden_units is None:
        return x
    x = layers.Dense(architecture.hidden_units, activation="relu", name="hidden")(x)
    return layers.BatchNormalization(momentum=NORMALIZATION_MOMENTUM, name="hidden_bn")(x)


def _attend(tokens, name):
    """Dot-product self-attention over the tokens of one image: softmax(QKᵀ/√d)V, Q = K = V."""
    query = layers.Rescaling(tokens.shape[-1] ** -0.5, name="query")(tokens)
    return layers.Attention(name=name)([query, tokens])


def _attend_across_batch(x):
    """Reproduce the published notebook's mistake: the *images* are the tokens."""
    x = ops.expand_dims(x, 0)  # 1 × batch × 32
    x = layers.Attention(use_scale=True, name="batch_attention")([x, x])
    return ops.squeeze(x, 0)
