"""Settings of a fit: the classifier's parameters, with "auto" replaced by the recipe's values."""

import dataclasses
import os
import warnings
from typing import Any, Self

import numpy as np

from sklearn_patt_lite._network.architecture import Architecture, check_architecture

RECIPES: dict[str, dict[str, Any]] = {
    "transfer": {
        "input_size": 112,
        "end_to_end": False,
        "epochs": 1,
        "patience": None,
        "schedule": "cosine",
        "label_smoothing": 0.1,
        "unfreeze_layers": 28,
        "finetune_epochs": 10,
        "finetune_learning_rate": 1e-3,
        "finetune_patience": None,
        "finetune_dropout": 0.0,
        "finetune_normalization": True,
        "batch_size": 16,
        "augment": "affine",
        "validation_fraction": None,
        "flip_averaging": True,
    },
    "paper": {
        "input_size": 224,
        "end_to_end": False,
        "epochs": 100,
        "patience": 5,
        "schedule": "plateau",
        "label_smoothing": 0.0,
        "unfreeze_layers": 40,
        "finetune_epochs": 500,
        "finetune_learning_rate": 1e-5,
        "finetune_patience": 20,
        "finetune_dropout": 0.2,
        "finetune_normalization": False,
        "batch_size": 8,
        "augment": True,
        "validation_fraction": 0.1,
        "flip_averaging": False,
    },
}
RECIPES["modern"] = {
    **RECIPES["paper"],  # what stage 2 would train with, if there were one
    "input_size": 112,
    "end_to_end": True,
    "epochs": 10,
    "patience": None,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "batch_size": 32,
    "augment": "affine",
    "validation_fraction": None,
    "flip_averaging": True,
}
#: The parameters of stage 2.
_OF_STAGE_2 = (
    "unfreeze_layers",
    "finetune_epochs",
    "finetune_learning_rate",
    "finetune_patience",
    "finetune_dropout",
    "finetune_normalization",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Parameters of a `PAttLiteClassifier` that describe how it is fitted; see there."""

    recipe: str
    backbone_weights: str | os.PathLike | None
    alpha: float
    input_size: int
    output_layer: str | None
    patch_extraction: str | None
    patch_size: int
    n_filters: int
    attention: str | None
    hidden_units: int | None
    dropout: float
    end_to_end: bool  # also True if the weights are random
    epochs: int
    learning_rate: float
    patience: int | None
    schedule: str
    label_smoothing: float
    unfreeze_layers: int
    finetune_epochs: int
    finetune_learning_rate: float
    finetune_patience: int | None
    finetune_dropout: float
    finetune_normalization: bool
    batch_size: int
    clipnorm: float | None
    augment: bool | str
    class_weight: str | dict[Any, Any] | None
    validation_fraction: float | None
    flip_averaging: bool
    crop_averaging: bool
    verbose: int

    @classmethod
    def of(cls, classifier) -> Self:
        """Resolve a classifier's parameters, whose constraints have been checked."""
        values = {
            field.name: _plain(getattr(classifier, field.name)) for field in dataclasses.fields(cls)
        }
        recipe = RECIPES[classifier.recipe]
        left = {name for name in recipe if _is_auto(values[name])}
        values |= {name: recipe[name] for name in left}
        values["end_to_end"] |= classifier.backbone_weights is None
        settings = cls(**values)
        if classifier.recipe == "transfer" and "epochs" in left and not settings.has_stage_2:
            # In this recipe, stage 1 only prepares for stage 2.
            settings = dataclasses.replace(settings, epochs=settings.finetune_epochs)
        return settings

    @property
    def has_stage_2(self):
        """Whether a second stage trains some of the backbone's layers."""
        return not self.end_to_end and self.unfreeze_layers > 0

    @property
    def averaging(self):
        """What predictions average over; see `FittedNetwork`."""
        return {"flip_averaging": self.flip_averaging, "crop_averaging": self.crop_averaging}

    def architecture(self, image_shape, n_classes):
        """Describe the network for training images of one shape, and a number of classes.

        Raises
        ------
        ValueError
            If there is no such network; see `check_architecture`.
        """
        architecture = Architecture(
            n_classes=n_classes,
            image_shape=tuple(int(side) for side in image_shape),
            alpha=self.alpha,
            input_size=self.input_size,
            output_layer=self.output_layer,
            patch_extraction=self.patch_extraction,
            patch_size=self.patch_size,
            n_filters=self.n_filters,
            attention=self.attention,
            hidden_units=self.hidden_units,
            augment=bool(self.augment),
            affine=self.augment == "affine",
        )
        check_architecture(architecture)
        return architecture

    def faster_fits(self):
        """Advice for a fit that takes hours."""
        ways = ["Fewer epochs or a smaller input_size take less time."]
        if self.recipe != "transfer":
            ways.insert(0, "recipe='transfer' takes a fraction of the time.")
        if self.verbose == 0:
            ways.append("verbose=1 shows progress.")
        return " ".join(ways)


def _plain(value):
    """Convert NumPy numbers, as in parameter grids, to Python's: JSON and Keras take no others."""
    return value.item() if isinstance(value, np.generic) else value


def _is_auto(value):
    return isinstance(value, str) and value == "auto"


def check_settings(settings, classifier, *, has_validation):
    """Check what scikit-learn's constraints cannot: parameters that depend on each other.

    Raises
    ------
    ValueError
        If they contradict each other.

    Warns
    -----
    UserWarning
        If predictions will depend on the batch, or if parameters are set that are not used.
    """
    _check_patience(settings, has_validation)
    if classifier.checkpoint_dir is not None and classifier.random_state is None:
        raise ValueError(
            "checkpoint_dir finds a fit by its seed, but random_state=None draws a new one "
            "each time: set it to an int."
        )
    if settings.attention == "batch":
        warnings.warn(
            'attention="batch" makes each prediction depend on the other images of its batch '
            "and on their order: its scores cannot be trusted.",
            UserWarning,
            stacklevel=4,
        )
    unused = _unused_parameters(classifier) if settings.end_to_end else []
    if unused:
        reason = "end_to_end" if settings.backbone_weights is not None else "backbone_weights=None"
        warnings.warn(
            f"{', '.join(unused)} not used: with {reason} everything trains in one stage.",
            UserWarning,
            stacklevel=4,
        )


def _check_patience(settings, has_validation):
    if settings.validation_fraction is not None or has_validation:
        return
    watching = {"patience": settings.patience}
    if settings.has_stage_2:
        watching["finetune_patience"] = settings.finetune_patience
    watching = [f"{name}={value}" for name, value in watching.items() if value is not None]
    if watching:
        verb = "watches" if len(watching) == 1 else "watch"
        raise ValueError(
            f"{' and '.join(watching)} {verb} validation data, but validation_fraction=None "
            "leaves none: set them to None as well, or validation_fraction to a share of "
            "the training data, or pass X_val and y_val."
        )


def _unused_parameters(classifier):
    """List the parameters of stage 2 that are set, unless they turn that stage off."""
    values = {name: getattr(classifier, name) for name in _OF_STAGE_2}
    if values["unfreeze_layers"] == 0:
        return []
    if classifier.recipe == "transfer" and _is_auto(classifier.epochs):
        del values["finetune_epochs"]  # the single stage uses it, too
    return [
        name
        for name, value in values.items()
        if not _is_auto(value) and (name, value) != ("finetune_patience", None)
    ]
