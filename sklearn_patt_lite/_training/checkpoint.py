"""Checkpoints: the stages behind a fit and the epoch it has reached, in a file if there is one.

An epoch is a function of this state and of its own seed. So a fit that was killed goes on from its
last epoch, and ends with the weights that it would have had.
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

#: What Keras' callbacks know of earlier epochs, besides the best weights.
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
#: What NumPy and zipfile make of damaged bytes. Of a disk that fails for a moment (OSError) a good
#: checkpoint is not to be lost.
_DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Checkpoint:
    """The state of a fit after its last epoch.

    Parameters
    ----------
    path : Path, default=None
        The file that keeps it; one that is there is read. None: it is known to the process alone.

    Attributes
    ----------
    histories : dict
        Of the stages that have ended, by their names.
    reached : float or None
        The validation accuracy that they have reached.

    Warns
    -----
    UserWarning
        If the file is damaged: the fit starts over.
    """

    def __init__(self, path=None):
        self.histories, self.reached = {}, None
        self._path = path
        self._network = None  # the network's values where the current stage began
        self._epoch = None  # what was read about the last epoch of the current stage
        if path is not None:
            os.makedirs(path.parent, exist_ok=True)
            remove_abandoned(path.parent)
            self._read()

    @property
    def has_begun(self):
        """Whether there is a network for `restore` and `resume` to bring back."""
        return self._network is not None

    @property
    def n_epochs(self):
        """Epochs of the current stage that a resumed fit has behind it."""
        return 0 if self._epoch is None else self._epoch["n_epochs"]

    def restore(self, network):
        """Bring a network to the beginning of the current stage, or to the end of the last."""
        if self._network is not None:
            _assign(network, self._network)

    def begin_stage(self, network):
        """Remember the network with which a stage begins."""
        self._network = _values(network)

    def resume(self, trained, callbacks, history):
        """Bring what a stage trains to the end of its last epoch, if it has had any.

        Parameters
        ----------
        trained : keras.Model
            As at the stage's beginning: compiled, its optimizer built.
        callbacks : list of keras.callbacks.Callback
            Of the stage; their training has begun.
        history : keras.callbacks.History
            Of the stage, empty.
        """
        if self._epoch is None:
            return
        epoch, self._epoch = self._epoch, None
        _assign(trained, epoch["trained"])
        _assign(trained.optimizer, epoch["optimizer"])
        for callback, state in zip(callbacks, epoch["callbacks"], strict=True):
            vars(callback).update(state)
            if hasattr(callback, "best_weights"):
                callback.best_weights = epoch["best"] or None
        trained.stop_training = epoch["stopped"]
        history.history = epoch["history"]
        history.epoch = list(range(epoch["n_epochs"]))

    def end_epoch(self, trained, callbacks, history):
        """Keep where an epoch has ended; parameters as in `resume`."""
        if self._path is None:
            return
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
        """Keep that a stage has ended, and the network as it is now."""
        self.histories[name], self.reached = history, reached
        if self._path is not None:
            self._network = _values(network)
            self._write(None, {})

    def _write(self, epoch, arrays):
        text = json.dumps({"histories": self.histories, "reached": self.reached, "epoch": epoch})
        arrays = {"network": self._network, **arrays}
        named = {f"{kind}_{i}": a for kind, each in arrays.items() for i, a in enumerate(each)}
        with replaced(self._path) as part, open(part, "wb") as file:
            np.savez(file, text=np.array(text), **named)

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
    """Name the file of a fit by a hash of all that its result depends on.

    Parameters
    ----------
    folder : path-like
        Where it lies.
    network : keras.Model
        As the fit begins with it.
    *identity : object
        All else: ndarrays, and objects with a `repr` that is theirs alone.

    Returns
    -------
    Path
        The file; it need not be there.
    """
    digest = hashlib.sha256(repr(versions(_LIBRARIES)).encode())
    for part in (keras.backend.backend(), *_values(network), *identity):
        is_array = isinstance(part, np.ndarray)
        digest.update(repr((part.dtype, part.shape) if is_array else part).encode())
        if is_array:
            digest.update(np.ascontiguousarray(part))
    return Path(folder, f"fit-{digest.hexdigest()[:32]}.npz")


def _values(owner):
    """Values of the variables of a model (its weights, and the state of its seeds) or optimizer."""
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
    """A callback's number as JSON knows it, unchanged."""
    return value.item() if isinstance(value, np.generic) else value
