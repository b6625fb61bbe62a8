"""What was tried for recipe="modern": each change to it, by cross-validation in X_train.

    KERAS_BACKEND=torch KERAS_HOME=... python examples/benchmarks/recipe_search.py \
        fer2013_sample.npz

Needs PyTorch, and a GPU if it is to end: all networks of a group, of all its rows, folds and seeds,
are trained side by side (`_side_by_side.py`). Prints a line a row: accuracy of the last weights on
an image alone, accuracy with its mirror image, and the calibration error and log loss of that;
accuracy with averaged weights; and the difference from the first row, in points, with its interval
(paired over images). Rows differ from `BASE`, of which the modern recipe keeps what paid.
"""

import argparse
import dataclasses
import time

import _side_by_side
import numpy as np
import torch
from _side_by_side import Recipe
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from sklearn_patt_lite.metrics import expression_report

BASE = Recipe()
STRONG = {"mixup": 0.2, "erasing": 0.5, "smallest_crop": 0.7}
SMALLER_STEPS = {"epochs": 10, "warmup_epochs": 1}
#: Changes to BASE by the row's name; rows of a group share what fixes a network's shapes.
GROUPS = [
    {
        "first row": {},
        "mixup 0.2": {"mixup": 0.2},
        "erasing, every second image": {"erasing": 0.5},
        "zooms from 0.65": {"smallest_crop": 0.65},
    },
    {
        "mixup, erasing, zooms from 0.7": STRONG,
        "weight decay 0.5": {"weight_decay": 0.5},
        "dropout 0.5": {"dropout": 0.5},
        "rotation 20°, contrast 0.5": {"rotation": 20, "contrast": 0.5},
    },
    {
        "no weight decay": {"weight_decay": 0.0},
        "flips and contrast alone": {
            "rotation": 0.0,
            "shift": 0.0,
            "smallest_crop": 1.0,
            "largest_crop": 1.0,
        },
        "rate 3e-4": {"learning_rate": 3e-4},
        "rate falling by 0.8 a block": {"layer_decay": 0.8},
    },
    {
        "rate 2e-3": {"learning_rate": 2e-3},
        "rate 2e-3, backbone 6e-4": {"learning_rate": 2e-3, "backbone_rate": 0.3},
        "no label smoothing": {"smoothing": 0.0},
        "averaging 0.995 instead of 0.99": {"averaging": 0.995},
    },
    {"BatchNormalization frozen": {"normalization": "frozen"}},
    {"BatchNormalization not refitted": {"normalization": "adapts"}},
    {"constant rate, averaging 0.998": {"schedule": "constant", "averaging": 0.998}},
    {
        "10 epochs": SMALLER_STEPS,
        "10 epochs, rate 2e-3": {**SMALLER_STEPS, "learning_rate": 2e-3},
    },
    {
        "40 epochs, mixup, erasing, zooms": {"epochs": 40, **STRONG},
        "the same, decay 0.5, dropout 0.3": {
            "epochs": 40,
            "weight_decay": 0.5,
            "dropout": 0.3,
            **STRONG,
        },
    },
    {"batches of 16": {"batch_size": 16}},
    {"batches of 64": {"batch_size": 64}},
    {"96 pixels": {"input_size": 96}},
    {"160 pixels": {"input_size": 160}},
    {"no attention": {"head": "mean"}},
    {"no hidden layer": {"hidden_units": 0}},
    {"patches side by side, no hidden layer": {"head": "concatenated"}},
    {"backbone's mean": {"head": "pooled"}},
    {"backbone's 2×2 means": {"head": "pooled 2x2"}},
    {"conv_dw_10_relu's mean": {"head": "pooled", "output_layer": "conv_dw_10_relu"}},
]


def main():
    arguments = parse_arguments()
    with np.load(arguments.data) as data:
        X, y = data["X_train"], data["y_train"].astype(int)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    base = None
    for group in GROUPS[: arguments.groups]:
        start = time.perf_counter()
        found = cross_validate(group, X, y, arguments)
        base = next(iter(found.values())) if base is None else base
        for name, y_proba in found.items():
            print(describe(name, y_proba, base, y), flush=True)
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_train (n, 48, 48) and y_train")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=len(GROUPS), help="of rows: the first ones")
    parser.add_argument("--epochs", type=int, help="of all rows, to try the script")
    return parser.parse_args()


def cross_validate(group, X, y, arguments):
    """Probabilities (seeds, 2, 2, n, classes) of all images, each when it was not trained on.

    See `_side_by_side.train` for the axes of two.
    """
    recipes, seeds, folds = [], [], []
    for changes in group.values():
        recipe = dataclasses.replace(BASE, **changes)
        if arguments.epochs is not None:
            recipe = dataclasses.replace(recipe, epochs=arguments.epochs, warmup_epochs=0.5)
        for seed in range(arguments.seeds):
            splitter = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed)
            for fold in splitter.split(X, y):
                recipes.append(recipe)
                seeds.append(seed)
                folds.append(fold)
    train, test = zip(*folds, strict=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = _side_by_side.train(recipes, seeds, X, y, train, test, device=device)
    y_proba = np.zeros((len(group), arguments.seeds, 2, 2, len(y), found.shape[-1]))
    for i, (rows, seed) in enumerate(zip(test, seeds, strict=True)):
        row = i // (arguments.seeds * arguments.folds)
        y_proba[row, seed][:, :, rows] = found[i, :, :, : len(rows)]
    return dict(zip(group, y_proba, strict=True))


def describe(name, y_proba, base, y):
    """A row of the table."""
    right = y_proba.argmax(axis=-1) == y  # seeds × 2 × 2 × n
    alone, mirrored, averaged = right[:, 0, 0], right[:, 0, 1], right[:, 1, 1]
    gain = 100 * (mirrored * 1.0 - (base.argmax(axis=-1) == y)[:, 0, 1]).mean(axis=0)
    half = 1.96 * gain.std() / np.sqrt(len(gain))
    errors = [
        expression_report(
            y, each.argmax(axis=1), y_proba=each, n_resamples=1, random_state=0,
            target_names=[str(i) for i in range(each.shape[1])],
        ).calibration_error
        for each in y_proba[:, 0, 1]
    ]  # fmt: skip
    losses = [log_loss(y, each) for each in y_proba[:, 0, 1]]
    return (
        f"{name:38} {100 * alone.mean():5.1f} {100 * mirrored.mean():5.1f}"
        f" {np.mean(errors):6.3f} {np.mean(losses):6.3f} {100 * averaged.mean():6.1f}"
        f"  {gain.mean():+.1f} ({gain.mean() - half:+.1f} to {gain.mean() + half:+.1f})"
    )


if __name__ == "__main__":
    main()
