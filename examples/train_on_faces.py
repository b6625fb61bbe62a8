"""Train PAtt-Lite on your own faces, from ImageNet weights, with an honest report.

    python examples/train_on_faces.py fer2013.csv
    python examples/train_on_faces.py faces.npz --seeds 3 --attention patches none --baselines
    python examples/train_on_faces.py folder_with_a_folder_per_expression/

Faces can be an .npz (X_train, y_train and, if there is a test set, X_test, y_test), FER2013's .csv
(emotion, pixels, Usage), or a tree with a folder per expression, below train/ and test/ if there is
a test set. Without a test set, a fifth of the images is held out. With FER2013's .csv, "Training"
is the training set and "PrivateTest" the test set.

If people occur more than once (CK+, JAFFE, frames of a video), identify them, so that nobody is on
both sides of a split: by groups_train in the .npz, or for a tree by a regular expression whose
first group matches the subject in a file name: --groups-from "^(S[0-9]+)_". For CK+ in the field's
usual folds, see examples/ckplus_folds.py.

The test set is used once, after training. Each fitted classifier is kept in --output, under a name
that depends on its data and options: the same command continues a run that was stopped, and
`PAttLiteClassifier.load_model` and `python -m sklearn_patt_lite` can load the files. A few thousand
faces take minutes on a CPU, but hours with --recipe paper and no options that shorten it. --verbose
shows the progress.
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
from _parameters import add_parameters, given_parameters
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_face_folder, load_fer2013
from sklearn_patt_lite.preprocessing import BackboneFeatures

IMAGE_SIZE = 224  # to which image files are resized


def main():
    arguments = parse_arguments()
    X_train, X_test, y_train, y_test, groups = load_faces(arguments)
    print(f"{len(X_train)} images to train on, {len(X_test)} to test on")
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.baselines:
        report_baselines(X_train, X_test, y_train, y_test, groups, arguments)
    predictions = {}
    for attention in arguments.attention:
        predictions[attention] = np.stack(
            [
                fit_and_predict(
                    X_train, y_train, groups, X_test, y_test, attention, seed, arguments
                )
                for seed in range(arguments.seeds)
            ]
        )
    for attention, predicted in predictions.items():
        report(f"attention={attention}", y_test, predicted)
    if len(predictions) == 2:
        compare(y_test, predictions)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path, help=".npz, .csv or folder")
    parser.add_argument("--seeds", type=int, default=1, help="number of fits, with seeds 0, 1, …")
    parser.add_argument("--attention", nargs="+", choices=["patches", "none"], default=["patches"])
    parser.add_argument(
        "--baselines", action="store_true", help="also fit logistic regression on frozen features"
    )
    parser.add_argument("--output", type=Path, default=Path("examples/output/train_on_faces"))
    parser.add_argument(
        "--groups-from", help="regular expression that finds the subject in a file's name"
    )
    parser.add_argument("--verbose", action="store_true", help="print one line per epoch")
    add_parameters(parser)
    return parser.parse_args()


def load_faces(arguments):
    """Read faces; return X_train, X_test, y_train, y_test, and groups_train or None."""
    path = arguments.faces
    if path.is_dir():
        return load_tree(path, arguments.groups_from)
    if path.suffix == ".csv":
        return load_csv(path)
    with np.load(path) as data:
        groups = data.get("groups_train")
        if "X_test" in data:
            return data["X_train"], data["X_test"], data["y_train"], data["y_test"], groups
        return hold_out(data["X_train"], data["y_train"], groups)


def load_csv(path):
    data = load_fer2013(path, split="all")
    names = data.target_names[data.target]
    train, test = data.split == "train", data.split == "test"
    if not test.any():
        return hold_out(data.images[train], names[train], None)
    return data.images[train], data.images[test], names[train], names[test], None


def load_tree(root, groups_from):
    if (root / "train").is_dir() and (root / "test").is_dir():
        X_train, y_train, groups = load_part(root / "train", groups_from)
        X_test, y_test, _ = load_part(root / "test", groups_from)
        return X_train, X_test, y_train, y_test, groups
    return hold_out(*load_part(root, groups_from))


def load_part(root, groups_from):
    data = load_face_folder(root, groups_from=groups_from, image_size=IMAGE_SIZE, n_jobs=-1)
    return data.images, data.target_names[data.target], data.groups


def hold_out(X, y, groups):
    """Hold out a fifth of the images, or of the subjects if they are known."""
    if groups is None:
        return *train_test_split(X, y, test_size=0.2, stratify=y, random_state=0), None
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    train, test = next(splitter.split(X, y, groups))
    return X[train], X[test], y[train], y[test], groups[train]


def fit_and_predict(X_train, y_train, groups, X_test, y_test, attention, seed, arguments):
    """Predict the test images, with a classifier from disk if it was trained before."""
    classifier = PAttLiteClassifier(
        attention=None if attention == "none" else attention,
        random_state=seed,
        **given_parameters(arguments),
    )
    key = joblib.hash([classifier.get_params(), X_train, y_train, groups, X_test])
    kept = arguments.output / f"attention_{attention}_seed_{seed}_{key[:8]}.zip"
    if kept.exists():
        print(f"attention={attention:7}  seed {seed}  trained in an earlier run: {kept}")
        return PAttLiteClassifier.load_model(kept).predict(X_test)
    start = time.perf_counter()
    classifier.set_params(verbose=int(arguments.verbose)).fit(X_train, y_train, groups=groups)
    classifier.save_model(
        kept, description=f"Trained on {len(X_train)} faces of {arguments.faces.name}."
    )
    predicted = classifier.predict(X_test)
    print(
        f"attention={attention:7}  seed {seed}  {stages(classifier)}"
        f"  test {accuracy_score(y_test, predicted):.3f}"
        f"  {time.perf_counter() - start:.0f} s  {kept}",
        flush=True,
    )
    return predicted


def stages(classifier):
    """Format each stage's epochs and, with validation data, the accuracy at the kept epoch."""
    parts = {name: part for name, part in classifier.history_.items() if "loss" in part}
    return "  ".join(f"{name}: {stage(part)}" for name, part in parts.items())


def stage(part):
    n_epochs, best = len(part["loss"]), part["best_epoch"]
    if "val_accuracy" not in part:
        return f"{n_epochs} epochs"
    if best < 0:
        return f"worse than stage 1 in every epoch (of {n_epochs}); stage 1's weights were kept"
    return f"validation {part['val_accuracy'][best]:.3f} (epoch {best + 1} of {n_epochs})"


def report_baselines(X_train, X_test, y_train, y_test, groups, arguments):
    """Report a logistic regression on features of the frozen backbone, at 224 pixels."""
    cv = 5 if groups is None else GroupKFold(min(5, len(np.unique(groups))))
    for grid in (1, 2):
        key = joblib.hash([grid, X_train, y_train, groups, X_test])
        kept = arguments.output / f"logistic_regression_{key}.npy"
        if not kept.exists():
            features = BackboneFeatures(grid=grid).fit(X_train)
            search = GridSearchCV(
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
                {"logisticregression__C": [1e-4, 1e-3, 1e-2]},
                cv=cv,
            ).fit(features.transform(X_train), y_train, groups=groups)
            np.save(kept, search.predict(features.transform(X_test)))
        name = f"logistic regression on frozen features, pooled to {grid}×{grid}"
        report(name, y_test, np.load(kept)[np.newaxis])


def report(name, y_test, predictions):
    """Print scores over the seeds, and the confusion matrix over all of them."""
    accuracy = [accuracy_score(y_test, p) for p in predictions]
    balanced = [balanced_accuracy_score(y_test, p) for p in predictions]
    print(f"\n{name}, {len(predictions)} fit(s)")
    print(f"  accuracy           {spread(accuracy)}")
    print(f"  balanced accuracy  {spread(balanced)}")
    true = np.tile(y_test, len(predictions))
    labels = np.union1d(true, predictions)
    shares = confusion_matrix(true, predictions.ravel(), labels=labels, normalize="true")
    print("  rows: true, columns: predicted, %")
    print(" " * 12 + "".join(f"{str(label)[:8]:>9}" for label in labels))
    for label, row in zip(labels, shares, strict=True):
        print(f"  {label!s:10}" + "".join(f"{100 * share:9.0f}" for share in row))


def spread(scores):
    deviation = f" ± {np.std(scores, ddof=1):.3f} between seeds" if len(scores) > 1 else ""
    return f"{np.mean(scores):.3f}{deviation}"


def compare(y_test, predictions, n_resamples=10_000):
    """Compare by paired bootstrap over the test images, correctness averaged over the seeds."""
    (first, a), (second, b) = predictions.items()
    gain = (a == y_test).mean(axis=0) - (b == y_test).mean(axis=0)
    rows = np.random.default_rng(0).integers(len(gain), size=(n_resamples, len(gain)))
    low, high = np.percentile(gain[rows].mean(axis=1), [2.5, 97.5])
    print(
        f"\nattention={first} minus attention={second}: {gain.mean():+.3f} accuracy, "
        f"95 % interval {low:+.3f} to {high:+.3f} (paired bootstrap over {len(gain)} test images)"
    )


if __name__ == "__main__":
    main()
