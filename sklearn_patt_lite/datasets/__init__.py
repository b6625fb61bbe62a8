"""Databases of facial expressions, and drawn faces that need no download."""

from sklearn_patt_lite.datasets._drawn_faces import make_expression_faces

__all__ = ["make_expression_faces"]
