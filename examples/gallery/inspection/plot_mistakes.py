"""
Wrong labels among the mistakes
===============================

Databases of expressions contain wrong labels, some of them many. They are
found where a classifier is confident but wrong: look at the most confident
mistakes before tuning anything.
"""

# %%
# A database with wrong labels
# ----------------------------
#
# With drawn faces, it is known which labels are wrong: here, one in
# twenty.

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.model_selection import cross_val_predict

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import MistakesDisplay
from sklearn_patt_lite.model_selection import SubjectKFold

faces = make_expression_faces(
    n_subjects=150,
    n_per_expression=1,
    occlusion=0.0,
    max_yaw=15.0,
    label_noise=0.05,
    random_state=0,
)
is_wrong = faces.target != faces.target_clean
print(f"{is_wrong.sum()} of {len(is_wrong)} labels are wrong")

# %%
# Probabilities for every face
# ----------------------------
#
# Each face is predicted by a classifier that was not trained on this
# person, or on this label: otherwise, it might have memorized a wrong
# label.

sklearn.set_config(enable_metadata_routing=True)

classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    finetune_epochs=20,
    random_state=0,
)
probabilities = cross_val_predict(
    classifier,
    faces.images,
    faces.target,
    cv=SubjectKFold(3),
    method="predict_proba",
    params={"groups": faces.groups},
)
predicted = probabilities.argmax(axis=1)
accuracy = np.mean(predicted == faces.target)
print(f"accuracy on the labels as they are: {accuracy:.3f}")

# %%
# The most confident mistakes
# ---------------------------
#
# :class:`~sklearn_patt_lite.inspection.MistakesDisplay` shows them, and
# stores their row numbers in ``indices``.

display = MistakesDisplay.from_predictions(
    faces.images,
    faces.target,
    probabilities,
    n_images=16,
    target_names=faces.target_names,
)
plt.show()

# %%
# How many of them are wrong labels? With drawn faces this can be counted,
# for the mistakes shown and for all.

mistakes = np.flatnonzero(predicted != faces.target)
order = mistakes[np.argsort(-probabilities[mistakes].max(axis=1))]
found = is_wrong[order].cumsum()
for name, rows in {
    "all faces": slice(None),
    "all mistakes": order,
    "the mistakes shown": display.indices,
}.items():
    share = is_wrong[rows].mean()
    print(f"wrong labels among {name}: {100 * share:.0f} %")

# %%
figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(
    range(1, len(order) + 1),
    found,
    color="midnightblue",
    label="by confidence",
)
ax.plot(
    [0, len(order)],
    [0, found[-1]],
    color="gray",
    linestyle=":",
    label="in any order",
)
ax.set(
    xlabel="mistakes inspected, the most confident first",
    ylabel="wrong labels found",
)
ax.legend()
plt.show()

# %%
# Wrong labels are a small share of all faces, and a large share of the
# most confident mistakes. The other mistakes are difficult faces, or show
# where the classifier is biased: both are useful to know. Correct a label
# of a test set only for a reason that is visible in the image, never
# because the classifier says so. Otherwise, the classifier would be scored
# against its own opinion.
