"""Measure how widely a database crops its faces: the margin for `FaceCropper`.

    python examples/benchmarks/crop_margins.py fer2013_train.npz
    ... crop_margins.py fer2013.csv --images 2000

Finds the face in each image, enlarged and with grey around it, and prints the margin at each side
and how far the image's middle is to the right of the box's and below it, all as shares of the box's
longer side, and the angle of the eyes in degrees. Images in which no face is found, or several, are
left out and counted.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sklearn_patt_lite.datasets import load_fer2013
from sklearn_patt_lite.preprocessing import detect_faces

SIDE, BORDER = 192, 64  # pixels to which images are enlarged, and of grey on each side


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="FER2013's table or folder, or an .npz's X_train")
    parser.add_argument("--images", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.data.suffix == ".npz":
        with np.load(arguments.data) as data:
            images = data["X_train"]
    else:
        images = load_fer2013(arguments.data).images
    some = np.random.default_rng(0).permutation(len(images))[: arguments.images]
    found = [measure(image) for image in images[some]]
    kept = np.array([row for row in found if row is not None])
    print(f"{len(kept)} of {len(found)} images with one face")
    if not len(kept):
        return
    for name, values in zip(("margin", "right", "down", "angle"), kept.T, strict=True):
        quartiles = "  ".join(f"{value:+.3f}" for value in np.percentile(values, [25, 50, 75]))
        print(f"{name:8} quartiles {quartiles}")


def measure(image):
    """Margin, and place of the image's middle, in shares of the box's longer side; eyes' angle."""
    picture = Image.fromarray(image).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
    picture = ImageOps.expand(picture, BORDER, (128, 128, 128))
    faces = detect_faces(picture)
    if len(faces.boxes) != 1:
        return None
    box = faces.boxes[0]
    side = max(box[2:] - box[:2])
    right, down = (BORDER + SIDE / 2 - (box[:2] + box[2:]) / 2) / side
    left_eye, right_eye = faces.eyes[0]
    angle = np.degrees(np.arctan2(*(right_eye - left_eye)[::-1]))
    return (SIDE / side - 1) / 2, right, down, angle


if __name__ == "__main__":
    main()
