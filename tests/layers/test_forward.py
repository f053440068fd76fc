"""`conv1d`, `conv2d` and `conv3d` against the definition: exact on whole numbers."""

import itertools
import tracemalloc

import numpy as np
import pytest

from fastconv import layers, reference
from fastconv._engines.layers import planewise_engine
from fastconv._microkernels.layers import layer_tile
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.instrumentation import forced, observed
from fastconv._simd import compilation
from fastconv._simd.target import processor
from tests.layers.oracle import expected, from_layout, in_layout, whole_numbers

LAYOUTS = ("channels_first", "channels_last")
BOUNDARIES = ("zero", "fill", "nearest", "reflect", "mirror", "wrap")
LANES = max(1, processor().lanes(32))


def about(*sizes):
    return sorted({size + k for size in sizes for k in (-1, 0, 1) if size + k > 0})


def check(rng, shape, weights_shape, layout, dtype="f4", weights_dtype=None, bias=True, result=None, **options):
    """Compare a layer of random whole numbers with the definition."""
    x = whole_numbers(rng, shape, dtype)
    weights = whole_numbers(rng, weights_shape, weights_dtype or dtype)
    result = np.dtype(result or np.result_type(x, weights))
    added = whole_numbers(rng, weights_shape[0], result) if bias else None
    expect = expected(x, weights, added, **options)
    given = in_layout(x, layout)
    out = layers.conv2d(given, weights, added, layout=layout, **options)
    assert out.dtype == result
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(from_layout(out, layout), expect.astype(result))
    np.testing.assert_array_equal(from_layout(given, layout), x)


def test_the_oracle_is_the_reference():
    rng = np.random.default_rng(0)
    for padding, mode, groups in itertools.product(
        (0, (1, 2), ((2, 1), (0, 3)), "valid", "same", "same_lower"), BOUNDARIES, (1, 2)
    ):
        stride, dilation = rng.integers(1, 3, 2).tolist(), rng.integers(1, 3, 2).tolist()
        x, weights = whole_numbers(rng, (2 * groups, 5, 6), "i8"), whole_numbers(rng, (2 * groups, 2, 2, 3), "i8")
        bias = whole_numbers(rng, 2 * groups, "i8")
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
        fill = {"fill_value": 3} if mode == "fill" else {}
        slow = reference.conv2d(x.tolist(), weights.tolist(), bias.tolist(), **options, **fill)
        np.testing.assert_array_equal(slow, expected(x[np.newaxis], weights, bias, **options, **fill)[0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_widths_about_tiles(layout):
    rng = np.random.default_rng(1)
    for width in about(1, layer_tile.PIXELS, 2 * layer_tile.PIXELS, 3 * layer_tile.PIXELS):
        check(rng, (2, 3, 5, width), (5, 3, 3, 3), layout, padding=1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_output_channels_about_vectors(layout, dtype):
    rng = np.random.default_rng(2)
    for outputs in about(1, LANES // 2, LANES, 2 * LANES, 3 * LANES, 4 * LANES):
        check(rng, (1, 4, 6, 17), (outputs, 4, 2, 3), layout, dtype, padding=1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_input_channels_and_partial_sums(layout):
    rng = np.random.default_rng(3)
    for channels in (1, 2, 3, 5, 16, 63, 64, 65, 511, 512, 513, 577, 1100):
        check(rng, (1, channels, 4, 9), (3, channels, 2, 2), layout)
        check(rng, (1, channels, 3, 7), (3, channels, 3, 2), layout, padding=1, dilation=(1, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_dilations_paddings_and_groups(layout):
    rng = np.random.default_rng(4)
    paddings = (0, 1, (3, 0), ((0, 2), (4, 1)), "valid", "same", "same_lower")
    for stride, dilation, groups in itertools.product((1, 2, (3, 1)), (1, (1, 3), 2), (1, 2, 5)):
        for padding in paddings:
            channels, outputs = rng.integers(1, 5, 2) * groups
            kernel = rng.integers(1, 4, 2)
            shape = (2, channels, 8 + rng.integers(6), 8 + rng.integers(9))
            check(
                rng, shape, (outputs, channels // groups, *kernel), layout,
                stride=stride, dilation=dilation, padding=padding, groups=groups,
            )  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_padding_modes_of_any_size(layout, mode):
    rng = np.random.default_rng(5)
    fill = {"fill_value": -2} if mode == "fill" else {}
    for size, padding in itertools.product(
        ((1, 1), (2, 5), (7, 3)), (2, ((9, 4), (0, 17)), ((3, 6), (2, 0)), "same", "same_lower")
    ):
        check(
            rng, (2, 3, *size), (4, 3, 2, 3), layout,
            padding=padding, padding_mode=mode, stride=(1, 2), dilation=(2, 1), **fill,
        )  # fmt: skip
    check(rng, (2, 3, 4, 5), (4, 3, 2, 3), layout, padding_mode=mode, **fill)


@pytest.mark.parametrize("mode", BOUNDARIES)
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_padding_of_many_repetitions(mode, width):
    rng = np.random.default_rng(13)
    x, weights = whole_numbers(rng, (1, 2, 1, width), "f4"), whole_numbers(rng, (3, 2, 1, 2), "f4")
    before, after = 100_003, 70_001
    name = {"zero": "constant", "fill": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect"}
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (before, after)), name.get(mode, mode))
    out = layers.conv2d(x, weights, padding=((0, 0), (before, after)), padding_mode=mode)
    np.testing.assert_array_equal(out, expected(padded, weights))


@pytest.mark.parametrize(("kernel", "size"), [((29, 30), 1), ((1, 1100), 1), ((13, 14), 4)])
def test_large_depthwise_kernels_have_partial_sums(kernel, size):
    rng = np.random.default_rng(7)
    channels = 2 * LANES
    extents = kernel[0] + 3, kernel[1] + 5
    x = rng.uniform(0, 1, (1, channels, *extents)).astype("f4")
    weights = rng.uniform(0, 1, (channels, size, *kernel)).astype("f4")
    bias = rng.uniform(-300, 0, channels).astype("f4")
    options = {"stride": 2, "groups": channels // size}
    columns = min(kernel[1], layer_tile.PRODUCTS // size)
    rows = max(1, layer_tile.PRODUCTS // (size * columns))
    total = None
    for i, j in itertools.product(range(0, kernel[0], rows), range(0, kernel[1], columns)):
        bottom, right = (n - max(0, taps - k - m) for n, taps, k, m in zip(extents, kernel, (i, j), (rows, columns)))
        piece = weights[:, :, i : i + rows, j : j + columns]
        part = layers.conv2d(x[:, :, i:bottom, j:right], piece, bias if total is None else None, **options)
        total = part if total is None else total + part
    total[total < 0] = 0
    for layout in LAYOUTS:
        given = in_layout(x, layout)
        out = layers.conv2d(given, weights, bias, layout=layout, activation="relu", **options)
        np.testing.assert_array_equal(from_layout(out, layout), total)


def test_engines_share_what_is_compiled():
    compilation.forget()
    channels = 2 * LANES
    found = []
    for engine, groups, outputs in (("layer", 1, channels), ("channelwise", channels, channels), ("planewise", 1, 1)):
        x, weights = np.ones((1, channels, 11, 28), "f4"), np.ones((outputs, channels // groups, 3, 3), "f4")
        layout = "channels_first" if engine == "planewise" else "channels_last"
        if layout == "channels_last":
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        with observed() as events:
            layers.conv2d(x, weights, groups=groups, padding=1, layout=layout)
        assert [event.engine for event in events if event.name == "layer"] == [f"{engine}_engine"]
        found.append({event.routine for event in events if event.name == "compile"})
    first, *others = found
    assert {"run", "pad_planes", "layer_unit"} <= first
    # Aligned, contiguous input of the type of the sums is packed by a routine that does nothing else.
    assert not {"transfer", "pack_runs"} & set().union(*found)
    assert not any("pack_block" in name for name in first)  # small weights are packed by NumPy
    assert not any(first & other for other in others)


def test_strides_of_depthwise_layers_share_microkernels():
    channels = 2 * LANES
    x, weights = np.ones((1, 9, 60, channels), "f4"), np.ones((channels, 1, 3, 3), "f4")
    for stride in (1, 2, 3, 5):
        layers.conv2d(x, weights, stride=stride, groups=channels, layout="channels_last")
    with observed() as events:
        for stride in (4, 6, 7, 8):
            for kernel in (3, 2):
                layers.conv2d(x, weights[..., :kernel], stride=(1, stride), groups=channels, layout="channels_last")
    compiled = {event.routine for event in events if event.name == "compile"}
    assert {name.split("_", 3)[-1] for name in compiled} <= {"1_1"}  # one tap, whatever the stride and the kernel


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernels_larger_than_the_image(layout):
    rng = np.random.default_rng(6)
    check(rng, (1, 2, 3, 4), (3, 2, 9, 11), layout, padding="same")
    check(rng, (1, 2, 3, 4), (3, 2, 2, 2), layout, padding=((5, 5), (6, 6)), dilation=4)
    check(rng, (1, 2, 3, 4), (3, 2, 1, 1), layout, padding=((5, 5), (6, 6)), stride=3)


@pytest.mark.parametrize(
    ("channels", "dtype", "weights_dtype"),
    [
        (2, "f4", "f4"),
        (3, "f4", "f4"),
        (7, "f4", "f4"),
        (8, "f4", "f4"),
        (9, "f4", "f4"),
        (3, "u1", "i1"),
        (3, ">f4", "f8"),
    ],
)
def test_planes_of_few_channels_become_pixels(channels, dtype, weights_dtype):
    # A stride along columns keeps the engine of planes away.
    rng = np.random.default_rng(5)
    result = "i4" if dtype == "u1" else None
    for width, padding in itertools.product((3, LANES - 1, LANES, 2 * LANES + 3), (0, (0, 2))):
        for mode in ("zero", "reflect"):
            check(
                rng, (2, channels, 5, width), (3, channels, 2, 3), "channels_first", dtype, weights_dtype,
                result=result, stride=(1, 2), padding=padding, padding_mode=mode,
            )  # fmt: skip


def in_memory(x):
    """The same batch in memory of several orders."""
    last = x.transpose(0, 2, 3, 1)
    for array, order in ((x, (0, 1, 2, 3)), (last, (0, 3, 1, 2))):
        yield array.copy().transpose(order)
        yield np.frombuffer(b" " + array.tobytes(), np.uint8)[1:].view(x.dtype).reshape(array.shape).transpose(order)
        for axis in range(4):
            yield np.flip(np.flip(array, axis).copy(), axis).transpose(order)
            yield np.repeat(array, 2, axis)[(slice(None),) * axis + (slice(None, None, 2),)].transpose(order)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("engine", "channels", "outputs", "groups", "stride", "dtype"),
    [
        ("layer", LANES + 3, 5, 1, 1, "f4"),
        ("layer", 3, 2, 1, 2, "f4"),
        ("layer", 3, 2 * LANES, 1, 2, "u1"),
        ("channelwise", LANES + 3, LANES + 3, LANES + 3, 2, "f4"),
        ("planewise", 3, 4, 1, 1, "f4"),
    ],
)
def test_input_in_memory_of_any_order(monkeypatch, layout, engine, channels, outputs, groups, stride, dtype):
    monkeypatch.setattr(planewise_engine, "is_faster", lambda problem: engine == "planewise")
    rng = np.random.default_rng(19)
    weights = whole_numbers(rng, (outputs, channels // groups, 2, 3), dtype)
    for width, padding in itertools.product((LANES - 1, LANES + 2, 2 * LANES + 5), (0, ((1, 0), (2, 3)))):
        x = whole_numbers(rng, (2, channels, 4, width), dtype)
        options = {"stride": (1, stride), "padding": padding, "groups": groups}
        expect = expected(x, weights, **options)
        for given in in_memory(x):
            given = given if layout == "channels_first" else given.transpose(0, 2, 3, 1)
            with forced(), observed() as events:  # the choice is kept
                found = layers.conv2d(given, weights, layout=layout, **options)
            if width > LANES:
                assert [event.engine for event in events if event.name == "layer"] == [f"{engine}_engine"]
            np.testing.assert_array_equal(from_layout(found, layout), expect)


TYPES = [
    ("u1", "i1", "i4"), ("i1", "i1", "i4"), ("u1", "u1", "i4"), ("?", "u1", "i4"), ("?", "?", "i4"), ("i2", "i1", "i8"),
    ("i4", "u1", "i8"), ("i8", "i8", "i8"), ("u8", "u1", "u8"), ("f4", "f4", "f4"), ("f8", "f8", "f8"),
    ("u1", "f4", "f4"), ("f4", "f8", "f8"), ("f8", "f4", "f8"), ("i4", "f4", "f8"), ("f2", "f2", "f2"),
    ("f2", "f4", "f4"), ("c8", "c8", "c8"), ("c16", "c16", "c16"), ("c8", "f4", "c8"), ("f4", "c8", "c8"),
    ("i2", "c8", "c8"), ("g", "f4", "g"), (">f4", "f4", "f4"), ("f4", ">f8", "f8"), (">i2", ">i2", "i8"),
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "weights_dtype", "result"), TYPES)
def test_types(layout, dtype, weights_dtype, result):
    rng = np.random.default_rng(7)
    check(rng, (2, 4, 6, 15), (6, 2, 3, 2), layout, dtype, weights_dtype, result=result, groups=2, padding=(1, 1))
    fill = 1j if np.dtype(result).kind == "c" else 2
    check(
        rng, (1, 2, 4, 3), (3, 2, 2, 2), layout, dtype, weights_dtype, result=result, padding=2, stride=2,
        padding_mode="fill", fill_value=fill,
    )  # fmt: skip


def test_quantised_extremes():
    x, weights = np.full((1, 300, 4, 4), 255, np.uint8), np.full((2, 300, 3, 3), -128, np.int8)
    assert (layers.conv2d(x, weights) == -255 * 128 * 2700).all()


def test_integers_wrap():
    x, weights = np.full((1, 1, 1, 2), 1 << 62), np.full((1, 1, 1, 1), 6)
    assert layers.conv2d(x, weights).ravel().tolist() == [-(1 << 63)] * 2


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "f2", "g", "u8"])
def test_relu(layout, dtype):
    rng = np.random.default_rng(8)
    result = {"i1": "i4"}.get(dtype)
    check(rng, (1, 3, 5, 16), (18, 3, 3, 3), layout, dtype, result=result, padding=1, activation="relu")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_relu_keeps_nan(layout):
    x = np.array([[[[np.nan, -1.0, 2.0, -np.inf, np.inf]]]], np.float32)
    out = layers.conv2d(in_layout(x, layout), np.ones((1, 1, 1, 1), np.float32), layout=layout, activation="relu")
    np.testing.assert_array_equal(from_layout(out, layout), [[[[np.nan, 0, 2, 0, np.inf]]]])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_in_the_input(layout, value):
    rng = np.random.default_rng(9)
    for place in itertools.product((0, 4), (0, 8, 17)):
        x = rng.integers(1, 4, (1, 2, 5, 18)).astype(np.float32)
        x[(0, 1, *place)] = value
        weights = rng.integers(1, 3, (3, 2, 3, 3)).astype(np.float32)
        out = layers.conv2d(in_layout(x, layout), weights, layout=layout, padding=1)
        np.testing.assert_array_equal(from_layout(out, layout), expected(x, weights, padding=1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("padding", [1, ((0, 0), (0, 3)), ((5, 5), (7, 8)), "same"])
def test_samples_outside_are_left_out(layout, value, padding):
    rng = np.random.default_rng(10)
    x = rng.integers(1, 4, (2, 2, 6, 7)).astype(np.float32)
    for place in itertools.product((0, 2), (0, 1, 2)):
        weights = rng.integers(1, 3, (3, 2, 3, 3)).astype(np.float32)
        weights[(1, 0, *place)] = value
        for stride, dilation in ((1, 1), (2, 1), (1, 2)):
            options = {"padding": padding, "stride": stride, "dilation": dilation, "bias": np.arange(3)}
            out = layers.conv2d(in_layout(x, layout), weights, layout=layout, **options)
            np.testing.assert_array_equal(from_layout(out, layout), expected(x, weights, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_signalling_nan(layout):
    signalling = np.array([0x7FA00000], np.uint32).view(np.float32)[0]
    x, weights = np.full((1, 1, 2, 17), signalling, np.float32), np.full((1, 1, 1, 1), signalling)
    for dtype in (np.float32, np.float64):  # converted while it is packed
        other = np.ones((1, 1, 1, 1), dtype)
        assert np.isnan(layers.conv2d(in_layout(x, layout), other, layout=layout)).all()
        assert np.isnan(layers.conv2d(in_layout(np.ones_like(x, dtype), layout), weights, layout=layout)).all()
        assert np.isnan(layers.conv2d(in_layout(x, layout), weights, padding=1, layout=layout)).any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_by_themselves(layout):
    rng = np.random.default_rng(11)
    for number, height, width in ((1, 7, 7), (3, 7, 7), (2, 1, 1), (64, 1, 1), (1, 1, 127), (2, 11, 53), (1, 37, 41)):
        check(rng, (number, 5, height, width), (LANES + 1, 5, 1, 1), layout)
        check(rng, (number, 4, height, width), (6, 2, 1, 1), layout, groups=2)


def test_one_image():
    rng = np.random.default_rng(12)
    x, weights = whole_numbers(rng, (3, 6, 7), "f4"), whole_numbers(rng, (4, 3, 3, 3), "f4")
    expect = expected(x[np.newaxis], weights, padding=1)[0]
    np.testing.assert_array_equal(layers.conv2d(x, weights, padding=1), expect)
    out = layers.conv2d(x.transpose(1, 2, 0), weights, padding=1, layout="channels_last")
    np.testing.assert_array_equal(out.transpose(2, 0, 1), expect)


def test_both_layouts_have_the_same_bits():
    rng = np.random.default_rng(13)
    x, weights = rng.normal(size=(2, 70, 9, 15)).astype("f4"), rng.normal(size=(40, 70, 3, 3)).astype("f4")
    first = layers.conv2d(x, weights, padding=1)
    last = layers.conv2d(in_layout(x, "channels_last"), weights, padding=1, layout="channels_last")
    assert first.tobytes() == np.ascontiguousarray(last.transpose(0, 3, 1, 2)).tobytes()


def test_error_of_many_products():
    rng = np.random.default_rng(14)
    x, weights = rng.normal(size=(1, 512, 9, 9)), rng.normal(size=(16, 512, 3, 3))
    x, weights = x.astype("f4"), weights.astype("f4")
    for layout in LAYOUTS:
        out = from_layout(layers.conv2d(in_layout(x, layout), weights, layout=layout), layout)
        exact = layers.conv2d(x.astype("f8"), weights.astype("f8"))
        assert np.abs(out - exact).max() <= 2e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("padding", [0, 2, ((1, 3),), "same", "same_lower"])
def test_conv1d(layout, padding):
    rng = np.random.default_rng(15)
    wide = [(0, 0), padding[0]] if isinstance(padding, tuple) else [(0, 0), padding]
    for stride, dilation, groups, length in itertools.product((1, 3), (1, 2), (1, 2), (11, 40)):
        x, weights = whole_numbers(rng, (2, 4, length), "f8"), whole_numbers(rng, (6, 4 // groups, 4), "f8")
        bias = whole_numbers(rng, 6, "f8")
        expect = expected(
            x[:, :, None], weights[:, :, None], bias, (1, stride), wide if padding != 0 else 0, (1, dilation), groups
        )
        out = layers.conv1d(
            in_layout(x, layout), weights, bias, stride=stride, padding=padding, dilation=dilation, groups=groups,
            layout=layout,
        )  # fmt: skip
        np.testing.assert_array_equal(from_layout(out, layout), expect[:, :, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_conv3d(layout, mode):
    rng = np.random.default_rng(16)
    fill = {"padding_mode": mode, "fill_value": 2} if mode == "fill" else {"padding_mode": mode}
    for stride, dilation, padding, groups in (
        (1, 1, 0, 1), (1, 1, 1, 2), ((2, 1, 2), 1, ((3, 0), 1, (0, 2)), 1), ((1, 2, 1), (2, 1, 2), 2, 2),
    ):  # fmt: skip
        x = whole_numbers(rng, (2, 4, 5, 6, 7), "f4")
        weights, bias = whole_numbers(rng, (6, 4 // groups, 2, 3, 3), "f4"), whole_numbers(rng, 6, "f4")
        # A layer whose planes are images, summed over the planes of the kernels.
        steps, apart = (value if isinstance(value, tuple) else (value,) * 3 for value in (stride, dilation))
        pads = padding if isinstance(padding, tuple) else (padding,) * 3
        before, after = pads[0] if isinstance(pads[0], tuple) else (pads[0],) * 2
        depth = (5 + before + after - apart[0] - 1) // steps[0] + 1
        expect = 0
        for tap in range(2):
            places = [reference.source_index(o * steps[0] + tap * apart[0] - before, 5, mode) for o in range(depth)]
            planes = np.stack([np.full_like(x[:, :, 0], 2) if p is None else x[:, :, p] for p in places], 1)
            sums = expected(
                planes.reshape(-1, 4, 6, 7), weights[:, :, tap], None, steps[1:], pads[1:], apart[1:], groups, **fill
            )
            sums = sums.reshape(2, depth, 6, *sums.shape[2:]).swapaxes(1, 2)
            if mode == "zero":
                sums = sums * (np.array([p is not None for p in places]).reshape(-1, 1, 1))
            expect = expect + sums
        expect = np.maximum(expect + bias.reshape(-1, 1, 1, 1), 0)
        out = layers.conv3d(
            in_layout(x, layout), weights, bias, stride=stride, padding=padding, dilation=dilation, groups=groups,
            layout=layout, activation="relu", **fill,
        )  # fmt: skip
        np.testing.assert_array_equal(from_layout(out, layout), expect)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_volumes_are_extended_in_chunks(layout, mode, monkeypatch):
    """The same values in chunks of rows, planes or volumes."""
    rng = np.random.default_rng(18)
    x, weights = whole_numbers(rng, (2, 2, 4, 3, 5), "f4"), whole_numbers(rng, (3, 2, 3, 1, 1), "f4")
    options = {"padding": ((2, 3), 0, 0), "padding_mode": mode, **({"fill_value": 2} if mode == "fill" else {})}
    gradient = whole_numbers(rng, (2, 3, 7, 3, 5), "f4")
    sources = [reference.source_index(place, 4, mode) for place in range(-2, 7)]
    outside = 2 if mode == "fill" else 0
    planes = np.stack([np.full_like(x[:, :, 0], outside) if k is None else x[:, :, k] for k in sources], 2)
    taps = [planes[:, :, tap : tap + 7] for tap in range(3)]
    sums = sum(np.einsum("ncdrs,oc->nodrs", part, weights[:, :, tap, 0, 0]) for tap, part in enumerate(taps))
    slopes = np.stack([np.einsum("ncdrs,nodrs->oc", part, gradient) for part in taps], 2)[..., None, None]
    for elements in (4, 15, 40, 1000):
        monkeypatch.setattr(interruptible_numpy, "CHUNK_ELEMENTS", elements)
        out = layers.conv3d(in_layout(x, layout), weights, layout=layout, **options)
        np.testing.assert_array_equal(from_layout(out, layout), sums)
        given = in_layout(x, layout), in_layout(gradient, layout)
        np.testing.assert_array_equal(
            layers.conv3d_weight_gradient(*given, (3, 1, 1), layout=layout, **options), slopes
        )


@pytest.mark.parametrize(("mode", "depth"), [("fill", 1), ("wrap", 1), ("fill", 0), ("wrap", 0)])
def test_memory_of_extended_volumes(mode, depth, monkeypatch):
    """Planes outside cost one extended volume, and columns outside some planes."""
    monkeypatch.setattr(interruptible_numpy, "CHUNK_ELEMENTS", 300 * 300)
    x, weights = np.ones((1, 1, 16, 300, 300), "f4"), np.ones((1, 1, 2 * depth + 1, 1, 3 - 2 * depth), "f4")
    gradient = np.ones_like(x)
    options = {"padding": (depth, 0, 1 - depth), "padding_mode": mode}
    plane = x.nbytes // 16
    for call, least in (
        (lambda: layers.conv3d(x, weights, **options), 16 * (1 + min(2, weights.shape[2]))),  # the result, and parts
        (lambda: layers.conv3d_weight_gradient(x, gradient, weights.shape[2:], **options), 0),
    ):
        call()
        tracemalloc.start()
        try:
            call()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < (least + 18 * depth + 6) * plane


@pytest.mark.parametrize("mode", ["zero", "fill", "wrap"])
def test_memory_of_long_lines(mode):
    """A line is packed whole, and that once."""
    weights, options = np.ones((2, 16, 3), "f4"), {"padding": 1, "padding_mode": mode}
    layers.conv1d(np.ones((1, 16, 100), "f4"), weights, **options)
    x = np.ones((1, 16, 100_000), "f4")
    tracemalloc.start()
    try:
        layers.conv1d(x, weights, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * x.nbytes


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [1, 2, 4, 8, 3])
def test_small_groups(layout, size):
    rng = np.random.default_rng(17)
    channels = [n * size for n in about(LANES // size, LANES // size + 3, 2 * LANES // size) if n]
    kernels = [(1, 1), (3, 3), (2, 5), (5, 7), (1, 13), (7, 22)]
    strides, dilations = (1, 2, (3, 1), (1, 3)), (1, 1, (1, 2), (2, 1))
    paddings = (0, 1, "same", ((0, 4), (5, 0)), ((3, 3), (40, 2)))
    for k in range(30):
        count, kernel = channels[k % len(channels)], kernels[k % len(kernels)]
        padding = paddings[rng.integers(5)]
        dilation = dilations[rng.integers(4)] if padding == "same" or padding == paddings[-1] else 1
        shape = (2, count, 8 + rng.integers(8), rng.choice([22, 23, 31]))
        mode = BOUNDARIES[rng.integers(6)] if k % 3 == 0 else "zero"
        fill = {"fill_value": 2} if mode == "fill" else {}
        check(
            rng, shape, (count, size, *kernel), layout, dtype=("f4", "f8", "u1", "f4")[k % 4], groups=count // size,
            result=("f4", "f8", "i4", "f4")[k % 4], stride=strides[k % 4], dilation=dilation, padding=padding,
            padding_mode=mode, activation="relu" if k % 5 == 0 else None, **fill,
        )  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_outside_of_small_groups_are_left_out(layout, value):
    rng = np.random.default_rng(18)
    for size in (1, 2):
        x = rng.integers(1, 4, (1, 2 * LANES, 5, 6)).astype(np.float32)
        weights = rng.integers(1, 3, (2 * LANES, size, 3, 3)).astype(np.float32)
        weights[3, 0, 0, 0], x[0, 5, 4, 5] = value, value
        options = {"padding": ((0, 1), (1, 4)), "groups": 2 * LANES // size, "bias": np.arange(2 * LANES)}
        out = layers.conv2d(in_layout(x, layout), weights, layout=layout, **options)
        np.testing.assert_array_equal(from_layout(out, layout), expected(x, weights, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 3, 8, 1), (3, 3, 8, 1), (6, 3, 1, 1), (6, 16, 1, 1), (2, 3, 1, 9), (2, 1, 5, 7)])
def test_one_tap_into_every_other_sample_of_an_output(shape, layout):
    rng = np.random.default_rng(21)
    x, weights = whole_numbers(rng, shape, "f4"), whole_numbers(rng, (5, shape[1], 1, 1), "f4")
    expect = in_layout(expected(x, weights), layout)
    for axis, step in itertools.product(range(4), (2, -1, -2)):
        around = np.full([(n + 2) * abs(step) if k == axis else n + 2 for k, n in enumerate(expect.shape)], 77, "f4")
        inside = around[tuple(slice(abs(step) if k == axis else 1, None) for k in range(4))]
        inside = inside[tuple(slice(n * abs(step) if k == axis else n) for k, n in enumerate(expect.shape))]
        out = inside[(slice(None),) * axis + (slice(None, None, step),)]
        layers.conv2d(in_layout(x, layout), weights, layout=layout, out=out)
        np.testing.assert_array_equal(out, expect)
        assert np.count_nonzero(around == 77) == around.size - out.size


def test_longdouble_has_the_same_bits_in_both_layouts():
    rng = np.random.default_rng(22)
    x, weights = rng.normal(size=(2, 51, 16, 9)).astype("g"), rng.normal(size=(3, 17, 3, 4)).astype("g")
    first, last = (
        from_layout(layers.conv2d(in_layout(x, layout), weights, groups=3, layout=layout), layout) for layout in LAYOUTS
    )
    np.testing.assert_array_equal(first, last)
