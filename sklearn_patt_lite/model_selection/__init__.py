"""Subject-independent splits, saved folds, leak detection and comparison of classifiers."""

from sklearn_patt_lite.model_selection._compare import Comparison, compare_classifiers
from sklearn_patt_lite.model_selection._leaks import Leaks, find_leaks
from sklearn_patt_lite.model_selection._manifest import (
    manifest_splits,
    split_manifest,
    verify_manifest,
)
from sklearn_patt_lite.model_selection._search_history import search_history
from sklearn_patt_lite.model_selection._subjects import SubjectKFold

__all__ = [
    "Comparison",
    "Leaks",
    "SubjectKFold",
    "compare_classifiers",
    "find_leaks",
    "manifest_splits",
    "search_history",
    "split_manifest",
    "verify_manifest",
]
