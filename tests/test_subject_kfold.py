"""Folds of whole subjects, as the field makes them."""

import numpy as np
import pytest
from databases import CKPLUS_SUBJECTS
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_patt_lite.model_selection import SubjectKFold


@pytest.fixture
def groups():
    """A row for each labelled sequence of CK+, in disorder."""
    subjects = np.repeat(list(CKPLUS_SUBJECTS), list(CKPLUS_SUBJECTS.values()))
    return np.random.default_rng(0).permutation(subjects)


def test_the_folds_of_ckplus(groups):
    folds = list(SubjectKFold(10).split(groups, groups=groups))
    assert [len(test) for _, test in folds] == [33, 39, 40, 35, 30, 37, 29, 29, 33, 22]
    assert [len(set(groups[test])) for _, test in folds] == [12] * 8 + [11] * 2
    for i, (_, test) in enumerate(folds):
        assert set(groups[test]) == set(sorted(CKPLUS_SUBJECTS)[i::10])


def test_every_row_is_tested_once_and_nobody_is_on_both_sides(groups):
    tested = []
    for train, test in SubjectKFold().split(groups, groups=groups):
        assert not set(groups[train]) & set(groups[test])
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(groups)))
        tested.extend(test)
    assert sorted(tested) == list(range(len(groups)))


def test_folds_depend_on_names_only(groups):
    order = np.random.default_rng(1).permutation(len(groups))
    twice = np.concatenate([groups[order], groups])
    for (_, some), (_, more) in zip(
        SubjectKFold(4).split(groups, groups=groups),
        SubjectKFold(4).split(twice, groups=twice),
        strict=True,
    ):
        assert set(groups[some]) == set(twice[more])


@pytest.mark.parametrize("subjects", [["b", "a", "c"], [2, 1, 3], [np.str_("x"), "y", "z"]])
def test_kinds_of_groups(subjects):
    folds = list(SubjectKFold(3).split(np.zeros((3, 4, 4)), groups=subjects))
    assert [[subjects[i] for i in test] for _, test in folds] == [[s] for s in sorted(subjects)]


@pytest.mark.parametrize("routing", [False, True])
def test_it_is_at_home_in_scikit_learn(groups, routing):
    X, y = np.zeros((len(groups), 1)), np.arange(len(groups)) % 2
    splitter = SubjectKFold(5)
    with config_context(enable_metadata_routing=routing):
        handed = {"params": {"groups": groups}} if routing else {"groups": groups}
        assert len(cross_val_score(DummyClassifier(), X, y, cv=splitter, **handed)) == 5
        search = GridSearchCV(DummyClassifier(), {"constant": [0, 1]}, cv=splitter)
        search.set_params(estimator__strategy="constant").fit(X, y, groups=groups)
    assert search.n_splits_ == 5
    assert repr(splitter) == "SubjectKFold(n_splits=5)"
    assert splitter.get_n_splits() == 5


@pytest.mark.parametrize("n_splits", [1, 0, -2, 2.5, "2", True])
def test_numbers_of_folds_that_cannot_be(groups, n_splits):
    with pytest.raises(ValueError, match="n_splits must be an integer of at least 2"):
        next(SubjectKFold(n_splits).split(groups, groups=groups))


def test_groups_that_cannot_be():
    X = np.zeros((4, 1))
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        next(SubjectKFold(2).split(X))
    with pytest.raises(ValueError, match="n_splits=3 is more than the number of subjects, 2"):
        next(SubjectKFold(3).split(X, groups=[1, 1, 2, 2]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(SubjectKFold(2).split(X, groups=[1, 2]))
