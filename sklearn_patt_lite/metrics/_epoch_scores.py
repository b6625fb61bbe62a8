"""Scorer that reads the history of a fit."""

from typing import Any

from sklearn.base import ClassifierMixin


def epoch_scores(
    estimator: ClassifierMixin, X: object = None, y: object = None, **metadata: object
) -> dict[str, float]:
    """
    Return the scores of a fit's last epoch: a scorer for scikit-learn's `ScoringMonitor`.

    The fit has already computed them, so they cost nothing. Other scorers of a monitor predict the
    training images after each epoch. After a stage with validation data, the network may be that of
    an earlier, better epoch.

    Parameters
    ----------
    estimator : PAttLiteClassifier
        Fitted, or being fitted.
    X, y : object, default=None
        Ignored.
    **metadata : dict
        Ignored.

    Returns
    -------
    dict of str to float
        "loss", "accuracy" (0 to 1), "learning_rate" and, with validation data, "val_loss" and
        "val_accuracy", as in `PAttLiteClassifier.history_`.

    Raises
    ------
    TypeError
        If the estimator has no such history.

    See Also
    --------
    sklearn_patt_lite.model_selection.search_history : Scores of all fits of a search.

    Examples
    --------
    >>> from sklearn_patt_lite import PAttLiteClassifier
    >>> from sklearn_patt_lite.metrics import epoch_scores
    >>> sorted(epoch_scores(PAttLiteClassifier.from_pretrained("fer2013")))
    ['accuracy', 'learning_rate', 'loss']
    """
    history: dict[str, Any] = getattr(estimator, "history_", {})
    stages = [part for part in history.values() if "loss" in part]  # in order
    if not stages:
        raise TypeError(
            f"epoch_scores reads the history of a PAttLiteClassifier, got {estimator!r}: set the "
            "monitor on the classifier."
        )
    return {name: values[-1] for name, values in stages[-1].items() if name != "best_epoch"}
