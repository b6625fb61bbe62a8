"""Scores of predicted expressions, with confidence intervals."""

import warnings
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import unique_labels

from sklearn_patt_lite._images.columns import check_labels, check_subjects, classes_of
from sklearn_patt_lite._typing import Names, Seed, validate_params
from sklearn_patt_lite.metrics._expression_report import SCORES, ExpressionReport

_N_BINS = 15  # bins of confidence, as in Guo et al. (2017)
_AT_ONCE = 2**22  # numbers in resampled confusion matrices that are in memory at once


@validate_params(
    {
        "y_proba": ["array-like", None],
        "target_names": ["array-like", None],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_resamples": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
)
def expression_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    y_proba: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    target_names: Names | None = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    random_state: Seed = None,
) -> ExpressionReport:
    """
    Score predicted expressions, with confidence intervals that respect subjects.

    A single accuracy hides classes that are hardly ever recognized, and how much of it is luck.
    The report adds scores per class and confidence intervals.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        True labels.
    y_pred : array-like of shape (n,)
        Predicted labels.
    y_proba : array-like of shape (n, n_classes), default=None
        Predicted probabilities, as returned by `predict_proba`, with the classes in sorted order
        or in that of `target_names`. If given, the report includes their calibration error.
    groups : array-like of shape (n,), default=None
        Subject of each image. If given, subjects are resampled for the intervals, not images:
        predictions for one person's images are right or wrong together, and intervals that treat
        them as independent are too narrow.
    target_names : array-like of str, default=None
        Names of the classes, including those that do not occur. Labels are these names, or their
        indices, 0 to n_classes - 1. By default, the labels that occur are the names.
    confidence : float, default=0.95
        Level of the intervals, between 0 and 1.
    n_resamples : int, default=2000
        Number of bootstrap resamples.
    random_state : int, RandomState instance or None, default=None
        Controls the bootstrap.

    Returns
    -------
    ExpressionReport
        The report; print it for a table.

    Raises
    ------
    ValueError
        If lengths differ, if labels or subjects are missing, if there are no images or, with
        groups, fewer than two subjects, if labels are neither names nor indices of `target_names`,
        or if `y_proba` does not hold a probability for each class, in order.

    Warns
    -----
    UserWarning
        If predictions collapse onto one class: more than half of them, and more than one and a half
        times its share of the images.

    See Also
    --------
    sklearn.metrics.classification_report : Report without intervals.
    sklearn_patt_lite.model_selection.compare_classifiers : Tests whether two classifiers differ.

    Notes
    -----
    Intervals are bootstrap percentile intervals [1]_. Balanced accuracy is computed from all images
    at once: averages over batches, as in some published code, differ.

    The expected calibration error [2]_ (equation 3) sorts images into 15 bins of equal width by the
    probability of the predicted label, and averages over the images how far each bin's mean
    probability is from its share of correct predictions. It has no interval: resampled images have
    larger errors than the original ones, because noise adds to the distance.

    References
    ----------
    .. [1] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13;
       resampling whole clusters: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their
       Application", 1997, section 3.8.
    .. [2] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    >>> from sklearn_patt_lite.metrics import expression_report
    >>> y_true = ["sad", "sad", "happy", "happy", "sad", "happy"]
    >>> y_pred = ["sad", "happy", "happy", "happy", "sad", "happy"]
    >>> groups = ["ann", "ann", "ann", "ben", "ben", "ben"]
    >>> report = expression_report(y_true, y_pred, groups=groups, random_state=0)
    >>> round(report.accuracy, 3), round(report.balanced_accuracy, 3), report.worst_subject[0]
    (0.833, 0.833, 'ann')
    >>> print(report)
                       score  95 % interval, resampling subjects
    accuracy           0.833  0.667 to 1.000
    ...
    >>> y_proba = [[0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]]
    >>> report = expression_report(y_true, y_pred, y_proba=y_proba, random_state=0)
    >>> round(report.calibration_error, 3)
    0.067
    """
    y_true, y_pred = check_labels(y_true, "y_true"), check_labels(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred, y_proba, groups)
    if len(y_true) == 0:
        raise ValueError("There are no images to score.")
    true, predicted, classes, names = _encode(y_true, y_pred, target_names)
    k = len(names)
    if groups is None:
        subjects, unit = None, np.arange(len(true))
    else:
        subjects, unit = np.unique(check_subjects(groups), return_inverse=True)
        if len(subjects) < 2:
            raise ValueError("There is only one subject: load more, or leave out groups.")
    cells = true * k + predicted
    confusion = np.bincount(cells, minlength=k * k).reshape(k, k)
    _warn_of_collapse(confusion, names)
    rng = check_random_state(random_state)
    resampled = _resample(cells, unit if groups is not None else None, k, n_resamples, rng)
    tails = 50 * (1 - confidence)
    intervals = {
        name: tuple(np.nanpercentile(values, [tails, 100 - tails]).tolist())
        for name, values in zip(SCORES, resampled, strict=True)
    }
    recall, precision, f1 = _class_scores(confusion)
    accuracy, balanced_accuracy, macro_f1 = (float(score) for score in _scores(confusion))
    return ExpressionReport(
        accuracy=accuracy,
        balanced_accuracy=balanced_accuracy,
        macro_f1=macro_f1,
        intervals=intervals,
        confidence=confidence,
        resampled="images" if groups is None else "subjects",
        target_names=tuple(names),
        recall=recall,
        precision=precision,
        f1=f1,
        support=confusion.sum(axis=1),
        confusion=confusion,
        subject_accuracy=None
        if subjects is None
        else _by_subject(subjects, unit, true == predicted),
        calibration_error=None
        if y_proba is None
        else _calibration_error(
            _check_probabilities(y_proba, classes, names, predicted), true, predicted
        ),
    )


def _encode(y_true, y_pred, target_names):
    """Convert labels to class indices; return them with the classes and their names."""
    classes, names = classes_of(unique_labels(y_true, y_pred), target_names)
    places = {label: place for place, label in enumerate(classes.tolist())}
    true, predicted = (
        np.array([places[label] for label in labels.tolist()]) for labels in (y_true, y_pred)
    )
    return true, predicted, classes, names


def _warn_of_collapse(confusion, names):
    predicted = confusion.sum(axis=0) / confusion.sum()
    true = confusion.sum(axis=1) / confusion.sum()
    most = predicted.argmax()
    if predicted[most] > max(0.5, 1.5 * true[most]):
        warnings.warn(
            f"Predictions collapse onto {names[most]!r}: {100 * predicted[most]:.0f} % of them, "
            f"and {100 * true[most]:.0f} % of the images.",
            UserWarning,
            stacklevel=4,  # the caller, beyond the validation of parameters
        )


def _resample(cells, unit, k, n_resamples, rng):
    """Draw the scores of resampled confusion matrices: three arrays of n_resamples."""
    n_cells = k * k
    if unit is None:  # images differ only in their cell, so counts per cell are drawn
        counts = np.bincount(cells, minlength=n_cells)
        matrices = rng.multinomial(len(cells), counts / len(cells), size=n_resamples)
        return _scores(matrices.reshape(-1, k, k))
    n_units = unit.max() + 1
    of_units = np.bincount(unit * n_cells + cells, minlength=n_units * n_cells)
    of_units = of_units.reshape(n_units, n_cells).astype(float)
    parts, left = [], n_resamples
    while left:
        size = min(left, max(1, _AT_ONCE // max(n_units, n_cells)))
        times = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=size)
        parts.append(_scores((times @ of_units).reshape(-1, k, k)))
        left -= size
    return np.concatenate(parts, axis=1)


def _scores(confusion):
    """Compute accuracy, balanced accuracy and macro F1 of matrices (..., k, k): (3, ...)."""
    recall, _, f1 = _class_scores(confusion)
    total = confusion.sum(axis=(-2, -1))
    accuracy = np.trace(confusion, axis1=-2, axis2=-1) / total
    # Over the classes that occur, as in scikit-learn: for recall those with images, for F1 those
    # with images or predictions.
    return np.stack([accuracy, np.nanmean(recall, axis=-1), np.nanmean(f1, axis=-1)])


def _class_scores(confusion):
    """Compute recall, precision and F1 of each class; NaN where they are undefined."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        return right / true, right / predicted, 2 * right / (true + predicted)


def _check_probabilities(y_proba, classes, names, predicted):
    y_proba = check_array(y_proba, input_name="y_proba")
    if y_proba.shape[1] != len(names):
        raise ValueError(
            f"y_proba has {y_proba.shape[1]} columns, but there are {len(names)} classes: "
            f"{', '.join(names)}. If some of a classifier's classes do not occur, name all of "
            "them: target_names=classifier.classes_, or their names if labels are codes."
        )
    if y_proba.min() < 0 or not np.allclose(y_proba.sum(axis=1), 1, atol=1e-3):
        raise ValueError("y_proba contains rows that are not probabilities: they do not sum to 1.")
    most_probable = y_proba.argmax(axis=1)
    as_sorted = np.argsort(classes)[most_probable]  # if columns are in the order of sorted labels
    if (as_sorted == predicted).mean() > max(0.5, (most_probable == predicted).mean()):
        raise ValueError(
            "The columns of y_proba seem to be in the order of sorted labels, as in classifiers, "
            f"not in that of target_names: {', '.join(names)}. Pass sorted target_names."
        )
    return y_proba


def _calibration_error(y_proba, true, predicted):
    confidence = y_proba[np.arange(len(predicted)), predicted]
    bins = np.minimum((confidence * _N_BINS).astype(int), _N_BINS - 1)
    # A bin's number of images cancels: |sum of confidences - number of correct ones|.
    excess = np.bincount(bins, confidence - (true == predicted))
    return float(np.abs(excess).sum() / len(true))


def _by_subject(subjects, unit, is_right):
    accuracy = np.bincount(unit, is_right) / np.bincount(unit)
    order = np.argsort(accuracy, kind="stable")
    return dict(zip(subjects[order].tolist(), accuracy[order].tolist(), strict=True))
