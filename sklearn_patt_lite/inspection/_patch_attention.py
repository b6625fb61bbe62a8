"""Attention between the patches of a face, and each patch's contribution to the prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
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

_FEW = 16  # maximum number of patches with room for numbers and arrows
_ARROW = {
    "arrowstyle": "-|>",
    "color": "white",
    "connectionstyle": "arc3,rad=0.2",
    "shrinkA": 10,
    "shrinkB": 10,
}


class PatchAttentionDisplay:
    """
    Show the attention between the patches of a face, and which patch carries the decision.

    Use `from_estimator` to create one. The head averages the attention outputs of all patches and
    maps the average linearly to the class scores (before the softmax). So, apart from the bias, a
    score is an exact sum over the patches: a patch contributes the mean attention that it receives
    times w·v, with the class's weights w and the patch's values v. The mean over all classes is
    subtracted, because it does not affect the softmax.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
        Input images of the network, values 0 to 255, with 1 or 3 channels.
    attention : ndarray of shape (n, n_patches, n_patches), dtype float32
        How much each patch (row) attends to each patch (column); rows sum to 1. Patches are in
        reading order.
    contributions : ndarray of shape (n, n_patches), dtype float32
        What each patch adds to the score of the class that is shown, minus the mean over all
        classes.
    edges : tuple of two ndarrays
        Borders of the patches' rows and columns, as fractions of the image's height and width.
    predicted : sequence of str
        Name of the predicted class of each image.
    probability : ndarray of shape (n,)
        Probability of the predicted class, 0 to 1.
    true : sequence of str, default=None
        Name of the true class of each image.
    shown : sequence of str, default=None
        Name of the class that each image's contributions are for; by default the predicted class.

    Attributes
    ----------
    axes_ : ndarray of shape (n,) of matplotlib.axes.Axes
        Axes, one per image.
    figure_ : matplotlib.figure.Figure
        Figure that contains the axes.

    See Also
    --------
    GradCAMDisplay : Where the evidence lies, in finer cells.

    Notes
    -----
    The sum is exact, but a patch's receptive field is larger than its square, because of the
    convolutions in the backbone and the patch extraction. A classifier with `flip_averaging` or
    `crop_averaging` also averages over the mirror image or crops; everything shown here is for the
    original image alone.

    References
    ----------
    .. [1] J. L. Ngwe, K. M. Lim, C. P. Lee, T. S. Ong and A. Alqahtani, "PAtt-Lite: Lightweight
       Patch and Attention MobileNet for Challenging Facial Expression Recognition", IEEE Access,
       2024, Section III-E, https://arxiv.org/abs/2306.09626

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.inspection import PatchAttentionDisplay
    >>> display = PatchAttentionDisplay(
    ...     images=np.full((1, 48, 48, 1), 128),
    ...     attention=np.full((1, 4, 4), 0.25),
    ...     contributions=np.array([[0.1, -0.2, 0.9, 1.2]]),
    ...     edges=(np.array([0, 0.5, 1]), np.array([0, 0.5, 1])),
    ...     predicted=["happy"],
    ...     probability=np.array([0.8]),
    ... )
    >>> [text.get_text() for text in display.plot().axes_[0].texts if text.get_text()]
    ['+0.1', '-0.2', '+0.9', '+1.2']
    """

    axes_: NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        *,
        images: NDArray[Any],
        attention: NDArray[np.float32],
        contributions: NDArray[np.float32],
        edges: tuple[NDArray[Any], NDArray[Any]],
        predicted: Sequence[str],
        probability: NDArray[Any],
        true: Sequence[str] | None = None,
        shown: Sequence[str] | None = None,
    ) -> None:
        self.images = images
        self.attention = attention
        self.contributions = contributions
        self.edges = edges
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
        target: Any = None,
        target_names: Names | None = None,
        ax: Axes | Iterable[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Compute attention and contributions in a fitted classifier, and draw them.

        With `attention=None` the patches are averaged: each attends to all equally.

        Parameters
        ----------
        estimator : PAttLiteClassifier, or a Pipeline or search that ends with one
            Fitted.
        X : array-like of length n
            Images, as the estimator takes them.
        y : array-like of shape (n,), default=None
            Their true labels.
        target : label, default=None
            The class whose contributions are shown; by default the predicted class of each image.
        target_names : array-like of str, default=None
            Names of the classes; labels are these, or indices into them.
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        PatchAttentionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        TypeError
            If the estimator does not end with a PAttLiteClassifier.
        ValueError
            If the classifier has no patches to weigh (`attention="batch"`, or neither patches nor
            attention), if labels are not its own, or if lengths differ.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        GradCAMDisplay.from_estimator : Maps with finer cells.

        Examples
        --------
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.inspection import PatchAttentionDisplay
        >>> faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target)
        >>> display = PatchAttentionDisplay.from_estimator(classifier, faces.images[:3])
        >>> display.attention.shape, display.contributions.shape
        ((3, 4, 4), (3, 4))
        """
        check_matplotlib(cls.__name__)
        classifier, images = fitted_classifier(estimator, X)
        classes = classifier.classes_
        true = check_true(y, images, classes)
        attention, logits, contributions = _weigh_patches(classifier, images)
        shown = classes_shown(target, logits, classes)
        display = cls(
            images=images,
            attention=attention,
            contributions=contributions[np.arange(len(images)), :, shown],
            edges=_edges(classifier),
            **in_words(logits, true, shown, classes, target_names),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | Iterable[Axes] | None = None,
        *,
        cmap: str | Colormap = "PuOr_r",
        n_columns: int = 4,
        colorbar: bool = True,
    ) -> Self:
        """
        Draw patches over the faces.

        A patch's colour and number show what it adds to the class's score: orange is evidence for
        the class, purple against it. The patch that adds most is framed. Arrows show the attention
        from patch to patch; thicker means more. With more than 16 patches, arrows and numbers are
        omitted.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        cmap : str or matplotlib.colors.Colormap, default="PuOr_r"
            Colours of the contributions, from against the class to for it.
        n_columns : int, default=4
            Number of images per row.
        colorbar : bool, default=True
            Whether to add a bar beside the faces that explains colours, numbers and arrows.

        Returns
        -------
        PatchAttentionDisplay
            Itself.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If several axes are given, but not one per image.

        See Also
        --------
        from_estimator : Computes attention and contributions first.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import PatchAttentionDisplay
        >>> halves = np.array([0, 0.5, 1])
        >>> display = PatchAttentionDisplay(
        ...     images=np.full((1, 48, 48, 1), 128), attention=np.full((1, 4, 4), 0.25),
        ...     contributions=np.array([[0.1, -0.2, 0.9, 1.2]]), edges=(halves, halves),
        ...     predicted=["happy"], probability=[0.8], true=["happy"],
        ... )
        >>> display.plot().axes_[0].get_title()
        'happy 80 %'
        """
        check_matplotlib(type(self).__name__)
        check_consistent_length(self.images, self.attention, self.contributions, self.predicted)
        axes = image_panels(ax, len(self.images), n_columns, with_bar=colorbar)
        largest = max(np.abs(self.contributions).max(), np.finfo(np.float32).tiny)
        digits = max(1, 1 - math.floor(math.log10(largest)))  # two significant ones for the largest
        for i, panel in enumerate(axes):
            show_face(panel, self.images[i])
            self._draw_patches(panel, i, cmap, largest)
            if self.attention.shape[1] <= _FEW:
                self._draw_attention(panel, i, digits)
            names = (None if known is None else known[i] for known in (self.true, self.shown))
            title_of(panel, self.predicted[i], self.probability[i], *names)
        if colorbar:
            label = "added to the class's score"
            if self.attention.shape[1] <= _FEW:
                label += "\n(arrows: attention)"
            add_colorbar(axes, cmap, -largest, largest, label)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _draw_patches(self, panel, i, cmap, largest):
        from matplotlib.patches import Rectangle

        contributions = self.contributions[i]
        rows, columns = self._borders(i)
        shape = len(rows) - 1, len(columns) - 1
        alpha = 0.6 * np.abs(contributions) / largest
        mesh = {"cmap": cmap, "vmin": -largest, "vmax": largest, "alpha": alpha.reshape(shape)}
        panel.pcolormesh(columns, rows, contributions.reshape(shape), **mesh)
        row, column = np.unravel_index(contributions.argmax(), shape)
        corner = columns[column], rows[row]
        sides = columns[column + 1] - corner[0], rows[row + 1] - corner[1]
        panel.add_patch(Rectangle(corner, *sides, fill=False, color="tab:orange", linewidth=2))

    def _draw_attention(self, panel, i, digits):
        rows, columns = self._borders(i)
        x, y = (line.ravel() for line in np.meshgrid(_middles(columns), _middles(rows)))
        for j, contribution in enumerate(self.contributions[i]):
            number = round(float(contribution), digits) + 0.0  # -0.0 becomes 0.0
            panel.text(
                *(x[j], y[j], f"{number:+.{digits}f}"),
                ha="center",
                va="center",
                fontsize="small",
                bbox={"boxstyle": "round,pad=0.15", "color": "white", "alpha": 0.7},
            )
            for k, weight in enumerate(self.attention[i, j]):
                if k != j:
                    strength = {"linewidth": 4 * weight, "alpha": 0.3 + 0.7 * weight}
                    panel.annotate("", (x[k], y[k]), (x[j], y[j]), arrowprops=_ARROW | strength)

    def _borders(self, i):
        """Return the borders of rows and columns in the pixel coordinates of `imshow`."""
        shape = self.images[i].shape[:2]
        return [
            np.asarray(edges) * side - 0.5 for edges, side in zip(self.edges, shape, strict=True)
        ]


def _middles(edges):
    return (edges[:-1] + edges[1:]) / 2


def _weigh_patches(classifier, images):
    """Compute attention (n, t, t), logits (n, n_classes) and contributions (n, t, n_classes)."""
    architecture = fitted_network(classifier).architecture
    refuse_batch_attention(classifier)
    if architecture.attention is None and architecture.patch_extraction is None:
        raise ValueError(
            "The classifier has no patches: patch_extraction=None and attention=None leave only "
            "their mean."
        )
    network = classifier.model_  # first: it imports TensorFlow quietly, or says what is missing
    from sklearn_patt_lite._network.maps import patches_of
    from sklearn_patt_lite.inspection._gradients import in_batches

    to_tokens, kernel, bias = patches_of(network)
    found = in_batches(to_tokens, images.astype(np.float32))
    n_tokens = found.shape[1]
    attention, tokens = found[..., :n_tokens], found[..., n_tokens:]
    received = attention.mean(axis=1)[..., np.newaxis]  # n × t × 1
    added = received * (tokens @ kernel)  # n × t × n_classes
    return attention, added.sum(axis=1) + bias, added - added.mean(axis=2, keepdims=True)


def _edges(classifier):
    """Return the borders of the patches, as fractions of the image's height and width."""
    from sklearn_patt_lite._network.maps import maps_of, patch_grid, places_of

    network, side = classifier.model_, fitted_network(classifier).architecture.input_size
    distance, first = places_of(network, maps_of(network)[-1])
    rows, columns = patch_grid(network)
    return tuple(_borders_between(n, distance, first, side) for n in (rows, columns))


def _borders_between(n, distance, first, side):
    """Return borders halfway between adjacent patch centres; the outer ones are the image's."""
    between = (first + distance * (np.arange(n - 1) + 0.5) + 0.5) / side
    return np.concatenate([[0.0], np.clip(between, 0, 1), [1.0]])
