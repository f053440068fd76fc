"""Symmetric and antisymmetric taps give, for mirrored input, the mirrored result to the last bit."""

import numpy as np
import pytest

import fastconv
from fastconv import image, kernels
from fastconv._microkernels.blocks import direct_tile
from fastconv._model.separability import factors, make_symmetric
from fastconv._runtime.instrumentation import observed
from tests import sizes
from tests.oracle import BOUNDARIES

FLOATS = ("f4", "f8", "c8", "c16")
# Shapes, axes and channels of each layout: lines, columns, channels last, a batch, narrow rows.
LINES = [((900,), 0), ((7, 130), 1), ((130, 40), 0), ((90, 5), 0), ((3, 90, 3), 1), ((2, 60, 50), 1), ((70, 3, 2), 0)]


def numbers(rng, shape, dtype):
    values = rng.standard_normal(shape) * 2.0 ** rng.integers(-20, 20, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def real_of(dtype):
    return np.dtype(dtype).type(0).real.dtype


def symmetric(rng, taps, dtype, sign=1):
    """Taps that are their own mirror image, times `sign`."""
    half = numbers(rng, taps // 2, dtype)
    middle = numbers(rng, 1, dtype) if sign == 1 else np.zeros(1, dtype)
    return np.concatenate((half, middle[: taps % 2], sign * half[::-1]))


def assert_same_bits(found, wanted):
    assert found.dtype == wanted.dtype
    assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(wanted).tobytes()


def mirrored_start(taps):
    """Outputs of mode 'same' of an even kernel lie half a tap aside: the mirror image is that of the full mode."""
    return "same" if taps % 2 else "full"


# -------------------------------------------------------------------------------------------------- along one axis


def test_sums_from_left_to_right_would_not_be_mirrored():
    rng = np.random.default_rng(1)
    x, taps = numbers(rng, 50, "f8"), symmetric(rng, 9, "f8")

    def sums(line):
        windows = np.lib.stride_tricks.sliding_window_view(line, 9)
        return np.add.accumulate(windows * taps, axis=1)[:, -1]

    assert sums(x[::-1])[::-1].tobytes() != sums(x).tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("shape", "axis"), LINES)
def test_symmetric_taps_along_one_axis(shape, axis, sign, dtype):
    rng = np.random.default_rng(2)
    channels = shape[-1] if len(shape) > axis + 1 else 1
    counts = {*range(1, 20), *sizes.taps(dtype), *sizes.taps(dtype, channels), 63, 64, 65, 101, 300}
    for turn, taps in enumerate(sorted(counts)):
        boundary = BOUNDARIES[turn % len(BOUNDARIES)]
        fill = 1 if boundary == "fill" else 0
        x = numbers(rng, shape, dtype)
        kernel = symmetric(rng, taps, dtype if turn % 3 == 0 else real_of(dtype), sign)
        options = dict(mode=mirrored_start(taps), axis=axis, boundary=boundary, fill_value=fill, method="direct")
        found = fastconv.convolve1d(x, kernel, **options)
        if sign == -1 and fill:
            continue  # the filling has no sign to change
        mirrored = fastconv.convolve1d(np.flip(x, axis), kernel, **options)
        assert_same_bits(np.flip(mirrored, axis), sign * found + 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "axis"), [((3000,), 0), ((2, 2500), 1), ((1500, 40), 0), ((1500, 3), 0)])
def test_many_taps_that_reach_no_sample(shape, axis, dtype):
    rng = np.random.default_rng(12)
    x, taps = numbers(rng, shape, dtype), symmetric(rng, 2001, dtype)
    for sign in (1, -1):
        kernel = symmetric(rng, 2001, dtype, sign)
        found = fastconv.convolve1d(x, kernel, axis=axis, method="direct")
        mirrored = fastconv.convolve1d(np.flip(x, axis), kernel, axis=axis, method="direct")
        assert_same_bits(np.flip(mirrored, axis), sign * found + 0)
    taps[0] = np.nextafter(taps[0].real, 9)  # others are left out, of taps that are not symmetric
    with observed() as events:
        fastconv.convolve1d(x, taps, axis=axis, method="direct")
    (event,) = (event for event in events if event.name == "direct")
    assert not {*event.tables["pieces"]["taps"].tolist()} <= {1, taps.size}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "axis"), LINES)
def test_signs_of_zero_taps_do_not_matter(shape, axis, dtype):
    rng = np.random.default_rng(3)
    for taps in (5, 12, 41):
        x, kernel = numbers(rng, shape, dtype), symmetric(rng, taps, dtype)
        kernel[[1, -2]] = 0
        found = fastconv.convolve1d(x, kernel, axis=axis, method="direct")
        kernel[1] *= -1
        assert_same_bits(fastconv.convolve1d(x, kernel, axis=axis, method="direct"), found)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_every_width_and_height(dtype):
    rng = np.random.default_rng(4)
    for width in sizes.widths(dtype):
        for taps in (2, 3, 7, 18, *sizes.taps(dtype)[-2:]):
            kernel = symmetric(rng, taps, dtype)
            x = numbers(rng, (5, width), dtype)
            found = fastconv.convolve1d(x, kernel, method="direct")
            assert_same_bits(fastconv.convolve1d(x[:, ::-1], kernel, method="direct")[:, ::-1], found)
    for height in range(1, 14):
        for taps in range(1, 20):
            kernel = symmetric(rng, taps, dtype)
            x = numbers(rng, (height, direct_tile.minimum_width(4) + 1), dtype)
            found = fastconv.convolve1d(x, kernel, axis=0, method="direct")
            assert_same_bits(fastconv.convolve1d(x[::-1], kernel, axis=0, method="direct")[::-1], found)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("taps", [1, 2, 5, 9, 16, 33, 101])
def test_sums_are_those_of_the_definition(dtype, taps):
    """Each tap once: whole numbers are exact."""
    rng = np.random.default_rng(5)
    for shape, axis in LINES:
        x = rng.integers(-9, 10, shape).astype(dtype)
        kernel = rng.integers(-9, 10, taps).astype(dtype)
        found = fastconv.convolve1d(x, kernel, axis=axis, method="direct")
        wanted = np.apply_along_axis(np.convolve, axis, x.astype("f8"), kernel.astype("f8"))
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.usefixtures("eight_processors")
def test_other_blocks_and_numbers_of_threads():
    rng = np.random.default_rng(6)
    x, taps = numbers(rng, (700, 1100), "f4"), symmetric(rng, 21, "f4")
    for axis in (0, 1):
        for boundary in ("reflect", "wrap", "zero"):
            found = fastconv.convolve1d(x, taps, "same", axis=axis, boundary=boundary, workers=1)
            for workers in (1, 2, 8):
                mirrored = fastconv.convolve1d(
                    np.flip(x, axis), taps, "same", axis=axis, boundary=boundary, workers=workers
                )
                assert_same_bits(np.flip(mirrored, axis), found)


# ---------------------------------------------------------------------------------------------------- outer products


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_factors_are_as_symmetric_as_the_kernel(dtype):
    rng = np.random.default_rng(10)
    for rows, taps in ((3, 3), (4, 7), (16, 16), (17, 17), (25, 38), (101, 63)):
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            lines = [symmetric(rng, count, dtype, sign) for count, sign in zip((rows, taps), signs)]
            for kernel in (np.outer(*lines), np.outer(*lines) / np.asarray(3.7, dtype)):
                found = factors(kernel, np.dtype(dtype))
                for factor, sign in zip(found, signs):
                    np.testing.assert_array_equal(factor, sign * factor[::-1])
    # Sums of least squares may be rounded differently for two columns that are equal: it depends on BLAS.
    for sign in (1, -1):
        line = symmetric(rng, 7, "f8", sign)
        rounded = line * (1 + np.arange(7) * 2.0**-52)
        make_symmetric(rounded, np.outer(line, line[:5]))
        np.testing.assert_array_equal(rounded, sign * rounded[::-1])
        before = rounded + np.arange(7)
        make_symmetric(rounded := before.copy(), np.outer(before, line))
        np.testing.assert_array_equal(rounded, before)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("is_mean", [False, True])
def test_factors_of_the_mirror_image_are_mirrored(dtype, is_mean):
    rng = np.random.default_rng(28)
    total = direct_sum if is_mean else None
    for _ in range(600):
        column, row = (rng.standard_normal(taps) for taps in rng.integers(2, 18, 2))
        if is_mean:
            column, row = (np.abs(factor) / np.abs(factor).sum() for factor in (column, row))
        kernel = np.outer(column, row).astype(dtype)
        column, row = factors(kernel, np.dtype(dtype), total)
        for down, across in ((-1, 1), (1, -1), (-1, -1)):
            other = factors(kernel[::down, ::across], np.dtype(dtype), total)
            assert_same_bits(other[0][::down], column)
            assert_same_bits(other[1][::across], row)


def direct_sum(factor, _axis):
    """The sum of a factor from both ends."""
    half = factor.size // 2
    ends = sum(factor[:half].tolist()) + sum(factor[: factor.size - half - 1 : -1].tolist())
    return ends + sum(factor[half : factor.size - half].tolist())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("boundary", ["zero", "nearest", "reflect", "mirror", "wrap"])
def test_symmetric_outer_products(dtype, boundary):
    rng = np.random.default_rng(7)
    real = real_of(dtype)
    for turn, shape in enumerate(((61, 90), (130, 47), (9, 33), (300, 310), (40, 50, 3))):
        for rows, taps in ((3, 3), (5, 7), (9, 15), (17, 17), (13, 25), (33, 5), (31, 63)):
            signs = (1, -1)[turn % 2], (1, -1)[rows % 4 == 1]
            kernel = np.outer(symmetric(rng, rows, real, signs[0]), symmetric(rng, taps, real, signs[1]))
            if max(rows, taps) > 20 and len(shape) == 2 and shape[0] < 100:
                continue
            x = numbers(rng, shape, dtype)
            options = dict(mode="same", axes=(0, 1), boundary=boundary, method="separable")
            found = fastconv.convolve2d(x, kernel, **options)
            for axis in (0, 1):
                mirrored = fastconv.convolve2d(np.flip(x, axis), kernel, **options)
                assert_same_bits(np.flip(mirrored, axis), signs[axis] * found + 0)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_pictures(dtype):
    rng = np.random.default_rng(8)
    line = np.exp(-0.5 * (np.arange(-6, 7) / 2) ** 2)
    for shape in ((170, 395), (133, 200, 3), (350, 64, 4)):
        x = (rng.random(shape) * 250).astype(dtype)
        for kernel in (np.outer(line, line) / line.sum() ** 2, np.outer(line[3:-3], line)):
            found = image.filter(x, kernel, scale=2.0)
            for axis in (0, 1):
                assert_same_bits(np.flip(image.filter(np.flip(x, axis), kernel, scale=2.0), axis), found)
        for sigma in (1.5, 3):
            found = image.gaussian_blur(x, sigma)
            for axis in (0, 1):
                assert_same_bits(np.flip(image.gaussian_blur(np.flip(x, axis), sigma), axis), found)


# ------------------------------------------------------------------------------------------------------- constants


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(330, 340), (240, 230, 3)])
def test_a_constant_power_of_two_stays_itself_under_a_gaussian(dtype, shape):
    for sigma in (0.8, 1, 1.3, 2, 2.5, 4, (3, 1.5), 7.3, 10):
        kernel = kernels.gaussian(sigma, dtype=np.dtype(dtype).name)
        for value in (1, 0.25, -(2.0**40)):
            x = np.full(shape, value, dtype)
            found = fastconv.convolve2d(x, kernel, "same", axes=(0, 1), boundary="reflect", method="separable")
            assert_same_bits(found, x)
        if max(kernel.shape) > 9:  # else the sums may be direct
            assert_same_bits(image.gaussian_blur(x, sigma), x)


def test_a_constant_stays_itself_under_a_line_of_doubles():
    for sigma in (0.385929648241206, *np.linspace(0.3, 0.62, 30)):
        line = np.exp(-(np.arange(-2, 3) ** 2) / (2 * sigma * sigma))
        for kernel in (line[np.newaxis], line[:, np.newaxis]):
            x = np.ones((30, 31))
            kernel = kernel / line.sum()
            assert_same_bits(fastconv.convolve2d(x, kernel, "same", boundary="nearest", method="separable"), x)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_constant_power_of_two_stays_itself_where_the_taps_make_one_in_order(dtype):
    rng = np.random.default_rng(11)
    one = np.dtype(dtype).type(1)
    for taps in (3, 5, 7, 11):
        half = (rng.random(taps // 2) / taps).astype(dtype)
        end = np.add.accumulate(half)[-1]  # from the end to the middle
        kernel = np.concatenate((half, [one - (end + end)], half[::-1])).astype(dtype)
        for axis in (0, 1) if 4 * taps <= 5 * sizes.lanes(dtype) else (0,):  # longer rows go by groups of taps
            x = np.full((40, 50), 2.0**-9, dtype)
            assert_same_bits(fastconv.convolve1d(x, kernel, "same", axis=axis, boundary="wrap"), x)


def test_factors_that_make_one_differ_from_the_kernel_by_its_rounding():
    """A bell of float32, computed in float64 by the factors in use, and by the exact ones."""
    x = np.zeros((300, 310), "f4")
    x[150, 150] = 1
    for sigma in (1, 2, 5, 10):
        kernel = kernels.gaussian(sigma)
        radius = kernel.shape[0] // 2
        found = fastconv.convolve2d(x, kernel, "same", method="separable")
        part = found[150 - radius : 151 + radius, 150 - radius : 151 + radius]
        assert np.all(np.abs(part - kernel) <= (kernel.shape[0] + 4) * 2.0**-23 * kernel)


# ----------------------------------------------------------------------------------------------------- edge values


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_largest_numbers_do_not_overflow_in_pairs(dtype):
    largest = np.finfo(dtype).max
    for taps in (2, 3, 5, 9, 31):
        kernel = np.full(taps, 1 / (2 * taps), dtype)
        for shape, axis in (((200,), 0), ((60, 50), 0)):
            found = fastconv.convolve1d(np.full(shape, largest, dtype), kernel, "valid", axis=axis, method="direct")
            np.testing.assert_allclose(found / largest, 0.5, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sign", [1, -1])
def test_infinities_nans_denormals_and_zeros_are_mirrored(dtype, sign):
    rng = np.random.default_rng(9)
    least = np.finfo(dtype).smallest_subnormal
    for taps in (2, 3, 6, 9, 18, 33):
        kernel = symmetric(rng, taps, dtype, sign)
        kernel[[0, -1]] = 0
        for axis in (0, 1):
            x = (rng.integers(-3, 4, (40, 70)) * least).astype(dtype)
            for value in (np.inf, -np.inf, np.nan, -0.0):
                x[tuple(rng.integers(0, n, 2) for n in x.shape)] = value
            found = fastconv.convolve1d(x, kernel, axis=axis, method="direct")
            mirrored = np.flip(fastconv.convolve1d(np.flip(x, axis), kernel, axis=axis, method="direct"), axis)
            np.testing.assert_array_equal(mirrored, sign * found)
