"""Maps of a frozen backbone, for estimators of other kinds."""

import threading

import numpy as np

from sklearn_patt_lite._features.backbone import FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._features.views import clean
from sklearn_patt_lite._images.source import read_images
from sklearn_patt_lite._network.maps import last_map
from sklearn_patt_lite._network.parts import KeptNetwork, build_again
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import keras_settings, on_tensorflow


class MapExtractor:
    """A backbone, from images to its last map.

    Parameters
    ----------
    kept : KeptNetwork
        Without a head.
    """

    def __init__(self, kept):
        self._kept, self._frozen = kept, None
        self._lock = threading.Lock()

    @classmethod
    def build(cls, backbone_weights, architecture):
        """Build it with the weights that `load_weights` finds; errors as there."""
        network = build_again(architecture, "float32")
        load_weights(network, backbone_weights, architecture)
        return cls(KeptNetwork(architecture, network))

    @property
    def architecture(self):
        """Architecture of the network."""
        return self._kept.architecture

    @property
    def shape(self):
        """Shape of a map: (cells, cells, channels)."""
        return self._kept.get().output.shape[1:]

    @keras_settings()
    def __call__(self, images, memory=None):
        """Compute maps (n, cells, cells, channels), float32, of images of the network's shape."""
        network = self._kept.get()
        if not on_tensorflow():
            pixels = read_images(images).astype(np.float32)
            return network.predict(pixels, batch_size=32, verbose=0)
        layer = last_map(network)
        rows, views = np.arange(len(images)), clean(len(images))
        worth_keeping = () if memory is None else {layer}
        with self._lock:
            if self._frozen is None:
                self._frozen = FrozenBackbone(network)
            bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
            return np.asarray(decode(bank.read(layer, rows, views, worth_keeping)))

    def state(self):
        """Give what a pickle needs: weights, no graph."""
        return self._kept.state()

    @classmethod
    def from_state(cls, state):
        """Take up a `state`."""
        return cls(KeptNetwork(**state))
