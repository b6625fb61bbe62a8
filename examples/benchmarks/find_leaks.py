"""Measure how many planted copies `find_leaks` finds, its false alarms, and its time.

    python examples/benchmarks/find_leaks.py
    python examples/benchmarks/find_leaks.py --images 700 --side 48

The faces are drawn, five images of each expression of each subject. A twentieth of the images are
copies of others: equal, stored as JPEG (quality 50 to 95), mirrored, shifted by two pixels, or all
of these. The copies are one fold, so each is a leak. A false alarm is an image in a reported pair
whose images are not copies.
"""

import argparse
import collections
import io
import time

import numpy as np
from PIL import Image
from sklearn.model_selection import PredefinedSplit

from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.model_selection import find_leaks

N_PER_SUBJECT = 35  # five drawings of seven expressions


def main():
    arguments = parse_arguments()
    n_copies = arguments.images // 20
    n_subjects = -(-(arguments.images - n_copies) // N_PER_SUBJECT)
    faces = make_expression_faces(
        n_subjects=n_subjects, n_per_expression=5, image_size=arguments.side, random_state=0
    )
    originals = faces.images[: arguments.images - n_copies]
    rng = np.random.default_rng(0)
    copied = rng.choice(len(originals), n_copies, replace=False)
    kinds = rng.choice(list(COPIES), n_copies)
    copies = [COPIES[kind](originals[i], rng) for i, kind in zip(copied, kinds, strict=True)]
    images = np.concatenate([originals, copies])
    folds = np.repeat([0, 1], [len(originals), n_copies])
    start = time.perf_counter()
    leaks = find_leaks(images, None, PredefinedSplit(folds), n_jobs=-1)
    seconds = time.perf_counter() - start
    planted = {
        (i, len(originals) + k): kind for k, (i, kind) in enumerate(zip(copied, kinds, strict=True))
    }
    report(set(map(tuple, leaks.pairs.tolist())), planted, len(images), seconds)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=96, help="side of the images, in pixels")
    return parser.parse_args()


def store_as_jpeg(image, rng):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=int(rng.integers(50, 96)))
    return np.asarray(Image.open(stream))


def shift(image, rng):
    """Shift by two pixels up or down, left or right, or both; the border is repeated."""
    down, right = rng.choice([[2, 0], [-2, 0], [0, 2], [0, -2], [2, 2], [-2, 2]])
    height, width, _ = image.shape
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
    return padded[2 - down : 2 - down + height, 2 - right : 2 - right + width]


COPIES = {
    "equal": lambda image, rng: image,
    "JPEG": store_as_jpeg,
    "mirrored": lambda image, rng: image[:, ::-1],
    "shifted": shift,
    "all of it": lambda image, rng: store_as_jpeg(shift(image[:, ::-1], rng), rng),
}


def report(found, planted, n_images, seconds):
    """Print the recall of each kind of copy, the false alarms, and the time."""
    all_of = collections.Counter(planted.values())
    found_of = collections.Counter(kind for pair, kind in planted.items() if pair in found)
    for kind, n in sorted(all_of.items()):
        print(f"{kind:10} {found_of[kind]:4} of {n} found")
    alarmed = {row for pair in found - set(planted) for row in pair}
    print(
        f"recall {sum(found_of.values()) / len(planted):.3f}, false alarms "
        f"{100 * len(alarmed) / n_images:.2f} % of the images, {n_images} images in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
