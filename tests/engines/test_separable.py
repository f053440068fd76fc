"""The separable engine, and the factorization of kernels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import image, kernels
from fastconv._microkernels.blocks import direct_tile
from fastconv._model.separability import factors
from fastconv._runtime.instrumentation import forced, observed
from tests import sizes
from tests.oracle import BOUNDARIES, DTYPES, LAYOUTS, MODES, check, expected, whole_numbers

RNG = np.random.default_rng(1)
# Smallest width that the float32 microkernels compute.
LEAST = direct_tile.minimum_width(4)
REAL = [dtype for dtype in DTYPES if np.dtype(dtype).kind != "c"]


def outer(rng, shape, dtype):
    """Outer product of small integers, exact in every type."""
    if np.dtype(dtype).kind == "b":
        return np.multiply.outer(*(rng.integers(0, 2, n).astype(bool) for n in shape))
    low = 0 if np.dtype(dtype).kind == "u" else -2
    return np.multiply.outer(*(rng.integers(low, 3, n) for n in shape)).astype(dtype)


def product(found):
    return np.multiply.outer(*(np.asarray(factor, np.longdouble) for factor in found))


def bell(size, sigma):
    return np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)


# ------------------------------------------------------------------------------------------------------- factors


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", [1, 2, 3, 15, 31])
def test_outer_products_of_floats_are_factored(dtype, size):
    dtype = np.dtype(dtype)
    for _ in range(30):
        column, row = RNG.standard_normal(size).astype(dtype), RNG.standard_normal(size + 2).astype(dtype)
        for kernel in (np.outer(column, row), np.outer(column, row) / np.abs(np.outer(column, row)).sum()):
            found = factors(kernel, dtype)
            assert found is not None
            assert found[0].dtype == found[1].dtype == dtype
            assert np.abs(found[0]).sum() <= 8
            assert np.abs(found[1]).sum() <= max(0.5, np.abs(kernel).sum() / 4)
            # An ulp of a tap is between half an eps and one.
            assert np.all(np.abs(product(found) - kernel) <= 3 * np.finfo(dtype).eps * np.abs(kernel))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.3, 0.5, 1, 2, 5, 20, 1000])
def test_gaussians_of_any_width_are_factored(dtype, sigma):
    dtype = np.dtype(dtype)
    for size in (3, 4, 15, 31):
        line = bell(size, sigma)
        for kernel in (
            np.outer(line, line).astype(dtype),
            np.outer(line.astype(dtype), line.astype(dtype)),
            (np.outer(line, line) / line.sum() ** 2).astype(dtype),
            np.outer(line.astype(dtype), line.astype(dtype)) / np.outer(line, line).astype(dtype).sum(),
        ):
            assert factors(kernel, dtype) is not None


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_kernels_of_denormal_taps_are_factored_exactly_or_not_at_all(dtype):
    dtype, least = np.dtype(dtype), np.finfo(dtype).smallest_subnormal
    for kernel in (RNG.integers(1, 9, (9, 9)), np.array([[1, 1], [1, 2]]), np.array([[1, 0], [0, 1]])):
        assert factors((kernel * least).astype(dtype), dtype) is None
    even = np.full((3, 3), 5 * least, dtype)
    np.testing.assert_array_equal(product(factors(even, dtype)), even)


def test_taps_that_underflowed_have_their_own_products():
    x = np.zeros((160, 170), "f4")
    x[80, 70] = 1e30
    gaussian, corner = np.outer(bell(31, 1.55), bell(31, 1.55)).astype("f4"), np.ones((2, 2), "f4")
    corner[1] = corner[:, 1] = 1e-30
    corner[1, 1] = 0
    for kernel in (gaussian, corner):
        assert factors(kernel, np.dtype("f4")) is not None
        with forced(method="separable"):  # the least estimate
            result = fastconv.convolve2d(x, kernel, "full")
        rows, columns = kernel.shape
        found = result[80 : 80 + rows, 70 : 70 + columns]
        np.testing.assert_allclose(found, kernel * x[80, 70], rtol=1e-6)
        weighted = fastconv.convolve2d(x, kernel, "full", weights=1.0, normalize=False)
        np.testing.assert_allclose(weighted[80 : 80 + rows, 70 : 70 + columns], found, rtol=1e-5)
        fastconv.convolve2d(x, kernel, method="separable")  # as asked for


@pytest.mark.parametrize(("dtype", "least", "gain"), [("f4", 1e-36, 1e12), ("f8", 1e-300, 1e40)])
def test_the_first_pass_does_not_underflow_before_a_kernel_enlarges_it(dtype, least, gain):
    kernel, x = (np.outer(bell(31, 3), bell(31, 2)) * gain).astype(dtype), np.zeros((60, 70), dtype)
    x[30, 40] = least
    for samples in (x, np.asfortranarray(x)):
        result = fastconv.convolve2d(samples, kernel, "same", method="separable")
        np.testing.assert_allclose(result[15:46, 25:56], kernel * x.max(), rtol=12 * np.finfo(dtype).eps)
    tiny, large = np.finfo(dtype).smallest_subnormal, np.full((9, 9), np.sqrt(np.finfo(dtype).max), dtype)
    result = fastconv.convolve2d(np.full((40, 50), tiny, dtype), large, "valid", method="separable")
    np.testing.assert_allclose(result, 81.0 * tiny * large[0, 0], rtol=22 * np.finfo(dtype).eps)


def test_named_kernels_are_factored():
    for kernel in (kernels.box(5), kernels.gaussian(2), kernels.sobel_x(), kernels.sobel_y()):
        column, row = factors(kernel, kernel.dtype)
        assert np.all(np.abs(product((column, row)) - kernel) <= 2**-23 * np.abs(kernel))
    for kernel in (kernels.edge(), kernels.sharpen(), kernels.emboss(), kernels.laplacian()):
        assert factors(kernel, kernel.dtype) is None
    prewitt = np.outer([1, 1, 1], [1, 0, -1])
    for dtype in ("i2", "f4", "f8"):
        np.testing.assert_array_equal(product(factors(prewitt.astype(dtype), np.dtype(dtype))), prewitt)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_outer_product_with_one_changed_tap_is_refused(dtype):
    dtype = np.dtype(dtype)
    line = bell(5, 1.3)
    kernel = np.outer(line, line / line.sum()).astype(dtype)
    assert factors(kernel, dtype) is not None
    for place in np.ndindex(kernel.shape):
        for ulps in (-24, 24):
            changed = kernel.copy()
            changed[place] += ulps * np.spacing(changed[place])
            assert factors(changed, dtype) is None


def test_integral_floats_and_binomials_have_exact_factors():
    for _ in range(100):
        kernel = np.outer(RNG.integers(-9, 10, 5), RNG.integers(-9, 10, 4))
        for scale in (1, 0.125):
            found = factors(kernel * np.float32(scale), np.dtype("f4"))
            slack = 0 if scale == 1 else 3 * np.finfo("f4").eps * np.abs(kernel * scale)
            assert np.all(np.abs(product(found) - kernel * scale) <= slack)
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_array_equal(product(factors(binomial, np.dtype("f8"))), binomial)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_kernels_have_no_factors(value):
    for kernel in (np.full((3, 3), value), np.array([[1.0, value], [1.0, 1.0]])):
        assert factors(kernel, np.dtype("f8")) is None


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f4", "f8"])
def test_kernel_of_zeros_has_factors_of_zeros(dtype):
    compute = np.dtype(dtype if dtype != "?" else "i4")
    column, row = factors(np.zeros((3, 4), dtype), compute)
    assert (column.tolist(), row.tolist()) == ([0] * 3, [0] * 4)
    kernel = np.zeros((4, 5), dtype)
    kernel[1, 3] = kernel[3, 3] = 1
    np.testing.assert_array_equal(product(factors(kernel, compute)), kernel)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 3e38])
def test_factors_do_not_overflow(scale):
    kernel = (np.outer(bell(9, 2), bell(9, 2)) * scale).astype("f4")
    found = factors(kernel, np.dtype("f4"))
    assert np.isfinite(found[0]).all()
    assert np.all(np.abs(product(found) - kernel) <= 4 * 2**-23 * kernel)


def test_extreme_range_is_refused_or_exact():
    kernel = np.outer([1.0, 1e-300], [1e300, 1.0])
    found = factors(kernel, np.dtype("f8"))
    assert found is None or np.allclose(product(found).astype(float), kernel, rtol=1e-15, atol=0)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "i8", "u8"])
def test_integers_are_factored_exactly_or_not_at_all(dtype):
    for _ in range(50):
        kernel = outer(RNG, (4, 5), dtype)
        column, row = factors(kernel, np.dtype(dtype))
        np.testing.assert_array_equal(np.multiply.outer(column, row), kernel)
        if np.count_nonzero(kernel) and np.linalg.matrix_rank(kernel.astype(float) + np.eye(4, 5)) > 1:
            assert factors((kernel + np.eye(4, 5)).astype(dtype), np.dtype(dtype)) is None


def test_integers_whose_factor_is_in_no_line():
    # 6 = 2 * 3: no row or column holds the factor.
    kernel = np.outer([2, -4, 6], [9, 15, 21])
    column, row = factors(kernel, np.dtype("i8"))
    assert (row.tolist(), column.tolist()) == ([3, 5, 7], [6, -12, 18])
    assert factors(np.array([[4, 6], [6, 8]]), np.dtype("i8")) is None
    assert factors(np.array([[4, 6], [6, 9]]), np.dtype("i8")) is not None


def test_large_integers():
    kernel = np.multiply.outer(np.array([3, 1 << 31], np.uint64), np.array([5, (1 << 32) - 1], np.uint64))
    found = factors(kernel, np.dtype("u8"))
    np.testing.assert_array_equal(np.multiply.outer(*found), kernel)
    kernel[0, 0] += 1
    assert factors(kernel, np.dtype("u8")) is None
    # Equal modulo 2**64 only.
    assert factors(np.array([[1 << 62, 4], [4, 0]]), np.dtype("i8")) is None
    least = np.full((2, 2), np.iinfo("i8").min)
    np.testing.assert_array_equal(np.multiply.outer(*factors(least, np.dtype("i8"))), least)


def test_complex_kernels_have_no_factors():
    assert factors(np.ones((2, 2), complex), np.dtype("f8")) is None


# ---------------------------------------------------------------------------------------------------- two passes


def check_separable(x, kernel, mode="same", boundary="zero", flip=True, **options):
    fill = 1 if boundary == "fill" else 0
    function = fastconv.convolve2d if flip else fastconv.correlate2d
    expect = expected(x, kernel, mode, boundary, fill, flip)
    check(function, x, kernel, mode, boundary=boundary, fill_value=fill, method="separable", expect=expect, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_every_type_mode_and_boundary(dtype, boundary):
    rng = np.random.default_rng(2)
    x, kernel = whole_numbers(rng, (19, 41), dtype), outer(rng, (4, 5), "i1" if dtype in ("c8", "c16") else dtype)
    for mode in MODES:
        check_separable(x, kernel, mode, boundary)
        check_separable(x, kernel, mode, boundary, flip=False)


@pytest.mark.parametrize("x_dtype", ["?", "u1", "i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("kernel_dtype", REAL)
def test_pairs_of_types(x_dtype, kernel_dtype):
    rng = np.random.default_rng(3)
    check_separable(whole_numbers(rng, (9, 33), x_dtype), outer(rng, (3, 4), kernel_dtype), "same", "reflect")


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 31, 40])
def test_heights_and_widths(rows):
    rng = np.random.default_rng(rows)
    for height, width in ((1, 1), (2, 23), (3, 24), (7, 25), (8, 97), (17, 191), (70, 30), (300, 12)):
        for taps in (1, 2, 7, 16, 33):
            check_separable(whole_numbers(rng, (height, width), "f4"), outer(rng, (rows, taps), "f4"), "same", "wrap")


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_widths_and_taps_around_those_of_tiles_and_groups(dtype):
    rng = np.random.default_rng(13)
    for width in sizes.widths(dtype):
        check_separable(whole_numbers(rng, (9, width), dtype), outer(rng, (4, 3), dtype), "same", "zero")
    for taps in sizes.taps(dtype):
        x = whole_numbers(rng, (5, sizes.widths(dtype)[-1] + 5), dtype)
        check_separable(x, outer(rng, (3, taps), dtype), "same", "reflect")


@pytest.mark.parametrize("block", [(1, LEAST), (5, LEAST + 1), (5, 30), (16, 1000), (700, LEAST)])
@pytest.mark.parametrize("boundary", ["zero", "mirror"])
def test_results_do_not_depend_on_the_size_of_blocks(block, boundary):
    image = RNG.standard_normal((200, 300)).astype("f4")
    kernel = np.outer(RNG.standard_normal(11), RNG.standard_normal(6)).astype("f4")

    usual = fastconv.convolve2d(image, kernel, "same", boundary=boundary, method="separable")
    with forced(block=block), observed() as events:
        found = fastconv.convolve2d(image, kernel, "same", boundary=boundary, method="separable")
    assert all(event.job["blocks"] > 1 for event in events if event.name == "separable")
    np.testing.assert_array_equal(found, usual)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_sizes_around_those_of_blocks(boundary):
    rng = np.random.default_rng(5)
    for height, width in ((127, 300), (129, 2049), (260, 2050), (1100, 70)):
        check_separable(whole_numbers(rng, (height, width), "f4"), outer(rng, (5, 7), "f4"), "same", boundary)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_kernels_larger_than_the_image(boundary, mode):
    rng = np.random.default_rng(7)
    for dtype in ("i8", "f8"):
        check_separable(whole_numbers(rng, (2, 3), dtype), outer(rng, (11, 40), dtype), mode, boundary)
        if mode != "valid":
            check_separable(whole_numbers(rng, (40, 2), dtype), outer(rng, (3, 30), dtype), mode, boundary)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
@pytest.mark.parametrize("dtype", ["u1", "f4", "c8"])
def test_axes_batches_and_channels(axes, dtype):
    rng = np.random.default_rng(8)
    x, kernel = whole_numbers(rng, (9, 30, 5), dtype), outer(rng, (3, 4), "i1")
    for boundary in ("zero", "reflect"):
        direct = fastconv.convolve2d(x, kernel, "same", axes=axes, boundary=boundary)
        check(fastconv.convolve2d, x, kernel, "same", axes=axes, boundary=boundary, method="separable", expect=direct)
    stack = whole_numbers(rng, (2, 3, 20, 30), dtype)
    direct = fastconv.correlate2d(stack, kernel)
    check(fastconv.correlate2d, stack, kernel, method="separable", expect=direct)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c8"])
def test_results_do_not_depend_on_layouts(layout, dtype):
    rng = np.random.default_rng(4)
    image = whole_numbers(rng, (38, 61), dtype)
    if dtype == "u1":
        kernel = outer(rng, (5, 3), dtype)
    else:
        image = (image / 7).astype(dtype)
        kernel = np.outer(rng.standard_normal(5), rng.standard_normal(3)).astype("f4" if dtype == "c8" else dtype)
    for boundary in ("zero", "mirror"):
        usual = fastconv.convolve2d(image, kernel, "same", boundary=boundary, method="separable")
        for x, taps in ((LAYOUTS[layout](image), kernel), (image, LAYOUTS[layout](kernel))):
            check(fastconv.convolve2d, x, taps, "same", boundary=boundary, method="separable", expect=usual)


def test_layouts_of_out():
    x = RNG.standard_normal((60, 90)).astype("f4")
    kernel = np.outer(bell(5, 1), bell(9, 2)).astype("f4")
    usual = fastconv.convolve2d(x, kernel, "same", method="separable")
    for place in (np.empty((60, 90), "f4", "F"), np.empty((120, 90), "f4")[::2], np.empty((60, 90), "f4")[::-1, ::-1]):
        assert fastconv.convolve2d(x, kernel, "same", method="separable", out=place) is place
        np.testing.assert_array_equal(place, usual)
    fastconv.convolve2d(x, kernel, "same", method="separable", out=x)
    np.testing.assert_array_equal(x, usual)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
@pytest.mark.usefixtures("eight_processors")
def test_results_do_not_depend_on_the_number_of_workers(dtype):
    x = (1000 * RNG.standard_normal((900, 700))).astype(dtype)
    kernel = outer(RNG, (9, 7), dtype) if dtype == "i4" else np.outer(bell(9, 2), bell(7, 1)).astype(dtype)
    one = fastconv.convolve2d(x, kernel, workers=1, method="separable")
    for workers in (2, 3, 8, None):
        again = fastconv.convolve2d(x, kernel, workers=workers, method="separable")
        np.testing.assert_array_equal(again, one)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_errors_are_within_the_bound(dtype):
    x = RNG.standard_normal((60, 70)).astype(dtype)
    kernel = np.outer(RNG.standard_normal(15), RNG.standard_normal(13)).astype(dtype)
    bound = (15 + 13) * np.finfo(dtype).eps * expected(np.abs(x), np.abs(kernel), "same")
    exact = expected(x, kernel, "same").astype(dtype)
    check(fastconv.convolve2d, x, kernel, "same", method="separable", expect=exact, tolerance=bound)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u4", "i8", "u8"])
def test_integers_wrap(dtype):
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max, (20, 40), dtype, endpoint=True)
    kernel = outer(RNG, (4, 5), dtype)
    check(fastconv.convolve2d, x, kernel, method="separable", expect=expected(x, kernel))
    kernel = np.multiply.outer(np.array([1, 5], dtype), np.array([info.max // 5, 3], dtype))
    check(fastconv.convolve2d, x, kernel, method="separable", expect=expected(x, kernel))


# -------------------------------------------------------------------------------------------- non-finite results


@pytest.mark.parametrize("boundary", ["zero", "wrap"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_non_finite_results_equal_the_direct_engine(dtype, boundary):
    rng = np.random.default_rng(11)
    clean = rng.standard_normal((300, 90)).astype(dtype)
    plain = clean.copy()
    for value in (np.nan, np.inf, -np.inf, np.inf, -np.inf):
        plain[rng.integers(300), rng.integers(90)] = value
    plain[0, 0] = plain[299, 89] = np.inf
    for column, row in (([1, 2, 1], [1, 0, -1]), (bell(7, 1.5), bell(5, 0.05)), (bell(4, 1), bell(40, 1))):
        kernel = np.outer(column, row).astype("f4" if dtype == "c8" else dtype)
        direct = fastconv.convolve2d(plain, kernel, "same", boundary=boundary)
        ours = fastconv.convolve2d(plain, kernel, "same", boundary=boundary, method="separable")
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(direct))
        np.testing.assert_array_equal(ours[~np.isfinite(ours)], direct[~np.isfinite(direct)])
        # Other results are unchanged.
        without = fastconv.convolve2d(clean, kernel, "same", boundary=boundary, method="separable")
        np.testing.assert_array_equal(ours[np.isfinite(ours)], without[np.isfinite(ours)])


def test_non_finite_results_in_batches_channels_and_large_images():
    kernel = np.outer([1, 2, 1], [1, 0, -1]).astype("f4")
    for shape, axes in (((3, 20, 30), (1, 2)), ((40, 50, 3), (0, 1)), ((40, 3, 50), (2, 0)), ((600, 2100), (0, 1))):
        x = RNG.standard_normal(shape).astype("f4")
        for _ in range(3):
            x[tuple(RNG.integers(shape))] = np.inf
        for mode in MODES:
            direct = fastconv.convolve2d(x, kernel, mode, axes=axes)
            ours = fastconv.convolve2d(x, kernel, mode, axes=axes, method="separable")
            np.testing.assert_array_equal(np.isnan(ours), np.isnan(direct))
            np.testing.assert_array_equal(np.isposinf(ours), np.isposinf(direct))
            np.testing.assert_array_equal(np.isneginf(ours), np.isneginf(direct))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_overflow_only_as_in_the_direct_engine(dtype):
    largest = np.finfo(dtype).max
    x = np.full((40, 40), largest / 2, dtype)
    x[::2, ::2] *= -1
    for kernel in (np.outer([1, 2, 1], [1, 0, -1]), np.outer([1, 1], [1, -1]) / 2, np.outer([1, -1], [3, 3]), [[0.9]]):
        kernel = np.asarray(kernel, dtype)
        direct = fastconv.convolve2d(x, kernel, "same", boundary="nearest")
        ours = fastconv.convolve2d(x, kernel, "same", boundary="nearest", method="separable")
        assert np.isfinite(ours[np.isfinite(direct)]).all()
        np.testing.assert_array_equal(ours[~np.isfinite(ours)], direct[~np.isfinite(ours)])


# ------------------------------------------------------------------------------------------------------ arguments


def test_inseparable_kernels_are_refused():
    x = np.ones((5, 5))
    for kernel in (np.eye(3), np.eye(3, dtype=int), kernels.edge(), np.full((2, 2), np.nan)):
        out = np.full((5, 5), 7.0)
        with pytest.raises(ValueError, match="kernel must be an outer product"):
            fastconv.convolve2d(x, kernel, "same", method="separable", out=out)
        assert np.all(out == 7)


def test_unsupported_ranks_and_types_are_refused():
    with pytest.raises(ValueError, match="kernels of two or more axes"):
        fastconv.convolve1d([1.0, 2.0], [1.0], method="separable")
    for dtype, message in (("c8", "real numbers"), ("g", "results of dtype"), ("O", "results of dtype")):
        with pytest.raises(ValueError, match=message):
            fastconv.convolve2d(np.ones((4, 4)), np.ones((2, 2), dtype), method="separable")


# ----------------------------------------------------------------------------------------------------- properties


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 40), st.integers(1, 60)),
    st.tuples(st.integers(1, 12), st.integers(1, 20)),
    st.sampled_from(DTYPES),
    st.sampled_from(REAL),
    st.sampled_from(MODES),
    st.sampled_from(BOUNDARIES),
    st.booleans(),
)
def test_random_cases_equal_the_reference(seed, shape, taps, x_dtype, kernel_dtype, mode, boundary, flip):
    rng = np.random.default_rng(seed)
    if mode == "valid" and (shape[0] - taps[0]) * (shape[1] - taps[1]) < 0:
        mode = "same"
    check_separable(whole_numbers(rng, shape, x_dtype), outer(rng, taps, kernel_dtype), mode, boundary, flip)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf, np.nan]])
def test_large_gaussian_repairs_nothing_if_no_finite_sum_can_overflow(values, dtype):
    x = RNG.random((90, 110)).astype(dtype)
    for k, value in enumerate(values):
        x[20 + 9 * k, 30 + 7 * k] = value
    direct = fastconv.correlate2d(x, kernels.gaussian(40, dtype=dtype), "same", boundary="reflect", method="direct")
    with observed() as events:
        result = image.gaussian_blur(x, 40)
    assert "repair" not in {event.name for event in events}  # it would take as long as the outer product
    np.testing.assert_array_equal(np.isnan(result), np.isnan(direct))
    np.testing.assert_array_equal(result[np.isinf(direct)], direct[np.isinf(direct)])
    finite = np.isfinite(direct)
    np.testing.assert_allclose(result[finite], direct[finite], rtol=1e-5 if dtype == "f4" else 1e-13)


def test_large_gaussian_is_repaired_if_finite_sums_overflow():
    x = np.full((50, 60), np.finfo(np.float32).max)
    x[20, 30] = np.nan
    result = image.gaussian_blur(x, 40, truncate=1)
    direct = fastconv.correlate2d(x, kernels.gaussian(40, 1), "same", boundary="reflect", method="direct")
    np.testing.assert_array_equal(np.isnan(result), np.isnan(direct))
