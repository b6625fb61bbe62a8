"""CK+ from disk to scores, on drawn faces of 118 subjects in CK+'s official tree."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from databases import ckplus_sequences, make_ckplus
from quick import HEAD_ONLY, SIZE
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_ckplus, make_expression_faces
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS

EXAMPLE = Path(__file__).parents[1] / "examples" / "ckplus_folds.py"
FOLDS = 33, 39, 40, 35, 30, 37, 29, 29, 33, 22


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    faces = make_expression_faces(
        n_subjects=118,
        n_per_expression=1,
        n_expressions=8,
        image_size=48,
        occlusion=0.0,
        max_yaw=10.0,
        random_state=0,
    )
    subjects = sorted({subject for subject, _, _ in ckplus_sequences()})
    images = dict(zip(zip(faces.groups, faces.target, strict=True), faces.images, strict=True))
    rng = np.random.default_rng(0)

    def draw(subject, expression, i_frame):
        """The neutral face first, then nearly the same drawing three times, as in a sequence."""
        shown = expression if i_frame else "neutral"
        image = images[subjects.index(subject), EXPRESSIONS.index(shown)]
        noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
        noisy[:4, :4] = 30 * EXPRESSIONS.index(expression)  # for who reads the label there
        return noisy

    return make_ckplus(tmp_path_factory.mktemp("ck"), ckplus_sequences(), draw)


@pytest.fixture(scope="module")
def example():
    """Import the script, without its folder on `sys.path`."""
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folds_of(printed):
    """Score and numbers of images or sequences per fold, by unit."""
    pattern = r"^per (\w+): ([\d.]+), folds .* \(\w+s per fold: ([\d, ]+)\)$"
    return {
        unit: (float(score), tuple(map(int, sizes.split(", "))))
        for unit, score, sizes in re.findall(pattern, printed, re.MULTILINE)
    }


@pytest.mark.slow
def test_ten_folds_of_subjects_end_to_end(root, example, capsys, tmp_path):
    settings = {"patience": None, "augment": False, "memory": tmp_path}
    classifier = PAttLiteClassifier(**HEAD_ONLY).set_params(**settings)
    example.main(root, classifier, image_size=SIZE)
    printed = capsys.readouterr().out
    assert "981 images" in printed
    found = folds_of(printed)
    assert found["frame"][1] == tuple(3 * n for n in FOLDS)
    assert found["sequence"][1] == FOLDS


def test_each_prediction_is_counted_for_its_own_label(root, example, capsys):
    """With the label drawn into a corner, whoever reads the corner is right throughout."""
    corner = FunctionTransformer(lambda images: images[:, 0, 0].reshape(len(images), -1))
    example.main(root, make_pipeline(corner, KNeighborsClassifier(1)), image_size=48)
    assert {unit: score for unit, (score, _) in folds_of(capsys.readouterr().out).items()} == {
        "frame": 1.0,
        "sequence": 1.0,
    }


def test_a_sequence_has_the_mean_of_its_frames(root, example):
    data = load_ckplus(root, as_paths=True)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(data.target))
    target, means, groups = example.by_sequence(data, probabilities)
    assert len(target) == len(means) == len(groups) == 327
    for i, sequence in enumerate(np.unique(data.sequence)):
        frames = data.sequence == sequence
        np.testing.assert_allclose(means[i], probabilities[frames].mean(axis=0))
        assert set(data.target[frames]) == {target[i]}
        assert set(data.groups[frames]) == {groups[i]}
