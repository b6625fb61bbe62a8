"""Find the classifier inside a Pipeline or search, and the images that reach it."""

import numpy as np
from scipy.special import softmax
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite._classifier import PAttLiteClassifier, fitted_network
from sklearn_patt_lite._images.columns import names_of


def last_step(estimator):
    """Find the fitted classifier at the end of a Pipeline or a search.

    Raises
    ------
    TypeError
        If there is no PAttLiteClassifier.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    if isinstance(estimator, BaseSearchCV):
        check_is_fitted(estimator, "best_estimator_")
        return last_step(estimator.best_estimator_)
    if isinstance(estimator, Pipeline):
        return last_step(estimator[-1])
    if not isinstance(estimator, PAttLiteClassifier):
        raise TypeError(
            "Only a PAttLiteClassifier, or a Pipeline or a search that ends with one, can be "
            f"inspected, got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    return estimator


def fitted_classifier(estimator, X):
    """Find the classifier at the end of a Pipeline or a search, and transform images for it.

    Parameters
    ----------
    estimator : PAttLiteClassifier, or a Pipeline or search that ends with one
        Fitted.
    X : array-like of length n
        Images, as the estimator takes them.

    Returns
    -------
    classifier : PAttLiteClassifier
        The fitted classifier.
    images : ndarray of shape ``(n, *classifier.image_shape_)``
        Input images of its network, values 0 to 255.

    Raises
    ------
    TypeError, sklearn.exceptions.NotFittedError
        As `last_step`.
    """
    classifier = last_step(estimator)
    return classifier, fitted_network(classifier).read(_transformed(estimator, X))


def _transformed(estimator, X):
    """Transform images with all steps before the last one."""
    if isinstance(estimator, BaseSearchCV):
        return _transformed(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        before = X if len(estimator) == 1 else estimator[:-1].transform(X)
        return _transformed(estimator[-1], before)
    return X


def refuse_batch_attention(classifier):
    """Refuse a classifier whose predictions depend on more than one image.

    Raises
    ------
    ValueError
        If it was fitted with `attention="batch"`.
    """
    if fitted_network(classifier).architecture.attention == "batch":
        raise ValueError(
            'With attention="batch", predictions depend on the whole batch: an image alone does '
            "not explain them. See batch_invariance."
        )


def codes_of(labels, classes, name):
    """Convert labels to indices of the classes.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Labels.
    classes : ndarray of shape (n_classes,)
        Sorted classes, as in a classifier's `classes_`.
    name : str
        What the labels are, for the error.

    Returns
    -------
    ndarray of shape (n,), dtype int
        Indices into `classes`.

    Raises
    ------
    ValueError
        If a label is not one of the classes.
    """
    labels = column_or_1d(labels)
    unknown = {*labels.tolist()} - {*classes.tolist()}
    if unknown:
        unknown = sorted(unknown, key=str)
        raise ValueError(f"{name} contains {unknown}, but the classes are {classes.tolist()}.")
    return np.searchsorted(classes, labels)


def check_true(y, X, classes):
    """Check true labels, one per image; return their indices in `classes`, None without labels."""
    if y is None:
        return None
    check_consistent_length(X, y)
    return codes_of(y, classes, "y")


def classes_shown(target, logits, classes):
    """Choose the class to show for each image, `target` or the predicted one; return indices."""
    if target is None:
        return logits.argmax(axis=1)
    return np.full(len(logits), codes_of([target], classes, "target")[0])


def in_words(logits, true, shown, classes, target_names):
    """Return the predicted, true and shown class names of each image, and the probability."""
    names = np.array(names_of(classes, target_names))
    return {
        "predicted": names[logits.argmax(axis=1)].tolist(),
        "probability": softmax(logits, axis=1).max(axis=1),
        "true": None if true is None else names[true].tolist(),
        "shown": names[shown].tolist(),
    }
