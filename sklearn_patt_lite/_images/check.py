"""Checking and resizing of image arrays.

The whole package uses one convention for pixels: integers lie in 0..255, floats in 0..1 (as in
Matplotlib and scikit-image). It uses one resampling filter, Pillow's bilinear one, which widens
when it shrinks images (no aliasing) and, unlike Lanczos, never rings beyond the pixels' range. And
images have 8 bits per channel, so that an image gets the same prediction whether it is passed as
integers, as floats or in a file.
"""

import os
import warnings

import numpy as np
from PIL import ExifTags, Image
from scipy.sparse import issparse

from sklearn_patt_lite._images.columns import as_column, is_missing

# Pillow's (ITU-R 601) weights of red, green and blue in grey.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Possible last axes of an image with channels; no image of a face is so narrow.
CHANNELS = (1, 3, 4)


def is_paths(X):
    """Check whether `X` is a sequence of file paths.

    Parameters
    ----------
    X : object
        Anything.

    Returns
    -------
    bool
        True for a list, a tuple or a column (a 1-D array, a Series, a table of one column) that is
        not empty and holds `str` and `os.PathLike` objects only.

    Raises
    ------
    TypeError
        If some rows are paths and others are not; the message names the first that is not.

    Examples
    --------
    >>> is_paths(["anna.png", "ben.jpg"])
    True
    >>> is_paths("anna.png")
    False
    """
    X = as_column(X)
    if not isinstance(X, list | tuple) and (
        getattr(X, "ndim", None) != 1 or X.dtype.kind not in "OUT"
    ):
        return False  # numbers: no need to check each
    others = [row for row, path in enumerate(X) if not isinstance(path, str | os.PathLike)]
    if len(others) == len(X):
        return False
    if others:
        raise TypeError(
            f"row {others[0]}: expected a path, as in other rows, got {_what(X[others[0]])}. Leave "
            f"out rows without a path, with their labels: {len(others)} of {len(X)}."
        )
    return True


def path_of(path):
    """Convert a path to `str`, and "~" to the user's home folder."""
    return os.path.expanduser(os.fspath(path))


def _what(value):
    """Describe a value that should have been a path or an image."""
    if is_missing(value):
        return f"{value!r}, a missing value"
    return f"{type(value).__name__} {value!r:.40}"


def check_images(X):
    """Check a batch of images of one shape, or of paths, for the classifier.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
        Images with 1 or 3 channels, integers in 0..255 or floats in 0..1, or file paths.

    Returns
    -------
    ndarray
        Images in their own shape, dtype uint8 (uint8 is not copied; floats are rounded to 1/255).
        Paths: shape (n,), dtype object, each a `str`; no file is opened.

    Raises
    ------
    TypeError, ValueError
        As in `check_pixels`.

    Warns
    -----
    UserWarning
        If all images are black, or nearly black: their values were divided once too often.

    See Also
    --------
    is_paths : Checks whether the result will be paths.
    decode_images : Reads paths into images.

    Examples
    --------
    >>> import numpy as np
    >>> check_images(np.ones((1, 2, 2))).max()
    np.uint8(255)
    """
    if is_paths(X):
        return np.array([path_of(path) for path in as_column(X)], dtype=object)
    X = check_pixels(X)
    _warn_of_black(X)
    return to_8_bits(X) if X.dtype.kind == "f" else X.astype(np.uint8, copy=False)


def to_8_bits(X):
    """Round floats in 0..1 to uint8 in 0..255, image by image to need no other large array."""
    rounded = np.empty(X.shape, np.uint8)
    for image, target in zip(X, rounded, strict=True):
        target[...] = np.rint(np.multiply(image, 255, dtype=np.float32))
    return rounded


def _warn_of_black(X):
    highest = X.max()
    if highest >= (2 / 255 if X.dtype.kind == "f" else 2):
        return
    advice = (
        "floats must lie in 0..1; do not divide them by 255 again"
        if X.dtype.kind == "f"
        else "integers must lie in 0..255; convert them to floats before dividing by 255"
    )
    warnings.warn(
        f"All {len(X)} images are black: their largest value is {highest:.3g}. If that is "
        f"unexpected: {advice}.",
        UserWarning,
        stacklevel=2,
    )


def check_pixels(X):
    """Check a batch of images of one shape and leave their pixels as they are.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels)
        Images with 1 or 3 channels, integers in 0..255 or floats in 0..1.

    Returns
    -------
    ndarray
        `X` as an array of the same shape and dtype, not copied if it was one already.

    Raises
    ------
    TypeError
        If `X` is sparse or holds anything but integers and floats: strings, Python objects,
        booleans (a mask is not a photograph; `FaceResizer` takes it as black and white).
    ValueError
        If `X` is empty, ragged, complex or of another shape, or if values are not finite or are out
        of range. The message names the first such image.
    """
    X = _to_array(X)
    _check_kind(X)
    _check_shape(X)
    if X.dtype.kind == "f":
        _check_finite(X)
        _check_range(X, 1, "Float images must lie in 0..1", _advice_on_floats)
    elif X.dtype != np.uint8:
        _check_range(X, 255, "Integer images must lie in 0..255", _advice_on_integers)
    return X


def _to_array(X):
    refuse_sparse(X)
    dtype = getattr(X, "dtype", None)
    if isinstance(X, list | tuple) or (getattr(dtype, "kind", "") == "O" and X.ndim == 1):
        _refuse_to_convert(X)
    try:
        X = np.asarray(X)
        if X.dtype.kind == "O" and X.ndim == 1 and len(X):  # a column of arrays
            X = np.stack([_one_image(image, row) for row, image in enumerate(X)])
        return X
    except ValueError as error:
        raise ValueError(
            "Expected images of one shape, got a ragged list: FaceResizer resizes images to "
            "one size."
        ) from error


def _refuse_to_convert(X):
    """Refuse Pillow images that are not upright, or whose values are neither grey nor RGB.

    NumPy would take the indices into a palette for greys, and ignore metadata.
    """
    for row, image in enumerate(X):
        if not isinstance(image, Image.Image):
            continue
        if image.mode not in ("L", "RGB") and not image.mode.startswith(("I", "F")):
            raise TypeError(
                f"row {row}: expected a Pillow image of mode 'L' or 'RGB', got {image.mode!r}: "
                "FaceResizer converts it."
            )
        if _is_rotated(image):
            raise ValueError(
                f"row {row}: the EXIF orientation of this Pillow image says to rotate or mirror "
                "it: apply ImageOps.exif_transpose, or use FaceResizer."
            )


def _is_rotated(image):
    """Return whether a Pillow image's metadata say that it is to be rotated or mirrored."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # unreadable metadata
        return False


def _one_image(image, row):
    array = np.asarray(image)
    if array.ndim == 0:
        raise TypeError(f"row {row}: expected an image, got {_what(image)}.")
    return array


def refuse_sparse(X):
    if issparse(X):
        raise TypeError("Images cannot be a sparse matrix: use X.toarray() and reshape it.")


def _check_kind(X):
    kind = X.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported: X has dtype {X.dtype}.")
    if kind in "UST":
        raise TypeError(
            f"Expected images, got strings (shape {X.shape}): paths must be a 1-D list of str; "
            "FaceResizer reads them into images."
        )
    if kind == "b":
        raise TypeError(
            "Expected photographs, got booleans: for black and white images pass "
            "X.astype(float), or let FaceResizer convert them."
        )
    if kind not in "iuf":
        raise TypeError(
            f"Expected an array of integers or floats, got dtype {X.dtype}: convert numbers "
            "with np.asarray(X, dtype=float), images of different sizes with FaceResizer."
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
    refuse_single_image(X.shape)
    if X.ndim == 4:
        _check_channels(X.shape)


def refuse_single_image(shape):
    if len(shape) == 3 and shape[-1] in CHANNELS:
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
    # NaN makes both of them NaN. Each value is checked again only for the message.
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
        f"{rule}, got values from {lowest} to {highest}, first out of range in image {culprit}: "
        f"{advice(lowest, highest)}"
    )


def _advice_on_floats(lowest, highest):
    if lowest >= -0.01 and highest <= 1.01:
        return "clip rounding errors with np.clip(X, 0, 1)."
    if lowest >= 0 and highest <= 255:
        return "divide pixels of 0..255 by 255."
    if lowest >= -1.01 and highest <= 1.01:
        return "rescale pixels of -1..1 to 0..1 with np.clip((X + 1) / 2, 0, 1)."
    return "pass the pixels from before they were standardized; the network scales them itself."


def _advice_on_integers(lowest, highest):
    if lowest < 0:
        return "pass the pixels from before anything was subtracted from them."
    largest = next((2**bits - 1 for bits in (10, 12, 14, 16) if highest < 2**bits), None)
    if largest is None:
        return "divide them by the largest value that a pixel can have, to get floats in 0..1."
    return (
        "divide them by the largest value that a pixel can have, to get floats in 0..1: "
        f"X / {largest} for {largest.bit_length()} bits."
    )


def _first_image(bad):
    return int(bad.reshape(len(bad), -1).any(axis=1).argmax())


def resize_images(images, shape):
    """Convert checked images to another size and number of channels.

    Parameters
    ----------
    images : ndarray of shape (n, height, width) or (n, height, width, channels), dtype uint8
        From `check_images`, with 1 or 3 channels.
    shape : tuple of int
        (height, width) or (height, width, channels) of every resulting image, in pixels, with 1
        or 3 channels. Grey becomes RGB by repetition, RGB becomes grey by Pillow's luma.

    Returns
    -------
    ndarray of shape (n, height, width) or (n, height, width, channels), dtype uint8
        `images` itself if it already has this shape.

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
    resized = np.empty((len(images), height, width, channels), dtype=np.uint8)
    for image, target in zip(images, resized, strict=True):
        planes = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
        target[...] = resize_image(Image.fromarray(planes), (height, width, channels))
    return resized.reshape(len(images), *shape)


def resize_image(image, shape):
    """Convert a Pillow image to (height, width, channels), uint8.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode "L" or "RGB".
    shape : tuple of int
        (height, width, channels), with 1 or 3 channels.

    Returns
    -------
    ndarray of shape (height, width, 1 or `channels`), dtype uint8
        A grey image that is to become RGB has one channel, for broadcasting.
    """
    height, width, channels = shape
    pixels = np.asarray(image.resize((width, height), Image.BILINEAR))
    if pixels.ndim == 2:
        return pixels[..., np.newaxis]  # (h, w) -> (h, w, 1)
    if channels == 1:
        return np.rint(pixels @ LUMA).astype(np.uint8)[..., np.newaxis]  # (h, w, 3) -> (h, w, 1)
    return pixels
