"""Gradients and transposed layers: against the definition, as adjoints, and against finite differences."""

import itertools
import random
import re

import numpy as np
import pytest

from fastconv import layers, reference
from fastconv._engines.layers import layer_engine
from fastconv._microkernels.layers import layer_tile
from fastconv._model.geometry import BOUNDARIES
from fastconv._planning.layers import layer_gradients
from fastconv._runtime.instrumentation import observed
from fastconv._simd.target import processor
from tests import guarded_arrays
from tests.layers.oracle import (
    expected,
    expected_input_gradient,
    expected_weight_gradient,
    from_layout,
    in_layout,
    whole_numbers,
)

LAYOUTS = ("channels_first", "channels_last")
LANES = max(1, processor().lanes(32))


def check(rng, shape, weights_shape, layout, dtype="f4", other=None, result=None, **options):
    """Compare both gradients of a layer of random whole numbers with the definition."""
    x, weights = whole_numbers(rng, shape, dtype), whole_numbers(rng, weights_shape, dtype)
    gradient = whole_numbers(rng, expected(x, weights, **options).shape, other or dtype)
    result = np.dtype(result or np.result_type(gradient, dtype))
    given, slopes = in_layout(x, layout), in_layout(gradient, layout)

    out = layers.conv2d_weight_gradient(given, slopes, tuple(weights_shape[2:]), layout=layout, **options)
    assert out.dtype == result
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, expected_weight_gradient(x, gradient, weights_shape[2:], **options))

    options.pop("fill_value", None)
    out = layers.conv2d_input_gradient(slopes, weights, given.shape, layout=layout, **options)
    assert out.dtype == result
    assert out.flags.c_contiguous
    expect = expected_input_gradient(gradient, weights, shape, **options)
    np.testing.assert_array_equal(from_layout(out, layout), expect)
    np.testing.assert_array_equal(from_layout(slopes, layout), gradient)


def test_the_oracles_are_the_reference():
    rng = np.random.default_rng(0)
    for padding, mode, groups in itertools.product((0, ((2, 1), (0, 3)), "same", "same_lower"), BOUNDARIES, (1, 2)):
        stride, dilation = rng.integers(1, 3, 2).tolist(), rng.integers(1, 3, 2).tolist()
        x, weights = whole_numbers(rng, (1, 2 * groups, 4, 6), "i8"), whole_numbers(rng, (2 * groups, 2, 2, 3), "i8")
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
        fill = {"fill_value": 3} if mode == "fill" else {}
        gradient = whole_numbers(rng, expected(x, weights, **options, **fill).shape, "i8")
        slow = reference.conv2d_input_gradient(gradient[0].tolist(), weights.tolist(), 4, 6, **options)
        np.testing.assert_array_equal(slow, expected_input_gradient(gradient, weights, x.shape, **options)[0])
        slow = reference.conv2d_weight_gradient(x[0].tolist(), gradient[0].tolist(), 2, 3, **options, **fill)
        np.testing.assert_array_equal(slow, expected_weight_gradient(x, gradient, (2, 3), **options, **fill))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_about_tiles_and_vectors(layout):
    rng = np.random.default_rng(1)
    pixels = layer_tile.PIXELS
    for channels in (1, 2, 3, pixels - 1, pixels, pixels + 1, 2 * pixels, 3 * pixels + 5):
        check(rng, (2, channels, 4, 6), (3, channels, 2, 3), layout, padding=1)
    for outputs in (1, LANES - 1, LANES, LANES + 1, 2 * LANES, 2 * LANES + 3, 3 * LANES, 4 * LANES + 1):
        check(rng, (2, 4, 4, 9), (outputs, 4, 3, 2), layout, padding=1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_dilations_paddings_and_groups(layout):
    rng = np.random.default_rng(2)
    paddings = (0, (3, 0), ((0, 2), (4, 1)), "same", "same_lower")
    for stride, dilation, groups in itertools.product((1, 2, (3, 1), (4, 2)), (1, (1, 3), 2), (1, 2, 5)):
        for padding in paddings:
            channels, outputs = rng.integers(1, 5, 2) * groups
            kernel = rng.integers(1, 4, 2)
            shape = (2, channels, 8 + rng.integers(6), 8 + rng.integers(9))
            check(
                rng, shape, (outputs, channels // groups, *kernel), layout,
                stride=stride, dilation=dilation, padding=padding, groups=groups,
            )  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_stride_two_of_any_width(dtype):
    """Even and odd columns of the input are interleaved, in whole vectors and beside them."""
    rng = np.random.default_rng(20)
    for width in (1, 2, 3, 2 * LANES, 2 * LANES + 1, 4 * LANES - 1, 4 * LANES + 2):
        for groups, kernel, padding in ((1, (3, 3), 1), (3, (1, 2), 0), (3, (2, 1), (1, 0))):
            shape, weights = (2, 3, 5, width), whole_numbers(rng, (3, 3 // groups, *kernel), dtype)
            options = {"stride": 2, "padding": padding, "groups": groups}
            if width < kernel[1]:
                continue
            gradient = whole_numbers(rng, expected(np.zeros(shape, dtype), weights, **options).shape, dtype)
            expect = expected_input_gradient(gradient, weights, shape, **options)
            whole = np.full((2, 3, 7, width + 3), 9, np.result_type(gradient, weights) if dtype != "i4" else "i8")
            for out in (None, whole[:, :, 1:-1, 1:-2], whole[:, ::-1, 1:-1, 1:-2][:, :, ::-1]):
                found = layers.conv2d_input_gradient(gradient, weights, shape, out=out, **options)
                np.testing.assert_array_equal(found, expect)
            assert (whole[:, :, (0, -1)] == 9).all()
            assert (whole[..., (0, -2, -1)] == 9).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_small_groups(layout):
    rng = np.random.default_rng(14)
    for size, stride, padding in itertools.product((1, 4), (1, 2), (1, ((0, 2), (3, 1)))):
        channels = 2 * LANES + size
        check(
            rng, (2, channels, 7, 13), (channels, size, 3, 3), layout,
            groups=channels // size, stride=stride, padding=padding,
        )  # fmt: skip


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_depthwise_layers_of_stride_two(layout, dtype):
    """All phases at once: of odd and even sizes, about vectors, with any padding, and samples to be converted."""
    rng = np.random.default_rng(26)
    first, second = guarded_arrays.Region(1 << 19), guarded_arrays.Region(1 << 20)
    for channels, size, (kernel, padding) in itertools.product(
        (1, LANES + 3),
        ((5, 7), (2, 2 * LANES + 1), (12, 4 * LANES), (9, 9 * LANES - 1)),
        (((3, 3), 1), ((3, 3), ((2, 0), (0, 3))), ((2, 5), 0), ((5, 4), (2, 1))),
    ):
        weights, shape = whole_numbers(rng, (channels, 1, *kernel), dtype), (2, channels, *size)
        options = {"stride": 2, "padding": padding, "groups": channels}
        gradient = whole_numbers(rng, expected(np.zeros(shape, dtype), weights, **options).shape, dtype)
        given, _ = first.filled(in_layout(gradient, layout))
        out = second.empty(in_layout(np.empty(shape), layout).shape, "f4" if dtype == "f4" else "i4")
        layers.conv2d_input_gradient(given, weights, out.shape, layout=layout, out=out, **options)
        expect = expected_input_gradient(gradient, weights, shape, **options)
        np.testing.assert_array_equal(from_layout(out, layout), expect)
        assert second.untouched(out)


def test_depthwise_layers_of_stride_two_have_the_same_bits_in_both_layouts():
    rng = np.random.default_rng(27)
    channels = 2 * LANES + 1
    x, weights = rng.normal(size=(3, channels, 40, 45)).astype("f4"), rng.normal(size=(channels, 1, 3, 3)).astype("f4")
    bias = rng.normal(size=channels).astype("f4")
    options = {"stride": 2, "padding": 1, "groups": channels}
    found = set()
    for layout, workers in itertools.product(LAYOUTS, (1, 2, 5)):
        given = in_layout(x, layout)
        result = layers.conv_transpose2d(given, weights, bias, layout=layout, workers=workers, **options)
        found.add(from_layout(result, layout).tobytes())
    assert len(found) == 1
    expect = expected_input_gradient(x, weights, (3, channels, 79, 89), **options) + bias.reshape(-1, 1, 1)
    np.testing.assert_allclose(from_layout(result, layout), expect, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_depthwise_weight_gradients_with_edges_apart(layout):
    """Columns whose taps are all inside read the input in place, and the edges a packed copy; so do few rows."""
    rng = np.random.default_rng(15)
    channels = 2 * LANES + 3
    for stride, dilation, kernel in itertools.product((1, 2, 3), (1, 2), ((3, 3), (2, 5), (1, 4))):
        for padding, width in ((1, 23), (((0, 1), (4, 0)), 30), (((2, 0), (0, 5)), 17), (3, 9)):
            x = whole_numbers(rng, (2, channels, 2 if width == 23 else 8, width), "f4")
            options = {"stride": stride, "dilation": dilation, "padding": padding, "groups": channels}
            outputs = [reference.layer_axis(n, k, stride, p, dilation)[0]
                       for n, k, p in zip(x.shape[2:], kernel, reference.layer_paddings(padding))]  # fmt: skip
            if min(outputs) < 1:
                continue
            gradient = whole_numbers(rng, (2, channels, *outputs), "f4")
            expect = expected_weight_gradient(x, gradient, kernel, **options)
            given, slopes = in_layout(x, layout), in_layout(gradient, layout)
            found = layers.conv2d_weight_gradient(given, slopes, kernel, layout=layout, **options)
            np.testing.assert_array_equal(found, expect)


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("value", [0, np.inf])
def test_weight_gradients_in_planes(stride, value):
    """Depthwise and of few outputs: rows about vectors, blocks of rows, rows outside, samples that few taps meet."""
    rng = np.random.default_rng(28)
    first, second = guarded_arrays.Region(1 << 20), guarded_arrays.Region(1 << 20)
    for (number, height, columns), (kernel, padding), mode, layer in itertools.product(
        ((2, 5, 3 * LANES), (3, 12, 4 * LANES + 1), (1, 90, 5 * LANES - 1)),
        (((3, 3), 1), ((7, 2), ((7, 3), (0, 4))), ((4, 5), (1, 2))),
        ("zero", "wrap"),
        ((9, 9, 9, True), (9, 9, 9, False), (3, 2, 1, True), (6, 3, 3, False)),
    ):
        channels, outputs, groups, upper = layer
        width = (columns - 1) * stride + kernel[1] - sum(reference.layer_paddings(padding)[1])
        x = whole_numbers(rng, (number, channels, height, width), "f4")
        options = {"stride": stride, "groups": groups, "padding": padding, "padding_mode": mode}
        x[-1, channels // 2, height // 2, 0] += value
        weights = np.zeros((outputs, channels // groups, *kernel), "f4")
        gradient = whole_numbers(rng, expected(x, weights, **options).shape, "f4") + 5
        (given, _), (slopes, _) = first.filled(x, upper=upper), second.filled(gradient, upper=upper)
        found = layers.conv2d_weight_gradient(given, slopes, kernel, **options)
        np.testing.assert_array_equal(found, expected_weight_gradient(x, gradient, kernel, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinite_gradients_of_depthwise_layers_and_few_outputs(layout, value):
    rng = np.random.default_rng(16)
    sizes = (2 * LANES, 2 * LANES, 2 * LANES), (2, 3, 1)
    for (channels, outputs, groups), place in itertools.product(sizes, ((0, 0), (3, 19), (5, 10))):
        x = whole_numbers(rng, (1, channels, 6, 20), "f4") + 5
        gradient = whole_numbers(rng, (1, outputs, 6, 20), "f4") + 5
        gradient[(0, 1, *place)] = value
        options = {"padding": 1, "groups": groups}
        expect = expected_weight_gradient(x, gradient, (3, 3), **options)
        found = layers.conv2d_weight_gradient(
            in_layout(x, layout), in_layout(gradient, layout), 3, layout=layout, **options
        )
        np.testing.assert_array_equal(found, expect)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_padding_modes_of_any_size(layout, mode):
    rng = np.random.default_rng(3)
    fill = {"fill_value": -2} if mode == "fill" else {}
    for size, padding in itertools.product(
        ((1, 1), (2, 5), (7, 3)), (2, ((9, 4), (0, 17)), ((3, 6), (2, 0)), "same", "same_lower")
    ):
        check(
            rng, (2, 3, *size), (4, 3, 2, 3), layout,
            padding=padding, padding_mode=mode, stride=(1, 2), dilation=(2, 1), **fill,
        )  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_only_padding_is_folded(layout, mode):
    """Axes without padding, and padding without sources, are those of 'zero'; only padding is added to samples."""
    rng = np.random.default_rng(29)
    weights = whole_numbers(rng, (3, 2, 3, 3, 3), "f4")
    for padding, shape in (((1, 0, 0), (2, 2, 4, 5, 6)), ((0, 2, 1), (2, 2, 3, 4, 6))):
        gradient = whole_numbers(rng, (2, 3, *(n + 2 * p - 2 for n, p in zip(shape[2:], padding))), "f4")
        given = in_layout(gradient, layout)
        expect = sum_of_planes(gradient, weights, shape, padding, mode)
        options = {"padding": padding, "padding_mode": mode, "layout": layout}
        with observed() as events:
            out = layers.conv3d_input_gradient(given, weights, in_layout(np.empty(shape), layout).shape, **options)
        np.testing.assert_array_equal(from_layout(out, layout), expect)
        folded = [0 if mode in ("zero", "fill") else 2 * p for p in padding[1:]]
        sizes = {event.problem.out_size for event in events if event.name == "layer"}
        assert sizes == {(shape[3] + folded[0], shape[4] + folded[1])}


def sum_of_planes(gradient, weights, shape, padding, mode):
    """Gradient of a 3-D layer to its input: for each plane of the kernels and of `gradient`, that of a 2-D layer."""
    result = np.zeros(shape)
    for tap, plane in itertools.product(range(weights.shape[2]), range(gradient.shape[2])):
        source = reference.source_index(plane + tap - padding[0], shape[2], mode)
        if source is not None:
            result[:, :, source] += expected_input_gradient(
                gradient[:, :, plane], weights[:, :, tap], (*shape[:2], *shape[3:]),
                padding=padding[1:], padding_mode=mode,
            )  # fmt: skip
    return result


def test_padding_is_folded_in_place():
    rng = np.random.default_rng(30)
    for mode, axis, extent, added in itertools.product(
        BOUNDARIES[2:], (0, 2), (1, 2, 5), ((0, 0), (1, 0), (0, 2), (7, 12))
    ):
        shape = [2, 3, 4]
        shape[axis] = extent + sum(added)
        whole = whole_numbers(rng, tuple(shape), "f4")
        lines = np.moveaxis(whole.copy(), axis, 0)
        expect = np.zeros((extent, *lines.shape[1:]))
        for place, line in enumerate(lines):
            expect[reference.source_index(place - added[0], extent, mode)] += line
        found = layer_gradients.fold(whole, axis, added, BOUNDARIES.index(mode))
        np.testing.assert_array_equal(np.moveaxis(found, axis, 0), expect)
        assert np.shares_memory(found, whole)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "other", "result"),
    [
        ("f8", "f8", "f8"), ("f4", "f8", "f8"), ("u1", "i1", "i4"), ("i2", "i2", "i8"), ("u8", "u1", "u8"),
        ("f2", "f2", "f2"), ("c8", "c8", "c8"), ("c16", "f8", "c16"), ("f4", "c8", "c8"), ("g", "g", "g"),
        (">f4", "f4", "f4"), ("u1", "f4", "f4"), ("f4", "f2", "f4"),
    ],
)  # fmt: skip
def test_types(layout, dtype, other, result):
    rng = np.random.default_rng(4)
    check(rng, (2, 4, 6, 9), (6, 2, 3, 2), layout, dtype, other, result, groups=2, padding=1, stride=(1, 2))


def test_many_blocks_splits_and_parts():
    rng = np.random.default_rng(5)
    check(rng, (7, 40, 30, 31), (70, 40, 3, 3), "channels_last", padding=1)
    check(rng, (5, 200, 7, 7), (300, 200, 3, 3), "channels_first", padding=1)
    check(rng, (1, 3, 80, 90), (16, 3, 7, 7), "channels_first", padding=3, stride=2)


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_that_units_pack(layout, monkeypatch):
    """Blocks with a rest, groups, several images in a unit or units of one; the same bits, and no read beside them."""
    rng = np.random.default_rng(24)
    region = guarded_arrays.Region(1 << 20)
    sizes = (2 * LANES + 3, 17, 1, (3, 3)), (2 * LANES, 9, 2, (3, 3)), (LANES + 1, 5, 1, (2, 3)), (40, 3 * LANES, 1, 1)
    for number, (channels, outputs, groups, kernel) in itertools.product((1, 5), sizes):
        kernel = reference.both_axes(kernel)
        weights = rng.normal(size=(outputs * groups, channels, *kernel)).astype("f4")
        slopes = in_layout(rng.normal(size=(number, len(weights), 7, 9)).astype("f4"), layout)
        shape = in_layout(np.empty((number, channels * groups, *np.add((6, 8), kernel))), layout).shape
        found = []
        for least, upper in ((0, True), (0, False), (1 << 40, True)):
            monkeypatch.setattr(layer_engine, "LEAST_PACKED_WEIGHTS", least)
            given, _ = region.filled(weights, upper=upper)
            found.append(layers.conv2d_input_gradient(slopes, given, shape, groups=groups, layout=layout).tobytes())
        assert len(set(found)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("images", [1, 9])
def test_infinite_weights_do_not_meet_zeros_outside(images, value):
    """Where there are fewer outputs than weights only those are searched."""
    rng = np.random.default_rng(25)
    for stride, place in itertools.product((1, 2), ((0, 0), (2, 1), (1, 2))):
        weights = whole_numbers(rng, (5, 4, 3, 3), "f4") + 5
        weights[(1, 2, *place)] = value
        gradient = whole_numbers(rng, (images, 5, 3, 4), "f4") + 5
        shape = images, 4, 3 * stride, 4 * stride
        options = {"padding": 1, "stride": stride}
        found = layers.conv2d_input_gradient(gradient, weights, shape, **options)
        np.testing.assert_array_equal(found, expected_input_gradient(gradient, weights, shape, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_products_outside_are_left_out(layout, value):
    rng = np.random.default_rng(6)
    x, weights = whole_numbers(rng, (1, 2, 4, 6), "f4") + 5, whole_numbers(rng, (3, 2, 3, 3), "f4") + 5
    for place, padding in itertools.product(((0, 0), (3, 5), (1, 0)), (1, ((5, 5), (0, 7)))):
        gradient = whole_numbers(rng, expected(x, weights, padding=padding).shape, "f4") + 5
        gradient[(0, 1, *place)] = value
        out = layers.conv2d_weight_gradient(
            in_layout(x, layout), in_layout(gradient, layout), 3, padding=padding, layout=layout
        )
        np.testing.assert_array_equal(out, expected_weight_gradient(x, gradient, (3, 3), padding=padding))
        given = in_layout(gradient, layout)
        out = layers.conv2d_input_gradient(given, weights, in_layout(x, layout).shape, padding=padding, layout=layout)
        expect = expected_input_gradient(gradient, weights, x.shape, padding=padding)
        np.testing.assert_array_equal(from_layout(out, layout), expect)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("mode", BOUNDARIES)
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_are_adjoints(axes, mode, dtype):
    rng = np.random.default_rng(7)

    def normal(*shape):
        values = rng.normal(size=shape)
        return values + 1j * rng.normal(size=shape) if dtype == "c16" else values

    conv, to_input, to_weights, transpose = (
        getattr(layers, name.format(axes))
        for name in ("conv{}d", "conv{}d_input_gradient", "conv{}d_weight_gradient", "conv_transpose{}d")
    )
    for stride, padding, dilation, groups, layout in itertools.product((1, 2), (1, 2), (1, 2), (1, 2), LAYOUTS):
        options = {
            "stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode,
            "layout": layout,
        }  # fmt: skip
        x, weights = normal(2, 4, *(6, 5, 7)[:axes]), normal(6, 4 // groups, *(2, 3, 3)[:axes])
        x = in_layout(x, layout)
        out = conv(x, weights, **options)
        gradient = normal(*out.shape)
        product = np.vdot(gradient, out)
        np.testing.assert_allclose(np.vdot(to_input(gradient, weights, x.shape, **options), x), product, rtol=1e-10)
        by_weights = to_weights(x, gradient, weights.shape[2:], **options)
        np.testing.assert_allclose(np.vdot(by_weights, weights), np.vdot(out, gradient).conj(), rtol=1e-10)
        if mode == "zero" and dtype == "f8":
            extra = [(n + 2 * padding - (k - 1) * dilation - 1) % stride for n, k in zip((6, 5, 7), weights.shape[2:])]
            options.pop("padding_mode")
            result = transpose(gradient, weights, output_padding=tuple(extra), **options)
            np.testing.assert_allclose(result, to_input(gradient, weights, x.shape, **options), rtol=1e-10, atol=1e-12)


def test_finite_differences():
    rng = np.random.default_rng(8)
    x, weights, bias = rng.normal(size=(2, 3, 6, 7)), rng.normal(size=(4, 3, 3, 2)), rng.normal(size=4)
    options = {"stride": 2, "padding": 1, "padding_mode": "mirror"}
    slopes = rng.normal(size=layers.conv2d(x, weights, bias, **options).shape)

    def loss(x, weights, bias):
        return (layers.conv2d(x, weights, bias, **options) * slopes).sum()

    gradients = (
        layers.conv2d_input_gradient(slopes, weights, x.shape, **options),
        layers.conv2d_weight_gradient(x, slopes, (3, 2), **options),
        layers.bias_gradient(slopes),
    )
    arrays = x, weights, bias
    for k, gradient in enumerate(gradients):
        assert gradient.shape == arrays[k].shape
        for place in rng.permutation(list(np.ndindex(gradient.shape)))[:20]:
            step = np.zeros(gradient.shape)
            step[tuple(place)] = 1e-4
            above, below = (loss(*(a + s * step if i == k else a for i, a in enumerate(arrays))) for s in (1, -1))
            np.testing.assert_allclose((above - below) / 2e-4, gradient[tuple(place)], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_transposed_layers(layout):
    rng = np.random.default_rng(9)
    for stride, padding, dilation, groups, extra in (
        (1, 0, 1, 1, 0), (2, 1, 1, 1, 1), (3, (0, 2), 2, 2, (2, 1)), (2, ((0, 1), (2, 0)), 1, 1, 0), (4, 0, 1, 1, 3),
    ):  # fmt: skip
        x, weights = whole_numbers(rng, (2, 4, 5, 9), "f4"), whole_numbers(rng, (4, 3, 2, 3), "f4")
        bias = whole_numbers(rng, 3 * groups, "f4")
        pads = reference.layer_paddings(padding)
        sizes = [
            (n - 1) * s - sum(p) + (k - 1) * d + 1 + e
            for n, s, p, k, d, e in zip(
                (5, 9), *map(reference.both_axes, (stride,)), pads, (2, 3), *map(reference.both_axes, (dilation, extra))
            )
        ]
        shape = (2, 3 * groups, *sizes)
        whole = expected_input_gradient(x, weights, shape, stride, padding, dilation, groups)
        out = layers.conv_transpose2d(
            in_layout(x, layout), weights, bias, stride=stride, padding=padding, output_padding=extra,
            dilation=dilation, groups=groups, layout=layout,
        )  # fmt: skip
        np.testing.assert_array_equal(from_layout(out, layout), whole + bias.reshape(-1, 1, 1))


def test_one_image_and_out():
    rng = np.random.default_rng(10)
    gradient, weights = whole_numbers(rng, (4, 5, 6), "f4"), whole_numbers(rng, (4, 3, 3, 3), "f4")
    expect = expected_input_gradient(gradient[None], weights, (1, 3, 5, 6), padding=1)[0]
    for out in (np.zeros((3, 5, 6), "f4"), np.zeros((6, 5, 3), "f4").T, gradient.ravel()[:90].reshape(3, 5, 6)):
        given = gradient.copy() if out.base is not gradient else gradient
        assert layers.conv2d_input_gradient(given, weights, (3, 5, 6), padding=1, out=out) is out
        np.testing.assert_array_equal(out, expect)
    last = layers.conv2d_input_gradient(given.transpose(1, 2, 0), weights, (5, 6, 3), padding=1, layout="channels_last")
    np.testing.assert_array_equal(
        last, expected_input_gradient(given[None], weights, (1, 3, 5, 6), padding=1)[0].transpose(1, 2, 0)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_for_any_number_of_threads(layout):
    rng = np.random.default_rng(11)
    for shape, outputs in (((6, 30, 31, 30), 40), ((2, 300, 7, 7), 600), ((3, 2, 90, 80), 3)):
        x = in_layout(rng.normal(size=shape).astype("f4"), layout)
        slopes = in_layout(rng.normal(size=(shape[0], outputs, *shape[2:])).astype("f4"), layout)
        weights = rng.normal(size=(outputs, shape[1], 3, 3)).astype("f4")
        options = {"padding": 1, "layout": layout}
        for results in (
            {layers.conv2d_weight_gradient(x, slopes, 3, workers=n, **options).tobytes() for n in (1, 2, 5, None)},
            {layers.conv2d_input_gradient(slopes, weights, x.shape, workers=n, **options).tobytes() for n in (1, 2)},
        ):
            assert len(results) == 1


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_memory_beside_the_arrays_is_touched(layout):
    rng, choose = np.random.default_rng(12), random.Random(12)
    first, second = guarded_arrays.Region(1 << 20), guarded_arrays.Region(1 << 20)
    third = guarded_arrays.Region(1 << 20)
    for _ in range(40):
        groups = choose.choice((1, 1, 2, 3))
        channels, outputs = groups * choose.randint(1, 9), groups * choose.choice((1, 3, LANES, LANES + 1, 2 * LANES))
        options = {
            "stride": choose.choice((1, 2)), "dilation": choose.choice((1, 2)), "groups": groups,
            "padding": choose.choice((0, 1, ((2, 0), (0, 3)), "same")),
        }  # fmt: skip
        x = whole_numbers(rng, (2, channels, choose.randint(5, 9), choose.choice((9, 14, 15, 16, 17))), "f4")
        weights = whole_numbers(rng, (outputs, channels // groups, 3, 2), "f4")
        gradient = whole_numbers(rng, expected(x, weights, **options).shape, "f4")
        upper = choose.random() < 0.5
        given, _ = first.filled(in_layout(x, layout), upper=upper)
        slopes, _ = second.filled(in_layout(gradient, layout), upper=upper)
        result = layers.conv2d_weight_gradient(given, slopes, (3, 2), layout=layout, **options)
        np.testing.assert_array_equal(result, expected_weight_gradient(x, gradient, (3, 2), **options))
        out = third.empty(given.shape, "f4", upper=upper)
        layers.conv2d_input_gradient(slopes, weights, given.shape, layout=layout, out=out, **options)
        expect = expected_input_gradient(gradient, weights, x.shape, **options)
        np.testing.assert_array_equal(from_layout(out, layout), expect)
        assert third.untouched(out)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f2", "u1", "i8", "c8"])
def test_bias_gradient(layout, dtype):
    rng = np.random.default_rng(13)
    gradient = whole_numbers(rng, (3, 5, 6, 7), dtype)
    found = layers.bias_gradient(in_layout(gradient, layout), layout=layout)
    np.testing.assert_array_equal(found, gradient.sum((0, 2, 3)))
    assert found.dtype == {"u1": "u8"}.get(dtype, dtype)
    np.testing.assert_array_equal(layers.bias_gradient(gradient[:, :, 0], axes=1), gradient[:, :, 0].sum((0, 2)))


G, W, X = np.ones((1, 4, 3, 3), np.float32), np.ones((4, 2, 3, 3), np.float32), np.ones((1, 2, 5, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layers.conv2d_input_gradient(G, W, (1, 2, 6, 5)), ValueError, "gradient must have the shape of the "
         "layer's output, (1, 4, 4, 3); got (1, 4, 3, 3)"),
        (lambda: layers.conv2d_input_gradient(G, W, (2, 5, 5)), ValueError, "input_shape must be a tuple (N, C, H, W); "
         "got (2, 5, 5)"),
        (lambda: layers.conv2d_input_gradient(G, W, 5), TypeError, "input_shape must be a tuple (N, C, H, W); got 5"),
        (lambda: layers.conv2d_input_gradient(G, W, (1, 3, 5, 5)), ValueError, "input_shape must have 2 channels"),
        (lambda: layers.conv2d_input_gradient(G, W, (1, 2, 0, 5)), ValueError,
         "input_shape must be a tuple (N, C, H, W) of positive integers; got 0"),
        (lambda: layers.conv2d_input_gradient(G, W, (1, 2, 2, 5)), ValueError, "input_shape must be, with its padding, "
         "at least as large as the kernel"),
        (lambda: layers.conv2d_weight_gradient(X, G, 4), ValueError, "gradient must have the shape of the layer's"),
        (lambda: layers.conv2d_weight_gradient(X, G, (3, 3, 3)), ValueError, "kernel_shape must be a positive integer"),
        (lambda: layers.conv2d_weight_gradient(X, G, 3, groups=4), ValueError, "groups must divide the 2 channels of x "
         "and the 4 of gradient; got 4"),
        (lambda: layers.conv_transpose2d(X, W), ValueError, "x must have 4 channels, those of weights of shape "
         "(4, 2, 3, 3); got 2"),
        (lambda: layers.conv_transpose2d(G, W, padding="same"), ValueError, "padding must be given in integers"),
        (lambda: layers.conv_transpose2d(G, W, padding=9), ValueError, "padding must leave some of the output"),
        (lambda: layers.conv_transpose2d(G, W, output_padding=1), ValueError, "output_padding must be an integer"),
        (lambda: layers.conv_transpose2d(G, W, output_padding="a"), TypeError, "output_padding must be an integer"),
        (lambda: layers.bias_gradient(G, axes=4), ValueError, "axes must be 1, 2 or 3; got 4"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 6, 11, 1), (2, 6, 1, 11), (9, 6, 1, 1), (2, 6, 11, 9)])
def test_one_tap_with_a_stride(shape, layout):
    rng = np.random.default_rng(23)
    for stride, groups, boundary in itertools.product((3, (3, 1), (1, 3)), (1, 2), ("zero", "wrap")):
        check(rng, shape, (4, 6 // groups, 1, 1), layout, stride=stride, groups=groups, padding_mode=boundary)


def test_strides_far_beyond_the_image():
    gradient, weights = np.full((1, 2, 1, 1), 3.0), np.ones((2, 1, 3, 3))
    for stride in (10**9, 1 << 54):
        out = layers.conv2d_input_gradient(gradient, weights, (1, 1, 8, 9), stride=stride)
        assert (out[0, 0, :3, :3] == 6).all()
        assert out.sum() == 54


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_beyond_the_taps(layout):
    """One layer for each phase that has a tap; the others are the bias."""
    rng = np.random.default_rng(31)
    for stride, dilation, kernel, start, phases in (
        ((1, 1000), 1, (1, 3), 0, 3), ((40, 1), 2, (3, 2), 1, 3), ((7, 5), (2, 3), (2, 3), 2, 6),
        ((2, 9), 1, (1, 2), 0, 2), ((9, 6), (3, 3), (4, 4), 0, 6), ((50, 60), 1, (2, 1), ((0, 0), (1, 1)), 2),
    ):  # fmt: skip
        x, weights, bias = (whole_numbers(rng, shape, "f4") for shape in ((2, 4, 3, 4), (4, 3, *kernel), (3,)))
        options = {"stride": stride, "dilation": dilation, "padding": start, "layout": layout}
        with observed() as events:
            out = from_layout(layers.conv_transpose2d(in_layout(x, layout), weights, bias, **options), layout)
        options.pop("layout")
        expect = expected_input_gradient(x, weights, out.shape, **options) + bias.reshape(-1, 1, 1)
        np.testing.assert_array_equal(out, expect)
        assert [event.name for event in events].count("layer") == phases


@pytest.mark.parametrize("mode", ["wrap", "nearest"])
def test_padding_beyond_memory(mode):
    options = {"stride": 1 << 38, "padding": 1 << 39, "padding_mode": mode}
    with pytest.raises(ValueError, match=re.escape("padding must give an array that fits into memory; it gives shape")):
        layers.conv2d_input_gradient(np.ones((1, 1, 5, 5)), np.ones((1, 1, 2, 2)), (1, 1, 4, 4), **options)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_filled_padding_of_any_size(axes):
    """Samples of 'fill' have no gradient, and cost nothing."""
    options = {"stride": 1 << 38, "padding": 1 << 39, "padding_mode": "fill"}
    to_input = getattr(layers, f"conv{axes}d_input_gradient")
    out = to_input(np.ones((1, 1, *(5,) * axes)), np.ones((1, 1, *(2,) * axes)), (1, 1, *(4,) * axes), **options)
    expect = np.zeros((1, 1, *(4,) * axes))
    expect[(0, 0, *(slice(2),) * axes)] = 1
    np.testing.assert_array_equal(out, expect)
