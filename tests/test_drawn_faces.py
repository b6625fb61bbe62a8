import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.datasets._drawn.faces import _draw_dataset, _draw_face, _draw_view
from sklearn_patt_lite.datasets._drawn.geometry import HeadCanvas, skin_depth
from sklearn_patt_lite.datasets._drawn.subjects import draw_subject
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS

FER2013 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.fixture(scope="module")
def faces():
    return make_expression_faces(n_subjects=12, n_per_expression=2, random_state=0)


@pytest.fixture(scope="module")
def gray_faces():
    """Gray values of 32 × 32 pixels, with the labels and subjects."""
    faces = make_expression_faces(n_subjects=30, n_per_expression=2, random_state=0)
    gray = faces.images.reshape(-1, 32, 3, 32, 3, 3).mean(axis=(2, 4, 5))
    return gray.reshape(len(gray), -1), faces.target, faces.groups


def frontal_view(subject, expression="neutral", **changes):
    """A view straight ahead, without noise and at full strength."""
    rng = np.random.default_rng(0)
    view = _draw_view(subject, EXPRESSIONS.index(expression), 0.0, rng)
    still = {"roll": 0.0, "pitch": 0.0, "shift": (0.0, 0.0), "noise": 0.0, "blur": 0.0}
    still |= {"intensity": 1.0, "light_strength": 0.0, "brightness": 1.0, "scale": 1.0}
    return dataclasses.replace(view, **still | changes)


def draw(subject, expression="neutral", **changes):
    view = frontal_view(subject, expression, **changes)
    return _draw_face(subject, EXPRESSIONS.index(expression), view, 96).astype(float)


def test_fields_have_the_documented_shapes_and_types(faces):
    n_images = 12 * 7 * 2
    assert faces.images.shape == (n_images, 96, 96, 3)
    assert faces.images.dtype == np.uint8
    assert faces.target_names.tolist() == FER2013
    assert faces.subject_ids.shape == (12,)
    kinds = {
        "i": ["target", "target_clean", "groups"],
        "f": ["yaw", "pitch", "roll", "intensity", "light_angle", "light_strength", "skin"],
        "U": ["occlusion", "hair", "beard"],
        "b": ["glasses"],
    }
    for kind, fields in kinds.items():
        for field in fields:
            assert faces[field].shape == (n_images,), field
            assert faces[field].dtype.kind == kind, field
    assert "real faces" in faces.DESCR


def test_every_subject_shows_every_expression_equally_often(faces):
    counts = np.zeros((12, 7), dtype=int)
    np.add.at(counts, (faces.groups, faces.target), 1)
    assert_array_equal(counts, 2)


def test_contempt_is_the_eighth_expression():
    faces = make_expression_faces(n_subjects=1, n_expressions=8, image_size=24, random_state=0)
    assert faces.target_names.tolist() == [*FER2013, "contempt"]
    assert set(faces.target) == set(range(8))


def test_x_and_y_are_the_images_and_the_target():
    settings = {"n_subjects": 2, "n_per_expression": 1, "label_noise": 0.5, "random_state": 3}
    images, target = make_expression_faces(return_X_y=True, **settings)
    faces = make_expression_faces(**settings)
    assert_array_equal(images, faces.images)
    assert_array_equal(target, faces.target)


@pytest.mark.parametrize("image_size", [24, 97, 160])
def test_images_have_the_size_asked_for(image_size):
    faces = make_expression_faces(n_subjects=1, n_per_expression=1, image_size=image_size)
    assert faces.images.shape == (7, image_size, image_size, 3)


def test_same_random_state_draws_the_same():
    settings = {"n_subjects": 2, "n_per_expression": 1, "occlusion": 0.5, "label_noise": 0.3}
    first = make_expression_faces(random_state=5, **settings)
    again = make_expression_faces(random_state=np.random.RandomState(5), **settings)
    other = make_expression_faces(random_state=6, **settings)
    assert first.keys() == again.keys()
    for field, value in first.items():
        assert_array_equal(again[field], value, err_msg=field)
    assert not np.array_equal(first.images, other.images)


def test_global_seed_is_left_alone():
    before = np.random.get_state()[1].copy()
    make_expression_faces(n_subjects=1, n_per_expression=1, random_state=0)
    assert_array_equal(np.random.get_state()[1], before)


def test_more_subjects_leave_the_first_ones_as_they_are():
    settings = {"n_per_expression": 1, "occlusion": 0.0, "random_state": 4}
    few = make_expression_faces(n_subjects=2, **settings)
    many = make_expression_faces(n_subjects=5, **settings)
    assert_array_equal(many.subject_ids[:2], few.subject_ids)
    assert_array_equal(many.images[: len(few.images)], few.images)


def test_subject_ids_are_even_and_distinct():
    ids = make_expression_faces(n_subjects=50, n_per_expression=1, image_size=24).subject_ids
    assert_array_equal(ids % 2, 0)
    assert len(set(ids.tolist())) == 50


def test_subject_looks_the_same_wherever_it_appears(faces):
    for field in ("skin", "hair", "beard", "glasses"):
        for group in range(12):
            assert len(set(faces[field][faces.groups == group].tolist())) == 1
    drawn = _draw_dataset([101, 7], n_per_expression=1, seed=1)
    other_seed = _draw_dataset([7, 55], n_per_expression=2, seed=2)
    for field in ("skin", "hair", "beard", "glasses"):
        assert drawn[field][drawn.groups == 1][0] == other_seed[field][other_seed.groups == 0][0]


def test_subject_depends_on_its_id_only():
    assert_array_equal(draw(draw_subject(8)), draw(draw_subject(8)))
    assert np.abs(draw(draw_subject(8)) - draw(draw_subject(10))).mean() > 5


@pytest.mark.parametrize("occlusion", [0.0, 0.25, 1.0])
def test_share_of_covered_faces(occlusion):
    faces = make_expression_faces(n_subjects=4, occlusion=occlusion, image_size=24, random_state=0)
    covered = faces.occlusion != "none"
    assert covered.sum() == occlusion * len(covered)
    assert set(faces.occlusion[covered]) <= {"sunglasses", "mask", "hand"}


@pytest.mark.parametrize(
    ("covering", "rows"),
    [("sunglasses", slice(42, 54)), ("mask", slice(64, 78)), ("hand", slice(64, 90))],
)
def test_coverings_hide_the_part_of_the_face_that_they_cover(covering, rows):
    subject = draw_subject(2)
    difference = np.abs(draw(subject, covering=covering) - draw(subject)).mean(axis=2)
    assert difference[rows, 32:64].mean() > 10
    assert difference[:20].max() < 1


@pytest.mark.parametrize("max_yaw", [0.0, 15.0, 45.0])
def test_yaw_stays_within_its_limit_and_fills_it(max_yaw):
    faces = make_expression_faces(n_subjects=10, max_yaw=max_yaw, image_size=24, random_state=0)
    assert np.abs(faces.yaw).max() <= max_yaw
    share = np.mean(np.abs(faces.yaw) <= max_yaw / 2)
    assert max_yaw == 0 or 0.35 < share < 0.65


@pytest.mark.parametrize("yaw", [-30.0, -10.0, 10.0, 30.0])
def test_turned_head_moves_its_features_to_that_side_and_the_nose_most(yaw):
    def columns(yaw):
        canvas = HeadCanvas(Image.new("RGB", (96, 96)), yaw=yaw)
        x, y, lift = np.array([[-0.3, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 0.34, 0.3]]).T
        return np.array(canvas.project(x, y, skin_depth(x, y, lift))[::2])

    straight, turned = columns(0.0), columns(yaw)  # of the left eye, the right eye and the nose
    moved = (turned - straight) * np.sign(yaw)
    assert moved.min() > 0
    assert moved[2] > moved[:2].mean() + 0.5
    assert turned[1] - turned[0] < straight[1] - straight[0]


def test_head_turned_to_either_side_shows_another_picture():
    subject = draw_subject(2)
    left, right = draw(subject, yaw=-20.0), draw(subject, yaw=20.0)
    assert np.abs(left - right)[30:80, 20:76].mean() > 10
    assert np.abs(left - right)[80:, :10].max() < 1


@pytest.mark.parametrize("label_noise", [0.0, 0.3, 1.0])
def test_share_of_wrong_labels(label_noise):
    faces = make_expression_faces(
        n_subjects=5, label_noise=label_noise, image_size=24, random_state=0
    )
    wrong = faces.target != faces.target_clean
    assert wrong.sum() == label_noise * len(wrong)
    assert set(faces.target) <= set(range(7))


def test_intensity_is_zero_for_the_neutral_face_only(faces):
    neutral = faces.target == FER2013.index("neutral")
    assert_array_equal(faces.intensity[neutral], 0)
    assert faces.intensity[~neutral].min() >= 0.5
    assert faces.intensity.max() <= 1


@pytest.mark.parametrize("expression", [*FER2013[:6], "contempt"])
def test_expressions_change_the_face_but_not_what_is_around_it(expression):
    subject = draw_subject(4)
    difference = np.abs(draw(subject, expression) - draw(subject)).mean(axis=2)
    assert difference[30:85, 25:71].mean() > 2
    assert difference[:, :6].max() < 1


def test_mouth_differs_between_happy_and_sad():
    for subject in map(draw_subject, range(0, 20, 2)):
        difference = np.abs(draw(subject, "happy") - draw(subject, "sad")).mean(axis=2)
        assert difference[66:84, 32:64].mean() > 8


def test_brows_differ_between_angry_and_surprise():
    for subject in map(draw_subject, range(0, 20, 2)):
        difference = np.abs(draw(subject, "angry") - draw(subject, "surprise")).mean(axis=2)
        assert difference[28:44, 28:68].mean() > 5


def test_weaker_expression_is_nearer_to_the_neutral_face():
    subject = draw_subject(4)
    neutral = draw(subject)
    weak, strong = (draw(subject, "happy", intensity=strength) for strength in (0.2, 1.0))
    assert np.abs(weak - neutral).mean() < np.abs(strong - neutral).mean()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_subjects", 0),
        ("n_subjects", 2.5),
        ("n_per_expression", 0),
        ("n_expressions", 6),
        ("image_size", 8),
        ("occlusion", 1.2),
        ("max_yaw", -1),
        ("max_yaw", 90),
        ("label_noise", -0.1),
        ("random_state", "zero"),
        ("return_X_y", "yes"),
    ],
)
def test_invalid_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of make_expression_faces"):
        make_expression_faces(**{name: value})


def test_raw_pixels_tell_little_about_unseen_subjects(gray_faces):
    X, y, groups = gray_faces
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=0.01, max_iter=1000))
    accuracy = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(3)).mean()
    assert 1.3 / 7 < accuracy < 0.45


def test_sharing_subjects_between_the_folds_is_optimistic(gray_faces):
    X, y, groups = gray_faces
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    disjoint = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(5)).mean()
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    shared = cross_val_score(model, X, y, cv=folds).mean()
    assert shared > disjoint + 0.1
