"""Write predictions of any number of files to a Parquet file."""

import hashlib
import os
import shutil
from numbers import Integral
from pathlib import Path

import joblib
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import HasMethods, Interval
from tqdm import tqdm

from sklearn_patt_lite._files import remove_abandoned, replaced
from sklearn_patt_lite._typing import PathLike, Paths, validate_params
from sklearn_patt_lite.prediction._files import as_strings, predict_files
from sklearn_patt_lite.prediction._schema import predictions_schema

#: What a table was made from, and how errors describe a difference.
_MADE_FROM = {
    "paths": "other paths",
    "classifier": "another classifier, or one with other parameters (even verbose or memory)",
    "chunk_size": "chunks of another size",
}


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

    Files are predicted in chunks, which are kept in the folder "<output>.parts" until all are done.
    If a run is killed, call the function again with the same arguments: it continues with the first
    missing chunk, and the output is the same. If the output is already complete, nothing is
    predicted again. A file that cannot be read gets a row that says why.

    Parameters
    ----------
    classifier : classifier
        As for :func:`predict_files`.
    paths : array-like of str or path-like, shape (n,)
        Paths of the images, in UTF-8. Hardly any other memory use grows with their number.
    output : path-like
        The Parquet file, in an existing folder. Its columns are those of :func:`predict_files`, as
        :func:`predictions_schema` describes them. Only one process may write it at a time.
    chunk_size : int, default=2000
        Number of files in a chunk, at least 1. A run that is killed loses at most one chunk.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    int
        Number of files that could not be read.

    Raises
    ------
    ImportError
        If pyarrow is missing; the extra ``parquet`` installs it.
    FileNotFoundError
        If the output's folder does not exist, or if none of the folders of a whole chunk of files
        exists: the paths belong to another folder or machine, or a disk is missing. Finished chunks
        are kept.
    FileExistsError
        If the output, or its folder of parts, holds predictions of other files, by another
        classifier, or in chunks of another size. Nothing is overwritten.
    TypeError
        If an item of `paths` is not a path, if `paths` is unordered, or if the classifier cannot be
        pickled, so that the next run could not recognize it.
    ValueError
        If a path is not UTF-8.

    See Also
    --------
    predict_files : The columns of a chunk, for tables that other programs write.
    predictions_schema : The types of the columns.

    Notes
    -----
    Two classifiers count as the same if their `joblib.hash` is the same. The hash depends on all
    parameters, including those that do not change predictions, such as `batch_size`, so load the
    classifier from the same file in each run.

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
    schema = predictions_schema(classifier)
    paths, output = as_strings(paths), Path(output)
    schema = schema.with_metadata(_made_from(classifier, paths, chunk_size))
    if not output.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {os.fspath(output.parent)!r}.")
    remove_abandoned(output.parent)
    folder = output.with_name(f"{output.name}.parts")
    if not output.exists():
        parts = _write_parts(classifier, paths, folder, schema, chunk_size, verbose)
        _join(parts, output, schema)
    n_unread = _count_unread(output, schema)
    shutil.rmtree(folder, ignore_errors=True)  # a killed run may have left it
    return n_unread


def _made_from(classifier, paths, chunk_size):
    """Describe what the table is made from, as metadata of its file."""
    try:
        of_classifier = joblib.hash(classifier)
    except Exception as error:  # whatever pickle raises
        raise TypeError(
            "The classifier cannot be pickled, so the next run could not recognize it "
            f"({error}). Its functions, such as a detector, must be defined in a module."
        ) from error
    digest = hashlib.sha256()
    for row, path in enumerate(paths):
        try:
            digest.update(_absolute(path).encode() + b"\0")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"row {row} of paths: {path!r} is not UTF-8, as text in Parquet files must be. "
                "Rename the file, or leave it out."
            ) from error
    return {
        "paths": digest.hexdigest(),
        "classifier": of_classifier,
        "chunk_size": str(chunk_size),
    }


def _write_parts(classifier, paths, folder, schema, chunk_size, verbose):
    """Write the parts that are missing; return the paths of all parts, in order."""
    remove_abandoned(folder)
    starts = range(0, len(paths), chunk_size)
    parts = {start: folder / f"{start:012}.parquet" for start in starts}
    for part in filter(Path.exists, parts.values()):
        _check_made_from(part, schema, "delete it")
    missing = [start for start in starts if not parts[start].exists()]
    n_done = min(len(paths), (len(parts) - len(missing)) * chunk_size)
    with tqdm(total=len(paths), initial=n_done, unit=" files", disable=not verbose) as bar:
        for start in missing:
            chunk = paths[start : start + chunk_size]
            table = _predict(classifier, chunk, schema)
            if table["error"].null_count == 0:
                _check_a_folder_exists(chunk, start)
            folder.mkdir(exist_ok=True)
            _write(table, parts[start])
            bar.update(len(chunk))
    return list(parts.values())


def _check_a_folder_exists(chunk, start):
    """Stop if a disk is gone, before all of its files become rows of errors."""
    folders = {os.path.dirname(_absolute(path)) for path in chunk}
    if not any(map(os.path.isdir, folders)):
        raise FileNotFoundError(
            f"None of the {len(chunk)} files from row {start} on could be read, and their folders "
            f"do not exist; the first file is {chunk[0]!r}. Do the paths belong to another folder "
            "or machine, or is a disk missing? Finished chunks are kept."
        )


def _absolute(path):
    return os.path.abspath(os.path.expanduser(path))


def _predict(classifier, chunk, schema):
    """Predict a chunk; return a pyarrow.Table."""
    import pyarrow as pa

    columns = predict_files(classifier, chunk)
    # from_pandas: nan becomes null.
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in schema]
    return pa.table(arrays, schema=schema)


def _write(table, path):
    from pyarrow import parquet

    with replaced(path) as file:
        parquet.write_table(table, file)


def _join(parts, output, schema):
    """Write all parts to one file."""
    from pyarrow import parquet

    with replaced(output) as file, parquet.ParquetWriter(file, schema) as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file_of_part:
                writer.write_table(file_of_part.read())


def _count_unread(output, schema):
    """Count the rows of a finished table that report an error."""
    from pyarrow import parquet

    _check_made_from(output, schema, "delete it, or write to another file")
    with parquet.ParquetFile(output) as file:
        return sum(
            len(batch) - batch["error"].null_count for batch in file.iter_batches(columns=["error"])
        )


def _check_made_from(file, schema, way_out):
    """Check that a file of predictions was made from the same inputs as this table."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise FileExistsError(
            f"{os.fspath(file)!r} exists and is not a Parquet file: {way_out}."
        ) from error
    for key, what in _MADE_FROM.items():
        if found.get(key.encode()) != schema.metadata[key.encode()]:
            raise FileExistsError(f"{os.fspath(file)!r} contains predictions of {what}: {way_out}.")
