"""The benchmarks run, at sizes at which their figures mean nothing."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_patt_lite import PAttLiteClassifier

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
SCRIPTS = {
    "find_leaks.py": ["--images", "300", "--side", "48"],
}
#: Those that take half a minute each even so: ``pytest -m benchmarks``.
OPTIONAL = {
    "agreement.py": ["faces.npz", "--images", "4", "--train-size", "30"],
    "ablations.py": ["--steps", "2", "--images", "8", "--rounds", "1", "--rows", "dropout"],
    "stage_2_hours.py": ["--images", "16", "--unfreeze", "4"],
    "calibration.py": ["drawn", *("--subjects", "10", "--seeds", "1", "--finetune-epochs", "1")],
    "callbacks.py": [*("--subjects", "4", "--folds", "2", "--epochs", "1"), *("--rounds", "1")],
    "crop_averaging.py": ["public_test.npz"],
    "crop_margins.py": ["faces.npz", "--images", "10"],
    "crop_photos.py": ["--photos", "10"],
    "export_formats.py": ["faces.npz", "--epochs", "1", "--rounds", "3"],
    "first_prediction.py": ["--rounds", "1"],
    "fuzz_files.py": ["--files", "30"],
    "fit.py": ["--images", "20", "--epochs", "1", "--unfreeze", "4", "everything"],
    "grid_search.py": [
        *("--images", "42", "--folds", "2", "--epochs", "1"),
        *("--plain-fits", "1", "--once"),
    ],
    "many_files.py": ["--images", "200", "--chunk-size", "20"],
    "peak_memory.py": ["--images", "20", "--recipe", "modern"],
    "prediction.py": ["--images", "5", "--rounds", "1"],
    "recipes.py": [
        *("faces.npz", "--seeds", "1", "--folds", "2", "--epochs", "1"),
        *("--finetune-epochs", "1"),
    ],
    "scaling.py": ["--images", "70", "--folds", "2", "--candidates", "1", "--epochs", "1"],
    "short_fits.py": ["--epochs", "1", "--rounds", "1"],
    "soak.py": ["--fits", "6"],
    "where_to_start.py": ["drawn", "--images", "50", "--seeds", "1"],
    "views.py": [
        "faces.npz",
        *["--seeds", "1", "--folds", "2", "--epochs", "1", "--input-size", "80"],
    ],
}


def test_each_benchmark_is_tried():
    scripts = {path.name for path in (ROOT / "examples" / "benchmarks").glob("[!_]*.py")}
    tried = {*SCRIPTS, *OPTIONAL}
    # This one is for PyTorch, and has its own tests.
    assert scripts - tried == {"whole_fer2013.py"}


def test_fits_are_found_again_whatever_the_number_of_jobs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "benchmarks")
    recipes = importlib.import_module("recipes")
    X, y = np.arange(12.0).reshape(3, 4), np.arange(3)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")  # as workers get it
    one, other = (PAttLiteClassifier(random_state=seed) for seed in (0, 1))
    assert recipes.key_of(one, X, y) == recipes.key_of(one, mapped, y)
    assert len({recipes.key_of(one, X, y), recipes.key_of(one, X + 1, y)}) == 2
    assert recipes.key_of(one, X, y) != recipes.key_of(other, X, y)


@pytest.mark.slow
@pytest.mark.real_faces
@pytest.mark.skipif(not SHARED.exists(), reason="needs ImageNet weights and real faces")
@pytest.mark.parametrize(
    "name", [*SCRIPTS, *(pytest.param(name, marks=pytest.mark.benchmarks) for name in OPTIONAL)]
)
def test_benchmarks_run(name, tmp_path):
    with np.load(SHARED / "data" / "fer2013_sample.npz") as data:
        some = {part: data[part][::10] for part in data.files}
    np.savez(tmp_path / "faces.npz", **some)
    public = {"X_val": some["X_test"], "y_val": some["y_test"]}
    known = np.zeros(len(some["X_test"]), dtype=bool)
    np.savez(tmp_path / "public_test.npz", **public, val_in_train=known)
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / "benchmarks" / name, *(SCRIPTS | OPTIONAL)[name]],
        cwd=tmp_path,
        env={**os.environ, "KERAS_HOME": str(SHARED / "keras")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
