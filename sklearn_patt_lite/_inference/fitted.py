"""The result of a fit: a network, and everything else that its predictions need."""

import threading

from sklearn_patt_lite._images.source import as_source, read_images
from sklearn_patt_lite._inference.predictor import KerasPredictor, Predictor
from sklearn_patt_lite._network.kept import KeptNetwork
from sklearn_patt_lite._process import on_accelerator


class FittedNetwork:
    """Fitted network, with its settings for prediction.

    Parameters
    ----------
    kept : KeptNetwork
        The trained network.
    batch_size : int
        Images per gradient step; affects predictions only with attention across the batch.
    averaging : dict of str to bool
        Whether a prediction is the mean over an image and its mirror image ("flip_averaging"), and
        over the image and its crops ("crop_averaging").
    frozen_until : str or None
        Activation of the backbone up to which the weights are those that the fit started from, and
        whose features it trained on.
    """

    def __init__(self, kept, *, batch_size, averaging, frozen_until):
        self.kept = kept
        self.batch_size, self.averaging = batch_size, averaging
        self.frozen_until = frozen_until
        self._predictor = None
        self._lock = threading.Lock()

    @property
    def network(self):
        """The network, a keras.Model."""
        return self.kept.get()

    @property
    def architecture(self):
        """Architecture of the network."""
        return self.kept.architecture

    def predict_proba(self, X, memory=None, *, shows=False):
        """Predict probabilities of images as a user passes them; see `Predictor`."""
        source = self._source(X)
        with self._lock:
            if self._predictor is None:
                self._predictor = self._make_predictor()
        return self._predictor(source, memory, shows=shows)

    def _make_predictor(self):
        # Attention across the batch makes its size part of the model, and is computed by Keras.
        if self.architecture.attention == "batch":
            return KerasPredictor(self.network, self.batch_size, **self.averaging)
        if self.kept.is_built and on_accelerator():
            return KerasPredictor(self.network, **self.averaging)
        return Predictor(
            self.architecture,
            self.kept.state()["weights"],
            frozen_until=self.frozen_until,
            **self.averaging,
        )

    def read(self, X):
        """Read images, and convert them to the training images' shape."""
        return read_images(self._source(X))

    def _source(self, X):
        return as_source(X, self.architecture.input_size, self.architecture.image_shape)

    def settle(self):
        """Read the network's weights now, if they have not been read yet."""
        self.kept.settle()

    def state(self):
        """Return the state for a pickle: weights, but no optimizer state or graph."""
        return {
            "kept": self.kept.state(),
            "batch_size": self.batch_size,
            "averaging": dict(self.averaging),
            "frozen_until": self.frozen_until,
        }

    @classmethod
    def from_state(cls, state):
        """Restore from a `state`."""
        return cls(**{**state, "kept": KeptNetwork(**state["kept"])})
