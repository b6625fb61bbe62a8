"""
Covered faces and turned heads
==============================

A score on frontal, uncovered faces says nothing about sunglasses, masks
and turned heads. Drawn faces can be drawn again with nothing else changed.
"""

# %%
# One face, drawn again
# ---------------------
#
# With the same ``random_state``,
# :func:`~sklearn_patt_lite.datasets.make_expression_faces` draws the same
# people with the same expressions, whatever ``occlusion`` and ``max_yaw``
# are. Two scores then differ only because of the covering or the turn.
# Photographs do not allow this comparison: their turned faces also show
# other people, in other light.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

TURNS = (0, 15, 30, 45)  # degrees, at most
COVERINGS = ("sunglasses", "mask", "hand")


def draw_test_faces(occlusion=0.0, max_yaw=0.0):
    return make_expression_faces(
        n_subjects=60,
        n_per_expression=1,
        occlusion=occlusion,
        max_yaw=max_yaw,
        random_state=1,
    )


turned = {turn: draw_test_faces(max_yaw=turn) for turn in TURNS}
covered = draw_test_faces(occlusion=1.0)

shown = np.flatnonzero(covered.target_names[covered.target] == "happy")
pictures = {
    f"up to {turn}°": turned[turn].images[shown[0]] for turn in TURNS
}
for covering in COVERINGS:
    wearer = shown[covered.occlusion[shown] == covering][0]
    pictures[covering] = covered.images[wearer]
figure, axes = plt.subplots(
    1, len(pictures), figsize=(7.2, 1.4), layout="constrained"
)
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture)
    ax.set_title(name, fontsize=8)
    ax.axis("off")
plt.show()

# %%
# Two classifiers
# ---------------
#
# Both are trained on the same 120 people, drawn with another seed, and on
# the same number of images: one on frontal, uncovered faces, the other on
# faces that are turned by up to 45 degrees, half of them covered. Both
# are trained for the same number of epochs.


def fit(occlusion, max_yaw):
    faces = make_expression_faces(
        n_subjects=120,
        n_per_expression=1,
        occlusion=occlusion,
        max_yaw=max_yaw,
        random_state=0,
    )
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=96,
        patch_size=3,
        finetune_epochs=20,
        random_state=0,
    )
    return classifier.fit(faces.images, faces.target)


classifiers = {
    "plain faces": fit(occlusion=0.0, max_yaw=0.0),
    "varied faces": fit(occlusion=0.5, max_yaw=45.0),
}

# %%
# The scores
# ----------
#
# Each face is covered by one of the three. The score on the faces with a
# mask, for example, is compared with that on the same faces without it.


def is_right(classifier, faces):
    return classifier.predict(faces.images) == faces.target


by_turn, by_covering = {}, {}
for name, classifier in classifiers.items():
    right = {
        turn: is_right(classifier, faces) for turn, faces in turned.items()
    }
    by_turn[name] = [right[turn].mean() for turn in TURNS]
    right_covered = is_right(classifier, covered)
    by_covering[name] = [
        (right[0][wearers].mean(), right_covered[wearers].mean())
        for wearers in (
            covered.occlusion == covering for covering in COVERINGS
        )
    ]
    print(f"trained on {name}")
    for turn, score in zip(TURNS, by_turn[name], strict=True):
        print(f"  turned by up to {turn:2} degrees: {score:.3f}")
    for covering, (bare, score) in zip(
        COVERINGS, by_covering[name], strict=True
    ):
        print(
            f"  {covering}: {score:.3f}, "
            f"the same faces uncovered: {bare:.3f}"
        )

# %%
# Arrows lead from the score on bare faces to that on covered ones.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(7.5, 3.6), sharey=True, layout="constrained"
)
colors = {"plain faces": "firebrick", "varied faces": "midnightblue"}
for shift, (name, color) in zip(
    (-0.12, 0.12), colors.items(), strict=True
):
    left.plot(
        TURNS, by_turn[name], "o-", color=color, label=f"trained on {name}"
    )
    for place, (bare, score) in enumerate(by_covering[name]):
        arrow = {
            "arrowstyle": "-|>",
            "color": color,
            "shrinkA": 0,
            "shrinkB": 0,
        }
        right.annotate(
            "",
            (place + shift, score),
            (place + shift, bare),
            arrowprops=arrow,
        )
        right.plot(place + shift, bare, "o", color=color)
left.set(
    xlabel="head turned by up to, degrees",
    ylabel="accuracy on unseen people",
    xticks=TURNS,
)
left.set(ylim=(0, 1), title="turned")
left.legend(fontsize="small")
right.set(xlim=(-0.5, 2.5), title="covered")
right.set_xticks(range(len(COVERINGS)), COVERINGS)
for ax in (left, right):
    ax.axhline(1 / 7, color="gray", linestyle=":")
left.text(0, 1 / 7 + 0.015, "guessing", color="gray")
plt.show()

# sphinx_gallery_thumbnail_number = 2

# %%
# Turned heads cost the classifier that was trained on plain faces more
# than the one that was trained on varied faces. The latter pays with a
# lower score on plain faces: it had as many training images, but fewer of
# that kind. Coverings cost both a lot, and masks the most: many
# expressions show in the mouth, and no training restores what is not in
# the picture. The score on a test set is a mixture of all these, and
# depends on how many of its faces are covered or turned.
