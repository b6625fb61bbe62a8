"""CK+: sequences of frames from the neutral face to the peak of an expression."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
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
)
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS, spell
from sklearn_patt_lite.datasets._pixels import parse_code, parse_pixels, parse_usage, read_csv

LAYOUT = """\
  cohn-kanade-images/S005/001/S005_001_00000011.png   (official, with all frames)
  Emotion/S005/001/S005_001_00000011_emotion.txt
or
  CK+48/happy/S010_006_00000013.png                   (three frames a sequence)
or
  ckextended.csv                                      (no subjects)"""

ABOUT = """\
Extended Cohn-Kanade (CK+): grey and color frames of posed expressions, recorded in a laboratory.
P. Lucey, J. F. Cohn, T. Kanade, J. Saragih, Z. Ambadar and I. Matthews, CVPR Workshops 2010."""

_CODES = "neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise"
_SEQUENCES = {  # numbers of labelled sequences
    "angry": 45,
    "contempt": 18,
    "disgust": 59,
    "fear": 25,
    "happy": 69,
    "sad": 28,
    "surprise": 83,
}
_CSV_ROWS = 920
_N_FRAMES = {"peak1": 1, "peak3": 3}
_FRAME = re.compile(r"(S\d+)_(\d+)_(\d+)")


@dataclass(frozen=True)
class _Sequence:
    subject: str
    number: str
    expression: str
    frames: list  # of (number, path), in order

    @property
    def name(self):
        return f"{self.subject}_{self.number}"


@validate_params(
    {
        **COMMON,
        "frames": [StrOptions(set(_N_FRAMES))],
        "include_neutral": ["boolean"],
    }
)
def load_ckplus(
    root: PathLike,
    *,
    frames: Literal["peak3", "peak1"] = "peak3",
    include_neutral: bool = False,
    image_size: int = 224,
    as_paths: bool = False,
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> BunchOrXy:
    """
    Load CK+ from disk: the peak frames of its labelled sequences, with their subjects.

    A sequence begins with the neutral face and ends at the peak of the expression that its label
    names. The official release and two copies from Kaggle are supported; one of these,
    `ckextended.csv`, does not identify subjects.

    Parameters
    ----------
    root : path-like
        The folder that contains `cohn-kanade-images` and `Emotion` (official release), or `CK+48`
        (Kaggle), or `ckextended.csv` (Kaggle), or that file itself; its parent folder works, too.
    frames : {"peak3", "peak1"}, default="peak3"
        The last three frames of each sequence, as is usual, or only the last one.
    include_neutral : bool, default=False
        Whether to also load the first frame of each sequence, as "neutral"; for `ckextended.csv`,
        the rows with this label. CK+48 has none.
    image_size : int, default=224
        Side, in pixels, of the square to which files are resized. The official frames, 640×490 or
        640×480 pixels, are stretched: crop them to the face first. Not used for `ckextended.csv`,
        whose images have 48×48 pixels.
    as_paths : bool, default=False
        Return paths instead of images, for data larger than memory. No image is opened.
    n_jobs : int, default=None
        Number of threads that read images, as in joblib.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With n rows, sorted by subject, sequence and frame:

        images : ndarray of shape (n, image_size, image_size, 3), dtype uint8
            RGB. For `ckextended.csv`: (n, 48, 48), grey.
        paths : ndarray of shape (n,), dtype object
            Instead of images, if `as_paths`; each a `str`.
        target : ndarray of shape (n,), dtype int64
            Index into `target_names`.
        target_names : ndarray of shape (7,) or (8,), dtype str
            angry, disgust, fear, happy, sad, surprise, (neutral,) contempt.
        groups : ndarray of shape (n,), dtype str
            Subject of each image ("S005"). None for `ckextended.csv`.
        sequence : ndarray of shape (n,), dtype str
            Sequence of each image ("S005_001"). Not for `ckextended.csv`.
        frame : ndarray of shape (n,), dtype int64
            Number of each image in its sequence, from 1. Not for `ckextended.csv`.
        split : None or ndarray of shape (n,), dtype str
            None; for `ckextended.csv` "train", "validation" or "test", which share subjects.
        database, DESCR : str
            "CK+", and a description.

    (X, y) : tuple if `return_X_y`
        Images or paths, and `target`.

    Raises
    ------
    FileNotFoundError
        If there is no such tree, or if parts of it are missing. The message says what was looked
        for, what was found, and what a correct tree looks like.
    ValueError
        If a label or an image cannot be read, or if the layout cannot provide what is requested.

    Warns
    -----
    UserWarning
        If numbers differ from the published ones; and always for `ckextended.csv`: without
        subjects, no split can keep people apart.

    See Also
    --------
    sklearn_patt_lite.model_selection.SubjectKFold : Makes the usual ten folds of subjects.

    Notes
    -----
    CK+ has 593 sequences of 123 subjects; 327 of them, of 118 subjects, are labelled:

    ============ ===== ======== ======= ==== ===== === ======== ===
    .            angry contempt disgust fear happy sad surprise sum
    ============ ===== ======== ======= ==== ===== === ======== ===
    sequences       45       18      59   25    69  28       83 327
    peak3 images   135       54     177   75   207  84      249 981
    ============ ===== ======== ======= ==== ===== === ======== ===

    `ckextended.csv` has 920 rows.

    A sequence without a label file has no label, and is left out. The three frames of a sequence
    are nearly identical: split by `groups`, and see examples/ckplus_folds.py for the score per
    sequence.

    CK+ [1]_ is free for non-commercial research to those who sign its agreement; request it at
    https://www.jeffcohn.net/resources. Some subjects allow their faces to be printed, most do not.

    References
    ----------
    .. [1] P. Lucey, J. F. Cohn, T. Kanade, J. Saragih, Z. Ambadar and I. Matthews, "The Extended
       Cohn-Kanade Dataset (CK+): A complete dataset for action unit and emotion-specified
       expression", CVPR Workshops, 2010.

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import load_ckplus
    >>> load_ckplus("nowhere")
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no 'nowhere'. Expected a tree like this:
      cohn-kanade-images/S005/001/S005_001_00000011.png   (official, with all frames)
    ...
    """
    root = check_root(root, LAYOUT)
    table = root if root.suffix == ".csv" else None
    sequences = _find_sequences(root, include_neutral) if root.is_dir() else None
    if table is None and sequences is None:
        table = find_below(root, "ckextended.csv") if root.is_dir() else None
        if table is None:
            problem = "Neither cohn-kanade-images, nor CK+48's folders, nor ckextended.csv exists"
            raise incomplete(root, problem, LAYOUT)
    common = {
        "database": "CK+",
        "about": ABOUT,
        "target_names": [n for n in EXPRESSIONS if include_neutral or n != "neutral"],
        "as_paths": as_paths,
        "return_X_y": return_X_y,
    }
    if table is not None:
        _check_table_options(table, frames, as_paths)
        rows = _read_table(table)
        warnings.warn(
            f"{str(table)!r} does not identify subjects: its splits, like any other split of it, "
            "have the same people on both sides, so scores are too good. The official release "
            "and CK+48 identify subjects.",
            UserWarning,
            stacklevel=3,  # the loader's caller, above parameter validation
        )
        check_counts(table.name, "rows", {"all": len(rows)}, {"all": _CSV_ROWS})
        return make_bunch(_take_rows(rows, include_neutral), **common)
    n_peak = _N_FRAMES[frames]
    rows = _take_frames(sequences, n_peak, include_neutral)
    published = {name: n * n_peak for name, n in _SEQUENCES.items()}
    if include_neutral:
        published["neutral"] = sum(_SEQUENCES.values())
    check_counts("CK+", "frames", count(rows["expression"]), published)
    return make_bunch(rows, image_size=image_size, n_jobs=n_jobs, **common)


def _find_sequences(root, include_neutral):
    """Find the labelled sequences in either layout; None if there are none."""
    images = root if root.name == "cohn-kanade-images" else find_below(root, "cohn-kanade-images")
    if images is not None:
        emotions = find_below(images.parent, "Emotion") or find_below(root, "Emotion")
        if emotions is None:
            raise incomplete(root, "There is cohn-kanade-images, but no folder Emotion", LAYOUT)
        return _official_sequences(images, emotions)
    for folder in (root, *list_folders(root)):
        sequences = _cropped_sequences(folder)
        if sequences and include_neutral:
            raise ValueError(
                f"{str(folder)!r} is CK+48, which has no neutral frames: load the official release "
                "with include_neutral=True, or CK+48 without it."
            )
        if sequences:
            return sequences
    return None


def _official_sequences(images, emotions):
    sequences, lacking = [], []
    for subject in list_folders(emotions):
        for folder in list_folders(subject):
            labels = sorted(folder.glob("[!.]*_emotion.txt"))
            if not labels:  # not an error: an empty folder means no label
                continue
            place = images / subject.name / folder.name
            frames = _number(list_images(place)) if place.is_dir() else []
            if len(frames) < max(_N_FRAMES.values()):
                lacking.append(f"{subject.name}/{folder.name}")
            expression = _read_label(labels[-1])
            sequences.append(_Sequence(subject.name, folder.name, expression, frames))
    if not sequences:
        raise incomplete(emotions, "There is no *_emotion.txt in Emotion", LAYOUT)
    if lacking:
        problem = (
            f"{len(lacking)} of {len(sequences)} labelled sequences have fewer than three frames "
            f"in {str(images)!r}, first {lacking[0]}: is it fully unpacked?"
        )
        raise incomplete(images, problem, LAYOUT)
    return sequences


def _read_label(path):
    """Read a label file, such as `   3.0000000e+00`."""
    text = path.read_text(errors="replace").strip()
    try:
        code = float(text)
    except ValueError:
        code = None
    if code not in range(len(_CODES)):
        raise ValueError(f"{str(path)!r}: expected a code from 0 to 7, got {text!r}.")
    return _CODES[int(code)]


def _cropped_sequences(folder):
    found = {}
    for place in list_folders(folder):
        expression = spell(place.name)
        for path in list_images(place) if expression else []:
            match = _FRAME.fullmatch(Path(path).stem)
            if match:
                found.setdefault((*match.groups()[:2], expression), []).append(path)
    return [_Sequence(*key, _number(found[key])) for key in sorted(found)]


def _number(paths):
    """Order frames by the numbers in their names; files with other names are ignored."""
    matches = [(_FRAME.fullmatch(Path(path).stem), path) for path in paths]
    return sorted((int(match[3]), path) for match, path in matches if match)


def _take_frames(sequences, n_peak, include_neutral):
    rows = {name: [] for name in ("paths", "expression", "groups", "sequence", "frame")}
    for sequence in sequences:
        taken = [(sequence.expression, *frame) for frame in sequence.frames[-n_peak:]]
        if include_neutral and len(sequence.frames) > n_peak:
            taken.insert(0, ("neutral", *sequence.frames[0]))
        for expression, number, path in taken:
            if expression == "neutral" and not include_neutral:
                continue
            rows["paths"].append(path)
            rows["expression"].append(expression)
            rows["groups"].append(sequence.subject)
            rows["sequence"].append(sequence.name)
            rows["frame"].append(number)
    return rows


def _check_table_options(path, frames, as_paths):
    if as_paths:
        raise ValueError(f"{str(path)!r} contains pixels, not files: load it with as_paths=False.")
    if frames != "peak3":
        raise ValueError(f"{str(path)!r} does not identify frames: load it with frames='peak3'.")


def _read_table(path):
    """Read `ckextended.csv`: a list of (image, expression, split)."""
    rows = []
    for number, row in enumerate(read_csv(path, ["emotion", "pixels", "Usage"]), 1):
        code, pixels, usage = row
        where = f"{str(path)!r}, row {number}"
        image = parse_pixels(pixels, where)
        rows.append((image, parse_code(code, EXPRESSIONS, where), parse_usage(usage, where)))
    if not rows:
        raise ValueError(f"{str(path)!r} contains no images.")
    return rows


def _take_rows(rows, include_neutral):
    taken = [row for row in rows if include_neutral or row[1] != "neutral"]
    images, expressions, splits = zip(*taken, strict=True)
    return {"images": np.stack(images), "expression": expressions, "split": splits}
