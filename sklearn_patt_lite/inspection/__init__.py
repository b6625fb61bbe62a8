"""Inspection of fitted models."""

from sklearn_patt_lite.inspection._batch_invariance import BatchInvariance, batch_invariance
from sklearn_patt_lite.inspection._class_recall import ClassRecallDisplay
from sklearn_patt_lite.inspection._grad_cam import GradCAMDisplay
from sklearn_patt_lite.inspection._mistakes import MistakesDisplay
from sklearn_patt_lite.inspection._patch_attention import PatchAttentionDisplay
from sklearn_patt_lite.inspection._search_history import SearchHistoryDisplay
from sklearn_patt_lite.inspection._training_history import TrainingHistoryDisplay

__all__ = [
    "BatchInvariance",
    "ClassRecallDisplay",
    "GradCAMDisplay",
    "MistakesDisplay",
    "PatchAttentionDisplay",
    "SearchHistoryDisplay",
    "TrainingHistoryDisplay",
    "batch_invariance",
]
