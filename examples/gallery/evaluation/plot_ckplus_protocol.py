"""
Ten folds of subjects, as for CK+
=================================

CK+ is evaluated in ten folds of subjects: everybody is tested once, by a
classifier that was not trained on them. Here, drawn faces with the same
seven expressions stand in for CK+.
"""

# %%
# A database like CK+
# -------------------
#
# CK+ has labels for contempt, but none for neutral faces.
# :func:`~sklearn_patt_lite.datasets.map_expressions` selects its seven
# expressions from the eight that are drawn. Your copy of CK+ is loaded by
# ``load_ckplus("CK+")``, with the same fields.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_validate

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import (
    make_expression_faces,
    map_expressions,
)
from sklearn_patt_lite.metrics import expression_report
from sklearn_patt_lite.model_selection import SubjectKFold

drawn = make_expression_faces(
    n_subjects=60,
    n_expressions=8,
    occlusion=0.0,
    max_yaw=15.0,
    random_state=0,
)
ck_names = [
    "anger",
    "contempt",
    "disgust",
    "fear",
    "happy",
    "sadness",
    "surprise",
]
data = map_expressions(drawn, ck_names)
print(
    f"{len(data.target)} images of {len(np.unique(data.groups))} subjects"
)
print(data.target_names.tolist())

# %%
# The folds
# ---------
#
# :class:`~sklearn_patt_lite.model_selection.SubjectKFold` tests every
# tenth of the sorted subjects, as the field does with CK+. The folds
# depend only on the subjects' names, so that scores can be compared with
# those of others.
#
# All faces of the other folds are used for training: the default recipe
# trains for a fixed number of epochs, and needs no validation data. If you
# ask for some (``validation_fraction``), metadata routing passes the
# groups on to the classifier, and nobody is on both sides of that split
# either. ``memory`` keeps the features of frozen layers, for all ten
# folds.

sklearn.set_config(enable_metadata_routing=True)

with tempfile.TemporaryDirectory() as memory:
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=96,
        patch_size=3,
        random_state=0,
        memory=memory,
    )
    folds = cross_validate(
        classifier,
        data.images,
        data.target,
        cv=SubjectKFold(10),
        params={"groups": data.groups},
        return_estimator=True,
        return_indices=True,
    )
    predicted = np.empty_like(data.target)
    for fitted, test in zip(
        folds["estimator"], folds["indices"]["test"], strict=True
    ):
        predicted[test] = fitted.predict(data.images[test])

for fold, score in enumerate(folds["test_score"]):
    print(f"fold {fold}: {score:.3f}")

# %%
# How certain the score is
# ------------------------
#
# Folds differ because people do.
# :func:`~sklearn_patt_lite.metrics.expression_report` resamples subjects
# for its intervals. The images of one person succeed and fail together: an
# interval over images treats them as independent, and is too narrow.

report = expression_report(
    data.target,
    predicted,
    groups=data.groups,
    target_names=data.target_names,
    random_state=0,
)
print(report)

# %%
# The scores of the folds, and the interval of the overall score.

low, high = report.intervals["accuracy"]
figure, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.axhspan(
    low, high, color="lightsteelblue", label="95 % interval over subjects"
)
ax.axhline(report.accuracy, color="midnightblue", label="all images")
ax.plot(folds["test_score"], "o", color="firebrick", label="a fold")
ax.axhline(1 / 7, color="gray", linestyle=":", label="guessing")
ax.set(xlabel="fold", ylabel="accuracy", ylim=(0, 1), xticks=range(10))
ax.legend(loc="lower right", bbox_to_anchor=(1, 0.16), ncols=2)
plt.show()

# %%
# The confusion matrix, in % of the true expression.

ConfusionMatrixDisplay(
    100 * report.confusion_shares, display_labels=report.target_names
).plot(
    values_format=".0f", xticks_rotation=45, cmap="Blues", colorbar=False
)
plt.tight_layout()
plt.show()

# %%
# The folds have six people each, and their scores lie far apart: the best
# one says little. The score to report is the one over all images, with its
# interval over subjects. The confusion matrix shows what it is made of.
#
# CK+ has three nearly identical frames of each recording:
# ``examples/ckplus_folds.py`` prints the score by recording next to the
# score by frame.
