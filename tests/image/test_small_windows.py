"""Means, and magnitudes of gradients, over windows of 3 x 3 and 5 x 5."""

import numpy as np
import pytest

from fastconv import image, kernels
from fastconv._runtime.instrumentation import observed
from fastconv._simd.target import processor
from tests.image.test_windows import frame_of, windows_of
from tests.oracle import BOUNDARIES
from tests.sizes import about

MAGNITUDES = {
    "sobel": (image.sobel_magnitude, kernels.sobel_x, 4),
    "scharr": (image.scharr_magnitude, kernels.scharr_x, 16),
    "prewitt": (image.prewitt_magnitude, kernels.prewitt_x, 3),
}
DTYPES = ["u1", "u2", "i2", "f4"]


def shapes(dtype):
    """Widths around those of one, two and three registers, with a few rows; single samples; channels."""
    lanes = processor().vector_bytes // np.dtype(dtype).itemsize
    widths = about(1, lanes, lanes + 4, 2 * lanes, 3 * lanes + 2)
    return [*((5 + n % 6, n) for n in widths), (1, 1), (2, 3 * lanes), (40, 5), (7, lanes, 2), (9, 45, 3)]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_means_equal_the_definition(dtype, boundary):
    options = {"boundary": boundary, "fill_value": 77 if boundary == "fill" else 0}
    for shape in shapes(dtype):
        x = frame_of(shape, dtype)
        for size in (3, 5):
            for mode in ("same", "full", "valid"):
                if (mode == "valid" and min(shape[:2]) < size) or (boundary == "mirror" and min(shape[:2]) == 1):
                    continue
                exact = windows_of(x, (size, size), mode, boundary, options["fill_value"]).mean((-2, -1))
                found = image.box_blur(x, size, mode=mode, **options)
                if dtype == "f4":
                    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-4)
                else:
                    np.testing.assert_array_equal(found, np.rint(exact))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_magnitudes_equal_those_of_convolutions(dtype, boundary):
    options = {"boundary": boundary, "fill_value": 77 if boundary == "fill" else 0}
    for number, shape in enumerate(shapes(dtype)):
        x, (function, _, _) = frame_of(shape, dtype), [*MAGNITUDES.values()][number % 3]
        if dtype != "u1":
            x = (x / np.float32(1.0 if dtype == "f4" else 1 + number % 4)).astype(dtype)  # few saturate
        for mode in ("same", "full", "valid"):
            if mode == "valid" and min(shape[:2]) < 3:
                continue
            found = function(x, mode=mode, **options)
            usual = function(x, mode=mode, method="direct", **options)
            if dtype == "f4":
                np.testing.assert_allclose(found, usual, rtol=1e-5, atol=1e-4)
            else:
                np.testing.assert_array_equal(found, usual)


@pytest.mark.parametrize("name", MAGNITUDES)
def test_magnitudes_of_bytes_are_rounded_as_exact_ones(name):
    function, kernel, scale = MAGNITUDES[name]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (600, 900), np.uint8)
    x[::5], x[:, ::7] = 255 * (x[::5] > 128), x[:, ::7] // 64 * 85
    parts = [image.filter(x, taps, dtype="f8").astype(int) for taps in (kernel(), kernel().T)]
    squares = parts[0] ** 2 + parts[1] ** 2
    # floor(root / scale + 1 / 2), and of halves the even one.
    floor = (np.sqrt(4 * squares).astype(int) + scale) // (2 * scale)
    is_half = 4 * squares == (scale * (2 * floor - 1)) ** 2
    floor -= is_half & (floor % 2 == 1)
    np.testing.assert_array_equal(function(x), floor.clip(0, 255))


def test_the_engine_of_small_windows_runs_in_any_layout():
    x = frame_of((70, 90, 3), ">u2")
    calls = [lambda x: image.box_blur(x, 3), lambda x: image.box_blur(x, 5), image.scharr_magnitude]
    for call in calls:
        wanted = call(x.astype("u2"))
        for given in (x, np.asfortranarray(x), x[::-1][::-1], np.repeat(x, 2, 1)[:, ::2]):
            with observed() as events:
                np.testing.assert_array_equal(call(given), wanted)
            assert [event.name for event in events if event.name in ("windows", "direct")] == ["windows"]
    planes = np.moveaxis(x, -1, 0)
    np.testing.assert_array_equal(image.box_blur(planes, 3, axes=(1, 2)), np.moveaxis(image.box_blur(x, 3), -1, 0))
    turned = image.sobel_magnitude(x.transpose(1, 0, 2)).transpose(1, 0, 2)
    np.testing.assert_array_equal(turned, image.sobel_magnitude(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_number_of_workers(dtype):
    x = frame_of((1100, 1300), dtype)
    for call in (lambda x, **options: image.box_blur(x, 5, **options), image.prewitt_magnitude):
        usual = call(x, workers=1)
        np.testing.assert_array_equal(call(x, workers=3), usual)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_not_finite_stay_in_their_windows(odd):
    x = frame_of((40, 70), "f4")
    calls = [lambda x: image.box_blur(x, 3), lambda x: image.box_blur(x, 5), image.sobel_magnitude]
    for call, reach in zip(calls, (1, 2, 1)):
        usual = call(x)
        for row, column in ((0, 0), (20, 35), (39, 69), (13, 1)):
            spoiled = x.copy()
            spoiled[row, column] = odd
            touched = np.zeros(x.shape, bool)
            touched[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = True
            found = call(spoiled)
            np.testing.assert_array_equal(found[~touched], usual[~touched])
            changed = ~(np.abs(found - usual) < 1e30)
            changed[row, column] |= odd == 3e38 and call is image.sobel_magnitude  # it is not in its own derivatives
            np.testing.assert_array_equal(changed, touched)


@pytest.mark.parametrize("name", MAGNITUDES)
def test_magnitudes_of_large_floats_do_not_overflow(name):
    function, x = MAGNITUDES[name][0], np.zeros((8, 70), np.float32)
    x[:, 35:] = 3e38
    expected = np.zeros_like(x)
    expected[:, 34:36] = 3e38
    np.testing.assert_allclose(function(x), expected, rtol=1e-6)
    corner = np.full((8, 70), -3e38, np.float32)
    corner[3, 35] = 3e38
    exact = 2.0**100 * function(corner / np.float32(2.0**100)).astype("f8")  # of other samples
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(function(corner), exact.astype("f4"), rtol=1e-6)
