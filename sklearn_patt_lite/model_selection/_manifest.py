"""Save the folds of a cross-validation, so that others can reproduce them exactly."""

import collections
import hashlib
import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length

from sklearn_patt_lite._images.check import path_of
from sklearn_patt_lite._images.columns import as_column, check_subjects
from sklearn_patt_lite._typing import CrossValidation, Photographs

_VERSION = 1


def split_manifest(
    cv: CrossValidation, X: Photographs, y: ArrayLike | None = None, groups: ArrayLike | None = None
) -> dict[str, Any]:
    """
    Record which subjects and images each fold trains and tests on.

    Others can then use exactly the same folds. Images are identified by a hash of their content,
    so their order does not matter, and changed or missing images are detected.

    Parameters
    ----------
    cv : int, cross-validation generator or iterable
        As in scikit-learn's `cross_validate`.
    X : array-like of length n
        Images, or paths of their files.
    y : array-like of shape (n,), default=None
        Labels, for splitters that need them, and for stratified folds if `cv` is an int.
    groups : array-like of shape (n,), default=None
        Subject of each image.

    Returns
    -------
    dict
        Plain data for `json.dump`:

        version : int
            Version of this format, 1.
        splitter : str
            String representation of `cv`.
        images : list of str
            Hash of each image's content (for a path: of its file), in the order of X.
        subjects : list of str or None
            Subject of each image.
        folds : list of dict
            For each fold, "train" and "test", which are positions in `images`, and "test_subjects".

    Raises
    ------
    ValueError
        If lengths differ, or as raised by `cv`.
    FileNotFoundError
        If a path does not lead to a file.

    See Also
    --------
    manifest_splits : Returns the folds of a manifest.
    verify_manifest : Lists what has changed since.

    Examples
    --------
    >>> import json
    >>> import numpy as np
    >>> from sklearn_patt_lite.model_selection import (
    ...     SubjectKFold, manifest_splits, split_manifest, verify_manifest
    ... )
    >>> images = np.arange(6 * 4).reshape(6, 2, 2)
    >>> subjects = ["ann", "ann", "ben", "ben", "cyd", "cyd"]
    >>> manifest = split_manifest(SubjectKFold(3), images, groups=subjects)
    >>> manifest = json.loads(json.dumps(manifest))  # to a file, and to somebody else
    >>> [test.tolist() for _, test in manifest_splits(manifest, images[::-1])]
    [[5, 4], [3, 2], [1, 0]]
    >>> verify_manifest(manifest, images, subjects[::-1])[0]
    "subject: image 0 is of 'cyd', and was of 'ann'"
    """
    check_consistent_length(X, y, groups)
    subjects = None if groups is None else _names_of(groups)
    folds = []
    for train, test in list_splits(cv, X, y, groups):
        fold: dict[str, Any] = {"train": list(map(int, train)), "test": list(map(int, test))}
        if subjects is not None:
            fold["test_subjects"] = sorted({subjects[i] for i in fold["test"]})
        folds.append(fold)
    return {
        "version": _VERSION,
        "splitter": str(cv),
        "images": digests(X),
        "subjects": subjects,
        "folds": folds,
    }


def manifest_splits(
    manifest: dict[str, Any], X: Photographs
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """
    Return a manifest's folds for images that may be in another order.

    Images are matched by content. The folds are those that were recorded, whatever the order of the
    images and the version of the splitter.

    Parameters
    ----------
    manifest : dict
        From `split_manifest`.
    X : array-like of length n
        The same images, in any order.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Rows of X to train and to test on, for each fold. Pass it as `cv` to scikit-learn's
        functions.

    Raises
    ------
    ValueError
        If X does not have the same images, or if the manifest is invalid.

    See Also
    --------
    split_manifest : Writes the manifest.
    verify_manifest : Lists the images that differ.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.model_selection import SubjectKFold, manifest_splits, split_manifest
    >>> images = np.arange(4 * 4).reshape(4, 2, 2)
    >>> subjects = ["ann", "ann", "ben", "ben"]
    >>> manifest = split_manifest(SubjectKFold(2), images, groups=subjects)
    >>> for train, test in manifest_splits(manifest, images[::-1]):
    ...     print(train.tolist(), test.tolist())
    [1, 0] [3, 2]
    [3, 2] [1, 0]
    """
    _check(manifest)
    places = _places(manifest, X)
    missing = sum(place is None for place in places)
    extra = len(X) - len(places) + missing
    if missing or extra:
        raise ValueError(
            f"X does not have the images of the manifest: {missing} of {len(places)} are missing, "
            f"and {extra} are new. verify_manifest lists them."
        )
    places = np.array(places)
    return [(places[fold["train"]], places[fold["test"]]) for fold in manifest["folds"]]


def verify_manifest(
    manifest: dict[str, Any], X: Photographs, groups: ArrayLike | None = None
) -> list[str]:
    """
    List the differences between a manifest and the data at hand.

    `manifest_splits` refuses images other than those of the manifest; this function says which they
    are. It also checks subjects, whose names may have been corrected since.

    Parameters
    ----------
    manifest : dict
        From `split_manifest`.
    X : array-like of length n
        Images, or paths of their files.
    groups : array-like of shape (n,), default=None
        Subject of each image.

    Returns
    -------
    list of str
        One sentence per difference: images that are missing, changed or new, images whose subject
        has changed, and subjects that a fold both trains and tests on. Empty if there is none.

    Raises
    ------
    ValueError
        If lengths differ, or if the manifest is invalid.

    See Also
    --------
    split_manifest : Writes the manifest.
    manifest_splits : Returns its folds.
    find_leaks : Also finds images that are nearly equal.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.model_selection import SubjectKFold, split_manifest, verify_manifest
    >>> images = np.arange(4 * 4).reshape(4, 2, 2)
    >>> subjects = ["ann", "ann", "ben", "ben"]
    >>> manifest = split_manifest(SubjectKFold(2), images, groups=subjects)
    >>> verify_manifest(manifest, images, subjects)
    []
    >>> verify_manifest(manifest, images[:3], subjects[:3])
    ['missing: image 3 of the manifest']
    """
    _check(manifest)
    check_consistent_length(X, groups)
    places = _places(manifest, X)
    found = [f"missing: image {i} of the manifest" for i, p in enumerate(places) if p is None]
    new = sorted(set(range(len(X))) - set(places))
    found += [f"new: image {row} is not in the manifest" for row in new]
    subjects = manifest["subjects"]
    if subjects is None:
        return found
    if groups is not None:
        groups = _names_of(groups)
        found += [
            f"subject: image {place} is of {groups[place]!r}, and was of {subject!r}"
            for subject, place in zip(subjects, places, strict=True)
            if place is not None and groups[place] != subject
        ]
        subjects = [s if p is None else groups[p] for s, p in zip(subjects, places, strict=True)]
    for number, fold in enumerate(manifest["folds"]):
        shared = {subjects[i] for i in fold["train"]} & {subjects[i] for i in fold["test"]}
        found += [f"leak: fold {number} trains and tests on {name!r}" for name in sorted(shared)]
    return found


def _names_of(groups):
    return [str(subject) for subject in check_subjects(groups).tolist()]


def list_splits(cv, X, y, groups):
    """List the (train, test) rows of a classifier's folds."""
    with warnings.catch_warnings():
        # Splitters that ignore groups are allowed: find_leaks reports what they leak.
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        splits = list(check_cv(cv, y, classifier=True).split(X, y, groups))
    rows = np.arange(len(X))
    # Masks become rows; lists, because NumPy reads a tuple as one place.
    return [(rows[list(train)], rows[list(test)]) for train, test in splits]


def digests(X):
    """Hash each image's content, or its file's; return a list of str."""
    return [
        _file_digest(item) if isinstance(item, str | os.PathLike) else _array_digest(item)
        for item in as_column(X)
    ]


def _file_digest(path):
    with open(path_of(path), "rb") as file:
        return hashlib.file_digest(file, _hash).hexdigest()


def _array_digest(image):
    array = np.asarray(image)
    digest = _hash(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _hash(data=b""):
    return hashlib.blake2b(data, digest_size=16)


def _places(manifest, X):
    """Return the row in X of each manifest image, or None; duplicates get different rows."""
    rows = collections.defaultdict(collections.deque)
    for row, digest in enumerate(digests(X)):
        rows[digest].append(row)
    return [rows[digest].popleft() if rows[digest] else None for digest in manifest["images"]]


def _check(manifest):
    keys = {"version", "images", "subjects", "folds"}
    if not isinstance(manifest, dict) or not keys <= set(manifest):
        raise ValueError(f"A manifest must be a dict with {sorted(keys)}, as from split_manifest.")
    if manifest["version"] != _VERSION:
        raise ValueError(f"The manifest has version {manifest['version']}, expected {_VERSION}.")
