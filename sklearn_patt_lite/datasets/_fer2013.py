"""FER2013: small grey faces from a web search, for a competition in 2013."""

import re
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.utils._param_validation import StrOptions

from sklearn_patt_lite._images.decode import decode_images
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
)
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS, spell
from sklearn_patt_lite.datasets._pixels import (
    SIDE,
    SPLITS,
    parse_code,
    parse_pixels,
    parse_usage,
    read_csv,
)

LAYOUT = """\
  fer2013.csv                            (columns emotion, pixels, Usage)
or
  icml_face_data.csv                     (columns emotion, Usage, pixels)
or
  train/happy/Training_50449107.jpg      (Kaggle's folders)
  test/happy/PrivateTest_95094.jpg
or
  images/train/happy/10.jpg              (Kaggle's folders with a split of their own)
  images/validation/happy/106.jpg"""

ABOUT = """\
FER2013: grey faces of 48×48 pixels from a web search. I. J. Goodfellow et al., "Challenges in
Representation Learning: A report on three machine learning contests", ICONIP 2013."""

_NAMES = EXPRESSIONS[:7]  # codes 0 to 6
_IMAGES = {
    "train": dict(zip(_NAMES, (3995, 436, 4097, 7215, 4830, 3171, 4965), strict=True)),
    "validation": dict(zip(_NAMES, (467, 56, 496, 895, 653, 415, 607), strict=True)),
    "test": dict(zip(_NAMES, (491, 55, 528, 879, 594, 416, 626), strict=True)),
}
_PARTS = tuple(_IMAGES)
_FILES = ("fer2013.csv", "icml_face_data.csv")
_FILE = re.compile(f"({'|'.join(SPLITS)})_")


@validate_params(
    {
        **{name: COMMON[name] for name in ("as_paths", "n_jobs", "return_X_y")},
        "path": COMMON["root"],
        "split": [StrOptions({*_IMAGES, "all"})],
    }
)
def load_fer2013(
    path: PathLike,
    *,
    split: Literal["train", "validation", "test", "all"] = "train",
    as_paths: bool = False,
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> BunchOrXy:
    """
    Load FER2013 from disk, with its official split.

    Tables of pixels and Kaggle's folders of files are supported; both give grey images of 48×48
    pixels. Subjects are not known, so no split can keep people apart.

    Parameters
    ----------
    path : path-like
        `fer2013.csv` or `icml_face_data.csv`, or a folder with one of them, or with Kaggle's
        folders `train` and `test`, or `train` and `validation`; the parent folder works, too.
    split : {"train", "validation", "test", "all"}, default="train"
        Which images to load: the competition's "Training", "PublicTest" or "PrivateTest", or all.
        Kaggle's folder `test` contains the last two; the file names show which. A copy with folders
        `train` and `validation` has a different split, and no "test".
    as_paths : bool, default=False
        Return paths instead of images (folders only). No image is opened.
    n_jobs : int, default=None
        Number of threads that read images, as in joblib.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With n rows, in the order of the file, or by split and file name:

        images : ndarray of shape (n, 48, 48), dtype uint8
            Grey.
        paths : ndarray of shape (n,), dtype object
            Instead of images, if `as_paths`; each a `str`.
        target : ndarray of shape (n,), dtype int64
            Index into `target_names`: the official code.
        target_names : ndarray of shape (7,), dtype str
            angry, disgust, fear, happy, sad, surprise, neutral.
        groups : None
            None, since subjects are not known.
        split : ndarray of shape (n,), dtype str
            "train", "validation" or "test".
        database, DESCR : str
            "FER2013", and a description.

    (X, y) : tuple if `return_X_y`
        Images or paths, and `target`.

    Raises
    ------
    FileNotFoundError
        If there is no such file or tree, or if parts of it are missing. The message says what was
        looked for, what was found, and what is correct.
    ValueError
        If a row or an image cannot be read, if a file name does not show the split, or if paths are
        requested and there are none.

    Warns
    -----
    UserWarning
        If numbers differ from the published ones, or if the copy has its own split.

    See Also
    --------
    load_ferplus : Loads the same images, labelled by ten people each.

    Notes
    -----
    ========== ===== ======= ==== ===== ==== ======== ======= ======
    .          angry disgust fear happy sad  surprise neutral sum
    ========== ===== ======= ==== ===== ==== ======== ======= ======
    train       3995     436 4097  7215 4830     3171    4965 28,709
    validation   467      56  496   895  653      415     607  3,589
    test         491      55  528   879  594      416     626  3,589
    ========== ===== ======= ==== ===== ==== ======== ======= ======

    Many images occur more than once, also in different splits and with different labels.

    FER2013 [1]_ comes from a web search, so its images belong to their owners. It is available at
    https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
    under the competition's rules.

    References
    ----------
    .. [1] I. J. Goodfellow et al., "Challenges in Representation Learning: A report on three
       machine learning contests", ICONIP, 2013, https://arxiv.org/abs/1307.0414

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import load_fer2013
    >>> load_fer2013("nowhere.csv")
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no 'nowhere.csv'. Expected a tree like this:
      fer2013.csv                            (columns emotion, pixels, Usage)
    ...
    """
    root = check_root(path, LAYOUT)
    table = find_table(root)
    if table is None:
        rows = _read_folders(root, split)
        if not as_paths:
            images = decode_images(rows.pop("paths"), (SIDE, SIDE, 1), n_jobs)
            rows["images"] = images[..., 0]  # grey, as in the tables
    elif as_paths:
        raise ValueError(f"{str(table)!r} contains pixels, not files: load it with as_paths=False.")
    else:
        rows = _read_table(table, split)
    for part in _IMAGES if split == "all" else (split,):
        places = np.asarray(rows["split"]) == part
        found = count(np.asarray(rows["expression"])[places])
        check_counts(f"FER2013's {part} part", "images", found, _IMAGES[part])
    return make_bunch(
        rows,
        database="FER2013",
        about=ABOUT,
        target_names=_NAMES,
        as_paths=as_paths,
        return_X_y=return_X_y,
    )


def find_table(root):
    """Find a CSV file of FER2013; None if there is none.

    Parameters
    ----------
    root : Path
        The file, or a folder that contains it.
    """
    if root.is_file():
        return root
    return next((path for name in _FILES if (path := find_below(root, name))), None)


def read_rows(table):
    """Iterate over a table: (where, split, expression, pixels), with pixels as text."""
    for number, row in enumerate(read_csv(table, ["emotion", "Usage", "pixels"]), 1):
        where = f"{str(table)!r}, row {number}"
        code, usage, pixels = row
        yield where, parse_usage(usage, where), parse_code(code, _NAMES, where), pixels


def _read_table(table, split):
    rows = {"images": [], "expression": [], "split": []}
    for where, part, expression, pixels in read_rows(table):
        if split in (part, "all"):
            rows["images"].append(parse_pixels(pixels, where))
            rows["expression"].append(expression)
            rows["split"].append(part)
    if not rows["images"]:
        raise ValueError(f"{str(table)!r} contains no images of split={split!r}.")
    return {**rows, "images": np.stack(rows["images"])}


def _read_folders(root, split):
    rows = {"paths": [], "expression": [], "split": []}
    train = find_below(root, "train")
    others = [] if train is None else [train.parent / name for name in ("test", "validation")]
    others = [folder for folder in others if folder.is_dir()]
    if not others:
        problem = f"Neither {' nor '.join(_FILES)} nor train and test exists"
        raise incomplete(root, problem, LAYOUT)
    has_own_split = others[-1].name == "validation"
    parts = (train, *others)
    found = [row for part in parts for row in _list(part, by_name=not has_own_split)]
    if has_own_split:
        warnings.warn(
            "This copy of FER2013, with folders train and validation, has a split of its own: "
            "scores on it cannot be compared with published ones.",
            UserWarning,
            stacklevel=4,  # the loader's caller, above parameter validation
        )
    for part, _, path, expression in sorted(found, key=lambda row: (_PARTS.index(row[0]), row[1])):
        if split in (part, "all"):
            rows["paths"].append(path)
            rows["expression"].append(expression)
            rows["split"].append(part)
    if not rows["paths"]:
        raise incomplete(root, f"There are no images of split={split!r}", LAYOUT)
    return rows


def _list(folder, *, by_name):
    """List the images of a part: (split, file name, path, expression)."""
    rows = []
    for place in list_folders(folder):
        expression = spell(place.name)
        if expression not in _NAMES:
            raise incomplete(folder, f"{place.name!r} is not an expression of FER2013", LAYOUT)
        for path in list_images(place):
            name = Path(path).name
            rows.append((_split_of(path) if by_name else folder.name, name, path, expression))
    return rows


def _split_of(path):
    match = _FILE.match(Path(path).name)
    if not match:
        raise ValueError(
            f"{path!r}: the name does not give the split (Training_…, PublicTest_… or "
            "PrivateTest_…). Load such folders as they are with load_face_folder."
        )
    return SPLITS[match[1]]
