"""What the documentation says runs, and the docstrings say all that they should."""

import importlib
import re
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from types import FunctionType

import pytest
from numpydoc.validate import validate
from sklearn import config_context

ROOT = Path(__file__).parents[1]
PUBLIC_MODULES = [
    "sklearn_patt_lite",
    "sklearn_patt_lite.datasets",
    "sklearn_patt_lite.inspection",
    "sklearn_patt_lite.metrics",
    "sklearn_patt_lite.model_selection",
    "sklearn_patt_lite.prediction",
    "sklearn_patt_lite.preprocessing",
]


def public_members(cls):
    """Methods and properties of a class that this package defines; scikit-learn's are its own."""
    kinds = (FunctionType, classmethod, staticmethod, property, cached_property)
    ours = [each for each in cls.__mro__ if each.__module__.split(".")[0] == "sklearn_patt_lite"]
    members = [member for each in ours for member in vars(each).items()]
    return {name for name, value in members if isinstance(value, kinds) and name[0] != "_"}


def public_names():
    """All that has a docstring for users: what `__all__` holds, and members of the classes."""
    found = []
    for module in map(importlib.import_module, PUBLIC_MODULES):
        for name in sorted({*module.__all__} - {"__version__"}):
            found.append(f"{module.__name__}.{name}")
            value = getattr(module, name)
            if isinstance(value, type):
                found += [f"{found[-1]}.{member}" for member in sorted(public_members(value))]
    return found


def code_blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)


def run_code(page):
    blocks = code_blocks(page, "python")
    assert blocks
    with config_context():  # puts back what the code sets
        exec(compile("".join(blocks), page.name, "exec"), {"__name__": page.stem})


@pytest.mark.slow
def test_the_code_of_the_readme_runs(capsys):
    run_code(ROOT / "README.md")
    printed = capsys.readouterr().out
    assert "pattliteclassifier__patch_size" in printed
    photograph, first_scores = printed.splitlines()[:2]
    assert photograph == "['happy']"
    scores = [float(score) for score in re.findall(r"0\.\d+", first_scores)]
    assert len(scores) == 3


def test_the_landing_page_shows_the_code_of_the_readme():
    (block,) = code_blocks(ROOT / "docs" / "index.md", "python")
    assert block in code_blocks(ROOT / "README.md", "python")


ELSEWHERE = {"index", "evaluation", "deployment"}  # run by tests of their own
PAGES = [
    page
    for page in sorted(ROOT.glob("docs/*.md"))
    if page.stem not in ELSEWHERE and code_blocks(page, "python")
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Predictions collapse onto:UserWarning")  # after two epochs
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, monkeypatch, tmp_path):
    if page.stem == "callbacks":
        pytest.importorskip("sklearn.callback", reason="callbacks are new in scikit-learn 1.9")
    monkeypatch.chdir(tmp_path)
    run_code(page)


def test_the_code_on_evaluation_runs_and_shows_what_the_page_says(capsys):
    run_code(ROOT / "docs" / "evaluation.md")
    printed = capsys.readouterr().out
    assert "Scores can be trusted in this respect" in printed
    assert re.search(r"fold 0 trains and tests on \d+ subjects", printed)
    assert "No leaks among 1120 images." in printed
    assert "resampling subjects" in printed
    score = float(re.search(r"^accuracy +(\S+)", printed, re.MULTILINE)[1])
    assert 0.25 < score < 0.45  # "three of ten", and not one of seven
    found = re.search(r"(\S+) over 80 subjects, p = (\S+) ", printed)
    assert float(found[1]) > 0
    assert float(found[2]) < 0.05
    assert "5 folds; changed: []" in printed


@pytest.mark.filterwarnings("ignore:With 8 bits, only:UserWarning")  # two epochs: close calls
def test_the_code_on_deployment_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_code(ROOT / "docs" / "deployment.md")
    printed = capsys.readouterr().out
    assert printed.startswith("True\n")
    for path in ("faces.tflite", "faces.onnx", "small.tflite"):
        assert re.search(rf"{path}: .* MB; on 56 images", printed)
    label, predicted = printed.splitlines()[3].split(maxsplit=1)
    assert predicted == f"['{label}']"
    assert len(list((tmp_path / "fits").iterdir())) == 1


def test_the_readme_has_the_two_commands():
    quickstart, tests = code_blocks(ROOT / "README.md", "shell")[:2]
    assert quickstart.endswith("python examples/quickstart.py\n")
    assert tests.endswith("-m pytest\n")
    assert "-m pytest$" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))], ids=str)
def test_links_and_commands_lead_to_files(page):
    text = page.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    commands = re.findall(r"python (examples/\S+\.py)", text)
    missing = [link for link in links if not (page.parent / link.split("#")[0]).exists()]
    missing += [command for command in commands if not (ROOT / command).exists()]
    assert not missing


def test_docstrings_are_found():
    found = public_names()
    assert {
        "sklearn_patt_lite.FeatureMemory.nbytes",  # a property
        "sklearn_patt_lite.PAttLiteClassifier",
        "sklearn_patt_lite.PAttLiteClassifier.fit",
        "sklearn_patt_lite.PAttLiteClassifier.load_model",  # a class method
        "sklearn_patt_lite.datasets.load_ckplus",
        "sklearn_patt_lite.inspection.BatchInvariance.is_invariant",
        "sklearn_patt_lite.metrics.ExpressionReport.to_frame",
        "sklearn_patt_lite.model_selection.SubjectKFold.split",
        "sklearn_patt_lite.preprocessing.FaceAugmenter.fit_transform",
    } <= {*found}
    members = {name.rsplit(".", 1)[1] for name in found}
    assert not members & {"__version__", "get_params", "score", "set_fit_request"}


@pytest.mark.parametrize("name", public_names())
def test_docstrings_are_complete(name):
    assert not validate(name)["errors"]


def test_every_public_name_is_in_the_reference():
    for module in map(importlib.import_module, PUBLIC_MODULES):
        page = ROOT / "docs" / "api" / f"{module.__name__.rsplit('.', 1)[-1]}.md"
        listed = re.findall(r"^   (\w+)$", page.read_text("utf-8"), re.MULTILINE)
        assert sorted(listed) == sorted({*module.__all__} - {"__version__"}), page


def test_the_gallery_reads_as_prose():
    examples = sorted((ROOT / "examples" / "gallery").glob("*/plot_*.py"))
    assert len(examples) >= 10
    for example in examples:
        assert (example.parent / "GALLERY_HEADER.rst").exists()
        text = example.read_text("utf-8")
        assert re.match(r'"""\n.+\n=+\n', text), example  # a title
        assert text.count("\n# %%\n") >= 2, example
        compile(text, example.name, "exec")


@pytest.mark.benchmarks
@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples" / "gallery").glob("*/plot_*.py")), ids=lambda x: x.stem
)
def test_the_gallery_runs(example, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    command = [sys.executable, str(example)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(command):
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *command, str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
