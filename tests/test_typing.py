"""Public signatures say what they take and give: to editors, and to type checkers."""

import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import types
import typing
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from test_documentation import PUBLIC_MODULES, public_names

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._features.memory import FeatureMemory
from sklearn_patt_lite._typing import Cache
from sklearn_patt_lite.preprocessing import (
    BackboneFeatures,
    FaceAugmenter,
    FaceCropper,
    FaceResizer,
)

ROOT = Path(__file__).parents[1]
ESTIMATORS = [PAttLiteClassifier, BackboneFeatures, FaceAugmenter, FaceCropper, FaceResizer]


def function_of(name):
    """Find the function behind a public name: of a class, its `__init__`."""
    module = max((each for each in PUBLIC_MODULES if name.startswith(f"{each}.")), key=len)
    value, *members = name.removeprefix(f"{module}.").split(".")
    value = getattr(importlib.import_module(module), value)
    for member in members or ["__init__"] * isinstance(value, type):
        value = inspect.getattr_static(value, member)
    if isinstance(value, property):
        return value.fget
    return value.func if isinstance(value, cached_property) else getattr(value, "__func__", value)


@pytest.mark.parametrize("name", public_names())
def test_all_that_is_public_is_annotated(name):
    signature = inspect.signature(function_of(name))
    bare = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert not bare
    assert signature.return_annotation is not signature.empty


def alternatives(annotation):
    """The types of a union, without None; literal values one by one."""
    parts = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    for part in parts:
        if typing.get_origin(part) is typing.Literal:
            yield from typing.get_args(part)
        elif part is not types.NoneType:
            yield typing.get_origin(part) or part


def is_union(annotation):
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def allowed(constraints):
    """What an annotation should hold, given a parameter's constraints, without None."""
    kinds = {
        Integral: {int},
        "boolean": {bool},
        "random_state": {int, np.random.RandomState},
        os.PathLike: {os.PathLike},
        callable: {typing.get_origin(typing.Callable[..., None])},
    }
    for constraint in constraints:
        if isinstance(constraint, StrOptions):
            yield from constraint.options
        elif isinstance(constraint, Interval):
            yield int if constraint.type is Integral else float
        elif isinstance(constraint, HasMethods):
            yield Cache
        elif constraint is not None:
            yield from kinds.get(constraint, {constraint})


@pytest.mark.parametrize(
    ("estimator", "name"),
    [(each, name) for each in ESTIMATORS for name in each._parameter_constraints],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_annotations_are_those_of_the_constraints(estimator, name):
    annotation = inspect.signature(estimator).parameters[name].annotation
    constraints = estimator._parameter_constraints[name]
    takes_none = None in constraints or "random_state" in constraints
    assert (types.NoneType in typing.get_args(annotation)) == takes_none
    found = {*alternatives(annotation)}
    if str in found:  # a checker takes any string; the values are there for editors
        found = {each for each in found if not isinstance(each, str)}
    assert found == {*allowed(constraints)}


def test_the_constraints_that_are_compared_are_of_all_kinds():
    """So that a change of scikit-learn's classes does not leave the test above with nothing."""
    constraints = PAttLiteClassifier._parameter_constraints
    assert {*allowed(constraints["recipe"])} == {"transfer", "paper", "modern"}
    assert {*allowed(constraints["patience"])} == {int, "auto"}
    assert {*allowed(constraints["memory"])} == {str, os.PathLike, FeatureMemory, Cache}
    assert Interval(Real, 0, 1, closed="both").type is Real


MISTAKES = {
    'PAttLiteClassifier(recipe="moden")': 'Argument "recipe"',
    "PAttLiteClassifier(epoch=3)": 'Unexpected keyword argument "epoch"',
    "PAttLiteClassifier(input_size=None)": 'Argument "input_size"',
    "PAttLiteClassifier(alpha='1')": 'Argument "alpha"',
    "PAttLiteClassifier().fit(['a.jpg'])": 'Missing positional argument "y"',
    "load_ckplus('CK+', frames='peak2')": 'Argument "frames"',
    "FaceResizer(224)": "Too many positional arguments",
    "import sklearn_patt_lite as patt; patt.PattLite": 'Module has no attribute "PattLite"',
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """What mypy finds, once for all tests: a list of (file, line, message)."""
    if not importlib.util.find_spec("mypy"):
        pytest.skip("needs mypy, of the extra 'test'")
    script = tmp_path_factory.mktemp("typing") / "mistakes.py"
    imports = (
        "from sklearn_patt_lite import PAttLiteClassifier; "
        "from sklearn_patt_lite.datasets import load_ckplus; "
        "from sklearn_patt_lite.preprocessing import FaceResizer\n"
    )
    script.write_text(imports + "\n".join(MISTAKES))
    command = [sys.executable, "-m", "mypy", "--cache-dir", os.devnull, "--no-error-summary"]
    checked = ["sklearn_patt_lite", "tests/typed_usage.py", str(script)]
    result = subprocess.run([*command, *checked], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    found = re.findall(r"^(.+?):(\d+): error: (.+)$", result.stdout, re.MULTILINE)
    return [(Path(file).name, int(line), message) for file, line, message in found]


def test_a_type_checker_finds_nothing_in_the_package_and_in_what_users_write(errors):
    assert [error for error in errors if error[0] != "mistakes.py"] == []


def test_a_type_checker_finds_what_users_mistake(errors):
    found = {line: message for file, line, message in errors if file == "mistakes.py"}
    assert [*found] == [*range(2, len(MISTAKES) + 2)], errors
    for line, message in enumerate(MISTAKES.values(), start=2):
        assert message in found[line]
