"""Compare predictions of the pretrained classifier with and without crops.

    python examples/benchmarks/crop_averaging.py fer2013_train.npz
    python examples/benchmarks/crop_averaging.py fer2013_train.npz --classifier mine.zip

Tests on FER2013's "PublicTest", with and without copies of images in "Training". The rows are: the
image alone; with its mirror image; with crops of both. For the last, it prints all scores.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from recipes import compare
from where_to_start import NAMES, codes

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.metrics import expression_report

ROWS = {
    "image": {"flip_averaging": False, "crop_averaging": False},
    "mirror image": {"flip_averaging": True, "crop_averaging": False},
    "crops": {"flip_averaging": True, "crop_averaging": True},
}


def main():
    arguments = parse_arguments()
    with np.load(arguments.data) as data:
        X, y, is_new = data["X_val"], NAMES[data["y_val"]], ~data["val_in_train"]
    rows = {}
    for name, averaging in ROWS.items():
        classifier = load_classifier(arguments.classifier)
        classifier._fitted.averaging = averaging  # load_model leaves the mirror images as saved
        classifier.predict(X[:2])  # makes the engine
        start = time.perf_counter()
        y_proba = classifier.predict_proba(X)
        seconds = time.perf_counter() - start
        labels = classifier.classes_[y_proba.argmax(axis=1)]
        right = labels == y
        print(
            f"{name:12} {100 * right.mean():.1f} %, without copies of Training images "
            f"{100 * right[is_new].mean():.1f} %  {1000 * seconds / len(X):.2f} ms an image"
        )
        rows[name] = [(np.arange(is_new.sum()), y_proba[is_new], seconds)]
    last = list(ROWS)[-1]
    for name in list(ROWS)[:-1]:
        compare(last, name, codes(y[is_new]), None, rows)
    for part in (np.full(len(y), True), is_new):
        print(f"\n{part.sum():,} images")
        print(expression_report(y[part], labels[part], y_proba=y_proba[part], random_state=0))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_val, y_val and val_in_train")
    parser.add_argument("--classifier", type=Path, help="a file from save_model")
    return parser.parse_args()


def load_classifier(path):
    """Load a classifier: the pretrained one if no path is given."""
    if path is None:
        return PAttLiteClassifier.from_pretrained("fer2013")
    return PAttLiteClassifier.load_model(path)


if __name__ == "__main__":
    main()
