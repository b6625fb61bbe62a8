"""The script for one's own faces tells how training went."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

SCRIPT = Path(__file__).parents[1] / "examples" / "train_on_faces.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_each_stage_is_told_of(script):
    faces = make_expression_faces(n_subjects=2, image_size=48, random_state=0)
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights="drawn",
        alpha=0.25,
        input_size=48,
        output_layer="conv_dw_4_relu",
        patch_size=2,
        n_filters=16,
        epochs=2,
        unfreeze_layers=3,
        finetune_epochs=1,
        random_state=0,
    ).fit(faces.images, faces.target)
    told = script["stages"](classifier)
    pattern = r"(\w+): validation (0\.\d{3}|1\.000) \(epoch \d of (\d)\)"
    assert [found[::2] for found in re.findall(pattern, told)] == [("head", "2"), ("finetune", "1")]


def test_subjects_are_held_out_whole(script):
    groups = np.repeat(np.arange(10), 4)
    X, y = np.arange(40), np.arange(40) % 2
    X_train, X_test, _, _, groups_train = script["hold_out"](X, y, groups)
    assert not set(groups[X_test]) & set(groups_train)
    assert sorted([*X_train, *X_test]) == X.tolist()
