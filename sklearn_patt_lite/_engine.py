"""Quick forward passes on the CPU: a fitted network, taken apart for prediction.

The backbone is nearly all of the work. Its BatchNormalization is folded into the convolutions
before it. It and the head behind it run in LiteRT (the extra "litert") where that is installed,
else in TensorFlow. What stands before it (resizing) stays Keras' own.
"""

import functools
import hashlib
import importlib.util
import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf

from sklearn_patt_lite._kept import Kept
from sklearn_patt_lite._network import BACKBONE, head_of
from sklearn_patt_lite._quiet import without_chatter
from sklearn_patt_lite._sources import n_threads

BATCH = 32  # images a forward pass: larger ones only take more memory
_LARGE_KERNEL = 2**20  # values: 4 MB, more than a core's cache holds
_ENGINES = Kept(24)  # the fits of a search share their frozen backbone


class Predictor:
    """A fitted network's probabilities, quicker than by `keras.Model.predict`.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with the weights that it is to predict with: later changes of
        them are not seen.
    cut : str, default=None
        Activation of the backbone: predict from the features there instead of from images.
    batch_size : int, default=32
        Images a forward pass; matters for the result with attention across the batch only.
    """

    def __init__(self, network, cut=None, *, batch_size=BATCH):
        backbone = network.get_layer(BACKBONE)
        self._parts = [
            _preprocessing(network) if cut is None else None,
            functools.partial(_backbone_part, backbone, cut),
            functools.partial(_head_part, network, cut),
        ]
        self.batch_size = batch_size
        self._engines = None
        self._lock = threading.Lock()

    def __call__(self, images):
        """Predict probabilities.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels)
            Images of the network's own input shape, 0 to 255; or features at the cut.

        Returns
        -------
        ndarray of shape (n, n_classes), dtype float32
            Those of ``network.predict(images, batch_size)``, up to rounding.
        """
        with self._lock:  # threads would compile the parts once each
            if self._engines is None:
                engines = [part() for part in self._parts if part is not None]
                self._engines = [engine for engine in engines if engine is not None]
                self._parts = None  # what is compiled no longer needs the Keras layers
        starts = range(0, len(images), self.batch_size)
        batches = (images[start : start + self.batch_size] for start in starts)
        return np.concatenate([self._predict_batch(batch) for batch in batches])

    def _predict_batch(self, x):
        for engine in self._engines:
            x = engine(x)
        return x


class KerasPredictor:
    """A fitted network's probabilities on other backends of Keras, as a `Predictor` gives them.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    batch_size : int
        As a `Predictor`'s.
    """

    def __init__(self, network, *, batch_size):
        self._network, self.batch_size = network, batch_size
        self._lock = threading.Lock()  # two threads would trace the network at once

    def __call__(self, images):
        """Predict probabilities: float32, (n, n_classes)."""
        with self._lock:
            return self._network.predict(images, batch_size=self.batch_size, verbose=0)


def _head_part(network, cut):
    """Make an engine of what is behind the backbone.

    It takes a moment to convert a head for LiteRT, and saves more where images go through the
    backbone one at a time; a search that predicts from features is better off without.
    """
    head = head_of(network)
    if cut is not None or engine_class() is TensorFlowEngine or _is_for_tensorflow(head):
        return SharedHead(head)
    forward_head = functools.partial(_forward_head, head, *_weights(head))
    return LiteRTEngine(forward_head, head.input.shape[1:])


def _is_for_tensorflow(head):
    """Whether a head is not for LiteRT, row by row and in float32."""
    if any(layer.name == "batch_attention" for layer in head.layers):
        return True  # rows need their company
    # A large kernel is better read once a batch; 16-bit layers are not converted.
    has_large_kernel = any(math.prod(w.shape) > _LARGE_KERNEL for w in head.trainable_variables)
    return has_large_kernel or any(x.compute_dtype != "float32" for x in head.layers)


def _forward_head(head, trainable, non_trainable, x):
    """Predict with given weights, not with the layers' own variables: LiteRT has none."""
    probabilities, _ = head.stateless_call(trainable, non_trainable, x, training=False)
    return probabilities


def _weights(head):
    return [
        [variable.numpy() for variable in variables]
        for variables in (head.trainable_variables, head.non_trainable_variables)
    ]


def preprocessing(network):
    """Make an engine of what brings images to the network's size; None where they have it."""
    part = _preprocessing(network)
    return None if part is None else part()


def _backbone_part(backbone, cut):
    """The engine of the backbone behind a cut; None if nothing is left there."""
    steps, shape = fold(backbone), backbone.input.shape[1:]
    if cut is not None:
        names = [step.get("name") for _, step in steps]
        steps, shape = steps[names.index(cut) + 1 :], backbone.get_layer(cut).output.shape[1:]
    # What was trained is this network's alone: it is gone when the network's owner is.
    make = new_engine if backbone.trainable_weights else steps_engine
    return make(steps, shape) if steps else None


def _preprocessing(network):
    """What brings images to the network's size; None where they have it already.

    In TensorFlow: LiteRT has no antialiased resizing.
    """
    sized = network.get_layer("scale").input
    if network.input.shape[1:] == sized.shape[1:]:
        return None
    part = functools.partial(keras.Model(network.input, sized), training=False)
    return functools.partial(TensorFlowEngine, part, network.input.shape[1:])


def steps_engine(steps, shape):
    """Get the quickest forward pass at hand of folded steps.

    Parameters
    ----------
    steps : list of (str, dict)
        From `fold`, or a part of it; the first of all takes images, values 0 to 255.
    shape : tuple of int
        Of one row that goes in.

    Returns
    -------
    callable
        Maps an ndarray of shape (n, *shape) to another one, row by row: a new one of dtype
        float32, or a given one, ``out``. The same steps get the same engine again.
    """
    key = (engine_class(), shape, digest(steps))
    return _ENGINES.get(key, lambda: new_engine(steps, shape))


def new_engine(steps, shape):
    """Make an engine that nobody else gets; parameters as in `steps_engine`."""
    return engine_class()(functools.partial(forward, steps), shape)


def engine_class():
    """The class of the engine that is quickest here."""
    return LiteRTEngine if _has_litert() else TensorFlowEngine


def _has_litert():
    """Whether LiteRT is installed, and the machine has no GPU, which TensorFlow uses better."""
    return importlib.util.find_spec("ai_edge_litert") is not None and not _has_gpu()


def _has_gpu():
    return bool(tf.config.list_physical_devices("GPU"))


def fold(backbone):
    """Fold each BatchNormalization of a MobileNetV1 into the convolution before it.

    Parameters
    ----------
    backbone : keras.Model
        From `build_backbone`: one chain of layers.

    Returns
    -------
    list of (str, dict)
        What is to be done, in order: "scale" (of 0 to 255, first), "conv", "depthwise",
        "relu6" or "pad", with its arrays (float32) and settings.
    """
    steps = [("scale", {"factor": 1 / 127.5, "offset": -1.0})]
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            _fold_normalization(steps, layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            steps.append(_describe(layer))
    return steps


def _describe(layer):
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return "pad", {"padding": layer.padding}
    if isinstance(layer, keras.layers.ReLU):
        return "relu6", {"name": layer.name}
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return "depthwise" if depthwise else "conv", {
        "kernel": layer.get_weights()[0],
        "bias": None,
        "stride": layer.strides[0],
        "padding": layer.padding.upper(),
    }


def _fold_normalization(steps, layer):
    gamma, beta, mean, variance = layer.get_weights()
    scale = gamma / np.sqrt(variance + layer.epsilon)
    bias = beta - mean * scale
    kind, step = steps[-1]
    if kind == "depthwise":
        step.update(kernel=step["kernel"] * scale[:, np.newaxis], bias=bias)
    elif kind == "conv":
        step.update(kernel=step["kernel"] * scale, bias=bias)


def digest(steps):
    """Tell steps from others, by their arrays and settings; 16 bytes."""
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
    """Run steps of `fold` in TensorFlow; the first of them takes images of 0 to 255."""
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
        # Without a signature, a smaller last batch would be traced anew.
        signature = [tf.TensorSpec((None, *shape), tf.float32)]
        self._function = tf.function(function, input_signature=signature)

    def __call__(self, batch, out=None):
        """Map an ndarray of shape (n, *shape) to the function's result; see `steps_engine`."""
        result = self._function(np.asarray(batch, dtype=np.float32)).numpy()
        if out is None:
            return result
        out[...] = result
        return out


class SharedHead:
    """A head in TensorFlow, traced once for all heads of its architecture: they differ in weights.

    Parameters
    ----------
    head : keras.Model
        From the backbone's features to probabilities.
    """

    _functions = Kept(8)  # a search has as many architectures as it has patch settings

    def __init__(self, head):
        self._weights = [[tf.constant(w) for w in weights] for weights in _weights(head)]
        configs = [layer.get_config() for layer in head.layers[1:]]  # the input's name is its own
        key = json.dumps([head.input.shape, configs])
        self._function = self._functions.get(key, lambda: self._trace(head))

    def _trace(self, head):
        weights = [[tf.TensorSpec(w.shape, w.dtype) for w in part] for part in self._weights]
        features = tf.TensorSpec((None, *head.input.shape[1:]), tf.float32)
        forward_head = functools.partial(_forward_head, head)
        return tf.function(forward_head, input_signature=[*weights, features])

    def __call__(self, features):
        """Map features, an ndarray of shape (n, ...), to probabilities."""
        return self._function(*self._weights, np.asarray(features, dtype=np.float32)).numpy()


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
    signature = tf.TensorSpec((1, *shape), tf.float32)
    traced = tf.function(function).get_concrete_function(signature)
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
