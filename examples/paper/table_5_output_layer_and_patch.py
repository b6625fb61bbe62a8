"""Table 5 of the paper: where MobileNetV1 ends, and the size of the patches.

    python examples/paper/table_5_output_layer_and_patch.py
    python examples/paper/table_5_output_layer_and_patch.py --data rafdb/

Patches are made by a convolution whose stride equals its kernel size, and a pointwise one. The
paper's codes are NP7 (the map is not padded), OP3 and OP5 (padded by one), P4 and P8 (padded to
16×16). Without `--data`, faces are drawn, at 96 pixels: their maps have 6×6 cells, and patches are
smaller. This takes one to two minutes on two cores, for stage 1 alone. Fits are kept in --output:
the same command continues a run that was stopped.
"""

import numpy as np
from _faces import load_faces, parse_arguments
from _fits import fit_rows, make_classifier
from _published import TABLE_5
from _report import (
    HONEST,
    OBTAINABLE,
    notes_on,
    score_columns,
    scores_of,
    write_table,
)
from matplotlib.figure import Figure

LAYERS = {  # by the paper's number, counted from MobileNetV1's end
    17: "conv_dw_11_relu",
    23: "conv_dw_10_relu",
    29: "conv_dw_9_relu",
    35: "conv_dw_8_relu",
    41: "conv_dw_7_relu",
    47: "conv_dw_6_relu",
}
PATCHES = (7, 3, 5, 4, 8)
PAPER_CODES = "NP7", "OP3", "OP5", "P4", "P8"
CHOSEN = 29, 4
DRAWN_PATCHES = (3, 2, 4)
DRAWN_CHOSEN = 29, 3
STAGE_1_ALONE = {"unfreeze_layers": 0, "finetune_patience": None, "epochs": 10}


def main():
    arguments = parse_arguments(__doc__, ["RAF-DB", "FER2013", "FERPlus"], n_seeds=2)
    faces = load_faces(arguments)
    patches, chosen = PATCHES, CHOSEN
    if arguments.data is None:
        patches, chosen = DRAWN_PATCHES, DRAWN_CHOSEN
        faces.settings.update(STAGE_1_ALONE)
    grid = {(number, patch): row(number, patch) for number in LAYERS for patch in patches}
    found = fit_rows(faces, {name(*cell): row for cell, row in grid.items()}, arguments)
    side = map_side(make_classifier(faces, arguments, 0))
    reference = (f"layer {chosen[0]}, {patch_code(side, chosen[1])}", found[name(*chosen)])
    table = [
        {
            "layer": f"{number} ({LAYERS[number]})",
            "patches": patch_code(side, patch),
            "paper, RAF-DB, %": published(number, patch_code(side, patch)),
            OBTAINABLE: HONEST[True],
            **score_columns(faces, found[name(number, patch)], reference=reference),
        }
        for number, patch in grid
    ]
    title = f"Table 5, output layer × patch, on {faces.title}"
    path = arguments.output / f"table_5_{faces.title.replace(' ', '_')}"
    means = [
        [scores_of(faces, found[name(number, patch)]).mean() for patch in patches]
        for number in LAYERS
    ]
    heat(np.array(means), [patch_code(side, patch) for patch in patches], title, path)
    paper = ("Table 5 of the paper, RAF-DB, %", paper_grid())
    write_table(title, table, list(notes_on(faces, arguments)), path, published=paper)


def row(number, patch):
    patches = {"patch_extraction": "conv_pointwise", "patch_size": patch}
    return {"output_layer": LAYERS[number], **patches}


def published(number, code):
    """Format the paper's accuracy; "" if it has no such patches."""
    return f"{TABLE_5[number, code]:.2f}" if (number, code) in TABLE_5 else ""


def paper_grid():
    """Make the paper's table, one row per layer."""
    return [
        {
            "layer": f"{number} ({LAYERS[number]})",
            **{code: published(number, code) for code in PAPER_CODES},
        }
        for number in LAYERS
    ]


def name(number, patch):
    return f"layer {number}, patches of {patch}"


def map_side(classifier):
    """Compute the side, in cells, of the feature map that is cut into patches."""
    input_size = 224 if classifier.input_size == "auto" else classifier.input_size  # the paper's
    return input_size // 16


def patch_code(side, patch):
    """Name patches as the paper does: NP if the map needs no padding, OP for padding by one."""
    padding = -side % patch
    return f"{ {0: 'NP', 1: 'OP'}.get(padding, 'P') }{patch}"


def heat(means, codes, title, path):
    """Draw the grid as a heat map, with accuracies in %."""
    figure = Figure(figsize=(2 + 1.2 * len(codes), 6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(means, cmap="Blues", aspect="auto")
    middle = (means.min() + means.max()) / 2
    for place, mean in np.ndenumerate(means):
        color = "white" if mean > middle else "black"
        axes.text(*place[::-1], f"{mean:.1f}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(codes)), codes)
    axes.set_yticks(range(len(LAYERS)), [f"{n}, {layer}" for n, layer in LAYERS.items()])
    axes.set(xlabel="patches", title=f"{title}\naccuracy, %, mean over the seeds")
    figure.savefig(path.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
