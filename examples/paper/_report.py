"""Tables as text, CSV and Markdown, and pictures, of what the fits predicted."""

import csv

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, confusion_matrix, recall_score

from sklearn_patt_lite.metrics import expression_report
from sklearn_patt_lite.model_selection import compare_classifiers

OBTAINABLE = "honestly obtainable?"  # the heading of a column
#: Whether a figure of the paper is, by whether the row has its attention.
HONEST = {True: "no", False: "not shown"}
HONEST_MEANS = (
    "Honestly obtainable: no, if the network attends over the batch and the test images lie in the "
    "order of their classes; not shown, if it does not, but its code is not published, and stage 2 "
    "of the code that is stops by training accuracy."
)
NOT_QUOTED = "not quoted here"


def score_columns(faces, predictions, rows=slice(None), reference=None):
    """Scores of a row, for a table.

    Parameters
    ----------
    faces : Faces
        The truth.
    predictions : Predictions
        Of the row.
    rows : slice or ndarray of bool, shape (n_tested,)
        Which of the tested faces count.
    reference : Predictions, default=None
        Of another row, to compare with in pairs.

    Returns
    -------
    dict of str to str
        Columns of the table. Accuracies are in %; ± is the standard deviation between seeds.
    """
    true, labels = faces.target[faces.tested][rows], predictions.labels[:, rows]
    accuracy = [100 * accuracy_score(true, seed) for seed in labels]
    # Over the classes that occur: a small subset of faces may lack one.
    classes = np.unique(true)
    balanced = [100 * recall_score(true, seed, labels=classes, average="macro") for seed in labels]
    low, high, unit = _interval(true, labels, _units(faces)[rows], faces.groups is not None)
    columns = {
        "accuracy here, %": spread(accuracy),
        f"95 % over {unit}": f"{low:.1f} to {high:.1f}",
        "balanced accuracy, %": spread(balanced),
        "parameters": f"{predictions.n_parameters:,}",
    }
    if reference is not None:
        columns["against PAtt-Lite, p"] = _compare(faces, predictions, reference)
    return columns


def spread(scores):
    """Say mean and standard deviation."""
    deviation = f" ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""
    return f"{np.mean(scores):.1f}{deviation}"


def _units(faces):
    """What was drawn independently of each other: subjects, or images where nobody is known."""
    return (np.arange(len(faces.target)) if faces.groups is None else faces.groups)[faces.tested]


def _interval(true, labels, units, has_subjects):
    """Bootstrap over subjects or images, whose predictions by all seeds stay together."""
    report = expression_report(
        np.tile(true, len(labels)),
        labels.ravel(),
        groups=np.tile(units, len(labels)),
        random_state=0,
    )
    low, high = report.intervals["accuracy"]
    return 100 * low, 100 * high, "subjects" if has_subjects else "images"


def _compare(faces, predictions, reference):
    if predictions is reference:
        return "-"
    scores = [unit_accuracy(faces, each) for each in (predictions, reference)]
    found = compare_classifiers(*scores, random_state=0)
    return f"{100 * found.difference:+.1f}, {found.p_value:.2g}"


def unit_accuracy(faces, predictions):
    """Accuracy of each subject (or image), averaged over the seeds, in the units' order."""
    right = (predictions.labels == faces.target[faces.tested]).mean(axis=0)
    _, units = np.unique(_units(faces), return_inverse=True)
    return np.bincount(units, right) / np.bincount(units)


def write_table(title, rows, notes, path):
    """Print a table, and write it next to the picture as .csv and .md.

    Parameters
    ----------
    title : str
        Heading.
    rows : list of dict
        A dict a row, of columns to text; a column that a row lacks is empty.
    notes : sequence of str
        What must be said of it.
    path : Path
        Without suffix.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if OBTAINABLE in columns:
        notes = [HONEST_MEANS, *notes]
    cells = [columns, *([row.get(name, "") for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    print("\n".join(["", title, "", lines[0], "-" * sum(widths), *lines[1:], "", *notes]))
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(cells)
    table = ["| " + " | ".join(line) + " |" for line in [cells[0], ["---"] * len(columns)]]
    table += ["| " + " | ".join(line) + " |" for line in cells[1:]]
    text = "\n".join([f"# {title}", "", *table, "", *(f"- {note}" for note in notes), ""])
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    files = ", ".join(path.with_suffix(suffix).name for suffix in (".csv", ".md", ".png"))
    print(f"\nin {path.parent}: {files}")


def notes_on(faces, arguments):
    """What must be said of every table."""
    n_train, folds = f"{min(len(split.train) for split in faces.splits):,} images", ""
    if len(faces.splits) > 1:
        n_train, folds = f"{n_train} or more", f" in {len(faces.splits)} folds of subjects"
    yield (
        f"Here: {faces.title}, {n_train} to train on, {len(faces.tested):,} to "
        f"test on{folds}; {arguments.seeds} seeds, ± between them."
    )
    if faces.title == "drawn faces":
        yield "Drawn faces tell how methods compare on drawn faces, and nothing about real ones."
    if faces.groups is None:
        yield "It is not known who is who: the same people may be trained and tested on."


def scores_of(faces, predictions):
    """Accuracy of each seed, in %."""
    return 100 * (predictions.labels == faces.target[faces.tested]).mean(axis=1)


def bars(names, scores, title, path):
    """Draw a bar a row, a point a seed; scores in %."""
    figure = Figure(figsize=(8, 1.2 + 0.6 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(names))
    axes.barh(places, [np.mean(each) for each in scores], color="lightsteelblue")
    for place, each in zip(places, scores, strict=True):
        axes.plot(each, np.full(len(each), place), "o", color="midnightblue")
    axes.set(yticks=places, yticklabels=names, xlabel="accuracy, %; a point a seed", title=title)
    axes.invert_yaxis()
    figure.savefig(path.with_suffix(".png"), dpi=120)


def confusion(faces, panels, title, path):
    """Draw row-normalised confusion matrices, over all seeds.

    Parameters
    ----------
    faces : Faces
        The truth.
    panels : dict of str to (Predictions, rows)
        A matrix each: what was predicted, and which of the tested faces count.
    title : str
        Heading.
    path : Path
        Without suffix.
    """
    figure = Figure(figsize=(5.5 * len(panels), 5.8), layout="constrained")
    for axes, (name, (predictions, rows)) in zip(
        np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True
    ):
        labels = predictions.labels[:, rows]
        true = np.tile(faces.target[faces.tested][rows], len(labels))
        classes = np.arange(len(faces.target_names))
        shares = 100 * confusion_matrix(true, labels.ravel(), labels=classes, normalize="true")
        display = ConfusionMatrixDisplay(shares, display_labels=faces.target_names)
        display.plot(ax=axes, values_format=".0f", xticks_rotation=45, cmap="Blues", colorbar=False)
        axes.set_title(f"{name}, % of the true class")
    figure.suptitle(title)
    figure.savefig(path.with_suffix(".png"), dpi=120)
