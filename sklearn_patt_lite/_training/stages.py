"""The stages of training, with the schedule, loss and optimizer of each."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from sklearn_patt_lite._network.batch_norm import fold_for_training
from sklearn_patt_lite._network.parts import set_dropout, set_trainable

MIN_DELTA = 0.003  # smallest gain in validation accuracy that counts as an improvement
MIN_LEARNING_RATE = 1e-6
WARM_UP = 0.1  # fraction of a stage's epochs used for warm-up by the cosine schedule
DECAY_EPOCHS = 80  # epochs after which inverse time decay has halved the learning rate


@dataclasses.dataclass(frozen=True)
class Stage:
    """Stage of training: which layers train, and with which settings."""

    name: str  # its key in the history
    epochs: int
    learning_rate: float
    patience: int | None
    clipnorm: float | None
    unfreeze_layers: int | None  # of the backbone, counted from its end; None: all of it
    token_dropout: float
    patch_dropout: float = 0.0
    attention_dropout: float = 0.0
    decays: bool = False  # whether inverse time decay applies, if the schedule is "plateau"
    schedule: str = "plateau"  # learning rate schedule: "plateau" or "cosine"
    label_smoothing: float = 0.0
    normalization: bool = False  # whether BatchNormalization of the unfrozen layers trains
    refits: bool = False  # whether it starts from statistics of the training images

    def describe(self, data, n_epochs=0):
        """Describe in one line what the stage will do after `n_epochs` completed epochs."""
        layers = "all" if self.unfreeze_layers is None else f"the last {self.unfreeze_layers}"
        trains = "frozen" if self.unfreeze_layers == 0 else f"unfrozen in {layers} layers"
        validated = "none" if data.X_val is None else len(data.X_val)
        resumed = f"; resumes after epoch {n_epochs}" if n_epochs else ""
        return (
            f"stage {self.name!r}: backbone {trains}, at most {self.epochs} epochs, "
            f"{len(data.X)} images to train on, {validated} to validate on{resumed}"
        )


def stages_of(settings):
    """List the stages of a fit with these `Settings`, in order."""
    both = {
        "clipnorm": settings.clipnorm,
        "schedule": settings.schedule,
        "label_smoothing": settings.label_smoothing,
    }
    first = {
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "patience": settings.patience,
        "dropout": settings.dropout,
        **both,
    }
    pretrained = settings.backbone_weights is not None
    if settings.end_to_end:
        return [end_to_end_stage(refits=pretrained, **first)]
    if not settings.has_stage_2:
        return [head_stage(**first)]
    second = finetune_stage(
        epochs=settings.finetune_epochs,
        learning_rate=settings.finetune_learning_rate,
        patience=settings.finetune_patience,
        dropout=settings.finetune_dropout,
        unfreeze_layers=settings.unfreeze_layers,
        normalization=settings.finetune_normalization,
        refits=settings.finetune_normalization and pretrained,
        **both,
    )
    return [head_stage(**first), second]


def head_stage(*, dropout, **settings):
    """Make stage 1: the backbone is frozen."""
    return Stage(name="head", unfreeze_layers=0, token_dropout=dropout, **settings)


def end_to_end_stage(**settings):
    """Make a single stage in which everything trains."""
    stage = head_stage(**settings)
    return dataclasses.replace(stage, name="end_to_end", unfreeze_layers=None, normalization=True)


def finetune_stage(*, dropout, **settings):
    """Make stage 2: the last layers of the backbone train too."""
    return Stage(
        name="finetune",
        token_dropout=dropout,
        patch_dropout=dropout,
        attention_dropout=dropout,
        decays=True,
        **settings,
    )


class Trainer(NamedTuple):
    """The model that a stage trains, and the function that trains it for one epoch."""

    #: Compiled, with its optimizer built. Callbacks monitor it, and checkpoints store it.
    model: keras.Model
    #: Trains for an epoch. Takes the epoch's number, counted from 0, and a function or None. The
    #: function is called after each step, or each chunk of steps, with the number of the last step,
    #: the logs and, for chunks, the seconds spent waiting for the data. Returns the epoch's "loss",
    #: "accuracy" and, with validation data, "val_loss" and "val_accuracy".
    epoch: Callable[..., dict[str, float]]
    #: Returns what the model has learned so far and does not share with the network: values of the
    #: network's variables, by path.
    learned: Callable[[], dict[str, np.ndarray]] = dict


def epoch_seed(seed, epoch):
    """Derive the seed of one epoch, so that a resumed fit need not replay earlier epochs."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def epoch_order(seed, epoch, n):
    """Draw the order of n images in an epoch."""
    return np.random.default_rng(epoch_seed(seed, epoch)).permutation(n)


def prepare(model, stage):
    """Set up a stage, and compile the model that trains the network in it.

    Returns
    -------
    keras.Model
        Model that shares the network's weights; compiled, with its optimizer built.
    """
    set_stage(model, stage)
    network = compile_for(fold_for_training(model), stage)
    # TensorFlow traces a step twice if the first trace creates variables.
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
    """Make a stage's loss, from labels (n,) and probabilities (n, n_classes) to losses (n,)."""
    if not stage.label_smoothing:
        return keras.losses.sparse_categorical_crossentropy

    def smoothed_cross_entropy(y, probabilities):
        targets = ops.one_hot(ops.reshape(y, (-1,)), probabilities.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, probabilities, label_smoothing=stage.label_smoothing
        )

    return smoothed_cross_entropy


def set_stage(model, stage):
    """Set which layers train in a stage, and the dropout rates."""
    set_trainable(model, stage.unfreeze_layers, normalization=stage.normalization)
    set_dropout(
        model,
        patches=stage.patch_dropout,
        tokens=stage.token_dropout,
        attention=stage.attention_dropout,
    )


def optimizer(stage):
    """Make the optimizer of a stage."""
    adam = keras.optimizers.Adam(stage.learning_rate, global_clipnorm=stage.clipnorm)
    # Keras sums gradients over replicas, but there is only one. The sum leaks memory: TensorFlow
    # registers a gradient for it, which keeps each fit's graph until the process ends.
    adam._all_reduce_sum_gradients = list
    return adam


def stage_callbacks(stage, *, has_validation):
    """Make the callbacks of a stage."""
    callbacks = [keras.callbacks.LearningRateScheduler(_schedule(stage))]
    if not has_validation:
        return callbacks
    watch = {"monitor": "val_accuracy", "mode": "max", "min_delta": MIN_DELTA}
    if stage.patience is not None and stage.schedule == "plateau":
        # The notebook lowers the rate after 3 epochs, with a patience of 5 for early stopping.
        patience = max(1, round(0.6 * stage.patience))
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(patience=patience, min_lr=MIN_LEARNING_RATE, **watch)
        )
    # A patience as long as the stage never stops it, but restores the best weights.
    patience = stage.epochs if stage.patience is None else stage.patience
    callbacks.append(
        keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True, **watch)
    )
    return callbacks


def _schedule(stage):
    """Make a stage's schedule: a function of the epoch, from 0, and the previous learning rate."""
    return _cosine(stage) if stage.schedule == "cosine" else _inverse_time(stage)


def _cosine(stage):
    """Make a schedule of linear warm-up, then cosine decay to almost 0."""
    n_rising = round(WARM_UP * stage.epochs)

    def rate(epoch, learning_rate):
        if epoch < n_rising:
            return stage.learning_rate * (epoch + 1) / (n_rising + 1)
        fallen = (epoch - n_rising) / (stage.epochs - n_rising)
        return stage.learning_rate * 0.5 * (1 + math.cos(math.pi * fallen))

    return rate


def _inverse_time(stage):
    """Make a schedule of inverse time decay that keeps the reductions of `ReduceLROnPlateau`."""

    def rate(epoch, learning_rate):
        if epoch == 0 or not stage.decays:
            return learning_rate
        return learning_rate * (DECAY_EPOCHS + epoch - 1) / (DECAY_EPOCHS + epoch)

    return rate


def best_epoch(callbacks, n_epochs):
    """Return the epoch whose weights were kept; without validation data, the last one."""
    stopping = [c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)]
    return int(stopping[0].best_epoch) if stopping else n_epochs - 1
