"""Keras as another library left it, and processes that were forked."""

import os
import pickle
import subprocess
import sys
import textwrap
import threading

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick import HEAD_ONLY

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._process import keras_settings
from sklearn_patt_lite.inspection import GradCAMDisplay
from sklearn_patt_lite.preprocessing import BackboneFeatures

SET = {
    "channels first": lambda: keras.config.set_image_data_format("channels_first"),
    "float16": lambda: keras.config.set_floatx("float16"),
    "float64": lambda: keras.config.set_floatx("float64"),
    "policy of float16": lambda: keras.config.set_dtype_policy("float16"),
    "policy of float64": lambda: keras.config.set_dtype_policy("float64"),
}


def settings():
    config = keras.config
    return config.image_data_format(), config.floatx(), config.dtype_policy().name


@pytest.fixture(params=SET)
def users_settings(request):
    """What another library has set."""
    SET[request.param]()
    if "policy" not in request.param:  # nobody has asked for one yet: it follows floatx
        keras.config.set_dtype_policy(keras.config.floatx())
    yield settings()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def test_a_fit_has_settings_of_its_own(users_settings, faces, fitted_on_names, tmp_path):
    names = faces.target_names[faces.target]
    classifier = PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, names)
    assert settings() == users_settings
    expected = fitted_on_names.predict_proba(faces.images)
    assert_allclose(classifier.predict_proba(faces.images), expected, atol=1e-4)
    classifier.save_model(tmp_path / "faces.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "faces.zip")
    assert_allclose(loaded.predict_proba(faces.images), expected, atol=1e-4)
    again = pickle.loads(pickle.dumps(classifier))
    assert_allclose(again.predict_proba(faces.images), expected, atol=1e-4)
    report = classifier.export_model(tmp_path / "faces.tflite", X=faces.images[:9])
    assert report.agreement == 1
    GradCAMDisplay.from_estimator(classifier, faces.images[:1])
    assert settings() == users_settings


def test_features_have_settings_of_their_own(users_settings, faces):
    features = BackboneFeatures(backbone_weights="drawn", alpha=0.25, input_size=32, grid=1)
    assert features.fit_transform(faces.images).dtype == np.float32
    assert settings() == users_settings


@pytest.mark.usefixtures("without_training")
def test_mixed_precision_is_the_users_to_choose(faces):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        classifier = PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, faces.target)
        assert settings()[2] == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.dtype_policy.name for layer in classifier.model_.layers} >= {"mixed_bfloat16"}


def test_the_last_thread_to_leave_puts_them_back():
    keras.config.set_image_data_format("channels_first")
    inside, leave = threading.Event(), threading.Event()

    def wait():
        with keras_settings():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=wait)
    try:
        thread.start()
        assert inside.wait(10)
        with keras_settings():
            pass
        assert keras.config.image_data_format() == "channels_last"
        leave.set()
        thread.join()
        assert keras.config.image_data_format() == "channels_first"
    finally:
        leave.set()
        keras.config.set_image_data_format("channels_last")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_forked_process_predicts_and_says_that_it_cannot_fit(tmp_path):
    script = """
        import multiprocessing, sys
        import numpy as np
        from sklearn_patt_lite import PAttLiteClassifier

        def predict():
            return classifier.predict(X)  # of the parent's own classifier, not of a pickle of it

        if __name__ == "__main__":
            classifier = PAttLiteClassifier.from_pretrained("fer2013")
            X = np.full((2, 48, 48), 100, np.uint8)
            classifier.model_  # Keras has run, and nobody has predicted
            with multiprocessing.get_context("fork").Pool(1) as pool:
                print(pool.apply(predict) == classifier.predict(X))
                try:
                    pool.apply(classifier.fit, (X, [0, 1]))
                except RuntimeError as error:
                    print(error)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(classifier.predict, (X,)) == classifier.predict(X))
    """
    path = tmp_path / "forks.py"
    path.write_text(textwrap.dedent(script))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 3, result.stderr
    assert lines[0] == lines[2] == "[ True  True]"
    assert 'get_context("spawn")' in lines[1]


def test_an_unpickled_classifier_builds_its_network_when_it_is_needed(fitted_on_names, faces):
    classifier = pickle.loads(pickle.dumps(fitted_on_names))
    classifier = pickle.loads(pickle.dumps(classifier))  # once more, before it is built
    assert not classifier._fitted.kept.is_built
    assert classifier.n_parameters_ == fitted_on_names.n_parameters_
    assert_array_equal(
        classifier.predict_proba(faces.images), fitted_on_names.predict_proba(faces.images)
    )
    assert classifier.model_ is classifier.model_
