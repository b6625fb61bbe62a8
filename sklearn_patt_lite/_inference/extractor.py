"""Feature maps of a frozen backbone, for other kinds of estimators."""

import numpy as np

from sklearn_patt_lite._features.backbone import FrozenBackbone, decode
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._features.views import clean
from sklearn_patt_lite._process import keep_to_share_of_cores


class MapExtractor:
    """Backbone that computes its last feature map from images.

    Parameters
    ----------
    architecture : Architecture
        Architecture without a head.
    weights : dict of str to ndarray
        The backbone's weights, by variable path.
    """

    def __init__(self, architecture, weights):
        self.architecture, self._weights = architecture, weights
        self._frozen = FrozenBackbone(architecture, weights)

    @classmethod
    def build(cls, backbone_weights, architecture):
        """Build an extractor with the weights that `load_weights` loads; errors as there."""
        keep_to_share_of_cores()
        from sklearn_patt_lite._network.parts import named_weights, new_network
        from sklearn_patt_lite._network.weights import load_weights

        network = new_network(architecture)
        load_weights(network, backbone_weights, architecture)
        return cls(architecture, named_weights(network))

    @property
    def shape(self):
        """Shape of a map: (cells, cells, channels)."""
        return self._frozen.shape(self._frozen.last_layer)

    def __call__(self, images, memory=None):
        """Compute maps (n, cells, cells, channels), float32, for images of the network's shape."""
        layer = self._frozen.last_layer
        rows, views = np.arange(len(images)), clean(len(images))
        worth_keeping = () if memory is None else {layer}
        bank = FeatureBank(self._frozen, images, FeatureCache(memory, ram=0))
        return decode(bank.read(layer, rows, views, worth_keeping))

    def state(self):
        """Return the state for a pickle."""
        return {"architecture": self.architecture, "weights": self._weights}

    @classmethod
    def from_state(cls, state):
        """Restore from a `state`."""
        return cls(**state)
