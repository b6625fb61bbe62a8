"""The tasks of a fit, of which scikit-learn's callbacks hear: the fit, its stages, their epochs."""

import weakref


class Task:
    """A task of a fit, for scikit-learn's callbacks.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext, default=None
        The task's place among the others. None: nobody hears of it.
    attributes : callable, default=None
        Makes the fitted attributes of an estimator from a `FittedNetwork` and its history. They
        are made for callbacks that ask for a fitted estimator, and for no others.
    **told : dict
        What callbacks may ask for besides: `estimator`, `X`, `y` and `metadata`.
    """

    def __init__(self, context=None, attributes=None, **told):
        self._context, self._attributes, self._told = context, attributes, told

    def subtask(self, name, n_subtasks=0):
        """Make the next task that is a part of this one, and has at most so many itself."""
        context = self._context
        if context is not None:
            context = context.subcontext(task_name=name, max_subtasks=n_subtasks)
        return Task(context, self._attributes, **self._told)

    def begin(self, state=None):
        """Tell that the task begins; `state` returns the fitted network and history until now."""
        if self._context is not None:
            self._tell(self._context.call_on_fit_task_begin, state)

    def end(self, state=None):
        """Tell that it has ended, and return whether a callback wants its parent to stop."""
        return self._context is not None and self._tell(self._context.call_on_fit_task_end, state)

    def skip(self, name, n_subtasks=0):
        """Tell of a subtask, and those of its own, that an interrupted fit has behind it."""
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
                if fitted is not None:  # a callback keeps it, and the network changes
                    fitted.settle()
