"""
Calibrated probabilities
========================

Of the labels to which a classifier gives a probability of 80 %, four in
five should be right. Neural networks often miss this. Temperature scaling
divides all logits by one number, which can correct most of the error.
scikit-learn fits this number, on people who were held out from training.
"""

# %%
# Three groups of people
# ----------------------
#
# The network trains on the first, the temperature is fitted on the second,
# and both are tested on the third. Nobody is in two groups: on faces that
# it was trained on, the network is right more often than on new ones, and
# the temperature would come out too low.

import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.frozen import FrozenEstimator

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.metrics import expression_report

faces = make_expression_faces(
    n_subjects=200, n_per_expression=1, random_state=0
)
is_trained = faces.groups < 100
is_held_out = (faces.groups >= 100) & (faces.groups < 140)
is_test = faces.groups >= 140

classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    random_state=0,
)
classifier.fit(faces.images[is_trained], faces.target[is_trained])

# %%
# The temperature
# ---------------
#
# ``FrozenEstimator`` keeps the network as it is, so that only the
# temperature is fitted. The predicted labels stay the same: dividing all
# logits of a face by one number does not change their order.

calibrated = CalibratedClassifierCV(
    FrozenEstimator(classifier), method="temperature"
)
calibrated.fit(faces.images[is_held_out], faces.target[is_held_out])
temperature = (
    1 / calibrated.calibrated_classifiers_[0].calibrators[0].beta_
)
print(f"temperature {temperature:.2f}")

# %%
# Before and after
# ----------------
#
# The calibration error is the mean distance between the classifier's
# confidence (its probability of the predicted label) and its accuracy.

y_test = faces.target[is_test]
correct, confidence = {}, {}
for name, model in {
    "as it is": classifier,
    "with a temperature": calibrated,
}.items():
    y_proba = model.predict_proba(faces.images[is_test])
    y_pred = model.classes_[y_proba.argmax(axis=1)]
    report = expression_report(
        y_test,
        y_pred,
        y_proba=y_proba,
        groups=faces.groups[is_test],
        random_state=0,
    )
    correct[name] = y_pred == y_test
    confidence[name] = y_proba.max(axis=1)
    print(
        f"{name:20}accuracy {report.accuracy:.3f}, "
        f"mean confidence {confidence[name].mean():.3f}, "
        f"calibration error {report.calibration_error:.3f}"
    )

# %%
# The reliability curve
# ---------------------
#
# Faces are binned by the probability of their predicted label. Above the
# diagonal, the classifier is underconfident, as here: the default recipe
# smooths labels, and few epochs on few people do the rest. A temperature
# below 1 raises its confidence. Below the diagonal, it would be
# overconfident.

figure, axes = plt.subplots()
for name in confidence:
    CalibrationDisplay.from_predictions(
        correct[name],
        confidence[name],
        n_bins=6,
        strategy="quantile",
        name=name,
        ax=axes,
    )
axes.set(
    xlabel="probability of the predicted expression",
    ylabel="share of right predictions",
)
plt.show()

# %%
# The network was not trained on the 40 people who were held out for the
# temperature. To use everybody for both, turn on metadata routing
# (``sklearn.set_config(enable_metadata_routing=True)``) and fit
# ``CalibratedClassifierCV(classifier, method="temperature",
# cv=SubjectKFold(5), ensemble=False)`` with ``groups=``. It predicts each
# fold with a network trained on the others, fits the temperature on these
# predictions, and trains the final network on everybody: six fits instead
# of one.
