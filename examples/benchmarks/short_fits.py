"""Compare fits whose steps XLA compiles with fits whose steps TensorFlow runs as they are.

    python examples/benchmarks/short_fits.py
    KERAS_HOME=... python examples/benchmarks/short_fits.py --alpha 1 --weights imagenet

Only the head is trained, on stored features, for a growing number of steps of 8 images at 224
pixels. Each fit builds its steps again, like the first fit of a process or of an architecture. The
two ways alternate in each round. The library compiles if there are at least `_MANY_STEPS` steps.
"""

import argparse
import tempfile
import time
from unittest.mock import patch

import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._process import LRUCache
from sklearn_patt_lite._training import head_trainer

WAYS = {"as they are": float("inf"), "compiled": 0}
N_IMAGES, BATCH_SIZE = 160, 8


def main():
    arguments = parse_arguments()
    images = np.random.default_rng(0).integers(0, 256, (N_IMAGES, 48, 48), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        classifier = PAttLiteClassifier(
            recipe="paper",
            backbone_weights=arguments.weights,
            alpha=arguments.alpha,
            batch_size=BATCH_SIZE,
            memory=folder,
            unfreeze_layers=0,
            validation_fraction=None,
            patience=None,
            finetune_patience=None,
            random_state=0,
        )
        seconds_of_fit(classifier.set_params(epochs=6), images, "as they are")  # stores all views
        for epochs in arguments.epochs:
            compare(classifier.set_params(epochs=epochs), images, arguments.rounds)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alpha", type=float, default=0.25)
    parser.add_argument("--weights", default="drawn")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 10, 50, 250])
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def compare(classifier, images, n_rounds):
    """Print the median seconds of both ways, and their ratio."""
    ways = list(WAYS)
    seconds = {way: [] for way in ways}
    for i in range(n_rounds):
        for way in ways if i % 2 else ways[::-1]:
            seconds[way].append(seconds_of_fit(classifier, images, way))
    plain, compiled = (np.median(seconds[way]) for way in ways)
    n_steps = classifier.epochs * N_IMAGES // BATCH_SIZE
    ratios = np.divide(seconds["compiled"], seconds["as they are"])
    print(
        f"{n_steps:5} steps: as they are {plain:.1f} s, compiled {compiled:.1f} s, "
        f"{np.median(ratios):.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def seconds_of_fit(classifier, images, way):
    with (
        patch.object(head_trainer, "_MANY_STEPS", WAYS[way]),
        patch.object(head_trainer, "_TRAINERS", LRUCache(1)),
    ):
        start = time.perf_counter()
        classifier.fit(images, np.arange(N_IMAGES) % 7)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
