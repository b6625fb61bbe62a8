"""Train PAtt-Lite on your faces: ImageNet weights, and an honest report.

    python examples/train_on_faces.py fer2013.csv
    python examples/train_on_faces.py faces.npz --seeds 3 --attention patches none --baselines
    python examples/train_on_faces.py folder_with_a_folder_per_expression/

Faces come as an .npz (X_train, y_train and, if there is a test set, X_test, y_test), as
FER2013's .csv (emotion, pixels, Usage), or as a tree with a folder per expression, below
train/ and test/ if there is a test set. Without one, a fifth of the images is held out. Of
FER2013's .csv, "Training" is trained on and "PrivateTest" tested on.

Where people occur more than once (CK+, JAFFE, frames of a video), say who is who, so that nobody
is on both sides of a split: by groups_train in the .npz, or for a tree by a regular expression
whose first group is the subject in a file's name: --groups-from "^(S[0-9]+)_". For CK+ by the
field's folds there is examples/ckplus_folds.py.

The test set is looked at once, after training. Classifiers are kept in --output, fit by fit,
under the data and options that made them: a run that was stopped goes on where it was, and
`PAttLiteClassifier.load_model` and `python -m sklearn_patt_lite` take what it leaves. A few
thousand faces take minutes on a CPU; with --recipe paper, and without the options that shorten it,
hours. --verbose shows where it is.
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
from _parameters import add_parameters, given_parameters
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_face_folder, load_fer2013
from sklearn_patt_lite.preprocessing import BackboneFeatures

IMAGE_SIZE = 224  # of faces in files


def main():
    arguments = parse_arguments()
    X_train, X_test, y_train, y_test, groups = load_faces(arguments)
    print(f"{len(X_train)} images to train on, {len(X_test)} to test on")
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.baselines:
        report_baselines(X_train, X_test, y_train, y_test, arguments)
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
    parser.add_argument("--seeds", type=int, default=1, help="fits, with seeds 0, 1, …")
    parser.add_argument("--attention", nargs="+", choices=["patches", "none"], default=["patches"])
    parser.add_argument(
        "--baselines", action="store_true", help="logistic regression on the frozen features, too"
    )
    parser.add_argument("--output", type=Path, default=Path("examples/output/train_on_faces"))
    parser.add_argument(
        "--groups-from", help="regular expression that finds the subject in a file's name"
    )
    parser.add_argument("--verbose", action="store_true", help="a line an epoch")
    add_parameters(parser)
    return parser.parse_args()


def load_faces(arguments):
    """Read faces, labels and subjects; X_train, X_test, y_train, y_test, groups_train or None."""
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
    """Hold out a fifth of the images: of subjects of their own, where they are known."""
    if groups is None:
        return *train_test_split(X, y, test_size=0.2, stratify=y, random_state=0), None
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    train, test = next(splitter.split(X, y, groups))
    return X[train], X[test], y[train], y[test], groups[train]


def fit_and_predict(X_train, y_train, groups, X_test, y_test, attention, seed, arguments):
    """Predictions of the test images, by a classifier from disk if it was trained before."""
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
    """Each stage's epochs and, if there is validation data, accuracy at the epoch that was kept."""
    parts = {name: part for name, part in classifier.history_.items() if "loss" in part}
    return "  ".join(f"{name}: {stage(part)}" for name, part in parts.items())


def stage(part):
    n_epochs, best = len(part["loss"]), part["best_epoch"]
    if "val_accuracy" not in part:
        return f"{n_epochs} epochs"
    return f"validation {part['val_accuracy'][best]:.3f} (epoch {best + 1} of {n_epochs})"


def report_baselines(X_train, X_test, y_train, y_test, arguments):
    """Logistic regression on features of the frozen backbone, at 224 pixels."""
    for grid in (1, 2):
        key = joblib.hash([grid, X_train, y_train, X_test])
        kept = arguments.output / f"logistic_regression_{key}.npy"
        if not kept.exists():
            features = BackboneFeatures(grid=grid).fit(X_train)
            search = GridSearchCV(
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
                {"logisticregression__C": [1e-4, 1e-3, 1e-2]},
                cv=5,
            ).fit(features.transform(X_train), y_train)
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
    """Paired bootstrap over the test images, each image's correctness averaged over the seeds."""
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
