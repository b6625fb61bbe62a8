"""Atomic writing of files, and the versions of installed distributions."""

import contextlib
import importlib.metadata
import os
import re
import time
import uuid
from pathlib import Path

import sklearn_patt_lite

PART = re.compile(r"\.[0-9a-f]{32}\.part")  # names of temporary files
_ABANDONED_AGE = 24 * 3600  # seconds: no write takes that long


@contextlib.contextmanager
def replaced(path, *, sync=True):
    """Write a file atomically: to a temporary file beside it, which then replaces it.

    Parameters
    ----------
    path : path-like
        Path of the file, which may exist; a symbolic link stays a link.
    sync : bool, default=True
        Whether to wait until the data are on disk. Otherwise a power cut may leave an empty file.

    Yields
    ------
    Path
        Temporary file to write to. It replaces the file on success, and is deleted on failure.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If the path exists and is not a file.
    """
    path = Path(os.path.realpath(path))
    part = part_of(path)
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{os.fspath(path)!r} exists and is not a file.")
    try:
        yield part
        if sync:
            with open(part, "rb+") as written:
                os.fsync(written.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path):
    """Make a unique name beside a path, for a temporary file or folder.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {os.fspath(path.parent)!r}.")
    return path.with_name(part_name())


def part_name():
    """Make a unique name for a temporary file."""
    return f".{uuid.uuid4().hex}.part"


def remove_abandoned(folder):
    """Remove temporary files of `replaced` that killed processes have left in a folder."""
    for part in Path(folder).glob(".*.part"):
        if not PART.fullmatch(part.name):
            continue
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_AGE:
                part.unlink()


def versions(names):
    """Look up the installed versions of distributions; None for those that are not installed."""
    return {name: _version(name) for name in names}


def _version(name):
    if name == "sklearn-patt-lite":
        return sklearn_patt_lite.__version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
