"""Quick forward passes on the CPU: a fitted network, taken apart for prediction.

The backbone is nearly all of the work. Its BatchNormalization is folded into the convolutions
before it. It and the head behind it run in LiteRT (the extra "litert") where that is installed,
else in TensorFlow. What stands before it (resizing) stays Keras' own.
"""

import functools
import json
import math
import threading

import numpy as np
import tensorflow as tf

from sklearn_patt_lite._features.backbone import CLEAN, FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import (
    BATCH,
    LiteRTEngine,
    engine_class,
    new_engine,
    preprocessing,
    steps_engine,
)
from sklearn_patt_lite._network.parts import head_of
from sklearn_patt_lite._network.patt_lite import BACKBONE
from sklearn_patt_lite._process import LRUCache, prefetch

_LARGE_KERNEL = 2**20  # values: 4 MB, more than a core's cache holds


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
            functools.partial(preprocessing, network) if cut is None else None,
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
    if cut is not None or engine_class() is not LiteRTEngine or _is_for_tensorflow(head):
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


def _backbone_part(backbone, cut):
    """The engine of the backbone behind a cut; None if nothing is left there."""
    steps, shape = fold_for_inference(backbone), backbone.input.shape[1:]
    if cut is not None:
        names = [step.get("name") for _, step in steps]
        steps, shape = steps[names.index(cut) + 1 :], backbone.get_layer(cut).output.shape[1:]
    # What was trained is this network's alone: it is gone when the network's owner is.
    make = new_engine if backbone.trainable_weights else steps_engine
    return make(steps, shape) if steps else None


class SharedHead:
    """A head in TensorFlow, traced once for all heads of its architecture: they differ in weights.

    Parameters
    ----------
    head : keras.Model
        From the backbone's features to probabilities.
    """

    _functions = LRUCache(8)  # a search has as many architectures as it has patch settings

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


class FeaturePredictor:
    """A fitted network's probabilities, by way of features that a memory keeps.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with the weights that it is to predict with.
    cut : str
        Activation of its backbone up to which the weights are those of other fits, too.
    """

    def __init__(self, network, cut):
        self._network, self._cut = network, cut
        self._frozen = None
        self._predict = Predictor(network, cut)
        self._lock = threading.Lock()

    def __call__(self, images, memory):
        """Predict probabilities: float32, (n, n_classes)."""
        with self._lock:
            if self._frozen is None:
                self._frozen = FrozenBackbone(self._network)
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        parts = np.array_split(np.arange(len(bank)), math.ceil(len(bank) / BATCH))
        views = np.full(len(bank), CLEAN)
        kept = {self._cut}
        features = (bank.read(self._cut, rows, views[rows], kept) for rows in parts)
        return np.concatenate([self._predict(np.asarray(decode(x))) for x in prefetch(features)])
