"""Run a grid search with scikit-learn's callbacks and without, and say what they cost.

    python examples/benchmarks/callbacks.py
    python examples/benchmarks/callbacks.py --rounds 1 --plot curves.svg

A search of 12 candidates by folds of subjects, on drawn faces. One side shows scikit-learn's
progress bar (which asks for rich) and writes down the scores of each epoch; the other has no
callbacks. Both take turns, round after round. The learning curves can be drawn.
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


def main():
    arguments = parse_arguments()
    sklearn.set_config(enable_metadata_routing=True)  # whole subjects validate, too
    faces = make_expression_faces(n_subjects=arguments.subjects, image_size=64, random_state=0)
    run_search(faces, arguments, watched=False)  # compiles
    clocks = {"seconds": time.perf_counter, "seconds of the processor": time.process_time}
    taken = {name: {True: [], False: []} for name in clocks}
    for i in range(arguments.rounds):
        for watched in (True, False) if i % 2 else (False, True):
            start = {name: clock() for name, clock in clocks.items()}
            search, monitor = run_search(faces, arguments, watched=watched)
            for name, clock in clocks.items():
                taken[name][watched].append(clock() - start[name])
            if watched and arguments.plot:
                SearchHistoryDisplay.from_search(search, monitor).figure_.savefig(arguments.plot)
    for name, sides in taken.items():
        ratios = np.divide(sides[True], sides[False])
        print(
            f"{name}: {np.median(sides[False]):.1f} without callbacks, "
            f"{np.median(sides[True]):.1f} with, {np.median(ratios):.3f} times as many "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=20, help="with 14 images each")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="of stage 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", help="file for the picture of the learning curves")
    return parser.parse_args()


def run_search(faces, arguments, *, watched):
    """Search; return the search and the monitor of its fits."""
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=64,
        finetune_epochs=arguments.epochs,
        validation_fraction=0.2,
        random_state=0,
    )
    search = GridSearchCV(classifier, GRID, cv=SubjectKFold(arguments.folds))
    monitor = ScoringMonitor(scoring=epoch_scores)
    if watched:
        classifier.set_callbacks(monitor)
        search.set_callbacks(ProgressBar())
    return search.fit(faces.images, faces.target, groups=faces.groups), monitor


if __name__ == "__main__":
    main()
