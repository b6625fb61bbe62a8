"""Tell whether a change of the code changes a result: digests of eight fits, exact on one machine.

    python tests/golden.py > before.json
    python tests/golden.py > after.json && diff before.json after.json

All recipes and random weights, on arrays and on files, with dropout and augmentation; both stages
and validation by subjects in the paper's recipe. Another CPU, or another version of TensorFlow, has
other digests.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from quick import NETWORK, QUICK, SIZE, TRANSFER

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

ONE_STAGE = {"epochs": 2, "batch_size": 16}
FITS = {
    "transfer": TRANSFER,
    "paper": {**QUICK, "recipe": "paper", "epochs": 50},  # so many that XLA compiles stage 1
    "modern": {**NETWORK, **ONE_STAGE, "recipe": "modern"},
    "random weights": {**NETWORK, **ONE_STAGE, "recipe": "paper", "backbone_weights": None},
}


def main():
    faces = make_expression_faces(n_subjects=6, image_size=SIZE, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{i}.png") for i in range(len(faces.images))]
        for path, image in zip(paths, faces.images, strict=True):
            Image.fromarray(image).save(path)
        found = {
            f"{name}, {kind}": digests(PAttLiteClassifier(**settings), X, faces)
            for name, settings in FITS.items()
            for kind, X in (("arrays", faces.images), ("files", paths))
        }
    print(json.dumps(found, indent=1))


def digests(classifier, X, faces):
    """Fit and predict; return the first 16 hex digits of each result's SHA-256."""
    classifier.fit(X, faces.target, groups=faces.groups)
    history = json.dumps(classifier.history_, default=np.ndarray.tolist, sort_keys=True)
    weights = b"".join(array.tobytes() for array in classifier.model_.get_weights())
    parts = {
        "probabilities": classifier.predict_proba(X).tobytes(),
        "weights": weights,
        "history": history.encode(),
    }
    return {name: hashlib.sha256(part).hexdigest()[:16] for name, part in parts.items()}


if __name__ == "__main__":
    main()
