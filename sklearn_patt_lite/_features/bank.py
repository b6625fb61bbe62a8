"""Features of a set of images, computed on first request and cached."""

import contextlib
import hashlib
import tempfile
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sklearn_patt_lite._features.memory import FeatureMemory
from sklearn_patt_lite._images.source import image_digests, read_images

BATCH = 32  # images per forward pass: larger batches only take more memory
_AT_ONCE = 2  # batches: one is read or written while another is computed
_PREFIX = "sklearn_patt_lite_fit_"  # of temporary folders
_ABANDONED_AGE = 7 * 24 * 3600  # seconds
_RAM = 2**29  # bytes of features that a fit keeps in memory; more go to temporary files


class FeatureCache:
    """Cache of feature rows by key: in memory up to a limit, beyond that in a folder.

    It is thread-safe.

    Parameters
    ----------
    memory : FeatureMemory, default=None
        The folder, which then stores all rows. None: a temporary one for rows beyond the limit.
    ram : int, default=2**29
        The limit, in bytes.
    """

    def __init__(self, memory=None, *, ram=_RAM):
        self._memory = memory
        self._ram, self._room = {}, ram
        self._rows = {}  # rows of the memory, by shape
        self._has_warned = False
        self._lock = threading.Lock()

    def find(self, key, out):
        """Write a row into `out` if it is cached; return whether it is."""
        row = self._ram.get(key)
        if row is not None:
            out[...] = row
            return True
        return self._memory is not None and self._store(out.shape).read(key, out)

    def keep(self, keys, rows):
        """Store rows, an ndarray of shape (n, ...), dtype uint16."""
        in_ram = [self._keep_in_ram(key, row) for key, row in zip(keys, rows, strict=True)]
        with self._lock:
            if self._memory is None and not all(in_ram) and not self._has_warned:
                self._make_memory()
        if self._memory is not None:
            self._store(rows.shape[1:]).write(keys, rows)

    def _keep_in_ram(self, key, row):
        with self._lock:
            if row.nbytes > self._room:
                return False
            self._room -= row.nbytes
        self._ram[key] = row.copy()
        return True

    def _make_memory(self):
        try:
            self._memory = _temporary_memory(self)
        except OSError as error:
            self._has_warned = True
            message = (
                "Features that do not fit in memory are computed again in each epoch, because no "
                f"folder for temporary files can be made ({error}): pass memory, or set TMPDIR to "
                "a folder with room."
            )
            warnings.warn(message, UserWarning, stacklevel=2)

    def _store(self, shape):
        with self._lock:
            if shape not in self._rows:
                self._rows[shape] = self._memory.rows(shape)
            return self._rows[shape]


def _temporary_memory(owner):
    _remove_abandoned()
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    weakref.finalize(owner, folder.cleanup)
    return FeatureMemory(folder.name)


def _remove_abandoned():
    """Remove the folders of killed fits; a fit that still used one would refill it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            last_use = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
            if time.time() - last_use > _ABANDONED_AGE and not folder.is_symlink():
                FeatureMemory(folder).clear()
                folder.rmdir()


class FeatureBank:
    """Features of a set of images, computed on first request and cached.

    Parameters
    ----------
    frozen : FrozenBackbone
        Computes the features.
    images : ndarray or ImageFiles of shape (n, height, width, channels)
        Images, values 0 to 255.
    cache : FeatureCache
        Stores the features; banks may share it.

    Attributes
    ----------
    digests : list of bytes
        Digests of the images' contents.
    n_computed, n_found : int
        Numbers of rows requested by `read` that were computed, and found in the cache.
    """

    def __init__(self, frozen, images, cache):
        self._frozen = frozen
        self._images = images
        self._cache = cache
        # Persistent threads: each new one may leave a batch's memory behind in another arena.
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self.digests = image_digests(images)
        self.n_computed = self.n_found = 0

    def __len__(self):
        return len(self._images)

    def read(self, layer, rows, views, worth_keeping=()):
        """Read features, and compute those that are not cached yet.

        Parameters
        ----------
        layer : str
            Activation of the backbone.
        rows : ndarray of shape (m,), dtype int
            Indices of the images.
        views : ndarray of shape (m,), dtype VIEW
            View of each image.
        worth_keeping : collection of str
            Activations whose features are stored if they are computed on the way to the layer.

        Returns
        -------
        ndarray of shape (m, cells, cells, depth), dtype uint16
            Encoded features; see `decode`.
        """
        out = np.empty((len(rows), *self._frozen.shape(layer)), dtype=np.uint16)

        def fill(start):
            part = slice(start, start + BATCH)
            return self._fill(layer, rows[part], views[part], worth_keeping, out[part])

        # Batches overlap: one is read from or written to disk while another is computed.
        n_missing = sum(self._pool.map(fill, range(0, len(rows), BATCH)))
        self.n_computed += n_missing
        self.n_found += len(rows) - n_missing
        return out

    def _fill(self, layer, rows, views, worth_keeping, out):
        """Write features into `out`; return how many rows had to be computed."""
        keys = self._keys(layer, rows, views)
        # `find` fills the cached rows. For the others, `_compute` calls this method for the
        # previous activation, and so on, back to a cached one or to the image.
        missing = [i for i, key in enumerate(keys) if not self._cache.find(key, out[i])]
        if missing:
            # Usually all rows are missing, or none. If all are, compute in place, without a copy.
            computed = out if len(missing) == len(out) else np.empty_like(out[: len(missing)])
            self._compute(layer, rows[missing], views[missing], worth_keeping, computed)
            if computed is not out:
                out[missing] = computed
            if layer in worth_keeping:
                self._cache.keep([keys[i] for i in missing], computed)
        return len(missing)

    def _compute(self, layer, rows, views, worth_keeping, out):
        """Compute features from those at the previous layer, which may have to be computed too."""
        previous = self._frozen.previous_layer(layer)
        if previous is None:
            x = self._frozen.view(read_images(self._images, rows), views)
        else:
            x = np.empty((len(rows), *self._frozen.shape(previous)), dtype=np.uint16)
            self._fill(previous, rows, views, worth_keeping, x)
        self._frozen.forward(layer, x, out)

    def _keys(self, layer, rows, views):
        """Return 16-byte digests of all that the features depend on: weights, views, images."""
        start = hashlib.blake2b(self._frozen.digest(layer), digest_size=16)
        keys = []
        for row, view in zip(rows, views, strict=True):
            key = start.copy()
            key.update(view.tobytes() + self.digests[row])
            keys.append(key.digest())
        return keys
