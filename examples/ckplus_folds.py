"""Score PAtt-Lite on CK+ by the field's ten folds of subjects: a frame, and a sequence.

    KERAS_HOME=... python examples/ckplus_folds.py PATH

PATH leads to CK+ as `load_ckplus` takes it. A sequence is scored by its frames' probabilities,
averaged. Frames of one sequence are nearly one image: 981 frames are 327 answers, and the spread
between folds is that of eleven or twelve people each. On a CPU these are ten fits of about a
minute; what the frozen layers say of an image is kept in a folder for all.
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
    # Routing hands the subjects on to the folds, and to the classifier.
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
    """Average over the frames of each sequence: labels, probabilities, subjects."""
    _, first, sequence = np.unique(data.sequence, return_index=True, return_inverse=True)
    frames = np.bincount(sequence)[:, np.newaxis]
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, sequence, probabilities)
    return data.target[first], sums / frames, data.groups[first]


def report(unit, target, probabilities, groups):
    """Print the accuracy over all, and its spread over the folds."""
    predicted = probabilities.argmax(axis=1)
    folds = [test for _, test in SubjectKFold(10).split(target, groups=groups)]
    scores = [accuracy_score(target[test], predicted[test]) for test in folds]
    sizes = ", ".join(str(len(test)) for test in folds)
    print(
        f"a {unit}: {accuracy_score(target, predicted):.3f}, "
        f"folds {np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f} ({unit}s a fold: {sizes})"
    )


if __name__ == "__main__":
    main(sys.argv[1], PAttLiteClassifier(memory="features", random_state=0, verbose=1))
