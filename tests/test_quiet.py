"""What TensorFlow says about itself stays off the terminal."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from quick import NETWORK

from sklearn_patt_lite._process import LEVEL, ONEDNN, import_tensorflow, without_chatter

QUICK = {**NETWORK, "epochs": 1}
PROGRAM = f"""
import os, numpy as np
from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.preprocessing import detect_faces

images = np.load("images.npy")
detect_faces(images[0])
paths = [f"{{i}}.png" for i in range(len(images))]
for recipe, X in (("transfer", paths), ("paper", images), ("modern", paths)):
    stage_2 = {{}} if recipe == "modern" else dict(finetune_epochs=1)
    classifier = PAttLiteClassifier(recipe=recipe, **stage_2, **{QUICK})
    classifier.fit(X, np.arange(len(images)) % 2).predict(X)
    classifier.save_model(f"{{recipe}}.zip")
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""
N = 20


@pytest.fixture
def folder(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (N, 48, 48, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    return tmp_path


def run(folder, program, **environment):
    """Run a program whose user has not set what TensorFlow reads; what it printed."""
    inherited = {name: v for name, v in os.environ.items() if name not in (LEVEL, ONEDNN)}
    strictly = ("-W", "error:__array__ implementation:DeprecationWarning")
    command = [sys.executable, *strictly, "-c", program]
    return subprocess.run(
        command,
        cwd=folder,
        env={**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout


@pytest.mark.slow
def test_a_detector_fits_predictions_and_a_file_print_nothing(folder):
    assert run(folder, PROGRAM) == "3 1\n"


@pytest.mark.slow
def test_workers_of_joblib_share_the_cores_and_print_nothing(folder):
    program = f"""
import os, numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn_patt_lite import PAttLiteClassifier

def fit(seed):
    images = np.load("images.npy")
    y = np.arange(len(images)) % 2
    classifier = PAttLiteClassifier(**{QUICK | {"unfreeze_layers": 0}})
    classifier.set_params(random_state=seed).fit(images, y).score(images, y)
    import tensorflow as tf

    return os.getpid(), tf.config.threading.get_intra_op_parallelism_threads()

if __name__ == "__main__":
    with parallel_config(inner_max_num_threads=1, backend="loky"):
        told = Parallel(n_jobs=2)(delayed(fit)(seed) for seed in range(3))
    processes, threads = zip(*told)
    print(len({{*processes}}) <= 2, {{*threads}})  # each imports TensorFlow once
"""
    assert run(folder, program) == "True {1}\n"


@pytest.mark.slow
def test_the_users_own_setting_wins(folder):
    program = """
import os
from sklearn_patt_lite._process import import_tensorflow

import_tensorflow()
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""
    said = run(folder, program, TF_CPP_MIN_LOG_LEVEL="0", TF_ENABLE_ONEDNN_OPTS="0")
    assert said.endswith("\n0 0\n")  # after what TensorFlow had to say


def test_a_tensorflow_that_is_there_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for name in (LEVEL, ONEDNN):
        monkeypatch.delenv(name, raising=False)
    import_tensorflow()
    assert not {LEVEL, ONEDNN} & {*os.environ}


LINES = {
    "I0000 00:00:1 7 port.cc:153] oneDNN": 1,
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.": 1,
    "WARNING: All log messages before absl::InitializeLog() is called are written": 1,
    "W0000 00:00:1 7 tf.cc:364] Ignored output_format.": 2,
    "E0000 00:00:1 7 cuda_platform.cc:52] failed call to cuInit": 3,
    "somebody else's line": 4,
}


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_lines_are_left_out_as_tensorflow_would_and_others_handed_on(monkeypatch, capfd, level):
    monkeypatch.setenv(LEVEL, str(level))
    with without_chatter():
        os.write(2, "".join(f"{line}\n" for line in LINES).encode())
    said = capfd.readouterr().err.splitlines()
    assert said == [line for line, from_level in LINES.items() if level < from_level]


def test_without_a_folder_for_temporary_files_all_is_handed_on(monkeypatch, capfd):
    """As in a container whose file system is read-only, where predictions need no file."""

    def refuse(*args, **kwargs):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with without_chatter():
        os.write(2, b"I0000 00:00:1 7 port.cc:153] oneDNN\n")
    assert capfd.readouterr().err.endswith("oneDNN\n")


def test_what_is_said_before_an_error_is_handed_on(capfd):
    def fail():
        os.write(2, b"cannot load\n")
        raise ImportError

    with pytest.raises(ImportError), without_chatter():
        fail()
    assert capfd.readouterr().err == "cannot load\n"
