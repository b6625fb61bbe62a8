"""The inner validation cut."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_patt_lite.model_selection._holdout import split_validation

NAMES = np.array(["angry", "fear", "happy"])


def cut(y, groups=None, fraction=0.1, seed=0):
    return split_validation(y, groups, fraction=fraction, classes=NAMES, seed=seed)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(30), 10)], ids=["images", "groups"])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_both_sides_cover_everything_once(groups, fraction):
    y = np.tile(np.arange(3), 100)
    train, validation = cut(y, groups, fraction)
    assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(300))
    assert len(validation) == pytest.approx(300 * fraction, rel=0.15)
    assert_array_equal(train, np.sort(train))


def test_a_class_of_few_groups_stays_in_training():
    y = np.repeat([0, 1, 0, 1, 2], 6)
    groups = np.repeat([0, 0, 1, 1, 2], 6)  # all of class 2 are of one group
    for seed in range(10):
        train, validation = cut(y, groups, fraction=0.3, seed=seed)
        assert set(y[train]) == {0, 1, 2}
        assert len(validation) > 0


def test_seeds_matter():
    y = np.tile(np.arange(3), 30)
    assert_array_equal(cut(y, seed=1)[1], cut(y, seed=1)[1])
    assert not np.array_equal(cut(y, seed=1)[1], cut(y, seed=2)[1])


def test_two_images_of_a_class_are_enough():
    train, validation = cut(np.array([0, 0, 1, 1, 2, 2]))
    assert set(np.array([0, 0, 1, 1, 2, 2])[train]) == {0, 1, 2}
    assert len(validation) == 3


def test_the_only_image_of_a_class_is_trained_on():
    """As in the first rounds of a halving search over the number of images."""
    train, validation = cut(np.array([0, 0, 1, 2, 2]))
    assert 2 in train
    assert len(validation) == 2


def test_one_image_of_each_class_is_too_little():
    with pytest.raises(
        ValueError, match=r"needs a class with at least 2 images.*'fear'.*has that many"
    ):
        cut(np.array([0, 1, 2]))


def test_one_group_is_named():
    with pytest.raises(ValueError, match=r"All 6 images belong to the group .*S005"):
        cut(np.array([0, 0, 1, 1, 2, 2]), np.repeat("S005", 6))


def test_a_class_in_one_group_of_two_is_named():
    y = np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"Class .*angry.* has images of 1 group"):
        cut(y, np.array([0, 0, 0, 1, 1, 1]))


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_rare_class_is_on_both_sides(fraction):
    y = np.repeat([0, 1, 2], [98, 2, 50])
    train, validation = cut(y, fraction=fraction)
    assert set(y[train]) == set(y[validation]) == {0, 1, 2}


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.4, 0.6, 0.8, 0.9])
def test_groups_of_one_size_are_cut_to_the_fraction(fraction):
    y, groups = np.tile(np.arange(3), 100), np.repeat(np.arange(50), 6)
    assert len(cut(y, groups, fraction)[1]) / 300 == pytest.approx(fraction, abs=0.05)


def test_an_image_a_class_and_a_group_is_too_little():
    with pytest.raises(ValueError, match=r"Class 'angry' has images of 1 group"):
        cut(np.array([0, 1, 2]), np.array([0, 1, 2]))


def test_a_single_subject_is_cut_off_where_larger_cuts_would_take_a_class():
    y, groups = np.array([0, 1, 2, 1, 1, 2]), np.array([0, 3, 1, 0, 2, 4])
    train, validation = split_validation(y, groups, fraction=0.5, classes=np.arange(3), seed=0)
    assert set(y[train]) == {0, 1, 2}
    assert len(set(groups[validation])) == 1
    assert not set(groups[train]) & set(groups[validation])
