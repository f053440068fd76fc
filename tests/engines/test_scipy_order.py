"""Correlations along axes with every product, sum and result rounded, in the order that `scipy_order_lines` states."""

import math

import numpy as np
import pytest

from fastconv._model.geometry import FILL, ZERO
from fastconv._planning.ndimage import scipy_order
from fastconv._planning.ndimage.nd_correlation import Filter
from tests.oracle import BOUNDARIES

CODES = list(range(len(BOUNDARIES)))


def sum_of(samples, weights):
    """The definition, in Python's doubles."""
    last, middle = len(weights) - 1, len(weights) // 2
    mirrored = weights[::-1]
    if len(weights) % 2 and all(a == b for a, b in zip(weights[:middle], mirrored)):
        sign = 1
    elif len(weights) % 2 and all(a == -b for a, b in zip(weights[:middle], mirrored)):
        sign = -1
    else:
        total = samples[last] * weights[last]
        for sample, weight in zip(samples[:last], weights):
            total += sample * weight
        return total
    total = samples[middle] * weights[middle]
    for k in range(middle):
        total += (samples[k] + sign * samples[last - k]) * weights[k]
    return total


def weights_of(rng, size, symmetry):
    weights = rng.standard_normal(size)
    return weights + symmetry * weights[::-1] if symmetry else weights


@pytest.mark.parametrize("symmetry", [1, -1, 0])
@pytest.mark.parametrize("taps", [1, 2, 3, 8, 17, 40])
def test_sums_are_those_of_the_definition(taps, symmetry):
    rng = np.random.default_rng([taps, symmetry + 1])
    x, weights = rng.standard_normal(300), weights_of(rng, taps, symmetry)
    out = np.empty(x.shape)
    scipy_order.correlate_lines(x, [Filter(weights, (0,), (0,), ZERO, 0.0)], out)
    padded = [*map(float, x), *[0.0] * taps]
    expected = [sum_of(padded[k : k + taps], [*map(float, weights)]) for k in range(x.size)]
    assert out.tolist() == expected


def lines(x, axes, taps, boundary, rng):
    symmetry = int(rng.integers(-1, 2))
    first = int(rng.integers(1 - taps, 1))
    fill = 2.5 + 0.5j if x.dtype.kind == "c" else 2.5
    return Filter(weights_of(rng, taps, symmetry), axes, (first,), boundary, fill if boundary == FILL else 0.0)


def check(x, filters, dtype, view=lambda out: out, operation="store"):
    """Compare compiled code with NumPy, bit for bit."""
    before = np.random.default_rng(0).integers(0, 100, x.shape).astype(dtype)
    out, expected, between = view(before.copy()), before.copy(), x
    for filter in filters[:-1]:
        scipy_order.lines_in_numpy(between, filter, result := np.empty(x.shape, dtype), "store")
        between = result
    scipy_order.lines_in_numpy(between, filters[-1], expected, operation)
    scipy_order.correlate_lines(x, filters, out, operation)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("boundary", CODES)
@pytest.mark.parametrize("seed", range(12))
def test_types_axes_and_layouts(seed, boundary):
    rng = np.random.default_rng([seed, boundary, 1])
    shape = tuple(map(int, rng.integers(1, [90, 60, 20, 9][seed % 4], seed % 4 + 1)))
    for dtype in ("u1", "i2", "u4", "i8", "u8", "f4", "f8", "F", "D"):
        x = rng.standard_normal(shape) * 100
        if dtype in "FD":
            x = x + 1j * rng.standard_normal(shape)
        x = x.astype(dtype) if dtype in ("i2", "i8", "f4", "f8", "F", "D") else np.abs(x).astype(dtype)
        layout = rng.integers(5)
        if layout == 0:
            x = x.astype(x.dtype.newbyteorder())
        elif layout == 1:
            x = np.asfortranarray(x)
        elif layout == 2:
            x = np.repeat(x, 2, -1)[..., ::-2]
        axis, taps = int(rng.integers(x.ndim)), int(rng.integers(1, 24))
        result = dtype if rng.random() < 0.5 or dtype in "FD" else str(rng.choice(["i1", "i4", "u8", "f4", "f8"]))
        check(x, [lines(x, (axis,), taps, boundary, rng)], {"F": "D", "D": "F"}.get(result, result))
        check(x, [lines(x, (axis,), taps, boundary, rng)], result, lambda out: np.repeat(out, 2, -1)[..., ::2])


@pytest.mark.parametrize("shape", [(400, 700), (700, 40), (6, 90, 3), (130_000,), (3, 20_000)])
@pytest.mark.parametrize("dtype", ["f8", "f4", "u2"])
def test_many_blocks(shape, dtype):
    rng = np.random.default_rng(3)
    x = (rng.random(shape) * 1000).astype(dtype)
    for axis in range(x.ndim):
        for taps in (3, 150):
            check(x, [lines(x, (axis,), taps, BOUNDARIES.index("reflect"), rng)], dtype)


@pytest.mark.parametrize("boundary", CODES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 2), (2, 1, 0), (1, 2), (0, 2, 1), (0, 1, 0)])
def test_passes_in_turn(order, boundary):
    rng = np.random.default_rng([boundary, *order])
    for shape in (
        ((40, 90, 3), (20, 9, 70), (150, 30, 1)) if max(order) == 2 else ((300, 700), (70, 9), (9, 300), (60, 90, 4))
    ):
        for dtype in ("f8", "f4", "i2", "i8", "D"):
            x = (rng.standard_normal(shape) * 100).astype(dtype)
            for _ in range(2):
                filters = [lines(x, (axis,), int(rng.integers(1, 14)), boundary, rng) for axis in order]
                check(x, filters, {"i8": "f4", "D": "F"}.get(dtype, dtype))


@pytest.mark.parametrize("operation", ["add", "square", "add_square", "root"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "i2", "u4", "i8", "F", "D"])
def test_results_are_combined_with_the_output(dtype, operation):
    if operation != "add" and np.dtype(dtype).kind != "f":
        return
    rng = np.random.default_rng(7)
    for shape in ((50, 210), (9, 5), (30, 40, 3), (700,)):
        x = rng.standard_normal(shape) * 50
        x = x + 1j * rng.standard_normal(shape) if dtype in "FD" else x
        x = x.astype("D" if dtype in "FD" else rng.choice(["f8", "f4", "i2"]))
        one, other = (lines(x, (axis,), 5, BOUNDARIES.index("nearest"), rng) for axis in (0, x.ndim - 1))
        check(x, [one], dtype, operation=operation)
        check(x, [one, other], dtype, operation=operation)
        check(x, [other, one], dtype, lambda out: np.repeat(out, 2, -1)[..., ::2], operation)


def test_more_taps_than_samples():
    rng = np.random.default_rng(4)
    for shape in ((7,), (5, 40), (40, 5)):
        for axis in range(len(shape)):
            check(rng.random(shape), [lines(rng.random(shape), (axis,), 4001, BOUNDARIES.index("mirror"), rng)], "f8")


def test_mirrored_input_gives_mirrored_output():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 333))
    for symmetry in (1, -1):
        for axis in (0, 1):
            filter = Filter(weights_of(rng, 13, symmetry), (axis,), (-6,), BOUNDARIES.index("reflect"), 0.0)
            out, mirrored = np.empty(x.shape), np.empty(x.shape)
            scipy_order.correlate_lines(x, [filter], out)
            scipy_order.correlate_lines(np.flip(x, axis), [filter], mirrored)
            np.testing.assert_array_equal(np.flip(mirrored, axis), symmetry * out)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 5e-324, 1.7e308])
def test_values_at_the_ends_of_the_range(value):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((20, 90))
    x[7, 50] = value
    for axis in (0, 1):
        check(x, [lines(x, (axis,), 5, BOUNDARIES.index("nearest"), rng)], "f8")
        check(x, [lines(x, (axis,), 5, FILL, rng)._replace(fill_value=value)], "f4")
        check(x, [lines(x, (axis,), 3, ZERO, rng)._replace(weights=np.array([0.5, value, 0.5]))], "f8")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1.0], 1),
        ([3.0, 1.0, 3.0], 1),
        ([0.3, 1.0, 0.3 + 1e-16], 1),
        ([3.0, 1.0, 3.1], 0),
        ([-3.0, 1.0, 3.0], -1),
        ([0.0, 1.0, 0.0], 1),
        ([1.0, 1.0], 0),
        ([1e-17, 1.0, 5e-17], 1),
        ([math.nan, 1.0, 2.0], 1),
        ([math.inf, 1.0, math.inf], 1),
    ],
)
def test_symmetry_is_up_to_an_eps(weights, expected):
    assert scipy_order.facts_of(np.array(weights)).symmetry == expected
    many = np.zeros(40_001)
    many[20_000 - len(weights) // 2 :][: len(weights)] = weights
    if len(weights) % 2:
        assert scipy_order.facts_of(many).symmetry == expected
