"""Predictions of a fitted network.

On the CPU the whole network, from the input image to probabilities, runs as one LiteRT graph,
without TensorFlow or Keras. Keras predicts with attention across the batch, and where it has an
accelerator and the network is built: after a fit, or once `model_` was accessed.
"""

import math
import threading

import numpy as np
from tqdm import tqdm

from sklearn_patt_lite._features.backbone import FrozenBackbone
from sklearn_patt_lite._features.bank import BATCH, FeatureBank, FeatureCache
from sklearn_patt_lite._features.views import clean
from sklearn_patt_lite._images.source import ImageFiles, read_images
from sklearn_patt_lite._network.engines import Engine
from sklearn_patt_lite._network.graph import write_prediction, write_prediction_from_features
from sklearn_patt_lite._network.litert import LiteRTGraph
from sklearn_patt_lite._process import keras_settings, prefetch

_CHUNK = 256  # images read at once
_MOMENT = 2  # seconds until a progress bar is shown


class Predictor:
    """Predictor of a fitted network's probabilities.

    Parameters
    ----------
    architecture : Architecture
        Architecture of the network; its attention is not across a batch.
    weights : dict of str to ndarray
        Weights of the network, by variable path.
    flip_averaging : bool, default=False
        Whether to average over an image and its mirror image.
    crop_averaging : bool, default=False
        Whether to average over an image and its crops, whose features are not kept in a memory.
    frozen_until : str, default=None
        Activation of the backbone up to which other networks have the same weights, so that its
        features are worth keeping in a memory.
    """

    def __init__(
        self,
        architecture,
        weights,
        *,
        flip_averaging=False,
        crop_averaging=False,
        frozen_until=None,
    ):
        self._network = architecture, weights
        self._flip_averaging, self._crop_averaging = flip_averaging, crop_averaging
        self._frozen_until = None if crop_averaging else frozen_until
        self._frozen = None  # made on first use, as are engines
        self._engines = {}  # by the function that writes their graph
        self._lock = threading.Lock()  # otherwise each thread would make its own

    def __call__(self, images, memory=None, *, shows=False):
        """Predict probabilities.

        Parameters
        ----------
        images : ndarray or ImageFiles of shape (n, height, width, channels)
            Images of the network's own input shape, 0 to 255.
        memory : FeatureMemory, default=None
            Stores features of the frozen layers, and may already hold these.
        shows : bool, default=False
            Whether to show a progress bar if prediction takes longer than a moment.

        Returns
        -------
        ndarray of shape (n, n_classes), dtype float32
            Probabilities of the Keras network, up to rounding.
        """
        from_features = memory is not None and self._frozen_until is not None
        parts = self._from_features(images, memory) if from_features else self._from_images(images)
        return _join(parts, len(images), shows)

    def _from_images(self, images):
        engine = self._engine(write_prediction, crop_averaging=self._crop_averaging)
        for chunk in _read_chunks(images, _CHUNK):
            if not self._flip_averaging:
                yield engine(chunk)
                continue
            mirrored = chunk[:, :, ::-1]
            if len(chunk) > BATCH:  # joining the two would copy both
                yield (engine(chunk) + engine(mirrored)) / 2
                continue
            # As one batch, so that an image and its mirror image run at the same time.
            both = engine(np.concatenate([chunk, mirrored]))
            yield (both[: len(chunk)] + both[len(chunk) :]) / 2

    def _from_features(self, images, memory):
        with self._lock:
            if self._frozen is None:
                self._frozen = FrozenBackbone(*self._network)
        layer = self._frozen_until
        engine = self._engine(write_prediction_from_features, layer=layer)
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        parts = np.array_split(np.arange(len(bank)), math.ceil(len(bank) / BATCH))
        flips = (False, True) if self._flip_averaging else (False,)
        features = (
            [bank.read(layer, rows, clean(len(rows), flip=flip), {layer}) for flip in flips]
            for rows in parts
        )
        for views in prefetch(features):
            yield sum(engine(view) for view in views) / len(flips)

    def _engine(self, write, **settings):
        with self._lock:
            if write not in self._engines:
                self._engines[write] = Engine(write(LiteRTGraph(), *self._network, **settings))
            return self._engines[write]


class KerasPredictor:
    """Predictor of a fitted network's probabilities with Keras; called like `Predictor`.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    batch_size : int, default=256
        Images per forward pass; affects the result only with attention across the batch.
    flip_averaging, crop_averaging : bool, default=False
        Whether to average over an image and its mirror image, and over an image and its crops.
    """

    def __init__(self, network, batch_size=_CHUNK, *, flip_averaging=False, crop_averaging=False):
        if crop_averaging:
            from sklearn_patt_lite._network.parts import with_crops  # imports Keras

            network = with_crops(network)
        self._network, self._flip_averaging = network, flip_averaging
        self._batch_size = batch_size
        self._lock = threading.Lock()

    @keras_settings()
    def __call__(self, images, memory=None, *, shows=False):
        """Predict probabilities; no features are stored."""
        chunk_size = self._batch_size * max(1, _CHUNK // self._batch_size)
        parts = (self._predict(x) for x in _read_chunks(images, chunk_size))
        return _join(parts, len(images), shows)

    def _predict(self, x):
        if not self._flip_averaging:
            return self._forward(x)
        return (self._forward(x) + self._forward(x[:, :, ::-1])) / 2

    def _forward(self, x):
        with self._lock:
            return self._network.predict(x, batch_size=self._batch_size, verbose=0)


def _join(parts, n, shows):
    """Concatenate parts of n rows in total, with a progress bar if requested."""
    if not shows:
        return np.concatenate(list(parts))
    joined = []
    with tqdm(total=n, unit=" images", delay=_MOMENT, leave=False) as bar:
        for part in parts:
            joined.append(part)
            bar.update(len(part))
    return np.concatenate(joined)


def _read_chunks(images, size):
    """Read images in chunks; from files, read the next while one is processed."""
    starts = range(0, len(images), size)
    chunks = (read_images(images, slice(start, start + size)) for start in starts)
    return prefetch(chunks) if isinstance(images, ImageFiles) else chunks
