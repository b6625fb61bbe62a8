"""scikit-learn's common checks on the classifier, whose images they reach through an adapter."""

import numpy as np
from rows_as_images import rows_to_images
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import validate_data

from sklearn_patt_lite import PAttLiteClassifier


class PAttLiteOnRows(PAttLiteClassifier):
    """Rows (n, d) in, as small images; all else is the classifier's own work."""

    def fit(self, X, y, sample_weight=None):
        images = rows_to_images(validate_data(self, X, dtype=[np.float64, np.float32]))
        return super().fit(images, y, sample_weight=sample_weight)

    def predict_proba(self, X):
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return super().predict_proba(rows_to_images(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.string = False
        return tags


# The head alone trains, on features of the shallowest map: its traced steps are shared by all
# fits, which train a classifier of blobs in half a second. Their smallest data sets hold a single
# image of a class: there is nothing to validate on.
ON_ROWS = PAttLiteOnRows(
    recipe="paper",
    backbone_weights="drawn",
    alpha=0.25,
    input_size=32,
    output_layer="conv_dw_1_relu",
    patch_size=4,
    n_filters=8,
    hidden_units=None,
    dropout=0.0,
    epochs=20,
    learning_rate=1e-2,
    patience=None,
    unfreeze_layers=0,
    finetune_patience=None,
    validation_fraction=None,
    batch_size=8,
    augment=False,
)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "An image of weight zero has no say in the loss, but it takes a place in a batch, as with "
        "all learning in batches: the steps differ from those without it."
    ),
}


@parametrize_with_checks([ON_ROWS], expected_failed_checks=lambda estimator: EXPECTED_FAILURES)
def test_common_checks(estimator, check):
    check(estimator)


def test_the_common_checks_do_run():
    checks = list(estimator_checks_generator(ON_ROWS))
    assert len(checks) >= 40
    assert not ON_ROWS.__sklearn_tags__().non_deterministic
    assert not ON_ROWS.__sklearn_tags__().no_validation
