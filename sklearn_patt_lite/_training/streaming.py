"""Training on images in files that are read while the network trains: for more than fit in memory.

SciKeras takes arrays only, hence Keras and `tf.data`.
"""

import numpy as np
import tensorflow as tf
from scikeras.utils.random_state import tensorflow_random_state

from sklearn_patt_lite._images.source import read_images
from sklearn_patt_lite._training.fit import last_of
from sklearn_patt_lite._training.stages import epoch_seed, prepare


def streaming_fit(model, stage, data, *, batch_size, seed, loop):
    """Run a stage with `keras.Model.fit`, reading files as it goes; same as `keras_fit`."""
    errors = []
    network = prepare(model, stage)

    def train_epoch(epoch):
        order = epoch_seed(seed, epoch)
        history = network.fit(
            batches(data.X, data.y, data.sample_weight, batch_size, errors, seed=order),
            validation_data=data.validation
            and batches(*data.validation, np.ones(len(data.y_val)), batch_size, errors),
            shuffle=False,  # the dataset does
            callbacks=loop.within,
            verbose=0,
        )
        return last_of(history.history)

    try:
        with tensorflow_random_state(seed):
            loop.run(network, train_epoch)
    except tf.errors.OpError:
        if errors:  # TensorFlow would tell of it in its own words
            raise errors[0] from None
        raise


def batches(images, y, sample_weight, batch_size, errors, *, seed=None):
    """Make a dataset of batches that are read in parallel, ahead of their use.

    Parameters
    ----------
    images : ndarray or ImageFiles of shape (n, height, width, channels)
        Images, values 0 to 255.
    y, sample_weight : ndarray of shape (n,)
        Their labels and weights.
    batch_size : int
        Images a batch.
    errors : list
        Gets the exceptions of reading, which TensorFlow does not hand on.
    seed : int, default=None
        Of the order of the images; None keeps their own.

    Returns
    -------
    tf.data.Dataset
        Of (images, labels, weights).
    """

    def read(rows):
        try:
            return np.asarray(read_images(images, rows), dtype=np.float32)
        except Exception as error:
            errors.append(error)
            raise

    def load(rows):
        x = tf.numpy_function(read, [rows], tf.float32)
        x = tf.ensure_shape(x, (None, *images.shape[1:]))
        return x, tf.gather(y, rows), tf.gather(sample_weight.astype(np.float32), rows)

    rows = tf.data.Dataset.range(len(y))
    if seed is not None:
        rows = rows.shuffle(len(y), seed=seed)  # of numbers: images are read behind it
    return rows.batch(batch_size).map(load, tf.data.AUTOTUNE, deterministic=True).prefetch(2)
