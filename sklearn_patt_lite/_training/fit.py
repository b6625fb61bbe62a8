"""Run a fit: build the network, then train stage by stage and epoch by epoch.

Stage 1 trains the head on a frozen backbone; stage 2 unfreezes the backbone's last layers. With
`recipe="paper"`, both stages follow the paper and its notebook, except that *validation* data
drives early stopping, learning rate reduction and the choice of the best weights.
"""

import math

import keras

from sklearn_patt_lite._callbacks.task import Task
from sklearn_patt_lite._images.source import data_digests
from sklearn_patt_lite._inference.fitted import FittedNetwork
from sklearn_patt_lite._network.batch_norm import refit_normalization
from sklearn_patt_lite._network.kept import KeptNetwork
from sklearn_patt_lite._network.parts import named_weights, policy_of
from sklearn_patt_lite._network.patt_lite import build_network, draw_weights
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import (
    FIT_LOCK,
    keras_settings,
    on_accelerator,
    on_tensorflow,
    seeded,
    without_copy_warnings,
    without_retracing_warnings,
)
from sklearn_patt_lite._training.checkpoint import Checkpoint, checkpoint_path
from sklearn_patt_lite._training.on_features import FrozenFeatures, train_on_features
from sklearn_patt_lite._training.on_images import trainer_for
from sklearn_patt_lite._training.progress import Progress
from sklearn_patt_lite._training.stages import (
    best_epoch,
    compile_for,
    set_stage,
    stage_callbacks,
    stages_of,
)

_KERAS_VERBOSE = (0, 2, 1)  # silent, one line per epoch, a bar: Keras numbers them differently


@keras_settings()
def fit_network(data, settings, seed, *, memory=None, checkpoint_dir=None, task=None):
    """Build a network, and train it according to the settings.

    Parameters
    ----------
    data : TrainingData
        Training and validation data.
    settings : Settings
        Settings of the fit.
    seed : int
        Seed for weights, dropout, augmentation and the order of images.
    memory : FeatureMemory, default=None
        Memory that keeps the features of frozen layers after the fit.
    checkpoint_dir : path-like, default=None
        Folder for a checkpoint after each epoch. If it holds one of this fit, the fit resumes.
    task : Task, default=None
        The fit's task, which notifies callbacks of its stages and epochs. None: no callbacks.

    Returns
    -------
    fitted : FittedNetwork
        The trained network.
    history : dict
        The history of each stage, by name, and the counts under "features"; see
        `PAttLiteClassifier.history_`.

    Raises
    ------
    ConnectionError, FileNotFoundError, ValueError
        As `PAttLiteClassifier.fit`.
    """
    architecture = settings.architecture(data.image_shape, len(data.classes))
    stages = stages_of(settings)
    with FIT_LOCK, without_retracing_warnings():
        network = _initial_network(architecture, settings.backbone_weights, data.classes, seed)
        checkpoint = Checkpoint()
        if checkpoint_dir is not None:
            identity = _identity(network, architecture, stages, data, settings, seed)
            checkpoint = Checkpoint(checkpoint_path(checkpoint_dir, network, *identity))
        features = None
        if _may_train_on_features(network, settings):
            features = FrozenFeatures(
                network, architecture, stages, data, memory, augment=settings.augment
            )

        def fitted_by(kept):
            return FittedNetwork(
                kept,
                batch_size=settings.batch_size,
                averaging=settings.averaging,
                frozen_until=None if features is None else features.kept_layer(stages[-1]),
            )

        def with_counts(history):
            counts = {"computed": 0, "found": 0} if features is None else features.counts
            return {**history, "features": counts}

        def state(history, learned):
            def weights():
                values, new = named_weights(network), learned()
                return {name: new.get(name, value) for name, value in values.items()}

            kept = KeptNetwork(architecture, weights=weights, policy=policy_of(network))
            return fitted_by(kept), with_counts(history)

        staged = StagedFit(
            network,
            stages,
            data,
            batch_size=settings.batch_size,
            seed=seed,
            features=features,
            checkpoint=checkpoint,
            progress=_progress(stages, features, settings),
            verbose=_KERAS_VERBOSE[settings.verbose],
            task=task,
            state=state,
        )
        history = staged.run()
    return fitted_by(KeptNetwork(architecture, network)), with_counts(history)


def _initial_network(architecture, backbone_weights, classes, seed):
    with seeded(seed):
        network = build_network(architecture)
        draw_weights(network, seed)
        load_weights(network, backbone_weights, architecture, classes)
    return network


def _identity(network, architecture, stages, data, settings, seed):
    """Return everything that a fit's result depends on, besides the initial network."""
    given = data_digests(*data.validation) if data.split["split"] == "given" else None
    trained_by = (stages, settings.batch_size, settings.augment)
    sets = (data.digests, data.split, given, data.sample_weight)
    computed_by = (policy_of(network), _may_train_on_features(network, settings))
    return architecture, seed, *sets, trained_by, computed_by


def _may_train_on_features(network, settings):
    # Mixed precision would need Keras' loss scaling; features are computed on the CPU.
    is_plain = policy_of(network) == "float32" and on_tensorflow() and not on_accelerator()
    has_views = settings.augment != "exact" and not settings.end_to_end
    return is_plain and has_views and settings.attention != "batch"


def _progress(stages, features, settings):
    return Progress(
        stages,
        passes=None if features is None else features.passes,
        shows=settings.verbose == 1,
        ways_out=settings.faster_fits(),
    )


class StagedFit:
    """Training of a network, stage by stage and epoch by epoch.

    Parameters
    ----------
    network : keras.Model
        From `build_network`; trained in place.
    stages : list of Stage
        Stages to run, in order.
    data : TrainingData
        Training and validation data.
    batch_size : int
        Number of images per gradient step.
    seed : int
        Seed for the order of the images and for the trainers' random numbers.
    features : FrozenFeatures, default=None
        Features for the stages in which they are cheaper than images. None: train on images.
    open_trainer : callable, default=None
        Opens a stage's `Trainer` on images; chosen by `trainer_for` if None.
    checkpoint : Checkpoint, default=None
        State to resume from, and to update. None: a new fit, without a file.
    progress : Progress, default=None
        Progress display; nothing is shown if None.
    verbose : int, default=0
        Keras' `verbose` of `keras.Model.fit`.
    task : Task, default=None
        The fit's task, which notifies callbacks of its stages and epochs. None: no callbacks.
    state : callable, default=None
        Takes the stages' histories so far, and a callable that returns the weights that a trainer
        has learned but not yet copied to the network. Returns a task's state: the fitted network
        and its history.
    """

    def __init__(
        self,
        network,
        stages,
        data,
        *,
        batch_size,
        seed,
        features=None,
        open_trainer=None,
        checkpoint=None,
        progress=None,
        verbose=0,
        task=None,
        state=None,
    ):
        self._network, self._stages, self._data = network, stages, data
        self._batch_size, self._seed = batch_size, seed
        self._features = features
        self._open_trainer = trainer_for(data) if open_trainer is None else open_trainer
        self._checkpoint = Checkpoint() if checkpoint is None else checkpoint
        self._progress = Progress() if progress is None else progress
        self._verbose = verbose
        self._task, self._state = Task() if task is None else task, state

    def run(self):
        """Train the stages that are not completed yet.

        Returns
        -------
        dict
            History of each stage, by name: lists of one float per epoch for "loss", "accuracy",
            "learning_rate" and, with validation data, "val_loss" and "val_accuracy". "best_epoch",
            counted from 0, is the epoch whose weights were kept, or -1 if every epoch validated
            worse than the start of the stage.

        Raises
        ------
        ValueError
            If the training diverged.
        """
        # Back to the start of the current stage; `_run_stage` restores the epochs completed since.
        self._checkpoint.restore(self._network)
        for name, history in self._checkpoint.histories.items():
            self._task.skip(name, len(history["loss"]))
        for stage in self._stages[len(self._checkpoint.histories) :]:
            task = self._task.subtask(stage.name, stage.epochs)
            task.begin(self._so_far)
            if stage.refits and not self._checkpoint.n_epochs:
                set_stage(self._network, stage)
                refit_normalization(self._network, self._data.X, self._seed)
            self._checkpoint.begin_stage(self._network)
            if self._verbose:
                described = stage.describe(self._data, self._checkpoint.n_epochs)
                print(f"[PAttLiteClassifier] {described}")
            try:
                history = self._run_stage(stage, task)
            except KeyboardInterrupt as interrupt:
                interrupt.add_note(self._checkpoint.how_to_resume)
                raise
            if self._end_stage(stage, history, task):
                break
        # A trainer may have compiled another model with the same weights, not the network itself.
        set_stage(self._network, self._stages[-1])
        compile_for(self._network, self._stages[-1])
        return self._checkpoint.histories

    def _run_stage(self, stage, task):
        """Run a stage and keep the weights of its best epoch; return its history."""
        callbacks = stage_callbacks(stage, has_validation=self._data.X_val is not None)
        history = keras.callbacks.History()
        with self._trainer(stage) as trainer:
            events = self._events(stage, [*callbacks, history], trainer.model)
            # After `on_train_begin`, which resets the callbacks.
            self._checkpoint.resume(trainer.model, callbacks, history)
            first = len(history.epoch)
            for _ in range(first):
                task.skip("epoch")

            def state():
                until_now = {stage.name: _numbers(history, len(history.epoch) - 1)}
                return self._so_far(until_now, trainer.learned)

            for epoch in range(first, stage.epochs):
                if trainer.model.stop_training:
                    break
                epoch_task = task.subtask("epoch")
                epoch_task.begin(state)
                self._run_epoch(stage, trainer, events, epoch, is_first=epoch == first)
                if epoch_task.end(state) and epoch + 1 < stage.epochs:
                    self._checkpoint.close()  # it belongs to a fit without that callback
                    break
                self._checkpoint.end_epoch(trainer.model, callbacks, history)
            events.on_train_end()
        return _numbers(history, best_epoch(callbacks, len(history.epoch)))

    def _so_far(self, stage=None, learned=dict):
        """Return the fit's state for callbacks: completed stages and, if given, one more."""
        return self._state({**self._checkpoint.histories, **(stage or {})}, learned)

    def _trainer(self, stage):
        settings = {"batch_size": self._batch_size, "seed": self._seed}
        if self._features is None or self._features.layer(stage) is None:
            return self._open_trainer(self._network, stage, self._data, **settings)
        return train_on_features(self._network, stage, self._data, self._features, **settings)

    def _events(self, stage, callbacks, model):
        """Start a stage in its callbacks and the progress display; return the callback list."""
        n_steps = math.ceil(len(self._data.y) / self._batch_size)
        events = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=self._verbose != 0,
            verbose=self._verbose,
            epochs=stage.epochs,
            steps=n_steps,
        )
        model.stop_training = False
        events.set_model(model)
        events.on_train_begin()
        self._progress.begin_stage(stage, n_steps)
        return events

    def _run_epoch(self, stage, trainer, events, epoch, *, is_first):
        def on_step(step, logs, waited=0.0):
            events.on_train_batch_end(step, logs)
            self._progress.step(step + 1, waited)

        with without_copy_warnings():
            events.on_epoch_begin(epoch)
        self._progress.begin_epoch(epoch, is_first=is_first)
        # Calling back after each step costs a little, so do it only if it is used.
        is_watched = self._verbose != 0 or self._progress.watches
        logs = trainer.epoch(epoch, on_step if is_watched else None)
        self._progress.end_epoch()
        if not math.isfinite(logs["loss"]):
            raise ValueError(
                f"Training diverged in stage {stage.name!r}: the loss is not finite. Lower its "
                f"learning rate (now {stage.learning_rate}) or set clipnorm (now "
                f"{stage.clipnorm})."
            )
        with without_copy_warnings():
            events.on_epoch_end(epoch, logs)

    def _end_stage(self, stage, history, task):
        """End a stage; restore the weights that it started from if no epoch was better.

        Returns
        -------
        bool
            Whether a callback asks to stop after this stage.
        """
        reached = self._checkpoint.reached
        if "val_accuracy" in history:
            best = history["val_accuracy"][history["best_epoch"]]
            if reached is not None and best < reached:
                self._checkpoint.restore(self._network)
                history["best_epoch"] = -1
            else:
                reached = best
        # Before the checkpoint is written: a fit that is run again must ask the callback, too.
        stops = task.end(lambda: self._so_far({stage.name: history}))
        if stops and stage is not self._stages[-1]:
            self._checkpoint.close()
        self._checkpoint.end_stage(stage.name, history, reached, self._network)
        return stops


def _numbers(history, best):
    """Return a stage's history as plain numbers, with the epoch of the network's weights."""
    numbers = {name: [float(v) for v in values] for name, values in history.history.items()}
    return {**numbers, "best_epoch": best}
