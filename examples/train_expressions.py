"""Train a classifier on FER2013 and test it: how the one in the package was made.

    KERAS_HOME=... python examples/train_expressions.py fer2013.csv
    ... train_expressions.py fer2013.csv --epochs 3 --finetune-epochs 40 --batch-size 32 \
        --no-class-weight --output faces.zip
    ... train_expressions.py fer2013.csv --images 500   # to try it

FER2013 is read as `load_fer2013` reads it, from its table or from folders, or from an .npz with
X_train, y_train, X_val and y_val in its codes. "Training" is trained on, and "PublicTest" is tested
on, with and without the images that stand in "Training" byte for byte. On those that do not, a
temperature is fitted: one number by which the network's logits are divided, so that it is as sure
as it is right. "PrivateTest" is tested on with --test: once, when all else is decided.

What is left in --output is a file of `save_model` in half precision, with the scores in its model
card. An epoch takes one to four minutes on two cores. A fit that was stopped goes on after its last
epoch, and its seconds are then those of its last part.
"""

import argparse
import copy
import resource
import time
from pathlib import Path

import numpy as np
from _parameters import add_parameters, given_parameters
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_fer2013
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS
from sklearn_patt_lite.metrics import expression_report

NAMES = np.array(EXPRESSIONS[:7])  # by FER2013's code
DESCRIPTION = """\
Trained on {n:,} images of FER2013's part "Training": grey faces of 48×48 pixels from a web search,
of people about whom nothing is known. People who are shown them agree with 65 ± 5 % of the labels
(I. J. Goodfellow et al., 2013). Its logits are divided by {temperature:.3f}, a temperature that was
fitted on the images of "PublicTest" that do not stand in "Training".

```text
{scores}
```
"""


def main():
    arguments = parse_arguments()
    parts = load(arguments.data)
    X, y = parts["train"]
    if arguments.images is not None:
        some = np.random.default_rng(0).permutation(len(X))[: arguments.images]
        X, y = X[some], y[some]
    # Now, and not after hours of training.
    if arguments.test and "test" not in parts:
        raise SystemExit(f"--test needs PrivateTest, which {arguments.data} does not hold.")
    if missing := {*NAMES.tolist()}.difference(y.tolist()):
        raise SystemExit(f"No image to train on shows: {', '.join(sorted(missing))}.")
    X_val, y_val = parts["validation"]
    new = stand_not_in(X, X_val)
    if missing := [name for name in NAMES.tolist() if (y_val[new] == name).sum() < 2]:
        raise SystemExit(f"No two new images to fit a temperature on show: {', '.join(missing)}.")
    classifier = PAttLiteClassifier(
        random_state=arguments.random_state,
        checkpoint_dir=arguments.checkpoint_dir,
        verbose=1,
        class_weight=None if arguments.no_class_weight else "balanced",
        **given_parameters(arguments),
    )
    start = time.perf_counter()
    classifier.fit(X, y)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts kibibytes
    print(f"{len(X)} images, {seconds:.0f} s, peak {peak:.2f} GiB")
    classifier, temperature = calibrate(classifier, X_val[new], y_val[new])
    print(f"temperature {temperature:.3f}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    classifier.save_model(arguments.output, half_precision=True)
    saved = PAttLiteClassifier.load_model(arguments.output)
    y_proba = saved.predict_proba(X_val)
    compare(classifier.predict_proba(X_val), y_proba)
    scores = report(saved, y_proba, "PublicTest", y_val, new)
    if arguments.test:
        X_test, y_test = parts["test"]
        new = stand_not_in(X, X_test)
        scores += report(saved, saved.predict_proba(X_test), "PrivateTest", y_test, new)
    print(scores)
    description = DESCRIPTION.format(n=len(X), temperature=temperature, scores=scores)
    saved.save_model(arguments.output, description=description, half_precision=True)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="FER2013's table, or folder, or an .npz")
    add_parameters(parser)
    parser.add_argument("--no-class-weight", action="store_true", help="default: balanced")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--images", type=int, help="train on so many; default: all")
    parser.add_argument("--test", action="store_true", help="on PrivateTest, too")
    parser.add_argument("--checkpoint-dir", default="examples/output/train_expressions")
    parser.add_argument("--output", type=Path, default=Path("examples/output/fer2013.zip"))
    return parser.parse_args()


def load(path):
    """Load images and names of expressions of each part."""
    if path.suffix == ".npz":
        with np.load(path) as data:
            return {
                "train": (data["X_train"], NAMES[data["y_train"]]),
                "validation": (data["X_val"], NAMES[data["y_val"]]),
            }
    data = load_fer2013(path, split="all")
    names = data.target_names[data.target]
    return {
        part: (data.images[data.split == part], names[data.split == part])
        for part in ("train", "validation", "test")
    }


def stand_not_in(X_train, X):
    """Check of each image whether it does not stand in the training images, byte for byte."""
    known = {image.tobytes() for image in X_train}
    return np.array([image.tobytes() not in known for image in X])


def calibrate(classifier, X, y):
    """Divide the network's logits by a temperature that is fitted on images it has not seen.

    It is fitted to the mean probabilities of an image and its mirror image, and divides the logits
    of each of them, which is nearly the same.

    Returns
    -------
    classifier : PAttLiteClassifier
        A copy whose last layer has the temperature in its weights.
    temperature : float
        Above 1 where the classifier was surer than it was right.
    """
    folds = StratifiedKFold(2)  # of no account, since no network is trained on them
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier), method="temperature", cv=folds)
    inverse = calibrated.fit(X, y).calibrated_classifiers_[0].calibrators[0].beta_
    last = classifier.model_.layers[-1]  # dense, and a softmax
    last.set_weights([inverse * weights for weights in last.get_weights()])
    return copy.deepcopy(classifier), 1 / inverse  # which predicts by the new weights


def report(classifier, y_proba, name, y, is_new):
    """Report scores on a part, and on what of it does not stand in the training images."""
    predicted = classifier.classes_[y_proba.argmax(axis=1)]
    text = ""
    everything = np.ones(len(y), dtype=bool)
    for title, rows in ((name, everything), (f"{name} without what stands in Training", is_new)):
        scores = expression_report(y[rows], predicted[rows], y_proba=y_proba[rows], random_state=0)
        text += f"{title}: {rows.sum():,} images\n\n{scores}\n\n"
    return text


def compare(before, after):
    """Tell what half precision changes of probabilities."""
    n_others = (before.argmax(axis=1) != after.argmax(axis=1)).sum()
    print(
        f"in half precision {n_others} of {len(before)} labels are others, and "
        f"probabilities differ by at most {abs(before - after).max():.4f}"
    )


if __name__ == "__main__":
    main()
