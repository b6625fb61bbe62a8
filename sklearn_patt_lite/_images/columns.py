"""Columns with one value per image: paths, labels, subjects."""

import os
from math import isnan
from numbers import Real

import numpy as np
from sklearn.utils.validation import column_or_1d

_N_NAMED = 5  # rows named in an error


def as_column(X):
    """Convert a column of a table, from any library, to a 1-D array; leave all else unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> as_column(np.array([["anna.png"], ["ben.jpg"]])).shape
    (2,)
    """
    if isinstance(X, list | tuple | str | bytes | os.PathLike) or not hasattr(X, "__array__"):
        return X
    array = np.asarray(X)
    if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind in "OUT":
        return array[:, 0]
    return array


def is_missing(value):
    """Check whether a value is missing: None, NaN, or pandas' NA and NaT.

    Examples
    --------
    >>> is_missing(None), is_missing(float("nan")), is_missing("")
    (True, True, False)
    """
    if value is None or (isinstance(value, Real) and isnan(value)):
        return True
    return type(value).__name__ in ("NAType", "NaTType")


def check_subjects(groups):
    """Check the subjects of images, by one rule for everything that takes `groups`.

    Parameters
    ----------
    groups : array-like of shape (n,)
        Subject of each image.

    Returns
    -------
    ndarray of shape (n,)
        The same values; an array of strings if all are strings.

    Raises
    ------
    ValueError
        If a subject is missing (None, NaN, a blank string), or if some are numbers and some are
        strings. The message names the first such rows.
    """
    groups = _to_column(groups)
    _check_all_there(groups, "groups", "subject", "or give each image a subject of its own")
    if groups.dtype.kind != "O":
        return groups
    kinds = {str if isinstance(group, str) else type(group) for group in groups.tolist()}
    if str in kinds and len(kinds) > 1:
        raise ValueError(
            f"groups has subjects of several types, {sorted(kind.__name__ for kind in kinds)}: "
            "convert all to str."
        )
    return groups.astype(str) if kinds == {str} else groups


def check_labels(y, name="y"):
    """Check the labels of images.

    Parameters
    ----------
    y : array-like of shape (n,)
        Label of each image.
    name : str, default="y"
        Their name, for the error.

    Returns
    -------
    ndarray of shape (n,)
        The same labels.

    Raises
    ------
    ValueError
        If a label is missing (None, NaN, a blank string). The message names the first such rows.
    """
    y = _to_column(y, warn=name == "y")
    _check_all_there(y, name, "label", "with their images")
    return y


def _to_column(values, *, warn=False):
    if isinstance(values, list | tuple) and any(map(is_missing, values)):
        values = np.array(values, dtype=object)  # among strings NaN would become "nan"
    return column_or_1d(values, warn=warn)


def _check_all_there(values, name, what, way_out):
    if values.dtype.kind in "biu":
        return
    rows = [
        row
        for row, value in enumerate(values.tolist())
        if is_missing(value) or (isinstance(value, str) and not value.strip())
    ]
    if rows:
        named = ", ".join(map(str, rows[:_N_NAMED])) + (", …" if len(rows) > _N_NAMED else "")
        raise ValueError(
            f"{name} has no {what} in {len(rows)} of {len(values)} rows: {named} "
            f"({values.tolist()[rows[0]]!r}). Leave these rows out, {way_out}."
        )


def classes_of(labels, target_names):
    """List classes and their names.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,)
        The labels that occur, sorted.
    target_names : array-like of str or None
        Names of all classes. Labels are names, or indices of names.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The labels of all classes, in the order of `target_names`.
    names : list of str
        Their names.

    Raises
    ------
    ValueError
        If a label is neither a name nor the index of one, or if the names are not a list of
        distinct names.

    Examples
    --------
    >>> import numpy as np
    >>> classes_of(np.array([0, 2]), ["angry", "happy", "sad"])
    (array([0, 1, 2]), ['angry', 'happy', 'sad'])
    """
    if target_names is None:
        return labels, [str(label) for label in labels]
    if isinstance(target_names, str | dict) or np.ndim(target_names) != 1:
        raise ValueError(f"target_names must be a list of names, got {target_names!r}.")
    names = list(map(str, target_names))
    if len(set(names)) < len(names):
        raise ValueError(f"target_names contains a name twice: {names}.")
    for classes in (np.array(target_names), np.arange(len(names))):
        if set(labels.tolist()) <= set(classes.tolist()):
            return classes, names
    raise ValueError(
        f"With {len(names)} target_names, labels must be 0 to {len(names) - 1}, or these names, "
        f"got {labels.tolist()}."
    )


def names_of(labels, target_names):
    """Get the names of labels: from `target_names`, or the labels; errors as in `classes_of`."""
    classes, names = classes_of(np.unique(labels), target_names)
    found = dict(zip(classes.tolist(), names, strict=True))
    return [found[label] for label in labels.tolist()]
