"""The model card of a saved classifier: `card.md`, filled in."""

import importlib.resources
import math
import string

from scipy.stats import binomtest

_NO_DESCRIPTION = "No description was given: `save_model(path, description=...)`."
_SPLITS = {
    "groups": "cut off the training images by whole subjects",
    "stratified": "cut off the training images by image: subjects may be on both sides",
    "given": "given apart from the training images",
    None: "so that no epoch was chosen",
}


def model_card(metadata, description):
    """Fill in the card from the metadata that `save` writes; return Markdown."""
    template = importlib.resources.files(__package__).joinpath("card.md").read_text("utf-8")
    history, classes = metadata["history"], metadata["classes"]["values"]
    validation = history["validation"]
    versions = (f"{name} {found}" for name, found in metadata["versions"].items() if found)
    digests = (
        f"- SHA-256 of the {name} that `fit` was given: {found}."
        for name, found in history["data"].items()
    )
    return string.Template(template).substitute(
        description=description or _NO_DESCRIPTION,
        n_parameters=f"{metadata['n_parameters']:,}",
        image_shape=metadata["images"]["shape"],
        classes=", ".join(map(str, classes)),
        chance=f"{100 / len(classes):.1f}",
        backbone_weights=repr(metadata["parameters"]["backbone_weights"]),
        saved=metadata["saved"],
        versions=", ".join(versions),
        n_train=f"{validation['n_train']:,}",
        n_validation=f"{validation['n_validation']:,}",
        split=_SPLITS[validation["split"]],
        digests="\n".join(digests),
        scores="\n".join(_scores(history)),
    )


def _scores(history):
    n_validation = history["validation"]["n_validation"]
    for name, stage in history.items():
        if not stage.get("val_accuracy"):
            continue
        if stage["best_epoch"] < 0:
            yield f"- Stage {name!r}: no epoch was better than what it began with, which was kept."
            continue
        accuracy = stage["val_accuracy"][stage["best_epoch"]]
        if math.isfinite(accuracy):
            right = round(accuracy * n_validation)
            low, high = binomtest(right, n_validation).proportion_ci(method="wilson")
            yield (
                f"- Stage {name!r}: validation accuracy {accuracy:.3f} in its best epoch; 95 % "
                f"interval {low:.3f} to {high:.3f} (Wilson, over images: too narrow where "
                "subjects have several)."
            )
    if n_validation == 0:
        yield "- No validation data was set aside."
