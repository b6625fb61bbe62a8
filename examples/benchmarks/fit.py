"""Compare the stages of a fit with the plain Keras recipe, in one run.

    KERAS_HOME=... python examples/benchmarks/fit.py
    KERAS_HOME=... python examples/benchmarks/fit.py --images 300 --epochs 5 --unfreeze 1000
    KERAS_HOME=... python examples/benchmarks/fit.py --epochs 10 --unfreeze everything

1,000 images of noise at 224 pixels, `alpha=1`, batch size 8, ImageNet weights, no patience, no
stored features: stage 2 is trained without a stage 1 before it. "everything" is the modern recipe's
end-to-end stage, BatchNormalization included, at 112 pixels in batches of 32. The plain side passes
every image through the whole network in every epoch. Its epochs all cost the same, so the first,
which compiles, and two more are measured, and scaled. The two sides alternate in each round, so
that the machine's changing speed affects both alike. The first round's first fit is also the first
of the process: XLA compiles.
"""

import argparse
import time

import keras
import numpy as np
from _plain import prepare

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.on_features import FrozenFeatures
from sklearn_patt_lite._training.stages import end_to_end_stage, finetune_stage, head_stage

PLAIN_EPOCHS = 3
PAPER = {"side": 224, "batch_size": 8}
MODERN = {"side": 112, "batch_size": 32}


def main():
    arguments = parse_arguments()
    stages = [make_stage(n_layers, arguments.epochs) for n_layers in arguments.unfreeze]
    ratios = {stage: [] for stage in stages}
    for i in range(arguments.rounds):
        for stage in stages:
            sides = [plain_seconds, quick_seconds]
            seconds = {
                side: side(stage, arguments.images) for side in (sides if i % 2 else sides[::-1])
            }
            ratios[stage].append(seconds[plain_seconds] / seconds[quick_seconds])
            print(
                f"{what_trains(stage)}, {stage.epochs} epochs of "
                f"{arguments.images} images: {seconds[quick_seconds]:.0f} s, plain "
                f"{seconds[plain_seconds]:.0f} s, {ratios[stage][-1]:.1f} times faster",
                flush=True,
            )
    for stage, each in ratios.items():
        print(
            f"{what_trains(stage)}: {np.mean(each):.2f} times faster "
            f"(rounds: {min(each):.2f} to {max(each):.2f})"
        )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--unfreeze", type=layers, nargs="+", default=[0, 4, 16])
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def layers(text):
    """Parse the number of last layers to train; None: all, including normalization."""
    return None if text == "everything" else int(text)


def what_trains(stage):
    n_layers = stage.unfreeze_layers
    return "everything trains" if n_layers is None else f"{n_layers} layers unfrozen"


def draw(n, side):
    coarse = np.random.default_rng(0).integers(0, 256, (n, 14, 14, 3), dtype=np.uint8)
    X, y = coarse.repeat(side // 14, axis=1).repeat(side // 14, axis=2), np.arange(n) % 7
    n_val = n // 10
    return TrainingData(X[n_val:], y[n_val:], np.ones(n - n_val), X[:n_val], y[:n_val])


def make_stage(n_layers, epochs):
    common = {"epochs": epochs, "patience": None, "clipnorm": 3.0}
    if n_layers is None:
        return end_to_end_stage(learning_rate=1e-3, dropout=0.1, **common)
    if n_layers == 0:
        return head_stage(learning_rate=1e-3, dropout=0.1, **common)
    return finetune_stage(learning_rate=1e-5, dropout=0.2, unfreeze_layers=n_layers, **common)


def setting(stage):
    """Get the settings of the recipe that a stage belongs to."""
    return MODERN if stage.unfreeze_layers is None else PAPER


def architecture_of(stage):
    side = setting(stage)["side"]
    affine = stage.unfreeze_layers is None
    return Architecture(7, (side, side, 3), input_size=side, affine=affine)


def build(stage):
    architecture = architecture_of(stage)
    network = build_network(architecture)
    load_weights(network, "imagenet", architecture)
    return network


class Clock(keras.callbacks.Callback):
    """Measures the time of each epoch."""

    def on_train_begin(self, logs=None):
        """Start."""
        self.seconds, self._start = [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Record the time since the end of the last epoch."""
        now = time.perf_counter()
        self.seconds.append(now - self._start)
        self._start = now


def plain_seconds(stage, n_images):
    data = draw(n_images, setting(stage)["side"])
    network, clock, start = build(stage), Clock(), time.perf_counter()
    prepare(network, stage).fit(
        data.X,
        data.y,
        validation_data=data.validation,
        epochs=PLAIN_EPOCHS,
        batch_size=setting(stage)["batch_size"],
        callbacks=[clock],
        verbose=0,
    )
    once = time.perf_counter() - start - sum(clock.seconds[1:])
    return once + (stage.epochs - 1) * np.mean(clock.seconds[1:])


def quick_seconds(stage, n_images):
    data = draw(n_images, setting(stage)["side"])
    network, start = build(stage), time.perf_counter()
    features = None
    if stage.unfreeze_layers is not None:
        features = FrozenFeatures(network, architecture_of(stage), [stage], data, augment=True)
    batch_size = setting(stage)["batch_size"]
    StagedFit(network, [stage], data, batch_size=batch_size, seed=0, features=features).run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
