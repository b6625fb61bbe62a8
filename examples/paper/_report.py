"""Report the fits' predictions, as tables in text, CSV and Markdown, and as pictures."""

import csv
import shlex
import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, confusion_matrix, recall_score

import sklearn_patt_lite
from sklearn_patt_lite.metrics import expression_report
from sklearn_patt_lite.model_selection import compare_classifiers

OBTAINABLE = "honestly obtainable?"  # a column heading
#: What that column says of a figure of the paper, by whether its row has attention.
HONEST = {True: "no", False: "not shown"}
HONEST_MEANS = (
    "Honestly obtainable: 'no' where the paper's network sees other test images of the same class "
    "when it predicts one; 'not shown' where it does not, but the code that made the figure is "
    "not published."
)


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of scores over the seeds, in %; no deviation for one seed."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, scores):
        """Compute them from the score of each seed."""
        return cls(np.mean(scores), np.std(scores, ddof=1) if len(scores) > 1 else np.nan)

    def __str__(self):
        return f"{self.mean:.1f}" + ("" if np.isnan(self.deviation) else f" ± {self.deviation:.1f}")

    def columns(self, name):
        """Get its numbers, by column of a CSV file."""
        return {name: self.mean, f"{name}, deviation": self.deviation}


@dataclass(frozen=True)
class Range:
    """An interval, in %."""

    low: float
    high: float

    def __str__(self):
        return f"{self.low:.1f} to {self.high:.1f}"

    def columns(self, name):
        """Get its numbers, by column of a CSV file."""
        return {f"{name}, low": self.low, f"{name}, high": self.high}


def score_columns(faces, predictions, rows=slice(None), reference=None):
    """Compute the scores of a row, for a table.

    Parameters
    ----------
    faces : Faces
        Faces with their true labels.
    predictions : Predictions
        Predictions of the row.
    rows : slice or ndarray of bool, shape (n_tested,)
        The tested faces that count.
    reference : tuple of (str, Predictions), default=None
        Another row's name and predictions, for a paired comparison.

    Returns
    -------
    dict
        Maps column headings to values. ± is the standard deviation between seeds.
    """
    true, labels = faces.target[faces.tested][rows], predictions.labels[:, rows]
    accuracy = [100 * accuracy_score(true, seed) for seed in labels]
    # Only over the classes that occur: a small subset of faces may lack one.
    classes = np.unique(true)
    balanced = [100 * recall_score(true, seed, labels=classes, average="macro") for seed in labels]
    unit = "images" if faces.groups is None else "subjects"
    columns = {
        f"{faces.title}: accuracy, %": Spread.of(accuracy),
        f"its 95 % interval over {unit}": _interval(true, labels, _units(faces)[rows]),
        "balanced accuracy, %": Spread.of(balanced),
        "parameters": predictions.n_parameters,
    }
    if reference is not None:
        columns.update(_compare(faces, predictions, *reference, unit))
    return columns


def _units(faces):
    """Get the independent units: subjects, or images if the subjects are unknown."""
    return (np.arange(len(faces.target)) if faces.groups is None else faces.groups)[faces.tested]


def _interval(true, labels, units):
    """Bootstrap over subjects or images, keeping the predictions of all seeds together."""
    report = expression_report(
        np.tile(true, len(labels)),
        labels.ravel(),
        groups=np.tile(units, len(labels)),
        random_state=0,
    )
    low, high = report.intervals["accuracy"]
    return Range(100 * low, 100 * high)


def _compare(faces, predictions, name, reference, unit):
    """Compare with another row; "-" if it is the row itself."""
    headings = f"points more than {name}", f"p (sign flips over {unit})"
    if predictions is reference:
        return dict.fromkeys(headings, "-")
    scores = [unit_accuracy(faces, each) for each in (predictions, reference)]
    found = compare_classifiers(*scores, random_state=0)
    values = f"{100 * found.difference:+.1f}", f"{found.p_value:.2g}"
    return dict(zip(headings, values, strict=True))


def unit_accuracy(faces, predictions):
    """Compute the accuracy of each subject (or image), averaged over the seeds, in their order."""
    right = (predictions.labels == faces.target[faces.tested]).mean(axis=0)
    _, units = np.unique(_units(faces), return_inverse=True)
    return np.bincount(units, right) / np.bincount(units)


def published_rows(methods):
    """Make the rows of one of the paper's comparisons of methods, for `write_table`."""
    return [
        {
            "method": method.name,
            "year": str(method.year),
            "parameters, million": "" if method.parameters is None else f"{method.parameters:g}",
            **{_heading(column): _score(score) for column, score in method.scores.items()},
        }
        for method in methods
    ]


def _heading(column):
    return column if isinstance(column, str) else ", ".join(column)


def _score(score):
    return "" if score is None else f"{score:.2f}"


def write_table(title, rows, notes, path, published=None):
    """Print a table, and write it next to the picture as .csv and .md.

    Parameters
    ----------
    title : str
        Heading.
    rows : list of dict
        One dict per row: headings to text, numbers, `Spread` or `Range`. Missing columns are
        left empty.
    notes : sequence of str
        Notes below the table.
    path : Path
        Without suffix.
    published : (str, list of dict), default=None
        Heading and rows of the paper's own table, which follows the notes.
    """
    headings = list(dict.fromkeys(name for row in rows for name in row))
    if OBTAINABLE in headings:
        notes = [HONEST_MEANS, *notes]
    print("\n".join(["", title, "", *_plain_lines(rows), "", *notes]))
    text = [f"# {title}", "", *_markdown_lines(rows), "", *(f"- {note}" for note in notes), ""]
    if published is not None:
        heading, of_paper = published
        print("\n".join(["", heading, "", *_plain_lines(of_paper)]))
        text += [f"## {heading}", "", *_markdown_lines(of_paper), ""]
    _write_csv(headings, rows, path.with_suffix(".csv"))
    path.with_suffix(".md").write_text("\n".join(text), encoding="utf-8")
    written = [path.with_suffix(suffix) for suffix in (".csv", ".md", ".png")]
    files = ", ".join(file.name for file in written if file.exists())
    print(f"\nin {path.parent}: {files}")


def _cells(rows):
    """Format headings and rows as text."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    return [headings, *([_text(row.get(name, "")) for name in headings] for row in rows)]


def _plain_lines(rows):
    cells = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def _markdown_lines(rows):
    headings, *cells = _cells(rows)
    lines = [headings, ["---"] * len(headings), *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _text(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def _write_csv(headings, rows, path):
    """Write numbers as numbers, with a column each for mean, deviation and interval ends."""
    lines = []
    for row in rows:
        line = {}
        for name in headings:
            value = row.get(name)
            line.update(value.columns(name) if hasattr(value, "columns") else {name: value})
        lines.append(line)
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def notes_on(faces, arguments):
    """Yield the notes that every table needs, including how it was made."""
    n_train, folds = f"{min(len(split.train) for split in faces.splits):,} images", ""
    if len(faces.splits) > 1:
        n_train, folds = f"{n_train} or more", f" in {len(faces.splits)} folds of subjects"
    seeds = "one seed" if arguments.seeds == 1 else f"{arguments.seeds} seeds, ± between them"
    tested = f"{len(faces.tested):,} images"
    if faces.groups is not None:
        tested += f" of {len(np.unique(faces.groups[faces.tested]))} other subjects"
    yield (
        f"{faces.title}: {n_train} to train on, {tested} to test on{folds}; {seeds}; chance is "
        f"{100 / len(faces.target_names):.1f} %."
    )
    if faces.title == "drawn faces":
        yield (
            "Drawn faces tell how methods compare on drawn faces, and nothing about real ones; the "
            "network is a narrow one for small images, trained for few epochs."
        )
    if faces.groups is None:
        yield "It is not known who is who: the same people may be trained and tested on."
    settings = {**faces.settings, **arguments.set}
    yield "PAttLiteClassifier: " + (
        ", ".join(f"{name}={value!r}" for name, value in settings.items()) or "its defaults"
    )
    yield f"sklearn-patt-lite {sklearn_patt_lite.__version__}: {shlex.join(sys.argv)}"


def scores_of(faces, predictions):
    """Compute the accuracy of each seed, in %."""
    return 100 * (predictions.labels == faces.target[faces.tested]).mean(axis=1)


def bars(names, scores, title, path):
    """Draw one bar per row and one point per seed; scores in %."""
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
        Faces with their true labels.
    panels : dict of str to (Predictions, rows)
        Predictions for each matrix, and the tested faces that count.
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
