"""`fastconv.compat.signal` against SciPy."""

import itertools
import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fastconv.compat import signal as fsignal
from fastconv.compat._unsupported import Unsupported
from tests.compat.signatures import parameters
from tests.oracle import DTYPES, OddText, check, expected, whole_numbers

signal = pytest.importorskip("scipy.signal")
SCIPY = tuple(map(int, pytest.importorskip("scipy").__version__.split(".")[:2]))

# By SciPy 1.15 and 1.16, for types that fastconv supports.
pytestmark = pytest.mark.filterwarnings("ignore:dtype=.* is not supported by:DeprecationWarning")

MODES = ("full", "same", "valid")
FUNCTIONS_ND = ("convolve", "correlate")
FUNCTIONS_2D = ("convolve2d", "correlate2d")
FUNCTIONS_FFT = ("fftconvolve", "oaconvolve")

each_nd = pytest.mark.parametrize("name", FUNCTIONS_ND)
each_2d = pytest.mark.parametrize("name", FUNCTIONS_2D)
each_fft = pytest.mark.parametrize("name", FUNCTIONS_FFT)
each_mode = pytest.mark.parametrize("mode", MODES)


def both(name):
    # SciPy converts uninitialised memory, to float16 for instance, and NumPy may warn about its values.
    return getattr(fsignal, name), np.errstate(invalid="ignore", over="ignore")(getattr(signal, name))


def fits(mode, first, second):
    """True if SciPy has a result."""
    larger = [n >= m for n, m in zip(first, second)]
    smaller = [n <= m for n, m in zip(first, second)]
    return mode != "valid" or all(larger) or all(smaller)


def same_error(name, *args, **options):
    """Check that both raise the same type of error; return our message."""
    ours, theirs = both(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, TypeError)) as expect:
            theirs(*args, **options)
    with pytest.raises((ValueError, TypeError)) as error:
        ours(*args, **options)
    assert type(error.value) is type(expect.value)
    return str(error.value)


@pytest.mark.parametrize("name", fsignal.__all__)
def test_signatures_equal_scipy(name):
    ours, theirs = both(name)
    assert parameters(ours) == parameters(theirs)
    assert ours.__name__ == theirs.__name__


# ------------------------------------------------------------------------------------- convolve and correlate


@each_nd
@each_mode
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_convolve_lengths_and_alignment_equal_scipy(name, mode, method):
    ours, theirs = both(name)
    rng = np.random.default_rng(1)
    for n, m in itertools.product(range(1, 8), range(1, 8)):
        for dtype in ("i8", "c16"):
            x, kernel = whole_numbers(rng, n, dtype), whole_numbers(rng, m, dtype)
            expect = theirs(x, kernel, mode, "direct")
            check(lambda *args: ours(*args, method), x, kernel, mode, expect=expect, tolerance=1e-12)


@each_nd
@each_mode
def test_convolve_in_several_dimensions_equals_scipy(name, mode):
    ours, theirs = both(name)
    rng = np.random.default_rng(2)
    shapes = [
        ((5, 6), (2, 3)), ((2, 3), (5, 6)), ((4, 4), (4, 4)), ((6, 1), (1, 3)), ((3, 5), (5, 3)), ((1, 1), (2, 2)),
        ((4, 5, 6), (2, 3, 2)), ((2, 3, 2), (4, 5, 6)), ((3, 3, 3), (1, 4, 1)), ((2, 7, 1), (2, 1, 3)),
        ((5, 4, 3), (1, 1, 1)), ((3, 2, 4, 3), (2, 2, 2, 2)), ((2, 2, 2, 2), (3, 2, 4, 3)), ((2, 2, 2, 2, 2),) * 2,
    ]  # fmt: skip
    for first, second in shapes:
        for dtype, method in (("i4", "auto"), ("f8", "direct"), ("c16", "fft"), ("f4", "auto"), ("G", "auto")):
            x, kernel = whole_numbers(rng, first, dtype), whole_numbers(rng, second, dtype)
            if fits(mode, first, second):
                expect = theirs(x, kernel, mode, "direct")
                check(lambda *args, method=method: ours(*args, method), x, kernel, mode, expect=expect, tolerance=1e-12)
            else:
                message = same_error(name, x, kernel, mode)
                assert "For 'valid' mode" in message


@each_nd
@pytest.mark.parametrize("x_dtype", [*DTYPES, "g", "G", ">i4", ">c16"])
def test_convolve_types_equal_scipy(name, x_dtype):
    ours, theirs = both(name)
    rng = np.random.default_rng(3)
    for kernel_dtype in [*DTYPES, "g", ">f8"]:
        for first, second in (((7,), (4,)), ((4, 5), (2, 3)), ((2, 3, 4), (2, 1, 2))):
            x, kernel = whole_numbers(rng, first, x_dtype), whole_numbers(rng, second, kernel_dtype)
            if len(first) > 1 and np.result_type(x, kernel).char in "?e":
                assert "must not have a result of type" in same_error(name, x, kernel, "full", "direct")
                x, kernel = x.astype("f4"), kernel.astype("f4")
            for mode in MODES:
                expect = theirs(x, kernel, mode, "direct")
                check(ours, x, kernel, mode, expect=expect)
                check(lambda *args: ours(*args, "fft"), x, kernel, mode, expect=expect)


@each_nd
def test_convolve_refuses_2d_bools_as_scipy(name):
    x = np.ones((4, 4), bool)
    same_error(name, x, x)
    same_error(name, x, x, "same", "direct")
    assert both(name)[0](x, x, method="fft").all()


@each_nd
def test_convolve_refuses_2d_float16_as_scipy(name):
    x = np.arange(16, dtype="f2").reshape(4, 4)
    result = both(name)[0](x, x, "same")
    assert result.dtype == np.float16
    wide = both(name)[1](x.astype("f4"), x.astype("f4"), "same", "direct")
    np.testing.assert_array_equal(result, wide.astype("f2"))


@each_nd
@pytest.mark.parametrize("number", [Fraction, Decimal, lambda n: 10**30 + n])
def test_convolve_sums_1d_objects(name, number):
    ours, theirs = both(name)
    x, kernel = (np.array([number(n) for n in values], object) for values in ((1, 2, 3, 4), (5, 1, 2)))
    for mode, method in itertools.product(MODES, ("auto", "direct")):
        for first, second in ((x, kernel), (kernel, x)):
            if not (mode == "same" and len(second) > len(first)):  # not supported by SciPy for objects
                result, expect = ours(first, second, mode, method), theirs(first, second, mode, method)
                assert result.dtype == object
                assert result.tolist() == expect.tolist()
    with pytest.raises(Unsupported, match="method='fft'"):
        ours(x, kernel, method="fft")
    with pytest.raises(ValueError, match="in1 and in2 must hold numbers"):
        ours(x.reshape(2, 2), x.reshape(2, 2))
    if SCIPY >= (1, 17):  # older versions return a result with a deprecation warning
        same_error(name, x.reshape(2, 2), x.reshape(2, 2))


@each_nd
def test_convolve_of_scalars_equals_scipy(name):
    ours, theirs = both(name)
    for x, kernel in ((3, 4), (3, 4j), (np.array(2.5), np.float32(2)), (np.array(200, "u1"), np.array(2, "u1"))):
        result, expect = ours(x, kernel), theirs(x, kernel)
        assert result == expect
        assert type(result) is type(expect)


@each_nd
def test_convolve_raises_the_errors_of_scipy(name):
    x, kernel = np.ones((4, 4)), np.ones((2, 2))
    for mode in (None, 0, 1, 2, "Same", "f", b"same", -1, True, 1.0):
        assert "mode" in same_error(name, x, kernel, mode)
        assert "mode" in same_error(name, x[0], kernel[0], mode, "direct")
    for method in (None, "bacon", 0):
        assert "method" in same_error(name, x, kernel, "full", method)
    for first, second in (([1], 2), (1, [2]), ([1], [[2]])):
        assert "in1 and in2 should have the same dimensionality" in same_error(name, first, second)
    for first, second in (([], [1]), ([1], []), ([], [])):
        assert "empty" in same_error(name, first, second)
    assert "empty" in same_error(name, np.ones((0, 3)), kernel)
    assert "must hold numbers" in same_error(name, ["a"], ["b"], "full", "direct")
    with pytest.raises(Unsupported, match="must hold numbers"):
        both(name)[0](np.arange(3).astype("m8[s]"), [1, 2])


def test_options_that_cannot_be_hashed_are_named():
    x = np.ones((3, 3))
    for wrong in ([], {}, ["full"]):
        for name, option in (
            ("convolve", "mode"),
            ("convolve", "method"),
            ("correlate", "mode"),
            ("correlate", "method"),
            ("fftconvolve", "mode"),
            ("oaconvolve", "mode"),
            ("convolve2d", "mode"),
            ("convolve2d", "boundary"),
            ("correlate2d", "boundary"),
            ("choose_conv_method", "mode"),
        ):
            message = same_error(name, x, x, **{option: wrong})
            assert f"{option}=" in message
            assert "hash" not in message


@each_nd
def test_convolve_of_empty_inputs(name):
    ours, theirs = both(name)
    for first, second in (((0,), (3,)), ((0, 3), (2, 2)), ((0, 2, 2), (2, 2, 2))):
        result, expect = ours(np.ones(first), np.ones(second), "same"), theirs(np.ones(first), np.ones(second), "same")
        assert (result.shape, result.dtype) == (expect.shape, expect.dtype)
    for first, second, mode in (((3, 3), (0, 2), "valid"), ((0, 2, 2), (2, 2, 2), "valid"), ((0,), (2,), "valid")):
        with pytest.raises(ValueError, match="must not be empty"):
            ours(np.ones(first), np.ones(second), mode)


@each_nd
@each_mode
def test_convolve_of_integers_wraps_and_is_exact(name, mode):
    ours, theirs = both(name)
    rng = np.random.default_rng(4)
    for dtype in "i1 u1 i2 u4 i8 u8".split():
        limits = np.iinfo(dtype)
        x = rng.integers(limits.min, limits.max, (6, 40), dtype, endpoint=True)
        kernel = rng.integers(limits.min, limits.max, (3, 5), dtype, endpoint=True)
        for first, second in ((x, kernel), (x[0], kernel[0])):
            expect = theirs(first, second, mode, "direct")
            for method in ("auto", "direct", "fft"):  # SciPy's 'fft' is wrong for these
                check(lambda *args, method=method: ours(*args, method), first, second, mode, expect=expect)


@each_nd
def test_convolve_with_large_kernels_equals_scipy(name):
    ours, theirs = both(name)
    rng = np.random.default_rng(5)
    for first, second in (
        ((4000,), (900,)),
        ((90, 80), (40, 50)),
        ((20, 30, 30), (9, 12, 10)),
        ((12, 10), (60, 70)),
    ):
        x, kernel = rng.standard_normal(first), rng.standard_normal(second)
        for mode in MODES:
            exact = theirs(x.astype("g"), kernel.astype("g"), mode, "direct")
            noise = 2 * abs(theirs(x, kernel, mode, "fft") - exact).max()
            bound = min(x.size, kernel.size) * np.finfo(float).eps * signal.fftconvolve(abs(x), abs(kernel)).max()
            fastest = bound if fsignal.choose_conv_method(x, kernel, mode) == "direct" else noise
            for method, most in (("auto", fastest), ("fft", fastest), ("direct", bound)):
                result = ours(x, kernel, mode, method)
                assert result.shape == exact.shape
                assert abs(result - exact).max() <= most


# ------------------------------------------------------------------------------------- convolve2d and correlate2d


@each_2d
@each_mode
@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm", "pad", "circular", "symmetric"])
def test_convolve2d_boundaries_and_alignment_equal_scipy(name, mode, boundary):
    ours, theirs = both(name)
    rng = np.random.default_rng(6)
    for first, second in (
        [((n, 7), (m, 3)) for n in (1, 2, 5, 8) for m in (1, 2, 3, 4)]
        + [((6, n), (2, m)) for n in (2, 5) for m in (1, 2, 5, 6, 13)]
        + [((2, 3), (9, 8)), ((3, 2), (2, 3)), ((1, 1), (4, 4)), ((70, 90), (6, 8)), ((70, 90), (9, 1))]
    ):
        for dtype in ("i4", "f8", "c16"):
            x, kernel = whole_numbers(rng, first, dtype), whole_numbers(rng, second, dtype)
            for fillvalue in (0, 3):
                if fits(mode, first, second):
                    expect = theirs(x, kernel, mode, boundary, fillvalue)
                    options = {"boundary": boundary, "fillvalue": fillvalue}
                    check(ours, x, kernel, mode, expect=expect, tolerance=1e-12, **options)
                else:
                    same_error(name, x, kernel, mode, boundary, fillvalue)


@each_2d
@pytest.mark.parametrize("x_dtype", [*DTYPES, "g", "G", ">i4"])
def test_convolve2d_types_equal_scipy(name, x_dtype):
    ours, theirs = both(name)
    rng = np.random.default_rng(7)
    for kernel_dtype in [*DTYPES, "g", ">f4", "O"]:
        x, kernel = whole_numbers(rng, (5, 6), x_dtype), whole_numbers(rng, (2, 3), kernel_dtype)
        for boundary in ("fill", "wrap"):
            if np.result_type(x, kernel).char in "?eO":
                assert "must hold numbers" in same_error(name, x, kernel, "full", boundary)
            else:
                check(ours, x, kernel, "same", boundary, expect=theirs(x, kernel, "same", boundary))


@each_2d
def test_convolve2d_accepts_every_layout(name):
    ours, theirs = both(name)
    rng = np.random.default_rng(8)
    x, kernel = whole_numbers(rng, (12, 20), "f4"), whole_numbers(rng, (6, 8), "f4")
    x.flags.writeable = kernel.flags.writeable = False
    for mode, boundary in itertools.product(MODES, ("fill", "symm")):
        for first, second in (
            (x[::-2, ::2], kernel[::2, ::-1]),
            (x.T, kernel.T),
            (x[:, 3:], np.asfortranarray(kernel)),
        ):
            if fits(mode, first.shape, second.shape):
                check(ours, first, second, mode, boundary, expect=theirs(first, second, mode, boundary))


def fits_integer_type(number, dtype):
    """True unless `dtype` is an integer type that cannot hold the number."""
    if dtype not in ("i4", "u1") or type(number) not in (int, float):
        return True
    limits = np.iinfo(dtype)
    return math.isfinite(number) and limits.min <= int(number) <= limits.max


@each_2d
@pytest.mark.parametrize("dtype", ["i4", "u1", "f4", "c8"])
def test_convolve2d_fill_values_equal_scipy(name, dtype):
    ours, theirs = both(name)
    x, kernel = np.arange(6, dtype=dtype).reshape(2, 3), np.array([[1, 0, 2]], dtype)
    for value in (1.5, -1, 300, 2**40, np.nan, np.inf, 1j, [1], [[2.0]], [1, 2], [], "a", None, True, np.float32(0.5)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expect = theirs(x, kernel, fillvalue=value)
            except (ValueError, TypeError):
                expect = None
            everywhere = theirs(x, kernel, "same", "wrap", value)
        if expect is None:
            same_error(name, x, kernel, fillvalue=value)
        elif SCIPY < (1, 15) and not fits_integer_type(value, dtype):  # older versions convert it as C does
            with pytest.raises(ValueError, match="could not cast"):
                ours(x, kernel, fillvalue=value)
        elif not np.isfinite(expect).all():  # a complex sum with a NaN or an infinity in one part
            np.testing.assert_array_equal(np.isfinite(ours(x, kernel, fillvalue=value)), np.isfinite(expect))
        else:
            np.testing.assert_array_equal(ours(x, kernel, fillvalue=value), expect)
        np.testing.assert_array_equal(ours(x, kernel, "same", "wrap", value), everywhere)


@each_2d
def test_convolve2d_raises_the_errors_of_scipy(name):
    x, kernel = np.ones((4, 4)), np.ones((2, 2))
    for mode in (None, 0, 2, "Same", b"same", [1]):
        same_error(name, x, kernel, mode)
    for boundary in (None, 0, "x", "reflect", "nearest", [1]):
        same_error(name, x, kernel, "full", boundary)
    for first, second in ((3, 4), ([3], [4]), ([[[3]]], [[[4]]]), (x, [1])):
        assert "must be a 2-D array" in same_error(name, first, second)
    assert "must be scalar or an array with" in same_error(name, x, kernel, fillvalue=[1, 2])
    assert "could not cast `fillvalue` directly" in same_error(name, [[1]], [[1, 2]], fillvalue=1j)


@each_2d
def test_convolve2d_of_empty_inputs(name):
    ours, theirs = both(name)
    for first, second, boundary in (((0, 3), (2, 2), "fill"), ((3, 3), (0, 2), "fill"), ((3, 3), (0, 2), "wrap")):
        for mode in ("full", "same"):
            check(
                ours,
                np.ones(first),
                np.ones(second),
                mode,
                boundary,
                expect=theirs(np.ones(first), np.ones(second), mode),
            )
    with pytest.raises(ValueError, match="empty"):
        ours(np.ones((3, 3)), np.ones((0, 2)), "valid")
    for options in ({"boundary": "wrap"}, {"fillvalue": 9}):
        with pytest.raises(Unsupported, match="empty"):
            ours(np.ones((0, 3)), np.ones((2, 2)), **options)


@each_2d
def test_convolve2d_has_no_rounding_errors_of_distant_samples(name):
    rng = np.random.default_rng(9)
    spike, line = np.zeros((200, 210)), rng.standard_normal((1, 41))
    spike[100, 100] = 1e12
    for kernel in (rng.standard_normal((41, 41)), line.T * line, rng.standard_normal((41, 41)) * 1j):
        result = both(name)[0](spike, kernel)
        assert not result[:100].any()
        assert not result[141:].any()
        assert np.count_nonzero(result) == 41 * 41
        small = both(name)[0](kernel, spike)
        assert np.count_nonzero(small) == 41 * 41


# ------------------------------------------------------------------------------------- fftconvolve and oaconvolve


@each_fft
@each_mode
def test_fftconvolve_axes_and_broadcasting_equal_scipy(name, mode):
    ours, theirs = both(name)
    rng = np.random.default_rng(10)
    cases = [
        ((9,), (4,), None), ((4,), (9,), 0), ((1,), (5,), None), ((5,), (1,), -1), ((3, 5), (1, 2), 1),
        ((1, 6), (3, 2), 1), ((3, 6), (3, 2), 1), ((6, 3), (2, 3), [0]), ((5, 6), (3, 4), (1, 0)),
        ((5, 6), (3, 1), None), ((2, 9, 4), (1, 3, 2), (1, 2)), ((1, 9, 4), (2, 3, 2), [-1, -2]),
        ((2, 9, 4), (2, 3, 2), (1, 2)), ((3, 1, 8), (1, 4, 3), 2), ((4, 5, 6), (2, 3, 2), None),
        ((2, 5, 4, 6), (1, 2, 3, 2), (1, 2, 3)), ((2, 5, 4, 6), (2, 2, 3, 2), (-1, 1, 2)), ((2, 3), (4, 5), None),
    ]  # fmt: skip
    for first, second, axes in cases:
        for dtypes in (("f8", "f8"), ("c16", "f8"), ("i4", "i4"), ("f4", "f4")):
            x, kernel = whole_numbers(rng, first, dtypes[0]), whole_numbers(rng, second, dtypes[1])
            expect = theirs(x, kernel, mode, axes)
            asked = range(x.ndim) if axes is None else np.arange(x.ndim)[list(np.atleast_1d(axes))]
            broadcast = [axis for axis in range(x.ndim) if axis not in asked and x.shape[axis] < kernel.shape[axis]]
            if mode == "same" and broadcast:
                assert ours(x, kernel, mode, axes).shape[broadcast[0]] == kernel.shape[broadcast[0]]
                wide = np.broadcast_to(
                    x, [max(n, m) if a in broadcast else n for a, (n, m) in enumerate(zip(first, second))]
                )
                expect = theirs(wide, kernel, mode, axes)
            check(lambda *args, axes=axes: ours(*args, axes), x, kernel, mode, expect=expect, tolerance=2e-4)


@each_fft
@pytest.mark.parametrize("x_dtype", [*DTYPES, "g", "G", ">i4", ">f8"])
def test_fftconvolve_types_equal_scipy(name, x_dtype):
    ours, theirs = both(name)
    rng = np.random.default_rng(11)
    for kernel_dtype in [*DTYPES, "g", ">c8"]:
        for first, second in (((9,), (4,)), ((4, 5), (3, 2)), ((5,), (1,))):
            x, kernel = whole_numbers(rng, first, x_dtype), whole_numbers(rng, second, kernel_dtype)
            expect = theirs(x, kernel)
            check(ours, x, kernel, expect=expect, tolerance=2e-4 if expect.dtype.kind in "fc" else 0)


@each_fft
def test_fftconvolve_is_as_accurate_as_scipy(name):
    ours, theirs = both(name)
    rng = np.random.default_rng(12)
    for first, second in (((5000,), (1300,)), ((100, 120), (50, 60)), ((24, 24, 24), (10, 12, 14)), ((30, 40), (3, 3))):
        for dtype in ("f4", "f8"):
            x, kernel = rng.standard_normal(first).astype(dtype), rng.standard_normal(second).astype(dtype)
            exact = signal.fftconvolve(x.astype("g"), kernel.astype("g"))
            result, expect = ours(x, kernel), theirs(x, kernel)
            assert result.dtype == expect.dtype
            assert np.sqrt(np.mean((result - exact) ** 2)) <= 1.3 * np.sqrt(np.mean((expect - exact) ** 2))


@pytest.mark.parametrize("name", [*FUNCTIONS_ND, *FUNCTIONS_2D, *FUNCTIONS_FFT])
def test_modes_may_be_subclasses_of_str(name):
    pair = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
    ours = getattr(fsignal, name)
    for mode in MODES:
        np.testing.assert_array_equal(ours(*pair, OddText(mode)), ours(*pair, mode))
        assert fsignal.choose_conv_method(*pair, OddText(mode)) == "direct"
    option = {"method": "direct"} if name in FUNCTIONS_ND else {"boundary": "wrap"} if name in FUNCTIONS_2D else {}
    odd = {key: OddText(value) for key, value in option.items()}
    np.testing.assert_array_equal(ours(*pair, **odd), ours(*pair, **option))


@each_fft
def test_fftconvolve_raises_the_errors_of_scipy(name):
    for axes in ([], [[1, 2], [3, 4]], [1.0, 2.0], 0.0, "0", [1], [-2], [0, 0], 2, object()):
        assert "axes" in same_error(name, [1, 2], [3, 4], "full", axes)
    for mode in ("chips", None, 0, [1], b"same"):
        assert "acceptable mode flags" in same_error(name, [1, 2], [3, 4, 5], mode)
        assert "acceptable mode flags" in same_error(name, [1], [3], mode)
    assert "incompatible shapes for in1 and in2:" in same_error(name, np.ones((5, 2)), np.ones((5, 3)), axes=0)
    assert "For 'valid' mode" in same_error(name, np.ones((5, 2)), np.ones((2, 5)), "valid")
    for first, second in (([1], 2), (1, [2]), ([3], [[2]])):
        assert "in1 and in2 should have the same dimensionality" in same_error(name, first, second)
    for x in (np.array([Fraction(1, 2)]), np.arange(3).astype("m8[s]"), ["1"]):
        with pytest.raises(Unsupported, match="must hold numbers"):
            both(name)[0](x, [1.0, 2.0])


@each_fft
def test_fftconvolve_of_scalars_and_empty_inputs_equals_scipy(name):
    ours, theirs = both(name)
    assert ours(3, 4) == theirs(3, 4) == 12
    for first, second in (([], []), ([5, 6], []), ([], [7]), (np.ones((0, 2)), np.ones((2, 2)))):
        check(ours, first, second, expect=theirs(first, second))


# ------------------------------------------------------------------------------------- known bugs of SciPy


def test_a_nan_does_not_spread_and_causes_no_warning():
    x, kernel = np.ones(2000), np.ones(300)
    x[700] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for result in (
            fsignal.convolve(x, kernel, "same", "fft"),
            fsignal.fftconvolve(x, kernel, "same"),
            fsignal.oaconvolve(x, kernel, "same"),
        ):
            assert np.isnan(result).sum() == 300
            assert np.isfinite(result[:500]).all()
        cube = np.ones((20, 20, 20))
        cube[10, 10, 10] = np.inf
        result = fsignal.fftconvolve(cube, np.ones((3, 3, 3)))
        assert np.isinf(result).sum() == 27
        assert np.isfinite(result).sum() == result.size - 27


def test_fft_of_bools_is_exact():
    x, kernel = np.zeros(3000, bool), np.zeros(3000, bool)
    x[10] = kernel[20] = True
    assert fsignal.convolve(x, kernel, method="fft").nonzero()[0].tolist() == [30]
    assert np.count_nonzero(signal.convolve(x, kernel, method="fft")) > 1


def test_fft_of_large_integers_is_exact():
    x = np.array([2**40 + 1, 2**40 + 3])
    exact = expected(x, x)
    assert fsignal.convolve(x, x, method="fft").tolist() == exact.tolist()


@each_fft
def test_mode_same_does_not_truncate_broadcast_axes(name):
    x, kernel = np.ones((1, 100)), np.ones((7, 10))
    ours, theirs = both(name)
    assert theirs(x, kernel, "same", 1).shape == (1, 100)
    result = ours(x, kernel, "same", 1)
    assert result.shape == (7, 100)
    np.testing.assert_allclose(result, np.tile(np.convolve(x[0], kernel[0], "same"), (7, 1)))


def test_correlate2d_with_the_larger_array_second_is_conjugated_as_in_scipy():
    assert fsignal.correlate2d([[1 + 1j]], [[1j, 2]], "valid").tolist() == [[2 - 2j, 1 + 1j]]
    assert fsignal.correlate([[1 + 1j]], [[1j, 2]], "valid").tolist() == [[2 + 2j, 1 - 1j]]


# --------------------------------------------------------------------------------------- correlation_lags


@pytest.mark.parametrize("mode", MODES)
def test_correlation_lags_equal_scipy(mode):
    for samples in range(8):
        for taps in range(8):
            found, expect = (module.correlation_lags(samples, taps, mode) for module in (fsignal, signal))
            np.testing.assert_array_equal(found, expect)
            assert found.dtype == expect.dtype
    with pytest.raises(TypeError, match="in2_len must be an integer; got 'a'"):
        fsignal.correlation_lags(1, "a", mode)


# ------------------------------------------------------------------------------------- choose_conv_method


@each_mode
def test_choice_for_small_kernels_is_direct(mode):
    rng = np.random.default_rng(13)
    image = rng.standard_normal((512, 512))
    for size in (1, 3, 5):
        assert fsignal.choose_conv_method(image, rng.standard_normal((size, size)), mode) == "direct"
    assert signal.choose_conv_method(image, np.ones((3, 3)), "full") == "fft"
    assert fsignal.choose_conv_method(rng.standard_normal(8), rng.standard_normal(6), mode) == "direct"
    assert fsignal.choose_conv_method(image, rng.standard_normal((200, 200)), mode) == "fft"
    assert fsignal.choose_conv_method(rng.standard_normal(200_000), rng.standard_normal(50_000), mode) == "fft"
    cube = rng.standard_normal((8, 300, 300))
    assert fsignal.choose_conv_method(cube, cube[:3, :200, :200], mode) == "fft"
    assert fsignal.choose_conv_method(cube, cube[:2, :3, :3], mode) == "direct"


def test_choice_is_direct_if_only_that_is_possible():
    x = np.ones(2000)
    for dtype in ("?", "g", "G", "O"):
        assert fsignal.choose_conv_method(x.astype(dtype), x.astype(dtype)) == "direct"
    for dtype in ("i8", "u1"):
        assert fsignal.choose_conv_method(np.ones(9000, dtype), np.ones(9000, dtype)) == "fft"
        assert fsignal.choose_conv_method(x[:9].astype(dtype), x.astype(dtype)) == "direct"
    for first, second, mode in (
        (3, 4, "full"),
        ([1.0], [[2.0]], "full"),
        ([], [1.0], "full"),
        ([[1.0, 2]], [[2.0], [1]], "valid"),
    ):
        with np.errstate(all="ignore"):
            expect = signal.choose_conv_method(first, second, mode)
        assert fsignal.choose_conv_method(first, second, mode) == expect
    for mode in (None, 0, "Same", [1]):
        same_error("choose_conv_method", x, x, mode)


@each_mode
def test_choice_by_measured_times(mode):
    x, kernel = np.ones((40, 50)), np.ones((5, 5))
    for first, second in ((x, kernel), (kernel, x), (x[0], kernel[0]), (x.astype("u1"), kernel.astype("u1"))):
        method, times = fsignal.choose_conv_method(first, second, mode, measure=True)
        assert set(times) == {"fft", "direct"}
        assert all(0 < time < 60 for time in times.values())
        assert method == min(times, key=times.get)
    method, times = fsignal.choose_conv_method(x[0].astype("g"), kernel[0], mode, True)
    assert method == "direct"
    assert times["fft"] == float("inf")


# ------------------------------------------------------------------------------------- all functions


def test_random_calls_equal_scipy():
    rng = np.random.default_rng(14)
    for _ in range(400):
        ndim = int(rng.integers(1, 4))
        first, second = (tuple(map(int, rng.integers(1, 12, ndim))) for _ in range(2))
        x_dtype, kernel_dtype = rng.choice([t for t in DTYPES if t not in ("?", "f2")], 2)
        x = np.flip(whole_numbers(rng, first, x_dtype)) if rng.random() < 0.3 else whole_numbers(rng, first, x_dtype)
        kernel, mode = whole_numbers(rng, second, kernel_dtype), str(rng.choice(MODES))
        if not fits(mode, first, second):
            continue
        for name in FUNCTIONS_ND:
            ours, theirs = both(name)
            with np.errstate(all="ignore"):  # SciPy converts uninitialised memory
                expect = theirs(x, kernel, mode, "direct")
            check(ours, x, kernel, mode, expect=expect)
        for name in FUNCTIONS_FFT:
            ours, theirs = both(name)
            check(ours, x, kernel, mode, expect=theirs(x, kernel, mode), tolerance=5e-4)


def test_arguments_that_only_scipy_supports(monkeypatch):
    class Foreign(np.ndarray):
        pass

    x = np.arange(3.0).view(Foreign)
    assert type(fsignal.convolve(x, [1, 2])) is np.ndarray
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    for name in {*fsignal.__all__} - {"correlation_lags"}:
        with pytest.raises(Unsupported, match="SCIPY_ARRAY_API"):
            both(name)[0](x, [1, 2])
    assert fsignal.convolve([1, 2], np.array([1, 2])).tolist() == [1, 4, 4]
