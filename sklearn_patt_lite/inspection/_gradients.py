"""Evaluate functions in batches and compute gradients, on any Keras backend."""

import numpy as np
from keras import backend, ops

from sklearn_patt_lite._process import keras_settings

_BATCH = 32  # images per forward pass


@keras_settings()
def in_batches(function, *arrays):
    """Apply a function to arrays batch by batch; return a float32 ndarray."""
    starts = range(0, len(arrays[0]), _BATCH)
    parts = [function(*(array[i : i + _BATCH] for array in arrays)) for i in starts]
    return np.concatenate([ops.convert_to_numpy(ops.cast(part, "float32")) for part in parts])


def gradient(function, x):
    """Compute the gradient of ``sum(function(x))`` with respect to x, on any Keras backend."""
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(function(x))
        return tape.gradient(total, x)
    if backend.backend() == "jax":
        import jax

        return jax.grad(lambda x: ops.sum(function(x)))(x)
    x = x.detach().requires_grad_()
    ops.sum(function(x)).backward()
    return x.grad
