"""The scripts that train: on one's own faces, and on FER2013."""

import copy
import re
import runpy
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from quick import quick
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import FunctionTransformer

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.__main__ import main
from sklearn_patt_lite.datasets import make_expression_faces

SCRIPT = Path(__file__).parents[1] / "examples" / "train_on_faces.py"


@pytest.fixture(autouse=True)
def _scripts_find_each_other(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)


@pytest.fixture
def script():
    return runpy.run_path(str(SCRIPT))


def test_each_stage_is_told_of(script, faces):
    classifier = quick(epochs=2, finetune_epochs=1).fit(faces.images, faces.target)
    told = script["stages"](classifier)
    pattern = r"(\w+): validation (0\.\d{3}|1\.000) \(epoch \d of (\d)\)"
    assert [found[::2] for found in re.findall(pattern, told)] == [("head", "2"), ("finetune", "1")]


def test_a_stage_that_only_harmed_has_no_best_epoch(script):
    told = script["stage"]({"loss": [1.0, 1.0], "val_accuracy": [0.3, 0.2], "best_epoch": -1})
    assert told == "worse than stage 1 in every epoch (of 2); stage 1's weights were kept"


def test_baselines_are_chosen_by_subject(script, tmp_path, monkeypatch):
    """The parameter of the regression, too, is chosen on other people."""
    given = []

    class Search:
        def __init__(self, pipeline, grid, cv):
            self.cv = cv

        def fit(self, X, y, groups):
            given.append((self.cv, groups))
            return self

        def predict(self, X):
            return np.zeros(len(X))

    def features(grid):
        return FunctionTransformer(lambda X: X.reshape(len(X), -1))

    known = script["report_baselines"].__globals__
    monkeypatch.setitem(known, "GridSearchCV", Search)
    monkeypatch.setitem(known, "BackboneFeatures", features)
    X, y, groups = np.zeros((12, 2, 2)), np.arange(12) % 2, np.arange(12) // 2
    script["report_baselines"](X, X, y, y, groups, SimpleNamespace(output=tmp_path))
    for cv, given_groups in given:
        assert isinstance(cv, GroupKFold)
        assert_array_equal(given_groups, groups)
    assert len(given) == 2


def two_parts(path, split):
    """FER2013 as some copies have it, without PrivateTest."""
    return SimpleNamespace(
        images=np.zeros((44, 48, 48), np.uint8),
        target=np.arange(44) % 7,
        target_names=np.array(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]),
        split=np.array(["train"] * 42 + ["validation"] * 2),
    )


def test_a_table_without_a_test_part_is_split(script, monkeypatch):
    monkeypatch.setitem(script["load_csv"].__globals__, "load_fer2013", two_parts)
    X_train, X_test, *_ = script["load_csv"]("fer2013.csv")
    assert (len(X_train), len(X_test)) == (33, 9)


def test_a_part_that_is_missing_is_told_of_before_the_fit(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_expressions.py", "fer2013.csv", "--test"])
    main = runpy.run_path(str(SCRIPT.with_name("train_expressions.py")))["main"]
    monkeypatch.setitem(main.__globals__, "load_fer2013", two_parts)
    with pytest.raises(SystemExit, match="--test needs PrivateTest"):
        main()


def test_no_images_are_among_the_training_images():
    script = runpy.run_path(str(SCRIPT.with_name("train_expressions.py")))
    found = script["stand_not_in"](np.zeros((1, 2)), np.zeros((0, 2)))
    assert (found.shape, found.dtype) == ((0,), bool)


def test_subjects_are_held_out_whole(script):
    groups = np.repeat(np.arange(10), 4)
    X, y = np.arange(40), np.arange(40) % 2
    X_train, X_test, _, _, groups_train = script["hold_out"](X, y, groups)
    assert not set(groups[X_test]) & set(groups_train)
    assert sorted([*X_train, *X_test]) == X.tolist()


TINY = [
    *("--backbone-weights", "drawn", "--alpha", "0.25", "--input-size", "64", "--patch-size", "2"),
    *("--epochs", "1", "--finetune-epochs", "1"),
]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script of examples/ in this process, and gives what it printed."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        main = runpy.run_path(str(SCRIPT.with_name(name)))["main"]
        assert not main()
        return capsys.readouterr().out

    return run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Predictions collapse:UserWarning")
def test_from_a_folder_to_a_photograph_to_a_file_for_a_phone(run, tmp_path):
    """The whole way of somebody's own faces, script by script."""
    data, _ = pytest.importorskip("skimage.data"), pytest.importorskip("mtcnn")
    faces = make_expression_faces(
        n_subjects=5, n_expressions=7, n_per_expression=1, image_size=64, random_state=0
    )
    for number, image in enumerate(faces.images):
        folder = tmp_path / "faces" / faces.target_names[faces.target[number]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"p{faces.groups[number]}_{number}.png")
    given = [tmp_path / "faces", "--groups-from", r"^(p\d+)_", "--output", tmp_path / "fits", *TINY]
    told = run("train_on_faces.py", *given)
    assert "28 images to train on, 7 to test on" in told
    (kept,) = (tmp_path / "fits").glob("*.zip")
    assert str(kept) in told
    again = run("train_on_faces.py", *given)
    assert f"trained in an earlier run: {kept}" in again
    assert again.partition("accuracy ")[2] == told.partition("accuracy ")[2]

    Image.fromarray(data.astronaut()).save(tmp_path / "photo.png")
    table = tmp_path / "faces.csv"
    command = [str(tmp_path / "photo.png"), "--classifier", str(kept), "--csv", str(table)]
    assert main(command) == 0
    header, *rows = table.read_text("utf-8").splitlines()
    assert header.endswith(",".join(sorted(faces.target_names)))
    assert len(rows) == 1
    classifier = PAttLiteClassifier.load_model(kept)
    report = classifier.export_model(tmp_path / "faces.tflite", X=faces.images)
    assert report.agreement == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Predictions collapse:UserWarning")
def test_from_fer2013_to_a_file(run, tmp_path):
    faces = make_expression_faces(n_subjects=8, image_size=48, random_state=0)
    images, codes = faces.images.mean(axis=3).astype(np.uint8), faces.target
    X_val = np.concatenate([images[:2], images[84:]])  # two stand in the training part
    y_val = np.concatenate([codes[:2], codes[84:]])
    np.savez(
        tmp_path / "fer2013.npz", X_train=images[:84], y_train=codes[:84], X_val=X_val, y_val=y_val
    )
    path = tmp_path / "fer2013.zip"
    given = [tmp_path / "fer2013.npz", *TINY, "--images", 70]
    told = run(
        "train_expressions.py", *given, "--output", path, "--checkpoint-dir", tmp_path / "fit"
    )
    n = [int(found) for found in re.findall(r"^PublicTest.*: (\d+) images", told, re.MULTILINE)]
    trained_on = np.random.default_rng(0).permutation(84)[:70]
    n_known = np.isin([0, 1], trained_on).sum()
    assert n_known > 0
    assert n == [30, 30 - n_known]
    assert re.search(r"in half precision, \d+ of 30 labels differ", told)
    temperature = float(re.search(r"^temperature (\d+\.\d+)$", told, re.MULTILINE)[1])
    assert 0 < temperature < np.inf
    classifier = PAttLiteClassifier.load_model(path)
    assert classifier.image_shape_ == (48, 48, 1)
    assert classifier.classes_.tolist() == sorted(faces.target_names)
    assert classifier.history_["validation"]["n_train"] == 70
    with zipfile.ZipFile(path) as archive:
        assert "PublicTest without what stands in Training" in archive.read("README.md").decode()


def test_a_temperature_divides_the_logits(fitted_on_names, faces, run):
    script = runpy.run_path(str(SCRIPT.with_name("train_expressions.py")))
    classifier, names = copy.deepcopy(fitted_on_names), faces.target_names[faces.target]
    before = classifier.predict_proba(faces.images)
    weights = classifier.model_.layers[-1].get_weights()
    calibrated, temperature = script["calibrate"](classifier, faces.images, names)
    for new, old in zip(calibrated.model_.layers[-1].get_weights(), weights, strict=True):
        np.testing.assert_allclose(new, old / temperature, rtol=1e-5)
    after = calibrated.predict_proba(faces.images)
    columns = np.searchsorted(classifier.classes_, names)
    losses = [-np.log(p[np.arange(len(p)), columns]).mean() for p in (before, after)]
    assert losses[1] < losses[0]
