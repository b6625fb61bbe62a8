"""Layers of the head that compute the same as Keras' own, but faster on a CPU."""

import math

import numpy as np
import tensorflow as tf
from keras import layers, ops

_UNROLLED = 64  # terms; with twice as many, XLA's code is slow and takes long to compile


def quick_copy(layer):
    """Copy a layer without its weights, as the faster version if there is one."""
    quick = {
        layers.SeparableConv2D: _SeparablePatches,
        layers.Conv2D: _Patches,
        layers.Dropout: _Dropout,
    }
    kind = quick.get(type(layer), type(layer))
    return kind.from_config(layer.get_config())


class _Patches(layers.Conv2D):
    """Convolution whose kernel size equals its stride, as a product of two matrices."""

    def convolution_op(self, inputs, kernel):
        """Map (n, height, width, channels) to (n, rows, columns, filters)."""
        patches = _divide(inputs, self.kernel_size[0])
        rows, columns = patches.shape[1], patches.shape[3]
        patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
        kernel = ops.reshape(kernel, (-1, self.filters))
        outputs = ops.reshape(patches, (-1, kernel.shape[0])) @ kernel
        return ops.reshape(outputs, (-1, rows, columns, self.filters))


class _SeparablePatches(layers.SeparableConv2D):
    """Separable convolution whose kernel size equals its stride, as sums and a matrix product."""

    def call(self, inputs):
        """Map (n, height, width, channels) to (n, rows, columns, filters)."""
        patches = _divide(inputs, self.kernel_size[0])
        depthwise = ops.squeeze(self.depthwise_kernel, -1)
        pointwise = ops.reshape(self.pointwise_kernel, (-1, self.filters))
        _, rows, side, columns, _, channels = patches.shape
        # Unrolling makes one term per cell of a patch and, in the gradient, one per patch.
        is_small = max(rows * columns, side**2) <= _UNROLLED
        sums = _unrolled_sums(patches, depthwise) if is_small else _sums(patches, depthwise)
        outputs = ops.reshape(sums, (-1, channels)) @ pointwise + self.bias
        return ops.reshape(self.activation(outputs), (-1, rows, columns, self.filters))


class _Dropout(layers.Dropout):
    """Dropout by hashed positions: in XLA, Philox random numbers cost more than the whole head."""

    def call(self, inputs, training=False):
        """Drop values at random, and scale up the others."""
        if not training or self.rate == 0:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.uint32)
        position = tf.cast(tf.range(tf.size(inputs)), tf.uint32)
        # Hashed twice: seeds that differ by one, as in consecutive steps, or positions that differ
        # by one must not give similar numbers.
        drawn = _hash(_hash(position + _hash(seed[0])) ^ _hash(seed[1]))
        kept = drawn >= tf.constant(int(self.rate * 2**32), tf.uint32)
        return tf.where(tf.reshape(kept, tf.shape(inputs)), inputs / (1 - self.rate), 0.0)


def _hash(x):
    """Hash uint32 to uint32 by lowbias32, a bijective integer hash.

    C. Wellons, "Prospecting for Hash Functions", 2018, https://nullprogram.com/blog/2018/07/31/
    """
    x = (x ^ tf.bitwise.right_shift(x, 16)) * tf.constant(0x7FEB352D, tf.uint32)
    x = (x ^ tf.bitwise.right_shift(x, 15)) * tf.constant(0x846CA68B, tf.uint32)
    return x ^ tf.bitwise.right_shift(x, 16)


def _sums(patches, kernel):
    """Weight the cells of each patch, and add them up: (n, rows, columns, channels)."""
    return ops.sum(patches * kernel[:, np.newaxis], axis=(2, 4))


@tf.custom_gradient
def _unrolled_sums(patches, kernel):
    """Compute `_sums` term by term: XLA is slow at sums over any axis but the last.

    The sum has one term per cell of a patch; the kernel's gradient has one per patch of an image.
    """
    _, rows, side, columns, _, _ = patches.shape

    # TensorFlow would sum the kernel's gradient over images, rows and columns, which is the slow
    # kind of sum. Here rows and columns are unrolled, too, and only the sum over images is left.
    def gradient(upstream):
        spread = upstream[:, :, np.newaxis, :, np.newaxis] * kernel[:, np.newaxis]
        of_images = sum(
            patches[:, row, :, column] * upstream[:, row, column][:, np.newaxis, np.newaxis]
            for row in range(rows)
            for column in range(columns)
        )
        return spread, ops.sum(of_images, axis=0)

    places = [(i, j) for i in range(side) for j in range(side)]
    return sum(patches[:, :, i, :, j] * kernel[i, j] for i, j in places), gradient


def _divide(x, side):
    """Pad maps as "same" does, and divide them: (n, rows, side, columns, side, channels)."""
    _, height, width, channels = x.shape
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    missing = rows * side - height, columns * side - width
    # An odd cell of padding is added at the end, as in Keras.
    x = ops.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
    return ops.reshape(x, (-1, rows, side, columns, side, channels))
