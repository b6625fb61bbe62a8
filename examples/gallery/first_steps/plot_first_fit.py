"""
A first fit
===========

:class:`~sklearn_patt_lite.PAttLiteClassifier` is fitted, predicts and is
scored as every classifier of scikit-learn. Here it learns seven
expressions from drawn faces, and is scored on people whom it has never
seen.
"""

# %%
# The faces
# ---------
#
# :func:`~sklearn_patt_lite.datasets.make_expression_faces` draws people,
# each with each expression. ``groups`` says who is on an image. Some faces
# are turned, and every fifth is partly covered.

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
# test on people who were trained on would be too kind, so that whole
# people are set apart: a quarter of them.

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
# For photographs the defaults will do: ImageNet weights, 112×112 pixels,
# two stages. These settings make a small network of it, for drawings. At
# 96 pixels the backbone ends in a map of 6×6 cells, hence patches of 3×3.
#
# The first stage trains the head on the frozen backbone; in the second the
# later half of the backbone trains, too. An epoch of so few faces is 40
# steps, so that stage 2 has 20 epochs instead of ten. Training ends after
# so many, and needs no validation data: all faces are learnt from.

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
        f"stage {stage!r}: epochs {len(accuracy)}, "
        f"training accuracy {accuracy[0]:.2f} to {accuracy[-1]:.2f}"
    )

# %%
# The score
# ---------
#
# ``score`` is the accuracy, and guessing would have one in seven.

accuracy = classifier.score(X[test], y[test])
print(
    f"accuracy on unseen people: {accuracy:.3f}; "
    f"by guessing: {1 / len(classifier.classes_):.3f}"
)

# %%
# Labels were names, and so are predictions. ``predict_proba`` has a column
# a class, in the order of ``classes_``.

probabilities = classifier.predict_proba(X[test])
predicted = classifier.predict(X[test])
print(predicted[:3], probabilities[:3].max(axis=1).round(2))

# %%
# All faces of three people who were not trained on, with what the
# classifier says of them: right in blue; wrong in orange, with the truth
# in brackets.

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
# Of people who were never seen, more than half of the faces are told
# rightly: several times as many as by guessing. One number is no result
# yet: :ref:`the next step
# <sphx_glr_gallery_evaluation_plot_ckplus_protocol.py>` tests every person
# once, and says how sure the score is.
