"""Features of frozen layers: a pure function of an image, a view of it, and the frozen weights.

Features are computed from one activation to the next, starting at `FIRST_SMALL_MAP`, and quantized
at each one. So they are bit-identical whether the previous activation was just computed or read
from a cache, and fits that freeze the backbone up to different layers share the features of the
earlier layers. Features of an activation before `FIRST_SMALL_MAP` are computed directly from the
image.

Features are quantized to 16 bits over ReLU6's range: as small as float16, but more precise (to
0.00005) and much faster to convert in NumPy.
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

_FORMAT = b"2"  # version of the computation here: features of another version are not found


def decode(features):
    """Decode stored features to float32."""
    return features.astype(np.float32) * np.float32(STEP)


class FrozenBackbone:
    """Frozen layers of a network, from an image to the features at any activation.

    Parameters
    ----------
    architecture : Architecture
        Architecture of the network.
    weights : dict of str to ndarray
        Weights of the network, by variable path.

    Attributes
    ----------
    view : Viewer
        Turns views of images into the backbone's input.
    """

    def __init__(self, architecture, weights):
        size = architecture.input_size
        self._input_shape = (size, size, 3)
        self.view = Viewer(self._input_shape, _resizer(architecture))
        self._steps = folded_backbone(architecture, weights)
        names = [step.activation for step, *_ in self._steps]
        self._places = {name: i for i, name in enumerate(names)}
        # Earlier feature maps are too large to store.
        first = self._places.get(FIRST_SMALL_MAP, len(names))
        self._stored = names[first:]
        self._digests, self._engines = {}, {}

    @property
    def last_layer(self):
        """Name of the last activation."""
        return self._steps[-1][0].activation

    def previous_layer(self, layer):
        """Return the activation that a layer's features are computed from; None for the image."""
        earlier = [name for name in self._stored if self._places[name] < self._places[layer]]
        return earlier[-1] if earlier else None

    def shape(self, layer):
        """Return the shape of one image's features at an activation."""
        return self._steps[self._places[layer]][0].shape

    def forward(self, layer, x, out):
        """Compute the features at a layer from those at the previous one, or from views."""
        if layer not in self._engines:
            # The engine is shared with other fits.
            self._engines[layer] = cached_engine(self.digest(layer), lambda: self._write(layer))
        self._engines[layer](x, out)

    def _write(self, layer):
        previous = self.previous_layer(layer)
        shape = self._input_shape if previous is None else self.shape(previous)
        steps = self._steps_to(layer)
        return write_features(LiteRTGraph(), steps, shape, encoded=previous is not None)

    def digest(self, layer):
        """Return a 16-byte digest of the whole computation of a layer's features."""
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
    """Make a function that resizes images to the network's size; None if not needed."""
    shape, size = architecture.image_shape, architecture.input_size
    if shape[:2] == (size, size):
        return None

    def resize(images):
        # The engine is shared with other fits. Most never need it: moving a view enlarges it, too.
        write = functools.partial(write_resizing, LiteRTGraph(), architecture)
        return cached_engine(("resizing", shape, size), write)(images)

    return resize
