"""Table 11 and Figures 2 to 5 of the paper: faces that are covered or turned away.

    python examples/paper/table_11_figures_2_to_5_challenging.py
    python examples/paper/table_11_figures_2_to_5_challenging.py --data rafdb/ --lists lists/

FERPlus: `--database FERPlus --data fer2013.csv --labels fer2013new.csv --lists lists/`.

`--lists` are the published lists of such faces (see `load_challenging_subset`). PAtt-Lite with its
patch extraction (Figures 2 and 4) is compared with patch attention (Figures 3 and 5), and with the
whole MobileNetV1, fine-tuned, which has no patches: do patches help more if faces are covered?

Without `--data`, faces are drawn, and are also covered (by sunglasses, masks or hands) or turned.
It takes about a minute on two cores. Fits are kept in --output: the same command continues a run
that was stopped.
"""

from _faces import load_faces, parse_arguments
from _fits import fit_rows
from _published import TABLE_4, TABLE_11
from _report import (
    HONEST,
    OBTAINABLE,
    confusion,
    notes_on,
    published_rows,
    score_columns,
    write_table,
)
from table_4_ablation import ROWS as ABLATION
from table_6_patch_attention import ROWS as TABLE_6_ROWS

ROWS = {
    "PAtt-Lite": {},
    "patch attention": TABLE_6_ROWS["patch attention"],
    "MobileNetV1": ABLATION["MobileNetV1"],
}
PAPER = {
    database: {"all": TABLE_4[True, True][database]}
    | {subset: score for (of, subset), score in TABLE_11[-1].scores.items() if of == database}
    for database in ("RAF-DB", "FERPlus")
}
FIGURES = {
    "RAF-DB": {"PAtt-Lite": "Figure 2", "patch attention": "Figure 3"},
    "FERPlus": {"PAtt-Lite": "Figure 4", "patch attention": "Figure 5"},
}
DRAWN = {"turned by more than 20 degrees": "pose30", "turned by more than 35 degrees": "pose45"}


def main():
    arguments = parse_arguments(__doc__, ["RAF-DB", "FERPlus"], with_lists=True)
    if arguments.database in PAPER and arguments.lists is None:
        raise SystemExit("Table 11 needs --lists, the published lists of challenging faces")
    faces = load_faces(arguments)
    if not faces.conditions:
        raise SystemExit(f"it is not known which faces of {faces.title} are covered or turned")
    found = fit_rows(faces, ROWS, arguments)
    database = arguments.database if arguments.database in PAPER else "RAF-DB"
    subsets = {name: rows[faces.tested] for name, rows in faces.conditions.items()}
    table = []
    for name, rows in subsets.items():
        paper = PAPER[database][DRAWN.get(name, name)]
        table += [
            {
                "faces": name,
                "images": int(rows.sum()),
                "network": network,
                f"paper, {database}, %": f"{paper:.2f}" if network == "PAtt-Lite" else "",
                OBTAINABLE: HONEST[True] if network == "PAtt-Lite" else "",
                **score_columns(faces, found[network], rows),
            }
            for network in ROWS
        ]
    title = f"Table 11, challenging faces, on {faces.title}"
    path = arguments.output / f"table_11_{faces.title.replace(' ', '_')}"
    for network, figures in FIGURES[database].items():
        panels = {name: (found[network], rows) for name, rows in subsets.items() if name != "all"}
        suffix = "" if network == "PAtt-Lite" else f"_{network.replace(' ', '_')}"
        of_network = path.with_name(path.name + suffix)
        confusion(faces, panels, f"{figures}: {network} on {faces.title}", of_network)
    peers = ("Table 11 of the paper, %", published_rows(TABLE_11))
    write_table(title, table, list(notes_on(faces, arguments)), path, published=peers)


if __name__ == "__main__":
    main()
