"""CK+ from its three layouts, with what lies around in them."""

import shutil

import numpy as np
import pytest
from databases import (
    CKPLUS_SEQUENCES,
    ckplus_sequences,
    litter,
    make_ckplus,
    make_ckplus48,
    pixels,
    write,
    write_csv,
)
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_patt_lite.datasets import load_ckplus

SEVEN = ["angry", "disgust", "fear", "happy", "sad", "surprise", "contempt"]
SMALL = [("S005", "001", "disgust"), ("S010", "002", "sad"), ("S010", "010", "contempt")]
CODES = dict(enumerate(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")))


def names(data):
    return data.target_names[data.target].tolist()


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    root = make_ckplus(tmp_path_factory.mktemp("ck"), ckplus_sequences())
    for path in (root / "Emotion" / "S005" / "001", root / "cohn-kanade-images" / "S005" / "001"):
        litter(path)
    (root / "Emotion" / "S010" / "009").mkdir()  # a sequence without a label: an empty folder
    write(root / "cohn-kanade-images" / "S010" / "009" / "S010_009_00000001.png", 1)
    # Without a folder for labels at all, as the last subjects have it.
    write(root / "cohn-kanade-images" / "S700" / "001" / "S700_001_00000001.png", 1)
    (root / "Emotion" / "S701").mkdir()
    return root


@pytest.fixture(scope="module")
def cropped(tmp_path_factory):
    root = make_ckplus48(tmp_path_factory.mktemp("ck48"), ckplus_sequences())
    litter(root / "CK+48")
    litter(root / "CK+48" / "anger")
    return root


@pytest.fixture
def small(tmp_path):
    return make_ckplus(tmp_path, SMALL)


def load_small(root, **options):
    with pytest.warns(UserWarning, match=r"CK\+: .* frames; the published number is"):
        return load_ckplus(root, **options)


@pytest.mark.parametrize(("frames", "n"), [("peak1", 1), ("peak3", 3)])
def test_all_labelled_sequences_of_the_official_release(official, frames, n):
    """No warning: the numbers are the published ones."""
    data = load_ckplus(official, frames=frames, as_paths=True)
    assert data.target_names.tolist() == SEVEN
    counts = np.bincount(data.target)
    assert dict(zip(SEVEN, counts, strict=True)) == {k: v * n for k, v in CKPLUS_SEQUENCES.items()}
    assert len(data.paths) == len(data.groups) == len(data.sequence) == len(data.frame) == 327 * n
    assert len(set(data.groups)) == 118
    assert len(set(data.sequence)) == 327
    assert set(data.frame) == ({11} if n == 1 else {9, 10, 11})
    for path, subject, sequence, frame in zip(
        data.paths, data.groups, data.sequence, data.frame, strict=True
    ):
        assert path.endswith(f"{subject}/{sequence[5:]}/{sequence}_{frame:08}.png")


def test_expressions_are_those_of_the_label_files(official):
    data = load_ckplus(official, frames="peak1", as_paths=True)
    expected = {f"{subject}_{number}": name for subject, number, name in ckplus_sequences()}
    assert dict(zip(data.sequence.tolist(), names(data), strict=True)) == expected


def test_the_first_frame_is_neutral_on_request(official):
    data = load_ckplus(official, include_neutral=True, as_paths=True)
    assert data.target_names.tolist() == [*SEVEN[:6], "neutral", "contempt"]
    neutral = data.target_names[data.target] == "neutral"
    assert neutral.sum() == 327
    assert set(data.frame[neutral]) == {8}
    assert len(data.target) == 4 * 327


def test_images_are_read_and_stretched_to_squares(small):
    frames = sorted((small / "cohn-kanade-images" / "S005" / "001").glob("*.png"))
    Image.new("L", (20, 10), 50).save(frames[1])
    palette = Image.new("P", (20, 10), 1)
    palette.putpalette([0, 0, 0, 200, 10, 0])
    palette.save(frames[2])
    Image.new("RGB", (20, 10), (1, 2, 3)).save(frames[3])
    data = load_small(small, image_size=12)
    assert data.images.shape == (9, 12, 12, 3)
    assert data.images.dtype == np.uint8
    for image, color in zip(data.images, [(50, 50, 50), (200, 10, 0), (1, 2, 3)], strict=False):
        assert_array_equal(image, np.broadcast_to(color, (12, 12, 3)))
    X, y = load_small(small, image_size=12, return_X_y=True)
    assert_array_equal(X, data.images)
    assert_array_equal(y, data.target)


def test_frames_are_ordered_by_number(tmp_path):
    make_ckplus(tmp_path, SMALL)
    folder = tmp_path / "cohn-kanade-images" / "S010" / "002"
    for number in ("2", "100", "13"):
        write(folder / f"S010_002_{number}.png", 1)
    data = load_small(tmp_path, as_paths=True)
    assert data.frame[data.sequence == "S010_002"].tolist() == [11, 13, 100]


@pytest.mark.parametrize("shape", ["around", "apart", "inside"])
def test_where_the_folders_may_lie(small, shape, tmp_path_factory):
    expected = load_small(small, as_paths=True).target
    root = tmp_path_factory.mktemp("other")
    if shape == "around":
        shutil.copytree(small, root / "CK+")
        place = root
    if shape == "apart":  # as the release's archives unpack
        shutil.copytree(small / "Emotion", root / "Emotion_labels" / "Emotion")
        images = "cohn-kanade-images"
        shutil.copytree(small / images, root / f"extended-{images}" / images)
        place = root
    if shape == "inside":
        place = small / "cohn-kanade-images"
    assert_array_equal(load_small(place, as_paths=True).target, expected)


def test_numbers_other_than_the_published_ones_warn_with_both(small):
    with pytest.warns(UserWarning, match="9 frames; the published number is 981") as caught:
        load_ckplus(small, as_paths=True)
    message = str(caught[0].message)
    assert "disgust 3 instead of 177" in message
    assert "fear 0 instead of 75" in message
    assert caught[0].filename == __file__


@pytest.mark.parametrize("text", ["happy", "9.0", "-1", "2.5", "nan", ""])
def test_a_label_that_is_none(small, text):
    path = write(small / "Emotion" / "S010" / "002" / "S010_002_00000011_emotion.txt", text)
    with pytest.raises(ValueError, match="expected a code from 0 to 7") as caught:
        load_ckplus(small)
    assert str(path) in str(caught.value)


def test_a_broken_image_is_named(small):
    path = write(small / "cohn-kanade-images" / "S010" / "002" / "S010_002_00000011.png", "broken")
    with pytest.raises(ValueError, match=r"S010_002_00000011.png") as caught, pytest.warns():
        load_ckplus(small)
    assert str(path) in str(caught.value)


def test_half_unpacked_trees(small, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(FileNotFoundError, match=r"Neither cohn-kanade-images.*nothing"):
        load_ckplus(empty)
    with pytest.raises(FileNotFoundError, match=r"There is no '.*nowhere'"):
        load_ckplus(empty / "nowhere")
    for path in (small / "cohn-kanade-images" / "S010" / "002").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 labelled sequences.*first S010/002"):
        load_ckplus(small)
    shutil.rmtree(small / "Emotion")
    with pytest.raises(FileNotFoundError, match="no folder Emotion") as caught:
        load_ckplus(small)
    assert "Emotion/S005/001/S005_001_00000011_emotion.txt" in str(caught.value)
    (small / "Emotion" / "S005" / "001").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"There is no \*_emotion\.txt in Emotion"):
        load_ckplus(small)


def test_ck48(official, cropped):
    """The same sequences as the official release, without a warning."""
    data, expected = (load_ckplus(root, as_paths=True) for root in (cropped, official))
    assert_array_equal(data.target, expected.target)
    assert_array_equal(data.groups, expected.groups)
    assert_array_equal(data.sequence, expected.sequence)
    assert data.target_names.tolist() == SEVEN
    assert len(load_ckplus(cropped, frames="peak1", as_paths=True).target) == 327
    inside = load_ckplus(cropped / "CK+48", as_paths=True)
    assert_array_equal(inside.paths, data.paths)
    assert load_ckplus(cropped, image_size=8).images.shape == (981, 8, 8, 3)
    with pytest.raises(ValueError, match=r"CK\+48, which has no neutral frames"):
        load_ckplus(cropped, include_neutral=True)


@pytest.fixture
def table(tmp_path):
    rows = [(i % 8, pixels(10 * (i % 8)), "Training") for i in range(14)]
    rows += [(3, pixels(1), "PublicTest"), (6, pixels(2), "PrivateTest")]
    return write_csv(tmp_path / "ckextended.csv", ["emotion", "pixels", "Usage"], rows)


def load_table(path, **options):
    numbers = pytest.warns(UserWarning, match="16 rows; the published number is 920")
    subjects = pytest.warns(UserWarning, match="does not identify subjects")
    with numbers as first, subjects as second:
        data = load_ckplus(path, **options)
    assert {warning.filename for warning in (*first, *second)} == {__file__}
    return data


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_ckextended_has_no_subjects(table, folder):
    data = load_table(table.parent if folder else table)
    assert data.groups is None
    assert "sequence" not in data
    assert data.images.shape == (14, 48, 48)  # 16 rows, 2 of them neutral
    assert data.images.dtype == np.uint8
    assert data.images[:7, 5, 5].tolist() == [0, 10, 20, 30, 40, 50, 70]
    assert data.images[3, 0, 0] == 31
    assert names(data)[:7] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "contempt"]
    assert data.split.tolist() == ["train"] * 13 + ["validation"]


def test_ckextended_with_neutral(table):
    data = load_table(table, include_neutral=True)
    assert names(data).count("neutral") == 2
    assert len(data.target) == 16
    assert data.split[-1] == "test"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_paths": True}, "contains pixels, not files"),
        ({"frames": "peak1"}, "does not identify frames"),
    ],
)
def test_what_ckextended_cannot_give(table, options, message):
    with pytest.raises(ValueError, match=message):
        load_ckplus(table, **options)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((8, pixels(0), "Training"), "row 1: expected a code from 0 to 7, got '8'"),
        ((0, "1 2 3", "Training"), "row 1: expected 2304 pixels"),
        ((0, pixels(300), "Training"), "row 1: expected 2304 pixels"),
        ((0, pixels(3).replace("3", "x"), "Training"), "row 1: expected 2304 pixels"),
        ((0, pixels(3), "Test"), "row 1: expected one of"),
        ((0,), "row 1: only 1 values"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path, row, message):
    path = write_csv(tmp_path / "ckextended.csv", ["emotion", "pixels", "Usage"], [row])
    with pytest.raises(ValueError, match=message) as caught:
        load_ckplus(path)
    assert str(path) in str(caught.value)


def test_a_table_without_rows_or_columns(tmp_path):
    path = write_csv(tmp_path / "ckextended.csv", ["emotion", "pixels", "Usage"], [])
    with pytest.raises(ValueError, match="contains no images"):
        load_ckplus(path)
    write_csv(path, ["emotion", "image"], [])
    with pytest.raises(ValueError, match=r"no column \['pixels', 'Usage'\]"):
        load_ckplus(path)
