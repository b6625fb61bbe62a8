"""What holds for images, labels and groups of all kinds: examples are made up by Hypothesis."""

import io
import pickle
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.exceptions import NotFittedError

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._images.check import check_images, resize_images
from sklearn_patt_lite._images.decode import decode_image
from sklearn_patt_lite._training.data import _encode_labels
from sklearn_patt_lite.model_selection import SubjectKFold
from sklearn_patt_lite.model_selection._holdout import split_validation
from sklearn_patt_lite.preprocessing import FaceAugmenter, FaceResizer

# The same examples each time: a test that fails now and then is of no use to those who wait for it.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

pytestmark = pytest.mark.filterwarnings("ignore:All .* images are black")

VISIBLE = st.characters(codec="utf-8", exclude_characters="\0")  # NumPy strips NULs at the end
LOSSLESS = {"png": {}, "webp": {"lossless": True}}
sides = st.integers(5, 24)  # four columns look like the channels of a single image
shapes = st.tuples(st.integers(1, 4), sides, sides) | st.tuples(
    st.integers(1, 4), sides, sides, st.sampled_from([1, 3])
)
integer_kinds = st.sampled_from([np.uint8, np.int16, np.int32, np.int64, np.uint32])
float_kinds = st.sampled_from([np.float16, np.float32, np.float64])


@st.composite
def images(draw):
    """Images as users have them: integers 0 to 255 or floats 0 to 1, in any layout of memory."""
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        made = rng.integers(0, 256, shape).astype(draw(integer_kinds))
    else:
        made = rng.random(shape).astype(draw(float_kinds))
    made[0] = made.dtype.type(draw(st.sampled_from([0, 1])))  # flat ones, too
    return np.asfortranarray(made) if draw(st.booleans()) else made[:, ::-1][:, ::-1]


def noise_classifier(shape):
    """A classifier of four kinds of noise."""
    rng = np.random.default_rng(0)
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=32,
        output_layer="conv_dw_2_relu",
        patch_size=2,
        n_filters=8,
        epochs=1,
        unfreeze_layers=0,
        random_state=0,
    )
    return classifier.fit(rng.integers(0, 256, (40, *shape), np.uint8), np.arange(40) % 4)


@pytest.fixture(scope="module")
def fitted():
    return noise_classifier((32, 32, 3))


@pytest.fixture(scope="module")
def fitted_on_oblong_greys():
    return noise_classifier((20, 28))


@given(images(), st.integers(4, 40))
def test_images_of_all_kinds_are_brought_to_one(X, size):
    checked = check_images(X)
    assert checked.shape == X.shape
    assert checked.dtype == np.uint8
    resized = resize_images(checked, (size, size, 3))
    assert resized.shape == (len(X), size, size, 3)
    # A mean of pixels is no brighter than the brightest of them; rounding is what is left.
    lowest, highest = float(checked.min()) - 1, float(checked.max()) + 1
    assert lowest <= resized.min() <= resized.max() <= highest


@given(images())
def test_integers_and_their_share_of_255_are_the_same_image(X):
    if X.dtype.kind == "f":
        X = np.rint(X.astype(float) * 255).astype(np.uint8)
    assert_array_equal(check_images(X / 255), check_images(X))


@given(images(), st.booleans())
def test_one_image_has_one_answer_however_it_is_given(
    fitted, fitted_on_oblong_greys, tmp_path_factory, X, grey
):
    if X.dtype.kind == "f":
        X = np.rint(X.astype(float) * 255)
    X = X.astype(np.uint8)
    classifier = fitted_on_oblong_greys if grey else fitted
    expected = classifier.predict_proba(X)
    pillow = [Image.fromarray(x[..., 0] if x.shape[-1] == 1 and x.ndim == 3 else x) for x in X]
    paths = [tmp_path_factory.getbasetemp() / f"same_{i}.png" for i in range(len(X))]
    for image, path in zip(pillow, paths, strict=True):
        image.save(path)
    for same in (X / 255, (X / 255).astype(np.float32), X.astype(int), pillow, paths):
        assert_allclose(classifier.predict_proba(same), expected, atol=1e-5)
    labels = classifier.predict(X)
    assert classifier.score(list(map(str, paths)), labels) == 1


@given(st.sampled_from(["png", "webp"]), st.binary(max_size=80), st.booleans())
@pytest.mark.filterwarnings("ignore")  # Pillow's, of metadata that it can live with
def test_no_metadata_lose_an_image(tmp_path_factory, kind, exif, with_header):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    path = tmp_path_factory.getbasetemp() / f"metadata.{kind}"
    header = b"Exif\0\0" if with_header else b""
    Image.fromarray(pixels).save(path, exif=header + exif, **LOSSLESS[kind])
    decoded = decode_image(path, (16, 16, 3))
    assert_array_equal(np.sort(decoded, axis=None), np.sort(pixels, axis=None))  # turned, maybe


@given(images())
def test_the_resizer_keeps_rows_and_range(X):
    resized = FaceResizer(size=16).fit(X).transform(X)
    assert resized.shape == (len(X), 16, 16, 3)
    assert resized.dtype == np.uint8
    one_by_one = [FaceResizer(size=16).fit_transform(X[i : i + 1])[0] for i in range(len(X))]
    assert_array_equal(resized, one_by_one)


@given(images())
def test_the_augmenter_keeps_shape_dtype_and_range(X):
    augmented = FaceAugmenter(random_state=0).fit_transform(X)
    assert augmented.shape == X.shape
    top = 1 if X.dtype.kind == "f" else 255
    assert 0 <= augmented.min() <= augmented.max() <= top
    assert_array_equal(FaceAugmenter(random_state=0).fit_transform(X), augmented)


@given(images())
@settings(max_examples=30)
def test_predictions_are_probabilities_of_each_image_alone(fitted, X):
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (len(X), 4)
    assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert_allclose(fitted.predict_proba(X[::-1])[::-1], probabilities, atol=1e-6)
    assert_allclose(fitted.predict_proba(X[:1]), probabilities[:1], atol=1e-6)


@given(
    numpy_st.arrays(
        st.sampled_from(
            [np.uint8, np.int64, np.float64, np.complex128, bool, object, "U3", "M8[D]"]
        ),
        numpy_st.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
    )
)
@settings(max_examples=200)
def test_arrays_of_any_kind_are_taken_or_refused(fitted, X):
    """No other exception, and nothing but probabilities."""
    try:
        probabilities = fitted.predict_proba(X)
    except (ValueError, TypeError, FileNotFoundError):
        return
    assert probabilities.shape == (len(X), 4)
    assert np.isfinite(probabilities).all()


labels = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=5, unique=True),
    st.lists(
        # NumPy strips trailing NULs.
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).filter(
            str.strip
        ),
        min_size=2,
        max_size=5,
        unique=True,
    ),
    st.just([False, True]),
    st.just([0.0, 1.0, 5.0]),
)


def objects(y):
    """As pandas has them; of objects, scikit-learn takes strings only."""
    return np.array([str(label) for label in y], dtype=object)


@given(labels, st.sampled_from([list, np.array, objects]), st.integers(0, 99))
def test_labels_of_all_kinds_come_back(names, container, seed):
    y = np.random.default_rng(seed).permutation(np.arange(4 * len(names)) % len(names))
    y = [names[code] for code in y]
    y = container(y)
    classes, codes = _encode_labels(y, np.zeros((len(y), 8, 8)))
    assert classes.tolist() == sorted(set(y))
    assert classes[codes].tolist() == list(y)


@st.composite
def subjects(draw):
    """Codes of classes, and the subject of each image."""
    n = draw(st.integers(12, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_subjects, n_classes = draw(st.integers(2, 12)), draw(st.integers(2, 4))
    codes = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    names = draw(st.sampled_from([np.arange(99), np.array([f"S{i}" for i in range(99)])]))
    return codes, names[rng.integers(0, n_subjects, n)], n_classes


def can_be_cut(codes, groups):
    """Whether a single group can go without taking a whole class with it."""
    return any(set(codes[groups != group]) == set(codes) for group in groups)


@given(subjects(), st.floats(0.05, 0.6), st.integers(0, 100))
def test_validation_data_is_cut_off_by_whole_subjects(case, fraction, seed):
    codes, groups, n_classes = case
    try:
        train, validation = split_validation(
            codes, groups, fraction=fraction, classes=np.arange(n_classes), seed=seed
        )
    except ValueError:
        assert not can_be_cut(codes, groups)
        return
    assert not set(groups[train]) & set(groups[validation])
    assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(len(codes)))
    assert len(validation)


@given(subjects(), st.integers(2, 6))
def test_folds_of_subjects_part_them(case, n_splits):
    codes, groups, _ = case
    folds = SubjectKFold(n_splits)
    try:
        splits = list(folds.split(np.zeros(len(codes)), codes, groups))
    except ValueError:
        assert len(set(groups)) < n_splits
        return
    tested = np.concatenate([test for _, test in splits])
    assert_array_equal(np.sort(tested), np.arange(len(codes)))
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])


@given(
    st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
@settings(max_examples=200)
@pytest.mark.filterwarnings("ignore")  # Pillow's, of damage that it can live with
def test_damaged_files_are_read_or_refused_by_name(tmp_path_factory, kind, changes, share):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(noise).save(stream, kind)
    content = bytearray(stream.getvalue())
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.img"
    path.write_bytes(content[: int(share * len(content))] if share < 0.5 else content)
    message = ""
    try:
        image = decode_image(path, (16, 16, 3))
    except ValueError as error:
        message = str(error)
    if message:
        assert "damaged.img" in message
    else:
        assert image.shape == (16, 16, 3)
        assert image.dtype == np.uint8


def test_threads_that_predict_at_once_get_what_is_theirs(fitted):
    """With the engines being made, and then made."""
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (n, 32, 32, 3), np.uint8) for n in (1, 2, 40, 3, 70, 1, 9, 33)]
    expected = [fitted.predict_proba(part) for part in parts]
    fresh = pickle.loads(pickle.dumps(fitted))
    found, failed = {}, []

    def predict(i):
        try:
            found[i] = [fresh.predict_proba(parts[i]) for _ in range(3)]
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=predict, args=[i]) for i in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for i, probabilities in enumerate(expected):
        for again in found[i]:
            assert_array_equal(again, probabilities)


def test_a_classifier_that_is_not_fitted_says_so_whatever_it_is_given():
    with pytest.raises(NotFittedError):
        PAttLiteClassifier().predict(None)
