"""Which versions are at work, for what is kept from one process to another."""

import importlib.metadata

import sklearn_patt_lite


def versions(names):
    """Tell the versions of distributions by their names; None for those that are not installed."""
    return {name: _version(name) for name in names}


def _version(name):
    if name == "sklearn-patt-lite":
        return sklearn_patt_lite.__version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
