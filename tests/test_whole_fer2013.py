"""The run on all of FER2013 that waits for a GPU works, on a few drawn faces and a CPU.

What needs PyTorch runs in a process of its own, and is tried where it is installed.
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_patt_lite._training.stages import _cosine, end_to_end_stage
from sklearn_patt_lite.datasets import make_expression_faces

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"
needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs torch")
BOTH, ONE = "near-neutral's, both", "near-neutral's, patch_size=2"
STUDENT = "student of the best"
CHOSEN_ON = slice(40, 56)  # of the drawn faces; the first two are trained on, too
BEGIN = """
import copy, json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
import _packed, _torch_network, _torch_training as training

data, backbone = _packed.unpack(sys.argv[2])

def larger(network):
    # Untrained heads answer nearly the same of all images; larger kernels tell more.
    with torch.no_grad():
        for name, weight in network.weights.items():
            if name.startswith("patch") and name.endswith("kernel"):
                weight *= 4
    return network
"""
PROGRAM = """
from whole_fer2013 import NEAR_NEUTRAL

network = larger(_torch_network.Network(_torch_network.Form(), backbone, seed=1))
images = torch.tensor(data["X_train"])
labels = torch.tensor(data["y_train"].astype(int))

# Refitted BatchNormalization computes the same of the images that it was refitted to.
x = training.resized(images, 112)
with torch.no_grad():
    before = network.eval().tokens(x)
    assert before.std(dim=0).max() > 0.1
    in_training = copy.deepcopy(network).train().tokens(x)
    assert (in_training - before).abs().max() > 1
    network(x, refit=True)
    assert torch.allclose(network.tokens(x), before, atol=1e-4)
    assert torch.allclose(network.train().tokens(x), before, atol=1e-2)

# Augmentation moves images, each in its own way, and an empty one leaves but mirror images.
strong = training.Recipe(crops=True, erasing=1.0)
same = images[:1].repeat(20, 1, 1)
moved = training.augmented(same, 112, strong)
assert moved.shape == (20, 112, 112) and moved.min() >= 0 and moved.max() <= 255
assert len({tuple(m.flatten().tolist()) for m in moved}) == 20
still = training.augmented(same, 112, training.Recipe(affine=False))
plain = training.resized(same[:1], 112)[0]
for each in still:
    assert min((each - m).abs().max() for m in (plain, plain.flip(-1))) < 0.01

# It learns, and from a teacher alone too.
def train(teachers, share):
    student = _torch_network.Network(_torch_network.Form(), backbone, seed=2)
    recipe = training.Recipe(
        epochs=20, batch_size=14, affine=False, balanced=False, taught_share=share
    )
    training.Training(student, recipe, images, labels, 0, teachers).run()
    return training.predict(student, images).argmax(axis=1)

network = _torch_network.Network(_torch_network.Form(), backbone, seed=2)
recipe = training.Recipe(epochs=8, batch_size=14, affine=False)
run = training.Training(network, recipe, images, labels, 0)
needed = run.time_steps()
assert needed > 0
run.run()
found = training.predict(network, images).argmax(axis=1)
assert (found == data["y_train"]).mean() > 0.5, (found == data["y_train"]).mean()
network.eval().requires_grad_(False)
labels = labels.flip(0)  # which a student of the teacher alone does not see
share = (train([network], 1.0) == found).mean()
assert share > 0.5, share

run.recipe, run.n_steps = training.Recipe(epochs=20), 2
library = [[run.rate_at(epoch, step) for step in (0, 1)] for epoch in range(20)]
run.recipe, run.n_steps = training.Recipe(**NEAR_NEUTRAL), 3
steps = [run.rate_at(epoch, step) for epoch in range(40) for step in range(3)]
print(json.dumps([library, steps]))
"""
FORMS = [
    {},
    {"patch_stride": 2},
    {"patch_size": 2, "patch_stride": 2},
    {"patch_stride": 2, "attention": "tokens"},
]
ANSWERS = """
for i, form in enumerate(json.loads(sys.argv[3])):
    network = larger(_torch_network.Network(_torch_network.Form(**form), backbone, seed=i))
    images = torch.tensor(data["X_val"])
    with torch.no_grad():
        network.train()(training.resized(images, 112))  # moves the running means
    _torch_network.save(network, f"{sys.argv[4]}/{i}.npz")
    network = _torch_network.load(f"{sys.argv[4]}/{i}.npz")
    np.save(f"{sys.argv[4]}/{i}.npy", training.predict(network, images))
"""


def grey_faces():
    faces = make_expression_faces(n_subjects=8, image_size=48, random_state=0)
    return faces.images[..., 1], np.unique(faces.target, return_inverse=True)[1]


@pytest.fixture(scope="module")
def packed_module():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("_packed")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def packed(tmp_path_factory, packed_module):
    """A packed file of drawn faces and the drawn backbone."""
    images, labels = grey_faces()
    data = {
        "X_train": images[:42],
        "y_train": labels[:42],
        "X_val": images[CHOSEN_ON],
        "y_val": labels[CHOSEN_ON],
        "val_in_train": np.arange(16) < 2,
    }
    path = tmp_path_factory.mktemp("packed") / "faces.npz"
    np.savez(path, **packed_module.pack(data, packed_module.read_backbone("drawn")))
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory, packed):
    """The output folder of a small run, and what it printed."""
    output = tmp_path_factory.mktemp("found")
    return output, run(packed, output, BOTH, ONE, STUDENT)


def run(packed, output, *rows, minutes="9"):
    settings = ["--epochs-scale", "0.02", "--minutes", minutes, "--output", output]
    return program(BENCHMARKS / "whole_fer2013.py", "run", packed, *settings, "--rows", *rows)


def program(*command):
    result = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_packed_faces_come_back_exactly(packed_module, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (packed_module.COLUMNS**2 + 90, 4, 4), dtype=np.uint8)
    data = {
        "X_train": images,
        "y_train": np.arange(len(images)) % 7,
        "X_val": images[:50],
        "y_val": np.arange(50) % 7,
        "val_in_train": np.arange(9),
    }
    weights = {"conv1/kernel": rng.random((3, 3, 3, 2)).astype(np.float32)}
    arrays = packed_module.pack(data, weights)
    assert arrays["n_distinct"] == len(images)  # none is packed twice
    np.savez(tmp_path / "packed.npz", **arrays)
    unpacked, backbone = packed_module.unpack(tmp_path / "packed.npz")
    for name in ("X_train", "y_train", "X_val", "y_val"):
        np.testing.assert_array_equal(unpacked[name], data[name])
    np.testing.assert_array_equal(np.flatnonzero(unpacked["val_in_train"]), np.arange(9))
    np.testing.assert_array_equal(backbone["conv1/kernel"], weights["conv1/kernel"])


@needs_torch
def test_networks_are_refitted_learn_and_teach_at_the_librarys_rates(packed):
    library, steps = json.loads(program("-c", BEGIN + PROGRAM, BENCHMARKS, packed))
    stage = end_to_end_stage(
        epochs=20, learning_rate=1e-3, patience=None, clipnorm=3.0, dropout=0.1, schedule="cosine"
    )
    rate = _cosine(stage)
    np.testing.assert_allclose(library, [[rate(epoch, 0)] * 2 for epoch in range(20)])
    assert np.argmax(steps) == 14  # the last step of five epochs of three
    assert np.isclose(max(steps), 1e-3)
    assert 0 < steps[-1] < 2e-6


@needs_torch
def test_a_run_writes_its_table_and_goes_on_where_it_was(found, packed):
    output, printed = found
    assert printed.count("unseen ") == 3
    lines = (output / "results.jsonl").read_text().splitlines()
    results = {result["name"]: result for result in map(json.loads, lines)}
    assert list(results) == [BOTH, ONE, STUDENT]
    assert results[STUDENT]["teachers"][0] in (BOTH, ONE)
    assert results[ONE]["librarys"]
    assert not results[BOTH]["librarys"]
    table = (output / "results.md").read_text()
    assert all(f"| {name} |" in table for name in results)

    again = run(packed, output, BOTH, ONE, STUDENT, "modern, 40 epochs", minutes="0")
    assert (output / "results.jsonl").read_text().splitlines() == lines
    assert "modern, 40 epochs: skipped, no time is left" in again
    assert "modern, 40 epochs: skipped" in (output / "results.md").read_text()


@needs_torch
def test_the_librarys_networks_with_these_weights_answer_the_same(packed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    build = importlib.import_module("_keras_network").build
    program("-c", BEGIN + ANSWERS, BENCHMARKS, packed, json.dumps(FORMS), tmp_path)
    images = grey_faces()[0][CHOSEN_ON, ..., None].astype(np.float32)
    for i, form in enumerate(FORMS):
        network = build(tmp_path / f"{i}.npz")
        plain, mirrored = (network.predict(x, verbose=0) for x in (images, images[:, :, ::-1]))
        assert plain.std(axis=0).max() > 1e-2, form
        np.testing.assert_allclose(
            (plain + mirrored) / 2, np.load(tmp_path / f"{i}.npy"), atol=1e-4
        )


@needs_torch
def test_weights_of_a_run_become_the_librarys_network(found, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    build = importlib.import_module("_keras_network").build
    output, _ = found
    rows = map(json.loads, (output / "results.jsonl").read_text().splitlines())
    rows = {row["name"]: row for row in rows}
    images = grey_faces()[0][CHOSEN_ON, ..., None].astype(np.float32)
    with np.load(output / "probabilities.npz") as kept:
        assert set(kept.files) == set(rows)
        for name in (BOTH, ONE):  # they may teach; a student's weights need not stay
            network = build(output / "weights" / rows[name]["weights"])
            assert network.count_params() == rows[name]["parameters"]
            both = [network.predict(x, verbose=0) for x in (images, images[:, :, ::-1])]
            np.testing.assert_allclose(np.mean(both, axis=0), kept[name], atol=1e-4)


def test_weights_that_have_no_place_are_refused(tmp_path, packed_module):
    build = importlib.import_module("_keras_network").build
    backbone = packed_module.read_backbone("drawn")
    form = {"n_classes": 7, "input_size": 112, "patch_size": 4, "patch_stride": 4}
    form |= {"attention": "hidden", "n_filters": 256, "hidden_units": 32}
    arrays = {**backbone, "patch_attention_q/kernel": np.zeros((2, 2))}
    np.savez(tmp_path / "weights.npz", form=np.array(json.dumps(form)), **arrays)
    with pytest.raises(ValueError, match="no place for patch_attention_q/kernel"):
        build(tmp_path / "weights.npz")
