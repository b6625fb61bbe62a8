"""Sources of a network's weights before training.

Each source is read into the same form: the arrays of each layer, by layer name.
"""

import functools
import importlib.resources
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from sklearn_patt_lite._files import part_name, remove_abandoned
from sklearn_patt_lite._network.archive import (
    METADATA,
    NO_ARCHIVE,
    PRETRAINED,
    WEIGHTS,
    RefusedError,
    pretrained_file,
    read_arrays,
    read_json,
    read_member,
)
from sklearn_patt_lite._network.parts import backbone_of, head_layers
from sklearn_patt_lite._network.patt_lite import BACKBONE

DRAWN_ALPHA = 0.25
_IMAGENET_ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
#: Variables of layers, in Keras' order.
_VARIABLES = (
    *("depthwise_kernel", "pointwise_kernel", "kernel", "bias"),
    *("gamma", "beta", "moving_mean", "moving_variance", "scale"),
)
_LABELS = "labels"  # key of an earlier classifier's labels among its arrays; no layer has this name
_IMAGENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"
_FALLBACK = "/tmp/.keras/models"  # where Keras downloads to if it cannot write to KERAS_HOME


def load_weights(network, source, architecture, classes=()):
    """Load weights into a network, in place.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    source : {"imagenet", "fer2013", "drawn"}, path or None
        As `backbone_weights` of `PAttLiteClassifier`; None keeps the random weights.
    architecture : Architecture
        Of the network.
    classes : array-like, default=()
        Labels, in the order of the last layer's units. The units of labels that an earlier
        classifier was trained on are copied from it.

    Raises
    ------
    FileNotFoundError
        If `source` is a path that is not a file.
    ConnectionError
        If the ImageNet weights are not on disk and cannot be downloaded.
    ValueError
        If there are no such weights for the architecture's `alpha`, or if the file does not hold
        the backbone or is damaged.
    """
    if source is None:
        return
    weights = read_weights(source, architecture.alpha)
    backbone = backbone_of(network)
    for layer in backbone.layers:
        if layer.weights:
            _set_backbone_layer(layer, weights, source)
    for layer in filter(lambda layer: layer.weights, head_layers(network)):
        arrays = weights.get(layer.name)
        if layer.name == "probabilities":
            _set_known_classes(layer, arrays, classes, weights.get(_LABELS, []))
        elif _fits(layer, arrays):
            layer.set_weights(arrays)
        else:
            return  # later layers were trained on another layer's output


def read_weights(source, alpha):
    """Read the arrays of each layer, by name; see `load_weights` for parameters and errors."""
    if source == "imagenet":
        return _imagenet_weights(alpha)
    if source == "drawn":
        return _drawn_weights(alpha)
    if source in PRETRAINED:
        with pretrained_file(source) as path:
            return _saved_classifier(path)
    path = Path(source)
    if not path.is_file():
        known = ", ".join(map(repr, ("imagenet", *PRETRAINED, "drawn")))
        raise FileNotFoundError(
            f"backbone_weights={os.fspath(source)!r} is not a file; pass {known}, None, or the "
            "path of a file from save_model, or of a .keras or .h5 file."
        )
    if path.suffix == ".keras":
        return _saved_network(path)
    is_classifier = path.suffix == ".zip" or zipfile.is_zipfile(path)
    return _saved_classifier(path) if is_classifier else _mobilenet_file(path, alpha)


def _set_backbone_layer(layer, weights, source):
    if not _fits(layer, weights.get(layer.name)):
        held = [w.shape for w in weights.get(layer.name, [])]
        raise ValueError(
            f"backbone_weights={os.fspath(source)!r} does not fit the layer {layer.name!r}: it "
            f"has shapes {held}, but the network needs {[tuple(w.shape) for w in layer.weights]}. "
            "Set alpha and output_layer to the values that the weights were trained with."
        )
    layer.set_weights(weights[layer.name])


def _set_known_classes(layer, arrays, classes, labels):
    """Copy the units of classes that are among the labels; the others stay random."""
    given = layer.get_weights()
    shapes = [(*array.shape[:-1], len(labels)) for array in given]
    if arrays is None or [array.shape for array in arrays] != shapes:
        return
    for unit, label in enumerate(classes):
        if label in labels:
            for mine, theirs in zip(given, arrays, strict=True):
                mine[..., unit] = theirs[..., labels.index(label)]
    layer.set_weights(given)


def _fits(layer, arrays):
    """Return whether arrays have the shapes of a layer's weights, which exclude seed states."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return bool(shapes) and arrays is not None and [a.shape for a in arrays] == shapes


def _by_name(layers):
    return {layer.name: layer.get_weights() for layer in layers if layer.weights}


@functools.lru_cache(maxsize=2)
def _imagenet_weights(alpha):
    """Read Keras' own ImageNet weights, those for 224×224 pixels at every input size."""
    if alpha not in _IMAGENET_ALPHAS:
        raise ValueError(
            f"There are no ImageNet weights for alpha={alpha}; "
            f"choose one of {', '.join(map(str, _IMAGENET_ALPHAS))}."
        )
    name = f"mobilenet_{_IMAGENET_ALPHAS[alpha]}_224_tf_no_top.h5"
    home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
    folder = os.path.join(home, "models")
    # Keras itself ignores a KERAS_HOME that it cannot write to.
    places = [folder] if os.access(home, os.W_OK) else [folder, _FALLBACK]
    paths = [os.path.join(place, name) for place in places]
    try:
        path = next(filter(os.path.isfile, paths), None) or _download(name)
    except Exception as error:  # Keras wraps every failed download in a bare Exception
        raise ConnectionError(
            f"backbone_weights='imagenet' needs {name}, which is not in {folder} and could not be "
            f"downloaded ({error}). Download {_IMAGENET_URL}{name} elsewhere and put it there, or "
            "use backbone_weights='drawn' (alpha=0.25) or 'fer2013' (alpha=1.0), which come with "
            "the package, or None."
        ) from error
    return _mobilenet_file(path, alpha)


def _download(name):
    """Download a file of ImageNet weights to where Keras keeps it; return its path."""
    # Keras downloads in place, where other processes would take a part of the file for all of it.
    part = Path(keras.utils.get_file(part_name(), _IMAGENET_URL + name, cache_subdir="models"))
    remove_abandoned(part.parent)
    return part.replace(part.with_name(name))


@functools.lru_cache(maxsize=1)
def _drawn_weights(alpha):
    """Read the library's backbone, trained on drawn faces: `examples/train_drawn_backbone.py`."""
    if alpha != DRAWN_ALPHA:
        raise ValueError(f"backbone_weights='drawn' needs alpha={DRAWN_ALPHA}, got alpha={alpha}.")
    file = importlib.resources.files("sklearn_patt_lite") / "weights" / "drawn.npz"
    weights = {}
    with file.open("rb") as stream, np.load(stream) as arrays:
        for key in arrays.files:  # "conv_dw_1/0": layer and index among its weights
            weights.setdefault(key.split("/")[0], []).append(arrays[key].astype(np.float32))
    return weights


def _saved_classifier(path):
    """Read the layers of an earlier classifier, saved with `classifier.save_model(path)`."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = read_arrays(read_member(archive, WEIGHTS))
            labels = list(read_json(archive, METADATA)["classes"]["values"])
        # "conv_dw_1/kernel": layer and variable
        names = sorted(arrays, key=lambda name: _VARIABLES.index(name.rpartition("/")[2]))
    except (*NO_ARCHIVE, KeyError, TypeError) as error:
        raise ValueError(
            f"backbone_weights={str(path)!r} is damaged or not from save_model: {error}"
        ) from error
    except RefusedError as error:
        raise ValueError(f"backbone_weights={str(path)!r} cannot be read: {error}") from error
    weights = {_LABELS: labels}
    for name in names:
        weights.setdefault(name.rpartition("/")[0], []).append(arrays[name])
    return weights


def _saved_network(path):
    """Read the layers of an earlier classifier, saved with `classifier.model_.save(path)`."""
    try:
        network = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras reports files that exist but are damaged as "not found"
        raise ValueError(f"backbone_weights={str(path)!r} cannot be read: {error}") from error
    names = [layer.name for layer in network.layers]
    if BACKBONE not in names:
        raise ValueError(
            f"backbone_weights={str(path)!r} is not the network of a PAttLiteClassifier: it has no "
            f"layer {BACKBONE!r}. Save one with classifier.model_.save('….keras')."
        )
    return _by_name([*network.layers, *backbone_of(network).layers])


def _mobilenet_file(path, alpha):
    """Read the weights of a whole `keras.applications.MobileNet(include_top=False)`."""
    mobilenet = keras.applications.MobileNet(
        input_shape=(224, 224, 3), alpha=alpha, include_top=False, weights=None
    )
    try:
        mobilenet.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"backbone_weights={str(path)!r} does not contain the weights of "
            f"keras.applications.MobileNet(include_top=False, alpha={alpha}): {error}"
        ) from error
    return _by_name(mobilenet.layers)
