"""Tables 8 and 10 and Figure 8 of the paper: RAF-DB, FERPlus and FER2013.

    python examples/paper/tables_8_and_10_figure_8_databases.py
    python examples/paper/tables_8_and_10_figure_8_databases.py --data rafdb/
    ... tables_8_and_10_figure_8_databases.py --database FER2013 --data fer2013.csv

FERPlus: `--database FERPlus --data fer2013.csv --labels fer2013new.csv`.

Early stopping uses the database's validation part, or a tenth of the training images if there is
none (RAF-DB). The table also lists lightweight networks that were measured by a fixed protocol:
several seeds, the epoch chosen on validation data, tested once. Without `--data`, faces are drawn,
and it takes a minute on two cores. Fits are kept in --output: the same command continues a run that
was stopped.
"""

import numpy as np
from _faces import load_faces, parse_arguments
from _fits import Predictions, fit_rows
from _peers import PEERS, PEERS_SOURCE
from _published import TABLE_4, TABLE_8, TABLE_10
from _report import (
    HONEST,
    OBTAINABLE,
    confusion,
    notes_on,
    published_rows,
    score_columns,
    write_table,
)

PAPER = TABLE_4[True, True]
TABLES = {"RAF-DB": 8, "FERPlus": 8, "FER2013": 10}


def main():
    arguments = parse_arguments(__doc__, ["RAF-DB", "FERPlus", "FER2013"])
    faces = load_faces(arguments)
    found = fit_rows(faces, {"PAtt-Lite": {}}, arguments)["PAtt-Lite"]
    database = arguments.database if arguments.database in TABLES else "RAF-DB"
    published = f"published, {database}, %"
    table = [
        {
            "": "PAtt-Lite",
            published: f"{PAPER[database]:.2f}",
            OBTAINABLE: HONEST[True],
            **score_columns(faces, found),
        },
        {"": "always the commonest", **score_columns(faces, commonest(faces))},
        *(
            {
                "": peer.name,
                published: peer.score(database),
                OBTAINABLE: "yes",
                "parameters": peer.parameters,
            }
            for peer in PEERS
            if database in peer.scores
        ),
    ]
    title = f"Table {TABLES[database]}, on {faces.title}"
    path = arguments.output / f"tables_8_and_10_{faces.title.replace(' ', '_')}"
    confusion(faces, {"PAtt-Lite": (found, slice(None))}, f"Figure 8, on {faces.title}", path)
    number, methods = (10, TABLE_10) if database == "FER2013" else (8, TABLE_8)
    peers = (f"Table {number} of the paper, %", published_rows(methods))
    notes = [*notes_on(faces, arguments), PEERS_SOURCE]
    write_table(title, table, notes, path, published=peers)


def commonest(faces):
    """Predict the commonest expression of the training faces for every face."""
    probabilities = np.zeros((1, len(faces.tested), len(faces.target_names)))
    probabilities[..., np.bincount(faces.target[faces.splits[0].train]).argmax()] = 1
    return Predictions(probabilities, 0)


if __name__ == "__main__":
    main()
