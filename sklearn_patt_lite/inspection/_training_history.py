"""Training curves of a fitted classifier, over both stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_patt_lite.inspection._figures import check_matplotlib, panels
from sklearn_patt_lite.inspection._fitted import last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = {
    "head": "Stage 1: head",
    "finetune": "Stage 2: last layers too",
    "end_to_end": "One stage: all layers",
}
_CURVES = {"accuracy": "Accuracy", "loss": "Loss"}


class TrainingHistoryDisplay:
    """
    Plot accuracy and loss by epoch in both stages, and mark the epochs whose weights were kept.

    Use `from_estimator` to create one. Both stages share one axis of epochs and are separated by a
    dotted line. A star marks the epoch of each stage whose weights were kept.

    Parameters
    ----------
    history : dict
        Training history, in the format of `PAttLiteClassifier.history_`.

    Attributes
    ----------
    axes_ : ndarray of shape (2,) of matplotlib.axes.Axes
        Axes with accuracy and loss.
    figure_ : matplotlib.figure.Figure
        Figure that contains the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores by the number of training images.

    Notes
    -----
    Training accuracy is measured with augmentation and dropout, so it may be below validation
    accuracy, which is measured without. If no epoch of stage 2 was better than the end of stage 1,
    the weights from stage 1 were kept and stage 2 has no star.

    Examples
    --------
    >>> from sklearn_patt_lite.inspection import TrainingHistoryDisplay
    >>> curves = {"accuracy": [0.3, 0.4], "loss": [1.9, 1.7], "best_epoch": 1}
    >>> display = TrainingHistoryDisplay({"head": curves, "finetune": curves})
    >>> [axes.get_ylabel() for axes in display.plot().axes_]
    ['Accuracy', 'Loss']
    """

    axes_: NDArray[Any]
    figure_: Figure

    def __init__(self, history: dict[str, Any]) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Axes | Iterable[Axes] | None = None, **kwargs: Any
    ) -> Self:
        """
        Draw the history of a fitted classifier.

        Nothing is predicted: everything shown was recorded by the fit.

        Parameters
        ----------
        estimator : PAttLiteClassifier, or a Pipeline or search that ends with one
            Fitted.
        ax : matplotlib.axes.Axes or array-like of two Axes, default=None
            Axes to draw on: one, which is subdivided, or two. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        TypeError
            If the estimator does not end with a PAttLiteClassifier.
        sklearn.exceptions.NotFittedError
            If it is not fitted.

        See Also
        --------
        plot : Draws it again.

        Examples
        --------
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.inspection import TrainingHistoryDisplay
        >>> faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=2, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target)
        >>> display = TrainingHistoryDisplay.from_estimator(classifier)
        >>> display.axes_[1].get_xlabel()
        'Epoch'
        """
        check_matplotlib(cls.__name__)
        return cls(last_step(estimator).history_).plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | Iterable[Axes] | None = None) -> Self:
        """
        Draw accuracy and loss by epoch.

        The two do not share a scale, so each has its own axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of two Axes, default=None
            Axes to draw on: one, which is subdivided, or two. By default a new figure.

        Returns
        -------
        TrainingHistoryDisplay
            Itself.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If more than two axes are given.

        See Also
        --------
        from_estimator : Takes the history from a classifier.

        Examples
        --------
        >>> from sklearn_patt_lite.inspection import TrainingHistoryDisplay
        >>> curves = {"accuracy": [0.3, 0.4], "loss": [1.9, 1.7], "best_epoch": 1}
        >>> display = TrainingHistoryDisplay({"head": curves}).plot()
        >>> len(display.axes_)
        2
        """
        check_matplotlib(type(self).__name__)
        axes = panels(ax, 1, 2, (8, 3.2))
        for panel, curve in zip(axes, _CURVES, strict=True):
            self._draw(panel, curve)
        axes[0].legend(fontsize="small")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _draw(self, panel, curve):
        """Draw one score's training and validation curves, stage by stage."""
        start = 1
        for stage, name in STAGES.items():
            if stage not in self.history:
                continue
            history = self.history[stage]
            epochs = range(start, start + len(history[curve]))
            kinds = {curve: ("Training", "tab:blue"), f"val_{curve}": ("Validation", "tab:orange")}
            for key, (label, color) in kinds.items():
                if history.get(key):
                    label = label if start == 1 else None
                    panel.plot(epochs, history[key], color=color, label=label, marker=".")
            best = history["best_epoch"]
            if best >= 0:
                of_best = history.get(f"val_{curve}") or history[curve]
                star = {"marker": "*", "markersize": 14, "color": "black", "linestyle": "none"}
                panel.plot(
                    epochs[best], of_best[best], **star, label="Kept" if start == 1 else None
                )
            if start > 1:
                panel.axvline(start - 0.5, color="grey", linestyle=":")
            place = {"xycoords": panel.get_xaxis_transform(), "fontsize": "small", "va": "bottom"}
            panel.annotate(name, (start, 1.01), **place)
            start = epochs.stop
        panel.set(xlabel="Epoch", ylabel=_CURVES[curve])
        panel.xaxis.get_major_locator().set_params(integer=True)
