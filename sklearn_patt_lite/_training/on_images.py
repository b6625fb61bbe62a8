"""Train on images with Keras' own training steps: arrays, or files read during training.

On TensorFlow, SciKeras adds what `keras.Model.fit` lacks: deterministic operations, with the global
seeds restored afterwards. Importing it patches how Keras models are pickled.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from scikeras.utils.random_state import tensorflow_random_state
from scikeras.wrappers import KerasClassifier
from sklearn.preprocessing import FunctionTransformer
from tensorflow.python.framework.config import is_op_determinism_enabled

from sklearn_patt_lite._images.source import ImageFiles, read_images
from sklearn_patt_lite._process import on_tensorflow, seeded
from sklearn_patt_lite._training.stages import Trainer, epoch_order, epoch_seed, prepare


def trainer_for(data):
    """Choose the function that opens a `Trainer` for training data; see `train_on_arrays`."""
    if isinstance(data.X, ImageFiles):
        return train_on_files
    return train_by_scikeras if on_tensorflow() else train_on_arrays


@contextlib.contextmanager
def train_on_arrays(network, stage, data, *, batch_size, seed):
    """Open a trainer on images in an array, on any backend of Keras.

    Parameters
    ----------
    network : keras.Model
        From `build_network`; trained in place.
    stage : Stage
        Stage to run.
    data : TrainingData
        Training and validation data.
    batch_size : int
        Number of images per gradient step.
    seed : int
        Seed for the order of the images and for the backend's random numbers.

    Yields
    ------
    Trainer
        Trainer of the stage.
    """
    model = prepare(network, stage)

    def run_epoch(epoch, on_step):
        # Each backend shuffles in its own way, with its own seeds.
        order = epoch_order(seed, epoch, len(data.y))
        with seeded(epoch_seed(seed, epoch)):
            history = model.fit(
                data.X[order],
                data.y[order],
                sample_weight=data.sample_weight[order],
                validation_data=data.validation,
                batch_size=batch_size,
                shuffle=False,
                callbacks=_watching(on_step),
                verbose=0,
            )
        return _last_epoch(history.history)

    yield Trainer(model, run_epoch)


@contextlib.contextmanager
def train_by_scikeras(network, stage, data, *, batch_size, seed):
    """Open a trainer on images in an array, on TensorFlow; parameters as `train_on_arrays`."""
    model = prepare(network, stage)
    # Each stage needs its own wrapper: with `warm_start`, SciKeras silently keeps the previous
    # stage's optimizer, with its learning rate and its list of trainable variables.
    classifier = _EncodedLabelsClassifier(
        lambda: model,
        warm_start=True,
        shuffle=False,  # shuffling would use TensorFlow's seed, which takes a second to set
        batch_size=batch_size,
        verbose=0,
    )

    def run_epoch(epoch, on_step):
        order = epoch_order(seed, epoch, len(data.y))
        classifier.callbacks = _watching(on_step)
        classifier.fit(
            data.X[order],
            data.y[order],
            sample_weight=data.sample_weight[order],
            validation_data=data.validation,
            epochs=1,
            initial_epoch=epoch,
        )
        return _last_epoch(classifier.history_)

    with _deterministic(seed):
        yield Trainer(model, run_epoch)


@contextlib.contextmanager
def _deterministic(seed):
    """Seed TensorFlow and make its operations deterministic, and undo both at the end."""
    # TensorFlow reads TF_DETERMINISTIC_OPS on the first query. SciKeras sets the variable before it
    # queries, so it would find determinism enabled and never disable it again. Later random
    # operations without a seed would fail. So query first.
    is_op_determinism_enabled()
    with tensorflow_random_state(seed):
        yield


class _EncodedLabelsClassifier(KerasClassifier):
    """SciKeras' classifier for labels that are already encoded.

    SciKeras would encode the training labels again, but not the validation labels. If a class were
    missing from training, the codes of the classes after it would no longer agree.
    """

    @property
    def target_encoder(self):
        return FunctionTransformer()

    def _type_of_target(self, y):
        return "multiclass"


@contextlib.contextmanager
def train_on_files(network, stage, data, *, batch_size, seed):
    """Open a trainer on image files, for more images than fit in memory.

    Parameters as `train_on_arrays`. SciKeras takes only arrays, so this uses Keras and `tf.data`.
    """
    errors = []
    model = prepare(network, stage)

    def run_epoch(epoch, on_step):
        validation = None
        if data.validation is not None:
            validation = batches(*data.validation, np.ones(len(data.y_val)), batch_size, errors)
        history = model.fit(
            batches(
                data.X,
                data.y,
                data.sample_weight,
                batch_size,
                errors,
                seed=epoch_seed(seed, epoch),
            ),
            validation_data=validation,
            shuffle=False,  # the dataset shuffles
            callbacks=_watching(on_step),
            verbose=0,
        )
        return _last_epoch(history.history)

    try:
        with _deterministic(seed):
            yield Trainer(model, run_epoch)
    except tf.errors.OpError:
        if errors:  # the original error, not TensorFlow's version of it
            raise errors[0] from None
        raise


def batches(images, y, sample_weight, batch_size, errors, *, seed=None):
    """Make a dataset of batches that are read in parallel and prefetched.

    Parameters
    ----------
    images : ndarray or ImageFiles of shape (n, height, width, channels)
        Images, values 0 to 255.
    y, sample_weight : ndarray of shape (n,)
        Their labels and weights.
    batch_size : int
        Number of images per batch.
    errors : list
        Collects exceptions raised while reading, which TensorFlow does not pass on.
    seed : int, default=None
        Seed for the order of the images; None keeps the given order.

    Returns
    -------
    tf.data.Dataset
        Dataset of (images, labels, weights).
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
        rows = rows.shuffle(len(y), seed=seed)  # only row numbers: images are read after this
    return rows.batch(batch_size).map(load, tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def _watching(on_step):
    """Make callbacks that report each gradient step to `on_step`, unless it is None."""
    return [] if on_step is None else [keras.callbacks.LambdaCallback(on_train_batch_end=on_step)]


def _last_epoch(history):
    return {name: values[-1] for name, values in history.items()}
