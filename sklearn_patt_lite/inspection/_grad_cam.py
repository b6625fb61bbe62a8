"""Where the evidence lies, by the gradient at a feature map of the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length

from sklearn_patt_lite._typing import Names, Photographs
from sklearn_patt_lite.inspection._figures import (
    add_colorbar,
    check_matplotlib,
    image_panels,
    show_face,
    title_of,
)
from sklearn_patt_lite.inspection._fitted import (
    check_true,
    classes_shown,
    fitted_classifier,
    fitted_network,
    in_words,
    refuse_batch_attention,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


class GradCAMDisplay:
    """
    Show where in a face the evidence for an expression lies, by Grad-CAM.

    Use `from_estimator` to create one. The maps follow [1]_: the channels of a feature map are
    weighted by the mean gradient of a class's score (before the softmax) and summed, and negative
    values are set to 0. Figures 6 and 7 of PAtt-Lite [2]_ show such maps. The title of a correct
    prediction is blue; that of a wrong one is vermilion, with the true class below.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
        Input images of the network, values 0 to 255, with 1 or 3 channels.
    heat_maps : ndarray of shape (n, height, width), dtype float32
        Evidence for the class, in the units of its score; never negative. `plot` divides each map
        by its own maximum, so colours show where the evidence is, not how strong.
    predicted : sequence of str
        Name of the predicted class of each image.
    probability : ndarray of shape (n,)
        Probability of the predicted class, 0 to 1.
    true : sequence of str, default=None
        Name of the true class of each image.
    shown : sequence of str, default=None
        Name of the class whose evidence each map shows; by default the predicted class.

    Attributes
    ----------
    axes_ : ndarray of shape (n,) of matplotlib.axes.Axes
        Axes, one per image.
    figure_ : matplotlib.figure.Figure
        Figure that contains the axes.

    See Also
    --------
    PatchAttentionDisplay : What each patch adds to a decision, exactly.
    MistakesDisplay : The most confident mistakes.

    Notes
    -----
    The map at `output_layer` has 7×7 cells at 112 pixels, the default, and 14×14 at 224. The
    receptive field of each cell is 155 pixels wide, wider than an image of 112: there an earlier
    layer such as `conv_pw_6_relu` localizes better. Bright areas are related to the score; to show
    that they cause it, cover them. A classifier with `flip_averaging` or `crop_averaging` also
    averages over the mirror image or crops; map, class and probability are for the original image
    alone.

    References
    ----------
    .. [1] R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh and D. Batra, "Grad-CAM:
       Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
       equations 1 and 2.
    .. [2] J. L. Ngwe, K. M. Lim, C. P. Lee, T. S. Ong and A. Alqahtani, "PAtt-Lite: Lightweight
       Patch and Attention MobileNet for Challenging Facial Expression Recognition", IEEE Access,
       2024, https://arxiv.org/abs/2306.09626

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.inspection import GradCAMDisplay
    >>> face, heat = np.full((1, 48, 48, 1), 128), np.eye(48)[np.newaxis]
    >>> display = GradCAMDisplay(
    ...     images=face, heat_maps=heat, predicted=["happy"], probability=np.array([0.8])
    ... )
    >>> display.plot().axes_[0].get_title()
    'happy 80 %'
    """

    axes_: NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        *,
        images: NDArray[Any],
        heat_maps: NDArray[np.float32],
        predicted: Sequence[str],
        probability: NDArray[Any],
        true: Sequence[str] | None = None,
        shown: Sequence[str] | None = None,
    ) -> None:
        self.images = images
        self.heat_maps = heat_maps
        self.predicted = predicted
        self.probability = probability
        self.true = true
        self.shown = shown

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Photographs,
        y: ArrayLike | None = None,
        *,
        layer: str | None = None,
        target: Any = None,
        target_names: Names | None = None,
        ax: Axes | Iterable[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Compute the maps of a fitted classifier, and draw them.

        The gradient is that of the class's score before the softmax.

        Parameters
        ----------
        estimator : PAttLiteClassifier, or a Pipeline or search that ends with one
            Fitted.
        X : array-like of length n
            Images, as the estimator takes them.
        y : array-like of shape (n,), default=None
            Their true labels.
        layer : str, default=None
            The layer whose map is weighted; by default the backbone's last activation, at
            `output_layer`. Any layer of the backbone or of the patch extraction may be given;
            the error for another name lists them.
        target : label, default=None
            The class whose evidence is shown; by default the predicted class of each image.
        target_names : array-like of str, default=None
            Names of the classes; labels are these, or indices into them.
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        GradCAMDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        TypeError
            If the estimator does not end with a PAttLiteClassifier.
        ValueError
            If there is no such layer, if labels are not those of the classifier, if lengths differ,
            or with `attention="batch"`, whose predictions depend on more than one image.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        PatchAttentionDisplay.from_estimator : The attention between the patches.

        Examples
        --------
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.inspection import GradCAMDisplay
        >>> faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target)
        >>> display = GradCAMDisplay.from_estimator(
        ...     classifier, faces.images[:4], faces.target[:4], target_names=faces.target_names
        ... )
        >>> display.heat_maps.shape
        (4, 32, 32)
        """
        check_matplotlib(cls.__name__)
        classifier, images = fitted_classifier(estimator, X)
        classes = classifier.classes_
        true = check_true(y, images, classes)
        logits, heat_maps, shown = _grad_cam(classifier, images, layer, target)
        words = in_words(logits, true, shown, classes, target_names)
        display = cls(images=images, heat_maps=heat_maps, **words)
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | Iterable[Axes] | None = None,
        *,
        cmap: str | Colormap = "inferno",
        alpha: float = 0.6,
        n_columns: int = 4,
        colorbar: bool = True,
    ) -> Self:
        """
        Draw the maps over the faces.

        Hotter cells are more opaque, so the rest of the face stays visible.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        cmap : str or matplotlib.colors.Colormap, default="inferno"
            Colours of the heat maps.
        alpha : float, default=0.6
            Opacity of the hottest cells, 0 to 1.
        n_columns : int, default=4
            Number of images per row.
        colorbar : bool, default=True
            Whether to add a bar beside the faces that explains the colours.

        Returns
        -------
        GradCAMDisplay
            Itself.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If several axes are given, but not one per image.

        See Also
        --------
        from_estimator : Computes the maps first.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import GradCAMDisplay
        >>> face, heat = np.full((1, 48, 48, 1), 128), np.eye(48)[np.newaxis]
        >>> display = GradCAMDisplay(
        ...     images=face, heat_maps=heat, predicted=["happy"], probability=[0.8], true=["sad"]
        ... )
        >>> print(display.plot(alpha=0.9).axes_[0].get_title())
        happy 80 %
        is sad
        """
        check_matplotlib(type(self).__name__)
        check_consistent_length(self.images, self.heat_maps, self.predicted)
        axes = image_panels(ax, len(self.images), n_columns, with_bar=colorbar)
        for i, (panel, image, heat) in enumerate(
            zip(axes, self.images, self.heat_maps, strict=True)
        ):
            show_face(panel, image)
            heat = heat / max(heat.max(), np.finfo(np.float32).tiny)
            panel.imshow(heat, cmap=cmap, vmin=0, vmax=1, alpha=alpha * np.sqrt(heat))
            names = (None if known is None else known[i] for known in (self.true, self.shown))
            title_of(panel, self.predicted[i], self.probability[i], *names)
        if colorbar:
            add_colorbar(axes, cmap, 0, 1, "evidence for the class,\nof the face's largest")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


def _grad_cam(classifier, images, layer, target):
    """Compute logits, heat maps at the images' size, and the classes that the maps are for."""
    refuse_batch_attention(classifier)
    network = classifier.model_  # first: it imports TensorFlow quietly, or says what is missing
    from keras import ops

    from sklearn_patt_lite._network.maps import last_map, maps_of, places_of, split_at
    from sklearn_patt_lite.inspection._gradients import gradient, in_batches

    layers = maps_of(network)
    layer = last_map(network) if layer is None else layer
    if layer not in layers:
        raise ValueError(f"layer={layer!r} has no map to show; choose one of {', '.join(layers)}.")
    to_map, to_logits = split_at(network, layer)
    maps = in_batches(to_map, images.astype(np.float32))
    logits = in_batches(to_logits, maps)
    codes = classes_shown(target, logits, classifier.classes_)
    of_class = np.eye(logits.shape[1], dtype=np.float32)[codes]

    def cam(maps, of_class):
        x = ops.convert_to_tensor(maps)
        slopes = gradient(lambda x: ops.multiply(to_logits(x), of_class), x)
        weights = ops.mean(slopes, axis=(1, 2), keepdims=True)  # n × 1 × 1 × channels
        return ops.relu(ops.sum(weights * x, axis=3))  # n × rows × columns

    heat = in_batches(cam, maps, of_class)
    side = fitted_network(classifier).architecture.input_size
    places = places_of(network, layer)
    return logits, _spread(heat, places, side, images.shape[1:3]), codes


def _spread(heat, places, side, shape):
    """Upsample maps (n, rows, columns) to image size, each cell at its receptive field's centre."""
    distance, first = places
    # Centres of the images' pixels, in cell coordinates.
    rows, columns = (((np.arange(n) + 0.5) * side / n - 0.5 - first) / distance for n in shape)
    grid = np.meshgrid(np.arange(len(heat)), rows, columns, indexing="ij")
    return map_coordinates(heat, grid, order=1, mode="nearest")
