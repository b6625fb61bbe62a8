"""
Images of all kinds, in a Pipeline
==================================

Faces come as arrays, Pillow images and files, in grey and colour, and in
different sizes. :class:`~sklearn_patt_lite.preprocessing.FaceResizer`
converts all of them to one array. In a
:class:`~sklearn.pipeline.Pipeline`, it does so both in training and in
prediction.
"""

# %%
# Mixed images
# ------------
#
# Faces are drawn at 128 pixels, and converted in turn to a colour array, a
# grey array of half the size, a Pillow image, a PNG file and a JPEG file.
# Such a list is not an array: its items have no common shape.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.preprocessing import FaceResizer

faces = make_expression_faces(
    n_subjects=80,
    n_per_expression=1,
    image_size=128,
    occlusion=0.0,
    random_state=0,
)
y = faces.target_names[faces.target]
folder = tempfile.TemporaryDirectory()


def as_array(image, path):
    return np.asarray(image)


def as_small_grey_array(image, path):
    return np.asarray(image.convert("L").reduce(2))


def as_pillow_image(image, path):
    return image


def as_png(image, path):
    image.save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def as_jpeg(image, path):
    image.save(path.with_suffix(".jpg"), quality=90)
    return path.with_suffix(".jpg")


KINDS = {
    "array": as_array,
    "grey array": as_small_grey_array,
    "Pillow image": as_pillow_image,
    "PNG file": as_png,
    "JPEG file": as_jpeg,
}
kinds = np.resize(list(KINDS), len(y))
X = [
    KINDS[kind](Image.fromarray(face), Path(folder.name, str(i)))
    for i, (kind, face) in enumerate(zip(kinds, faces.images, strict=True))
]
for kind, image in zip(kinds[:5], X[:5], strict=True):
    print(f"{kind:14}{getattr(image, 'shape', type(image).__name__)}")

# %%
# The pipeline
# ------------
#
# The resizer learns nothing from the data: it may come before the split,
# or inside the folds. It belongs in the pipeline because later predictions
# will be for images of all kinds, too. The pipeline is trained on the
# mixed images of the first 60 people.

classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    finetune_epochs=20,
    random_state=0,
)
pipeline = make_pipeline(FaceResizer(size=96), classifier)
is_trained = np.flatnonzero(faces.groups < 60)
pipeline.fit([X[i] for i in is_trained], y[is_trained])

# %%
# One face, five ways
# -------------------
#
# The pipeline predicts every face of the other 20 people in all five ways.
# If a prediction differs from the one for the array, it is because of how
# the face was stored.

is_new = faces.groups >= 60
new = [
    {
        kind: change(Image.fromarray(face), Path(folder.name, f"new {i}"))
        for kind, change in KINDS.items()
    }
    for i, face in enumerate(faces.images[is_new])
]
probabilities = {
    kind: pipeline.predict_proba([face[kind] for face in new])
    for kind in KINDS
}
for kind, found in probabilities.items():
    change = abs(found - probabilities["array"]).max()
    labels = found.argmax(axis=1)
    same = np.mean(labels == probabilities["array"].argmax(axis=1))
    accuracy = np.mean(pipeline.classes_[labels] == y[is_new])
    print(
        f"{kind:14}accuracy {accuracy:.2f}, "
        f"{100 * same:3.0f} % of labels as for the array, "
        f"largest change of a probability {change:.3f}"
    )

# %%
# Above is the most confidently predicted of these faces, in all five ways;
# below are the network's input and the prediction.

shown = probabilities["array"].max(axis=1).argmax()
figure, axes = plt.subplots(2, 5, figsize=(7.2, 3.9), layout="constrained")
for (above, below), (kind, image) in zip(
    axes.T, new[shown].items(), strict=True
):
    pixels = np.asarray(
        Image.open(image) if isinstance(image, Path) else image
    )
    above.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    above.set_title(f"{kind}\n{pixels.shape}", fontsize=8)
    below.imshow(pipeline[0].transform([image])[0])
    likely = probabilities[kind][shown]
    name = pipeline.classes_[likely.argmax()]
    below.set_title(
        f"(96, 96, 3)\n{name}, {100 * likely.max():.0f} %", fontsize=8
    )
for ax in axes.flat:
    ax.axis("off")
folder.cleanup()
plt.show()

# %%
# How a face is stored makes no difference as long as nothing is lost:
# array, Pillow image and PNG file get the same probabilities. JPEG changes
# the pixels a little, and with them the probabilities. Without colour and
# at half its size, a face has lost more, and its predictions change most.
