"""Views of images: the right ones, drawn from content and epoch alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._features.views import (
    VIEW,
    Viewer,
    choose_views,
    clean,
    count_views,
)
from sklearn_patt_lite._images.source import image_digests

SIDE = 64


@pytest.fixture(scope="module")
def images():
    """Twelve smooth images, which bear to be moved by fractions of a pixel."""
    coarse = np.random.default_rng(0).uniform(0, 255, (12, 6, 6, 3))
    return tf.image.resize(coarse, (SIDE, SIDE), "bicubic").numpy().clip(0, 255).astype("float32")


@pytest.fixture(scope="module")
def digests():
    return image_digests(np.random.default_rng(0).integers(0, 256, (600, 4, 4, 1), dtype=np.uint8))


def changed(n=12, **fields):
    views = clean(n)
    for name, value in fields.items():
        views[name] = value
    return views


def show(images, views):
    return Viewer((SIDE, SIDE, 3), None)(images, views)


# What a view shows


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("contrast", [1.0, 0.8, 1.2])
@pytest.mark.parametrize("zoom", [1.0, 1.000001], ids=["in place", "moved"])
def test_flips_and_contrasts(flip, contrast, zoom, images):
    expected = tf.image.flip_left_right(images) if flip else images
    expected = np.clip(tf.image.adjust_contrast(expected, contrast), 0, 255)
    shown = show(images, changed(flip=flip, contrast=contrast, zoom=zoom))
    assert shown.dtype == np.float32
    assert_allclose(shown, expected, atol=0.05)


def test_a_zoom_shows_the_middle(images):
    shown = show(images, changed(zoom=0.5))
    middle = images[:, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    assert_allclose(shown, tf.image.resize(middle, (SIDE, SIDE)), atol=8)  # edges differ


def test_a_shift_is_of_the_sides(images):
    shown = show(images, changed(right=8 / SIDE, down=-4 / SIDE))
    assert_allclose(shown[:, 4:, :-8], images[:, :-4, 8:], atol=0.01)
    assert_allclose(shown[:, :4, :-8], images[:, :1, 8:].repeat(4, axis=1), atol=0.01)  # its edge


def test_a_turn_by_a_right_angle(images):
    shown = show(images, changed(angle=np.pi / 2))
    assert_allclose(shown, np.rot90(images, axes=(1, 2)), atol=0.01)


@pytest.mark.parametrize("shape", [(32, 32, 1), (32, 48, 3), (96, 80, 3)], ids=str)
def test_images_of_other_sizes_are_moved_as_those_of_the_networks_size(shape):
    """Enlarged in the same step; shrunk before, with antialiasing."""
    coarse = np.random.default_rng(0).uniform(0, 255, (12, 6, 6, shape[2]))
    images = tf.image.resize(coarse, shape[:2], "bicubic").numpy().clip(0, 255)
    resized = tf.image.resize(images, (SIDE, SIDE), antialias=True).numpy()
    resized = np.broadcast_to(resized, (12, SIDE, SIDE, 3))
    viewer = Viewer((SIDE, SIDE, 3), lambda images: resized)
    views = choose_views(image_digests(images), 0, "affine")
    assert_allclose(viewer(images.astype("float32"), views), show(resized, views), atol=6)


# Which view is shown


def test_without_augmentation_images_are_shown_as_they_are(digests):
    assert count_views(False) == 1
    assert_array_equal(choose_views(digests, 3, False), clean(len(digests)))


def test_each_image_goes_through_the_bank_in_an_order_of_its_own(digests):
    n = count_views(True)
    shown = np.array([choose_views(digests, epoch, True) for epoch in range(2 * n)])
    assert_array_equal(shown[:n], shown[n:])
    bank = np.unique(shown)
    assert n == len(bank) == 6
    assert clean(1)[0] in bank
    assert (np.sort(shown[:n], axis=0) == bank[:, np.newaxis]).all()
    assert len(np.unique(shown.T, axis=0)) > 300  # of 720
    assert np.unique(shown[0], return_counts=True)[1].min() >= 30  # all views in every epoch


def test_the_bank_spreads_as_keras_contrast_does(digests):
    contrasts = choose_views(digests, 0, True)["contrast"]
    assert np.unique(contrasts).mean() == pytest.approx(1)
    # Keras draws uniformly from 0.7 to 1.3.
    assert np.unique(contrasts).std() == pytest.approx(0.6 / np.sqrt(12), rel=0.1)


def test_affine_views_are_other_ones_in_each_epoch_and_for_each_image(digests):
    assert count_views("affine") == np.inf
    views = np.concatenate([choose_views(digests, epoch, "affine") for epoch in range(3)])
    for name in set(VIEW.names) - {"flip"}:
        assert len(np.unique(views[name])) == len(views), name
    assert_array_equal(choose_views(digests[5:9], 2, "affine"), views[2 * len(digests) :][5:9])


def test_affine_views_spread_as_keras_layers_do(digests):
    views = choose_views(digests, 0, "affine")
    ranges = {
        "contrast": (0.7, 1.3),
        "angle": (-np.deg2rad(10), np.deg2rad(10)),
        "right": (-0.08, 0.08),
        "down": (-0.08, 0.08),
        "zoom": (0.85, 1.1),
    }
    for name, (low, high) in ranges.items():
        uniform = (views[name] - low) / (high - low)
        counts = np.histogram(uniform, bins=10, range=(0, 1))[0]
        assert counts.sum() == len(views), name
        assert counts.min() > 30, name  # 60 expected
    assert 0.4 < views["flip"].mean() < 0.6


def test_affine_views_move_a_spot_as_far_as_keras_layers_do():
    """The same place and spread of a spot above the middle, up to chance."""
    spot = np.zeros((600, SIDE, SIDE, 3), "float32")
    spot[:, 12:18, 29:35] = 255
    edge = {"fill_mode": "nearest"}
    by_keras = keras.Sequential(
        [
            keras.layers.RandomRotation(10 / 360, seed=0, **edge),
            keras.layers.RandomTranslation(0.08, 0.08, seed=1, **edge),
            keras.layers.RandomZoom((-0.15, 0.1), seed=2, **edge),
        ]
    )
    digests = image_digests(np.arange(600, dtype=np.float32).reshape(600, 1, 1, 1))
    found = places(show(spot, choose_views(digests, 0, "affine")))
    expected = places(np.asarray(by_keras(spot, training=True)))
    assert_allclose(found.mean(axis=1), expected.mean(axis=1), atol=0.8)
    assert_allclose(found.std(axis=1), expected.std(axis=1), rtol=0.15)


def places(shown):
    """Rows and columns of the spot: (2, n)."""
    light = (shown[..., 0] - 60).clip(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([(light * at).sum((1, 2)) / light.sum((1, 2)) for at in (rows, columns)])
