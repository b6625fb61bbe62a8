"""Folds that were written down come back the same, and what has changed is told."""

import json

import numpy as np
import pytest
from databases import write
from numpy.testing import assert_array_equal
from sklearn.model_selection import ShuffleSplit, StratifiedKFold, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.model_selection import (
    SubjectKFold,
    manifest_splits,
    split_manifest,
    verify_manifest,
)


@pytest.fixture(scope="module")
def faces():
    return make_expression_faces(n_subjects=6, n_per_expression=1, image_size=32, random_state=0)


@pytest.fixture
def manifest(faces):
    found = split_manifest(SubjectKFold(3), faces.images, groups=faces.groups)
    return json.loads(json.dumps(found))


def test_the_same_folds_in_another_order(faces, manifest):
    order = np.random.default_rng(0).permutation(len(faces.images))
    splits = manifest_splits(manifest, faces.images[order])
    expected = list(SubjectKFold(3).split(faces.images, groups=faces.groups))
    assert len(splits) == 3
    for (train, test), (old_train, old_test) in zip(splits, expected, strict=True):
        assert_array_equal(order[train], old_train)
        assert_array_equal(order[test], old_test)
    assert verify_manifest(manifest, faces.images[order], faces.groups[order]) == []


def test_what_it_holds(faces, manifest):
    assert manifest["splitter"] == "SubjectKFold(n_splits=3)"
    assert [fold["test_subjects"] for fold in manifest["folds"]] == [
        ["0", "3"],
        ["1", "4"],
        ["2", "5"],
    ]
    assert len(manifest["images"]) == len(faces.images)
    assert len(json.dumps(manifest)) < 100 * len(faces.images) + 500


def test_masks_are_recorded_as_rows(faces):
    mask = np.arange(len(faces.images)) % 3 == 0
    (fold,) = split_manifest([(~mask, mask)], faces.images)["folds"]
    assert fold["test"] == np.flatnonzero(mask).tolist()
    assert fold["train"] == np.flatnonzero(~mask).tolist()


def test_folds_may_be_lists_and_tuples(faces):
    (fold,) = split_manifest([((0, 1, 2), [])], faces.images)["folds"]
    assert fold == {"train": [0, 1, 2], "test": []}


def test_an_int_makes_stratified_folds(faces):
    """As in `cross_validate`, for rows that are sorted by class, too."""
    order = np.argsort(faces.target, kind="stable")
    images, target = faces.images[order], faces.target[order]
    found = [fold["test"] for fold in split_manifest(3, images, target)["folds"]]
    expected = [test.tolist() for _, test in StratifiedKFold(3).split(images, target)]
    assert found == expected


def test_it_is_a_cv_for_scikit_learn(faces, manifest):
    X = faces.images.reshape(len(faces.images), -1)
    expected = cross_val_score(
        DecisionTreeClassifier(random_state=0),
        X,
        faces.target,
        groups=faces.groups,
        cv=SubjectKFold(3),
    )
    cv = manifest_splits(manifest, faces.images)
    found = cross_val_score(DecisionTreeClassifier(random_state=0), X, faces.target, cv=cv)
    assert_array_equal(found, expected)


def test_a_changed_image_is_told(faces, manifest):
    images = faces.images.copy()
    images[5, 0, 0, 0] ^= 1
    assert verify_manifest(manifest, images, faces.groups) == [
        "missing: image 5 of the manifest",
        "new: image 5 is not in the manifest",
    ]
    with pytest.raises(ValueError, match="1 of 42 are missing, and 1 are new"):
        manifest_splits(manifest, images)
    with pytest.raises(ValueError, match="2 of 42 are missing, and 0 are new"):
        manifest_splits(manifest, faces.images[2:])


def test_a_moved_subject_is_told_and_where_it_leaks(faces, manifest):
    groups = faces.groups.copy()
    groups[0] = 1
    assert verify_manifest(manifest, faces.images, groups) == [
        "subject: image 0 is of '1', and was of '0'",
        "leak: fold 0 trains and tests on '1'",
        "leak: fold 1 trains and tests on '1'",
    ]


def test_a_split_that_leaks_is_told_without_more(faces):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    manifest = split_manifest(cv, faces.images, faces.target, faces.groups)
    found = verify_manifest(manifest, faces.images)
    assert "leak: fold 0 trains and tests on '0'" in found


def test_equal_images_are_found_once_each(faces):
    images = np.concatenate([faces.images, faces.images[:3]])
    cv = ShuffleSplit(2, test_size=0.3, random_state=0)
    manifest = split_manifest(cv, images)
    assert manifest["subjects"] is None
    assert verify_manifest(manifest, images) == []
    for (train, test), expected in zip(
        manifest_splits(manifest, images), cv.split(images), strict=True
    ):
        assert_array_equal(train, expected[0])
        assert_array_equal(test, expected[1])


def test_files(tmp_path):
    paths = [write(tmp_path / f"{i}.png", 10 * i) for i in range(6)]
    manifest = split_manifest(3, paths, np.arange(6) % 2)
    renamed = [path.rename(tmp_path / f"other_{path.name}") for path in paths]
    assert verify_manifest(manifest, renamed) == []
    write(renamed[4], 99)
    assert verify_manifest(manifest, [str(path) for path in renamed]) == [
        "missing: image 4 of the manifest",
        "new: image 4 is not in the manifest",
    ]
    with pytest.raises(FileNotFoundError, match=r"0\.png"):
        split_manifest(3, paths, np.arange(6) % 2)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({}, "A manifest must be a dict with"),
        ("folds.json", "A manifest must be a dict with"),
        ({"version": 2, "images": [], "subjects": None, "folds": []}, "has version 2, expected 1"),
    ],
)
def test_what_is_no_manifest(manifest, message):
    for function in (manifest_splits, verify_manifest):
        with pytest.raises(ValueError, match=message):
            function(manifest, [])


def test_lengths_must_agree(faces, manifest):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        verify_manifest(manifest, faces.images, faces.groups[1:])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        split_manifest(3, faces.images, groups=faces.groups[1:])
