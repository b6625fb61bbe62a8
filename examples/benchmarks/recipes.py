"""Compare the recipes with each other, and with logistic regression on frozen features.

    KERAS_HOME=... python examples/benchmarks/recipes.py fer2013_sample.npz
    ... recipes.py fer2013_sample.npz --train-size 1000   # on 1,000 faces
    ... recipes.py fer2013_sample.npz --test              # on X_test, for the last word
    ... recipes.py fer2013_train.npz --train-size 8000    # of all of FER2013; tested on PublicTest
    ... recipes.py fer2013_sample.npz --rows frontier --first-folds 1 --jobs 2 --plot frontier.svg
    ... recipes.py drawn --folds 10 --rows transfer modern paper   # 1,000 drawn faces, 118 subjects

Cross-validates within X_train, unless told otherwise: all rows are trained and tested on the same
images in each fold and seed, so that differences are paired. Stage 2 of the paper's recipe takes
long on a CPU: "paper, stage 1" trains only the head, and --finetune-epochs limits stage 2. Fits are
kept in --output: the same command continues a run that was stopped. "frontier" stands for
"modern", "transfer", and the rows that change parameters of "transfer"; --plot draws accuracy over
seconds.
"""

import argparse
import functools
import itertools
import time
from pathlib import Path

import joblib
import numpy as np
from _variants import REPLACEMENTS, TEACHERS, Distilled, Variant
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._settings import RECIPES
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.metrics import expression_report
from sklearn_patt_lite.preprocessing import BackboneFeatures


def main():
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.rows == ["frontier"]:
        arguments.rows = ["modern", "transfer", *FRONTIER]
    X, y, groups, splits = load(arguments)
    jobs = [
        (name, X, y, groups, *split, seed, arguments)
        for seed in range(arguments.seeds)
        for split in splits(seed)
        for name in arguments.rows
    ]
    fits = Parallel(n_jobs=arguments.jobs)(delayed(fit_once)(*job) for job in jobs)
    n_rows = len(arguments.rows)
    rows = {name: fits[i::n_rows] for i, name in enumerate(arguments.rows)}
    for name, fits in rows.items():
        report(name, y, fits, arguments)
    first = arguments.rows[0]
    for name in arguments.rows[1:]:
        compare(first, name, y, groups, rows)
    if arguments.plot is not None:
        plot(rows, y, arguments.plot)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_train, y_train, X_test and y_test, or drawn")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=[*ROWS, "frontier"],
        default=COMPARED,
        help="the first is compared with each of the others",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--first-folds", type=int, help="use only the first N; default: all")
    parser.add_argument("--train-size", type=int, help="train on N images, test on all others")
    parser.add_argument("--test", action="store_true", help="train on X_train, test on X_test")
    parser.add_argument("--epochs", type=int, help="for all recipes; default: each recipe's own")
    parser.add_argument("--finetune-epochs", type=int, default=500, help="in the paper's stage 2")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel fits")
    parser.add_argument("--plot", type=Path, help="plot accuracy over seconds to this file")
    parser.add_argument("--output", type=Path, default=Path("examples/output/recipes"))
    return parser.parse_args()


def load(arguments):
    """Load images, labels, subjects or None, and a function that makes the splits of a seed."""
    if arguments.data == "drawn":
        faces = make_expression_faces(n_subjects=118, image_size=96, random_state=0)
        some = np.random.default_rng(0).permutation(len(faces.target))[:1000]
        X, y, groups = faces.images[some], faces.target[some], faces.groups[some]

        def by_subject(seed):
            splitter = GroupKFold(arguments.folds, shuffle=True, random_state=seed)
            return itertools.islice(splitter.split(X, y, groups), arguments.first_folds)

        return X, y, groups, by_subject
    with np.load(arguments.data) as data:
        X, y = data["X_train"], data["y_train"]
        if arguments.test:
            n = len(X)
            X, y = np.concatenate([X, data["X_test"]]), np.concatenate([y, data["y_test"]])
            return X, y, None, lambda seed: [(np.arange(n), np.arange(n, len(X)))]
        if "X_val" in data:
            return load_whole(data, arguments.train_size)

    def splits(seed):
        if arguments.train_size is not None:
            splitter = StratifiedShuffleSplit(1, train_size=arguments.train_size, random_state=seed)
        else:
            splitter = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed)
        return itertools.islice(splitter.split(X, y), arguments.first_folds)

    return X, y, None, splits


def load_whole(data, train_size):
    """Load FER2013: some of its training part, and the PublicTest images that are not in it."""
    n, is_new = len(data["X_train"]), ~data["val_in_train"]
    X = np.concatenate([data["X_train"], data["X_val"][is_new]])
    y = np.concatenate([data["y_train"], data["y_val"][is_new]])
    tested = np.arange(n, len(X))

    def splits(seed):
        trained = np.arange(n)
        if train_size is not None:
            splitter = StratifiedShuffleSplit(1, train_size=train_size, random_state=seed)
            trained = np.sort(next(splitter.split(X[:n], y[:n]))[0])
        return [(trained, tested)]

    return X, y, None, splits


def fit_once(name, X, y, groups, train, test, seed, arguments):
    """Fit and predict, unless done before; return test rows, probabilities and seconds."""
    classifier = ROWS[name](seed, arguments)
    kept = arguments.output / f"{key_of(classifier, X, y, train, test)}.joblib"
    if not kept.exists():
        start = time.perf_counter()
        known = {} if groups is None else {"groups": groups[train]}
        classifier.fit(X[train], y[train], **known)
        seconds = time.perf_counter() - start
        joblib.dump((test, classifier.predict_proba(X[test]), seconds), kept)
    test, y_proba, seconds = joblib.load(kept)
    accuracy = (y_proba.argmax(axis=1) == y[test]).mean()
    print(f"{name:30} seed {seed}  accuracy {accuracy:.4f}  {seconds:.0f} s", flush=True)
    return test, y_proba, seconds


def key_of(classifier, *data):
    """Name a fit by a hash; the memory maps that joblib's workers get count as arrays."""
    # How a classifier with "auto" parameters trains depends on the recipes.
    return joblib.hash([joblib.hash(classifier), joblib.hash(RECIPES), *data], coerce_mmap=True)


def transfer(seed, arguments, **changes):
    return PAttLiteClassifier(random_state=seed, **{**given(arguments), **changes})


def given(arguments):
    """Get the parameters that all recipes share."""
    settings = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    return settings | (DRAWN if arguments.data == "drawn" else {})


def paper(seed, arguments):
    return paper_head(seed, arguments).set_params(
        unfreeze_layers=40, finetune_epochs=arguments.finetune_epochs
    )


def paper_head(seed, arguments, **changes):
    memory = arguments.output / "features"
    return PAttLiteClassifier(
        recipe="paper",
        unfreeze_layers=0,
        memory=memory,
        random_state=seed,
        **given(arguments),
        **changes,
    )


def changed(**changes):
    """Use the default recipe with other parameters."""
    return functools.partial(transfer, **changes)


def replaced(variant, **changes):
    """Use the default recipe with a part of the package replaced."""
    return lambda seed, arguments: Variant(variant, transfer(seed, arguments, **changes))


def distilled(teachers):
    """Use the default recipe, taught by itself."""
    return lambda seed, arguments: Distilled(teachers, transfer(seed, arguments))


def changed_head(**changes):
    """Use the paper's stage 1 with other parameters."""
    return functools.partial(paper_head, **changes)


def regression(grid):
    """Use a logistic regression on the features of the paper's stage 1, averaged over a grid."""

    def make(seed, arguments):
        return make_pipeline(
            BackboneFeatures(grid=grid, memory=arguments.output / "features"),
            StandardScaler(),
            GridSearchCV(
                LogisticRegression(max_iter=300), {"C": [1e-4, 1e-3, 1e-2]}, cv=5, n_jobs=2
            ),
        )

    return make


DEPTHS = {f"{n} layers": changed(unfreeze_layers=n) for n in (0, 9, 18, 22, 34, 58)}  # of 58
DEPTH_OF = {"transfer": 28, **{name: int(name.split()[0]) for name in DEPTHS}}
#: The default recipe with one change each. At 112 pixels, patches are made from 7×7 cells.
FRONTIER = {
    **DEPTHS,
    "ImageNet's statistics": changed(finetune_normalization=False),
    "six flips and contrasts": changed(augment=True),
    "not augmented": changed(augment=False),
    "96 pixels": changed(input_size=96, patch_size=3),
    "128 pixels": changed(input_size=128),
    "5 epochs": changed(finetune_epochs=5),
    "20 epochs": changed(finetune_epochs=20),
}
#: How the package's pretrained network was trained.
PRETRAINED = {"epochs": 3, "finetune_epochs": 40, "batch_size": 32, "class_weight": None}
ROWS = {
    **FRONTIER,
    "pretrained": changed(**PRETRAINED),
    "pretrained, erasing": replaced("erasing", **PRETRAINED),
    "batches of 32": changed(batch_size=32),
    **{variant: replaced(variant) for variant in REPLACEMENTS},
    **{f"taught by {teachers}": distilled(teachers) for teachers in TEACHERS},
    "transfer": transfer,
    "modern": changed(recipe="modern"),
    "regression, 2×2": regression(2),
    "regression, globally pooled": regression(1),
    "paper, stage 1": paper_head,
    "paper": paper,
    "stage 1, dropout 0.5": changed_head(dropout=0.5),
    "stage 1, 64 filters": changed_head(n_filters=64),
    "stage 1, no attention": changed_head(attention=None),
    "stage 1, no hidden layer": changed_head(hidden_units=None),
    "stage 1, no patches": changed_head(patch_extraction=None, attention=None, hidden_units=None),
    "stage 1, mirror images": changed_head(flip_averaging=True),
}
COMPARED = [
    "transfer",
    "modern",
    "regression, 2×2",
    "regression, globally pooled",
    "paper, stage 1",
    "paper",
]
DRAWN = {"backbone_weights": "drawn", "alpha": 0.25, "input_size": 96, "patch_size": 3}


def report(name, y, fits, arguments):
    """Print a row of the table; ± is between seeds, and the worst split's accuracy comes last."""
    n_splits = len(fits) // arguments.seeds
    seeds = [fits[i * n_splits : (i + 1) * n_splits] for i in range(arguments.seeds)]
    scores = []
    for folds in seeds:
        rows, y_proba = (np.concatenate(parts) for parts in list(zip(*folds, strict=True))[:2])
        found = expression_report(
            y[rows], y_proba.argmax(axis=1), y_proba=y_proba, n_resamples=1, random_state=0,
            target_names=[str(i) for i in range(y_proba.shape[1])],
        )  # fmt: skip
        scores.append((found.accuracy, found.balanced_accuracy, found.calibration_error))
    numbers = "".join(f"{spread(each):>14}" for each in zip(*scores, strict=True))
    seconds, quickest = np.mean([fit[2] for fit in fits]), min(fit[2] for fit in fits)
    worst = min((y_proba.argmax(axis=1) == y[test]).mean() for test, y_proba, _ in fits)
    print(
        f"{name:30}{numbers}  {seconds:.0f} s a fit, at least {quickest:.0f}  "
        f"worst {100 * worst:.1f}"
    )


def plot(rows, y, path):
    """Plot accuracy over seconds of a fit; bars are standard errors over the test images."""
    from matplotlib.figure import Figure  # opens no window
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xscale="log")
    axes.set(xlabel="seconds of the quickest fit, one core", ylabel="accuracy, %")
    places = {}
    for name, fits in rows.items():
        right = np.concatenate([p.argmax(axis=1) == y[test] for test, p, _ in fits])
        # Other work on the machine only adds time, so the quickest fit is the best measure.
        seconds, accuracy = min(fit[2] for fit in fits), 100 * right.mean()
        error = 100 * right.std() / np.sqrt(len(np.unique(np.concatenate([f[0] for f in fits]))))
        color, below = ("tab:blue", 5) if name in DEPTH_OF else ("tab:orange", -12)
        axes.errorbar(seconds, accuracy, error, fmt="o", color=color, alpha=0.6)
        label = name if name != "transfer" else f"transfer, {DEPTH_OF[name]} layers"
        offset = {"xytext": (5, below), "textcoords": "offset points", "fontsize": 8}
        axes.annotate(label, (seconds, accuracy), color=color, **offset)
        places[name] = seconds, accuracy
    depths = [places[name] for name in sorted(DEPTH_OF.keys() & places, key=DEPTH_OF.get)]
    if depths:
        axes.plot(*zip(*depths, strict=True), color="tab:blue", alpha=0.6)
    axes.margins(x=0.12)
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks(ScalarFormatter())
    figure.savefig(path)


def spread(scores):
    """Format the mean and, with more than one seed, the deviation, in %."""
    deviation = f" ± {100 * np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""
    return f"{100 * np.mean(scores):.1f}{deviation}"


def compare(name, other, y, groups, rows, n_resamples=10_000):
    """Compare by paired bootstrap over images or subjects, correctness averaged over fits."""
    right, times = np.zeros((2, len(y))), np.zeros(len(y))
    for first, second in zip(rows[name], rows[other], strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        times[first[0]] += 1
        for of_row, (test, y_proba, _) in zip(right, (first, second), strict=True):
            of_row[test] += y_proba.argmax(axis=1) == y[test]
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    gains, times = np.bincount(unit, right[0] - right[1]), np.bincount(unit, times)
    gains, times = gains[times > 0], times[times > 0]
    drawn = np.random.default_rng(0).integers(len(gains), size=(n_resamples, len(gains)))
    low, high = np.percentile(gains[drawn].sum(axis=1) / times[drawn].sum(axis=1), [2.5, 97.5])
    print(
        f"{name} minus {other}: {100 * gains.sum() / times.sum():+.1f} points, 95 % interval "
        f"{100 * low:+.1f} to {100 * high:+.1f} (paired bootstrap over {len(gains)} "
        f"{'images' if groups is None else 'subjects'})"
    )


if __name__ == "__main__":
    main()
