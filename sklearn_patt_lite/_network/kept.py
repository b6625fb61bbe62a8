"""A fitted network as its weights; the Keras network is built from them when it is first needed."""

import threading

from sklearn_patt_lite._process import FIT_LOCK, keep_to_share_of_cores


class KeptNetwork:
    """A network, or the weights around which it is built when it is first needed.

    Parameters
    ----------
    architecture : Architecture
        Its architecture.
    network : keras.Model, default=None
        From `build_network`.
    weights : dict of str to ndarray or callable, default=None
        Its weights by the paths of its variables, where there is no network; or what reads them,
        when they are first needed.
    policy : str, default=None
        The dtype policy to build it under.
    """

    def __init__(self, architecture, network=None, *, weights=None, policy=None):
        self.architecture = architecture
        self._network, self._weights, self._policy = network, weights, policy
        self._lock = threading.Lock()

    @property
    def is_built(self):
        """Whether there is a network yet."""
        return self._network is not None

    def get(self):
        """Get the network."""
        if self._network is None:
            self.settle()
            with FIT_LOCK, self._lock:  # in this order: a fit holds the first, and may settle
                if self._network is None:
                    keep_to_share_of_cores()
                    from sklearn_patt_lite._network.parts import rebuild_network

                    self._network = rebuild_network(self.architecture, self._weights, self._policy)
                    self._weights = None
        return self._network

    def settle(self):
        """Read the weights now, if they were not needed yet."""
        with self._lock:
            if callable(self._weights):
                self._weights = self._weights()

    def state(self):
        """Give what a pickle or a file needs: weights, neither an optimizer's state nor a graph."""
        self.settle()
        with self._lock:
            network, weights, policy = self._network, self._weights, self._policy
        if network is not None:
            from sklearn_patt_lite._network.parts import named_weights, policy_of

            weights, policy = named_weights(network), policy_of(network)
        return {"architecture": self.architecture, "weights": weights, "policy": policy}
