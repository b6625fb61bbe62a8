"""Save a fitted classifier to one file that holds only data: loading it runs no code from it.

`_network/archive.py` describes the archive. When it is loaded, the network is built from the
architecture, and its arrays are taken from the weights.
"""

import dataclasses
import datetime
import hashlib
import json
import os
import zipfile

import numpy as np
import safetensors.numpy

from sklearn_patt_lite._files import replaced, versions
from sklearn_patt_lite._network.architecture import count_parameters
from sklearn_patt_lite._network.archive import CARD, METADATA, WEIGHTS
from sklearn_patt_lite._persistence.card import model_card

FORMAT = "sklearn-patt-lite"
FORMAT_VERSION = 3
_LIBRARIES = ("sklearn-patt-lite", "scikit-learn", "keras", "tensorflow", "numpy")
_LARGE = 0.04  # an array with at least this share of all weights is large
#: Parameters that belong to a machine or a process, not to what was learned.
NOT_KEPT = ("memory", "checkpoint_dir", "verbose")


def save(fitted, classes, history, parameters, path, description=None, half_precision=False):
    """Write a fitted classifier.

    Parameters
    ----------
    fitted : FittedNetwork
        Its network.
    classes : ndarray of shape (n_classes,)
        Its labels.
    history : dict
        Its `history_`.
    parameters : dict
        Parameters from `get_params`.
    path : path-like
        Path of the file; an existing one is replaced once the new one is complete.
    description : str, default=None
        Text for the model card.
    half_precision : bool, default=False
        Whether to write the large kernels, nearly all of the weights, as float16.

    Raises
    ------
    TypeError
        If a label or a parameter cannot be written as JSON.
    """
    if description is not None and not isinstance(description, str):
        raise TypeError(f"description must be a string, got {type(description).__name__}.")
    kept = fitted.kept.state()
    arrays = kept["weights"]
    if half_precision:
        arrays = _halved(arrays)
    weights = safetensors.numpy.save(arrays)
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "saved": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(_LIBRARIES),
        "parameters": {
            name: _plain_parameter(name, value)
            for name, value in parameters.items()
            if name not in NOT_KEPT
        },
        "classes": _plain_classes(classes),
        "architecture": dataclasses.asdict(fitted.architecture),
        "images": {
            "shape": list(fitted.architecture.image_shape),
            "values": "0 to 255 at the network's input; integers 0 to 255 or floats 0 to 1 at "
            "predict's",
        },
        "n_parameters": count_parameters(fitted.architecture),
        "history": history,
        "batch_size": fitted.batch_size,
        **fitted.averaging,
        "frozen_until": fitted.frozen_until,
        "dtype_policy": kept["policy"],
    }
    card = model_card(metadata, description).encode(errors="backslashreplace")
    metadata["digests"] = {WEIGHTS: digest(weights), CARD: digest(card)}
    text = json.dumps(metadata, indent=1).encode()
    _write(path, {METADATA: text, CARD: card, WEIGHTS: weights})


def _halved(arrays):
    """Convert large kernels to float16: summing over many channels averages rounding errors.

    The other arrays are a tenth of the weights, and would change probabilities as much as these do.
    """
    large = _LARGE * sum(array.size for array in arrays.values())
    return {
        name: array.astype(np.float16) if array.size >= large else array
        for name, array in arrays.items()
    }


# The archive


def _write(path, members):
    with replaced(path) as part, zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def digest(content):
    return hashlib.sha256(content).hexdigest()


# What is written as JSON


def _plain_parameter(name, value):
    if isinstance(value, np.random.RandomState):
        return None  # its state has advanced: nobody can repeat the fit
    if isinstance(value, dict):  # class_weight: JSON allows only strings as keys
        return {"pairs": [[plain(name, key), plain(name, each)] for key, each in value.items()]}
    return plain(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def plain(name, value):
    """Convert a label or a parameter to a JSON type; `name` is for the error."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{name} contains {value!r}, of type {type(value).__name__}, which cannot be saved."
    )


def _plain_classes(classes):
    if classes.dtype.kind == "U":  # as wide as its longest label: `load` refuses wider ones
        classes = np.array(classes.tolist())
    kind = "object" if classes.dtype == object else classes.dtype.str
    if kind != "object" and classes.dtype.kind not in "biufU":
        raise TypeError(f"Labels of dtype {classes.dtype} cannot be saved: use strings.")
    return {"dtype": kind, "values": [plain("y", label) for label in classes.tolist()]}
