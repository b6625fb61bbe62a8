"""Scores of a search's fits, epoch by epoch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

#: Columns of a monitor's log that are not scores.
_ABOUT_TASKS = {
    *("task_id_path", "parent_task_id_path", "estimator_name", "task_name", "task_id"),
    "sequential_subtasks",
}
_WAY = (
    "Before the search, set it on the classifier inside: "
    "classifier.set_callbacks(ScoringMonitor(scoring=epoch_scores))."
)


def search_history(search: BaseEstimator, monitor: Any) -> dict[str, NDArray[Any]]:
    """
    Collect the scores of each epoch of each fit of a search.

    They are recorded by scikit-learn's `ScoringMonitor`, which is set as a callback on the
    classifier inside the search. Callbacks are new in scikit-learn 1.9.

    Parameters
    ----------
    search : GridSearchCV, or another search of scikit-learn
        Fitted, over a `PAttLiteClassifier` or a Pipeline that ends with one.
    monitor : sklearn.callback.ScoringMonitor
        Callback of the classifier during the search, and of no later search.

    Returns
    -------
    dict of str to ndarray of shape (n_epochs,)
        Like `cv_results_`, for a `DataFrame`: one row for each epoch of each fit except the refit.
        "candidate" is the row in `cv_results_`, "split" counts from 0, "stage" is the name of the
        stage, and "epoch" counts from 0 in each stage. The other columns are the monitor's scores,
        NaN where there are none.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the search is not fitted.
    ValueError
        If the monitor has no epoch scores of this search.

    See Also
    --------
    sklearn_patt_lite.metrics.epoch_scores : Scorer that reports what the fits have computed.
    sklearn_patt_lite.inspection.SearchHistoryDisplay : Draws the table.

    Notes
    -----
    A fit that was resumed from a checkpoint has scores only of the epochs after it, and one that
    was already complete has none.

    Examples
    --------
    >>> from sklearn.callback import ScoringMonitor
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_patt_lite import PAttLiteClassifier
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> from sklearn_patt_lite.metrics import epoch_scores
    >>> from sklearn_patt_lite.model_selection import search_history
    >>> faces = make_expression_faces(n_subjects=4, image_size=32, random_state=0)
    >>> monitor = ScoringMonitor(scoring=epoch_scores)
    >>> classifier = PAttLiteClassifier(
    ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2, epochs=3,
    ...     unfreeze_layers=0, random_state=0,
    ... ).set_callbacks(monitor)
    >>> search = GridSearchCV(classifier, {"learning_rate": [1e-3, 1e-2]}, cv=2)
    >>> table = search_history(search.fit(faces.images, faces.target), monitor)
    >>> table["candidate"].tolist()
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    >>> table["epoch"].tolist()
    [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    """
    check_is_fitted(search, "cv_results_")
    tasks = _tasks_of(search, monitor)
    rows = []
    for path, task in tasks.items():
        if task["task_name"] == "epoch" and _is_of_fold(path, tasks):
            candidate, split = _place(path, tasks, search)
            place = {"candidate": candidate, "split": split}
            stage = {"stage": tasks[path[:-1]]["task_name"], "epoch": task["task_id"]}
            scores = {name: value for name, value in task.items() if name not in _ABOUT_TASKS}
            rows.append((path[-2:], {**place, **stage, **scores}))
    if not rows:
        raise ValueError(f"The monitor has scored no epoch of a fold's fit. {_WAY}")
    rows.sort(key=lambda row: (row[1]["candidate"], row[1]["split"], *row[0]))
    names = dict.fromkeys(name for _, row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for _, row in rows]) for name in names}


def _tasks_of(search, monitor):
    """Return all tasks of the monitor's last search, by path.

    A path ends with a task's number in its parent task, and starts with the parent's path.
    """
    logs = monitor.get_logs(select="all", include_lineage=True)
    name = type(search).__name__
    of_searches = [log for log in logs if log.estimator_name == name]
    if not of_searches:
        raise ValueError(
            f"The monitor has no run of {name}: its last run is of {logs[-1].estimator_name}. "
            f"{_WAY}"
        )
    return {task["task_id_path"]: task for task in of_searches[-1].data}


def _is_of_fold(path, tasks):
    """Return whether a task is part of a candidate's fit, not of the refit or a nested search."""
    around = [tasks[path[:n]]["task_name"] for n in range(2, len(path))]
    return around[0] == "search" and "search" not in around[1:]


def _place(path, tasks, search):
    """Return a fit's row in `cv_results_`, and its fold."""
    _, _, number, *rest = path
    first = 0
    if tasks[path[:3]]["task_name"] == "halving-iteration":
        first = np.flatnonzero(search.cv_results_["iter"] == number)[0]
        number = rest[0]
    candidate, split = divmod(number, search.n_splits_)
    return int(first + candidate), split
