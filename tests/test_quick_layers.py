"""Quick layers say what Keras' own say."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_patt_lite._training.quick_layers import quick_copy


@pytest.mark.parametrize(
    ("side", "compiled"),
    [*((side, False) for side in (1, 2, 3, 4, 5, 7, 8, 14)), (1, True), (5, True), (14, True)],
)
@pytest.mark.parametrize("kind", [keras.layers.SeparableConv2D, keras.layers.Conv2D])
def test_quick_copies_of_patch_convolutions(kind, side, compiled):
    keras.utils.set_random_seed(0)
    layer = kind(5, side, side, padding="same", activation="relu", bias_initializer="normal")
    x = tf.random.normal((3, 14, 14, 4))
    layer(x)
    copy = quick_copy(layer)
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    assert type(copy) is not type(layer)

    def gradients(layer):
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        return [y, *tape.gradient(loss, [v.value for v in layer.trainable_variables])]

    found = tf.function(lambda: gradients(copy), jit_compile=compiled)()
    for mine, theirs in zip(found, gradients(layer), strict=True):
        assert np.abs(theirs).max() > 0.01
        assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)


def test_quick_dropout_draws_independently():
    dropped = _dropped(0.25, n=8)  # (layers, calls, rows, values)
    for lag in (1, 2, 4, 32):
        for axis in range(dropped.ndim):
            if lag < dropped.shape[axis]:
                assert abs(_correlation(dropped, lag, axis)) < 0.01, (lag, axis)


def _dropped(rate, *, n):
    """Where n layers drop values in n calls each, bool."""
    x = tf.ones((64, 256))
    copies = [quick_copy(keras.layers.Dropout(rate, seed=seed)) for seed in range(n)]
    return np.array([[layer(x, training=True) == 0 for _ in range(n)] for layer in copies])


def _correlation(values, lag, axis):
    first = np.take(values, range(lag, values.shape[axis]), axis=axis)
    second = np.take(values, range(values.shape[axis] - lag), axis=axis)
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def test_quick_dropout_drops_its_share_and_keeps_the_mean():
    layer = quick_copy(keras.layers.Dropout(0.25, seed=0))
    x = tf.ones((100, 100))
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    assert (first != second).any()
    assert np.mean(first == 0) == pytest.approx(0.25, abs=0.02)
    assert first.mean() == pytest.approx(1, abs=0.03)
    assert_array_equal(layer(x, training=False), x)
