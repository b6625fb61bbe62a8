"""Facial expression recognition for scikit-learn: PAtt-Lite, done right."""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# The classifier's module is light too, but one rule for all public names is simpler to keep:
# a name is imported when it is first used.
_PUBLIC = {"FeatureMemory": "_features.memory", "PAttLiteClassifier": "_classifier"}

__all__ = ["FeatureMemory", "PAttLiteClassifier", "__version__"]

if TYPE_CHECKING:  # which needs the names themselves, and takes __getattr__ to know any
    from sklearn_patt_lite._classifier import PAttLiteClassifier
    from sklearn_patt_lite._features.memory import FeatureMemory
else:

    def __getattr__(name):
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
