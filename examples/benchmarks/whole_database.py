"""Train on all of FER2013's training part, and test on PublicTest, once.

    KERAS_HOME=... python examples/benchmarks/whole_database.py fer2013_train.npz
    ... whole_database.py fer2013_train.npz --finetune-epochs 20 --output faces.zip

The .npz holds X_train, y_train, X_val, y_val and val_in_train, which marks the images of PublicTest
that stand in the training part, byte for byte: accuracy is printed with and without them. A fit
that was stopped goes on after its last epoch; its seconds are then those of its last part.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sklearn_patt_lite import PAttLiteClassifier


def main():
    arguments = parse_arguments()
    with np.load(arguments.data) as data:
        X, y = data["X_train"], data["y_train"]
        X_val, y_val, is_new = data["X_val"], data["y_val"], ~data["val_in_train"]
    settings = {
        name: value
        for name, value in vars(arguments).items()
        if name in PAttLiteClassifier().get_params() and value is not None
    }
    classifier = PAttLiteClassifier(verbose=1, **settings)
    start = time.perf_counter()
    classifier.fit(X, y)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts kibibytes
    predicted = classifier.predict(X_val)
    right = predicted == y_val
    print(
        f"accuracy {100 * right.mean():.2f} % of {len(right)}, {100 * right[is_new].mean():.2f} % "
        f"without those that stand in the training part, balanced "
        f"{100 * balanced_accuracy_score(y_val, predicted):.2f} %; {seconds:.0f} s, "
        f"peak {peak:.2f} GiB"
    )
    if arguments.output is not None:
        classifier.save_model(arguments.output, description="Trained on FER2013's training part.")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz, as above")
    parser.add_argument("--recipe", choices=["transfer", "paper", "modern"])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--finetune-epochs", type=int)
    parser.add_argument("--unfreeze-layers", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--checkpoint-dir", default="examples/output/whole_database")
    parser.add_argument("--output", type=Path, help="save the classifier here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
