"""Random augmentation of training images, for pipelines with any classifier."""

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sklearn_patt_lite._callbacks.support import as_one_task
from sklearn_patt_lite._images.check import check_pixels
from sklearn_patt_lite._typing import Seed, validate_parameters_first
from sklearn_patt_lite.preprocessing._base import ImageTransformerMixin


class FaceAugmenter(ImageTransformerMixin, BaseEstimator):
    """
    Augment training images at random and leave all other images unchanged.

    `fit_transform` flips, rotates, shifts and zooms images and changes their contrast, each at
    random; `transform` returns them unchanged. A :class:`~sklearn.pipeline.Pipeline` calls the
    former on training images and the latter on images to predict, so that only training images are
    varied.

    Parameters
    ----------
    horizontal_flip : bool, default=True
        Whether to mirror images at random, every other one on average.
    contrast : float, default=0.3
        Maximum relative change of contrast, in 0..1: a factor drawn from
        [1 - contrast, 1 + contrast] stretches each channel around its mean, as Keras'
        `RandomContrast` does, and values out of range are clipped. 0 leaves the contrast unchanged.
    rotation : float, default=10.0
        Maximum angle in degrees, in 0..180, to either side. 0 does not rotate.
    translation : float, default=0.05
        Maximum shift along each axis as a share of the image's side, in 0..1. 0 does not shift.
    zoom : float, default=0.1
        Maximum relative change of size, in [0, 1): the scale is drawn from [1 - zoom, 1 + zoom].
        0 does not zoom.
    random_state : int, RandomState instance or None, default=None
        Seed of all random draws. With an int, every call draws the same variations.

    See Also
    --------
    FaceResizer : Converts files and images of any size to one array.
    sklearn_patt_lite.PAttLiteClassifier : Has its own augmentation.

    Notes
    -----
    Use this in pipelines with other classifiers. In front of `PAttLiteClassifier` it would also
    vary the validation images, if the classifier splits any off its training images, and draw only
    one variation per image for the whole fit; the classifier's own `augment` varies only training
    images, and differently in every epoch.

    As with :class:`~sklearn.preprocessing.TargetEncoder`, `fit_transform(X)` differs from
    `fit(X).transform(X)`. Nothing is learned from the data: the transformer is stateless.

    Rotation, shift and zoom are applied as one affine transformation with a single bilinear
    interpolation. Areas beyond the image repeat its edge. All random numbers are drawn whether they
    are used or not, so with the same seed, switching one variation off does not change the others.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.preprocessing import FaceAugmenter
    >>> X = np.random.default_rng(0).random((5, 48, 48))
    >>> augmenter = FaceAugmenter(random_state=0)
    >>> varied = augmenter.fit_transform(X)
    >>> varied.shape, bool((varied == X).all())
    ((5, 48, 48), False)
    >>> bool((augmenter.transform(X) == X).all())
    True
    """

    _parameter_constraints = {
        "horizontal_flip": ["boolean"],
        "contrast": [Interval(Real, 0, 1, closed="both")],
        "rotation": [Interval(Real, 0, 180, closed="both")],
        "translation": [Interval(Real, 0, 1, closed="both")],
        "zoom": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        horizontal_flip: bool = True,
        contrast: float = 0.3,
        rotation: float = 10.0,
        translation: float = 0.05,
        zoom: float = 0.1,
        random_state: Seed = None,
    ) -> None:
        self.horizontal_flip = horizontal_flip
        self.contrast = contrast
        self.rotation = rotation
        self.translation = translation
        self.zoom = zoom
        self.random_state = random_state

    @validate_parameters_first
    @as_one_task
    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """
        Check parameters and images; nothing is learned.

        `transform` and `fit_transform` work without it. It exists because scikit-learn calls it,
        and to find mistakes before training begins.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels)
            Images with 1 or 3 channels, integers in 0..255 or floats in 0..1.
        y : object, default=None
            Ignored.

        Returns
        -------
        FaceAugmenter
            Itself.

        Raises
        ------
        TypeError, ValueError
            If `X` is not as above, or if a parameter is out of range.

        See Also
        --------
        fit_transform : Varies training images.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.preprocessing import FaceAugmenter
        >>> FaceAugmenter(rotation=5).fit(np.zeros((2, 48, 48)))
        FaceAugmenter(rotation=5)
        """
        check_pixels(X)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """
        Check images and return them unchanged.

        A pipeline calls this on images to predict. They are not varied, so that a prediction is the
        same each time.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels)
            Images as in `fit`.

        Returns
        -------
        ndarray
            `X` as an array of the same shape and dtype, not copied if it was one already.

        Raises
        ------
        TypeError, ValueError
            If `X` is not as above.

        See Also
        --------
        fit_transform : Varies training images.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.preprocessing import FaceAugmenter
        >>> X = np.random.default_rng(0).random((2, 48, 48))
        >>> FaceAugmenter().transform(X) is X
        True
        """
        self._validate_params()  # stateless: it may not have been fitted
        return check_pixels(X)

    def fit_transform(self, X: ArrayLike, y: object = None) -> NDArray[Any]:
        """
        Return a random variation of every image.

        A pipeline calls this on its training images. With an int as `random_state`, every call
        draws the same variations; otherwise each call draws new ones.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels)
            Training images as in `fit`.
        y : object, default=None
            Ignored; images keep their rows, so labels stay valid.

        Returns
        -------
        ndarray
            A new array of the same shape, dtype and range of values.

        Raises
        ------
        TypeError, ValueError
            As in `fit`.

        See Also
        --------
        transform : Leaves images unchanged.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.preprocessing import FaceAugmenter
        >>> X = np.random.default_rng(0).random((3, 48, 48))
        >>> flip_only = FaceAugmenter(contrast=0, rotation=0, translation=0, zoom=0, random_state=1)
        >>> varied = flip_only.fit_transform(X)
        >>> (varied == X[:, :, ::-1]).all(axis=(1, 2)).tolist()  # which are mirrored
        [True, False, True]
        """
        X = self.fit(X, y).transform(X)
        varied = np.empty_like(X)
        for row, draws in enumerate(zip(*self._draw(len(X)), strict=True)):
            varied[row] = self._vary(X[row], *draws)
        return varied

    def _draw(self, n):
        rng = check_random_state(self.random_state)
        flips = rng.uniform(size=n) < 0.5
        factors = rng.uniform(1 - self.contrast, 1 + self.contrast, size=n)
        angles = np.deg2rad(rng.uniform(-self.rotation, self.rotation, size=n))
        shifts = rng.uniform(-self.translation, self.translation, size=(n, 2))
        scales = rng.uniform(1 - self.zoom, 1 + self.zoom, size=n)
        return flips, factors, angles, shifts, scales

    def _vary(self, image, flip, factor, angle, shift, scale):
        # (h, w) or (h, w, c) -> (h, w, c); in float64 nothing is rounded before the end
        planes = image.astype(np.float64).reshape(*image.shape[:2], -1)
        if self.horizontal_flip and flip:
            planes = planes[:, ::-1]
        if self.rotation or self.translation or self.zoom:
            planes = _move(planes, angle, shift, scale)
        if self.contrast:
            planes = _stretch_contrast(planes, factor)
        planes = planes.reshape(image.shape)
        if image.dtype.kind == "f":
            return np.clip(planes, 0, 1)
        highest = min(255, np.iinfo(image.dtype).max)  # int8 ends at 127
        return np.rint(np.clip(planes, 0, highest))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _move(planes, angle, shift, scale):
    """Rotate and scale around the centre, then shift by shares of the sides; (h, w, c)."""
    sides = np.array(planes.shape[:2])
    centre = (sides - 1) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    # From a pixel of the result back to its source, as SciPy requires.
    backward = np.array([[cos, -sin], [sin, cos]]) / scale
    offset = centre - backward @ (centre + shift * sides)
    moved = [
        affine_transform(plane, backward, offset, order=1, mode="nearest")
        for plane in np.moveaxis(planes, -1, 0)
    ]
    return np.stack(moved, axis=-1)


def _stretch_contrast(planes, factor):
    means = planes.mean(axis=(0, 1))  # (h, w, c) -> (c,)
    return means + factor * (planes - means)
