"""Transformers that turn photographs of faces into input for the classifier."""

from sklearn_patt_lite.preprocessing._augmenter import FaceAugmenter
from sklearn_patt_lite.preprocessing._backbone_features import BackboneFeatures
from sklearn_patt_lite.preprocessing._cropper import FaceCropper
from sklearn_patt_lite.preprocessing._detection import detect_faces
from sklearn_patt_lite.preprocessing._resizer import FaceResizer

__all__ = ["BackboneFeatures", "FaceAugmenter", "FaceCropper", "FaceResizer", "detect_faces"]
