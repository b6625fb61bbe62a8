"""Figures 6 and 7: where the network looks, for correct predictions (blue) and wrong ones.

    python examples/paper/figures_6_and_7_grad_cam.py
    python examples/paper/figures_6_and_7_grad_cam.py --data fer2013_sample.npz

For each class, shows the most confident correct prediction and the most confident wrong one: the
face, its Grad-CAM map, and the attention between its patches with what each adds to the decision.

On a CPU, with a few thousand faces, `--set unfreeze_layers=0 finetune_patience=None epochs=8
batch_size=32` reduces it to a few minutes. Without `--data`, faces are drawn, and it takes a minute
on two cores. The fit is kept in --output.
"""

import numpy as np
from _faces import load_faces, parse_arguments
from _fits import fit, make_classifier
from _report import notes_on, write_table
from matplotlib.figure import Figure

from sklearn_patt_lite.inspection import GradCAMDisplay, PatchAttentionDisplay

ROWS = ("face", "Grad-CAM", "patches")
PANEL = 1.45  # inches


def main():
    arguments = parse_arguments(__doc__, ["FER2013", "RAF-DB", "FERPlus"], n_seeds=1)
    if arguments.seeds != 1:
        raise SystemExit("The figures show one network: pass --seeds 1.")
    faces = load_faces(arguments)
    (split,) = faces.splits
    classifier = make_classifier(faces, arguments, seed=0)
    classifier.set_params(checkpoint_dir=arguments.output / "checkpoints")
    fit(classifier, faces, split, arguments)
    images, target = faces.images[split.test], faces.target[split.test]
    probabilities = classifier.predict_proba(images)
    title = f"Where the network looks, on {faces.title}"
    path = arguments.output / f"figures_6_and_7_{faces.title.replace(' ', '_')}"
    figure = Figure(figsize=(PANEL * len(faces.target_names), 1.2 * PANEL * 2 * len(ROWS)))
    figure.set_layout_engine("constrained")
    blocks = figure.subfigures(2, 1)
    table = []
    for block, (kind, rows) in zip(blocks, surest(target, probabilities).items(), strict=True):
        shown = np.array([row for row in rows if row is not None])
        display = draw(block, classifier, images[shown], target[shown], faces.target_names)
        for i, row in enumerate(shown):
            of_class = target == target[row]
            is_right = probabilities[of_class].argmax(axis=1) == target[row]
            table.append(
                {
                    "class": str(faces.target_names[target[row]]),
                    f"{faces.title}: accuracy, %": round(100 * is_right.mean(), 1),
                    "surest that is": kind,
                    "predicted": display.predicted[i],
                    "probability, %": round(100 * float(display.probability[i]), 1),
                    "patch that adds most": place(display, i),
                }
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=150)
    write_table(title, table, notes_on(faces, arguments), path)


def surest(target, probabilities):
    """Find the most confident correct and wrong prediction of each true class, or None."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = {"right": [], "wrong": []}
    for code in range(probabilities.shape[1]):
        for kind, is_right in (("right", True), ("wrong", False)):
            (found,) = np.nonzero((target == code) & ((predicted == code) == is_right))
            rows[kind].append(found[confidence[found].argmax()] if len(found) else None)
    return rows


def draw(block, classifier, images, target, names):
    """Draw a block of faces: one column per class, empty if it has no face."""
    axes = block.subplots(len(ROWS), len(names))
    for panel in axes.ravel():
        panel.set_axis_off()
    given = {"y": target, "target_names": names}
    cam = GradCAMDisplay.from_estimator(classifier, images, ax=axes[1, target], **given)
    patches = PatchAttentionDisplay.from_estimator(classifier, images, ax=axes[2, target], **given)
    for code, face, panel in zip(target, cam.images, patches.axes_, strict=True):
        pixels = np.rint(np.broadcast_to(face, (*face.shape[:2], 3))).astype(np.uint8)
        axes[0, code].imshow(pixels)
        axes[0, code].set_title(names[code], fontsize="small")
        panel.set_title("")  # the same as above it
    return patches


def place(display, i):
    """Name the position of the patch that adds most to a face's decision."""
    n_columns = len(display.edges[1]) - 1
    row, column = divmod(int(display.contributions[i].argmax()), n_columns)
    return f"row {row + 1}, column {column + 1}"


if __name__ == "__main__":
    main()
