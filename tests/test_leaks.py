"""Planted copies are found across folds, and other drawings of the same face are not."""

import io

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.model_selection import KFold, PredefinedSplit, StratifiedKFold

from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.model_selection import SubjectKFold, find_leaks


@pytest.fixture(scope="module")
def faces():
    """Several drawings of each face with each expression."""
    return make_expression_faces(n_subjects=15, n_per_expression=3, image_size=64, random_state=0)


def as_jpeg(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream))


def shifted(image):
    """By two pixels, down and to the right, with the border repeated."""
    return np.pad(image, ((2, 0), (2, 0), (0, 0)), mode="edge")[:-2, :-2]


COPIES = {
    "equal": lambda image: image,
    "JPEG": as_jpeg,
    "mirrored": lambda image: image[:, ::-1],
    "shifted": shifted,
    "all": lambda image: as_jpeg(shifted(image[:, ::-1])),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_others_are_not(faces, kind):
    n = len(faces.images)
    copied = np.random.default_rng(0).choice(n, 60, replace=False)
    copies = np.stack([COPIES[kind](faces.images[row]) for row in copied])
    images = np.concatenate([faces.images, copies])
    cv = PredefinedSplit(np.repeat([0, 1], [n, 60]))  # all copies on the other side
    leaks = find_leaks(images, None, cv)
    found = set(map(tuple, leaks.pairs.tolist()))
    planted = {(int(row), n + i) for i, row in enumerate(copied)}
    assert len(found & planted) >= 0.95 * len(planted)
    assert len({row for pair in found - planted for row in pair}) < 0.01 * len(images)
    assert leaks.is_exact.all() == (kind == "equal")
    assert (leaks.similarity > 0.99).all()


def test_faces_of_different_subjects_do_not_leak(faces):
    leaks = find_leaks(faces.images, faces.groups, SubjectKFold(5))
    assert not leaks.found
    assert str(leaks) == f"No leaks among {len(faces.images)} images."


def test_copies_on_one_side_are_no_leak(faces):
    images = np.concatenate([faces.images[:40], faces.images[:5]])
    cv = PredefinedSplit([*np.repeat([0, 1], 20), 0, 0, 0, 0, 0])
    assert not find_leaks(images, None, cv).found
    cv = PredefinedSplit([*np.repeat([0, 1], 20), 1, 1, 1, -1, -1])
    leaks = find_leaks(images, None, cv)
    assert leaks.pairs.tolist() == [[i, 40 + i] for i in range(5)]
    assert leaks.is_exact.all()


def test_an_image_that_occurs_many_times(faces):
    images = np.concatenate([faces.images[:30], np.repeat(faces.images[:1], 12, axis=0)])
    leaks = find_leaks(images, None, KFold(6))
    assert set(leaks.pairs.ravel().tolist()) == {0, *range(30, 42)}
    assert leaks.is_exact.all()  # also where only the search for similar images paired them


def test_a_row_in_both_parts_of_a_fold(faces):
    leaks = find_leaks(faces.images[:30], None, [(np.arange(21), np.arange(20, 30))])
    assert leaks.pairs.tolist() == [[20, 20]]
    assert leaks.is_exact.all()
    assert str(leaks) == "rows that a fold both trains and tests on: 20"


def test_an_int_makes_stratified_folds(faces):
    """As in `cross_validate`, if there are labels."""
    images = np.concatenate([faces.images[:10], faces.images[[7, 3]]])
    labels = [0] * 4 + [1] * 8
    assert find_leaks(images, None, StratifiedKFold(2), y=labels).pairs.tolist() == [[7, 10]]
    assert find_leaks(images, None, 2, y=labels).pairs.tolist() == [[7, 10]]
    assert find_leaks(images, None, 2).pairs.tolist() == [[3, 11]]


def test_shared_subjects_are_named(faces):
    n = len(faces.images)
    leaks = find_leaks(faces.images, faces.groups, KFold(2))
    half = {str(group) for group in faces.groups[: n // 2]}
    shared = half & {str(group) for group in faces.groups[n // 2 :]}
    assert shared
    assert leaks.subjects == {0: sorted(shared), 1: sorted(shared)}
    assert f"fold 0 trains and tests on {len(shared)} subjects: {min(shared)}" in str(leaks)


def test_files_and_images_of_all_sizes(faces, tmp_path):
    paths = []
    for i, image in enumerate(faces.images[:12]):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image).resize((60 + i, 60)).save(paths[-1])
    paths.append(tmp_path / "copy.jpg")
    Image.open(paths[3]).save(paths[-1], quality=80)
    leaks = find_leaks(paths, None, PredefinedSplit([0] * 12 + [1]), n_jobs=2)
    assert_array_equal(leaks.pairs, [[3, 12]])
    mixed = [faces.images[0], faces.images[1][:, :, 0], faces.images[0][:, ::-1]]
    leaks = find_leaks(mixed, None, PredefinedSplit([0, 0, 1]))
    assert_array_equal(leaks.pairs, [[0, 2]])


def test_even_images_resemble_none_but_their_equals():
    images = np.stack([np.full((32, 32), level, dtype=np.uint8) for level in (9, 90, 200, 90)])
    leaks = find_leaks(images, None, PredefinedSplit([0, 1, 0, 0]))
    assert leaks.pairs.tolist() == [[1, 3]]


def test_lengths_must_agree(faces):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        find_leaks(faces.images, faces.groups[1:], KFold(2))
