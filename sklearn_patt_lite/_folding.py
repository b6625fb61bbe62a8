"""The same network, with the BatchNormalization of its backbone in quicker forms."""

import keras
import tensorflow as tf
from keras import layers, ops

from sklearn_patt_lite._network import BACKBONE, head_of


def fold_network(network):
    """Make a quicker network of the same layers, whose training is the network's own.

    BatchNormalization that does not train maps each channel by a factor and an offset. The factor
    scales a kernel as well as the map behind it, and is smaller there: steps of the whole
    backbone take a fifth less. What trains is one operation of TensorFlow's instead of Keras'
    twenty.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with what trains set.

    Returns
    -------
    keras.Model
        With the same weights, not copies; not compiled.
    """
    backbone = network.get_layer(BACKBONE)
    image_to_backbone = keras.Model(network.input, network.get_layer("scale").output)
    x = fold_layers(backbone.layers[1:], image_to_backbone(network.input))
    return keras.Model(network.input, head_of(network)(x), name=network.name)


def fold_layers(chain, x):
    """Call layers one after the other, each BatchNormalization in its quicker form.

    A frozen one is part of the convolution before it.

    Parameters
    ----------
    chain : list of keras.Layer
        The layers.
    x : tensor
        What the first one gets.

    Returns
    -------
    tensor
        What the last one gives.
    """
    following = [*chain[1:], None]
    for layer, after in zip(chain, following, strict=True):
        if _is_frozen_normalization(after):
            x = FoldedConvolution(layer, after)(x)
        elif not _is_normalization(layer):
            x = layer(x)
        elif layer.trainable:
            x = FusedNormalization(layer)(x)
    return x


def _is_normalization(layer):
    return isinstance(layer, layers.BatchNormalization)


def _is_frozen_normalization(layer):
    return _is_normalization(layer) and not layer.trainable


class FoldedConvolution(layers.Layer):
    """A convolution and the frozen BatchNormalization behind it, in one.

    Parameters
    ----------
    convolution : keras.layers.Conv2D or keras.layers.DepthwiseConv2D
        Without a bias; built.
    normalization : keras.layers.BatchNormalization
        Of its channels; built.
    """

    def __init__(self, convolution, normalization):
        super().__init__(name=f"{convolution.name}_folded")
        self.convolution = convolution
        self.normalization = normalization

    def build(self, shape):
        """Nothing: both layers are built."""

    def call(self, x):
        """Map (n, height, width, channels) to the convolution's shape."""
        convolution, normalization = self.convolution, self.normalization
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
    """BatchNormalization of maps that trains, as one operation on TensorFlow.

    Parameters
    ----------
    normalization : keras.layers.BatchNormalization
        Of the last axis; built.
    """

    def __init__(self, normalization):
        super().__init__(name=f"{normalization.name}_fused", dtype=normalization.dtype_policy)
        self.normalization = normalization

    def build(self, shape):
        """Nothing: the layer is built."""

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
        variance *= (n - 1) / n  # TensorFlow gives the unbiased one, Keras keeps the other
        momentum = normalization.momentum
        statistics = {"moving_mean": mean, "moving_variance": variance}
        for name, of_batch in statistics.items():
            kept = getattr(normalization, name)
            kept.assign(momentum * kept + (1 - momentum) * of_batch)
        return tf.cast(y, self.compute_dtype)
