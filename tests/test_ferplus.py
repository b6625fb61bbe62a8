"""FERPlus: votes that become labels, joined to FER2013 by the order of rows."""

import os
from pathlib import Path

import numpy as np
import pytest
from databases import pixels, write_csv
from numpy.testing import assert_allclose, assert_array_equal
from test_fer2013 import HEADERS, make_folders

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_ferplus
from sklearn_patt_lite.datasets._ferplus import _majority, _read_labels

HEADER = [
    *("Usage", "Image name", "neutral", "happiness", "surprise", "sadness", "anger", "disgust"),
    *("fear", "contempt", "unknown", "NF"),
]
NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"]
ROWS = [  # usage, name, votes; what each rule makes of them
    ("Training", "fer0000000.png", (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)),  # 4 of 9: no majority
    ("Training", "fer0000001.png", (0, 0, 0, 0, 0, 0, 9, 1, 0, 0)),  # fear
    ("Training", "", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)),  # no name, no face
    ("Training", "fer0000003.png", (5, 5, 0, 0, 0, 0, 0, 0, 0, 0)),  # a tie: half is no majority
    ("Training", "fer0000004.png", (1, 6, 1, 1, 1, 0, 0, 0, 0, 0)),  # happy, by 6 of 6
    ("Training", "fer0000004.png", (0, 0, 0, 8, 2, 0, 0, 0, 0, 0)),  # the name again: sad
    ("Training", "fer0000006.png", (0, 0, 2, 0, 0, 0, 0, 0, 8, 0)),  # not known by most
    ("Training", "fer0000007.png", (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)),  # single votes only
    ("PublicTest", "fer0028710.png", (0, 0, 0, 0, 10, 0, 0, 0, 0, 0)),
    ("PublicTest", "fer0028711.png", (2, 0, 0, 0, 0, 0, 0, 4, 2, 2)),  # 4 of 10
    ("PrivateTest", "fer0032300.png", (0, 0, 10, 0, 0, 0, 0, 0, 0, 0)),
    ("PrivateTest", "fer0032301.png", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)),  # no face, with a name
]


@pytest.fixture
def files(tmp_path):
    return make_files(tmp_path, ROWS)


def make_files(root, rows, usages=None):
    """FER2013 with 10 × its row as grey level, and labels of its own that mean nothing here."""
    usages = usages or [row[0] for row in rows]
    images = [("0", pixels(10 * i), usage) for i, usage in enumerate(usages)]
    write_csv(root / "fer2013.csv", HEADERS["fer2013.csv"], images)
    labels = [(usage, name, *votes) for usage, name, votes in rows]
    write_csv(root / "FERPlus" / "fer2013new.csv", HEADER, labels)
    return root / "fer2013.csv", root / "FERPlus" / "fer2013new.csv"


def load_small(files, **options):
    with pytest.warns(UserWarning, match=r"FERPlus' .* images; the published number is"):
        return load_ferplus(*files, **options)


def labels(data):
    rows = data.images[:, 1, 1] // 10
    return list(zip(rows.tolist(), data.target_names[data.target].tolist(), strict=True))


def test_the_majority_by_the_authors_rule(files):
    data = load_small(files)
    assert labels(data) == [(1, "fear"), (4, "happy"), (5, "sad")]
    assert data.images.shape == (3, 48, 48)
    assert data.images.dtype == np.uint8
    assert data.images[:, 0, 0].tolist() == [11, 41, 51]
    assert data.target_names.tolist() == NAMES
    assert data.names.tolist() == ["fer0000001", "fer0000004", "fer0000004"]
    assert_array_equal(data.votes, [ROWS[i][2] for i in (1, 4, 5)])
    assert data.groups is None
    assert "sample_weight" not in data


def test_most_votes_of_all_ten_columns(files):
    """As near-neutral-fer counts: who is unknown to most is left out, and names do not matter."""
    data = load_small(files, labels_as="plurality")
    assert labels(data) == [
        (0, "neutral"),
        (1, "fear"),
        (3, "neutral"),
        (4, "happy"),
        (5, "sad"),
        (7, "neutral"),
    ]


def test_most_votes_as_the_papers_numbers_imply(files):
    """Ties go to the first; a name that occurred before is dropped, a vote for unknown is none."""
    data = load_small(files, labels_as="argmax")
    assert labels(data) == [
        (0, "neutral"),
        (1, "fear"),
        (3, "neutral"),
        (4, "happy"),
        (6, "surprise"),
        (7, "neutral"),
    ]


@pytest.mark.parametrize("labels_as", ["majority", "argmax", "plurality", "weighted"])
def test_splits(files, labels_as, recwarn):
    parts = [load_ferplus(*files, labels_as=labels_as, split=s) for s in ("train", "validation")]
    assert set(parts[0].split) == {"train"}
    assert {row for row, _ in labels(parts[1])} <= {8, 9}
    test = load_ferplus(*files, labels_as=labels_as, split="test")
    # The paper's numbers count as neutral what all ten call no face.
    nobody = [(11, "neutral")] if labels_as == "argmax" else []
    assert labels(test) == [(10, "surprise"), *nobody]
    every = load_ferplus(*files, labels_as=labels_as, split="all")
    assert labels(every) == [*labels(parts[0]), *labels(parts[1]), *labels(test)]
    assert every.split.tolist() == sorted(every.split, key=["train", "validation", "test"].index)


def test_weighted_rows_are_shares_of_the_votes(files):
    data = load_ferplus(*files, labels_as="weighted")
    assert labels(data) == [
        *((0, name) for name in ("neutral", "angry", "disgust")),
        (1, "fear"),
        *((3, name) for name in ("neutral", "happy")),
        (4, "happy"),
        *((5, name) for name in ("sad", "angry")),
        (6, "surprise"),
    ]
    expected = [4 / 9, 3 / 9, 2 / 9, 1, 0.5, 0.5, 1, 0.8, 0.2, 0.2]
    assert_allclose(data.sample_weight, expected)
    assert data.groups.tolist() == [0, 0, 0, 1, 3, 3, 4, 5, 5, 6]


def test_soft_labels_train_as_they_are(tmp_path):
    """An image's rows stay on one side of the classifier's own validation split."""
    rows = [
        ("Training", f"fer{i:07}.png", (6, 4, *[0] * 8) if i % 2 else (3, 7, *[0] * 8))
        for i in range(20)
    ]
    data = load_ferplus(*make_files(tmp_path, rows), labels_as="weighted")
    classifier = PAttLiteClassifier(
        backbone_weights="drawn",
        alpha=0.25,
        input_size=32,
        patch_size=1,
        output_layer="conv_dw_4_relu",
        n_filters=8,
        epochs=1,
        unfreeze_layers=0,
        validation_fraction=0.1,
        random_state=0,
    )
    classifier.fit(data.images, data.target, sample_weight=data.sample_weight, groups=data.groups)
    validation = np.zeros(40, dtype=bool)
    validation[classifier.history_["validation"]["indices"]] = True
    assert 0 < validation.sum() < 40
    assert not set(data.groups[validation]) & set(data.groups[~validation])


def test_other_columns_orders_and_line_ends(files, tmp_path):
    expected = load_small(files)
    images, votes = files
    table = images.read_text().splitlines()
    other = tmp_path / "icml" / "icml_face_data.csv"
    rows = [line.split(",") for line in table[1:]]
    write_csv(other, HEADERS["icml_face_data.csv"], [(r[0], r[2], r[1]) for r in rows])
    votes.write_text(votes.read_text().replace("\n", "\r\n"), newline="")
    for place in (other, other.parent):
        data = load_small((place, votes.parent))
        assert_array_equal(data.images, expected.images)
        assert_array_equal(data.target, expected.target)


def test_X_and_y(files):
    X, y = load_small(files, return_X_y=True)
    data = load_small(files)
    assert_array_equal(X, data.images)
    assert_array_equal(y, data.target)


def test_a_copy_in_folders_cannot_be_joined(files, tmp_path):
    folders = make_folders(tmp_path / "folders")
    with pytest.raises(FileNotFoundError, match=r"by the order of its rows.*folders will not do"):
        load_ferplus(folders, files[1])


def test_what_is_missing(files, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"There is no fer2013new.csv"):
        load_ferplus(files[0], tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"There is no '.*nowhere"):
        load_ferplus(files[0], tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="there are no paths"):
        load_ferplus(*files, as_paths=True)


def test_rows_that_do_not_belong_together(tmp_path):
    usages = [row[0] for row in ROWS]
    swapped = make_files(tmp_path / "swapped", ROWS, [*usages[:7], *usages[8:], usages[7]])
    with pytest.raises(ValueError, match=r"row 8 is in FER2013's validation part, but .* train"):
        load_ferplus(*swapped)
    with pytest.raises(ValueError, match="has 11 rows, but FERPlus' labels have 12"):
        load_ferplus(*make_files(tmp_path / "short", ROWS, usages[:-1]))
    with pytest.raises(ValueError, match=r"row 13 .* it is missing: "):
        load_ferplus(*make_files(tmp_path / "long", ROWS, [*usages, "PrivateTest"]))


def test_votes_that_cannot_be_read(tmp_path):
    rows = [("Training", "fer0000000.png", (4, "x", 0, 1, 3, 2, 0, 0, 0, 0))]
    with pytest.raises(ValueError, match="row 1: expected ten vote counts"):
        load_ferplus(*make_files(tmp_path, rows))


def test_numbers_other_than_the_published_ones_warn_with_both(files):
    with pytest.warns(
        UserWarning, match="train part by 'majority': 3 images; the published number is 25,060"
    ) as caught:
        load_ferplus(*files)
    assert caught[0].filename == __file__


def test_no_image_is_left(tmp_path):
    rows = [("Training", "fer0000000.png", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10))]
    with pytest.raises(ValueError, match="no images of this split with a label"):
        load_ferplus(*make_files(tmp_path, rows))


def test_the_published_numbers_of_the_majority_rule():
    """On the file itself, if the user has it: FERPLUS leads to fer2013new.csv."""
    path = os.environ.get("FERPLUS")
    if path is None:
        pytest.skip("FERPLUS does not lead to fer2013new.csv")
    names, parts, votes = _read_labels(Path(path))
    image, _, _ = _majority(names, votes)
    counts = {part: int((parts[image] == part).sum()) for part in np.unique(parts)}
    assert counts == {"train": 25060, "validation": 3199, "test": 3153}
