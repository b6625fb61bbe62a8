"""BatchNormalization of the backbone: folded for training, and refitted."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from sklearn_patt_lite._images.source import read_images
from sklearn_patt_lite._network.parts import backbone_of, head_of, image_to_backbone, to_numpy


def fold_for_training(network):
    """Make a faster model of the same layers; training it trains the network's own weights.

    Frozen BatchNormalization multiplies each channel by a factor and adds an offset. It is cheaper
    to multiply the preceding kernel than the feature map, which is larger: a training step of the
    whole backbone takes a fifth less time. Trainable BatchNormalization becomes one TensorFlow
    operation instead of Keras' twenty.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, after `set_trainable`.

    Returns
    -------
    keras.Model
        Model that shares the network's weights; not compiled.
    """
    before = image_to_backbone(network)
    x = fold_layers(backbone_of(network).layers[1:], before(network.input))
    return keras.Model(network.input, head_of(network)(x), name=network.name)


def fold_layers(chain, x):
    """Call layers in sequence, each BatchNormalization in its faster form.

    A frozen one is folded into the preceding convolution.

    Parameters
    ----------
    chain : list of keras.Layer
        The layers.
    x : tensor
        Input of the first layer.

    Returns
    -------
    tensor
        Output of the last layer.
    """
    following = [*chain[1:], None]
    for layer, after in zip(chain, following, strict=True):
        if _is_frozen_normalization(after):
            x = FoldedConvolution(layer, after)(x)
        elif not _is_normalization(layer):
            x = layer(x)
        elif layer.trainable:
            x = FusedNormalization(layer)(x)
        # A frozen one was folded into the preceding convolution.
    return x


def _is_normalization(layer):
    return isinstance(layer, layers.BatchNormalization)


def _is_frozen_normalization(layer):
    return _is_normalization(layer) and not layer.trainable


class FoldedConvolution(layers.Layer):
    """Convolution with the frozen BatchNormalization that follows it folded in.

    Parameters
    ----------
    convolution : keras.layers.Conv2D or keras.layers.DepthwiseConv2D
        Built, without a bias.
    normalization : keras.layers.BatchNormalization
        Built, over the convolution's channels.
    """

    def __init__(self, convolution, normalization):
        super().__init__(name=f"{convolution.name}_folded")
        self.convolution = convolution
        self.normalization = normalization

    def build(self, shape):
        """Do nothing: both layers are already built."""

    def call(self, x):
        """Map (n, height, width, channels) to the convolution's output shape."""
        convolution, normalization = self.convolution, self.normalization
        # In the graph, not once: weights may be assigned after the model was built.
        factor = ops.rsqrt(normalization.moving_variance + normalization.epsilon)
        factor = ops.cast(factor * normalization.gamma, x.dtype)
        offset = ops.cast(normalization.beta, x.dtype) - factor * ops.cast(
            normalization.moving_mean, x.dtype
        )
        settings = {
            "strides": convolution.strides,
            "padding": convolution.padding,
            "data_format": convolution.data_format,
        }
        if isinstance(convolution, layers.DepthwiseConv2D):
            kernel = convolution.kernel * ops.expand_dims(factor, -1)  # 3×3×channels×1
            return ops.depthwise_conv(x, kernel, **settings) + offset
        return ops.conv(x, convolution.kernel * factor, **settings) + offset


class FusedNormalization(layers.Layer):
    """Trainable BatchNormalization of feature maps, as one operation on TensorFlow.

    Parameters
    ----------
    normalization : keras.layers.BatchNormalization
        Built, over the last axis.
    """

    def __init__(self, normalization):
        super().__init__(name=f"{normalization.name}_fused", dtype=normalization.dtype_policy)
        self.normalization = normalization

    def build(self, shape):
        """Do nothing: the layer is already built."""

    def call(self, x, training=False):
        """Map (n, height, width, channels) to the same shape."""
        if not training or keras.backend.backend() != "tensorflow":
            return self.normalization(x, training=training)
        normalization = self.normalization
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(x, tf.float32),  # as Keras does: squares overflow in float16
            scale=normalization.gamma,
            offset=normalization.beta,
            mean=[],  # those of the batch
            variance=[],
            epsilon=normalization.epsilon,
        )
        n = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
        variance *= (n - 1) / n  # TensorFlow returns the unbiased one, Keras uses the biased one
        momentum = normalization.momentum
        statistics = {"moving_mean": mean, "moving_variance": variance}
        for name, of_batch in statistics.items():
            moving = getattr(normalization, name)
            moving.assign(momentum * moving + (1 - momentum) * of_batch)
        return tf.cast(y, self.compute_dtype)


_N_IMAGES = 256  # images to take statistics of
_CHUNK = 16  # images at once


def refit_normalization(network, images, seed):
    """Refit trainable BatchNormalization to statistics of images, without changing its outputs.

    Trainable BatchNormalization normalizes by batch statistics instead of the moving ones. Where
    they differ, as between ImageNet and faces, the first step would undo what the backbone has
    learned. So the moving statistics are set to those of the images, and gamma and beta compensate.
    Since outputs do not change, one pass over the images serves all layers. Frozen layers keep
    their weights: rounding would make their features different in each fit.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, after `set_trainable`; changed in place.
    images : ndarray or ImageFiles of shape (n, *image_shape)
        Images, values 0 to 255; a random sample of them is used.
    seed : int
        Seed of the sample.
    """
    folded = fold_for_training(network)  # faster here, too
    trainable = [layer for layer in folded.layers if isinstance(layer, FusedNormalization)]
    if not trainable:
        return
    # All layers' statistics at once: replacing some does not change the outputs.
    moments = keras.Model(folded.input, {each.name: _moments(each.input) for each in trainable})
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:_N_IMAGES])
    chunks = (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
    # Compiled: calling the model, layer by layer, takes two to three times as long.
    found = [moments.predict_on_batch(read_images(images, chunk)) for chunk in chunks]
    for layer in trainable:
        of_images = np.concatenate([chunk[layer.name] for chunk in found])
        mean, square = of_images.mean(axis=0, dtype=float)
        # Rounding may give a constant channel a variance below 0.
        _refit(layer.normalization, mean, np.maximum(square - mean**2, 0))


def _moments(x):
    """Return mean and mean square of each channel of each image's map: (n, 2, channels)."""
    x = ops.cast(x, "float32")  # squares overflow in float16
    return ops.stack([ops.mean(x, (1, 2)), ops.mean(x**2, (1, 2))], axis=1)


def _refit(layer, mean, variance):
    gamma, beta, old_mean, old_variance = (
        to_numpy(weight)
        for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    # Before and after, the layer computes factor * (x - old_mean) + beta, with the old beta.
    factor = gamma / np.sqrt(old_variance + layer.epsilon)
    layer.gamma.assign(factor * np.sqrt(variance + layer.epsilon))
    layer.beta.assign(beta + factor * (mean - old_mean))
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
