"""The other side of the benchmarks: the paper's recipe, written with Keras and SciKeras.

Images go through the whole network in every epoch, fold and candidate. It is this library's own
network, so that both sides train the same thing.
"""

import numpy as np
from scikeras.wrappers import KerasClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.stages import (
    compile_for,
    finetune_stage,
    head_stage,
    set_stage,
    stage_callbacks,
)
from sklearn_patt_lite.model_selection._holdout import split_validation


def prepare(network, stage):
    """Set a stage up and compile the network as it is."""
    set_stage(network, stage)
    return compile_for(network, stage)


class PlainPAttLite(ClassifierMixin, BaseEstimator):
    """Two stages of a SciKeras `KerasClassifier` each; for `GridSearchCV`."""

    def __init__(
        self,
        *,
        output_layer="conv_dw_9_relu",
        patch_size=4,
        unfreeze_layers=0,
        epochs=10,
        finetune_epochs=10,
        batch_size=8,
        random_state=0,
    ):
        self.output_layer = output_layer
        self.patch_size = patch_size
        self.unfreeze_layers = unfreeze_layers
        self.epochs = epochs
        self.finetune_epochs = finetune_epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X, y):
        """Train on uint8 images of shape (n, height, width, 3); labels are 0 to n_classes - 1."""
        self.classes_ = np.unique(y)
        train, validation = split_validation(
            y, None, fraction=0.1, classes=self.classes_, seed=self.random_state
        )
        architecture = Architecture(
            n_classes=len(self.classes_),
            image_shape=X.shape[1:],
            output_layer=self.output_layer,
            patch_size=self.patch_size,
        )
        with seeded(self.random_state):
            network = build_network(architecture)
        load_weights(network, "imagenet", architecture)
        for stage in self._stages():
            self.model_ = KerasClassifier(
                lambda stage=stage: prepare(network, stage),
                epochs=stage.epochs,
                batch_size=self.batch_size,
                random_state=self.random_state,
                callbacks=stage_callbacks(stage, has_validation=True),
                verbose=0,
            )
            self.model_.fit(X[train], y[train], validation_data=(X[validation], y[validation]))
        return self

    def predict(self, X):
        """Predict labels."""
        return self.model_.predict(X)

    def _stages(self):
        common = {"patience": None, "clipnorm": 3.0}
        stages = [head_stage(epochs=self.epochs, learning_rate=1e-3, dropout=0.1, **common)]
        if self.unfreeze_layers:
            stages.append(
                finetune_stage(
                    epochs=self.finetune_epochs,
                    learning_rate=1e-5,
                    dropout=0.2,
                    unfreeze_layers=self.unfreeze_layers,
                    **common,
                )
            )
        return stages
