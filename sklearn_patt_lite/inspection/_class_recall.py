"""Recall of each class for several models, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, bootstrap
from sklearn.metrics import recall_score
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import unique_labels

from sklearn_patt_lite._images.columns import check_labels, check_subjects, classes_of
from sklearn_patt_lite._typing import Names, Photographs, Seed
from sklearn_patt_lite.inspection._figures import check_matplotlib, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONFIDENCE = 0.95
_RESAMPLES = 2000


class ClassRecallDisplay:
    r"""
    Show the recall of each class for several models, side by side.

    Use `from_estimator` or `from_predictions` to create one. Accuracy hides the rare classes:
    disgust and fear are often only a few per cent of a database, and the hardest to recognize.

    Parameters
    ----------
    recall : dict of str to ndarray of shape (n_classes,)
        Recall of each class, by model name; NaN for a class without images.
    support : ndarray of shape (n_classes,), dtype int
        Number of images of each class.
    target_names : sequence of str
        Names of the classes.
    intervals : dict of str to ndarray of shape (n_classes, 2), default=None
        95 % interval of each recall, by model name; NaN where there is none.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the bars.
    figure_ : matplotlib.figure.Figure
        Figure that contains the axes.

    See Also
    --------
    sklearn_patt_lite.metrics.expression_report : Scores with intervals, and the confusion matrix.
    sklearn_patt_lite.model_selection.compare_classifiers : Tests whether one is better.
    sklearn.metrics.ConfusionMatrixDisplay : Which classes are confused.

    Notes
    -----
    Lines are 95 % percentile bootstrap intervals. Within each class, subjects are resampled, or
    images if the subjects are not known. Overlapping intervals say little about models tested on
    the same images: compare such models by paired scores, with `compare_classifiers`.

    Examples
    --------
    >>> from sklearn_patt_lite.inspection import ClassRecallDisplay
    >>> display = ClassRecallDisplay(
    ...     recall={"one": [0.5, 0.8], "other": [0.6, 0.7]}, support=[10, 20],
    ...     target_names=["sad", "happy"],
    ... )
    >>> [label.get_text() for label in display.plot().ax_.get_xticklabels()]
    ['sad\n10', 'happy\n20']
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        recall: dict[str, NDArray[np.float64]],
        support: NDArray[Any],
        target_names: Sequence[str],
        intervals: dict[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.recall = recall
        self.support = support
        self.target_names = target_names
        self.intervals = intervals

    @classmethod
    def from_estimator(
        cls,
        estimators: dict[str, Any] | Any,
        X: Photographs,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        target_names: Names | None = None,
        random_state: Seed = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Predict images with fitted classifiers, and draw their recalls.

        All classifiers predict the same images. None of them should have been trained on these.

        Parameters
        ----------
        estimators : dict of str to object, or object
            Fitted classifiers by name, or a single one.
        X : array-like of length n
            Images, as the estimators take them.
        y : array-like of shape (n,)
            Their true labels.
        groups : array-like of shape (n,), default=None
            Subject of each image, for the intervals.
        target_names : array-like of str, default=None
            Names of the classes; labels are these, or indices into them.
        random_state : int, RandomState instance or None, default=None
            Controls the bootstrap.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        ClassRecallDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If labels are neither in `target_names` nor indices into it, or if lengths differ.

        See Also
        --------
        from_predictions : Takes existing predictions.

        Examples
        --------
        >>> from sklearn.dummy import DummyClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.inspection import ClassRecallDisplay
        >>> faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
        >>> guessing = DummyClassifier(strategy="uniform", random_state=0)
        >>> display = ClassRecallDisplay.from_estimator(
        ...     {"guessing": guessing.fit(faces.images, faces.target)},
        ...     faces.images, faces.target, target_names=faces.target_names,
        ... )
        >>> list(display.recall)
        ['guessing']
        """
        if not isinstance(estimators, dict):
            estimators = {type(estimators).__name__: estimators}
        predictions = {name: estimator.predict(X) for name, estimator in estimators.items()}
        return cls.from_predictions(
            y,
            predictions,
            groups=groups,
            target_names=target_names,
            random_state=random_state,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: dict[str, ArrayLike] | ArrayLike,
        *,
        groups: ArrayLike | None = None,
        target_names: Names | None = None,
        random_state: Seed = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Draw the recalls of predictions.

        Recall is the share of a class's images that are predicted as this class.

        Parameters
        ----------
        y_true : array-like of shape (n,)
            True labels.
        y_pred : dict of str to array-like of shape (n,), or array-like of shape (n,)
            Predicted labels of each model by name, or of a single model.
        groups : array-like of shape (n,), default=None
            Subject of each image, for the intervals.
        target_names : array-like of str, default=None
            Names of the classes; labels are these, or indices into them.
        random_state : int, RandomState instance or None, default=None
            Controls the bootstrap.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        ClassRecallDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If labels are neither in `target_names` nor indices into it, or if lengths differ.

        See Also
        --------
        from_estimator : Predicts first.

        Examples
        --------
        >>> from sklearn_patt_lite.inspection import ClassRecallDisplay
        >>> display = ClassRecallDisplay.from_predictions(
        ...     ["sad", "sad", "happy"],
        ...     {"one": ["sad", "happy", "happy"], "other": ["sad", "sad", "sad"]},
        ... )
        >>> display.target_names, display.recall["one"].tolist()
        (['happy', 'sad'], [1.0, 0.5])
        """
        check_matplotlib(cls.__name__)
        if not isinstance(y_pred, dict):
            y_pred = {"": y_pred}
        if not y_pred:
            raise ValueError("y_pred contains no models.")
        y_true = check_labels(y_true, "y_true")
        y_pred = {str(name): check_labels(labels, "y_pred") for name, labels in y_pred.items()}
        groups = None if groups is None else check_subjects(groups)
        check_consistent_length(y_true, *y_pred.values(), groups)
        classes, names = classes_of(unique_labels(y_true, *y_pred.values()), target_names)
        rng = check_random_state(random_state)
        recall, intervals = {}, {}
        for name, predicted in y_pred.items():
            scores = {"labels": classes, "average": None, "zero_division": np.nan}
            recall[name] = recall_score(y_true, predicted, **scores)
            is_right = y_true == predicted
            intervals[name] = _intervals(y_true, is_right, groups, classes, rng)
        display = cls(
            recall=recall,
            support=(y_true == classes[:, np.newaxis]).sum(axis=1),
            target_names=names,
            intervals=intervals,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None) -> Self:
        """
        Draw a group of bars for each class, with one bar per model.

        The number of images of each class is below its name.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. By default a new figure.

        Returns
        -------
        ClassRecallDisplay
            Itself.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        See Also
        --------
        from_predictions : Computes the recalls first.

        Examples
        --------
        >>> from sklearn_patt_lite.inspection import ClassRecallDisplay
        >>> display = ClassRecallDisplay(
        ...     recall={"one": [0.5, 0.8]}, support=[10, 20], target_names=["sad", "happy"]
        ... )
        >>> len(display.plot().ax_.patches)
        2
        """
        check_matplotlib(type(self).__name__)
        n_classes, n_models = len(self.target_names), len(self.recall)
        width = max(4.8, 1.5 + n_classes * (0.5 + 0.25 * n_models))
        (ax,) = panels(ax, 1, 1, (width, 3.6))
        bars = []
        for i, (name, recall) in enumerate(self.recall.items()):
            place = np.arange(n_classes) + (i + 0.5) * 0.8 / n_models - 0.4
            line = {"ecolor": "black", "error_kw": {"linewidth": 1}}
            bars.append(ax.bar(place, recall, 0.8 / n_models, yerr=self._errors(name), **line))
        names = zip(self.target_names, self.support, strict=True)
        ax.set_xticks(range(n_classes), [f"{name}\n{support}" for name, support in names])
        ax.set(ylabel="Recall", ylim=(0, 1), xlabel="True class, and its images")
        if [*self.recall] != [""]:
            place = {"loc": "lower right", "bbox_to_anchor": (1, 1)}
            ax.legend(bars, map(str, self.recall), fontsize="small", ncols=n_models, **place)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _errors(self, name):
        """Return a model's interval lengths below and above its recalls; None without intervals."""
        if self.intervals is None:
            return None
        lengths = np.abs(self.intervals[name] - np.asarray(self.recall[name])[:, np.newaxis])
        return np.nan_to_num(lengths.T)


def _intervals(y_true, is_right, groups, classes, rng):
    """Compute intervals of the recalls: (n_classes, 2), NaN with fewer than two units."""
    intervals = np.full((len(classes), 2), np.nan)
    for i, label in enumerate(classes):
        of_class = y_true == label
        n = of_class.sum()
        if groups is None:
            if n > 1:  # same distribution as bootstrapping n images, without sampling
                intervals[i] = binom.interval(_CONFIDENCE, n, is_right[of_class].mean())
                intervals[i] /= n
            continue
        _, unit = np.unique(groups[of_class], return_inverse=True)
        right, total = np.bincount(unit, is_right[of_class]), np.bincount(unit)
        if len(total) > 1:
            found = bootstrap(
                (right, total),
                lambda right, total, axis: right.sum(axis) / total.sum(axis),
                paired=True,
                vectorized=True,
                n_resamples=_RESAMPLES,
                confidence_level=_CONFIDENCE,
                method="percentile",
                rng=np.random.default_rng(rng.randint(2**31)),
            )
            intervals[i] = found.confidence_interval
    return intervals
