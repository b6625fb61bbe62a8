"""Compare mechanisms that make training faster with what they replace, in one run.

    python examples/benchmarks/ablations.py
    python examples/benchmarks/ablations.py --rows "patch convolutions" dropout --rounds 3

One row each: the head's patch convolutions as matrix products, and its dropout by a hash of
positions, both on features at 224 pixels, in steps that XLA compiles and in steps that it does not;
trainable BatchNormalization as one operation, on images of 112 pixels; a backbone copied from one
that was built before; and BatchNormalization of the last 28 layers refitted in a compiled model.
The network has `alpha=1` and random weights, and batches have 8 features or 32 images. The two
sides alternate in each round; the ratio is the median over rounds.
"""

import argparse
import contextlib
import functools
import time
from unittest.mock import patch

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from sklearn_patt_lite._network import batch_norm
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.parts import backbone_after, frozen_until, set_trainable
from sklearn_patt_lite._network.patt_lite import build_backbone, build_network
from sklearn_patt_lite._process import LRUCache
from sklearn_patt_lite._training import head_trainer
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.on_images import train_by_scikeras
from sklearn_patt_lite._training.quick_layers import quick_copy
from sklearn_patt_lite._training.stages import end_to_end_stage, head_stage, set_stage

STAGE = {"epochs": 1, "learning_rate": 1e-3, "patience": None, "clipnorm": 3.0, "dropout": 0.1}
FEATURE_BATCH, IMAGE_BATCH = 8, 32
SMALL = Architecture(7, (112, 112, 3), input_size=112, affine=True)


def main():
    arguments = parse_arguments()
    for name in arguments.rows:
        for case, sides in ROWS[name](arguments).items():
            report(f"{name}, {case}", sides, arguments.rounds)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--steps", type=int, default=16, help="steps on features per round")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def report(name, sides, n_rounds):
    """Time both sides of a row: functions without arguments, the library's first."""
    seconds = [[], []]
    for i in range(n_rounds):
        for side in (0, 1) if i % 2 else (1, 0):
            start = time.perf_counter()
            sides[side]()
            seconds[side].append(time.perf_counter() - start)
    ratios = np.divide(seconds[1], seconds[0])
    ours, theirs = (1000 * np.median(each) for each in seconds)
    print(
        f"{name}: {ours:.0f} ms, without it {theirs:.0f} ms, {np.median(ratios):.2f} times faster "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def plain(layer):
    return layer.__class__.from_config(layer.get_config())


def plain_patches(layer):
    return quick_copy(layer) if isinstance(layer, layers.Dropout) else plain(layer)


def plain_dropout(layer):
    return plain(layer) if isinstance(layer, layers.Dropout) else quick_copy(layer)


def on_features(copy):
    """Make the row for one kind of the head's quick layers."""

    def sides(arguments):
        return {
            case: [epoch_on_features(each, n_steps, arguments.steps) for each in (quick_copy, copy)]
            for case, n_steps in (("compiled", 10**9), ("as they are", 1))
        }

    return sides


def epoch_on_features(copy, n_steps, n_taken):
    """Get a function that takes steps of the head, already traced and compiled."""
    network = build_network(Architecture(7, (224, 224, 3), augment=False))
    stage = head_stage(**STAGE)
    set_stage(network, stage)
    layer = frozen_until(network)
    with (
        patch.object(head_trainer, "quick_copy", copy),
        patch.object(head_trainer, "_TRAINERS", LRUCache(1)),
    ):
        trainer = head_trainer.head_trainer(network, layer, stage, FEATURE_BATCH, n_steps)
    trainer.load(network, stage)
    n = FEATURE_BATCH * n_taken
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**16, (n, *backbone_after(network, layer)[1]), dtype=np.uint16)
    y, weights = np.arange(n) % 7, np.ones(n)
    size = trainer.chunk_size

    def epoch():
        starts = range(0, n, size)
        trainer.train((x[i : i + size], y[i : i + size], weights[i : i + size]) for i in starts)

    epoch()
    return epoch


def normalization(arguments):
    """Make the row for trainable BatchNormalization."""
    images = draw(arguments.images)
    data = TrainingData(images, np.arange(len(images)) % 7, np.ones(len(images)))
    return {"everything trains": [epoch_on_images(SMALL, data, fused) for fused in (1, 0)]}


def draw(n):
    return np.random.default_rng(0).integers(0, 256, (n, 112, 112, 3), dtype=np.uint8)


def epoch_on_images(architecture, data, fused):
    network, number = build_network(architecture), iter(range(10**9))
    keras_own = patch.object(batch_norm, "FusedNormalization", lambda layer: layer)
    with contextlib.nullcontext() if fused else keras_own:
        opened = train_by_scikeras(
            network, end_to_end_stage(**STAGE), data, batch_size=IMAGE_BATCH, seed=0
        )
        trainer = opened.__enter__()

    def epoch():
        trainer.epoch(next(number), None)

    epoch()
    epoch.opened = opened  # open until the process ends: TensorFlow stays deterministic
    return epoch


def backbones(arguments):
    """Make the row for a backbone that is copied, not built with all of MobileNetV1."""
    architecture = Architecture(7, (224, 224, 3))

    def whole():
        keras.applications.MobileNet((224, 224, 3), include_top=False, weights=None)

    return {"built again": [functools.partial(build_backbone, architecture), whole]}


def refitting(arguments):
    """Make the row for refitting BatchNormalization."""
    network, images = build_network(SMALL), draw(arguments.images)
    set_trainable(network, 28, normalization=True)

    def compiled():
        batch_norm.refit_normalization(network, images, seed=0)

    def layer_by_layer():
        tf.config.run_functions_eagerly(True)
        compiled()
        tf.config.run_functions_eagerly(False)

    return {"layer by layer": [compiled, layer_by_layer]}


ROWS = {
    "patch convolutions": on_features(plain_patches),
    "dropout": on_features(plain_dropout),
    "batch normalization": normalization,
    "backbone": backbones,
    "refitting": refitting,
}


if __name__ == "__main__":
    main()
