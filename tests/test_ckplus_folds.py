"""CK+ from disk to scores, on drawn faces of 118 subjects in CK+'s official tree."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from databases import ckplus_sequences, make_ckplus

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
        noise = rng.normal(0, 4, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    return make_ckplus(tmp_path_factory.mktemp("ck"), ckplus_sequences(), draw)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("ckplus_folds", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_ten_folds_of_subjects_end_to_end(root, example, capsys, tmp_path):
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=48,
        output_layer="conv_dw_6_relu",
        patch_size=2,
        n_filters=32,
        epochs=20,
        learning_rate=3e-3,
        patience=None,
        unfreeze_layers=0,
        batch_size=16,
        augment=False,
        memory=tmp_path,
        random_state=0,
    )
    example.main(root, classifier, image_size=48)
    printed = capsys.readouterr().out
    assert "981 images" in printed
    found = {
        unit: (float(score), tuple(map(int, sizes.split(", "))))
        for unit, score, sizes in re.findall(
            r"^a (\w+): ([\d.]+), folds .* \(\w+s a fold: ([\d, ]+)\)$", printed, re.M
        )
    }
    assert found["frame"][1] == tuple(3 * n for n in FOLDS)
    assert found["sequence"][1] == FOLDS
    # The commonest expression is a quarter of the sequences.
    assert found["frame"][0] > 0.4
    assert found["sequence"][0] > 0.4


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
