"""
Where the evidence lies: Grad-CAM
=================================

A heat map over a face is easily believed. To check whether the bright area
decides, cover it: here the mouths of happy faces, and for comparison an
area of the same size elsewhere.
"""

# %%
# A classifier
# ------------
#
# It is trained on 120 people who look ahead, with uncovered faces.

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
# :class:`~sklearn_patt_lite.inspection.GradCAMDisplay` weights the
# channels of a feature map by their effect on the score of a class, and
# shows where they are active. These are happy faces of unseen people, the
# most confident first. The upper row is for the layer at which the
# backbone ends, which is the default; the lower row is for an earlier one.
#
# The later a layer, the larger the receptive field of its cells. At the
# last one it is the whole face, so a bright cell need not mean that the
# evidence is there.

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
# A grey rectangle covers the mouths of all happy faces of unseen people,
# or as much of their foreheads. The map is for "happy" in each case. Its
# mean at the mouth is divided by its mean over the image: 1 would be a
# mouth like any other place.

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
# With the mouth covered, hardly any face is predicted as happy, and the
# heat moves away from where the mouth was. With the forehead covered, most
# are still predicted as happy, and the heat stays where it was. Here maps
# and predictions agree. This cannot be taken for granted, and the maps do
# not show it: a map alone is no proof, but covering is.
