"""FER2013 from its tables and from Kaggle's folders."""

import builtins
import shutil

import numpy as np
import pytest
from databases import FER2013_IMAGES, FER2013_NAMES, litter, pixels, write, write_csv
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_patt_lite.datasets import load_fer2013

SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
HEADERS = {
    "fer2013.csv": ["emotion", "pixels", "Usage"],
    "icml_face_data.csv": ["emotion", " Usage", " pixels"],
}
USAGES = ["Training"] * 7 + ["PublicTest"] * 7 + ["PrivateTest"] * 7


def make_table(folder, name="fer2013.csv", newline="\n"):
    rows = [(str(i % 7), pixels(10 * i), usage) for i, usage in enumerate(USAGES)]
    columns = ["emotion", "pixels", "Usage"]
    places = [columns.index(column.strip()) for column in HEADERS[name]]
    path = write_csv(folder / name, HEADERS[name], [[row[i] for i in places] for row in rows])
    path.write_text(path.read_text().replace("\n", newline), newline="")
    return path


def make_folders(root):
    for i, usage in enumerate(USAGES):
        folder = root / ("train" if usage == "Training" else "test") / FER2013_NAMES[i % 7]
        image = np.full((48, 48), 10 * i, dtype=np.uint8)
        Image.fromarray(image).save(write(folder / f"{usage}_{1000 + i}.jpg"), "PNG")
    return root


def load_small(path, **options):
    with pytest.warns(UserWarning, match=r"FER2013's .* images; the published number is"):
        return load_fer2013(path, **options)


@pytest.fixture
def table(tmp_path):
    return make_table(tmp_path)


@pytest.fixture
def folders(tmp_path):
    root = make_folders(tmp_path)
    litter(root / "train")
    litter(root / "train" / "happy")
    return root


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("split", ["train", "validation", "test", "all"])
def test_tables(tmp_path, split, name, newline):
    data = load_small(make_table(tmp_path, name, newline), split=split)
    rows = [i for i, usage in enumerate(USAGES) if split in (SPLITS[usage], "all")]
    assert data.images.shape == (len(rows), 48, 48)
    assert data.images.dtype == np.uint8
    assert data.images[:, 1, 1].tolist() == [10 * i for i in rows]
    assert data.images[:, 0, 0].tolist() == [10 * i + 1 for i in rows]
    assert data.target.tolist() == [i % 7 for i in rows]
    assert data.target_names.tolist() == list(FER2013_NAMES)
    assert data.split.tolist() == [SPLITS[USAGES[i]] for i in rows]
    assert data.groups is None


@pytest.mark.parametrize("split", ["train", "validation", "test", "all"])
def test_folders_keep_the_official_split(folders, split):
    data = load_small(folders, split=split)
    expected = [i for i, usage in enumerate(USAGES) if split in (SPLITS[usage], "all")]
    assert data.images.shape == (len(expected), 48, 48)
    assert sorted(data.images[:, 0, 0].tolist()) == [10 * i for i in expected]
    for image, code, part in zip(data.images, data.target, data.split, strict=True):
        i = image[0, 0] // 10
        assert (code, part) == (i % 7, SPLITS[USAGES[i]])


def test_folders_as_paths(folders):
    data = load_small(folders, split="all", as_paths=True)
    assert [path.rsplit("/", 1)[1].split("_")[0] for path in data.paths] == USAGES
    X, y = load_small(folders, split="all", return_X_y=True)
    assert_array_equal(y, data.target)
    assert X[:, 0, 0].tolist() == [
        10 * (int(path.rsplit("_", 1)[1].removesuffix(".jpg")) - 1000) for path in data.paths
    ]


def test_a_table_has_no_paths(table):
    with pytest.raises(ValueError, match="contains pixels, not files"):
        load_fer2013(table, as_paths=True)


@pytest.mark.parametrize("make", [make_table, make_folders])
def test_where_it_may_lie(tmp_path, make):
    make(tmp_path / "fer2013")
    litter(tmp_path)
    for place in (tmp_path, tmp_path / "fer2013"):
        assert len(load_small(place).target) == 7


def test_palette_and_color_files(folders):
    path = folders / "train" / "angry" / "Training_1000.jpg"
    palette = Image.new("P", (48, 48), 1)
    palette.putpalette([0, 0, 0, 30, 30, 30])
    palette.save(path, "PNG")
    Image.new("RGB", (96, 96), (70, 70, 70)).save(path.with_name("Training_2000.jpg"), "PNG")
    images = load_small(folders).images
    assert images.shape == (8, 48, 48)
    assert {30, 70} <= set(images[:, 0, 0].tolist())


def test_a_broken_image_is_named(folders):
    write(folders / "train" / "angry" / "Training_1000.jpg", "broken")
    with pytest.raises(ValueError, match=r"Training_1000.jpg"):
        load_fer2013(folders)


def test_names_that_tell_no_split(folders):
    write(folders / "train" / "angry" / "im0.jpg")
    with pytest.raises(ValueError, match=r"im0.jpg.*does not give the split.*load_face_folder"):
        load_fer2013(folders)


def test_numbers_other_than_the_published_ones_warn_with_both(table):
    with pytest.warns(
        UserWarning, match="train part: 7 images; the published number is 28,709"
    ) as caught:
        load_fer2013(table)
    assert "happy 1 instead of 7,215" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_loading_paths_opens_no_image(tmp_path, monkeypatch):
    """As many as were published: 35,887, each an empty file, and no warning."""
    for usage, counts in FER2013_IMAGES.items():
        for name, n in zip(FER2013_NAMES, counts, strict=True):
            folder = tmp_path / ("train" if usage == "Training" else "test") / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                (folder / f"{usage}_{i}.jpg").touch()
    monkeypatch.setattr(builtins, "open", None)
    monkeypatch.setattr(Image, "open", None)
    data = load_fer2013(tmp_path, split="all", as_paths=True)
    assert len(data.paths) == len(data.target) == 35887
    for usage, counts in FER2013_IMAGES.items():
        assert tuple(np.bincount(data.target[data.split == SPLITS[usage]])) == counts


def test_half_unpacked_trees(folders, tmp_path_factory):
    for name in FER2013_NAMES:
        for path in (folders / "test" / name).glob("PrivateTest*"):
            path.unlink()
    with pytest.raises(FileNotFoundError, match="There are no images of split='test'"):
        load_fer2013(folders, split="test")
    shutil.rmtree(folders / "test")
    with pytest.raises(FileNotFoundError, match="nor train and test exists") as caught:
        load_fer2013(folders)
    assert "train/happy/Training_50449107.jpg" in str(caught.value)
    (folders / "test" / "unhappy").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="'unhappy' is not an expression of FER2013"):
        load_fer2013(folders)
    with pytest.raises(FileNotFoundError, match=r"There is no '.*nowhere'"):
        load_fer2013(tmp_path_factory.mktemp("empty") / "nowhere")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("7", pixels(0), "Training"), "row 1: expected a code from 0 to 6, got '7'"),
        (("", pixels(0), "Training"), "row 1: expected a code from 0 to 6, got ''"),
        (("0", "", "Training"), "row 1: expected 2304 pixels"),
        (("0", pixels(0), "training"), "row 1: expected one of"),
        (("0", pixels(0)), "row 1: only 2 values"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path, row, message):
    path = write_csv(tmp_path / "fer2013.csv", HEADERS["fer2013.csv"], [row])
    with pytest.raises(ValueError, match=message) as caught:
        load_fer2013(path)
    assert str(path) in str(caught.value)


def test_a_table_without_the_split(tmp_path):
    rows = [("0", pixels(0), "Training")]
    path = write_csv(tmp_path / "fer2013.csv", HEADERS["fer2013.csv"], rows)
    with pytest.raises(ValueError, match="contains no images of split='test'"):
        load_fer2013(path, split="test")


@pytest.mark.parametrize("place", [".", "images"])
def test_a_copy_with_a_split_of_its_own(tmp_path, place):
    for part, names in {"train": ("10", "11"), "validation": ("7",)}.items():
        for name in names:
            write(tmp_path / place / part / "happy" / f"{name}.jpg", 100)
    write(tmp_path / place / "validation" / "sad" / "8.jpg", 100)
    for split, expected in {"train": ["happy"] * 2, "validation": ["happy", "sad"]}.items():
        numbers = pytest.warns(UserWarning, match="; the published number is")
        with numbers, pytest.warns(UserWarning, match="has a split of its own"):
            data = load_fer2013(tmp_path, split=split)
        assert data.target_names[data.target].tolist() == expected
        assert set(data.split) == {split}
    write(tmp_path / place / "test" / "happy" / "9.jpg", 100)
    numbers = pytest.warns(UserWarning, match="; the published number is")
    with numbers, pytest.warns(UserWarning, match="own"):
        assert len(load_fer2013(tmp_path, split="all").target) == 5
    shutil.rmtree(tmp_path / place / "test")
    with pytest.warns(UserWarning, match="own"), pytest.raises(FileNotFoundError, match="'test'"):
        load_fer2013(tmp_path, split="test")
