"""FERPlus: FER2013's images, relabelled by ten people each."""

from typing import Literal

import numpy as np
from sklearn.utils._param_validation import StrOptions

from sklearn_patt_lite._typing import BunchOrXy, PathLike, validate_params
from sklearn_patt_lite.datasets._bunch import (
    COMMON,
    check_counts,
    check_root,
    find_below,
    incomplete,
    make_bunch,
)
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS, spell
from sklearn_patt_lite.datasets._fer2013 import find_table, read_rows
from sklearn_patt_lite.datasets._pixels import parse_pixels, parse_usage, read_csv

LAYOUT = """\
  fer2013.csv         FER2013 with its rows in the official order
  fer2013new.csv      FERPlus, a row for each of them"""

ABOUT = """\
FERPlus: FER2013's grey faces of 48×48 pixels, labelled by ten people each. E. Barsoum, C. Zhang,
C. Canton Ferrer and Z. Zhang, ICMI 2016."""

_COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",  # no face
)
_NAMES = tuple(spell(name) for name in _COLUMNS[:8])
_IMAGES = {
    "majority": {"train": 25060, "validation": 3199, "test": 3153},
    "argmax": {"train": 28558, "validation": 3579, "test": 3573},
    "plurality": {"train": 28389, "validation": 3553, "test": 3546},
}
_SPLITS = ("train", "validation", "test")


@validate_params(
    {
        "fer2013": COMMON["root"],
        "labels": COMMON["root"],
        "split": [StrOptions({*_SPLITS, "all"})],
        "labels_as": [StrOptions({"majority", "argmax", "plurality", "weighted"})],
        "as_paths": ["boolean"],
        "return_X_y": ["boolean"],
    }
)
def load_ferplus(
    fer2013: PathLike,
    labels: PathLike,
    *,
    split: Literal["train", "validation", "test", "all"] = "train",
    labels_as: Literal["majority", "argmax", "plurality", "weighted"] = "majority",
    as_paths: bool = False,
    return_X_y: bool = False,
) -> BunchOrXy:
    """
    Load FER2013's images with FERPlus' labels from disk.

    Ten people relabelled each image of FER2013, as one of eight expressions, as unknown, or as
    no face. `labels_as` says how their votes become labels.

    Parameters
    ----------
    fer2013 : path-like
        `fer2013.csv` or `icml_face_data.csv`, or a folder that contains it. A copy of FER2013 in
        folders does not work: rows are joined by their order.
    labels : path-like
        `fer2013new.csv`, or the folder of FERPlus that contains it.
    split : {"train", "validation", "test", "all"}, default="train"
        Which images to load: "Training", "PublicTest" or "PrivateTest", or all.
    labels_as : {"majority", "argmax", "plurality", "weighted"}, default="majority"
        How the ten votes become labels.

        - "majority": the authors' rule. Single votes do not count; the expression with the most
          votes is the label if it has more than half of the remaining votes. Images without such a
          majority, and those that are unknown or no face, are left out.
        - "argmax": the expression with the most votes, however few; in a tie, the first in FERPlus'
          order (neutral, happy, surprise, sad, angry, disgust, fear, contempt), so an image that
          all ten call no face is neutral. Images whose name occurred before are left out. This
          reproduces the numbers of the PAtt-Lite paper [2]_ (Table 1).
        - "plurality": the column with the most votes, of all ten; images for which it is unknown or
          no face are left out. This reproduces the numbers of near-neutral-fer [3]_.
        - "weighted": one row for each image and each expression that has votes, not counting single
          votes, with its share of the votes as `sample_weight`, so `fit` learns from all of them.
          Votes for "unknown" and "no face" count in the total, so doubtful images weigh less.
          `groups` are the images: splitting by them keeps an image's rows together.
    as_paths : bool, default=False
        Not supported; True raises an error: the table holds pixels.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With n rows, in the order of the files:

        images : ndarray of shape (n, 48, 48), dtype uint8
            Grey.
        target : ndarray of shape (n,), dtype int64
            Index into `target_names`.
        target_names : ndarray of shape (8,), dtype str
            angry, disgust, fear, happy, sad, surprise, neutral, contempt.
        groups : None or ndarray of shape (n,), dtype int64
            With "weighted", the image's row in the files, from 0; otherwise None. Subjects are not
            known.
        split : ndarray of shape (n,), dtype str
            "train", "validation" or "test".
        names : ndarray of shape (n,), dtype str
            FERPlus' name of the image ("fer0032226"), by which `load_challenging_subset` finds it.
        votes : ndarray of shape (n, 10), dtype int64
            All votes for FERPlus' ten columns, in FERPlus' order, single votes included.
        sample_weight : ndarray of shape (n,), dtype float64
            Only with "weighted"; above 0, and the rows of an image sum to at most 1.
        database, DESCR : str
            "FERPlus", and a description.

    (X, y) : tuple if `return_X_y`
        Images, and `target`.

    Raises
    ------
    FileNotFoundError
        If a file is missing, or if `fer2013` is a copy in folders.
    ValueError
        If the files do not belong together (the numbers of rows, or their splits, differ), if a row
        cannot be read, or if paths are requested.

    Warns
    -----
    UserWarning
        If numbers differ from the published ones (not with "weighted").

    See Also
    --------
    load_fer2013 : Loads the same images, with their original labels.
    load_challenging_subset : Selects the occluded or turned faces of the test images.

    Notes
    -----
    ========= ====== ========== =====
    .         train  validation test
    ========= ====== ========== =====
    majority  25,060      3,199 3,153
    argmax    28,558      3,579 3,573
    plurality 28,389      3,553 3,546
    ========= ====== ========== =====

    The 173 rows without a name are not faces, and are left out. From row 60 on, names no longer
    match row numbers, so files of FER2013 cannot be found by name. Four names occur twice.

    FERPlus' labels [1]_ are under the MIT licence, at https://github.com/microsoft/FERPlus; the
    images are FER2013's (see `load_fer2013`).

    References
    ----------
    .. [1] E. Barsoum, C. Zhang, C. Canton Ferrer and Z. Zhang, "Training Deep Networks for Facial
       Expression Recognition with Crowd-Sourced Label Distribution", ICMI, 2016,
       https://arxiv.org/abs/1608.01041
    .. [2] J. L. Ngwe, K. M. Lim, C. P. Lee, T. S. Ong and A. Alqahtani, "PAtt-Lite: Lightweight
       Patch and Attention MobileNet for Challenging Facial Expression Recognition", IEEE Access,
       2024, https://arxiv.org/abs/2306.09626
    .. [3] https://github.com/StevenHSKim/near-neutral-fer

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import load_ferplus
    >>> load_ferplus("nowhere", "FERPlus/fer2013new.csv")
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no 'nowhere'. Expected a tree like this:
      fer2013.csv         FER2013 with its rows in the official order
    ...
    """
    if as_paths:
        raise ValueError("FERPlus is joined to a table of pixels: there are no paths to return.")
    table = _find_images(check_root(fer2013, LAYOUT))
    names, parts, votes = _read_labels(_find_labels(check_root(labels, LAYOUT)))
    image, expression, weight = _LABELS[labels_as](names, votes)
    taken = np.isin(parts[image], _SPLITS if split == "all" else [split])
    image, expression, weight = image[taken], expression[taken], weight[taken]
    pixels = _read_images(table, parts, wanted=set(image.tolist()))
    for part, n_published in _IMAGES.get(labels_as, {}).items():
        if split in (part, "all"):
            found = {part: int((parts[image] == part).sum())}
            title = f"FERPlus' {part} part by {labels_as!r}"
            check_counts(title, "images", found, {part: n_published})
    rows = {
        "images": pixels[np.searchsorted(np.unique(image), image)],
        "expression": [_NAMES[i] for i in expression],
        "groups": image if labels_as == "weighted" else None,
        "split": parts[image],
        "names": names[image],
        "votes": votes[image],
    }
    if labels_as == "weighted":
        rows["sample_weight"] = weight
    return make_bunch(
        rows,
        database="FERPlus",
        about=ABOUT,
        target_names=EXPRESSIONS,
        as_paths=False,
        return_X_y=return_X_y,
    )


def _find_images(root):
    table = find_table(root)
    if table is None:
        problem = (
            "FERPlus is joined to FER2013 by the order of its rows, so a copy in folders "
            "will not do: there is neither fer2013.csv nor icml_face_data.csv"
        )
        raise incomplete(root, problem, LAYOUT)
    return table


def _find_labels(root):
    table = root if root.is_file() else find_below(root, "fer2013new.csv")
    if table is None:
        raise incomplete(root, "There is no fer2013new.csv", LAYOUT)
    return table


def _read_labels(table):
    """Read FERPlus' rows: names, splits, votes (n, 10)."""
    names, parts, votes = [], [], []
    for number, row in enumerate(read_csv(table, ["Usage", "Image name", *_COLUMNS]), 1):
        where = f"{str(table)!r}, row {number}"
        if not all(vote.isdecimal() for vote in row[2:]):
            raise ValueError(f"{where}: expected ten vote counts, got {row[2:]}.")
        parts.append(parse_usage(row[0], where))
        names.append(row[1].removesuffix(".png"))
        votes.append([int(vote) for vote in row[2:]])
    votes = np.array(votes, dtype=np.int64).reshape(-1, len(_COLUMNS))
    return np.array(names, dtype=str), np.array(parts, dtype=str), votes


def _majority(names, votes):
    """Apply the authors' rule, `FERPlusReader._process_data` in their ferplus.py."""
    votes = _without_single_votes(votes)
    most = votes.max(axis=1)
    label = votes.argmax(axis=1)
    clear = (most > votes.sum(axis=1) / 2) & (label < len(_NAMES)) & (names != "")
    image = np.flatnonzero(clear)
    return image, label[image], np.ones(len(image))


def _argmax(names, votes):
    """Apply no threshold, and use each name once: this reproduces the paper's numbers."""
    expressions = votes[:, : len(_NAMES)]
    first = np.zeros(len(names), dtype=bool)
    first[np.unique(names, return_index=True)[1]] = True
    image = np.flatnonzero(first & (names != ""))
    return image, expressions[image].argmax(axis=1), np.ones(len(image))


def _plurality(names, votes):
    """Apply the rule of near-neutral-fer's loader."""
    label = votes.argmax(axis=1)
    image = np.flatnonzero((label < len(_NAMES)) & (names != ""))
    return image, label[image], np.ones(len(image))


def _weighted(names, votes):
    votes = _without_single_votes(votes) * (names != "")[:, np.newaxis]
    image, label = np.nonzero(votes[:, : len(_NAMES)])
    return image, label, votes[image, label] / votes.sum(axis=1)[image]


def _without_single_votes(votes):
    return np.where(votes > 1, votes, 0)


# Each takes names and votes, and returns rows, expressions (FERPlus' columns) and weights.
_LABELS = {
    "majority": _majority,
    "argmax": _argmax,
    "plurality": _plurality,
    "weighted": _weighted,
}


def _read_images(table, parts, wanted):
    """Read the images of the wanted rows, and check the splits of all rows."""
    images, n = [], 0
    for n, (where, part, _, pixels) in enumerate(read_rows(table), 1):
        if n > len(parts) or part != parts[n - 1]:
            expected = "missing" if n > len(parts) else parts[n - 1]
            raise ValueError(
                f"{where} is in FER2013's {part} part, but in FERPlus' labels it is {expected}: "
                "the rows of both files must be in the official order, and none may be missing."
            )
        if n - 1 in wanted:
            images.append(parse_pixels(pixels, where))
    if n < len(parts):
        raise ValueError(f"{str(table)!r} has {n} rows, but FERPlus' labels have {len(parts)}.")
    if not images:
        raise ValueError("There are no images of this split with a label.")
    return np.stack(images)
