"""Train PAtt-Lite on your faces: ImageNet weights, both stages, and an honest report.

    python examples/train_on_faces.py fer2013.csv
    python examples/train_on_faces.py faces.npz --seeds 3 --attention patches none --baselines
    python examples/train_on_faces.py folder_with_a_folder_per_expression/

Faces come as an .npz (X_train, y_train and, if there is a test set, X_test, y_test), as
FER2013's .csv (emotion, pixels, Usage), or as a tree with a folder per expression, below
train/ and test/ if there is a test set. Without one, a fifth of the images is held out.

The test set is looked at once, after training. Predictions are kept in --output, fit by fit:
a run that was stopped goes on where it was. On a CPU without the options that shorten it, the
paper's recipe takes hours for a few thousand faces; --verbose shows where it is.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.preprocessing import FaceResizer

FER2013 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def main():
    arguments = parse_arguments()
    X_train, X_test, y_train, y_test = load_faces(arguments.faces)
    print(f"{len(X_train)} images to train on, {len(X_test)} to test on")
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.baselines:
        report_baselines(X_train, X_test, y_train, y_test, arguments)
    predictions = {}
    for attention in arguments.attention:
        predictions[attention] = np.stack(
            [
                fit_and_predict(X_train, y_train, X_test, y_test, attention, seed, arguments)
                for seed in range(arguments.seeds)
            ]
        )
    for attention, predicted in predictions.items():
        report(f"attention={attention}", y_test, predicted)
    if len(predictions) == 2:
        compare(y_test, predictions)


def parse_arguments():
    defaults = PAttLiteClassifier().get_params()
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
    parser.add_argument("--verbose", action="store_true", help="a line an epoch")
    for name in (
        "epochs",
        "patience",
        "batch_size",
        "unfreeze_layers",
        "finetune_epochs",
        "finetune_patience",
        "finetune_learning_rate",
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(defaults[name]),
            default=defaults[name],
            help=f"as PAttLiteClassifier's; default {defaults[name]}",
        )
    return parser.parse_args()


def load_faces(path):
    """Read faces and labels; X_train, X_test, y_train, y_test."""
    if path.is_dir():
        return load_tree(path)
    if path.suffix == ".csv":
        return load_csv(path)
    with np.load(path) as data:
        if "X_test" in data:
            return data["X_train"], data["X_test"], data["y_train"], data["y_test"]
        return hold_out(data["X_train"], data["y_train"])


def load_csv(path):
    with path.open(newline="") as stream:
        rows = [
            {key.strip(): value for key, value in row.items()} for row in csv.DictReader(stream)
        ]
    X = np.array([np.array(row["pixels"].split(), dtype=np.uint8) for row in rows])
    side = int(np.sqrt(X.shape[1]))
    X = X.reshape(-1, side, side)
    y = np.array([int(row["emotion"]) for row in rows])
    train = np.array([row["Usage"] == "Training" for row in rows])
    test = np.array([row["Usage"] == "PrivateTest" for row in rows])
    return X[train], X[test], y[train], y[test]


def load_tree(root):
    if (root / "train").is_dir() and (root / "test").is_dir():
        X_train, y_train = list_tree(root / "train")
        X_test, y_test = list_tree(root / "test")
    else:
        X_train, X_test, y_train, y_test = hold_out(*list_tree(root))
    resizer = FaceResizer(size=PAttLiteClassifier().input_size, n_jobs=-1)
    return resizer.fit_transform(X_train), resizer.transform(X_test), y_train, y_test


def list_tree(folder):
    endings = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}
    paths = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in endings)
    if not paths:
        raise SystemExit(f"{folder} holds no folders with images.")
    return np.array(paths, dtype=object), np.array([p.parent.name for p in paths])


def hold_out(X, y):
    return train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


def fit_and_predict(X_train, y_train, X_test, y_test, attention, seed, arguments):
    """Predictions of the test images, from disk if they were made before."""
    kept = arguments.output / f"attention_{attention}_seed_{seed}.npy"
    if kept.exists():
        return np.load(kept)
    start = time.perf_counter()
    classifier = PAttLiteClassifier(
        attention=None if attention == "none" else attention,
        epochs=arguments.epochs,
        patience=arguments.patience,
        batch_size=arguments.batch_size,
        unfreeze_layers=arguments.unfreeze_layers,
        finetune_epochs=arguments.finetune_epochs,
        finetune_patience=arguments.finetune_patience,
        finetune_learning_rate=arguments.finetune_learning_rate,
        random_state=seed,
        verbose=int(arguments.verbose),
    ).fit(X_train, y_train)
    predicted = classifier.predict(X_test)
    print(
        f"attention={attention:7}  seed {seed}  {validation_accuracies(classifier)}"
        f"  test {accuracy_score(y_test, predicted):.3f}"
        f"  {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    np.save(kept, predicted)
    return predicted


def validation_accuracies(classifier):
    """Each stage's validation accuracy at the epoch that was kept."""
    stages = {name: part for name, part in classifier.history_.items() if name != "validation"}
    return "  ".join(
        f"{name}: validation {part['val_accuracy'][part['best_epoch']]:.3f}"
        f" (epoch {part['best_epoch'] + 1} of {len(part['loss'])})"
        for name, part in stages.items()
    )


def report_baselines(X_train, X_test, y_train, y_test, arguments):
    """Logistic regression on the very features that stage 1 builds on."""
    for grid in (1, 2):
        kept = arguments.output / f"logistic_regression_{grid}x{grid}.npy"
        if not kept.exists():
            features = [pooled_features(X, grid) for X in (X_train, X_test)]
            search = GridSearchCV(
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
                {"logisticregression__C": [1e-4, 1e-3, 1e-2]},
                cv=5,
            ).fit(features[0], y_train)
            np.save(kept, search.predict(features[1]))
        name = f"logistic regression on frozen features, pooled to {grid}×{grid}"
        report(name, y_test, np.load(kept)[np.newaxis])


def pooled_features(X, grid):
    """ImageNet features at the default output layer, averaged over a grid: (n, grid² × 512)."""
    import keras

    mobilenet = keras.applications.MobileNet(input_shape=(224, 224, 3), include_top=False)
    output = mobilenet.get_layer(PAttLiteClassifier().output_layer).output
    cells = output.shape[1] // grid
    pooled = keras.layers.AveragePooling2D(cells)(output)
    extractor = keras.Model(mobilenet.input, keras.layers.Flatten()(pooled))
    resizer = FaceResizer(size=224)
    batches = np.array_split(X, max(1, len(X) // 64))
    return np.concatenate(
        [extractor.predict_on_batch(resizer.fit_transform(b) / 127.5 - 1) for b in batches]
    )


def report(name, y_test, predictions):
    """Print scores over the seeds, and the confusion matrix over all of them."""
    accuracy = [accuracy_score(y_test, p) for p in predictions]
    balanced = [balanced_accuracy_score(y_test, p) for p in predictions]
    print(f"\n{name}, {len(predictions)} fit(s)")
    print(f"  accuracy           {spread(accuracy)}")
    print(f"  balanced accuracy  {spread(balanced)}")
    labels = np.unique(y_test)
    names = [
        FER2013[label] if len(labels) == 7 and label in range(7) else str(label) for label in labels
    ]
    shares = confusion_matrix(
        np.tile(y_test, len(predictions)), predictions.ravel(), normalize="true"
    )
    print(
        "  rows: true, columns: predicted, %\n" + " " * 12 + "".join(f"{n[:8]:>9}" for n in names)
    )
    for label, row in zip(names, shares, strict=True):
        print(f"  {label:10}" + "".join(f"{100 * share:9.0f}" for share in row))


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
