"""Faces for the tables: a database from your disk, or drawn faces at a small scale."""

import argparse
import ast
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import (
    load_challenging_subset,
    load_ckplus,
    load_fer2013,
    load_ferplus,
    load_rafdb,
    make_expression_faces,
)
from sklearn_patt_lite.model_selection import SubjectKFold

#: For the classifier. At 96 pixels the feature map has 6×6 cells, hence smaller patches; there are
#: few epochs, hence a higher learning rate in stage 2.
DRAWN_SETTINGS = {
    "backbone_weights": "drawn",
    "alpha": 0.25,
    "input_size": 96,
    "patch_size": 3,
    "batch_size": 16,
    "epochs": 25,
    "patience": 10,
    "finetune_epochs": 10,
    "finetune_patience": 5,
    "finetune_learning_rate": 3e-4,
}
#: Layers that the paper unfreezes in stage 2 (section IV-B).
UNFREEZE_LAYERS = {"CK+": 40, "RAF-DB": 59, "FER2013": 46, "FERPlus": 49}


@dataclass
class Split:
    """Rows for training and testing, and for early stopping if the database has such a part."""

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray | None = None


@dataclass
class Faces:
    """Images (or their paths) with labels, splits and training settings."""

    title: str
    images: np.ndarray
    target: np.ndarray
    target_names: np.ndarray
    groups: np.ndarray | None
    splits: list[Split]
    settings: dict
    conditions: dict = field(default_factory=dict)  # mask of rows, (n,), by name
    sequence: np.ndarray | None = None  # the recording of each row

    @property
    def tested(self):
        """Test rows, fold by fold."""
        return np.concatenate([split.test for split in self.splits])


def parse_arguments(description, databases, n_seeds=3, *, in_folds=False, with_lists=False):
    """Parse the options that the scripts have in common.

    Parameters
    ----------
    description : str
        The script's docstring.
    databases : sequence of str
        Databases of the paper's table; the first is the default for `--data`.
    n_seeds : int, default=3
        Default of `--seeds`.
    in_folds : bool, default=False
        Whether drawn faces are tested in folds, instead of on a separate test set.
    with_lists : bool, default=False
        Whether to add `--lists`, of challenging faces.

    Returns
    -------
    argparse.Namespace
        `database` is "drawn faces" without `--data`.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="your copy of a database as its loader takes it, or an .npz with X_train, y_train, "
        "X_test, y_test; default: drawn faces",
    )
    parser.add_argument("--database", choices=databases, help=f"default: {databases[0]}")
    if "FERPlus" in databases:
        parser.add_argument("--labels", type=Path, help="FERPlus' fer2013new.csv")
    if with_lists:
        parser.add_argument("--lists", type=Path, help="lists of challenging faces")
    parser.add_argument("--seeds", type=_count, default=n_seeds, help=f"default: {n_seeds}")
    parser.add_argument(
        "--subjects",
        type=_count,
        default=32,
        help="number of drawn subjects in all; default: 32"
        if in_folds
        else "number of drawn subjects to train on, and to test on; default: 32",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of PAttLiteClassifier, such as batch_size=32 finetune_epochs=6",
    )
    output = Path("examples/output/paper")
    parser.add_argument("--output", type=Path, default=output, help=f"folder; default: {output}")
    parser.add_argument("--verbose", action="store_true", help="print one line per epoch")
    arguments = parser.parse_args()
    try:
        arguments.set = dict(map(_parse_setting, arguments.set))
    except ValueError as error:
        parser.error(str(error))
    if arguments.data is not None and not arguments.data.exists():
        parser.error(f"--data: there is no {arguments.data}")
    if arguments.data is None:
        arguments.database = "drawn faces"
    elif arguments.data.suffix == ".npz":
        arguments.database = arguments.data.stem
    elif arguments.database is None:
        arguments.database = databases[0]
    if arguments.database == "FERPlus" and arguments.labels is None:
        parser.error("FERPlus needs --labels, its fer2013new.csv")
    return arguments


def _count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return int(text)


def _parse_setting(text):
    name, equals, value = text.partition("=")
    if name in ("random_state", "memory", "verbose"):
        raise ValueError(f"--set {text}: the script sets it itself")
    if not equals or name not in PAttLiteClassifier().get_params():
        raise ValueError(f"--set {text}: expected NAME=VALUE of a parameter of PAttLiteClassifier")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a bare string


def load_faces(arguments, drawn_folds=None):
    """Load the faces that the arguments request.

    Parameters
    ----------
    arguments : argparse.Namespace
        From `parse_arguments`.
    drawn_folds : int, default=None
        Number of folds of subjects for drawn faces; None: train on some, test on the others.

    Returns
    -------
    Faces
    """
    if arguments.data is None:
        return _draw(arguments.subjects, drawn_folds)
    if arguments.data.suffix == ".npz":
        return _load_npz(arguments.data)
    faces = {
        "CK+": _load_ckplus,
        "RAF-DB": _load_rafdb,
        "FER2013": _load_fer2013,
        "FERPlus": _load_ferplus,
    }[arguments.database](arguments)
    faces.settings["unfreeze_layers"] = UNFREEZE_LAYERS[arguments.database]
    return faces


def _draw(n_subjects, n_folds):
    data = make_expression_faces(
        n_subjects=n_subjects if n_folds else 2 * n_subjects,
        occlusion=0.3,
        max_yaw=45.0,
        random_state=0,
    )
    if n_folds:
        folds = SubjectKFold(n_folds).split(data.images, groups=data.groups)
        splits = [Split(*fold) for fold in folds]
    else:
        is_trained = data.groups < n_subjects
        splits = [Split(np.flatnonzero(is_trained), np.flatnonzero(~is_trained))]
    conditions = {
        "all": np.ones(len(data.target), bool),
        "occlusion": data.occlusion != "none",
        "turned by more than 20 degrees": abs(data.yaw) > 20,
        "turned by more than 35 degrees": abs(data.yaw) > 35,
    }
    return Faces(
        "drawn faces",
        data.images,
        data.target,
        data.target_names,
        data.groups,
        splits,
        dict(DRAWN_SETTINGS),
        conditions,
    )


def _load_npz(path):
    with np.load(path) as data:
        images = np.concatenate([data["X_train"], data["X_test"]])
        labels = np.concatenate([data["y_train"], data["y_test"]])
        n_train = len(data["y_train"])
    names, target = np.unique(labels, return_inverse=True)
    rows = np.arange(len(target))
    split = Split(rows[:n_train], rows[n_train:])
    return Faces(path.stem, images, target, names.astype(str), None, [split], {})


def _load_ckplus(arguments):
    data = load_ckplus(arguments.data, as_paths=True)
    if data.groups is None:
        raise SystemExit("Table 7 is subject-independent: this copy of CK+ does not name subjects")
    folds = SubjectKFold(10).split(data.paths, groups=data.groups)
    splits = [Split(*fold) for fold in folds]
    faces = _from_bunch(data, splits)
    faces.sequence = np.unique(data.sequence, return_inverse=True)[1]
    return faces


def _load_rafdb(arguments):
    data = load_rafdb(arguments.data, split="all", as_paths=True)
    return _from_bunch(data, [_official_split(data)], getattr(arguments, "lists", None))


def _load_fer2013(arguments):
    data = load_fer2013(arguments.data, split="all")
    return _from_bunch(data, [_official_split(data)])


def _load_ferplus(arguments):
    # Not "majority": "argmax" gives the paper's numbers of images.
    data = load_ferplus(arguments.data, arguments.labels, split="all", labels_as="argmax")
    return _from_bunch(data, [_official_split(data)], getattr(arguments, "lists", None))


def _official_split(data):
    """Split by the database's own parts; RAF-DB has none for validation."""
    parts = [np.flatnonzero(data.split == part) for part in ("train", "test", "validation")]
    return Split(*(rows if len(rows) else None for rows in parts))


def _from_bunch(data, splits, lists=None):
    images = data.paths if "paths" in data else data.images
    conditions = {"all": np.ones(len(data.target), bool)}
    if lists is not None:
        for name in ("occlusion", "pose30", "pose45"):
            subset = load_challenging_subset(data, lists, name)
            conditions[name] = np.isin(data.names, subset.names) & (data.split == "test")
    return Faces(
        data.database,
        images,
        data.target,
        data.target_names,
        data.groups,
        splits,
        {},
        conditions,
    )
