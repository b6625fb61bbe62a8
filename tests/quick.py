"""The network of most tests: small, and the same, so that TensorFlow traces its training once."""

from sklearn_patt_lite import PAttLiteClassifier

SIZE = 32
NETWORK = {
    "backbone_weights": "drawn",
    "alpha": 0.25,
    "input_size": SIZE,
    "output_layer": "conv_dw_4_relu",
    "patch_size": 2,
    "n_filters": 8,
    "hidden_units": 8,
    "random_state": 0,
}
#: Both stages of the paper's recipe, of two epochs each.
QUICK = {
    "recipe": "paper",
    **NETWORK,
    "epochs": 2,
    "learning_rate": 1e-2,
    "unfreeze_layers": 4,
    "finetune_epochs": 2,
    "finetune_learning_rate": 1e-3,
    "batch_size": 16,
}
#: Both stages of the default recipe.
TRANSFER = {
    **NETWORK,
    "epochs": 2,
    "unfreeze_layers": 8,
    "finetune_epochs": 2,
    "batch_size": 16,
}
#: An epoch of the head alone.
HEAD_ONLY = {**QUICK, "epochs": 1, "unfreeze_layers": 0}


def quick(**changes):
    return PAttLiteClassifier(**{**QUICK, **changes})
