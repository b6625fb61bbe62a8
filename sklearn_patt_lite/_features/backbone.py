"""Features of frozen layers: a pure function of an image, a view of it, and the frozen weights.

Features are computed activation by activation, beginning at `FIRST_SMALL_MAP`, and quantized at
each one. So they are identical to the bit whether the previous activation was just computed or read
from a cache, and fits that freeze the backbone up to different layers share the features of the
earlier ones. Those of an activation before `FIRST_SMALL_MAP` are computed from the image at once.

They are quantized to 16 bits over ReLU6's range: as small as float16, more precise (to 0.00005),
and much faster to convert in NumPy.
"""

import functools
import hashlib

import numpy as np

from sklearn_patt_lite._features.views import Viewer
from sklearn_patt_lite._network.architecture import FIRST_SMALL_MAP
from sklearn_patt_lite._network.engines import cached_engine
from sklearn_patt_lite._network.graph import (
    STEP,
    digest_of,
    folded_backbone,
    write_features,
    write_resizing,
)
from sklearn_patt_lite._network.litert import LiteRTGraph

_FORMAT = b"2"  # version of what is computed here: features of another one are not found


def decode(features):
    """Turn stored features into what they stand for, float32."""
    return features.astype(np.float32) * np.float32(STEP)


class FrozenBackbone:
    """The frozen layers of a network, from an image to the features at any activation.

    Parameters
    ----------
    architecture : Architecture
        Of the network.
    weights : dict of str to ndarray
        Its weights, by the paths of its variables.

    Attributes
    ----------
    view : Viewer
        Shows images to the backbone.
    """

    def __init__(self, architecture, weights):
        size = architecture.input_size
        self._input_shape = (size, size, 3)
        self.view = Viewer(self._input_shape, _resizer(architecture))
        self._steps = folded_backbone(architecture, weights)
        names = [step.activation for step, *_ in self._steps]
        self._places = {name: i for i, name in enumerate(names)}
        # Before it maps are large: nothing is stored there.
        first = self._places.get(FIRST_SMALL_MAP, len(names))
        self._stored = names[first:]
        self._digests, self._engines = {}, {}

    @property
    def last_layer(self):
        """The last activation."""
        return self._steps[-1][0].activation

    def previous_layer(self, layer):
        """The activation from whose features those at a layer are computed; None: the image."""
        earlier = [name for name in self._stored if self._places[name] < self._places[layer]]
        return earlier[-1] if earlier else None

    def shape(self, layer):
        """Shape of one image's features at an activation."""
        return self._steps[self._places[layer]][0].shape

    def forward(self, layer, x, out):
        """Compute the features at a layer from those at the previous one, or from views."""
        if layer not in self._engines:
            # Other fits share the engine.
            self._engines[layer] = cached_engine(self.digest(layer), lambda: self._write(layer))
        self._engines[layer](x, out)

    def _write(self, layer):
        previous = self.previous_layer(layer)
        shape = self._input_shape if previous is None else self.shape(previous)
        steps = self._steps_to(layer)
        return write_features(LiteRTGraph(), steps, shape, encoded=previous is not None)

    def digest(self, layer):
        """16-byte digest of all that computes the features at a layer, from the image on."""
        if layer not in self._digests:
            previous = self.previous_layer(layer)
            start = self._start() if previous is None else self.digest(previous)
            digest = hashlib.blake2b(start, digest_size=16)
            digest.update(digest_of(self._steps_to(layer)))
            self._digests[layer] = digest.digest()
        return self._digests[layer]

    def _steps_to(self, layer):
        previous, end = self.previous_layer(layer), self._places[layer] + 1
        return self._steps[0 if previous is None else self._places[previous] + 1 : end]

    def _start(self):
        return _FORMAT + f"{self._input_shape}".encode()


def _resizer(architecture):
    """Make a function that brings images to the network's size; None if they have it."""
    shape, size = architecture.image_shape, architecture.input_size
    if shape[:2] == (size, size):
        return None

    def resize(images):
        # Other fits share the engine. Most never need it: their views are enlarged as they move.
        write = functools.partial(write_resizing, LiteRTGraph(), architecture)
        return cached_engine(("resizing", shape, size), write)(images)

    return resize
