"""Files, Pillow images and arrays of all kinds, decoded to RGB pixels."""

import contextlib
import functools
import os
import threading
from collections.abc import Mapping, Set

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps

from sklearn_patt_lite._images.check import CHANNELS, refuse_single_image, refuse_sparse

# Transparent pixels show this grey: neither dark nor light drawings vanish in it, and it is the
# zero of the network's -1..1 scale, hence what its own zero padding looks like.
BACKGROUND = (128, 128, 128)
_LOADING, _LARGE = threading.Lock(), threading.Lock()
# Of a file, as it is decoded: 256 MiB. Half as many where it is transparent, which takes a copy.
# JPEG files may have more, since they are decoded at a fraction of their size.
_MOST_PIXELS = 2**26
_MANY_PIXELS = 2**24  # files with more are read one at a time


def decode_images(X, size, n_jobs=None, *, rows=None):
    """Read images of any kinds and sizes into one array.

    Parameters
    ----------
    X : sequence of length n
        Of anything that `decode_image` takes, mixed at will; an array of images is one, too.
    size : int
        Side of the resulting squares in pixels.
    n_jobs : int or None, default=None
        Number of threads, as in joblib (Pillow works without the interpreter's lock).
    rows : sequence of int of length n, default=None
        Numbers by which errors name the images; 0 to n - 1 by default.

    Returns
    -------
    ndarray of shape (n, size, size, 3), dtype uint8
        RGB images in the order of `X`.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        From `decode_image`, with the row's index in front. Also if `X` is not a sequence of
        images (TypeError) or empty (ValueError).

    Examples
    --------
    >>> import numpy as np
    >>> decode_images([np.zeros((48, 40), bool), np.ones((90, 90, 3))], size=32).shape
    (2, 32, 32, 3)
    """
    X = check_sources(X)
    images = np.empty((len(X), size, size, 3), dtype=np.uint8)
    # Every thread writes its rows in place: no second copy of the images is ever held.
    rows = range(len(X)) if rows is None else rows
    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(_decode_row)(image, source, row)
        for image, source, row in zip(images, X, rows, strict=True)
    )
    return images


def check_sources(X):
    """Check that `X` is a sequence of image sources, whatever each of them is.

    Parameters
    ----------
    X : sequence
        Images and paths, see `decode_images`.

    Returns
    -------
    sequence
        `X`, as an ndarray where it converts itself to one (a pandas Series).

    Raises
    ------
    TypeError
        If `X` is sparse, a single path or image, or no sequence at all.
    ValueError
        If `X` is empty or an array that looks like a single image with channels.
    """
    refuse_sparse(X)
    if isinstance(X, str | bytes | os.PathLike | Image.Image) or not hasattr(X, "__len__"):
        raise TypeError(
            f"Expected a sequence of images or paths, got {type(X).__name__}: a single one goes "
            "into a list."
        )
    if isinstance(X, Mapping | Set):
        raise TypeError(
            f"Expected a sequence of images or paths, got {type(X).__name__}, whose order is not "
            "that of your labels: pass a list."
        )
    if hasattr(X, "__array__"):
        X = np.asarray(X)
        refuse_single_image(X.shape)
    if len(X) == 0:
        raise ValueError("Expected images or paths, found a sequence with 0 sample(s).")
    return X


def _decode_row(image, source, row):
    try:
        image[...] = decode_image(source, image.shape[0])
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise type(error)(f"row {row}: {error}") from error


def decode_image(source, size):
    """Read one image and stretch it to a square of RGB pixels.

    Parameters
    ----------
    source : str, os.PathLike, PIL.Image.Image or array-like
        A file in any format that Pillow reads by itself, with 67 million pixels at most (of
        several frames, the first), a Pillow image, or
        an array of shape (height, width) or (height, width, channels) with 1, 3 or 4 channels:
        grey, RGB, RGBA. Arrays hold integers in 0..255, uint16 in 0..65535, booleans (black and
        white) or floats in 0..1.
    size : int
        Side of the square in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
        RGB.

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
    The camera's orientation (EXIF) is applied. Both sides are scaled on their own, which
    stretches images that are not square; crop them around the face beforehand. Transparent
    pixels show mid-grey. 16-bit greys (Pillow's modes "I;16" and "I") are divided by 257, not
    clipped; Pillow's mode "F" holds 0..1 like any float array. Large JPEG files are decoded at a
    half, a quarter or an eighth of their size as long as twice `size` is left.
    """
    image = load_image(source, draft=2 * size)
    return np.asarray(image.resize((size, size), Image.BILINEAR))


def load_image(source, draft=None):
    """Read one image as it is.

    Parameters
    ----------
    source : str, os.PathLike, PIL.Image.Image or array-like
        As `decode_image` takes it.
    draft : int, default=None
        Sides that are enough, in pixels: JPEG files are decoded at a fraction of their size as
        long as both are left. None: all pixels.

    Returns
    -------
    PIL.Image.Image
        Upright, of mode "RGB".

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As `decode_image`.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(source, draft)
    if isinstance(source, Image.Image):
        return _upright_rgb(_loaded(source), name="the Pillow image")
    return _upright_rgb(Image.fromarray(_array_to_uint8(source)), name="the array")


def _loaded(image):
    """Read a Pillow image that was only opened, not in two threads at once: rows may share it."""
    try:
        with _LOADING:
            image.load()
    except Exception as error:
        raise _unreadable("the Pillow image", error) from error
    return image


def _read_file(path, draft):
    name = repr(os.fspath(path))
    try:
        image = Image.open(path, formats=_formats())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"cannot read {name}: no such file") from error
    except Exception as error:
        raise _unreadable(name, error) from error
    with image:
        width, height = image.size
        if draft is not None:
            image.draft(None, (draft, draft))  # only JPEG has it; others ignore it
        n_pixels = image.width * image.height
        most = _MOST_PIXELS // 2 if image.has_transparency_data else _MOST_PIXELS
        if n_pixels > most:
            raise ValueError(
                f"cannot read {name}: {width}×{height} pixels are more than "
                f"{most:,}; store it smaller"
            )
        # Threads that read large images at once would need gigabytes.
        with _LARGE if n_pixels > _MANY_PIXELS else contextlib.nullcontext():
            return _upright_rgb(image, name, in_place=True)


@functools.cache
def _formats():
    """What Pillow reads by itself: for EPS it runs Ghostscript."""
    Image.init()
    return tuple(sorted(set(Image.OPEN) - {"EPS"}))


def _upright_rgb(image, name, *, in_place=False):
    try:
        if in_place:  # a copy of a large image is as large
            ImageOps.exif_transpose(image, in_place=True)
        else:
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image)
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name, error):
    # Pillow's decoders fail on damaged bytes with nearly every exception there is (OSError,
    # SyntaxError, struct.error, zlib.error, IndexError...): all of them mean the same here.
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
    if image.mode == "I":  # Pillow's 32 bits for some files of 16
        _check_values(grey, 65535, "greys of mode 'I' must lie in 0..65535")
        grey = grey.astype(np.uint16)
    return _to_uint8(grey)


def _array_to_uint8(source):
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
        return np.rint(array * 255).astype(np.uint8)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        # Rounded, and without floats, which would take eight times as much memory.
        return (array // 257 + (array % 257 > 128)).astype(np.uint8)
    _check_values(array, 255, "integer pixels must lie in 0..255; 16-bit ones have dtype uint16")
    return array.astype(np.uint8, copy=False)


def _check_values(array, high, rule):
    lowest, highest = array.min(), array.max()
    if not (lowest >= 0 and highest <= high):  # NaN compares False
        raise ValueError(f"{rule}: got values from {lowest} to {highest}")
