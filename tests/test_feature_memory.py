"""Feature rows on disk: nothing wrong is ever read, whatever befell the files."""

import copy
import errno
import io
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer

from sklearn_patt_lite._features.memory import FeatureMemory, as_feature_memory

SHAPE = (2, 3, 4)
ROW_SIZE = 2 * 3 * 4 * 2
N_ROWS = 5


def key(i):
    return i.to_bytes(16, "big")  # mostly zero bytes, which a string dtype would lose


def row(i, shape=SHAPE):
    return np.random.default_rng(i).integers(0, 2**16, shape, np.uint16)


def write(handle, numbers):
    handle.write([key(i) for i in numbers], np.stack([row(i) for i in numbers]))


def read(handle, i):
    """The row, or None."""
    out = np.zeros(SHAPE, np.uint16)
    return out if handle.read(key(i), out) else None


def kept(handle, numbers):
    """Which of the rows can be read; each of them must be right."""
    found = {i: read(handle, i) for i in numbers}
    found = {i: out for i, out in found.items() if out is not None}
    for i, out in found.items():
        assert_array_equal(out, row(i))
    return list(found)


def shards(folder):
    return sorted(Path(folder).rglob("*.features"))


def unfinished(folder):
    return sorted(Path(folder).rglob("*.part"))


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture
def memory(tmp_path):
    return FeatureMemory(tmp_path)


@pytest.fixture
def shard_size(tmp_path_factory):
    """Bytes of a shard of one row."""
    memory = FeatureMemory(tmp_path_factory.mktemp("one_row"))
    write(memory.rows(SHAPE), [0])
    return memory.nbytes


# --- Rows go in and come out


@pytest.mark.parametrize("again", [False, True], ids=["same handle", "new handle"])
@pytest.mark.parametrize("shape", [(1,), (7,), SHAPE, (np.int64(2), np.int32(2))], ids=str)
def test_rows_come_back_as_they_were(memory, shape, again):
    handle = memory.rows(shape)
    rows = np.stack([row(i, shape) for i in range(N_ROWS)])
    rows[0] = 0
    rows[1] = 2**16 - 1
    handle.write([key(i) for i in range(N_ROWS)], rows)
    if again:
        handle = memory.rows(tuple(map(int, shape)))
    for i in reversed(range(N_ROWS)):
        for _ in range(2):
            out = np.zeros(shape, np.uint16)
            assert handle.read(key(i), out)
            assert_array_equal(out, rows[i])


def test_a_write_is_one_file_in_the_folder_of_its_shape(memory, tmp_path):
    write(memory.rows(SHAPE), range(N_ROWS))
    write(memory.rows(SHAPE), range(N_ROWS, 2 * N_ROWS))
    assert len(shards(tmp_path)) == 2
    assert {file.parent for file in shards(tmp_path)} == {
        tmp_path / "sklearn_patt_lite_features" / "2x3x4"
    }


def test_missing_keys(memory, tmp_path):
    handle = memory.rows(SHAPE)
    assert kept(handle, range(2)) == []
    assert not any(tmp_path.iterdir())  # to look for rows makes no folder
    write(handle, [0])
    assert kept(handle, range(2)) == [0]
    assert kept(memory.rows((4, 3, 2)), []) == []
    assert not memory.rows((4, 3, 2)).read(key(0), np.empty((4, 3, 2), np.uint16))


def test_nothing_to_write(memory):
    memory.rows(SHAPE).write([], np.empty((0, *SHAPE), np.uint16))
    assert memory.nbytes == 0


def test_rows_may_lie_anyhow_in_memory_and_in_any_byte_order(memory):
    handle = memory.rows(SHAPE)
    rows = np.stack([row(i) for i in range(4)])
    strided = np.asfortranarray(np.repeat(rows, 2, axis=0))[::2]
    handle.write([key(i) for i in range(4)], strided.astype(">u2"))
    assert kept(handle, range(4)) == list(range(4))
    out = np.empty(SHAPE, ">u2")
    assert handle.read(key(3), out)
    assert_array_equal(out, row(3))


def test_a_file_holds_little_endian_arrays_that_numpy_reads(memory, tmp_path):
    write(memory.rows(SHAPE), range(3))
    with shards(tmp_path)[0].open("rb") as file:
        file.seek(16)
        entries = np.load(file, allow_pickle=False)
        rows = np.load(file, allow_pickle=False)
    assert entries["key"].tolist() == [key(i) for i in range(3)]
    assert rows.dtype == np.dtype("<u2")
    assert_array_equal(rows, [row(i) for i in range(3)])


def test_the_newest_of_duplicates_is_read_and_any_of_them_is_enough(memory, tmp_path):
    handle = memory.rows(SHAPE)
    write(handle, [0, 1, 0])
    write(handle, [1, 2])
    assert kept(handle, range(3)) == [0, 1, 2]
    assert kept(memory.rows(SHAPE), range(3)) == [0, 1, 2]
    handle.write([key(0)], row(7)[np.newaxis])
    assert_array_equal(read(handle, 0), row(7))


@pytest.mark.parametrize(
    "out",
    [
        np.empty(SHAPE[1:], np.uint16),
        np.empty(SHAPE, np.float32),
        np.empty(SHAPE, np.int16),
    ],
    ids=["shape", "float32", "int16"],
)
def test_a_wrong_array_is_refused_and_harms_no_file(memory, out):
    handle = memory.rows(SHAPE)
    write(handle, [0])
    with pytest.raises(ValueError, match=r"Expected uint16 of shape \(2, 3, 4\), got"):
        handle.read(key(0), out)
    with pytest.raises(ValueError, match=r"Expected uint16 of shape \(1, 2, 3, 4\), got"):
        handle.write([key(0)], out[np.newaxis])
    assert kept(memory.rows(SHAPE), [0]) == [0]


def test_keys_of_another_length_are_refused(memory):
    with pytest.raises(ValueError, match=r"16 bytes, got \[8, 24\]"):
        memory.rows(SHAPE).write([b"." * 8, b"." * 24], np.stack([row(0), row(1)]))


# --- Several processes and threads


def test_a_row_is_verified_when_it_is_first_read(memory, monkeypatch):
    handle = memory.rows(SHAPE)
    write(handle, [0])
    assert kept(handle, [0]) == [0]
    monkeypatch.setattr("sklearn_patt_lite._features.memory.checksum_of", lambda key, content: None)
    assert kept(handle, [0]) == [0]
    assert kept(memory.rows(SHAPE), [0]) == []


def test_a_process_killed_while_it_writes_leaves_nothing_that_is_believed(memory, tmp_path):
    result = run_python(f"""
import os, signal
import numpy as np
from sklearn_patt_lite._features.memory import FeatureMemory

os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
keys = [i.to_bytes(16, "big") for i in range(3)]
FeatureMemory({str(tmp_path)!r}).rows({SHAPE}).write(keys, np.ones((3, *{SHAPE}), np.uint16))
""")
    assert result.returncode == -9, result.stderr
    (left,) = unfinished(tmp_path)
    assert left.stat().st_size > 3 * ROW_SIZE  # all but renamed
    handle = memory.rows(SHAPE)
    assert kept(handle, range(3)) == []
    assert memory.nbytes == 0
    write(handle, range(3))
    assert kept(handle, range(3)) == [0, 1, 2]
    assert left.exists()  # its process might live
    long_ago = time.time() - 25 * 3600
    os.utime(left, (long_ago, long_ago))
    assert kept(memory.rows(SHAPE), range(3)) == [0, 1, 2]
    assert not left.exists()


def read_or_write(memory, numbers):
    """As the classifier does: one row after the other, each written if it is not there."""
    handle = memory.rows(SHAPE)
    for i in numbers:
        if read(handle, i) is None:
            write(handle, [i])
        if i % 5 == 0:
            handle = memory.rows(SHAPE)  # finds what the others have written since
        kept(handle, range(i))
    return len(kept(handle, numbers))


def test_processes_that_write_at_once(memory):
    numbers = range(40)
    orders = [numbers, numbers[::-1], numbers[20:], numbers[:20]]
    found = joblib.Parallel(n_jobs=2)(
        joblib.delayed(read_or_write)(memory, order) for order in orders
    )
    assert found == [len(order) for order in orders]
    assert kept(memory.rows(SHAPE), numbers) == list(numbers)


def test_processes_that_write_and_prune_at_once(tmp_path, shard_size):
    memory = FeatureMemory(tmp_path, max_bytes=10 * shard_size)
    orders = [range(30), range(30)[::-1], range(15, 45), range(45)[::-1]]
    joblib.Parallel(n_jobs=2)(joblib.delayed(read_or_write)(memory, order) for order in orders)
    write(memory.rows(SHAPE), [100])
    assert memory.nbytes <= 10 * shard_size
    assert 100 in kept(memory.rows(SHAPE), range(101))


def test_threads_share_a_handle(memory):
    handle = memory.rows(SHAPE)

    def work(first):
        for i in range(first, first + 20):
            write(handle, [i])
            assert i in kept(handle, range(80))

    joblib.Parallel(n_jobs=4, require="sharedmem")(joblib.delayed(work)(20 * i) for i in range(4))
    assert kept(handle, range(80)) == list(range(80))


def test_files_that_others_delete(memory, tmp_path):
    handle = memory.rows(SHAPE)
    write(handle, [0, 1])
    write(handle, [2])
    assert kept(handle, range(3)) == [0, 1, 2]
    memory.clear()
    assert kept(handle, range(3)) == []
    write(handle, [1])
    assert kept(handle, range(3)) == [1]


def test_a_folder_cleared_while_a_file_is_written(memory, monkeypatch):
    replace = os.replace

    def clear_and_replace(*paths):
        memory.clear()
        replace(*paths)

    handle = memory.rows(SHAPE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", clear_and_replace)
        write(handle, [0])
    assert kept(handle, [0]) == []
    write(handle, [0])
    assert kept(handle, [0]) == [0]


# --- Damage


def n_bytes_before_rows(content):
    return len(content) - N_ROWS * ROW_SIZE


def regions(content):
    """First and last byte of every region of a shard of N_ROWS rows."""
    entry, rows = 20, n_bytes_before_rows(content)
    entries = content.index(key(0))
    regions = {
        "magic": (0, 8),
        "number of rows": (8, 16),
        "header of the entries": (16, entries),
        "header of the rows": (entries + N_ROWS * entry, rows),
    }
    for i in range(N_ROWS):
        regions[f"key {i}"] = (entries + i * entry, entries + i * entry + 16)
        regions[f"checksum {i}"] = (entries + i * entry + 16, entries + (i + 1) * entry)
        regions[f"row {i}"] = (rows + i * ROW_SIZE, rows + (i + 1) * ROW_SIZE)
    return regions


def test_the_regions_make_up_the_file(memory, tmp_path):
    write(memory.rows(SHAPE), range(N_ROWS))
    content = shards(tmp_path)[0].read_bytes()
    covered = [i for first, end in regions(content).values() for i in range(first, end)]
    assert sorted(covered) == list(range(len(content)))


def assert_damage_is_harmless(memory, file, damaged):
    """`damaged` was a file of rows 0 to N_ROWS - 1; return which of them can be read."""
    file.write_bytes(damaged)
    handle = memory.rows(SHAPE)
    found = kept(handle, range(N_ROWS))
    missing = sorted({*range(N_ROWS)} - {*kept(handle, range(N_ROWS))})
    if missing:
        write(handle, missing)
    assert kept(handle, range(N_ROWS)) == list(range(N_ROWS))
    assert kept(memory.rows(SHAPE), range(N_ROWS)) == list(range(N_ROWS))
    for shard in shards(file.parent):
        shard.unlink()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_never_makes_a_wrong_row(memory, tmp_path, seed):
    rng = np.random.default_rng(seed)
    write(memory.rows(SHAPE), range(N_ROWS))
    (file,) = shards(tmp_path)
    content = file.read_bytes()
    for region, (first, end) in regions(content).items():
        damaged = bytearray(content)
        damaged[rng.integers(first, end)] ^= rng.integers(1, 256)
        found = assert_damage_is_harmless(memory, file, damaged)
        if region.split()[0] in ("magic", "number", "header"):
            assert found == []
        else:
            assert int(region[-1]) not in found


def test_every_bit_of_the_headers_matters(memory, tmp_path):
    write(memory.rows(SHAPE), range(N_ROWS))
    (file,) = shards(tmp_path)
    content = file.read_bytes()
    for region, (first, end) in regions(content).items():
        if region.split()[0] in ("magic", "number", "header"):
            for place in range(first, end):
                damaged = bytearray(content)
                damaged[place] ^= 1 << place % 8
                file.write_bytes(damaged)
                assert kept(memory.rows(SHAPE), range(N_ROWS)) == []
                assert not file.exists()


@pytest.mark.parametrize("i", range(N_ROWS))
def test_a_damaged_key_does_not_find_the_row_of_another(memory, tmp_path, i):
    write(memory.rows(SHAPE), range(N_ROWS))
    (file,) = shards(tmp_path)
    file.write_bytes(file.read_bytes().replace(key(i), key(77)))
    handle = memory.rows(SHAPE)
    assert read(handle, 77) is None
    assert not file.exists()
    assert kept(handle, range(N_ROWS)) == []  # all rows of the file


def test_truncated_files(memory, tmp_path):
    write(memory.rows(SHAPE), range(N_ROWS))
    (file,) = shards(tmp_path)
    content = file.read_bytes()
    before_rows = n_bytes_before_rows(content)
    for size in [0, 1, 15, 16, 40, before_rows - 1, before_rows, before_rows + 1, len(content) - 1]:
        assert assert_damage_is_harmless(memory, file, content[:size]) == []
    assert assert_damage_is_harmless(memory, file, content + b".") == []
    assert assert_damage_is_harmless(memory, file, bytes(len(content))) == []


def test_a_file_truncated_after_it_was_opened(memory, tmp_path):
    write(memory.rows(SHAPE), range(N_ROWS))
    handle = memory.rows(SHAPE)
    assert kept(handle, range(N_ROWS)) == list(range(N_ROWS))
    (file,) = shards(tmp_path)
    os.truncate(file, file.stat().st_size - 1)
    assert kept(handle, range(N_ROWS - 1)) == list(range(N_ROWS - 1))
    assert kept(handle, [N_ROWS - 1]) == []
    assert not file.exists()


def test_a_file_of_another_shape_is_not_believed(memory, tmp_path):
    write(memory.rows(SHAPE), range(N_ROWS))
    (file,) = shards(tmp_path)
    elsewhere = file.parent.with_name("4x3x2")  # as many bytes
    elsewhere.mkdir()
    file.rename(elsewhere / file.name)
    assert not memory.rows((4, 3, 2)).read(key(0), np.empty((4, 3, 2), np.uint16))


# --- The size limit


def set_age(file, hours):
    then = time.time() - hours * 3600
    os.utime(file, (then, then))


def write_with_age(memory, i, hours):
    before = set(shards(memory.location))
    write(memory.rows(SHAPE), [i])
    (new,) = set(shards(memory.location)) - before
    set_age(new, hours)


def test_least_recently_used_rows_make_room(tmp_path, shard_size):
    memory = FeatureMemory(tmp_path, max_bytes=3 * shard_size)
    for i, hours in enumerate([2, 4, 3]):
        write_with_age(memory, i, hours)
    assert kept(memory.rows(SHAPE), [1]) == [1]  # the oldest one is used again
    write(memory.rows(SHAPE), [3])
    assert memory.nbytes == 3 * shard_size
    assert kept(memory.rows(SHAPE), range(4)) == [0, 1, 3]


def test_other_shapes_make_room_too(tmp_path, shard_size):
    memory = FeatureMemory(tmp_path, max_bytes=2 * shard_size)
    write_with_age(memory, 0, 1)
    write_with_age(memory, 1, 2)
    memory.rows((4,)).write([key(0)], row(0, (1, 4)))
    assert memory.nbytes < 2 * shard_size
    assert kept(memory.rows(SHAPE), range(2)) == [0]


def test_rows_in_use_stay(tmp_path, shard_size):
    memory = FeatureMemory(tmp_path, max_bytes=2 * shard_size)
    write(memory.rows(SHAPE), [0])
    handle = memory.rows(SHAPE)
    read(handle, 0)
    write(handle, [1])
    for shard in shards(tmp_path):
        set_age(shard, 1)
    write(handle, [2])
    assert kept(handle, range(3)) == [0, 1]
    write(memory.rows(SHAPE), [2])  # for another handle they may go
    assert 2 in kept(memory.rows(SHAPE), range(3))
    assert memory.nbytes == 2 * shard_size


def test_nothing_is_removed_in_vain(tmp_path, shard_size):
    memory = FeatureMemory(tmp_path, max_bytes=2 * shard_size)
    write(memory.rows(SHAPE), [0])
    write(memory.rows(SHAPE), [1])
    write(memory.rows(SHAPE), range(2, 100))  # more than the limit
    assert kept(memory.rows(SHAPE), range(100)) == [0, 1]


def test_the_limit_holds_where_nothing_can_be_deleted(tmp_path, shard_size, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    memory = FeatureMemory(tmp_path, max_bytes=shard_size)
    write(memory.rows(SHAPE), [0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "remove", refuse)
        write(memory.rows(SHAPE), [1])
    assert kept(memory.rows(SHAPE), [0, 1]) == [0]


@pytest.mark.parametrize("n_writes", [1, 7, 20])
@pytest.mark.parametrize("max_shards", [0.5, 1, 3.5])
def test_the_limit_holds(tmp_path, shard_size, n_writes, max_shards):
    memory = FeatureMemory(tmp_path, max_bytes=max_shards * shard_size)
    for i in range(n_writes):
        write(memory.rows(SHAPE), [i])
        assert memory.nbytes <= max_shards * shard_size
        assert kept(memory.rows(SHAPE), [i]) == [i] * (max_shards >= 1)
    assert memory.nbytes == min(n_writes, int(max_shards)) * shard_size


def test_nbytes_is_what_lies_on_disk(memory, tmp_path):
    assert memory.nbytes == 0
    write(memory.rows(SHAPE), range(N_ROWS))
    memory.rows((4,)).write([key(0)], row(0, (1, 4)))
    assert memory.nbytes == sum(file.stat().st_size for file in shards(tmp_path))
    assert memory.nbytes > N_ROWS * ROW_SIZE


@pytest.mark.parametrize(
    ("max_bytes", "error", "message"),
    [
        (0, ValueError, "positive, got 0"),
        (-1.5, ValueError, "positive, got -1.5"),
        (np.nan, ValueError, "positive, got nan"),
        ("1G", TypeError, "a number of bytes, got str"),
        (None, TypeError, "a number of bytes, got NoneType"),
        (True, TypeError, "a number of bytes, got bool"),
    ],
)
def test_limits_that_are_none(tmp_path, max_bytes, error, message):
    memory = FeatureMemory(tmp_path, max_bytes=max_bytes)
    with pytest.raises(error, match=f"max_bytes must be {message}"):
        memory.rows(SHAPE)


@pytest.mark.parametrize("max_bytes", [np.inf, np.int64(2**40), 1e9])
def test_limits_that_are_fine(tmp_path, max_bytes):
    write(FeatureMemory(tmp_path, max_bytes=max_bytes).rows(SHAPE), [0])
    assert kept(FeatureMemory(tmp_path).rows(SHAPE), [0]) == [0]


# --- Disks that are full, folders that are none


@pytest.mark.parametrize("step", ["write", "replace", "makedirs"])
def test_a_full_disk_warns_once_and_loses_nothing(memory, tmp_path, monkeypatch, step):
    write(memory.rows(SHAPE), [0])
    handle = memory.rows(SHAPE)

    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    class FullFile(io.FileIO):
        """A file that takes the front and no more."""

        def write(self, part):
            if self.tell():
                fail()
            return super().write(part)

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr("sklearn_patt_lite._features.memory.open", FullFile, raising=False)
        else:
            patch.setattr(os, step, fail)
        with pytest.warns(
            UserWarning, match=r"cannot be stored in '.*2x3x4': .*No space left"
        ) as caught:
            write(handle, [1])
        assert len(caught) == 1
        write(handle, [2])  # would raise if it warned again
    assert unfinished(tmp_path) == []
    assert kept(handle, range(3)) == [0]
    write(handle, [1])
    assert kept(handle, range(3)) == [0, 1]


def test_an_interrupt_leaves_no_unfinished_file(memory, tmp_path, monkeypatch):
    def interrupt(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(memory.rows(SHAPE), [0])
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_rows_that_cannot_be_read_count_as_missing(memory, tmp_path):
    handle = memory.rows(SHAPE)
    write(handle, [0])
    (file,) = shards(tmp_path)
    file.unlink()
    file.mkdir()  # opens for nobody, root included
    assert kept(handle, [0]) == []
    assert kept(memory.rows(SHAPE), [0]) == []
    write(handle, [0])
    assert kept(handle, [0]) == [0]


def test_a_folder_that_may_not_be_read_counts_as_empty(memory, tmp_path, monkeypatch):
    """Somebody else's, say."""
    write(memory.rows(SHAPE), [0])

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    handle = memory.rows(SHAPE)
    assert kept(handle, [0]) == []
    with pytest.warns(UserWarning, match=r"cannot be stored in .*Permission denied"):
        write(handle, [1])


def test_a_location_that_is_a_file_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"folder, but '.*notes.txt' is a file"):
        FeatureMemory(tmp_path / "notes.txt").rows(SHAPE)


def test_a_file_in_the_way_warns(memory, tmp_path):
    (tmp_path / "sklearn_patt_lite_features").write_text("mine")
    handle = memory.rows(SHAPE)
    with pytest.warns(UserWarning, match="cannot be stored"):
        write(handle, [0])
    assert kept(handle, [0]) == []
    assert memory.nbytes == 0
    memory.clear()
    assert (tmp_path / "sklearn_patt_lite_features").read_text() == "mine"


def test_the_location_stays_the_same_when_the_working_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handle = FeatureMemory("kept").rows(SHAPE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(handle, [0])
    assert kept(FeatureMemory(tmp_path / "kept").rows(SHAPE), [0]) == [0]


# --- clear


def test_clear_deletes_its_own_files_only(memory, tmp_path):
    write(memory.rows(SHAPE), [0])
    memory.rows((4,)).write([key(0)], row(0, (1, 4)))
    (shard,) = (tmp_path / "sklearn_patt_lite_features" / "2x3x4").iterdir()
    (shard.parent / f".{'0' * 32}.part").touch()
    root = shard.parents[1]
    foreign = [
        tmp_path / "mine.features",
        tmp_path / "joblib" / "mine",
        root / "notes",
        root / "12",  # a file that is named like a folder of rows
        root / "other" / shard.name,
        shard.parent / "mine.features",
        shard.parent / f"{shard.name}.bak",
    ]
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    memory.clear()
    assert memory.nbytes == 0
    assert sorted(file for file in tmp_path.rglob("*") if file.is_file()) == sorted(foreign)
    assert not (root / "4").exists()
    assert kept(memory.rows(SHAPE), [0]) == []


def test_foreign_files_are_not_taken_for_damaged_ones(memory, tmp_path):
    write(memory.rows(SHAPE), [0])
    foreign = shards(tmp_path)[0].with_name("mine.features")
    foreign.write_text("mine")
    assert kept(memory.rows(SHAPE), [0]) == [0]
    assert foreign.exists()


def test_clear_leaves_an_empty_location(memory, tmp_path):
    memory.clear()
    write(memory.rows(SHAPE), [0])
    memory.clear()
    assert list(tmp_path.iterdir()) == []


# --- The object that a user passes


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_cheap_and_mean_the_same(memory, tmp_path, duplicate):
    write(memory.rows(SHAPE), range(N_ROWS))
    assert len(pickle.dumps(memory)) < 1000
    again = duplicate(memory)
    assert (again.location, again.max_bytes) == (tmp_path, 32 * 2**30)
    assert kept(again.rows(SHAPE), range(N_ROWS)) == list(range(N_ROWS))


def test_an_estimator_with_a_memory_can_be_cloned(memory):
    estimator = FunctionTransformer(kw_args=memory)
    assert clone(estimator).kw_args.location == memory.location


def test_repr():
    assert repr(FeatureMemory("kept", max_bytes=100)) == "FeatureMemory('kept', max_bytes=100)"


@pytest.mark.parametrize("location", ["kept", Path("kept")])
@pytest.mark.parametrize("wrap", [lambda x: x, FeatureMemory, joblib.Memory])
def test_what_is_taken_for_a_memory(location, wrap):
    memory = as_feature_memory(wrap(location))
    assert isinstance(memory, FeatureMemory)
    assert os.fspath(memory.location) == "kept"


def test_a_feature_memory_is_taken_as_it_is():
    memory = FeatureMemory("kept", max_bytes=7)
    assert as_feature_memory(memory) is memory


@pytest.mark.parametrize("memory", [None, joblib.Memory(None)])
def test_no_memory(memory):
    assert as_feature_memory(memory) is None


@pytest.mark.parametrize("memory", [True, 5, b"kept", ["kept"], object()])
def test_what_is_no_memory(memory):
    with pytest.raises(TypeError, match=f"FeatureMemory or a.*got {type(memory).__name__}"):
        as_feature_memory(memory)


def test_tensorflow_is_not_imported():
    result = run_python(
        "import sys, sklearn_patt_lite._features.memory\n"
        "assert not {'tensorflow', 'keras', 'jax', 'sklearn'} & set(sys.modules)"
    )
    assert result.returncode == 0, result.stderr
