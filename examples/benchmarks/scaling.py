"""Show how the cost of a grid search grows with images, folds and candidates, in one run.

    KERAS_HOME=... python examples/benchmarks/scaling.py --plot docs/scaling.svg
    KERAS_HOME=... python examples/benchmarks/scaling.py --images 70 --folds 2 --candidates 1 2 \
--epochs 2

Searches patch settings, with an empty `memory`, on drawn faces at 224 pixels, with `alpha=1`, batch
size 8 and a frozen backbone. One of the three grows; the other two stay at 400 images, 5 folds or 4
candidates. The plain side is one SciKeras fit on 400 images, scaled by images and fits, because
plain fits share nothing. The plot needs matplotlib.
"""

import argparse
import tempfile

import numpy as np
from _plain import PlainPAttLite
from grid_search import GRIDS, draw, time_plain_fits, timed_search
from sklearn.model_selection import GridSearchCV, GroupKFold, ParameterGrid

from sklearn_patt_lite import PAttLiteClassifier

BASE = {"images": 400, "folds": 5, "candidates": 4}
MADE = list(ParameterGrid(GRIDS["patches"]))


def main():
    arguments = parse_arguments()
    axes = {name: getattr(arguments, name) for name in BASE}
    base = {name: min(values, key=lambda v: abs(v - BASE[name])) for name, values in axes.items()}
    plain = plain_seconds_an_image(base["images"], arguments.epochs)
    curves = {}
    for axis, values in axes.items():
        for value in values:
            sizes = {**base, axis: value}
            mine = search_seconds(**sizes, epochs=arguments.epochs)
            fits = sizes["folds"] * sizes["candidates"]
            theirs = plain * fits * sizes["images"] * (1 - 1 / sizes["folds"])
            curves.setdefault(axis, []).append((value, mine, theirs))
            print(
                f"{sizes}: {mine:.0f} s, plain {theirs:.0f} s, {theirs / mine:.1f} times faster",
                flush=True,
            )
    if arguments.plot:
        plot(curves, arguments.plot)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[200, 400, 800])
    parser.add_argument("--folds", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 4, 12])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--plot", help="file for a plot of the curves")
    return parser.parse_args()


def plain_seconds_an_image(n_images, epochs):
    """Time one plain fit, scoring included, per image that it trains on."""
    seconds, _ = time_plain_fits(
        PlainPAttLite(epochs=epochs, unfreeze_layers=0, patience=None),
        {"patch_size": [4]},
        GroupKFold(5),
        draw(n_images),
        1,
    )
    return seconds[0] / (n_images * 0.8)


def search_seconds(*, images, folds, candidates, epochs):
    chosen = np.linspace(0, len(MADE) - 1, candidates).round().astype(int)
    grid = [{name: [value] for name, value in MADE[i].items()} for i in chosen]
    with tempfile.TemporaryDirectory() as folder:
        classifier = PAttLiteClassifier(
            recipe="paper",
            epochs=epochs,
            unfreeze_layers=0,
            patience=None,
            memory=folder,
            random_state=0,
        )
        search = GridSearchCV(classifier, grid, cv=GroupKFold(folds), refit=False)
        return timed_search(search, draw(images), "search")[0]


def plot(curves, path):
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(9, 3), sharey=True, layout="tight")
    for panel, (axis, points) in zip(panels, curves.items(), strict=True):
        values, mine, theirs = zip(*points, strict=True)
        panel.plot(values, theirs, "o--", label="plain, scaled from one fit")
        panel.plot(values, mine, "o-", label="this library")
        panel.set(xlabel=axis, yscale="log", xticks=values)
        panel.minorticks_off()
    panels[0].set_ylabel("seconds of a search")
    panels[0].legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
