"""Compare predictions of the library's engine with Keras', for each variant of the network.

    KERAS_HOME=... python examples/benchmarks/agreement.py fer2013_sample.npz
    KERAS_HOME=... KERAS_BACKEND=torch python examples/benchmarks/agreement.py fer2013_sample.npz

Predicts X_test with the pretrained classifier, and with each variant after three epochs of stage 1
on 1,000 images of X_train. Classifiers are kept in --output, so a second run, on another backend
for instance, compares the same networks. Prints the largest difference of a probability, how many
labels differ, and the largest standard deviation of a class's probability over the images.
"""

import argparse
from pathlib import Path

import joblib
import keras
import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._inference.predictor import KerasPredictor

SMALL = {"input_size": 112}  # a map of 7×7 cells instead of 14×14
TABLE_5 = {
    f"{layer}, patches of {patch}": {
        "output_layer": layer,
        "patch_extraction": "conv_pointwise",
        "patch_size": patch,
    }
    for layer in ("conv_dw_11_relu", "conv_dw_9_relu", "conv_dw_6_relu")
    for patch in (3, 7)
}
ROWS = {
    "the default": SMALL,
    "the paper's": {},
    **TABLE_5,
    "gated patches": {**SMALL, "patch_extraction": "attention"},
    "no attention": {**SMALL, "attention": None},
    "no hidden layer": {**SMALL, "hidden_units": None},
    "no patches": {**SMALL, "patch_extraction": None, "output_layer": None},
    "MobileNetV1": {
        "output_layer": None, "patch_extraction": None, "attention": None, "hidden_units": None,
    },
    "64 filters": {**SMALL, "n_filters": 64},
    "96 pixels": {"input_size": 96, "patch_size": 3},
}  # fmt: skip


#: Three epochs of stage 1.
STAGE_1 = {
    "recipe": "paper",
    "unfreeze_layers": 0,
    "epochs": 3,
    "patience": None,
    "validation_fraction": None,
    "augment": False,
    "random_state": 0,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_train, y_train and X_test")
    parser.add_argument("--images", type=int, help="test on the first N; default: all")
    parser.add_argument("--train-size", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path("examples/output/agreement"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with np.load(arguments.data) as data:
        X, y = (data[name][: arguments.train_size] for name in ("X_train", "y_train"))
        images = data["X_test"][: arguments.images]
    print(f"{len(images)} images, Keras on {keras.backend.backend()}")
    pretrained = PAttLiteClassifier.from_pretrained("fer2013")
    report("the pretrained classifier", pretrained, images, flip_averaging=True)
    for name, settings in ROWS.items():
        key = joblib.hash([STAGE_1, settings, X, y])
        path = arguments.output / f"{name}_{key[:8]}.zip"
        if not path.exists():
            PAttLiteClassifier(**STAGE_1, **settings).fit(X, y).save_model(path)
        report(name, PAttLiteClassifier.load_model(path), images)


def report(name, classifier, images, *, flip_averaging=False):
    """Print a row."""
    found = classifier.predict_proba(images)
    images = images.reshape(*images.shape[:3], -1)  # grey images get a channel axis, too
    expected = KerasPredictor(classifier.model_, flip_averaging=flip_averaging)(images)
    difference = np.abs(found - expected).max()
    n_labels = np.sum(found.argmax(axis=1) != expected.argmax(axis=1))
    varies = expected.std(axis=0).max()
    print(
        f"{name:34} {difference:.1e}, {n_labels} labels; a class varies by {varies:.2f}", flush=True
    )


if __name__ == "__main__":
    main()
