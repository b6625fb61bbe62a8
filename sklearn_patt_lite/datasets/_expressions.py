"""One order and one spelling of expressions, whatever a database calls them."""

import re
from typing import Literal

import numpy as np
from sklearn.utils import Bunch, _safe_indexing
from sklearn.utils._param_validation import StrOptions

from sklearn_patt_lite._typing import Names, validate_params

#: In FER2013's order and spelling, followed by contempt: the order of all `target_names`.
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")

# Whatever their length.
_NO_COLUMNS = {"target_names", "duplicates", "missing", "unreadable", "subject_ids"}

_SPELLINGS = {
    **{name: name for name in EXPRESSIONS},
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "natural": "neutral",
    "neutrality": "neutral",
    "contemptuous": "contempt",
}
_NUMBER = re.compile(r"^\d+[\s._-]+")  # as in "1 Anger", "03_happy"


def spell(name):
    """Convert an expression's name to this library's spelling; None if it is no expression.

    Examples
    --------
    >>> spell("Happiness"), spell("1 Anger"), spell("yawn")
    ('happy', 'angry', None)
    """
    return _SPELLINGS.get(_NUMBER.sub("", str(name).strip()).lower())


def in_order(expressions):
    """List expressions, each once, in the order of `target_names`."""
    present = set(expressions)
    return [name for name in EXPRESSIONS if name in present]


@validate_params(
    {
        "data": [Bunch],
        "target_names": ["array-like"],
        "merge": [dict, None],
        "others": [StrOptions({"drop", "raise"})],
    }
)
def map_expressions(
    data: Bunch,
    target_names: Names,
    *,
    merge: dict[str, str] | None = None,
    others: Literal["drop", "raise"] = "drop",
) -> Bunch:
    """
    Map a database to the expressions of another, for cross-database tests.

    A classifier knows only the expressions of the database that it was trained on, in their order.
    Map another database to them before comparing its labels with predictions.

    Parameters
    ----------
    data : Bunch
        Data from one of this package's loaders.
    target_names : array-like of str
        Expressions to map to, in order: those of another Bunch, or of a classifier that was trained
        on another database. Usual spellings are understood ("anger", "1 Happiness").
    merge : dict of str to str, default=None
        Expressions to merge into others, such as ``{"contempt": "disgust"}``.
    others : {"drop", "raise"}, default="drop"
        What to do with rows whose expression is not in `target_names`.

    Returns
    -------
    Bunch
        New Bunch with the remaining rows. Its `target` holds indices into the new `target_names`;
        every other field with one value per row has the same rows.

    Raises
    ------
    ValueError
        If `target_names` holds a name twice, if `merge` maps an unknown expression or maps to one
        that is not in `target_names`, if no row is left, or, with ``others="raise"``, if rows would
        be dropped.
    InvalidParameterError
        If a parameter has a wrong type. This is a `ValueError`.

    See Also
    --------
    load_face_folder : Loads faces whose classes may need mapping.
    sklearn_patt_lite.metrics.expression_report : Scores predictions.

    Notes
    -----
    The 8 classes of FERPlus or CK+ become the 7 of FER2013 or RAF-DB if contempt is dropped or
    merged into another class; 7 become 8 without loss, and the eighth has no rows.

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import make_expression_faces, map_expressions
    >>> faces = make_expression_faces(n_subjects=2, n_expressions=8, random_state=0)
    >>> ck = ["anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"]
    >>> mapped = map_expressions(faces, ck)
    >>> len(faces.target), len(mapped.target), mapped.target_names[:2].tolist()
    (32, 28, ['angry', 'contempt'])
    """
    if isinstance(target_names, set | frozenset):
        raise ValueError("target_names must be in order, as in a list; got a set.")
    wanted = [_known(name) for name in target_names]
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"target_names contains an expression twice: {list(target_names)}.")
    merge = {_known(old): _known(new) for old, new in (merge or {}).items()}
    names = [_known(name) for name in data.target_names]
    _check_merge(merge, names, wanted)
    places = [_place(merge.get(name, name), wanted) for name in names]
    target = np.array(places, dtype=np.int64)[data.target]
    _check_rest(target, data.target, names, others)
    mapped = select_rows(data, target >= 0)
    mapped.target = target[target >= 0]
    mapped.target_names = np.array(wanted)
    return mapped


def _known(name):
    """Spell a name, or keep it as it is: folders of faces may contain other classes, too."""
    return spell(name) or str(name)


def _place(name, wanted):
    return wanted.index(name) if name in wanted else -1


def _check_merge(merge, names, wanted):
    unwanted = sorted(set(merge.values()) - set(wanted))
    if unwanted:
        raise ValueError(f"merge maps to {unwanted}, which is not in target_names: {wanted}.")
    unknown = sorted(set(merge) - set(names) - set(EXPRESSIONS))
    if unknown:
        raise ValueError(f"merge names {unknown}, which is not in data: {names}.")


def _check_rest(target, old_target, names, others):
    dropped = in_order_of(names, old_target[target < 0])
    if dropped and others == "raise":
        counts = ", ".join(f"{name} {n}" for name, n in dropped.items())
        raise ValueError(f"Rows with expressions that are not in target_names: {counts}.")
    if not (target >= 0).any():
        raise ValueError(f"No row is left: the data contains only {list(dropped)}.")


def in_order_of(names, target):
    """Count the rows of each class, by name; leave out classes without rows."""
    counts = np.bincount(target, minlength=len(names))
    return {name: int(n) for name, n in zip(names, counts, strict=True) if n > 0}


def select_rows(data, rows):
    """Select rows of a Bunch, in every field that has one value per row.

    Parameters
    ----------
    data : Bunch
        With `target`, whose length is the number of rows.
    rows : ndarray
        Mask or indices.

    Returns
    -------
    Bunch
        New Bunch.
    """
    n = len(data.target)

    rows = np.arange(n)[rows]

    def is_column(name, value):
        has_rows = hasattr(value, "__len__") and not isinstance(value, str | bytes | dict)
        return has_rows and len(value) == n and name not in _NO_COLUMNS

    return Bunch(
        **{
            name: _safe_indexing(value, rows) if is_column(name, value) else value
            for name, value in data.items()
        }
    )
