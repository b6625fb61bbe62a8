"""Compare predictions of the library's engine with Keras', for each variant of the network.

    KERAS_HOME=... python examples/benchmarks/agreement.py fer2013_sample.npz
    KERAS_HOME=... KERAS_BACKEND=torch python examples/benchmarks/agreement.py fer2013_sample.npz

Predicts X_test with the pretrained classifier and with untrained networks. These have ImageNet
weights and a random head, whose biases and normalization differ from their initial values, and
whose logits are far apart. Prints the largest difference of a probability, how many labels differ,
and the largest standard deviation of a class's probability over the images.
"""

import argparse

import keras
import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._inference.predictor import KerasPredictor, Predictor
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.parts import named_weights
from sklearn_patt_lite._network.patt_lite import build_network, draw_weights
from sklearn_patt_lite._network.weights import load_weights

SMALL = {"input_size": 112}  # a map of 7×7 cells instead of 14×14
TABLE_5 = {
    f"{layer}, patches of {patch}": {
        "output_layer": layer,
        "patch_extraction": "conv_pointwise",
        "patch_size": patch,
    }
    for layer in ("conv_dw_11_relu", "conv_dw_9_relu", "conv_dw_6_relu")
    for patch in (3, 7)
}
ROWS = {
    "the default": SMALL,
    "the paper's": {},
    **TABLE_5,
    "gated patches": {**SMALL, "patch_extraction": "attention"},
    "no attention": {**SMALL, "attention": None},
    "no hidden layer": {**SMALL, "hidden_units": None},
    "no patches": {**SMALL, "patch_extraction": None, "output_layer": None},
    "MobileNetV1": {
        "output_layer": None, "patch_extraction": None, "attention": None, "hidden_units": None,
    },
    "64 filters": {**SMALL, "n_filters": 64},
    "96 pixels": {"input_size": 96, "patch_size": 3},
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_test")
    parser.add_argument("--images", type=int, help="use only the first N; default: all")
    parser.add_argument("--backbone-weights", choices=["imagenet", "drawn"], default="imagenet")
    arguments = parser.parse_args()
    with np.load(arguments.data) as data:
        images = data["X_test"][: arguments.images]
    images = images.reshape(*images.shape[:3], -1)  # grey images get a channel axis, too
    print(f"{len(images)} images, Keras on {keras.backend.backend()}")
    pretrained = PAttLiteClassifier.from_pretrained("fer2013")
    expected = KerasPredictor(pretrained.model_, flip_averaging=True)(images)
    report("the pretrained classifier", pretrained.predict_proba(images), expected)
    for name, settings in ROWS.items():
        if arguments.backbone_weights == "drawn":
            settings = {"alpha": 0.25, **settings}
        architecture = Architecture(n_classes=7, image_shape=images.shape[1:], **settings)
        network = build_network(architecture)
        draw_weights(network, seed=0)
        load_weights(network, arguments.backbone_weights, architecture)
        vary(network, images[:64])
        found = Predictor(architecture, named_weights(network))(images)
        report(name, found, KerasPredictor(network)(images))


def vary(network, images):
    """Change biases and normalization of the head, and spread the logits of these images."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        if variable.path.startswith(("hidden", "patch_")) and len(variable.shape) == 1:
            low = 0.5 if variable.name in ("gamma", "moving_variance") else -0.2
            variable.assign(rng.uniform(low, low + 0.7, variable.shape))
    last = network.get_layer("probabilities")
    hidden = keras.Model(network.input, last.input).predict(images, verbose=0)
    kernel = last.get_weights()[0]
    kernel /= (hidden @ kernel).std(axis=0)
    last.set_weights([kernel, -hidden.mean(axis=0) @ kernel])


def report(name, found, expected):
    """Print a row."""
    difference = np.abs(found - expected).max()
    n_labels = np.sum(found.argmax(axis=1) != expected.argmax(axis=1))
    varies = expected.std(axis=0).max()
    print(
        f"{name:34} {difference:.1e}, {n_labels} labels; a class varies by {varies:.2f}", flush=True
    )


if __name__ == "__main__":
    main()
