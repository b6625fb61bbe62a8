"""Predictions need neither TensorFlow nor Keras: they are not imported, and need not be there."""

import copy
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

HEAVY = ("tensorflow", "keras", "scikeras", "h5py", "onnxruntime", "matplotlib")
ABSENT = f"""
import sys

class Absent:
    def find_spec(self, name, *args):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(program, folder):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


@pytest.fixture
def folder(fitted_on_names, faces, tmp_path):
    fitted_on_names.save_model(tmp_path / "faces.zip")
    np.save(tmp_path / "images.npy", faces.images)
    for i, image in enumerate(faces.images[:3]):
        Image.fromarray(image).resize((70, 70)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_loading_and_predicting_import_neither(folder, fitted_on_names, faces):
    run(
        f"""
        import pickle, sys
        import numpy as np
        from sklearn_patt_lite import PAttLiteClassifier
        from sklearn_patt_lite.preprocessing import FaceResizer

        images = np.load("images.npy")
        classifier = PAttLiteClassifier.load_model("faces.zip")
        np.save("found.npy", classifier.predict_proba(images))
        classifier = pickle.loads(pickle.dumps(classifier))
        resized = FaceResizer(size=32).transform(["0.png", "1.png", "2.png"])
        assert classifier.score(resized, classifier.predict(resized)) == 1
        classifier.predict(["0.png"])
        classifier.save_model("again.zip")
        PAttLiteClassifier.from_pretrained("fer2013").predict(images)
        assert not set({HEAVY}) & set(sys.modules)
        """,
        folder,
    )
    expected = fitted_on_names.predict_proba(faces.images)
    assert_allclose(np.load(folder / "found.npy"), expected, atol=1e-6)


def test_where_they_are_not_installed_predictions_work_and_a_fit_says_what_to_install(folder):
    told = run(
        ABSENT
        + textwrap.dedent(
            """
            import numpy as np
            from sklearn_patt_lite import PAttLiteClassifier

            images = np.load("images.npy")
            classifier = PAttLiteClassifier.load_model("faces.zip")
            print(len(classifier.predict(images)))
            labels = np.arange(len(images)) % 2
            for work in (lambda: classifier.fit(images, labels), lambda: classifier.model_):
                try:
                    work()
                except ModuleNotFoundError as error:
                    print(error)
            print(len(classifier.predict(images)))
            """
        ),
        folder,
    )
    n, of_fit, of_network, again = told.splitlines()
    assert n == again == "84"
    for message in (of_fit, of_network):
        assert "TensorFlow is not installed" in message
        assert "pip install tensorflow keras scikeras" in message


def test_a_long_prediction_shows_its_progress(fitted_on_names, faces, monkeypatch, capsys):
    monkeypatch.setattr("sklearn_patt_lite._inference.predictor._MOMENT", 0)
    classifier = copy.copy(fitted_on_names)
    for verbose, shown in ((1, True), (0, False), (2, False)):
        classifier.set_params(verbose=verbose).predict(faces.images)
        assert ("/84 [" in capsys.readouterr().err) == shown


def test_a_notebook_shows_a_classifier_without_them(folder):
    """scikit-learn 1.9 shows the value of each fitted attribute, and finds them by `dir`."""
    run(
        ABSENT
        + textwrap.dedent(
            """
            from sklearn.utils import estimator_html_repr
            from sklearn_patt_lite import PAttLiteClassifier

            classifier = PAttLiteClassifier.load_model("faces.zip")
            assert "Fitted" in estimator_html_repr(classifier)
            assert "model_" not in dir(classifier)
            """
        ),
        folder,
    )


def test_a_network_that_is_built_is_listed(fitted_on_names):
    fitted_on_names.model_  # noqa: B018
    assert "model_" in dir(fitted_on_names)
