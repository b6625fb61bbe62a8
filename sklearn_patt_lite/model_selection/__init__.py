"""Splits that keep people apart."""

from sklearn_patt_lite.model_selection._subjects import SubjectKFold

__all__ = ["SubjectKFold"]
