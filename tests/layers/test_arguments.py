"""Arguments of layers: errors that name them, and everything that can be passed."""

import itertools
import re

import numpy as np
import pytest

from fastconv import layers
from tests.layers.oracle import expected, whole_numbers
from tests.oracle import LAYOUTS as STRIDES

X, W = np.ones((1, 2, 5, 5), np.float32), np.ones((4, 2, 3, 3), np.float32)

BAD = [
    ({"stride": 0}, ValueError, "stride must be a positive integer, or one for each of 2 axes; got 0"),
    ({"stride": (1, 2, 3)}, ValueError, "stride must be a positive integer, or one for each of 2 axes; got (1, 2, 3)"),
    ({"stride": 1.5}, TypeError, "stride must be a positive integer, or one for each of 2 axes; got 1.5"),
    ({"dilation": (1, -1)}, ValueError, "dilation must be a positive integer, or one for each of 2 axes; got -1"),
    ({"groups": 3}, ValueError, "groups must divide the 4 output channels of weights; got 3"),
    ({"groups": 2}, ValueError, "x must have 4 channels, those of weights times groups, for weights of shape "
     "(4, 2, 3, 3) and groups=2; got 2"),
    ({"groups": True}, TypeError, "groups must be a positive integer; got True"),
    ({"padding": -1}, ValueError, "an integer that is not negative, or for each of 2 axes such an integer or a pair of "
     "them; got -1"),
    ({"padding": "full"}, ValueError, "padding must be 'valid', 'same' or 'same_lower'; got 'full'"),
    ({"padding": (1, 2, 3)}, ValueError, "got (1, 2, 3)"),
    ({"padding": ((1, 2, 3), 1)}, ValueError, "got ((1, 2, 3), 1)"),
    ({"padding": 0.5}, TypeError, "got 0.5"),
    ({"padding": None}, TypeError, "got None"),
    ({"padding_mode": "replicate"}, ValueError, "padding_mode must be 'zero', 'fill', 'nearest'"),
    ({"fill_value": 1}, ValueError, "fill_value is for padding_mode='fill' only; got 1"),
    ({"padding_mode": "fill", "fill_value": 1j}, ValueError, "fill_value must be real"),
    ({"layout": "nchw"}, ValueError, "layout must be 'channels_first' or 'channels_last'; got 'nchw'"),
    ({"activation": "gelu"}, ValueError, "activation must be None or 'relu'; got 'gelu'"),
    ({"activation": 1}, TypeError, "activation must be None or 'relu'; got 1"),
    ({"workers": 0}, ValueError, "workers must be None or a positive integer; got 0"),
    ({"bias": [1, 2]}, ValueError, "bias must have shape (4,), one number for each output channel; got (2,)"),
    ({"bias": [1j] * 4}, TypeError, "bias must hold numbers that float32, the type of the result, can hold"),
    ({"weights": np.ones((2, 3, 3))}, ValueError, "weights must have shape (O, C / groups, kH, kW); got (2, 3, 3)"),
    ({"weights": np.ones((4, 2, 0, 3))}, ValueError, "weights must not be empty; got shape (4, 2, 0, 3)"),
    ({"weights": np.ones((4, 2, 3, 7))}, ValueError, "x must be, with its padding, at least as large as the kernel and "
     "its dilation, (3, 7); got (5, 5)"),
    ({"dilation": 3}, ValueError, "at least as large as the kernel and its dilation, (7, 7); got (5, 5)"),
    ({"x": np.ones((5, 5))}, ValueError, "x must have shape (N, C, H, W), or that without N; got (5, 5)"),
    ({"x": np.ones((5, 5)), "layout": "channels_last"}, ValueError, "x must have shape (N, H, W, C), or that without"),
    ({"x": np.ones((0, 2, 5, 5))}, ValueError, "x must not be empty; got shape (0, 2, 5, 5)"),
    ({"x": "text"}, TypeError, "x must hold numbers"),
    ({"x": X.astype(object)}, TypeError, "x must hold numbers; got dtype object"),
    ({"out": np.ones((1, 4, 3, 3))}, ValueError, "out must have dtype float32; got float64"),
    ({"out": np.ones((1, 4, 5, 5), np.float32)}, ValueError, "out must have shape (1, 4, 3, 3); got (1, 4, 5, 5)"),
    ({"out": [1]}, TypeError, "out must be a numpy.ndarray; got list"),
    ({"padding": 1 << 39}, ValueError, "x and weights must have a result that fits into memory"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=lambda value: str(value)[:40])
def test_errors(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        layers.conv2d(**{"x": X, "weights": W, **options})


@pytest.mark.parametrize(
    ("options", "error", "message"), [case for case in BAD if not {"x", "out"} & {*case[0]} and "got (5" not in case[2]]
)
def test_errors_of_plans(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        layers.plan2d(**{"weights": W, **options})(X)


def test_relu_of_complex_numbers():
    with pytest.raises(ValueError, match="activation='relu' is for real results; got inputs whose result is complex64"):
        layers.conv2d(X, W.astype("c8"), activation="relu")


def test_errors_of_other_axes():
    with pytest.raises(ValueError, match=re.escape("padding must be 'valid', 'same', 'same_lower', an integer")):
        layers.conv1d([[1, 2]], [[[1]]], padding=(1, 2))
    with pytest.raises(ValueError, match=re.escape("weights must have shape (O, C / groups, kD, kH, kW)")):
        layers.conv3d(np.ones((1, 2, 3, 4)), W)
    with pytest.raises(ValueError, match=re.escape("x must have shape (N, C, L), or that without N; got (2,)")):
        layers.conv1d([1, 2], [[[1]]])


def test_integers_have_whole_biases():
    with pytest.raises(TypeError, match="bias must hold numbers that int32, the type of the result, can hold"):
        layers.conv2d(X.astype("u1"), W.astype("i1"), np.ones(4))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("strides", STRIDES)
def test_arrays_of_any_strides(strides, layout):
    rng = np.random.default_rng(0)
    x, weights, bias = (whole_numbers(rng, shape, "f4") for shape in ((2, 4, 6, 17), (5, 2, 3, 3), (5,)))
    x, weights, bias = x, np.concatenate((weights, weights[:1])), np.append(bias, 1).astype("f4")
    made = [
        STRIDES[strides](array) for array in (x if layout == "channels_first" else x.transpose(0, 2, 3, 1), weights)
    ]
    expect = expected(x, weights, bias, padding=1, groups=2)
    out = layers.conv2d(*made, STRIDES[strides](bias), padding=1, groups=2, layout=layout)
    assert out.dtype.isnative
    np.testing.assert_array_equal(out if layout == "channels_first" else out.transpose(0, 3, 1, 2), expect)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("strides", ["contiguous", "fortran", "strided", "reversed", "crop", "unaligned"])
@pytest.mark.parametrize("outputs", [1, 6])
def test_out_of_any_strides(strides, layout, outputs):
    rng = np.random.default_rng(1)
    x, weights = whole_numbers(rng, (2, 3, 6, 17), "f4"), whole_numbers(rng, (outputs, 3, 3, 3), "f4")
    expect = expected(x, weights, padding=1)
    if layout == "channels_last":
        x, expect = x.transpose(0, 2, 3, 1).copy(), expect.transpose(0, 2, 3, 1)
    out = STRIDES[strides](np.zeros(expect.shape, "f4"))
    assert layers.conv2d(x, weights, padding=1, layout=layout, out=out) is out
    np.testing.assert_array_equal(out, expect)


def test_out_may_overlap():
    rng = np.random.default_rng(2)
    memory = np.zeros(2000, np.float32)
    x, out = memory[:400].reshape(1, 4, 10, 10), memory[100:500].reshape(1, 4, 10, 10)
    x[...] = whole_numbers(rng, x.shape, "f4")
    weights = whole_numbers(rng, (4, 4, 3, 3), "f4")
    expect = expected(x, weights, padding=1)
    layers.conv2d(x, weights, padding=1, out=out)
    np.testing.assert_array_equal(out, expect)


def test_broadcast_input():
    x = np.broadcast_to(np.float32(2), (3, 4, 20, 20))
    weights = np.ones((5, 4, 3, 3), np.float32)
    assert (layers.conv2d(x, weights) == 72).all()
    assert (layers.conv2d(x.transpose(0, 2, 3, 1), weights, layout="channels_last") == 72).all()


def test_lists():
    assert layers.conv2d([[[1, 2], [3, 4]]], [[[[1, 1], [1, 1]]]], bias=[5]).tolist() == [[[15]]]


def test_messages_about_gradients_and_steps_name_what_was_given():
    x, weights, gradient = np.ones((2, 3, 8, 8)), np.ones((4, 3, 3, 3)), np.ones((2, 4, 6, 6))
    with pytest.raises(ValueError, match=re.escape("output, (4, 6, 6); got (2, 4, 6, 6)")):
        layers.conv2d_weight_gradient(x[0], gradient, 3)
    with pytest.raises(ValueError, match=re.escape("output, (2, 4, 6, 6); got (4, 6, 6)")):
        layers.conv2d_weight_gradient(x, gradient[0], 3)
    with pytest.raises(ValueError, match=re.escape("input_shape must be a tuple (N, C, H, W) of positive integers")):
        layers.conv2d_input_gradient(gradient, weights, (2, 3, -8, 8))
    for name in ("stride", "dilation"):
        with pytest.raises(ValueError, match=f"^{name} must be a positive integer, .* of at most"):
            layers.conv2d(x, weights, **{name: 1 << 70})


def test_options_that_equal_those_of_an_earlier_call():
    """1.0 and True equal 1."""
    x, weights = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    options = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1}
    gradient = layers.conv2d(x, weights, **options)
    layers.conv2d_input_gradient(gradient, weights, x.shape, **options)
    for name, value in itertools.product(options, (1.0, True)):
        with pytest.raises(TypeError, match=name):
            layers.conv2d(x, weights, **options | {name: value})
    with pytest.raises(TypeError, match="input_shape"):
        layers.conv2d_input_gradient(gradient, weights, (1, 1, 4.0, 4), **options)


def test_a_fill_value_is_not_that_of_an_earlier_layer_of_another_type():
    options = {"padding": 1, "padding_mode": "fill", "fill_value": 2.5}
    for function, extents in ((layers.conv1d, (9,)), (layers.conv2d, (9, 8)), (layers.conv3d, (4, 6, 5))):
        results = [
            function(np.ones((1, 1, *extents), dtype), np.ones((1, 1, *(3,) * len(extents)), dtype), **options)
            for dtype in ("G", "g")  # a warning, or an error, if the first fill value is kept
        ]
        np.testing.assert_array_equal(*results)
