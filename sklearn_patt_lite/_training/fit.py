"""The two stages of training, in plain Keras 3.

Stage 1 trains the head on a frozen backbone; stage 2 unfreezes the backbone's last layers.
Both follow the paper and its notebook, except that *validation* data drives early stopping,
the reduction of the learning rate and the choice of the best weights in both stages.
"""

import math

import keras

from sklearn_patt_lite._process import seeded, without_copy_warnings
from sklearn_patt_lite._training.checkpoint import Checkpoint
from sklearn_patt_lite._training.progress import Progress
from sklearn_patt_lite._training.stages import (
    best_epoch,
    compile_for,
    epoch_order,
    epoch_seed,
    prepare,
    set_stage,
    stage_callbacks,
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
        self.history["best_epoch"] = best_epoch(self._callbacks, len(self._history.epoch))

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


def last_of(history):
    """The last epoch's numbers in a history of Keras."""
    return {name: values[-1] for name, values in history.items()}
