"""Layers of float16 are summed in float32 and rounded once; types of any byte order are the same types."""

import numpy as np
import pytest

from fastconv import layers

HALF = np.float16


def test_volumes_are_rounded_once():
    x, weights = np.full((1, 2, 1, 1), 250, HALF), np.array([400, -400], HALF).reshape(1, 1, 2, 1, 1)
    assert layers.conv3d(x, weights).tolist() == [[[[0.0]]]]  # 100,000 - 100,000
    assert layers.conv3d(np.ones((1, 4100, 1, 1), HALF), np.ones((1, 1, 4100, 1, 1), HALF)).tolist() == [[[[4100.0]]]]
    bias = np.array([-30000], HALF)
    assert layers.conv3d(x / 2, abs(weights) / 2, bias, activation="relu").ravel().tolist() == [20000.0]


def test_transposed_volumes_are_rounded_once():
    x, weights = np.full((1, 2, 1, 1), 250, HALF), np.array([400, -400], HALF).reshape(1, 1, 2, 1, 1)
    assert layers.conv_transpose3d(x, weights).ravel().tolist() == [np.inf, 0.0, -np.inf]


def test_gradients_of_volumes_to_weights_are_rounded_once():
    x = np.full((2, 1, 1, 1, 1), 250, HALF)
    gradient = np.array([400, -400], HALF).reshape(2, 1, 1, 1, 1)
    assert layers.conv3d_weight_gradient(x, gradient, 1).ravel().tolist() == [0.0]


@pytest.mark.parametrize("axis", [2, 3])
def test_gradients_to_repeated_samples_are_rounded_once(axis):
    shape, padding = [1, 1, 1, 1], [(0, 0), (0, 0)]
    shape[axis], padding[axis - 2] = 4100, (0, 4099)
    options = {"padding": tuple(padding), "padding_mode": "nearest"}
    weights = np.ones((1, 1, 1, 1), HALF)
    gradient = np.ones(shape, HALF)
    assert layers.conv2d_input_gradient(gradient, weights, (1, 1, 1, 1), **options).tolist() == [[[[4100.0]]]]


@pytest.mark.parametrize("orders", ["<<", "<>", "><", ">>"])
def test_the_byte_order_of_half_makes_no_difference(orders):
    rng = np.random.default_rng(3)
    x, gradient = rng.standard_normal((2, 3, 9, 11)).astype(HALF), rng.standard_normal((2, 4, 7, 9)).astype(HALF)
    weights = rng.standard_normal((4, 3, 3, 3)).astype(HALF)
    swapped = [array.astype(f"{order}f2") for order, array in zip(orders, (x, gradient))]
    np.testing.assert_array_equal(
        layers.conv2d_weight_gradient(*swapped, 3), layers.conv2d_weight_gradient(x, gradient, 3)
    )
    np.testing.assert_array_equal(
        layers.conv2d(swapped[0], weights.astype(f"{orders[1]}f2")), layers.conv2d(x, weights)
    )


@pytest.mark.parametrize(("x_dtype", "weights_dtype"), [(">u8", ">u8"), ("<u8", ">u8"), (">u8", "u1"), ("i4", ">u8")])
def test_unsigned_integers_of_64_bits_stay_unsigned_in_any_byte_order(x_dtype, weights_dtype):
    x = np.array([[[[2, 2**31 - 1]]]], x_dtype)
    result = layers.conv2d(x, np.full((1, 1, 1, 1), 200, weights_dtype))
    assert result.dtype == np.uint64
    assert result.ravel().tolist() == [400, 200 * (2**31 - 1)]
