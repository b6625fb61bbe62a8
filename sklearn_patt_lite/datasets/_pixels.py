"""Images in FER2013's format: one row of a CSV file each, with pixels as text."""

import csv
import warnings

import numpy as np

SIDE = 48  # pixels
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


def read_csv(path, columns):
    """Iterate over a CSV file; yield a list of the columns' values for each row.

    Column names may have spaces around them and any case.

    Raises
    ------
    ValueError
        If a column or a value is missing; the message names the file and the row, counted from 1.
    """
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as stream:
        reader = csv.reader(stream)
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in columns if name.lower() not in header]
        if missing:
            raise ValueError(f"{str(path)!r} has no column {missing}; it has {header}.")
        places = [header.index(name.lower()) for name in columns]
        for number, row in enumerate(reader, 1):
            if not row:
                continue
            if len(row) <= max(places):
                raise ValueError(f"{str(path)!r}, row {number}: only {len(row)} values.")
            yield [row[place].strip() for place in places]


def parse_pixels(text, where):
    """Convert the text of an image to (48, 48), uint8; `where` names it in errors."""
    problem = f"{where}: expected {SIDE**2} pixels from 0 to 255, got {text[:40]!r}…"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # raised by NumPy for other text
            pixels = np.fromstring(text, dtype=np.int32, sep=" ")  # wide enough to detect 256, too
    except (ValueError, DeprecationWarning) as error:
        raise ValueError(problem) from error
    if len(pixels) != SIDE**2 or pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(problem)
    return pixels.astype(np.uint8).reshape(SIDE, SIDE)


def parse_code(text, names, where):
    """Convert a code to the name that it stands for."""
    if not text.isdecimal() or int(text) >= len(names):
        raise ValueError(f"{where}: expected a code from 0 to {len(names) - 1}, got {text!r}.")
    return names[int(text)]


def parse_usage(text, where):
    """Convert a "Usage" to the name of a split."""
    if text not in SPLITS:
        raise ValueError(f"{where}: expected one of {list(SPLITS)}, got {text!r}.")
    return SPLITS[text]
