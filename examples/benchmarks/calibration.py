"""Measure what a temperature does to probabilities: calibration error before and after.

    python examples/benchmarks/calibration.py drawn
    KERAS_HOME=... python examples/benchmarks/calibration.py faces.npz

The default recipe trains a network on 60 % of the subjects, and scikit-learn's
`CalibratedClassifierCV` fits a temperature on another 20 %. The network is tested on the last 20 %,
with and without the temperature. A third classifier is trained on all 80 % and not calibrated: it
shows how much the calibration images would help as training images. The .npz file holds X_train,
y_train and optionally groups_train; without it, each image counts as its own subject. Each seed
gives another split and another fit.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupShuffleSplit

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.metrics import expression_report

ROWS = ("trained on 60 %", "the same, with a temperature", "trained on 80 %")


def main():
    arguments = parse_arguments()
    X, y, groups, settings = load(arguments)
    scores = {name: [] for name in ROWS}
    for seed in range(arguments.seeds):
        for name, (accuracy, error, loss) in measure(X, y, groups, settings, seed).items():
            scores[name].append((accuracy, error, loss))
            print(
                f"seed {seed}, {name}: {accuracy:.1f} %, calibration error {error:.1f} %, "
                f"log loss {loss:.3f}",
                flush=True,
            )
    for name, of_seeds in scores.items():
        mean, deviation = np.mean(of_seeds, axis=0), np.std(of_seeds, axis=0, ddof=1)
        print(
            f"{name:29} {mean[0]:.1f} ± {deviation[0]:.1f} %, calibration error "
            f"{mean[1]:.1f} ± {deviation[1]:.1f} %, log loss {mean[2]:.3f} ± {deviation[2]:.3f}"
        )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help='"drawn", or an .npz')
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=118, help="number of drawn subjects")
    parser.add_argument("--finetune-epochs", type=int, default=10)
    return parser.parse_args()


def load(arguments):
    """Load images, labels, subjects, and the settings of the classifier."""
    settings = {"finetune_epochs": arguments.finetune_epochs}
    if arguments.data == "drawn":
        faces = make_expression_faces(n_subjects=arguments.subjects, random_state=0)
        settings |= {"backbone_weights": "drawn", "alpha": 0.25, "input_size": 96}
        return faces.images, faces.target, faces.groups, settings
    with np.load(Path(arguments.data)) as data:
        X, y = data["X_train"], data["y_train"]
        groups = data["groups_train"] if "groups_train" in data else np.arange(len(y))
    return X, y, groups, settings


def measure(X, y, groups, settings, seed):
    """Compute accuracy, calibration error (both in %) and log loss of each row."""
    rest, test = split(groups, 0.2, seed)
    train, held = (rest[part] for part in split(groups[rest], 0.25, seed))
    fitted, on_more = (
        PAttLiteClassifier(**settings, random_state=seed).fit(X[rows], y[rows])
        for rows in (train, rest)
    )
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature")
    calibrated.fit(X[held], y[held])
    found = {}
    for name, classifier in zip(ROWS, (fitted, calibrated, on_more), strict=True):
        y_proba = classifier.predict_proba(X[test])
        y_proba /= y_proba.sum(axis=1, keepdims=True)  # `log_loss` warns of rounding errors
        y_pred = classifier.classes_[y_proba.argmax(axis=1)]
        report = expression_report(y[test], y_pred, y_proba=y_proba)
        loss = log_loss(y[test], y_proba, labels=classifier.classes_)
        found[name] = 100 * report.accuracy, 100 * report.calibration_error, loss
    return found


def split(groups, share, seed):
    """Split the rows into two parts that have no subject in common."""
    return next(
        GroupShuffleSplit(1, test_size=share, random_state=seed).split(groups, groups=groups)
    )


if __name__ == "__main__":
    main()
