"""Learning curves of all candidates of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_patt_lite.inspection._figures import check_matplotlib, panels
from sklearn_patt_lite.inspection._training_history import STAGES
from sklearn_patt_lite.model_selection import search_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLACE = "candidate", "split", "stage", "epoch"  # columns that are not scores


class SearchHistoryDisplay:
    """
    Plot a score by epoch for all candidates of a search.

    Use `from_search` to create one. Each line is the mean over those folds of a candidate that have
    the epoch: after early stopping or a failed fit there are fewer. A circle marks the first epoch
    of stage 2. The best candidate's line is thick.

    Parameters
    ----------
    history : dict of str to ndarray
        Scores of each epoch of each fit, from `search_history`.
    labels : list of str
        Names of the candidates.
    best_index : int or None, default=None
        Index of the best candidate; None marks none.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the curves.
    figure_ : matplotlib.figure.Figure
        Figure that contains the axes.

    See Also
    --------
    TrainingHistoryDisplay : Accuracy and loss of one fit.
    sklearn_patt_lite.model_selection.search_history : The table behind it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.inspection import SearchHistoryDisplay
    >>> history = {
    ...     "candidate": np.array([0, 0, 1, 1]), "split": np.array([0, 0, 0, 0]),
    ...     "stage": np.array(["head"] * 4), "epoch": np.array([0, 1, 0, 1]),
    ...     "accuracy": np.array([0.2, 0.4, 0.1, 0.3]),
    ... }
    >>> display = SearchHistoryDisplay(history, ["dropout=0.1", "dropout=0.3"]).plot()
    >>> [line.get_label() for line in display.ax_.lines]
    ['dropout=0.1', 'dropout=0.3']
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self, history: dict[str, Any], labels: list[str], *, best_index: int | None = None
    ) -> None:
        self.history, self.labels, self.best_index = history, labels, best_index

    @classmethod
    def from_search(
        cls,
        search: BaseEstimator,
        monitor: Any,
        *,
        score: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """
        Draw the learning curves of a search.

        Nothing is predicted: everything shown was recorded by the monitor.

        Parameters
        ----------
        search : GridSearchCV, or another search of scikit-learn
            Fitted, over a `PAttLiteClassifier` or a Pipeline that ends with one.
        monitor : sklearn.callback.ScoringMonitor
            Callback of the classifier during the search.
        score, ax : str or None, matplotlib.axes.Axes or None
            As for `plot`.

        Returns
        -------
        SearchHistoryDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the search is not fitted.
        ValueError
            If the monitor has no epoch scores of this search, or no such score.

        See Also
        --------
        plot : Draws it again.

        Examples
        --------
        >>> from sklearn.callback import ScoringMonitor
        >>> from sklearn.model_selection import GridSearchCV
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.inspection import SearchHistoryDisplay
        >>> from sklearn_patt_lite.metrics import epoch_scores
        >>> faces = make_expression_faces(n_subjects=4, image_size=32, random_state=0)
        >>> monitor = ScoringMonitor(scoring=epoch_scores)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2, epochs=3,
        ...     unfreeze_layers=0, random_state=0,
        ... ).set_callbacks(monitor)
        >>> search = GridSearchCV(classifier, {"learning_rate": [1e-3, 1e-2]}, cv=2)
        >>> search = search.fit(faces.images, faces.target)
        >>> display = SearchHistoryDisplay.from_search(search, monitor, score="loss")
        >>> display.ax_.get_ylabel()
        'loss'
        """
        check_matplotlib(cls.__name__)
        history = search_history(search, monitor)
        labels = _labels(search.cv_results_)
        best_index = getattr(search, "best_index_", None)
        return cls(history, labels, best_index=best_index).plot(score=score, ax=ax)

    def plot(self, *, score: str | None = None, ax: Axes | None = None) -> Self:
        """
        Draw the curves.

        Epochs are numbered consecutively over both stages.

        Parameters
        ----------
        score : str or None, default=None
            Column of the history; None selects "val_accuracy", else "accuracy", else the last one.
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on. By default a new figure.

        Returns
        -------
        SearchHistoryDisplay
            Itself.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If there is no such score.

        See Also
        --------
        from_search : Takes the history from a search.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import SearchHistoryDisplay
        >>> history = {
        ...     "candidate": np.array([0, 0]), "split": np.array([0, 0]),
        ...     "stage": np.array(["head", "head"]), "epoch": np.array([0, 1]),
        ...     "accuracy": np.array([0.2, 0.4]), "loss": np.array([1.9, 1.8]),
        ... }
        >>> SearchHistoryDisplay(history, ["alone"]).plot(score="loss").ax_.get_xlabel()
        'Epoch'
        """
        check_matplotlib(type(self).__name__)
        axes = panels(ax, 1, 1, (9, 4.5))
        self.ax_, self.figure_ = axes[0], axes[0].figure
        self._draw(self._score(score))
        return self

    def _draw(self, score):
        colors = _colors(len(self.labels))
        for candidate, label in enumerate(self.labels):
            epochs, mean, starts = self._curve(candidate, score)
            is_best = candidate == self.best_index
            self.ax_.plot(
                epochs,
                mean,
                color=colors[candidate],
                label=label,
                linewidth=3 if is_best else 1.2,
                zorder=3 if is_best else 2,
                marker="o",
                fillstyle="none",
                markevery=starts,
            )
        self.ax_.set(xlabel="Epoch", ylabel=score)
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        beside = {"bbox_to_anchor": (1.01, 1), "loc": "upper left", "borderaxespad": 0}
        self.ax_.legend(fontsize="x-small", **(beside if len(self.labels) > 3 else {}))

    def _score(self, score):
        known = [name for name in self.history if name not in _PLACE]
        if score is None:
            return next((s for s in ("val_accuracy", "accuracy") if s in known), known[-1])
        if score not in known:
            raise ValueError(f"There is no score {score!r}; available: {', '.join(known)}.")
        return score

    def _curve(self, candidate, score):
        """Return epochs over all stages, the mean over folds at each, and where stage 2 begins."""
        rows = self.history["candidate"] == candidate
        numbers, mean, starts, first = [], [], [], 1
        for stage in STAGES:
            of_stage = rows & (self.history["stage"] == stage)
            if not of_stage.any():
                continue
            if mean:
                starts.append(len(mean))
            epochs = self.history["epoch"][of_stage]
            scores = self.history[score][of_stage]
            known = np.unique(epochs)  # epochs before a resumption are missing
            numbers.extend(first + known)
            mean.extend(scores[epochs == epoch].mean() for epoch in known)
            first += known[-1] + 1
        return numbers, mean, starts


def _labels(results):
    """Name the candidates by what distinguishes them."""
    names = dict.fromkeys(name for params in results["params"] for name in params)
    texts = [{name: str(params.get(name)) for name in names} for params in results["params"]]
    if "iter" in results:
        texts = [{**text, "iter": i} for text, i in zip(texts, results["iter"], strict=True)]
    differing = [name for name in texts[0] if len({text[name] for text in texts}) > 1]
    return [
        ", ".join(f"{name.rpartition('__')[2]}={text[name]}" for name in differing or names)
        for text in texts
    ]


def _colors(n):
    """Make n distinguishable colours: named ones, or from a colour map if there are many."""
    import matplotlib as mpl

    if n <= 10:
        return [f"C{i}" for i in range(n)]
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.95, n)))
