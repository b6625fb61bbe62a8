"""Checkpoints of a fit: its completed stages, and its state after the last epoch.

An epoch depends only on this state and on its own seed. So a fit that was killed resumes after its
last epoch and ends with the same weights as an uninterrupted fit.
"""

import hashlib
import json
import os
import warnings
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np

from sklearn_patt_lite._files import remove_abandoned, replaced, versions
from sklearn_patt_lite._network.parts import to_numpy

#: Attributes that hold the state of Keras' callbacks, besides the best weights.
_OF_CALLBACKS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")
_LIBRARIES = (
    "sklearn-patt-lite",
    "keras",
    "numpy",
    "pillow",
    "tensorflow",
    "jax",
    "torch",
    "ai-edge-litert",
)
#: Errors that NumPy and zipfile raise for damaged bytes. OSError is excluded: a temporary disk
#: failure must not discard a good checkpoint.
_DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Checkpoint:
    """The state of a fit after its last epoch.

    Parameters
    ----------
    path : Path, default=None
        Checkpoint file, read if it exists. None keeps the state in memory only.

    Attributes
    ----------
    histories : dict
        Histories of the completed stages, by name.
    reached : float or None
        Validation accuracy after the completed stages.

    Warns
    -----
    UserWarning
        If the file is damaged: the fit starts over.
    """

    def __init__(self, path=None):
        self.histories, self.reached = {}, None
        self._path, self._is_closed, self._has_failed = path, False, False
        self._network = None  # the network's values at the start of the current stage
        self._epoch = None  # state after the last epoch of the current stage, as read
        if path is not None:
            os.makedirs(path.parent, exist_ok=True)
            remove_abandoned(path.parent)
            self._read()

    @property
    def n_epochs(self):
        """Number of epochs of the current stage that a resumed fit has already completed."""
        return 0 if self._epoch is None else self._epoch["n_epochs"]

    @property
    def how_to_resume(self):
        """Advice for the user after an interruption."""
        if self._is_closed:
            return (
                "The fit was interrupted. Run it again unchanged, with the same checkpoint_dir: it "
                "resumes where a callback stopped a stage, and asks the callback again."
            )
        if self._path is None:
            return (
                "The fit was interrupted, and nothing was saved. With checkpoint_dir, a fit "
                "that is run again resumes after its last epoch."
            )
        last = "the last epoch that could be written" if self._has_failed else "its last epoch"
        return (
            "The fit was interrupted. Run it again unchanged, with the same checkpoint_dir: it "
            f"resumes after {last}."
        )

    def restore(self, network):
        """Restore a network to the start of the current stage, or to the end of the last one."""
        if self._network is not None:
            _assign(network, self._network)

    def begin_stage(self, network):
        """Record the network's values at the start of a stage."""
        self._network = _values(network)

    def resume(self, trained, callbacks, history):
        """Restore the state after the last epoch of the current stage, if there was one.

        Parameters
        ----------
        trained : keras.Model
            Model that the stage trains; compiled, with its optimizer built.
        callbacks : list of keras.callbacks.Callback
            Callbacks of the stage, after `on_train_begin`, which resets them.
        history : keras.callbacks.History
            Empty history of the stage.
        """
        if self._epoch is None:
            return
        # Clear it: later stages start at their first epoch.
        epoch, self._epoch = self._epoch, None
        _assign(trained, epoch["trained"])
        _assign(trained.optimizer, epoch["optimizer"])
        # Keras has no way to save and restore callbacks. Only one of them, EarlyStopping, has
        # `best_weights`, so a single list of arrays is enough.
        for callback, state in zip(callbacks, epoch["callbacks"], strict=True):
            vars(callback).update(state)
            if hasattr(callback, "best_weights"):
                callback.best_weights = epoch["best"] or None
        trained.stop_training = epoch["stopped"]
        history.history = epoch["history"]
        history.epoch = list(range(epoch["n_epochs"]))

    def end_epoch(self, trained, callbacks, history):
        """Save the state at the end of an epoch; parameters as in `resume`."""
        if self._path is None:
            return
        # EarlyStopping has no weights before its first best epoch.
        best = [getattr(callback, "best_weights", None) or [] for callback in callbacks]
        epoch = {
            "n_epochs": len(history.epoch),
            "stopped": bool(trained.stop_training),
            "history": {k: [float(v) for v in values] for k, values in history.history.items()},
            "callbacks": [
                {
                    name: _plain(vars(callback)[name])
                    for name in _OF_CALLBACKS
                    if name in vars(callback)
                }
                for callback in callbacks
            ],
        }
        arrays = {
            "trained": _values(trained),
            "optimizer": _values(trained.optimizer),
            "best": [array for each in best for array in each],
        }
        self._write(epoch, arrays)

    def end_stage(self, name, history, reached, network):
        """Record the end of a stage, and the network's current values."""
        self.histories[name], self.reached = history, reached
        # Without a file, the next `begin_stage` takes the network's values.
        if self._path is not None:
            self._network = _values(network)
            self._write(None, {})

    def close(self):
        """Stop writing: a callback ended training; the file belongs to a fit without one."""
        self._path, self._is_closed = None, self._path is not None

    def _write(self, epoch, arrays):
        text = json.dumps({"histories": self.histories, "reached": self.reached, "epoch": epoch})
        # NumPy's archive is flat: "optimizer_3" is the fourth of the optimizer's arrays.
        arrays = {"network": self._network, **arrays}
        named = {f"{kind}_{i}": a for kind, each in arrays.items() for i, a in enumerate(each)}
        try:
            with replaced(self._path) as part, open(part, "wb") as file:
                np.savez(file, text=np.array(text), **named)
        except OSError as error:  # a full disk, say: the training so far is worth more than a file
            if not self._has_failed:
                self._has_failed = True
                message = (
                    f"The checkpoint {os.fspath(self._path)!r} cannot be written ({error}). The "
                    "fit continues, but if it is interrupted, its last epochs are lost."
                )
                warnings.warn(message, UserWarning, stacklevel=2)

    def _read(self):
        try:
            with open(self._path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                told = json.loads(str(file["text"]))
                arrays = {
                    kind: [file[f"{kind}_{i}"] for i in range(_count(file, kind))]
                    for kind in ("network", "trained", "optimizer", "best")
                }
        except FileNotFoundError:
            return
        except _DAMAGE as error:
            warnings.warn(
                f"{os.fspath(self._path)!r} is damaged ({error}): the fit starts over.",
                UserWarning,
                stacklevel=6,
            )
            return
        self.histories, self.reached = told["histories"], told["reached"]
        self._network = arrays.pop("network")
        if told["epoch"] is not None:
            self._epoch = told["epoch"] | arrays


def checkpoint_path(folder, network, *identity):
    """Name a fit's checkpoint file by a hash of everything that determines its result.

    Parameters
    ----------
    folder : path-like
        Folder of the file.
    network : keras.Model
        Network with its initial weights.
    *identity : object
        Everything else: ndarrays, and objects whose `repr` identifies them.

    Returns
    -------
    Path
        Path of the file, which may not exist yet.
    """
    digest = hashlib.sha256(repr(versions(_LIBRARIES)).encode())
    for part in (keras.backend.backend(), *_values(network), *identity):
        is_array = isinstance(part, np.ndarray)
        digest.update(repr((part.dtype, part.shape) if is_array else part).encode())
        if is_array:
            digest.update(np.ascontiguousarray(part))
    return Path(os.path.expanduser(folder), f"fit-{digest.hexdigest()[:32]}.npz")


def _values(owner):
    """Return the values of the variables of a model (weights and seed states) or optimizer."""
    return [to_numpy(variable) for variable in _variables(owner)]


def _assign(owner, values):
    for variable, value in zip(_variables(owner), values, strict=True):
        variable.assign(value)


def _variables(owner):
    metrics = {id(variable) for variable in getattr(owner, "metrics_variables", ())}
    return [variable for variable in owner.variables if id(variable) not in metrics]


def _count(file, kind):
    return sum(name.startswith(f"{kind}_") for name in file.files)


def _plain(value):
    """Convert a NumPy scalar to the equal Python number, for JSON; keep other values."""
    return value.item() if isinstance(value, np.generic) else value
