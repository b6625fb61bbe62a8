"""Forward passes on the CPU with LiteRT."""

import contextlib
import ctypes
import os
import queue
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

from sklearn_patt_lite._process import LRUCache, n_threads, without_chatter

_ENGINES = LRUCache(24)  # the fits of a search share their frozen backbone
_ALIVE: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def cached_engine(key, write):
    """Get the engine of a graph by its key, or make it from the bytes that `write` returns."""
    return _ENGINES.get(key, lambda: Engine(write()))


class Engine:
    """LiteRT graph that runs on any number of rows.

    Fewer rows than threads run one after the other, each on all threads; more run in parallel, each
    on one. Engines are thread-safe. In a forked child an engine restarts, because its threads are
    gone there.

    Parameters
    ----------
    model : bytes
        From `LiteRTGraph`; no row may depend on another.
    """

    def __init__(self, model):
        self._model = model
        self._start()
        with self._borrowed() as interpreter:
            self._output_shape = interpreter.output_shape
        _ALIVE.add(self)

    def _start(self):
        self._threads = n_threads()
        self._together, self._together_lock = None, threading.Lock()
        self._apart = queue.SimpleQueue()
        # Threads that call at the same time get an interpreter each, up to the number of cores.
        self._may_make = threading.Semaphore(max(self._threads, joblib.cpu_count()))
        self._pool = ThreadPoolExecutor(self._threads)

    def __call__(self, rows, out=None):
        """Compute the graph's output for rows.

        Parameters
        ----------
        rows : ndarray of shape (n, *shape)
            Input of any numeric dtype, converted to float32; a single channel is broadcast to all.
        out : ndarray of shape (n, *output_shape), default=None
            Array to write to; if its dtype is an integer one, values are truncated.

        Returns
        -------
        ndarray
            `out`, or a new array of dtype float32.
        """
        if out is None:
            out = np.empty((len(rows), *self._output_shape), dtype=np.float32)
        n = self._threads
        if len(rows) < n and self._together_lock.acquire(blocking=False):
            try:
                if self._together is None:
                    self._together = _Interpreter(self._model, n)
                self._together(rows, out)
            finally:
                self._together_lock.release()
        elif n == 1 or len(rows) == 1:
            self._run_apart(rows, out)
        else:
            n = min(n, len(rows))
            parts = [self._pool.submit(self._run_apart, rows[i::n], out[i::n]) for i in range(n)]
            for part in parts:
                part.result()
        return out

    def _run_apart(self, rows, out):
        with self._borrowed() as interpreter:
            interpreter(rows, out)

    @contextlib.contextmanager
    def _borrowed(self):
        """Lend an interpreter that is not in use."""
        try:
            interpreter = self._apart.get_nowait()
        except queue.Empty:
            if self._may_make.acquire(blocking=False):
                try:
                    interpreter = _Interpreter(self._model, 1)
                except BaseException:
                    self._may_make.release()  # otherwise others would wait for it forever
                    raise
            else:
                interpreter = self._apart.get()
        try:
            yield interpreter
        finally:
            self._apart.put(interpreter)


def _restart_engines():
    for engine in list(_ALIVE):
        if engine._together is not None:
            # Destroying it would wait for threads that were lost in the fork, and crash. This
            # reference is never released, so it is not destroyed when Python exits either.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine._together))
        engine._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_engines)


class _Interpreter:
    """LiteRT interpreter of a graph; `n_threads` threads share the work on each row."""

    def __init__(self, model, n_threads):
        from ai_edge_litert.interpreter import Interpreter

        with without_chatter():
            self._interpreter = Interpreter(model_content=model, num_threads=n_threads)
            self._interpreter.allocate_tensors()
        (source,) = self._interpreter.get_input_details()
        (target,) = self._interpreter.get_output_details()
        self.output_shape = tuple(target["shape"][1:])
        self._source = self._interpreter.tensor(source["index"])
        self._target = self._interpreter.tensor(target["index"])

    def __call__(self, rows, result):
        """Compute row by row, into `result`."""
        for row, out in zip(rows, result, strict=True):
            self._source()[0] = row  # in place; `invoke` refuses while an array refers to it
            self._interpreter.invoke()
            out[...] = self._target()[0]
