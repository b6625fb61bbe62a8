"""Command-line options for the parameters of PAttLiteClassifier."""

_KINDS = {
    "backbone_weights": str,
    "alpha": float,
    "input_size": int,
    "patch_size": int,
    "epochs": int,
    "patience": int,
    "batch_size": int,
    "unfreeze_layers": int,
    "finetune_epochs": int,
    "finetune_patience": int,
    "finetune_learning_rate": float,
}


def add_parameters(parser):
    """Add an option for each parameter: `--finetune-epochs` for `finetune_epochs`."""
    parser.add_argument("--recipe", choices=["transfer", "paper", "modern"])
    for name, kind in _KINDS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, help="as in PAttLiteClassifier, with its default")


def given_parameters(arguments):
    """Collect the parameters that were given."""
    values = {name: getattr(arguments, name) for name in ("recipe", *_KINDS)}
    return {name: value for name, value in values.items() if value is not None}
