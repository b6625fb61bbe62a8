"""Labels and subjects: one rule for all that takes them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from quick import quick

from sklearn_patt_lite._images.columns import (
    check_labels,
    check_subjects,
    classes_of,
    is_missing,
    names_of,
)
from sklearn_patt_lite.inspection import ClassRecallDisplay
from sklearn_patt_lite.metrics import expression_report
from sklearn_patt_lite.model_selection import (
    SubjectKFold,
    find_leaks,
    split_manifest,
    verify_manifest,
)

IMAGES = np.arange(6 * 25, dtype=np.uint8).reshape(6, 5, 5)
LABELS = ["happy", "sad"] * 3
SUBJECTS = ["ann", "ann", "ben", "ben", "cyd", "cyd"]
TAKERS = {
    "fit": lambda groups: quick().fit(IMAGES, LABELS, groups=groups),
    "SubjectKFold": lambda groups: list(SubjectKFold(2).split(IMAGES, groups=groups)),
    "find_leaks": lambda groups: find_leaks(IMAGES, groups, [([0, 1], [2, 3])]),
    "split_manifest": lambda groups: split_manifest([([0], [1])], IMAGES, groups=groups),
    "verify_manifest": lambda groups: verify_manifest(
        split_manifest([([0], [1])], IMAGES, groups=SUBJECTS), IMAGES, groups
    ),
    "expression_report": lambda groups: expression_report(LABELS, LABELS, groups=groups),
    "ClassRecallDisplay": lambda groups: ClassRecallDisplay.from_predictions(
        LABELS, LABELS, groups=groups
    ),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("gap", [None, float("nan"), "", " "], ids=repr)
def test_a_subject_that_is_not_known_is_no_subject(taker, gap):
    groups = np.array(SUBJECTS, dtype=object)
    groups[[1, 4]] = gap
    with pytest.raises(
        ValueError, match=r"^groups has no subject in 2 of 6 rows: 1, 4 \(.*a subject of its own"
    ):
        TAKERS[taker](groups)


def test_numbers_may_be_missing_too():
    with pytest.raises(ValueError, match=r"rows: 2 \(nan\)"):
        check_subjects([1.0, 2.0, float("nan")])
    with pytest.raises(ValueError, match=r"10 of 10 rows: 0, 1, 2, 3, 4, … \(None\)"):
        check_subjects([None] * 10)


def test_a_list_of_strings_may_lack_some():
    """NumPy would make them "nan"."""
    with pytest.raises(ValueError, match=r"rows: 1 \(nan\)"):
        check_subjects(["ann", float("nan"), "ben"])
    with pytest.raises(ValueError, match=r"rows: 0 \(nan\)"):
        check_labels([float("nan"), "happy"])


def test_subjects_of_several_types_are_refused():
    with pytest.raises(ValueError, match=r"of several types, \['int', 'str'\]: convert all to str"):
        check_subjects(np.array([1, "1"], dtype=object))


def test_subjects_keep_their_values():
    assert_array_equal(check_subjects(np.array(SUBJECTS, dtype=object)), SUBJECTS)
    assert check_subjects([3, 1]).tolist() == [3, 1]
    assert check_subjects(np.array([(1, 2), None], dtype=object)[:1]).tolist() == [(1, 2)]


@pytest.mark.parametrize("gap", [None, float("nan"), ""], ids=repr)
def test_a_missing_label_is_named(gap):
    y = np.array(LABELS, dtype=object)
    y[3] = gap
    with pytest.raises(ValueError, match=r"^y has no label in 1 of 6 rows: 3 \("):
        quick().fit(IMAGES, y)
    with pytest.raises(ValueError, match=r"^y_true has no label"):
        expression_report(y, LABELS)
    assert_array_equal(check_labels(LABELS), LABELS)


def test_what_pandas_calls_missing():
    pd = pytest.importorskip("pandas")
    assert all(map(is_missing, (pd.NA, pd.NaT, np.nan, None)))
    assert not any(map(is_missing, ("", 0, "nan", False)))
    with pytest.raises(ValueError, match="rows: 1"):
        check_subjects(pd.Series(["ann", None], dtype="string"))


def test_names_are_labels_or_have_indices_for_labels():
    names = ["sad", "angry", "happy"]
    for labels in (["angry", "sad"], [0, 1]):
        classes, found = classes_of(np.array(labels), names)
        assert found == names
        assert classes.tolist() == (names if labels[0] == "angry" else [0, 1, 2])
    assert names_of(np.array(["happy", "sad"]), names) == ["happy", "sad"]
    assert names_of(np.array([2, 0]), names) == ["happy", "sad"]
    assert names_of(np.array([2, 0]), None) == ["2", "0"]
    assert names_of(np.array([2, 1]), [1, 2, 3]) == ["2", "1"]  # classes_ of codes from 1
