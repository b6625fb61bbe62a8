"""Run each fit once: its predictions are kept, so that a stopped run can be continued."""

import os
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow, which logs from C++

import joblib
import numpy as np
from tqdm import tqdm

import sklearn_patt_lite
from sklearn_patt_lite import PAttLiteClassifier


@dataclass(frozen=True)
class Fit:
    """Identifies a fit: the row of the table, the seed, and the split."""

    row: str
    seed: int
    split: int = 0

    def __str__(self):
        return f"{self.row}: seed {self.seed}, split {self.split}"


@dataclass
class Predictions:
    """Predictions of a row's networks for the tested faces.

    `probabilities` is of shape (n_seeds, n_tested, n_classes), in the order of `Faces.tested`;
    `n_parameters` is the number of a network's parameters.
    """

    probabilities: np.ndarray
    n_parameters: int

    @property
    def labels(self):
        """Most probable classes, (n_seeds, n_tested)."""
        return self.probabilities.argmax(axis=-1)


def fit_rows(faces, rows, arguments):
    """Fit and test each row's network with each seed, in each split.

    Parameters
    ----------
    faces : Faces
        What to train and test on.
    rows : dict of str to dict
        Parameters of the classifier, by row name.
    arguments : argparse.Namespace
        `seeds`, `set`, `output` and `verbose`.

    Returns
    -------
    dict of str to Predictions
    """
    fits = {
        Fit(name, seed, i): (make_classifier(faces, arguments, seed, **parameters), split)
        for name, parameters in rows.items()
        for seed in range(arguments.seeds)
        for i, split in enumerate(faces.splits)
    }
    found = run_once(
        {fit: (classifier.get_params(), vars(split)) for fit, (classifier, split) in fits.items()},
        lambda fit: _fit_and_predict(faces, *fits[fit], arguments),
        faces,
        arguments.output,
    )
    return {name: _gather(name, found, faces, arguments) for name in rows}


def make_classifier(faces, arguments, seed, **parameters):
    """Make a row's classifier; its parameters override the user's, and those the database's."""
    settings = {"recipe": "paper", **faces.settings, **arguments.set, **parameters}
    return PAttLiteClassifier(random_state=seed, **settings)


def fit(classifier, faces, split, arguments):
    """Fit a classifier to a split's training rows; fits share the features of frozen layers."""
    given = {}
    if faces.groups is not None:
        given["groups"] = faces.groups[split.train]
    if split.validation is not None:
        given["X_val"] = faces.images[split.validation]
        given["y_val"] = faces.target[split.validation]
    memory = arguments.output / "features"
    classifier.set_params(memory=memory, verbose=int(arguments.verbose))
    return classifier.fit(faces.images[split.train], faces.target[split.train], **given)


def run_once(jobs, work, faces, output):
    """Run the jobs that are not done yet, with a progress bar; keep their results on disk.

    Parameters
    ----------
    jobs : dict
        Maps each job's `Fit` to all that determines its result, apart from the faces.
    work : callable
        Runs the job of a `Fit`; returns a dict of arrays.
    faces : Faces
        Faces that the jobs use.
    output : Path
        Folder; files are written to its subfolder `fits`.

    Returns
    -------
    dict
        Maps each job's `Fit` to its dict of arrays.
    """
    folder = output / "fits"
    folder.mkdir(parents=True, exist_ok=True)
    code, data = _fingerprint_of_code(), _fingerprint(faces)
    files = {
        name: folder / f"{joblib.hash((code, data, determined))}.npz"
        for name, determined in jobs.items()
    }
    missing = [name for name in jobs if not files[name].exists()]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} fits found in {folder}", flush=True)
    progress = tqdm(missing, total=len(jobs), initial=len(jobs) - len(missing), unit="fit")
    try:
        for name in progress:
            progress.set_description(str(name))
            _write(files[name], work(name))
    except KeyboardInterrupt:
        progress.close()
        sys.exit(f"Stopped. {progress.n} of {len(jobs)} fits are kept: rerun to continue.")
    return {name: _read(path) for name, path in files.items()}


def _fit_and_predict(faces, classifier, split, arguments):
    fit(classifier, faces, split, arguments)
    return {
        "probabilities": classifier.predict_proba(faces.images[split.test]),
        "classes": classifier.classes_,
        "n_parameters": np.array(classifier.n_parameters_),
    }


def _gather(name, found, faces, arguments):
    """Join the folds; a class that a fold was not trained on has probability 0 there."""
    shape = arguments.seeds, len(faces.tested), len(faces.target_names)
    probabilities = np.zeros(shape)
    for seed in range(arguments.seeds):
        start = 0
        for i, split in enumerate(faces.splits):
            part, end = found[Fit(name, seed, i)], start + len(split.test)
            probabilities[seed, start:end, part["classes"]] = part["probabilities"].T
            start = end
    return Predictions(probabilities, int(found[Fit(name, 0, 0)]["n_parameters"]))


def _fingerprint_of_code():
    """Hash the library's code, to detect other and changed versions."""
    folder = Path(sklearn_patt_lite.__file__).parent
    return joblib.hash([path.read_bytes() for path in sorted(folder.rglob("*.py"))])


def _fingerprint(faces):
    """Hash the faces; files by path, size and modification time, without reading them."""
    images = faces.images
    if images.ndim == 1:
        stats = [os.stat(path) for path in images]
        images = [(str(p), s.st_size, s.st_mtime_ns) for p, s in zip(images, stats, strict=True)]
    return joblib.hash((images, faces.target, faces.groups))


def _write(path, arrays):
    """Write under another name first, so that a killed run leaves no incomplete result."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def _read(path):
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"{path} cannot be read ({error}): delete it, and run again")
