"""
A first fit
===========

:class:`~sklearn_patt_lite.PAttLiteClassifier` fits, predicts and is scored
like any classifier in scikit-learn. Here it learns seven expressions from
drawn faces, and is scored on unseen people.
"""

# %%
# The faces
# ---------
#
# :func:`~sklearn_patt_lite.datasets.make_expression_faces` draws people,
# each with every expression. ``groups`` is the person in each image. Some
# faces are turned, and one in five is partly covered.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

faces = make_expression_faces(
    n_subjects=120, n_per_expression=1, random_state=0
)
X, y = faces.images, faces.target_names[faces.target]
print(X.shape, X.dtype, np.unique(y).tolist())

# %%
# Images of one person resemble each other in more than the expression. A
# test on people from the training set would be too easy, so the split is
# by person: a quarter of the people are held out.

splitter = GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
train, test = next(splitter.split(X, y, groups=faces.groups))
print(f"{len(train)} faces to train on, {len(test)} to test on;", end=" ")
print(
    "people on both sides:",
    len(np.intersect1d(faces.groups[train], faces.groups[test])),
)

# %%
# The classifier
# --------------
#
# For photographs, use the defaults: ImageNet weights, 112×112 pixels, two
# stages. The settings below make a small network for drawings. At 96
# pixels, the backbone ends in a feature map of 6×6 cells, hence patches of
# 3×3.
#
# The first stage trains the head on the frozen backbone; the second also
# trains the later half of the backbone. An epoch of so few faces has only
# 40 steps, so stage 2 has 20 epochs instead of ten. Their number is fixed,
# so no validation data are needed: all faces are used for training.

classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    finetune_epochs=20,
    random_state=0,
)
classifier.fit(X[train], y[train])
print(f"{classifier.n_parameters_:,} parameters")
for stage in ("head", "finetune"):
    accuracy = classifier.history_[stage]["accuracy"]
    print(
        f"stage {stage!r}: {len(accuracy)} epochs, "
        f"training accuracy {accuracy[0]:.2f} to {accuracy[-1]:.2f}"
    )

# %%
# The score
# ---------
#
# ``score`` is the accuracy. Guessing would get one in seven right.

accuracy = classifier.score(X[test], y[test])
print(
    f"accuracy on unseen people: {accuracy:.3f}; "
    f"by guessing: {1 / len(classifier.classes_):.3f}"
)

# %%
# The labels are names, and so are the predictions. ``predict_proba``
# returns one column per class, in the order of ``classes_``.

probabilities = classifier.predict_proba(X[test])
predicted = classifier.predict(X[test])
print(predicted[:3], probabilities[:3].max(axis=1).round(2))

# %%
# All faces of three test subjects, with their predicted expressions:
# correct ones in blue; wrong ones in orange, with the true expression in
# brackets.

people = np.unique(faces.groups[test])[:3]
figure, axes = plt.subplots(3, 7, figsize=(7.2, 4.2), layout="constrained")
for row, person in zip(axes, people, strict=True):
    shown = np.flatnonzero(faces.groups[test] == person)
    for ax, i in zip(row, shown, strict=True):
        is_right = predicted[i] == y[test][i]
        title = (
            predicted[i] if is_right else f"{predicted[i]}\n({y[test][i]})"
        )
        ax.imshow(X[test][i])
        ax.set_title(
            title,
            fontsize=8,
            color="#0072B2" if is_right else "#D55E00",
        )
        ax.axis("off")
plt.show()

# %%
# More than half of the faces of unseen people are classified correctly,
# several times as many as by guessing. One number is not a result yet:
# :ref:`the next step
# <sphx_glr_gallery_evaluation_plot_ckplus_protocol.py>` tests every person
# once, and shows how certain the score is.
