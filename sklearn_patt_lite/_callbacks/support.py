"""Support for scikit-learn's callbacks, which are new in scikit-learn 1.9."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sklearn_patt_lite._callbacks.task import Task

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn 1.8

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Estimator whose fits notify no callbacks."""

        def _init_callback_context(self, **kwargs):
            return None


_Fit = TypeVar("_Fit", bound=Callable[..., Any])


def as_one_task(fit: _Fit) -> _Fit:
    """Notify callbacks of a transformer's fit, which has no subtasks."""

    @functools.wraps(fit)
    def fit_as_task(self, X, y=None):
        task = Task(self._init_callback_context(), estimator=self, X=X, y=y)
        task.begin()
        fit(self, X, y)
        task.end()
        return self

    return cast(_Fit, fit_as_task)
