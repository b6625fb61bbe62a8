"""Type aliases for public signatures, and typed wrappers of scikit-learn's decorators.

scikit-learn is untyped, so its own decorators would hide signatures from a type checker.
"""

import os
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import PIL.Image
import sklearn.base
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, _param_validation

_Function = TypeVar("_Function", bound=Callable[..., Any])

PathLike: TypeAlias = str | os.PathLike[str]
Seed: TypeAlias = int | np.random.RandomState | None
# Not ArrayLike, which also accepts a single number. An ndarray counts as a Collection.
Names: TypeAlias = Collection[str]
Paths: TypeAlias = Collection[PathLike]
Images: TypeAlias = Collection[PathLike | ArrayLike]
Photographs: TypeAlias = Collection[PathLike | PIL.Image.Image | ArrayLike]
# A tuple with return_X_y; Any spares callers from having to narrow the type.
BunchOrXy: TypeAlias = Bunch | Any


class Cache(Protocol):
    """Memory of joblib, or an object with its interface."""

    def cache(self, *args: Any, **kwargs: Any) -> Any: ...


class Splitter(Protocol):
    """Cross-validation splitters of scikit-learn, and others."""

    def split(self, *args: Any, **kwargs: Any) -> Any: ...


CrossValidation: TypeAlias = int | Splitter | Iterable[Any]


def validate_params(constraints: dict[str, Any]) -> Callable[[_Function], _Function]:
    """Check a function's arguments, as scikit-learn's functions do."""
    return _param_validation.validate_params(constraints, prefer_skip_nested_validation=True)


def validate_parameters_first(method: _Function) -> _Function:
    """Check an estimator's parameters before it is fitted, as scikit-learn's estimators do."""
    return sklearn.base._fit_context(prefer_skip_nested_validation=True)(method)
