"""BatchNormalization of a pretrained backbone, made ready to adapt."""

import keras
import numpy as np
from keras import ops

from sklearn_patt_lite._network import BACKBONE, to_numpy

_N_IMAGES = 256  # of which statistics are taken
_CHUNK = 8  # images at once, whose maps are all held


def refit_normalization(network, read, n_images, seed):
    """Take the backbone's moving statistics anew from images, and change nothing that it computes.

    BatchNormalization that trains normalizes by the statistics of a batch, not by those that it
    came with. Where the two differ, as they do between photographs of a thousand things and faces,
    the first step would undo what the backbone has learned. Here the statistics become those of
    the images, and scale and offset make up for it.

    Parameters
    ----------
    network : keras.Model
        From `build_network`; changed in place.
    read : callable
        Gives the images in these rows: float or uint8 (n, *image_shape), 0 to 255.
    n_images : int
        How many there are; some of them are enough.
    seed : int
        Of which.
    """
    backbone = network.get_layer(BACKBONE)
    layers = [
        layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    maps = keras.Model(backbone.input, [layer.input for layer in layers])
    scaled = keras.Model(network.input, network.get_layer("scale").output)
    rows = np.sort(np.random.default_rng(seed).permutation(n_images)[:_N_IMAGES])
    totals = [np.zeros((2, layer.gamma.shape[0])) for layer in layers]
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        moments = _moments(maps(scaled(read(chunk), training=False), training=False))
        for total, moment in zip(totals, moments, strict=True):
            total += len(chunk) * moment
    for layer, total in zip(layers, totals, strict=True):
        mean, square = total / len(rows)
        _refit(layer, mean, np.maximum(square - mean**2, 0))


def _moments(maps):
    """Mean, and mean of the squares, of each channel of maps: (2, channels) each."""
    return [
        ops.convert_to_numpy(ops.stack([ops.mean(x, (0, 1, 2)), ops.mean(x**2, (0, 1, 2))]))
        for x in maps
    ]


def _refit(layer, mean, variance):
    gamma, beta, old_mean, old_variance = (
        to_numpy(weight)
        for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    factor = gamma / np.sqrt(old_variance + layer.epsilon)
    layer.gamma.assign(factor * np.sqrt(variance + layer.epsilon))
    layer.beta.assign(beta + factor * (mean - old_mean))
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
