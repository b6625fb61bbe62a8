"""The network and the classifier run on Keras' other backends too.

Optional: each backend is tried where it is installed, ``pip install ".[jax]"`` or ``".[torch]"``.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.inspection import GradCAMDisplay, PatchAttentionDisplay
from sklearn_patt_lite.preprocessing import BackboneFeatures

TESTS = Path(__file__).parent
# One fit of each kind of stage: each is compiled anew, for seconds, and the callbacks, which the
# other tests are about, know no backend.
TRIED = (
    "own_image_only[separable] or its_own_cells or saving or head_only or end_to_end or weight_zero"
)
PROGRAM = """
import sys
import numpy as np
from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import GradCAMDisplay, PatchAttentionDisplay
from sklearn_patt_lite.preprocessing import BackboneFeatures

faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
fits = [
    PAttLiteClassifier(
        backbone_weights="drawn", alpha=0.25, input_size=32, output_layer="conv_dw_3_relu",
        patch_size=1, n_filters=8, hidden_units=8, epochs=2, unfreeze_layers=4,
        finetune_epochs=1, batch_size=8, random_state=0,
    ).fit(faces.images, faces.target)
    for _ in range(2)
]
np.savez("found.npz", X=faces.images, again=fits[1].predict_proba(faces.images),
         probabilities=fits[0].predict_proba(faces.images),
         heat_maps=GradCAMDisplay.from_estimator(fits[0], faces.images[:4]).heat_maps,
         added=PatchAttentionDisplay.from_estimator(fits[0], faces.images[:4]).contributions,
         features=BackboneFeatures(
             backbone_weights="drawn", alpha=0.25, input_size=48, output_layer="conv_dw_3_relu",
         ).fit_transform(faces.images))
fits[0].save_model("classifier.zip")
loaded = PAttLiteClassifier.load_model("classifier.zip")
np.testing.assert_array_equal(loaded.predict(faces.images), fits[0].predict(faces.images))
print(loaded.export_model("network.tflite", X=faces.images).max_difference)
try:
    loaded.export_model("network")
except RuntimeError as error:
    assert "a SavedModel needs TensorFlow" in str(error)
else:
    raise AssertionError("exported")
"""

backends = pytest.mark.parametrize(
    "backend",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not importlib.util.find_spec(name), reason=f"optional: needs the extra {name!r}"
            ),
        )
        for name in ("jax", "torch")
    ],
)


def run(backend, *command, cwd):
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@backends
def test_network_and_training(backend):
    files = (str(TESTS / name) for name in ("test_network.py", "test_training.py"))
    result = run(
        backend, "-m", "pytest", "-n0", "-q", "-W", "default", "-k", TRIED, *files, cwd=TESTS.parent
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


@pytest.mark.slow
@backends
def test_the_classifier_fits_predicts_and_is_kept(backend, tmp_path):
    result = run(backend, "-c", PROGRAM, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    with np.load(tmp_path / "found.npz") as found:
        X, probabilities, again = found["X"], found["probabilities"], found["again"]
        shown = [found[name] for name in ("heat_maps", "added", "features")]
    if backend == "torch":  # whose sums depend on its threads
        assert_allclose(again, probabilities, atol=0.02)
    else:
        assert_array_equal(again, probabilities)
    loaded = PAttLiteClassifier.load_model(tmp_path / "classifier.zip")  # on TensorFlow
    assert_allclose(loaded.predict_proba(X), probabilities, atol=1e-4)
    features = BackboneFeatures(
        backbone_weights="drawn", alpha=0.25, input_size=48, output_layer="conv_dw_3_relu"
    )
    expected = [
        GradCAMDisplay.from_estimator(loaded, X[:4]).heat_maps,
        PatchAttentionDisplay.from_estimator(loaded, X[:4]).contributions,
        features.fit_transform(X),
    ]
    for there, here in zip(shown, expected, strict=True):
        assert_allclose(there, here, atol=1e-3 * here.max())


DISTRIBUTED = """
import jax, keras
import numpy as np

keras.distribution.set_distribution(keras.distribution.DataParallel())
from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
classifier = PAttLiteClassifier(
    backbone_weights="drawn", alpha=0.25, input_size=32, output_layer="conv_dw_3_relu",
    patch_size=1, n_filters=8, hidden_units=8, epochs=2, unfreeze_layers=0, batch_size=8,
    patience=None, validation_fraction=None, random_state=0,
).fit(faces.images, faces.target)
assert len(jax.devices()) == 2
assert classifier.model_.trainable_variables[0].value.sharding.mesh.size == 2
print(classifier.history_["head"]["loss"][-1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="optional: needs the extra 'jax'")
def test_a_distribution_of_keras(tmp_path, monkeypatch):
    """Two devices: what the documentation says was tried."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    result = run("jax", "-c", DISTRIBUTED, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert 0 < float(result.stdout) < 3
