"""Scores of expression classifiers, with confidence intervals."""

from sklearn_patt_lite.metrics._epoch_scores import epoch_scores
from sklearn_patt_lite.metrics._expression_report import ExpressionReport
from sklearn_patt_lite.metrics._report import expression_report

__all__ = ["ExpressionReport", "epoch_scores", "expression_report"]
