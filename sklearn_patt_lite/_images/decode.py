"""Decoding of files, Pillow images and arrays of all kinds to RGB pixels."""

import contextlib
import os
import re
import threading
import warnings
from collections.abc import Mapping, Set

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageFile, ImageOps

from sklearn_patt_lite._images.check import (
    CHANNELS,
    path_of,
    refuse_single_image,
    refuse_sparse,
    resize_image,
    to_8_bits,
)
from sklearn_patt_lite._images.columns import as_column, is_missing

# Transparent pixels become this grey: neither dark nor light drawings vanish in it, and it is the
# zero of the network's -1..1 scale, so it looks like the network's own zero padding.
BACKGROUND = (128, 128, 128)
_LOADING, _LARGE = threading.Lock(), threading.Lock()
# Of a file: 256 MiB. Half as many if it is transparent, which takes a copy.
_MOST_PIXELS = 2**26
_MANY_PIXELS = 2**24  # files with more are read one at a time
_N_NAMED = 10  # rows named in an error
_UNUSABLE = (FileNotFoundError, TypeError, ValueError)


def decode_images(X, shape, n_jobs=None, *, rows=None):
    """Read images of any kind and size into one array.

    Parameters
    ----------
    X : sequence of length n
        Anything that `decode_image` takes, in any mix; an array of images works, too.
    shape : tuple of int
        (height, width, channels) of the resulting images, in pixels, with 1 or 3 channels.
    n_jobs : int or None, default=None
        Number of threads, as in joblib (Pillow releases the interpreter's lock).
    rows : sequence of int of length n, default=None
        Numbers by which errors name the images; 0 to n - 1 by default.

    Returns
    -------
    ndarray of shape (n, *shape), dtype uint8
        Images in the order of `X`.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        From `decode_image`, for all rows that cannot be read, each with its index in front. Also if
        `X` is not a sequence of images (TypeError) or empty (ValueError).

    Examples
    --------
    >>> import numpy as np
    >>> decode_images([np.zeros((48, 40), bool), np.ones((90, 90, 3))], (32, 32, 3)).shape
    (2, 32, 32, 3)
    """
    X = check_sources(X)
    images = np.empty((len(X), *shape), dtype=np.uint8)

    def decode_row(place):
        # Each thread writes its rows in place: there is never a second copy of the images.
        images[place] = decode_image(X[place], shape)

    for_each_row(decode_row, range(len(X)), n_jobs, rows=rows)
    return images


def for_each_row(work, X, n_jobs=None, *, rows=None, check=None):
    """Apply a function to each image of a sequence, in threads.

    Parameters
    ----------
    work : callable
        Takes an item of `X`.
    X : sequence of length n
        Images, or whatever else `work` takes.
    n_jobs : int or None, default=None
        Number of threads, as in joblib.
    rows : sequence of int of length n, default=None
        Numbers by which errors name the items; 0 to n - 1 by default.
    check : callable, default=None
        Called instead of `work` after the first failure, to find all others: results are no longer
        needed then. `work` itself by default.

    Returns
    -------
    list of length n
        Results of `work`.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If some items cannot be used. A single error keeps its type and message; several become one
        error, which names the first ten.
    """
    results, failures = _attempt_each(work, X, n_jobs, rows, check)
    if failures:
        first = next(iter(failures.values()))
        raise unusable(failures, len(X)) from (first.__cause__ or first)
    return results


def find_unusable(X, n_jobs=None):
    """Read all images of a sequence, and collect the errors of those that cannot be read, by row.

    Returns
    -------
    dict of int to Exception
        What `load_image` raised.
    """
    return _attempt_each(check_readable, X, n_jobs)[1]


def check_readable(source):
    """Read an image as `load_image` does, and discard it: there may be many large ones."""
    load_image(source)


def _attempt_each(work, X, n_jobs, rows=None, check=None):
    rows = range(len(X)) if rows is None else rows
    failures = {}

    def attempt(item, row):
        try:
            return (check if failures and check is not None else work)(item)
        except _UNUSABLE as error:
            failures[row] = error

    results = Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(attempt)(item, row) for item, row in zip(X, rows, strict=True)
    )
    return results, failures


def unusable(failures, n):
    """Combine the errors of some of `n` rows, a dict by row, into one error."""
    lines = [f"row {row}: {failures[row]}" for row in sorted(failures)]
    kinds = {type(error) for error in failures.values()}
    kind = kinds.pop() if len(kinds) == 1 else ValueError
    if len(lines) == 1:
        return kind(lines[0])
    more = [f"… and {len(lines) - _N_NAMED} more"] if len(lines) > _N_NAMED else []
    named = "\n".join([*lines[:_N_NAMED], *more])
    return kind(f"{len(lines)} of {n} images cannot be used:\n{named}")


def check_sources(X):
    """Check that `X` is a sequence of image sources, without checking each of them.

    Parameters
    ----------
    X : sequence
        Images and paths, see `decode_images`.

    Returns
    -------
    sequence
        `X`, as an ndarray if it can convert itself to one (a pandas Series).

    Raises
    ------
    TypeError
        If `X` is sparse, a single path or image, or not a sequence.
    ValueError
        If `X` is empty or an array that looks like a single image with channels.
    """
    refuse_sparse(X)
    if isinstance(X, str | bytes | os.PathLike | Image.Image) or not hasattr(X, "__len__"):
        raise TypeError(
            f"Expected a sequence of images or paths, got {type(X).__name__}: pass a single "
            "one in a list."
        )
    if isinstance(X, Mapping | Set):
        raise TypeError(
            f"Expected a sequence of images or paths, got {type(X).__name__}, whose order may "
            "not match your labels: pass a list."
        )
    if hasattr(X, "__array__"):
        X = as_column(X)
        refuse_single_image(X.shape)
    if len(X) == 0:
        raise ValueError("Expected images or paths, found a sequence with 0 sample(s).")
    return X


def decode_image(source, shape):
    """Read one image and stretch it to a shape.

    Parameters
    ----------
    source : str, os.PathLike, PIL.Image.Image or array-like
        A file in any format that Pillow reads by itself, with at most 67 million pixels (of several
        frames, the first is read; "~" is the user's home folder), a Pillow image, or an array of
        shape (height, width) or (height, width, channels) with 1, 3 or 4 channels: grey, RGB, RGBA.
        Arrays hold integers in 0..255, uint16 in 0..65535, booleans (black and white) or floats in
        0..1.
    shape : tuple of int
        (height, width, channels) in pixels, with 1 or 3 channels: grey or RGB.

    Returns
    -------
    ndarray of shape (height, width, channels), dtype uint8
        The image.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file or image is corrupt, truncated, far too large ("decompression bomb") or in a
        mode that does not convert to RGB, or if an array's shape or values are not as above.
    TypeError
        If `source` is anything else.

    Notes
    -----
    The camera's orientation (EXIF) is applied. Height and width are scaled separately, which
    stretches images of other proportions; crop them around the face beforehand. Transparent pixels
    become mid-grey. 16-bit greys (Pillow's modes "I;16" and "I") are divided by 257, not clipped;
    Pillow's mode "F" holds 0..1 like any float array.
    """
    return resize_image(load_image(source), shape)


def load_image(source):
    """Read one image at its own size.

    Parameters
    ----------
    source : str, os.PathLike, PIL.Image.Image or array-like
        As in `decode_image`.

    Returns
    -------
    PIL.Image.Image
        Upright, of mode "RGB".

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As in `decode_image`.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(path_of(source))
    if isinstance(source, Image.Image):
        return _upright_rgb(_loaded(source), name="the Pillow image")
    return _upright_rgb(Image.fromarray(_array_to_uint8(source)), name="the array")


def _loaded(image):
    """Load a Pillow image that was only opened, in one thread at a time: rows may share it."""
    try:
        with _LOADING:
            image.load()
    except Exception as error:
        raise _unreadable("the Pillow image", error) from error
    return image


def _read_file(path):
    try:
        image = Image.open(path, formats=readable_formats())
    except Exception as error:
        if not os.path.exists(path):
            raise no_file(path) from error
        raise _unreadable(repr(path), error) from error
    with image:
        n_pixels = image.width * image.height
        most = _MOST_PIXELS // 2 if image.has_transparency_data else _MOST_PIXELS
        if n_pixels > most:
            raise ValueError(
                f"cannot read {path!r}: {image.width}×{image.height} pixels are more than "
                f"{most:,}; scale it down"
            )
        # Threads that read large images at the same time would need gigabytes.
        with _LARGE if n_pixels > _MANY_PIXELS else contextlib.nullcontext():
            return _upright_rgb(image, repr(path), in_place=True)


def no_file(path):
    """Make the error for a path at which there is no file."""
    if re.fullmatch(r"\s*\d+(\s+\d+)+\s*", path):
        return TypeError(
            f"expected a path, got the pixels of an image as text, {path[:20]!r}…: load_fer2013 "
            "reads tables, np.array(text.split(), dtype='uint8').reshape(48, 48) a single image"
        )
    return FileNotFoundError(f"cannot read {path!r:.300}: no such file")


def readable_formats():
    """List the formats that Pillow and its plugins read by themselves."""
    Image.init()
    return [
        name
        for name, (factory, _) in Image.OPEN.items()
        # For EPS, Pillow runs Ghostscript; of MPEG and stubs, it reads only the size.
        if name not in ("EPS", "MPEG")
        and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    ]


def _upright_rgb(image, name, *, in_place=False):
    try:
        # Load first: asked for damaged pixels a second time, Pillow returns what it has, and
        # `_upright` takes any error for one of metadata.
        image.load()
        return _to_rgb(_upright(image, in_place))
    except Exception as error:
        raise _unreadable(name, error) from error


def _upright(image, in_place):
    """Rotate an image by its metadata, if readable: pixels may be intact where metadata is not."""
    try:
        if in_place:  # a copy of a large image would be as large
            ImageOps.exif_transpose(image, in_place=True)
            return image
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _unreadable(name, error):
    # Pillow's decoders fail on damaged bytes with nearly any exception (OSError, SyntaxError,
    # struct.error, zlib.error, IndexError...): all of them mean the same here.
    return ValueError(f"cannot read {name}: {error}")


def _to_rgb(image):
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_deep_grey_to_uint8(image))
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        opaque = Image.new("RGB", image.size, BACKGROUND)
        opaque.paste(image, mask=image)
        return opaque
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_grey_to_uint8(image):
    grey = np.asarray(image)
    if image.mode == "I":  # Pillow's 32-bit mode for some 16-bit files
        _check_values(grey, 65535, "greys of mode 'I' must lie in 0..65535")
        grey = grey.astype(np.uint16)
    return _to_uint8(grey)


def _array_to_uint8(source):
    if is_missing(source):
        raise TypeError(
            f"expected an image or a path, got {source!r}, a missing value: leave such rows out, "
            "with their labels"
        )
    array = np.asarray(source)
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"expected a path, a Pillow image or an array of numbers, got {type(source).__name__} "
            f"of dtype {array.dtype}"
        )
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]  # (h, w, 1) -> (h, w)
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in CHANNELS):
        raise ValueError(
            "expected an image of shape (height, width) or (height, width, channels) with 1, 3 "
            f"or 4 channels, got {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"the image has no pixels: shape {array.shape}")
    return _to_uint8(array)


def _to_uint8(array):
    if array.dtype.kind == "b":
        return array * np.uint8(255)
    if array.dtype.kind == "f":
        _check_values(array, 1, "float pixels must lie in 0..1; divide those of 0..255 by 255")
        return to_8_bits(array)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        if 1 < array.max() <= 255:
            warnings.warn(
                "A 16-bit image is nearly black: its largest value is at most 255 of 65535. If its "
                "values lie in 0..255, convert them to uint8.",
                UserWarning,
                stacklevel=2,
            )
        # Rounded, and without floats, which would take eight times as much memory.
        return (array // 257 + (array % 257 > 128)).astype(np.uint8)
    _check_values(array, 255, "integer pixels must lie in 0..255; 16-bit ones need dtype uint16")
    return array.astype(np.uint8, copy=False)


def _check_values(array, high, rule):
    lowest, highest = array.min(), array.max()
    if not (lowest >= 0 and highest <= high):  # NaN compares False
        raise ValueError(f"{rule}: got values from {lowest} to {highest}")
