"""
From one database to another
============================

Databases differ in which expressions they have, what these are called,
and in which order they come.
:func:`~sklearn_patt_lite.datasets.map_expressions` maps one database to
the labels of another, so that a classifier can be tested across databases.
"""

# %%
# Two databases
# -------------
#
# The first, "here", resembles FERPlus, with eight expressions. The second,
# "there", resembles RAF-DB: seven expressions, with other names and in
# another order, of people who turn their heads and may have their faces
# partly covered. In this example, its images are also grey and small. Both
# are drawn, with different seeds, so that nobody is in both.

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score
from sklearn.utils import Bunch

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import (
    make_expression_faces,
    map_expressions,
)

here = make_expression_faces(
    n_subjects=180,
    n_per_expression=1,
    n_expressions=8,
    occlusion=0.0,
    max_yaw=10.0,
    random_state=0,
)
drawn = make_expression_faces(
    n_subjects=60,
    n_per_expression=1,
    occlusion=0.3,
    max_yaw=45.0,
    random_state=1,
)
names = {
    "surprise": "Surprise",
    "fear": "Fear",
    "disgust": "Disgust",
    "happy": "Happiness",
    "sad": "Sadness",
    "angry": "Anger",
    "neutral": "Neutral",
}
there = Bunch(
    images=np.stack(
        [
            Image.fromarray(face).convert("L").resize((48, 48))
            for face in drawn.images
        ]
    ),
    target=np.array(
        [
            list(names).index(name)
            for name in drawn.target_names[drawn.target]
        ]
    ),
    target_names=np.array(list(names.values())),
    groups=drawn.groups,
)
for title, data in {"here": here, "there": there}.items():
    print(f"{title:6}{data.images.shape} {data.target_names.tolist()}")

# %%
# Faces of both databases, with the numbers and names of their labels.

figure, axes = plt.subplots(1, 8, figsize=(7.2, 1.5), layout="constrained")
for i, ax in enumerate(axes):
    title, data = ("here", here) if i < 4 else ("there", there)
    face = np.flatnonzero(data.groups == i)[i % 4]
    number = data.target[face]
    ax.imshow(data.images[face], cmap="gray", vmin=0, vmax=255)
    ax.set_title(
        f"{title}, {number}:\n{data.target_names[number]}", fontsize=8
    )
    ax.axis("off")
plt.show()

# %%
# One set of labels
# -----------------
#
# Common spellings are understood ("Happiness" is "happy"). Contempt is not
# among the seven: its faces are dropped, or merged into another expression
# with ``merge={"contempt": "disgust"}``.

mapped_here = map_expressions(here, there.target_names)
mapped_there = map_expressions(there, there.target_names)
print(mapped_here.target_names.tolist())
for title, before, after in (
    ("here", here, mapped_here),
    ("there", there, mapped_there),
):
    print(
        f"{title}: {len(after.target)} of "
        f"{len(before.target)} faces are left"
    )

# %%
# Tested here and there
# ---------------------
#
# The classifier is trained on 140 people from "here". It converts grey
# faces, and faces of another size, to the format of its training images.

is_trained = mapped_here.groups < 140
classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    finetune_epochs=20,
    random_state=0,
)
classifier.fit(
    mapped_here.images[is_trained],
    mapped_here.target[is_trained],
)
predicted_here = classifier.predict(mapped_here.images[~is_trained])
predicted_there = classifier.predict(mapped_there.images)

# %%
# For comparison, the score without mapping: the number of the predicted
# expression "here" is compared with the number of the true one "there".

numbers_here = np.array(
    [
        here.target_names.tolist().index(name)
        for name in mapped_here.target_names
    ]
)
scores = {
    "unseen people here": accuracy_score(
        mapped_here.target[~is_trained], predicted_here
    ),
    "there": accuracy_score(mapped_there.target, predicted_there),
    "there, labels\nnot mapped": accuracy_score(
        there.target, numbers_here[predicted_there]
    ),
}
for title, score in scores.items():
    print(f"{title.replace(chr(10), ' '):26}{score:.3f}")

# %%
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
colors = ["midnightblue", "steelblue", "firebrick"]
ax.bar(list(scores), list(scores.values()), color=colors)
ax.axhline(1 / 7, color="gray", linestyle=":")
ax.text(2.4, 1 / 7 + 0.015, "guessing", color="gray", ha="right")
ax.set(ylabel="accuracy", ylim=(0, 1))
plt.show()

# %%
# The confusion matrix "there", normalized by the true expression.

ConfusionMatrixDisplay.from_predictions(
    mapped_there.target,
    predicted_there,
    display_labels=mapped_there.target_names,
    normalize="true",
    values_format=".2f",
    xticks_rotation=45,
    cmap="Blues",
    colorbar=False,
)
plt.tight_layout()
plt.show()

# sphinx_gallery_thumbnail_number = 2

# %%
# On unseen people of its own database, the classifier is far better than
# on faces of the other one. A score holds for faces like those that it was
# measured on; how much is lost on others has to be measured. Without
# mapping the labels, most correct predictions would count as wrong. Happy,
# sad and neutral happen to have the same numbers in both orders. So such a
# score need not be zero, and the error may be mistaken for a bad
# classifier.
