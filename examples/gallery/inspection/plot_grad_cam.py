"""
Where the evidence lies: Grad-CAM
=================================

A heat map over a face is easily believed. Whether what is bright decides
is shown by covering it: the mouths of happy faces, and for comparison a
place of the same size elsewhere.
"""

# %%
# A classifier
# ------------
#
# It learns of 120 people, who look ahead and wear nothing over their
# faces.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import GradCAMDisplay

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
accuracy = classifier.score(faces.images[~is_trained], y[~is_trained])
print(f"accuracy on unseen people: {accuracy:.3f}")

# %%
# Two layers, two maps
# --------------------
#
# :class:`~sklearn_patt_lite.inspection.GradCAMDisplay` weighs the channels
# of a map of the network by what they do for a class, and shows where they
# are active. These are happy faces of unseen people, the surest first.
# Above is the layer at which the backbone ends, which is the default;
# below an earlier one.
#
# The later a layer, the more of the face each of its cells has seen. At
# the last one that is all of it, so that what is bright there need not be
# what was seen there.

EARLIER = "conv_pw_6_relu"
happy = faces.images[~is_trained & (y == "happy")]
column = classifier.classes_.tolist().index("happy")
surest = np.argsort(-classifier.predict_proba(happy)[:, column])[:5]
truth = ["happy"] * len(surest)

figure, axes = plt.subplots(2, 5, figsize=(7.2, 3.5), layout="constrained")
for row, layer in zip(axes, (None, EARLIER), strict=True):
    GradCAMDisplay.from_estimator(
        classifier, happy[surest], truth, layer=layer, ax=row
    )
plt.show()

# %%
# Cover it
# --------
#
# A grey rectangle hides the mouths of all happy faces of unseen people, or
# as much of their foreheads. The map is for "happy" in each case. Its heat
# at the mouth is compared with its mean: 1 would be a mouth like any other
# place.

MOUTH = np.s_[:, 58:84, 28:68]
FOREHEAD = np.s_[:, 8:34, 28:68]


def cover(images, place):
    images = images.copy()
    images[place] = 128
    return images


shown = {
    "as drawn": happy,
    "mouth covered": cover(happy, MOUTH),
    "forehead covered": cover(happy, FOREHEAD),
}
for name, images in shown.items():
    share = np.mean(classifier.predict(images) == "happy")
    print(f"{name:18}{100 * share:3.0f} % happy", end="")
    for layer in (None, EARLIER):
        display = GradCAMDisplay.from_estimator(
            classifier, images, target="happy", layer=layer
        )
        plt.close(display.figure_)
        heat = display.heat_maps[MOUTH].mean() / display.heat_maps.mean()
        print(
            f"; heat at the mouth, {layer or 'last layer'}: {heat:.1f}",
            end="",
        )
    print()

# %%
# The same five faces, with the maps of the earlier layer.

figure, axes = plt.subplots(3, 5, figsize=(7.2, 5.8), layout="constrained")
for row, images in zip(axes, shown.values(), strict=True):
    GradCAMDisplay.from_estimator(
        classifier,
        images[surest],
        truth,
        target="happy",
        layer=EARLIER,
        ax=row,
    )
plt.show()

# %%
# Without a mouth hardly a face is happy to the classifier, and the heat
# leaves the place where the mouth was; without a forehead most stay happy,
# and so do their maps. Here maps and decision say the same. That is no
# matter of course, and the maps do not show it: a map alone is no proof,
# the covering is.
