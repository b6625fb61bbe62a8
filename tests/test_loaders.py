"""What all loaders have in common."""

import inspect

import pytest

from sklearn_patt_lite import datasets

LOADERS = [name for name in datasets.__all__ if name.startswith("load_")]
OF_DATABASES = [name for name in LOADERS if name != "load_challenging_subset"]


def test_there_are_six_loaders():
    assert len(LOADERS) == 6


@pytest.mark.parametrize("name", OF_DATABASES)
def test_options_in_common(name):
    parameters = inspect.signature(getattr(datasets, name)).parameters
    for option in ("as_paths", "return_X_y"):
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[option].default is False


@pytest.mark.parametrize("name", OF_DATABASES)
def test_docstrings_say_what_it_is_and_where_to_ask(name):
    text = getattr(datasets, name).__doc__
    for part in ("target_names", "groups", "split", "DESCR", "http", "References", "====="):
        assert part in text or (name, part) == ("load_face_folder", "====="), part


@pytest.mark.parametrize("name", OF_DATABASES)
@pytest.mark.parametrize("option", ["as_paths", "return_X_y"])
def test_options_are_validated(name, option, tmp_path):
    first = [tmp_path] * (2 if name == "load_ferplus" else 1)
    with pytest.raises(ValueError, match=f"The '{option}' parameter of {name} must be"):
        getattr(datasets, name)(*first, **{option: "yes"})


@pytest.mark.parametrize("name", OF_DATABASES)
def test_an_archive_that_is_not_unpacked(name, tmp_path):
    """Of the right kind of error, with what a right tree looks like."""
    archive = tmp_path / "archive.zip"
    archive.write_bytes(b"PK\3\4\xff\xfe\0")
    arguments = [archive] * (2 if name == "load_ferplus" else 1)
    with pytest.raises((FileNotFoundError, ValueError)) as caught:
        getattr(datasets, name)(*arguments)
    assert "archive.zip" in str(caught.value)
    assert type(caught.value) in (FileNotFoundError, ValueError)
