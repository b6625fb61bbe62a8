"""
How training went
=================

Both stages in one picture: whether they learnt, where they stopped, and
which epoch was kept. A rate that is too high for stage 2 is seen at a
glance.
"""

# %%
# Two rates for stage 2
# ---------------------
#
# Stage 1 trains the head on the frozen backbone; stage 2 goes on with the
# backbone's last layers, in the paper's recipe at a lower rate. It trains
# layers that are good already, and a step that is too large undoes them.
# The paper's rate, 1e-5, is made for hundreds of epochs; for a dozen
# epochs these try more.

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
# ``history_`` has a number an epoch for each stage, and ``best_epoch``,
# the one whose weights were kept by the validation data: -1 if no epoch of
# stage 2 did as well as the end of stage 1, which is kept then.

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
# history: nothing is predicted for it. Stars are the epochs that were
# kept. The training curve is of augmented images and with dropout, and may
# lie below the one of validation.

figure, axes = plt.subplots(
    2, 2, figsize=(8.5, 6), sharey="col", layout="constrained"
)
for row, classifier in zip(axes, (moderate, too_high), strict=True):
    TrainingHistoryDisplay.from_estimator(classifier, ax=row)
    rate = classifier.finetune_learning_rate
    row[0].set_ylabel(f"stage 2 at {rate:.0e}\nAccuracy")
plt.show()

# %%
# At the moderate rate stage 2 goes on where stage 1 ended. At the high one
# both curves fall at the change of stage and do not come back: stage 2 has
# no star, and the classifier is as good as after stage 1. Without
# validation data nothing would have noticed. The validation curve is of
# some eighty faces of a dozen people, and jumps by their number: small
# differences between its epochs mean nothing.
