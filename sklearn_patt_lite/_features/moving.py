"""Rotate, shift and zoom images in TensorFlow."""

import numpy as np
import tensorflow as tf


def move(images, projections, contrast, side):
    """Rotate, shift and zoom images, and change their contrast.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
        Images, values 0 to 255.
    projections : ndarray of shape (n, 8), dtype float32
        Transforms as TensorFlow's `ImageProjectiveTransformV3` takes them.
    contrast : ndarray of shape (n,)
        Factor of each image's deviations from its mean.
    side : int
        Side of the result, in pixels.

    Returns
    -------
    ndarray of shape (n, side, side, channels), dtype float32
        Values 0 to 255.
    """
    images = tf.constant(images, tf.float32)
    return _move(images, projections, contrast.astype(np.float32), side).numpy()


@tf.function(autograph=False, reduce_retracing=True)
def _move(images, projections, contrast, side):
    shown = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=projections,
        output_shape=tf.stack([side, side]),
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    mean = tf.reduce_mean(shown, (1, 2), keepdims=True)
    factor = contrast[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.clip_by_value((shown - mean) * factor + mean, 0, 255)
