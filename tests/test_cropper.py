"""From photographs to faces: detection, crops, and rows that stay where they are."""

import csv
import importlib.util
import json
import pickle
import re
import subprocess
import sys
import tracemalloc
from argparse import Namespace

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from quick import SIZE
from rows_as_images import RowsAsImages
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite import __main__ as command
from sklearn_patt_lite._images.decode import BACKGROUND
from sklearn_patt_lite.preprocessing import FaceCropper, FaceResizer, detect_faces
from sklearn_patt_lite.preprocessing._cropper import MARGINS

FACE = 180, 65, 265, 172  # the astronaut's, forehead to chin, ear to ear
needs_mtcnn = pytest.mark.skipif(
    not (importlib.util.find_spec("mtcnn") and importlib.util.find_spec("skimage")),
    reason="needs the extra 'faces', and scikit-image's astronaut",
)


@pytest.fixture(scope="module")
def astronaut():
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut())


def overlap(box, other):
    """Intersection over union."""
    box, other = np.asarray(box), np.asarray(other)
    inner = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    inner = np.prod(np.maximum(inner, 0))
    areas = [np.prod(each[2:] - each[:2]) for each in (box, other)]
    return inner / (sum(areas) - inner)


# Detectors of the tests: bright squares are faces.


def bright(image):
    """Boxes of bright squares, each of its own brightness, and their scores."""
    red = image[..., 0]
    boxes, scores = [], []
    for level in np.unique(red[red > 50]):
        rows, columns = np.nonzero(red == level)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        scores.append(level / 255)
    return {"boxes": boxes, "scores": scores}


def nothing(image):
    return []


def everything(image):
    return [[0, 0, image.shape[1], image.shape[0]]]


def photo(*squares, shape=(80, 100)):
    """A dark photograph with bright squares: (left, top, side, brightness) each."""
    image = np.zeros((*shape, 3), np.uint8)
    for left, top, side, level in squares:
        image[top : top + side, left : left + side] = level
    return image


# scikit-learn's checks


class FaceCropperOnRows(RowsAsImages, FaceCropper):
    real = FaceCropper


class Everything:
    """`everything`, with a name that is the same in all processes: tests are called by it."""

    def __call__(self, image):
        return everything(image)

    def __repr__(self):
        return "Everything()"


ON_ROWS = FaceCropperOnRows(size=8, margin=0.0, detector=Everything())


@parametrize_with_checks([ON_ROWS])
def test_common_checks(estimator, check):
    check(estimator)


def test_the_common_checks_do_run():
    results = check_estimator(ON_ROWS, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) >= 40


# What a detector says


def test_faces_come_the_surest_first():
    found = detect_faces(photo((10, 20, 8, 100), (50, 30, 16, 200)), detector=bright, min_score=0)
    assert found.boxes.tolist() == [[50, 30, 66, 46], [10, 20, 18, 28]]
    assert_allclose(found.scores, [200 / 255, 100 / 255])
    assert found.eyes.shape == (2, 2, 2)
    assert np.isnan(found.eyes).all()


def test_doubtful_faces_are_left_out_and_unscored_ones_are_not():
    image = photo((10, 20, 8, 100), (50, 30, 16, 200))
    assert detect_faces(image, detector=bright, min_score=0.5).boxes.tolist() == [[50, 30, 66, 46]]
    assert len(detect_faces(image, detector=everything, min_score=1).boxes) == 1
    none = detect_faces(image, detector=nothing)
    assert none.boxes.shape == (0, 4)
    assert none.scores.shape == (0,)
    assert none.eyes.shape == (0, 2, 2)


def test_the_eye_on_the_left_comes_first():
    eyes = [[60, 30], [40, 32]]
    given = {"boxes": [[30, 10, 70, 60]], "eyes": [eyes]}
    assert detect_faces(photo(), detector=lambda image: given).eyes.tolist() == [eyes[::-1]]


def test_photographs_are_turned_upright_by_their_exif(tmp_path):
    image = Image.fromarray(photo((10, 20, 8, 200)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    found = detect_faces(tmp_path / "turned.png", detector=bright, min_score=0)
    assert found.boxes.tolist() == [[10, 20, 18, 28]]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1, 2, 3, 4], r"boxes of shape \(4,\); expected \(n_faces, 4\)"),
        ([[1, 2, 3]], r"boxes of shape \(1, 3\)"),
        ([[3, 2, 1, 4]], r"an invalid box.*\[\[3.0, 2.0, 1.0, 4.0\]\]"),
        ([[1, 2, np.nan, 4]], "an invalid box"),
        ({"faces": []}, r"should return 'boxes' .* got \['faces'\]"),
        ({"boxes": [[1, 2, 3, 4]], "score": [1]}, r"should return .* got \['boxes', 'score'\]"),
        ({"boxes": [[1, 2, 3, 4]], "scores": [95]}, r"scores should lie in 0..1; got \[95.0\]"),
        ({"boxes": [[1, 2, 3, 4]] * 2, "eyes": [[[1, 2], [3, 4]], None]}, "eyes must be an array"),
        ([[0, 0, 1e7, 1e7]], "an invalid box"),
        (3, r"boxes of shape \(\)"),
        ((box for box in [[1, 2, 3, 4]]), "boxes must be an array of numbers, got generator"),
        ({"boxes": [[1, 2, 3, 4]], "scores": [1, 1]}, r"scores of shape \(2,\)"),
        ({"boxes": [[1, 2, 3, 4]], "eyes": [[1, 2]]}, r"eyes of shape \(1, 2\)"),
    ],
)
def test_a_detector_that_gives_something_else(found, message):
    with pytest.raises(ValueError, match=message):
        detect_faces(photo(), detector=lambda image: found)
    with pytest.raises(ValueError, match=f"row 0: .*{message}"):
        FaceCropper(detector=lambda image: found).transform([photo()])


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("x"), UnicodeDecodeError("utf8", b"x", 0, 1, "bad")]
)
def test_a_detector_that_fails(error):
    def detect(image):
        if image.max() == 0:
            raise error
        return everything(image)

    with pytest.raises(ValueError, match=r"row 1: .*(x|bad)") as caught:
        FaceCropper(size=8, detector=detect).transform([photo((1, 1, 9, 99)), photo()])
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("found", [None, {"boxes": None, "scores": [None]}])
def test_none_is_no_face(found):
    assert len(detect_faces(photo(), detector=lambda image: found).boxes) == 0


def test_the_crops_are_in_memory_once():
    cropper = FaceCropper(size=128, margin=0, detector=everything)
    photos = [photo()] * 200
    cropper.crop(photos[:1])  # what is imported and kept
    tracemalloc.start()
    try:
        images = cropper.crop(photos).images
        assert tracemalloc.get_traced_memory()[1] < 1.5 * images.nbytes
    finally:
        tracemalloc.stop()


def test_boxes_far_larger_than_the_photograph():
    def detect(image):
        return [[-9e5, -9e5, 9e5, 9e5]]

    (cut,) = FaceCropper(size=8, detector=detect).transform([photo()])
    assert (cut == BACKGROUND).sum() > 150


def test_rows_may_share_an_image_that_was_only_opened(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (600, 800, 3), np.uint8)).save(tmp_path / "noise.png")
    for transformer in (FaceCropper(size=8, detector=everything, n_jobs=4), FaceResizer(n_jobs=4)):
        with Image.open(tmp_path / "noise.png") as image:
            found = transformer.transform([image] * 8)
        assert (found == found[0]).all()


@pytest.mark.parametrize("X", [{0: photo(), 1: photo()}, {"a.png", "b.png"}])
def test_what_has_no_order_is_refused(X):
    for transformer in (FaceCropper(detector=everything), FaceResizer()):
        with pytest.raises(TypeError, match="whose order may not match your labels"):
            transformer.fit_transform(X)


def test_without_the_package_the_way_out_is_told(monkeypatch):
    from sklearn_patt_lite.preprocessing import _detection

    _detection._mtcnn.cache_clear()
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-patt-lite\[faces\]', or pass"):
        detect_faces(np.zeros((50, 50)))


# Crops


def test_a_crop_is_the_square_around_the_face():
    cropper = FaceCropper(size=20, margin=0.5, detector=bright, min_score=0)
    found = cropper.crop([photo((40, 30, 20, 250))])
    (image,) = found.images
    assert image.shape == (20, 20, 3)
    assert (image[6:14, 6:14] == 250).all()  # the middle half of each side
    assert (image[:4] == 0).all()
    assert found.boxes.tolist() == [[40, 30, 60, 50]]
    assert found.angles.tolist() == [0]
    assert found.n_faces.tolist() == [1]
    assert found.done.tolist() == ["face"]


def test_boxes_that_are_not_square_are_not_stretched():
    image = np.zeros((80, 100, 3), np.uint8)
    image[30:50, 40:50] = 250
    cut = FaceCropper(size=20, margin=0, detector=bright, min_score=0).transform([image])[0]
    assert (cut[:, 5:15] == 250).all()
    assert (cut[:, :5] == 0).all()


def test_a_databases_margin_has_its_name():
    image = photo((30, 40, 20, 250))
    named, same, wider = (
        FaceCropper(size=20, margin=margin, detector=bright, min_score=0).transform([image])
        for margin in ("fer2013", MARGINS["fer2013"], 0.5)
    )
    assert_array_equal(named, same)
    assert (named != wider).any()


def test_beyond_the_edges_it_is_grey():
    cropper = FaceCropper(size=20, margin=0.5, detector=bright, min_score=0)
    (cut,) = cropper.transform([photo((0, 0, 20, 250))])
    assert (cut[:4] == BACKGROUND).all()
    assert (cut[:, :4] == BACKGROUND).all()
    assert (cut[6:14, 6:14] == 250).all()


@pytest.mark.parametrize("degrees", [-40, -10, 0, 25])
def test_eyes_are_levelled(degrees):
    """Two bright eyes in a dark face, turned around the photograph's middle."""
    upright = np.array([[40.0, 50.0], [60.0, 50.0]])
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    eyes = (upright - 50) @ rotation.T + 50
    rows, columns = np.mgrid[:100, :100]
    image = np.zeros((100, 100))
    for x, y in eyes:
        image = np.maximum(image, np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / 8))

    def detect(image):
        return {"boxes": [[25, 25, 75, 75]], "eyes": [eyes]}

    found = FaceCropper(size=100, margin=0.5, detector=detect).crop([image])
    assert_allclose(found.angles, degrees, atol=1e-6)
    cut = found.images[0][..., 0].astype(float)
    middles = []
    for half in (slice(0, 50), slice(50, 100)):
        weights = np.where(cut[:, half] > 140, cut[:, half], 0)  # not the corners
        y, x = np.average(np.indices(weights.shape).reshape(2, -1), axis=1, weights=weights.ravel())
        middles.append((x + half.start + 0.5, y + 0.5))
    assert_allclose(middles, upright, atol=0.5)
    askew = FaceCropper(size=100, margin=0.5, align=False, detector=detect).crop([image])
    assert askew.angles.tolist() == [0]


def test_large_faces_are_averaged_when_they_are_reduced():
    """A checkerboard of pixels becomes grey, not black or white."""
    image = np.indices((400, 400)).sum(axis=0) % 2 * 255
    (cut,) = FaceCropper(size=20, margin=0, detector=everything).transform([image])
    assert 120 < cut.min() <= cut.max() < 135


def test_no_face():
    photos = [photo((40, 30, 20, 250)), photo(), photo((10, 10, 10, 250))]
    cropper = FaceCropper(size=20, detector=bright, min_score=0)
    with pytest.raises(ValueError, match="row 1: no face was found; on_no_face='whole'"):
        cropper.transform(photos)
    photos[1] = np.full((40, 80, 3), 40, np.uint8)
    found = cropper.set_params(on_no_face="whole").crop(photos)
    assert found.done.tolist() == ["face", "whole", "face"]
    assert found.n_faces.tolist() == [1, 0, 1]
    assert (found.images[1, 5:15] == 40).all()  # twice as wide as high, and not stretched
    assert (found.images[1, :5] == BACKGROUND).all()
    assert np.isnan(found.boxes[1]).all()
    assert np.isnan(found.scores[1])
    assert np.isfinite(found.boxes[[0, 2]]).all()
    blank = cropper.set_params(on_no_face="blank").crop(photos)
    assert (blank.images[1] == BACKGROUND).all()
    assert blank.done.tolist() == ["face", "blank", "face"]
    assert_array_equal(blank.images[[0, 2]], found.images[[0, 2]])


def test_the_culprit_is_named_by_its_path(tmp_path):
    path = tmp_path / "empty.png"
    Image.fromarray(photo()).save(path)
    cropper = FaceCropper(detector=nothing)
    with pytest.raises(ValueError, match=r"row 1: '.*empty.png': no face was found"):
        FaceCropper(detector=bright, min_score=0).transform([photo((1, 1, 9, 99)), path])
    with pytest.raises(FileNotFoundError, match=r"row 0: .*no.png"):
        cropper.transform([str(tmp_path / "no.png")])
    with pytest.raises(TypeError, match="got str: pass a single one in a list"):
        cropper.transform(str(path))


def test_many_faces():
    crowd = photo((45, 35, 10, 100), (5, 5, 30, 150), (80, 60, 15, 200))
    cropper = FaceCropper(size=8, detector=bright, min_score=0)
    largest = cropper.crop([crowd])
    assert largest.boxes.tolist() == [[5, 5, 35, 35]]
    assert largest.n_faces.tolist() == [3]
    centre = cropper.set_params(on_many="centre").crop([crowd])
    assert centre.boxes.tolist() == [[45, 35, 55, 45]]
    best = cropper.set_params(on_many="best").crop([crowd])
    assert best.boxes.tolist() == [[80, 60, 95, 75]]
    with pytest.raises(ValueError, match="row 1: 3 faces were found; on_many='largest'"):
        cropper.set_params(on_many="raise").transform([photo((1, 1, 9, 99)), crowd])


def test_all_faces_of_all_photographs():
    photos = [photo((5, 5, 30, 150), (80, 60, 15, 200)), photo(), photo((45, 35, 10, 100))]
    cropper = FaceCropper(size=8, margin=0, detector=bright, min_score=0)
    found = cropper.crop_all(photos)
    assert found.rows.tolist() == [0, 0, 2]
    assert found.boxes[:, 0].tolist() == [80, 5, 45]
    assert [int(image.min()) for image in found.images] == [200, 150, 100]
    none = cropper.crop_all([photo()])
    assert none.images.shape == (0, 8, 8, 3)
    assert none.boxes.shape == (0, 4)
    assert none.rows.tolist() == []


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_keep_the_rows(n_jobs):
    photos = [photo((i, i, 10 + i, 60 + i)) for i in range(30)]
    cropper = FaceCropper(size=16, detector=bright, min_score=0)
    one = cropper.crop(photos)
    many = cropper.set_params(n_jobs=n_jobs).crop(photos)
    for name in one:
        assert_array_equal(one[name], many[name])


def test_a_cropper_keeps_nothing_of_what_it_saw():
    cropper = FaceCropper(size=16, detector=bright, min_score=0)
    before = dict(vars(cropper))
    cropper.fit_transform([photo((1, 1, 9, 99))])
    assert vars(cropper) == before
    again = pickle.loads(pickle.dumps(cropper))
    assert_array_equal(*(c.transform([photo((1, 1, 9, 99))]) for c in (cropper, again)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"on_no_face": "drop"}, "'on_no_face' parameter"),
        ({"on_many": "all"}, "'on_many' parameter"),
        ({"detector": "dlib"}, "'detector' parameter"),
        ({"margin": -0.5}, "'margin' parameter"),
        ({"margin": 1e9}, "'margin' parameter"),
        ({"margin": "raf-db"}, "'margin' parameter"),
        ({"size": 0}, "'size' parameter"),
        ({"min_score": 2}, "'min_score' parameter"),
    ],
)
def test_parameters_outside_their_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        FaceCropper(**parameters).transform([photo()])


# MTCNN, on a real face


@needs_mtcnn
def test_the_astronaut_has_one_face(astronaut):
    found = detect_faces(astronaut)
    assert len(found.boxes) == 1
    assert overlap(found.boxes[0], FACE) > 0.5
    assert found.scores[0] > 0.9
    assert_allclose(found.eyes[0], [[204, 100], [245, 102]], atol=6)


@needs_mtcnn
@pytest.mark.parametrize("degrees", [-30, -15, 0, 15, 25])
def test_the_astronauts_eyes_are_level_after_cropping(astronaut, degrees):
    found = FaceCropper().crop([astronaut.rotate(degrees, Image.BICUBIC, expand=True)])
    assert_allclose(found.angles, 2.8 - degrees, atol=5)
    left, right = detect_faces(found.images[0]).eyes[0]
    assert abs(np.degrees(np.arctan2(*(right - left)[::-1]))) < 5


@needs_mtcnn
def test_no_face_of_the_astronaut(astronaut):
    photos = [
        astronaut,
        astronaut.rotate(180),
        astronaut.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        astronaut.crop((300, 250, 512, 512)),
        np.zeros((5, 300)),
    ]
    found = FaceCropper(size=64, on_no_face="blank").crop(photos)
    assert found.done.tolist() == ["face", *["blank"] * 4]
    with pytest.raises(ValueError, match="row 3: no face"):
        FaceCropper().transform([photos[0], photos[0], photos[0], photos[3]])


@needs_mtcnn
def test_a_montage(astronaut):
    """Nine faces of 64 to 400 pixels at different places of a grey page."""
    head = astronaut.crop((140, 20, 320, 220))
    page, true = Image.new("RGB", (1500, 1400), (200, 200, 200)), []
    left = top = below = 0
    for size in np.linspace(64, 400, 9).astype(int):
        face = head.resize((size, size * 200 // 180))
        if left + size > page.width:
            left, top, below = 0, top + below + 20, 0
        page.paste(face, (left, top))
        scale = size / 180
        corners = np.subtract(FACE, (140, 20, 140, 20)) * scale
        true.append(np.add(corners, [left, top, left, top]))
        left, below = left + size + 20, max(below, face.height)
    found = detect_faces(page)
    hits = [max(overlap(box, face) for face in true) > 0.5 for box in found.boxes]
    assert sum(hits) >= 7
    assert len(hits) - sum(hits) <= 1
    crops = FaceCropper(size=48).crop_all([page])
    assert len(crops.images) == len(found.boxes)


@needs_mtcnn
def test_large_photographs_are_measured_in_their_own_pixels(astronaut):
    large = astronaut.resize((2560, 2560), Image.BICUBIC)
    found = detect_faces(large)
    assert overlap(found.boxes[0] / 5, FACE) > 0.5
    assert_allclose(found.eyes[0] / 5, [[204, 100], [245, 102]], atol=6)


@needs_mtcnn
def test_threads_find_the_same(astronaut):
    photos = [astronaut.rotate(degrees) for degrees in (-20, 0, 20, 5)]
    one, two = (FaceCropper(size=64, n_jobs=n_jobs).crop(photos) for n_jobs in (1, 2))
    assert_array_equal(one.boxes, two.boxes)
    assert_array_equal(one.images, two.images)


@needs_mtcnn
@pytest.mark.slow
def test_rows_stay_with_their_labels_through_cross_validation(astronaut):
    """Reddish and greenish photographs; some of each show no face, and none is dropped."""
    rng = np.random.default_rng(0)
    y = np.arange(24) // 2 % 2  # shifted by a row, half of the labels are wrong
    tints = np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.8]])
    is_faceless = np.isin(np.arange(24), [3, 10, 17, 22])
    photos = []
    for label, faceless in zip(y, is_faceless, strict=True):
        shown = astronaut.rotate(rng.uniform(-5, 5)).resize((256, 256))
        if faceless:
            shown = shown.crop((150, 130, 256, 256))
        photos.append((np.asarray(shown) * tints[label]).astype(np.uint8))
    cropper = FaceCropper(size=64, on_no_face="whole")
    # A tint is two thirds brighter in red than the other: no pose of the face outweighs it.
    tint = FunctionTransformer(lambda X: (X[..., 0].mean((1, 2)) / X[..., 1].mean((1, 2)))[:, None])
    pipeline = make_pipeline(cropper, FaceResizer(size=48), tint, DecisionTreeClassifier())
    predicted = cross_val_predict(pipeline, photos, y, cv=StratifiedKFold(2))
    assert_array_equal(predicted, y)
    found = cropper.crop(photos)
    assert_array_equal(found.done == "whole", is_faceless)
    for row in (2, 3, 22, 23):
        assert_array_equal(found.images[row], cropper.transform([photos[row]])[0])


@needs_mtcnn
@pytest.mark.slow
def test_the_command(astronaut, fitted_on_names, tmp_path):
    fitted_on_names.save_model(tmp_path / "classifier.zip")
    pair = Image.new("RGB", (800, 512))
    pair.paste(astronaut, (0, 0))
    pair.paste(astronaut.resize((288, 288)), (512, 100))
    photos = [tmp_path / "pair.png", tmp_path / "nobody.jpg", tmp_path / "nowhere.jpg"]
    pair.save(photos[0])
    Image.new("RGB", (60, 40)).save(photos[1])
    table = tmp_path / "seen" / "faces.csv"
    given = [sys.executable, "-m", "sklearn_patt_lite", *map(str, (*photos, photos[0]))]
    given += ["--classifier", str(tmp_path / "classifier.zip")]
    result = subprocess.run(
        [*given, "--csv", str(table), "--draw", str(tmp_path / "seen")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"{photos[2]}: not read (row 0: cannot read" in result.stderr
    assert re.search(r"nobody.jpg +no face found", result.stdout)
    assert "faces: 4, photographs: 3, not read: 1" in result.stderr
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == [str(photos[0])] * 4
    for row in rows:
        shares = {name: float(row[name]) for name in fitted_on_names.classes_}
        assert abs(sum(shares.values()) - 1) < 0.01
        assert shares[row["expression"]] == max(shares.values())
    names = sorted(path.name for path in (tmp_path / "seen").glob("*.png"))
    assert names == ["001_pair.png", "002_nobody.png", "004_pair.png"]
    with Image.open(tmp_path / "seen" / "001_pair.png") as seen:
        changed = (np.asarray(seen) != np.asarray(pair)).any(axis=-1)
    left, top, right, _ = map(int, rows[0]["box"].split())
    assert changed[top : top + 1, left:right].mean() > 0.9
    assert 0.005 < changed.mean() < 0.3


@needs_mtcnn
def test_the_command_prints_json(astronaut, tmp_path, capsys):
    photos = [str(tmp_path / name) for name in ("astronaut.png", "nobody.png")]
    astronaut.save(photos[0])
    Image.new("RGB", (60, 40), "white").save(photos[1])
    assert command.main([*photos, "--json"]) == 0
    seen, nobody = map(json.loads, capsys.readouterr().out.splitlines())
    assert nobody == {"photo": photos[1], "faces": []}
    (face,) = seen["faces"]
    assert (face["face"], face["expression"]) == (1, "happy")
    left, top, right, bottom = face["box"]
    assert 0 < left < right < 512
    assert 0 < top < bottom < 512
    names = PAttLiteClassifier.from_pretrained("fer2013").classes_
    assert abs(sum(face[name] for name in names) - 1) < 0.01


@pytest.fixture
def use(fitted_on_names, monkeypatch):
    """Let the command use a detector instead of the pretrained classifier's."""

    def use(detector):
        cropper = FaceCropper(size=SIZE, detector=detector)
        monkeypatch.setattr(command, "load", lambda arguments: (cropper, fitted_on_names))

    return use


def test_the_command_draws_what_it_has_read(use, tmp_path):
    """Photographs whose metadata cannot be read are read all the same."""
    use(everything)
    path = tmp_path / "photo.png"
    Image.fromarray(photo((10, 20, 8, 100))).save(path, exif=b"Exif\0\0none of it")
    assert command.main([str(path), "--draw", str(tmp_path / "seen")]) == 0
    assert (tmp_path / "seen" / "001_photo.png").exists()


def test_the_command_takes_names_that_are_not_utf8(use, tmp_path, capsys):
    use(everything)
    path, table = tmp_path / "caf\udce9.png", tmp_path / "faces.csv"
    Image.fromarray(photo()).save(path)
    assert command.main([str(path), "--csv", str(table)]) == 0
    assert r"caf\udce9.png" in capsys.readouterr().out
    assert r"caf\udce9.png" in table.read_text("utf-8")


def test_the_command_goes_on_after_a_detector_failed(use, tmp_path, capsys):
    def failing(image):
        raise TypeError("odd")

    use(failing)
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    assert command.main([str(tmp_path / "photo.png")] * 2) == 1
    assert "photographs: 0, not read: 2" in capsys.readouterr().err


def test_the_command_refuses_options_before_it_reads(capsys):
    with pytest.raises(SystemExit, match="'min_score' parameter of FaceCropper"):
        command.main(["photo.jpg", "--min-score", "90"])
    assert "not read" not in capsys.readouterr().err


def test_the_command_says_what_is_not_installed(monkeypatch):
    def missing(*args):
        raise ImportError("detector='mtcnn' needs the package mtcnn")

    monkeypatch.setattr(FaceCropper, "crop_all", missing)
    with pytest.raises(SystemExit, match="needs the package mtcnn"):
        command.main(["photo.jpg"])


def test_the_command_takes_a_pipeline_with_its_own_cropper(fitted_on_names, tmp_path):
    load = command.load
    own = FaceCropper(size=64, margin=0.4)
    joblib.dump(
        make_pipeline(own, FaceResizer(size=SIZE), fitted_on_names), tmp_path / "classifier.joblib"
    )
    cropper, classifier = load(Namespace(classifier=tmp_path / "classifier.joblib"))
    assert cropper.get_params() == own.get_params()
    assert len(classifier) == 2
    faces = np.full((2, 64, 64, 3), 128, np.uint8)
    assert_array_equal(
        classifier.predict_proba(faces), fitted_on_names.predict_proba(faces[:, :SIZE, :SIZE])
    )


def test_the_command_crops_faces_as_large_as_those_that_were_trained_on(fitted_on_names, tmp_path):
    """Whatever `input_size` is: "auto", by default."""
    load = command.load
    joblib.dump(fitted_on_names, tmp_path / "classifier.joblib")
    path = tmp_path / "classifier.joblib"
    cropper, classifier = load(Namespace(classifier=path, margin=0.2, min_score=0.9))
    assert cropper.size == SIZE
    classifier.set_params(input_size="auto")
    joblib.dump(classifier, path)
    cropper, _ = load(Namespace(classifier=path, margin=0.2, min_score=0.9))
    assert cropper.size == SIZE
