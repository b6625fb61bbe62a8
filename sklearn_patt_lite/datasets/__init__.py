"""Loaders for databases of facial expressions, and drawn faces that need no download."""

from sklearn_patt_lite.datasets._challenging import load_challenging_subset
from sklearn_patt_lite.datasets._ckplus import load_ckplus
from sklearn_patt_lite.datasets._drawn.faces import make_expression_faces
from sklearn_patt_lite.datasets._expressions import map_expressions
from sklearn_patt_lite.datasets._face_folder import load_face_folder
from sklearn_patt_lite.datasets._fer2013 import load_fer2013
from sklearn_patt_lite.datasets._ferplus import load_ferplus
from sklearn_patt_lite.datasets._rafdb import load_rafdb

__all__ = [
    "load_challenging_subset",
    "load_ckplus",
    "load_face_folder",
    "load_fer2013",
    "load_ferplus",
    "load_rafdb",
    "make_expression_faces",
    "map_expressions",
]
