"""The archive of a saved classifier: its members, and how to read them without trusting them.

It is a zip archive of three members::

    metadata.json         parameters, classes, architecture, history, versions, digests
    weights.safetensors   the network's arrays, by the paths of its variables: "conv1/kernel"
    README.md             the model card
"""

import importlib.resources
import json
import struct
import zipfile

import numpy as np
import safetensors.numpy

METADATA, WEIGHTS, CARD = "metadata.json", "weights.safetensors", "README.md"
#: Classifiers that come with the package.
PRETRAINED = ("fer2013",)
#: Errors raised when opening a file that is not an archive, or a damaged one.
NO_ARCHIVE = (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError)
_MOST_JSON = 2**24  # bytes: parsed JSON takes many times as much memory
_MOST_UNPACKED = 100  # times the packed size: JSON compresses to a tenth, arrays hardly at all


class RefusedError(Exception):
    """Error that says why a file is not loaded."""


def pretrained_file(name):
    """Return a context manager for the path of a packaged classifier; see `PRETRAINED`."""
    file = importlib.resources.files("sklearn_patt_lite") / "weights" / f"{name}.zip"
    return importlib.resources.as_file(file)


def read_member(archive, name):
    """Read a member, unless it would unpack to far more than its packed size (a zip bomb)."""
    info = archive.getinfo(name)
    most = _MOST_UNPACKED * info.compress_size + 2**20
    if info.file_size > most:
        raise RefusedError(
            f"{name} would unpack from {info.compress_size:,} to {info.file_size:,} bytes"
        )
    if info.flag_bits & 1:
        raise RefusedError(f"{name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedError(f"{name} is packed in a way that may unpack to any size")
    try:
        with archive.open(info) as member:
            return member.read(most)  # never more than its header says
    except Exception as error:  # damaged bytes can raise any error of zipfile and zlib
        raise RefusedError(f"{name} is damaged ({error})") from error


def read_json(archive, name):
    """Read a JSON member."""
    if archive.getinfo(name).file_size > _MOST_JSON:
        raise RefusedError(f"{name} would unpack to more than {_MOST_JSON:,} bytes")
    text = read_member(archive, name)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{name} is not valid JSON ({error})") from error


def read_arrays(content):
    """Read the arrays of `WEIGHTS`, by name, as float32."""
    try:
        arrays = safetensors.numpy.load(content)
    except Exception as error:  # safetensors' own error, for a header that describes no arrays
        raise RefusedError(f"{WEIGHTS} is damaged ({error})") from error
    if any(array.dtype not in (np.float32, np.float16) for array in arrays.values()):
        raise RefusedError(f"{WEIGHTS} contains numbers other than float32 and float16")
    return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
