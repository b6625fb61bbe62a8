"""FaceResizer: a transformer around `decode_images`, which has tests of its own."""

import pickle

import numpy as np
import pytest
from PIL import Image
from rows_as_images import RowsAsImages
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite.preprocessing import FaceResizer

RNG = np.random.default_rng(0)
GREYS = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in [(9, 8), (20, 30), (16, 16)]]


class FaceResizerOnRows(RowsAsImages, FaceResizer):
    real = FaceResizer


@parametrize_with_checks([FaceResizerOnRows(size=8)])
def test_common_checks(estimator, check):
    check(estimator)


def test_the_common_checks_do_run():
    results = check_estimator(FaceResizerOnRows(size=8), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) >= 40


def test_the_default_is_what_the_network_takes():
    images = FaceResizer().fit_transform(GREYS)
    assert images.shape == (3, 224, 224, 3)
    assert images.dtype == np.uint8


@pytest.mark.parametrize("n_jobs", [None, 2, -1])
def test_paths_pillow_images_and_arrays_mix_and_keep_their_rows(tmp_path, n_jobs):
    Image.fromarray(GREYS[1]).save(tmp_path / "face.png")
    mixed = [
        GREYS[0],
        tmp_path / "face.png",
        str(tmp_path / "face.png"),
        Image.fromarray(GREYS[2]),
        GREYS[2] / 255,
    ]
    images = FaceResizer(size=10, n_jobs=n_jobs).transform(mixed)
    singles = [FaceResizer(size=10).transform([GREYS[row]])[0] for row in (0, 1, 1, 2, 2)]
    np.testing.assert_array_equal(images, np.stack(singles))


def test_many_threads_give_what_one_gives():
    X = RNG.random((40, 30, 20, 3))
    one, two = (FaceResizer(size=12, n_jobs=n_jobs).transform(X) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_an_object_array_of_images_is_a_sequence_too():
    ragged = np.empty(3, dtype=object)
    ragged[:] = GREYS
    resizer = FaceResizer(size=10)
    np.testing.assert_array_equal(resizer.transform(ragged), resizer.transform(GREYS))


def test_transforming_needs_no_fit():
    resizer = FaceResizer(size=10)
    check_is_fitted(resizer)
    np.testing.assert_array_equal(resizer.transform(GREYS), resizer.fit(GREYS).transform(GREYS))


def test_fit_reads_no_file():
    resizer = FaceResizer()
    assert resizer.fit(["gone.png"]) is resizer


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_nothing_is_an_error(method):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        getattr(FaceResizer(), method)([])


def test_errors_name_the_row_and_the_file():
    with pytest.raises(FileNotFoundError, match=r"row 1: cannot read 'gone.png'"):
        FaceResizer(size=8).transform([GREYS[0], "gone.png"])


@pytest.mark.parametrize("parameter", [{"size": 0}, {"size": 2.5}, {"size": None}, {"n_jobs": "2"}])
def test_parameters_out_of_range(parameter):
    with pytest.raises(ValueError, match=f"The '{next(iter(parameter))}' parameter"):
        FaceResizer(**parameter).fit(GREYS)


def test_clones_and_pickles():
    resizer = FaceResizer(size=10, n_jobs=2)
    assert clone(resizer).get_params() == resizer.get_params()
    copy = pickle.loads(pickle.dumps(resizer))
    np.testing.assert_array_equal(copy.transform(GREYS), resizer.transform(GREYS))


def test_it_starts_a_pipeline():
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    assert make_pipeline(FaceResizer(size=10), flatten).fit_transform(GREYS).shape == (3, 300)


def test_images_are_no_columns_of_a_data_frame():
    assert isinstance(
        FaceResizer(size=8).set_output(transform="pandas").transform(GREYS), np.ndarray
    )
    assert not hasattr(FaceResizer(), "get_feature_names_out")


@pytest.mark.parametrize("size", [0, -1, "64"])
def test_a_size_is_checked_without_a_fit_too(size):
    with pytest.raises(ValueError, match="'size' parameter"):
        FaceResizer(size=size).transform([np.zeros((8, 8))])
