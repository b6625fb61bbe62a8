"""Views: the augmented versions of an image.

Which view of an image is shown in an epoch depends only on the image's content and on the epoch. So
all fits with the same augmentation need the same features in the same epoch, whatever their seeds,
folds and parameters are.
"""

import hashlib
import itertools
import math

import numpy as np

from sklearn_patt_lite._network.architecture import CONTRAST, ROTATION, SHIFT, ZOOM

#: A view: whether the image is flipped left to right, its contrast factor, its rotation angle
#: (radians), its shifts as fractions of its sides, and the share of it that is seen.
VIEW = np.dtype(
    [
        ("flip", "?"),
        ("contrast", "f8"),
        ("angle", "f8"),
        ("right", "f8"),
        ("down", "f8"),
        ("zoom", "f8"),
    ]
)
# Keras' layer draws the contrast factor from 0.7 to 1.3, with a standard deviation of 0.17; the
# factors of this bank have one of 0.16.
_BANK = tuple((flip, contrast) for contrast in (1.0, 0.8, 1.2) for flip in (False, True))
_ORDERS = list(itertools.permutations(range(len(_BANK))))


def clean(n, *, flip=False):
    """Return views of n images as they are, or of their mirror images; ndarray of `VIEW`."""
    views = np.zeros(n, dtype=VIEW)
    views["flip"], views["contrast"], views["zoom"] = flip, 1, 1
    return views


def count_views(augment):
    """Return the number of views of an image: after that many epochs, the first one recurs."""
    if augment == "affine":
        return math.inf
    return len(_BANK) if augment else 1


def choose_views(digests, epoch, augment):
    """Choose the view of each image in an epoch.

    Parameters
    ----------
    digests : list of bytes
        Digests of the images' contents, 16 bytes each.
    epoch : int
        Number of the epoch, from 0.
    augment : bool or "affine"
        As in `PAttLiteClassifier`: False, a bank of views, or a new view in each epoch.

    Returns
    -------
    ndarray of shape (n,), dtype VIEW
        The views.
    """
    if augment == "affine":
        return _affine(digests, epoch)
    views = clean(len(digests))
    if augment:
        orders = (_ORDERS[int.from_bytes(each[:8], "little") % len(_ORDERS)] for each in digests)
        chosen = [_BANK[order[epoch % len(_BANK)]] for order in orders]
        views["flip"], views["contrast"] = np.array(chosen).T
    return views


def _affine(digests, epoch):
    """Draw a view of each image, as the Keras layers in `build_network` do."""
    views = np.empty(len(digests), dtype=VIEW)
    salt = epoch.to_bytes(8, "little")
    drawn = b"".join(hashlib.blake2b(each + salt, digest_size=48).digest() for each in digests)
    drawn = np.frombuffer(drawn, "<u8").reshape(-1, len(VIEW)) / 2**64  # uniform in [0, 1)
    turn = 2 * math.pi * ROTATION
    for name, (low, high), uniform in (
        ("contrast", (1 - CONTRAST, 1 + CONTRAST), drawn[:, 1]),
        ("angle", (-turn, turn), drawn[:, 2]),
        ("right", (-SHIFT, SHIFT), drawn[:, 3]),
        ("down", (-SHIFT, SHIFT), drawn[:, 4]),
        ("zoom", (1 + ZOOM[0], 1 + ZOOM[1]), drawn[:, 5]),
    ):
        views[name] = low + (high - low) * uniform
    views["flip"] = drawn[:, 0] < 0.5
    return views


class Viewer:
    """Callable that renders views of images at the input size of a network's backbone.

    Parameters
    ----------
    shape : tuple of int
        (side, side, 3): the backbone's input shape.
    resize : callable or None
        Resizes images from the network's own input shape to the backbone's, with antialiasing where
        they shrink; None if not needed.
    """

    def __init__(self, shape, resize):
        self._side, self._resize = shape[0], resize

    def __call__(self, images, views):
        """Return a view of each image: (n, side, side, 3 or 1), float32, 0 to 255.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels)
            Images, values 0 to 255.
        views : ndarray of shape (n,), dtype VIEW
            View of each image.
        """
        if not _are_moved(views):
            return self._flip(images, views)
        # Enlarging and moving in one step blurs less than one after the other. Shrinking in that
        # step would skip pixels, so it is done first, with antialiasing.
        if max(images.shape[1:3]) > self._side:
            images = self._resize(images)
        from sklearn_patt_lite._features.moving import move  # imports TensorFlow; for training only

        projections = _projections(views, images.shape[1:3], self._side)
        shown = move(images, projections, views["contrast"], self._side)
        return shown if shown.shape[3] == 3 else np.repeat(shown, 3, axis=3)

    def _flip(self, images, views):
        if self._resize is not None:
            images = self._resize(images)
        shown = np.empty(images.shape, dtype=np.float32)
        for image, view, out in zip(images, views, shown, strict=True):
            _flip(image, view, out)
        return shown


def _are_moved(views):
    shown_elsewhere = any(views[name].any() for name in ("angle", "right", "down"))
    return shown_elsewhere or (views["zoom"] != 1).any()


def _flip(image, view, out):
    """Write an image (height, width, channels) into `out`, with its flip and contrast applied."""
    image = image[:, ::-1] if view["flip"] else image
    contrast = float(view["contrast"])
    if contrast == 1:
        out[...] = image
        return
    np.multiply(image, np.float32(contrast), out=out)
    height, width, channels = out.shape
    rows = out.reshape(height, -1)  # NumPy is fast on long rows
    mean = rows.sum(axis=0).reshape(width, channels).sum(axis=0) / (height * width)
    rows += np.tile(mean * np.float32(1 / contrast - 1), width)
    np.clip(rows, 0, 255, out=rows)


def _projections(views, size, side):
    """Map the pixels of a view to the image, in TensorFlow's format: (n, 8), float32.

    The pixel (x, y) shows the image at (a x + b y + c, d x + e y + f); a row is a, b, c, d, e, f,
    0, 0. Apart from the shift, image and view have the same centre.
    """
    height, width = size
    per_pixel = views["zoom"] / side  # of the image's sides
    cos, sin = np.cos(views["angle"]) * per_pixel, np.sin(views["angle"]) * per_pixel
    mirror = np.where(views["flip"], -1, 1)
    rows = np.zeros((len(views), 8), dtype=np.float32)
    for start, length, x, y, shift in (
        (0, width, cos * mirror, -sin, views["right"]),
        (3, height, sin * mirror, cos, views["down"]),
    ):
        rows[:, start], rows[:, start + 1] = length * x, length * y
        rows[:, start + 2] = (length - 1) / 2 + length * (shift - (x + y) * (side - 1) / 2)
    return rows
