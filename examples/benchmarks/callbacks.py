"""Measure what scikit-learn's callbacks cost in a grid search.

    python examples/benchmarks/callbacks.py
    python examples/benchmarks/callbacks.py --rounds 1 --rows all --plot curves.svg

A search of 12 candidates in folds of subjects, on drawn faces: without callbacks; with a monitor
that records the scores of each epoch; with scikit-learn's progress bar (which needs rich) over the
fits; and with everything, the monitor and a bar with lines for each fit and its stages. They
alternate in each round. --plot draws the learning curves.
"""

import argparse
import time

import numpy as np
import sklearn
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import SearchHistoryDisplay
from sklearn_patt_lite.metrics import epoch_scores
from sklearn_patt_lite.model_selection import SubjectKFold

GRID = {
    "unfreeze_layers": [9, 18, 28],
    "finetune_learning_rate": [3e-4, 1e-3],
    "patch_size": [2, 3],
}
#: Depth of the progress bar, None for no bar, and whether there is a monitor.
ROWS = {
    "monitor": (None, True),
    "bar": (0, False),
    "bar and monitor": (0, True),
    "all": (1, True),
}


def main():
    arguments = parse_arguments()
    sklearn.set_config(enable_metadata_routing=True)  # validation is by subject, too
    faces = make_expression_faces(n_subjects=arguments.subjects, image_size=64, random_state=0)
    run_search(faces, arguments, None)  # compiles
    clocks = {"seconds": time.perf_counter, "seconds of the processor": time.process_time}
    rows = [None, *arguments.rows]
    taken = {(clock, row): [] for clock in clocks for row in rows}
    for i in range(arguments.rounds):
        for row in rows[::-1] if i % 2 else rows:
            start = {name: clock() for name, clock in clocks.items()}
            search, monitor = run_search(faces, arguments, row)
            for name, clock in clocks.items():
                taken[name, row].append(clock() - start[name])
            if arguments.plot and monitor is not None:
                SearchHistoryDisplay.from_search(search, monitor).figure_.savefig(arguments.plot)
    for name in clocks:
        without = taken[name, None]
        print(f"{name}, no callbacks: {np.median(without):.1f}")
        for row in arguments.rows:
            ratios = np.divide(taken[name, row], without)
            print(
                f"{name}, {row}: {np.median(taken[name, row]):.1f}, {np.median(ratios):.3f} times "
                f"as many ({min(ratios):.3f} to {max(ratios):.3f})"
            )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=20, help="with 14 images each")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="epochs of stage 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[*ROWS])
    parser.add_argument("--plot", help="file for a plot of the learning curves")
    return parser.parse_args()


def run_search(faces, arguments, row):
    """Search; return the search, and the monitor of its fits if there is one."""
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=64,
        finetune_epochs=arguments.epochs,
        validation_fraction=0.2,
        random_state=0,
    )
    search = GridSearchCV(classifier, GRID, cv=SubjectKFold(arguments.folds))
    depth, has_monitor = ROWS.get(row, (None, False))
    monitor = ScoringMonitor(scoring=epoch_scores) if has_monitor else None
    if has_monitor:
        classifier.set_callbacks(monitor)
    if depth is not None:
        search.set_callbacks(ProgressBar(max_propagation_depth=depth))
    return search.fit(faces.images, faces.target, groups=faces.groups), monitor


if __name__ == "__main__":
    main()
