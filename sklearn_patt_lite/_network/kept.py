"""A fitted network's weights, from which the Keras network is built on first use."""

import threading

from sklearn_patt_lite._process import FIT_LOCK, keep_to_share_of_cores


class KeptNetwork:
    """Network, or the weights from which it is built on first use.

    Parameters
    ----------
    architecture : Architecture
        Its architecture.
    network : keras.Model, default=None
        From `build_network`.
    weights : dict of str to ndarray or callable, default=None
        Its weights by variable path, if there is no network; or a function that reads them on first
        use.
    policy : str, default=None
        The dtype policy to build it with.
    """

    def __init__(self, architecture, network=None, *, weights=None, policy=None):
        self.architecture = architecture
        self._network, self._weights, self._policy = network, weights, policy
        self._lock = threading.Lock()

    @property
    def is_built(self):
        """Whether the network has been built."""
        return self._network is not None

    def get(self):
        """Return the network; build it if needed."""
        if self._network is None:
            self.settle()
            with FIT_LOCK, self._lock:  # in this order: a fit holds the first and may call `settle`
                if self._network is None:
                    keep_to_share_of_cores()
                    from sklearn_patt_lite._network.parts import rebuild_network

                    self._network = rebuild_network(self.architecture, self._weights, self._policy)
                    self._weights = None
        return self._network

    def settle(self):
        """Read the weights now, if they have not been read yet."""
        with self._lock:
            if callable(self._weights):
                self._weights = self._weights()

    def state(self):
        """Return the state for a pickle or a file: weights, but no optimizer state or graph."""
        self.settle()
        with self._lock:
            network, weights, policy = self._network, self._weights, self._policy
        if network is not None:
            from sklearn_patt_lite._network.parts import named_weights, policy_of

            weights, policy = named_weights(network), policy_of(network)
        return {"architecture": self.architecture, "weights": weights, "policy": policy}
