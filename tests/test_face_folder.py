"""Trees with a folder per class."""

import re
import shutil

import numpy as np
import pytest
from databases import litter, write
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_patt_lite.datasets import load_face_folder


@pytest.fixture
def tree(tmp_path):
    """Named by others than this library; one folder is empty, one holds folders."""
    root = tmp_path / "faces"
    for name in ("Happiness/anna_1.png", "Happiness/ben_1.JPG", "ANGER/anna_2.png"):
        write(root / name, 100)
    write(root / "surprised" / "session 2" / "ben_2.bmp", 100)
    (root / "Fear").mkdir()
    for folder in (root, root / "ANGER"):
        litter(folder)
    shutil.copytree(root / "ANGER", root / "__MACOSX")
    return root


def test_expressions_have_one_spelling_and_order(tree):
    data = load_face_folder(tree, as_paths=True)
    assert data.target_names.tolist() == ["angry", "happy", "surprise"]
    found = [path.removeprefix(f"{tree}/") for path in data.paths]
    assert found == [
        "ANGER/anna_2.png",
        "Happiness/anna_1.png",
        "Happiness/ben_1.JPG",
        "surprised/session 2/ben_2.bmp",
    ]
    assert data.target.tolist() == [0, 1, 1, 2]
    assert data.groups is None
    assert data.split is None
    assert data.database == "faces"


def test_other_classes_keep_their_names(tree):
    write(tree / "bored" / "ben_3.png", 1)
    data = load_face_folder(tree, as_paths=True)
    assert data.target_names.tolist() == ["ANGER", "Happiness", "bored", "surprised"]
    assert data.target.tolist() == [0, 1, 1, 2, 3]


def test_two_spellings_of_one_expression_are_one_class(tree):
    write(tree / "anger" / "zoe_1.png", 1)
    data = load_face_folder(tree, as_paths=True)
    assert data.target_names.tolist() == ["angry", "happy", "surprise"]
    assert data.target.tolist() == [0, 0, 1, 1, 2]


def subject_of(path):
    return path.stem.split("_")[0]


@pytest.mark.parametrize("groups_from", [r"^(\w+)_", re.compile(r"^([a-z]+)"), subject_of])
def test_subjects(tree, groups_from):
    data = load_face_folder(tree, groups_from=groups_from, as_paths=True)
    assert data.groups.tolist() == ["anna", "anna", "ben", "ben"]


@pytest.mark.parametrize(
    ("naming", "subjects"),
    [
        ("jaffe", {"KA.AN1.39.tiff": "KA", "YM.HA2.53.tiff": "YM"}),
        ("kdef", {"AF01ANS.JPG": "F01", "BF01HAFL.JPG": "F01", "AM01SUHR.JPG": "M01"}),
    ],
)
def test_known_namings(tmp_path, naming, subjects):
    for name in subjects:
        write(tmp_path / "happy" / name)
    data = load_face_folder(tmp_path, groups_from=naming, as_paths=True)
    names = [path.rsplit("/", 1)[1] for path in data.paths]
    assert dict(zip(names, data.groups, strict=True)) == subjects


def test_folders_of_people_are_noticed(tmp_path):
    for person in ("anna", "ben"):
        for expression in ("happy", "sad"):
            write(tmp_path / person / f"{expression}_1.png")
    with pytest.warns(UserWarning, match=r"anna, ben shows one subject.*people, not expressions"):
        load_face_folder(tmp_path, groups_from=lambda path: path.parent.name, as_paths=True)


def test_images_of_all_kinds(tmp_path):
    folder = tmp_path / "sad"
    folder.mkdir()
    palette = Image.new("P", (20, 10), 1)
    palette.putpalette([0, 0, 0, 200, 10, 0])
    palette.save(folder / "1.gif")
    Image.new("L", (5, 9), 77).save(folder / "2.tiff")
    Image.new("RGB", (30, 30), (1, 2, 3)).save(folder / "3.png")
    Image.new("1", (30, 30), 1).save(folder / "4.bmp")
    data = load_face_folder(tmp_path, image_size=8)
    assert data.images.dtype == np.uint8
    for image, color in zip(
        data.images, [(200, 10, 0), (77, 77, 77), (1, 2, 3), (255, 255, 255)], strict=True
    ):
        assert_array_equal(image, np.broadcast_to(color, (8, 8, 3)))
    X, y = load_face_folder(tmp_path, image_size=8, return_X_y=True)
    assert_array_equal(X, data.images)
    assert_array_equal(y, [0, 0, 0, 0])


def test_broken_images_are_named(tree):
    for name in ("ANGER/anna_3.png", "Happiness/zoe_1.png"):
        write(tree / name, "broken")
    with pytest.raises(ValueError, match=r"2 of 6 images (?s:.*)anna_3.png(?s:.*)zoe_1.png"):
        load_face_folder(tree)


@pytest.mark.parametrize("as_paths", [True, False])
def test_broken_images_are_left_out_where_that_is_asked_for(tree, as_paths):
    write(tree / "ANGER" / "anna_3.png", "broken")
    with pytest.warns(UserWarning, match=r"1 of 5 images cannot be read.*first: .*anna_3.png"):
        data = load_face_folder(tree, unreadable="drop", groups_from="^([a-z]+)", as_paths=as_paths)
    assert data.unreadable == [str(tree / "ANGER" / "anna_3.png")]
    assert data.target.tolist() == [0, 1, 1, 2]
    assert data.groups.tolist() == ["anna", "anna", "ben", "ben"]


def test_no_image_can_be_read(tmp_path):
    write(tmp_path / "happy" / "anna_1.png", "broken")
    with pytest.raises(ValueError, match=r"anna_1.png"):
        load_face_folder(tmp_path, unreadable="drop")


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "test"), ["train", "test"]),
        (("Training", "valid"), ["train", "validation"]),
        (("test",), ["test"]),
    ],
)
def test_folders_of_splits(tmp_path, names, splits):
    for name in names:
        write(tmp_path / name / "Anger" / "anna_1.png", 1)
        write(tmp_path / name / "natural" / "2" / "ben_1.png", 1)
    data = load_face_folder(tmp_path, as_paths=True)
    assert data.target_names.tolist() == ["angry", "neutral"]
    assert sorted(zip(data.split, data.target, strict=True)) == [
        (split, code) for split in sorted(splits) for code in (0, 1)
    ]


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (("images/angry/1.png", "images/sad/1.png"), ["images"]),
        (("a/images/angry/1.png", "a/images/sad/1.png"), ["a/images"]),
        (("images/train/angry/1.png", "images/train/sad/2.png"), ["images"]),
        (("a/angry/1.png", "a/sad/1.png", "b/fear/1.png", "b/sad/1.png"), ["a", "b"]),
        (("archive/bored/1.png", "archive/tired/1.png"), ["archive"]),
    ],
)
def test_a_folder_that_is_too_high(tmp_path, names, where):
    for name in names:
        write(tmp_path / name, 1)
    said = " and ".join(repr(str(tmp_path / place)) for place in where)
    with pytest.raises(FileNotFoundError, match=re.escape(f"folders seem to be in {said}. Found")):
        load_face_folder(tmp_path)
    assert len(load_face_folder(tmp_path / where[0], as_paths=True).target) == 2  # the advice


def test_parts_beside_other_folders(tmp_path):
    for name in ("train/happy/1.png", "train/sad/1.png", "stray.png"):
        write(tmp_path / name, 1)
    with pytest.warns(UserWarning, match=r"1 files are left out.*: 1 \.png"):
        assert load_face_folder(tmp_path, as_paths=True).split.tolist() == ["train"] * 2
    write(tmp_path / "notes" / "scan.png", 1)
    with pytest.raises(FileNotFoundError, match="Besides train, validation or test there are"):
        load_face_folder(tmp_path)


@pytest.mark.parametrize("folder", ["happy", "smile"])
def test_images_of_a_class_may_lie_deeper(tmp_path, folder):
    for name in (f"{folder}/anna/1.png", f"{folder}/ben/1.png", "bored/ben/2.png"):
        write(tmp_path / name, 1)
    assert load_face_folder(tmp_path, as_paths=True).target_names.tolist() == ["bored", folder]


def test_all_that_pillow_reads_is_an_image(tmp_path):
    kinds = [".jpg", ".jfif", ".jpe", ".jp2", ".tga", ".apng", ".webp", ".PPM", ".gif"]
    (tmp_path / "sad").mkdir()
    formats = Image.registered_extensions()
    for kind in kinds:
        Image.new("RGB", (9, 9)).save(tmp_path / "sad" / f"a{kind}", formats[kind.lower()])
    Image.new("RGB", (9, 9)).save(tmp_path / "sad" / "none", "png")
    write(tmp_path / "happy" / "only.jfif", 1)
    data = load_face_folder(tmp_path, image_size=8)
    assert np.bincount(data.target).tolist() == [1, len(kinds) + 1]


def test_files_that_are_left_out_are_counted(tree):
    for name in ("a.txt", "ANGER/b.txt", "ANGER/scan.pdf", "ANGER/deep/README", "Thumbs.db"):
        write(tree / name, "none")
    write(tree / "flat.png", 1)
    with pytest.warns(
        UserWarning, match=r"^5 files are left out.*: 2 \.txt, 1 \.png, 1 \.pdf, 1 without a suffix"
    ):
        data = load_face_folder(tree, as_paths=True)
    assert len(data.paths) == 4


def test_links_are_followed_but_not_in_circles(tree, tmp_path):
    write(tmp_path / "elsewhere" / "cyd_1.png", 1)
    (tree / "ANGER" / "cyd").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tree / "ANGER" / "back").symlink_to(tree, target_is_directory=True)
    (tree / "sad").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    data = load_face_folder(tree, as_paths=True)
    assert [path for path in data.paths if "cyd_1" in path] == [
        str(tree / "ANGER" / "cyd" / "cyd_1.png"),
        str(tree / "sad" / "cyd_1.png"),
    ]
    assert not any("back" in path for path in data.paths)


@pytest.mark.parametrize(
    ("groups_from", "message"),
    [
        (r"^\w+_", "has no group in parentheses"),
        (r"^(\d+)_", "finds no subject in .*anna_2.png"),
        (r"anna|(ben)", "finds no subject in .*anna_2.png"),
        ("jaffe", "'jaffe' finds no subject"),
        ("(", "neither 'jaffe' nor 'kdef', nor a valid regular expression"),
    ],
)
def test_names_that_tell_no_subject(tree, groups_from, message):
    with pytest.raises(ValueError, match=message):
        load_face_folder(tree, groups_from=groups_from, as_paths=True)


def test_no_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no images in class folders.*nothing"):
        load_face_folder(tmp_path)
    write(tmp_path / "flat.png", 1)
    with pytest.raises(FileNotFoundError, match=r"flat.png(?s:.*)happy/anna_01.png"):
        load_face_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="a file"):
        load_face_folder(tmp_path / "flat.png")
    with pytest.raises(FileNotFoundError, match="There is no"):
        load_face_folder(tmp_path / "nowhere")
