"""The default recipe with a head, an optimizer, views or targets that the library lacks."""

import contextlib
import math
from unittest import mock

import keras
import numpy as np
from keras import layers, ops
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from sklearn_patt_lite._features import backbone
from sklearn_patt_lite._features.views import Viewer
from sklearn_patt_lite._inference.predictor import KerasPredictor
from sklearn_patt_lite._network import patt_lite
from sklearn_patt_lite._process import LRUCache
from sklearn_patt_lite._training import head_trainer
from sklearn_patt_lite._training.on_features import FrozenFeatures


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
        with own_trainers(), mock.patch.object(*REPLACEMENTS[self.variant]):
            self.classifier.fit(X, y, **known)
        return self

    def predict_proba(self, X):
        """Predict with Keras, with mirror images: the package's engine knows only its own heads."""
        images = X.reshape(*X.shape[:3], -1)  # grey images get a channel axis, too
        return KerasPredictor(self.classifier.model_, flip_averaging=True)(images)


class Distilled:
    """A classifier that learns from the labels and, with equal weight, from its teachers.

    Parameters
    ----------
    teachers : {"ensemble", "other folds"}
        "ensemble" is three fits of the same classifier to the same images, averaged. With "other
        folds", each image is taught by a fit to two thirds of the images, without this one.
    classifier : PAttLiteClassifier
        Unfitted classifier to train.
    """

    def __init__(self, teachers, classifier):
        self.teachers, self.classifier = teachers, classifier

    def fit(self, X, y, **known):
        """Fit the teachers, then the classifier."""
        taught = TEACHERS[self.teachers](self.classifier, X, y)
        labels = np.unique(y)[:, None] == y  # (n_classes, n)
        with soft_targets((labels.T + taught) / 2):
            self.classifier.fit(X, y, **known)
        return self

    def predict_proba(self, X):
        """Predict as any classifier."""
        return self.classifier.predict_proba(X)


def ensemble(classifier, X, y, n_fits=3):
    """Average the probabilities of fits with other seeds, on their own training images."""
    seeds = [1000 * (i + 1) + classifier.random_state for i in range(n_fits)]
    fits = [clone(classifier).set_params(random_state=seed).fit(X, y) for seed in seeds]
    return np.mean([fitted.predict_proba(X) for fitted in fits], axis=0)


def other_folds(classifier, X, y):
    """Predict the probabilities of each fold by a fit to the others."""
    folds = StratifiedKFold(3, shuffle=True, random_state=classifier.random_state)
    return cross_val_predict(clone(classifier), X, y, cv=folds, method="predict_proba")


@contextlib.contextmanager
def soft_targets(targets):
    """Train on distributions over the classes, of shape (n, n_classes), instead of labels."""
    chunks_of, used = FrozenFeatures.training_chunks, []

    def chunks(features, stage, epoch, order, chunk_size):
        """Yield rows of `targets` instead of labels."""
        used.append(stage)
        starts = range(0, len(order), chunk_size)
        chunks = chunks_of(features, stage, epoch, order, chunk_size)
        for start, (x, _, weights) in zip(starts, chunks, strict=True):
            yield x, order[start : start + chunk_size], weights

    def cross_entropy(stage):
        table = ops.convert_to_tensor(targets, "float32")
        return lambda rows, probabilities: keras.losses.categorical_crossentropy(
            ops.take(table, rows, axis=0), probabilities
        )

    with (
        own_trainers(),
        mock.patch.object(FrozenFeatures, "training_chunks", chunks),
        mock.patch.object(head_trainer, "cross_entropy", cross_entropy),
    ):
        yield
    if not used:
        raise RuntimeError("The soft targets had no effect: this fit trained on images.")


def own_trainers():
    """Use a separate cache: its keys ignore the optimizer, so variants would share trainers."""
    return mock.patch.object(head_trainer, "_TRAINERS", LRUCache(1))


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


class ErasingViewer(Viewer):
    """Viewer that blanks a rectangle in every second augmented view: random erasing.

    As in PyTorch's RandomErasing, a rectangle takes 2 to 33 % of the view and has sides in a ratio
    of 0.3 to 3.3. It is grey, which is zero after scaling.
    """

    def __call__(self, images, views):
        """Return the views, erased unless they show whole images; see `Viewer`."""
        shown = super().__call__(images, views)
        for image, view in zip(shown, views, strict=True):
            rng = np.random.default_rng(list(view.tobytes()))  # the same for the same view
            if view["angle"] and rng.random() < 0.5:
                _erase(image, rng)
        return shown


def _erase(image, rng):
    height, width = image.shape[:2]
    area, ratio = rng.uniform(0.02, 0.33), np.exp(rng.uniform(math.log(0.3), math.log(3.3)))
    rows = min(height, round(height * math.sqrt(area * ratio)))
    columns = min(width, round(width * math.sqrt(area / ratio)))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    image[top : top + rows, left : left + columns] = 127.5


REPLACEMENTS = {
    "erasing": (backbone, "Viewer", ErasingViewer),
    "overlapping patches": (patt_lite, "_separable_patches", overlapping_patches),
    "attention before the dense layer": (patt_lite, "_classify", attend_first),
    "weight decay": (head_trainer, "optimizer", adam_with_decay),
}
TEACHERS = {"ensemble": ensemble, "other folds": other_folds}
