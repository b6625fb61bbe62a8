"""Split validation data, which early stopping monitors, off the training data."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

_WAYS_OUT = (
    "Add images, pass X_val and y_val, or train for a fixed number of epochs on everything: "
    "validation_fraction=None with patience=None and, for two stages, finetune_patience=None."
)


def split_validation(y, groups, *, fraction, classes, seed):
    """Split validation data off the training data, by whole groups if there are any.

    Parameters
    ----------
    y : ndarray of shape (n,), dtype int
        Encoded labels, 0 to n_classes - 1.
    groups : ndarray of shape (n,) or None
        Subjects; None splits by image.
    fraction : float
        Share of the images to split off; with groups, about this share, or a single group if more
        would remove a class from training.
    classes : ndarray of shape (n_classes,)
        The original labels behind `y`, to name them in errors.
    seed : int
        Seed of the split.

    Returns
    -------
    train, validation : ndarray of int
        Indices into `y`, ascending.

    Raises
    ------
    ValueError
        If a class would be missing from the remaining training data.
    """
    if groups is None:
        validation = _split_images(y, fraction, classes, seed)
    else:
        validation = _split_groups(y, groups, fraction, classes, seed)
    return _rest(y, validation), np.sort(validation)


def _rest(y, validation):
    return np.setdiff1d(np.arange(len(y)), validation)


def _split_images(y, fraction, classes, seed):
    counts = np.bincount(y, minlength=len(classes))
    # StratifiedShuffleSplit would leave a rare class out of one side. Here it is on both sides,
    # unless it has a single image, which is used for training.
    sizes = np.minimum(np.maximum(1, np.round(fraction * counts).astype(int)), counts - 1)
    if sizes.sum() == 0:
        raise ValueError(
            f"validation_fraction={fraction} needs a class with at least 2 images, one to train on "
            f"and one to validate on; none of {classes.tolist()} has that many. {_WAYS_OUT}"
        )
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(y == code), size, replace=False)
            for code, size in enumerate(sizes)
        ]
    )


def _split_groups(y, groups, fraction, classes, seed):
    if len(np.unique(groups)) < 2:
        raise ValueError(
            f"All {len(y)} images belong to the group {groups.tolist()[0]!r}: there are no others "
            f"to take validation data from. {_WAYS_OUT}"
        )
    values, codes = np.unique(groups, return_inverse=True)
    single = (np.flatnonzero(codes == code) for code in range(len(values)))
    for candidates in (_merged_folds(y, groups, fraction, seed), single):
        possible = [
            rows for rows in candidates if len(np.unique(y[_rest(y, rows)])) == len(classes)
        ]
        if possible:
            return min(possible, key=lambda rows: _distance(y, rows, fraction))
    raise ValueError(_class_in_one_group(y, groups, fraction, classes))


def _merged_folds(y, groups, fraction, seed):
    """Yield candidate splits: consecutive stratified group folds that make up the fraction."""
    n_folds = min(max(10, round(1 / fraction)), len(np.unique(groups)), np.bincount(y).max())
    if n_folds < 2:
        return
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer images than folds is harmless: validation data need not contain it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = [fold for _, fold in splitter.split(y, y, groups)]
    n_merged = min(max(1, round(fraction * n_folds)), n_folds - 1)
    for first in range(n_folds):
        merged = [folds[(first + i) % n_folds] for i in range(n_merged)]
        validation = np.concatenate(merged)
        if len(validation):
            yield validation


def _distance(y, validation, fraction):
    """Return how far validation data is from a `fraction` of each class, summed over classes."""
    counts, validated = np.bincount(y), np.bincount(y[validation], minlength=y.max() + 1)
    return np.abs(validated - fraction * counts).sum()


def _class_in_one_group(y, groups, fraction, classes):
    n_groups = [len(np.unique(groups[y == code])) for code in range(len(classes))]
    rarest = int(np.argmin(n_groups))
    return (
        f"validation_fraction={fraction} cannot be split off by whole groups: any split would "
        f"leave a class without training images. Class {classes.tolist()[rarest]!r} has images of "
        f"{n_groups[rarest]} group(s) only. {_WAYS_OUT}"
    )
