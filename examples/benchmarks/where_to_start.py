"""Compare fits that start from the pretrained network with fits that start from ImageNet.

    KERAS_HOME=... python examples/benchmarks/where_to_start.py fer2013_train.npz --jobs 2
    ... where_to_start.py drawn --jobs 2

Trains on a few images that the pretrained network was not trained on, and tests on the others:
images of FER2013's "PublicTest" that do not occur in "Training", or drawn faces. Each seed has its
own training images, split by image: drawn people are on both sides. For comparison, there are the
pretrained network as it is, and a logistic regression on its features, averaged over 2×2 parts of
its feature map.
"""

import argparse
import time

import numpy as np
from joblib import Parallel, delayed
from recipes import compare, spread
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS
from sklearn_patt_lite.preprocessing import BackboneFeatures

NAMES = np.array(EXPRESSIONS[:7])  # indexed by FER2013's codes


def main():
    arguments = parse_arguments()
    X, y = load(arguments.data)
    print(f"{len(X)} images")
    for n in arguments.images:
        splitter = StratifiedShuffleSplit(arguments.seeds, train_size=n, random_state=0)
        splits = list(splitter.split(X, y))
        jobs = [(name, X, y, *split, seed) for name in ROWS for seed, split in enumerate(splits)]
        fits = Parallel(n_jobs=arguments.jobs)(delayed(fit_once)(*job) for job in jobs)
        rows = {name: fits[i * len(splits) :][: len(splits)] for i, name in enumerate(ROWS)}
        for name, fits in rows.items():
            right = [(p.argmax(axis=1) == codes(y)[test]).mean() for test, p, _ in fits]
            seconds = np.mean([fit[2] for fit in fits])
            print(f"{n:5} {name:24} {spread(right):>12}  {seconds:.0f} s a fit", flush=True)
        for name in list(ROWS)[1:]:
            compare(name, "imagenet", codes(y), None, rows)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="an .npz with X_val, y_val and val_in_train; or drawn")
    parser.add_argument("--images", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel fits")
    return parser.parse_args()


def load(data):
    """Load images and the names of their expressions."""
    if data == "drawn":
        faces = make_expression_faces(n_subjects=118, image_size=96, random_state=0)
        return faces.images, faces.target_names[faces.target]
    with np.load(data) as arrays:
        is_new = ~arrays["val_in_train"]
        return arrays["X_val"][is_new], NAMES[arrays["y_val"][is_new]]


def codes(y):
    """Encode each label as its index in the sorted labels, as in `classes_`."""
    return np.unique(y, return_inverse=True)[1]


def fit_once(name, X, y, train, test, seed):
    """Fit and predict; return test rows, probabilities and seconds."""
    classifier = ROWS[name](seed)
    start = time.perf_counter()
    if not hasattr(classifier, "model_"):
        classifier.fit(X[train], y[train])
    seconds = time.perf_counter() - start
    return test, classifier.predict_proba(X[test]), seconds


def regression(seed):
    return make_pipeline(
        BackboneFeatures(backbone_weights="fer2013", input_size=112),
        StandardScaler(),
        LogisticRegression(C=1e-3, max_iter=300),
    )


ROWS = {
    "imagenet": lambda seed: PAttLiteClassifier(random_state=seed),
    "fer2013": lambda seed: PAttLiteClassifier(backbone_weights="fer2013", random_state=seed),
    "fer2013, linear": regression,
    "fer2013, as it is": lambda seed: PAttLiteClassifier.from_pretrained("fer2013"),
}


if __name__ == "__main__":
    main()
