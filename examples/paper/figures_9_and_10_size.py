"""Figures 9 and 10 of the paper: accuracy against the number of parameters.

    python examples/paper/figures_9_and_10_size.py
    python examples/paper/figures_9_and_10_size.py --data rafdb/

FERPlus: `--database FERPlus --data fer2013.csv --labels fer2013new.csv`.

Trains PAtt-Lite, also truncated earlier or later or with fewer filters, and the whole MobileNetV1.
The picture also shows the paper's claim, the methods that it compares with, and lightweight
networks that were measured by a fixed protocol, if their scores are for the same database. Without
`--data`, faces are drawn, the backbone is a quarter as wide, and it takes one to two minutes on two
cores. Fits are kept in --output: the same command continues a run that was stopped.
"""

from _faces import load_faces, parse_arguments
from _fits import fit_rows
from _peers import PEERS, PEERS_SOURCE
from _published import TABLE_8
from _report import (
    HONEST,
    OBTAINABLE,
    notes_on,
    published_rows,
    score_columns,
    scores_of,
    write_table,
)
from matplotlib.figure import Figure
from table_4_ablation import ROWS as ABLATION

ROWS = {
    "PAtt-Lite, 64 filters": {"n_filters": 64},
    "PAtt-Lite, cut at block 6": {"output_layer": "conv_dw_6_relu"},
    "PAtt-Lite": {},
    "PAtt-Lite, cut at block 11": {"output_layer": "conv_dw_11_relu"},
    "MobileNetV1": ABLATION["MobileNetV1"],
}
PAPER = {method.name: method for method in TABLE_8}["PAtt-Lite"].scores


def main():
    arguments = parse_arguments(__doc__, ["RAF-DB", "FERPlus", "FER2013"], n_seeds=2)
    faces = load_faces(arguments)
    found = fit_rows(faces, ROWS, arguments)
    database = arguments.database if arguments.database in PAPER else "RAF-DB"
    table = [
        {
            "": name,
            f"paper, {database}, %": f"{PAPER[database]:.2f}" if name == "PAtt-Lite" else "",
            OBTAINABLE: HONEST[True] if name == "PAtt-Lite" else "",
            **score_columns(faces, found[name], reference=("PAtt-Lite", found["PAtt-Lite"])),
        }
        for name in sorted(ROWS, key=lambda name: found[name].n_parameters)
    ]
    title = f"Figures 9 and 10, accuracy against parameters, on {faces.title}"
    path = arguments.output / f"figures_9_and_10_{faces.title.replace(' ', '_')}"
    scatter(faces, found, arguments.database, title, path)
    peers = ("Table 8 of the paper, whose methods its figures show, %", published_rows(TABLE_8))
    notes = [*notes_on(faces, arguments), PEERS_SOURCE]
    write_table(title, table, notes, path, published=peers)


def scatter(faces, found, database, title, path):
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    for name, predictions in found.items():
        scores = scores_of(faces, predictions)
        deviation = scores.std(ddof=1) if len(scores) > 1 else 0
        _point(axes, predictions.n_parameters, scores.mean(), deviation, name, "midnightblue")
    for peer in PEERS:
        if database in peer.scores:
            _point(axes, peer.parameters, *peer.scores[database], peer.name, "darkgreen")
    for method in TABLE_8 if database in PAPER else ():
        score, is_paper = method.scores[database], method.name == "PAtt-Lite"
        if score is not None and method.parameters is not None:
            name = f"{method.name} as published" + ": not honestly obtainable" * is_paper
            color = "firebrick" if is_paper else "grey"
            _point(axes, 1e6 * method.parameters, score, 0, name, color)
    axes.set(xscale="log", xlabel="parameters", ylabel="accuracy, %", title=title)
    axes.margins(x=0.4)
    figure.savefig(path.with_suffix(".png"), dpi=120)


def _point(axes, parameters, accuracy, deviation, name, color):
    axes.errorbar(parameters, accuracy, deviation, fmt="o", color=color, capsize=3)
    offset = {"xytext": (6, 4), "textcoords": "offset points"}
    axes.annotate(name, (parameters, accuracy), color=color, **offset)


if __name__ == "__main__":
    main()
