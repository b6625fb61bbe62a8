"""Features of frozen layers: a pure function of an image, a view of it, and the frozen weights.

Features are computed activation by activation, beginning at `FIRST_SMALL_MAP`, and quantized at
each one. So they are identical to the bit whether the previous activation was just computed or read
from a cache, and fits that freeze the backbone up to different layers share the features of the
earlier ones. Those of an activation before `FIRST_SMALL_MAP` are computed from the image at once.

They are quantized to 16 bits over ReLU6's range: as small as float16, more precise (to 0.00005),
and much faster to convert in NumPy.
"""

import hashlib

from keras import ops

from sklearn_patt_lite._features.views import Viewer
from sklearn_patt_lite._network.architecture import FIRST_SMALL_MAP
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import (
    engine_class,
    preprocessing,
    steps_digest,
    steps_engine,
)
from sklearn_patt_lite._network.parts import backbone_of

_LEVELS = 2**16 - 1  # between ReLU6's 0 and 6
_ENCODE = "scale", {"factor": _LEVELS / 6, "offset": 0.5}  # what becomes uint16 is cut, not rounded
_DECODE = "scale", {"factor": 6 / _LEVELS, "offset": 0.0}
_FORMAT = b"1"  # version of what is computed here: features of another one are not found


def decode(features):
    """Turn stored features into what they stand for; tensors or ndarrays, float32."""
    return ops.cast(features, "float32") * (6 / _LEVELS)


class FrozenBackbone:
    """The frozen layers of a network, from an image to the features at any activation.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.

    Attributes
    ----------
    view : Viewer
        Shows images to the backbone.
    """

    def __init__(self, network):
        backbone = backbone_of(network)
        self._shapes = {layer.name: layer.output.shape[1:] for layer in backbone.layers}
        self._input_shape = backbone.input.shape[1:]
        self.view = Viewer(self._input_shape, preprocessing(network))
        self._steps = fold_for_inference(backbone)
        names = [step.get("name") for _, step in self._steps]
        self._places = {name: i for i, name in enumerate(names) if name is not None}
        # Before it maps are large: nothing is stored there.
        first = self._places.get(FIRST_SMALL_MAP, len(names))
        self._stored = [name for name, place in self._places.items() if place >= first]
        self._digests, self._engines = {}, {}

    def previous_layer(self, layer):
        """The activation from whose features those at a layer are computed; None: the image."""
        earlier = [name for name in self._stored if self._places[name] < self._places[layer]]
        return earlier[-1] if earlier else None

    def shape(self, layer):
        """Shape of one image's features at an activation."""
        return self._shapes[layer]

    def forward(self, layer, x, out):
        """Compute the features at a layer from those at the previous one, or from views."""
        if layer not in self._engines:
            previous = self.previous_layer(layer)
            shape = self._input_shape if previous is None else self.shape(previous)
            self._engines[layer] = steps_engine(self._steps_to(layer), shape)
        self._engines[layer](x, out)

    def digest(self, layer):
        """16-byte digest of all that computes the features at a layer, from the image on."""
        if layer not in self._digests:
            previous = self.previous_layer(layer)
            start = self._start() if previous is None else self.digest(previous)
            digest = hashlib.blake2b(start, digest_size=16)
            digest.update(steps_digest(self._steps_to(layer)))
            self._digests[layer] = digest.digest()
        return self._digests[layer]

    def _steps_to(self, layer):
        previous, end = self.previous_layer(layer), self._places[layer] + 1
        if previous is None:
            return [*self._steps[:end], _ENCODE]
        return [_DECODE, *self._steps[self._places[previous] + 1 : end], _ENCODE]

    def _start(self):
        # Engines round differently: a memory that both have filled would not be reproducible.
        return _FORMAT + f"{self._input_shape} {engine_class().__name__}".encode()
