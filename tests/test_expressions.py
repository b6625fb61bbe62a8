"""One order and spelling of expressions, and the ways between databases."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from sklearn_patt_lite.datasets import make_expression_faces, map_expressions
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS, spell

SEVEN, EIGHT = list(EXPRESSIONS[:7]), list(EXPRESSIONS)


@pytest.fixture
def eight():
    """Two rows a class, with a column of each kind."""
    target = np.arange(16) % 8
    return Bunch(
        images=np.arange(16 * 4).reshape(16, 2, 2),
        paths=np.array([f"{i}.png" for i in range(16)], dtype=object),
        target=target,
        target_names=np.array(EIGHT),
        groups=np.arange(16) // 8,
        sample_weight=np.linspace(0, 1, 16),
        split=None,
        database="made",
        DESCR="",
    )


def names(data):
    return data.target_names[data.target].tolist()


def test_spellings():
    found = [spell(name) for name in ("Anger", " happiness", "SADNESS", "fear", "contemptuous")]
    assert found == ["angry", "happy", "sad", "fear", "contempt"]
    found = [
        spell(name) for name in ("1 Anger", "03_happy", "2. Fearful", "Natural", "7-Disgusted")
    ]
    assert found == ["angry", "happy", "fear", "neutral", "disgust"]
    assert [spell(name) for name in ("bored", "1", "happy1", "")] == [None] * 4


def test_eight_classes_become_seven(eight):
    mapped = map_expressions(eight, SEVEN)
    kept = np.flatnonzero(eight.target < 7)
    assert mapped.target_names.tolist() == SEVEN
    assert names(mapped) == [names(eight)[i] for i in kept]
    for column in ("images", "paths", "groups", "sample_weight"):
        assert_array_equal(mapped[column], eight[column][kept])
    assert mapped.split is None
    assert mapped.database == "made"
    assert len(eight.target) == 16


def test_contempt_may_be_merged(eight):
    mapped = map_expressions(eight, SEVEN, merge={"contempt": "disgust"})
    assert names(mapped) == [name.replace("contempt", "disgust") for name in names(eight)]


def test_seven_classes_become_eight_and_come_back(eight):
    seven = map_expressions(eight, SEVEN)
    again = map_expressions(map_expressions(seven, EIGHT[::-1]), SEVEN)
    assert_array_equal(again.target, seven.target)
    assert_array_equal(again.target_names, seven.target_names)


def test_the_order_is_the_one_asked_for(eight):
    """CK+'s own, in its own words."""
    ck = ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
    mapped = map_expressions(eight, np.array(ck))
    assert mapped.target_names.tolist() == [spell(name) for name in ck]
    assert names(mapped) == [name for name in names(eight) if name != "neutral"]


def test_a_table_as_long_as_the_classes_is_no_trap():
    """Names of classes are no column, though there be as many rows."""
    target_names = np.array(EIGHT)
    data = Bunch(target=np.arange(8), target_names=target_names, groups=np.arange(8))
    mapped = map_expressions(data, ["happy"])
    assert names(mapped) == ["happy"]
    assert mapped.groups.tolist() == [3]


def test_lists_of_other_things_are_no_columns():
    data = Bunch(target=np.array([0, 1]), target_names=np.array(["happy", "sad"]))
    data.update(unreadable=["a.png", "b.png"], subject_ids=["ann", "ben"])
    mapped = map_expressions(data, ["sad"])
    assert (mapped.unreadable, mapped.subject_ids) == (["a.png", "b.png"], ["ann", "ben"])


def test_lists_are_columns_too():
    data = Bunch(target=np.array([0, 3, 3]), target_names=np.array(EIGHT), groups=["a", "b", "c"])
    assert map_expressions(data, ["happy"]).groups == ["b", "c"]


def test_names_that_are_no_expressions_stay():
    data = Bunch(target=np.array([0, 1, 1]), target_names=np.array(["bored", "happy"]))
    assert names(map_expressions(data, ["happy", "bored"])) == ["bored", "happy", "happy"]


def test_rows_that_would_be_lost(eight):
    with pytest.raises(ValueError, match="not in target_names: neutral 2, contempt 2"):
        map_expressions(eight, SEVEN[:6], others="raise")
    with pytest.raises(ValueError, match="No row is left"):
        map_expressions(eight, ["bored"])


@pytest.mark.parametrize(
    ("target_names", "merge", "message"),
    [
        (["anger", "angry"], None, "contains an expression twice"),
        (SEVEN, {"happy": "contempt"}, r"merge maps to \['contempt'\]"),
        (SEVEN, {"joyless": "sad"}, r"merge names \['joyless'\], which is not in data"),
        (SEVEN, "contempt", "'merge' parameter"),
        (set(SEVEN), None, "must be in order, as in a list; got a set"),
    ],
)
def test_what_cannot_be_mapped(eight, target_names, merge, message):
    with pytest.raises(ValueError, match=message):
        map_expressions(eight, target_names, merge=merge)


def test_drawn_faces_are_mapped_too():
    faces = make_expression_faces(n_subjects=2, n_expressions=8, image_size=32, random_state=0)
    mapped = map_expressions(faces, SEVEN)
    assert len(mapped.images) == len(mapped.target) == 28
