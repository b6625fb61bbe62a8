"""Reports of expressions: scikit-learn's scores, and intervals that hold what they promise."""

import importlib.util
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from sklearn_patt_lite.metrics import expression_report

COVERAGE = Path(__file__).parents[1] / "examples" / "interval_coverage.py"
NAMES = ["angry", "happy", "sad", "fear"]


@pytest.fixture
def labels():
    """(true, predicted, subjects): one class is never shown, and one never predicted."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 300)
    predicted = np.where(rng.random(300) < 0.6, true, rng.choice([0, 1, 3], 300))
    predicted[predicted == 2] = 1
    return true, predicted, np.repeat(np.arange(30), 10)


def test_scores_are_scikit_learns(labels):
    true, predicted, _ = labels
    with pytest.warns(UserWarning, match="collapse onto 'happy'"):
        report = expression_report(true, predicted, target_names=NAMES, random_state=0)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    recalls = metrics.recall_score(true, predicted, labels=[0, 1, 2], average=None)
    assert report.balanced_accuracy == pytest.approx(recalls.mean())
    f1 = metrics.f1_score(true, predicted, average="macro", zero_division=0)
    assert report.macro_f1 == pytest.approx(f1)
    assert_array_equal(report.confusion, metrics.confusion_matrix(true, predicted))
    assert_allclose(report.recall, [*recalls, np.nan])
    precision = metrics.precision_score(true, predicted, average=None, zero_division=0)
    assert_allclose(np.nan_to_num(report.precision), precision)
    assert np.isnan(report.precision[2])
    assert report.support.tolist() == np.bincount(true, minlength=4).tolist()
    shares = report.confusion_shares
    assert_allclose(shares[:3].sum(axis=1), 1)
    assert np.isnan(shares[3]).all()
    assert report.resampled == "images"
    assert report.worst_subject is None


def test_labels_that_are_names(labels):
    true, predicted, groups = labels
    names = np.array(NAMES)
    order = np.argsort(names[:4])
    with pytest.warns(UserWarning, match="collapse"):
        by_name = expression_report(names[true], names[predicted], groups=groups, random_state=0)
    with pytest.warns(UserWarning, match="collapse"):
        by_index = expression_report(
            true, predicted, groups=groups, target_names=NAMES, random_state=0
        )
    assert by_name.target_names == tuple(sorted(NAMES))
    assert_array_equal(by_name.confusion, by_index.confusion[np.ix_(order, order)])
    assert by_name.balanced_accuracy == pytest.approx(by_index.balanced_accuracy)


def test_subjects(labels):
    true, predicted, groups = labels
    predicted = np.where(groups == 7, 1 - true % 2, true)  # one person is always misread
    report = expression_report(true, predicted, groups=groups, random_state=0)
    subject, accuracy = report.worst_subject
    assert (subject, accuracy) == (7, (predicted == true)[groups == 7].mean())
    assert list(report.subject_accuracy.values()) == sorted(report.subject_accuracy.values())
    assert len(report.subject_accuracy) == 30
    assert report.resampled == "subjects"


def test_intervals_hold_the_score_and_follow_the_seed(labels):
    true, predicted, groups = labels
    predicted = np.where(predicted == 1, true, predicted)
    reports = [
        expression_report(true, predicted, groups=groups, random_state=seed) for seed in (0, 0, 1)
    ]
    for name, (low, high) in reports[0].intervals.items():
        assert 0 <= low < getattr(reports[0], name) < high <= 1
    assert reports[0].intervals == reports[1].intervals
    assert reports[0].intervals != reports[2].intervals
    wide, narrow = (
        expression_report(true, predicted, confidence=level, random_state=0).intervals["accuracy"]
        for level in (0.99, 0.5)
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.slow
def test_intervals_by_subjects_cover_and_those_by_images_do_not():
    """118 subjects who differ: 95 % intervals around the accuracy on people of their kind."""
    coverage = runpy.run_path(str(COVERAGE))["coverage"]
    shares = coverage(300, 200, np.random.default_rng(0))
    assert 0.92 <= shares["subjects"] <= 0.98, shares
    assert shares["images"] < shares["subjects"] - 0.04, shares


def test_a_collapse_is_told():
    true = np.arange(70) % 7
    with pytest.warns(
        UserWarning, match="onto '3': 100 % of them, and 14 % of the images"
    ) as found:
        expression_report(true, np.full(70, 3), random_state=0)
    assert found[0].filename == __file__


def test_a_common_class_is_no_collapse():
    """Warnings are errors here: most images are happy, and most predictions too."""
    true = np.array([0] * 60 + [1] * 40)
    expression_report(true, np.array([0] * 80 + [1] * 20), random_state=0)


def test_the_table(labels):
    true, _, groups = labels
    report = expression_report(
        true, true, groups=groups, target_names=["angry", "happy", "sad"], random_state=0
    )
    lines = str(report).splitlines()
    assert "95 % interval, resampling subjects" in lines[0]
    assert lines[1].split() == ["accuracy", "1.000", "1.000", "to", "1.000"]
    assert lines[4].split()[:2] == ["worst", "subject"]
    assert lines[-1].split()[:5] == ["sad", "1.000", "1.000", "1.000", str((true == 2).sum())]
    assert lines[-1].split()[-3:] == ["0", "0", "100"]


def test_probabilities_taken_at_their_word():
    """Of images that are right as often as they are sure, the error is small: of others not."""
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 20_000)
    y_proba = np.stack([sure, 1 - sure], axis=1)
    predicted = np.zeros(len(sure), int)
    true = (rng.random(len(sure)) > sure).astype(int)
    honest = expression_report(true, predicted, y_proba=y_proba, n_resamples=1)
    assert honest.calibration_error < 0.01
    boasting = np.stack([np.full(len(sure), 0.95), np.full(len(sure), 0.05)], axis=1)
    boasting = expression_report(true, predicted, y_proba=boasting, n_resamples=1)
    assert_allclose(boasting.calibration_error, 0.95 - (true == 0).mean())
    assert "calibration error  0.196" in str(boasting)
    assert boasting.to_dict()["calibration_error"] == boasting.calibration_error


def test_calibration_is_an_average_over_bins():
    true, predicted = [0, 1, 0, 1], [0, 0, 0, 1]
    y_proba = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.35, 0.65]]
    # Bins of 1/15: {0.9, 0.9}: 1 of 2 right; {0.6} and {0.65} fall in one: 2 of 2 right
    report = expression_report(true, predicted, y_proba=y_proba, random_state=0)
    assert_allclose(report.calibration_error, (2 * abs(0.9 - 0.5) + 2 * abs(0.625 - 1)) / 4)


def test_without_probabilities_nothing_is_said_of_calibration(labels):
    report = expression_report(labels[0], labels[0], random_state=0)
    assert report.calibration_error is None
    assert "calibration" not in str(report)


def test_plain_data(labels):
    true, predicted, groups = labels
    with pytest.warns(UserWarning, match="collapse"):
        report = expression_report(true, predicted, groups=groups, target_names=NAMES)
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["accuracy"] == report.accuracy
    assert found["recall"][3] is None
    assert found["confusion"] == report.confusion.tolist()
    assert len(found["subject_accuracy"]) == 30
    assert found["intervals"]["macro_f1"] == list(report.intervals["macro_f1"])


@pytest.mark.skipif(not importlib.util.find_spec("pandas"), reason="needs pandas")
def test_a_table_of_pandas(labels):
    true, _, _ = labels
    frame = expression_report(true, true, target_names=NAMES).to_frame()
    assert frame.index.tolist() == NAMES
    assert frame["support"].sum() == 300


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], [0]), {}, "inconsistent numbers of samples"),
        (([0, 1], [0, 1]), {"groups": [1]}, "inconsistent numbers of samples"),
        (([], []), {}, "no images"),
        (([0, 1], [0, 1]), {"groups": ["a", "a"]}, "only one subject"),
        (
            ([0, 2], [0, 1]),
            {"target_names": ["a", "b"]},
            r"labels must be 0 to 1, .*, 2\]",
        ),
        ((["a", "c"], ["a", "b"]), {"target_names": ["a", "b"]}, r"or these names, got \['a'"),
        (([0.5, 1.2], [0, 1]), {}, "continuous"),
        (([0, 1], [0, 1]), {"y_proba": [[0.5, 0.5]]}, "inconsistent numbers of samples"),
        (([0, 1], [0, 1]), {"y_proba": [[0.2, 0.3, 0.5]] * 2}, "3 columns, .* are 2 classes: 0, 1"),
        (([0, 1], [0, 1]), {"y_proba": [[2, -1], [0, 1]]}, "not probabilities"),
        (([0, 1], [0, 1]), {"y_proba": [[2, 3], [0, 1]]}, "not probabilities"),
        (([0, 1], [0, 1]), {"y_proba": [[np.nan, 1], [0, 1]]}, "contains NaN"),
        (([0, 1], [0, 1]), {"confidence": 95}, "'confidence' parameter"),
        (([0, 1], [0, 1]), {"n_resamples": 0}, "'n_resamples' parameter"),
    ],
)
def test_what_cannot_be_scored(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        expression_report(*arguments, **options)


def test_a_class_that_does_not_occur_is_named():
    y_true, y_pred = ["sad", "happy", "sad", "sad"], ["sad", "happy", "sad", "happy"]
    y_proba = np.array([[0.1, 0.2, 0.7], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.0, 0.6, 0.4]])
    classes = ["angry", "happy", "sad"]
    with pytest.raises(ValueError, match=r"name all of them: target_names=classifier\.classes_"):
        expression_report(y_true, y_pred, y_proba=y_proba)
    report = expression_report(y_true, y_pred, y_proba=y_proba, target_names=classes)
    assert report.target_names == ("angry", "happy", "sad")
    assert report.support.tolist() == [0, 1, 3]
    codes = [[classes.index(label) for label in labels] for labels in (y_true, y_pred)]
    same = expression_report(*codes, y_proba=y_proba, target_names=classes)
    assert report.calibration_error == same.calibration_error
    with pytest.raises(ValueError, match=r"in the order of sorted labels.*not in that of target"):
        expression_report(y_true, y_pred, y_proba=y_proba, target_names=["sad", "happy", "angry"])
    # Columns of codes are in their names' order, whatever was predicted of them.
    overruled = [1, 0, 0, 0], [1, 0, 0, 0]
    y_proba = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.4, 0.6]])
    expression_report(*overruled, y_proba=y_proba, target_names=["neutral", "happy"])
