"""
How training went
=================

Plot both stages of training: whether they learnt, where they stopped, and
which epoch was kept. A learning rate that is too high for stage 2 is
visible at a glance.
"""

# %%
# Two learning rates for stage 2
# ------------------------------
#
# Stage 1 trains the head on the frozen backbone. Stage 2 also fine-tunes
# the backbone's last layers, in the paper's recipe at a lower learning
# rate. These layers are good already, and steps that are too large ruin
# them. The paper's rate, 1e-5, is meant for hundreds of epochs; for a
# dozen epochs, two higher rates are tried here.

import matplotlib.pyplot as plt

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import TrainingHistoryDisplay

faces = make_expression_faces(
    n_subjects=120,
    n_per_expression=1,
    occlusion=0.0,
    max_yaw=15.0,
    random_state=0,
)


def fit(finetune_learning_rate):
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights="drawn",
        alpha=0.25,
        input_size=96,
        patch_size=3,
        batch_size=32,
        epochs=20,
        learning_rate=3e-3,
        unfreeze_layers=16,
        finetune_epochs=12,
        finetune_patience=8,
        finetune_learning_rate=finetune_learning_rate,
        random_state=0,
    )
    return classifier.fit(faces.images, faces.target, groups=faces.groups)


moderate, too_high = fit(3e-4), fit(1e-2)

# %%
# What is kept
# ------------
#
# For each stage, ``history_`` has one value per epoch, and ``best_epoch``,
# the epoch whose weights were kept because of the validation data: -1 if
# no epoch of stage 2 did as well as the end of stage 1, which is then
# kept.

for classifier in (moderate, too_high):
    history = classifier.history_
    best = {
        stage: max(history[stage]["val_accuracy"])
        for stage in ("head", "finetune")
    }
    print(
        f"rate {classifier.finetune_learning_rate:.0e}: "
        f"best of stage 1 {best['head']:.3f}, "
        f"best of stage 2 {best['finetune']:.3f}, "
        f"best_epoch of stage 2: {history['finetune']['best_epoch']}"
    )
print(
    moderate.history_["validation"]["n_validation"], "faces for validation"
)

# %%
# The pictures
# ------------
#
# :class:`~sklearn_patt_lite.inspection.TrainingHistoryDisplay` draws the
# history, without any predictions. Stars mark the epochs that were kept.
# The training curve is measured on augmented images and with dropout, and
# may lie below the validation curve.

figure, axes = plt.subplots(
    2, 2, figsize=(8.5, 6), sharey="col", layout="constrained"
)
for row, classifier in zip(axes, (moderate, too_high), strict=True):
    TrainingHistoryDisplay.from_estimator(classifier, ax=row)
    rate = classifier.finetune_learning_rate
    row[0].set_ylabel(f"stage 2 at {rate:.0e}\nAccuracy")
plt.show()

# %%
# At the moderate rate, stage 2 continues where stage 1 ended. At the high
# rate, both curves drop at the start of stage 2 and do not recover: stage
# 2 has no star, and the classifier is as good as after stage 1. Without
# validation data, this would have gone unnoticed. The validation curve is
# for some eighty faces of a dozen people, so it moves in jumps: small
# differences between its epochs mean nothing.
