"""What an image may be: check, resize and decode.

One convention for pixels holds everywhere in the package: integers lie in 0..255, floats in
0..1 (as in Matplotlib and scikit-image). One resampling filter, too: Pillow's bilinear one, which
widens with the reduction (no aliasing) and, unlike Lanczos', never rings beyond the pixels' range.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Mapping, Set

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps
from scipy.sparse import issparse

# Transparent pixels show this grey: neither dark nor light drawings vanish in it, and it is the
# zero of the network's -1..1 scale, hence what its own zero padding looks like.
BACKGROUND = (128, 128, 128)

# Pillow's (ITU-R 601) weights of red, green and blue in grey.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

_LOADING, _LARGE = threading.Lock(), threading.Lock()

# Of a file, as it is decoded: 256 MiB. Half as many where it is transparent, which takes a copy.
# JPEG files may have more, since they are decoded at a fraction of their size.
_MOST_PIXELS = 2**26
_MANY_PIXELS = 2**24  # files with more are read one at a time

# The last axis of one image with channels; no face is that few pixels wide.
_CHANNELS = (1, 3, 4)


def is_paths(X):
    """Tell whether `X` is a sequence of file paths.

    Parameters
    ----------
    X : object
        Anything.

    Returns
    -------
    bool
        True for a list, a tuple or a 1-D array (or pandas Series) that is not empty and holds
        `str` and `os.PathLike` objects only.

    Examples
    --------
    >>> is_paths(["anna.png", "ben.jpg"])
    True
    >>> is_paths("anna.png")
    False
    """
    if not isinstance(X, list | tuple):
        if getattr(X, "ndim", None) != 1 or not hasattr(X, "__array__"):
            return False
        X = np.asarray(X)
        if X.dtype.kind not in "OUT":  # numbers: no need to look at each
            return False
    return len(X) > 0 and all(isinstance(path, str | os.PathLike) for path in X)


def check_images(X):
    """Check a batch of images of one shape, or of paths, for the classifier.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
        Images with 1 or 3 channels, integers in 0..255 or floats in 0..1, or file paths.

    Returns
    -------
    ndarray
        Images in their own shape: uint8 from integers (no copy of uint8), float32 scaled to
        0..255 from floats. Paths: shape (n,), dtype object, each a `str`; no file is touched.

    Raises
    ------
    TypeError, ValueError
        As `check_pixels`.

    See Also
    --------
    is_paths : Whether the result will be paths.
    decode_images : Reads paths into images.

    Examples
    --------
    >>> import numpy as np
    >>> check_images(np.ones((1, 2, 2))).max()
    np.float32(255.0)
    """
    if is_paths(X):
        return np.array([os.fspath(path) for path in X], dtype=object)
    X = check_pixels(X)
    if X.dtype.kind == "f":
        return np.multiply(X, 255, dtype=np.float32)
    return X.astype(np.uint8, copy=False)


def check_pixels(X):
    """Check a batch of images of one shape and leave their pixels as they are.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels)
        Images with 1 or 3 channels, integers in 0..255 or floats in 0..1.

    Returns
    -------
    ndarray
        `X` as an array of its own shape and dtype, not copied where it was one.

    Raises
    ------
    TypeError
        If `X` is sparse or holds anything but integers and floats: strings, Python objects,
        booleans (a mask is no photograph; `FaceResizer` takes it as black and white).
    ValueError
        If `X` is empty, ragged or complex, of another shape, or if values are not finite or out
        of range. The message names the first such image.
    """
    X = _to_array(X)
    _check_kind(X)
    _check_shape(X)
    if X.dtype.kind == "f":
        _check_finite(X)
        _check_range(
            X,
            1,
            "Float images must lie in 0..1",
            "divide pixels of 0..255 by 255, clip rounding errors with np.clip(X, 0, 1).",
        )
    elif X.dtype != np.uint8:
        _check_range(
            X,
            255,
            "Integer images must lie in 0..255",
            "FaceResizer scales 16-bit images (dtype uint16) down.",
        )
    return X


def _to_array(X):
    _refuse_sparse(X)
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(
            "Expected images of one shape, got a ragged list: FaceResizer brings images of any "
            "sizes to one."
        ) from error


def _refuse_sparse(X):
    if issparse(X):
        raise TypeError("Images cannot come as a sparse matrix: use X.toarray() and reshape it.")


def _check_kind(X):
    kind = X.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported: X has dtype {X.dtype}.")
    if kind in "UST":
        raise TypeError(
            f"Expected images, got strings (shape {X.shape}): paths come as a 1-D list of str, "
            "and FaceResizer reads them into images."
        )
    if kind == "b":
        raise TypeError(
            "Expected photographs, got booleans: for black and white images pass "
            "X.astype(float), or let FaceResizer convert them."
        )
    if kind not in "iuf":
        raise TypeError(
            f"Expected an array of integers or floats, got dtype {X.dtype}: turn numbers with "
            "np.asarray(X, dtype=float), and images of different sizes with FaceResizer."
        )


def _check_shape(X):
    expected = "Expected images of shape (n, height, width) or (n, height, width, channels)"
    if X.ndim > 0 and len(X) == 0:
        raise ValueError(f"{expected}, found array with 0 sample(s) (shape={X.shape}).")
    if X.ndim == 2:
        raise ValueError(
            f"{expected}, got 2-D shape {X.shape}: reshape rows of pixels with "
            "X.reshape(n, height, width), a single image with X[np.newaxis]."
        )
    if X.ndim not in (3, 4):
        raise ValueError(f"{expected}, got shape {X.shape}: reshape your data.")
    if X.size == 0:
        raise ValueError(f"{expected}, got images without pixels: shape {X.shape}.")
    _refuse_single_image(X.shape)
    if X.ndim == 4:
        _check_channels(X.shape)


def _refuse_single_image(shape):
    if len(shape) == 3 and shape[-1] in _CHANNELS:
        raise ValueError(
            f"Expected a batch of images, got shape {shape}, which looks like a single image: pass "
            "X[np.newaxis]."
        )


def _check_channels(shape):
    channels = shape[-1]
    if channels in (1, 3):
        return
    advice = "pass grey or RGB images."
    if channels == 4:
        advice = "FaceResizer turns RGBA images (alpha) into RGB."
    elif shape[1] in (1, 3):
        advice = "move the channels last with np.moveaxis(X, 1, -1)."
    raise ValueError(f"Expected 1 or 3 channels, got {channels} (shape {shape}): {advice}")


def _check_finite(X):
    # NaN makes both of them NaN; to look at each value again is for the message only.
    if np.isfinite(X.min()) and np.isfinite(X.max()):
        return
    for what, bad in (("NaN", np.isnan(X)), ("infinity", np.isinf(X))):
        if bad.any():
            raise ValueError(f"Input X contains {what}, first in image {_first_image(bad)}.")


def _check_range(images, high, rule, advice):
    lowest, highest = images.min(), images.max()
    if lowest >= 0 and highest <= high:
        return
    culprit = _first_image((images < 0) | (images > high))
    raise ValueError(
        f"{rule}, got values from {lowest} to {highest}, first outside in image {culprit}: {advice}"
    )


def _first_image(bad):
    return int(bad.reshape(len(bad), -1).any(axis=1).argmax())


def resize_images(images, shape):
    """Bring checked images to another size and number of channels.

    Parameters
    ----------
    images : ndarray of shape (n, height, width) or (n, height, width, channels)
        From `check_images`: uint8 or float32, both in 0..255, with 1 or 3 channels.
    shape : tuple of int
        (height, width) or (height, width, channels) of every resulting image, in pixels, with 1
        or 3 channels. Grey becomes RGB by repetition, RGB grey by Pillow's luma.

    Returns
    -------
    ndarray of shape (n, height, width) or (n, height, width, channels)
        Of the same dtype and range; `images` itself if its shape is right already.

    Examples
    --------
    >>> import numpy as np
    >>> resize_images(np.zeros((5, 48, 48), dtype=np.uint8), (32, 32, 3)).shape
    (5, 32, 32, 3)
    """
    shape = tuple(shape)
    if images.shape[1:] == shape:
        return images
    height, width, channels = shape if len(shape) == 3 else (*shape, 1)
    resized = np.empty((len(images), height, width, channels), dtype=images.dtype)
    for image, target in zip(images, resized, strict=True):
        target[...] = _to_channels(_resize_planes(image, height, width), channels)
    return resized.reshape(len(images), *shape)


def _resize_planes(image, height, width):
    planes = image.reshape(*image.shape[:2], -1)  # (h, w) or (h, w, c) -> (h, w, c)
    if planes.shape[:2] == (height, width):
        return planes
    resized = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.BILINEAR)
        for plane in np.moveaxis(planes, -1, 0)
    ]
    # The filter's weights sum to 1 up to rounding, so that a white float pixel may exceed 255.
    return np.clip(np.stack(resized, axis=-1), 0, 255)


def _to_channels(image, channels):
    if channels == 1 and image.shape[-1] == 3:
        grey = image @ LUMA  # (h, w, 3) -> (h, w)
        grey = np.rint(grey) if image.dtype == np.uint8 else np.minimum(grey, 255)
        return grey[..., np.newaxis]
    return image  # grey broadcasts to RGB where it is assigned


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
    _refuse_sparse(X)
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
        _refuse_single_image(X.shape)
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
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in _CHANNELS):
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
