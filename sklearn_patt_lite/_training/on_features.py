"""Training on features: what is behind the frozen layers, without Keras' overhead a step.

A step of the head alone takes a few milliseconds, most of which `keras.Model.fit` spends around
it. Here TensorFlow loops over the steps itself, and where there are many, XLA compiles the loop.
Tracing takes seconds, and so does compiling: trainers are kept for the other fits of a search.
"""

import json
import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sklearn_patt_lite._features.backbone import CLEAN, VIEWS, FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._network.batch_norm import FoldedConvolution, fold_layers
from sklearn_patt_lite._network.parts import frozen_until, head_of, set_trainable
from sklearn_patt_lite._network.patt_lite import BACKBONE
from sklearn_patt_lite._process import LRUCache, prefetch, seeded
from sklearn_patt_lite._training.progress import timed
from sklearn_patt_lite._training.quick_layers import quick_copy
from sklearn_patt_lite._training.stages import cross_entropy, epoch_order, optimizer, set_stage

_CHUNK = 128  # rows that TensorFlow is given at once, if they are more than a batch
_TRAINERS = LRUCache(16)
# With at least so many steps XLA compiles them. That costs seconds once, and saves milliseconds a
# step (examples/benchmarks/short_fits.py).
_MANY_STEPS = 200


class FeatureTraining:
    """Runs the stages of a fit on features where that is cheaper; see `train_stage`.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with the weights that the first stage begins with.
    stages : list of Stage
        All that it will be trained for, in order.
    data : TrainingData
        On what.
    memory : FeatureMemory or None
        Where features are kept beyond the fit.
    augment : bool
        Whether training images are shown in the views of the bank, or as they are.
    otherwise : callable
        Runs the stages for which features are not cheaper.
    """

    def __init__(self, network, stages, data, *, memory, augment, otherwise):
        self._cuts = {stage: _cut(network, stage) for stage in stages}
        self._n_views = len(VIEWS) if augment else 1
        self._memory = memory
        self._otherwise = otherwise
        self._banks = {}
        if any(self._cuts.values()):
            frozen, cache = FrozenBackbone(network), FeatureCache(memory)
            self._banks["train"] = FeatureBank(frozen, data.X, cache)
            if data.X_val is not None:
                self._banks["validation"] = FeatureBank(frozen, data.X_val, cache)

    @property
    def cut(self):
        """The activation at which the last stage begins to train; None for the image."""
        return list(self._cuts.values())[-1]

    @property
    def counts(self):
        """How many rows of features took a forward pass, and how many were found."""
        banks = self._banks.values()
        return {
            "computed": sum(bank.n_computed for bank in banks),
            "found": sum(bank.n_found for bank in banks),
        }

    @property
    def passes(self):
        """In how many epochs of each stage images pass the frozen layers."""
        # The way to the first cut leads through those of later stages.
        first = next(iter(self._cuts))
        on_features = {stage: self._n_views * (stage is first) for stage in self._cuts}
        return {s: s.epochs if self._cuts[s] is None else on_features[s] for s in self._cuts}

    def __call__(self, network, stage, data, **settings):
        """Run a stage; as `keras_fit`."""
        if self._cuts[stage] is None:
            self._otherwise(network, stage, data, **settings)
            return
        set_stage(network, stage)
        batch_size = settings["batch_size"]
        n_steps = stage.epochs * math.ceil(len(data.y) / batch_size)
        trainer = _trainer(network, self._cuts[stage], stage, batch_size, n_steps)
        trainer.load(network, stage)
        self._run(trainer, stage, data, settings["seed"], settings["loop"])
        trainer.unload(network)

    def _run(self, trainer, stage, data, seed, loop):
        bank = self._banks["train"]

        def train_epoch(epoch):
            n_before = bank.n_computed

            def on_batch_end(step, logs, waited):
                loop.on_batch_end(step, logs, waited if bank.n_computed > n_before else 0.0)

            order = epoch_order(seed, epoch, len(data.y))
            chunks = prefetch(self._chunks(stage, epoch, order, data, trainer))
            logs = trainer.train(chunks, on_batch_end)
            if data.y_val is not None:
                logs |= trainer.evaluate(prefetch(self._validation_chunks(stage, data, trainer)))
            return logs

        loop.run(trainer.model, train_epoch)

    def _chunks(self, stage, epoch, order, data, trainer):
        """The training data in an order, in pieces: features, labels, weights."""
        bank, cut = self._banks["train"], self._cuts[stage]
        views = bank.views(epoch) if self._n_views > 1 else np.full(len(bank), CLEAN)
        kept = self._kept(stage, epoch % self._n_views, self._n_views)
        for start in range(0, len(order), trainer.chunk_size):
            rows = order[start : start + trainer.chunk_size]
            x = bank.read(cut, rows, views[rows], kept)
            yield x, data.y[rows], data.sample_weight[rows]

    def _validation_chunks(self, stage, data, trainer):
        bank, cut = self._banks["validation"], self._cuts[stage]
        kept = self._kept(stage, 0, 1)
        for start in range(0, len(bank), trainer.chunk_size):
            rows = np.arange(len(bank))[start : start + trainer.chunk_size]
            yield bank.read(cut, rows, np.full(len(rows), CLEAN), kept), data.y_val[rows]

    def _kept(self, stage, i_view, n_views):
        """The cuts at which features of the i-th view of each image will be asked for again."""
        stages = list(self._cuts)
        later = stages[stages.index(stage) + 1 :]
        kept = [s for s in later if i_view < s.epochs]
        if stage.epochs > n_views:
            kept.append(stage)
        return {self._cuts[s] for s in (self._cuts if self._memory is not None else kept)}


def _cut(network, stage):
    set_trainable(network, stage)
    return frozen_until(network)


def _trainer(network, cut, stage, batch_size, n_steps):
    """Get a trainer of what is behind the cut; the same architecture gets the same one again."""
    backbone = network.get_layer(BACKBONE)
    tail = backbone.layers[backbone.layers.index(backbone.get_layer(cut)) + 1 :]
    head = network.layers[network.layers.index(backbone) + 1 :]
    configs = [layer.get_config() for layer in [*tail, *head]]
    shape = backbone.get_layer(cut).output.shape[1:]
    compiled = not tail and n_steps >= _MANY_STEPS  # XLA has no good kernels for large convolutions
    settings = [batch_size, stage.clipnorm, stage.label_smoothing, compiled]
    key = json.dumps([shape, settings, configs])

    def make():
        with seeded(0):  # of weights that are replaced
            model = _copy(network, tail, shape)
        return _Trainer(model, stage, batch_size, compiled=compiled)

    return _TRAINERS.get(key, make)


def _copy(network, tail, shape):
    """Build what is behind a cut anew, from features to probabilities."""
    head = keras.models.clone_model(head_of(network), clone_function=quick_copy)
    if not tail:
        return head
    x = features = keras.Input(shape)
    copies = keras.Sequential([layer.__class__.from_config(layer.get_config()) for layer in tail])
    copies(x)  # builds them
    return keras.Model(features, head(fold_layers(copies.layers, x)))


class _Trainer:
    """A network from features to probabilities, with its steps.

    Parameters
    ----------
    model : keras.Model
        What is trained; its weights come from a network, and go back.
    stage : Stage
        Whose settings the steps are traced with.
    batch_size : int
        Images a gradient step.
    compiled : bool
        Whether XLA compiles the steps of whole batches.
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
        # XLA compiles each shape anew, for seconds: it gets chunks of one size.
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
        """Take over a network's weights and dropout's seeds, with a new optimizer."""
        for mine, theirs in self._pairs(network):
            mine.assign(theirs)
        for variable in self._optimizer.variables:
            variable.assign(ops.zeros_like(variable))
        self._optimizer.learning_rate = stage.learning_rate

    def unload(self, network):
        """Give the weights back."""
        for mine, theirs in self._pairs(network):
            theirs.assign(mine)

    def _pairs(self, network):
        theirs = {layer.name: layer for layer in _all_layers(network)}
        for layer in _all_layers(self.model):
            if layer.name in theirs:  # the inputs' names are not
                # Dropout that was made with a rate of 0 has no seeds.
                yield from zip(layer.variables, theirs[layer.name].variables, strict=False)

    def train(self, chunks, on_batch_end):
        """Train on chunks for an epoch; its loss and accuracy.

        `on_batch_end` gets the step, counted from 0, its logs, and the seconds waited for a chunk.
        """
        totals, n = np.zeros(2), 0
        for waited, (x, y, weights) in timed(chunks):
            for part in self._take_steps(x, y, weights):
                totals += [float(value) for value in part]
            n += len(y)
            logs = {"loss": totals[0] / n, "accuracy": totals[1] / n}
            on_batch_end(math.ceil(n / self._batch_size) - 1, logs, waited)
        return logs

    def _take_steps(self, x, y, weights):
        """Take a chunk's steps; yield sums of losses and numbers of right answers."""
        n_whole = len(y) // self._batch_size if self._compiled else 0
        first = n_whole * self._batch_size
        if n_whole:
            whole = (_filled(array[:first], self.chunk_size) for array in (x, y, weights))
            yield self._compiled_steps(*_cast(*whole), n_whole)
        if first < len(y):
            yield self._steps(*_cast(x[first:], y[first:], weights[first:]))

    def evaluate(self, chunks):
        """Loss and accuracy on validation data, under the names of Keras."""
        totals, n = np.zeros(2), 0
        for x, y in chunks:
            scores = self._score(*_cast(x, y))
            totals += [score.numpy().sum(dtype=float) for score in scores]
            n += len(y)
        return {"val_loss": totals[0] / n, "val_accuracy": totals[1] / n}

    def _run_steps(self, x, y, weights, n_steps=None):
        """Take all steps of these rows, or the first; return summed losses and right answers."""
        n_rows = tf.shape(x)[0]
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

        # Not a `for`: AutoGraph, which would convert it, uses what Python 3.13 deprecates, and
        # fails where warnings are errors.
        start = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        return tf.while_loop(lambda i, *_: i < n_steps, step, start, parallel_iterations=1)[1:]

    def _run_step(self, x, y, weights):
        """One gradient step; the batch's sum of losses and number of right answers."""
        x = decode(x)
        with tf.GradientTape() as tape:
            probabilities = self.model(x, training=True)
            losses = self._cross_entropy(y, probabilities) * weights
            loss = tf.reduce_mean(losses)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply(gradients, variables)
        return tf.reduce_sum(losses), tf.reduce_sum(_correct(y, probabilities))

    def _run_score(self, x, y):
        probabilities = self.model(decode(x), training=False)
        losses = self._cross_entropy(y, probabilities)
        return losses, _correct(y, probabilities)


def _all_layers(model):
    """All layers that hold variables of their own, those of nested models too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        elif isinstance(layer, FoldedConvolution):
            yield from (layer.convolution, layer.normalization)
        else:
            yield layer


def _correct(y, probabilities):
    return tf.cast(tf.argmax(probabilities, axis=1, output_type=tf.int32) == y, tf.float32)


def _filled(array, n):
    """Bring an array to the length that was compiled; what is added is not looked at."""
    if len(array) == n:
        return array
    filled = np.zeros((n, *array.shape[1:]), dtype=array.dtype)
    filled[: len(array)] = array
    return filled


def _cast(x, y, weights=None):
    """What TensorFlow's functions were told to expect."""
    arrays = [x, y.astype(np.int32)]
    return arrays if weights is None else [*arrays, weights.astype(np.float32)]
