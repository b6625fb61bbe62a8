"""The only door to SciKeras: importing it imports TensorFlow and patches Keras' pickling.

SciKeras gives what `keras.Model.fit` lacks in TensorFlow: a stage whose order of images is
seeded and whose operations are deterministic, with the global seeds put back afterwards.
"""

from scikeras.utils.random_state import tensorflow_random_state
from scikeras.wrappers import KerasClassifier
from sklearn.preprocessing import FunctionTransformer
from tensorflow.python.framework.config import is_op_determinism_enabled

from sklearn_patt_lite._training.fit import last_of
from sklearn_patt_lite._training.stages import epoch_order, prepare


class _EncodedLabelsClassifier(KerasClassifier):
    """Takes labels as they come: encoded, and the same for training and validation.

    SciKeras would number the labels that it sees in training anew, but not those that it
    validates on, and so shift all classes behind one that is missing.
    """

    @property
    def target_encoder(self):
        return FunctionTransformer()

    def _type_of_target(self, y):
        return "multiclass"


def scikeras_fit(model, stage, data, *, batch_size, seed, loop):
    """Run a stage with a SciKeras `KerasClassifier` of its own; same as `keras_fit`."""
    # TensorFlow decides this when it is first asked. Within SciKeras' `fit` the answer would be
    # yes, so that SciKeras would leave it on for the process: random operations fail then.
    is_op_determinism_enabled()
    network = prepare(model, stage)
    # A stage needs its own wrapper: with `warm_start` SciKeras silently keeps the optimizer of
    # the stage before, its learning rate and its list of what trains.
    classifier = _EncodedLabelsClassifier(
        lambda: network,
        warm_start=True,
        shuffle=False,  # by TensorFlow's seed, which takes a second to set: see `keras_fit`
        batch_size=batch_size,
        verbose=0,
    )

    def train_epoch(epoch):
        order = epoch_order(seed, epoch, len(data.y))
        classifier.callbacks = loop.within
        classifier.fit(
            data.X[order],
            data.y[order],
            sample_weight=data.sample_weight[order],
            validation_data=data.validation,
            epochs=1,
            initial_epoch=epoch,
        )
        return last_of(classifier.history_)

    with tensorflow_random_state(seed):
        loop.run(network, train_epoch)
