"""RAF-DB: faces from the web, each labelled by about forty people."""

import os
from pathlib import Path
from typing import Literal

from sklearn.utils._param_validation import StrOptions

from sklearn_patt_lite._typing import BunchOrXy, PathLike, validate_params
from sklearn_patt_lite.datasets._bunch import (
    COMMON,
    check_counts,
    check_root,
    count,
    find_below,
    incomplete,
    list_folders,
    list_images,
    make_bunch,
    read_lines,
)
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS
from sklearn_patt_lite.datasets._pixels import read_csv

LAYOUT = """\
  EmoLabel/list_patition_label.txt                    (official; lines such as "train_00001.jpg 5")
  Image/aligned/train_00001_aligned.jpg
  Image/original/train_00001.jpg
or
  DATASET/train/5/train_00001_aligned.jpg             (Kaggle)
  DATASET/test/5/test_0007_aligned.jpg
  train_labels.csv, test_labels.csv"""

ABOUT = """\
RAF-DB (basic expressions): color photographs of faces from the web, labelled by about 40 people
each. S. Li, W. Deng and J. Du, CVPR 2017."""

_NAMES = "surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"  # codes 1 to 7
_IMAGES = {
    "train": dict(zip(_NAMES, (1290, 281, 717, 4772, 1982, 705, 2524), strict=True)),
    "test": dict(zip(_NAMES, (329, 74, 160, 1185, 478, 162, 680), strict=True)),
}


@validate_params(
    {
        **COMMON,
        "split": [StrOptions({"train", "test", "all"})],
        "kind": [StrOptions({"aligned", "original"})],
    }
)
def load_rafdb(
    root: PathLike,
    *,
    split: Literal["train", "test", "all"] = "train",
    kind: Literal["aligned", "original"] = "aligned",
    image_size: int = 100,
    as_paths: bool = False,
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> BunchOrXy:
    """
    Load RAF-DB's basic expressions from disk, with its official split.

    The official release and Kaggle's copy are supported. Subjects are not known, so no split can
    keep people apart.

    Parameters
    ----------
    root : path-like
        The folder that contains `EmoLabel` and `Image` (official release; its `basic` folder), or
        `DATASET` (Kaggle); its parent folder works, too.
    split : {"train", "test", "all"}, default="train"
        Which images to load. There is no validation part: split one off "train", and use "test"
        only once.
    kind : {"aligned", "original"}, default="aligned"
        Faces cropped and aligned to 100×100 pixels, or the photographs they come from (official
        release only).
    image_size : int, default=100
        Side, in pixels, of the square to which images are resized.
    as_paths : bool, default=False
        Return paths instead of images, for data larger than memory. No image is opened.
    n_jobs : int, default=None
        Number of threads that read images, as in joblib.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With n rows, sorted by split and name:

        images : ndarray of shape (n, image_size, image_size, 3), dtype uint8
            RGB.
        paths : ndarray of shape (n,), dtype object
            Instead of images, if `as_paths`; each a `str`.
        target : ndarray of shape (n,), dtype int64
            Index into `target_names`.
        target_names : ndarray of shape (7,), dtype str
            angry, disgust, fear, happy, sad, surprise, neutral.
        groups : None
            None, since subjects are not known.
        split : ndarray of shape (n,), dtype str
            "train" or "test".
        names : ndarray of shape (n,), dtype str
            Name of each image ("test_0007"), by which `load_challenging_subset` finds it.
        database, DESCR : str
            "RAF-DB", and a description.

    (X, y) : tuple if `return_X_y`
        Images or paths, and `target`.

    Raises
    ------
    FileNotFoundError
        If there is no such tree, or if parts of it are missing. The message says what was looked
        for, what was found, and what a correct tree looks like.
    ValueError
        If the list of labels or an image cannot be read, or if folders and labels disagree.

    Warns
    -----
    UserWarning
        If numbers differ from the published ones.

    See Also
    --------
    load_challenging_subset : Selects the occluded or turned faces of the test images.

    Notes
    -----
    ======= ======== ==== ======= ===== ==== ===== ======= ======
    .       surprise fear disgust happy sad  angry neutral sum
    ======= ======== ==== ======= ===== ==== ===== ======= ======
    train       1290  281     717  4772 1982   705    2524 12,271
    test         329   74     160  1185  478   162     680  3,068
    ======= ======== ==== ======= ===== ==== ===== ======= ======

    The official codes, 1 to 7, are in this order; `target` is not.

    RAF-DB [1]_ is for non-commercial research; request it, from an academic address, at
    http://www.whdeng.cn/RAF/model1.html. The photographs belong to their owners.

    References
    ----------
    .. [1] S. Li, W. Deng and J. Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning
       for Expression Recognition in the Wild", CVPR, 2017.

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import load_rafdb
    >>> load_rafdb("nowhere")
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no 'nowhere'. Expected a tree like this:
      EmoLabel/list_patition_label.txt                    (official; lines such as ...)
    ...
    """
    root = check_root(root, LAYOUT)
    labels = find_below(root, "EmoLabel")
    rows = _kaggle(root, kind) if labels is None else _official(labels, kind)
    rows = [row for row in rows if split in (row["split"], "all")]
    for part in ("train", "test") if split == "all" else (split,):
        found = count([row["expression"] for row in rows if row["split"] == part])
        check_counts(f"RAF-DB's {part} part", "images", found, _IMAGES[part])
    columns = ("paths", "expression", "split", "names")
    return make_bunch(
        {column: [row[column] for row in rows] for column in columns},
        database="RAF-DB",
        about=ABOUT,
        target_names=EXPRESSIONS[:7],
        as_paths=as_paths,
        return_X_y=return_X_y,
        image_size=image_size,
        n_jobs=n_jobs,
    )


def _official(labels, kind):
    table = labels / "list_patition_label.txt"  # the official spelling
    if not table.exists():
        raise incomplete(labels, "There is no list_patition_label.txt in EmoLabel", LAYOUT)
    folder = labels.parent / "Image" / kind
    if not folder.is_dir():
        raise incomplete(labels.parent, f"There is no Image/{kind}", LAYOUT)
    files = {_name(path): path for path in list_images(folder)}
    rows = [_parse(line, table) for line in read_lines(table)]
    rows.sort(key=lambda row: (row["split"] != "train", row["names"]))
    missing = [row["names"] for row in rows if row["names"] not in files]
    if missing:
        problem = f"{len(missing)} of {len(rows)} listed images are missing, first {missing[0]}.jpg"
        raise incomplete(folder, problem, LAYOUT)
    return [{**row, "paths": files[row["names"]]} for row in rows]


def _name(path):
    return Path(path).stem.removesuffix("_aligned")


def _parse(line, table):
    """Read a line such as "train_00001.jpg 5"."""
    parts = line.split()
    name = _name(parts[0])
    part = name.split("_")[0]
    if len(parts) != 2 or part not in _IMAGES:
        raise ValueError(f'{str(table)!r}: expected "train_00001.jpg 5", got {line!r}.')
    expression = _decode(parts[1], f"{str(table)!r}: {line!r}")
    return {"names": name, "split": part, "expression": expression}


def _decode(code, where):
    if code not in ("1", "2", "3", "4", "5", "6", "7"):
        raise ValueError(f"{where}: expected a code from 1 to 7, got {code!r}.")
    return _NAMES[int(code) - 1]


def _kaggle(root, kind):
    folder = root if root.name == "DATASET" else find_below(root, "DATASET") or root
    if not all((folder / part).is_dir() for part in _IMAGES):
        raise incomplete(root, "Neither EmoLabel nor DATASET with train and test exists", LAYOUT)
    if kind == "original":
        problem = "Kaggle's copy has aligned images only; the official release has kind='original'"
        raise incomplete(root, problem, LAYOUT)
    rows = []
    for part in _IMAGES:
        found = [
            {
                "names": _name(path),
                "split": part,
                "expression": _decode(place.name, os.fspath(place)),
                "paths": path,
            }
            for place in list_folders(folder / part)
            for path in list_images(place)
        ]
        if not found:
            raise incomplete(
                folder / part, f"There are no images in {part}'s folders 1 to 7", LAYOUT
            )
        _check_table(root, folder, part, found)
        rows += sorted(found, key=lambda row: row["names"])
    return rows


def _check_table(root, folder, part, rows):
    """Compare the folders with train_labels.csv or test_labels.csv, if it exists."""
    places = [place / f"{part}_labels.csv" for place in (root, folder, folder.parent)]
    table = next((place for place in places if place.exists()), None)
    if table is None:
        return
    listed = {
        (_name(name), _decode(code, f"{str(table)!r}: {name}"))
        for name, code in read_csv(table, ["image", "label"])
    }
    there = {(row["names"], row["expression"]) for row in rows}
    for names, problem in (
        (listed - there, f"are listed in {table.name}, but not in the folder of their label"),
        (there - listed, f"are in folders, but not listed that way in {table.name}"),
    ):
        if names:
            first = ", ".join(min(names))
            where = os.fspath(folder)
            raise ValueError(f"{where!r}: {len(names)} images {problem}, first {first}.")
