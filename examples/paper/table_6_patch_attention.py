"""Table 6 of the paper: patch extraction against patch attention.

    python examples/paper/table_6_patch_attention.py
    python examples/paper/table_6_patch_attention.py --data rafdb/

The paper does not define its patch attention; here each patch is weighted by one learned gate, in
the manner of gACNN (docs/network.md). Without `--data`, faces are drawn, and it takes less than a
minute on two cores. Fits are kept in --output: the same command continues a run that was stopped.
"""

from _faces import load_faces, parse_arguments
from _fits import fit_rows
from _published import TABLE_6
from _report import (
    HONEST,
    OBTAINABLE,
    bars,
    notes_on,
    score_columns,
    scores_of,
    write_table,
)

ROWS = {"patch extraction": {}, "patch attention": {"patch_extraction": "attention"}}
PAPER = {name.lower(): scores for name, scores in TABLE_6.items()}


def main():
    arguments = parse_arguments(__doc__, ["RAF-DB", "FER2013", "FERPlus"])
    faces = load_faces(arguments)
    found = fit_rows(faces, ROWS, arguments)
    reference = ("patch extraction", found["patch extraction"])
    table = [
        {
            "": name,
            **{f"paper, {database}, %": f"{score:.2f}" for database, score in PAPER[name].items()},
            OBTAINABLE: HONEST[True],
            **score_columns(faces, found[name], reference=reference),
        }
        for name in ROWS
    ]
    title = f"Table 6, patch attention, on {faces.title}"
    path = arguments.output / f"table_6_{faces.title.replace(' ', '_')}"
    bars(list(ROWS), [scores_of(faces, found[name]) for name in ROWS], title, path)
    write_table(title, table, list(notes_on(faces, arguments)), path)


if __name__ == "__main__":
    main()
