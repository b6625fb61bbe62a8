"""Predictions of a fitted network.

On the CPU the whole network, from the image as it is given to probabilities, runs as one graph in
LiteRT, without TensorFlow or Keras. Keras predicts with attention across the batch, and where it
has an accelerator and the network is built: after a fit, or once `model_` was asked for.
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

_CHUNK = 256  # images that are read at once
_MOMENT = 2  # seconds, after which a progress bar is shown


class Predictor:
    """A fitted network's probabilities.

    Parameters
    ----------
    architecture : Architecture
        Of the network; its attention is not over a batch.
    weights : dict of str to ndarray
        Its weights, by the paths of its variables.
    flip_averaging : bool, default=False
        Whether to average over an image and its mirror image.
    frozen_until : str, default=None
        Activation of the backbone up to which the weights are those of other networks, too: its
        features are worth keeping in a memory.
    """

    def __init__(self, architecture, weights, *, flip_averaging=False, frozen_until=None):
        self._network = architecture, weights
        self._flip_averaging, self._frozen_until = flip_averaging, frozen_until
        self._frozen = None  # made when it is needed, as are engines
        self._engines = {}  # by what writes their graph
        self._lock = threading.Lock()  # threads would make them once each

    def __call__(self, images, memory=None, *, shows=False):
        """Predict probabilities.

        Parameters
        ----------
        images : ndarray or ImageFiles of shape (n, height, width, channels)
            Images of the network's own input shape, 0 to 255.
        memory : FeatureMemory, default=None
            Keeps features of the frozen layers, and may have kept these.
        shows : bool, default=False
            Whether to show a progress bar, if it takes longer than a moment.

        Returns
        -------
        ndarray of shape (n, n_classes), dtype float32
            Those of the Keras network, up to rounding.
        """
        from_features = memory is not None and self._frozen_until is not None
        parts = self._from_features(images, memory) if from_features else self._from_images(images)
        return _join(parts, len(images), shows)

    def _from_images(self, images):
        engine = self._engine(write_prediction)
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
        engine = self._engine(write_prediction_from_features, layer)
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        parts = np.array_split(np.arange(len(bank)), math.ceil(len(bank) / BATCH))
        flips = (False, True) if self._flip_averaging else (False,)
        features = (
            [bank.read(layer, rows, clean(len(rows), flip=flip), {layer}) for flip in flips]
            for rows in parts
        )
        for views in prefetch(features):
            yield sum(engine(view) for view in views) / len(flips)

    def _engine(self, write, *settings):
        with self._lock:
            if write not in self._engines:
                self._engines[write] = Engine(write(LiteRTGraph(), *self._network, *settings))
            return self._engines[write]


class KerasPredictor:
    """A fitted network's probabilities by Keras; called as `Predictor`.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    batch_size : int, default=256
        Images a forward pass; matters for the result with attention across the batch only.
    flip_averaging : bool, default=False
        Whether to average over an image and its mirror image.
    """

    def __init__(self, network, batch_size=_CHUNK, flip_averaging=False):
        self._network, self._flip_averaging = network, flip_averaging
        self._batch_size = batch_size
        self._lock = threading.Lock()

    @keras_settings()
    def __call__(self, images, memory=None, *, shows=False):
        """Predict probabilities; no features are kept."""
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
    """Concatenate parts of what is n rows in all, with a progress bar if wanted."""
    if not shows:
        return np.concatenate(list(parts))
    joined = []
    with tqdm(total=n, unit=" images", delay=_MOMENT, leave=False) as bar:
        for part in parts:
            joined.append(part)
            bar.update(len(part))
    return np.concatenate(joined)


def _read_chunks(images, size):
    """Read images in pieces; of files, the next while one is worked on."""
    starts = range(0, len(images), size)
    chunks = (read_images(images, slice(start, start + size)) for start in starts)
    return prefetch(chunks) if isinstance(images, ImageFiles) else chunks
