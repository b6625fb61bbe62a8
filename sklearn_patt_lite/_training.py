"""The two stages of training, in plain Keras 3.

Stage 1 trains the head on a frozen backbone; stage 2 unfreezes the backbone's last layers.
Both follow the paper and its notebook, except that *validation* data drives early stopping,
the reduction of the learning rate and the choice of the best weights in both stages.
"""

import contextlib
import dataclasses
import math
import random

import keras
import numpy as np
from keras import ops

from sklearn_patt_lite._checkpoint import Checkpoint
from sklearn_patt_lite._folding import fold_network
from sklearn_patt_lite._network import (
    BACKBONE,
    build_network,
    under_policy,
    without_copy_warnings,
)
from sklearn_patt_lite._progress import Progress

MIN_DELTA = 0.003  # gains in validation accuracy below this count as none
MIN_LEARNING_RATE = 1e-6
WARM_UP = 0.1  # share of a stage's epochs in which a cosine's learning rate rises
DECAY_EPOCHS = 80  # stage 2's learning rate is halved after so many epochs


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training."""

    name: str  # its key in the history
    epochs: int
    learning_rate: float
    patience: int | None
    clipnorm: float | None
    unfreeze_layers: int | None  # of the backbone, counted from its end; None: all of it
    token_dropout: float
    patch_dropout: float = 0.0
    attention_dropout: float = 0.0
    decays: bool = False  # whether the learning rate decays with inverse time
    schedule: str = "plateau"  # what else becomes of it: reduced on a plateau, or "cosine"
    label_smoothing: float = 0.0

    def describe(self, data, n_epochs=0):
        """Say in a line what is about to happen, when so many epochs lie behind it."""
        layers = "all" if self.unfreeze_layers is None else f"the last {self.unfreeze_layers}"
        trains = "frozen" if self.unfreeze_layers == 0 else f"{layers} layers train"
        validated = "none" if data.X_val is None else len(data.X_val)
        resumed = f"; goes on after epoch {n_epochs}" if n_epochs else ""
        return (
            f"stage {self.name!r}: backbone {trains}, at most {self.epochs} epochs, "
            f"{len(data.X)} images to train on, {validated} to validate on{resumed}"
        )


def head_stage(*, dropout, **settings):
    """Stage 1: the backbone is frozen."""
    return Stage(name="head", unfreeze_layers=0, token_dropout=dropout, **settings)


def end_to_end_stage(**settings):
    """One stage in which everything trains."""
    return dataclasses.replace(head_stage(**settings), name="end_to_end", unfreeze_layers=None)


def finetune_stage(*, dropout, **settings):
    """Stage 2: the last layers of the backbone train too, more carefully."""
    return Stage(
        name="finetune",
        token_dropout=dropout,
        patch_dropout=dropout,
        attention_dropout=dropout,
        decays=True,
        **settings,
    )


def train_stages(model, stages, data, *, verbose=0, checkpoint=None, **settings):
    """Train a network stage after stage; parameters and errors as in `train_stage`.

    A stage whose every epoch validates worse than what it began with gives its weights back:
    its "best_epoch" is -1 then.

    Returns
    -------
    dict
        The history of each stage, by its name.
    """
    checkpoint = Checkpoint() if checkpoint is None else checkpoint
    checkpoint.restore(model)
    remaining = stages[len(checkpoint.histories) :]
    if not remaining:
        set_stage(model, stages[-1])
        compile_for(model, stages[-1])
    for stage in remaining:
        checkpoint.begin_stage(model)
        if verbose:
            print(f"[PAttLiteClassifier] {stage.describe(data, checkpoint.n_epochs)}")
        history = train_stage(
            model, stage, data, verbose=verbose, checkpoint=checkpoint, **settings
        )
        reached = checkpoint.reached
        if "val_accuracy" in history:
            best = history["val_accuracy"][history["best_epoch"]]
            if reached is not None and best < reached:
                checkpoint.restore(model)
                history["best_epoch"] = -1
            else:
                reached = best
        checkpoint.end_stage(stage.name, history, reached, model)
    return checkpoint.histories


def train_stage(
    model,
    stage,
    data,
    *,
    batch_size,
    seed,
    verbose=0,
    fit=None,
    checkpoint=None,
    progress=None,
):
    """Train a network for one stage; it keeps the weights of its best epoch.

    Parameters
    ----------
    model : keras.Model
        From `build_network`; trained in place.
    stage : Stage
        What to train, and how.
    data : TrainingData
        On what.
    batch_size : int
        Images a gradient step.
    seed : int
        Of the order of the images.
    verbose : int
        Keras' `verbose` of `keras.Model.fit`.
    fit : callable, default=None
        What runs the stage's `EpochLoop`; `keras_fit` by default.
    checkpoint : Checkpoint, default=None
        Whose current stage this is.
    progress : Progress, default=None
        What watches the steps of the fit; by default nothing does.

    Returns
    -------
    dict
        A list of one float an epoch for "loss", "accuracy", "learning_rate" and, with
        validation data, "val_loss" and "val_accuracy"; "best_epoch", counted from 0, is the
        one whose weights were kept.

    Raises
    ------
    ValueError
        If the training diverged.
    """
    loop = EpochLoop(
        stage,
        stage_callbacks(stage, has_validation=data.X_val is not None),
        n_steps=math.ceil(len(data.y) / batch_size),
        verbose=verbose,
        checkpoint=Checkpoint() if checkpoint is None else checkpoint,
        progress=progress,
    )
    (fit or keras_fit)(model, stage, data, batch_size=batch_size, seed=seed, loop=loop)
    compile_for(model, stage)  # what was trained may be another model of its weights
    return loop.history


class EpochLoop:
    """Runs a stage epoch after epoch, with Keras' callbacks around each.

    Parameters
    ----------
    stage : Stage
        What is trained.
    callbacks : list of keras.callbacks.Callback
        What watches it.
    n_steps : int
        Gradient steps an epoch.
    verbose : int
        Keras' `verbose` of `keras.Model.fit`.
    checkpoint : Checkpoint
        Where the stage may have come to already.
    progress : Progress, default=None
        What watches its steps; by default nothing does.

    Attributes
    ----------
    history : dict
        Of the stage, once it has run; see `train_stage`.
    """

    def __init__(self, stage, callbacks, *, n_steps, verbose, checkpoint, progress=None):
        self._stage, self._n_steps = stage, n_steps
        self._callbacks = callbacks
        self._checkpoint = checkpoint
        self._progress = Progress() if progress is None else progress
        self._history = keras.callbacks.History()
        self._events = keras.callbacks.CallbackList(
            [*callbacks, self._history],
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=stage.epochs,
            steps=n_steps,
        )
        self._has_bar = verbose != 0
        self.history = {}

    @property
    def within(self):
        """What a fit of Keras is to call within the coming epoch, if somebody watches."""
        if not (self._has_bar or self._progress.watches):
            return []
        return [keras.callbacks.LambdaCallback(on_train_batch_end=self.on_batch_end)]

    def on_batch_end(self, step, logs, once=0.0):
        """Tell who watches that a gradient step, counted from 0, has been taken.

        See `Progress.step` for `once`.
        """
        self._events.on_train_batch_end(step, logs)
        self._progress.step(step + 1, once)

    def run(self, trained, train_epoch):
        """Train.

        Parameters
        ----------
        trained : keras.Model
            What `prepare` gives, or like it: what the callbacks watch and stop, and a checkpoint
            keeps.
        train_epoch : callable
            Trains it for an epoch, whose number it is given, counted from 0; it returns the
            epoch's "loss", "accuracy" and, with validation data, "val_loss" and "val_accuracy".

        Raises
        ------
        ValueError
            If the training diverged.
        """
        trained.stop_training = False
        self._events.set_model(trained)
        self._events.on_train_begin()
        self._checkpoint.resume(trained, self._callbacks, self._history)
        self._progress.begin_stage(self._stage, self._n_steps)
        first = len(self._history.epoch)
        for epoch in range(first, self._stage.epochs):
            if trained.stop_training:
                break
            with without_copy_warnings():
                self._events.on_epoch_begin(epoch)
            self._progress.begin_epoch(epoch, is_first=epoch == first)
            logs = dict(train_epoch(epoch))
            self._progress.end_epoch()
            self._refuse_divergence(logs["loss"])
            with without_copy_warnings():
                self._events.on_epoch_end(epoch, logs)
            self._checkpoint.end_epoch(trained, self._callbacks, self._history)
        self._events.on_train_end()
        history = self._history.history
        self.history = {key: [float(v) for v in values] for key, values in history.items()}
        self.history["best_epoch"] = _best_epoch(self._callbacks, len(self._history.epoch))

    def _refuse_divergence(self, loss):
        if not math.isfinite(loss):
            stage = self._stage
            raise ValueError(
                f"Training diverged in stage {stage.name!r}: the loss is not finite. Lower its "
                f"learning rate (now {stage.learning_rate}) or set clipnorm (now "
                f"{stage.clipnorm})."
            )


def keras_fit(model, stage, data, *, batch_size, seed, loop):
    """Run a stage with `keras.Model.fit`, an epoch at a time, on any backend of Keras.

    Parameters
    ----------
    model : keras.Model
        The network; trained in place.
    stage : Stage
        What to train, and how.
    data : TrainingData
        On what.
    batch_size : int
        Images a gradient step.
    seed : int
        Of the order of the images.
    loop : EpochLoop
        Runs the epochs, and knows their history then.
    """
    network = prepare(model, stage)

    def train_epoch(epoch):
        # Backends shuffle each in their own way, and by seeds of their own.
        order = epoch_order(seed, epoch, len(data.y))
        with seeded(epoch_seed(seed, epoch)):
            history = network.fit(
                data.X[order],
                data.y[order],
                sample_weight=data.sample_weight[order],
                validation_data=data.validation,
                batch_size=batch_size,
                shuffle=False,
                callbacks=loop.within,
                verbose=0,
            )
        return last_of(history.history)

    loop.run(network, train_epoch)


def on_tensorflow():
    """Whether Keras runs on TensorFlow, in which features are trained on and engines are made."""
    return keras.backend.backend() == "tensorflow"


def last_of(history):
    """The last epoch's numbers in a history of Keras."""
    return {name: values[-1] for name, values in history.items()}


def epoch_seed(seed, epoch):
    """Seed an epoch by itself: those before it need not be run again to come to the same."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def epoch_order(seed, epoch, n):
    """Draw the order of n images in an epoch."""
    return np.random.default_rng(epoch_seed(seed, epoch)).permutation(n)


def prepare(model, stage):
    """Set a stage up, and make what trains the network in it.

    Returns
    -------
    keras.Model
        Of the network's weights; compiled, its optimizer built.
    """
    set_stage(model, stage)
    network = compile_for(fold_network(model), stage)
    # Variables that a step's first trace creates make TensorFlow trace it a second time.
    network.optimizer.build(network.trainable_variables)
    return network


def compile_for(model, stage):
    """Compile a network for a stage that is set up."""
    model.compile(
        optimizer=optimizer(stage),
        loss=cross_entropy(stage),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    return model


def cross_entropy(stage):
    """Make the loss of a stage: of labels (n,) and probabilities (n, n_classes), one an image."""
    if not stage.label_smoothing:
        return keras.losses.sparse_categorical_crossentropy

    def smoothed_cross_entropy(y, probabilities):
        targets = ops.one_hot(ops.reshape(y, (-1,)), probabilities.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, probabilities, label_smoothing=stage.label_smoothing
        )

    return smoothed_cross_entropy


def set_stage(model, stage):
    """Set what trains in a stage, and at which dropout rates."""
    set_trainable(model, stage)
    for name in ("patch_dropout", "token_dropout", "attention_dropout"):
        model.get_layer(name).rate = getattr(stage, name)


def optimizer(stage):
    """Make the optimizer of a stage."""
    adam = keras.optimizers.Adam(stage.learning_rate, global_clipnorm=stage.clipnorm)
    # Keras would sum the gradients over the replicas, of which there is one. TensorFlow registers
    # a gradient of this sum, and with it keeps the graph of each fit until the process ends.
    adam._all_reduce_sum_gradients = list
    return adam


def set_trainable(model, stage):
    """Let train what trains in a stage."""
    backbone = model.get_layer(BACKBONE)
    if stage.unfreeze_layers is None:
        backbone.trainable = True
    else:
        unfreeze_last(backbone, stage.unfreeze_layers)


def unfreeze_last(backbone, n_layers):
    """Let the last `n_layers` of the backbone train, except its BatchNormalization.

    BatchNormalization stays in inference mode: the batches are too small to re-estimate it.
    More layers than there are means all of them.
    """
    backbone.trainable = True
    first = max(0, len(backbone.layers) - n_layers)
    for i, layer in enumerate(backbone.layers):
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = i >= first and not is_normalization


def stage_callbacks(stage, *, has_validation):
    """Make the callbacks of a stage."""
    callbacks = [keras.callbacks.LearningRateScheduler(_schedule(stage))]
    if not has_validation:
        return callbacks
    watch = {"monitor": "val_accuracy", "mode": "max", "min_delta": MIN_DELTA}
    if stage.patience is not None and stage.schedule == "plateau":
        # The notebook waits 3 epochs of a patience of 5 before it lowers the rate.
        patience = max(1, round(0.6 * stage.patience))
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(patience=patience, min_lr=MIN_LEARNING_RATE, **watch)
        )
    # Patience that outlasts the stage never stops it, but restores the best weights.
    patience = stage.epochs if stage.patience is None else stage.patience
    callbacks.append(
        keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True, **watch)
    )
    return callbacks


def _schedule(stage):
    """What a stage's learning rate is in an epoch, counted from 0, given the one before."""
    return _cosine(stage) if stage.schedule == "cosine" else _inverse_time(stage)


def _cosine(stage):
    """A rise in even steps, and a fall along half a wave of a cosine to nearly nothing."""
    n_rising = round(WARM_UP * stage.epochs)

    def rate(epoch, learning_rate):
        if epoch < n_rising:
            return stage.learning_rate * (epoch + 1) / (n_rising + 1)
        fallen = (epoch - n_rising) / (stage.epochs - n_rising)
        return stage.learning_rate * 0.5 * (1 + math.cos(math.pi * fallen))

    return rate


def _inverse_time(stage):
    """Inverse time decay, stepwise: it composes with reductions by `ReduceLROnPlateau`."""

    def rate(epoch, learning_rate):
        if epoch == 0 or not stage.decays:
            return learning_rate
        return learning_rate * (DECAY_EPOCHS + epoch - 1) / (DECAY_EPOCHS + epoch)

    return rate


def _best_epoch(callbacks, n_epochs):
    """The epoch whose weights were kept: without validation data, the last."""
    stopping = [c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)]
    return int(stopping[0].best_epoch) if stopping else n_epochs - 1


def rebuild_network(architecture, weights, policy):
    """Build a network anew around weights that it had; see `policy_of` for its policy."""
    with seeded(0), under_policy(policy):  # any seed: the weights are replaced at once
        network = build_network(architecture)
    network.set_weights(weights)
    return network


def policy_of(network):
    """Name the dtype policy of Keras that a network was built under."""
    return network.get_layer(BACKBONE).dtype_policy.name


@contextlib.contextmanager
def seeded(seed):
    """Seed what Keras draws from (Python's and NumPy's global state), then put it back."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
