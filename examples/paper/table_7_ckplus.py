"""Table 7 of the paper: CK+ in ten folds of subjects, with a confusion matrix.

    python examples/paper/table_7_ckplus.py
    python examples/paper/table_7_ckplus.py --data CK+/

The folds are the field's usual ones, every tenth of the sorted subjects. The paper reports the mean
over the folds; here the accuracy over all images is reported, too. The paper does not say which
frames of a sequence it used; here they are the three peak frames, as usual. The frames of a
recording are nearly identical. So besides the score by frame there is one by sequence, from the
mean probabilities of its frames. Without `--data`, faces are drawn, also in ten folds of subjects,
and it takes one to two minutes on two cores. Fits are kept in --output: the same command continues
a run that was stopped.
"""

from dataclasses import replace

import numpy as np
from _faces import Split, load_faces, parse_arguments
from _fits import Predictions, fit_rows
from _published import TABLE_7
from _report import (
    HONEST,
    OBTAINABLE,
    Spread,
    confusion,
    notes_on,
    published_rows,
    score_columns,
    write_table,
)

DRAWN_EPOCHS = {"epochs": 8, "finetune_epochs": 4}
N_FOLDS = 10


def main():
    arguments = parse_arguments(__doc__, ["CK+"], n_seeds=2, in_folds=True)
    faces = load_faces(arguments, drawn_folds=N_FOLDS)
    if arguments.data is None:
        faces.settings.update(DRAWN_EPOCHS)
    found = fit_rows(faces, {"PAtt-Lite": {}}, arguments)["PAtt-Lite"]
    units = {"frame": (faces, found)}
    if faces.sequence is not None:
        units["sequence"] = by_sequence(faces, found)
    table = [
        {
            "an answer a": unit,
            "paper, CK+, %": "100.00",
            OBTAINABLE: HONEST[True],
            **score_columns(*answers),
            "mean over the folds, %": Spread.of(fold_accuracies(*answers).mean(axis=1)),
            "deviation between folds, first seed": round(
                fold_accuracies(*answers)[0].std(ddof=1), 1
            ),
        }
        for unit, answers in units.items()
    ]
    title = f"Table 7, ten folds of subjects, on {faces.title}"
    path = arguments.output / f"table_7_{faces.title.replace(' ', '_')}"
    confusion(faces, {"PAtt-Lite": (found, slice(None))}, title, path)
    peers = ("Table 7 of the paper, CK+, %", published_rows(TABLE_7))
    write_table(title, table, list(notes_on(faces, arguments)), path, published=peers)


def by_sequence(faces, predictions):
    """Average over the frames of each sequence, and keep each fold's sequences together."""
    firsts, parts, start = [], [], 0
    for split in faces.splits:
        frames = predictions.probabilities[:, start : start + len(split.test)]
        start += len(split.test)
        _, first, codes = np.unique(
            faces.sequence[split.test], return_index=True, return_inverse=True
        )
        share = (np.arange(len(first))[:, np.newaxis] == codes) / np.bincount(codes)[:, np.newaxis]
        parts.append(share @ frames)  # (n_sequences, n_frames) @ (n_seeds, n_frames, n_classes)
        firsts.append(split.test[first])
    splits = [Split(split.train, test) for split, test in zip(faces.splits, firsts, strict=True)]
    averaged = Predictions(np.concatenate(parts, axis=1), predictions.n_parameters)
    return replace(faces, splits=splits), averaged


def fold_accuracies(faces, predictions):
    """Compute the accuracy of each seed in each fold, in %: (n_seeds, n_folds)."""
    right = predictions.labels == faces.target[faces.tested]
    ends = np.cumsum([len(split.test) for split in faces.splits])
    folds = np.split(right, ends[:-1], axis=1)
    return 100 * np.stack([fold.mean(axis=1) for fold in folds], axis=1)


if __name__ == "__main__":
    main()
