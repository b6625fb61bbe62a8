"""Score PAtt-Lite on CK+ in the field's ten folds of subjects: by frame, and by sequence.

    KERAS_HOME=... python examples/ckplus_folds.py PATH

PATH is a copy of CK+ that `load_ckplus` can read. A sequence is predicted by the mean probabilities
of its frames. The frames of a sequence are nearly identical: 981 frames are 327 answers, and each
fold has only eleven or twelve people. On a CPU, there are ten fits of about a minute each; the
features of the frozen layers are kept in a folder for all fits.
"""

import sys

import numpy as np
from sklearn import config_context
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_predict

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_ckplus
from sklearn_patt_lite.model_selection import SubjectKFold


def main(root, classifier, image_size=112):
    data = load_ckplus(root, image_size=image_size)
    print(data.DESCR)
    # Metadata routing passes the subjects on to the folds, and to the classifier.
    with config_context(enable_metadata_routing=True):
        probabilities = cross_val_predict(
            classifier,
            data.images,
            data.target,
            cv=SubjectKFold(10),
            method="predict_proba",
            params={"groups": data.groups},
        )
    report("frame", data.target, probabilities, data.groups)
    report("sequence", *by_sequence(data, probabilities))


def by_sequence(data, probabilities):
    """Average over the frames of each sequence; return labels, probabilities and subjects."""
    _, first, sequence = np.unique(data.sequence, return_index=True, return_inverse=True)
    frames = np.bincount(sequence)[:, np.newaxis]
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, sequence, probabilities)
    return data.target[first], sums / frames, data.groups[first]


def report(unit, target, probabilities, groups):
    """Print the overall accuracy, and its spread over the folds."""
    predicted = probabilities.argmax(axis=1)
    folds = [test for _, test in SubjectKFold(10).split(target, groups=groups)]
    scores = [accuracy_score(target[test], predicted[test]) for test in folds]
    sizes = ", ".join(str(len(test)) for test in folds)
    print(
        f"per {unit}: {accuracy_score(target, predicted):.3f}, "
        f"folds {np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f} ({unit}s per fold: {sizes})"
    )


if __name__ == "__main__":
    main(sys.argv[1], PAttLiteClassifier(memory="features", random_state=0, verbose=1))
