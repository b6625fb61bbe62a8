"""The default recipe with a head or an optimizer that the library lacks, for comparison."""

import math
from unittest import mock

import keras
from keras import layers

from sklearn_patt_lite._inference.predictor import KerasPredictor
from sklearn_patt_lite._network import patt_lite
from sklearn_patt_lite._process import LRUCache
from sklearn_patt_lite._training import head_trainer


class Variant:
    """A classifier that is trained with a part of the package replaced.

    Parameters
    ----------
    variant : str
        A name in `REPLACEMENTS`.
    classifier : PAttLiteClassifier
        Unfitted classifier to train.
    """

    def __init__(self, variant, classifier):
        self.variant, self.classifier = variant, classifier

    def fit(self, X, y, **known):
        """Train the classifier, with the replacement."""
        # A separate cache: its keys ignore the optimizer, so variants would share trainers.
        own_trainers = mock.patch.object(head_trainer, "_TRAINERS", LRUCache(1))
        with own_trainers, mock.patch.object(*REPLACEMENTS[self.variant]):
            self.classifier.fit(X, y, **known)
        return self

    def predict_proba(self, X):
        """Predict with Keras, with mirror images: the package's engine knows only its own heads."""
        images = X.reshape(*X.shape[:3], -1)  # grey images get a channel axis, too
        return KerasPredictor(self.classifier.model_, flip_averaging=True)(images)


class Overlapping(layers.SeparableConv2D):
    """Overlapping patches. A subclass, since quick layers assume stride = kernel size."""


def overlapping_patches(x, architecture, stride=2, convolution=Overlapping):
    """Map 7×7 to 4×4 and 2×2 cells, with strides of 2; the package's stride of 4 skips the 4×4."""
    depth = architecture.n_filters
    relu = {"padding": "same", "activation": "relu"}
    x = convolution(depth, architecture.patch_size, stride, name="patch_conv_1", **relu)(x)
    half = math.ceil(x.shape[1] / 2)
    x = layers.SeparableConv2D(depth, half, half, name="patch_conv_2", **relu)(x)
    return layers.Conv2D(depth, 1, name="patch_pointwise", **relu)(x)


def attend_first(x, architecture):
    """Attend over tokens of 256 values instead of 32, and average them before the dense layer."""
    x = layers.Reshape((-1, x.shape[-1]), name="tokens")(x)
    x = layers.Dropout(0.5, name="token_dropout")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(patt_lite._attend(x, "patch_attention"))
    x = layers.Dropout(0.5, name="attention_dropout")(patt_lite._hidden(x, architecture))
    return layers.Dense(architecture.n_classes, activation="softmax", name="probabilities")(x)


def adam_with_decay(stage):
    """Make AdamW, without weight decay for biases and normalization."""
    adam = keras.optimizers.AdamW(
        stage.learning_rate, weight_decay=0.05, global_clipnorm=stage.clipnorm
    )
    adam.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return adam


REPLACEMENTS = {
    "overlapping patches": (patt_lite, "_separable_patches", overlapping_patches),
    "attention before the dense layer": (patt_lite, "_classify", attend_first),
    "weight decay": (head_trainer, "optimizer", adam_with_decay),
}
