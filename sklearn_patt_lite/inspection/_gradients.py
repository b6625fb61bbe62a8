"""Functions of ndarrays in batches, and their gradients, on any backend of Keras."""

import numpy as np
from keras import backend, ops

_BATCH = 32  # images a forward pass


def in_batches(function, *arrays):
    """Call a function of ndarrays on some rows at a time; an ndarray of float32."""
    starts = range(0, len(arrays[0]), _BATCH)
    parts = [function(*(array[i : i + _BATCH] for array in arrays)) for i in starts]
    return np.concatenate([ops.convert_to_numpy(ops.cast(part, "float32")) for part in parts])


def gradient(function, x):
    """Differentiate the sum of a function's values, on any backend of Keras.

    Parameters
    ----------
    function : callable
        Maps a tensor to another one, by layers of Keras.
    x : tensor
        Where.

    Returns
    -------
    tensor
        Of the shape of `x`.
    """
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
