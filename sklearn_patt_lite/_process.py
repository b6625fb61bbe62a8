"""State of the whole process: threads, seeds, logs, warnings and caches.

`TF_CPP_MIN_LOG_LEVEL` sets TensorFlow's log level. But TensorFlow logs its first messages before it
has read the variable, and LiteRT ignores it. Such messages are filtered out of the process's
standard error by the same level; everything else is passed on after a short delay. If another
thread starts a process during that delay, what the new process writes there is lost.
"""

import collections
import contextlib
import logging
import os
import random
import re
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_SILENT = 3  # hides errors too: TensorFlow logs some on machines without a GPU, and on each dataset
_MESSAGES = (
    rb"I0000 |INFO: |WARNING: All log messages before absl::InitializeLog",
    rb"W0000 ",
    rb"E0000 ",
)
_STDERR_LOCK = threading.RLock()  # all threads share one standard error
if hasattr(os, "register_at_fork"):
    # In a forked child, the thread that held the lock no longer exists.
    os.register_at_fork(after_in_child=lambda: globals().update(_STDERR_LOCK=threading.RLock()))
DTYPE_POLICIES = "float32", "mixed_bfloat16", "mixed_float16"
FIT_LOCK = threading.RLock()  # a fit seeds the process: two threads would mix their seeds


# Logs


def import_tensorflow():
    """Import TensorFlow if needed: quietly and with oneDNN, unless the user has set otherwise."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault(LEVEL, str(_SILENT))
        # Without AVX-512, TensorFlow leaves oneDNN's kernels off and trains more slowly.
        os.environ.setdefault(ONEDNN, "1")
        with without_chatter():
            try:
                import tensorflow  # noqa: F401
            except ModuleNotFoundError as error:
                if error.name != "tensorflow":
                    raise
                raise ModuleNotFoundError(
                    "TensorFlow is not installed. Predictions work without it, but fits need it, "
                    "as do a classifier's Keras network (model_, Grad-CAM, export_model) and the "
                    "detector 'mtcnn': pip install tensorflow keras scikeras."
                ) from error


@contextlib.contextmanager
def without_chatter():
    """Filter standard error, including that of C++, by TensorFlow's log level."""
    chatter = _chatter()
    with contextlib.ExitStack() as stack:
        if chatter is not None:
            stack.enter_context(_STDERR_LOCK)
            stack.enter_context(_filtered_stderr(chatter))
        yield


def _chatter():
    """Make the pattern of the lines to drop; None at level 0."""
    level = os.environ.get(LEVEL, str(_SILENT))
    level = int(level) if level.isdigit() else 0
    return re.compile(b"|".join(_MESSAGES[:level])) if level else None


@contextlib.contextmanager
def _filtered_stderr(chatter):
    with contextlib.ExitStack() as stack:
        stderr = None
        # There may be no folder for temporary files, or no standard error.
        with contextlib.suppress(OSError):
            caught = stack.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        if stderr is None:
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            rest = b"".join(line for line in caught if not chatter.match(line))
            if rest:
                os.write(2, rest)


# Warnings


@contextlib.contextmanager
def without_retracing_warnings():
    """Silence TensorFlow's warning about frequent retracing: each fit has its own network."""

    def is_news(record):
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


@contextlib.contextmanager
def without_copy_warnings():
    """Silence NumPy's warning about Keras, which reads TensorFlow's variables as for NumPy 1."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


# Threads


def n_threads():
    """Count the threads that this process may use: joblib gives each of its workers a share."""
    share = os.environ.get("OMP_NUM_THREADS", "")
    return int(share) if share.isdigit() and int(share) > 0 else joblib.cpu_count()


def keep_to_share_of_cores():
    """Limit TensorFlow's threads to `n_threads`; has no effect after its first operation."""
    import_tensorflow()
    import tensorflow as tf

    if not os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(n_threads())


def prefetch(items):
    """Iterate with a lookahead of one item, which another thread computes.

    Parameters
    ----------
    items : iterable
        Iterable that computes its items lazily. An exception is raised in place of its item.

    Yields
    ------
    object
        Each item, in order.

    Examples
    --------
    >>> list(prefetch(range(3)))
    [0, 1, 2]
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as maker:
        end = object()
        coming = maker.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = maker.submit(next, iterator, end)
            yield item


# Keras


def on_tensorflow():
    """Check whether Keras' backend is TensorFlow, which training on features requires."""
    import keras

    return keras.backend.backend() == "tensorflow"


def on_accelerator():
    """Check whether Keras' backend sees a GPU or a TPU."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return False


@contextlib.contextmanager
def keras_settings(policy=None):
    """Run Keras with the settings that this package's networks need, then restore the user's.

    Channels come last, and everything is computed in float32, or in mixed precision if the user's
    dtype policy is a mixed one. Several threads may use this context at the same time.

    Parameters
    ----------
    policy : str, default=None
        Dtype policy to use instead of the user's.

    Raises
    ------
    RuntimeError
        If the process was forked from one in which Keras had run: it would wait forever for
        threads that do not exist after the fork.
    """
    import keras

    if _KERAS.was_forked:
        raise RuntimeError(
            "This process was forked from one in which Keras had run; its threads do not survive a "
            'fork. Start processes with multiprocessing.get_context("spawn") or joblib.'
        )
    users_policy = keras.config.dtype_policy()  # each thread has its own
    if policy is None:
        policy = users_policy.name if users_policy.name in DTYPE_POLICIES else "float32"
    with _KERAS.lock:
        _KERAS.has_run = True
        if _KERAS.n_inside == 0:
            _KERAS.users = keras.config.image_data_format(), keras.config.floatx()
            keras.config.set_image_data_format("channels_last")
            keras.config.set_floatx("float32")
        _KERAS.n_inside += 1
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(users_policy)
        with _KERAS.lock:
            _KERAS.n_inside -= 1
            if _KERAS.n_inside == 0:
                data_format, floatx = _KERAS.users
                keras.config.set_image_data_format(data_format)
                keras.config.set_floatx(floatx)


class _Keras:
    """How this process uses Keras."""

    def __init__(self):
        self.lock = threading.Lock()
        self.n_inside = 0  # active contexts of `keras_settings`
        self.users = None
        self.has_run = self.was_forked = False

    def after_fork(self):
        """Record in a forked child what its parent did, and free locks of the parent's threads."""
        was_forked = self.has_run or self.was_forked
        self.__init__()
        self.was_forked = was_forked


_KERAS = _Keras()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_KERAS.after_fork)


@contextlib.contextmanager
def seeded(seed):
    """Seed Python's and NumPy's global states, from which Keras draws, then restore them."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@contextlib.contextmanager
def restored_on_failure(random_state):
    """Restore a RandomState if the block fails, so that it draws the same numbers again."""
    if not isinstance(random_state, np.random.RandomState):  # an int or None
        yield
        return
    before = random_state.get_state(legacy=False)
    try:
        yield
    except BaseException:
        random_state.set_state(before)
        raise


# Caches


class LRUCache:
    """Cache of the most recently used items; threads may share it.

    Parameters
    ----------
    n : int
        Maximum number of items.

    Examples
    --------
    >>> cache = LRUCache(1)
    >>> cache.get("a", lambda: "made"), cache.get("a", lambda: "made again")
    ('made', 'made')
    >>> cache.get("b", lambda: "made"), len(cache)
    ('made', 1)
    """

    def __init__(self, n):
        self._n = n
        self._items = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._items)

    def get(self, key, make):
        """Get the item of a key; if there is none, call `make` without arguments to make it."""
        with self._lock:
            if key not in self._items:
                while len(self._items) >= self._n:
                    self._items.popitem(last=False)
                self._items[key] = make()
            self._items.move_to_end(key)
            return self._items[key]
