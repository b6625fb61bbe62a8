"""Arrays of images: check and resize them.

One convention for pixels holds everywhere in the package: integers lie in 0..255, floats in
0..1 (as in Matplotlib and scikit-image). One resampling filter, too: Pillow's bilinear one, which
widens with the reduction (no aliasing) and, unlike Lanczos', never rings beyond the pixels' range.
"""

import os

import numpy as np
from PIL import Image
from scipy.sparse import issparse

# Pillow's (ITU-R 601) weights of red, green and blue in grey.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# The last axis of one image with channels; no face is that few pixels wide.
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
    refuse_sparse(X)
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(
            "Expected images of one shape, got a ragged list: FaceResizer brings images of any "
            "sizes to one."
        ) from error


def refuse_sparse(X):
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
