"""Reading what `save` wrote, and refusing everything else."""

import dataclasses
import io
import json
import os
import re
import struct
import tempfile
import zipfile
from numbers import Integral
from pathlib import Path

import h5py
import numpy as np
from sklearn.utils._param_validation import Interval, Options, validate_parameter_constraints

import sklearn_patt_lite
from sklearn_patt_lite._network.architecture import (
    Architecture,
    check_architecture,
    count_parameters,
    output_layers,
)
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._persistence.save import (
    CARD,
    FORMAT,
    FORMAT_VERSION,
    METADATA,
    NETWORK,
    NOT_KEPT,
    digest,
)
from sklearn_patt_lite._process import seeded

_MOST_UNPACKED = 100  # times the packed size: JSON shrinks to a tenth, arrays hardly at all
_MOST_METADATA = 2**24  # bytes: parsed, it takes many times as much memory
_MOST_NODES = 10_000  # of HDF5: groups that hold each other have any number of paths
_LONGEST_SIDE = 2**13  # pixels: the side of the images that a prediction resizes to
_DTYPE_POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_KERAS_MEMBERS = {"metadata.json", _CONFIG, _WEIGHTS}


def load(path, names, constraints):
    """Read what `save` wrote.

    Parameters
    ----------
    path : path-like
        The file.
    names : set of str
        Of the classifier's parameters.
    constraints : dict
        Of these parameters, some of which the network's architecture shares.

    Returns
    -------
    parameters : dict
        Of the classifier's constructor.
    state : dict
        The fitted attributes, as `PAttLiteClassifier.__setstate__` takes them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, or damaged, or holds anything that it should not; the message
        says what. Nothing of it has been run.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _load(archive, names, constraints)
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
        why = f"it is damaged, or none of save_model ({error}); joblib reads files of joblib.dump"
        raise _refuse(path, why) from error
    except _RefusedError as error:
        raise _refuse(path, error) from error
    except IsADirectoryError as error:
        raise _refuse(path, "it is a folder") from error


class _RefusedError(Exception):
    """Why a file is not loaded."""


def _refuse(path, why):
    return ValueError(f"{os.fspath(path)!r} is not loaded: {why}.")


def _load(archive, names, constraints):
    _check_members(archive, {METADATA, NETWORK, CARD})
    metadata = _read_metadata(archive)
    card = _read_member(archive, CARD)
    architecture = _read_architecture(metadata["architecture"], constraints)
    network_bytes = _read_member(archive, NETWORK)
    for name, content in ((NETWORK, network_bytes), (CARD, card)):
        if metadata["digests"].get(name) != digest(content):
            raise _RefusedError(f"{name} is not what was saved: its digest differs")
    # Before anything is built: a network may ask for any amount of memory.
    n_parameters = count_parameters(architecture)
    if metadata["n_parameters"] != n_parameters or 4 * n_parameters > len(network_bytes):
        raise _RefusedError(
            f"{NETWORK} holds {len(network_bytes):,} bytes, which are not of the network of "
            f"{n_parameters:,} parameters that {METADATA} describes"
        )
    if metadata["cut"] not in (None, *_activations(architecture)):
        raise _RefusedError(f"{METADATA} names no layer by {metadata['cut'][:100]!r}")
    if metadata["dtype_policy"] not in _DTYPE_POLICIES:
        raise _RefusedError(f"{METADATA} has the dtype policy {metadata['dtype_policy'][:100]!r}")
    _check_history(metadata["history"])
    state = {
        "classes_": _read_classes(metadata["classes"], architecture.n_classes),
        "image_shape_": architecture.image_shape,
        "n_parameters_": n_parameters,
        "history_": metadata["history"],
        "_fitted_architecture": architecture,
        "_fitted_batch_size": metadata["batch_size"],
        "_fitted_flip_averaging": metadata["flip_averaging"],
        "_cut": metadata["cut"],
        "_dtype_policy": metadata["dtype_policy"],
        "model_": _read_weights(network_bytes, architecture),
    }
    return _read_parameters(metadata["parameters"], names), state


def _check_members(archive, expected):
    names = archive.namelist()
    for name in names:
        if name not in expected:
            raise _RefusedError(
                f"it holds {name[:200]!r}, which is none of {', '.join(sorted(expected))}"
            )
    missing = expected.difference(names)
    if missing or len(names) != len(expected):
        problem = f"lacks {min(missing)}" if missing else "holds a member twice"
        raise _RefusedError(f"it {problem}")


def _read_member(archive, name):
    """Read a member, unless it unpacks to far more than is there: a bomb."""
    info = archive.getinfo(name)
    most = _MOST_UNPACKED * info.compress_size + 2**20
    if info.file_size > most:
        raise _RefusedError(
            f"{name} would unpack from {info.compress_size:,} to {info.file_size:,} bytes"
        )
    if info.flag_bits & 1:
        raise _RefusedError(f"{name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _RefusedError(f"{name} is packed in a way that may unpack to any size")
    try:
        with archive.open(info) as member:
            return member.read(most)  # no more comes out of it than its header says
    except Exception as error:  # damaged bytes bring forth all that zipfile and zlib know
        raise _RefusedError(f"{name} is damaged ({error})") from error


# What is read from JSON


def _read_metadata(archive):
    if archive.getinfo(METADATA).file_size > _MOST_METADATA:
        raise _RefusedError(f"{METADATA} would unpack to more than {_MOST_METADATA:,} bytes")
    text = _read_member(archive, METADATA)
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"{METADATA} is no JSON ({error})") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise _RefusedError(f"{METADATA} is not of a classifier of this library")
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise _RefusedError(
            f"it is of format version {version!r}, and this is sklearn-patt-lite "
            f"{sklearn_patt_lite.__version__}, which reads version {FORMAT_VERSION}: install the "
            f"one that wrote it ({_written_by(metadata)})"
        )
    odd = set(metadata) - {*_KINDS, "format", "format_version", "saved", "versions", "images"}
    if odd:
        raise _RefusedError(f"{METADATA} holds {min(odd)[:100]!r}, which is not known")
    for name, kind in _KINDS.items():
        value = metadata.get(name)
        is_proper = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not is_proper or (kind is int and value == 0):
            raise _RefusedError(f"{METADATA} has no proper {name!r}")
    return metadata


_KINDS = {
    "parameters": dict,
    "classes": dict,
    "architecture": dict,
    "history": dict,
    "digests": dict,
    "n_parameters": int,
    "batch_size": int,
    "flip_averaging": bool,
    "cut": str | None,
    "dtype_policy": str,
}


def _written_by(metadata):
    versions = metadata.get("versions")
    found = versions.get("sklearn-patt-lite") if isinstance(versions, dict) else None
    return f"sklearn-patt-lite {found}" if isinstance(found, str) else "its version is not told"


def _read_architecture(fields, constraints):
    expected = {field.name for field in dataclasses.fields(Architecture)}
    if set(fields) != expected:
        raise _RefusedError(f"{METADATA} describes the network by other fields than {expected}")
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
            "input_size": [Interval(Integral, 1, None, closed="left")],  # "auto" no more
            "augment": ["boolean"],
            "affine": ["boolean"],
        }
        validate_parameter_constraints(rules, given, "The network")
        check_architecture(architecture)
    except ValueError as error:
        raise _RefusedError(f"{METADATA} describes no possible network ({error})") from error
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
        raise _RefusedError(f"{METADATA} holds no proper classes ({error})") from error


def _to_classes(values, kind):
    """Make an array of a dtype of exactly these labels, in order."""
    if kind != "object":
        found = re.fullmatch(r"[<>|=][biufU](\d{1,6})", str(kind))
        if found is None or int(found[1]) > max(64, *(len(str(value)) for value in values)):
            raise ValueError(f"their dtype is {str(kind)[:100]!r}")
    made = np.array(values, dtype=kind)
    if made.tolist() != values or not np.array_equal(made, np.unique(made)):
        raise ValueError("they are not distinct and in order, or not of their dtype")
    return made


def _check_history(history):
    """Check what is read of a history: how it was validated, and each stage's epochs."""
    validation = history.get("validation")
    counts = ("n_train", "n_validation")
    is_proper = (
        isinstance(validation, dict)
        and all(type(validation.get(name)) is int for name in counts)
        and validation.get("cut") in ("groups", "stratified", "given", None)
        and isinstance(history.get("data"), dict)
        and all(isinstance(part, dict) for part in history.values())
        and all(_is_stage(part) for part in history.values() if "best_epoch" in part)
    )
    if not is_proper:
        raise _RefusedError(f"{METADATA} holds no proper history")


def _is_stage(part):
    n_epochs, best = len(part.get("loss", ())), part["best_epoch"]
    numbers = [part.get(name, [0.0] * n_epochs) for name in ("loss", "accuracy", "val_accuracy")]
    return (
        type(best) is int
        and -1 <= best < n_epochs
        and all(isinstance(each, list) and len(each) == n_epochs for each in numbers)
        and all(type(value) is float for each in numbers for value in each)
    )


def _activations(architecture):
    """Names of the backbone's activations."""
    names = output_layers()
    if architecture.output_layer is None:
        return names
    return names[: names.index(architecture.output_layer) + 1]


def _read_parameters(parameters, names):
    expected = names.difference(NOT_KEPT)
    if set(parameters) != expected:
        odd = min(expected.symmetric_difference(parameters))[:100]
        raise _RefusedError(f"its parameters are not those of this version: see {odd!r}")
    try:
        return {
            name: dict(value["pairs"]) if isinstance(value, dict) else value
            for name, value in parameters.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _RefusedError(f"{METADATA} holds no proper parameters ({error!r})") from error


def _read_weights(content, architecture):
    """Read a network's arrays out of a file of Keras, into a network that is built anew."""
    with seeded(0):  # any seed: the weights are replaced at once
        network = build_network(architecture)
    most = 2 * 4 * network.count_params() + 2**20  # bytes of arrays: some are not parameters
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_members(archive, _KERAS_MEMBERS)
            config = _read_member(archive, _CONFIG)
            weights = _read_member(archive, _WEIGHTS)
    except zipfile.BadZipFile as error:
        raise _RefusedError(f"{NETWORK} is damaged ({error})") from error
    _check_layers(config, network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _WEIGHTS)
        path.write_bytes(weights)
        try:
            _check_arrays(path, most)
            network.load_weights(path)
        except _RefusedError:
            raise
        except Exception as error:  # of h5py and Keras, which know many
            raise _RefusedError(f"{NETWORK} holds other arrays ({error})") from error
    return network.get_weights()


def _check_layers(config, network):
    """Refuse layers of classes that the network does not have, although none of them is made."""
    try:
        described = _class_names(json.loads(config))
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"{NETWORK} describes no network ({error})") from error
    odd = described - _class_names(json.loads(network.to_json()))
    if odd:
        raise _RefusedError(
            f"{NETWORK} holds a {min(odd)[:100]!r}, which the network that {METADATA} describes "
            "does not"
        )


def _class_names(config):
    """Names of all classes in a configuration of Keras."""
    if isinstance(config, list):
        return set().union(*map(_class_names, config))
    if not isinstance(config, dict):
        return set()
    name = config.get("class_name")
    own = {name} if isinstance(name, str) else set()
    return own.union(*map(_class_names, config.values()))


def _check_arrays(path, most):
    """Refuse what HDF5 offers besides arrays in the file: links to other files, and compression."""
    with h5py.File(path, "r") as file:
        groups, total, n_nodes = [file], 0, 0
        while groups:
            group = groups.pop()
            for name in group:
                n_nodes += 1
                node = _plain_node(group, name)
                if isinstance(node, h5py.Group):
                    groups.append(node)
                else:
                    total += node.nbytes
                if total > most or n_nodes > _MOST_NODES:
                    raise _RefusedError(f"{NETWORK} holds more than the network's arrays")


def _plain_node(group, name):
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _RefusedError(f"{NETWORK} holds a link, {name!r}")
    node = group[name]
    if isinstance(node, h5py.Group):
        return node
    is_plain = node.external is None and not node.is_virtual and node.chunks is None
    if not is_plain or node.dtype.kind not in "fiu":
        raise _RefusedError(f"{NETWORK} holds {node.name!r}, which is no plain array of numbers")
    return node
