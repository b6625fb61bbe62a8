"""Recognize the expressions of unseen people: cross-validation on drawn faces.

    python examples/quickstart.py

The faces are drawn, so there is nothing to download. PAtt-Lite starts from the narrow backbone in
the package, and trains in both stages. No subject is in both the training and the test set of a
fold. The baseline is a logistic regression on the pixels, in the same folds. A picture of held-out
faces with their true and predicted expressions is written to examples/output/quickstart.png.

It takes one to three minutes on two cores. The scores show that the method works on drawings; they
say nothing about real faces.
"""

import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow, which logs from C++

import numpy as np
import sklearn
from PIL import Image, ImageDraw, ImageFont
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

N_SUBJECTS, N_FOLDS = 40, 5
PICTURE = Path("examples/output/quickstart.png")
SHOWN_SUBJECTS, SIDE, MARGIN = 4, 144, 8  # of the picture; lengths in pixels
BLACK, BLUE, ORANGE = (0, 0, 0), (0, 114, 178), (213, 94, 0)


def main():
    # Metadata routing passes the groups on to the folds.
    sklearn.set_config(enable_metadata_routing=True)
    start = time.perf_counter()
    faces = make_expression_faces(n_subjects=N_SUBJECTS, random_state=0)
    print(f"{len(faces.images)} drawn faces of {N_SUBJECTS} subjects; {N_FOLDS} folds by subject")
    baseline = score_on_unseen_subjects(make_baseline(), faces)
    folds = score_on_unseen_subjects(make_classifier(), faces, verbose=3)  # one line per fold
    predicted = predictions(folds, faces)

    print(f"\n{'':24}{'accuracy':>16}{'balanced accuracy':>20}   mean ± deviation over folds")
    report("pixels, logistic regr.", baseline)
    report("PAtt-Lite", folds)
    report_training(folds["estimator"])
    print_confusion(faces, predicted)
    draw_picture(faces, predicted)
    print(f"\n{PICTURE} shows held-out faces. {time.perf_counter() - start:.0f} s in all.")


def make_classifier():
    """Make a small PAtt-Lite: at 96 pixels the feature map has 6×6 cells, hence patches of 3×3."""
    return PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=96,
        patch_size=3,
        finetune_epochs=20,  # an epoch of so few faces has only 28 steps
        random_state=0,
    )


def make_baseline():
    """Make a logistic regression on 32×32 gray values."""
    return make_pipeline(
        FunctionTransformer(gray_pixels),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=500),
    )


def gray_pixels(images):
    """Average over colors and blocks of 3×3 pixels: (n, 96, 96, 3) to (n, 1024), 0 to 1."""
    blocks = images.reshape(len(images), 32, 3, 32, 3, 3)
    return blocks.mean(axis=(2, 4, 5)).reshape(len(images), -1) / 255


def score_on_unseen_subjects(estimator, faces, verbose=0):
    """Cross-validate by subject: nobody is in both the training and the test set of a fold."""
    return cross_validate(
        estimator,
        faces.images,
        faces.target,
        params={"groups": faces.groups},
        cv=GroupKFold(N_FOLDS),
        scoring=["accuracy", "balanced_accuracy"],
        return_estimator=True,
        return_indices=True,
        verbose=verbose,
    )


def predictions(folds, faces):
    """Predict each face with the classifier that was not trained on its subject."""
    predicted = np.empty_like(faces.target)
    for classifier, test in zip(folds["estimator"], folds["indices"]["test"], strict=True):
        predicted[test] = classifier.predict(faces.images[test])
    return predicted


def report(name, folds):
    """Print the mean and standard deviation of the scores over the folds."""
    scores = [folds["test_accuracy"], folds["test_balanced_accuracy"]]
    accuracy, balanced = (f"{100 * s.mean():.1f} ± {s.std(ddof=1):.1%}" for s in scores)
    print(f"{name:24}{accuracy:>16}{balanced:>20}")


def report_training(classifiers):
    """Print the size of the network, and how it was trained."""
    histories = [classifier.history_ for classifier in classifiers]
    head, finetune = (
        np.mean([len(history[stage]["loss"]) for history in histories])
        for stage in ("head", "finetune")
    )
    print(
        f"\nPAtt-Lite: {classifiers[0].n_parameters_:,} parameters; epochs per fold: "
        f"{head:.0f} in stage 1, {finetune:.0f} in stage 2"
    )


def print_confusion(faces, predicted):
    """Print the confusion matrix."""
    shares = confusion_matrix(faces.target, predicted, normalize="true")
    print("\nConfusion, % (rows: true, columns: predicted)")
    print(" " * 9 + "".join(f"{name:>9}" for name in faces.target_names))
    for name, row in zip(faces.target_names, shares, strict=True):
        print(f"{name:9}" + "".join(f"{100 * share:9.0f}" for share in row))


def draw_picture(faces, predicted):
    """Draw all expressions of a few subjects, with their labels, one row per subject."""
    tile = SIDE + 2 * MARGIN
    text = ImageFont.load_default(size=15)
    picture = Image.new("RGB", (7 * tile, SHOWN_SUBJECTS * (tile + 40)), "white")
    draw = ImageDraw.Draw(picture)
    for row in range(SHOWN_SUBJECTS):
        for label, name in enumerate(faces.target_names):
            index = np.flatnonzero((faces.groups == row) & (faces.target == label))[0]
            left, top = label * tile + MARGIN, row * (tile + 40) + MARGIN
            face = Image.fromarray(faces.images[index])
            picture.paste(face.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, top))
            color = BLUE if predicted[index] == label else ORANGE
            draw.text((left, top + SIDE + 2), f"true: {name}", BLACK, text)
            guess = f"predicted: {faces.target_names[predicted[index]]}"
            draw.text((left, top + SIDE + 20), guess, color, text)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    picture.save(PICTURE)


if __name__ == "__main__":
    main()
