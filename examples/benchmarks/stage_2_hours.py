"""Tell how long stage 2 takes on this CPU at the sizes of the four databases.

    KERAS_HOME=... python examples/benchmarks/stage_2_hours.py
    KERAS_HOME=... python examples/benchmarks/stage_2_hours.py --images 80 --unfreeze 16

One epoch of stage 2 is timed after a first one, at 224 pixels, `alpha=1` and batch size 8, and
scaled to the training images of a database and to the paper's 500 epochs at most. Early stopping
ends sooner.
"""

import argparse

from fit import BATCH_SIZE, Clock, build, draw, make_stage

from sklearn_patt_lite._training.checkpoint import Checkpoint
from sklearn_patt_lite._training.fit import EpochLoop, keras_fit
from sklearn_patt_lite._training.on_features import FeatureTraining

N_TRAIN = {"CK+ (nine of ten folds)": 883, "RAF-DB": 12_271, "FER2013": 28_709, "FERPlus": 28_558}
EPOCHS = 500


def main():
    arguments = parse_arguments()
    data = draw(arguments.images)
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


def seconds_an_epoch(stage, data):
    """Of the last epoch: the first compiles and computes features."""
    network, clock = build(), Clock()
    fit = FeatureTraining(network, [stage], data, memory=None, augment=False, otherwise=keras_fit)
    loop = EpochLoop(stage, [clock], n_steps=1, verbose=0, checkpoint=Checkpoint())
    fit(network, stage, data, batch_size=BATCH_SIZE, seed=0, loop=loop)
    return clock.seconds[-1]


if __name__ == "__main__":
    main()
