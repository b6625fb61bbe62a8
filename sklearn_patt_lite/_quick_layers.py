"""Layers of the head that compute the same as Keras' own, in a form that is quicker on a CPU."""

import math

import tensorflow as tf
from keras import layers, ops


def quick_copy(layer):
    """Copy a layer, without its weights: as a quick one if there is such a kind."""
    quick = {
        layers.SeparableConv2D: _SeparablePatches,
        layers.Conv2D: _Patches,
        layers.Dropout: _Dropout,
    }
    kind = quick.get(type(layer), type(layer))
    return kind.from_config(layer.get_config())


class _Patches(layers.Conv2D):
    """A convolution whose kernel is its stride, as a product of two matrices."""

    def convolution_op(self, inputs, kernel):
        """Map (n, height, width, channels) to (n, rows, columns, filters)."""
        patches, grid = _cut_patches(inputs, self.kernel_size[0])
        outputs = ops.reshape(patches, (-1, math.prod(kernel.shape[:3]))) @ ops.reshape(
            kernel, (-1, self.filters)
        )
        return ops.reshape(outputs, (-1, *grid, self.filters))


class _SeparablePatches(layers.SeparableConv2D):
    """A separable convolution whose kernel is its stride, as a sum and a product."""

    def call(self, inputs):
        """Map (n, height, width, channels) to (n, rows, columns, filters)."""
        patches, grid = _cut_patches(inputs, self.kernel_size[0])
        depthwise = ops.reshape(self.depthwise_kernel, (-1, inputs.shape[-1]))
        pointwise = ops.reshape(self.pointwise_kernel, (-1, self.filters))
        outputs = ops.sum(patches * depthwise, axis=1) @ pointwise + self.bias
        return ops.reshape(self.activation(outputs), (-1, *grid, self.filters))


class _Dropout(layers.Dropout):
    """Dropout whose random numbers are Philox'; XLA's own choice takes five times as long."""

    def call(self, inputs, training=False):
        """Drop values at random, and scale up the others."""
        if not training or self.rate == 0:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        drawn = tf.random.stateless_uniform(tf.shape(inputs), seed, alg="philox")
        return tf.where(drawn >= self.rate, inputs / (1 - self.rate), 0.0)


def _cut_patches(x, side):
    """Cut maps, padded as "same" does, into patches: (n × rows × columns, side², channels)."""
    _, height, width, channels = x.shape
    grid = math.ceil(height / side), math.ceil(width / side)
    missing = [cells * side - given for cells, given in zip(grid, (height, width), strict=True)]
    x = ops.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
    x = ops.reshape(x, (-1, grid[0], side, grid[1], side, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, side**2, channels)), grid
