"""Measure how widely a database crops its faces: the margin for `FaceCropper`.

    python examples/benchmarks/crop_margins.py fer2013_train.npz
    ... crop_margins.py fer2013.csv --images 2000

Enlarges each image, surrounds it with grey, and finds the face. Prints the margin on each side, and
how far the image's centre is to the right of the box's centre and below it, all as fractions of the
box's longer side, and the angle of the eyes in degrees. Images in which no face or several faces
are found are left out and counted.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sklearn_patt_lite.datasets import load_fer2013
from sklearn_patt_lite.preprocessing import FaceCropper

SIDE, BORDER = 192, 64  # in pixels: enlarged images, and grey on each side


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="FER2013's table or folder, or .npz with X_train")
    parser.add_argument("--images", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.data.suffix == ".npz":
        with np.load(arguments.data) as data:
            images = data["X_train"]
    else:
        images = load_fer2013(arguments.data).images
    some = np.random.default_rng(0).permutation(len(images))[: arguments.images]
    found = FaceCropper(size=1, on_no_face="blank").crop([enlarge(image) for image in images[some]])
    has_one = found.n_faces == 1
    print(f"{has_one.sum()} of {len(has_one)} images have one face")
    if not has_one.any():
        return
    first, last = np.split(found.boxes[has_one], 2, axis=1)  # left and top, right and bottom
    sides = (last - first).max(axis=1)
    right, down = ((BORDER + SIDE / 2 - (first + last) / 2) / sides[:, np.newaxis]).T
    columns = {
        "margin": (SIDE / sides - 1) / 2,
        "right": right,
        "down": down,
        "angle": found.angles[has_one],
    }
    for name, values in columns.items():
        quartiles = "  ".join(f"{value:+.3f}" for value in np.percentile(values, [25, 50, 75]))
        print(f"{name:8} quartiles {quartiles}")


def enlarge(image):
    picture = Image.fromarray(image).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
    return ImageOps.expand(picture, BORDER, (128, 128, 128))


if __name__ == "__main__":
    main()
