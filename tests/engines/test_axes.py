"""Any number of axes, with strides, dilations, starts, mixed modes and boundaries, and a kernel for each line."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import reference
from fastconv._runtime.instrumentation import observed
from tests import sizes
from tests.oracle import BOUNDARIES, DTYPES, LAYOUTS, MODES, check, expected, expected_of_lines, sums, whole_numbers

ENGINES = {"direct", "separable", "overlap_save", "numpy", "planes"}


def fill_of(boundary, dtype="f8"):
    return (1 if np.dtype(dtype).kind == "b" else 3) if "fill" in np.atleast_1d(boundary) else 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_every_type_mode_and_boundary(dtype, boundary, mode):
    rng = np.random.default_rng(1)
    options = {"boundary": boundary, "fill_value": fill_of(boundary, dtype)}
    for x_shape, kernel_shape in (((6, 7, 21), (3, 2, 4)), ((3, 4, 5, 9), (2, 3, 1, 4)), ((2, 3, 2, 2, 8),) * 2):
        x, kernel = whole_numbers(rng, x_shape, dtype), whole_numbers(rng, kernel_shape, dtype)
        check(fastconv.convolve, x, kernel, mode, expect=expected(x, kernel, mode, **options), **options)
        expect = expected(x, kernel, mode, flip=False, **options)
        check(fastconv.correlate, x, kernel, mode, expect=expect, **options)


@pytest.mark.parametrize(
    ("function", "flip"), [(fastconv.convolve3d, True), (fastconv.correlate3d, False)], ids=["convolve", "correlate"]
)
def test_three_axes_of_a_batch(function, flip):
    rng = np.random.default_rng(2)
    x, kernel = whole_numbers(rng, (2, 5, 6, 7), "f4"), whole_numbers(rng, (2, 3, 4), "f4")
    for mode in MODES:
        check(function, x, kernel, mode, expect=expected(x, kernel, mode, flip=flip, axes=(1, 2, 3)))
        expect = expected(x, kernel, mode, "wrap", flip=flip, axes=(3, 0, 1))
        if mode != "valid":
            check(function, x, kernel, mode, axes=(-1, 0, 1), boundary="wrap", expect=expect)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8", "c8"])
def test_every_layout(layout, dtype):
    rng = np.random.default_rng(4)
    x, kernel = whole_numbers(rng, (6, 9, 38), dtype), whole_numbers(rng, (3, 2, 5), dtype)
    options = {"boundary": ("mirror", "zero", "wrap"), "stride": (1, 2, 1)}
    expect = expected(x, kernel, "same", **options)
    check(fastconv.convolve, LAYOUTS[layout](x), kernel, "same", expect=expect, **options)
    check(fastconv.convolve, x, LAYOUTS[layout](kernel), "same", expect=expect, **options)
    out = LAYOUTS[layout](np.zeros(expect.shape, expect.dtype))
    if layout not in ("read-only", "big-endian", "big-endian fortran"):
        assert fastconv.convolve(x, kernel, "same", out=out, **options) is out
        np.testing.assert_array_equal(out, expect)


@pytest.mark.parametrize(
    ("dtype", "width"), [(dtype, width) for dtype in ("f4", "f8", "u1", "c8") for width in sizes.widths(dtype)]
)
def test_widths_around_those_of_tiles(dtype, width):
    rng = np.random.default_rng(width)
    for x_shape, kernel_shape in (((3, 4, width), (3, 3, 3)), ((5, 1, width), (2, 1, 4)), ((4, width, 2), (2, 3, 2))):
        x, kernel = whole_numbers(rng, x_shape, dtype), whole_numbers(rng, kernel_shape, dtype)
        check(fastconv.convolve, x, kernel, "same", expect=expected(x, kernel, "same"))
        options = {"boundary": ("wrap", "zero", "mirror"), "stride": (1, 1, 2)}
        expect = expected(x, kernel, "full", flip=False, **options)
        check(fastconv.correlate, x, kernel, "full", expect=expect, **options)
    lines, taps = whole_numbers(rng, (3, width), dtype), whole_numbers(rng, (3, 5), dtype)
    check(fastconv.convolve, lines, taps, axes=1, expect=expected_of_lines(lines, taps, axes=[1]))


@st.composite
def cases(draw):
    """A convolution: shapes, types, axes, and options of each axis."""
    ndim = draw(st.integers(1, 4))
    x_shape = draw(st.lists(st.integers(1, {1: 60, 2: 20, 3: 9, 4: 5}[ndim]), min_size=ndim, max_size=ndim))
    axes = draw(st.permutations(range(ndim)))[: draw(st.integers(1, ndim))]
    count = len(axes)

    def for_axes(values):
        return draw(values | st.lists(values, min_size=count, max_size=count).map(tuple))

    taps = draw(st.lists(st.integers(1, 6), min_size=count, max_size=count))
    options = {
        "mode": for_axes(st.sampled_from(MODES)),
        "boundary": for_axes(st.sampled_from(BOUNDARIES)),
        "stride": for_axes(st.sampled_from((1, 1, 2, 3, 7))),
        "dilation": for_axes(st.sampled_from((1, 1, 2, 3))),
        "start": for_axes(st.sampled_from((None, "first", "center", "last", 0, 1))),
    }
    modes, apart = (reference.each_axis(options[name], count) for name in ("mode", "dilation"))
    if "valid" in modes:
        fits = [
            x_shape[axis] - (extent - 1) * step - 1
            for axis, extent, step, mode in zip(axes, taps, apart, modes)
            if mode == "valid"
        ]
        assume(not min(fits) < 0 < max(fits))
        options["start"] = None
    for axis, extent, start in zip(axes, taps, reference.each_axis(options["start"], count)):
        assume(start != 1 or x_shape[axis] + extent > 2)
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=2, max_size=2))
    options["fill_value"] = fill_of(options["boundary"], np.result_type(*dtypes))
    layouts = draw(st.lists(st.sampled_from([*LAYOUTS]), min_size=2, max_size=2))
    return x_shape, taps, axes, dtypes, layouts, options


thorough = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))


@given(cases(), st.booleans(), st.integers(0, 1000))
@thorough
def test_any_options_equal_the_definition(case, flip, seed):
    x_shape, taps, axes, dtypes, layouts, options = case
    rng = np.random.default_rng(seed)
    arrays = (whole_numbers(rng, shape, dtype) for shape, dtype in zip((x_shape, taps), dtypes))
    x, kernel = (LAYOUTS[layout](array) for array, layout in zip(arrays, layouts))
    expect = expected(x, kernel, flip=flip, axes=axes, **options)
    function = fastconv.convolve if flip else fastconv.correlate
    check(function, x, kernel, axes=tuple(axes), expect=expect, **options)
    plan = fastconv.plan(kernel, x.shape, x.dtype, axes=tuple(axes), correlate=not flip, **options)
    assert plan.out_shape == expect.shape
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x), expect)


@given(cases(), st.booleans(), st.integers(0, 1000))
@thorough
def test_a_kernel_for_each_line_equals_the_definition(case, flip, seed):
    x_shape, taps, axes, dtypes, layouts, options = case
    assume(len(axes) < len(x_shape))
    rng = np.random.default_rng(seed)
    kernel_shape = [1] * len(x_shape)
    for axis in range(len(x_shape)):
        if axis in axes:
            kernel_shape[axis] = taps[axes.index(axis)]
        else:  # either may be broadcast
            x_shape[axis], kernel_shape[axis] = ((x_shape[axis], 1), (x_shape[axis],) * 2, (1, 3))[rng.integers(3)]
    arrays = (whole_numbers(rng, shape, dtype) for shape, dtype in zip((x_shape, kernel_shape), dtypes))
    x, kernel = (LAYOUTS[layout](array) for array, layout in zip(arrays, layouts))
    expect = expected_of_lines(x, kernel, axes=axes, flip=flip, **options)
    function = fastconv.convolve if flip else fastconv.correlate
    check(function, x, kernel, axes=tuple(axes), expect=expect, **options)
    plan = fastconv.plan(kernel, x.shape, x.dtype, axes=tuple(axes), correlate=not flip, **options)
    np.testing.assert_array_equal(plan(x), expect)


def test_lines_are_one_problem():
    rng = np.random.default_rng(5)
    x, kernel = whole_numbers(rng, (40, 3, 50), "f4"), whole_numbers(rng, (40, 1, 5), "f4")
    with observed() as events:
        result = fastconv.convolve(x, kernel, "same", axes=2)
    np.testing.assert_array_equal(result, expected_of_lines(x, kernel, "same", axes=[2]))
    assert len([event for event in events if event.name in ENGINES]) == 1


def test_axes_of_one_tap_are_a_batch():
    rng = np.random.default_rng(6)
    x = whole_numbers(rng, (6, 5, 9, 11), "f4")
    for shape, stride in (((1, 3, 1, 4), (2, 1, 3, 1)), ((1, 1, 1, 1), (1, 2, 1, 4)), ((1, 1, 5, 1), 1)):
        kernel = whole_numbers(rng, shape, "f4")
        with observed() as events:
            check(
                fastconv.convolve,
                x,
                kernel,
                "same",
                stride=stride,
                expect=expected(x, kernel, stride=stride, mode="same"),
            )
        assert [event.name for event in events if event.name in ENGINES] == ["direct"]


def test_the_larger_array_may_come_second():
    rng = np.random.default_rng(7)
    large = whole_numbers(rng, (2, 9, 10, 11), "c8")
    for small in (whole_numbers(rng, (1, 2, 3, 4), "c16"), whole_numbers(rng, (1, 1, 3, 1), "i2")):
        for flip, function in ((True, fastconv.convolve), (False, fastconv.correlate)):
            for mode in ("full", "same", ("full", "valid", "valid", "valid")):
                check(function, small, large, mode, expect=expected(small, large, mode, flip=flip))
            expect = expected_of_lines(small, large, "full", axes=[1, 2, 3], flip=flip)
            check(function, small, large, axes=(1, 2, 3), expect=expect)


def test_objects_have_any_number_of_axes():
    rng = np.random.default_rng(8)
    x, kernel = (rng.integers(-9, 9, shape).tolist() for shape in ((3, 4, 5), (2, 3, 2)))
    x = [[[Fraction(value, 7) for value in line] for line in plane] for plane in x]
    options = {"boundary": ("mirror", "zero", "fill"), "fill_value": Fraction(1, 3), "stride": 2, "dilation": (1, 2, 1)}
    result = fastconv.convolve(np.array(x, object), np.array(kernel, object), "same", **options)
    assert result.tolist() == reference.convolve(x, kernel, "same", **options)
    taps = np.array([[Fraction(1), Fraction(2)], [Fraction(3), Fraction(4)]], object)
    assert fastconv.convolve(taps, taps, axes=1).tolist() == [[1, 4, 4], [9, 24, 16]]


def test_objects_are_multiplied_by_pythons_numbers():
    # A tap that stays one of NumPy's numbers wraps: 200 * 2 is 144 in uint8.
    large, few = np.array([10**18, 2**70, Fraction(1, 3)], object), np.array([200, 10, 7], "u1")
    for x, kernel in ((large, few), (few, large), (large, few.astype("i8")), (large.reshape(3, 1), few.reshape(1, 3))):
        expect = reference.convolve(x.tolist(), kernel.tolist())
        assert fastconv.convolve(x, kernel).tolist() == expect
        assert fastconv.plan(kernel, x.shape, mode="full", dtype=x.dtype)(x).tolist() == expect
    options = {"boundary": "fill", "fill_value": 10**20}
    found = fastconv.convolve1d(large, few, "same", **options).tolist()
    assert found == reference.convolve1d(large.tolist(), few.tolist(), "same", **options)
    assert fastconv.compat.numpy.correlate(large, few, "full").tolist() == np.correlate(large, few, "full").tolist()


def test_longdouble_and_half():
    rng = np.random.default_rng(9)
    for dtype in ("e", "g", "G"):
        x, kernel = whole_numbers(rng, (5, 6, 7), dtype), whole_numbers(rng, (3, 2, 2), dtype)
        wide = complex if dtype == "G" else float
        wanted = expected(x.astype(wide), kernel.astype(wide), "same", "wrap", stride=2)
        np.testing.assert_array_equal(fastconv.convolve(x, kernel, "same", boundary="wrap", stride=2), wanted)


# ------------------------------------------------------------------------------------------------ boundaries


def test_zero_has_precedence_over_fill():
    x, kernel = np.ones((2, 2)), np.array([[np.inf, 1], [1, 1]])
    found = fastconv.convolve(x, kernel, boundary=("zero", "fill"), fill_value=np.nan)
    assert np.isnan(found[:, [0, 2]]).all()
    np.testing.assert_array_equal(found[:, 1], [np.inf, np.inf, 2])
    np.testing.assert_array_equal(found, sums(x, kernel, "full", ("zero", "fill"), np.nan))
    # Engines that write one value outside must not take these.
    rng = np.random.default_rng(10)
    x, kernel = whole_numbers(rng, (20, 90), "f4"), whole_numbers(rng, (3, 5), "f4")
    expect = expected(x, kernel, "same", ("fill", "zero"), 7)
    check(fastconv.convolve, x, kernel, "same", boundary=("fill", "zero"), fill_value=7, expect=expect)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_a_boundary_for_each_axis_by_every_method(method):
    rng = np.random.default_rng(11)
    kernel = np.outer(np.arange(1, 6), [1, 2, 1, 3]).astype("i4")
    for x_shape in ((3, 4), (40, 70)):
        x = whole_numbers(rng, x_shape, "i4")
        for boundary in (("mirror", "zero"), ("zero", "wrap"), ("nearest", "reflect"), ("fill", "mirror")):
            for start in (None, (0, "last"), (4, 1)):
                options = {"boundary": boundary, "fill_value": fill_of(boundary), "start": start}
                expect = expected(x, kernel, "same", **options)
                check(fastconv.convolve2d, x, kernel, "same", method=method, expect=expect, **options)


def test_taps_without_samples_are_left_out_along_axes_of_zeros_only():
    rng = np.random.default_rng(12)
    x, kernel = whole_numbers(rng, (6, 6), "f8"), whole_numbers(rng, (3, 3), "f8")
    for boundary in (("mirror", "zero"), ("zero", "mirror")):
        for start in ((7, 0), (0, 7)):
            options = {"boundary": boundary, "start": start}
            check(fastconv.convolve2d, x, kernel, "same", expect=expected(x, kernel, "same", **options), **options)


def test_modes_of_each_axis():
    x, kernel = np.arange(20).reshape(4, 5), np.ones((2, 3), int)
    assert fastconv.convolve(x, kernel, ("full", "valid")).shape == (5, 3)
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, ("full", "valid")), fastconv.convolve(x, kernel)[:, 2:5])
    np.testing.assert_array_equal(fastconv.convolve(x, kernel, ["same", "same"]), fastconv.convolve(x, kernel, "same"))


# --------------------------------------------------------------------------------------- strides and dilations


@pytest.mark.parametrize("stride", [1, 2, 3, (2, 1), (1, 5), 100, 2**200])
def test_strides_pick_results(stride):
    rng = np.random.default_rng(13)
    x, kernel = whole_numbers(rng, (17, 23), "f4"), whole_numbers(rng, (4, 3), "f4")
    picked = tuple(slice(None, None, min(step, 1000)) for step in reference.each_axis(stride, 2))
    for mode in MODES:
        for boundary in BOUNDARIES:
            options = {"boundary": boundary, "fill_value": fill_of(boundary)}
            whole = fastconv.convolve2d(x, kernel, mode, **options)
            check(fastconv.convolve2d, x, kernel, mode, stride=stride, expect=whole[picked].copy(), **options)


@pytest.mark.parametrize("dilation", [1, 2, (3, 1), (2, 30), (40, 50)])
def test_dilation_is_a_kernel_with_gaps(dilation):
    rng = np.random.default_rng(14)
    x, kernel = whole_numbers(rng, (17, 23), "f4"), whole_numbers(rng, (4, 3), "f4")
    apart = reference.each_axis(dilation, 2)
    wide = np.zeros([(extent - 1) * step + 1 for extent, step in zip(kernel.shape, apart)], "f4")
    wide[tuple(slice(None, None, step) for step in apart)] = kernel
    for mode in ("full", "same"):
        for boundary in BOUNDARIES:
            options = {"boundary": boundary, "fill_value": fill_of(boundary)}
            expect = fastconv.convolve2d(x, wide, mode, **options)
            check(fastconv.convolve2d, x, kernel, mode, dilation=dilation, expect=expect, **options)


def test_gaps_are_no_taps():
    x = np.ones(7)
    x[3] = np.nan
    found = fastconv.convolve1d(x, [1, 1], "same", dilation=2)
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, False, True, False, False])
    x = np.ones((5, 5))
    x[2, 2] = np.inf
    found = fastconv.correlate2d(x, np.ones((2, 2)), "valid", dilation=2)
    np.testing.assert_array_equal(np.isinf(found), np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], bool))


def test_missing_samples_have_no_products_with_infinite_taps():
    x, kernel = np.ones((3, 3, 3)), np.ones((3, 3, 3))
    kernel[0, 1, 2] = np.inf
    for options in ({}, {"stride": 2}, {"dilation": 2}, {"start": "first"}):
        found = fastconv.convolve(x, kernel, "same", **options)
        np.testing.assert_array_equal(found, sums(x, kernel, "same", **options))
        assert not np.isnan(found).any()


def test_long_steps_take_no_memory():
    x = np.arange(1.0, 11)
    assert fastconv.convolve1d(x, [1, 10], "same", dilation=2**50, start="first").tolist() == x.tolist()
    assert fastconv.convolve1d(x, [1, 10], "same", dilation=2**50, start="last").tolist() == (10 * x).tolist()
    wrapped = fastconv.convolve1d(x, [1, 10], "same", dilation=2**50, start="first", boundary="wrap")
    assert wrapped.tolist() == [float(x[i] + 10 * x[(i - 2**50) % 10]) for i in range(10)]
    filled = fastconv.convolve1d(x, [1, 10], "same", dilation=2**50, boundary="fill", fill_value=3)
    assert filled.tolist() == [33.0] * 10


# ------------------------------------------------------------------------------------------------- alignments


def test_starts_are_indices_into_the_full_result():
    rng = np.random.default_rng(15)
    x, kernel = whole_numbers(rng, 20, "f8"), whole_numbers(rng, 6, "f8")
    full = fastconv.convolve1d(x, kernel)
    around = np.concatenate([full, np.zeros(30)])
    for start in range(25):
        same = fastconv.convolve1d(x, kernel, "same", start=start)
        np.testing.assert_array_equal(same, around[start : start + 20])
        np.testing.assert_array_equal(fastconv.convolve1d(x, kernel, start=start), around[start : start + 25])
    for name, start in (("first", 0), ("center", 2), ("last", 5)):
        same = fastconv.convolve1d(x, kernel, "same", start=name)
        np.testing.assert_array_equal(same, full[start : start + 20])
    assert (
        fastconv.convolve1d(x, kernel, "same", start="last", dilation=3)[0]
        == fastconv.convolve1d(x, kernel, dilation=3)[15]
    )


@pytest.mark.parametrize("taps", range(1, 9))
def test_alignments_of_other_libraries(taps):
    # The rows of the table in docs/convolution.md.
    from scipy import ndimage, signal

    rng = np.random.default_rng(taps)
    x, kernel = rng.integers(-9, 9, 11).astype(float), rng.integers(-9, 9, taps).astype(float)
    full = np.convolve(x, kernel)

    def convolved(**options):
        return fastconv.convolve1d(x, kernel, "same", **options).tolist()

    def correlated(**options):
        return fastconv.correlate1d(x, kernel, "same", **options).tolist()

    assert convolved(start="center") == np.convolve(x, kernel, "same").tolist()
    assert convolved(start="center") == signal.convolve(x, kernel, "same").tolist()
    assert correlated(start="center") == np.correlate(x, kernel, "same").tolist()
    # MATLAB: "the central part": from ceil((M + 1) / 2) on, counted from 1.
    assert convolved(start=taps // 2) == full[-(-(taps + 1) // 2) - 1 :][:11].tolist()
    assert convolved(start=taps // 2) == signal.convolve2d(x[None], kernel[None], "full")[0, taps // 2 :][:11].tolist()
    for origin in range(-(taps // 2), (taps - 1) // 2 + 1):
        options = {"mode": "mirror", "origin": origin}
        start = (taps - 1) // 2 - origin
        assert correlated(start=start, boundary="mirror") == ndimage.correlate1d(x, kernel, **options).tolist()
        start = taps // 2 + origin
        assert convolved(start=start, boundary="mirror") == ndimage.convolve1d(x, kernel, **options).tolist()
    assert convolved(start="first") == signal.lfilter(kernel, 1, x).tolist()
    for step in (1, 2, 3):  # torch.conv1d(x, kernel, dilation=step, padding=...), which is a "valid" correlation
        spanned = (taps - 1) * step + 1
        wide = np.zeros(spanned)
        wide[::step] = kernel
        for padding in range(spanned):
            around = np.pad(x, padding)
            layer = np.correlate(around, wide, "valid") if len(around) >= spanned else np.zeros(0)
            found = fastconv.correlate1d(x, kernel, start=spanned - 1 - padding, dilation=step)
            assert found[: max(0, 11 + 2 * padding - spanned + 1)].tolist() == layer.tolist()
        # padding="same" pads more on the right.
        layer = np.correlate(np.pad(x, ((spanned - 1) // 2, spanned // 2)), wide, "valid")
        assert correlated(start=spanned // 2, dilation=step) == layer.tolist()
    product = np.fft.ifft(np.fft.fft(x) * np.fft.fft(kernel, 11)).real
    np.testing.assert_allclose(convolved(start="first", boundary="wrap"), product, atol=1e-9)
    product = np.fft.ifft(np.fft.fft(x) * np.fft.fft(kernel, 11).conj()).real
    np.testing.assert_allclose(correlated(start="last", boundary="wrap"), product, atol=1e-9)


@pytest.mark.parametrize(("samples", "taps"), [(9, 4), (4, 9), (1, 5), (5, 1), (60, 30)])
def test_lags_are_a_part_of_the_full_correlation(samples, taps):
    rng = np.random.default_rng(samples)
    x, kernel = whole_numbers(rng, (2, samples), "c16"), whole_numbers(rng, taps, "c16")
    full = fastconv.correlate1d(x, kernel)
    for low in range(1 - taps, samples):
        for high in {low, (low + samples - 1) // 2, samples - 1}:
            expect = full[:, low + taps - 1 : high + taps]
            check(fastconv.correlate1d, x, kernel, lags=(low, high), expect=expect)
    step = fastconv.correlate1d(x, kernel, lags=(1 - taps, samples - 1), stride=3)
    np.testing.assert_array_equal(step, full[:, ::3])
    assert (
        fastconv.correlate1d(x, kernel, dilation=2, lags=(0, 0))[0, 0]
        == fastconv.correlate1d(x, kernel, dilation=2)[0, 2 * taps - 2]
    )
    plan = fastconv.plan(kernel, x.shape, "c16", correlate=True, lags=[-1 if taps > 1 else 0, 0])
    np.testing.assert_array_equal(plan(x), full[:, taps - (2 if taps > 1 else 1) : taps])


def test_only_the_lags_asked_for_are_computed():
    x, kernel = np.ones(100_000), np.ones(20_000)
    with observed() as events:
        found = fastconv.correlate1d(x, kernel, lags=(-3, 4), method="direct")
    assert found.tolist() == [19997.0, 19998.0, 19999.0, *[20000.0] * 5]
    problems = {event.problem.out_shape for event in events if hasattr(event, "problem")}
    assert problems == {(8,)}


def test_correlation_lags():
    from scipy import signal

    for samples in range(1, 8):
        for taps in range(1, 8):
            for mode in ("full", "valid"):
                wanted = signal.correlation_lags(samples, taps, mode)
                np.testing.assert_array_equal(fastconv.correlation_lags(samples, taps, mode), wanted)
            lags = fastconv.correlation_lags(samples, taps, "same")
            # SciPy's are one too high for odd samples and even taps: there they differ from those of its results.
            wanted = signal.correlation_lags(samples, taps, "same") - (samples % 2 == 1 and taps % 2 == 0)
            np.testing.assert_array_equal(lags, wanted)
            for options in ({}, {"stride": 2}, {"dilation": 3}, {"start": "first"}, {"start": "last", "stride": 3}):
                x, kernel = np.zeros(samples), np.arange(1.0, taps + 1)
                x[samples // 2] = 1
                found = fastconv.correlate1d(x, kernel, "same", **options)
                lags = fastconv.correlation_lags(samples, taps, "same", **options)
                step = options.get("dilation", 1)
                for value, lag in zip(found, lags):  # tap j lies on sample lag + j * step
                    tap, rest = divmod(samples // 2 - lag, step)
                    assert value == (tap + 1 if rest == 0 and 0 <= tap < taps else 0)


# ------------------------------------------------------------------------------------------------------ plans


def test_plans_tell_their_options():
    plan = fastconv.plan(np.ones((3, 1, 3)), (8, 9, 10), mode="same", stride=(2, 1, 1), start=("last", None, None))
    words = "mode 'same', axes (0, 1, 2), boundary 'zero', stride (2, 1, 1), start ('last', None, None), to"
    assert words in repr(plan)
    assert "dilation" not in repr(plan)
    plan = fastconv.plan(np.ones(3), 9, correlate=True, lags=(-1, 1), dilation=2)
    assert "axes (0,), boundary 'zero', dilation (2,), lags (-1, 1), to float64 (3,)" in repr(plan)
    plan = fastconv.plan(np.ones((3, 3)), (8, 9), boundary=("wrap", "zero"), mode=("same", "full"))
    assert "mode ('same', 'full'), axes (0, 1), boundary ('wrap', 'zero'), to" in repr(plan)
    assert repr(pickle.loads(pickle.dumps(plan))) == repr(plan)


# ----------------------------------------------------------------------------------------------------- errors

CUBE, TAPS = np.ones((4, 5, 6)), np.ones((2, 2, 2))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, r"stride must be a positive integer; got 0", {"stride": 0}),
        (TypeError, r"stride must be a positive integer; got 1\.5", {"stride": 1.5}),
        (TypeError, r"stride must be a positive integer; got True", {"stride": True}),
        (TypeError, r"stride must be a positive integer; got None", {"stride": (1, None, 1)}),
        (ValueError, r"stride must be one value, or one for each of the 3 axes; got \(1, 2\)", {"stride": (1, 2)}),
        (ValueError, r"dilation must be a positive integer; got -1", {"dilation": (1, 2, -1)}),
        (ValueError, r"dilation must be one value, or one for each of the 3 axes; got \[\]", {"dilation": []}),
        (ValueError, r"dilation must leave a kernel that spans at most \d+ samples; got \d+", {"dilation": 2**70}),
        (ValueError, r"start must be 'first', 'center' or 'last'; got 'end'", {"start": "end"}),
        (TypeError, r"start must be an integer, 'first', 'center' or 'last'; got 1\.0", {"start": 1.0}),
        (ValueError, r"start must be an index into the full result, 0 \.\. 4; got 5", {"start": 5}),
        (ValueError, r"start must be an index into the full result, 0 \.\. 5; got -1", {"start": (0, -1, 0)}),
        (ValueError, r"start must be one value, or one for each of the 3 axes; got \('last',\)", {"start": ("last",)}),
        (ValueError, r"start must be None in mode 'valid'; got 0", {"start": 0, "mode": "valid"}),
        (
            ValueError,
            r"start must be None in mode 'valid'; got 'last'",
            {"start": "last", "mode": ("same", "same", "valid")},
        ),
        (ValueError, r"mode must be 'full', 'same' or 'valid'; got 'some'", {"mode": ("same", "some", "full")}),
        (
            ValueError,
            r"mode must be one value, or one for each of the 3 axes; got \('same', 'same'\)",
            {"mode": ("same",) * 2},
        ),
        (ValueError, r"boundary must be 'zero', .* or 'wrap'; got 'none'", {"boundary": ("none", "wrap", "wrap")}),
        (ValueError, r"boundary must be one value, or one for each of the 3 axes", {"boundary": ["wrap"] * 4}),
        (
            ValueError,
            r"fill_value is for boundary='fill' only; got 2",
            {"boundary": ("zero", "wrap", "wrap"), "fill_value": 2},
        ),
        (ValueError, r"method='fft' does not support this convolution", {"method": "fft", "stride": 2}),
        (ValueError, r"method='separable' does not support this convolution", {"method": "separable", "dilation": 2}),
    ],
)
def test_invalid_options_raise(error, message, options):
    for call in (
        lambda: fastconv.convolve(CUBE, TAPS, **options),
        lambda: fastconv.correlate3d(CUBE, TAPS, **options),
        lambda: fastconv.plan(TAPS, CUBE.shape, **options),
    ):
        with pytest.raises(error, match=f"^{message}"):
            call()


@pytest.mark.parametrize(
    ("error", "message", "axes", "shape"),
    [
        (ValueError, r"axes must be different axes; got \(0, -3\)", (0, -3), (2, 2)),
        (ValueError, r"axes must lie in -3 \.\. 2", (0, 3), (2, 2)),
        (ValueError, r"axes must be 3 integers; got \(\)", (), (2, 2, 2)),
        (ValueError, r"axes must be 2 integers; got \(0, 1, 2\)", (0, 1, 2), (2, 2)),
        (ValueError, r"axes must be 3 integers; got \(0, 1, 2, 3\)", (0, 1, 2, 3), (2, 2, 2)),
        (TypeError, r"axes must be an integer; got 'last'", "last", (2,)),
        (ValueError, r"x and kernel must have equal extents, or 1, along all axes but \(2,\)", 2, (4, 2, 3)),
        (ValueError, r"in mode 'valid' one of x and kernel must be .* along all axes; got", None, (9, 5, 1)),
    ],
)
def test_invalid_axes_raise(error, message, axes, shape):
    options = {"mode": "valid"} if axes is None else {"axes": axes}
    with pytest.raises(error, match=f"^{message}"):
        fastconv.convolve(CUBE, np.ones(shape), **options)
    with pytest.raises(error, match=f"^{message}"):
        fastconv.plan(np.ones(shape), CUBE.shape, **options)


def test_kernels_of_other_dimensions_raise():
    with pytest.raises(ValueError, match=r"^x and kernel must have the same number of dimensions, or axes must tell"):
        fastconv.convolve(CUBE, np.ones(2))
    for kernel in (np.ones((1,) * 4), 2.0):
        with pytest.raises(ValueError, match=r"^kernel must have one dimension for each of axes, or those of x; got"):
            fastconv.convolve(CUBE, kernel, axes=0)
    with pytest.raises(ValueError, match=r"^kernel must be 3-D; got shape \(2, 2\)"):
        fastconv.convolve3d(CUBE, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"^volume must have at least 3 dimensions; got shape \(4, 4\)"):
        fastconv.convolve3d(np.ones((4, 4)), TAPS)


@pytest.mark.parametrize(
    ("error", "message", "lags", "options"),
    [
        (ValueError, r"lags must be the first and the last lag, in this order; got \(2, 1\)", (2, 1), {}),
        (ValueError, r"lags must lie in -2 \.\. 8, those of the full result; got \(-3, 0\)", (-3, 0), {}),
        (ValueError, r"lags must lie in -2 \.\. 8, those of the full result; got \(0, 9\)", (0, 9), {}),
        (ValueError, r"lags must lie in -4 \.\. 8, those of the full result; got \(0, 9\)", (0, 9), {"dilation": 2}),
        (TypeError, r"lags must be two integers, the first and the last lag; got \(1, 2, 3\)", (1, 2, 3), {}),
        (TypeError, r"lags must be two integers, the first and the last lag; got 3", 3, {}),
        (TypeError, r"lags must be two integers, the first and the last lag; got \(0\.0, 1\.0\)", (0.0, 1.0), {}),
        (ValueError, r"mode must be 'full' if there are lags; got 'same'", (0, 1), {"mode": "same"}),
        (ValueError, r"mode must be 'full' if there are lags; got 'valid'", (0, 1), {"mode": "valid"}),
        (ValueError, r"start must be None if there are lags; got 'first'", (0, 1), {"start": "first"}),
        (ValueError, r"start must be None if there are lags; got 0", (0, 1), {"start": 0}),
    ],
)
def test_invalid_lags_raise(error, message, lags, options):
    with pytest.raises(error, match=f"^{message}"):
        fastconv.correlate1d(np.ones(9), np.ones(3), lags=lags, **options)
    with pytest.raises(error, match=f"^{message}"):
        fastconv.plan(np.ones(3), 9, correlate=True, lags=lags, **options)


def test_lags_are_for_correlations_along_one_axis():
    with pytest.raises(ValueError, match=r"^lags must be None for a plan that does not correlate; got \(0, 1\)"):
        fastconv.plan(np.ones(3), 9, lags=(0, 1))
    with pytest.raises(ValueError, match=r"^lags must be None for more than one axis; got \(0, 1\)"):
        fastconv.plan(np.ones((3, 3)), (9, 9), correlate=True, lags=(0, 1))
    for arguments, message in (((0, 3), "samples"), ((3, 1.5), "taps"), ((3, 3, "some"), "mode")):
        with pytest.raises((ValueError, TypeError), match=f"^{message} must be"):
            fastconv.correlation_lags(*arguments)
