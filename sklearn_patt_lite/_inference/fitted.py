"""What a fit leaves behind: a network, and all that its predictions need besides."""

from sklearn_patt_lite._images.source import as_source, read_images
from sklearn_patt_lite._inference.predictor import Predictor
from sklearn_patt_lite._network.engines import BATCH
from sklearn_patt_lite._network.parts import policy_of, rebuild_network


class FittedNetwork:
    """A fitted network, and how it predicts.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, trained.
    architecture : Architecture
        Its architecture.
    batch_size : int
        Images of a gradient step; matters for predictions with attention across the batch only.
    flip_averaging : bool
        Whether a prediction is the mean over an image and its mirror image.
    frozen_until : str or None
        Activation of the backbone up to which the weights are those that the fit began with, and
        whose features it trained on.
    """

    def __init__(self, network, architecture, *, batch_size, flip_averaging, frozen_until):
        self.network, self.architecture = network, architecture
        self.batch_size, self.flip_averaging = batch_size, flip_averaging
        self.frozen_until = frozen_until
        # Attention across the batch makes its size part of the model.
        across_batch = architecture.attention == "batch"
        self._predictor = Predictor(
            network,
            batch_size=batch_size if across_batch else BATCH,
            flip_averaging=flip_averaging,
            frozen_until=frozen_until,
        )

    def predict_proba(self, X, memory=None):
        """Predict probabilities of images as a user has them; see `Predictor`."""
        return self._predictor(self._source(X), memory)

    def read(self, X):
        """Read images, and bring them to the training images' shape."""
        return read_images(self._source(X))

    def _source(self, X):
        return as_source(X, self.architecture.input_size, self.architecture.image_shape)

    def state(self):
        """Give what a pickle needs: weights, neither an optimizer's state nor a graph."""
        return {
            "weights": self.network.get_weights(),
            "policy": policy_of(self.network),
            "architecture": self.architecture,
            "batch_size": self.batch_size,
            "flip_averaging": self.flip_averaging,
            "frozen_until": self.frozen_until,
        }

    @classmethod
    def from_state(cls, state):
        """Build the network around the weights of a `state`."""
        state = dict(state)
        weights, policy = state.pop("weights"), state.pop("policy")
        return cls(rebuild_network(state["architecture"], weights, policy), **state)
