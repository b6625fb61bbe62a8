"""Training on files reads them as it goes."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_patt_lite._images.source import as_source
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import build_network
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.on_images import batches
from sklearn_patt_lite._training.stages import end_to_end_stage

SIZE = 32
N = 10
ARCHITECTURE = Architecture(
    n_classes=2,
    image_shape=(SIZE, SIZE, 3),
    alpha=0.25,
    input_size=SIZE,
    output_layer="conv_dw_1_relu",
    patch_size=4,
    n_filters=8,
    hidden_units=8,
)
STAGE = end_to_end_stage(epochs=2, learning_rate=1e-3, patience=None, clipnorm=3.0, dropout=0.1)


@pytest.fixture
def source(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    return as_source([tmp_path / f"{i}.png" for i in range(N)], SIZE), images


def content(dataset):
    batches = [[part.numpy() for part in batch] for batch in dataset]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_batches_hold_the_files_with_their_labels(source):
    files, images = source
    dataset = batches(files, np.arange(N), np.arange(N) / 2, 4, [])
    assert [len(x) for x, _, _ in dataset] == [4, 4, 2]
    x, y, weights = content(dataset)
    assert_array_equal(x, images)
    assert_array_equal(y, np.arange(N))
    assert_array_equal(weights, np.arange(N) / 2)


def test_each_epoch_has_an_order_of_its_own_which_the_seed_fixes(source):
    files, images = source

    def orders(seed):
        dataset = batches(files, np.arange(N), np.ones(N), 4, [], seed=seed)
        epochs = [content(dataset) for _ in range(2)]
        for x, y, _ in epochs:
            assert_array_equal(x, images[y])
            assert_array_equal(np.sort(y), np.arange(N))
        return [y.tolist() for _, y, _ in epochs]

    first = orders(0)
    assert first[0] != first[1]
    assert orders(0) == first
    assert orders(1) != first


def train(files, y):
    with seeded(0):
        network = build_network(ARCHITECTURE)
    data = TrainingData(files, y, np.ones(N), files[: N // 2], y[: N // 2])
    histories = StagedFit(network, [STAGE], data, batch_size=4, seed=0).run()
    return network, histories["end_to_end"]


def test_training_is_reproducible(source):
    files, images = source
    y = np.arange(N) % 2
    (first, history), (second, _) = (train(files, y) for _ in range(2))
    assert len(history["loss"]) == len(history["val_loss"]) == 2
    assert np.isfinite(history["loss"]).all()
    assert_array_equal(first.predict(images, verbose=0), second.predict(images, verbose=0))


def test_a_damaged_file_is_named_as_anywhere_else(source, tmp_path):
    (tmp_path / "7.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"row 7: cannot read .*7\.png"):
        train(source[0], np.arange(N) % 2)
