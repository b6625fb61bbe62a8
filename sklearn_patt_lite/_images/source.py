"""Images of a fit: in an array, or in files that are read when needed."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from sklearn_patt_lite._images.check import check_images, resize_images
from sklearn_patt_lite._images.decode import (
    decode_images,
    find_unusable,
    no_file,
    unusable,
)
from sklearn_patt_lite._process import n_threads

_DIGEST_SIZE = 16


def as_source(X, size, shape=None):
    """Check images, without reading those in files.

    Parameters
    ----------
    X : array-like
        As in `PAttLiteClassifier.fit`.
    size : int
        Side, in pixels, of the square RGB images to which files are converted if `shape` is None.
    shape : tuple of int, default=None
        (height, width, channels) to which images are converted; None leaves arrays unchanged.

    Returns
    -------
    ndarray or ImageFiles
        Of shape (n, height, width, channels), dtype uint8.

    Raises
    ------
    TypeError, ValueError
        As in `check_images`.
    FileNotFoundError
        If there is no file at a path; the message names the rows.
    """
    images = check_images(X)
    if images.ndim == 1:
        return ImageFiles(images, shape or (size, size, 3))
    images = images[..., np.newaxis] if images.ndim == 3 else images
    return images if shape is None else resize_images(images, shape)


class ImageFiles:
    """Images in files: looks like an array of images, but reads no file before `read`.

    Parameters
    ----------
    paths : ndarray of shape (n,), dtype object
        Paths of the files, each a `str`.
    shape : tuple of int
        (height, width, channels) to which images are converted.
    """

    def __init__(self, paths, shape):
        self._paths = self._all_paths = paths
        self._rows = np.arange(len(paths))  # rows of the input, to name them in errors
        self.shape = (len(paths), *shape)
        missing = {row: no_file(p) for row, p in enumerate(paths) if not os.path.isfile(p)}
        if missing:
            raise unusable(missing, len(paths))

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, rows):
        """Select files, without reading them."""
        part = object.__new__(ImageFiles)
        part._all_paths = self._all_paths
        part._paths, part._rows = self._paths[rows], self._rows[rows]
        part.shape = (len(part._paths), *self.shape[1:])
        return part

    def read(self):
        """Read all images in parallel, as uint8 of `shape`."""
        n_jobs = n_threads()
        try:
            return decode_images(self._paths, self.shape[1:], n_jobs, rows=self._rows)
        except (FileNotFoundError, TypeError, ValueError):
            failures = find_unusable(self._all_paths, n_jobs)  # also those of other parts
            if failures:
                raise unusable(failures, len(self._all_paths)) from None
            raise

    def contents(self):
        """Iterate over the bytes of the files."""
        return (Path(path).read_bytes() for path in self._paths)

    def digests(self):
        """Compute 16-byte digests of the files' contents, and of how they are read."""
        reading = f"{PIL.__version__} {self.shape[1:]}"
        return _digests(self._paths, lambda path: Path(path).read_bytes(), reading)


def read_images(images, rows=slice(None)):
    """Get rows of a source as an array of images, dtype uint8."""
    images = images[rows]
    return images.read() if isinstance(images, ImageFiles) else images


def image_digests(images):
    """Compute 16-byte digests of the images of a source."""
    if isinstance(images, ImageFiles):
        return images.digests()
    return _digests(images, np.ascontiguousarray, f"{images.dtype.str} {images.shape[1:]}")


def data_digests(images, codes):
    """Compute the SHA-256 of a training set's images, and of its labels, in hex."""
    of_images = hashlib.sha256()
    if isinstance(images, ImageFiles):
        for content in images.contents():
            of_images.update(content)
    else:
        of_images.update(np.ascontiguousarray(images))
    of_labels = hashlib.sha256(np.ascontiguousarray(codes, dtype=np.int64))
    return {"images": of_images.hexdigest(), "labels": of_labels.hexdigest()}


def _digests(items, read, kind):
    """Compute a digest of each item's content and of the kind of content."""

    def digest(item):
        result = hashlib.blake2b(kind.encode(), digest_size=_DIGEST_SIZE)
        result.update(read(item))
        return result.digest()

    with ThreadPoolExecutor(n_threads()) as pool:
        return list(pool.map(digest, items))
