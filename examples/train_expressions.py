"""Train a classifier on FER2013 and test it: how the package's pretrained one was made.

    KERAS_HOME=... python examples/train_expressions.py fer2013.csv
    ... train_expressions.py fer2013.csv --epochs 3 --finetune-epochs 40 --batch-size 32 \
        --no-class-weight --output faces.zip
    ... train_expressions.py fer2013.csv --images 500   # to try it

FER2013 is read by `load_fer2013`, from its table or from folders, or from an .npz with X_train,
y_train, X_val and y_val in FER2013's codes. The classifier is trained on "Training" and tested on
"PublicTest", with and without the images that also occur in "Training", byte for byte. On those
that do not, a temperature is fitted: one number by which the network's logits are divided, so that
its confidence matches its accuracy. With --test, it is also tested on "PrivateTest": do this once,
when everything else is decided.

--output is written by `save_model` in half precision, with the scores in its model card. An epoch
takes one to four minutes on two cores. If a fit is stopped, the same command continues after its
last epoch, and the printed seconds cover only the last part.
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

NAMES = np.array(EXPRESSIONS[:7])  # indexed by FER2013's codes
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
    # Fail now, not after hours of training.
    if arguments.test and not ("test" in parts and len(parts["test"][0])):
        raise SystemExit(f"--test needs PrivateTest, which {arguments.data} does not contain.")
    if missing := {*NAMES.tolist()}.difference(y.tolist()):
        raise SystemExit(f"No training images show: {', '.join(sorted(missing))}.")
    X_val, y_val = parts["validation"]
    new = stand_not_in(X, X_val)
    if missing := [name for name in NAMES.tolist() if (y_val[new] == name).sum() < 2]:
        raise SystemExit(
            f"Fitting a temperature needs two new images each of: {', '.join(missing)}."
        )
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in KiB on Linux
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
    parser.add_argument("data", type=Path, help="FER2013's table or folder, or an .npz")
    add_parameters(parser)
    parser.add_argument("--no-class-weight", action="store_true", help="default: balanced")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--images", type=int, help="train on only N; default: all")
    parser.add_argument("--test", action="store_true", help="score on PrivateTest, too")
    parser.add_argument("--checkpoint-dir", default="examples/output/train_expressions")
    parser.add_argument("--output", type=Path, default=Path("examples/output/fer2013.zip"))
    return parser.parse_args()


def load(path):
    """Load the images and expression names of each part."""
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
    """Mark the images that do not occur among the training images, byte for byte."""
    known = {image.tobytes() for image in X_train}
    return np.array([image.tobytes() not in known for image in X], dtype=bool)


def calibrate(classifier, X, y):
    """Divide the network's logits by a temperature that is fitted on held-out images.

    It is fitted to the mean probabilities of an image and its mirror image, but divides the logits
    of each separately, which is nearly the same.

    Returns
    -------
    classifier : PAttLiteClassifier
        A copy with the temperature folded into the weights of its last layer.
    temperature : float
        Above 1 if the classifier was overconfident.
    """
    folds = StratifiedKFold(2)  # without effect, since no network is trained
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier), method="temperature", cv=folds)
    inverse = calibrated.fit(X, y).calibrated_classifiers_[0].calibrators[0].beta_
    last = classifier.model_.layers[-1]  # dense, with a softmax
    last.set_weights([inverse * weights for weights in last.get_weights()])
    return copy.deepcopy(classifier), 1 / inverse  # it uses the new weights


def report(classifier, y_proba, name, y, is_new):
    """Report scores on a part, and on its images that do not occur in training."""
    predicted = classifier.classes_[y_proba.argmax(axis=1)]
    text = ""
    everything = np.ones(len(y), dtype=bool)
    for title, rows in ((name, everything), (f"{name} without what stands in Training", is_new)):
        scores = expression_report(y[rows], predicted[rows], y_proba=y_proba[rows], random_state=0)
        text += f"{title}: {rows.sum():,} images\n\n{scores}\n\n"
    return text


def compare(before, after):
    """Print how half precision changes labels and probabilities."""
    n_others = (before.argmax(axis=1) != after.argmax(axis=1)).sum()
    print(
        f"in half precision, {n_others} of {len(before)} labels differ, and "
        f"probabilities differ by at most {abs(before - after).max():.4f}"
    )


if __name__ == "__main__":
    main()
