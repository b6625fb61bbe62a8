"""
Why attention over the batch misleads
=====================================

The published code of PAtt-Lite attends over the images of a *batch*. Each
prediction then depends on the other images in the batch. If a test set is
sorted by class, as files in class folders are, its images give away each
other's labels.
"""

# %%
# Two networks
# ------------
#
# They differ in one parameter: what the attention runs over.
# ``attention="batch"`` is the published behaviour, and warns.

import warnings

import matplotlib.pyplot as plt

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import batch_invariance

faces = make_expression_faces(
    n_subjects=100, n_per_expression=1, random_state=0
)
is_trained = faces.groups < 60


def fit(attention):
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights="drawn",
        alpha=0.25,
        input_size=96,
        patch_size=3,
        attention=attention,
        batch_size=32,
        epochs=20,
        patience=None,
        learning_rate=3e-3,
        unfreeze_layers=0,
        random_state=0,
    )
    return classifier.fit(
        faces.images[is_trained],
        faces.target[is_trained],
        groups=faces.groups[is_trained],
    )


own = fit("patches")
with warnings.catch_warnings(record=True) as caught:
    published = fit("batch")
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")

# %%
# The same faces in other batches
# -------------------------------
#
# :func:`~sklearn_patt_lite.inspection.batch_invariance` predicts the faces
# of unseen people alone, in shuffled batches, and in batches sorted by
# class. It gets the networks themselves, because the classifier would use
# batches of the size that it was trained with.

SIZES = (2, 4, 8, 16, 32)
test = faces.images[~is_trained], faces.target[~is_trained]
reports = {
    "batch": batch_invariance(
        published.model_, *test, batch_sizes=SIZES, random_state=0
    ),
    "patches": batch_invariance(
        own.model_, *test, batch_sizes=SIZES, random_state=0
    ),
}
for attention, report in reports.items():
    print(f'attention="{attention}"\n{report}\n')

# %%
# Accuracy by batch size and order
# --------------------------------

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
colors = {"batch": "firebrick", "patches": "midnightblue"}
for attention, report in reports.items():
    for order, line in (("shuffled", "--"), ("class-sorted", "-")):
        companies = [
            company
            for company in report.companies
            if company.order == order
        ]
        ax.plot(
            [1, *(company.batch_size for company in companies)],
            [
                report.accuracy_alone,
                *(company.accuracy for company in companies),
            ],
            line,
            marker="o",
            color=colors[attention],
            label=f"attention over the {attention}, {order}",
        )
ax.set_xscale("log", base=2)
ax.set_xticks([1, *SIZES], ["alone", *map(str, SIZES)])
ax.set(
    xlabel="faces predicted together",
    ylabel="accuracy on unseen people",
    ylim=(0, 1),
)
ax.legend(loc="lower left")
plt.show()

# %%
# From left to right, neither the faces nor the networks change. The
# published network is better if a batch shows one expression, because the
# other images give away the label. In shuffled batches, its predictions
# are no better than alone. A score on faces sorted by class measures the
# order. With attention over the patches of one image, every face has one
# prediction, and there is one score.
#
# Photographs show the same: the documentation of
# :func:`~sklearn_patt_lite.inspection.batch_invariance` has figures for
# FER2013.
