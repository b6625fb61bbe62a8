"""FaceAugmenter: random variations of training images."""

import pickle

import numpy as np
import pytest
from rows_as_images import RowsAsImages
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite.preprocessing import FaceAugmenter

RNG = np.random.default_rng(0)
GREY = RNG.random((6, 20, 18))
RGB = RNG.integers(0, 256, (6, 20, 18, 3), dtype=np.uint8)
OFF = {"horizontal_flip": False, "contrast": 0, "rotation": 0, "translation": 0, "zoom": 0}


def only(random_state=0, **augmentation):
    return FaceAugmenter(**{**OFF, **augmentation}, random_state=random_state)


class FaceAugmenterOnRows(RowsAsImages, FaceAugmenter):
    real = FaceAugmenter


REASON = "by contract fit_transform varies the images and transform does not"
EXPECTED_FAILURES = {
    "check_transformer_general": REASON,
    "check_transformer_data_not_an_array": REASON,
}


@parametrize_with_checks(
    [FaceAugmenterOnRows()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_common_checks(estimator, check):
    check(estimator)


def test_the_common_checks_do_run():
    results = check_estimator(
        FaceAugmenterOnRows(), expected_failed_checks=EXPECTED_FAILURES, on_skip=None
    )
    assert sum(result["status"] == "passed" for result in results) >= 40
    failures = {result["check_name"] for result in results if result["status"] == "xfail"}
    assert failures == set(EXPECTED_FAILURES)


def test_switched_off_no_common_check_fails():
    check_estimator(FaceAugmenterOnRows(**OFF), on_skip=None)


@pytest.mark.parametrize(
    "X",
    [GREY, GREY.astype(np.float32), GREY.astype(np.float16), RGB, RGB.astype(int), RGB[..., :1]],
    ids=["float64", "float32", "float16", "uint8", "int64", "one channel"],
)
def test_shape_dtype_and_range_stay_and_pixels_change(X):
    original = X.copy()
    varied = FaceAugmenter(contrast=1.0, random_state=0).fit_transform(X)
    np.testing.assert_array_equal(X, original)  # not changed in place
    assert varied.shape == X.shape
    assert varied.dtype == X.dtype
    assert varied.min() >= 0
    assert varied.max() <= (1 if X.dtype.kind == "f" else 255)
    assert all((after != before).any() for after, before in zip(varied, X, strict=True))


@pytest.mark.parametrize("X", [GREY, RGB], ids=["float", "uint8"])
def test_transform_leaves_images_alone(X):
    augmenter = FaceAugmenter(random_state=0)
    assert augmenter.transform(X) is X  # needs no fit
    check_is_fitted(augmenter)
    assert augmenter.fit(X).transform(X) is X


@pytest.mark.parametrize("X", [GREY, RGB], ids=["float", "uint8"])
def test_all_can_be_switched_off(X):
    varied = only().fit_transform(X)
    np.testing.assert_array_equal(varied, X)
    assert not np.shares_memory(varied, X)


@pytest.mark.parametrize(
    "augmentation",
    [
        {"horizontal_flip": True},
        {"contrast": 0.3},
        {"rotation": 10},
        {"translation": 0.1},
        {"zoom": 0.1},
    ],
    ids=lambda augmentation: next(iter(augmentation)),
)
@pytest.mark.parametrize("X", [GREY, RGB], ids=["float", "uint8"])
def test_each_works_on_its_own(augmentation, X):
    assert (only(**augmentation).fit_transform(X) != X).any()


def test_flips_mirror_about_half_of_the_images():
    X = RNG.random((200, 5, 6))
    varied = only(horizontal_flip=True).fit_transform(X)
    flipped = (varied == X[:, :, ::-1]).all(axis=(1, 2))
    same = (varied == X).all(axis=(1, 2))
    assert (flipped ^ same).all()
    assert 0.4 < flipped.mean() < 0.6


def test_contrast_stretches_each_channel_around_its_mean():
    X = 0.4 + 0.2 * RNG.random((100, 9, 8, 3))  # nothing is clipped
    varied = only(contrast=0.3).fit_transform(X)
    np.testing.assert_allclose(varied.mean(axis=(1, 2)), X.mean(axis=(1, 2)))
    factors = varied.std(axis=(1, 2)) / X.std(axis=(1, 2))  # (100, 3)
    np.testing.assert_allclose(factors, np.repeat(factors[:, :1], 3, axis=1))
    assert 0.7 <= factors.min() < 0.75
    assert 1.25 < factors.max() <= 1.3


def blob(row, column, side=41):
    """Draw a soft spot on black: where its centre of mass is can be told exactly."""
    rows, columns = np.indices((side, side))
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)


def centres(images):
    rows, columns = np.indices(images.shape[1:])
    mass = images.sum(axis=(1, 2))
    return np.stack([(images * axis).sum(axis=(1, 2)) / mass for axis in (rows, columns)], axis=1)


def test_translation_is_bounded_on_either_axis_and_to_either_side():
    X = np.stack([blob(20, 20)] * 100)
    shifts = centres(only(translation=0.1).fit_transform(X)) - 20
    assert np.abs(shifts).max() <= 4.1 + 1e-3
    assert (shifts.max(axis=0) > 3.5).all()
    assert (shifts.min(axis=0) < -3.5).all()


def test_rotation_is_around_the_centre_in_degrees_to_either_side():
    X = np.stack([blob(20, 32)] * 100)
    offsets = centres(only(rotation=30).fit_transform(X)) - 20
    np.testing.assert_allclose(np.hypot(*offsets.T), 12, atol=0.05)
    angles = np.degrees(np.arctan2(offsets[:, 0], offsets[:, 1]))
    assert -30.1 < angles.min() < -27
    assert 27 < angles.max() < 30.1


def test_zoom_is_around_the_centre_in_and_out():
    X = np.stack([blob(20, 30)] * 100)
    offsets = centres(only(zoom=0.2).fit_transform(X)) - 20
    np.testing.assert_allclose(offsets[:, 0], 0, atol=1e-6)
    scales = offsets[:, 1] / 10
    assert 0.79 < scales.min() < 0.82
    assert 1.18 < scales.max() < 1.21


@pytest.mark.parametrize("white", [1.0, np.uint8(255)])
def test_what_comes_into_view_repeats_the_edge(white):
    X = np.full((20, 15, 15), white)
    varied = FaceAugmenter(rotation=45, translation=0.5, zoom=0.5, random_state=0).fit_transform(X)
    np.testing.assert_allclose(varied, X, rtol=1e-12)


def test_all_channels_move_together():
    X = np.repeat(GREY[..., np.newaxis], 3, axis=-1)
    varied = FaceAugmenter(random_state=0).fit_transform(X)
    np.testing.assert_array_equal(varied[..., 0], varied[..., 2])
    np.testing.assert_allclose(varied[..., 1], FaceAugmenter(random_state=0).fit_transform(GREY))


def test_images_vary_one_by_one():
    varied = FaceAugmenter(random_state=0).fit_transform(np.stack([GREY[0]] * 5))
    assert len(np.unique(varied.reshape(5, -1), axis=0)) == 5


def test_one_seed_gives_one_result_and_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    augmenter = FaceAugmenter(random_state=3)
    first, again = augmenter.fit_transform(GREY), clone(augmenter).fit_transform(GREY)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert (FaceAugmenter(random_state=4).fit_transform(GREY) != first).any()


def test_without_a_seed_every_call_draws_anew():
    augmenter = FaceAugmenter(random_state=np.random.RandomState(0))
    assert (augmenter.fit_transform(GREY) != augmenter.fit_transform(GREY)).any()


def test_switching_one_off_leaves_the_draws_of_the_others():
    with_flip = only(horizontal_flip=True, contrast=0.3).fit_transform(GREY)
    without = only(contrast=0.3).fit_transform(GREY)
    np.testing.assert_allclose(with_flip.std(axis=(1, 2)), without.std(axis=(1, 2)))


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it sees."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.fitted_to_ = X
        self.sample_weight_ = sample_weight
        return self

    def predict(self, X):
        self.predicted_ = X
        return np.full(len(X), self.classes_[0])


def test_a_pipeline_varies_training_images_only():
    pipeline = make_pipeline(FaceAugmenter(random_state=0), Recorder())
    y = np.arange(6) % 2
    pipeline.fit(GREY, y).predict(GREY)
    recorder = pipeline[-1]
    np.testing.assert_array_equal(
        recorder.fitted_to_, FaceAugmenter(random_state=0).fit_transform(GREY, y)
    )
    assert recorder.predicted_ is GREY


def test_metadata_passes_by_to_the_classifier():
    y, weights = np.arange(6) % 2, np.arange(6.0)
    with config_context(enable_metadata_routing=True):
        recorder = Recorder().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(FaceAugmenter(random_state=0), recorder)
        pipeline.fit(GREY, y, sample_weight=weights)
    np.testing.assert_array_equal(pipeline[-1].sample_weight_, weights)
    assert (pipeline[-1].fitted_to_ != GREY).any()


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (GREY * 255, ValueError, "0..1.*divide"),
        (GREY.reshape(6, -1), ValueError, "2-D"),
        (["face.png"], TypeError, "FaceResizer"),
        ([], ValueError, r"0 sample\(s\)"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(method, X, error, message):
    with pytest.raises(error, match=message):
        getattr(FaceAugmenter(), method)(X)


@pytest.mark.parametrize(
    "parameter",
    [
        {"horizontal_flip": 0.5},
        {"contrast": 1.1},
        {"rotation": -1},
        {"rotation": 181},
        {"translation": 2},
        {"zoom": 1},
        {"random_state": "0"},
    ],
)
def test_parameters_out_of_range(parameter):
    with pytest.raises(ValueError, match=f"The '{next(iter(parameter))}' parameter"):
        FaceAugmenter(**parameter).fit_transform(GREY)


def test_clones_and_pickles():
    augmenter = FaceAugmenter(zoom=0.2, random_state=0)
    assert clone(augmenter).get_params() == augmenter.get_params()
    copy = pickle.loads(pickle.dumps(augmenter))
    np.testing.assert_array_equal(copy.fit_transform(RGB), augmenter.fit_transform(RGB))


def test_signed_bytes_do_not_wrap_around():
    X = np.tile(np.array([0, 127], dtype=np.int8), (4, 6, 3))
    varied = FaceAugmenter(contrast=1.0, rotation=0, translation=0, zoom=0, random_state=0)
    assert varied.fit_transform(X).min() >= 0


def test_a_contrast_is_checked_without_a_fit_too():
    with pytest.raises(ValueError, match="'contrast' parameter"):
        FaceAugmenter(contrast=5).transform(np.zeros((2, 6, 6)))
