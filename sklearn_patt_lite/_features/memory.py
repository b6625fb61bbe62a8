"""Storage of feature rows on disk: looked up by key, shared by processes, limited in size.

Rows are stored in files called shards, with unique names and contents that never change. So
processes need no locks; they only have to expect files to appear and disappear.
"""

import contextlib
import math
import numbers
import os
import re
import uuid
import warnings

import numpy as np

from sklearn_patt_lite._features.shards import (
    KEY_SIZE,
    ROW,
    checksum_of,
    headers,
    make_entries,
    read_shard,
)
from sklearn_patt_lite._files import PART, remove_abandoned, replaced

_FOLDER = "sklearn_patt_lite_features"
_ROW_FOLDER = re.compile(r"\d+(x\d+)*")  # one for each shape of rows
_SHARD = re.compile(r"[0-9a-f]{32}\.features")


class FeatureMemory:
    """
    Folder that stores features for reuse, with a size limit.

    Features of frozen layers are slow to compute, and other fits on the same images need the same
    ones. Passed to a classifier as `memory`, the folder stores them for later fits and predictions,
    including those of other processes. Passing a path does the same, with the default limit.

    Parameters
    ----------
    location : str or os.PathLike
        Folder, created when the first features are stored. It may hold other files, and several
        processes may use it at once.
    max_bytes : int or float, default=32 * 2**30
        Size limit in bytes. The least recently used features are removed to make room for new ones.
        Features in use stay, and new ones are not stored if there is no room. Processes that write
        at the same time may exceed the limit for a while.

    See Also
    --------
    PAttLiteClassifier : Takes it as `memory`.
    FeatureMemory.rows : Stores rows of your own.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_patt_lite import FeatureMemory
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     memory = FeatureMemory(folder, max_bytes=2**20)
    ...     memory.rows((2, 3)).write([b"sixteen bytes..."], np.ones((1, 2, 3), np.uint16))
    ...     row = np.empty((2, 3), np.uint16)
    ...     print(memory.rows((2, 3)).read(b"sixteen bytes...", row), row.sum(), memory.nbytes > 12)
    ...     memory.clear()
    ...     print(memory.rows((2, 3)).read(b"sixteen bytes...", row), memory.nbytes)
    True 6 True
    False 0
    """

    def __init__(self, location: str | os.PathLike[str], *, max_bytes: float = 32 * 2**30) -> None:
        self.location = location
        self.max_bytes = max_bytes

    def __repr__(self):
        return f"FeatureMemory({self.location!r}, max_bytes={self.max_bytes!r})"

    @property
    def nbytes(self) -> int:
        """
        Size on disk of all stored features, in bytes.

        It is computed at each access, so it reflects what other processes have written or removed.

        See Also
        --------
        FeatureMemory.clear : Deletes them.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sklearn_patt_lite import FeatureMemory
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     memory = FeatureMemory(folder)
        ...     before = memory.nbytes
        ...     memory.rows((4,)).write([b"sixteen bytes..."], np.ones((1, 4), np.uint16))
        ...     print(before, memory.nbytes > 4 * 2)
        0 True
        """
        return sum(size for _, size, _ in _least_recently_used(self._root()))

    def clear(self) -> None:
        """
        Delete all stored features.

        Other files in the folder stay. Processes that use the features can continue: they recompute
        what they no longer find.

        See Also
        --------
        FeatureMemory.nbytes : Size of what would be deleted.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from sklearn_patt_lite import FeatureMemory
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     memory = FeatureMemory(folder)
        ...     memory.rows((4,)).write([b"sixteen bytes..."], np.ones((1, 4), np.uint16))
        ...     memory.clear()
        ...     print(memory.nbytes, os.listdir(folder))
        0 []
        """
        folders = [folder.path for folder in _scan(self._root(), _ROW_FOLDER)]
        for folder in folders:
            for entry in [*_scan(folder, _SHARD), *_scan(folder, PART)]:
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    os.remove(entry.path)
        for folder in [*folders, self._root()]:
            with contextlib.suppress(OSError):  # it holds other files
                os.rmdir(folder)

    def rows(self, shape: tuple[int, ...]) -> "FeatureRows":
        """
        Open the rows of one shape.

        A classifier does this by itself. Use it to store rows that you have computed yourself. Each
        is looked up by a key of 16 bytes, such as a hash of everything it was computed from.

        Parameters
        ----------
        shape : tuple of int
            Shape of one row, with at least one axis.

        Returns
        -------
        FeatureRows
            Rows for use in this process. To other processes, pass the `FeatureMemory`.

        Raises
        ------
        TypeError, ValueError
            If `max_bytes` is not a number, or not positive.
        NotADirectoryError
            If `location` is a file.

        See Also
        --------
        FeatureMemory.clear : Deletes the rows of all shapes.

        Examples
        --------
        >>> import hashlib, tempfile
        >>> import numpy as np
        >>> from sklearn_patt_lite import FeatureMemory
        >>> key = hashlib.blake2b(b"the image, and what computed the row", digest_size=16).digest()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     FeatureMemory(folder).rows((3,)).write([key], np.array([[1, 2, 3]], np.uint16))
        ...     row = np.empty(3, np.uint16)
        ...     print(FeatureMemory(folder).rows((3,)).read(key, row), row)
        True [1 2 3]
        """
        limit = self.max_bytes
        if not isinstance(limit, numbers.Real) or isinstance(limit, bool):
            raise TypeError(f"max_bytes must be a number of bytes, got {type(limit).__name__}.")
        if not limit > 0:
            raise ValueError(f"max_bytes must be positive, got {limit}.")
        location = self._location()
        if os.path.exists(location) and not os.path.isdir(location):
            raise NotADirectoryError(
                f"Features must be stored in a folder, but {os.fspath(self.location)!r} is a file."
            )
        return FeatureRows(self._root(), shape, limit)

    def _location(self):
        return os.path.abspath(os.path.expanduser(self.location))

    def _root(self):
        return os.path.join(self._location(), _FOLDER)


def as_feature_memory(memory):
    """Convert a `memory` argument to a FeatureMemory.

    Parameters
    ----------
    memory : None, str, os.PathLike, FeatureMemory or joblib.Memory
        Or any other object with an attribute `location` that is a folder or None.

    Returns
    -------
    FeatureMemory or None
        None if there is no folder.

    Raises
    ------
    TypeError
        If `memory` is anything else.

    Examples
    --------
    >>> as_feature_memory("kept").location
    'kept'
    """
    if isinstance(memory, FeatureMemory):
        return memory
    location = getattr(memory, "location", memory)
    if location is None:
        return None
    if not isinstance(location, str | os.PathLike):
        raise TypeError(
            "memory must be None, a folder (str or os.PathLike), a FeatureMemory or a "
            f"joblib.Memory, got {type(memory).__name__}."
        )
    return FeatureMemory(location)


class FeatureRows:
    """Rows of one shape, opened by `FeatureMemory.rows`; threads may share them."""

    def __init__(self, root, shape, max_bytes):
        self._root = root
        self._shape = tuple(int(side) for side in shape)
        self._folder = os.path.join(root, "x".join(map(str, self._shape)))
        self._max_bytes = max_bytes
        # Threads need no lock: each operation on these is atomic, and none is invalidated by
        # another thread. Deleted files stay in them; reading finds out.
        self._index = {}  # key -> (path of the shard, position in it, checksum)
        self._verified = set()  # such triples
        self._used = set()  # paths of shards that were read or written here
        self._warned = False
        with contextlib.suppress(PermissionError):  # another user's folder counts as empty
            remove_abandoned(self._folder)
            self._index_shards()

    def _index_shards(self):
        for path in (entry.path for entry in _scan(self._folder, _SHARD)):
            with contextlib.suppress(OSError):
                shard = read_shard(path, self._shape)
                if shard is None:
                    _remove(path)
                else:
                    self._add(path, *shard)

    def read(self, key, out):
        """Read a row.

        Parameters
        ----------
        key : bytes
            16 bytes.
        out : ndarray of the rows' shape, dtype uint16
            C-contiguous array for the row. Its content is undefined if False is returned.

        Returns
        -------
        bool
            False if there is no such row, or no longer, or if it is damaged.

        Raises
        ------
        ValueError
            If `out` has another shape or dtype.
        """
        _check_rows(out, self._shape)
        place = self._index.get(key)
        if place is None:
            return False
        path, position, checksum = place
        content = out.view(np.uint8)
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(position)
                complete = file.readinto(content) == out.nbytes
        except OSError:  # mostly: another process has removed it
            return False
        if not complete or not (place in self._verified or checksum_of(key, content) == checksum):
            _remove(path)
            return False
        self._note_use(place)
        if out.dtype != ROW:
            out.byteswap(inplace=True)
        return True

    def write(self, keys, rows):
        """Store rows, unless there is no room within `max_bytes` or on the disk.

        Parameters
        ----------
        keys : sequence of bytes of length n
            16 bytes each. The row of an existing key is replaced.
        rows : ndarray of shape (n, ...), dtype uint16
            Rows of the shape that was opened.

        Raises
        ------
        ValueError
            If `rows` has another shape or dtype, or if a key has another length.

        Warns
        -----
        UserWarning
            The first time that the operating system refuses to write.
        """
        _check_rows(rows, (len(keys), *self._shape))
        if any(len(key) != KEY_SIZE for key in keys):
            raise ValueError(f"Keys must have {KEY_SIZE} bytes, got {sorted(set(map(len, keys)))}.")
        if len(keys) == 0:
            return
        rows = np.ascontiguousarray(rows, dtype=ROW)
        try:
            self._keep(make_entries(keys, rows), rows)
        except FileNotFoundError:  # another process has cleared the folder meanwhile
            pass
        except OSError as error:
            if not self._warned:
                self._warned = True
                message = f"Features cannot be stored in {self._folder!r}: {error}"
                warnings.warn(message, UserWarning, stacklevel=2)

    def _keep(self, entries, rows):
        before_entries, before_rows = headers(len(rows), self._shape)
        front = before_entries + entries.tobytes() + before_rows
        path = os.path.join(self._folder, f"{uuid.uuid4().hex}.features")
        self._used.add(path)
        if self._make_room(len(front) + rows.nbytes):
            os.makedirs(self._folder, exist_ok=True)
            # A shard cut off by a power failure is found damaged: no need to wait for the disk.
            with replaced(path, sync=False) as part, open(part, "wb") as file:
                file.write(front)
                file.write(rows)
            self._add(path, len(front), entries)

    def _add(self, path, start, entries):
        row_size = math.prod(self._shape) * ROW.itemsize
        for row, (key, checksum) in enumerate(entries.tolist()):
            self._index[key] = path, start + row * row_size, checksum

    def _note_use(self, place):
        self._verified.add(place)
        path = place[0]
        if path not in self._used:
            self._used.add(path)
            with contextlib.suppress(OSError):
                os.utime(path)

    def _make_room(self, nbytes):
        shards = _least_recently_used(self._root)
        excess = sum(size for _, size, _ in shards) + nbytes - self._max_bytes
        removable = [(size, path) for _, size, path in shards if path not in self._used]
        if excess > sum(size for size, _ in removable):
            return False  # remove nothing if it would not be enough
        for size, path in removable:
            if excess <= 0:
                break
            if _remove(path):
                excess -= size
        return excess <= 0


def _check_rows(rows, shape):
    if rows.shape != shape or rows.dtype.newbyteorder("<") != ROW:
        raise ValueError(
            f"Expected uint16 of shape {shape}, got {rows.dtype} of shape {rows.shape}."
        )


def _least_recently_used(root):
    """List shards of all shapes as (time, size, path), least recently used first."""
    shards = []
    for folder in _scan(root, _ROW_FOLDER):
        for entry in _scan(folder.path, _SHARD):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                shards.append((status.st_mtime_ns, status.st_size, entry.path))
    return sorted(shards)


def _scan(folder, names):
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if names.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(path):
    """Remove a file if possible; return whether it is gone."""
    try:
        os.remove(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
