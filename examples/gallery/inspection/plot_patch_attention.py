"""
Which patch carries the decision
================================

The head of PAtt-Lite gets a face as four patches. Its score for an
expression is a sum over them, so it is known exactly what each adds.
"""

# %%
# A classifier
# ------------

import matplotlib.pyplot as plt
import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import PatchAttentionDisplay

faces = make_expression_faces(
    n_subjects=180,
    n_per_expression=1,
    occlusion=0.0,
    max_yaw=5.0,
    random_state=0,
)
y = faces.target_names[faces.target]
is_trained = faces.groups < 120

classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    finetune_epochs=20,
    random_state=0,
)
classifier.fit(faces.images[is_trained], y[is_trained])
X_test, y_test = faces.images[~is_trained], y[~is_trained]
print(f"accuracy on unseen people: {classifier.score(X_test, y_test):.3f}")

# %%
# One face at a time
# ------------------
#
# :class:`~sklearn_patt_lite.inspection.PatchAttentionDisplay` writes on
# each patch what it adds to the score of the predicted expression,
# relative to the mean over all expressions. The patch that adds most has a
# frame. Arrows show the attention: how much of a patch's output comes from
# which other patch.

probabilities = classifier.predict_proba(X_test)
rows = [
    np.where(y_test == name, probabilities[:, column], 0).argmax()
    for column, name in enumerate(classifier.classes_)
]
PatchAttentionDisplay.from_estimator(
    classifier, X_test[rows], y_test[rows]
)
plt.show()

# %%
# All faces of an expression
# --------------------------
#
# The display also stores the numbers. With ``target``, they are for that
# expression, whatever was predicted. Their means over the faces of all
# unseen people show which patches an expression is recognized by.

contributions = {}
for name in faces.target_names:
    display = PatchAttentionDisplay.from_estimator(
        classifier, X_test[y_test == name], target=name
    )
    plt.close(display.figure_)
    contributions[name] = display.contributions.mean(axis=0).reshape(2, 2)
    upper, lower = contributions[name].sum(axis=1)
    print(
        f"{name:10}upper patches {upper:+.1f}, lower patches {lower:+.1f}"
    )

# %%
figure, axes = plt.subplots(1, 7, figsize=(7.5, 1.6), layout="constrained")
largest = max(abs(each).max() for each in contributions.values())
for ax, (name, each) in zip(axes, contributions.items(), strict=True):
    image = ax.imshow(each, cmap="PuOr_r", vmin=-largest, vmax=largest)
    for (row, column), value in np.ndenumerate(each):
        color = "white" if value > 0.7 * largest else "black"
        ax.text(
            column,
            row,
            f"{value:+.1f}",
            ha="center",
            va="center",
            color=color,
            fontsize=8,
        )
    ax.set_title(name, fontsize=9)
    ax.set(xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="adds", pad=0.01)
plt.show()

# %%
# Surprise and happiness, which show in the mouth, are recognized almost
# entirely by the lower patches. For anger, disgust and sadness, which show
# in brows and lids, the upper ones add most. The numbers cannot say more
# than that. Which of the two lower patches adds more is peculiar to the
# network: a patch is computed from much more of the face than its square.
