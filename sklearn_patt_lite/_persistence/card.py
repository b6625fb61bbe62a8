"""The model card of a saved classifier."""

import math

from scipy.stats import binomtest

# The model card


def model_card(metadata, description):
    history = metadata["history"]
    validation = history["validation"]
    classes = ", ".join(map(str, metadata["classes"]["values"]))
    cut = {
        "groups": "cut off the training images by whole subjects",
        "stratified": "cut off the training images by image: subjects may be on both sides",
        "given": "given apart from the training images",
        None: "none",
    }[validation["cut"]]
    lines = [
        "# PAtt-Lite, a classifier of facial expressions",
        "",
        description or "No description was given: `save_model(path, description=...)`.",
        "",
        "## What it is",
        "",
        f"- {metadata['n_parameters']:,} parameters; images of {metadata['images']['shape']} "
        "(height, width, channels), others are converted.",
        f"- Classes: {classes}. Chance is {100 / len(metadata['classes']['values']):.1f} %.",
        f"- backbone_weights={metadata['parameters']['backbone_weights']!r}; what started from "
        "'drawn' is of no use for photographs.",
        f"- Saved {metadata['saved']}; "
        + ", ".join(f"{name} {found}" for name, found in metadata["versions"].items() if found)
        + ".",
        "",
        "## What it was trained on",
        "",
        f"- {validation['n_train']:,} images to train on.",
        f"- Validation data, by which training stopped: {validation['n_validation']:,} images, "
        f"{cut}.",
        *(
            f"- SHA-256 of the {name} that `fit` was given: {found}."
            for name, found in history["data"].items()
        ),
        "",
        "## How well it does",
        "",
        *_scores(history),
        "",
        "## What it is not for",
        "",
        "- Expressions are not emotions: what a face shows is not what a person feels, and the",
        "  label of a picture is the opinion of those who labelled it.",
        "- It knows faces like those that it was trained on. If the description does not tell who",
        "  they were (age, skin, origin, posed or not), nobody knows whom it works for.",
        "- It is not for decisions about people: hiring, policing, schooling, health.",
        "- Scores here are of validation data, which chose the epoch; test it on subjects of its",
        "  own, with `expression_report`.",
        "",
    ]
    return "\n".join(lines)


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
        yield "- It was not validated."
