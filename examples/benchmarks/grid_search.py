"""Compare a grid search with the same one in plain SciKeras and GridSearchCV, in one run.

    KERAS_HOME=... python examples/benchmarks/grid_search.py
    KERAS_HOME=... python examples/benchmarks/grid_search.py --grid depths
    KERAS_HOME=... python examples/benchmarks/grid_search.py --grid default
    KERAS_HOME=... python examples/benchmarks/grid_search.py --images 140 --epochs 2 --plain-fits 1

The paper's recipe: 12 candidates (3 output layers x 4 patch sizes, or unfreeze depths 0, 4, 16 x 2
patch sizes with both stages) on 5 GroupKFold folds of drawn faces at 224 pixels, `alpha=1`, batch
size 8, ImageNet weights, patience off. "default": the default recipe, depths 0, 9, 18 and 28 x 2
patch sizes, at 112 pixels. The plain side trains a fixed sample of its fits, spread evenly over the
candidates, and is scaled to all of them. Both sides use oneDNN, which this library switches on in
TensorFlow. The search runs twice (once with `--once`), so that the second finds the features of the
first; forward passes through frozen layers are counted.
"""

import argparse
import tempfile
import time

import numpy as np
from _plain import PlainPAttLite
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, ParameterGrid

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

GRIDS = {
    "patches": {
        "output_layer": ["conv_dw_7_relu", "conv_dw_9_relu", "conv_dw_11_relu"],
        "patch_size": [3, 4, 5, 7],
    },
    "depths": {"unfreeze_layers": [0, 4, 16], "patch_size": [3, 4]},
    "default": {"unfreeze_layers": [0, 9, 18, 28], "patch_size": [2, 4]},
}
PAPER = {
    "recipe": "paper",
    "unfreeze_layers": 0,
    "patience": None,
    "finetune_patience": None,
}


def main():
    arguments = parse_arguments()
    is_default = arguments.grid == "default"
    faces = draw(arguments.images, 112 if is_default else 224)
    common = {"recipe": "transfer"} if is_default else PAPER
    if arguments.epochs is not None or not is_default:
        epochs = 10 if arguments.epochs is None else arguments.epochs
        common = {**common, "epochs": epochs, "finetune_epochs": epochs}
    grid, cv = GRIDS[arguments.grid], GroupKFold(arguments.folds)
    with tempfile.TemporaryDirectory() as folder:
        classifier = PAttLiteClassifier(memory=folder, random_state=0, **common)
        search = GridSearchCV(classifier, grid, cv=cv, refit=False, error_score="raise")
        mine = {"first": timed_search(search, faces, "first search")}
        if not arguments.once:
            mine["second"] = timed_search(search, faces, "second search")
    plain = clone(PlainPAttLite(**common))
    compare(mine, *time_plain_fits(plain, grid, cv, faces, arguments.plain_fits), grid, cv)


def compare(mine, seconds, scores, grid, cv):
    """Scale the plain side's fits to the whole search, and print how much longer it takes."""
    n_fits = len(ParameterGrid(grid)) * cv.get_n_splits()
    plain = n_fits * np.mean(seconds)
    spread = n_fits * np.std(seconds, ddof=1) / np.sqrt(len(seconds)) if len(seconds) > 1 else 0
    print(f"scaled from {len(seconds)} to {n_fits} fits: {plain:.0f} +- {spread:.0f} s")
    for name, (took, _) in mine.items():
        print(f"{name} search: {plain / took:.1f} times faster (+- {spread / took:.1f})")
    my_scores = [mine["first"][1][key] for key in scores]
    differences = np.array(my_scores) - list(scores.values())
    print(
        f"accuracy on the plain side's folds: {np.mean(my_scores):.3f}, plain "
        f"{np.mean(list(scores.values())):.3f}, differences {differences.mean():+.3f} "
        f"+- {differences.std():.3f}"
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", choices=GRIDS, default="patches")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, help="epochs of each stage")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--plain-fits", type=int, default=4)
    parser.add_argument("--once", action="store_true", help="do not search a second time")
    return parser.parse_args()


def draw(n_images, side=224):
    """Draw faces, of as many subjects as needed."""
    faces = make_expression_faces(n_subjects=-(-n_images // 14), image_size=side, random_state=0)
    for name in ("images", "target", "groups"):
        faces[name] = faces[name][:n_images]
    return faces


def timed_search(search, faces, name):
    """Run a search; return its seconds, and the score of each candidate and fold."""
    from sklearn_patt_lite._features.backbone import FrozenBackbone

    n_rows, forward = 0, FrozenBackbone.forward

    def counted(self, layer, x, out):
        nonlocal n_rows
        n_rows += len(x)
        forward(self, layer, x, out)

    FrozenBackbone.forward = counted
    start = time.perf_counter()
    results = clone(search).fit(faces.images, faces.target, groups=faces.groups).cv_results_
    seconds = time.perf_counter() - start
    FrozenBackbone.forward = forward
    print(f"{name}: {seconds:.0f} s, {n_rows} rows through frozen layers", flush=True)
    each = results["mean_fit_time"] + results["mean_score_time"]
    for params, took in zip(results["params"], each, strict=True):
        print(f"  fits of {params}: {took:.0f} s each", flush=True)
    return seconds, {
        (i, fold): results[f"split{fold}_test_score"][i]
        for i in range(len(results["params"]))
        for fold in range(search.cv.get_n_splits())
    }


def time_plain_fits(classifier, grid, cv, faces, n_fits):
    """Run some fits of the plain search; return their seconds, scoring included, and scores."""
    candidates = list(ParameterGrid(grid))
    folds = list(cv.split(faces.images, faces.target, faces.groups))
    seconds, scores = [], {}
    for k, i in enumerate(np.linspace(0, len(candidates) - 1, n_fits).round().astype(int)):
        fold = k % len(folds)
        train, test = folds[fold]
        start = time.perf_counter()
        fitted = clone(classifier).set_params(**candidates[i])
        fitted.fit(faces.images[train], faces.target[train])
        scores[i, fold] = fitted.score(faces.images[test], faces.target[test])
        seconds.append(time.perf_counter() - start)
        print(f"plain fit {candidates[i]}: {seconds[-1]:.0f} s", flush=True)
    return seconds, scores


if __name__ == "__main__":
    main()
