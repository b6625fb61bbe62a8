"""Report of predictions: its contents, and how it is printed."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas

SCORES = "accuracy", "balanced_accuracy", "macro_f1"


@dataclass(frozen=True, eq=False)
class ExpressionReport:
    """
    Result of `expression_report`: plain data that prints as a table.

    The table shows each score with its interval, then one line per class with the predicted classes
    of its images.

    Parameters
    ----------
    accuracy : float
        Share of correct predictions; 0 to 1, like all scores here.
    balanced_accuracy : float
        Mean recall of the classes: the field's "mean class accuracy", over all images at once.
    macro_f1 : float
        Mean of the classes' F1 scores.
    intervals : dict of str to (float, float)
        Confidence intervals of these three scores, by name.
    confidence : float
        Level of the intervals.
    resampled : {"subjects", "images"}
        What was resampled for the intervals.
    target_names : tuple of str
        The classes, in order.
    recall, precision, f1 : ndarray of shape (n_classes,)
        Scores of each class. A class without images has a recall of NaN; a class that is never
        predicted has a precision of NaN.
    support : ndarray of shape (n_classes,), dtype int64
        Number of images of each class.
    confusion : ndarray of shape (n_classes, n_classes), dtype int64
        Numbers of images: true classes in rows, predicted classes in columns.
    subject_accuracy : dict or None
        Accuracy of each subject, lowest first; None without `groups`.
    calibration_error : float or None
        Expected calibration error of the predicted labels' probabilities, 0 to 1; None without
        `y_proba`.

    See Also
    --------
    expression_report : Computes it.
    sklearn_patt_lite.model_selection.compare_classifiers : Compares two by `subject_accuracy`.

    Examples
    --------
    >>> from sklearn_patt_lite.metrics import expression_report
    >>> y_true = ["sad", "sad", "happy", "happy", "sad", "happy"]
    >>> y_pred = ["sad", "happy", "happy", "happy", "sad", "happy"]
    >>> report = expression_report(y_true, y_pred, groups=[1, 1, 1, 2, 2, 2], random_state=0)
    >>> report.target_names, report.recall.round(2).tolist()
    (('happy', 'sad'), [1.0, 0.67])
    >>> report.confusion.tolist()
    [[3, 0], [1, 2]]
    >>> report.resampled, report.intervals["accuracy"]
    ('subjects', (0.6666666666666666, 1.0))
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    intervals: dict[str, tuple[float, float]]
    confidence: float
    resampled: str
    target_names: tuple[str, ...]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    confusion: NDArray[np.int64]
    subject_accuracy: dict[Any, float] | None
    calibration_error: float | None = None

    @property
    def confusion_shares(self) -> NDArray[np.float64]:
        """
        Confusion matrix whose rows sum to 1; a class without images has a row of NaN.

        Shares can be compared between classes with different numbers of images. The diagonal holds
        the recall of each class.

        See Also
        --------
        ExpressionReport.to_frame : Scores of each class.

        Examples
        --------
        >>> from sklearn_patt_lite.metrics import expression_report
        >>> y_true = ["sad", "sad", "happy", "happy", "sad", "happy"]
        >>> y_pred = ["sad", "happy", "happy", "happy", "sad", "happy"]
        >>> report = expression_report(y_true, y_pred, random_state=0)
        >>> report.confusion_shares.round(2).tolist()
        [[1.0, 0.0], [0.33, 0.67]]
        """
        with np.errstate(invalid="ignore"):
            return self.confusion / self.support[:, np.newaxis]

    @property
    def worst_subject(self) -> Any:
        """
        The subject with the lowest accuracy, and that accuracy; None without groups.

        A mean hides people for whom a classifier fails. If accuracies are equal, the first subject
        in order is returned.

        See Also
        --------
        ExpressionReport.to_dict : Includes the accuracies of all subjects.

        Examples
        --------
        >>> from sklearn_patt_lite.metrics import expression_report
        >>> y_true = ["sad", "sad", "happy", "happy", "sad", "happy"]
        >>> y_pred = ["sad", "happy", "happy", "happy", "sad", "happy"]
        >>> report = expression_report(y_true, y_pred, groups=[1, 1, 1, 2, 2, 2], random_state=0)
        >>> subject, accuracy = report.worst_subject
        >>> subject, round(accuracy, 2)
        (1, 0.67)
        """
        return None if self.subject_accuracy is None else next(iter(self.subject_accuracy.items()))

    def to_dict(self) -> dict[str, Any]:
        """
        Convert the report to plain data, for JSON.

        Arrays become lists, and subject names become strings. NaN, which is not valid JSON, becomes
        None.

        Returns
        -------
        dict
            One key per field: numbers, strings, lists and dicts. Undefined values are None.

        See Also
        --------
        ExpressionReport.to_frame : A table of the classes.

        Examples
        --------
        >>> import json
        >>> from sklearn_patt_lite.metrics import expression_report
        >>> y_true = ["sad", "sad", "happy", "happy", "sad", "happy"]
        >>> y_pred = ["sad", "happy", "happy", "happy", "sad", "happy"]
        >>> report = expression_report(y_true, y_pred, random_state=0)
        >>> json.dumps(report.to_dict()["confusion"])
        '[[3, 0], [1, 2]]'
        """
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in found.items()}

    def to_frame(self) -> "pandas.DataFrame":
        """
        Return the scores of the classes as a pandas DataFrame.

        pandas must be installed; this library does not install it.

        Returns
        -------
        pandas.DataFrame
            Columns recall, precision, f1 and support; one row per class.

        See Also
        --------
        ExpressionReport.to_dict : Returns everything, without pandas.

        Examples
        --------
        >>> from sklearn_patt_lite.metrics import expression_report
        >>> y_true = ["sad", "sad", "happy", "happy", "sad", "happy"]
        >>> y_pred = ["sad", "happy", "happy", "happy", "sad", "happy"]
        >>> report = expression_report(y_true, y_pred, random_state=0)
        >>> report.to_frame()  # doctest: +SKIP
                 recall  precision        f1  support
        happy  1.000000       0.75  0.857143        3
        sad    0.666667       1.00  0.800000        3
        """
        import pandas as pd

        columns = ("recall", "precision", "f1", "support")
        return pd.DataFrame({name: getattr(self, name) for name in columns}, self.target_names)

    def __str__(self):
        width = max(map(len, ("balanced accuracy", *self.target_names)))
        return "\n".join([*self._scores(width), "", *self._classes(width)])

    def _scores(self, width):
        level = f"{100 * self.confidence:g} % interval"
        yield f"{'':{width}}  score  {level}, resampling {self.resampled}"
        for name in SCORES:
            low, high = self.intervals[name]
            title = name.replace("_", " ")
            yield f"{title:{width}}  {getattr(self, name):.3f}  {low:.3f} to {high:.3f}"
        if self.worst_subject is not None:
            subject, accuracy = self.worst_subject
            yield f"{'worst subject':{width}}  {accuracy:.3f}  subject {subject}"
        if self.calibration_error is not None:
            what = "between confidence and accuracy, on average"
            yield f"{'calibration error':{width}}  {self.calibration_error:.3f}  {what}"

    def _classes(self, width):
        short = [name[:8] for name in self.target_names]
        predicted = "".join(f"{name:>9}" for name in short)
        yield f"{'':{width}} recall   prec.      f1  images  | predicted, % of the true class"
        yield f"{'':{width}}{'':32}  |{predicted}"
        rows = zip(
            self.target_names, self.recall, self.precision, self.f1, self.support, strict=True
        )
        for (name, *scores, support), shares in zip(rows, self.confusion_shares, strict=True):
            numbers = "".join(f"{_shown(score, 3):>8}" for score in scores)
            confused = "".join(f"{_shown(100 * share, 0):>9}" for share in shares)
            yield f"{name:{width}}{numbers}{support:>8}  |{confused}"


def _shown(number, digits):
    return "-" if np.isnan(number) else f"{number:.{digits}f}"


def _plain(value):
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
