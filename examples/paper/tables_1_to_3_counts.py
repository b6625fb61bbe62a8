"""Tables 1 to 3 of the paper: how many images each database has, by class and by part.

    python examples/paper/tables_1_to_3_counts.py
    python examples/paper/tables_1_to_3_counts.py --rafdb rafdb/ --fer2013 fer2013.csv
    python examples/paper/tables_1_to_3_counts.py --fer2013 fer2013.csv --labels fer2013new.csv

It counts the images in your copies of RAF-DB, FER2013 and FERPlus (which needs `--fer2013` and
`--labels`), and with `--lists` the faces that are covered or turned away. Without a copy, only the
paper's numbers are shown. Nothing is trained.
"""

import argparse
import warnings
from pathlib import Path

from _published import SUBSETS, TABLE_1, TABLE_2, TABLE_3
from _report import write_table

from sklearn_patt_lite.datasets import (
    load_challenging_subset,
    load_fer2013,
    load_ferplus,
    load_rafdb,
)

PARTS = {"training": "train", "validation": "validation", "testing": "test"}


def main():
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = load(arguments)
    by_class = [
        {
            "database": database,
            "expression": name,
            "paper": paper,
            "your copy": count(found, database, name),
        }
        for database, counts in TABLE_1.items()
        for name, paper in counts.items()
        if paper is not None
    ]
    subsets = {} if arguments.lists is None else load_subsets(found, arguments.lists)
    challenging = [
        {
            "database": database,
            "faces": subset,
            "expression": name,
            "paper": paper,
            "your copy": count(subsets, (database, subset), name),
        }
        for database, subset in SUBSETS
        for name, paper in TABLE_2[database, subset].items()
        if paper is not None
    ]
    by_part = [
        {
            "database": database,
            "part": part,
            "paper": paper,
            "your copy": count(found, database, part=PARTS[part]),
        }
        for database, counts in TABLE_3.items()
        for part, paper in counts.items()
        if paper is not None
    ]
    for number, title, rows in (
        (1, "images of each class", by_class),
        (2, "images of each class in the challenging subsets", challenging),
        (3, "images of each part", by_part),
    ):
        path = arguments.output / f"table_{number}"
        write_table(f"Table {number}, {title}", rows, NOTES[number], path)


NOTES = {
    1: ["FERPlus by the most votes, however few: labels_as='argmax' of load_ferplus."],
    2: ["The lists are published: see load_challenging_subset."],
    3: ["The paper has 62 images of FER2013 fewer here than in its Table 1."],
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rafdb", type=Path, help="RAF-DB, as load_rafdb takes it")
    parser.add_argument("--fer2013", type=Path, help="FER2013, as load_fer2013 takes it")
    parser.add_argument("--labels", type=Path, help="FERPlus' fer2013new.csv")
    parser.add_argument("--lists", type=Path, help="lists of challenging faces")
    output = Path("examples/output/paper")
    parser.add_argument("--output", type=Path, default=output, help=f"folder; default: {output}")
    return parser.parse_args()


def load(arguments):
    """Load the given copies, by database, without the loaders' warnings about unusual numbers."""
    found = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*; the published number is")  # the table shows it
        if arguments.rafdb is not None:
            found["RAF-DB"] = load_rafdb(arguments.rafdb, split="all", as_paths=True)
        if arguments.fer2013 is not None:
            found["FER2013"] = load_fer2013(arguments.fer2013, split="all")
        if arguments.fer2013 is not None and arguments.labels is not None:
            found["FERPlus"] = load_ferplus(
                arguments.fer2013, arguments.labels, split="all", labels_as="argmax"
            )
    return found


def load_subsets(found, lists):
    return {
        (database, subset): load_challenging_subset(found[database], lists, subset)
        for database, subset in SUBSETS
        if database in found
    }


def count(found, key, expression=None, part=None):
    """Count the images of an expression or of a part; "" if there is no copy."""
    if key not in found:
        return ""
    data = found[key]
    if part is not None:
        return int((data.split == part).sum())
    return int((data.target_names[data.target] == expression).sum())


if __name__ == "__main__":
    main()
