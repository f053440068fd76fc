"""Public functions compared with the oracle: modes, boundaries, types, layouts, sizes around those of tiles."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import fastconv
from fastconv._runtime import bounded_cache
from fastconv._runtime.instrumentation import forced, observed
from tests import sizes
from tests.oracle import BOUNDARIES, DTYPES, LAYOUTS, MODES, check, expected, whole_numbers

FUNCTIONS_1D = [(fastconv.convolve1d, True), (fastconv.correlate1d, False)]
FUNCTIONS_2D = [(fastconv.convolve2d, True), (fastconv.correlate2d, False)]


def options_for(boundary):
    return {"boundary": boundary, "fill_value": 1 if boundary == "fill" else 0}


def check_against_definition(function, flip, x, kernel, mode, boundary, **options):
    fill = 1 if boundary == "fill" else 0
    check(
        function,
        x,
        kernel,
        mode,
        expect=expected(x, kernel, mode, boundary, fill, flip),
        **options_for(boundary),
        **options,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_every_type_mode_and_boundary(dtype, boundary, mode):
    rng = np.random.default_rng(2)
    for function, flip in FUNCTIONS_1D:
        x, kernel = whole_numbers(rng, 37, dtype), whole_numbers(rng, 6, dtype)
        check_against_definition(function, flip, x, kernel, mode, boundary)
    for function, flip in FUNCTIONS_2D:
        x, kernel = whole_numbers(rng, (9, 41), dtype), whole_numbers(rng, (4, 5), dtype)
        check_against_definition(function, flip, x, kernel, mode, boundary)


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("kernel_dtype", DTYPES)
def test_every_pair_of_types(x_dtype, kernel_dtype):
    rng = np.random.default_rng(3)
    x, kernel = whole_numbers(rng, (7, 33), x_dtype), whole_numbers(rng, (3, 4), kernel_dtype)
    check_against_definition(fastconv.convolve2d, True, x, kernel, "same", "reflect")
    check_against_definition(fastconv.correlate2d, False, x, kernel, "full", "zero")
    check_against_definition(fastconv.convolve1d, True, x[0], kernel[0], "full", "wrap")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("boundary", ["zero", "mirror"])
def test_every_layout(layout, dtype, boundary):
    rng = np.random.default_rng(4)
    image, kernel = whole_numbers(rng, (38, 61), dtype), whole_numbers(rng, (5, 3), dtype)
    fill = expected(image, kernel, "same", boundary)
    check(fastconv.convolve2d, LAYOUTS[layout](image), kernel, "same", boundary=boundary, expect=fill)
    check(fastconv.convolve2d, image, LAYOUTS[layout](kernel), "same", boundary=boundary, expect=fill)
    signal, taps = image[0], kernel[:, 0]
    line = expected(signal, taps, "full", boundary, flip=False)
    check(fastconv.correlate1d, LAYOUTS[layout](signal), LAYOUTS[layout](taps), "full", boundary=boundary, expect=line)


# Taps of powers of two can be told apart in an exact sum.
@pytest.mark.parametrize("taps", sorted({*range(1, 25), *sizes.taps("f8")}))
def test_taps_of_a_row_are_in_order(taps):
    kernel = 2.0 ** np.arange(taps)
    x = np.zeros(2 * taps + 200)
    x[taps + 100] = 1
    check(fastconv.convolve1d, x, kernel, "same", expect=expected(x, kernel, "same"))


TYPES = ("f4", "f8", "u1", "c8")


@pytest.mark.parametrize(("dtype", "width"), [(dtype, width) for dtype in TYPES for width in sizes.widths(dtype)])
def test_widths_around_those_of_tiles(dtype, width):
    rng = np.random.default_rng(width)
    for height in (1, 3, 4, 5):
        x = whole_numbers(rng, (height, width), dtype)
        for shape in ((1, 1), (1, 4), (3, 3), (5, 2)):
            kernel = whole_numbers(rng, shape, dtype)
            check_against_definition(fastconv.convolve2d, True, x, kernel, "same", "zero")
            check_against_definition(fastconv.correlate2d, False, x, kernel, "full", "wrap")
    x = whole_numbers(rng, width, dtype)
    for taps in (1, 5, 16, 17, 40):
        check_against_definition(fastconv.convolve1d, True, x, whole_numbers(rng, taps, dtype), "full", "nearest")


@pytest.mark.parametrize(("dtype", "taps"), [(dtype, taps) for dtype in TYPES for taps in sizes.taps(dtype)])
def test_taps_of_a_row_around_those_of_groups(dtype, taps):
    rng = np.random.default_rng(taps)
    kernel = whole_numbers(rng, taps, dtype)
    for width in (3, sizes.widths(dtype)[-1] + 5):  # narrow tiles, and wide ones followed by narrow ones
        x = whole_numbers(rng, width, dtype)
        check_against_definition(fastconv.convolve1d, True, x, kernel, "same", "wrap")
        check_against_definition(fastconv.correlate1d, False, x, kernel, "full", "zero")


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_taps_of_a_row_of_pixels_around_those_of_groups(dtype, channels):
    rng = np.random.default_rng(20)
    x = whole_numbers(rng, (2, sizes.widths(dtype)[-1] // channels + 5, channels), dtype)
    for taps in sizes.taps(dtype, channels):
        kernel = whole_numbers(rng, (1, taps), dtype)
        each = np.stack([expected(x[..., c], kernel, "same", "mirror") for c in range(channels)], -1)
        check(fastconv.convolve2d, x, kernel, "same", axes=(0, 1), boundary="mirror", method="direct", expect=each)


@pytest.mark.parametrize("rows", range(1, 11))
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 35, 36, 37])
def test_every_height_with_every_number_of_kernel_rows(rows, height):
    rng = np.random.default_rng(height)
    x, kernel = whole_numbers(rng, (height, 26), "f4"), whole_numbers(rng, (rows, 2), "f4")
    check_against_definition(fastconv.convolve2d, True, x, kernel, "same", "zero")
    check_against_definition(fastconv.convolve2d, True, x, kernel, "full", "reflect")


ROWS, COLUMNS = 32, 512


@pytest.mark.parametrize("height", [ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 6])
@pytest.mark.parametrize("width", [COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 100])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_sizes_around_those_of_blocks(height, width, boundary):
    rng = np.random.default_rng(5)
    x, kernel = whole_numbers(rng, (height, width), "f4"), whole_numbers(rng, (5, 7), "f4")
    with forced(block=(ROWS, COLUMNS)), observed() as events:
        check_against_definition(fastconv.convolve2d, True, x, kernel, "same", boundary, method="direct")
    (job,) = (event.job for event in events if event.name == "direct")
    assert (job["blocks_down"], job["blocks_across"]) == (-(-height // ROWS), -(-width // COLUMNS))


@pytest.mark.parametrize("length", [COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 300])
@pytest.mark.parametrize("mode", MODES)
def test_lengths_around_those_of_blocks(mode, length):
    rng = np.random.default_rng(6)
    x, kernel = whole_numbers(rng, length, "f8"), whole_numbers(rng, 19, "f8")
    with forced(block=(1, COLUMNS)):
        check_against_definition(fastconv.convolve1d, True, x, kernel, mode, "mirror", method="direct")


def test_sizes_of_several_blocks():
    rng = np.random.default_rng(7)
    for shape, taps in (((200, 5000), (5, 7)), ((1100, 70), (3, 3)), ((1, 40_000), (1, 19))):
        x, kernel = whole_numbers(rng, shape, "f4"), whole_numbers(rng, taps, "f4")
        with observed() as events:
            check_against_definition(fastconv.convolve2d, True, x, kernel, "same", "mirror", method="direct")
        assert all(event.job["blocks"] > 1 for event in events if event.name == "direct")


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_kernels_far_larger_than_the_input(boundary, mode):
    rng = np.random.default_rng(7)
    for samples, taps in ((1, 2), (2, 9), (3, 50), (5, 170), (1, 100)):
        x, kernel = whole_numbers(rng, samples, "i8"), whole_numbers(rng, taps, "i8")
        for function, flip in FUNCTIONS_1D:
            check_against_definition(function, flip, x, kernel, mode, boundary)
    image, kernel = whole_numbers(rng, (2, 3), "f8"), whole_numbers(rng, (11, 40), "f8")
    for function, flip in FUNCTIONS_2D:
        check_against_definition(function, flip, image, kernel, mode, boundary)


@pytest.mark.parametrize("mode", ["full", "same"])
@pytest.mark.parametrize(("image", "kernel"), [((2, 40), (30, 3)), ((40, 2), (3, 30)), ((1, 1), (9, 9))])
def test_kernel_larger_along_one_axis(mode, image, kernel):
    rng = np.random.default_rng(8)
    x, kernel = whole_numbers(rng, image, "f4"), whole_numbers(rng, kernel, "c8")
    for function, flip in FUNCTIONS_2D:
        for boundary in ("zero", "wrap"):
            check_against_definition(function, flip, x, kernel, mode, boundary)


# --------------------------------------------------------------------------------------------- axes and batches


@pytest.mark.parametrize("dtype", ["f4", "u1", "c16"])
@pytest.mark.parametrize("shape", [(50, 3), (3, 50), (40, 30), (5, 6, 7), (20, 3, 2), (2, 3, 40), (1, 30, 4, 5)])
@pytest.mark.parametrize("mode", MODES)
def test_one_dimension_along_every_axis(dtype, shape, mode):
    rng = np.random.default_rng(9)
    x, kernel = whole_numbers(rng, shape, dtype), whole_numbers(rng, 4, dtype)
    for axis in range(-len(shape), len(shape)):
        each = np.apply_along_axis(lambda line: expected(line, kernel, mode, "reflect"), axis, x)
        check(fastconv.convolve1d, x, kernel, mode, axis=axis, boundary="reflect", expect=each)


@pytest.mark.parametrize("dtype", ["f4", "u1", "c8"])
@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2), (-2, -1), (2, 0), (1, 0)])
@pytest.mark.parametrize("mode", MODES)
def test_two_dimensions_along_every_pair_of_axes(dtype, axes, mode):
    rng = np.random.default_rng(10)
    x, kernel = whole_numbers(rng, (9, 10, 11), dtype), whole_numbers(rng, (3, 4), dtype)
    planes = np.moveaxis(x, axes, (-2, -1))
    each = np.stack([expected(plane, kernel, mode, "nearest") for plane in planes])
    each = np.moveaxis(each, (-2, -1), axes).copy()
    check(fastconv.convolve2d, x, kernel, mode, axes=axes, boundary="nearest", expect=each)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 30])
@pytest.mark.parametrize("dtype", ["f4", "u1", "f8"])
def test_channels_last(channels, dtype):
    rng = np.random.default_rng(11)
    x = whole_numbers(rng, (21, 40, channels), dtype)
    for shape in ((3, 3), (1, 9), (9, 1), (6, 17)):
        kernel = whole_numbers(rng, shape, dtype)
        each = np.stack([expected(x[..., c], kernel, "same", "mirror") for c in range(channels)], -1)
        for layout in LAYOUTS.values():
            check(fastconv.convolve2d, layout(x), kernel, "same", axes=(0, 1), boundary="mirror", expect=each)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("image", "kernel"), [((4, 5), (9, 11)), ((9, 11), (4, 5)), ((5, 30), (40, 7))])
def test_reversed_axes_with_swapped_operands(mode, image, kernel):
    rng = np.random.default_rng(18)
    image, kernel = whole_numbers(rng, image, "c8"), whole_numbers(rng, kernel, "c8")
    for function, flip in FUNCTIONS_2D:
        if mode == "valid" and (image.shape[1] - kernel.shape[0]) * (image.shape[0] - kernel.shape[1]) < 0:
            continue
        expect = np.ascontiguousarray(expected(image.T, kernel, mode, flip=flip).T)
        check(function, image, kernel, mode, axes=(1, 0), expect=expect)


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (3, 4), (1, 4), (4, 0)])
def test_batches_of_many_axes(axes):
    rng = np.random.default_rng(12)
    x, kernel = whole_numbers(rng, (3, 4, 2, 5, 6), "i4"), whole_numbers(rng, (2, 3), "i4")
    planes = np.moveaxis(x, axes, (-2, -1))
    flat = planes.reshape(-1, *planes.shape[-2:])
    each = np.stack([expected(plane, kernel) for plane in flat])
    each = np.moveaxis(each.reshape(*planes.shape[:-2], *each.shape[-2:]), (-2, -1), axes).copy()
    check(fastconv.convolve2d, x, kernel, axes=axes, expect=each)
    check(fastconv.convolve2d, np.array(x, order="F"), kernel, axes=axes, expect=each)


def test_maximum_number_of_dimensions():
    others = (1,) * (61 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 29)
    x = np.arange(6.0).reshape(*others, 2, 3)
    result = fastconv.convolve2d(x, [[1.0, 1.0]], "valid")
    assert result.shape == (*others, 2, 2)
    assert result.ravel().tolist() == [1, 3, 7, 9]


# --------------------------------------------------------------------------------------------- either dimension


def test_convolve_and_correlate_take_one_or_two_dimensions():
    rng = np.random.default_rng(13)
    for shape, taps in (((20,), (4,)), ((7, 9), (2, 3))):
        x, kernel = whole_numbers(rng, shape, "f8"), whole_numbers(rng, taps, "f8")
        for mode in MODES:
            check(fastconv.convolve, x, kernel, mode, expect=expected(x, kernel, mode))
            check(fastconv.correlate, x, kernel, mode, expect=expected(x, kernel, mode, flip=False))
    check(fastconv.convolve, x, kernel, "same", boundary="wrap", expect=expected(x, kernel, "same", "wrap"))


def test_scalars():
    assert fastconv.convolve1d(3, 4).tolist() == [12]
    assert fastconv.convolve1d([1, 2], 4, "same").tolist() == [4, 8]
    product = fastconv.convolve(3, 4.5)
    assert product.shape == ()
    assert product == 13.5
    assert fastconv.correlate(2, 1j) == -2j
    out = np.zeros((), np.int64)
    assert fastconv.convolve(3, 4, out=out) is out
    assert out == 12


def test_lists_ranges_and_other_array_likes():
    assert fastconv.convolve([1, 2, 3], (0, 1, 0.5)).tolist() == [0, 1, 2.5, 4, 1.5]
    assert fastconv.convolve1d(range(3), memoryview(b"\1\2")).tolist() == [0, 1, 4, 4]

    class Framed:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0])

    assert fastconv.convolve(Framed(), [1]).tolist() == [1, 2]


def test_subclasses_return_plain_arrays():
    class Tagged(np.ndarray):
        pass

    x = np.arange(6.0).reshape(2, 3).view(Tagged)
    for result in (fastconv.convolve2d(x, np.ones((1, 1))), fastconv.convolve2d(np.ones((1, 1)), x)):
        assert type(result) is np.ndarray
        assert result.tolist() == x.tolist()


def test_memory_maps(tmp_path):
    rng = np.random.default_rng(14)
    image = whole_numbers(rng, (50, 60), "f4")
    image.tofile(tmp_path / "image")
    mapped = np.memmap(tmp_path / "image", np.float32, "r", shape=(50, 60))
    kernel = whole_numbers(rng, (3, 3), "f4")
    check(fastconv.convolve2d, mapped, kernel, "same", expect=expected(image, kernel, "same"))
    target = np.memmap(tmp_path / "out", np.float32, "w+", shape=(50, 60))
    fastconv.convolve2d(mapped, kernel, "same", out=target)
    np.testing.assert_array_equal(target, expected(image, kernel, "same"))


def test_the_4x4_example():
    f = np.array([[0, 3, 6, 3], [3, 6, 3, 6], [6, 3, 6, 3], [3, 6, 3, 0]])
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert fastconv.convolve2d(f, kernel, "valid").tolist() == [[-12, 12], [12, -12]]
    assert fastconv.convolve2d(f, kernel, "same")[1:3, 1:3].tolist() == [[-12, 12], [12, -12]]
    full = fastconv.convolve2d(f, kernel)
    assert full.shape == (6, 6)
    np.testing.assert_array_equal(full, fastconv.convolve2d(np.pad(f, 2), kernel, "valid"))


# ---------------------------------------------------------------------------------------------------------- out


@pytest.mark.parametrize("layout", ["contiguous", "fortran", "strided", "reversed", "crop", "unaligned"])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c8", "f2"])
def test_out_of_every_layout(layout, dtype):
    rng = np.random.default_rng(15)
    x, kernel = whole_numbers(rng, (40, 50), dtype), whole_numbers(rng, (3, 5), dtype)
    out = LAYOUTS[layout](np.zeros((40, 50), dtype))
    assert fastconv.convolve2d(x, kernel, "same", out=out) is out
    np.testing.assert_array_equal(out, expected(x, kernel, "same"))


def test_only_out_is_written_to():
    rng = np.random.default_rng(16)
    around = np.full((60, 70), 7, np.float32)
    x, kernel = whole_numbers(rng, (40, 50), "f4"), whole_numbers(rng, (3, 5), "f4")
    fastconv.convolve2d(x, kernel, "same", out=around[10:50, 10:60])
    np.testing.assert_array_equal(around[10:50, 10:60], expected(x, kernel, "same"))
    around[10:50, 10:60] = 7
    assert np.all(around == 7)


def test_out_may_overlap_the_inputs():
    rng = np.random.default_rng(17)
    image, kernel = whole_numbers(rng, (40, 50), "f4"), whole_numbers(rng, (5, 5), "f4")
    expect = expected(image, kernel, "same")
    x = image.copy()
    assert fastconv.convolve2d(x, kernel, "same", out=x) is x
    np.testing.assert_array_equal(x, expect)
    larger = np.zeros((45, 55), np.float32)
    larger[:40, :50] = image
    fastconv.convolve2d(larger[:40, :50], kernel, "same", out=larger[3:43, 2:52])
    np.testing.assert_array_equal(larger[3:43, 2:52], expect)
    taps = np.array([1.0, 2.0, 3.0])
    fastconv.convolve1d([1.0, 1.0, 1.0], taps, "same", out=taps)
    assert taps.tolist() == [3, 6, 5]


def test_out_may_overlap_itself():
    memory = np.zeros(12)
    out = np.lib.stride_tricks.as_strided(memory, (4, 3), (16, 8))  # each line begins in the previous one
    image = np.arange(12.0).reshape(4, 3)
    fastconv.convolve2d(image, [[2.0]], "same", out=out)
    assert memory[:9].tolist() == [0, 2, 6, 8, 12, 14, 18, 20, 22]


# ------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "f2"])
def test_nan_affects_only_its_footprint(dtype):
    x = np.ones((40, 60), dtype)
    x[20, 30] = np.nan
    result = fastconv.convolve2d(x, np.ones((5, 7), dtype), "same")
    touched = np.zeros((40, 60), bool)
    touched[18:23, 27:34] = True
    np.testing.assert_array_equal(np.isnan(result), touched)
    # Zero taps belong to the footprint, as in NumPy.
    line = fastconv.convolve1d(np.array([1, np.nan, 1, 1, 1], dtype), np.array([1, 0, 0], dtype))
    np.testing.assert_array_equal(np.isnan(line), [False, True, True, True, False, False, False])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("mode", MODES)
def test_non_finite_kernels(value, mode):
    x, kernel = np.arange(1.0, 6), np.array([value, 1.0])
    np.testing.assert_array_equal(fastconv.convolve1d(x, kernel, mode), np.convolve(x, kernel, mode))
    single = fastconv.convolve1d(x.astype("f4"), kernel.astype("f4"), mode)
    np.testing.assert_array_equal(single, np.convolve(x, kernel, mode).astype("f4"))
    # Swapped, since the kernel is longer.
    np.testing.assert_array_equal(fastconv.convolve1d(kernel, x), np.convolve(kernel, x))
    image = np.ones((3, 30))
    result = fastconv.convolve2d(image, [[value], [1.0]])
    assert np.all(result[-1] == 1)  # no sample under the non-finite tap
    assert not np.any(np.isfinite(result[:-1]))


def test_fill_value_of_zero_is_a_sample():
    result = fastconv.convolve1d([1.0, 2.0], [np.inf, 1.0], boundary="fill", fill_value=0)
    assert result[:2].tolist() == [np.inf, np.inf]
    assert np.isnan(result[2])


def test_infinities():
    x = np.array([1.0, np.inf, 1.0, -np.inf, 1.0])
    for kernel in ([1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, -1.0]):
        for mode in MODES:
            np.testing.assert_array_equal(fastconv.convolve1d(x, kernel, mode), np.convolve(x, kernel, mode))


def test_nan_as_fill_value():
    result = fastconv.convolve1d(np.ones(5), np.ones(3), "same", boundary="fill", fill_value=np.nan)
    np.testing.assert_array_equal(np.isnan(result), [True, False, False, False, True])


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_the_largest_and_smallest_fill_values(dtype):
    limits = (0, 1) if dtype == "?" else (np.iinfo(dtype) if dtype[0] in "iu" else np.finfo(dtype))
    for value in limits if dtype == "?" else (limits.min, limits.max):
        x, kernel = np.zeros(3, dtype), np.array([0, 0, 1], dtype)
        expect = np.array([value, value, 0, 0, 0], dtype)
        fill = value.item() if hasattr(value, "item") else value
        check(fastconv.convolve1d, x, kernel, boundary="fill", fill_value=fill, expect=expect)


def test_fill_values_of_every_type():
    for value in (10**30, Fraction(1, 2), np.float32(0.5), np.array(3), True, Decimal("0.25")):
        result = fastconv.convolve1d([1.0, 2.0], [0.0, 0.0, 1.0], "same", boundary="fill", fill_value=value)
        assert result.tolist() == [float(value), 1.0]


def test_equal_fill_values_of_different_types_have_different_plans():
    x, kernel = np.array([Fraction(1, 3)]), [Fraction(1), Fraction(2)]
    for value in (1.0, Fraction(1), 1):
        first = fastconv.convolve1d(x, kernel, boundary="fill", fill_value=value)[0]
        assert type(first) is (float if value.__class__ is float else Fraction)


def test_plan_with_nan_as_fill_value_is_cached_once():
    def total(value, calls):
        fastconv.clear_caches()
        for _ in range(calls):
            fastconv.convolve1d([1.0], [1.0, 1.0], boundary="fill", fill_value=float(value))
        return bounded_cache.total()

    assert total("nan", 3) == total("nan", 1) == total("2", 1)


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("kernel_dtype", ["c8", "c16"])
def test_complex_fill_value_with_real_or_complex_input(x_dtype, kernel_dtype):
    rng = np.random.default_rng(19)
    for shape, taps in (((30,), (5,)), ((6, 30), (3, 4))):
        x, kernel = whole_numbers(rng, shape, x_dtype), whole_numbers(rng, taps, kernel_dtype)
        for mode in MODES:
            expect = expected(x, kernel, mode, "fill", 2 - 3j)
            check(fastconv.convolve, x, kernel, mode, boundary="fill", fill_value=2 - 3j, expect=expect)


def test_real_factors_keep_complex_parts_separate():
    x = np.arange(1.0, 6)
    kernel = np.array([1, complex(np.inf, 0), 1])
    for boundary in ("zero", "nearest", "wrap"):
        for dtype in ("c8", "c16", "G"):
            result = fastconv.convolve1d(x.astype("f4"), kernel.astype(dtype), "same", boundary=boundary)
            assert result.tolist() == [complex(np.inf, 0)] * 5


@pytest.mark.parametrize("dtype", ["f8", "g"])
def test_a_real_fill_value_leaves_the_parts_of_a_complex_kernel_apart(dtype):
    x, kernel = np.arange(1, 7).astype(dtype), np.array([1 + 1j, complex(np.inf, 1), 2])
    image, corner = x.reshape(2, 3), np.array([[1, 1j], [complex(np.inf, 1), 1]])
    for fill in (3, 3 + 0j):
        result = fastconv.convolve1d(x, kernel, "same", boundary="fill", fill_value=fill)
        np.testing.assert_array_equal(result.real, np.inf)
        np.testing.assert_array_equal(result.imag, [3, 5, 7, 9, 11, 9])
        modes = {"mode": ("full", "same"), "boundary": ("zero", "fill"), "fill_value": fill}
        np.testing.assert_array_equal(fastconv.convolve(image, corner, **modes)[1].imag, [4, 6, 8])
    # Nothing lies outside, whatever its value is.
    inside = fastconv.convolve1d(x, kernel, "valid", boundary="fill", fill_value=3 - 2j)
    np.testing.assert_array_equal(inside.imag, [5, 7, 9, 11])
    plan = fastconv.plan(kernel, x.shape, x.dtype, "valid", boundary="fill", fill_value=3 - 2j)
    np.testing.assert_array_equal(plan(x).imag, [5, 7, 9, 11])
    one = fastconv.convolve1d(x, kernel[1:2], "same", boundary="fill", fill_value=3 - 2j)
    np.testing.assert_array_equal(one.imag, x)


def test_complex_fill_values():
    x, kernel = np.array([1 + 1j, 2]), np.array([1, 1j, 2])
    expect = expected(x, kernel, "full", "fill", 3 - 2j)
    check(fastconv.convolve1d, x, kernel, boundary="fill", fill_value=3 - 2j, expect=expect)
    expect = expected(np.array([1.0, 2.0]), kernel, "same", "fill", 5)
    check(fastconv.convolve1d, np.array([1.0, 2.0]), kernel, "same", boundary="fill", fill_value=5, expect=expect)
