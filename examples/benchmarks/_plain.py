"""The plain side of the benchmarks: the recipes in Keras and SciKeras.

Images pass through the whole network in every epoch, fold and candidate. It is this library's own
network, so that both sides train the same one.
"""

import numpy as np

from sklearn_patt_lite._process import import_tensorflow, seeded

import_tensorflow()  # with oneDNN, like the library's fits; SciKeras would import it without
from scikeras.wrappers import KerasClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._network.batch_norm import refit_normalization
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._settings import Settings
from sklearn_patt_lite._training.stages import (
    compile_for,
    set_stage,
    stage_callbacks,
    stages_of,
)
from sklearn_patt_lite.model_selection._holdout import split_validation


def prepare(network, stage):
    """Set up a stage, and compile the network as it is."""
    set_stage(network, stage)
    return compile_for(network, stage)


class PlainPAttLite(ClassifierMixin, BaseEstimator):
    """The recipes, with one SciKeras `KerasClassifier` per stage, for `GridSearchCV`.

    Parameters are those of `PAttLiteClassifier`. Classes are not weighted, because the benchmarks'
    data are balanced.
    """

    def __init__(
        self,
        *,
        recipe="paper",
        output_layer="conv_dw_9_relu",
        patch_size=4,
        unfreeze_layers="auto",
        epochs="auto",
        finetune_epochs="auto",
        patience="auto",
        finetune_patience="auto",
        random_state=0,
    ):
        self.recipe = recipe
        self.output_layer = output_layer
        self.patch_size = patch_size
        self.unfreeze_layers = unfreeze_layers
        self.epochs = epochs
        self.finetune_epochs = finetune_epochs
        self.patience = patience
        self.finetune_patience = finetune_patience
        self.random_state = random_state

    def fit(self, X, y):
        """Train on uint8 images of shape (n, height, width, 3); labels are 0 to n_classes - 1."""
        self.classes_ = np.unique(y)
        self._settings = Settings.of(PAttLiteClassifier(**self.get_params()))
        train, given = slice(None), {}
        if self._settings.validation_fraction is not None:
            train, validation = split_validation(
                y,
                None,
                fraction=self._settings.validation_fraction,
                classes=self.classes_,
                seed=self.random_state,
            )
            given["validation_data"] = X[validation], y[validation]
        network = self._network(X)
        for stage in stages_of(self._settings):
            if stage.refits:
                set_stage(network, stage)
                refit_normalization(network, X[train], self.random_state)
            self.model_ = KerasClassifier(
                lambda stage=stage: prepare(network, stage),
                epochs=stage.epochs,
                batch_size=self._settings.batch_size,
                random_state=self.random_state,
                callbacks=stage_callbacks(stage, has_validation=bool(given)),
                verbose=0,
            )
            self.model_.fit(X[train], y[train], **given)
        return self

    def _network(self, X):
        architecture = self._settings.architecture(X.shape[1:], len(self.classes_))
        with seeded(self.random_state):
            network = build_network(architecture)
        load_weights(network, "imagenet", architecture)
        return network

    def predict(self, X):
        """Predict labels."""
        probabilities = self.model_.predict_proba(X)
        if self._settings.flip_averaging:
            probabilities = probabilities + self.model_.predict_proba(X[:, :, ::-1])
        return self.classes_[probabilities.argmax(axis=1)]
