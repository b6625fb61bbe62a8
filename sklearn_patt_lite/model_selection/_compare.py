"""Test whether one classifier is better than another, or was lucky."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import column_or_1d

from sklearn_patt_lite._typing import Seed, validate_params


@dataclass(frozen=True)
class Comparison:
    """
    Result of `compare_classifiers`; print it for a one-line summary.

    The p-value says how likely such a difference is by chance, not whether it is large enough to
    matter. For that, look at `difference`.

    Parameters
    ----------
    difference : float
        Mean of the first classifier's scores minus the second's.
    p_value : float
        Two-sided: how often so large a difference occurs if there is no true one; 0 to 1.
    n : int
        Number of pairs of scores.
    method : {"sign_flip", "corrected_t"}
        The test.

    See Also
    --------
    compare_classifiers : Computes it.

    Examples
    --------
    >>> from sklearn_patt_lite.model_selection import compare_classifiers
    >>> found = compare_classifiers([0.7, 0.8, 0.9, 0.6], [0.6, 0.7, 0.7, 0.5])
    >>> round(found.difference, 3), round(found.p_value, 3), found.n
    (0.125, 0.125, 4)
    >>> print(found)
    +0.125 over 4 subjects, p = 0.12 (sign-flip permutation over subjects)
    """

    difference: float
    p_value: float
    n: int
    method: str

    def __str__(self):
        test, unit = {
            "sign_flip": ("sign-flip permutation over subjects", "subjects"),
            "corrected_t": ("corrected resampled t-test", "splits"),
        }[self.method]
        return f"{self.difference:+.3f} over {self.n} {unit}, p = {self.p_value:.2g} ({test})"


@validate_params(
    {
        "scores": ["array-like", Mapping],
        "other_scores": ["array-like", Mapping],
        "method": [StrOptions({"sign_flip", "corrected_t"})],
        "test_share": [Interval(Real, 0, 1, closed="neither"), None],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
)
def compare_classifiers(
    scores: ArrayLike | Mapping[Any, float],
    other_scores: ArrayLike | Mapping[Any, float],
    *,
    method: Literal["sign_flip", "corrected_t"] = "sign_flip",
    test_share: float | None = None,
    n_permutations: int = 9999,
    random_state: Seed = None,
) -> Comparison:
    """
    Test whether two classifiers differ, using paired scores.

    Some subjects are hard for both classifiers. Pairing cancels this out, so that smaller
    differences can be detected.

    Parameters
    ----------
    scores, other_scores : array-like of shape (n,) or dict
        Scores of both classifiers, one pair per subject or per split. Dicts, such as
        `ExpressionReport.subject_accuracy`, are paired by key. Two Series must have the same index.
    method : {"sign_flip", "corrected_t"}, default="sign_flip"
        - "sign_flip": one score per subject, each tested once, on a test set or by
          cross-validation that keeps subjects apart. If the classifiers are equally good, each
          difference is as likely to be positive as negative. Subjects are assumed to be
          independent [1]_.
        - "corrected_t": one score per split, with splits drawn repeatedly from the same images.
          Because splits share images, a plain t-test underestimates the variance and finds
          differences where there are none; this test corrects the variance [2]_.
    test_share : float, default=None
        Required with "corrected_t": the share of the images (or subjects) that each split tests on,
        between 0 and 1, such as 0.1 in ten-fold cross-validation.
    n_permutations : int, default=9999
        With "sign_flip": number of permutations to draw. If there are no more than this in total,
        all are used.
    random_state : int, RandomState instance or None, default=None
        Controls the permutations.

    Returns
    -------
    Comparison
        The mean difference, and its p-value.

    Raises
    ------
    ValueError
        If the scores are not pairs, not finite or fewer than two pairs, or if `test_share` is
        missing.

    See Also
    --------
    sklearn_patt_lite.metrics.expression_report : Computes scores per subject.
    sklearn.model_selection.cross_validate : Computes scores per split.

    References
    ----------
    .. [1] P. Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005, section 3.2.
    .. [2] C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52,
       2003, section 3.

    Examples
    --------
    >>> from sklearn_patt_lite.model_selection import compare_classifiers
    >>> subjects = {"ann": 0.7, "ben": 0.8, "cyd": 0.9, "dan": 0.6}
    >>> others = {"ann": 0.6, "ben": 0.7, "cyd": 0.7, "dan": 0.5}
    >>> print(compare_classifiers(subjects, others))
    +0.125 over 4 subjects, p = 0.12 (sign-flip permutation over subjects)
    """
    scores, other_scores = _pair(scores, other_scores)
    differences = scores - other_scores
    if method == "sign_flip":
        p_value = _sign_flip(scores, other_scores, n_permutations, random_state)
    elif test_share is None:
        raise ValueError(
            "method='corrected_t' needs test_share, the share that each split tests on."
        )
    else:
        p_value = _corrected_t(differences, test_share)
    return Comparison(float(differences.mean()), float(p_value), len(differences), method)


def _pair(scores, other_scores):
    if isinstance(scores, Mapping) != isinstance(other_scores, Mapping):
        raise ValueError("scores and other_scores must both be dicts, or both be arrays.")
    index, other_index = (getattr(each, "index", None) for each in (scores, other_scores))
    are_series = hasattr(index, "equals") and hasattr(other_index, "equals")
    if are_series and not index.equals(other_index):
        raise ValueError(
            "scores and other_scores have different indexes. To pair them by label, pass "
            "other_scores.loc[scores.index]; to pair them by position, pass both as arrays."
        )
    if isinstance(scores, Mapping):
        lonely = set(scores) ^ set(other_scores)
        if lonely:
            raise ValueError(f"Keys without a pair: {sorted(map(str, lonely))[:5]}.")
        scores, other_scores = zip(*((scores[k], other_scores[k]) for k in scores), strict=True)
    pair = [column_or_1d(each).astype(float) for each in (scores, other_scores)]
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"Scores must come in pairs, got {len(pair[0])} and {len(pair[1])}.")
    if len(pair[0]) < 2:
        raise ValueError("There must be at least two pairs.")
    if not np.isfinite(pair).all():
        raise ValueError("Scores must be finite.")
    return pair


def _sign_flip(scores, other_scores, n_permutations, random_state):
    def mean_difference(a, b, axis):
        return np.mean(a - b, axis=axis)

    return stats.permutation_test(
        (scores, other_scores),
        mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_permutations,
        batch=1000,
        random_state=check_random_state(random_state),
    ).pvalue


def _corrected_t(differences, test_share):
    """Test differences by Nadeau and Bengio's variance: (1/J + n_test/n_train) times theirs."""
    n = len(differences)
    variance = (1 / n + test_share / (1 - test_share)) * differences.var(ddof=1)
    if variance == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return 2 * stats.t.sf(abs(differences.mean()) / np.sqrt(variance), n - 1)
