"""NaNs, infinities, signed zeros, denormal numbers and overflow, by every method.

Sums start from 0, and complex numbers are multiplied by parts.
"""

import ctypes
import platform
import sys

import numpy as np
import pytest

import fastconv
from fastconv import image, reference
from fastconv._runtime.instrumentation import observed
from tests.oracle import BOUNDARIES, MODES, expected, sums, whole_numbers
from tests.sizes import enlarged

PAIRS = [("f2", "f2"), ("f4", "f4"), ("f8", "f8"), ("c8", "c8"), ("c16", "c16"), ("c8", "f4"), ("f4", "c8")]
# Complex kernels are not separable.
CASES = [(*pair, method) for pair in PAIRS for method in ("direct", "separable", "fft", "auto")]
CASES = [case for case in CASES if case[1][0] != "c" or case[2] != "separable"]
VALUES = (np.nan, np.inf, -np.inf)


def parts_of(array):
    return (array.real, array.imag) if array.dtype.kind == "c" else (array,)


def assert_alike(found, exact, tolerance):
    """Check that non-finite parts are equal and others within the tolerance."""
    assert found.dtype.kind == exact.dtype.kind
    for part, wanted in zip(parts_of(found), parts_of(exact)):
        np.testing.assert_array_equal(np.isnan(part), np.isnan(wanted))
        np.testing.assert_array_equal(part == np.inf, wanted == np.inf)
        np.testing.assert_array_equal(part == -np.inf, wanted == -np.inf)
        finite = np.isfinite(wanted)
        assert np.all(np.abs(part[finite] - wanted[finite]) <= tolerance)


def outer(shape, dtype, rng):
    """Outer product of nonzero integers."""
    return np.multiply.outer(*(rng.integers(1, 4, n) * rng.choice([-1, 1], n) for n in shape)).astype(dtype)


def tolerance_of(dtype, method):
    """Error for small integers: 0 unless a transform may be used."""
    return 0 if method in ("direct", "separable") else 3e5 * np.finfo("f4" if dtype == "f2" else dtype).eps


def convolve(x, kernel, *args, **options):
    function = fastconv.convolve1d if kernel.ndim == 1 else fastconv.convolve2d
    return function(x, kernel, *args, **options)


# ------------------------------------------------------------------------------------------------ NaNs and infinities


@pytest.mark.parametrize(("dtype", "kernel_dtype", "method"), CASES)
def test_non_finite_results_equal_the_reference(dtype, kernel_dtype, method):
    rng = np.random.default_rng(1)
    result = np.result_type(dtype, kernel_dtype)
    turn = 0
    for mode in MODES:
        for boundary in BOUNDARIES if mode != "valid" else ("zero",):
            for where in ("x", "kernel", "both", "fill"):
                shape, taps = (((9, 17), (3, 4)), ((30,), (5,)))[turn % 2 if method != "separable" else 0]
                turn += 1
                if where == "fill" and boundary != "fill":
                    continue
                x = whole_numbers(rng, shape, dtype)
                kernel = whole_numbers(rng, taps, kernel_dtype) if kernel_dtype[0] == "c" or len(taps) == 1 else None
                kernel = outer(taps, kernel_dtype, rng) if kernel is None else kernel
                if where in ("x", "both"):  # in corners, at an edge and in the middle
                    places = [(0,) * x.ndim, (-1,) * x.ndim, tuple(n // 2 for n in shape)]
                    for k, place in enumerate(places):
                        x[place] = VALUES[(turn + k) % 3]
                if where in ("kernel", "both") and method != "separable":
                    kernel[(turn % 3,) * kernel.ndim] = VALUES[turn % 3]
                fill = VALUES[turn % 3] if where == "fill" else 2 if boundary == "fill" else 0
                found = convolve(x, kernel, mode, boundary=boundary, fill_value=fill, method=method)
                assert found.dtype == result
                tolerance = tolerance_of(result.str[1:], method)
                assert_alike(found, sums(x, kernel, mode, boundary, fill), tolerance)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.usefixtures("small_tiles")
def test_non_finite_samples_at_borders_of_tiles(dtype):
    rng = np.random.default_rng(2)
    kernel, shape = whole_numbers(rng, (4, 6), dtype), enlarged((70, 61), dtype)
    plan = fastconv.plan(kernel, shape, mode="same", method="fft")
    with observed() as events:
        plan(np.full(shape, 0.5, dtype))
    (step,) = (event.steps for event in events if event.name == "fft")
    assert step[0] + 3 < shape[0]  # several tiles
    assert step[1] + 1 < shape[1]
    for value in VALUES:
        for down in (step[0] - 1, step[0], step[0] + 3):
            for across in (step[1] - 2, step[1] + 1):
                x = whole_numbers(rng, shape, dtype)
                x[down, across] = value
                x[-1, 0] = -value
                assert_alike(plan(x), sums(x, kernel, "same"), tolerance_of(dtype, "fft"))


@pytest.mark.parametrize("method", ["direct", "separable", "fft", "auto"])
@pytest.mark.parametrize(("shape", "axes"), [((5, 40, 50), (1, 2)), ((40, 50, 3), (0, 1)), ((40, 4, 50), (0, 2))])
def test_non_finite_samples_do_not_affect_other_images_of_a_batch(method, shape, axes):
    rng = np.random.default_rng(3)
    x, kernel = whole_numbers(rng, shape, "f4"), outer((5, 7), "f4", rng)
    (batch,) = set(range(3)) - set(axes)
    for value in VALUES:
        spoilt = np.moveaxis(x.copy(), batch, 0)
        spoilt[1, 20, 30] = value
        found = fastconv.convolve2d(np.moveaxis(spoilt, 0, batch), kernel, "same", axes=axes, method=method)
        for plane, result in zip(spoilt, np.moveaxis(found, batch, 0)):
            assert_alike(result, sums(plane, kernel, "same"), tolerance_of("f4", method))


@pytest.mark.parametrize("method", ["direct", "fft", "auto"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_products_and_sums_of_special_values(dtype, method):
    def line(x, kernel):
        return fastconv.convolve1d(np.array(x, dtype), np.array(kernel, dtype), "valid", method=method).tolist()

    inf, nan = np.inf, np.nan
    cases = [
        ([inf, -inf], [1, 1], nan),
        ([inf, inf], [1, -1], nan),
        ([inf, 1], [1, 0], nan),  # an infinity times a tap of zero
        ([0, 1], [1, inf], nan),
        ([inf, 5], [1, -1], -inf),
        ([-inf, -inf], [-2, -3], inf),
        ([nan, 5], [1, 0], nan),
        ([inf, -inf], [inf, -inf], -inf),
    ]
    for x, kernel, result in cases:
        np.testing.assert_array_equal(line(x, kernel), [result])
        assert str(reference.convolve1d(list(map(float, x)), kernel, "valid")) == f"[{float(result)}]"


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_zeros_around_a_kernel_make_nans_of_infinities(dtype):
    rng = np.random.default_rng(4)
    kernel = np.zeros((25, 25), dtype)
    kernel[11:14, 10:14] = outer((3, 4), dtype, rng)
    x = whole_numbers(rng, (300, 310), dtype)
    assert "without the zeros" in repr(fastconv.plan(kernel, x.shape, mode="same"))  # as long as the input is finite
    spot = (slice(80, 160), slice(90, 170))
    for value in VALUES:
        x[120, 130] = value
        found = fastconv.convolve2d(x, kernel, "same")
        assert np.isnan(found).sum() + np.isinf(found).sum() == 625
        exact = sums(x[68:172, 78:182], kernel, "same")
        assert_alike(found[spot], exact[12:-12, 12:-12], tolerance_of(dtype, "fft"))


# ---------------------------------------------------------------------------------------------------- signs of zero


@pytest.mark.parametrize("method", ["direct", "separable", "auto"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", "g"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_sums_of_zeros_are_positive_zeros(dtype, method, boundary):
    if dtype == "g" and method == "separable":
        method = "direct"
    assert not np.signbit(reference.convolve1d([-0.0], [1.0])).any()
    for sign in (1.0, -1.0):
        for shape, taps in (((6, 40), (1, 1)), ((6, 40), (3, 4)), ((40, 3), (2, 1))):
            zeros = np.full(shape, -0.0, dtype)
            fill = -0.0 if boundary == "fill" else 0
            kernel = np.full(taps, sign, dtype)
            if method == "separable":
                kernel = kernel.real.copy()
            found = fastconv.convolve2d(zeros, kernel, "same", boundary=boundary, fill_value=fill, method=method)
            for part in parts_of(found):
                assert not part.any()
                assert not np.signbit(part).any()


def test_pictures_have_no_negative_zeros():
    zeros = np.full((9, 40), -0.0, "f4")
    for kernel in ([[-1.0]], np.ones((3, 3)), np.ones((17, 17)), [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]):
        assert not np.signbit(image.filter(zeros, kernel)).any()


def test_fft_of_zeros_returns_zeros():
    found = fastconv.convolve2d(np.zeros((40, 50)), np.ones((9, 9)), method="fft")
    assert not found.any()


# -------------------------------------------------------------------------------- the smallest numbers and the largest


def least(dtype):
    """Smallest positive number."""
    return np.finfo(dtype).smallest_subnormal


@pytest.mark.parametrize("method", ["direct", "separable"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16"])
def test_denormal_numbers_are_kept(dtype, method):
    rng = np.random.default_rng(5)
    one = least(dtype)
    for shape, taps in (((9, 70), (3, 4)), ((400, 500), (5, 3))):
        whole = whole_numbers(rng, shape, dtype)
        factor = np.sign(whole.real) + 1 if method == "separable" else 1  # partial sums of one sign
        x = np.asarray(whole * factor, dtype)
        kernel = outer(taps, np.dtype(dtype).type(0).real.dtype, rng)
        # Factors of denormal numbers have too few bits: the direct engine computes these.
        wanted = sums(x, kernel, "same")
        found = fastconv.convolve2d((x * one).astype(dtype), kernel, "same", method=method)
        for part, right in zip(parts_of(found), parts_of(wanted)):
            np.testing.assert_array_equal(part, (right * float(one)).astype(part.dtype))
        found = fastconv.convolve2d(x, (kernel * one).astype(kernel.dtype), "same", method="direct")
        for part, right in zip(parts_of(found), parts_of(wanted)):
            np.testing.assert_array_equal(part, (right * float(one)).astype(part.dtype))
    assert np.count_nonzero(found)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fft_keeps_denormal_numbers(dtype):
    rng = np.random.default_rng(6)
    x, kernel = rng.integers(-400, 400, (60, 70)), rng.integers(-9, 10, (9, 8))
    one = float(least(dtype))
    found = fastconv.convolve2d((x * one).astype(dtype), kernel.astype(dtype), "same", method="fft")
    wanted = sums(x.astype("f8"), kernel.astype("f8"), "same")
    assert np.count_nonzero(found) > 4000
    norm = np.linalg.norm(x.astype("f8")) * np.linalg.norm(kernel.astype("f8"))
    assert np.abs(found / one - wanted).max() <= 0.01 * norm


def test_underflow_rounds_to_nearest():
    for dtype in ("f4", "f8"):
        one = least(dtype)
        for factor, result in ((0.75, 1), (0.25, 0), (0.5, 0), (1.5, 2)):
            for sign in (1, -1):
                found = fastconv.convolve1d(np.full(50, sign * one, dtype), np.array([factor], dtype))
                np.testing.assert_array_equal(found, np.full(50, sign * result * one, dtype))


def test_half_precision_is_rounded_once():
    def single(value, kernel=1.0):
        return float(fastconv.convolve1d(np.array([value], "f2"), np.array([kernel], "f2"))[0])

    assert single(65504, 1) == 65504
    assert fastconv.convolve1d(np.array([65504, 8], "f2"), np.ones(2, "f2"), "valid").tolist() == [65504]
    assert fastconv.convolve1d(np.array([65504, 16], "f2"), np.ones(2, "f2"), "valid").tolist() == [np.inf]
    assert fastconv.convolve1d(np.array([-65504, -65504], "f2"), np.ones(2, "f2"), "valid").tolist() == [-np.inf]
    # Sums are single precision: only the result can overflow.
    sums = fastconv.convolve1d(np.array([60000, 60000, -60000, -60000], "f2"), np.ones(4, "f2"), "valid")
    assert sums.tolist() == [0]
    assert single(2.0**-24, 0.5) == 0
    assert single(2.0**-24, 0.75) == 2.0**-24
    assert single(2.0**-24, 1.5) == 2.0**-23


@pytest.mark.parametrize("method", ["direct", "separable", "fft", "auto"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_only_sums_that_overflow_are_infinite(dtype, method):
    real = np.dtype(dtype).type(0).real.dtype
    largest = np.finfo(dtype).max
    x, kernel = np.zeros((60, 200), dtype), np.ones((3, 5), real)
    x[10, 20:22] = largest
    x[40, 150:152] = -largest
    found = fastconv.convolve2d(x, kernel, "same", method=method)
    infinite = np.zeros(x.shape)
    infinite[9:12, 19:23], infinite[39:42, 149:153] = 1, -1
    np.testing.assert_array_equal(found.real == np.inf, infinite == 1)
    np.testing.assert_array_equal(found.real == -np.inf, infinite == -1)
    assert not np.isnan(found).any()
    # Outputs with one of the two samples do not overflow.
    ends = found.real[10, [18, 23]]
    np.testing.assert_allclose(ends, [largest, largest], rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------ integers


@pytest.mark.parametrize("method", ["direct", "separable", "auto"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_extreme_integers_wrap(dtype, method):
    if dtype == "?":
        limits = [False, True]
    else:
        limits = [np.iinfo(dtype).min, np.iinfo(dtype).max]
    x = np.full((7, 40), limits[0], dtype)
    x[::2, 1::3] = limits[1]
    minus = np.array(limits[1], dtype) if dtype[0] in "u?" else np.array(-1, dtype)  # unsigned: -1 too
    for kernel in (minus.reshape(1, 1), np.full((3, 2), minus), np.full((2, 5), limits[0], dtype)):
        for boundary in BOUNDARIES:
            fill = int(limits[0]) if boundary == "fill" else 0
            wanted = expected(x, kernel, "same", boundary, fill)
            found = fastconv.convolve2d(x, kernel, "same", boundary=boundary, fill_value=fill, method=method)
            np.testing.assert_array_equal(found, wanted)


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("taps", [(3, 3), (9, 9), (19, 19)])
@pytest.mark.parametrize("is_outer", [True, False])
def test_non_finite_pixels_affect_only_their_footprint(dtype, taps, is_outer):
    rng = np.random.default_rng(7)
    shape = (60, 120, 3) if taps[0] > 9 else (30, 40, 3)
    kernel = outer(taps, "f8", rng) if is_outer else whole_numbers(rng, taps, "f8")
    kernel[kernel == 0] = 1
    picture = whole_numbers(rng, shape, dtype)
    for k, value in enumerate(VALUES):
        picture[3 + k * 9, 0, k] = picture[-1, 20 + k, 2 - k] = value
    for boundary in ("reflect", "zero") if taps[0] < 19 else ("wrap",):
        found = image.filter(picture, kernel, boundary=boundary, scale=4, offset=1)
        rough = 0 if taps[0] < 9 else 1e3 * np.abs(kernel).sum() * np.finfo(dtype).eps
        for channel in range(3):
            exact = sums(picture[..., channel], kernel, "same", boundary)
            assert_alike(found[..., channel], exact / 4 + 1, rough)


def test_pixels_are_rounded_half_to_even_and_saturated():
    for dtype in ("u1", "u2", "i2", "i4"):
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        row = np.array([[least, least + 1, 0, 1, 2, 3, most - 1, most]], dtype)
        for scale, offset in ((2, 0), (-2, 0), (1, 0.5), (1, -0.5), (0.5, 0), (2, 0.5), (1, 1e9), (1, -1e9)):
            exact = row.astype("f8") / scale + offset
            if dtype == "u2" or dtype == "i2":
                exact = exact.astype("f4")
            wanted = np.clip(np.rint(exact), least, most).astype(dtype)
            found = image.filter(row, [[1.0]], scale=scale, offset=offset)
            np.testing.assert_array_equal(found, wanted)


# ------------------------------------------------------------------------------------ floating-point settings

# Index of the control word in C's `fenv_t` (32-bit words), its status flags, and its settings.
_CONTROLS = {
    "x86_64": (7, 0x3F, {"usual": 0x1F80, "flush": 0x9FC0, "round up": 0x5F80, "traps": 0x1900}),
    "aarch64": (0, 0, {"usual": 0, "flush": 1 << 24, "round up": 1 << 22, "traps": 0x700}),
}


@pytest.fixture
def control():
    """Functions that set and return the floating-point control word of this thread."""
    if sys.platform != "linux" or platform.machine() not in _CONTROLS:
        pytest.skip("where the control word lies in fenv_t is not known here")
    index, flags, settings = _CONTROLS[platform.machine()]
    library = ctypes.CDLL(None)
    environment = (ctypes.c_uint32 * 16)()

    def get():
        assert library.fegetenv(environment) == 0
        return environment[index] & ~flags

    def put(setting):
        get()
        environment[index] = settings[setting]
        assert library.fesetenv(environment) == 0
        return get()

    usual = get()
    assert usual == settings["usual"]
    yield put, get
    put("usual")


@pytest.mark.parametrize("setting", ["flush", "round up", "traps"])
@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
@pytest.mark.usefixtures("eight_processors")
def test_floating_point_settings_have_no_effect_and_are_kept(control, method, setting):
    put, get = control
    rng = np.random.default_rng(8)
    x = (rng.standard_normal((600, 700)) * 1e-40).astype("f4")
    if setting != "flush":
        x = rng.standard_normal((600, 700)).astype("f4")
    line = rng.uniform(0.5, 1, 9).astype("f4")
    kernel = np.outer(line, line)
    plan = fastconv.plan(kernel, x.shape, mode="same", method=method)
    usual, small = plan(x), fastconv.convolve1d(x[0, :50], line)  # starts the workers with default settings
    outs = [np.empty_like(usual) for _ in range(4)]
    word = put(setting)
    for out in outs:
        plan(x, out)
    alone = fastconv.convolve1d(x[0, :50], line)
    after = get()
    put("usual")
    assert after == word  # processors without traps ignore those bits
    for out in outs:
        np.testing.assert_array_equal(out, usual)
    np.testing.assert_array_equal(alone, small)
    assert np.count_nonzero(usual) > 400_000
