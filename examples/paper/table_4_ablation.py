"""Table 4 of the paper: what patch extraction and the attention classifier add.

    python examples/paper/table_4_ablation.py
    python examples/paper/table_4_ablation.py --data rafdb/ --database RAF-DB

With neither, the network is the whole MobileNetV1, fine-tuned. Attention here runs over the patches
of one image, or over the cells of the feature map if there are no patches. Without `--data`, faces
are drawn, the backbone is narrow, and it takes one to two minutes on two cores. Fits are kept in
--output: the same command continues a run that was stopped.
"""

from _faces import load_faces, parse_arguments
from _fits import fit_rows
from _published import TABLE_4
from _report import HONEST, OBTAINABLE, bars, notes_on, score_columns, scores_of, write_table

ROWS = {
    "MobileNetV1": {
        "output_layer": None,
        "patch_extraction": None,
        "attention": None,
        "hidden_units": None,
    },
    "patch extraction alone": {"attention": None, "hidden_units": None},
    "attention classifier alone": {"output_layer": None, "patch_extraction": None},
    "PAtt-Lite": {},
}
#: The paper's table is indexed by (attention, patches).
PAPER = {
    "MobileNetV1": TABLE_4[False, False],
    "patch extraction alone": TABLE_4[False, True],
    "attention classifier alone": TABLE_4[True, False],
    "PAtt-Lite": TABLE_4[True, True],
}


def main():
    arguments = parse_arguments(__doc__, ["RAF-DB", "CK+", "FER2013", "FERPlus"])
    faces = load_faces(arguments)
    found = fit_rows(faces, ROWS, arguments)
    table = [
        {
            "": name,
            **{f"paper, {database}, %": f"{score:.2f}" for database, score in paper.items()},
            OBTAINABLE: HONEST["attention" not in ROWS[name]],
            **score_columns(faces, found[name], reference=("PAtt-Lite", found["PAtt-Lite"])),
        }
        for name, paper in PAPER.items()
    ]
    title = f"Table 4, ablation, on {faces.title}"
    path = arguments.output / f"table_4_{faces.title.replace(' ', '_')}"
    scores = [scores_of(faces, found[name]) for name in ROWS]
    bars(list(ROWS), scores, title, path)
    write_table(title, table, list(notes_on(faces, arguments)), path)


if __name__ == "__main__":
    main()
