"""Exported networks say what the classifier says, and leave nothing half-made."""

import importlib.util
import json
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick import HEAD_ONLY
from sklearn.exceptions import NotFittedError

from sklearn_patt_lite import PAttLiteClassifier

NEEDED = ("ai_edge_quantizer", "onnxruntime", "onnx")
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason="needs the extra 'export'"
)

FORMATS = ("litert", "onnx", "saved_model")


def run(path, format, images):
    """Run an exported network by nothing but its runtime and what stands beside it."""
    contract = json.loads((path.parent / f"{path.name}.json").read_text())
    name, shape = contract["input"]["name"], contract["input"]["shape"]
    assert list(images.shape[1:]) == shape[1:]
    images = images.astype(contract["input"]["dtype"])
    if format == "onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).run(None, {name: images})[0]
    if format == "saved_model":
        import tensorflow as tf

        serve = tf.saved_model.load(path).signatures["serving_default"]
        return serve(**{name: tf.constant(images)})[contract["output"]["name"]].numpy()
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return runner(**{name: images})[contract["output"]["name"]]


@pytest.mark.parametrize("format", FORMATS)
def test_it_says_what_the_classifier_says(format, fitted_on_names, faces, tmp_path):
    path = tmp_path / "network"
    report = fitted_on_names.export_model(path, format=format, X=faces.images)
    assert report.agreement == 1
    assert report.max_difference <= 1e-4
    assert report.n_images == len(faces.images)
    assert report.format in str(report)
    assert f"{report.n_bytes / 1e6:.2f} MB" in str(report)
    if format != "saved_model":
        assert report.n_bytes == path.stat().st_size
    expected = fitted_on_names.predict_proba(faces.images)
    for n in (1, 5):
        assert_allclose(run(path, format, faces.images[:n]), expected[:n], atol=1e-4)
    labels = json.loads((tmp_path / "network.json").read_text())["output"]["labels"]
    assert labels == fitted_on_names.classes_.tolist()
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "network.json"]


def test_another_process_without_the_library(fitted_on_names, faces, tmp_path):
    fitted_on_names.export_model(tmp_path / "network.onnx", format="onnx")
    np.save(tmp_path / "images.npy", faces.images[:3].astype("float32"))
    program = (
        "import sys, numpy as np, onnxruntime\n"
        "session = onnxruntime.InferenceSession('network.onnx')\n"
        "np.save('found.npy', session.run(None, {'image': np.load('images.npy')})[0])\n"
        "assert not {'tensorflow', 'sklearn_patt_lite'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = fitted_on_names.predict_proba(faces.images[:3])
    assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-4)


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize(
    ("format", "changes"),
    [
        ("litert", {"image_shape": (40, 56, 1), "flip_averaging": True}),
        ("litert", {"image_shape": (40, 56, 1), "flip_averaging": True, "crop_averaging": True}),
        # It is shrunk, without skipping pixels.
        ("onnx", {"image_shape": (100, 70, 3), "flip_averaging": True}),
        ("litert", {"attention": None, "hidden_units": None, "patch_extraction": None}),
        ("onnx", {"patch_extraction": "conv"}),
        ("litert", {"patch_extraction": "attention", "augment": False}),
        ("onnx", {"output_layer": None, "patch_extraction": None, "attention": None}),
        ("saved_model", {"flip_averaging": True, "crop_averaging": True}),
    ],
    ids=str,
)
def test_every_variant(format, changes, faces, tmp_path):
    settings = {**HEAD_ONLY, **changes}
    shape = settings.pop("image_shape", faces.images.shape[1:])
    images = np.resize(faces.images, (14, *shape))
    classifier = PAttLiteClassifier(**settings).fit(images, faces.target[:14])
    report = classifier.export_model(tmp_path / "network", format=format, X=images)
    found = run(tmp_path / "network", format, images)
    assert_allclose(found, classifier.predict_proba(images), atol=1e-4)
    assert report.max_difference <= 1e-4


def test_8_bits(fitted_on_names, faces, tmp_path, capfd):
    large = fitted_on_names.export_model(tmp_path / "large.tflite", X=faces.images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an epoch of training: all labels are close
        small = fitted_on_names.export_model(tmp_path / "small.tflite", calibration=faces.images)
    assert "it/s" not in capfd.readouterr().err
    assert small.n_bytes < large.n_bytes
    assert 1e-7 < small.max_difference < 0.05
    found = run(tmp_path / "small.tflite", "litert", faces.images)
    assert_allclose(found, fitted_on_names.predict_proba(faces.images), atol=0.05)
    assert "8 bits" in json.loads((tmp_path / "small.tflite.json").read_text())["weights"]


def test_calibration_brings_8_bits_nearer(fitted, faces, tmp_path, monkeypatch):
    """Without it the means of channels are off, and all that follows."""

    def difference():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            fitted.export_model(tmp_path / "network.tflite", calibration=faces.images)
        found = run(tmp_path / "network.tflite", "litert", faces.images)
        return np.abs(found - fitted.predict_proba(faces.images)).mean()

    corrected = difference()
    monkeypatch.setattr(
        "sklearn_patt_lite._persistence.export._correct_biases", lambda _, weights, images: weights
    )
    assert corrected < difference()


# On Python 3.13 the converter, too, uses what is deprecated; `pytest.warns` would hand it on.
@pytest.mark.filterwarnings("ignore:.*___pyct_anno:DeprecationWarning")
def test_labels_that_part_are_told_of(fitted_on_names, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sklearn_patt_lite._persistence.export._predict",
        lambda run, images: np.eye(7)[[0] * len(images)],
    )
    with pytest.warns(UserWarning, match=r"With 8 bits, only \d+\.\d% of the labels agree") as told:
        fitted_on_names.export_model(tmp_path / "network.tflite", calibration=faces.images)
    assert [each.filename for each in told if each.category is UserWarning] == [__file__]


def test_a_graph_that_differs_is_not_kept(fitted_on_names, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sklearn_patt_lite._persistence.export._predict",
        lambda run, images: np.eye(7)[[0] * len(images)],  # further off than any network is sure
    )
    for format in FORMATS:
        with pytest.raises(RuntimeError, match=r"differs from the network by .*: it was not kept"):
            fitted_on_names.export_model(tmp_path / "network", format=format)
    assert not list(tmp_path.iterdir())


def test_files_are_replaced_and_folders_are_not(fitted_on_names, faces, tmp_path):
    for _ in range(2):
        fitted_on_names.export_model(tmp_path / "file.tflite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileExistsError, match=r"folder' already exists: remove it"):
        fitted_on_names.export_model(tmp_path / "folder", format="saved_model")
    with pytest.raises(FileExistsError, match=r"folder' exists and is not a file"):
        fitted_on_names.export_model(tmp_path / "folder", format="litert")
    for format in FORMATS:
        with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere'"):
            fitted_on_names.export_model(tmp_path / "nowhere" / "network", format=format)


@pytest.mark.usefixtures("without_training")
def test_what_cannot_be_exported(fitted_on_names, faces, tmp_path):
    with pytest.raises(NotFittedError):
        PAttLiteClassifier().export_model(tmp_path / "network.tflite")
    with pytest.raises(ValueError, match=r"format must be one of 'litert', .*, got 'tflite'"):
        fitted_on_names.export_model(tmp_path / "network", format="tflite")
    with pytest.raises(ValueError, match=r'8-bit weights need format="litert"'):
        fitted_on_names.export_model(tmp_path / "network", format="onnx", calibration=faces.images)
    with pytest.warns(UserWarning, match="attention"):
        batch = PAttLiteClassifier(**HEAD_ONLY, attention="batch").fit(faces.images, faces.target)
    with pytest.raises(ValueError, match=r'attention="batch" cannot be exported'):
        batch.export_model(tmp_path / "network.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "format"), [("a.onnx", "onnx"), ("b.TFLITE", "litert")])
def test_the_suffix_tells_the_format(fitted_on_names, faces, tmp_path, name, format):
    assert fitted_on_names.export_model(tmp_path / name, X=faces.images[:2]).format == format
    other = "saved_model" if format == "onnx" else "onnx"
    with pytest.raises(ValueError, match=rf'format="{other}" contradicts the suffix of .*{name}'):
        fitted_on_names.export_model(tmp_path / name, format=other)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.json"]


def test_without_a_suffix_there_is_a_folder(fitted_on_names, faces, tmp_path):
    fitted_on_names.export_model(tmp_path / "network", X=faces.images[:2])
    assert (tmp_path / "network" / "saved_model.pb").is_file()
    with pytest.raises(ValueError, match=r"The suffix '\.bin' matches no format"):
        fitted_on_names.export_model(tmp_path / "network.bin")


def test_what_is_not_installed_is_named(fitted_on_names, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if "onnx" in name else find(name, *a)
    )
    with pytest.raises(ImportError, match=r"needs onnx and onnxruntime: pip install .*\[export"):
        fitted_on_names.export_model(tmp_path / "network", format="onnx")


@pytest.mark.usefixtures("without_training")
def test_mixed_precision_is_exported_in_float32(faces, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        classifier = PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, faces.target)
    finally:
        keras.config.set_dtype_policy("float32")
    report = classifier.export_model(tmp_path / "network.tflite", X=faces.images)
    assert report.max_difference <= 1e-4
    found = run(tmp_path / "network.tflite", "litert", faces.images)
    assert_array_equal(found.dtype, np.float32)
    assert_allclose(found, classifier.predict_proba(faces.images), atol=0.05)


def test_a_saved_model_that_was_broken_off_leaves_nothing(fitted_on_names, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    for format in FORMATS:
        with pytest.raises(OSError, match="No space left"):
            fitted_on_names.export_model(tmp_path / "network", format=format)
    assert not list(tmp_path.iterdir())
