"""Any database that has a folder per class."""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn_patt_lite._typing import BunchOrXy, PathLike, validate_params
from sklearn_patt_lite.datasets._bunch import (
    COMMON,
    check_root,
    incomplete,
    list_folders,
    list_images,
    make_bunch,
)
from sklearn_patt_lite.datasets._expressions import in_order, spell

LAYOUT = """\
  happy/anna_01.png
  sad/anna_02.png
  sad/ben_01.png"""

_NAMINGS = {
    "jaffe": r"^([A-Z]{2})\.",  # KA.AN1.39.tiff: subject, expression and take, number
    "kdef": r"^[AB]([FM]\d{2})",  # AF01ANS.JPG: session, sex and number, expression, angle
}


@validate_params({**COMMON, "groups_from": [str, re.Pattern, callable, None]})
def load_face_folder(
    root: PathLike,
    *,
    groups_from: str | re.Pattern[str] | Callable[[Path], Any] | None = None,
    image_size: int = 224,
    as_paths: bool = False,
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> BunchOrXy:
    r"""
    Load faces from a tree with a folder per class.

    For databases that have no loader here, and for photographs of your own. The folder tells the
    expression; `groups_from` says what tells the subject, by which images should be split.

    Parameters
    ----------
    root : path-like
        The folder with the classes' folders, in which images may lie at any depth.
    groups_from : {"jaffe", "kdef"}, str, re.Pattern or callable, default=None
        What tells the subject of an image.

        - "jaffe": file names such as `KA.AN1.39.tiff`, of subject KA.
        - "kdef": file names such as `AF01ANS.JPG`, of subject F01, session A.
        - another str, or a pattern: a regular expression, which is searched in the file's name
          and whose first group is the subject, such as ``r"^(S\d+)_"``.
        - a callable: of the image's `pathlib.Path`, gives the subject.
        - None: nothing does.
    image_size : int, default=224
        Side of the square, in pixels, to which images are brought.
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
            If all folders are called as expressions ("happy", "Happiness"), these, in this
            library's order and spelling; else the folders' names, sorted.
        groups : None or ndarray of shape (n,), dtype str
            What `groups_from` tells.
        split : None
            There is none.
        database, DESCR : str
            The folder's name, and a description.

    (X, y) : tuple if `return_X_y`
        Images or paths, and `target`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no image in folders in it.
    ValueError
        If an image cannot be read, or if a file's name does not tell the subject.

    Warns
    -----
    UserWarning
        If each class shows one subject, and each another: the folders may be people.

    See Also
    --------
    map_expressions : Brings the classes to another database's.
    sklearn_patt_lite.preprocessing.FaceCropper : Crops photographs to the face.

    Notes
    -----
    Hidden files, and files that are no images, are passed over.

    JAFFE [1]_: 213 images of 10 women, free for research that is not commercial, at
    https://zenodo.org/records/3451524. KDEF [2]_: 4,900 images of 70 people, likewise, at
    https://kdef.se. Both come with all images in one folder, or a folder per subject: sort them
    into folders by the expression in their names (AN, DI, FE or AF, HA, NE, SA, SU).

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
    folders = list_folders(root) if root.is_dir() else []
    files = {folder.name: _list_tree(folder) for folder in folders}
    files = {name: paths for name, paths in files.items() if paths}
    if not files:
        raise incomplete(root, "No images are in folders of their classes", LAYOUT)
    spelt = {name: spell(name) for name in files}
    if all(spelt.values()):
        target_names = in_order(spelt.values())
    else:
        spelt, target_names = {name: name for name in files}, sorted(files)
    found = [
        (target_names.index(spelt[name]), path) for name, paths in files.items() for path in paths
    ]
    paths = [path for _, path in sorted(found)]
    rows = {
        "paths": paths,
        "expression": [target_names[code] for code, _ in sorted(found)],
        "groups": None if groups_from is None else _tell_subjects(paths, groups_from),
    }
    if groups_from is not None:
        _warn_of_subjects_as_classes(rows["expression"], rows["groups"])
    return make_bunch(
        rows,
        database=root.resolve().name,
        about=f"Faces in folders: {root.resolve().name}.",
        target_names=target_names,
        as_paths=as_paths,
        return_X_y=return_X_y,
        image_size=image_size,
        n_jobs=n_jobs,
    )


def _warn_of_subjects_as_classes(labels, groups):
    """Warn of a tree of people at the top, where expressions should be."""
    pairs, subjects = set(zip(labels, groups, strict=True)), set(groups)
    if len(subjects) > 1 and len(pairs) == len(subjects) == len(set(labels)):
        warnings.warn(
            f"Each of the classes {', '.join(sorted(set(labels)))} shows one subject, another one "
            "each: are the folders people, not expressions? Then give paths, labels and groups to "
            "the classifier as they are.",
            UserWarning,
            stacklevel=4,  # of the caller, behind the validation of parameters
        )


def _list_tree(folder):
    paths = []
    for place, below, _ in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        paths += list_images(place)
    return paths


def _tell_subjects(paths, groups_from):
    if callable(groups_from):
        return [groups_from(Path(path)) for path in paths]
    pattern = _compile(_NAMINGS.get(groups_from, groups_from))
    if pattern.groups == 0:
        raise ValueError(
            f"groups_from={pattern.pattern!r} has no group in parentheses: what it finds in them "
            "is the subject."
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
            f"groups_from={pattern!r} is neither {' nor '.join(map(repr, _NAMINGS))}, and no "
            f"regular expression: {error}."
        ) from error
