"""Train the layers after the frozen ones on features, without Keras' overhead per step.

In `keras.Model.fit`, a gradient step of the head takes a few milliseconds, most of it overhead.
Here TensorFlow loops over the steps, and XLA compiles the loop if there are many. Tracing and
compiling take seconds, so trainers are cached for the other fits of a search.
"""

import json
import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sklearn_patt_lite._network.batch_norm import (
    FoldedConvolution,
    FusedNormalization,
    fold_layers,
)
from sklearn_patt_lite._network.graph import STEP
from sklearn_patt_lite._network.parts import backbone_after, head_layers, head_of, to_numpy
from sklearn_patt_lite._process import LRUCache, seeded
from sklearn_patt_lite._training.progress import timed
from sklearn_patt_lite._training.quick_layers import quick_copy
from sklearn_patt_lite._training.stages import cross_entropy, optimizer

_CHUNK = 128  # maximum rows per call of TensorFlow, unless a batch is larger
_TRAINERS = LRUCache(16)
# With at least this many steps, XLA compiles them: it costs seconds once and saves milliseconds per
# step (examples/benchmarks/short_fits.py).
_MANY_STEPS = 200


def head_trainer(network, layer, stage, batch_size, n_steps):
    """Get the trainer for the layers after `layer`, cached by architecture."""
    tail, shape = backbone_after(network, layer)
    configs = [each.get_config() for each in [*tail, *head_layers(network)]]
    compiled = not tail and n_steps >= _MANY_STEPS  # XLA has no good kernels for large convolutions
    settings = [batch_size, stage.clipnorm, stage.label_smoothing, compiled]
    key = json.dumps([shape, settings, configs])

    def make():
        with seeded(0):  # any seed: the weights are replaced
            model = _copy(network, tail, shape)
        return HeadTrainer(model, stage, batch_size, compiled=compiled)

    return _TRAINERS.get(key, make)


def _copy(network, tail, shape):
    """Copy the layers from features to probabilities, with new weights."""
    head = keras.models.clone_model(head_of(network), clone_function=quick_copy)
    if not tail:
        return head
    x = features = keras.Input(shape)
    copies = keras.Sequential([layer.__class__.from_config(layer.get_config()) for layer in tail])
    copies(x)  # builds them
    return keras.Model(features, head(fold_layers(copies.layers, x)))


class HeadTrainer:
    """Trainer for a copy of a network's layers from features to probabilities.

    Parameters
    ----------
    model : keras.Model
        The copy: `load` copies a network's weights into it, and `unload` copies them back.
    stage : Stage
        Stage whose loss and optimizer settings the steps are traced with.
    batch_size : int
        Number of images per gradient step.
    compiled : bool
        Whether XLA compiles the steps of full batches.
    """

    def __init__(self, model, stage, batch_size, *, compiled):
        self.model = model
        self.chunk_size = batch_size * max(1, _CHUNK // batch_size)
        self._batch_size, self._compiled = batch_size, compiled
        self._cross_entropy = cross_entropy(stage)
        self._optimizer = optimizer(stage)
        self._optimizer.build(model.trainable_variables)
        model.compile(self._optimizer)
        shape = model.input.shape[1:]
        by_rows = self._signature(None, shape)
        self._steps = tf.function(self._run_steps, input_signature=by_rows, autograph=False)
        # XLA compiles each shape separately, which takes seconds, so all chunks have the same size.
        chunk = [*self._signature(self.chunk_size, shape), tf.TensorSpec((), tf.int32)]
        self._compiled_steps = tf.function(
            self._run_steps, input_signature=chunk, autograph=False, jit_compile=True
        )
        self._score = tf.function(self._run_score, input_signature=by_rows[:2], autograph=False)

    @staticmethod
    def _signature(n, shape):
        return [
            tf.TensorSpec((n, *shape), tf.uint16),
            tf.TensorSpec((n,), tf.int32),
            tf.TensorSpec((n,), tf.float32),
        ]

    def load(self, network, stage):
        """Copy a network's weights and dropout seeds into the model, and reset the optimizer."""
        for mine, theirs in self._pairs(network):
            mine.assign(theirs)
        for variable in self._optimizer.variables:
            variable.assign(ops.zeros_like(variable))
        self._optimizer.learning_rate = stage.learning_rate

    def unload(self, network):
        """Copy the weights and dropout seeds back into the network."""
        for mine, theirs in self._pairs(network):
            theirs.assign(mine)

    def learned(self, network):
        """Return a copy of the weights, by the paths of the network's variables."""
        return {theirs.path: to_numpy(mine) for mine, theirs in self._pairs(network)}

    def _pairs(self, network):
        theirs = {layer.name: layer for layer in _all_layers(network)}
        for layer in _all_layers(self.model):
            if layer.name in theirs:  # input layers have other names
                # Dropout created with a rate of 0 has no seeds.
                yield from zip(layer.variables, theirs[layer.name].variables, strict=False)

    def train(self, chunks, on_chunk=None):
        """Train on chunks for one epoch; return its loss and accuracy.

        `on_chunk` is called with the number of the chunk's last step, counted from 0, the logs so
        far, and the seconds spent waiting for the chunk.
        """
        totals, n = np.zeros(2), 0
        for waited, (x, y, weights) in timed(chunks):
            for part in self._take_steps(x, y, weights):
                totals += [float(value) for value in part]
            n += len(y)
            logs = {"loss": totals[0] / n, "accuracy": totals[1] / n}
            if on_chunk is not None:
                on_chunk(math.ceil(n / self._batch_size) - 1, logs, waited)
        return logs

    def _take_steps(self, x, y, weights):
        """Run the steps of a chunk; yield sums of losses and counts of correct predictions."""
        n_whole = len(y) // self._batch_size if self._compiled else 0
        first = n_whole * self._batch_size
        if n_whole:
            whole = (_filled(array[:first], self.chunk_size) for array in (x, y, weights))
            yield self._compiled_steps(*_cast(*whole), n_whole)
        if first < len(y):
            yield self._steps(*_cast(x[first:], y[first:], weights[first:]))

    def evaluate(self, chunks):
        """Compute loss and accuracy on validation data, under Keras' names."""
        totals, n = np.zeros(2), 0
        for x, y in chunks:
            scores = self._score(*_cast(x, y))
            totals += [score.numpy().sum(dtype=float) for score in scores]
            n += len(y)
        return {"val_loss": totals[0] / n, "val_accuracy": totals[1] / n}

    def _run_steps(self, x, y, weights, n_steps=None):
        """Run all steps, or the first `n_steps`; return sums of losses and correct predictions."""
        n_rows = tf.shape(x)[0]
        # A compiled chunk is padded to a fixed length, so the caller passes the number of steps
        # with data.
        if n_steps is None:
            n_steps = -(-n_rows // self._batch_size)

        def step(i, loss, correct):
            start, size = i * self._batch_size, self._batch_size
            if x.shape[0] is None:  # the last batch may be smaller; XLA needs a fixed size
                size = tf.minimum(size, n_rows - start)
            batch_loss, batch_correct = self._run_step(
                tf.slice(x, [start, 0, 0, 0], [size, *x.shape[1:]]),
                tf.slice(y, [start], [size]),
                tf.slice(weights, [start], [size]),
            )
            return i + 1, loss + batch_loss, correct + batch_correct

        # A `for` loop would need AutoGraph, which uses deprecated parts of Python 3.13 and fails
        # if warnings are errors. Steps run in sequence: each needs the weights of the previous one.
        start = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        return tf.while_loop(lambda i, *_: i < n_steps, step, start, parallel_iterations=1)[1:]

    def _run_step(self, x, y, weights):
        """Run one gradient step; return the batch's sums of losses and correct predictions."""
        x = _decode(x)
        with tf.GradientTape() as tape:
            probabilities = self.model(x, training=True)
            losses = self._cross_entropy(y, probabilities) * weights
            loss = tf.reduce_mean(losses)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply(gradients, variables)
        return tf.reduce_sum(losses), tf.reduce_sum(_correct(y, probabilities))

    def _run_score(self, x, y):
        probabilities = self.model(_decode(x), training=False)
        losses = self._cross_entropy(y, probabilities)
        return losses, _correct(y, probabilities)


def _all_layers(model):
    """Yield all layers with variables of their own, including those of nested models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        elif isinstance(layer, FoldedConvolution):
            yield from (layer.convolution, layer.normalization)
        elif isinstance(layer, FusedNormalization):
            yield layer.normalization
        else:
            yield layer


def _decode(features):
    """Decode stored features to float32."""
    return tf.cast(features, tf.float32) * STEP


def _correct(y, probabilities):
    return tf.cast(tf.argmax(probabilities, axis=1, output_type=tf.int32) == y, tf.float32)


def _filled(array, n):
    """Pad an array with zeros to the compiled length; the steps do not reach the padding."""
    if len(array) == n:
        return array
    filled = np.zeros((n, *array.shape[1:]), dtype=array.dtype)
    filled[: len(array)] = array
    return filled


def _cast(x, y, weights=None):
    """Cast arrays to the dtypes of the traced functions' signatures."""
    arrays = [x, y.astype(np.int32)]
    return arrays if weights is None else [*arrays, weights.astype(np.float32)]
