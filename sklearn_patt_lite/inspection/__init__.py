"""Looking into fitted models."""

from sklearn_patt_lite.inspection._batch_invariance import BatchInvariance, batch_invariance

__all__ = ["BatchInvariance", "batch_invariance"]
