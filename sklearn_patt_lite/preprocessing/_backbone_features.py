"""The features that a frozen backbone sees in a face, for any other estimator."""

import os
import threading
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

from sklearn_patt_lite._features.memory import FeatureMemory, as_feature_memory
from sklearn_patt_lite._images.source import as_source, read_images
from sklearn_patt_lite._process import import_tensorflow, keep_to_share_of_cores
from sklearn_patt_lite._typing import Cache, Images, PathLike, validate_parameters_first

_CHUNK = 256  # images whose features are held before they are pooled


class BackboneFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """
    Turn faces into the features of a frozen MobileNetV1, averaged over a grid.

    With a linear model behind it, this is the baseline that a trained network has to beat: they are
    the very features on which stage 1 of `PAttLiteClassifier` trains its head, and a folder as
    `memory` shares them between the two. Nothing is learned from the images.

    Parameters
    ----------
    backbone_weights : {"imagenet", "drawn"} or path-like, default="imagenet"
        As `PAttLiteClassifier`'s: the file of an earlier classifier's network gives the features
        that were fine-tuned there.
    alpha : float, default=1.0
        Width multiplier of MobileNetV1; 0.25 for "drawn".
    input_size : int, default=224
        Side, in pixels, to which images are brought.
    output_layer : str or None, default="conv_dw_9_relu"
        Activation of MobileNetV1 whose map is taken; None is its last.
    grid : int, default=2
        The map is averaged in grid×grid nearly equal parts; 1 averages all of it. At most as many
        as the map has cells a side: 14 by default.
    memory : None, path-like, FeatureMemory or object with the joblib.Memory interface, \
            default=None
        Folder that keeps the features for the folds and candidates of a search, and for tomorrow;
        see `PAttLiteClassifier`.

    Attributes
    ----------
    image_shape_ : tuple of int
        (height, width, channels) of the images in `fit`; others are brought to it.

    See Also
    --------
    sklearn_patt_lite.PAttLiteClassifier : Trains a head on these features, and more.
    FaceResizer : Brings images of all kinds to one size.

    Notes
    -----
    Where Keras does not run on TensorFlow, `memory` is not used.

    On the sample of FER2013 that the documentation speaks of, a logistic regression on the 2×2
    grid is ahead of PAtt-Lite's head.

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
        backbone_weights: Literal["imagenet", "drawn"] | PathLike = "imagenet",
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
    def fit(self, X: Images, y: object = None) -> Self:
        """
        Load the backbone, for images of this shape.

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
            If images or parameters cannot be used; the message names the culprit.
        FileNotFoundError
            If a path, of an image or of `backbone_weights`, leads to no file.
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
        keep_to_share_of_cores()
        images = as_source(X, self.input_size)
        extractor = _Extractor(
            tuple(int(side) for side in images.shape[1:]),
            self.backbone_weights,
            self.alpha,
            self.input_size,
            self.output_layer,
        )
        cells = extractor.shape[0]
        if self.grid > cells:
            raise ValueError(
                f"grid={self.grid} is finer than the map at output_layer={self.output_layer!r}, "
                f"which has {cells}×{cells} cells at input_size={self.input_size}."
            )
        self.image_shape_ = extractor.image_shape
        self._grid = self.grid
        self._n_features_out = self.grid**2 * extractor.shape[2]
        self._extractor = extractor
        return self

    def transform(self, X: Images) -> NDArray[np.float32]:
        """
        Compute the features of images.

        Rows stay in their order, and each is a function of its own image.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images or file paths, as in `fit`, of any size.

        Returns
        -------
        ndarray of shape (n, grid * grid * channels), dtype float32
            The grid's parts in the order of reading, each with all its channels; 0 to 6.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        TypeError, ValueError, FileNotFoundError
            If images cannot be used; the message names the culprit.

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
        images = as_source(X, self._extractor.input_size, self.image_shape_)
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


class _Extractor:
    """A backbone with its weights, which pickles as these.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width, channels) of the images.
    backbone_weights, alpha, input_size, output_layer
        As `BackboneFeatures`.
    """

    def __init__(self, image_shape, backbone_weights, alpha, input_size, output_layer):
        from sklearn_patt_lite._network.architecture import Architecture, check_architecture
        from sklearn_patt_lite._network.patt_lite import build_network
        from sklearn_patt_lite._network.weights import load_weights
        from sklearn_patt_lite._process import seeded, under_policy

        self.image_shape, self.input_size = image_shape, input_size
        self._architecture = Architecture(
            n_classes=2,  # of a head that is not used
            image_shape=image_shape,
            alpha=alpha,
            input_size=input_size,
            output_layer=output_layer,
            patch_extraction=None,
            attention=None,
            hidden_units=None,
            augment=False,
        )
        check_architecture(self._architecture)
        with seeded(0), under_policy("float32"):
            network = build_network(self._architecture)
        load_weights(network, backbone_weights, self._architecture)
        self._set_network(network)

    def __call__(self, images, memory):
        """Compute maps (n, cells, cells, channels), float32, of images of `image_shape`."""
        from sklearn_patt_lite._features.backbone import CLEAN, decode
        from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache

        if self._frozen is None:
            pixels = read_images(images).astype(np.float32)
            return self._network.predict(pixels, batch_size=32, verbose=0)
        cut = self._cut
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        rows = np.arange(len(images))
        views = np.full(len(images), CLEAN)
        kept = () if memory is None else {cut}
        with self._lock:
            return np.asarray(decode(bank.read(cut, rows, views, kept)))

    def _set_network(self, network):
        import keras

        from sklearn_patt_lite._features.backbone import FrozenBackbone
        from sklearn_patt_lite._network.patt_lite import BACKBONE
        from sklearn_patt_lite._process import on_tensorflow

        backbone = network.get_layer(BACKBONE)
        self._weights = network.get_weights()
        self._network = keras.Model(network.input, backbone(network.get_layer("scale").output))
        self._frozen = FrozenBackbone(network) if on_tensorflow() else None
        self._cut = backbone.layers[-1].name
        self.shape = backbone.output.shape[1:]
        self._lock = threading.Lock()

    def __getstate__(self):
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_network", "_frozen", "_lock", "_cut", "shape")
        }

    def __setstate__(self, state):
        import_tensorflow()
        from sklearn_patt_lite._network.parts import rebuild_network

        vars(self).update(state)
        self._set_network(rebuild_network(self._architecture, self._weights, "float32"))


def _pool(maps, grid):
    """Average maps (n, cells, cells, channels) over grid×grid parts: (n, grid² * channels)."""
    parts = np.array_split(np.arange(maps.shape[1]), grid)
    averages = np.stack([np.isin(np.arange(maps.shape[1]), part) / len(part) for part in parts])
    averages = averages.astype(np.float32)  # grid × cells
    pooled = np.einsum("gr,nrcd,hc->nghd", averages, maps, averages, optimize=True)
    return pooled.reshape(len(maps), -1)
