"""A fitted classifier in one file that holds data only: to load one runs nothing of it.

A zip archive of three members::

    metadata.json   parameters, classes, architecture, history, versions, digests
    model.keras     the network as Keras saves it, for other tools as well
    README.md       the model card

When it is loaded, the network is built anew from the architecture, and takes the arrays out of
`model.keras`. The layers that Keras describes there are only looked at: nothing is made of them.
"""

import dataclasses
import datetime
import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from sklearn_patt_lite._files import replaced, versions
from sklearn_patt_lite._network.parts import policy_of, rebuild_network
from sklearn_patt_lite._persistence.card import model_card
from sklearn_patt_lite._process import without_copy_warnings

FORMAT = "sklearn-patt-lite"
FORMAT_VERSION = 2
METADATA, NETWORK, CARD = "metadata.json", "model.keras", "README.md"
_LIBRARIES = ("sklearn-patt-lite", "scikit-learn", "keras", "tensorflow", "numpy")
#: Parameters that belong to a machine or a process, not to what was learned.
NOT_KEPT = ("memory", "checkpoint_dir", "verbose")


def save(state, parameters, path, description=None):
    """Write a fitted classifier.

    Parameters
    ----------
    state : dict
        The classifier's `vars`; "model_" is the network.
    parameters : dict
        Of `get_params`.
    path : path-like
        Where; a file there is replaced, once the new one is whole.
    description : str, default=None
        For the model card.

    Raises
    ------
    TypeError
        If a label or a parameter cannot be written as JSON.
    """
    if description is not None and not isinstance(description, str):
        raise TypeError(f"description must be a string, got {type(description).__name__}.")
    policy = policy_of(state["model_"])
    network = _keras_bytes(state["_fitted_architecture"], state["model_"], policy)
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
        "classes": _plain_classes(state["classes_"]),
        "architecture": dataclasses.asdict(state["_fitted_architecture"]),
        "images": {
            "shape": list(state["image_shape_"]),
            "values": "0 to 255 at the network's input; integers 0 to 255 or floats 0 to 1 at "
            "predict's",
        },
        "n_parameters": state["n_parameters_"],
        "history": state["history_"],
        "batch_size": state["_fitted_batch_size"],
        "flip_averaging": state["_fitted_flip_averaging"],
        "cut": state["_cut"],
        "dtype_policy": policy,
    }
    card = model_card(metadata, description).encode(errors="backslashreplace")
    metadata["digests"] = {NETWORK: digest(network), CARD: digest(card)}
    text = json.dumps(metadata, indent=1).encode()
    _write(path, {METADATA: text, CARD: card, NETWORK: network})


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
        return None  # a state that runs on: nobody can have the same fit again
    if isinstance(value, dict):  # class_weight: JSON knows strings as keys only
        return {"pairs": [[plain(name, key), plain(name, each)] for key, each in value.items()]}
    return plain(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def plain(name, value):
    """Turn a label or a parameter into what JSON knows; `name` is for the error."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} holds {value!r}, of type {type(value).__name__}: it cannot be saved.")


def _plain_classes(classes):
    kind = "object" if classes.dtype == object else classes.dtype.str
    if kind != "object" and classes.dtype.kind not in "biufU":
        raise TypeError(f"Labels of dtype {classes.dtype} cannot be saved: use strings.")
    return {"dtype": kind, "values": [plain("y", label) for label in classes.tolist()]}


# The network


def _keras_bytes(architecture, model, policy):
    """Save a network as Keras does: without the optimizer, which training leaves in it."""
    network = rebuild_network(architecture, model.get_weights(), policy)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NETWORK)
        with without_copy_warnings():
            network.save(path)
        return path.read_bytes()
