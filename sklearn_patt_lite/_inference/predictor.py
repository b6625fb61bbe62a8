"""Fast predictions of a fitted network on the CPU.

The backbone takes nearly all of the time. Its BatchNormalization is folded into the convolutions
before it. Backbone and head run in LiteRT (the extra "litert") if it is installed, otherwise in
TensorFlow. Resizing is done by Keras' own layer. Other backends of Keras use `keras.Model.predict`.
"""

import functools
import math
import threading

import numpy as np

from sklearn_patt_lite._features.backbone import FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._features.views import clean
from sklearn_patt_lite._images.source import ImageFiles, read_images
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import (
    BATCH,
    LiteRTEngine,
    TensorFlowEngine,
    engine_class,
    new_engine,
    preprocessing,
    steps_engine,
)
from sklearn_patt_lite._network.parts import (
    backbone_after,
    backbone_of,
    depends_on_batch,
    head_function,
    head_of,
)
from sklearn_patt_lite._process import keras_settings, on_tensorflow, prefetch

_CHUNK = 256  # images that are read at once
_LARGE_KERNEL = 2**20  # values: 4 MB, more than a core's cache holds


class Predictor:
    """A fitted network's probabilities, quicker than by `keras.Model.predict`.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with the weights that it is to predict with. Changes of them after
        the first prediction are not seen.
    batch_size : int, default=32
        Images a forward pass; matters for the result with attention across the batch only.
    flip_averaging : bool, default=False
        Whether to average over an image and its mirror image.
    frozen_until : str, default=None
        Activation of the backbone up to which the weights are those of other networks, too: its
        features are worth keeping in a memory.
    """

    def __init__(self, network, *, batch_size=BATCH, flip_averaging=False, frozen_until=None):
        self._network = network
        self._batch_size, self._flip_averaging = batch_size, flip_averaging
        self._frozen_until = frozen_until
        self._frozen = None  # made when it is needed, as are engines
        self._engines = {}  # by the layer that they begin behind; None for images
        self._lock = threading.Lock()  # threads would compile them once each

    @keras_settings()
    def __call__(self, images, memory=None):
        """Predict probabilities.

        Parameters
        ----------
        images : ndarray or ImageFiles of shape (n, height, width, channels)
            Images of the network's own input shape, 0 to 255.
        memory : FeatureMemory, default=None
            Keeps features of the frozen layers, and may have kept these.

        Returns
        -------
        ndarray of shape (n, n_classes), dtype float32
            Those of ``network.predict(images, batch_size)``, up to rounding.
        """
        if memory is not None and self._predicts_from_features:
            return np.concatenate(list(self._from_features(images, memory)))
        return np.concatenate(list(self._from_images(images)))

    @property
    def _predicts_from_features(self):
        return self._frozen_until is not None and on_tensorflow()

    def _from_images(self, images):
        chunk_size = self._batch_size * max(1, _CHUNK // self._batch_size)
        starts = range(0, len(images), chunk_size)
        chunks = (read_images(images, slice(start, start + chunk_size)) for start in starts)
        if isinstance(images, ImageFiles):
            chunks = prefetch(chunks)
        for chunk in chunks:
            probabilities = self._forward(chunk)
            if self._flip_averaging:
                mirrored = np.ascontiguousarray(chunk[:, :, ::-1])
                probabilities = (probabilities + self._forward(mirrored)) / 2
            yield probabilities

    def _from_features(self, images, memory):
        with self._lock:
            if self._frozen is None:
                self._frozen = FrozenBackbone(self._network)
        layer = self._frozen_until
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        parts = np.array_split(np.arange(len(bank)), math.ceil(len(bank) / BATCH))
        flips = (False, True) if self._flip_averaging else (False,)
        features = (
            [bank.read(layer, rows, clean(len(rows), flip=flip), {layer}) for flip in flips]
            for rows in parts
        )
        for views in prefetch(features):
            probabilities = [self._forward(np.asarray(decode(view)), layer) for view in views]
            yield sum(probabilities) / len(flips)

    def _forward(self, x, layer=None):
        """Predict from images in an array, or from the features at a layer, batch by batch."""
        if not on_tensorflow():
            with self._lock:
                return self._network.predict(x, batch_size=self._batch_size, verbose=0)
        with self._lock:
            if layer not in self._engines:
                self._engines[layer] = _engines(self._network, layer)
        starts = range(0, len(x), self._batch_size)
        return np.concatenate(
            [
                functools.reduce(
                    lambda batch, engine: engine(batch),
                    self._engines[layer],
                    x[start : start + self._batch_size],
                )
                for start in starts
            ]
        )


def _engines(network, layer):
    """Make the engines that lead from images, or from the features at a layer, to probabilities."""
    engines = [
        preprocessing(network) if layer is None else None,
        _backbone_engine(network, layer),
        _head_engine(network, layer),
    ]
    return [engine for engine in engines if engine is not None]


def _backbone_engine(network, layer):
    """Make an engine of the backbone, or of what is behind a layer of it; None if nothing is."""
    backbone = backbone_of(network)
    steps, shape = fold_for_inference(backbone), backbone.input.shape[1:]
    if layer is not None:
        names = [step.get("name") for _, step in steps]
        steps, shape = steps[names.index(layer) + 1 :], backbone_after(network, layer)[1]
    # What was trained is this network's alone: it is gone when the network's owner is.
    make = new_engine if backbone.trainable_weights else steps_engine
    return make(steps, shape) if steps else None


def _head_engine(network, layer):
    """Make an engine of what is behind the backbone.

    It takes a moment to convert a head for LiteRT, and saves more where images go through the
    backbone one at a time; a search that predicts from features is better off without.
    """
    head = head_of(network)
    if layer is not None or engine_class() is not LiteRTEngine or _is_for_tensorflow(head):
        return TensorFlowEngine(head_function(head), head.input.shape[1:])
    return LiteRTEngine(head_function(head), head.input.shape[1:])


def _is_for_tensorflow(head):
    """Whether a head should run in TensorFlow, since LiteRT runs it row by row and in float32."""
    if depends_on_batch(head):
        return True
    # LiteRT would read a large kernel for every row; 16-bit layers are not converted to it.
    has_large_kernel = any(math.prod(w.shape) > _LARGE_KERNEL for w in head.trainable_variables)
    return has_large_kernel or any(x.compute_dtype != "float32" for x in head.layers)
