"""What a user may write: a type checker reads it (test_typing.py), nothing runs it."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sklearn_patt_lite import FeatureMemory, PAttLiteClassifier
from sklearn_patt_lite.datasets import load_ckplus, make_expression_faces, map_expressions
from sklearn_patt_lite.inspection import BatchInvariance, GradCAMDisplay, batch_invariance
from sklearn_patt_lite.metrics import ExpressionReport, expression_report
from sklearn_patt_lite.model_selection import Leaks, SubjectKFold, find_leaks, split_manifest
from sklearn_patt_lite.preprocessing import BackboneFeatures, FaceCropper, FaceResizer

faces = make_expression_faces(n_subjects=2, n_expressions=8, random_state=0)
images, target = load_ckplus(Path("CK+"), frames="peak1", return_X_y=True)
mapped = map_expressions(faces, ["angry", "happy"], merge={"contempt": "disgust"})
X: NDArray[np.uint8] = faces.images
y: NDArray[np.int64] = faces.target

classifier = PAttLiteClassifier(recipe="modern").fit(X, y)
assert_type(classifier, PAttLiteClassifier)
assert_type(classifier.predict_proba(X), NDArray[np.float32])
assert_type(classifier.predict(X), NDArray[Any])
assert_type(PAttLiteClassifier(recipe="modern").fit(X, y).predict(X), NDArray[Any])
assert_type(classifier.image_shape_, tuple[int, int, int])
assert_type(classifier.history_, dict[str, Any])
assert_type(PAttLiteClassifier.load_model(Path("faces.zip")), PAttLiteClassifier)
assert_type(PAttLiteClassifier.from_pretrained("fer2013"), PAttLiteClassifier)
classifier.save_model("faces.zip", description="Of two drawn people.", half_precision=True)
assert_type(classifier.export_model("faces.onnx", format="onnx", X=X).agreement, float)
# All that a parameter takes.
PAttLiteClassifier(input_size=64, epochs="auto", patience=None, augment="affine", clipnorm=None)
PAttLiteClassifier(memory=FeatureMemory("features", max_bytes=1e9), random_state=0, augment=False)
PAttLiteClassifier(memory=Path("features"), random_state=np.random.RandomState(0), patience="auto")
PAttLiteClassifier(class_weight={0: 1.0, 1: 2}, backbone_weights=Path("earlier.keras"))
PAttLiteClassifier().fit([Path("a.jpg"), Path("b.jpg")], ["sad", "happy"], groups=["ann", "ben"])
PAttLiteClassifier().fit(["a.jpg", "b.jpg"], [0, 1], X_val=X, y_val=y)


class SubClassifier(PAttLiteClassifier):
    """A type checker knows it still after `fit`."""


assert_type(SubClassifier().fit(X, y), SubClassifier)
assert_type(SubClassifier.from_pretrained("fer2013"), SubClassifier)
photographs = [Path("a.jpg"), "b.jpg", Image.new("L", (8, 8)), X[0]]
assert_type(FaceResizer(size=48).transform(photographs), NDArray[np.uint8])
assert_type(
    FaceCropper(margin="fer2013", detector=lambda picture: [[0, 0, 8, 8]]).fit(photographs),
    FaceCropper,
)
assert_type(BackboneFeatures().fit(X).transform(X), NDArray[np.float32])
assert_type(expression_report(y, classifier.predict(X), groups=faces.groups), ExpressionReport)
assert_type(batch_invariance(classifier, X, y, batch_sizes=[1, 8]), BatchInvariance)
assert_type(find_leaks(photographs, None, SubjectKFold(2)), Leaks)
assert_type(split_manifest(5, X, groups=faces.groups), dict[str, Any])
assert_type(GradCAMDisplay.from_estimator(classifier, X, target_names=["sad"]), GradCAMDisplay)
folds = list(SubjectKFold().split(X, y, faces.groups))
assert_type(folds, list[tuple[NDArray[np.intp], NDArray[np.intp]]])
