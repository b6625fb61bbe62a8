"""What all loaders share: finding files, counting, reading, and the errors that say what to do."""

import os
import warnings
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval

from sklearn_patt_lite._images.decode import decode_images, readable_formats
from sklearn_patt_lite.datasets._expressions import in_order_of

_N_SHOWN = 8  # names in an error message

#: Constraints of the parameters that loaders have in common.
COMMON = {
    "root": [str, os.PathLike],
    "image_size": [Interval(Integral, 1, None, closed="left")],
    "as_paths": ["boolean"],
    "n_jobs": [Integral, None],
    "return_X_y": ["boolean"],
}


def list_images(folder):
    """List the paths of the image files in a folder, by name; see `list_files`."""
    return [os.path.join(folder, name) for name in list_files(folder)[0]]


def list_files(folder):
    """List the names of the image files in a folder, and those of its other files.

    Hidden files, such as the `._` twins that some archives leave, are skipped. Only files without a
    suffix are opened, to see whether they are images.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.is_dir()]
    suffixes, images, others = _image_suffixes(), [], []
    for name in sorted(names):
        if not name.startswith("."):
            is_image = _is_image(os.path.join(folder, name), suffixes)
            (images if is_image else others).append(name)
    return images, others


def _image_suffixes():
    """List the suffixes of files that Pillow and its plugins can read."""
    formats = set(readable_formats())
    return {suffix for suffix, name in Image.registered_extensions().items() if name in formats}


def _is_image(path, suffixes):
    suffix = os.path.splitext(path)[1].lower()
    if suffix:
        return suffix in suffixes
    try:
        with Image.open(path, formats=readable_formats()):
            return True
    except Exception:  # for damaged files, Pillow raises nearly any exception
        return False


def list_folders(folder):
    """List the paths of the folders in a folder, by name, without hidden ones; [] for a file."""
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if entry.is_dir()]
    return [Path(folder, name) for name in sorted(found) if not name.startswith((".", "__MACOSX"))]


def find_below(root, name):
    """Find a file or folder by name, in a folder or its direct subfolders; None if not found."""
    for folder in (root, *list_folders(root)):
        if (folder / name).exists():
            return folder / name
    return None


def read_lines(path):
    """Read the non-blank lines of a text file, whatever system wrote it."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    return [line for line in text.splitlines() if line.strip()]


def check_root(root, layout):
    """Convert the user's root to a Path, and check that it exists."""
    root = Path(root).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"There is no {str(root)!r}. Expected a tree like this:\n{layout}")
    return root


def incomplete(root, problem, layout):
    """Make the error for a tree with a wrong layout."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else ["a file"]
    shown = ", ".join(names[:_N_SHOWN]) + (", …" if len(names) > _N_SHOWN else "")
    return FileNotFoundError(
        f"{problem}. Found in {os.fspath(root)!r}: {shown or 'nothing'}. Expected a tree "
        f"like this:\n{layout}"
    )


def check_counts(database, unit, found, published):
    """Warn if numbers differ from the published ones.

    Parameters
    ----------
    database, unit : str
        What is counted, for the message.
    found, published : dict of str to int
        Numbers by class or split.
    """
    names = dict.fromkeys([*published, *found])
    differing = [
        f"{name} {found.get(name, 0):,} instead of {published.get(name, 0):,}"
        for name in names
        if found.get(name, 0) != published.get(name, 0)
    ]
    if differing:
        details = f" Differences: {'; '.join(differing)}." if len(names) > 1 else ""
        warnings.warn(
            f"{database}: {sum(found.values()):,} {unit}; the published number is "
            f"{sum(published.values()):,}.{details}",
            UserWarning,
            stacklevel=4,  # the loader's caller, above parameter validation
        )


def count(values):
    """Count equal values; return a dict, sorted by value."""
    names, counts = np.unique(np.asarray(values, dtype=str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def make_bunch(
    rows,
    *,
    database,
    about,
    target_names,
    as_paths,
    return_X_y,
    image_size=None,
    n_jobs=None,
):
    """Make the return value of a loader.

    Parameters
    ----------
    rows : dict
        Columns with one value per row: "expression" (names), "paths" or "images", and whatever
        else the database provides; None for what it does not provide.
    database : str
        Name of the database.
    about : str
        Description of the database; the numbers are added.
    target_names : sequence of str
        The classes, in order.
    as_paths, return_X_y, image_size, n_jobs
        As in the loaders.

    Returns
    -------
    Bunch, or (X, y) if `return_X_y`
        See the loaders.
    """
    target_names = list(target_names)
    expressions = rows.pop("expression")
    target = np.array([target_names.index(name) for name in expressions], dtype=np.int64)
    if "paths" in rows:
        paths = np.array([os.fspath(path) for path in rows.pop("paths")], dtype=object)
        X = paths if as_paths else decode_images(paths, (image_size, image_size, 3), n_jobs)
    else:
        X = rows.pop("images")
    if return_X_y:
        return X, target
    numbers = ", ".join(f"{name} {n:,}" for name, n in in_order_of(target_names, target).items())
    columns = {name: None if rows[name] is None else np.asarray(rows[name]) for name in rows}
    return Bunch(
        **{"paths" if as_paths else "images": X},
        target=target,
        target_names=np.array(target_names),
        **{"groups": None, "split": None, **columns},
        database=database,
        DESCR=f"{about}\n\n{len(target):,} images: {numbers}.\n",
    )
