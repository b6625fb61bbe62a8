"""Features of frozen layers, computed once for each image and view, and trained on after that.

The features at an activation of the frozen backbone are a pure function of an image, a view of it
(flip, contrast) and the frozen weights. The backbone's later activations are *stations*: the
features at each are computed from those at the station before, rounded as they are stored. So they
are the same, bit for bit, whether that station's were computed a moment ago or found in memory:
the stages of a fit, and fits that cut the backbone at different depths, share the way that they
have in common.

They are stored in 16 bits over ReLU6's range: as small as float16, more exact (to 0.00005), and
much quicker to convert in NumPy.
"""

import hashlib

import numpy as np
from keras import ops

from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import (
    engine_class,
    preprocessing,
    steps_digest,
    steps_engine,
)
from sklearn_patt_lite._network.parts import backbone_of

#: The bank of views: whether an image is flipped left to right, and the factor of its contrast.
#: Keras' layers draw the factor from 0.7 to 1.3 with a standard deviation of 0.17, as these have.
VIEWS = tuple((flip, contrast) for contrast in (1.0, 0.8, 1.2) for flip in (False, True))
CLEAN = 0  # the view that changes nothing
_LEVELS = 2**16 - 1  # between ReLU6's 0 and 6
_ENCODE = "scale", {"factor": _LEVELS / 6, "offset": 0.5}  # what becomes uint16 is cut, not rounded
_DECODE = "scale", {"factor": 6 / _LEVELS, "offset": 0.0}
_FORMAT = b"1"  # of what is computed here; another one makes all that is kept unknown
_FIRST_STATION = "conv_pw_6_relu"  # before it maps are large, and nobody cuts


def decode(features):
    """Turn stored features into what they stand for; tensors or ndarrays, float32."""
    return ops.cast(features, "float32") * (6 / _LEVELS)


class FrozenBackbone:
    """The frozen way from an image to its features, station by station.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    """

    def __init__(self, network):
        backbone = backbone_of(network)
        self._preprocessing = preprocessing(network)
        self._shapes = {layer.name: layer.output.shape[1:] for layer in backbone.layers}
        self._input_shape = backbone.input.shape[1:]
        self._steps = fold_for_inference(backbone)
        names = [step.get("name") for _, step in self._steps]
        self._places = {name: i for i, name in enumerate(names) if name is not None}
        first = self._places.get(_FIRST_STATION, len(names))
        self._stations = [name for name, place in self._places.items() if place >= first]
        self._digests, self._engines = {}, {}

    def before(self, name):
        """The station before an activation; None for the image itself."""
        earlier = [n for n in self._stations if self._places[n] < self._places[name]]
        return earlier[-1] if earlier else None

    def shape(self, name):
        """Of one image's features at an activation."""
        return self._shapes[name]

    def view(self, images, views):
        """Bring images to the backbone's size, and show a view of each; float32."""
        if self._preprocessing is not None:
            images = self._preprocessing(images)
        shown = np.empty(images.shape, dtype=np.float32)
        for image, view, out in zip(images, views, shown, strict=True):
            _show(image, view, out)
        return shown

    def forward(self, name, x, out):
        """Compute the features at an activation from those at the station before."""
        if name not in self._engines:
            before = self.before(name)
            shape = self._input_shape if before is None else self.shape(before)
            self._engines[name] = steps_engine(self._segment(name), shape)
        self._engines[name](x, out)

    def digest(self, name):
        """Tell what computes the features at an activation from all that computes others."""
        if name not in self._digests:
            before = self.before(name)
            start = self._start() if before is None else self.digest(before)
            digest = hashlib.blake2b(start, digest_size=16)
            digest.update(steps_digest(self._segment(name)))
            self._digests[name] = digest.digest()
        return self._digests[name]

    def _segment(self, name):
        before, end = self.before(name), self._places[name] + 1
        if before is None:
            return [*self._steps[:end], _ENCODE]
        return [_DECODE, *self._steps[self._places[before] + 1 : end], _ENCODE]

    def _start(self):
        # Engines round differently: a memory that both have filled would not be reproducible.
        return _FORMAT + f"{self._input_shape} {engine_class().__name__}".encode()


def _show(image, view, out):
    """Write a view of one image (height, width, channels), values 0 to 255, into `out`."""
    flip, contrast = VIEWS[view]
    image = image[:, ::-1] if flip else image
    if contrast == 1:
        out[...] = image
        return
    np.multiply(image, np.float32(contrast), out=out)
    height, width, channels = out.shape
    rows = out.reshape(height, -1)  # NumPy is quick on long rows
    mean = rows.sum(axis=0).reshape(width, channels).sum(axis=0) / (height * width)
    rows += np.tile(mean * np.float32(1 / contrast - 1), width)
    np.clip(rows, 0, 255, out=rows)
