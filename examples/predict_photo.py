"""Read the expressions of all faces in photographs.

    python examples/predict_photo.py family.jpg street.png
    python examples/predict_photo.py folder/*.jpg --classifier mine.zip --output seen

The classifier is the pretrained one of `PAttLiteClassifier.from_pretrained("fer2013")`, or one that
was saved with `save_model`, or kept with `joblib.dump`: any that takes images of faces, or a
Pipeline that begins with a `FaceCropper`, whose settings are used then. Load joblib files from
people you trust only: they are programs. A classifier of your own should have been trained on
photographs (one that started from "drawn" was not), cropped as widely as --margin says; if its
labels are numbers, --names says what they mean. It needs the extras `faces` and `examples`.

Of each photograph a copy is left in --output, with a box around each face, its expression, and
the probabilities; `faces.csv` has them as a table, and grows with each photograph. One that cannot
be read is reported, and the others go on.
"""

import argparse
import csv
import sys
from pathlib import Path

import joblib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.preprocessing import FaceCropper

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080")
COLUMNS = ("photo", "face", "box", "score", "expression")  # before those of the classes
N_SHOWN = 3  # expressions a face, the most probable first


def main():
    arguments = parse_arguments()
    cropper, classifier = load_classifier(arguments)
    names = names_of(classifier, arguments.names)
    arguments.output.mkdir(parents=True, exist_ok=True)
    n_faces, unread = 0, 0
    with (arguments.output / "faces.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*COLUMNS, *names])
        table.writeheader()
        # A bar for many photographs; on a terminal only, and below the table.
        bar = tqdm(arguments.photos, disable=None if len(arguments.photos) > 9 else True)
        for number, photo in enumerate(bar, 1):
            try:
                faces = cropper.crop_all([photo])
            except (OSError, ValueError) as error:
                tqdm.write(f"{photo}: not read ({error})", file=sys.stderr)
                unread += 1
                continue
            probabilities = np.empty((0, len(names)))
            if len(faces.images):
                probabilities = classifier.predict_proba(faces.images)
            rows = list(describe(photo, faces, probabilities, names))
            print_table(photo, rows)
            table.writerows(rows)
            file.flush()  # what was seen is kept, whatever comes
            n_faces += len(rows)
            picture = draw(photo, faces, probabilities, names)
            picture.save(arguments.output / f"{number:03}_{photo.stem}.png")
    n_read = len(arguments.photos) - unread
    print(f"\nfaces: {n_faces}, photographs: {n_read}, not read: {unread}; {arguments.output}")
    return 1 if unread else 0


def load_classifier(arguments):
    """Load a classifier of faces, and what crops them: its own cropper if it brings one."""
    path = arguments.classifier
    if path is None:
        classifier = PAttLiteClassifier.from_pretrained("fer2013")
    else:
        load = PAttLiteClassifier.load_model if path.suffix == ".zip" else joblib.load
        classifier = load(path)
    if isinstance(classifier, Pipeline) and isinstance(classifier[0], FaceCropper):
        return classifier[0], classifier[1:]
    margin = arguments.margin
    if margin is None:
        margin = "fer2013" if path is None else 0.2
    size = getattr(classifier, "image_shape_", (224,))[0]  # that of the training images
    return FaceCropper(size=size, margin=margin, min_score=arguments.min_score), classifier


def names_of(classifier, names):
    """Name the classes, in their order: as they are, or by --names."""
    names = [str(label) for label in classifier.classes_] if names is None else names
    if len(names) != len(classifier.classes_):
        raise SystemExit(
            f"--names gives {len(names)} names, and the classes are "
            f"{', '.join(map(str, classifier.classes_))}."
        )
    columns = [*COLUMNS, *names]
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise SystemExit(f"The table would have two columns {twice[0]!r}: give other --names.")
    return names


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument(
        "--classifier", type=Path, help="file of save_model, or of joblib.dump; default: pretrained"
    )
    parser.add_argument("--names", nargs="+", help="of the classes, in the order of the labels")
    parser.add_argument(
        "--output", type=Path, default=Path("examples/output/predict_photo"), help="folder"
    )
    parser.add_argument(
        "--margin", type=as_margin, help="as FaceCropper's; default: the pretrained one's, or 0.2"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.9, help="as FaceCropper's; default: 0.9"
    )
    arguments = parser.parse_args()
    if any(photo.suffix in (".zip", ".joblib") for photo in arguments.photos):
        parser.error("a classifier is given as --classifier FILE")
    return arguments


def as_margin(text):
    """Read a number, or the name of a database."""
    return text if text == "fer2013" else float(text)


def describe(photo, faces, probabilities, names):
    """Make a row a face, of names to text."""
    for number, (box, score, row) in enumerate(
        zip(faces.boxes, faces.scores, probabilities, strict=True), 1
    ):
        yield {
            "photo": str(photo),
            "face": str(number),
            "box": " ".join(f"{side:.0f}" for side in box),
            "score": f"{score:.3f}",
            "expression": names[row.argmax()],
            **{name: f"{share:.3f}" for name, share in zip(names, row, strict=True)},
        }


def print_table(photo, rows):
    if not rows:
        tqdm.write(f"{photo!s:24} no face found")
    for row in rows:
        widths = (24, 4, 22, 7, 12)
        tqdm.write(
            "".join(f"{cell[: w - 1]:{w}}" for cell, w in zip(row.values(), widths, strict=False))
        )


def draw(photo, faces, probabilities, names):
    """Draw boxes into a copy of the photograph, and what each face shows next to them."""
    with Image.open(photo) as image:
        picture = ImageOps.exif_transpose(image).convert("RGB")
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
    """Write below the box, or above it where the photograph ends."""
    text = "\n".join(lines)
    _, _, width, height = canvas.multiline_textbbox((0, 0), text, font=font)
    photo_width, photo_height = canvas.im.size
    left = min(max(0, box[0]), max(0, photo_width - width))
    top = box[3] if box[3] + height <= photo_height else max(0, box[1] - height)
    canvas.rectangle((left, top, left + width, top + height), fill=color)
    canvas.multiline_text((left, top), text, "white", font)


if __name__ == "__main__":
    sys.exit(main())
