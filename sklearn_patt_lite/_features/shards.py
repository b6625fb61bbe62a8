"""Shards: files of feature rows that were written together.

A shard holds `_MAGIC`, the number of rows, and two arrays in NumPy's format: the entries (keys and
checksums) and the rows.
"""

import functools
import io
import math
import os
import zlib

import numpy as np

_MAGIC = b"PAttRow\x01"  # the last byte is the format's version
KEY_SIZE = 16
# The checksum covers key and row: if it covered only the row, a damaged key would find a wrong row.
_ENTRY = np.dtype([("key", f"V{KEY_SIZE}"), ("checksum", "<u4")])
ROW = np.dtype("<u2")


def checksum_of(key, content):
    return zlib.crc32(content, zlib.crc32(key))


def make_entries(keys, rows):
    entries = np.empty(len(keys), dtype=_ENTRY)
    entries["key"] = np.frombuffer(b"".join(keys), dtype=_ENTRY["key"])
    entries["checksum"] = [checksum_of(key, row) for key, row in zip(keys, rows, strict=True)]
    return entries


@functools.lru_cache(maxsize=256)  # a folder holds thousands of shards of a few sizes
def headers(n, shape):
    """Return the bytes before the entries and before the rows, in a shard of `n` rows."""
    before_entries = _MAGIC + n.to_bytes(8, "little") + _array_header(_ENTRY, (n,))
    return before_entries, _array_header(ROW, (n, *shape))


def _array_header(dtype, shape):
    descr = np.lib.format.dtype_to_descr(dtype)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def read_shard(path, shape):
    """Return the offset of a shard's rows, and its entries; None if the file is damaged."""
    with open(path, "rb") as file:
        front = file.read(len(_MAGIC) + 8)
        n = int.from_bytes(front[len(_MAGIC) :], "little")
        # Headers are compared, not parsed: no damage to them goes unnoticed.
        before_entries, before_rows = headers(n, shape)
        if front + file.read(len(before_entries) - len(front)) != before_entries:
            return None
        start = len(before_entries) + n * _ENTRY.itemsize + len(before_rows)
        if os.fstat(file.fileno()).st_size != start + n * math.prod(shape) * ROW.itemsize:
            return None
        entries = np.frombuffer(file.read(n * _ENTRY.itemsize), dtype=_ENTRY)
        if file.read(len(before_rows)) != before_rows:
            return None
    return start, entries
