"""Maps of a frozen backbone, for estimators of other kinds."""

import threading

import numpy as np

from sklearn_patt_lite._features.backbone import FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._features.views import clean
from sklearn_patt_lite._images.source import read_images
from sklearn_patt_lite._network.maps import last_map
from sklearn_patt_lite._network.parts import build_again, rebuild_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import on_tensorflow


class MapExtractor:
    """A backbone, from images to its last map.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, without a head.
    architecture : Architecture
        Its architecture.
    """

    def __init__(self, network, architecture):
        self.architecture = architecture
        self.shape = network.output.shape[1:]
        self._network = network
        self._layer = last_map(network)
        self._frozen = FrozenBackbone(network) if on_tensorflow() else None
        self._lock = threading.Lock()

    @classmethod
    def build(cls, backbone_weights, architecture):
        """Build it with the weights that `load_weights` finds; errors as there."""
        network = build_again(architecture, "float32")
        load_weights(network, backbone_weights, architecture)
        return cls(network, architecture)

    def __call__(self, images, memory=None):
        """Compute maps (n, cells, cells, channels), float32, of images of the network's shape."""
        if self._frozen is None:
            pixels = read_images(images).astype(np.float32)
            return self._network.predict(pixels, batch_size=32, verbose=0)
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        rows, views = np.arange(len(images)), clean(len(images))
        worth_keeping = () if memory is None else {self._layer}
        with self._lock:
            return np.asarray(decode(bank.read(self._layer, rows, views, worth_keeping)))

    def state(self):
        """Give what a pickle needs: weights, no graph."""
        return {"weights": self._network.get_weights(), "architecture": self.architecture}

    @classmethod
    def from_state(cls, state):
        """Build the network around the weights of a `state`."""
        architecture = state["architecture"]
        return cls(rebuild_network(architecture, state["weights"], "float32"), architecture)
