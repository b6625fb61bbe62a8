"""Facial expression recognition for scikit-learn: PAtt-Lite, done right."""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Public names are imported when they are first used. The classifier's module would import quickly,
# but one rule for all names is simpler to keep.
_PUBLIC = {"FeatureMemory": "_features.memory", "PAttLiteClassifier": "_classifier"}

__all__ = ["FeatureMemory", "PAttLiteClassifier", "__version__"]

if TYPE_CHECKING:  # a type checker needs the names; with __getattr__ it would accept any
    from sklearn_patt_lite._classifier import PAttLiteClassifier
    from sklearn_patt_lite._features.memory import FeatureMemory
else:

    def __getattr__(name):
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
