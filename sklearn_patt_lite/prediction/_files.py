"""Predict files, some of which may not be images."""

import os
from collections.abc import Mapping, Set

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite._images.columns import as_column
from sklearn_patt_lite._typing import Paths, validate_params

PROBABILITY = "probability_"  # prefix of a class's name
_PARTS = (256, 32, 1)  # files at once: fewer if one of them cannot be read


@validate_params({"classifier": [HasMethods(["predict_proba"])], "paths": ["array-like"]})
def predict_files(classifier: ClassifierMixin, paths: Paths) -> dict[str, NDArray]:
    """
    Predict image files, and report which of them could not be read.

    `classifier.predict_proba(paths)` raises an error if one of a thousand files is damaged. This
    function predicts the others, and an error column says what is wrong with that one. The columns
    are NumPy arrays, which functions that Dask, Ray or Spark map over a table can return.

    Parameters
    ----------
    classifier : classifier
        Any fitted classifier that accepts image paths and has `predict_proba`, such as a
        `PAttLiteClassifier`, a Pipeline that begins with a `FaceCropper`, or a calibrated one.
    paths : array-like of str or path-like, shape (n,)
        Paths of the images: a list, or a column of a table. All are held in memory with their
        predictions; for millions, use :func:`write_predictions`.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        Columns of a table, in this order:

        path : object
            The given paths, each as a str.
        label : object
            The most probable class; None if the file was not read.
        probability_<class> : float32
            One column per class, in the order of `classifier.classes_`; nan if the file was not
            read.
        error : object
            Why the file was not read, as a str; None if it was read.

    Raises
    ------
    TypeError
        If an item of `paths` is not a path, or if `paths` is unordered.
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.

    See Also
    --------
    predictions_schema : The types of these columns, for typed tables.
    write_predictions : Predictions of any number of files, in a Parquet file.
    PAttLiteClassifier.predict_proba : Probabilities alone; raises an error for unreadable files.

    Notes
    -----
    Files are predicted 256 at a time; if one of them cannot be read, 32 at a time, and if that
    fails, one by one. So even many damaged files take at most three times as long. A file counts as
    unreadable if the classifier raises a TypeError, ValueError or OSError for it alone; this
    includes a photograph in which `FaceCropper` finds no face.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_patt_lite import PAttLiteClassifier
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> from sklearn_patt_lite.prediction import predict_files
    >>> faces = make_expression_faces(n_subjects=1, image_size=48, random_state=0)
    >>> classifier = PAttLiteClassifier.from_pretrained("fer2013")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder, "face.png"), Path(folder, "missing.png")]
    ...     Image.fromarray(faces.images[0]).save(paths[0])
    ...     table = predict_files(classifier, paths)
    >>> list(table)[:3]
    ['path', 'label', 'probability_angry']
    >>> table["label"][0] in classifier.classes_, table["label"][1]
    (True, None)
    >>> print(table["error"][1])
    cannot read .../missing.png...
    """
    check_is_fitted(classifier)
    paths = as_strings(paths)
    probabilities = np.full((len(paths), len(classifier.classes_)), np.nan, dtype=np.float32)
    errors = np.full(len(paths), None, dtype=object)
    _fill(classifier, paths, probabilities, errors, *_PARTS)
    labels = np.full(len(paths), None, dtype=object)
    read = np.array([error is None for error in errors], dtype=bool)
    labels[read] = np.asarray(classifier.classes_)[probabilities[read].argmax(axis=1)]
    return {
        "path": np.array(paths, dtype=object),
        "label": labels,
        **{
            f"{PROBABILITY}{name}": column
            for name, column in zip(classifier.classes_, probabilities.T, strict=True)
        },
        "error": errors,
    }


def as_strings(paths: Paths) -> list[str]:
    """Check paths, and return them as strings."""
    if isinstance(paths, Mapping | Set):
        raise TypeError(f"paths must be ordered, got a {type(paths).__name__}: pass a list.")
    strings = []
    for row, path in enumerate(as_column(paths)):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"row {row} of paths: expected a path, got {path!r}. Leave such rows out."
            )
        strings.append(os.fspath(path))
    return strings


def _fill(classifier, paths, probabilities, errors, size, *smaller):
    """Fill in probabilities (n, n_classes), and errors (n,) for files without probabilities."""
    for start in range(0, len(paths), size):
        part = slice(start, start + size)
        try:
            probabilities[part] = classifier.predict_proba(paths[part])
        except (OSError, TypeError, ValueError) as error:
            if smaller:
                _fill(classifier, paths[part], probabilities[part], errors[part], *smaller)
            else:
                errors[start] = str(error).removeprefix("row 0: ")
