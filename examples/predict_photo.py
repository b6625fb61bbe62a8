"""Read the expressions of all faces in photographs.

    python examples/predict_photo.py classifier.zip family.jpg street.png
    python examples/predict_photo.py classifier.zip folder/*.jpg --output seen

The classifier is one that was saved with `save_model`, or kept with `joblib.dump`: any that takes
images of faces, or a Pipeline that begins with a `FaceCropper`, whose settings are used then. Load
joblib files from people you trust only: they are programs. It should have been trained on
photographs (one that started from "drawn" was not), cropped as widely as --margin says. Finding
faces needs the extra `faces`.

Of each photograph a copy is left in --output, with a box around each face, its expression, and
the probabilities; `faces.csv` has them as a table. A photograph that cannot be read is told of, and
the others go on.
"""

import argparse
import csv
import sys
from pathlib import Path

import joblib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from sklearn.pipeline import Pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.preprocessing import FaceCropper

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080")
N_SHOWN = 3  # expressions a face, the most probable first


def main():
    arguments = parse_arguments()
    cropper, classifier = load_classifier(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, unread = [], 0
    for number, photo in enumerate(arguments.photos, 1):
        try:
            faces = cropper.crop_all([photo])
        except (OSError, ValueError) as error:
            print(f"{photo}: not read ({error})", file=sys.stderr)
            unread += 1
            continue
        probabilities = np.empty((0, len(classifier.classes_)))
        if len(faces.images):
            probabilities = classifier.predict_proba(faces.images)
        found = list(describe(photo, faces, probabilities, classifier.classes_))
        print_table(photo, found)
        rows += found
        picture = draw(photo, faces, probabilities, classifier.classes_)
        picture.save(arguments.output / f"{number:03}_{photo.stem}.png")
    write_table(rows, arguments.output / "faces.csv")
    n_read = len(arguments.photos) - unread
    print(f"\nfaces: {len(rows)}, photographs: {n_read}, not read: {unread}; {arguments.output}")
    return 1 if unread else 0


def load_classifier(arguments):
    """Load a classifier of faces, and what crops them: its own cropper if it brings one."""
    path = arguments.classifier
    load = PAttLiteClassifier.load_model if path.suffix == ".zip" else joblib.load
    classifier = load(path)
    if isinstance(classifier, Pipeline) and isinstance(classifier[0], FaceCropper):
        return classifier[0], classifier[1:]
    size = getattr(classifier, "image_shape_", (224,))[0]  # that of the training images
    cropper = FaceCropper(size=size, margin=arguments.margin, min_score=arguments.min_score)
    return cropper, classifier


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classifier", type=Path, help="file of save_model, or of joblib.dump")
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument(
        "--output", type=Path, default=Path("examples/output/predict_photo"), help="folder"
    )
    parser.add_argument("--margin", type=float, default=0.2, help="as FaceCropper's; default: 0.2")
    parser.add_argument(
        "--min-score", type=float, default=0.9, help="as FaceCropper's; default: 0.9"
    )
    return parser.parse_args()


def describe(photo, faces, probabilities, classes):
    """Make a row a face, of names to text."""
    for number, (box, score, row) in enumerate(
        zip(faces.boxes, faces.scores, probabilities, strict=True), 1
    ):
        yield {
            "photo": str(photo),
            "face": str(number),
            "box": " ".join(f"{side:.0f}" for side in box),
            "score": f"{score:.3f}",
            "expression": str(classes[row.argmax()]),
            **{str(name): f"{share:.3f}" for name, share in zip(classes, row, strict=True)},
        }


def print_table(photo, rows):
    if not rows:
        print(f"{photo!s:24} no face found")
    for row in rows:
        widths = (24, 4, 22, 7, 12)
        print(
            "".join(f"{cell[: w - 1]:{w}}" for cell, w in zip(row.values(), widths, strict=False))
        )


def write_table(rows, path):
    columns = list(rows[0]) if rows else ["photo", "face", "box", "score", "expression"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def draw(photo, faces, probabilities, classes):
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
        lines = [f"{classes[i]} {100 * row[i]:.0f} %" for i in best]
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
