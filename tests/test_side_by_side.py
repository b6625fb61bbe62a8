"""The networks that `examples/benchmarks/recipe_search.py` trains side by side are the library's.

Optional: they are in PyTorch, and tried where it is installed.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"
SHARED = Path(__file__).parents[2] / "shared"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_faces,
    pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs torch"),
    pytest.mark.skipif(not SHARED.exists(), reason="needs ImageNet weights and real faces"),
]
PROGRAM = """
import sys
import keras, numpy as np, torch
sys.path.insert(0, sys.argv[1])
import _side_by_side as side_by_side
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._network.weights import load_weights

images = np.load(sys.argv[2])["X_train"][:12].astype("float32")
recipe = side_by_side.Recipe()
networks = side_by_side.Networks(recipe, [1, 2], torch.device("cpu"))
flat, statistics = networks.weights.flat, networks.statistics.flat

def ask(images, **settings):
    x = side_by_side.resize(torch.tensor(images), recipe.input_size)
    return networks(flat, statistics.clone(), x, **settings).detach().numpy()

both = np.stack([images, images])
# As the library's, with the same weights; larger ones tell more of the head.
arrays = networks.weights.views(flat)
for name, array in arrays.items():
    if name.endswith("kernel") and ("patch" in name or "hidden" in name or "prob" in name):
        array *= 3
architecture = Architecture(n_classes=7, image_shape=(48, 48, 1), input_size=112)
for i in range(2):
    network = build_network(architecture)
    load_weights(network, "imagenet", architecture)
    for layer in network.layers:
        for weight in layer.weights:
            if f"{layer.name}/{weight.name}" in arrays:
                weight.assign(arrays[f"{layer.name}/{weight.name}"][i].numpy())
    expected = network.predict(images[..., None], verbose=0)
    found = torch.tensor(ask(both, training=False)[i]).softmax(dim=-1).numpy()
    assert expected.std(axis=0).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-4)
assert networks.n_parameters == network.count_params()

# Refitted BatchNormalization computes the same, in training too.
before = ask(both, training=False)
x = side_by_side.resize(torch.tensor(both), recipe.input_size)
networks(flat, statistics, x, training=False, refit=True)
np.testing.assert_allclose(ask(both, training=False), before, atol=1e-3)

# Networks know nothing of each other's images, in training either.
other = both.copy()
other[1] = 255 - other[1]
dropout = torch.zeros(2)
first, second = (ask(x, training=True, dropout=dropout) for x in (both, other))
np.testing.assert_allclose(first[0], second[0], atol=1e-5)
assert np.abs(first[1] - second[1]).max() > 1e-2

# They learn.
torch.manual_seed(0)
changes = {"input_size": 64, "epochs": 12, "batch_size": 12, "averaging": 0.5}
recipes = [side_by_side.Recipe(**changes, mixup=mixup, erasing=mixup) for mixup in (0.0, 0.2)]
rows, labels = np.arange(12), np.arange(12) % 3
found = side_by_side.train(recipes, [0, 1], images, labels, [rows] * 2, [rows] * 2, device="cpu")
assert found.shape == (2, 2, 2, 12, 7)
np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
assert ((found.argmax(axis=-1) == labels).mean(axis=-1) > 0.5).all()
try:
    side_by_side.train([recipes[0], side_by_side.Recipe()], [0, 1], images, labels, 2, 2, device=0)
except ValueError as error:
    assert "share input_size" in str(error)
else:
    raise AssertionError("trained")
"""


def run(*command, cwd):
    environment = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(SHARED / "keras")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_networks_side_by_side_are_the_librarys(tmp_path):
    result = run("-c", PROGRAM, BENCHMARKS, SHARED / "data" / "fer2013_sample.npz", cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.benchmarks
def test_the_search_runs(tmp_path):
    with np.load(SHARED / "data" / "fer2013_sample.npz") as data:
        np.savez(tmp_path / "faces.npz", **{part: data[part][::40] for part in data.files})
    command = [BENCHMARKS / "recipe_search.py", "faces.npz"]
    sizes = ["--groups", "1", "--folds", "2", "--epochs", "1"]
    result = run(*command, *sizes, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count(" to ") == 4
