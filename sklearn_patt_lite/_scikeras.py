"""The only door to SciKeras: importing it imports TensorFlow and patches Keras' pickling.

SciKeras gives what `keras.Model.fit` lacks in TensorFlow: a stage whose order of images is
seeded and whose operations are deterministic, with the global seeds put back afterwards.
"""

from scikeras.wrappers import KerasClassifier


def scikeras_fit(prepare_model, data, *, epochs, batch_size, callbacks, seed, verbose):
    """Run a stage with a SciKeras `KerasClassifier` of its own; same as `keras_fit`."""
    # A stage needs its own wrapper: with `warm_start` SciKeras silently keeps the optimizer of
    # the stage before, its learning rate and its list of what trains.
    classifier = KerasClassifier(
        prepare_model,
        epochs=epochs,
        batch_size=batch_size,
        callbacks=callbacks,
        random_state=seed,
        verbose=verbose,
    )
    classifier.fit(
        data.X,
        data.y,
        sample_weight=data.sample_weight,
        validation_data=data.validation,
    )
