"""The paper's tables: scripts that run, go on where they were, and say what their numbers are."""

import csv
import re
import runpy
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from databases import ckplus_sequences, make_ckplus, make_rafdb, pixels, rafdb_rows, write_csv
from numpy.testing import assert_allclose, assert_array_equal
from test_challenging import write_list
from test_fer2013 import HEADERS
from test_ferplus import make_files

from sklearn_patt_lite import PAttLiteClassifier

PAPER = Path(__file__).parents[1] / "examples" / "paper"
#: Few faces, one epoch of stage 1: the figures mean nothing.
STAGE_1 = ["epochs=1", "unfreeze_layers=0", "finetune_patience=None", "augment=False"]
TINY = ["--subjects", "3", "--seeds", "1", "--set", *STAGE_1]
SCRIPTS = {  # rows of each one's table
    "table_4_ablation": 4,
    "table_5_output_layer_and_patch": 18,
    "table_6_patch_attention": 2,
    "table_7_ckplus": 1,
    "tables_8_and_10_figure_8_databases": 7,  # ours, the commonest, five others
    "table_9_classes": 8,
    "table_11_figures_2_to_5_challenging": 12,
    "figures_9_and_10_size": 5,
    "why_the_published_scores_are_high": 22,  # 42 faces: batches of 64 are not among them
}


#: Cells of the paper's tables, here and there in them.
CELLS = {
    "table_4_ablation": ("99.90", "61.52", "90.71", "95.55"),
    "table_5_output_layer_and_patch": ("90.03", "89.41", "94.78", "78.13"),
    "table_6_patch_attention": ("94.17", "89.86", "92.72", "92.50"),
    "table_7_ckplus": ("gACNN", "97.03", "FER-VT", "100.00"),
    "tables_8_and_10_figure_8_databases": ("VTFF", "88.81", "DDAMFN", "4.11", "95.55"),
    "table_9_classes": ("Imponderous Net", " 2021 ", "54.00", "80.00", "95.68", "90.38"),
    "table_11_figures_2_to_5_challenging": ("OADN", "88.52", "92.23", "92.58"),
    "figures_9_and_10_size": ("POSTER++", "43.7", "17.9"),
}
#: Those that train many networks are run by ``pytest -m benchmarks``; they share the others' code.
MANY = (
    "table_4_ablation",
    "table_5_output_layer_and_patch",
    "figures_9_and_10_size",
    "why_the_published_scores_are_high",
)


@pytest.fixture(autouse=True)
def _modules_of_the_scripts(monkeypatch):
    monkeypatch.syspath_prepend(PAPER)


def run(monkeypatch, script, output, *options):
    arguments = [script, "--output", str(output), *map(str, options)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(PAPER / f"{script}.py"), run_name="__main__")


def read_table(folder, pattern):
    (path,) = folder.glob(f"{pattern}*.csv")
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert path.with_suffix(".md").read_text("utf-8").startswith("# ")
    return read_csv(path)


def read_csv(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_script_is_tried():
    tried = {*SCRIPTS, "figures_6_and_7_grad_cam", "tables_1_to_3_counts"}
    assert {path.stem for path in PAPER.glob("[!_]*.py")} == tried


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*collapse onto")  # one epoch does
@pytest.mark.parametrize(
    "script",
    [pytest.param(name, marks=[pytest.mark.benchmarks] * (name in MANY)) for name in SCRIPTS],
)
def test_scripts_leave_a_table_and_a_picture(script, monkeypatch, tmp_path, capsys):
    options = list(TINY)
    if script.startswith("table_7"):
        options[1] = "10"  # subjects, a fold each
    run(monkeypatch, script, tmp_path, *options)
    rows = read_table(tmp_path, script.split("_ckplus")[0][:8])
    assert len(rows) == SCRIPTS[script]
    scores = [
        row[name] for row in rows for name in row if name.endswith(("accuracy, %", "recall, %"))
    ]
    scores = [score for score in scores if score]
    assert scores
    assert all(0 <= float(score) <= 100 for score in scores)
    printed = capsys.readouterr().out
    assert "drawn faces" in printed
    assert all(cell in printed for cell in CELLS.get(script, ()))
    assert "nothing about real ones" in printed
    if not script.startswith("why"):
        assert any(row["honestly obtainable?"] in ("no", "not shown") for row in rows)
    # Once more: everything is found, and the table is the same.
    run(monkeypatch, script, tmp_path, *options)
    found, total = re.search(r"(\d+) of (\d+) fits found", capsys.readouterr().out).groups()
    assert found == total
    assert read_table(tmp_path, script.split("_ckplus")[0][:8]) == rows


@pytest.mark.filterwarnings("ignore:.*published")  # numbers that small copies lack
def test_images_are_counted(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "tables_1_to_3_counts", tmp_path / "without", "--output", tmp_path / "without")
    printed = capsys.readouterr().out
    assert all(cell in printed for cell in ("5,957", "13,014", "466", "12,271", "3,582"))
    assert {row["your copy"] for row in read_csv(tmp_path / "without" / "table_1.csv")} == {""}
    root = make_rafdb(tmp_path / "rafdb", rafdb_rows(42))
    run(monkeypatch, "tables_1_to_3_counts", tmp_path / "with", "--rafdb", root)
    counts = {
        (row["database"], row["expression"]): row["your copy"]
        for row in read_csv(tmp_path / "with" / "table_1.csv")
    }
    assert sum(int(counts["RAF-DB", name]) for _, name in counts if _ == "RAF-DB") == 84
    parts = read_csv(tmp_path / "with" / "table_3.csv")
    found = {row["part"]: row["your copy"] for row in parts if row["database"] == "RAF-DB"}
    assert found == {"training": "42", "testing": "42"}
    assert {row["your copy"] for row in parts if row["database"] != "RAF-DB"} == {""}


@pytest.mark.slow
def test_figures_of_where_the_network_looks(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "figures_6_and_7_grad_cam", tmp_path, *TINY)
    rows = read_table(tmp_path, "figures_6")
    kinds = {row["surest that is"] for row in rows}
    assert kinds == {"right", "wrong"}
    for row in rows:
        assert (row["class"] == row["predicted"]) == (row["surest that is"] == "right")
        assert re.fullmatch("row [12], column [12]", row["patch that adds most"])
    assert "nothing about real ones" in capsys.readouterr().out
    (kept,) = (tmp_path / "checkpoints").iterdir()
    written = kept.stat().st_mtime_ns
    run(monkeypatch, "figures_6_and_7_grad_cam", tmp_path, *TINY)
    assert kept.stat().st_mtime_ns == written  # found
    assert read_table(tmp_path, "figures_6") == rows


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*collapse onto")  # one epoch does
def test_a_run_that_is_killed_goes_on_where_it_was(monkeypatch, tmp_path, capsys):
    script = PAPER / "table_6_patch_attention.py"
    command = [sys.executable, str(script), "--output", str(tmp_path), *TINY]
    fits = tmp_path / "fits"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not list(fits.glob("*.npz")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in fits.glob("*.npz")}
    assert len(kept) == 1
    run(monkeypatch, "table_6_patch_attention", tmp_path, *TINY)
    assert f"{len(kept)} of 2 fits found" in capsys.readouterr().out
    assert len(list(fits.glob("*.npz"))) == 2
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert len(read_table(tmp_path, "table_6")) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*published")  # numbers that small copies lack
@pytest.mark.filterwarnings("ignore:.*collapse onto")
def test_a_copy_of_rafdb_and_the_lists(monkeypatch, tmp_path):
    rows = rafdb_rows(42)
    root = make_rafdb(tmp_path / "rafdb", rows)
    names = [f"test_{i:04}" for i in range(1, 43)]
    for subset, n in (("occlusion", 21), ("pose30", 14), ("pose45", 7)):
        write_list(tmp_path / "lists", "RAF-DB", subset, names[:n])
    drawn = ["backbone_weights=drawn", "alpha=0.25", "input_size=64", "patch_size=2"]
    options = ["--data", root, *TINY, *drawn]
    lists = ["--lists", tmp_path / "lists"]
    run(monkeypatch, "table_11_figures_2_to_5_challenging", tmp_path / "out", *lists, *options)
    found = read_table(tmp_path / "out", "table_11")
    sizes = {row["faces"]: row["images"] for row in found}
    assert sizes == {"all": "42", "occlusion": "21", "pose30": "14", "pose45": "7"}
    assert found[0]["paper, RAF-DB, %"] == "95.05"
    assert all(float(row["its 95 % interval over images, low"]) >= 0 for row in found)
    run(monkeypatch, "tables_8_and_10_figure_8_databases", tmp_path / "out", *options)
    table = read_table(tmp_path / "out", "tables_8")
    assert {row["honestly obtainable?"] for row in table} == {"no", "", "yes"}


@pytest.mark.filterwarnings("ignore:.*published")
def test_copies_of_the_databases_are_split_by_their_rules(tmp_path):
    from _faces import load_faces

    def load(database, data, **options):
        given = {"labels": None, "lists": None, **options}
        return load_faces(Namespace(database=database, data=data, **given))

    sequences = ckplus_sequences()
    faces = load("CK+", make_ckplus(tmp_path / "ck", sequences))
    assert [len(split.test) for split in faces.splits][:2] == [99, 117]
    for split in faces.splits:
        assert not set(faces.groups[split.train]) & set(faces.groups[split.test])
    assert len(np.unique(faces.sequence)) == 327
    assert faces.settings == {"unfreeze_layers": 40}

    usages = ["Training"] * 7 + ["PublicTest"] * 7 + ["PrivateTest"] * 7
    rows = [(str(i % 7), pixels(i), usage) for i, usage in enumerate(usages)]
    table = write_csv(tmp_path / "fer2013.csv", HEADERS["fer2013.csv"], rows)
    (split,) = load("FER2013", table).splits
    assert [part.tolist() for part in (split.train, split.validation, split.test)] == [
        list(range(start, start + 7)) for start in (0, 7, 14)
    ]

    rows = [
        (usage, f"fer{i:07}.png", np.eye(10, dtype=int)[i % 8] * 10)
        for i, usage in enumerate(usages)
    ]
    table, labels = make_files(tmp_path, rows)
    faces = load("FERPlus", table, labels=labels)
    assert len(faces.target_names) == 8
    assert len(faces.splits[0].validation) == 7


def test_an_npz_is_taken_as_it_is_split(tmp_path, monkeypatch):
    from _faces import load_faces, parse_arguments

    rng = np.random.default_rng(0)
    parts = {
        f"X_{part}": rng.integers(0, 255, (n, 8, 8), np.uint8)
        for part, n in (("train", 6), ("test", 3))
    }
    path = tmp_path / "some.npz"
    np.savez(path, y_train=np.arange(6) % 3, y_test=np.arange(3), **parts)
    monkeypatch.setattr(
        sys, "argv", ["script", "--data", str(path), "--set", "epochs=2", "alpha=.5"]
    )
    arguments = parse_arguments("", ["RAF-DB"])
    assert arguments.set == {"epochs": 2, "alpha": 0.5}
    faces = load_faces(arguments)
    assert faces.title == "some"
    assert_array_equal(faces.images[faces.splits[0].test], parts["X_test"])
    assert faces.target[faces.tested].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "epoch=3"], "--set epoch=3: expected NAME=VALUE of a parameter"),
        (["--set", "epochs"], "--set epochs: expected NAME=VALUE"),
        (["--database", "FERPlus", "--data", "."], "FERPlus needs --labels"),
        (["--data", "nowhere"], "--data: there is no nowhere"),
        (["--seeds", "0"], "expected 1 or more, got 0"),
        (["--subjects", "-3"], "expected 1 or more, got -3"),
        (["--set", "random_state=3"], "--set random_state=3: the script sets it itself"),
    ],
)
def test_options_that_will_not_do(options, message, monkeypatch, capsys):
    from _faces import parse_arguments

    monkeypatch.setattr(sys, "argv", ["script", *options])
    with pytest.raises(SystemExit):
        parse_arguments("", ["RAF-DB", "FERPlus"])
    assert message in capsys.readouterr().err


def test_patches_are_called_as_in_the_paper():
    script = runpy.run_path(str(PAPER / "table_5_output_layer_and_patch.py"))
    side, code = script["map_side"], script["patch_code"]
    assert side(PAttLiteClassifier(recipe="paper", input_size=96)) == 6
    assert side(PAttLiteClassifier(recipe="paper")) == 14
    assert [code(14, patch) for patch in (7, 3, 5, 4, 8)] == ["NP7", "OP3", "OP5", "P4", "P8"]


def test_folds_are_put_together_with_the_classes_that_each_knew():
    from _faces import Faces, Split
    from _fits import Fit, _gather

    splits = [Split(np.array([2, 3]), np.array([1, 0])), Split(np.array([0, 1]), np.array([3, 2]))]
    target = np.array([0, 1, 2, 1])
    faces = Faces("", np.zeros(4), target, np.array(list("abc")), None, splits, {})
    parts = [
        {"probabilities": np.array([[0.9, 0.1], [0.2, 0.8]]), "classes": np.array([1, 2])},
        {"probabilities": np.array([[0.3, 0.7], [0.4, 0.6]]), "classes": np.array([0, 1])},
    ]
    found = {Fit("row", 0, i): {**part, "n_parameters": 5} for i, part in enumerate(parts)}
    gathered = _gather("row", found, faces, Namespace(seeds=1))
    assert_allclose(
        gathered.probabilities[0], [[0, 0.9, 0.1], [0, 0.2, 0.8], [0.3, 0.7, 0], [0.4, 0.6, 0]]
    )
    assert gathered.labels.tolist() == [[1, 2, 1, 1]]
    assert faces.target[faces.tested].tolist() == [1, 0, 1, 2]


def test_a_sequence_is_one_answer():
    from _faces import Faces, Split
    from _fits import Predictions

    by_sequence = runpy.run_path(str(PAPER / "table_7_ckplus.py"))["by_sequence"]
    splits = [Split(np.arange(4, 8), np.arange(4)), Split(np.arange(4), np.arange(4, 8))]
    sequence = np.array([5, 5, 2, 2, 7, 7, 7, 9])
    target = np.array([1, 1, 0, 0, 1, 1, 1, 0])
    faces = Faces("", np.zeros(8), target, np.array(["a", "b"]), None, splits, {}, {}, sequence)
    probabilities = np.random.default_rng(0).dirichlet([1, 1], (2, 8))
    answers, averaged = by_sequence(faces, Predictions(probabilities, 3))
    assert answers.target[answers.tested].tolist() == [0, 1, 1, 0]
    for i, code in enumerate([2, 5, 7, 9]):
        mean = probabilities[:, sequence == code].mean(axis=1)
        assert_allclose(averaged.probabilities[:, i], mean)


def test_the_mean_over_the_folds_counts_folds_alike():
    from _faces import Faces, Split
    from _fits import Predictions

    accuracies = runpy.run_path(str(PAPER / "table_7_ckplus.py"))["fold_accuracies"]
    splits = [Split(np.array([3]), np.arange(3)), Split(np.arange(3), np.array([3]))]
    faces = Faces("", np.zeros(4), np.zeros(4, int), np.array(["a", "b"]), None, splits, {})
    probabilities = np.array([[[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]])
    found = accuracies(faces, Predictions(probabilities, 1))
    assert_allclose(found, [[200 / 3, 0]])


def test_what_was_found_depends_on_all_that_made_it(tmp_path):
    from _faces import Faces, Split
    from _fits import Fit, run_once

    images = np.arange(6.0)
    faces = Faces("", images[:, None], np.arange(6), np.arange(6), None, [Split(1, 2)], {})
    calls = []

    def work(name):
        calls.append(name)
        return {"value": np.array(len(calls))}

    def go(determined=1, **changed):
        these = Faces(**{**vars(faces), **changed})
        return int(run_once({Fit("a", 0): determined}, work, these, tmp_path)[Fit("a", 0)]["value"])

    assert [go(), go(), go(2), go(), go(target=np.zeros(6)), go(groups=images)] == [
        1,
        1,
        2,
        1,
        3,
        4,
    ]
    assert go(images=images[::-1, None]) == 5
    assert go() == 1


def test_a_file_that_is_no_more_whole_is_named(tmp_path):
    from _faces import Faces, Split
    from _fits import Fit, run_once

    faces = Faces("", np.zeros((2, 1)), np.arange(2), np.arange(2), None, [Split(1, 2)], {})
    run_once({Fit("a", 0): 1}, lambda name: {"value": np.ones(9)}, faces, tmp_path)
    (path,) = (tmp_path / "fits").iterdir()
    whole = path.read_bytes()
    for left in (whole[:-30], b""):
        path.write_bytes(left)
        with pytest.raises(SystemExit, match=f"{path.name} cannot be read .* delete it"):
            run_once({Fit("a", 0): 1}, None, faces, tmp_path)


def test_a_stopped_run_says_what_is_kept(tmp_path):
    from _faces import Faces, Split
    from _fits import Fit, run_once

    faces = Faces("", np.zeros((2, 1)), np.arange(2), np.arange(2), None, [Split(1, 2)], {})

    def work(fit):
        if fit.seed == 1:
            raise KeyboardInterrupt
        return {"value": np.ones(1)}

    jobs = {Fit("a", seed): seed for seed in range(3)}
    with pytest.raises(SystemExit, match=r"1 of 3 fits are kept: rerun to continue"):
        run_once(jobs, work, faces, tmp_path)


def test_changed_code_makes_other_fits(tmp_path, monkeypatch):
    from _fits import _fingerprint_of_code

    import sklearn_patt_lite

    before = _fingerprint_of_code()
    assert before == _fingerprint_of_code()
    (tmp_path / "_classifier.py").write_text("changed")
    monkeypatch.setattr(sklearn_patt_lite, "__file__", str(tmp_path / "__init__.py"))
    assert before != _fingerprint_of_code()


def test_csv_files_hold_numbers(tmp_path):
    from _report import Range, Spread, write_table

    rows = [
        {"": "a", "accuracy, %": Spread.of([50.0, 60.0]), "interval": Range(40, 70), "n": 1_000},
        {"": "b", "accuracy, %": Spread.of([55.0])},
    ]
    write_table("Title", rows, ["Note."], tmp_path / "table")
    first, second = read_csv(tmp_path / "table.csv")
    assert float(first["accuracy, %"]) == 55
    assert float(first["accuracy, %, deviation"]) == pytest.approx(50**0.5)
    assert [first[f"interval, {end}"] for end in ("low", "high")] == ["40", "70"]
    assert first["n"] == "1000"
    assert second["interval, low"] == second["n"] == ""
    text = (tmp_path / "table.md").read_text("utf-8")
    assert "| a | 55.0 ± 7.1 | 40.0 to 70.0 | 1,000 |" in text
    assert "| b | 55.0 |  |  |" in text
    assert "- Note." in text
