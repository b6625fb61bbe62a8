"""Tasks that scikit-learn's callbacks are notified of: the fit, its stages, their epochs."""

import weakref


class Task:
    """Task of a fit, for scikit-learn's callbacks.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext, default=None
        The task's place among the others. None: no callback is notified.
    attributes : callable, default=None
        Makes the fitted attributes of an estimator from a `FittedNetwork` and its history. They are
        made only for callbacks that ask for a fitted estimator.
    **told : dict
        What else callbacks may ask for: `estimator`, `X`, `y` and `metadata`.
    """

    def __init__(self, context=None, attributes=None, **told):
        self._context, self._attributes, self._told = context, attributes, told

    def subtask(self, name, n_subtasks=0):
        """Make the next subtask of this task, which has at most `n_subtasks` subtasks itself."""
        context = self._context
        if context is not None:
            context = context.subcontext(task_name=name, max_subtasks=n_subtasks)
        return Task(context, self._attributes, **self._told)

    def begin(self, state=None):
        """Notify of the task's start; `state` returns the fitted network and history so far."""
        if self._context is not None:
            self._tell(self._context.call_on_fit_task_begin, state)

    def end(self, state=None):
        """Notify of the task's end; return whether a callback asks its parent to stop."""
        return self._context is not None and self._tell(self._context.call_on_fit_task_end, state)

    def skip(self, name, n_subtasks=0):
        """Notify of a subtask, and its own subtasks, that an interrupted fit has completed."""
        task = self.subtask(name, n_subtasks)
        task.begin()
        for _ in range(n_subtasks):
            task.skip("epoch")
        task.end()

    def _tell(self, call, state):
        made = []

        def attributes():
            fitted, history = state()
            made.append(weakref.ref(fitted))
            return self._attributes(fitted, history)

        try:
            return call(**self._told, reconstruction_attributes=state and attributes)
        finally:
            for reference in made:
                fitted = reference()
                if fitted is not None:  # a callback keeps it, and the network will change
                    fitted.settle()
