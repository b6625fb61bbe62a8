"""The most confident mistakes of a classifier."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, check_scalar

from sklearn_patt_lite._images.columns import names_of
from sklearn_patt_lite._images.source import as_source, read_images
from sklearn_patt_lite._typing import Names, Photographs
from sklearn_patt_lite.inspection._figures import (
    check_matplotlib,
    image_panels,
    show_face,
    title_of,
)
from sklearn_patt_lite.inspection._fitted import codes_of
from sklearn_patt_lite.preprocessing import FaceResizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 160  # side, in pixels, at which faces are shown


class MistakesDisplay:
    """
    Show the most confident mistakes: faces, with their predicted and true classes.

    Use `from_estimator` or `from_predictions` to create one. Look at the mistakes before you tune:
    they reveal wrong labels, crops that miss the face, and duplicate images.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
        Misclassified images, the most confident first, values 0 to 255, with 1 or 3 channels.
    predicted : sequence of str
        Name of the predicted class of each image.
    probability : ndarray of shape (n,)
        Probability of the predicted class, 0 to 1.
    true : sequence of str
        Name of the true class of each image.
    indices : ndarray of shape (n,), dtype int
        Indices of these images among all predicted images.
    n_mistakes, n_total : int
        Total number of mistakes, and of images.

    Attributes
    ----------
    axes_ : ndarray of shape (n,) of matplotlib.axes.Axes
        Axes, one per image.
    figure_ : matplotlib.figure.Figure
        Figure that contains the axes.

    See Also
    --------
    ClassRecallDisplay : How many images of each class are classified correctly.
    GradCAMDisplay : Where the evidence lies.
    sklearn.metrics.ConfusionMatrixDisplay : Which classes are confused.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.inspection import MistakesDisplay
    >>> display = MistakesDisplay(
    ...     images=np.full((1, 48, 48, 1), 128), predicted=["happy"], probability=[0.9],
    ...     true=["sad"], indices=[4], n_mistakes=1, n_total=10,
    ... )
    >>> print(display.plot().axes_[0].get_title())
    happy 90 %
    is sad
    """

    axes_: NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        *,
        images: NDArray[Any],
        predicted: Sequence[str],
        probability: NDArray[Any],
        true: Sequence[str],
        indices: NDArray[np.intp],
        n_mistakes: int,
        n_total: int,
    ) -> None:
        self.images = images
        self.predicted = predicted
        self.probability = probability
        self.true = true
        self.indices = indices
        self.n_mistakes = n_mistakes
        self.n_total = n_total

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Photographs,
        y: ArrayLike,
        *,
        n_images: int = 12,
        target_names: Names | None = None,
        ax: Axes | Iterable[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Predict images with a fitted classifier, and draw the mistakes.

        Any image classifier with `predict_proba` can be used.

        Parameters
        ----------
        estimator : object
            Fitted, with `predict_proba` and `classes_`.
        X : array-like of length n
            Images, as the estimator takes them.
        y : array-like of shape (n,)
            Their true labels.
        n_images : int, default=12
            Maximum number of mistakes to show.
        target_names : array-like of str, default=None
            Names of the classes; labels are these, or indices into them.
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        MistakesDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If labels are not those of the classifier, if lengths differ, or if there are no
            mistakes to show.

        See Also
        --------
        from_predictions : Takes existing probabilities.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.dummy import DummyClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.inspection import MistakesDisplay
        >>> faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
        >>> guessing = DummyClassifier(strategy="prior").fit(faces.images, faces.target)
        >>> display = MistakesDisplay.from_estimator(
        ...     guessing, faces.images, faces.target, n_images=4
        ... )
        >>> display.n_mistakes, display.n_total
        (24, 28)
        """
        return cls.from_predictions(
            X,
            y,
            estimator.predict_proba(X),
            classes=estimator.classes_,
            n_images=n_images,
            target_names=target_names,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        X: Photographs,
        y_true: ArrayLike,
        y_proba: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        n_images: int = 12,
        target_names: Names | None = None,
        ax: Axes | Iterable[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Draw the mistakes among predictions.

        They may come from `cross_val_predict`, so that every image is predicted by a classifier
        that was not trained on it.

        Parameters
        ----------
        X : array-like of length n
            Images or file paths, as `FaceResizer` takes them: sizes may differ.
        y_true : array-like of shape (n,)
            True labels.
        y_proba : array-like of shape (n, n_classes)
            Predicted probabilities, as returned by `predict_proba`.
        classes : array-like of shape (n_classes,), default=None
            The classes of the columns; by default the labels in `y_true`, sorted.
        n_images : int, default=12
            Maximum number of mistakes to show.
        target_names : array-like of str, default=None
            Names of the classes; labels are these, or indices into them.
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        **kwargs : dict
            Passed on to `plot`.

        Returns
        -------
        MistakesDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If `y_proba` does not have one column per class, if probabilities are not between 0
            and 1, if labels are not among the classes, if lengths differ, or if there are no
            mistakes to show.

        See Also
        --------
        from_estimator : Predicts first.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import MistakesDisplay
        >>> display = MistakesDisplay.from_predictions(
        ...     np.full((3, 48, 48), 128, dtype=np.uint8), ["sad", "happy", "sad"],
        ...     [[0.2, 0.8], [0.9, 0.1], [0.6, 0.4]],
        ... )
        >>> display.indices, display.true
        (array([2]), ['sad'])
        """
        check_matplotlib(cls.__name__)
        check_scalar(n_images, "n_images", Integral, min_val=1)
        y_proba, classes = _check_probabilities(y_proba, y_true, classes)
        check_consistent_length(X, y_true, y_proba)
        true, predicted = codes_of(y_true, classes, "y_true"), y_proba.argmax(axis=1)
        confidence = y_proba.max(axis=1)
        (mistakes,) = np.nonzero(predicted != true)
        if len(mistakes) == 0:
            raise ValueError(f"There are no mistakes among {len(true)} predictions.")
        shown = mistakes[np.argsort(-confidence[mistakes], kind="stable")][:n_images]
        names = np.array(names_of(classes, target_names))
        display = cls(
            images=_read(X, shown),
            predicted=names[predicted[shown]].tolist(),
            probability=confidence[shown],
            true=names[true[shown]].tolist(),
            indices=shown,
            n_mistakes=len(mistakes),
            n_total=len(true),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | Iterable[Axes] | None = None, *, n_columns: int = 4) -> Self:
        """
        Draw the misclassified faces.

        Above each are the predicted class, its probability, and the true class.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of Axes, default=None
            Axes to draw on: one, which is subdivided, or one per image. By default a new figure.
        n_columns : int, default=4
            Number of images per row.

        Returns
        -------
        MistakesDisplay
            Itself.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If several axes are given, but not one per mistake.

        See Also
        --------
        from_predictions : Finds the mistakes first.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import MistakesDisplay
        >>> display = MistakesDisplay(
        ...     images=np.full((2, 48, 48, 1), 128), predicted=["happy", "sad"],
        ...     probability=[0.9, 0.8], true=["sad", "fear"], indices=[4, 1],
        ...     n_mistakes=2, n_total=10,
        ... )
        >>> len(display.plot(n_columns=1).axes_)
        2
        """
        check_matplotlib(type(self).__name__)
        axes = image_panels(ax, len(self.images), n_columns)
        for panel, *shown in zip(
            axes, self.images, self.predicted, self.probability, self.true, strict=True
        ):
            show_face(panel, shown[0])
            title_of(panel, *shown[1:])
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


def _check_probabilities(y_proba, y_true, classes):
    """Check probabilities; return them and the classes, both in sorted class order."""
    y_proba = check_array(y_proba, dtype=float, input_name="y_proba")
    if y_proba.min() < 0 or y_proba.max() > 1 + 1e-6:
        raise ValueError(
            f"y_proba must be between 0 and 1, got {y_proba.min():.3g} to {y_proba.max():.3g}."
        )
    given = np.unique(y_true) if classes is None else np.asarray(classes)
    classes, order = np.unique(given, return_index=True)
    if given.ndim != 1 or len(classes) != len(given) or y_proba.shape[1] != len(classes):
        raise ValueError(
            f"y_proba must have one column for each of the {len(classes)} distinct classes "
            f"{classes.tolist()}, got shape {y_proba.shape}: pass classes."
        )
    return y_proba[:, order], classes


def _read(X, rows):
    """Read the given rows at one size: arrays like a classifier, others with FaceResizer."""
    some = _safe_indexing(X, rows)
    if isinstance(X, np.ndarray) and X.ndim > 2:
        # A Pipeline may take what only FaceResizer takes: RGBA, booleans, 16 bits.
        with contextlib.suppress(TypeError, ValueError):
            return read_images(as_source(some, _SIZE, (_SIZE, _SIZE, 3)))
    return FaceResizer(size=_SIZE).fit_transform(some)
