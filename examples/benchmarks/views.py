"""Compare the accuracy of the bank of views with augmentation drawn anew in every epoch.

    KERAS_HOME=... python examples/benchmarks/views.py fer2013_sample.npz
    KERAS_HOME=... python examples/benchmarks/views.py fer2013_sample.npz --seeds 1 --epochs 2

Cross-validates within X_train, with ImageNet weights and a frozen backbone, in the same folds and
with the same seeds: `augment=True` (six views of each image, one per epoch), `augment="exact"`
(as in the paper) and `augment=False`.
"""

import argparse
import tempfile
import time

import numpy as np
from sklearn.model_selection import StratifiedKFold

from sklearn_patt_lite import PAttLiteClassifier

WAYS = (True, "exact", False)


def main():
    arguments = parse_arguments()
    with np.load(arguments.data) as data:
        images, y = data["X_train"], data["y_train"]
    scores = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as memory:
        for seed in range(arguments.seeds):
            folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed)
            for fold, (train, test) in enumerate(folds.split(y, y)):
                for way in WAYS:
                    classifier = PAttLiteClassifier(
                        recipe="paper",
                        input_size=arguments.input_size,
                        epochs=arguments.epochs,
                        patience=None,
                        unfreeze_layers=0,
                        batch_size=arguments.batch_size,
                        augment=way,
                        random_state=seed,
                        memory=memory,
                    )
                    start = time.perf_counter()
                    classifier.fit(images[train], y[train])
                    seconds = time.perf_counter() - start
                    scores[way].append(classifier.score(images[test], y[test]))
                    print(
                        f"seed {seed}  fold {fold}  augment={way!s:6}  accuracy "
                        f"{scores[way][-1]:.4f}  {seconds:.0f} s",
                        flush=True,
                    )
    report({way: np.reshape(s, (arguments.seeds, -1)) for way, s in scores.items()})


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_train (n, 48, 48) and y_train")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--input-size", type=int, default=112)
    return parser.parse_args()


def report(scores):
    print(f"\n{'augment':10}{'accuracy':>10}{'+- between seeds':>18}{'minus exact':>14}")
    for way, by_seed in scores.items():
        seeds = by_seed.mean(axis=1)
        spread = seeds.std(ddof=1) if len(seeds) > 1 else np.nan
        paired = (by_seed - scores["exact"]).ravel()
        error = paired.std(ddof=1) / np.sqrt(len(paired))
        print(f"{way!s:10}{seeds.mean():10.4f}{spread:18.4f}{paired.mean():+14.4f} +- {error:.4f}")


if __name__ == "__main__":
    main()
