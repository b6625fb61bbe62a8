"""The plan of the house: what may import what, and what knows what. See docs/contributing.md."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sklearn_patt_lite"
#: Folders, and modules at the top, by what they may import besides themselves.
MAY_IMPORT = {
    "_typing": set(),
    "_callbacks": set(),
    "_process": set(),
    "_files": set(),
    "_images": {"_process"},
    "_network": {"_images", "_process", "_files"},
    "_features": {"_network", "_images", "_files"},
    "_inference": {"_features", "_network", "_images", "_process"},
    "_settings": {"_network"},
    "_training": {
        *("_inference", "_features", "_network", "_images", "_process", "_files"),
        *("_callbacks", "model_selection"),
    },
    "_persistence": {"_inference", "_network", "_process", "_files"},
    "metrics": {"_images", "_typing"},
    "prediction": {"_files", "_images", "_typing"},
    "model_selection": {"_images", "_typing"},
    "datasets": {"_images", "_typing"},
    "_classifier": {
        *("_training", "_persistence", "_inference", "_features", "_settings", "_network"),
        *("_process", "_callbacks", "_typing", "datasets"),
    },
    "preprocessing": {
        *("_inference", "_features", "_network", "_images", "_process", "_typing"),
        "_callbacks",
    },
    "inspection": {
        *("_classifier", "_network", "_images", "_process", "_typing"),
        *("preprocessing", "model_selection"),
    },
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
MODULES += sorted(PACKAGE.glob("_[a-z]*.py"))
HEAVY = {"tensorflow", "keras", "scikeras"}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module):
    """The folder or module at the package's top that a module belongs to."""
    return module.split(".")[1]


def imports_of(path, *, of_module_only=False):
    """Names of the modules that a file imports, in functions too unless told otherwise."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if of_module_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if path_of(whole) else node.module


def path_of(module):
    """The file of a module of the package; None of another one."""
    path = ROOT.joinpath(*module.split("."))
    files = path.with_suffix(".py"), path / "__init__.py"
    return next((file for file in files if file.is_file() and PACKAGE in file.parents), None)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_what_its_folder_may(path):
    part = part_of(name_of(path))
    found = {
        part_of(module)
        for module in imports_of(path)
        if module.startswith("sklearn_patt_lite.") and part_of(module) != part
    }
    assert found <= MAY_IMPORT[part]


def test_no_folder_imports_one_that_is_built_on_it():
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()  # a circle would be an error


def test_what_may_be_imported_is():
    """What nobody needs is not allowed."""
    found = {part: set() for part in MAY_IMPORT}
    for path in MODULES:
        part = part_of(name_of(path))
        inside = [m for m in imports_of(path) if m.startswith("sklearn_patt_lite.")]
        found[part] |= {part_of(module) for module in inside} - {part}
    assert found == MAY_IMPORT


LIGHT = [
    *("sklearn_patt_lite._classifier", "sklearn_patt_lite._features.memory"),
    *(f"sklearn_patt_lite.{name}" for name in ("datasets", "inspection", "metrics")),
    *(f"sklearn_patt_lite.{name}" for name in ("model_selection", "prediction", "preprocessing")),
]


@pytest.mark.parametrize("module", LIGHT)
def test_public_names_are_imported_without_tensorflow(module):
    waiting, seen = [module], set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for found in imports_of(path_of(current), of_module_only=True):
            assert found.split(".")[0] not in HEAVY, current
            if path_of(found):
                waiting.append(found)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_layers_are_named_in_the_networks_folder_only(path):
    if part_of(name_of(path)) != "_network":
        assert ".get_layer(" not in path.read_text(encoding="utf-8")


def test_functions_are_traced_without_autograph():
    """AutoGraph fails on Python 3.13 where warnings are errors, and nothing here needs it."""
    calls = [
        node
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tf.function"
    ]
    assert len(calls) > 3
    for call in calls:
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert settings.get("autograph") == "False", ast.unparse(call)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_private_to_the_classifier_is_read_in_its_file_only(path):
    if path.name != "_classifier.py":
        private = re.findall(r"\b(?:classifier|estimator)\._[a-z]\w*", path.read_text("utf-8"))
        assert private == []


def test_few_modules_lie_at_the_top():
    assert len(list(PACKAGE.glob("_[a-z]*.py"))) <= 5


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_is_long(path):
    text = path.read_text(encoding="utf-8")
    n_lines = len(text.splitlines())
    if path.name == "_classifier.py":  # most of which is its documentation
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                documentation = node.body[0]
                n_lines -= documentation.end_lineno - documentation.lineno + 1
    assert n_lines <= 450
