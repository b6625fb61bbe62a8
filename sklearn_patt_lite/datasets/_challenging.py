"""The challenging subsets of RAF-DB and FERPlus: occluded and turned faces."""

import re
import warnings
from typing import Literal

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions

from sklearn_patt_lite._typing import PathLike, validate_params
from sklearn_patt_lite.datasets._bunch import (
    COMMON,
    check_counts,
    check_root,
    find_below,
    incomplete,
    read_lines,
)
from sklearn_patt_lite.datasets._expressions import select_rows

_LISTS = {  # file, and number of distinct images
    ("RAF-DB", "occlusion"): ("RAF_DB_dir/rafdb_occlusion_list.txt", 734),
    ("RAF-DB", "pose30"): ("RAF_DB_dir/val_raf_db_list.txt", 1247),
    ("RAF-DB", "pose45"): ("RAF_DB_dir/val_raf_db_list_45.txt", 558),
    ("FERPlus", "occlusion"): ("FERplus_dir/jianfei_occlusion_list.txt", 605),
    ("FERPlus", "pose30"): ("FERplus_dir/pose_30_ferplus_list.txt", 1170),
    ("FERPlus", "pose45"): ("FERplus_dir/pose_45_ferplus_list.txt", 633),
}
LAYOUT = "\n".join(f"  {path}" for path, _ in _LISTS.values())
_NAME = re.compile(r"(?:test|train)_\d+|fer\d+")
_N_SHOWN = 5


@validate_params(
    {
        "data": [Bunch],
        "lists_root": COMMON["root"],
        "name": [StrOptions({"occlusion", "pose30", "pose45"})],
    }
)
def load_challenging_subset(
    data: Bunch, lists_root: PathLike, name: Literal["occlusion", "pose30", "pose45"]
) -> Bunch:
    """
    Select the occluded or turned faces of RAF-DB or FERPlus.

    Scores on these, compared with the score on all test images, show how much occlusion or pose
    costs.

    Parameters
    ----------
    data : Bunch
        Data from `load_rafdb` or `load_ferplus`, with the test images (``split="test"``).
    lists_root : path-like
        A copy of https://github.com/kaiwang960112/Challenge-condition-FER-dataset, which contains
        the lists of [1]_.
    name : {"occlusion", "pose30", "pose45"}
        Faces that are partly occluded, or turned by more than 30 or 45 degrees. Those of "pose45"
        are also in "pose30".

    Returns
    -------
    Bunch
        The listed rows of `data`, in its order and with its labels; and

        n_listed : int
            Number of lines in the list.
        duplicates : ndarray of str
            Names that are listed more than once. Each is used once.
        missing : ndarray of str
            Names that are listed, but not in `data`.

    Raises
    ------
    FileNotFoundError
        If the list is not found.
    ValueError
        If `data` is from another database, if the list cannot be read, or if none of its images is
        in `data`.

    Warns
    -----
    UserWarning
        If listed images are not in `data`, or if the list does not have the published length.

    See Also
    --------
    load_rafdb : Loads RAF-DB.
    load_ferplus : Loads FERPlus.
    make_expression_faces : Draws faces, some of them occluded or turned.

    Notes
    -----
    ======== ========= ====== ======
    images   occlusion pose30 pose45
    ======== ========= ====== ======
    RAF-DB         734   1247    558
    FERPlus        605   1170    633
    ======== ========= ====== ======

    These are the numbers of distinct names in the published lists, and the sums of the PAtt-Lite
    paper's Table 2; [1]_ counts one more in some. FERPlus' lists were made with labels of their
    own: with ``labels_as="majority"``, some of their images have no label, and are reported as
    missing.

    References
    ----------
    .. [1] K. Wang, X. Peng, J. Yang, D. Meng and Y. Qiao, "Region Attention Networks for Pose and
       Occlusion Robust Facial Expression Recognition", IEEE Transactions on Image Processing,
       2020, https://arxiv.org/abs/1905.04075

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import load_challenging_subset, make_expression_faces
    >>> load_challenging_subset(make_expression_faces(n_subjects=1), "lists", "pose30")
    Traceback (most recent call last):
    ...
    ValueError: Challenging subsets are of RAF-DB and FERPlus: data must come from load_rafdb or...
    """
    database = data.get("database")
    if (database, name) not in _LISTS:
        raise ValueError(
            "Challenging subsets are of RAF-DB and FERPlus: data must come from load_rafdb or "
            f"load_ferplus, got data of {database!r}."
        )
    file, n_published = _LISTS[database, name]
    listed = _read_list(_find_list(check_root(lists_root, LAYOUT), file))
    names, counts = np.unique(listed, return_counts=True)
    title = f"{database}'s list {name!r}"
    check_counts(title, "different names", {name: len(names)}, {name: n_published})
    rows = np.isin(data.names, names)
    missing = np.setdiff1d(names, data.names)
    if not rows.any():
        raise ValueError(
            f"None of the {len(names)} images in {title} is in data: load it with split='test'."
        )
    if len(missing):
        shown = ", ".join(missing[:_N_SHOWN]) + (", …" if len(missing) > _N_SHOWN else "")
        warnings.warn(
            f"{len(missing)} of {len(names)} images in {title} are not in data: {shown}",
            UserWarning,
            stacklevel=3,
        )
    subset = select_rows(data, rows)
    subset.n_listed, subset.duplicates, subset.missing = len(listed), names[counts > 1], missing
    subset.DESCR = (
        f"{data.DESCR}\nSubset {name!r}: {rows.sum():,} of these images. {len(listed):,} lines, "
        f"{len(names):,} different names, {len(missing):,} of them not in the data.\n"
    )
    return subset


def _find_list(root, file):
    folder, name = file.split("/")
    for path in (root / file, root / name, find_below(root, folder)):
        if path is not None and path.is_dir():
            path = path / name
        if path is not None and path.is_file():
            return path
    raise incomplete(root, f"There is no {file}", LAYOUT)


def _read_list(path):
    """Find the images' names in lines such as `test_0003_aligned 3 4` and `0/fer0032226.jpg`."""
    names = []
    for line in read_lines(path):
        match = _NAME.search(line)
        if not match:
            problem = f"expected an image's name, got {line!r}"
            raise ValueError(f"{str(path)!r}: {problem}.")
        names.append(match[0])
    return names
