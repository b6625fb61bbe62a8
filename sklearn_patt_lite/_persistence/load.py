"""Read what `save` wrote, and refuse everything else."""

import dataclasses
import os
import re
import zipfile
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.utils._param_validation import Interval, Options, validate_parameter_constraints

import sklearn_patt_lite
from sklearn_patt_lite._inference.fitted import FittedNetwork
from sklearn_patt_lite._network.architecture import (
    Architecture,
    backbone_convolutions,
    check_architecture,
    count_parameters,
    weight_shapes,
)
from sklearn_patt_lite._network.archive import (
    CARD,
    METADATA,
    NO_ARCHIVE,
    WEIGHTS,
    RefusedError,
    read_arrays,
    read_json,
    read_member,
)
from sklearn_patt_lite._network.kept import KeptNetwork
from sklearn_patt_lite._persistence.save import FORMAT, FORMAT_VERSION, NOT_KEPT, digest
from sklearn_patt_lite._process import DTYPE_POLICIES

_LONGEST_SIDE = 2**13  # pixels: maximum side of the images that a prediction resizes to
_FORMER_NETWORK = "model.keras"  # a member of files of format 2


def load(path, names, constraints):
    """Read what `save` wrote.

    Parameters
    ----------
    path : path-like
        The file.
    names : set of str
        Names of the classifier's parameters.
    constraints : dict
        Constraints of these parameters; some of them also apply to fields of `Architecture`.

    Returns
    -------
    parameters : dict
        Parameters of the classifier.
    classes : ndarray of shape (n_classes,)
        The labels.
    history : dict
        The classifier's `history_`.
    fitted : FittedNetwork
        Its network.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file was not written by `save`, is damaged, or holds anything that it should not; the
        message says what. No code from the file has been run.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _load(archive, names, constraints)
    except NO_ARCHIVE as error:
        why = f"it is damaged or not from save_model ({error}); joblib.load reads joblib.dump files"
        raise _refuse(path, why) from error
    except RefusedError as error:
        raise _refuse(path, error) from error
    except IsADirectoryError as error:
        raise _refuse(path, "it is a folder") from error


def _refuse(path, why):
    return ValueError(f"{os.fspath(path)!r} cannot be loaded: {why}.")


def _load(archive, names, constraints):
    _check_members(archive)
    metadata = _read_metadata(archive)
    card = read_member(archive, CARD)
    architecture = _read_architecture(metadata["architecture"], constraints)
    content = read_member(archive, WEIGHTS)
    for name, found in ((WEIGHTS, content), (CARD, card)):
        if metadata["digests"].get(name) != digest(found):
            raise RefusedError(f"{name} is not what was saved: its digest differs")
    # Before anything is built: a network may ask for any amount of memory.
    n_parameters = count_parameters(architecture)
    if metadata["n_parameters"] != n_parameters or 2 * n_parameters > len(content):
        raise RefusedError(
            f"{WEIGHTS} has {len(content):,} bytes, which do not match the network of "
            f"{n_parameters:,} parameters that {METADATA} describes"
        )
    activations = [step.activation for step in backbone_convolutions(architecture)]
    if metadata["frozen_until"] not in (None, *activations):
        raise RefusedError(f"{METADATA} names an unknown layer {metadata['frozen_until'][:100]!r}")
    if metadata["dtype_policy"] not in DTYPE_POLICIES:
        raise RefusedError(
            f"{METADATA} has an unknown dtype policy {metadata['dtype_policy'][:100]!r}"
        )
    _check_history(metadata["history"])
    parameters = _read_parameters(metadata["parameters"], names)
    classes = _read_classes(metadata["classes"], architecture.n_classes)
    weights = _read_weights(content, architecture)
    fitted = FittedNetwork(
        KeptNetwork(architecture, weights=weights, policy=metadata["dtype_policy"]),
        batch_size=metadata["batch_size"],
        averaging={name: metadata[name] for name in ("flip_averaging", "crop_averaging")},
        frozen_until=metadata["frozen_until"],
    )
    return parameters, classes, metadata["history"], fitted


def _check_members(archive):
    expected, names = {METADATA, WEIGHTS, CARD}, archive.namelist()
    if _FORMER_NETWORK in names and METADATA in names:
        raise RefusedError(
            "it has the format of sklearn-patt-lite 0.1.0, but this is "
            f"{sklearn_patt_lite.__version__}: load it with 0.1.0, or unpack its {_FORMER_NETWORK} "
            "and train further with the path of that file as backbone_weights"
        )
    for name in names:
        if name not in expected:
            raise RefusedError(
                f"it contains {name[:200]!r}, expected only {', '.join(sorted(expected))}"
            )
    missing = expected.difference(names)
    if missing or len(names) != len(expected):
        problem = f"lacks {min(missing)}" if missing else "contains a file twice"
        raise RefusedError(f"it {problem}")


# What is read from JSON


def _read_metadata(archive):
    metadata = read_json(archive, METADATA)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise RefusedError(f"{METADATA} does not describe a classifier of this library")
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise RefusedError(
            f"it has format version {version!r}, but this is sklearn-patt-lite "
            f"{sklearn_patt_lite.__version__}, which reads version {FORMAT_VERSION}: install the "
            f"one that wrote it ({_written_by(metadata)})"
        )
    metadata = {**_LATER, **metadata}
    odd = set(metadata) - {*_KINDS, "format", "format_version", "saved", "versions", "images"}
    if odd:
        raise RefusedError(f"{METADATA} has an unknown key {min(odd)[:100]!r}")
    for name, kind in _KINDS.items():
        value = metadata.get(name)
        is_proper = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not is_proper or (kind is int and value < 1):
            raise RefusedError(f"{METADATA} has no valid {name!r}")
    return metadata


#: Keys that older files lack, with the values that hold for them.
_LATER = {"crop_averaging": False}
_KINDS = {
    "parameters": dict,
    "classes": dict,
    "architecture": dict,
    "history": dict,
    "digests": dict,
    "n_parameters": int,
    "batch_size": int,
    "flip_averaging": bool,
    "crop_averaging": bool,
    "frozen_until": str | None,
    "dtype_policy": str,
}


def _written_by(metadata):
    versions = metadata.get("versions")
    found = versions.get("sklearn-patt-lite") if isinstance(versions, dict) else None
    return f"sklearn-patt-lite {found}" if isinstance(found, str) else "its version is not recorded"


def _read_architecture(fields, constraints):
    expected = {field.name for field in dataclasses.fields(Architecture)}
    if set(fields) != expected:
        raise RefusedError(f"{METADATA} describes the network by fields other than {expected}")
    sides = [Interval(Integral, 1, _LONGEST_SIDE, closed="both")]
    shape = fields["image_shape"]
    try:
        if not isinstance(shape, list) or [type(side) for side in shape] != [int] * 3:
            raise ValueError(f"images of shape {shape!r}")
        architecture = Architecture(**{**fields, "image_shape": tuple(shape)})
        given = {**fields, **dict(zip(("height", "width", "channels"), shape, strict=True))}
        del given["image_shape"]
        known = {name: constraints[name] for name in given if name in constraints}
        rules = {
            **known,
            **dict.fromkeys(("height", "width"), sides),
            "n_classes": [Interval(Integral, 2, None, closed="left")],
            "channels": [Options(Integral, {1, 3})],
            "input_size": sides,  # no longer "auto"
            "augment": ["boolean"],
            "affine": ["boolean"],
        }
        validate_parameter_constraints(rules, given, "The network")
        check_architecture(architecture)
    except (OverflowError, ValueError) as error:
        raise RefusedError(f"{METADATA} describes an impossible network ({error})") from error
    return architecture


def _read_classes(classes, n_classes):
    kind, values = classes.get("dtype"), classes.get("values")
    try:
        if not isinstance(values, list) or len(values) != n_classes:
            raise ValueError(f"expected {n_classes}")
        if not all(isinstance(value, bool | int | float | str) for value in values):
            raise ValueError("neither numbers nor strings")
        return _to_classes(values, kind)
    except (ValueError, TypeError, OverflowError) as error:
        raise RefusedError(f"{METADATA} has no valid classes ({error})") from error


def _to_classes(values, kind):
    """Make an array of a given dtype with exactly these labels, in order."""
    if kind != "object":
        found = re.fullmatch(r"[<>|=][biufU](\d{1,6})", str(kind))
        if found is None or int(found[1]) > max(64, *(len(str(value)) for value in values)):
            raise ValueError(f"their dtype is {str(kind)[:100]!r}")
    made = np.array(values, dtype=kind)
    if made.tolist() != values or not np.array_equal(made, np.unique(made)):
        raise ValueError("they are not distinct and sorted, or not of their dtype")
    return made


def _check_history(history):
    """Check the parts of a history that other code reads: validation, digests and stages."""
    # The model card and `TrainingHistoryDisplay` index a stage's curves by its `best_epoch`. A
    # forged or damaged history is refused here, before it makes them fail.
    validation = history.get("validation")
    counts = ("n_train", "n_validation")
    is_proper = (
        isinstance(validation, dict)
        and all(type(validation.get(name)) is int for name in counts)
        and validation.get("split") in ("groups", "stratified", "given", None)
        and isinstance(history.get("data"), dict)
        and all(isinstance(part, dict) for part in history.values())
        and all(_is_stage(part) for part in history.values() if "best_epoch" in part)
    )
    if not is_proper:
        raise RefusedError(f"{METADATA} has no valid history")


def _is_stage(part):
    loss, best = part.get("loss", []), part["best_epoch"]
    n_epochs = len(loss) if isinstance(loss, list) else -1  # then no `best` is valid
    numbers = [part.get(name, [0.0] * n_epochs) for name in ("loss", "accuracy", "val_accuracy")]
    return (
        type(best) is int
        and -1 <= best < n_epochs
        and all(isinstance(each, list) and len(each) == n_epochs for each in numbers)
        and all(type(value) is float for each in numbers for value in each)
    )


def _read_parameters(parameters, names):
    expected = names.difference(NOT_KEPT)
    parameters = {**_LATER, **parameters}
    if set(parameters) != expected:
        odd = min(expected.symmetric_difference(parameters))[:100]
        raise RefusedError(f"its parameters do not match this version: see {odd!r}")
    try:
        return {
            name: dict(value["pairs"]) if isinstance(value, dict) else value
            for name, value in parameters.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"{METADATA} has no valid parameters ({error!r})") from error


# The weights


def _read_weights(content, architecture):
    """Read a network's arrays, by variable path."""
    arrays = read_arrays(content)
    expected = weight_shapes(architecture)
    found = {name: array.shape for name, array in arrays.items()}
    odd = [name for name in {*expected, *found} if expected.get(name) != found.get(name)]
    if odd:
        name = min(odd)
        raise RefusedError(
            f"{WEIGHTS} does not fit the network that {METADATA} describes: {name[:200]!r} has "
            f"the shape {found.get(name)}, expected {expected.get(name)}"
        )
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    broken += [name for name in arrays if name.endswith("_variance") and arrays[name].min() < 0]
    if broken:
        raise RefusedError(f"{WEIGHTS} contains invalid values: see {min(broken)[:200]!r}")
    return arrays
