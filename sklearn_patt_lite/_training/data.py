"""Training and validation data of a fit."""

import dataclasses
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, assert_all_finite

from sklearn_patt_lite._images.columns import check_labels, check_subjects
from sklearn_patt_lite._images.source import ImageFiles, as_source, data_digests, read_images
from sklearn_patt_lite.model_selection._holdout import split_validation


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Training images, encoded labels and sample weights, and the validation data."""

    X: Any  # ndarray of uint8 or ImageFiles, (n, height, width, channels)
    y: np.ndarray  # (n,), integers from 0
    sample_weight: np.ndarray  # (n,)
    X_val: Any = None
    y_val: np.ndarray | None = None
    classes: np.ndarray | None = None  # the original labels, which y indexes
    split: dict[str, Any] | None = None  # where X_val came from: `history_["validation"]`
    digests: dict[str, str] | None = None  # of the data passed to `fit`: `history_["data"]`

    @classmethod
    def read(cls, X, y, sample_weight, groups, validation, settings, seed):
        """Check the arguments of `fit`, encode the labels, and split off validation data.

        Parameters
        ----------
        X, y, sample_weight, groups : array-like
            As `PAttLiteClassifier.fit` takes them.
        validation : tuple of array-like or None
            Its `X_val` and `y_val`.
        settings : Settings
            Settings of the fit.
        seed : int
            Seed of the split.

        Returns
        -------
        TrainingData
            Files are not read yet, except those of `X_val` if `X` is an array.

        Raises
        ------
        TypeError, ValueError, FileNotFoundError
            If an argument cannot be used; the message names the culprit.
        """
        images = as_source(X, settings.input_size)
        classes, codes = _encode_labels(y, images)
        settings.architecture(images.shape[1:], len(classes))  # check before images are copied
        weights = _check_sample_weight(sample_weight, images, ensure_non_negative=True)
        if groups is not None:
            groups = check_subjects(groups)
            check_consistent_length(images, groups)
        train, X_val, y_val, split = _split(
            images, codes, classes, groups, validation, settings, seed
        )
        balance = compute_sample_weight(settings.class_weight, classes[codes[train]])
        if balance.min() < 0:
            raise ValueError(f"class_weight={settings.class_weight} contains negative weights.")
        return cls(
            images[train],
            codes[train],
            weights[train] * balance,
            X_val,
            y_val,
            classes,
            split,
            data_digests(images, codes),
        )

    @property
    def image_shape(self):
        """Shape of an image: (height, width, channels)."""
        return tuple(int(side) for side in self.X.shape[1:])

    @property
    def validation(self):
        """The validation data as Keras takes it in `validation_data`."""
        return None if self.X_val is None else (self.X_val, self.y_val)


def _encode_labels(y, images):
    """Check labels; return the classes and, for each image, the index of its class."""
    if y is None:
        raise ValueError("PAttLiteClassifier requires y to be passed, but the target y is None.")
    y = check_labels(y)
    assert_all_finite(y, input_name="y")
    check_consistent_length(images, y)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y contains only one class, {classes.tolist()[0]!r}: a classifier needs at least two."
        )
    return classes, codes


def _split(images, codes, classes, groups, validation, settings, seed):
    """Split off validation data; return training rows, X_val, y_val and a record of the split."""
    # If nothing is split off, a slice selects all images without copying them.
    train, rows, how, X_val, y_val = slice(None), None, None, None, None
    if any(part is not None for part in validation):
        how = "given"
        X_val, y_val = _read_validation(*validation, images, classes, settings)
    elif settings.validation_fraction is not None:
        how = "stratified" if groups is None else "groups"
        train, rows = split_validation(
            codes, groups, fraction=settings.validation_fraction, classes=classes, seed=seed
        )
        X_val, y_val = images[rows], codes[rows]
    n_train = len(images) if rows is None else len(train)
    split = {
        "split": how,
        "n_train": n_train,
        "n_validation": 0 if y_val is None else len(y_val),
        "indices": None if rows is None else rows.tolist(),
    }
    return train, X_val, y_val, split


def _read_validation(X_val, y_val, images, classes, settings):
    if X_val is None or y_val is None:
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(f"X_val and y_val must be passed together, but {missing} is None.")
    X_val = as_source(X_val, settings.input_size, images.shape[1:])
    if not isinstance(images, ImageFiles):
        X_val = read_images(X_val)
    y_val = check_labels(y_val, "y_val")
    check_consistent_length(X_val, y_val)
    unknown = np.setdiff1d(y_val, classes)
    if len(unknown):
        raise ValueError(f"y_val contains labels that are not in y: {unknown.tolist()}.")
    return X_val, np.searchsorted(classes, y_val)
