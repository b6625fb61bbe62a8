"""Check whether predictions depend on the other images in the batch."""

import warnings
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _num_samples, column_or_1d

from sklearn_patt_lite._typing import Photographs, Seed, validate_params


@dataclass(frozen=True)
class Company:
    """Results for one batch size and one order of the images.

    Attributes
    ----------
    order : {"given", "shuffled", "class-sorted"}
        The order in which the images were cut into batches.
    batch_size : int
        Number of images per batch.
    largest_change : float
        Largest change of a probability compared to predicting the image alone; 0 to 1.
    changed_labels : float
        Share of images whose predicted class differs from the one predicted alone; 0 to 1.
    accuracy : float or None
        Accuracy; None if the true labels are not known.
    """

    order: str
    batch_size: int
    largest_change: float
    changed_labels: float
    accuracy: float | None


@dataclass(frozen=True)
class BatchInvariance:
    """
    Report of `batch_invariance`; print it to see whether scores can be trusted.

    The printout has a verdict, and a table of how much probabilities, labels and accuracy change
    with the order of the images and the batch size.

    Parameters
    ----------
    n_images : int
        Number of images predicted.
    atol : float
        Changes of a probability up to this size count as rounding errors.
    noise : float
        Largest change of a probability when an image is predicted alone a second time.
    accuracy_alone : float or None
        Accuracy when each image is predicted alone; None if the true labels are not known.
    companies : tuple of Company
        Results for each order and batch size: `order`, `batch_size`, `largest_change`,
        `changed_labels`, and `accuracy` or None.

    See Also
    --------
    batch_invariance : Computes this report.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.inspection import batch_invariance
    >>> def softmax(scores):
    ...     return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    >>> X = np.random.default_rng(0).normal(size=(64, 3))
    >>> report = batch_invariance(lambda X: softmax(X - X.mean(axis=0)), X, random_state=0)
    >>> worst = max(report.companies, key=lambda company: company.changed_labels)
    >>> report.n_images, worst.order, worst.batch_size
    (64, 'shuffled', 8)
    """

    n_images: int
    atol: float
    noise: float
    accuracy_alone: float | None
    companies: tuple[Company, ...]

    @property
    def largest_change(self) -> float:
        """
        Largest change of a probability due to the other images in the batch; 0 to 1.

        This is the maximum over all orders and batch sizes, compared to predicting each image
        alone. Changes up to `atol` count as rounding errors.

        See Also
        --------
        BatchInvariance.is_invariant : Compares it with `atol`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import batch_invariance
        >>> def softmax(scores):
        ...     return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        >>> X = np.random.default_rng(0).normal(size=(64, 3))
        >>> report = batch_invariance(lambda X: softmax(X - X.mean(axis=0)), X, random_state=0)
        >>> 0.1 < report.largest_change <= 1
        True
        """
        return max(company.largest_change for company in self.companies)

    @property
    def changed_labels(self) -> float:
        """
        Largest share of predicted labels that change with the batch; 0 to 1.

        A label changes if the most probable class differs from the one predicted for the image
        alone. Accuracy can be off by as much.

        See Also
        --------
        BatchInvariance.largest_change : Change of probabilities, even if no label changes.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import batch_invariance
        >>> def softmax(scores):
        ...     return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        >>> X = np.random.default_rng(0).normal(size=(64, 3))
        >>> report = batch_invariance(lambda X: softmax(X - X.mean(axis=0)), X, random_state=0)
        >>> 0 < report.changed_labels <= 1
        True
        """
        return max(company.changed_labels for company in self.companies)

    @property
    def is_invariant(self) -> bool:
        """
        Whether predictions are repeatable and independent of the batch.

        True if neither `noise` nor `largest_change` exceeds `atol`. Assert it in the tests of your
        own network.

        See Also
        --------
        BatchInvariance.largest_change : How much predictions depend on the batch.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import batch_invariance
        >>> def softmax(scores):
        ...     return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        >>> X = np.random.default_rng(0).normal(size=(64, 3))
        >>> report = batch_invariance(lambda X: softmax(X - X.mean(axis=0)), X, random_state=0)
        >>> report.is_invariant, batch_invariance(softmax, X).is_invariant
        (False, True)
        """
        return max(self.noise, self.largest_change) <= self.atol

    def to_dict(self) -> dict[str, Any]:
        """
        Convert the report to plain data.

        The result can be saved as JSON, next to the scores that it checks.

        Returns
        -------
        dict
            The fields and properties, as numbers, strings, lists, dicts and None.

        See Also
        --------
        BatchInvariance.is_invariant : The verdict alone.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.inspection import batch_invariance
        >>> def softmax(scores):
        ...     return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        >>> X = np.random.default_rng(0).normal(size=(64, 3))
        >>> report = batch_invariance(lambda X: softmax(X - X.mean(axis=0)), X, random_state=0)
        >>> found = report.to_dict()
        >>> found["is_invariant"], found["companies"][0]["batch_size"]
        (False, 8)
        """
        return {
            "is_invariant": self.is_invariant,
            "largest_change": self.largest_change,
            "changed_labels": self.changed_labels,
            **asdict(self),
            "companies": [asdict(company) for company in self.companies],
        }

    def __str__(self):
        return "\n".join([self._verdict(), "", *self._table()])

    def _verdict(self):
        if self.noise > self.atol:
            return (
                "NOT TO BE TRUSTED: the same image alone gets different probabilities when it is "
                f"predicted again (by up to {self.noise:.2g}): is dropout or augmentation on?"
            )
        if self.is_invariant:
            return (
                "Scores can be trusted in this respect: no prediction depends on the images that "
                "are predicted with it (largest change of a probability "
                f"{self.largest_change:.1e})."
            )
        verdict = (
            "NOT TO BE TRUSTED: predictions depend on the images that are predicted with them "
            f"(largest change of a probability {self.largest_change:.2g}; up to "
            f"{100 * self.changed_labels:.1f} % of labels change)."
        )
        if self.accuracy_alone is not None:
            best = max(self.companies, key=lambda company: company.accuracy)
            verdict += (
                f" Accuracy alone is {self.accuracy_alone:.3f}, and {best.accuracy:.3f} "
                f"{best.order} in batches of {best.batch_size}."
            )
        return verdict

    def _table(self):
        def row(order, size, change, labels, accuracy):
            accuracy = "" if accuracy is None else f"{accuracy:.3f}"
            return f"{order:<13}{size:>6}{change:>16.1e}{100 * labels:>16.1f}{accuracy:>11}"

        header = ("order", "batch", "largest change", "% of labels", "accuracy")
        return [
            "{:<13}{:>6}{:>16}{:>16}{:>11}".format(*header),
            row("alone", 1, self.noise, 0, self.accuracy_alone),
            *(row(*asdict(company).values()) for company in self.companies),
        ]


@validate_params(
    {
        "batch_sizes": ["array-like"],
        "atol": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }
)
def batch_invariance(
    estimator: Any,
    X: Photographs,
    y: ArrayLike | None = None,
    *,
    batch_sizes: ArrayLike = (1, 8, 32),
    atol: float = 1e-4,
    random_state: Seed = None,
) -> BatchInvariance:
    """
    Check that predictions do not depend on the images that are predicted with them.

    Each image is predicted alone, and then in batches of several sizes and orders. With attention
    over the batch, or normalization by batch statistics, the probabilities of an image depend on
    the other images in its batch. If the test set is sorted by class, as files in class folders
    are, this leaks the labels.

    Parameters
    ----------
    estimator : object
        A fitted estimator with `predict_proba`, a Keras model, or a callable that maps images to
        probabilities of shape (n, n_classes).
    X : array-like of length n
        Images in the form that the estimator takes; a few hundred are enough.
    y : array-like of shape (n,), default=None
        True labels, as in `estimator.classes_`, or class indices if it has no such attribute. If
        given, accuracies are compared, and images are also sorted by class.
    batch_sizes : array-like of int, default=(1, 8, 32)
        Numbers of images per batch. Sizes above the number of images mean a single batch.
    atol : float, default=1e-4
        Changes of a probability up to this size count as rounding errors.
    random_state : int, RandomState instance or None, default=None
        Controls the shuffled order.

    Returns
    -------
    BatchInvariance
        Print it for a verdict and a table; `is_invariant` is the verdict alone.

    Raises
    ------
    TypeError
        If `estimator` cannot predict probabilities.
    ValueError
        If it does not return finite probabilities of shape (n, n_classes), if `y` holds labels
        that are not among its classes, or if a batch size is not a positive integer.

    See Also
    --------
    sklearn_patt_lite.metrics.expression_report : Scores predictions.
    sklearn_patt_lite.PAttLiteClassifier : Attends over the batch with `attention="batch"` only.

    Notes
    -----
    The published code of PAtt-Lite attends over the batch, and its test images are sorted by class.
    Such a network, trained on all of FER2013 with a frozen backbone (one seed), had an accuracy of
    72.1 % on sorted images in batches of 32, 57.1 % on shuffled ones, and 56.9 % on images
    predicted alone.

    An estimator that splits its input into batches itself (of 32 images in Keras) hides the effect
    of larger batches.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.inspection import batch_invariance
    >>> def softmax(scores):
    ...     return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    >>> X = np.random.default_rng(0).normal(size=(64, 3))
    >>> batch_invariance(softmax, X).is_invariant
    True
    >>> report = batch_invariance(lambda X: softmax(X - X.mean(axis=0)), X, random_state=0)
    >>> print(report)
    NOT TO BE TRUSTED: predictions depend on the images that are predicted with them ...
    """
    check_consistent_length(X, y)
    predict = _predictor(estimator)
    sizes = _check_sizes(batch_sizes, _num_samples(X))
    n = _num_samples(X)
    alone = _in_batches(predict, X, np.arange(n), 1)
    right = None if y is None else _encode(y, getattr(estimator, "classes_", None), alone.shape[1])
    again = np.arange(min(n, 8))
    noise = np.abs(_in_batches(predict, X, again, 1)[again] - alone[again]).max()
    orders = {"given": np.arange(n), "shuffled": check_random_state(random_state).permutation(n)}
    if right is not None:
        orders["class-sorted"] = np.argsort(right, kind="stable")
        del orders["given"]
    companies = [
        _compare(_in_batches(predict, X, order, size), alone, right, name, size)
        for size in sizes
        for name, order in orders.items()
    ]
    return BatchInvariance(n, atol, float(noise), _accuracy(alone, right), tuple(companies))


def _predictor(estimator):
    """Return the function by which an estimator predicts probabilities."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba
    if hasattr(estimator, "predict_on_batch"):  # a Keras model; its `predict` makes its own batches
        return estimator.predict_on_batch
    if callable(estimator):
        return estimator
    raise TypeError(
        f"estimator must have predict_proba, be a Keras model or a callable, got "
        f"{type(estimator).__name__}."
    )


def _check_sizes(batch_sizes, n):
    for size in batch_sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"batch_sizes must be positive integers, got {size!r}.")
    sizes = sorted({min(int(size), n) for size in batch_sizes} - {1})
    if not sizes:
        raise ValueError("batch_sizes must include a size above 1, and X more than one image.")
    return sizes


def _in_batches(predict, X, order, size):
    """Predict in an order, batch by batch: probabilities in the order of X."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    with warnings.catch_warnings():
        # Keras warns about attention over a batch of one, which is tested here on purpose.
        warnings.filterwarnings("ignore", "(?s).*softmax over axis")
        parts = [_check(predict(_safe_indexing(X, batch)), len(batch)) for batch in batches]
    found = np.empty((order.max() + 1, parts[0].shape[1]))
    found[order] = np.concatenate(parts)
    return found


def _check(probabilities, n):
    probabilities = np.asarray(probabilities, dtype=float)
    if n == 1 and probabilities.ndim == 1 and len(probabilities) > 1:
        probabilities = probabilities[np.newaxis]  # SciKeras drops the axis of a single image
    if probabilities.ndim != 2 or len(probabilities) != n:
        shape = probabilities.shape
        raise ValueError(f"Expected probabilities of shape ({n}, n_classes), got shape {shape}.")
    if not np.isfinite(probabilities).all():
        raise ValueError("The estimator returns probabilities that are not finite.")
    return probabilities


def _encode(y, classes, n_classes):
    """Convert labels to class indices."""
    labels = column_or_1d(y).tolist()
    classes = list(range(n_classes)) if classes is None else np.asarray(classes).tolist()
    unknown = set(labels) - set(classes)
    if unknown:
        raise ValueError(f"y contains {sorted(unknown)}, but the classes are {classes}.")
    return np.array([classes.index(label) for label in labels])


def _compare(probabilities, alone, right, order, size):
    changed = probabilities.argmax(axis=1) != alone.argmax(axis=1)
    change = np.abs(probabilities - alone).max()
    accuracy = _accuracy(probabilities, right)
    return Company(order, size, float(change), float(changed.mean()), accuracy)


def _accuracy(probabilities, right):
    return None if right is None else float((probabilities.argmax(axis=1) == right).mean())
