"""The engine of layers of few channels, channels first, against the definition and against the general engine."""

import itertools
import random

import numpy as np
import pytest

from fastconv import layers
from fastconv._engines.layers import planewise_engine
from fastconv._runtime.instrumentation import forced, observed
from fastconv._simd.target import processor
from tests import guarded_arrays
from tests.layers.oracle import expected, expected_input_gradient, from_layout, in_layout, whole_numbers
from tests.layers.test_forward import BOUNDARIES, LAYOUTS, TYPES, about, check

LANES = max(1, processor().lanes(32))
REGISTERS = processor().registers


@pytest.fixture
def always(monkeypatch):
    """The engine computes all layers that it can."""
    monkeypatch.setattr(planewise_engine, "is_faster", lambda problem: True)
    with forced():  # the choice is kept
        yield


@pytest.mark.parametrize("layout", LAYOUTS)
def test_widths_and_outputs_about_tiles(always, layout):
    rng = np.random.default_rng(0)
    for width in about(LANES, 2 * LANES, 3 * LANES, 4 * LANES):
        check(rng, (2, 3, 7, width), (REGISTERS // 2 + 1, 3, 3, 3), layout, padding=1)
    for outputs in about(1, 3, 4, 6, 8, 14, 28):
        check(rng, (1, 2, 5, 3 * LANES + 3), (outputs, 2, 2, 3), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_narrower_than_a_vector(always, layout):
    rng = np.random.default_rng(8)
    for width, padding, kernel in itertools.product(
        {1, 2, LANES // 2, LANES - 1}, (0, 1, ((4, 0), (1, 3)), ((0, 2), (0, 0))), ((1, 1), (3, 2), (2, 1))
    ):
        if width < kernel[1] and padding == 0:
            continue
        for groups, dilation in ((1, 1), (2, (1, 2)), (1, 2)):
            check(
                rng, (2, 2 * groups, 9, max(width, 3)), (5 * groups, 2, *kernel), layout,
                padding=padding, groups=groups, dilation=dilation, activation="relu" if groups > 1 else None,
            )  # fmt: skip
    for mode in BOUNDARIES:
        check(rng, (1, 3, 8, 5), (4, 3, 3, 3), layout, padding=(3, 2), padding_mode=mode)


def test_joined_rows_are_observed_and_leave_infinite_weights_out(always):
    rng = np.random.default_rng(9)
    x = rng.integers(1, 4, (2, 2, 3 * LANES, LANES - 2)).astype(np.float32)
    weights = rng.integers(1, 3, (3, 2, 3, 3)).astype(np.float32)
    for value, engine in ((1, "planewise_engine"), (np.inf, "layer_engine"), (np.nan, "layer_engine")):
        weights[1, 0, 0, 1] = value
        with observed() as events:
            found = layers.conv2d(x, weights[..., 1:2], padding=(1, 0))
        assert {event.engine for event in events if event.name == "layer"} == {engine}
        np.testing.assert_array_equal(found, expected(x, weights[..., 1:2], padding=(1, 0)))
        np.testing.assert_array_equal(layers.conv2d(x, weights, padding=1), expected(x, weights, padding=1))


@pytest.mark.parametrize("tile", [(1, 1), (1, 4), (2, 3), (3, 2), (5, 1)])
def test_shapes_of_tiles(always, monkeypatch, tile):
    rng = np.random.default_rng(1)
    monkeypatch.setattr(planewise_engine, "tile_of", lambda problem: planewise_engine.Tile(*tile))
    with forced():  # engines keep their tiles
        for height, width in itertools.product((1, 2, 5), (LANES, LANES + 1, 2 * LANES + 5)):
            options = {"padding": (0, 1), "stride": (1 + height // 5, 1)}
            check(rng, (1, 2, height, width), (5, 2, 1, 2), "channels_first", **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_dilations_paddings_and_groups(always, layout):
    rng = np.random.default_rng(2)
    paddings = (0, 1, (3, 0), ((0, 2), (4, 1)), ((6, 7), (0, 0)), "same", "same_lower")
    for stride, dilation, groups, padding in itertools.product(((1, 1), (3, 1)), (1, (1, 3), 2), (1, 2, 5), paddings):
        channels, outputs = rng.integers(1, 5, 2) * groups
        shape = (2, channels, 8 + rng.integers(6), 3 * LANES + rng.integers(9))
        check(
            rng, shape, (outputs, channels // groups, *rng.integers(1, 4, 2)), layout,
            stride=stride, dilation=dilation, padding=padding, groups=groups,
        )  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_padding_modes(always, layout, mode):
    rng = np.random.default_rng(3)
    fill = {"fill_value": -2} if mode == "fill" else {}
    for padding in (2, ((9, 4), (0, 17)), ((3, 6), (2, 0)), "same"):
        check(
            rng, (2, 3, 4, 2 * LANES), (4, 3, 2, 3), layout,
            padding=padding, padding_mode=mode, dilation=(2, 1), **fill,
        )  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "weights_dtype", "result"), TYPES)
def test_types(always, layout, dtype, weights_dtype, result):
    rng = np.random.default_rng(4)
    check(
        rng, (2, 4, 5, 2 * LANES + 1), (6, 2, 3, 2), layout, dtype, weights_dtype,
        result=result, groups=2, padding=(1, 1), activation=None if np.dtype(result).kind == "c" else "relu",
    )  # fmt: skip


def test_input_of_any_strides(always):
    rng = np.random.default_rng(5)
    weights = whole_numbers(rng, (5, 3, 3, 3), "f4")
    whole = whole_numbers(rng, (4, 6, 12, 4 * LANES), "f4")
    for x in (
        whole[::2, ::2, ::3, 1 : 2 * LANES], whole[:, :3, :, ::-1], whole[:, :3, ::-1], whole[::-1, 2:5, :, ::2],
        in_layout(whole[:, :3], "channels_last").transpose(0, 3, 1, 2),
        np.broadcast_to(whole[:1, :1], (2, 3, 12, 4 * LANES)),
    ):  # fmt: skip
        for padding in (0, (1, 0), 1):
            np.testing.assert_array_equal(
                layers.conv2d(x, weights, padding=padding), expected(x, weights, padding=padding)
            )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_outside_are_left_out(always, value):
    rng = np.random.default_rng(6)
    x = rng.integers(1, 4, (1, 2, 5, 3 * LANES)).astype(np.float32)
    for place in itertools.product((0, 2), (0, 1)):
        weights = rng.integers(1, 3, (3, 2, 3, 2)).astype(np.float32)
        weights[(1, 0, *place)] = value
        for padding in ((1, 0), ((0, 4), (0, 0)), 1):
            found = layers.conv2d(x, weights, padding=padding)
            np.testing.assert_array_equal(found, expected(x, weights, padding=padding))


def test_the_bits_of_the_general_engine(monkeypatch):
    """Sums are added in the same order, partial sums included, so that both layouts give the same bits."""
    rng = np.random.default_rng(7)
    wide, narrow = 2 * LANES + 7, max(3, LANES - 2)  # rows that are joined
    for channels, outputs, kernel, groups, dilation, width in (
        (3, 20, (3, 3), 1, 1, wide), (70, 5, (3, 3), 1, 1, wide), (600, 4, (1, 1), 1, 1, wide),
        (130, 3, (2, 3), 1, 2, wide), (24, 24, (5, 5), 3, 1, wide), (16, 6, (5, 5), 1, 1, narrow),
    ):  # fmt: skip
        x = rng.normal(size=(2, channels, 9, width)).astype("f4")
        weights = rng.normal(size=(outputs, channels // groups, *kernel)).astype("f4")
        bias = rng.normal(size=outputs).astype("f4")
        results = []
        for choice in (True, False):
            monkeypatch.setattr(planewise_engine, "is_faster", lambda problem, choice=choice: choice)
            for workers in (1, 3):
                with forced():  # the choice is kept
                    results.append(
                        layers.conv2d(x, weights, bias, padding=1, groups=groups, dilation=dilation, workers=workers)
                    )
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])
        last = layers.conv2d(
            in_layout(x, "channels_last"), weights, bias, padding=1, groups=groups, dilation=dilation,
            layout="channels_last",
        )  # fmt: skip
        np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), results[0])


def test_both_layouts_of_small_groups_give_the_same_bits():
    rng = np.random.default_rng(8)
    for size, kernel in ((4, 3), (8, 3), (8, 9), (2, 5)):
        x = rng.normal(size=(1, 4 * LANES, 12, 40)).astype("f4")
        weights = rng.normal(size=(4 * LANES, size, kernel, kernel)).astype("f4")
        options = {"padding": kernel // 2, "groups": 4 * LANES // size}
        first = layers.conv2d(x, weights, **options)
        last = layers.conv2d(in_layout(x, "channels_last"), weights, layout="channels_last", **options)
        np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), first)


def depthwise(rng, shape, kernel, **options):
    channels = shape[1]
    check(rng, shape, (channels, 1, *kernel), "channels_first", groups=channels, **options)


def test_depthwise_widths_heights_and_kernels():
    rng = np.random.default_rng(10)
    for width in about(LANES, 2 * LANES, 4 * LANES, 5 * LANES):
        depthwise(rng, (2, 3, 7, width), (3, 3), padding=1)
    for height, rows in itertools.product((1, 3, 4, 5, 9), (1, 2, 3, 7)):
        depthwise(rng, (1, 2, height, 2 * LANES + 3), (rows, 2), padding=(rows // 2, 1))
    depthwise(rng, (1, 2, 9, 3 * LANES), (3, 3), padding=((7, 5), (LANES + 3, 2 * LANES)), dilation=(1, 3))
    depthwise(rng, (2, 40, 90, 3 * LANES), (5, 5), padding=2)  # several units
    depthwise(rng, (1, 1, 40, 3 * LANES), (3, 3), activation="relu")


@pytest.mark.parametrize("mode", BOUNDARIES)
def test_depthwise_padding_modes(mode):
    rng = np.random.default_rng(11)
    fill = {"fill_value": -2} if mode == "fill" else {}
    for padding in (1, ((5, 0), (0, 2)), ((0, 0), (3, 3))):
        depthwise(rng, (2, 3, 6, 2 * LANES), (3, 2), padding=padding, padding_mode=mode, **fill)


@pytest.mark.parametrize(("dtype", "result"), [("f8", None), ("u1", "i4"), ("i8", None), (">f4", "f4"), ("f2", None)])
def test_depthwise_types(dtype, result):
    rng = np.random.default_rng(12)
    weights_dtype = dtype.replace(">", "")
    depthwise(rng, (1, 3, 8, 4 * LANES + 1), (3, 3), padding=1, dtype=dtype, weights_dtype=weights_dtype, result=result)


def test_depthwise_input_of_any_strides():
    rng = np.random.default_rng(13)
    weights = whole_numbers(rng, (3, 1, 3, 3), "f4")
    whole = whole_numbers(rng, (4, 6, 12, 4 * LANES), "f4")
    for x in (whole[::2, ::2, ::3, 1 : 2 * LANES], whole[:, :3, :, ::-1], whole[:, :3, ::-1], whole[:, 3:, :, ::2]):
        options = {"padding": (1, 2), "groups": 3}
        np.testing.assert_array_equal(layers.conv2d(x, weights, **options), expected(x, weights, **options))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_depthwise_samples_outside_are_left_out(value):
    rng = np.random.default_rng(14)
    x = rng.integers(1, 4, (1, 2, 9, 3 * LANES)).astype(np.float32)
    for place in itertools.product((0, 2), (0, 1)):
        weights = rng.integers(1, 3, (2, 1, 3, 2)).astype(np.float32)
        weights[(1, 0, *place)] = value
        for padding in ((1, 0), ((0, 6), (0, 0)), 1):
            options = {"padding": padding, "groups": 2}
            np.testing.assert_array_equal(layers.conv2d(x, weights, **options), expected(x, weights, **options))


def test_both_layouts_of_depthwise_layers_give_the_same_bits():
    rng = np.random.default_rng(15)
    for kernel in (3, 5, 9):
        x = rng.normal(size=(2, 2 * LANES, 23, 2 * LANES + 9)).astype("f4")
        weights = rng.normal(size=(2 * LANES, 1, kernel, kernel)).astype("f4")
        options = {"padding": kernel // 2, "groups": 2 * LANES}
        results = [layers.conv2d(x, weights, workers=workers, **options) for workers in (1, 3)]
        np.testing.assert_array_equal(*results)
        last = layers.conv2d(in_layout(x, "channels_last"), weights, layout="channels_last", **options)
        np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), results[0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_first_layers(layout):
    rng = np.random.default_rng(16)
    gradient = whole_numbers(rng, (2, 64, 6, 4 * LANES), "f4")
    weights = whole_numbers(rng, (64, 2, 9, 9), "f4")
    options = {"stride": 2, "padding": 4}
    shape = (2, 2, 12, 8 * LANES)
    expect = expected_input_gradient(gradient, weights, shape, **options)
    with observed() as events:
        given = in_layout(gradient, layout)
        shape = shape if layout == "channels_first" else (shape[0], *shape[2:], shape[1])
        found = layers.conv2d_input_gradient(given, weights, shape, layout=layout, **options)
    np.testing.assert_array_equal(from_layout(found, layout), expect)
    assert "planewise_engine" in {event.engine for event in events if event.name == "layer"}


FIRST, LAST = LAYOUTS


@pytest.mark.parametrize(
    ("layout", "shape", "weights_shape", "groups", "chosen"),
    [
        (FIRST, (1, 3, 64, 64), (64, 3, 3, 3), 1, True),
        (LAST, (1, 3, 64, 64), (64, 3, 3, 3), 1, False),
        (FIRST, (1, 1, 64, 64), (32, 1, 9, 9), 1, True),
        (FIRST, (1, 3, 64, 64), (3, 3, 3, 3), 1, True),
        (FIRST, (1, 64, 64, 64), (3, 64, 9, 9), 1, True),
        (LAST, (1, 64, 64, 64), (2, 64, 9, 9), 1, True),
        (FIRST, (1, 256, 28, 28), (256, 256, 3, 3), 1, False),
        (FIRST, (1, 4 * LANES, 64, 64), (4 * LANES, 4, 3, 3), LANES, True),
        (LAST, (1, 4 * LANES, 64, 64), (4 * LANES, 4, 3, 3), LANES, False),
        (FIRST, (1, 4 * LANES, 64, 64), (4 * LANES, 1, 3, 3), 4 * LANES, True),
        (LAST, (1, 4 * LANES, 64, 64), (4 * LANES, 1, 3, 3), 4 * LANES, False),
        (FIRST, (1, 4 * LANES, 7, 7), (4 * LANES, 1, 3, 3), 4 * LANES, False),
    ],
)
def test_choice(layout, shape, weights_shape, groups, chosen):
    x = in_layout(np.ones(shape, "f4"), layout)
    with observed() as events:
        layers.conv2d(x, np.ones(weights_shape, "f4"), groups=groups, padding=1, layout=layout)
    assert [event.engine == "planewise_engine" for event in events if event.name == "layer"] == [chosen]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
def test_no_memory_beside_the_arrays_is_touched(always, layout):
    rng, choose = np.random.default_rng(9), random.Random(9)
    source, target = guarded_arrays.Region(1 << 20), guarded_arrays.Region(1 << 21)
    for _ in range(60):
        groups = choose.choice((1, 1, 2, 4))
        channels, outputs = (
            (groups * choose.randint(1, 4), groups * choose.choice((1, 3, 8, 17))) if groups < 4 else (4, 4)
        )
        kernel = choose.choice(((1, 1), (3, 3), (2, 5)))
        options = {
            "stride": (choose.choice((1, 2)), 1), "padding": choose.choice((0, 1, (2, 0), ((2, 0), (0, 3)))),
            "groups": groups, "padding_mode": choose.choice(("zero", "mirror")),
        }  # fmt: skip
        x = whole_numbers(rng, (2, channels, choose.randint(5, 9), LANES + choose.choice((4, 5, 20))), "f4")
        weights = whole_numbers(rng, (outputs, channels // groups, *kernel), "f4")
        expect = expected(x, weights, **options)
        if layout == "channels_last":
            x, expect = x.transpose(0, 2, 3, 1), expect.transpose(0, 2, 3, 1)
        upper = choose.random() < 0.5
        given, _ = source.filled(x, upper=upper)
        out = target.empty(expect.shape, "f4", upper=not upper)
        layers.conv2d(given, weights, layout=layout, out=out, **options)
        np.testing.assert_array_equal(out, expect)
        assert target.untouched(out)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_many_taps_of_few_channels_have_the_same_bits_in_both_layouts(channels):
    rng = np.random.default_rng(channels)
    x = (rng.integers(0, 256, (1, channels, 40, 50)) / 7).astype(np.float32)
    weights = rng.standard_normal((channels, 1, 24, 30)).astype(np.float32)
    first = layers.conv2d(x, weights, groups=channels)
    last = layers.conv2d(in_layout(x, "channels_last"), weights, groups=channels, layout="channels_last")
    np.testing.assert_array_equal(from_layout(last, "channels_last"), first)
