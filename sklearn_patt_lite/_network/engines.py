"""Forward passes on the CPU: folded steps of the backbone, run in LiteRT or TensorFlow.

LiteRT (the extra "litert") is quicker where it is installed.
"""

import functools
import hashlib
import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from sklearn_patt_lite._network.parts import image_to_size
from sklearn_patt_lite._process import LRUCache, n_threads, without_chatter

BATCH = 32  # images a forward pass: larger ones only take more memory
_ENGINES = LRUCache(24)  # the fits of a search share their frozen backbone


def steps_engine(steps, shape):
    """Get the fastest engine available for folded steps, cached by their digest.

    Parameters
    ----------
    steps : list of (str, dict)
        From `fold_for_inference`, or a part of them; the first of all takes images, 0 to 255.
    shape : tuple of int
        Of one row that goes in.

    Returns
    -------
    callable
        Maps an ndarray of shape (n, *shape) to another one, row by row: a new one of dtype
        float32, or the given ``out``.
    """
    key = (engine_class(), shape, steps_digest(steps))
    return _ENGINES.get(key, lambda: new_engine(steps, shape))


def new_engine(steps, shape):
    """Make an engine without caching it; parameters as in `steps_engine`."""
    return engine_class()(functools.partial(forward, steps), shape)


def preprocessing(network):
    """Make an engine of what brings images to the network's size; None where they have it.

    In TensorFlow: LiteRT has no antialiased resizing.
    """
    part = image_to_size(network)
    if part is None:
        return None
    return TensorFlowEngine(functools.partial(part, training=False), network.input.shape[1:])


def engine_class():
    """The fastest class of engine on this machine."""
    return LiteRTEngine if _has_litert() else TensorFlowEngine


def _has_litert():
    """Whether LiteRT is installed, and the machine has no GPU, which TensorFlow uses better."""
    return importlib.util.find_spec("ai_edge_litert") is not None and not _has_gpu()


def _has_gpu():
    return bool(tf.config.list_physical_devices("GPU"))


def steps_digest(steps):
    """16-byte digest of the steps' arrays and settings."""
    settings = repr([(kind, _settings(step)) for kind, step in steps]).encode()
    digest = hashlib.blake2b(settings, digest_size=16)
    for _, step in steps:
        for array in (step.get("kernel"), step.get("bias")):
            if array is not None:
                digest.update(np.ascontiguousarray(array))
    return digest.digest()


def _settings(step):
    return {name: value for name, value in step.items() if name not in ("kernel", "bias")}


def forward(steps, x):
    """Run steps of `fold_for_inference` in TensorFlow; the first takes images of 0 to 255."""
    for kind, step in steps:
        if kind == "scale":
            x = x * step["factor"] + step["offset"]
        elif kind == "pad":
            x = tf.pad(x, [(0, 0), *step["padding"], (0, 0)])
        elif kind == "relu6":
            x = tf.nn.relu6(x)
        else:
            x = _convolve(kind, step, x)
    return x


def _convolve(kind, step, x):
    if kind == "conv":
        name = f"conv_{len(step['kernel'])}"  # by its side: those of 1×1 can be told from others
        x = tf.nn.conv2d(x, step["kernel"], step["stride"], step["padding"], name=name)
    else:
        strides = [1, step["stride"], step["stride"], 1]
        x = tf.nn.depthwise_conv2d(x, step["kernel"], strides, step["padding"])
    return x if step["bias"] is None else tf.nn.bias_add(x, step["bias"])


class TensorFlowEngine:
    """A function of a batch in TensorFlow: traced once, whatever the size of the batch."""

    def __init__(self, function, shape):
        # With a signature, a smaller last batch is not traced again.
        signature = [tf.TensorSpec((None, *shape), tf.float32)]
        traced = tf.function(function, input_signature=signature, autograph=False)
        self._function = traced.get_concrete_function()

    def __call__(self, batch, out=None):
        """Map an ndarray of shape (n, *shape) to the function's result; see `steps_engine`."""
        result = self._function(tf.constant(np.asarray(batch, dtype=np.float32))).numpy()
        if out is None:
            return result
        out[...] = result
        return out


class LiteRTEngine:
    """A function of a batch in LiteRT, row by row: as many at once as there are threads.

    Its arrays are constants: there are no variables to convert.
    """

    def __init__(self, function, shape):
        model, threads = litert_model(function, shape), n_threads()
        self._together = _interpreter(model, threads)
        self._apart = [_interpreter(model, 1) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)
        self._lock = threading.Lock()  # an interpreter has room for one row

    def __call__(self, batch, out=None):
        """Map an ndarray of shape (n, *shape) to the function's result; see `steps_engine`."""
        if out is None:
            out = np.empty((len(batch), *_output(self._together)["shape"][1:]), dtype=np.float32)
        n = len(self._apart)
        with self._lock:
            # Few rows run one after the other on all threads; many run in parallel, one per thread.
            if len(batch) < n:
                _invoke(self._together, batch, out)
                return out
            work = [
                self._pool.submit(_invoke, interpreter, batch[i::n], out[i::n])
                for i, interpreter in enumerate(self._apart)
            ]
            for part in work:
                part.result()
        return out


def litert_model(function, shape):
    """Convert a function of one row, whose arrays are constants; bytes."""
    # One row: LiteRT's kernels for a batch use their threads less well than rows apart do.
    signature = tf.TensorSpec((1, *shape), tf.float32)
    traced = tf.function(function, autograph=False).get_concrete_function(signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
    converter.experimental_lower_to_saved_model = False  # there and back takes as long again
    with without_chatter():
        return converter.convert()


def _interpreter(model, threads):
    from ai_edge_litert.interpreter import Interpreter

    with without_chatter():
        interpreter = Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def _output(interpreter):
    return interpreter.get_output_details()[0]


def _invoke(interpreter, batch, result):
    source = interpreter.tensor(interpreter.get_input_details()[0]["index"])
    target = interpreter.tensor(_output(interpreter)["index"])
    for row, out in zip(batch, result, strict=True):
        source()[0] = row  # in place; nobody may hold on to what is called here
        interpreter.invoke()
        out[...] = target()[0]
