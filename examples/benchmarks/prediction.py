"""Compare `predict_proba` with `model_.predict` and with bare LiteRT, in one run.

    python examples/benchmarks/prediction.py
    python examples/benchmarks/prediction.py --images 200 --rounds 3

The network is the default one (224 pixels, alpha=1) with random weights: what they are has no
bearing on the time. All sides take the same images in turn, round after round, so that the
machine's moods meet all of them alike; ratios are those of the medians.
"""

import argparse
import time
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from sklearn_patt_lite import _engine, _network

BATCH_SIZES = (8, 32, 64)


def main():
    arguments = parse_arguments()
    architecture = _network.Architecture(n_classes=7, image_shape=(224, 224, 3))
    network = _network.build_network(architecture)
    images = np.random.default_rng(0).integers(
        0, 256, (arguments.images, 224, 224, 3), dtype=np.uint8
    )
    sides = make_sides(network)
    seconds = measure(sides, images, arguments.rounds)
    report(f"{len(images)} images at once", seconds, len(images))
    one = {name: alone(side) for name, side in sides.items() if name.split()[0] != "model_.predict"}
    few = images[:50]
    report("one image at a time", measure(one, few, arguments.rounds), len(few))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def make_sides(network):
    """What is compared: functions of images, by name."""
    sides = {
        f"model_.predict batch {size}": lambda X, size=size: network.predict(
            X, batch_size=size, verbose=0
        )
        for size in BATCH_SIZES
    }
    sides["predict_proba without the extra"] = predictor(network, with_litert=False)
    if _engine._has_litert():
        sides["predict_proba with LiteRT"] = predictor(network, with_litert=True)
        sides["bare LiteRT"] = bare_litert(network)
    return sides


def predictor(network, *, with_litert):
    predict = _engine.Predictor(network)
    with mock.patch.object(_engine, "_has_litert", return_value=with_litert):
        predict(np.zeros((1, 224, 224, 3), dtype=np.uint8))  # compiles
    return predict


def bare_litert(network):
    """The folded backbone, without its head, in one interpreter with all threads."""
    from ai_edge_litert.interpreter import Interpreter

    backbone = network.get_layer(_network.BACKBONE)
    steps = _engine.fold(backbone)
    function = tf.function(lambda x: _engine.forward(steps, x)).get_concrete_function(
        tf.TensorSpec((1, *backbone.input.shape[1:]), tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    interpreter = Interpreter(model_content=converter.convert(), num_threads=_engine.n_threads())
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def predict(images):
        result = []
        for image in images:
            interpreter.set_tensor(source, image[np.newaxis].astype(np.float32))
            interpreter.invoke()
            result.append(interpreter.get_tensor(target))
        return np.concatenate(result)

    return predict


def alone(side):
    """The same, an image a call."""
    return lambda images: [side(image[np.newaxis]) for image in images]


def measure(sides, images, rounds):
    """Seconds of each side's rounds; the first call, which compiles, does not count."""
    seconds = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side(images)
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: np.array(times) for name, times in seconds.items()}


def report(title, seconds, n_images):
    print(f"\n{title}: images a second, median of the rounds (slowest to fastest)")
    for name, times in seconds.items():
        speed = n_images / times
        print(f"  {name:34}{np.median(speed):7.0f}  ({speed.min():.0f} to {speed.max():.0f})")
    plain = [name for name in seconds if name.startswith("model_.predict")]
    fastest = min(plain, key=lambda name: np.median(seconds[name]), default=None)
    for name in (n for n in seconds if n.startswith("predict_proba")):
        for other in filter(None, (fastest, "bare LiteRT" if "bare LiteRT" in seconds else None)):
            ratio = np.median(seconds[other]) / np.median(seconds[name])
            print(f"  {name} : {other} = {ratio:.2f}")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
