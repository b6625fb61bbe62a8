"""Features of a frozen backbone, for use in any other estimator."""

import os
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite._callbacks.support import CallbackSupportMixin, as_one_task
from sklearn_patt_lite._features.memory import FeatureMemory, as_feature_memory
from sklearn_patt_lite._images.source import as_source
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._typing import Cache, Images, PathLike, validate_parameters_first

_CHUNK = 256  # images whose features are in memory before they are pooled


class BackboneFeatures(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """
    Extract the features of a frozen MobileNetV1 from faces, averaged over a grid.

    Followed by a linear model, this is the baseline that a trained network has to beat. Stage 1 of
    `PAttLiteClassifier(recipe="paper")` trains its head on the same features; a folder as `memory`
    shares them between the two. Nothing is learned from the images.

    Parameters
    ----------
    backbone_weights : {"imagenet", "fer2013", "drawn"} or path-like, default="imagenet"
        As in `PAttLiteClassifier`: the file of an earlier classifier gives its fine-tuned features.
        "fer2013" was trained at an `input_size` of 112.
    alpha : float, default=1.0
        Width multiplier of MobileNetV1; 0.25 for "drawn".
    input_size : int, default=224
        Side, in pixels, to which images are resized.
    output_layer : str or None, default="conv_dw_9_relu"
        Activation of MobileNetV1 whose feature map is used; None uses the last one.
    grid : int, default=2
        The feature map is averaged over grid×grid nearly equal parts; 1 averages the whole map. At
        most the map's number of cells per side: 14 by default.
    memory : None, path-like, FeatureMemory or object with the joblib.Memory interface, \
            default=None
        Folder that stores the features for the folds and candidates of a search, and for later
        sessions; see `PAttLiteClassifier`.

    Attributes
    ----------
    image_shape_ : tuple of int
        (height, width, channels) of the images in `fit`; other images are converted to it.

    See Also
    --------
    sklearn_patt_lite.PAttLiteClassifier : Trains a head on these features, and more.
    FaceResizer : Converts images of all kinds to one size.

    Notes
    -----
    On the sample of FER2013 used in the documentation, a logistic regression on the 2×2 grid is
    ahead of PAtt-Lite's head.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> from sklearn_patt_lite.preprocessing import BackboneFeatures
    >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
    >>> features = BackboneFeatures(backbone_weights="drawn", alpha=0.25, input_size=64)
    >>> features.fit_transform(faces.images).shape
    (28, 512)
    >>> baseline = make_pipeline(features, StandardScaler(), LogisticRegression())
    >>> baseline.fit(faces.images, faces.target).predict(faces.images[:2]).shape
    (2,)
    """

    _parameter_constraints = {
        "backbone_weights": [str, os.PathLike],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "input_size": [Interval(Integral, 1, None, closed="left")],
        "output_layer": [str, None],
        "grid": [Interval(Integral, 1, None, closed="left")],
        "memory": [str, os.PathLike, FeatureMemory, HasMethods(["cache"]), None],
    }

    image_shape_: tuple[int, int, int]

    def __init__(
        self,
        *,
        backbone_weights: Literal["imagenet", "fer2013", "drawn"] | PathLike = "imagenet",
        alpha: float = 1.0,
        input_size: int = 224,
        output_layer: str | None = "conv_dw_9_relu",
        grid: int = 2,
        memory: PathLike | FeatureMemory | Cache | None = None,
    ) -> None:
        self.backbone_weights = backbone_weights
        self.alpha = alpha
        self.input_size = input_size
        self.output_layer = output_layer
        self.grid = grid
        self.memory = memory

    @validate_parameters_first
    @as_one_task
    def fit(self, X: Images, y: object = None) -> Self:
        """
        Load the backbone for images of this shape.

        The images themselves are only checked.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images: integers 0 to 255 or floats 0 to 1, with 1 or 3 channels; or file paths.
        y : object, default=None
            Ignored.

        Returns
        -------
        BackboneFeatures
            Itself.

        Raises
        ------
        TypeError, ValueError
            If images or parameters cannot be used; the message says which.
        FileNotFoundError
            If there is no file at the path of an image or of `backbone_weights`.
        ConnectionError
            If ImageNet weights are needed and can neither be found nor downloaded.

        See Also
        --------
        transform : Computes the features.

        Examples
        --------
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.preprocessing import BackboneFeatures
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> features = BackboneFeatures(backbone_weights="drawn", alpha=0.25, input_size=64)
        >>> features.fit(faces.images).image_shape_
        (64, 64, 3)
        """
        images = as_source(X, self.input_size)
        from sklearn_patt_lite._inference.extractor import MapExtractor

        height, width, channels = images.shape[1:]
        architecture = Architecture(
            n_classes=None,
            image_shape=(int(height), int(width), int(channels)),
            alpha=self.alpha,
            input_size=self.input_size,
            output_layer=self.output_layer,
            patch_extraction=None,
            attention=None,
            hidden_units=None,
            augment=False,
        )
        extractor = MapExtractor.build(self.backbone_weights, architecture)
        cells = extractor.shape[0]
        if self.grid > cells:
            raise ValueError(
                f"grid={self.grid} is finer than the map at output_layer={self.output_layer!r}, "
                f"which has {cells}×{cells} cells at input_size={self.input_size}."
            )
        self.image_shape_ = architecture.image_shape
        self._grid = self.grid
        self._n_features_out = self.grid**2 * extractor.shape[2]
        self._extractor = extractor
        return self

    def transform(self, X: Images) -> NDArray[np.float32]:
        """
        Compute the features of images.

        Rows are in the order of the images, and each depends only on its own image.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images or file paths, as in `fit`, of any size.

        Returns
        -------
        ndarray of shape (n, grid * grid * channels), dtype float32
            The grid's parts from left to right and top to bottom, each with all its channels;
            values are 0 to 6.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the transformer is not fitted.
        TypeError, ValueError, FileNotFoundError
            If images cannot be used; the message says which.

        See Also
        --------
        fit : Loads the backbone.

        Examples
        --------
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.preprocessing import BackboneFeatures
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> features = BackboneFeatures(backbone_weights="drawn", alpha=0.25, input_size=64, grid=1)
        >>> features.fit(faces.images).transform(faces.images[:3]).shape
        (3, 128)
        """
        check_is_fitted(self)
        images = as_source(X, self._extractor.architecture.input_size, self.image_shape_)
        memory = as_feature_memory(self.memory)
        starts = range(0, len(images), _CHUNK)
        chunks = (images[start : start + _CHUNK] for start in starts)
        return np.concatenate(
            [_pool(self._extractor(chunk, memory), self._grid) for chunk in chunks]
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True  # file paths
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self):
        """Pickle only the backbone's weights."""
        state = super().__getstate__()
        if "_extractor" in state:
            state = {**state, "_extractor": state["_extractor"].state()}
        return state

    def __setstate__(self, state):
        """Restore the pickled weights."""
        super().__setstate__(state)
        if "_extractor" in state:
            from sklearn_patt_lite._inference.extractor import MapExtractor

            self._extractor = MapExtractor.from_state(state["_extractor"])


def _pool(maps, grid):
    """Average maps (n, cells, cells, channels) over grid×grid parts: (n, grid² * channels)."""
    parts = np.array_split(np.arange(maps.shape[1]), grid)
    averages = np.stack([np.isin(np.arange(maps.shape[1]), part) / len(part) for part in parts])
    averages = averages.astype(np.float32)  # grid × cells
    pooled = np.einsum("gr,nrcd,hc->nghd", averages, maps, averages, optimize=True)
    return pooled.reshape(len(maps), -1)
