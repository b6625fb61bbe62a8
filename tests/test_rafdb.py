"""RAF-DB from its official tree and from Kaggle's."""

import shutil

import numpy as np
import pytest
from databases import (
    RAFDB_IMAGES,
    RAFDB_NAMES,
    litter,
    make_rafdb,
    make_rafdb_kaggle,
    rafdb_rows,
    write,
    write_csv,
)
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_patt_lite.datasets import load_rafdb

NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
ROWS = rafdb_rows(15)
MAKE = {"official": make_rafdb, "Kaggle": make_rafdb_kaggle}


def load_small(root, **options):
    with pytest.warns(UserWarning, match=r"RAF-DB's t.* images; the published number is"):
        return load_rafdb(root, **options)


@pytest.fixture(params=MAKE)
def root(request, tmp_path):
    root = MAKE[request.param](tmp_path, ROWS)
    folders = {"official": "Image/aligned", "Kaggle": "DATASET/train/1"}
    litter(root / folders[request.param])
    return root


@pytest.fixture
def official(tmp_path):
    return make_rafdb(tmp_path, ROWS)


@pytest.fixture
def kaggle(tmp_path):
    return make_rafdb_kaggle(tmp_path, ROWS)


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_rows_are_those_of_the_list(root, split):
    data = load_small(root, split=split)
    rows = [row for row in ROWS if split in (row[0].split("_")[0], "all")]
    assert data.names.tolist() == [name for name, _ in rows]
    found = data.target_names[data.target].tolist()
    assert found == [RAFDB_NAMES[code - 1] for _, code in rows]
    assert data.target_names.tolist() == NAMES
    assert data.split.tolist() == [name.split("_")[0] for name, _ in rows]
    assert data.groups is None
    assert data.images.shape == (len(rows), 100, 100, 3)
    levels = data.images[:, 0, 0, 0].astype(int)  # JPEG keeps them, nearly
    assert np.abs(levels - [7 + 10 * code for _, code in rows]).max() <= 2


def test_paths_and_images_are_the_same(root):
    data = load_small(root, as_paths=True)
    assert data.paths.dtype == object
    assert all(isinstance(path, str) for path in data.paths)
    files = [path.rsplit("/", 1)[1] for path in data.paths]
    assert files == [f"{name}_aligned.jpg" for name in data.names]
    X, y = load_small(root, return_X_y=True, image_size=20)
    assert X.shape == (15, 20, 20, 3)
    assert_array_equal(y, data.target)


def test_the_original_photographs(official):
    data = load_small(official, kind="original", as_paths=True)
    assert data.paths[0].endswith("Image/original/train_00001.jpg")


def test_kaggle_has_no_original_photographs(kaggle):
    with pytest.raises(FileNotFoundError, match="official release has kind='original'"):
        load_rafdb(kaggle, kind="original")


@pytest.mark.parametrize("order", ["CRLF", "reversed", "blank lines", "BOM"])
def test_the_list_as_it_may_come(official, order):
    expected = load_small(official, split="all", as_paths=True)
    path = official / "EmoLabel" / "list_patition_label.txt"
    lines = path.read_text().splitlines()
    text = {
        "CRLF": "\r\n".join(lines) + "\r\n",
        "reversed": "\n".join(lines[::-1]),
        "blank lines": "\n\n".join(lines) + "\n \n",
        "BOM": "\ufeff" + "\n".join(lines),
    }[order]
    path.write_bytes(text.encode())
    data = load_small(official, split="all", as_paths=True)
    assert_array_equal(data.paths, expected.paths)
    assert_array_equal(data.target, expected.target)


@pytest.mark.parametrize("kind", MAKE)
def test_published_numbers_do_not_warn(tmp_path, kind):
    rows = []
    for split, counts in RAFDB_IMAGES.items():
        codes = np.repeat(np.arange(1, 8), counts)
        rows += [(f"{split}_{i:05}", code) for i, code in enumerate(codes, 1)]
    if kind == "official":
        lines = [f"{name}.jpg {code}" for name, code in rows]
        write(tmp_path / "EmoLabel" / "list_patition_label.txt", "\n".join(lines))
        folder = tmp_path / "Image" / "aligned"
        folder.mkdir(parents=True)
        for name, _ in rows:
            (folder / f"{name}_aligned.jpg").touch()
    else:
        for split, code in {(name.split("_")[0], code) for name, code in rows}:
            (tmp_path / "DATASET" / split / str(code)).mkdir(parents=True)
        for name, code in rows:
            split = name.split("_")[0]
            (tmp_path / "DATASET" / split / str(code) / f"{name}_aligned.jpg").touch()
    data = load_rafdb(tmp_path, split="all", as_paths=True)
    assert len(data.target) == 12271 + 3068


def test_other_numbers_warn_with_both(root):
    with pytest.warns(UserWarning, match="15 images; the published number is 12,271") as caught:
        load_rafdb(root, as_paths=True)
    assert "fear 3 instead of 281" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_where_the_folder_may_lie(root, tmp_path_factory):
    expected = load_small(root, as_paths=True).target
    around = tmp_path_factory.mktemp("around")
    shutil.copytree(root, around / "basic")
    assert_array_equal(load_small(around, as_paths=True).target, expected)


def test_kaggles_folder_itself(kaggle):
    expected = load_small(kaggle, as_paths=True)
    inside = load_small(kaggle / "DATASET", as_paths=True)
    assert_array_equal(inside.paths, expected.paths)


def test_palette_and_grey_files(official):
    folder = official / "Image" / "aligned"
    palette = Image.new("P", (100, 100), 1)
    palette.putpalette([0, 0, 0, 200, 10, 0])
    palette.save(folder / "train_00001_aligned.jpg", "PNG")  # the name is not the form
    Image.new("L", (100, 100), 9).save(folder / "train_00002_aligned.jpg", "PNG")
    images = load_small(official).images
    assert_array_equal(images[0], np.broadcast_to([200, 10, 0], (100, 100, 3)))
    assert (images[1] == 9).all()


def test_a_broken_image_is_named(official):
    write(official / "Image" / "aligned" / "train_00003_aligned.jpg", "broken")
    with pytest.raises(ValueError, match=r"train_00003_aligned.jpg"), pytest.warns():
        load_rafdb(official)


@pytest.mark.parametrize(
    "line", ["train_00001.jpg", "train_00001.jpg 8", "train_00001.jpg x", "x_00001.jpg 1", "é 1"]
)
def test_a_line_that_cannot_be_read(official, line):
    write(official / "EmoLabel" / "list_patition_label.txt", line.encode("latin-1"))
    with pytest.raises(ValueError, match=r"list_patition_label.txt") as caught:
        load_rafdb(official)
    assert line.replace("é", "\ufffd") in str(caught.value)


def test_half_unpacked_official_trees(official):
    (official / "Image" / "aligned" / "train_00002_aligned.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 30 listed images .* first train_00002.jpg"):
        load_rafdb(official)
    shutil.rmtree(official / "Image" / "aligned")
    with pytest.raises(FileNotFoundError, match="no Image/aligned"):
        load_rafdb(official)
    (official / "EmoLabel" / "list_patition_label.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list_patition_label.txt.*nothing"):
        load_rafdb(official)
    shutil.rmtree(official / "EmoLabel")
    with pytest.raises(FileNotFoundError, match="Neither EmoLabel nor DATASET") as caught:
        load_rafdb(official)
    assert "DATASET/train/5/train_00001_aligned.jpg" in str(caught.value)


def test_half_unpacked_kaggle_trees(kaggle):
    test = kaggle / "DATASET" / "test"
    for code in "1234567":
        shutil.rmtree(test / code)
    with pytest.raises(FileNotFoundError, match="There are no images in test's folders"):
        load_rafdb(kaggle)
    shutil.rmtree(test)
    with pytest.raises(FileNotFoundError, match="Neither EmoLabel nor DATASET"):
        load_rafdb(kaggle)


def test_kaggles_lists_and_folders_must_agree(kaggle):
    rows = [(f"{name}_aligned.jpg", code) for name, code in ROWS[:15]]
    write_csv(kaggle / "train_labels.csv", ["image", "label"], [*rows, ("train_9_aligned.jpg", 1)])
    with pytest.raises(ValueError, match=r"1 images are listed in train_labels.csv.*train_9"):
        load_rafdb(kaggle)
    write_csv(kaggle / "train_labels.csv", ["image", "label"], rows[1:])
    with pytest.raises(ValueError, match=r"1 images are in folders, but not.*train_00001, fear"):
        load_rafdb(kaggle)
    (kaggle / "train_labels.csv").unlink()
    assert len(load_small(kaggle, as_paths=True).target) == 15


@pytest.mark.parametrize("folder", ["0", "8", "angry"])
def test_codes_that_raf_db_does_not_have_are_refused(kaggle, folder):
    """Folders 0 to 6 are another order, in which every label would be the next one's."""
    write(kaggle / "DATASET" / "train" / folder / "train_00001_aligned.jpg", 1)
    with pytest.raises(ValueError, match=rf"train/{folder}.*a code from 1 to 7, got '{folder}'"):
        load_rafdb(kaggle)
