"""Tests of differences reject as often as they say, and not more."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sklearn_patt_lite.model_selection import compare_classifiers


def test_the_sign_flip_is_exact_where_all_flips_can_be_tried():
    differences = np.array([0.1, -0.02, 0.3, 0.05, 0.12, 0.2, -0.01])
    means = [abs(np.mean(differences * signs)) for signs in itertools.product([1, -1], repeat=7)]
    expected = np.mean(np.array(means) >= abs(differences.mean()) - 1e-12)
    found = compare_classifiers(differences, np.zeros(7))
    assert found.p_value == pytest.approx(expected)
    assert found.difference == pytest.approx(differences.mean())
    assert (found.n, found.method) == (7, "sign_flip")


def test_the_sign_flip_rejects_as_often_as_it_says():
    """Two classifiers of equal skill on 30 subjects who differ among each other."""
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(300):
        able = rng.uniform(0.3, 0.9, 30)
        scores, others = rng.binomial(10, able, (2, 30)) / 10
        found = compare_classifiers(scores, others, n_permutations=199, random_state=0)
        rejected += found.p_value <= 0.05
    assert 0.02 <= rejected / 300 <= 0.09


def test_series_of_other_indexes_are_refused():
    """They would be paired by position: the worst subject of one with the worst of the other."""
    pandas = pytest.importorskip("pandas")
    scores = pandas.Series({"ann": 0.1, "ben": 0.5, "cyd": 0.9})
    others = pandas.Series({"ben": 0.2, "ann": 0.3, "cyd": 0.6})
    with pytest.raises(ValueError, match="have different indexes"):
        compare_classifiers(scores, others)
    expected = compare_classifiers(dict(scores), dict(others))
    assert compare_classifiers(scores, others[scores.index]) == expected
    assert compare_classifiers(scores, others[scores.index].to_numpy()) == expected


def test_a_clear_difference_is_found():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, 40)
    found = compare_classifiers(scores, scores - rng.uniform(0, 0.1, 40), random_state=0)
    assert found.p_value < 0.001
    assert found.difference > 0
    assert compare_classifiers(scores, scores, random_state=0).p_value == 1


def test_the_corrected_t_test_is_wider_than_the_plain_one():
    rng = np.random.default_rng(0)
    scores, others = rng.normal(0.8, 0.05, 10), rng.normal(0.76, 0.05, 10)
    found = compare_classifiers(scores, others, method="corrected_t", test_share=0.1)
    d = scores - others
    t = d.mean() / np.sqrt((1 / 10 + 1 / 9) * d.var(ddof=1))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 9))
    assert found.p_value > stats.ttest_rel(scores, others).pvalue


def test_the_corrected_t_test_on_splits_that_share_images():
    """No difference, and scores of splits that are correlated by a tenth: the test's own model."""
    rng = np.random.default_rng(0)
    corrected = plain = 0
    for _ in range(300):
        d = np.sqrt(0.1) * rng.normal() + np.sqrt(0.9) * rng.normal(size=15)
        found = compare_classifiers(d, np.zeros(15), method="corrected_t", test_share=0.1)
        corrected += found.p_value <= 0.05
        plain += stats.ttest_1samp(d, 0).pvalue <= 0.05
    assert 0.02 <= corrected / 300 <= 0.09
    assert plain > 2 * corrected


def test_dicts_are_paired_by_their_keys():
    scores = {"a": 0.9, "b": 0.5, "c": 0.7}
    others = {"c": 0.6, "a": 0.7, "b": 0.6}
    expected = compare_classifiers([0.9, 0.5, 0.7], [0.7, 0.6, 0.6])
    assert compare_classifiers(scores, others) == expected


def test_no_spread_at_all():
    same = compare_classifiers([0.5, 0.5], [0.5, 0.5], method="corrected_t", test_share=0.2)
    assert same.p_value == 1
    other = compare_classifiers([0.5, 0.5], [0.25, 0.25], method="corrected_t", test_share=0.2)
    assert other.p_value == 0


def test_it_says_what_was_done():
    text = str(compare_classifiers([0.5, 0.6], [0.4, 0.5], method="corrected_t", test_share=0.5))
    assert text.startswith("+0.100 over 2 splits, p = ")
    assert text.endswith("(corrected resampled t-test)")


@pytest.mark.parametrize(
    ("scores", "others", "options", "message"),
    [
        ([1, 2, 3], [1, 2], {}, "pairs, got 3 and 2"),
        ([1], [2], {}, "at least two pairs"),
        ([1, np.nan], [1, 2], {}, "finite"),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, {}, r"without a pair: \['b', 'c'\]"),
        ({"a": 1, "b": 2}, [1, 2], {}, "both be dicts"),
        ([1, 2], [1, 3], {"method": "corrected_t"}, "needs test_share"),
        ([1, 2], [1, 3], {"method": "t"}, "'method' parameter"),
        ([1, 2], [1, 3], {"test_share": 1}, "'test_share' parameter"),
    ],
)
def test_what_cannot_be_compared(scores, others, options, message):
    with pytest.raises(ValueError, match=message):
        compare_classifiers(scores, others, **options)
