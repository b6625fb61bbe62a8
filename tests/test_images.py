"""Images: checks of a batch, resizing, and decoding of single images."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile
from scipy.sparse import csr_array

from sklearn_patt_lite._images.check import check_images, check_pixels, is_paths, resize_images
from sklearn_patt_lite._images.decode import BACKGROUND, decode_image, decode_images

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 12, 10), dtype=np.uint8)
RGB = RNG.integers(0, 256, (4, 12, 10, 3), dtype=np.uint8)


# --- is_paths and check_images


class Column:
    """As much of a data frame's column as matters (polars'): it converts itself."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=object)


@pytest.mark.parametrize(
    "X",
    [
        ["a.png", "b.png"],
        (Path("a.png"), "b.png"),
        np.array(["a.png", "b.png"]),
        np.array([Path("a.png"), "b.png"], dtype=object),
        Column(["a.png", "b.png"]),
        np.array([["a.png"], ["b.png"]], dtype=object),
    ],
    ids=["list", "tuple", "array", "object array", "column", "table of one column"],
)
def test_paths_are_recognised_and_become_strings(X):
    assert is_paths(X)
    paths = check_images(X)
    assert paths.dtype == object
    assert paths.tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "X", ["a.png", Path("a.png"), [], np.array([["a.png", "b.png"]]), GREY, [None], 3, None]
)
def test_what_is_no_sequence_of_paths(X):
    assert not is_paths(X)


@pytest.mark.parametrize("gap", [None, float("nan"), 3])
@pytest.mark.parametrize("kind", [list, Column])
def test_the_first_row_without_a_path_is_named(gap, kind):
    missing = "None|nan, a missing value" if gap != 3 else "int 3"
    with pytest.raises(TypeError, match=rf"row 1: expected a path.*({missing}).*out.*: 2 of 4"):
        check_images(kind(["a.png", gap, "b.png", gap]))


def test_a_column_of_arrays_is_an_array():
    column = np.empty(len(RGB), dtype=object)
    column[:] = list(RGB)
    np.testing.assert_array_equal(check_images(column), RGB)
    column[2] = RGB[2, :5]
    with pytest.raises(ValueError, match="ragged"):
        check_images(column)
    column[2] = None
    with pytest.raises(TypeError, match="row 2: expected an image, got None, a missing value"):
        check_images(column)


@pytest.mark.parametrize(
    "X", [(GREY / 255).astype(np.uint8), GREY.astype(float) / 255 / 255, np.zeros((2, 5, 5), int)]
)
def test_images_that_were_divided_once_too_often(X):
    with pytest.warns(UserWarning, match=r"All \d images are black: their largest value is [01]"):
        check_images(X)


def test_one_image_that_is_not_black_is_enough():
    X = np.zeros((3, 5, 5), np.uint8)
    X[1, 0, 0] = 2
    check_images(X)
    check_images(X / 255)


@pytest.mark.parametrize("X", [GREY, RGB, RGB[..., :1]])
def test_uint8_images_pass_without_a_copy(X):
    assert check_images(X) is X


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, ">i4"])
def test_other_integers_become_uint8(dtype):
    X = GREY // 2
    checked = check_images(X.astype(dtype))
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(checked, X)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_rounded_to_8_bits(dtype):
    X = np.linspace(0, 1, 5 * 6 * 7).reshape(5, 6, 7).astype(dtype)
    checked = check_images(X)
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(checked, np.rint(X.astype(float) * 255))
    np.testing.assert_array_equal(check_images((GREY / 255).astype(np.float32)), GREY)


def test_dark_pixels_of_16_bits_warn():
    """They are not divided by 257 without a word if they lie in 0..255."""
    with pytest.warns(UserWarning, match="16-bit image is nearly black"):
        decode_image(np.full((4, 4), 255, np.uint16), (4, 4, 3))
    decode_image(np.full((4, 4), 256, np.uint16), (4, 4, 3))
    decode_image(np.zeros((4, 4), np.uint16), (4, 4, 3))


def test_lists_of_arrays_and_of_pillow_images_are_stacked():
    np.testing.assert_array_equal(check_images(list(RGB)), RGB)
    np.testing.assert_array_equal(check_images([Image.fromarray(x) for x in RGB]), RGB)


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_values_of_deep_pillow_images_are_checked_as_those_of_arrays(mode):
    value = 1 if mode == "F" else 255
    assert check_images([Image.new(mode, (9, 8), value)]).min() == 255


@pytest.mark.parametrize("mode", ["P", "YCbCr", "HSV", "LAB", "1", "RGBA"])
def test_pillow_images_of_other_modes_are_refused(mode):
    """NumPy would take the indices into a palette for greys."""
    with pytest.raises(TypeError, match=f"row 1: .* got '{mode}': FaceResizer"):
        check_images([Image.new("L", (9, 8), 100), Image.new(mode, (9, 8), 1)])


def column(items):
    result = np.empty(len(items), dtype=object)
    for row, item in enumerate(items):
        result[row] = item
    return result


@pytest.mark.parametrize("container", [list, tuple, column])
def test_pillow_images_that_are_not_upright_are_refused(container):
    lying, upright = Image.fromarray(RGB[0]), Image.fromarray(RGB[1])
    upright.getexif()[0x0112] = 1
    check_images([upright, upright])
    lying.getexif()[0x0112] = 6
    with pytest.raises(ValueError, match="row 1: the EXIF orientation of this"):
        check_images(container([upright, lying]))


def with_value(value, dtype=float):
    X = np.zeros((4, 5, 6), dtype=dtype)
    X[2, 1, 3] = value
    return X


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (None, TypeError, "got dtype object"),
        (3.0, ValueError, r"got shape \(\)"),
        ([], ValueError, r"found array with 0 sample\(s\)"),
        (np.zeros((0, 4, 4)), ValueError, r"0 sample\(s\) \(shape=\(0, 4, 4\)\)"),
        (np.zeros((2, 0, 4)), ValueError, r"images without pixels: shape \(2, 0, 4\)"),
        (np.zeros(9), ValueError, r"got shape \(9,\): reshape"),
        (np.zeros((2, 9)), ValueError, r"shape \(n, height, width\).*got 2-D.*X.reshape\(n"),
        (np.zeros((1, 2, 3, 3, 3)), ValueError, r"got shape \(1, 2, 3, 3, 3\)"),
        (
            RGB[0],
            ValueError,
            r"\(12, 10, 3\), which looks like a single image: pass X\[np.newaxis\]",
        ),
        ([*RGB[:, :, :8], RGB[0]], ValueError, "ragged list: FaceResizer"),
        (np.array([GREY[0], None], dtype=object), TypeError, "row 1: expected an image, got None"),
        (np.array([[{}]], dtype=object), TypeError, "dtype object.*FaceResizer"),
        (np.zeros((2, 9, 9, 5)), ValueError, r"1 or 3 channels, got 5"),
        (np.zeros((2, 9, 9, 4)), ValueError, r"got 4 .*FaceResizer turns RGBA"),
        (np.zeros((2, 3, 9, 9)), ValueError, r"np.moveaxis\(X, 1, -1\)"),
        (with_value(np.nan), ValueError, "Input X contains NaN, first in image 2"),
        (with_value(np.inf), ValueError, "Input X contains infinity, first in image 2"),
        (with_value(-np.inf), ValueError, "Input X contains infinity, first in image 2"),
        (with_value(255.0), ValueError, "0..1, got values from 0.0 to 255.0.*image 2: divide"),
        (
            with_value(-0.5),
            ValueError,
            "got values from -0.5 to 0.0, first out of range in image 2",
        ),
        (with_value(1 + 1e-9), ValueError, "clip rounding errors"),
        (with_value(256, int), ValueError, "0..255, got values from 0 to 256.*image 2: divide"),
        (with_value(2**16, int), ValueError, "to 65536, first .*by the largest value that a pixel"),
        (
            with_value(-1, np.int8),
            ValueError,
            "got values from -1 to 0, first out of range in image 2",
        ),
        (with_value(1j, complex), ValueError, "Complex data not supported"),
        (with_value(1, bool), TypeError, "got booleans"),
        ("face.png", TypeError, r"got strings \(shape \(\)\): paths must be a 1-D list"),
        ([["face.png"] * 2], TypeError, r"got strings \(shape \(1, 2\)\)"),
        (np.zeros((2, 3, 9), dtype="M8[s]"), TypeError, "dtype datetime64"),
        (csr_array(np.eye(3)), TypeError, "sparse"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        check_images(X)


@pytest.mark.parametrize(
    ("X", "advice", "advised"),
    [
        (GREY.astype(float), "divide pixels of 0..255 by 255", lambda X: X / 255),
        (GREY / 127.5 - 1, "(X + 1) / 2, 0, 1)", lambda X: np.clip((X + 1) / 2, 0, 1)),
        (GREY / 255 + 1e-7, "np.clip(X, 0, 1)", lambda X: np.clip(X, 0, 1)),
        (GREY.astype(np.uint16) * 16, "X / 4095 for 12 bits", lambda X: X / 4095),
        (GREY.astype(np.uint16) * 257, "X / 65535 for 16 bits", lambda X: X / 65535),
        (GREY.astype(int) - 128, "before anything was subtracted", lambda X: X + 128),
        ((GREY - 120.0) / 60, "before they were standardized", lambda X: (X * 60 + 120) / 255),
    ],
)
def test_the_advice_helps(X, advice, advised):
    with pytest.raises(ValueError, match=re.escape(advice)):
        check_images(X)
    np.testing.assert_allclose(check_images(advised(X)), GREY.astype(float), atol=1)


def test_check_pixels_keeps_pixels_and_refuses_paths():
    X = GREY / 255
    assert check_pixels(X) is X
    with pytest.raises(TypeError, match="FaceResizer reads them"):
        check_pixels(["a.png"])


# --- resize_images


@pytest.mark.parametrize("images", [GREY, RGB[..., :1], RGB], ids=["2-D", "grey", "RGB"])
@pytest.mark.parametrize("shape", [(12, 10), (7, 9), (7, 9, 1), (20, 15, 3)])
def test_resized_images_have_the_asked_shape(images, shape):
    resized = resize_images(images, shape)
    assert resized.shape == (4, *shape)
    assert resized.dtype == np.uint8


def test_grey_images_of_one_column_are_resized():
    assert resize_images(GREY[:, :, :1], (6, 5, 3)).shape == (4, 6, 5, 3)


def test_nothing_is_done_where_the_shape_is_right():
    assert resize_images(RGB, (12, 10, 3)) is RGB


@pytest.mark.parametrize("size", [(5, 6), (31, 29)])
def test_resizing_uint8_is_pillows_bilinear_resampling(size):
    expected = [Image.fromarray(x).resize(size[::-1], Image.BILINEAR) for x in RGB]
    np.testing.assert_array_equal(resize_images(RGB, (*size, 3)), np.stack(expected))


@pytest.mark.parametrize("shape", [(5, 7, 3), (30, 31, 1), (12, 10)])
def test_white_and_black_stay_so(shape):
    images = np.stack([np.zeros_like(RGB[0]), np.full_like(RGB[0], 255)])
    black, white = resize_images(images, shape)
    assert (black == 0).all()
    assert (white == 255).all()


def test_a_reduced_checkerboard_is_mid_grey():
    board = (np.indices((1, 64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    inner = resize_images(board, (8, 8))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, 127.5, atol=1)


def test_colour_becomes_grey_as_in_pillow_and_grey_is_repeated():
    expected = np.stack([np.asarray(Image.fromarray(x).convert("L")) for x in RGB])
    np.testing.assert_allclose(resize_images(RGB, (12, 10)), expected.astype(float), atol=1)
    repeated = resize_images(GREY, (12, 10, 3))
    np.testing.assert_array_equal(repeated, np.repeat(GREY[..., np.newaxis], 3, axis=-1))


# --- decode_image and decode_images

SIZE = 16
SHAPE = (SIZE, SIZE, 3)
SMOOTH = np.clip(np.add.outer(np.arange(SIZE), np.arange(SIZE)) * 8, 0, 255).astype(np.uint8)
COLOUR = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]], axis=-1)


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("face.png", {}, 0),
        ("face.bmp", {}, 0),
        ("face.tif", {}, 0),
        ("face.tiff", {"compression": "tiff_lzw"}, 0),
        ("face.webp", {"lossless": True}, 0),
        ("face.jpg", {"quality": 100, "subsampling": 0}, 4),
    ],
)
@pytest.mark.parametrize("pixels", [COLOUR, SMOOTH], ids=["RGB", "grey"])
@pytest.mark.parametrize("as_path", [str, Path])
def test_file_formats(tmp_path, name, options, tolerance, pixels, as_path):
    Image.fromarray(pixels).save(tmp_path / name, **options)
    image = decode_image(as_path(tmp_path / name), SHAPE)
    assert image.dtype == np.uint8
    assert image.shape == (SIZE, SIZE, 3)
    expected = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    np.testing.assert_allclose(image, expected.astype(float), atol=tolerance)


def test_palette(tmp_path):
    image = Image.fromarray(COLOUR).quantize(16)
    image.save(tmp_path / "palette.png")
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_image(tmp_path / "palette.png", SHAPE), expected)


def test_transparent_palette_entry_shows_the_background(tmp_path):
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, SIZE, SIZE // 2))
    image.save(tmp_path / "palette.png", transparency=0)
    decoded = decode_image(tmp_path / "palette.png", SHAPE)
    assert (decoded[: SIZE // 2] == BACKGROUND).all()
    assert (decoded[SIZE // 2 :] == (0, 0, 255)).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("name", ["alpha.png", "alpha.tif"])
def test_alpha_is_composited_on_the_background(tmp_path, mode, name):
    white = Image.new("L", (SIZE, SIZE), 255).convert(mode)
    alpha = np.repeat(np.array([0, 128, 255, 255], np.uint8), SIZE // 4)  # by row
    white.putalpha(Image.fromarray(np.repeat(alpha[:, np.newaxis], SIZE, axis=1)))
    white.save(tmp_path / name)
    decoded = decode_image(tmp_path / name, SHAPE)[:: SIZE // 4, 0, 0].astype(int)
    np.testing.assert_allclose(decoded, [128, 192, 255, 255], atol=1)


def test_cmyk_jpeg(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    decoded = decode_image(tmp_path / "cmyk.jpg", SHAPE)
    assert np.abs(decoded.astype(int) - COLOUR).mean() < 8


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_16_bit_greys_are_scaled_not_clipped(tmp_path, name):
    deep = SMOOTH.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / name)
    decoded = decode_image(tmp_path / name, SHAPE)
    np.testing.assert_array_equal(decoded, np.stack([SMOOTH] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "F", "L", "1"])
def test_grey_modes_of_pillow_images(mode):
    scaled = {"I": 257, "I;16": 257, "I;16B": 257, "F": 1 / 255, "L": 1, "1": 1 / 255}[mode]
    stored = {"I": np.int32, "I;16": "<u2", "I;16B": ">u2", "F": np.float32, "L": np.uint8}
    black_and_white = (SMOOTH > 100) * np.uint8(255)
    if mode == "1":
        image = Image.fromarray(black_and_white).convert("1")
    else:
        image = Image.fromarray((black_and_white * float(scaled)).astype(stored[mode]))
    assert image.mode == mode
    decoded = decode_image(image, SHAPE)
    np.testing.assert_array_equal(decoded, np.stack([black_and_white] * 3, axis=-1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_orientation_is_applied(tmp_path, orientation):
    image = Image.fromarray(SMOOTH // 2 + np.tri(SIZE, dtype=np.uint8) * 100)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    upright = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x, 2).T,
        8: np.rot90,
    }[orientation]
    decoded = decode_image(tmp_path / "turned.jpg", SHAPE)[..., 0].astype(int)
    np.testing.assert_allclose(decoded, upright(np.asarray(image)), atol=12)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("shape", [(16, 16, 3), (16, 16, 1), (9, 40, 3), (300, 500, 1)])
def test_a_file_gives_what_its_pixels_give(tmp_path, mode, shape):
    Image.fromarray(COLOUR).convert(mode).resize((400, 300)).save(tmp_path / "face.jpg")
    with Image.open(tmp_path / "face.jpg") as image:
        pixels = np.asarray(image)
        expected = resize_images(pixels[np.newaxis], shape)[0]
        for source in (tmp_path / "face.jpg", image, pixels, pixels / 255):
            np.testing.assert_array_equal(decode_image(source, shape), expected)


@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0", b"Exif\0\0none of it", b"\0\1\2"])
@pytest.mark.filterwarnings("ignore:.*EXIF")
def test_metadata_that_cannot_be_read_lose_no_image(tmp_path, kind, exif):
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(COLOUR).save(tmp_path / f"face.{kind}", exif=exif, **options)
    decoded = decode_image(tmp_path / f"face.{kind}", SHAPE)
    np.testing.assert_allclose(decoded, COLOUR.astype(float), atol=60 if kind == "jpg" else 0)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (SMOOTH, SMOOTH),
        (SMOOTH[..., np.newaxis], SMOOTH),
        (SMOOTH.astype(np.int64), SMOOTH),
        (SMOOTH.astype(np.uint16) * 257, SMOOTH),
        (SMOOTH.astype(">u2") * 257, SMOOTH),
        (SMOOTH / 255, SMOOTH),
        (SMOOTH.astype(np.float32) / 255, SMOOTH),
        (SMOOTH > 100, (SMOOTH > 100) * 255),
        (SMOOTH.tolist(), SMOOTH),
        (COLOUR, COLOUR),
        (COLOUR / 255, COLOUR),
        (np.dstack([COLOUR, np.full_like(SMOOTH, 255)]), COLOUR),
        (np.dstack([COLOUR, np.zeros_like(SMOOTH)]), np.full_like(COLOUR, 128)),
    ],
)
def test_arrays(array, expected):
    if expected.ndim == 2:
        expected = np.stack([expected] * 3, axis=-1)
    np.testing.assert_array_equal(decode_image(array, SHAPE), expected)


@pytest.mark.parametrize("size", [1, 5, 16, 50])
def test_any_shape_is_stretched_to_a_square_and_a_ramp_stays_a_ramp(size):
    ramp = np.repeat(np.linspace(0, 1, 40)[np.newaxis], 9, axis=0)  # (9, 40)
    decoded = decode_image(ramp, (size, size, 3))
    assert decoded.shape == (size, size, 3)
    assert (np.diff(decoded[..., 0].astype(int), axis=1) >= 0).all()


def test_the_users_pillow_image_is_left_as_it_was(tmp_path):
    Image.fromarray(COLOUR).convert("P").save(tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as image:
        decode_image(image, (4, 4, 3))
        assert (image.mode, image.size) == ("P", (SIZE, SIZE))
        assert image.getpixel((0, 0)) is not None  # still open


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (None, TypeError, "None, a missing value: leave such rows out"),
        (float("nan"), TypeError, "nan, a missing value: leave such rows out"),
        ({}, TypeError, "expected a path, a Pillow image or an array.*dict"),
        (b"a.png", TypeError, "got bytes"),
        (np.zeros((4, 4), complex), TypeError, "complex"),
        (np.zeros(4), ValueError, r"got \(4,\)"),
        (np.zeros((4, 4, 2)), ValueError, r"1, 3 or 4 channels, got \(4, 4, 2\)"),
        (np.zeros((0, 4)), ValueError, r"no pixels: shape \(0, 4\)"),
        (np.full((4, 4), 255.0), ValueError, "0..1; divide.*from 255.0 to 255.0"),
        (np.full((4, 4), np.nan), ValueError, "0..1.*from nan to nan"),
        (np.full((4, 4), 256), ValueError, "16-bit ones need dtype uint16.*to 256"),
        (np.full((4, 4), -1), ValueError, "0..255.*from -1 to -1"),
        (Image.new("I", (4, 4), 70_000), ValueError, "mode 'I' must lie in 0..65535"),
        (Image.new("F", (4, 4), 255), ValueError, "the Pillow image: float pixels must lie in"),
        (Image.new("La", (4, 4)), ValueError, "cannot read the Pillow image: conversion"),
    ],
)
def test_rows_that_are_no_images_are_named(source, error, message):
    with pytest.raises(error, match=f"row 1: .*{message}"):
        decode_images([SMOOTH, source], SHAPE)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_missing_files_are_named(tmp_path, n_jobs):
    with pytest.raises(FileNotFoundError, match=r"row 1: cannot read '.*gone.png': no such file"):
        decode_images([SMOOTH, tmp_path / "gone.png"], SHAPE, n_jobs=n_jobs)


def test_files_that_are_no_images_are_named(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"row 1: cannot read '.*notes.png': cannot identify"):
        decode_images([SMOOTH, tmp_path / "notes.png"], SHAPE)
    with pytest.raises(ValueError, match=r"row 0: cannot read .* directory"):
        decode_images([tmp_path], SHAPE)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_truncated_files_are_named(tmp_path, kind, share):
    file = tmp_path / f"cut.{kind}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"row 1: cannot read '.*cut.{kind}': "):
        decode_images([SMOOTH, file], SHAPE)


@pytest.mark.parametrize(("side", "mode"), [(9_000, "L"), (6_000, "LA")])
def test_images_that_would_take_gigabytes_are_refused_before_they_are_decoded(side, mode, tmp_path):
    """Pillow itself reads up to 179 million pixels."""
    Image.new(mode, (side, side)).save(tmp_path / "large.png")
    most = {"L": "67,108,864", "LA": "33,554,432"}[mode]
    with pytest.raises(ValueError, match=f"large.png': {side}×{side} pixels are more than {most}"):
        decode_image(tmp_path / "large.png", SHAPE)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_all_rows_that_cannot_be_read_are_named_at_once(tmp_path, n_jobs):
    gone = [tmp_path / f"{i}.png" for i in range(20)]
    X = [SMOOTH, *gone[:2], SMOOTH, gone[2]]
    with pytest.raises(FileNotFoundError) as caught:
        decode_images(X, SHAPE, n_jobs)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 of 5 images cannot be used:"
    assert [line.split(":")[0] for line in lines[1:]] == ["row 1", "row 2", "row 4"]
    with pytest.raises(ValueError, match=r"row 19: (?s:.*)… and 11 more$"):
        decode_images([*gone, np.zeros(4)], SHAPE, n_jobs, rows=range(19, 40))


def test_a_file_of_damaged_pixels_is_named(tmp_path):
    file = tmp_path / "damaged.png"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    content = bytearray(file.read_bytes())
    start = content.index(b"IDAT") + 4
    content[start : start + 2] = b"\0\0"  # no header of zlib
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"row 1: cannot read '.*damaged.png': "):
        decode_images([SMOOTH, file], SHAPE)


def test_a_path_may_begin_with_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(COLOUR).save(tmp_path / "face.png")
    np.testing.assert_array_equal(decode_image("~/face.png", SHAPE), COLOUR)
    assert check_images(["~/face.png"]).tolist() == [str(tmp_path / "face.png")]


def test_formats_that_are_registered_later_are_read(tmp_path, monkeypatch):
    (tmp_path / "face.new").write_bytes(b"new")
    with pytest.raises(ValueError, match="cannot identify"):
        decode_image(tmp_path / "face.new", SHAPE)

    class NewImageFile(ImageFile.ImageFile):
        format = "NEW"

        def _open(self):
            self._size, self._mode = (SIZE, SIZE), "L"
            self.tile = []

        def load(self):
            self.im = Image.new("L", self.size, 7).im
            return Image.Image.load(self)

    for registered in ("OPEN", "EXTENSION"):
        monkeypatch.setattr(Image, registered, dict(getattr(Image, registered)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    Image.register_open("NEW", NewImageFile, lambda prefix: prefix == b"new")
    assert (decode_image(tmp_path / "face.new", SHAPE) == 7).all()


def test_pixels_as_text_are_no_path():
    text = " ".join(["80"] * 48**2)
    with pytest.raises(TypeError, match=r"row 1: .*pixels of an image as text") as caught:
        decode_images([SMOOTH, text], SHAPE)
    assert len(str(caught.value)) < 400
    assert np.array(text.split(), dtype="uint8").reshape(48, 48).shape == (48, 48)  # the advice


def test_no_other_program_reads_a_file(tmp_path, monkeypatch):
    """Pillow would run Ghostscript."""
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: ran.append(args))
    path = tmp_path / "face.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ValueError, match=r"cannot read '.*face\.png': cannot identify"):
        decode_image(path, SHAPE)
    assert not ran


def test_decompression_bombs_are_named(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"row 0: cannot read '.*bomb.png': .*decompression bomb"):
        decode_images([tmp_path / "bomb.png"], SHAPE)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a.png", TypeError, "got str: pass a single one in a list"),
        (Path("a.png"), TypeError, "pass a single one in a list"),
        (Image.new("L", (4, 4)), TypeError, "got Image: pass a single one in a list"),
        (None, TypeError, "got NoneType"),
        ([], ValueError, r"0 sample\(s\)"),
        (COLOUR, ValueError, "looks like a single image"),
        (csr_array(np.eye(3)), TypeError, "sparse"),
    ],
)
def test_what_is_no_sequence_of_images_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        decode_images(X, SHAPE)
