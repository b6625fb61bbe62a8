"""Measure the memory that a fit and a prediction take as the number of image files grows.

    KERAS_HOME=... python examples/benchmarks/peak_memory.py
    KERAS_HOME=... python examples/benchmarks/peak_memory.py --images 200 400
    KERAS_HOME=... python examples/benchmarks/peak_memory.py --recipe modern
    python examples/benchmarks/peak_memory.py --recipe none --images 10000 100000

Small JPEG files, given as paths; `alpha=1`, ImageNet weights. "paper", at 224 pixels: three epochs
of stage 1, one of stage 2 with 16 unfrozen layers. "modern", at 112 pixels: one epoch end to end.
"none": no fit, but the pretrained classifier. Then `predict` runs on all files, with its progress
bar. Each number of files has its own process, whose peak resident memory is reported. The paper's
recipe takes 0.4 MB of temporary files per image.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SETTINGS = {
    "paper": {
        "epochs": 3,
        "patience": None,
        "unfreeze_layers": 16,
        "finetune_epochs": 1,
        "finetune_patience": None,
        "augment": False,
    },
    "modern": {"epochs": 1},
}


def main():
    arguments = parse_arguments()
    if arguments.worker:
        work(Path(arguments.worker), arguments.images[0], arguments.recipe)
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), max(arguments.images))
        for n in arguments.images:
            what = ["--images", str(n), "--recipe", arguments.recipe]
            subprocess.run([sys.executable, __file__, "--worker", folder, *what], check=True)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 30_000])
    parser.add_argument("--recipe", choices=[*SETTINGS, "none"], default="paper")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def draw(folder, n):
    rng = np.random.default_rng(0)
    for i in range(n):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 96)).save(folder / f"{i:06}.jpg")


def work(folder, n, recipe):
    from sklearn_patt_lite import PAttLiteClassifier

    paths = sorted(folder.glob("*.jpg"))[:n]
    start = time.perf_counter()
    if recipe == "none":
        classifier = PAttLiteClassifier.from_pretrained("fer2013").set_params(verbose=1)
    else:
        classifier = PAttLiteClassifier(recipe=recipe, random_state=0, **SETTINGS[recipe])
        classifier.fit(paths, np.arange(n) % 7)
        classifier.set_params(verbose=1)
    fitted = time.perf_counter()
    before = peak()
    classifier.predict(paths)
    print(
        f"{recipe}, {n} files: fit {fitted - start:.0f} s, peak {before:.2f} GiB; predict "
        f"{time.perf_counter() - fitted:.0f} s, peak {peak():.2f} GiB",
        flush=True,
    )


def peak():
    """Largest resident size so far, in GiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
