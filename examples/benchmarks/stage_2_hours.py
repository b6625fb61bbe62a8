"""Estimate how long stage 2 of the paper's recipe takes on this CPU, for four databases.

    KERAS_HOME=... python examples/benchmarks/stage_2_hours.py
    KERAS_HOME=... python examples/benchmarks/stage_2_hours.py --images 80 --unfreeze 16

Times an epoch of stage 2 after the first one, at 224 pixels, `alpha=1` and batch size 8, and scales
it to the training images of each database and to the paper's maximum of 500 epochs. Early stopping
ends sooner.
"""

import argparse
import time

from fit import PAPER, architecture_of, build, draw, make_stage

from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.on_features import FrozenFeatures
from sklearn_patt_lite._training.progress import Progress

N_TRAIN = {"CK+ (nine of ten folds)": 883, "RAF-DB": 12_271, "FER2013": 28_709, "FERPlus": 28_558}
EPOCHS = 500


def main():
    arguments = parse_arguments()
    data = draw(arguments.images, PAPER["side"])
    for n_layers in arguments.unfreeze:
        speed = len(data.X) / seconds_an_epoch(make_stage(n_layers, 3), data)
        print(f"\n{n_layers} layers unfrozen: {speed:.0f} images a second")
        for name, n in N_TRAIN.items():
            epoch = n / speed / 3600
            print(f"  {name:24}{epoch:7.2f} h an epoch{EPOCHS * epoch:9.0f} h for {EPOCHS}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--unfreeze", type=int, nargs="+", default=[4, 16, 40, 1000])
    return parser.parse_args()


class Clock(Progress):
    """Measures the time of each epoch."""

    def begin_epoch(self, epoch, *, is_first):
        """Start."""
        super().begin_epoch(epoch, is_first=is_first)
        self._epoch_began = time.perf_counter()

    def end_epoch(self):
        """Stop."""
        super().end_epoch()
        self.seconds = time.perf_counter() - self._epoch_began


def seconds_an_epoch(stage, data):
    """Time the last epoch: the first one compiles and computes features."""
    network, clock = build(stage), Clock()
    features = FrozenFeatures(network, architecture_of(stage), [stage], data, augment=False)
    settings = {"batch_size": PAPER["batch_size"], "seed": 0, "progress": clock}
    StagedFit(network, [stage], data, features=features, **settings).run()
    return clock.seconds


if __name__ == "__main__":
    main()
