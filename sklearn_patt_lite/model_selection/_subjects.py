"""Folds of whole subjects."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from sklearn_patt_lite._images.columns import check_subjects


class SubjectKFold(BaseCrossValidator):
    """
    Subject-independent k-fold: fold i tests every k-th of the sorted subjects, from the i-th on.

    No subject is in both training and test data. Folds have about equally many subjects, but not
    equally many images. They depend only on the subjects' names, so scores can be compared with
    published ones.

    Parameters
    ----------
    n_splits : int, default=10
        Number of folds, at least 2.

    See Also
    --------
    sklearn.model_selection.GroupKFold : Folds with about equally many images.
    sklearn_patt_lite.datasets.load_ckplus : Its 118 subjects are usually split this way.

    Notes
    -----
    With CK+ this is ``sorted(subjects)[i::10]`` of [1]_: twelve subjects in eight folds, and eleven
    in two. `groups` is requested from scikit-learn's metadata routing by default.

    References
    ----------
    .. [1] D. Meng, X. Peng, K. Wang and Y. Qiao, "Frame Attention Networks for Facial Expression
       Recognition in Videos", ICIP, 2019, https://github.com/Open-Debin/Emotion-FAN

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.model_selection import SubjectKFold
    >>> subjects = np.array(["S005", "S005", "S010", "S011", "S014"])
    >>> for train, test in SubjectKFold(2).split(subjects, groups=subjects):
    ...     print(subjects[test].tolist())
    ['S005', 'S005', 'S011']
    ['S010', 'S014']
    """

    # As in scikit-learn's own group splitters.
    __metadata_request__split = {"groups": True}

    def __init__(self, n_splits: int = 10) -> None:
        self.n_splits = n_splits

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """
        Return the number of folds.

        scikit-learn's searches call this before splitting. The number does not depend on the data.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not used.

        Returns
        -------
        int
            `n_splits`.

        See Also
        --------
        split : Generates the folds.

        Examples
        --------
        >>> from sklearn_patt_lite.model_selection import SubjectKFold
        >>> SubjectKFold(5).get_n_splits()
        5
        """
        return self.n_splits

    def split(
        self, X: Any, y: object = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """
        Generate indices of training and test images.

        All images of a subject are on one side. Nothing is drawn at random: the same subjects give
        the same folds, whatever the order of their images.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Images or paths; only their number matters.
        y : array-like of shape (n,), default=None
            Not used.
        groups : array-like of shape (n,)
            Subject of each image.

        Yields
        ------
        train, test : ndarray of int
            Indices of a fold.

        Raises
        ------
        ValueError
            If `groups` is None or of another length, if a subject is missing, or if there are fewer
            subjects than folds.

        See Also
        --------
        get_n_splits : How many folds there are.
        split_manifest : Records the folds for others.

        Examples
        --------
        >>> from sklearn_patt_lite.model_selection import SubjectKFold
        >>> subjects = ["ann", "ben", "ann", "cyd", "dan"]
        >>> for train, test in SubjectKFold(2).split(subjects, groups=subjects):
        ...     print(train.tolist(), test.tolist())
        [1, 4] [0, 2, 3]
        [0, 2, 3] [1, 4]
        """
        X, y, groups = indexable(X, y, groups)
        yield from super().split(X, y, groups)

    def _iter_test_masks(self, X=None, y=None, groups=None):
        is_integer = isinstance(self.n_splits, Integral) and not isinstance(self.n_splits, bool)
        if not is_integer or self.n_splits < 2:
            raise ValueError(f"n_splits must be an integer of at least 2, got {self.n_splits!r}.")
        if groups is None:
            raise ValueError(
                "The 'groups' parameter should not be None: it identifies the subjects. "
                'cross_validate and similar functions forward params={"groups": ...} if '
                "sklearn.set_config(enable_metadata_routing=True) was called."
            )
        groups = check_subjects(groups)
        subjects = np.unique(groups)
        if self.n_splits > len(subjects):
            raise ValueError(
                f"n_splits={self.n_splits} is more than the number of subjects, {len(subjects)}."
            )
        for i in range(self.n_splits):
            yield np.isin(groups, subjects[i :: self.n_splits])
