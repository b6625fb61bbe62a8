"""Predict the expressions of all faces in photographs.

    python -m sklearn_patt_lite family.jpg street.png
    python -m sklearn_patt_lite folder/*.jpg --csv faces.csv --draw seen
    python -m sklearn_patt_lite folder/*.jpg --classifier mine.zip --json

Results are printed as a table. The default classifier is the pretrained one of
`PAttLiteClassifier.from_pretrained("fer2013")`. --classifier takes a file written by `save_model`
or `joblib.dump`: any classifier of face images, or a Pipeline that begins with a `FaceCropper`,
whose settings are then used. Only load joblib files from people you trust: they can run any code.
A classifier of your own should have been trained on photographs (one that started from "drawn" was
not), cropped with the same margin as --margin; if its labels are numbers, --names gives the names.
`FaceCropper` finds the faces, which requires the extra `faces`.

A photograph that cannot be read is reported, and the others are processed; the exit code is then 1.
"""

import argparse
import contextlib
import csv
import json
import sys
from pathlib import Path

import joblib
import numpy as np
from PIL import ImageDraw, ImageFont
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._images.decode import load_image
from sklearn_patt_lite.preprocessing import FaceCropper

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080")
COLUMNS = ("photo", "face", "box", "face_score", "expression")  # followed by one column per class
TABLE = "{photo:32} {face:>4}  {expression:12} {probability:>11}  {box}"  # the printed table
N_SHOWN = 3  # expressions drawn per face, the most probable first
MANY = 10  # minimum number of photographs for a progress bar


def main(arguments=None):
    """Run the command; return its exit code."""
    arguments = parse_arguments(arguments)
    cropper, classifier = load(arguments)
    try:
        cropper.fit(arguments.photos)  # checks its parameters; reads nothing
    except ValueError as error:
        raise SystemExit(str(error)) from error
    names = names_of(classifier, arguments.names)
    n_faces, n_unread = 0, 0
    with contextlib.ExitStack() as stack:
        reports = [print_json if arguments.json else print_table]
        if not arguments.json:
            print(TABLE.format(**{name: name for name in (*COLUMNS, "probability")}))
        if arguments.csv is not None:
            reports.append(stack.enter_context(table_in(arguments.csv, names)))
        if arguments.draw is not None:
            arguments.draw.mkdir(parents=True, exist_ok=True)
        # A progress bar for many photographs, only on a terminal, and below the printed lines.
        bar = tqdm(arguments.photos, disable=None if len(arguments.photos) >= MANY else True)
        for number, photo in enumerate(bar, 1):
            try:
                faces = cropper.crop_all([photo])
            except ImportError as error:  # no detector: every photograph would fail
                raise SystemExit(str(error)) from error
            except (OSError, TypeError, ValueError) as error:
                tqdm.write(f"{photo}: not read ({error})", file=sys.stderr)
                n_unread += 1
                continue
            probabilities = np.empty((0, len(names)))
            if len(faces.images):
                probabilities = classifier.predict_proba(faces.images)
            rows = list(describe(photo, faces, probabilities, names))
            for report in reports:
                report(photo, rows)
            n_faces += len(rows)
            if arguments.draw is not None:
                picture = draw(photo, faces, probabilities, names)
                picture.save(arguments.draw / f"{number:03}_{photo.stem}.png")
    n_read = len(arguments.photos) - n_unread
    print(f"faces: {n_faces}, photographs: {n_read}, not read: {n_unread}", file=sys.stderr)
    return 1 if n_unread else 0


def parse_arguments(arguments):
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_patt_lite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true", help="print one line of JSON per photograph")
    parser.add_argument("--csv", type=Path, help="write the table to a file, as it grows")
    parser.add_argument("--draw", type=Path, help="folder for copies with boxes and expressions")
    parser.add_argument(
        "--classifier", type=Path, help="saved by save_model or joblib.dump; default: pretrained"
    )
    parser.add_argument("--names", nargs="+", help="class names, in the order of the labels")
    add_cropping(parser)
    arguments = parser.parse_args(arguments)
    if any(photo.suffix in (".zip", ".joblib") for photo in arguments.photos):
        parser.error("pass the classifier as --classifier FILE")
    return arguments


def add_cropping(parser):
    """Add the options of `cropper_for`."""
    parser.add_argument(
        "--margin", type=as_margin, help="as in FaceCropper; default: the pretrained one's, or 0.2"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.9, help="as in FaceCropper; default: 0.9"
    )


def as_margin(text):
    """Read a number, or the name of a database."""
    return text if text == "fer2013" else float(text)


def load(arguments):
    """Load a cropper and a classifier; a Pipeline may contain its own cropper."""
    classifier = load_classifier(arguments.classifier)
    if isinstance(classifier, Pipeline) and isinstance(classifier[0], FaceCropper):
        return classifier[0], classifier[1:]
    return cropper_for(classifier, arguments), classifier


def load_classifier(path):
    """Load the classifier from a file, or the pretrained one."""
    if path is None:
        return PAttLiteClassifier.from_pretrained("fer2013")
    load = PAttLiteClassifier.load_model if path.suffix == ".zip" else joblib.load
    return load(path)


def cropper_for(classifier, arguments):
    """Make a cropper that crops as for the classifier's training, as far as this is known."""
    margin = arguments.margin
    if margin is None:
        margin = "fer2013" if arguments.classifier is None else 0.2
    size = getattr(classifier, "image_shape_", (224,))[0]  # side of the training images
    return FaceCropper(size=size, margin=margin, min_score=arguments.min_score)


def names_of(classifier, names):
    """Name the classes, in order: by --names, or by their labels."""
    names = [str(label) for label in classifier.classes_] if names is None else names
    if len(names) != len(classifier.classes_):
        raise SystemExit(
            f"--names gives {len(names)} names, but the classes are "
            f"{', '.join(map(str, classifier.classes_))}."
        )
    columns = [*COLUMNS, *names]
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise SystemExit(f"The table would have two columns {twice[0]!r}: choose other --names.")
    return names


# Results of a photograph


def describe(photo, faces, probabilities, names):
    """Make a row for each face."""
    for number, (box, score, row) in enumerate(
        zip(faces.boxes, faces.scores, probabilities, strict=True), 1
    ):
        yield {
            "photo": str(photo),
            "face": number,
            "box": [round(side) for side in box.tolist()],
            "face_score": None if np.isnan(score) else round(float(score), 3),
            "expression": names[row.argmax()],
            **{name: round(float(share), 3) for name, share in zip(names, row, strict=True)},
        }


def as_text(row):
    """Format a row as tables show it."""
    return {**row, "box": " ".join(map(str, row["box"]))}


def print_table(photo, rows):
    """Print a line for each face."""
    name = photo.name.encode(errors="backslashreplace").decode()  # it may not be UTF-8
    if not rows:
        tqdm.write(f"{name:32} no face found")
    for row in rows:
        cells = {"photo": name, "probability": f"{row[row['expression']]:.2f}"}
        tqdm.write(TABLE.format(**{**as_text(row), **cells}))


def print_json(photo, rows):
    """Print a line of JSON for each photograph."""
    faces = [{name: value for name, value in row.items() if name != "photo"} for row in rows]
    tqdm.write(json.dumps({"photo": str(photo), "faces": faces}))


@contextlib.contextmanager
def table_in(path, names):
    """Open a CSV file, and yield a function that writes rows to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.DictWriter(file, [*COLUMNS, *names])
        table.writeheader()

        def write(photo, rows):
            table.writerows(map(as_text, rows))
            file.flush()  # these rows are kept even if a later photograph fails

        yield write


# Pictures


def draw(photo, faces, probabilities, names):
    """Draw the boxes of faces, and their expressions, into a copy of the photograph."""
    picture = load_image(photo)  # as the faces were found in it
    canvas = ImageDraw.Draw(picture)
    unit = max(1, max(picture.size) // 400)  # lines and letters grow with the photograph
    font = ImageFont.load_default(size=9 * unit)
    for number, (box, row) in enumerate(zip(faces.boxes, probabilities, strict=True)):
        color = COLORS[number % len(COLORS)]
        canvas.rectangle(box.tolist(), outline=color, width=unit)
        best = np.argsort(-row)[:N_SHOWN]
        lines = [f"{names[i]} {100 * row[i]:.0f} %" for i in best]
        label(canvas, [str(number + 1), *lines], box, font, color)
    return picture


def label(canvas, lines, box, font, color):
    """Write lines below the box, or above it if there is no room below."""
    text = "\n".join(lines)
    _, _, width, height = canvas.multiline_textbbox((0, 0), text, font=font)
    photo_width, photo_height = canvas.im.size
    left = min(max(0, box[0]), max(0, photo_width - width))
    top = box[3] if box[3] + height <= photo_height else max(0, box[1] - height)
    canvas.rectangle((left, top, left + width, top + height), fill=color)
    canvas.multiline_text((left, top), text, "white", font)


if __name__ == "__main__":
    sys.exit(main())
