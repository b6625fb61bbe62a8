import importlib.util
import os

# Before TensorFlow is imported: it would log from C++ to stderr all that it does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers take the cores already: more threads would only wait for each other. Tables of
    # logistic regressions take a quarter of the time.
    for library in ("OPENBLAS_NUM_THREADS", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(library, "1")

import pytest
from quick import HEAD_ONLY, SIZE, quick

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

collect_ignore = ["typed_usage.py"]  # for type checkers: the databases that it loads are nowhere


def pytest_collection_modifyitems(items):
    """Skip examples in docstrings that need callbacks, which are new in scikit-learn 1.9."""
    if importlib.util.find_spec("sklearn.callback") is None:
        skip = pytest.mark.skip(reason="callbacks are new in scikit-learn 1.9")
        for item in items:
            if isinstance(item, pytest.DoctestItem) and "sklearn.callback" in item.dtest.docstring:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def faces():
    """84 drawn faces of six subjects, 32 pixels a side."""
    return make_expression_faces(n_subjects=6, image_size=SIZE, random_state=0)


@pytest.fixture(scope="session")
def fitted(faces):
    """A classifier of these faces that went through both stages."""
    return quick(epochs=6).fit(faces.images, faces.target, groups=faces.groups)


@pytest.fixture(scope="session")
def fitted_on_names(faces):
    """A classifier of these faces whose head alone was trained, for an epoch, on names."""
    return PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, faces.target_names[faces.target])


@pytest.fixture
def without_training(monkeypatch):
    """Fits do all but train."""
    from sklearn_patt_lite._training.fit import StagedFit

    monkeypatch.setattr(StagedFit, "run", lambda self: {})
