"""Measure whether memory grows over many fits and predictions in one process.

    python examples/benchmarks/soak.py
    python examples/benchmarks/soak.py --fits 20

Fits five candidates in turn, on varying data, and predicts with each. They differ in architecture
and unfreeze depth, and some stages train on images instead of features. The process may grow while
it fills its caches for further fits (trainers, engines), but not after that.
"""

import argparse
import ctypes
import gc

from _memory import resident

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

SIDE = 32


def main():
    arguments = parse_arguments()
    faces = make_expression_faces(n_subjects=4, image_size=SIDE, random_state=0)
    after_the_tenth = None
    for i in range(arguments.fits):
        classifier = make_classifier(i)
        rows = slice(i % 7, None)
        classifier.fit(faces.images[rows], faces.target[rows])
        classifier.predict(faces.images)
        if i == min(9, arguments.fits // 2):
            after_the_tenth = in_use()
        if i % 10 == 9:
            print(f"{i + 1} fits: {in_use():.0f} MiB", flush=True)
    last = in_use()
    print(
        f"resident memory after the tenth fit {after_the_tenth:.0f} MiB, at the end "
        f"{last:.0f} MiB: {last / after_the_tenth - 1:+.1%}"
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=100)
    return parser.parse_args()


#: Output layer, patch size, unfrozen layers, and how images are augmented.
CANDIDATES = [
    ("conv_dw_2_relu", 1, 0, True),
    ("conv_dw_2_relu", 2, 4, True),
    ("conv_dw_3_relu", 1, 4, True),
    ("conv_dw_4_relu", 2, 8, True),
    ("conv_dw_3_relu", 1, 0, "exact"),
]


def make_classifier(i):
    output_layer, patch_size, unfreeze_layers, augment = CANDIDATES[i % len(CANDIDATES)]
    return PAttLiteClassifier(
        recipe="paper",
        backbone_weights="drawn",
        alpha=0.25,
        input_size=SIDE,
        output_layer=output_layer,
        patch_size=patch_size,
        n_filters=8,
        epochs=2,
        patience=None,
        unfreeze_layers=unfreeze_layers,
        finetune_epochs=1,
        finetune_patience=None,
        augment=augment,
        batch_size=16,
        random_state=i,
    )


def in_use():
    """Measure this process's memory, in MiB, without what its allocator holds in reserve."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident()


if __name__ == "__main__":
    main()
