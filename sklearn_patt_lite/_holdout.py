"""The cut of the inner validation data, which early stopping watches, off the training data."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

_WAYS_OUT = (
    "Add images, pass X_val and y_val, or train for a fixed number of epochs on everything: "
    "validation_fraction=None, patience=None, finetune_patience=None."
)


def cut_validation(y, groups, *, fraction, classes, seed):
    """Cut validation data off the training data: by whole groups if there are any.

    Parameters
    ----------
    y : ndarray of shape (n,), dtype int
        Encoded labels, 0 to n_classes - 1.
    groups : ndarray of shape (n,) or None
        Subjects; None cuts by image.
    fraction : float
        Share of the images to cut off; with groups, as near to it as whole groups allow.
    classes : ndarray of shape (n_classes,)
        The labels behind `y`, to name them in errors.
    seed : int
        Of the cut.

    Returns
    -------
    train, validation : ndarray of int
        Indices into `y`, ascending.

    Raises
    ------
    ValueError
        If a class would be missing from what is left to train on.
    """
    if groups is None:
        train, validation = _cut_images(y, fraction, classes, seed)
    else:
        train, validation = _cut_groups(y, groups, fraction, classes, seed)
    return np.sort(train), np.sort(validation)


def _cut_images(y, fraction, classes, seed):
    counts = np.bincount(y, minlength=len(classes))
    if counts.min() < 2:
        raise ValueError(
            f"validation_fraction={fraction} needs at least 2 images of each class, one to train "
            f"on and one to validate on, but class {classes.tolist()[counts.argmin()]!r} has "
            f"{counts.min()}. {_WAYS_OUT}"
        )
    # At least an image a class on both sides.
    size = int(np.clip(round(fraction * len(y)), len(classes), len(y) - len(classes)))
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
    return next(splitter.split(y, y))


def _cut_groups(y, groups, fraction, classes, seed):
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(
            f"All {len(y)} images belong to the group {groups.tolist()[0]!r}: there are no others "
            f"to cut validation data from. {_WAYS_OUT}"
        )
    n_splits = min(max(2, round(1 / fraction)), n_groups)
    folds = [
        (train, validation)
        for train, validation in _stratified_group_folds(y, groups, n_splits, seed)
        if len(validation) and len(np.unique(y[train])) == len(classes)
    ]
    if not folds:
        raise ValueError(_class_in_one_group(y, groups, fraction, classes))
    return min(folds, key=lambda fold: _distance(y, fold[1], fraction))


def _stratified_group_folds(y, groups, n_splits, seed):
    splitter = StratifiedGroupKFold(
        min(n_splits, np.bincount(y).max()), shuffle=True, random_state=seed
    )
    with warnings.catch_warnings():
        # A class with fewer images than folds is no harm: only one fold is used.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        yield from splitter.split(y, y, groups)


def _distance(y, validation, fraction):
    """How far the validation data is from a `fraction` of each class, summed over the classes."""
    counts, cut = np.bincount(y), np.bincount(y[validation], minlength=y.max() + 1)
    return np.abs(cut - fraction * counts).sum()


def _class_in_one_group(y, groups, fraction, classes):
    n_groups = [len(np.unique(groups[y == code])) for code in range(len(classes))]
    rarest = int(np.argmin(n_groups))
    return (
        f"validation_fraction={fraction} cannot be cut off by whole groups: each cut would leave "
        f"a class without training images. Class {classes.tolist()[rarest]!r} has images of "
        f"{n_groups[rarest]} group(s) only. {_WAYS_OUT}"
    )
