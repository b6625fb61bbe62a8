"""Loader for any database with one folder per class."""

import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sklearn.utils._param_validation import StrOptions

from sklearn_patt_lite._images.decode import find_unusable, unusable
from sklearn_patt_lite._typing import BunchOrXy, PathLike, validate_params
from sklearn_patt_lite.datasets._bunch import (
    COMMON,
    check_root,
    incomplete,
    list_files,
    list_folders,
    make_bunch,
)
from sklearn_patt_lite.datasets._expressions import in_order, spell

LAYOUT = """\
  happy/anna_01.png
  sad/anna_02.png
  sad/ben_01.png
or
  train/happy/anna_01.png
  test/happy/ben_01.png"""

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_OF_SYSTEMS = {"thumbs.db", "desktop.ini"}

_NAMINGS = {
    "jaffe": r"^([A-Z]{2})\.",  # KA.AN1.39.tiff: subject, expression and take, number
    "kdef": r"^[AB]([FM]\d{2})",  # AF01ANS.JPG: session, sex and number, expression, angle
}


@validate_params(
    {
        **COMMON,
        "groups_from": [str, re.Pattern, callable, None],
        "unreadable": [StrOptions({"raise", "drop"})],
    }
)
def load_face_folder(
    root: PathLike,
    *,
    groups_from: str | re.Pattern[str] | Callable[[Path], Any] | None = None,
    unreadable: Literal["raise", "drop"] = "raise",
    image_size: int = 224,
    as_paths: bool = False,
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> BunchOrXy:
    r"""
    Load faces from a tree with one folder per class.

    Use this for databases that have no loader here, and for your own photographs. The folder gives
    the expression, and `groups_from` the subject, by which images should be split.

    Parameters
    ----------
    root : path-like
        The folder that contains the classes' folders, in which images may lie at any depth. If it
        contains `train`, `test` or `validation` instead, each of these contains the classes'
        folders.
    groups_from : {"jaffe", "kdef"}, str, re.Pattern or callable, default=None
        How to find the subject of an image.

        - "jaffe": file names such as `KA.AN1.39.tiff`, of subject KA.
        - "kdef": file names such as `AF01ANS.JPG`, of subject F01, session A.
        - another str, or a pattern: a regular expression that is searched for in the file name and
          whose first group is the subject, such as ``r"^(S\d+)_"``.
        - a callable: takes the image's `pathlib.Path`, and returns the subject.
        - None: subjects are not known.
    unreadable : {"raise", "drop"}, default="raise"
        What to do with images that cannot be read: raise an error that names them, or leave them
        out with a warning. "drop" reads each image once more, to find them.
    image_size : int, default=224
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
        With n rows, sorted by class and path:

        images : ndarray of shape (n, image_size, image_size, 3), dtype uint8
            RGB.
        paths : ndarray of shape (n,), dtype object
            Instead of images, if `as_paths`; each a `str`.
        target : ndarray of shape (n,), dtype int64
            Index into `target_names`.
        target_names : ndarray of shape (n_classes,), dtype str
            If all folders are named after expressions ("happy", "Happiness"), these, in this
            library's order and spelling; otherwise the folder names, sorted.
        groups : None or ndarray of shape (n,), dtype str
            Subject of each image, by `groups_from`.
        split : None or ndarray of shape (n,), dtype str
            "train", "validation" or "test", if there are such folders.
        unreadable : list of str
            If ``unreadable="drop"``: the paths of the images that were left out.
        database, DESCR : str
            The folder's name, and a description.

    (X, y) : tuple if `return_X_y`
        Images or paths, and `target`.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, if no images are in folders in it, or if the classes' folders
        lie deeper in it; the message says where.
    ValueError
        If an image cannot be read, or if no subject is found in a file name.

    Warns
    -----
    UserWarning
        If files or folders are left out, with their numbers; if each class shows one subject, and
        each a different one: the folders may be people.

    See Also
    --------
    map_expressions : Maps the classes to those of another database.
    sklearn_patt_lite.preprocessing.FaceCropper : Crops photographs to the face.

    Notes
    -----
    Every file that Pillow and its plugins can read counts as an image. Links are followed. Hidden
    files are skipped; other files are skipped with a warning.

    JAFFE [1]_ has 213 images of 10 women, free for non-commercial research, at
    https://zenodo.org/records/3451524. KDEF [2]_ has 4,900 images of 70 people, on the same terms,
    at https://kdef.se. Both come with all images in one folder, or one folder per subject: sort
    them into folders by the expression in their names (AN, DI, FE or AF, HA, NE, SA, SU).

    References
    ----------
    .. [1] M. Lyons, S. Akamatsu, M. Kamachi and J. Gyoba, "Coding Facial Expressions with Gabor
       Wavelets", FG, 1998.
    .. [2] D. Lundqvist, A. Flykt and A. Öhman, "The Karolinska Directed Emotional Faces",
       Karolinska Institutet, 1998.

    Examples
    --------
    >>> import os, tempfile
    >>> from PIL import Image
    >>> from sklearn_patt_lite.datasets import load_face_folder
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for path in ("Happiness/anna_1.png", "Sadness/anna_2.png", "Sadness/ben_1.png"):
    ...         os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
    ...         Image.new("L", (40, 50)).save(os.path.join(root, path))
    ...     faces = load_face_folder(root, groups_from=r"^(\w+)_", image_size=48)
    >>> faces.images.shape, faces.target_names.tolist(), faces.groups.tolist()
    ((3, 48, 48, 3), ['happy', 'sad'], ['anna', 'anna', 'ben'])
    """
    root = check_root(root, LAYOUT)
    images, others = _list_tree(root)
    in_parts = [path[0].lower() in _SPLITS for path in images if len(path) > 1]
    depth = int(bool(in_parts) and all(in_parts))
    unclassed = [path for path in images if len(path) < depth + 2]
    images = [path for path in images if len(path) >= depth + 2]  # [split,] class, …, file
    if not images:
        raise incomplete(root, "There are no images in class folders", LAYOUT)
    _check_level(root, images, depth)
    _warn_of_others([*unclassed, *others])
    dropped = _find_unreadable(root, images, n_jobs) if unreadable == "drop" else []
    images = [path for path in images if path not in dropped]
    spelt = {name: spell(name) for name in sorted({path[depth] for path in images})}
    if not all(spelt.values()):
        spelt = {name: name for name in spelt}
        target_names = list(spelt)
    else:
        target_names = in_order(spelt.values())
    images.sort(key=lambda path: (target_names.index(spelt[path[depth]]), path))
    paths = [os.path.join(root, *path) for path in images]
    rows = {
        "paths": paths,
        "expression": [spelt[path[depth]] for path in images],
        "groups": None if groups_from is None else _tell_subjects(paths, groups_from),
        "split": [_SPLITS[path[0].lower()] for path in images] if depth else None,
    }
    if groups_from is not None:
        _warn_of_subjects_as_classes(rows["expression"], rows["groups"])
    data = make_bunch(
        rows,
        database=root.resolve().name,
        about=f"Faces in folders: {root.resolve().name}.",
        target_names=target_names,
        as_paths=as_paths,
        return_X_y=return_X_y,
        image_size=image_size,
        n_jobs=n_jobs,
    )
    if unreadable == "drop" and not return_X_y:
        data.unreadable = sorted(os.path.join(root, *path) for path in dropped)
    return data


def _warn_of_subjects_as_classes(labels, groups):
    """Warn if the classes' folders seem to be people instead of expressions."""
    pairs, subjects = set(zip(labels, groups, strict=True)), set(groups)
    if len(subjects) > 1 and len(pairs) == len(subjects) == len(set(labels)):
        warnings.warn(
            f"Each of the classes {', '.join(sorted(set(labels)))} shows one subject of its own: "
            "are the folders people, not expressions? Then pass paths, labels and groups to the "
            "classifier directly.",
            UserWarning,
            stacklevel=4,  # the loader's caller, above parameter validation
        )


def _list_tree(root):
    """List images and other files below a folder, as tuples of the parts of their paths."""
    images, others = [], []

    def visit(folder, place, parents):
        real = os.path.realpath(folder)
        if real in parents:  # a link to one of its parent folders
            return
        for names, of_tree in zip(list_files(folder), (images, others), strict=True):
            of_tree += [(*place, name) for name in names]
        for below in list_folders(folder):
            visit(below, (*place, below.name), {*parents, real})

    if root.is_dir():
        visit(root, (), set())
    return images, others


def _check_level(root, images, depth):
    """Refuse a folder if the classes' folders are not directly in it, but deeper."""
    in_parts = (path for path in images if path[0].lower() in _SPLITS and len(path) > 2)
    if not depth and any(spell(path[1]) for path in in_parts):
        problem = "Besides train, validation or test there are other folders with images"
        raise incomplete(root, problem, LAYOUT)
    if any(spell(path[depth]) for path in images):
        return
    found = _find_expressions(images, depth) or _find_only_folder(images, depth)
    if found:
        places = [repr(os.path.join(root, *place)) for place in sorted(found)]
        where = " and ".join(places[:3]) + (" and others" if len(places) > 3 else "")
        raise incomplete(root, f"The class folders seem to be in {where}", LAYOUT)


def _find_expressions(images, depth):
    """Find folders, one or two levels deeper, that contain folders named after expressions."""
    expressions = defaultdict(set)
    for path in images:
        for level in range(depth + 1, min(depth + 3, len(path) - 1)):
            if spell(path[level]):
                expressions[path[:level]].add(spell(path[level]))
    found = {place for place, names in expressions.items() if len(names) > 1}
    return {place[:-1] if place[-1].lower() in _SPLITS else place for place in found} - {()}


def _find_only_folder(images, depth):
    """Find the only class, if its folder contains nothing but several folders."""
    below = {path[depth + 1] if len(path) > depth + 2 else None for path in images}
    is_alone = len({path[depth] for path in images}) == 1
    return {images[0][: depth + 1]} if is_alone and len(below - {None}) == len(below) > 1 else set()


def _warn_of_others(paths):
    """Warn about files that are left out, with their numbers by suffix."""
    suffixes = Counter(
        os.path.splitext(path[-1])[1].lower() or "without a suffix"
        for path in paths
        if path[-1].lower() not in _OF_SYSTEMS
    )
    if suffixes:
        numbers = ", ".join(f"{n} {suffix}" for suffix, n in suffixes.most_common())
        warnings.warn(
            f"{sum(suffixes.values())} files are left out because they are not images or not "
            f"in a class folder: {numbers}.",
            UserWarning,
            stacklevel=4,  # the loader's caller, above parameter validation
        )


def _find_unreadable(root, images, n_jobs):
    """Find the images that cannot be read, and warn about them."""
    paths = [os.path.join(root, *path) for path in images]
    failures = find_unusable(paths, n_jobs)
    if len(failures) == len(images):
        raise unusable(failures, len(images))
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(images)} images cannot be read and are left out; first: "
            f"{failures[min(failures)]}.",
            UserWarning,
            stacklevel=4,  # the loader's caller, above parameter validation
        )
    return {images[row] for row in failures}


def _tell_subjects(paths, groups_from):
    if callable(groups_from):
        return [groups_from(Path(path)) for path in paths]
    pattern = _compile(_NAMINGS.get(groups_from, groups_from))
    if pattern.groups == 0:
        raise ValueError(
            f"groups_from={pattern.pattern!r} has no group in parentheses, which must match the "
            "subject."
        )
    matches = [pattern.search(os.path.basename(path)) for path in paths]
    for match, path in zip(matches, paths, strict=True):
        if match is None or match[1] is None:
            raise ValueError(f"groups_from={groups_from!r} finds no subject in {path!r}.")
    return [match[1] for match in matches]


def _compile(pattern):
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"groups_from={pattern!r} is neither {' nor '.join(map(repr, _NAMINGS))}, nor a "
            f"valid regular expression: {error}."
        ) from error
