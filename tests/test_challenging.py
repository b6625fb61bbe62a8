"""Covered and turned faces of RAF-DB and FERPlus, from lists as they were published."""

import functools

import numpy as np
import pytest
from databases import make_rafdb, rafdb_rows, write
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch
from test_ferplus import make_files

from sklearn_patt_lite.datasets import (
    load_challenging_subset,
    load_ferplus,
    load_rafdb,
    make_expression_faces,
)

LISTS = {  # as they write their lines, and how many different names they hold
    ("RAF-DB", "occlusion"): ("RAF_DB_dir/rafdb_occlusion_list.txt", "{}_aligned 3 4", 734),
    ("RAF-DB", "pose30"): ("RAF_DB_dir/val_raf_db_list.txt", "{1}/{0}_aligned.jpg", 1247),
    ("RAF-DB", "pose45"): ("RAF_DB_dir/val_raf_db_list_45.txt", "{1}/{0}_aligned.jpg", 558),
    ("FERPlus", "occlusion"): ("FERplus_dir/jianfei_occlusion_list.txt", "1_{}.png 8 0", 605),
    ("FERPlus", "pose30"): ("FERplus_dir/pose_30_ferplus_list.txt", "{1}/{0}.jpg", 1170),
    ("FERPlus", "pose45"): ("FERplus_dir/pose_45_ferplus_list.txt", "{1}/{0}.jpg", 633),
}


def write_list(root, database, subset, names, newline="\n"):
    file, form, _ = LISTS[database, subset]
    lines = [form.format(name, i % 7) for i, name in enumerate(names)]
    return write(root / file, newline.join([*lines, ""]))


@pytest.fixture
def data(request, tmp_path):
    """Ten images, the database's test part, as the loader gives them."""
    rows = [("PrivateTest", f"fer{32300 + i:07}.png", (9, 1, *[0] * 8)) for i in range(10)]
    if request.param == "RAF-DB":
        root = make_rafdb(tmp_path, rafdb_rows(10))
        load = functools.partial(load_rafdb, root, as_paths=True)
    else:
        load = functools.partial(load_ferplus, *make_files(tmp_path, rows))
    with pytest.warns(UserWarning, match="; the published number is"):
        return load(split="test")


both = pytest.mark.parametrize("data", ["RAF-DB", "FERPlus"], indirect=True)
rafdb = pytest.mark.parametrize("data", ["RAF-DB"], indirect=True)


@both
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", ["occlusion", "pose30", "pose45"])
def test_the_listed_rows(data, name, newline, tmp_path):
    listed = data.names[[7, 2, 5, 2]].tolist()  # one of them twice
    write_list(tmp_path / "lists", data.database, name, listed, newline)
    with pytest.warns(UserWarning, match="3 different names; the published number is") as caught:
        subset = load_challenging_subset(data, tmp_path / "lists", name)
    assert caught[0].filename == __file__
    assert_array_equal(subset.names, data.names[[2, 5, 7]])
    assert_array_equal(subset.target, data.target[[2, 5, 7]])
    assert_array_equal(subset.target_names, data.target_names)
    images = "paths" if data.database == "RAF-DB" else "images"
    assert_array_equal(subset[images], data[images][[2, 5, 7]])
    assert subset.n_listed == 4
    assert subset.duplicates.tolist() == [data.names[2]]
    assert subset.missing.tolist() == []
    assert "3 of these images" in subset.DESCR
    assert len(data.names) == 10


@both
@pytest.mark.parametrize("name", ["occlusion", "pose30", "pose45"])
def test_published_numbers_do_not_warn(data, name, tmp_path):
    n_published = LISTS[data.database, name][2]
    stem, digits = ("test_", 4) if data.database == "RAF-DB" else ("fer", 7)
    names = [f"{stem}{i:0{digits}}" for i in range(n_published)]
    everything = Bunch(
        database=data.database,
        names=np.array(names),
        target=np.zeros(n_published, dtype=int),
        target_names=data.target_names,
        DESCR="",
    )
    write_list(tmp_path, data.database, name, names)
    subset = load_challenging_subset(everything, tmp_path, name)
    assert len(subset.target) == subset.n_listed == n_published


@rafdb
def test_listed_images_that_are_not_there(data, tmp_path):
    write_list(tmp_path, "RAF-DB", "pose45", [*data.names[:2], "test_9998", "test_9999"])
    missing = pytest.warns(UserWarning, match=r"2 of 4 images .* test_9998, test_9999")
    with pytest.warns(UserWarning, match="4 different names; the published number is 558"), missing:
        subset = load_challenging_subset(data, tmp_path, "pose45")
    assert subset.missing.tolist() == ["test_9998", "test_9999"]
    assert len(subset.target) == 2


@rafdb
def test_the_lists_may_lie_bare_or_in_another_folder(data, tmp_path):
    path = write_list(tmp_path / "a" / "b", "RAF-DB", "pose45", data.names[:3])
    for place in (tmp_path / "a", tmp_path / "a" / "b", path.parent):
        with pytest.warns(UserWarning, match="3 different names"):
            assert len(load_challenging_subset(data, place, "pose45").target) == 3


@rafdb
def test_what_cannot_be(data, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no RAF_DB_dir/val_raf_db_list.txt(?s:.*)FERplus_dir"
    ):
        load_challenging_subset(data, tmp_path, "pose30")
    with pytest.raises(ValueError, match=r"of RAF-DB and FERPlus: .* 'CK\+'"):
        load_challenging_subset(Bunch(**{**data, "database": "CK+"}), tmp_path, "pose30")
    with pytest.raises(ValueError, match="of RAF-DB and FERPlus"):
        load_challenging_subset(make_expression_faces(n_subjects=1), tmp_path, "pose30")
    with pytest.raises(ValueError, match="'name' parameter"):
        load_challenging_subset(data, tmp_path, "pose60")
    path = write_list(tmp_path, "RAF-DB", "pose30", ["test_8888"])
    with pytest.raises(ValueError, match=r"None of the 1 images.*split='test'"), pytest.warns():
        load_challenging_subset(data, tmp_path, "pose30")
    path.write_text("test_0001_aligned 3 4\nsomething else\n")
    with pytest.raises(ValueError, match="expected an image's name, got 'something else'"):
        load_challenging_subset(data, tmp_path, "pose30")
