"""Predictions of any number of files, in a Parquet file."""

import hashlib
import importlib.util
import os
import shutil
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from sklearn_patt_lite._files import remove_abandoned, replaced
from sklearn_patt_lite._typing import PathLike, Paths, validate_params
from sklearn_patt_lite.prediction._files import PROBABILITY, as_strings, predict_files


@validate_params(
    {
        "classifier": [HasMethods(["predict_proba"])],
        "paths": ["array-like"],
        "output": [str, os.PathLike],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }
)
def write_predictions(
    classifier: ClassifierMixin,
    paths: Paths,
    output: PathLike,
    *,
    chunk_size: int = 2000,
    verbose: int = 0,
) -> int:
    """
    Predict any number of files, and write labels and probabilities to a Parquet file.

    Files are predicted in chunks, which lie in the folder "<output>.parts" until the last one is
    done. A run that was killed, and is started again with the same arguments, goes on with the
    chunk that it was at, and ends with the same file; one that had ended finds it. Files that
    cannot be read have a row that says why.

    Parameters
    ----------
    classifier : classifier
        As for :func:`predict_files`.
    paths : array-like of str or path-like, shape (n,)
        Paths of the images. They are all that grows in memory with their number.
    output : path-like
        The Parquet file. Its columns are those of :func:`predict_files`, a chunk is a row group.
    chunk_size : int, default=2000
        Number of files in a chunk, at least 1: what is lost at most if the run is killed.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    int
        Number of files that could not be read.

    Raises
    ------
    ImportError
        If pyarrow is missing, which the extra ``parquet`` brings.
    FileNotFoundError
        If the output's folder is not there.
    FileExistsError
        If the output, or its folder of parts, holds predictions of other files, by another
        classifier, or in chunks of another size. Nothing is overwritten.
    TypeError
        If one of the paths is none.
    ValueError
        If not one file of the first chunk can be read.

    See Also
    --------
    predict_files : The columns of a chunk, for tables that other programs write.

    Notes
    -----
    Classifiers are the same if `joblib.hash` says so, which counts all of their parameters.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pyarrow import parquet
    >>> from sklearn_patt_lite import PAttLiteClassifier
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> from sklearn_patt_lite.prediction import write_predictions
    >>> faces = make_expression_faces(n_subjects=1, image_size=48, random_state=0)
    >>> classifier = PAttLiteClassifier.from_pretrained("fer2013")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder, f"{i}.png") for i in range(4)]
    ...     for path, image in zip(paths, faces.images):
    ...         Image.fromarray(image).save(path)
    ...     n_unread = write_predictions(classifier, paths, Path(folder, "faces.parquet"))
    ...     table = parquet.read_table(Path(folder, "faces.parquet"))
    >>> n_unread, table.num_rows, table.column_names[:3]
    (0, 4, ['path', 'label', 'probability_angry'])
    """
    check_pyarrow()
    check_is_fitted(classifier)
    paths, output = as_strings(paths), Path(output)
    schema = _schema(classifier, paths, chunk_size)
    if not output.exists():
        parts = _write_parts(classifier, paths, output, schema, chunk_size, verbose)
        _join(parts, output, schema)
        shutil.rmtree(_folder_of(output), ignore_errors=True)
    return _count_unread(output, schema)


def check_pyarrow():
    """Check that pyarrow is there.

    Raises
    ------
    ImportError
        If it is not, with the way to install it.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ImportError(
            "Parquet files need the package pyarrow: pip install 'sklearn-patt-lite[parquet]'."
        )


def _schema(classifier, paths, chunk_size):
    """Describe the table: its columns, and whose predictions these are."""
    import pyarrow as pa

    classes = np.asarray(classifier.classes_).tolist()
    columns = [
        ("path", pa.string()),
        ("label", pa.array(classes).type),
        *((f"{PROBABILITY}{name}", pa.float32()) for name in classes),
        ("error", pa.string()),
    ]
    made_from = {
        "paths": hashlib.sha256("\0".join(paths).encode("utf-8", "surrogateescape")).hexdigest(),
        "classifier": joblib.hash(classifier),
        "chunk_size": str(chunk_size),
    }
    return pa.schema(columns).with_metadata(made_from)


def _write_parts(classifier, paths, output, schema, chunk_size, verbose):
    """Write the parts that are not there yet; paths of all parts, in order."""
    import pyarrow as pa
    from pyarrow import parquet

    folder = _folder_of(output)
    if not output.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {os.fspath(output.parent)!r}.")
    folder.mkdir(exist_ok=True)
    remove_abandoned(folder)
    starts = range(0, len(paths), chunk_size)
    parts = {start: folder / f"{start:012}.parquet" for start in starts}
    for part in filter(Path.exists, parts.values()):
        _check_origin(part, folder, schema)
    missing = [start for start in starts if not parts[start].exists()]
    n_done = min(len(paths), (len(parts) - len(missing)) * chunk_size)
    with tqdm(total=len(paths), initial=n_done, unit=" files", disable=not verbose) as bar:
        for start in missing:
            columns = predict_files(classifier, paths[start : start + chunk_size])
            if start == 0:
                _check_some_were_read(columns)
            arrays = [
                pa.array(columns[field.name], field.type, from_pandas=True) for field in schema
            ]
            with replaced(parts[start]) as file:
                parquet.write_table(pa.table(arrays, schema=schema), file)
            bar.update(len(columns["path"]))
    return list(parts.values())


def _join(parts, output, schema):
    """Write all parts to one file."""
    from pyarrow import parquet

    with replaced(output) as file, parquet.ParquetWriter(file, schema) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part))


def _count_unread(output, schema):
    """Count the rows of a finished table that tell of an error."""
    from pyarrow import parquet

    _check_origin(output, output, schema)
    errors = parquet.read_table(output, columns=["error"])["error"]
    return len(errors) - errors.null_count


def _folder_of(output):
    """Folder of the parts of a table that is not finished."""
    return output.with_name(f"{output.name}.parts")


def _check_origin(file, kept, schema):
    """Check that a file of predictions was made from the same as this table."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_schema(file).metadata or {}
    except pa.ArrowInvalid as error:
        raise FileExistsError(
            f"{os.fspath(file)!r} is there, and is no Parquet file: delete it, or write to "
            "another one."
        ) from error
    others = {
        b"paths": "other paths",
        b"classifier": "another classifier, or one with other parameters",
        b"chunk_size": "chunks of another size",
    }
    for key, what in others.items():
        if found.get(key) != schema.metadata[key]:
            raise FileExistsError(
                f"{os.fspath(kept)!r} holds predictions of {what}: delete it, or write to "
                "another file."
            )


def _check_some_were_read(columns):
    """Stop before a million rows of errors are written."""
    errors = columns["error"]
    if len(errors) and all(errors):
        raise ValueError(
            f"Not one of the first {len(errors)} files could be read. The first: {errors[0]}. Are "
            "the paths those of another folder, or of another machine?"
        )
