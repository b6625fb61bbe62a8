"""
Rare expressions
================

Databases have many happy faces, and few that show disgust or fear. A
classifier may neglect these, and its accuracy does not show it. The mean
of the classes' recalls does, and class weights help.
"""

# %%
# An unbalanced database
# ----------------------
#
# Of the 200 people in the training set, everybody shows happiness, four in
# five a neutral face, one in ten disgust, and one in ten fear. No database
# has exactly these shares, but most are similarly unbalanced. The 60 test
# subjects show every expression, so that rare ones can be measured.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import ClassRecallDisplay

SHARES = {
    "angry": 0.2,
    "disgust": 0.1,
    "fear": 0.1,
    "happy": 1.0,
    "sad": 0.5,
    "surprise": 0.3,
    "neutral": 0.8,
}
faces = make_expression_faces(
    n_subjects=260,
    n_per_expression=1,
    occlusion=0.0,
    max_yaw=15.0,
    random_state=0,
)
share = np.array([SHARES[name] for name in faces.target_names])[
    faces.target
]
is_test = faces.groups >= 200
is_trained = ~is_test & (
    np.random.default_rng(0).uniform(size=len(share)) < share
)
for name, count in zip(
    faces.target_names, np.bincount(faces.target[is_trained]), strict=True
):
    print(f"{name:10}{count:4} to train on")

# %%
# With and without class weights
# ------------------------------
#
# ``class_weight="balanced"`` is the default: the rarer its class, the more
# an image counts in the loss. With None, all images count the same.


def fit(class_weight):
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=96,
        patch_size=3,
        finetune_epochs=20,
        class_weight=class_weight,
        random_state=0,
    )
    return classifier.fit(
        faces.images[is_trained],
        faces.target[is_trained],
    )


classifiers = {
    "class_weight=None": fit(None),
    'class_weight="balanced"': fit("balanced"),
}

# %%
# Two scores
# ----------
#
# The accuracy is for the class shares of the training set, which a test
# part of the same database would have, too: the test faces are weighted
# accordingly. The balanced accuracy is the mean of the classes' recalls,
# whatever the shares. Always predicting "happy" would have an accuracy of
# one third, and a balanced accuracy of one seventh.

for name, classifier in classifiers.items():
    predicted = classifier.predict(faces.images[is_test])
    accuracy = accuracy_score(
        faces.target[is_test], predicted, sample_weight=share[is_test]
    )
    balanced = balanced_accuracy_score(faces.target[is_test], predicted)
    print(
        f"{name:26}accuracy {accuracy:.3f}, "
        f"balanced accuracy {balanced:.3f}"
    )

# %%
# Where they differ
# -----------------

display = ClassRecallDisplay.from_estimator(
    classifiers,
    faces.images[is_test],
    faces.target[is_test],
    groups=faces.groups[is_test],
    target_names=faces.target_names,
    random_state=0,
)
plt.show()

# %%
# Without weights, the classifier nearly gives up on the rarest expression,
# disgust. With weights, the rare expressions gain more than the frequent
# ones lose. The balanced accuracy shows this; the accuracy does not,
# because three quarters of its faces are happy, neutral or sad. Weights
# add no new faces, and the rare expressions are still recognized less well
# than happiness.
