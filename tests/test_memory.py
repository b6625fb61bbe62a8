"""What the classifier keeps in `memory`: shared by fits and predictions, and without a say."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from quick import quick
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold


@pytest.fixture(scope="module")
def expected(faces):
    """Of a fit without a memory."""
    return quick().fit(faces.images, faces.target).predict_proba(faces.images)


@pytest.fixture
def passes(monkeypatch):
    """The rows for which a frozen layer was run."""
    from sklearn_patt_lite._features.backbone import FrozenBackbone

    rows = []
    forward = FrozenBackbone.forward

    def counted(self, name, x, out):
        rows.append(len(x))
        forward(self, name, x, out)

    monkeypatch.setattr(FrozenBackbone, "forward", counted)
    return rows


def shards(folder):
    return sorted(folder.rglob("*.features"))


@pytest.mark.parametrize("kind", [str, joblib.Memory])  # others: see test_feature_memory.py
def test_a_memory_changes_no_result(faces, expected, tmp_path, kind):
    memory = kind(tmp_path, verbose=0) if kind is joblib.Memory else kind(tmp_path)
    for _ in range(2):
        classifier = quick(memory=memory).fit(faces.images, faces.target)
        found = classifier.predict_proba(faces.images)
        assert_allclose(found, expected, atol=1e-4)
        assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
        assert_array_equal(found, classifier.predict_proba(faces.images))
        without = classifier.set_params(memory=None).predict_proba(faces.images)
        assert_array_equal(without, expected)
    assert shards(tmp_path)


def test_a_second_search_takes_no_forward_pass(faces, tmp_path, passes):
    search = GridSearchCV(
        quick(memory=tmp_path, epochs=3),
        {"unfreeze_layers": [0, 4]},
        cv=GroupKFold(2),
        error_score="raise",
    )
    scores = []
    for _ in range(2):
        passes.clear()
        fitted = clone(search).fit(faces.images, faces.target, groups=faces.groups)
        scores.append(fitted.cv_results_["mean_test_score"])
    assert passes == []
    assert_array_equal(*scores)
    assert fitted.best_estimator_.history_["features"]["computed"] == 0


def test_without_a_memory_the_second_fit_takes_the_same_passes(faces, passes):
    counts = []
    for _ in range(2):
        passes.clear()
        quick().fit(faces.images, faces.target)
        counts.append(sum(passes))
    assert counts[0] == counts[1] > 0


def test_features_of_files_are_found_under_other_names(faces, tmp_path, passes):
    def save(folder):
        folder.mkdir()
        paths = [folder / f"{i}.png" for i in range(len(faces.images))]
        for path, image in zip(paths, faces.images, strict=True):
            Image.fromarray(image).save(path)
        return paths

    first, second = save(tmp_path / "a"), save(tmp_path / "b")
    classifier = quick(memory=tmp_path / "kept").fit(first, faces.target)
    expected = classifier.predict_proba(first)
    passes.clear()
    assert_array_equal(clone(classifier).fit(second, faces.target).predict_proba(second), expected)
    assert passes == []


def test_damage_is_noticed(faces, expected, tmp_path):
    classifier = quick(memory=tmp_path).fit(faces.images, faces.target)
    fitted = classifier.predict_proba(faces.images)
    for i, shard in enumerate(shards(tmp_path)):
        content = bytearray(shard.read_bytes())
        content[-1 - 97 * i] ^= 1
        shard.write_bytes(content)
    again = clone(classifier).fit(faces.images, faces.target)
    assert again.history_["features"]["computed"] >= 1
    assert_array_equal(again.predict_proba(faces.images), fitted)
    assert_allclose(fitted, expected, atol=1e-4)


def test_exact_augmentation_keeps_nothing(faces, tmp_path, passes):
    classifier = quick(augment="exact", memory=tmp_path, unfreeze_layers=0)
    classifier.fit(faces.images, faces.target).predict(faces.images)
    assert passes == []
    assert not shards(tmp_path)


def test_the_bank_of_views_augments(faces):
    """Three kinds of augmentation, three different networks."""
    found = [
        quick(augment=augment, epochs=3, unfreeze_layers=0)
        .fit(faces.images, faces.target)
        .predict_proba(faces.images)
        for augment in (True, "exact", False)
    ]
    for i in range(3):
        assert np.abs(found[i] - found[i - 1]).max() > 1e-3
