"""Images in files look like an array of images."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_patt_lite._images.source import ImageFiles, as_source, image_digests, read_images
from sklearn_patt_lite._process import n_threads, prefetch

SIZE = 8
N = 5


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def paths(images, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(N)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def test_files_are_selected_and_read_like_an_array(images, paths):
    source = as_source(paths, SIZE)
    assert isinstance(source, ImageFiles)
    assert source.shape == images.shape
    for rows in (slice(None), slice(1, 3), np.array([3, 0]), np.array([True, False] * 2 + [True])):
        assert len(source[rows]) == len(images[rows])
        assert source[rows].shape == images[rows].shape
        assert_array_equal(read_images(source, rows), images[rows])
        assert_array_equal(read_images(source[rows]), images[rows])


def test_no_file_is_read_before_it_is_needed(paths):
    source = as_source(paths, SIZE)
    paths[2].write_bytes(b"damaged")
    assert len(read_images(source, np.array([0, 1]))) == 2


def test_errors_name_the_row_of_the_input(paths):
    source = as_source(paths, SIZE)
    paths[3].write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"row 3: cannot read .*3\.png"):
        source[np.array([4, 3])].read()
    paths[0].write_bytes(b"damaged")  # in another part, and named as well
    with pytest.raises(ValueError, match=r"2 of 5 images (?s:.*)row 0: (?s:.*)row 3: cannot read"):
        source[np.array([4, 3])].read()
    paths[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"row 1: cannot read .*1\.png.*no such file"):
        as_source(paths, SIZE)


def test_files_come_in_the_shape_that_is_asked_for(paths):
    assert as_source(paths, SIZE, (4, 6, 1)).shape == (N, 4, 6, 1)
    assert read_images(as_source(paths, SIZE, (4, 6, 1))).shape == (N, 4, 6, 1)


def test_arrays_are_themselves(images):
    assert as_source(images, 32) is images
    assert as_source(images[..., 0], 32).shape == (N, SIZE, SIZE, 1)
    assert as_source(images, 32, (4, 4, 1)).shape == (N, 4, 4, 1)
    assert_array_equal(read_images(images, np.array([2, 1])), images[[2, 1]])


@pytest.mark.parametrize("kind", ["array", "files"])
def test_digests_tell_contents_apart(images, paths, kind):
    paths[4].write_bytes(paths[0].read_bytes())
    images[4] = images[0]
    source = as_source(paths if kind == "files" else images, SIZE)
    digests = image_digests(source)
    assert all(len(digest) == 16 for digest in digests)
    assert digests[4] == digests[0]
    assert len(set(digests)) == N - 1
    assert image_digests(source[np.array([3, 1])]) == [digests[3], digests[1]]


def test_digests_tell_dtypes_and_ways_of_reading_apart(images, paths):
    arrays = [images, images.astype(np.float32), images.reshape(N, SIZE, -1, 1)]
    sources = [*arrays, as_source(paths, SIZE), as_source(paths, 4), as_source(paths, 4, (4, 4, 1))]
    assert len({image_digests(source)[0] for source in sources}) == len(sources)


@pytest.mark.parametrize(("share", "expected"), [("1", 1), ("3", 3)])
def test_a_worker_takes_no_more_threads_than_joblib_gives_it(monkeypatch, share, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert n_threads() == expected


def test_without_a_share_all_cores_are_used(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert n_threads() >= 1


def test_the_next_item_is_made_while_one_is_in_use():
    made = [threading.Event() for _ in range(4)]

    def items():
        for i, event in enumerate(made):
            event.set()
            yield i

    for i in prefetch(items()):
        assert all(event.wait(10) for event in made[: i + 2])
        assert not any(event.is_set() for event in made[i + 2 :])  # and no more than the next


def test_what_fails_to_be_made_is_told_in_its_turn():
    def items():
        yield 1
        raise KeyError("second")

    coming = prefetch(items())
    assert next(coming) == 1
    with pytest.raises(KeyError, match="second"):
        next(coming)


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    coming = prefetch(range(100))
    next(coming)
    coming.close()
    assert threading.active_count() == before
