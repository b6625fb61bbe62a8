"""Resizing of photographs of faces, from files or arrays, to one array of images."""

from numbers import Integral
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_patt_lite._callbacks.support import as_one_task
from sklearn_patt_lite._images.decode import check_sources, decode_images
from sklearn_patt_lite._typing import Photographs, validate_parameters_first
from sklearn_patt_lite.preprocessing._base import ImageTransformerMixin


class FaceResizer(ImageTransformerMixin, BaseEstimator):
    """
    Convert images of any size, mode and file format to one array of square RGB images.

    Each image is processed on its own and nothing is learned from the data: the transformer is
    stateless and need not be fitted.

    Parameters
    ----------
    size : int, default=224
        Side of the resulting images in pixels; at least 1.
    n_jobs : int or None, default=None
        Number of threads that decode images, as in joblib: None means one thread unless a
        `joblib.parallel_config` says otherwise, -1 means one per processor core.

    See Also
    --------
    FaceAugmenter : Varies training images at random.
    sklearn_patt_lite.PAttLiteClassifier : Classifies the images.

    Notes
    -----
    Height and width are scaled separately, so an image that is not square is stretched: crop
    images around the face beforehand. The filter is Pillow's bilinear one, which averages over all
    pixels when it shrinks an image. The camera's orientation (EXIF) is applied, transparent pixels
    become mid-grey, 16-bit greys are scaled to 8 bits, and of several frames the first is used.

    Memory holds the images being decoded, and the result: n · size² · 3 bytes, 147 KiB for an image
    of the default size.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.preprocessing import FaceResizer
    >>> grey = np.zeros((48, 48), dtype=np.uint8)
    >>> colour = np.ones((120, 100, 3))
    >>> images = FaceResizer(size=64).fit_transform([grey, colour])
    >>> images.shape, images.dtype
    ((2, 64, 64, 3), dtype('uint8'))
    """

    _parameter_constraints = {
        "size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(self, *, size: int = 224, n_jobs: int | None = None) -> None:
        self.size = size
        self.n_jobs = n_jobs

    @validate_parameters_first
    @as_one_task
    def fit(self, X: Photographs, y: object = None) -> Self:
        """
        Check the parameters; no image is read.

        `transform` works without it; only there are images read.

        Parameters
        ----------
        X : sequence of length n
            Images and paths, see `transform`.
        y : object, default=None
            Ignored.

        Returns
        -------
        FaceResizer
            Itself.

        Raises
        ------
        TypeError, ValueError
            If `X` is not a sequence of images, or empty. `ValueError` also if a parameter is out of
            range.

        See Also
        --------
        transform : Reads and resizes images.

        Examples
        --------
        >>> from sklearn_patt_lite.preprocessing import FaceResizer
        >>> FaceResizer(size=64).fit(["ann.png", "ben.png"])  # these need not be there yet
        FaceResizer(size=64)
        """
        check_sources(X)
        return self

    def transform(self, X: Photographs) -> NDArray[np.uint8]:
        """
        Read, convert and resize images.

        Each image gives one row, or an error that names it, so rows stay aligned with labels.

        Parameters
        ----------
        X : sequence of length n
            File paths (`str` or `os.PathLike`), Pillow images, and arrays of shape
            (height, width) or (height, width, channels) with 1, 3 or 4 channels (grey, RGB,
            RGBA), in any mix and each of any size. Arrays hold integers in 0..255, uint16 in
            0..65535, booleans or floats in 0..1. A single array of n images works as well.

        Returns
        -------
        ndarray of shape (n, size, size, 3), dtype uint8
            RGB images in the order of `X`.

        Raises
        ------
        FileNotFoundError
            If a file is missing. The message names the row and the file, as for all errors below;
            of several such rows, it names the first ten.
        ValueError
            If an image is corrupt, truncated or of an unknown format, if an array's shape or values
            are not as above, or if `X` is empty.
        TypeError
            If a row is neither a path nor an image, or if `X` is not a sequence of them.

        See Also
        --------
        FaceCropper.transform : Crops photographs to the face first.

        Examples
        --------
        >>> import numpy as np
        >>> from PIL import Image
        >>> from sklearn_patt_lite.preprocessing import FaceResizer
        >>> grey, colour = np.zeros((48, 48)), Image.new("RGB", (100, 120), "white")
        >>> images = FaceResizer(size=64).transform([grey, colour])
        >>> images.shape, images.min(axis=(1, 2, 3)).tolist()
        ((2, 64, 64, 3), [0, 255])
        """
        self._validate_params()  # stateless: it may not have been fitted
        return decode_images(X, (self.size, self.size, 3), n_jobs=self.n_jobs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []  # always uint8
        return tags
