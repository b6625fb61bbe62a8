"""Prediction of more images than fit in memory."""

from sklearn_patt_lite.prediction._files import predict_files
from sklearn_patt_lite.prediction._schema import predictions_schema
from sklearn_patt_lite.prediction._table import write_predictions

__all__ = ["predict_files", "predictions_schema", "write_predictions"]
