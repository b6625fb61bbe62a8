"""The images of a fit: in an array, or in files that are read when they are needed."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from sklearn_patt_lite._images.check import check_images, is_paths, resize_images
from sklearn_patt_lite._images.decode import decode_images
from sklearn_patt_lite._process import n_threads

_DIGEST_SIZE = 16


def as_source(X, size, shape=None):
    """Check images, and leave those in files where they are.

    Parameters
    ----------
    X : array-like
        As `PAttLiteClassifier.fit` takes it.
    size : int
        Side in pixels at which files are read.
    shape : tuple of int, default=None
        (height, width, channels) to which images are brought; None leaves each kind as it is.

    Returns
    -------
    ndarray or ImageFiles
        Of shape (n, height, width, channels), values 0 to 255.

    Raises
    ------
    TypeError, ValueError
        As `check_images`.
    FileNotFoundError
        If a path leads to no file; the message names the row.
    """
    if is_paths(X):
        return ImageFiles(X, size, shape or (size, size, 3))
    images = check_images(X)
    images = images[..., np.newaxis] if images.ndim == 3 else images
    return images if shape is None else resize_images(images, shape)


class ImageFiles:
    """Images in files: looks like an array of images, and reads no file before `read`.

    Parameters
    ----------
    paths : sequence of path-like of length n
        Their files.
    size : int
        Side of the square of RGB pixels to which images are brought first.
    shape : tuple of int
        (height, width, channels) to which they are brought then.
    """

    def __init__(self, paths, size, shape):
        self._paths = np.array([os.fspath(path) for path in paths], dtype=object)
        self._rows = np.arange(len(self._paths))  # of the input, to name them in errors
        self._size = size
        self.shape = (len(self._paths), *shape)
        missing = np.flatnonzero([not os.path.isfile(path) for path in self._paths])
        if len(missing):
            row = missing[0]
            raise FileNotFoundError(f"row {row}: cannot read {self._paths[row]!r}: no such file")

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, rows):
        """Select files, without reading them."""
        part = object.__new__(ImageFiles)
        part._paths, part._rows, part._size = self._paths[rows], self._rows[rows], self._size
        part.shape = (len(part._paths), *self.shape[1:])
        return part

    def read(self):
        """Read all of them, in parallel: uint8, of `shape`."""
        images = decode_images(self._paths, self._size, n_jobs=n_threads(), rows=self._rows)
        return resize_images(images, self.shape[1:])

    def contents(self):
        """Go through the files' bytes."""
        return (Path(path).read_bytes() for path in self._paths)

    def digests(self):
        """16-byte digests of the files' contents, and of how they are read."""
        reading = f"{PIL.__version__} {self._size} {self.shape[1:]}"
        return _digests(self._paths, lambda path: Path(path).read_bytes(), reading)


def read_images(images, rows=slice(None)):
    """Get rows of a source as an array of images: uint8 or float32, values 0 to 255."""
    images = images[rows]
    return images.read() if isinstance(images, ImageFiles) else images


def image_digests(images):
    """16-byte digests of the images of a source."""
    if isinstance(images, ImageFiles):
        return images.digests()
    return _digests(images, np.ascontiguousarray, f"{images.dtype.str} {images.shape[1:]}")


def data_digests(images, codes):
    """SHA-256 of a training set's images, and of its labels, in hex."""
    of_images = hashlib.sha256()
    if isinstance(images, ImageFiles):
        for content in images.contents():
            of_images.update(content)
    else:
        of_images.update(np.ascontiguousarray(images))
    of_labels = hashlib.sha256(np.ascontiguousarray(codes, dtype=np.int64))
    return {"images": of_images.hexdigest(), "labels": of_labels.hexdigest()}


def _digests(items, read, kind):
    """Digest what is read from each item, together with what kind of content it is."""

    def digest(item):
        result = hashlib.blake2b(kind.encode(), digest_size=_DIGEST_SIZE)
        result.update(read(item))
        return result.digest()

    with ThreadPoolExecutor(n_threads()) as pool:
        return list(pool.map(digest, items))
