"""Compare both stages of a fit with the plain Keras recipe, in one run.

    KERAS_HOME=... python examples/benchmarks/fit.py
    KERAS_HOME=... python examples/benchmarks/fit.py --images 80 --epochs 7 --unfreeze 0 16

1,000 images of noise at 224 pixels, `alpha=1`, batch size 8, ImageNet weights, patience off, no
features kept from before. The plain side passes every image through the whole network in every
epoch. Its epochs cost the same: the first, which compiles, and two more are measured, and scaled.
"""

import argparse
import time

import keras
import numpy as np

from sklearn_patt_lite import _training
from sklearn_patt_lite._feature_training import FeatureTraining
from sklearn_patt_lite._network import Architecture, build_network
from sklearn_patt_lite._scikeras import scikeras_fit
from sklearn_patt_lite._weights import load_weights

BATCH_SIZE = 8
PLAIN_EPOCHS = 3


def main():
    arguments = parse_arguments()
    data = draw(arguments.images)
    stages = [make_stage(n_layers, arguments.epochs) for n_layers in arguments.unfreeze]
    head = make_stage(0, arguments.epochs)
    plain = {stage: plain_seconds(stage, data) for stage in {head, *stages}}
    for stage in stages:
        both = [stage] if stage == head else [head, stage]
        quick = quick_seconds(both, data)
        for part, seconds in quick.items():
            print(
                f"{part.unfreeze_layers} layers unfrozen, {part.epochs} epochs of "
                f"{len(data.X)} images: {seconds:.0f} s, plain {plain[part]:.0f} s, "
                f"{plain[part] / seconds:.1f} times faster",
                flush=True,
            )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--unfreeze", type=int, nargs="+", default=[4, 16, 1000])
    return parser.parse_args()


def draw(n):
    coarse = np.random.default_rng(0).integers(0, 256, (n, 14, 14, 3), dtype=np.uint8)
    X, y = coarse.repeat(16, axis=1).repeat(16, axis=2), np.arange(n) % 7
    n_val = n // 10
    return _training.TrainingData(X[n_val:], y[n_val:], np.ones(n - n_val), X[:n_val], y[:n_val])


def make_stage(n_layers, epochs):
    common = {"epochs": epochs, "patience": None, "clipnorm": 3.0}
    if n_layers == 0:
        return _training.head_stage(learning_rate=1e-3, dropout=0.1, **common)
    return _training.finetune_stage(
        learning_rate=1e-5, dropout=0.2, unfreeze_layers=n_layers, **common
    )


def build():
    architecture = Architecture(n_classes=7, image_shape=(224, 224, 3))
    network = build_network(architecture)
    load_weights(network, "imagenet", architecture)
    return network


class Clock(keras.callbacks.Callback):
    """Takes the time of each epoch."""

    def on_train_begin(self, logs=None):
        """Start."""
        self.seconds, self._start = [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Note the time since the last epoch's end."""
        now = time.perf_counter()
        self.seconds.append(now - self._start)
        self._start = now


def plain_seconds(stage, data):
    clock, start = Clock(), time.perf_counter()
    _training.keras_fit(
        build(),
        make_stage(stage.unfreeze_layers, PLAIN_EPOCHS),
        data,
        batch_size=BATCH_SIZE,
        callbacks=[clock],
        seed=0,
        verbose=0,
    )
    once = time.perf_counter() - start - sum(clock.seconds[1:])
    return once + (stage.epochs - 1) * np.mean(clock.seconds[1:])


def quick_seconds(stages, data):
    network, seconds = build(), {}
    start = time.perf_counter()
    features = FeatureTraining(
        network, stages, data, memory=None, augment=True, otherwise=scikeras_fit
    )
    for stage in stages:
        _training.train_stage(network, stage, data, batch_size=BATCH_SIZE, seed=0, fit=features)
        seconds[stage] = time.perf_counter() - start
        start = time.perf_counter()
    return seconds


if __name__ == "__main__":
    main()
