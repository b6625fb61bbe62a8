"""Rows of numbers as images, so that scikit-learn's common checks can reach image estimators.

The checks speak of 2-D data only and skip an estimator whose tags deny it. An adapter in the
tests validates rows as scikit-learn asks for, turns them into images here, and leaves all else to
the estimator under test.
"""

import numpy as np
from scipy.special import expit
from sklearn.utils.validation import validate_data

SIDE = 8


def rows_to_images(X):
    """Turn rows (n, d) of floats, d <= 64, into images (n, 8, 8) of floats in 0..1.

    Every number becomes at least one pixel and the order of numbers is kept, so that images
    differ where rows do. The dtype is kept.
    """
    pixels = SIDE * SIDE
    if X.shape[1] > pixels:
        raise ValueError(f"{X.shape[1]} features do not fit into {pixels} pixels")
    squashed = expit(X)
    return np.pad(squashed, ((0, 0), (0, pixels - X.shape[1])), mode="wrap").reshape(-1, SIDE, SIDE)


class RowsAsImages:
    """Mixin before an image transformer: rows (n, d) in, rows (n, pixels) out.

    The class names the transformer under test as `real`: one of the same parameters does the work.
    """

    def fit(self, X, y=None):
        self._real().fit(self._images(X, reset=True), y)
        return self

    def transform(self, X):
        return _images_to_rows(self._real().transform(self._images(X, reset=False)))

    def fit_transform(self, X, y=None):
        return _images_to_rows(self._real().fit_transform(self._images(X, reset=True), y))

    def _real(self):
        return self.real(**self.get_params())

    def _images(self, X, reset):
        return rows_to_images(validate_data(self, X, reset=reset, dtype=[np.float64, np.float32]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.string = False
        return tags


def _images_to_rows(images):
    return images.reshape(len(images), -1)
