"""Predictions of many files: what cannot be read has a row, and a killed run goes on."""

import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.prediction import (
    _table,
    predict_files,
    predictions_schema,
    write_predictions,
)

parquet = pytest.importorskip("pyarrow.parquet", reason="optional: extra 'parquet'")

SCRIPT = Path(__file__).parents[1] / "examples" / "predict_files.py"
N = 14


@pytest.fixture(scope="module")
def classifier():
    return PAttLiteClassifier.from_pretrained("fer2013")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fourteen faces in files."""
    folder = tmp_path_factory.mktemp("faces")
    faces = make_expression_faces(n_subjects=1, image_size=48, random_state=0)
    for i, image in enumerate(faces.images[:N]):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return sorted(map(str, folder.glob("*.png")))


@pytest.fixture
def damaged(paths, tmp_path):
    """The same paths, of which four lead to no image."""
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    lost = [str(tmp_path / name) for name in ("missing.png", "text.png", "empty.png")]
    return [lost[0], *paths[:5], lost[1], lost[2], *paths[5:], str(tmp_path)]


def probabilities_of(table, classifier):
    columns = [table[f"probability_{name}"] for name in classifier.classes_]
    return np.stack(columns, axis=1)


def test_columns_are_what_the_classifier_predicts(classifier, paths):
    table = predict_files(classifier, paths)
    names = [f"probability_{name}" for name in classifier.classes_]
    assert list(table) == ["path", "label", *names, "error"]
    assert_array_equal(table["path"], paths)
    assert_array_equal(table["label"], classifier.predict(paths))
    assert_array_equal(probabilities_of(table, classifier), classifier.predict_proba(paths))
    assert set(table["error"]) == {None}


def test_a_file_that_cannot_be_read_has_a_row_of_its_own(classifier, damaged, paths):
    table = predict_files(classifier, damaged)
    unread = np.array([path not in paths for path in damaged])
    assert_array_equal(table["path"], damaged)
    assert unread.sum() == 4
    for path, error in zip(np.array(damaged)[unread], table["error"][unread], strict=True):
        assert error.startswith(f"cannot read {path!r}") or path in error
        assert not error.startswith("row")
    assert set(table["label"][unread]) == {None}
    probabilities = probabilities_of(table, classifier)
    assert np.isnan(probabilities[unread]).all()
    assert set(table["error"][~unread]) == {None}
    np.testing.assert_allclose(
        probabilities[~unread], classifier.predict_proba(paths), rtol=0, atol=1e-5
    )
    assert_array_equal(table["label"][~unread], classifier.predict(paths))


def test_no_files_give_columns_without_rows(classifier):
    table = predict_files(classifier, [])
    assert {len(column) for column in table.values()} == {0}
    assert {column.dtype for column in table.values()} == {np.dtype(object), np.dtype("f4")}


@pytest.mark.parametrize("path", ["face.png", Path("face.png")])
def test_a_path_alone_is_no_list_of_paths(classifier, path):
    with pytest.raises(TypeError, match=r"array-like"):
        predict_files(classifier, path)


@pytest.mark.parametrize("kind", [set, dict.fromkeys])
def test_paths_have_an_order(classifier, paths, kind):
    with pytest.raises(TypeError, match="must be ordered"):
        predict_files(classifier, kind(paths))


def test_paths_may_be_a_column_of_a_table(classifier, paths):
    import pyarrow as pa

    expected = predict_files(classifier, paths)["label"]
    for column in (np.array(paths)[:, np.newaxis], pa.chunked_array([paths]), np.array(paths)):
        assert_array_equal(predict_files(classifier, column)["label"], expected)


def test_what_is_no_path_is_named(classifier, paths):
    with pytest.raises(TypeError, match=r"row 2 of paths: expected a path, got nan"):
        predict_files(classifier, [*paths[:2], float("nan")])


def test_a_classifier_that_is_not_fitted_is_no_file_that_cannot_be_read(paths):
    with pytest.raises(NotFittedError):
        predict_files(PAttLiteClassifier(), paths)


def test_a_table_in_chunks_is_the_table_of_all(classifier, damaged, tmp_path):
    output = tmp_path / "faces.parquet"
    assert write_predictions(classifier, damaged, output, chunk_size=5) == 4
    whole = predict_files(classifier, damaged)
    table = parquet.read_table(output)
    assert table.column_names == list(whole)
    for name in ("path", "label", "error"):
        assert table[name].to_pylist() == whole[name].tolist()
    assert table["probability_happy"].null_count == 4
    for name in classifier.classes_:
        name = f"probability_{name}"
        found = table[name].to_numpy()
        np.testing.assert_allclose(found, whole[name], rtol=0, atol=1e-5)
    assert table.schema.equals(predictions_schema(classifier), check_metadata=False)
    assert sorted(os.listdir(tmp_path)) == ["empty.png", "faces.parquet", "text.png"]


def test_labels_keep_their_type(classifier, paths, tmp_path):
    numbered = PAttLiteClassifier.from_pretrained("fer2013")
    numbered.classes_ = np.arange(7)
    write_predictions(numbered, paths, tmp_path / "faces.parquet")
    table = parquet.read_table(tmp_path / "faces.parquet")
    assert table["label"].to_pylist() == numbered.predict(paths).tolist()
    assert "probability_6" in table.column_names


class _Killed(BaseException):
    pass


def test_a_run_that_was_stopped_goes_on(classifier, damaged, tmp_path, monkeypatch):
    undisturbed, output = tmp_path / "undisturbed.parquet", tmp_path / "faces.parquet"
    write_predictions(classifier, damaged, undisturbed, chunk_size=4)
    predicted = []

    def predict_until_killed(classifier, chunk):
        if len(predicted) == 8:
            raise _Killed
        predicted.extend(chunk)
        return predict_files(classifier, chunk)

    monkeypatch.setattr(_table, "predict_files", predict_until_killed)
    with pytest.raises(_Killed):
        write_predictions(classifier, damaged, output, chunk_size=4)
    assert not output.exists()

    def predict(classifier, chunk):
        predicted.extend(chunk)
        return predict_files(classifier, chunk)

    monkeypatch.setattr(_table, "predict_files", predict)
    assert write_predictions(classifier, damaged, output, chunk_size=4) == 4
    assert predicted == damaged  # each once
    assert parquet.read_table(output).equals(parquet.read_table(undisturbed))


def test_a_table_that_is_finished_is_found(classifier, damaged, tmp_path, monkeypatch):
    output = tmp_path / "faces.parquet"
    write_predictions(classifier, damaged, output)
    before = output.stat().st_mtime_ns
    monkeypatch.delattr(_table, "predict_files")
    assert write_predictions(classifier, damaged, output) == 4
    assert output.stat().st_mtime_ns == before


@pytest.mark.parametrize("finished", [True, False])
def test_what_holds_other_predictions_is_not_overwritten(
    classifier, paths, tmp_path, monkeypatch, finished
):
    output = tmp_path / "faces.parquet"
    if not finished:
        monkeypatch.setattr(_table, "_join", lambda *_: 1 / 0)
    try:
        write_predictions(classifier, paths, output, chunk_size=5)
    except ZeroDivisionError:
        assert not finished
    monkeypatch.undo()
    other = PAttLiteClassifier.from_pretrained("fer2013").set_params(batch_size=8)
    where = r"faces\.parquet" if finished else r"faces\.parquet\.parts.*"
    with pytest.raises(FileExistsError, match=where + "' contains predictions of other paths"):
        write_predictions(classifier, paths[1:], output, chunk_size=5)
    with pytest.raises(FileExistsError, match="of another classifier"):
        write_predictions(other, paths, output, chunk_size=5)
    with pytest.raises(FileExistsError, match="of chunks of another size"):
        write_predictions(classifier, paths, output, chunk_size=4)
    assert write_predictions(classifier, paths, output, chunk_size=5) == 0


def test_another_file_is_not_overwritten(classifier, paths, tmp_path):
    output = tmp_path / "faces.parquet"
    output.write_text("a diary")
    with pytest.raises(FileExistsError, match="is not a Parquet file"):
        write_predictions(classifier, paths, output)
    assert output.read_text() == "a diary"


def test_paths_of_another_machine_are_told_at_once(classifier, tmp_path):
    paths = [f"/there/{i}.png" for i in range(9)]
    with pytest.raises(
        FileNotFoundError, match=r"None of the 5 files from row 0 on .*there/0\.png"
    ):
        write_predictions(classifier, paths, tmp_path / "faces.parquet", chunk_size=5)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_gone_stops_a_run_which_goes_on_later(
    classifier, folder, tmp_path, monkeypatch
):
    moved, there = tmp_path / "moved", tmp_path / "faces"
    shutil.copytree(folder, there)
    paths, output = sorted(map(str, there.iterdir())), tmp_path / "faces.parquet"

    def predict(classifier, chunk):
        if chunk[0] == paths[5]:
            there.rename(moved)
        return predict_files(classifier, chunk)

    monkeypatch.setattr(_table, "predict_files", predict)
    with pytest.raises(FileNotFoundError, match="files from row 5 on could be read"):
        write_predictions(classifier, paths, output, chunk_size=5)
    monkeypatch.undo()
    moved.rename(there)
    assert write_predictions(classifier, paths, output, chunk_size=5) == 0


def test_the_last_files_may_be_missing(classifier, paths, tmp_path):
    lost = [*paths, str(tmp_path / "lost.png")]
    assert write_predictions(classifier, lost, tmp_path / "faces.parquet", chunk_size=N) == 1


def test_a_path_that_is_not_utf8_is_named(classifier, paths, tmp_path):
    with pytest.raises(ValueError, match=r"row 1 of paths: .* is not UTF-8"):
        write_predictions(classifier, [paths[0], "caf\udce9.jpg"], tmp_path / "faces.parquet")


def test_a_classifier_that_cannot_be_recognized_is_told_at_once(paths, tmp_path):
    from sklearn.dummy import DummyClassifier

    classifier = DummyClassifier().fit(paths, np.arange(len(paths)) % 2)
    classifier.detector = lambda image: image
    with pytest.raises(TypeError, match="cannot be pickled"):
        write_predictions(classifier, paths, tmp_path / "faces.parquet")


def test_what_a_kill_after_the_end_has_left_is_removed(classifier, paths, tmp_path, monkeypatch):
    output = tmp_path / "faces.parquet"
    monkeypatch.setattr(_table, "_count_unread", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_predictions(classifier, paths, output)
    assert len(os.listdir(tmp_path)) == 2
    monkeypatch.undo()
    write_predictions(classifier, paths, output)
    assert os.listdir(tmp_path) == ["faces.parquet"]


def test_a_part_that_is_damaged_is_named(classifier, paths, tmp_path, monkeypatch):
    output = tmp_path / "faces.parquet"
    monkeypatch.setattr(_table, "_join", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_predictions(classifier, paths, output, chunk_size=5)
    monkeypatch.undo()
    (tmp_path / "faces.parquet.parts" / "000000000005.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileExistsError, match=r"000000000005\.parquet' .*: delete it\.$"):
        write_predictions(classifier, paths, output, chunk_size=5)


@pytest.mark.parametrize("n_damaged", [1, 30, 60])
def test_damaged_files_cost_little(tmp_path, n_damaged):
    """No file is given to the classifier more than three times."""

    class Counting(BaseEstimator):
        classes_ = np.arange(2)
        n_seen = 0

        def fit(self):
            pass

        def __sklearn_is_fitted__(self):
            return True

        def predict_proba(self, X):
            self.n_seen += len(X)
            if any("damaged" in path for path in X):
                raise ValueError("damaged")
            return np.full((len(X), 2), 0.5)

    paths = [f"{i}" for i in range(1024)]
    for i in np.random.default_rng(0).permutation(1024)[:n_damaged]:
        paths[i] = f"{i} damaged"
    classifier = Counting()
    table = predict_files(classifier, paths)
    assert table["error"].tolist() == ["damaged" if "damaged" in path else None for path in paths]
    assert classifier.n_seen <= 3 * 1024


def test_without_the_folder_nothing_is_predicted(classifier, paths, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_predictions(classifier, paths, tmp_path / "there" / "faces.parquet")


def test_without_pyarrow_the_way_is_told(classifier, paths, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"sklearn-patt-lite\[parquet\]"):
        write_predictions(classifier, paths, tmp_path / "faces.parquet")


def test_progress_is_shown_if_asked_for(classifier, paths, tmp_path, capfd):
    write_predictions(classifier, paths, tmp_path / "quiet.parquet")
    assert capfd.readouterr().err == ""
    write_predictions(classifier, paths, tmp_path / "told.parquet", verbose=1)
    assert f"{N}/{N}" in capfd.readouterr().err


def test_any_classifier_will_do(paths):
    """One that knows no images, behind a transformer that reads the files."""
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import make_pipeline

    from sklearn_patt_lite.preprocessing import FaceResizer

    labels = np.arange(len(paths)) % 3
    pipeline = make_pipeline(FaceResizer(size=16), _Flat(), DummyClassifier(strategy="prior"))
    pipeline.fit(paths, labels)
    table = predict_files(pipeline, [*paths, "missing.png"])
    assert table["label"].tolist() == [*pipeline.predict(paths), None]
    assert "missing.png" in table["error"][-1]


class _Flat:
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.reshape(X, (len(X), -1))


# The script


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["predict_files.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT))["main"]()
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("kind", ["folder", "pattern", "csv", "parquet"])
def test_files_are_given_in_four_ways(run, folder, paths, tmp_path, kind):
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table({"id": list(range(N)), "file": paths})
    csv.write_csv(table, tmp_path / "table.csv")
    parquet.write_table(table, tmp_path / "table.parquet")
    files = {
        "folder": [folder],
        "pattern": [f"{folder}/*.png"],
        "csv": [tmp_path / "table.csv", "--column", "file"],
        "parquet": [tmp_path / "table.parquet", "--column", "file"],
    }[kind]
    told = run(*files, "--output", tmp_path / "out.parquet")
    assert f"{N} predicted, 0 failed" in told
    assert parquet.read_table(tmp_path / "out.parquet")["path"].to_pylist() == paths


@pytest.mark.slow
def test_photographs_are_cropped_first(run, tmp_path):
    pytest.importorskip("mtcnn", reason="optional: extra 'faces'")
    from skimage.data import astronaut

    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut()).save(tmp_path / "photos" / "face.png")
    Image.fromarray(astronaut()[300:]).save(tmp_path / "photos" / "none.png")
    assert "1 predicted, 1 failed" in run(
        tmp_path / "photos", "--crop", "--output", tmp_path / "out.parquet"
    )
    table = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert table["label"] == ["happy", None]
    assert "no face" in table["error"][1]


def test_no_files_are_told_of(run, tmp_path):
    with pytest.raises(SystemExit, match="No images were found"):
        run(tmp_path, "--output", tmp_path / "out.parquet")


@pytest.mark.slow
def test_a_script_that_was_killed_goes_on(folder, run, tmp_path):
    """Once a part of three is there, unless it was quicker."""
    output, parts = tmp_path / "out.parquet", tmp_path / "out.parquet.parts"
    arguments = [folder, "--output", output, "--chunk-size", "5"]
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(parts.glob("*.parquet")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    if not output.exists():
        assert len(list(parts.glob("0*.parquet"))) >= 1
    assert f"{N} predicted, 0 failed" in run(*arguments)
    run(folder, "--output", tmp_path / "other.parquet", "--chunk-size", "5")
    assert parquet.read_table(output).equals(parquet.read_table(tmp_path / "other.parquet"))
    assert not parts.exists()
