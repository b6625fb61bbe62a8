"""What is installed is whole."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
import numpy as np
from skimage.data import astronaut
import sklearn_patt_lite
from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.preprocessing import FaceCropper

assert sklearn_patt_lite.__file__.startswith(sys.argv[1]), sklearn_patt_lite.__file__
montage = np.concatenate([astronaut(), astronaut()[:, ::-1]], axis=1)
faces = FaceCropper(size=48, margin="fer2013").crop_all([astronaut(), montage])
print(faces.rows.tolist())
print(PAttLiteClassifier.from_pretrained("fer2013").predict(faces.images).tolist())
faces = make_expression_faces(n_subjects=3, image_size=32, random_state=0)
classifier = PAttLiteClassifier(
    backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2, epochs=1, unfreeze_layers=0
)
print(classifier.fit(faces.images, faces.target).n_parameters_)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # Of a copy: a build leaves its traces, and another process may build at the same time.
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "sklearn_patt_lite", source / "sklearn_patt_lite")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_a_wheel_holds_the_package_its_weights_and_the_mark_of_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    folder = "sklearn_patt_lite/weights"
    expected = {f"{folder}/{name}" for name in ("drawn.npz", "fer2013.zip", "WEIGHTS_LICENSE")}
    assert {"sklearn_patt_lite/py.typed", *expected} <= {*names}
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("sklearn_patt_lite/**/*.py")}
    assert modules <= set(names)
    assert not [name for name in names if name.startswith(("tests", "examples", "docs"))]


@pytest.mark.slow
def test_an_installed_wheel_reads_photographs_and_fits(wheel, tmp_path):
    """Away from the checkout, whose dependencies it borrows."""
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "KERAS_HOME": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    rows, expressions, n_parameters = result.stdout.splitlines()
    assert rows == "[0, 1, 1]"
    assert expressions == "['happy', 'happy', 'happy']"
    assert int(n_parameters) > 10_000


def requirements():
    """The lower bound of each dependency, those of the tests included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    names = ("displays", "examples", "export", "faces", "parquet", "test")
    lines = [line for name in names for line in extras[name]] + project["dependencies"]
    return dict(line.split(">=") for line in lines if ">=" in line)


def test_the_oldest_dependencies_are_the_lower_bounds():
    lines = (ROOT / ".ci" / "oldest.txt").read_text("utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if "==" in line)
    bounds = requirements()
    assert set(oldest) == {*bounds, "pyparsing"}
    for name, bound in bounds.items():
        assert f"{oldest[name]}.".startswith(f"{bound}."), name


@pytest.mark.parametrize(
    ("tool", "mirror"), [("ruff", "ruff-pre-commit"), ("mypy", "mirrors-mypy")]
)
def test_a_tool_has_one_version_everywhere(tool, mirror):
    (version,) = re.findall(rf'"{tool}==(\S+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.search(rf"{mirror}\n +rev: v{re.escape(version)}\b", hooks)
