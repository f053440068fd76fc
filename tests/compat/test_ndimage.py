"""`fastconv.compat.ndimage` against the functions of the installed SciPy."""

import inspect
import itertools
import math
import platform
import warnings

import numpy as np
import pytest

import fastconv.compat.ndimage as ours
from fastconv._planning.ndimage import nd_correlation, scipy_order
from fastconv._runtime.instrumentation import observed
from fastconv.compat import patch
from fastconv.compat.ndimage import _truncation
from tests.compat.signatures import parameters
from tests.oracle import OddText

ndimage = pytest.importorskip("scipy.ndimage")
SCIPY = tuple(map(int, pytest.importorskip("scipy").__version__.split(".")[:2]))

MODES = ["reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap"]
REALS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
INTEGERS = REALS[:9]
# Of the largest number in a result, what rounding leaves: in sums, and of what single precision stores.
DOUBLE, SINGLE = 1e-12, 1e-6
# Whether SciPy's builds for this processor round every product, as ours do.
ROUNDS = platform.machine() in ("x86_64", "AMD64")


def has_bits(name, arguments):
    """Whether floats are SciPy's to the last bit."""
    if name in ("correlate", "convolve"):
        return ROUNDS and np.size(arguments[1]) <= scipy_order.MOST_IN_ORDER
    return ROUNDS and not name.startswith("uniform")


def called(module, name, *args, **options):
    """The result, or the exception."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return getattr(module, name)(*args, **options)
    except Exception as error:
        return error


def takes_axes(name):
    """Whether the function of the installed SciPy does: ours do as the newest."""
    return "axes" in inspect.signature(getattr(ndimage, name)).parameters


def compare(name, *args, **options):
    """Check that both do the same: integers and sums in SciPy's order exactly, others to rounding, errors by type."""
    options = {key: value for key, value in options.items() if key != "axes" or value is not None}
    theirs, found = called(ndimage, name, *args, **options), called(ours, name, *args, **options)
    if isinstance(theirs, Exception) or isinstance(found, Exception):
        assert type(found) is type(theirs), (theirs, found)
        return
    assert type(found) is np.ndarray
    assert (found.shape, found.dtype) == (theirs.shape, theirs.dtype)
    if found.dtype.kind == "b":
        assert set(found.view("u1").flat) <= {0, 1}
        np.testing.assert_array_equal(found, theirs.view("u1") != 0)
    elif found.dtype.kind in "iu":
        np.testing.assert_array_equal(found, theirs)
    elif has_bits(name, args):
        assert np.array_equal(found, theirs, equal_nan=True), np.abs(found - theirs).max()
    else:
        # SciPy rounds what is between two sums to the type of the output, or to that of a complex input.
        single = found.dtype.char in "fF" or np.asarray(args[0]).dtype.char == "F"
        for part, expected in ((found.real, theirs.real), (found.imag, theirs.imag)):
            size = np.abs(expected[np.isfinite(expected)]).max(initial=1)
            np.testing.assert_allclose(part, expected, rtol=0, atol=size * (SINGLE if single else DOUBLE))


def array(rng, shape, dtype):
    """Numbers of many kinds, as arrays come: all the same, few or many, contiguous or not."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        x = rng.random(shape) < 0.5
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max) if dtype.itemsize < 4 else (0, 1000)
        x = [rng.integers(low, high, shape, endpoint=True), np.full(shape, 100), rng.integers(0, 4, shape)][
            rng.integers(3)
        ]
    elif dtype.kind == "f":
        x = rng.integers(-9, 9, shape) if rng.random() < 0.3 else rng.standard_normal(shape)
    else:
        x = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    x = np.asarray(x).astype(dtype)
    layout = rng.integers(6)
    if layout == 0:
        x = x.astype(dtype.newbyteorder(">"))
    elif layout == 1:
        x = np.asfortranarray(x)
    elif layout == 2:
        x = np.repeat(x, 2, -1)[..., ::2]
    elif layout == 3:
        x.flags.writeable = False
    return x


def kernel(rng, shape):
    return [
        rng.integers(-3, 4, shape),
        rng.random(shape),
        np.ones(shape) / max(1, math.prod(shape)),
        np.where(rng.random(shape) < 0.4, 0, rng.standard_normal(shape)),
    ][rng.integers(4)]


def shape_of(rng):
    ndim = int(rng.choice([1, 2, 2, 3, 4]))
    return tuple(map(int, rng.integers(1 if rng.random() < 0.95 else 0, (40, 14, 8, 5)[ndim - 1], ndim)))


def options_of(rng, dtypes=REALS):
    chosen = {"mode": str(rng.choice(MODES)), "cval": float(rng.choice([0, 0, 1, 2.5, -3]))}
    if rng.random() < 0.4:
        chosen["output"] = np.dtype(str(rng.choice(dtypes)))
    return chosen


def axes_of(rng, ndim, name):
    if not takes_axes(name) or rng.random() < 0.6:
        return None
    return tuple(map(int, rng.permutation(ndim)[: rng.integers(1, ndim + 1)]))


def origin_of(rng, extent):
    return int(rng.integers(-(extent // 2), (extent - 1) // 2 + 1))


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("name", ["correlate", "convolve"])
def test_weights_of_many_dimensions(name, seed):
    rng = np.random.default_rng([seed, 1])
    x = array(rng, shape_of(rng), rng.choice(REALS))
    axes = axes_of(rng, x.ndim, name)
    extents = tuple(map(int, rng.integers(1, 6 if x.ndim < 4 else 4, x.ndim if axes is None else len(axes))))
    origin = [origin_of(rng, extent) for extent in extents] if rng.random() < 0.7 else 0
    compare(name, x, kernel(rng, extents), origin=origin, axes=axes, **options_of(rng))


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("name", ["correlate1d", "convolve1d"])
def test_weights_along_an_axis(name, seed):
    rng = np.random.default_rng([seed, 2])
    x = array(rng, shape_of(rng), rng.choice(REALS))
    weights = kernel(rng, (int(rng.integers(1, 30 if rng.random() < 0.3 else 7)),))
    if rng.random() < 0.5:  # SciPy adds up symmetric ones in another order
        weights = weights + rng.choice([1, -1]) * weights[::-1]
    axis, origin = int(rng.integers(-x.ndim, x.ndim)), origin_of(rng, len(weights))
    compare(name, x, weights, axis=axis, origin=origin, **options_of(rng))


@pytest.mark.parametrize("seed", range(80))
def test_averages(seed):
    rng = np.random.default_rng([seed, 3])
    x = array(rng, shape_of(rng), rng.choice(REALS))
    axes, size = axes_of(rng, x.ndim, "uniform_filter"), int(rng.integers(1, 40))
    count = x.ndim if axes is None else len(axes)
    chosen = options_of(rng)
    axis = int(rng.integers(-x.ndim, x.ndim))
    compare("uniform_filter1d", x, size, axis, origin=origin_of(rng, size), **chosen)
    if rng.random() < 0.4:
        chosen["mode"] = list(map(str, rng.choice(MODES, count)))
    sizes = list(map(int, rng.integers(0, 9, count)))
    origin = [origin_of(rng, max(1, size)) for size in sizes] if rng.random() < 0.5 else 0
    compare("uniform_filter", x, sizes if rng.random() < 0.5 or origin else 3, origin=origin, axes=axes, **chosen)


@pytest.mark.parametrize("seed", range(80))
def test_gaussians(seed):
    rng = np.random.default_rng([seed, 4])
    x = array(rng, shape_of(rng), rng.choice(REALS))
    axes, chosen = axes_of(rng, x.ndim, "gaussian_laplace"), options_of(rng)
    count = x.ndim if axes is None else len(axes)
    compare("gaussian_filter1d", x, 0.9, int(rng.integers(-x.ndim, x.ndim)), int(rng.integers(3)), **chosen)
    if rng.random() < 0.4:
        chosen["mode"] = list(map(str, rng.choice(MODES, count)))
    sigma = float(rng.choice([0.3, 1, 2.2])) if rng.random() < 0.5 else list(rng.choice([0, 0.5, 1.3], count))
    compare("gaussian_laplace", x, sigma, axes=axes, truncate=3.0, **chosen)
    everywhere = sigma if isinstance(sigma, float) else list(rng.choice([0, 0.5, 1.3], x.ndim))
    compare("gaussian_gradient_magnitude", x, everywhere, axes=axes, truncate=3.0, **chosen)
    order = 0 if rng.random() < 0.5 else list(map(int, rng.integers(0, 4, count)))
    radius = None if rng.random() < 0.6 else int(rng.integers(0, 6))
    compare("gaussian_filter", x, sigma, order, radius=radius, axes=axes, **chosen)


@pytest.mark.parametrize("seed", range(40))
def test_derivatives_by_functions(seed):
    rng = np.random.default_rng([seed, 6])
    x = array(rng, shape_of(rng), rng.choice(REALS))
    axes, chosen = axes_of(rng, x.ndim, "generic_laplace"), options_of(rng)
    if rng.random() < 0.4:
        chosen["mode"] = list(map(str, rng.choice(MODES, x.ndim)))
    sigma = float(rng.choice([0.6, 1.4]))

    def derivative(x, axis, output, mode, cval, width, order=1):
        return ours.gaussian_filter1d(x, width, axis, order, output, mode, cval)

    compare("generic_gradient_magnitude", x, derivative, extra_arguments=(sigma,), axes=axes, **chosen)
    compare(
        "generic_laplace", x, derivative, extra_arguments=(sigma,), extra_keywords={"order": 2}, axes=axes, **chosen
    )


def test_derivatives_by_functions_call_them_as_scipy_does():
    calls = []

    def derivative(x, axis, output, *others):
        calls.append((x.shape, axis, getattr(output, "dtype", output), others))
        result = np.full(x.shape, axis + 3.0)
        if isinstance(output, np.ndarray):
            output[...] = result
        return result

    x = np.zeros((2, 3))
    for module in (ours, ndimage):
        np.testing.assert_array_equal(module.generic_gradient_magnitude(x, derivative, mode=["wrap", "mirror"]), 5.0)
        np.testing.assert_array_equal(module.generic_laplace(x, derivative, cval=2, extra_arguments=(7,)), 7.0)
    assert calls[:4] == calls[4:]
    assert len(calls) == 8

    def fails(*arguments):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ours.generic_laplace(x, fails)


@pytest.mark.parametrize("seed", range(80))
def test_derivatives(seed):
    rng = np.random.default_rng([seed, 5])
    x = array(rng, shape_of(rng), rng.choice(REALS))
    axes, chosen = axes_of(rng, x.ndim, "laplace"), options_of(rng)
    if rng.random() < 0.4:
        chosen["mode"] = list(map(str, rng.choice(MODES, x.ndim)))
    for name in ("sobel", "prewitt"):
        compare(name, x, int(rng.integers(-x.ndim, x.ndim)), **chosen)
    if axes is not None and not isinstance(chosen["mode"], str):
        chosen["mode"] = chosen["mode"][: len(axes)]
    compare("laplace", x, axes=axes, **chosen)


@pytest.mark.parametrize("seed", range(80))
def test_complex_numbers(seed):
    rng = np.random.default_rng([seed, 6])
    shape, chosen = shape_of(rng)[:3], options_of(rng, ["F", "D", "f4"])
    is_complex = rng.random() < 0.6
    x = array(rng, shape, rng.choice(["F", "D"] if is_complex else REALS))
    if rng.random() < 0.3:
        chosen["cval"] += 2j
    extents = tuple(map(int, rng.integers(1, 5, x.ndim)))
    weights = kernel(rng, extents) + (1j * kernel(rng, extents) if rng.random() < 0.7 else 0)
    for name in ("correlate", "convolve"):
        compare(name, x, weights, **chosen)
    for name in ("correlate1d", "convolve1d"):
        compare(name, x, weights.ravel()[:6], **chosen)
    if is_complex:
        compare("uniform_filter", x, 3, **chosen)
        compare("gaussian_filter", x, 0.7, **chosen)
        compare("sobel", x, **chosen)
        compare("laplace", x, **chosen)
        compare("gaussian_laplace", x, 0.7, **chosen)
        compare("gaussian_gradient_magnitude", x, 0.7, **chosen)


def picture(rng, shape, dtype):
    """Slopes, and plains of black and white."""
    x = rng.standard_normal(shape).cumsum(0).cumsum(1)
    x = np.clip((x - x.min()) / np.ptp(x) * 400 - 70, 0, 255)
    return (x if np.dtype(dtype).kind == "f" else x.round()).astype(dtype)


@pytest.mark.parametrize("output", [None, "u1", "f4"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f8"])
def test_pictures_large_enough_for_every_engine(dtype, output):
    rng = np.random.default_rng(7)
    x = picture(rng, (200, 260), dtype)
    for mode in ("reflect", "constant"):
        chosen = {"mode": mode, "cval": 7.0, "output": output}
        compare("gaussian_filter", x, (1, 12), **chosen)
        compare("uniform_filter", x, 9, **chosen)
        compare("sobel", x, **chosen)
        compare("laplace", x, **chosen)
    for weights in (
        np.ones((3, 3)) / 9,
        rng.random((25, 25)),
        np.ones((41, 41)),
        np.outer(rng.random(31), rng.random(9)),
    ):
        compare("correlate", x, weights, output=output)
    line = np.tile(x[50], 20)
    for size in (3, 64, 1001):
        for weights in (rng.random(size), np.ones(size), np.ones(size) / size):
            compare("correlate1d", line, weights, output=output)
        compare("uniform_filter1d", line, size, output=output)


def test_the_pictures_have_gone_through_every_engine():
    # Sums by way of the spectrum are as near as can be, and integers are right all the same.
    rng = np.random.default_rng(8)
    methods = set()
    for weights in (rng.random((3, 3)), rng.random((60, 60)), np.ones((41, 41))):
        filter = nd_correlation.Filter(weights, (0, 1), (-1, -1), 3, 0.0)
        x = picture(rng, (260, 330), "u1")
        methods.add(nd_correlation.correlate(x, filter, np.empty(x.shape), np.dtype("f8")))
    assert methods == {"direct", "fft", "separable"}


@pytest.mark.parametrize("dtype", ["i4", "i8", "u8", "f8"])
def test_integers_that_doubles_cannot_hold_all_of(dtype):
    rng = np.random.default_rng(9)
    high = {"i4": 2**31 - 1, "i8": 2**62, "u8": 2**62, "f8": 2**40}[dtype]
    x = rng.integers(0, high, (9, 300)).astype(dtype)
    if dtype == "f8":
        x += rng.random(x.shape)
    for output in (None, "i8"):
        compare("uniform_filter1d", x, 7, output=output)
        compare("correlate1d", x, [0.25, 0.5, 0.25], output=output)
        compare("correlate", x, np.ones((3, 3)) / 9, output=output)
        compare("gaussian_filter", x, 1, output=output)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_sums_wrap_alike_on_every_processor(dtype):
    sums = [0.7, -0.7, 1.7, -1.7, 200.5, -200.5, -256.0, 70000.2, -70000.2, 2.0**31 - 1, -(2.0**31)]
    bits = 8 * np.dtype(dtype).itemsize
    wrapped = np.array([int(number) % 2**bits for number in sums], f"u{bits // 8}")
    wanted = wrapped != 0 if dtype == "?" else wrapped.view(dtype)
    for name, weights in (("correlate", [1.0]), ("correlate1d", [1.0]), ("correlate", [0.5, 0.5])):
        x = sums if len(weights) == 1 else np.repeat(sums, 2)
        found = getattr(ours, name)(x, weights, output=np.dtype(dtype))
        np.testing.assert_array_equal(found if len(weights) == 1 else found[1::2], wanted)


def test_average_is_whole_where_samples_are():
    # A mask is eroded by comparing with 1, not with almost 1.
    mask = np.ones((60, 70))
    for size in (3, 7, 49):
        assert (ours.uniform_filter(mask, size) == 1).all()


@pytest.mark.parametrize(
    ("weights", "total", "unit"),
    [
        ([1, 2, 1], 4, 1),
        ([-6, 4], 10, 2),
        ([0.25, 0.5, 0, -0.75], 1.5, 0.25),
        ([0.1], 0.1, 2.0**-55),
        ([5e-324, 1], 1, 5e-324),
        ([0, 0], 0, np.inf),
        ([np.inf, 1], np.inf, 0),
    ],
)
def test_the_unit_of_weights(weights, total, unit):
    assert _truncation.facts_of(np.array(weights, float)) == (total, unit)


# ------------------------------------------------------------------------------------------- where the result goes

FILTERS = {
    "correlate": (np.ones((3, 3)) / 9,),
    "convolve": ([[0, 1, 0], [1, 1, 1], [0, 1, 0.5]],),
    "correlate1d": ([1, 2, 1],),
    "convolve1d": ([1, 2, 0.5],),
    "uniform_filter": (3,),
    "uniform_filter1d": (4,),
    "gaussian_filter": (1,),
    "gaussian_filter1d": (1,),
    "sobel": (),
    "prewitt": (),
    "laplace": (),
    "gaussian_laplace": (1,),
    "gaussian_gradient_magnitude": (1,),
}


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f4", "f8", "F"])
@pytest.mark.parametrize("name", FILTERS)
def test_output_is_filled_and_comes_back(name, dtype):
    rng = np.random.default_rng(10)
    x, function = array(rng, (9, 12), dtype).copy(), getattr(ours, name)
    expected = function(x, *FILTERS[name])
    room = np.zeros((20, 30), dtype)
    for output in (
        np.zeros(x.shape, dtype),
        np.zeros(x.shape, dtype, order="F"),
        np.zeros(x.shape, expected.dtype.newbyteorder(">")),
        room[1:19:2, 28:4:-2],
        x.copy(),
    ):
        source = output if (output == x).all() else x
        assert function(source, *FILTERS[name], output=output) is output
        np.testing.assert_array_equal(output, expected)
    assert (np.delete(room, np.s_[1:19:2], 0) == 0).all()


@pytest.mark.parametrize("name", FILTERS)
def test_output_may_overlap_the_input(name):
    room = np.random.default_rng(11).random((14, 12))
    x, output = room[:9], room[5:]
    expected = getattr(ours, name)(x.copy(), *FILTERS[name])
    np.testing.assert_array_equal(getattr(ours, name)(x, *FILTERS[name], output=output), expected)


@pytest.mark.parametrize("name", FILTERS)
def test_the_input_stays_as_it_is(name):
    x = np.random.default_rng(12).integers(0, 255, (9, 12)).astype(np.uint8)
    before = x.copy()
    result = getattr(ours, name)(x, *FILTERS[name])
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(result, x)
    assert result.flags.c_contiguous
    assert result.flags.writeable


def test_a_type_that_is_not_complex_becomes_one_with_a_warning():
    with pytest.warns(UserWarning, match="promoting specified output dtype to complex") as caught:
        result = ours.correlate1d([1.0, 2], [1j], output=np.float32)
    assert result.dtype == np.complex64
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="promoting specified output dtype to complex") as caught:
        ours.convolve([1.0, 2], [1j], output=np.float32)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="promoting specified output dtype to complex") as caught:
        ours.uniform_filter([1j, 2], output=np.float32)
    assert caught[0].filename == __file__


# ------------------------------------------------------------------------------------------- what is at the edge


@pytest.mark.parametrize("name", FILTERS)
def test_no_dimensions_and_no_samples(name):
    weights = FILTERS[name]
    for shape in ((), (0,), (0, 3), (3, 0), (1,), (1, 1)):
        if name in ("correlate", "convolve"):
            weights = (np.full((3,) * len(shape), 0.5),)
        for dtype in ("u1", "f8", "D"):
            compare(name, np.ones(shape, dtype), *weights)
            compare(name, np.ones(shape, dtype), *weights, output="f4")


def test_infinities_and_nans():
    rng = np.random.default_rng(13)
    for bad in (np.nan, np.inf, -np.inf):
        for dtype in ("f4", "f8", "F"):
            x = rng.standard_normal((9, 40)).astype(dtype)
            x[4, 20] = bad
            zeros = np.where(rng.random((3, 4)) < 0.5, 0, rng.standard_normal((3, 4)))
            compare("correlate", x, zeros)
            compare("correlate", x, zeros * 1e-17)
            compare("correlate", x, np.zeros((3, 3)))
            if dtype != "F":
                compare("correlate", x, zeros, output="i4")
                compare("gaussian_filter", x, 1)
            compare("correlate", x, zeros + 1j * zeros[::-1, ::-1])
            compare("correlate1d", x.real, [1, 0, 1])
            compare("laplace", x)
            compare("sobel", x)
    big = rng.standard_normal((200, 300))
    big[50, 60] = np.nan
    compare("laplace", big)
    compare("correlate", big, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    for cval in (np.nan, np.inf):
        compare("correlate", big[60:], np.ones((25, 25)), mode="constant", cval=cval)
        compare("gaussian_filter", big[60:], 2, mode="constant", cval=cval)
        compare("correlate", big[:9, :9], np.ones((3, 3)), mode="constant", cval=cval)
        compare("correlate1d", [1, 2, 3], [1, 1, 1], mode="constant", cval=cval)
    compare("correlate1d", [1.0, 0, 3], [1, np.inf, 1], mode="constant")
    compare("correlate", [1.0, 0, 3], [1, np.inf, 1], mode="constant")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_signalling_nans_raise_no_warning(dtype):
    bits, kind = (0x7FA00000, "u4") if dtype == "f4" else (0x7FF4000000000000, "u8")
    x = np.ones((12, 13, 14), dtype)
    x.view(kind)[5, 6, 7] = bits
    for output in (None, "f4", "f8", "i2", "u8"):
        for bits in (True, False):
            result = ours.correlate(x, np.ones((2, 2, 2)), output=output, bits=bits)
            ours.correlate(x[5], [[0, 1], [1, 1]], output=output, bits=bits)
            ours.correlate1d(x, [1, 2, 1], 1, output=output, bits=bits)
            ours.gaussian_filter(x, 1, output=output, bits=bits)
            ours.laplace(x, output=output, bits=bits)
            if result.dtype.kind == "f":
                assert np.isnan(result).sum() == 8


def test_a_nan_stays_in_its_windows():
    x = np.ones(20)
    x[8] = np.nan
    assert np.flatnonzero(np.isnan(ours.uniform_filter1d(x, 3))).tolist() == [7, 8, 9]
    assert np.flatnonzero(np.isnan(ndimage.uniform_filter1d(x, 3))).tolist() == list(range(7, 20))
    x[8] = 1e20
    assert (ours.uniform_filter1d(x, 3)[10:] == 1).all()
    assert (ndimage.uniform_filter1d(x, 3)[10:] != 1).all()


def test_a_bool_is_one_or_zero():
    x = np.array([False, True, True, True, False])
    result = ours.correlate1d(x, [1, 1, 1])
    assert result.view("u1").tolist() == [1, 1, 1, 1, 1]
    assert ndimage.correlate1d(x, [1, 1, 1]).view("u1").max() == 3


def test_a_fill_value_stands_outside_of_each_pass():
    # A constant field has no slope; with the passes in this order it has one at the edges, as in SciPy.
    flat, options = np.ones((12, 10)), {"mode": "constant", "cval": 1.0}
    for module in (ours, ndimage):
        down = module.gaussian_filter(flat, 1, order=(1, 0), **options)
        assert down[:, 0].min() > 0.3
        assert np.abs(module.gaussian_filter(flat, 1, order=(0, 1), **options)).max() < 1e-15
        assert (module.sobel(flat, 0, **options)[:, 0] == 1).all()
        assert (module.prewitt(flat, 1, **options)[0] == 1).all()
        assert module.gaussian_laplace(flat, 1, **options)[6, 0] > 0.3
        assert not module.laplace(flat, **options).any()


@pytest.mark.parametrize("mode", [*MODES, ("constant", "nearest", "wrap"), ("reflect", "constant", "constant")])
@pytest.mark.parametrize("cval", [0.0, 1.0, -2.5, 1000.0])
def test_passes_over_what_is_outside_are_those_of_scipy(cval, mode):
    rng = np.random.default_rng(16)
    fields = [np.full((9, 8, 7), cval), rng.standard_normal((9, 8, 7)), np.full((9, 8, 7), int(cval)).astype("i4")]
    for x in fields:
        options = {"mode": mode, "cval": cval}
        for order in itertools.product(range(3), repeat=3):
            compare("gaussian_filter", x, (1, 0.7, 1.3), order, **options)
        for axis in range(3):
            compare("sobel", x, axis, **options)
            compare("prewitt", x, axis, **options)
            if isinstance(mode, str):
                compare("gaussian_filter1d", x, 1, axis, 1, **options)
                compare("uniform_filter1d", x, 4, axis, **options)
        compare("laplace", x, **options)
        compare("gaussian_laplace", x, 1, **options)
        compare("gaussian_gradient_magnitude", x, 1, **options)
        compare("uniform_filter", x, (3, 4, 2), **options)
        for axes in ((0, 1), (2, 0), (1,)) if takes_axes("gaussian_filter") else ():
            options["mode"] = mode if isinstance(mode, str) else mode[: len(axes)]
            compare("gaussian_filter", x, 1, (1, 0)[: len(axes)], axes=axes, **options)
            compare("uniform_filter", x, 3, axes=axes, **options)
            if takes_axes("gaussian_laplace"):
                compare("gaussian_laplace", x, 1, axes=axes, **options)
                compare("gaussian_gradient_magnitude", x, 1, axes=axes, **options)
                compare("laplace", x, axes=axes, **options)


def test_the_second_derivative_is_of_the_input_in_place_too():
    x = np.random.default_rng(14).random((6, 7))
    for name, *args in (("laplace",), ("gaussian_laplace", 1), ("gaussian_gradient_magnitude", 1)):
        expected = getattr(ours, name)(x, *args)
        there, here = x.copy(), x.copy()
        getattr(ndimage, name)(there, *args, output=there)
        getattr(ours, name)(here, *args, output=here)
        np.testing.assert_array_equal(here, expected)
        assert not np.allclose(there, expected)


def test_large_whole_kernels_are_exact_by_every_method():
    x = picture(np.random.default_rng(15), (260, 330), "u1")
    for weights in (np.ones((41, 41)), np.random.default_rng(16).integers(-9, 9, (60, 60))):
        for output in ("i4", "i8", "u2"):
            compare("correlate", x, weights, output=output)


# ------------------------------------------------------------------------------------------------ what bits are for


def test_a_constant_stays_itself():
    # A mask is blurred and compared with 1 to find what lies inside.
    for dtype, sigma in itertools.product(["f8", "f4"], [0.7, 1, 1.5, 2, 3, 8]):
        ones = np.ones((60, 70), dtype)
        compare("gaussian_filter", ones, sigma)
    assert (ours.gaussian_filter(np.ones((60, 70)), 2) == 1).all()


@pytest.mark.parametrize(
    "name", ["gaussian_filter", "gaussian_laplace", "gaussian_gradient_magnitude", "laplace", "sobel"]
)
def test_mirrored_pictures_have_mirrored_results(name):
    x = np.random.default_rng(17).random((61, 83))
    for flip in (np.flipud, np.fliplr):
        result, mirrored = (getattr(ours, name)(image, *FILTERS[name]) for image in (x, flip(x)))
        sign = -1 if name == "sobel" and flip is np.fliplr else 1
        np.testing.assert_array_equal(flip(mirrored), sign * result)


def test_a_symmetric_corner_has_a_symmetric_response():
    # On a tie between two equal responses rounding decided where a corner is.
    square = np.zeros((50, 50))
    square[10:40, 10:40] = 1
    for sigma in (1, 1.5, 2):
        rows, columns = ours.sobel(square, 0), ours.sobel(square, 1)
        np.testing.assert_array_equal(rows, columns.T)
        products = [
            ours.gaussian_filter(product, sigma) for product in (rows * rows, rows * columns, columns * columns)
        ]
        response = products[0] * products[2] - products[1] * products[1]
        for flipped in (response[::-1], response[:, ::-1], response[::-1, ::-1]):
            np.testing.assert_array_equal(flipped, response)


def test_zeros_far_from_a_large_sample_stay_zeros():
    x = np.zeros(3000)
    x[0] = 1e12
    result = ours.gaussian_filter1d(x, 100)
    assert (result >= 0).all()
    assert not result[401:].any()
    assert result[:400].all()


@pytest.mark.parametrize("name", [name for name in FILTERS if not name.startswith("uniform")])
def test_without_bits_results_agree_to_rounding(name):
    rng = np.random.default_rng(18)
    for dtype, scale in (("f8", DOUBLE), ("f4", SINGLE), ("u1", 0), ("F", SINGLE), ("D", DOUBLE)):
        x = (rng.random((90, 110)) * 100).astype(dtype)
        expected, result = (getattr(ours, name)(x, *FILTERS[name], bits=bits) for bits in (True, False))
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=0, atol=scale * 10 * np.abs(expected).max())
    line = rng.random((1, 3000)).astype("f4")
    if name == "gaussian_filter1d":
        expected, result = (ours.gaussian_filter1d(line, 60, bits=bits) for bits in (True, False))
        assert (expected != result).any()
        np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f4", ">f8", "u1", "F", "D"])
@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "wrap", "constant"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian_filter", {"sigma": (1, 2, 1.5)}),
        ("gaussian_filter", {"sigma": 1, "order": (1, 0, 2), "axes": (2, 0, 1)}),
        ("uniform_filter", {"size": (3, 4, 5), "origin": (0, 1, -1)}),
    ],
)
def test_three_axes_are_filtered_together(dtype, mode, name, options):
    rng = np.random.default_rng(20)
    x = (rng.random((16, 17, 18)) * 100).astype(dtype)
    if x.dtype.kind == "c":
        x += x.dtype.type(1j) * x[::-1]
    output = np.dtype("f4") if x.dtype.kind == "u" else x.dtype.newbyteorder("=")
    expected = getattr(ndimage, name)(x, mode=mode, output=output, **options)
    if name != "uniform_filter":
        options = {**options, "bits": False}
    with observed() as events:
        result = getattr(ours, name)(x, mode=mode, output=output, **options)
    calls = [event.x.shape for event in events if event.name in ("volume", "separable", "direct", "fft")]
    assert calls.count(x.shape) == 1
    assert result.dtype == expected.dtype
    scale = DOUBLE if result.dtype in ("f8", "D") else SINGLE
    np.testing.assert_allclose(result, expected, rtol=0, atol=scale * 10 * np.abs(expected).max())


def test_four_axes_are_filtered():
    x = np.random.default_rng(21).random((9, 8, 7, 6))
    for mode, axes in (("nearest", None), ("constant", (3, 0, 1, 2))):
        result = ours.uniform_filter(x, (2, 3, 4, 5), mode=mode, cval=0.0, axes=axes)
        expected = ndimage.uniform_filter(x, (2, 3, 4, 5), mode=mode, cval=0.0, axes=axes)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def test_a_nan_in_a_volume_stays_in_its_windows():
    x = np.random.default_rng(22).random((20, 21, 22))
    x[9, 10, 11] = np.nan
    window = np.zeros(x.shape, bool)
    window[8:11, 9:12, 10:13] = True
    np.testing.assert_array_equal(np.isnan(ours.uniform_filter(x, 3)), window)


def test_bits_of_a_patch():
    x = np.random.default_rng(19).random((1, 3000))
    fast, exact = ours.gaussian_filter1d(x, 60, bits=False), ours.gaussian_filter1d(x, 60)
    assert (fast != exact).any()
    with patch("scipy.ndimage", bits=False) as patched:
        np.testing.assert_array_equal(ndimage.gaussian_filter1d(x, 60), fast)
        ndimage.uniform_filter(x, 3)
        assert patched.calls["scipy.ndimage.uniform_filter"].fastconv == 1
    with patch("scipy.ndimage"):
        np.testing.assert_array_equal(ndimage.gaussian_filter1d(x, 60), exact)
    with pytest.raises(TypeError, match="bits must be True or False; got None"):
        patch("scipy.ndimage", bits=None)


# ------------------------------------------------------------------------------------------------------- errors

X = np.arange(12.0).reshape(3, 4)
BOX = np.ones((3, 3))
ERRORS = [
    ("correlate", np.ones(3), {}, RuntimeError, "weights"),
    ("correlate", np.ones((0, 3)), {}, RuntimeError, "weights"),
    ("correlate", BOX, {"mode": "bad"}, RuntimeError, "mode must be one of .*'bad'"),
    ("correlate", BOX, {"mode": 3}, RuntimeError, "mode"),
    ("correlate", BOX, {"mode": ["wrap", "wrap"]}, RuntimeError, "mode must be one for all axes"),
    ("correlate", BOX, {"origin": 2}, ValueError, r"origin must lie in -1 .. 1 .*2"),
    ("correlate", np.ones((2, 2)), {"origin": 1}, ValueError, "origin"),
    ("convolve", np.ones((2, 2)), {"origin": 1}, ValueError, "origin"),
    ("correlate", BOX, {"origin": (0, 1, 2)}, RuntimeError, "origin"),
    ("correlate", BOX, {"origin": 0.5}, TypeError, "integer"),
    ("correlate", BOX, {"axes": (0, 0)}, ValueError, "axes must be unique"),
    ("correlate", BOX, {"axes": (0, 2)}, ValueError, "axes must lie in"),
    ("correlate", BOX, {"axes": 0.5}, TypeError, "integer"),
    ("correlate", BOX, {"axes": object()}, ValueError, "axes"),
    ("correlate", BOX, {"cval": 1j}, TypeError, "cval must be a real number"),
    ("correlate", BOX, {"cval": "a"}, TypeError, "cval"),
    ("correlate", BOX, {"cval": None}, TypeError, "cval"),
    ("correlate", BOX, {"cval": [1]}, TypeError, "cval"),
    ("correlate", 1j * BOX, {"cval": 1j}, ValueError, "cval must be real"),
    ("correlate", BOX, {"output": np.zeros((4, 3))}, RuntimeError, "output must have the shape"),
    ("correlate", BOX, {"output": "bool"}, RuntimeError, "output must be a type of numbers"),
    ("correlate", BOX, {"output": complex}, RuntimeError, "output must hold real numbers"),
    ("correlate", BOX, {"output": np.float16}, RuntimeError, "output must hold"),
    ("correlate", 1j * BOX, {"output": np.zeros((3, 4))}, RuntimeError, "output must hold complex"),
    ("correlate", 1j * BOX, {"output": "f4"}, RuntimeError, "output must be a complex type"),
    ("correlate1d", [1], {"axis": 2}, np.exceptions.AxisError, "axis 2"),
    ("correlate1d", [1], {"axis": 0.5}, TypeError, "integer"),
    ("correlate1d", [], {}, RuntimeError, "weights"),
    ("correlate1d", BOX, {}, RuntimeError, "weights"),
    ("correlate1d", [1, 1], {"mode": ["wrap"]}, RuntimeError, "mode"),
    ("gaussian_filter", 1, {"radius": 2**62}, RuntimeError, "radius"),
    ("gaussian_filter", 1, {"truncate": 2**62}, RuntimeError, "radius"),
    ("uniform_filter1d", 0, {}, RuntimeError, "size must be positive"),
    ("uniform_filter1d", 2.5, {}, TypeError, "integer"),
    ("uniform_filter1d", 3, {"origin": 2}, ValueError, "origin"),
    ("uniform_filter", [3], {}, RuntimeError, "size"),
    ("uniform_filter", 3, {"mode": ["wrap"]}, RuntimeError, "mode"),
    ("gaussian_filter", 1, {"order": -1}, ValueError, "order must not be negative"),
    ("gaussian_filter", 1, {"order": 1.5}, TypeError, "integer"),
    ("gaussian_filter", 1, {"radius": -1}, ValueError, "radius"),
    ("gaussian_filter", 1, {"radius": 1.0}, ValueError, "radius must be an integer"),
    ("gaussian_filter", [1, 2, 3], {}, RuntimeError, "sigma"),
    ("gaussian_filter", 1, {"output": complex}, RuntimeError, "output must hold real numbers"),
    ("gaussian_laplace", [1], {}, RuntimeError, "sigma"),
    ("gaussian_laplace", 1, {"order": 1}, TypeError, "order"),
    ("gaussian_filter", 1, {"bits": 2}, TypeError, "bits must be True or False; got 2"),
    ("correlate", BOX, {"bits": None}, TypeError, "bits must be True or False; got None"),
]


@pytest.mark.parametrize(("name", "argument", "options", "kind", "message"), ERRORS)
def test_errors(name, argument, options, kind, message):
    with pytest.raises(kind, match=message):
        getattr(ours, name)(X, argument, **options)
    if str(options.get("output")) == "bool" and SCIPY < (1, 15):  # which takes it
        return
    with pytest.raises(kind if takes_axes(name) or "axes" not in options else TypeError):
        getattr(ndimage, name)(X, argument, **options)


def test_weights_without_dimensions():
    for function in (ours.convolve1d, ours.correlate1d, ours.convolve, ours.correlate):
        with pytest.raises(RuntimeError, match="weights"):
            function(X, 3.0)
    for function in (ours.convolve, ours.correlate, ndimage.convolve):
        with pytest.raises((RuntimeError, TypeError)):
            function(object(), object())


def test_a_mode_may_be_any_kind_of_string():
    for function, *arguments in ((ours.convolve, BOX), (ours.correlate1d, [1, 2]), (ours.sobel,), (ours.laplace,)):
        expect = function(X, *arguments, mode="wrap")
        np.testing.assert_array_equal(function(X, *arguments, mode=OddText("wrap")), expect)


@pytest.mark.parametrize("dtype", ["e", "g", "G", "O", "M8[s]"])
@pytest.mark.parametrize("name", FILTERS)
def test_types_that_are_not_filtered(name, dtype):
    x = np.zeros((3, 4), dtype)
    with pytest.raises(RuntimeError, match="input must hold"):
        getattr(ours, name)(x, *FILTERS[name])
    with pytest.raises(RuntimeError):
        getattr(ndimage, name)(x, *FILTERS[name])


@pytest.mark.parametrize("name", FILTERS)
def test_a_read_only_output(name):
    output = np.zeros(X.shape)
    output.flags.writeable = False
    with pytest.raises(ValueError, match="output must be writable"):
        getattr(ours, name)(X, *FILTERS[name], output=output)
    with pytest.raises(ValueError, match="read-only"):
        getattr(ndimage, name)(X, *FILTERS[name], output=output)


def test_where_nothing_is_to_be_done():
    for name in ("gaussian_filter", "uniform_filter"):
        compare(name, X, 0)
        compare(name, X.astype("f2"), 0)
        compare(name, X, 3, axes=())
        compare(name, X, 3, axes=(), output=np.uint8)
    for name, *arguments in (("laplace", X), ("gaussian_laplace", X, 1), ("correlate", X, 2.0)):
        if takes_axes(name):
            compare(name, *arguments, axes=())
        else:
            assert called(ours, name, *arguments, axes=()).shape == X.shape
    compare("gaussian_laplace", X, 0)
    compare("gaussian_laplace", X, (0, 1))


@pytest.mark.parametrize("sigma", [2, np.float32(1.5), np.float64(1.5), np.array(1.5), 1e-300, 0])
def test_what_a_sigma_may_be(sigma):
    if SCIPY >= (1, 15) or not isinstance(sigma, np.ndarray):  # older ones iterate over it
        compare("gaussian_filter", X, sigma)
    compare("gaussian_filter1d", X, sigma)


def test_a_float32_has_weights_of_its_own():
    impulse = np.eye(1, 31, 15)[0]
    one, other = (ours.gaussian_filter1d(impulse, sigma) for sigma in (np.float32(1.3), float(np.float32(1.3))))
    assert (one != other).any()


@pytest.mark.parametrize("name", ours.__all__)
def test_signatures(name):
    theirs, found = (parameters(getattr(module, name)) for module in (ndimage, ours))
    added = {"bits"} if takes_axes(name) else {"bits", "axes"}  # an older SciPy
    assert [each for each in found if each[0] not in added] == theirs
    assert ">>>" in getattr(ours, name).__doc__


def test_a_weight_that_is_infinite_outside():
    assert np.isnan(ours.correlate1d(np.ones(3), [np.inf, 1, 1], mode="constant")).tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["correlate", "convolve"])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c16"])
def test_weights_that_are_nan_are_left_out(name, dtype):
    x = np.random.default_rng(5).integers(0, 99, (9, 14)).astype(dtype)
    weights = np.random.default_rng(6).integers(1, 4, (3, 4)).astype(float)
    weights[0, 1] = weights[2, 2] = np.nan
    for options in ({}, {"bits": False}):
        found = getattr(ours, name)(x, weights, **options)
        np.testing.assert_allclose(found, getattr(ndimage, name)(x, weights), rtol=1e-6)
    compare(name, x, weights)
    compare(name, x[0], weights[0], mode="wrap")


@pytest.mark.parametrize("name", ["correlate", "convolve", "correlate1d", "convolve1d"])
@pytest.mark.parametrize("complex_weights", [False, True])
@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_complex64_samples_in_a_complex128_output_have_scipys_bits(name, complex_weights, mode):
    rng = np.random.default_rng(8)
    x = (rng.normal(size=(9, 14)) + 1j * rng.normal(size=(9, 14))).astype("c8")
    weights = rng.normal(size=5 if name.endswith("1d") else (3, 4))
    if complex_weights:
        weights = weights * (1 + 2j)
    compare(name, x, weights, output=np.complex128, mode=mode, cval=3 - 1j)


@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 5), (2, 3, 4, 3)])
def test_averages_of_complex_numbers_keep_their_parts_apart(shape):
    x = np.arange(np.prod(shape)).reshape(shape) * (1 + 2j)
    x.real[-1:] = np.inf
    for size in (2, 3):
        with np.errstate(all="ignore"):
            wanted = ndimage.uniform_filter(x.imag, size)
        np.testing.assert_allclose(ours.uniform_filter(x, size).imag, wanted, rtol=1e-12, atol=1e-12)
