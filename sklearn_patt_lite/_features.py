"""Features of frozen layers, computed once for each image and view, and trained on after that.

The features at an activation of the frozen backbone are a pure function of an image, a view of it
(flip, contrast) and the frozen weights. The backbone's later activations are *stations*: the
features at each are computed from those at the station before, rounded as they are stored. So they
are the same, bit for bit, whether that station's were computed a moment ago or found in memory:
the stages of a fit, and fits that cut the backbone at different depths, share the way that they
have in common.

They are stored in 16 bits over ReLU6's range: as small as float16, more exact (to 0.00005), and
much quicker to convert in NumPy.
"""

import hashlib
import itertools
import math
import tempfile
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from keras import ops

from sklearn_patt_lite import _engine
from sklearn_patt_lite._network import BACKBONE
from sklearn_patt_lite._sources import ahead, image_digests, read_images
from sklearn_patt_lite._store import FeatureMemory

#: The bank of views: whether an image is flipped left to right, and the factor of its contrast.
#: Keras' layers draw the factor from 0.7 to 1.3 with a standard deviation of 0.17, as these have.
VIEWS = tuple((flip, contrast) for contrast in (1.0, 0.8, 1.2) for flip in (False, True))
CLEAN = 0  # the view that changes nothing

_LEVELS = 2**16 - 1  # between ReLU6's 0 and 6
_ENCODE = "scale", {"factor": _LEVELS / 6, "offset": 0.5}  # what becomes uint16 is cut, not rounded
_DECODE = "scale", {"factor": 6 / _LEVELS, "offset": 0.0}
_FORMAT = b"1"  # of what is computed here; another one makes all that is kept unknown
_FIRST_STATION = "conv_pw_6_relu"  # before it maps are large, and nobody cuts
_AT_ONCE = 2  # batches: one is read or written while another takes its forward pass
_RAM = 2**29  # bytes of features that a fit keeps in memory; more go to a temporary file
_ORDERS = list(itertools.permutations(range(len(VIEWS))))


def frozen_cut(network):
    """Find where the frozen part of a network's backbone ends.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with what trains set.

    Returns
    -------
    str or None
        The last activation before the first layer that trains; None if there is none, or if its
        map holds more values than the image: computing such features anew costs less than
        keeping them.
    """
    backbone = network.get_layer(BACKBONE)
    cut = None
    for layer in backbone.layers:
        if layer.trainable_weights:
            break
        if isinstance(layer, keras.layers.ReLU):
            cut = layer
    if cut is None or math.prod(cut.output.shape[1:]) > math.prod(backbone.input.shape[1:]):
        return None
    return cut.name


def decode(features):
    """Turn stored features into what they stand for; tensors or ndarrays, float32."""
    return ops.cast(features, "float32") * (6 / _LEVELS)


class FrozenBackbone:
    """The frozen way from an image to its features, station by station.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    """

    def __init__(self, network):
        backbone = network.get_layer(BACKBONE)
        self._preprocessing = _engine.preprocessing(network)
        self._shapes = {layer.name: layer.output.shape[1:] for layer in backbone.layers}
        self._input_shape = backbone.input.shape[1:]
        self._steps = _engine.fold(backbone)
        names = [step.get("name") for _, step in self._steps]
        self._places = {name: i for i, name in enumerate(names) if name is not None}
        first = self._places.get(_FIRST_STATION, len(names))
        self._stations = [name for name, place in self._places.items() if place >= first]
        self._digests, self._engines = {}, {}

    def before(self, name):
        """The station before an activation; None for the image itself."""
        earlier = [n for n in self._stations if self._places[n] < self._places[name]]
        return earlier[-1] if earlier else None

    def shape(self, name):
        """Of one image's features at an activation."""
        return self._shapes[name]

    def view(self, images, views):
        """Bring images to the backbone's size, and show a view of each; float32."""
        if self._preprocessing is not None:
            images = self._preprocessing(images)
        shown = np.empty(images.shape, dtype=np.float32)
        for image, view, out in zip(images, views, shown, strict=True):
            _show(image, view, out)
        return shown

    def forward(self, name, x, out):
        """Compute the features at an activation from those at the station before."""
        if name not in self._engines:
            before = self.before(name)
            shape = self._input_shape if before is None else self.shape(before)
            self._engines[name] = _engine.steps_engine(self._segment(name), shape)
        self._engines[name](x, out)

    def digest(self, name):
        """Tell what computes the features at an activation from all that computes others."""
        if name not in self._digests:
            before = self.before(name)
            start = self._start() if before is None else self.digest(before)
            digest = hashlib.blake2b(start, digest_size=16)
            digest.update(_engine.digest(self._segment(name)))
            self._digests[name] = digest.digest()
        return self._digests[name]

    def _segment(self, name):
        before, end = self.before(name), self._places[name] + 1
        if before is None:
            return [*self._steps[:end], _ENCODE]
        return [_DECODE, *self._steps[self._places[before] + 1 : end], _ENCODE]

    def _start(self):
        # Engines round differently: a memory that both have filled would not be reproducible.
        return _FORMAT + f"{self._input_shape} {_engine.engine_class().__name__}".encode()


def _show(image, view, out):
    """Write a view of one image (height, width, channels), values 0 to 255, into `out`."""
    flip, contrast = VIEWS[view]
    image = image[:, ::-1] if flip else image
    if contrast == 1:
        out[...] = image
        return
    np.multiply(image, np.float32(contrast), out=out)
    height, width, channels = out.shape
    rows = out.reshape(height, -1)  # NumPy is quick on long rows
    mean = rows.sum(axis=0).reshape(width, channels).sum(axis=0) / (height * width)
    rows += np.tile(mean * np.float32(1 / contrast - 1), width)
    np.clip(rows, 0, 255, out=rows)


class FeatureCache:
    """Rows of features by their keys: in memory up to a bound, beyond that in a folder.

    Threads may share it.

    Parameters
    ----------
    memory : FeatureMemory, default=None
        The folder, which then keeps all rows; None: a temporary one, for those beyond the bound.
    ram : int, default=2**29
        The bound, in bytes.
    """

    def __init__(self, memory=None, *, ram=_RAM):
        self._memory = memory
        self._ram, self._room = {}, ram
        self._rows = {}  # the memory's, by their shape
        self._lock = threading.Lock()

    def find(self, key, out):
        """Write a row into `out` if it is there, and tell whether it is."""
        row = self._ram.get(key)
        if row is not None:
            out[...] = row
            return True
        return self._memory is not None and self._store(out.shape).read(key, out)

    def keep(self, keys, rows):
        """Keep rows, an ndarray of shape (n, ...), dtype uint16."""
        in_ram = [self._keep_in_ram(key, row) for key, row in zip(keys, rows, strict=True)]
        with self._lock:
            if self._memory is None and not all(in_ram):
                self._memory = _temporary_memory(self)
        if self._memory is not None:
            self._store(rows.shape[1:]).write(keys, rows)

    def _keep_in_ram(self, key, row):
        with self._lock:
            if row.nbytes > self._room:
                return False
            self._room -= row.nbytes
        self._ram[key] = row.copy()
        return True

    def _store(self, shape):
        with self._lock:
            if shape not in self._rows:
                self._rows[shape] = self._memory.rows(shape)
            return self._rows[shape]


def _temporary_memory(owner):
    folder = tempfile.TemporaryDirectory(prefix="sklearn_patt_lite_", ignore_cleanup_errors=True)
    weakref.finalize(owner, folder.cleanup)
    return FeatureMemory(folder.name)


class FeatureBank:
    """Features of a set of images: computed where they are asked for first, and kept.

    Parameters
    ----------
    frozen : FrozenBackbone
        What computes them.
    images : ndarray or ImageFiles of shape (n, height, width, channels)
        The images, values 0 to 255.
    cache : FeatureCache
        Where they are kept; banks may share it.

    Attributes
    ----------
    n_computed, n_found : int
        Rows of features, asked for by `read`, that took a forward pass, or were found.
    """

    def __init__(self, frozen, images, cache):
        self._frozen = frozen
        self._images = images
        self._cache = cache
        # Threads that stay: each new one may leave a batch's memory behind in another arena.
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._image_digests = image_digests(images)
        orders = [int.from_bytes(digest[:8], "little") for digest in self._image_digests]
        self._orders = np.array([_ORDERS[order % len(_ORDERS)] for order in orders])
        self.n_computed = self.n_found = 0

    def __len__(self):
        return len(self._images)

    def views(self, epoch):
        """Choose the view of each image in an epoch; ndarray of shape (n,), dtype int.

        Each goes through the bank in an order of its own, which its content fixes: in the same
        epoch all fits ask for the same features.
        """
        return self._orders[:, epoch % len(VIEWS)]

    def read(self, cut, rows, views, kept=()):
        """Get features.

        Parameters
        ----------
        cut : str
            Activation of the backbone.
        rows : ndarray of shape (m,), dtype int
            Which images.
        views : ndarray of shape (m,), dtype int
            Which view of each, as an index of `VIEWS`.
        kept : collection of str
            Activations whose features are worth keeping if the way to the cut leads through them.

        Returns
        -------
        ndarray of shape (m, cells, cells, depth), dtype uint16
            Features, to be decoded.
        """
        out = np.empty((len(rows), *self._frozen.shape(cut)), dtype=np.uint16)

        def fill(start):
            part = slice(start, start + _engine.BATCH)
            return self._fill(cut, rows[part], views[part], kept, out[part])

        n_missing = sum(self._pool.map(fill, range(0, len(rows), _engine.BATCH)))
        self.n_computed += n_missing
        self.n_found += len(rows) - n_missing
        return out

    def _fill(self, cut, rows, views, kept, out):
        """Find features, or else compute them from those at the station before."""
        keys = self._keys(cut, rows, views)
        missing = [i for i, key in enumerate(keys) if not self._cache.find(key, out[i])]
        if missing:
            computed = out if len(missing) == len(out) else np.empty_like(out[: len(missing)])
            self._compute(cut, rows[missing], views[missing], kept, computed)
            if computed is not out:
                out[missing] = computed
            if cut in kept:
                self._cache.keep([keys[i] for i in missing], computed)
        return len(missing)

    def _compute(self, cut, rows, views, kept, out):
        before = self._frozen.before(cut)
        if before is None:
            x = self._frozen.view(read_images(self._images, rows), views)
        else:
            x = np.empty((len(rows), *self._frozen.shape(before)), dtype=np.uint16)
            self._fill(before, rows, views, kept, x)
        self._frozen.forward(cut, x, out)

    def _keys(self, cut, rows, views):
        start = hashlib.blake2b(self._frozen.digest(cut), digest_size=16)
        keys = []
        for row, view in zip(rows, views, strict=True):
            key = start.copy()
            key.update(repr(VIEWS[view]).encode() + self._image_digests[row])
            keys.append(key.digest())
        return keys


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
        self._predict = _engine.Predictor(network, cut)
        self._lock = threading.Lock()

    def __call__(self, images, memory):
        """Predict probabilities: float32, (n, n_classes)."""
        with self._lock:
            if self._frozen is None:
                self._frozen = FrozenBackbone(self._network)
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        parts = np.array_split(np.arange(len(bank)), math.ceil(len(bank) / _engine.BATCH))
        views = np.full(len(bank), CLEAN)
        kept = {self._cut}
        features = (bank.read(self._cut, rows, views[rows], kept) for rows in parts)
        return np.concatenate([self._predict(np.asarray(decode(x))) for x in ahead(features)])
