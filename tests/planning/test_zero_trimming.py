"""Trimming of zeros around the input and the kernel: how they are found, and that results do not change."""

import itertools
import math
import pickle

import numpy as np
import pytest

import fastconv
from fastconv import compat, image, kernels
from fastconv._engines import cost_model
from fastconv._planning import zero_trimming
from fastconv._runtime.instrumentation import observed
from fastconv.compat import cv2, ndimage, signal
from tests.oracle import BOUNDARIES, DTYPES, LAYOUTS, MODES, expected, whole_numbers

EVERY_DTYPE = (*DTYPES, ">f4", ">c16", ">i4")


def noise(shape, dtype, seed=0):
    """Nonzero numbers; sums of products of floats are inexact."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else 0)
    return (50 * values).astype(dtype) if np.dtype(dtype).kind in "fc" else rng.integers(1, 100, shape).astype(dtype)


def framed(array, *margins):
    """The array with zeros around it: `margins` are pairs (before, after), one per axis."""
    return np.pad(array, margins)


@pytest.fixture
def eager(monkeypatch):
    """Search for zeros even if there is little work."""
    for name in ("WORTH_A_LOOK", "WORTH_TRIMMING", "WORK_WORTH_TRIMMING"):
        monkeypatch.setattr(cost_model, name, 0.0)
    fastconv.clear_caches()
    yield
    fastconv.clear_caches()


class Untrimmed:
    """Calls functions with trimming disabled, for reference."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def __call__(self, function, *arguments, **options):
        with self._monkeypatch.context() as patch:
            for name in ("WORTH_TRIMMING", "WORK_WORTH_TRIMMING"):
                patch.setattr(cost_model, name, math.inf)
            fastconv.clear_caches()
            with observed() as events:
                result = function(*arguments, **options)
            assert not {"trimmed", "trim_input"} & {event.name for event in events}
        fastconv.clear_caches()
        return result


@pytest.fixture
def untrimmed(monkeypatch):
    return Untrimmed(monkeypatch)


def trimming(function, *arguments, **options):
    """Return the result of a call and the problems whose input was trimmed."""
    with observed() as events:
        result = function(*arguments, **options)
    return result, [event.problem for event in events if event.name == "trim_input"]


def assert_same_bits(found, wanted):
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()


# ----------------------------------------------------------------------------------------------------- search for zeros


def ranges_by_definition(array, axes):
    """The definition of `zero_trimming.nonzero_ranges`."""
    places = np.nonzero(array)
    if not places[0].size:
        return ((0, 0),) * len(axes)
    found = tuple((int(places[axis].min()), int(places[axis].max()) + 1) for axis in axes)
    return None if found == tuple((0, array.shape[axis]) for axis in axes) else found


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_ranges_enclose_the_nonzero_elements(dtype):
    rng = np.random.default_rng(1)
    for turn in range(150):
        shape = tuple(rng.integers(1, (3000, 70, 15)[turn % 3], turn % 3 + 1))
        array = np.zeros(shape, dtype)
        for _ in range(rng.integers(0, 4)):
            array[tuple(rng.integers(0, extent) for extent in shape)] = 1
        if turn % 5 == 0:
            array[(0,) * array.ndim] = array[(-1,) * array.ndim] = 1
        array = list(LAYOUTS.values())[turn % 6](array)
        for count in range(1, array.ndim + 1):
            for axes in itertools.permutations(range(array.ndim), count):
                assert zero_trimming.nonzero_ranges(array, axes) == ranges_by_definition(array, axes)


def test_ranges_beside_few_zeros_may_be_left_out():
    rng = np.random.default_rng(7)
    left_out = 0
    for _ in range(500):
        shape = tuple(rng.integers(1, 60, rng.integers(1, 3)))
        margins = [tuple(rng.integers(0, extent // 3 + 1, 2)) for extent in shape]
        array, axes = framed(np.ones(shape), *margins), tuple(range(len(shape)))
        found = zero_trimming.nonzero_ranges(array, axes, 1 / 8)
        if found is None:
            shares = [zeros / extent for both, extent in zip(margins, array.shape) for zeros in both]
            assert max(shares) <= 1 / 8
            left_out += max(shares) > 0
        else:
            assert found == ranges_by_definition(array, axes)
    assert left_out > 50


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", ">f8"])
def test_nan_infinity_and_subnormals_count_as_nonzero(dtype):
    kind = np.dtype(dtype).type(0).real.dtype
    for value in (np.nan, np.inf, np.finfo(kind).smallest_subnormal, 1):
        for factor in (1, -1, 1j) if dtype[0] == "c" else (1, -1):
            array = np.full(40, -0.0, dtype)
            with np.errstate(invalid="ignore"):  # an infinity times 1j
                array[7] = value * factor
            assert zero_trimming.nonzero_ranges(array, (0,)) == ((7, 8),)


def test_search_reads_little_more_than_the_zeros():
    def elements_read(array, axes):
        with observed() as events:
            zero_trimming.nonzero_ranges(array, axes)
        for event in events:
            assert event.lines.size <= zero_trimming.LARGEST_LOOK or len(event.lines) == 1
        return sum(event.lines.size for event in events)

    for shape in ((3_000_000,), (1500, 2000), (2, 3_000_000), (3_000_000, 2)):
        full = np.ones(shape, "f4")
        axes = tuple(range(full.ndim))
        assert elements_read(full, axes) == 0
        full[(0,) * full.ndim] = 0  # a corner, then half of an edge
        assert elements_read(full, axes) <= (zero_trimming.SECOND_LOOK + 2 if full.ndim == 1 else 0)
        if full.ndim > 1:
            full[0, shape[-1] // 2 :] = 0
        edges = 2 * sum(math.prod(shape) // extent for extent in shape)
        assert elements_read(full, axes) <= edges + 4 * zero_trimming.SECOND_LOOK
        assert elements_read(np.zeros(shape, "f4"), axes) == math.prod(shape)
    line = np.ones(3_000_000, "f4")
    line[:1000] = line[-500_000:] = 0
    assert elements_read(line, (0,)) <= 501_000 + 3 * zero_trimming.LARGEST_LOOK


# -------------------------------------------------------------------------------------------------------------- results

# Shape of the nonzero part, margins of zeros around it, shape of the kernel, axes.
LINES = [
    ((60,), ((70, 90),), (40,), (0,)),
    ((3, 50), ((0, 0), (100, 0)), (33,), (1,)),
    ((50, 3), ((0, 100), (0, 0)), (33,), (0,)),
    ((20, 30), ((80, 40), (0, 0)), (9,), (0,)),
]
IMAGES = [
    ((20, 30), ((40, 30), (30, 0)), (9, 8), (0, 1)),
    ((20, 30), ((40, 30), (30, 0)), (9, 8), (1, 0)),
    ((12, 14, 3), ((30, 30), (0, 40), (0, 0)), (5, 9), (0, 1)),
    ((2, 12, 14), ((1, 0), (30, 30), (20, 40)), (3, 7), (1, 2)),
]
CASES = LINES + IMAGES


def function_of(axes, correlate=False):
    name = f"{'correlate' if correlate else 'convolve'}{len(axes)}d"
    options = {"axis": axes[0]} if len(axes) == 1 else {"axes": axes}
    return lambda *arguments, **more: getattr(fastconv, name)(*arguments, **options, **more)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "margins", "taps", "axes"), CASES)
def test_direct_results_have_the_same_bits_with_and_without_trimming(shape, margins, taps, axes, dtype, untrimmed):
    x, kernel = framed(noise(shape, dtype), *margins), noise(taps, dtype, seed=1)
    for mode, correlate, layout in itertools.product(("full", "same"), (False, True), ("contiguous", "strided")):
        function = function_of(axes, correlate)
        given = LAYOUTS[layout](x), kernel, mode
        found, problems = trimming(function, *given, method="direct")
        assert len(problems) == 1
        assert_same_bits(found, untrimmed(function, *given, method="direct"))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "u1", "i8", "f2"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "margins", "taps", "axes"), CASES)
def test_trimmed_results_agree_with_the_definition(shape, margins, taps, axes, mode, dtype):
    rng = np.random.default_rng(2)
    x, kernel = framed(whole_numbers(rng, shape, dtype), *margins), whole_numbers(rng, taps, dtype)
    outer = np.multiply.outer(*(whole_numbers(rng, n, dtype) for n in taps)) if len(taps) == 2 else kernel
    for weights in (kernel, outer):
        found, problems = trimming(function_of(axes), x, weights, mode)
        assert problems
        batches = np.moveaxis(x, axes, range(-len(axes), 0))
        results = np.moveaxis(found, axes, range(-len(axes), 0))
        for place in np.ndindex(batches.shape[: -len(axes)]):
            wanted = expected(batches[place], weights, mode)
            if np.dtype(dtype).kind in "fc":
                np.testing.assert_allclose(results[place], wanted, rtol=0, atol=0.02)
            else:
                np.testing.assert_array_equal(results[place], wanted)


VOLUMES = [  # shape of the nonzero part, margins, shape of the kernel, options
    ((9, 10, 12), ((8, 9), (0, 12), (20, 0)), (3, 4, 5), {}),
    ((9, 10, 12), ((8, 9), (0, 12), (20, 0)), (3, 4, 5), {"stride": (1, 2, 3)}),
    ((9, 10, 12), ((8, 9), (0, 12), (20, 0)), (3, 2, 3), {"dilation": (2, 3, 1), "start": ("first", 1, "last")}),
    ((5, 9, 10), ((0, 0), (12, 9), (0, 22)), (5, 3), {"axes": (1, 2), "stride": 2, "dilation": 3}),
    ((40, 30), ((90, 0), (0, 90)), (4, 5), {"stride": (2, 1), "axes": (0, 1)}),
]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["f4", "c16", "i4"])
@pytest.mark.parametrize(("shape", "margins", "taps", "options"), VOLUMES)
def test_volumes_and_strided_convolutions_are_trimmed(shape, margins, taps, options, dtype, untrimmed):
    rng = np.random.default_rng(2)
    x = framed(whole_numbers(rng, shape, dtype), *margins)
    matrix = np.multiply.outer(whole_numbers(rng, taps[0], dtype), whole_numbers(rng, taps[1:], dtype))
    trimmed = 0
    for kernel, boundary in itertools.product((whole_numbers(rng, taps, dtype), matrix), ("zero", "reflect", "wrap")):
        for mode in ("same", "full"):
            given = {"boundary": boundary, **options}
            found, problems = trimming(fastconv.convolve, x, kernel, mode, **given)
            trimmed += len(problems)
            assert_same_bits(found, untrimmed(fastconv.convolve, x, kernel, mode, **given))
    assert trimmed >= 4


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("correlate", [False, True])
@pytest.mark.parametrize("options", [{}, {"dilation": (2, 1, 3)}, {"stride": (2, 1, 2)}, {"boundary": "mirror"}])
def test_kernels_of_volumes_are_trimmed(options, correlate, untrimmed):
    rng = np.random.default_rng(3)
    x, kernel = whole_numbers(rng, (12, 30, 40), "f4"), whole_numbers(rng, (2, 3, 3), "f4")
    kernel[0, 0, 0] = kernel[-1, -1, -1] = 7
    kernel = framed(kernel, (1, 3), (0, 4), (5, 0))
    function = fastconv.correlate if correlate else fastconv.convolve
    with observed() as events:
        found = function(x, kernel, "same", **options)
    assert [event.problem.kernel_shape for event in events if event.name == "trimmed"] == [(2, 3, 3)]
    assert_same_bits(found, untrimmed(function, x, kernel, "same", **options))


@pytest.mark.parametrize("name", ["fft", "separable"])
def test_fft_and_separable_engines_get_only_the_nonzero_part(name, untrimmed):
    kernel = noise((45, 45), "f8", seed=3) if name == "fft" else np.outer(*noise((2, 21), "f8", seed=3))
    x = framed(noise((90, 80), "f8"), (150, 160), (0, 600))
    with observed() as events:
        found = fastconv.convolve2d(x, kernel, "same")
    assert [event.name for event in events if event.name in ("direct", "separable", "fft")] == [name]
    assert [event.problem.x_shape for event in events if event.name == name] == [(96, 80)]
    wanted = untrimmed(fastconv.convolve2d, x, kernel, "same")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * np.abs(x).max() * np.abs(kernel).sum())
    outside = np.ones(x.shape, bool)
    outside[144 - 22 : 240 + 22, : 80 + 22] = False
    assert not found[outside].any()
    assert not np.signbit(found[outside]).any()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("method", ["direct", "auto"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_boundaries_are_trimmed_only_if_they_add_zeros(boundary, method, untrimmed):
    kernel = noise((7, 9), "f4")
    # Zeros at the edges that the boundary mirrors, repeats or wraps around: just enough for trimming, and one less.
    reach = {"zero": 0, "fill": 0, "nearest": 1, "reflect": 4, "mirror": 5, "wrap": 4}[boundary]
    for less in (0, 1):
        margin = max(0, reach - less)
        x = framed(noise((20, 21), "f4"), (60, margin), (50, margin))
        found, problems = trimming(fastconv.convolve2d, x, kernel, "same", boundary=boundary, method=method)
        assert len(problems) == (less == 0 or reach == 0)
        wanted = untrimmed(fastconv.convolve2d, x, kernel, "same", boundary=boundary, method=method)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3 * np.abs(wanted).max())
        if method == "direct":
            assert_same_bits(found, wanted)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("fill", [0, -0.0, 2, np.nan])
def test_trimming_requires_a_fill_value_of_zero(fill, untrimmed):
    x, kernel = framed(noise(50, "f8"), (200, 200)), noise(9, "f8")
    found, problems = trimming(fastconv.convolve1d, x, kernel, "same", boundary="fill", fill_value=fill)
    assert len(problems) == (fill == 0)
    assert_same_bits(found, untrimmed(fastconv.convolve1d, x, kernel, "same", boundary="fill", fill_value=fill))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["f4", "c16", "i2", "?"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_an_input_of_zeros_gives_zeros(dtype, boundary):
    for shape, kernel in (((200,), noise(30, dtype)), ((40, 50), noise((5, 6), dtype))):
        out = np.ones(shape, dtype)
        function = function_of(tuple(range(len(shape))))
        result, problems = trimming(function, np.zeros(shape, dtype), kernel, "same", boundary=boundary, out=out)
        assert problems == [None]
        assert result is out
        assert not out.any()


@pytest.mark.usefixtures("eager")
def test_trimming_to_a_part_outside_all_footprints():
    plan, x = fastconv.plan(noise((9, 9), "f8"), (100, 100), mode="valid", method="direct"), np.zeros((100, 100))
    x[0, :8] = 1
    found, problems = trimming(plan, x)
    assert len(problems) == 1
    assert_same_bits(found, fastconv.convolve2d(x, noise((9, 9), "f8"), "valid", method="direct"))
    line = np.zeros(1000)
    line[900] = 1
    with observed() as events:
        fastconv.convolve1d(np.ones(1000), np.ones(500), "valid", method="direct")
    (problem,) = (event.problem for event in events if event.name == "direct")
    assert zero_trimming.without_zeros(problem, line).problem is not None
    assert zero_trimming.without_zeros(problem._replace(out_shape=(10,)), line).problem is None


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("method", ["direct", "auto"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "f2"])
def test_results_without_nonzero_samples_are_positive_zeros(dtype, method, untrimmed):
    x = np.full(400, -0.0, dtype)
    x[200:210] = noise(10, dtype)
    for sign in (1, -1):
        kernel = np.full(20, sign, dtype)
        found, problems = trimming(fastconv.convolve1d, x, kernel, method=method)
        assert len(problems) == 1
        assert not found[:180].any()
        for part in (found.real, found.imag) if dtype[0] == "c" else (found,):
            assert not np.signbit(part[:180]).any()
        assert_same_bits(found, untrimmed(fastconv.convolve1d, x, kernel, method=method))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["direct", "auto"])
def test_infinities_and_nans_are_not_trimmed(value, method, untrimmed):
    x, kernel = framed(noise(100, "f8"), (300, 200)), noise(40, "f8")
    for place in (0, 250, 350, 599):
        spoilt = x.copy()
        spoilt[place] = value
        found = fastconv.convolve1d(spoilt, kernel, method=method)
        np.testing.assert_array_equal(found, untrimmed(fastconv.convolve1d, spoilt, kernel, method=method))
        assert np.count_nonzero(~np.isfinite(found)) == 40
    for place in (0, 20, 39):  # the product with a trimmed zero would be NaN
        spoilt = kernel.copy()
        spoilt[place] = value
        found, problems = trimming(fastconv.convolve1d, x, spoilt, method=method)
        assert not problems
        assert np.count_nonzero(~np.isfinite(found)) == 600
        assert_same_bits(found, untrimmed(fastconv.convolve1d, x, spoilt, method=method))


@pytest.mark.usefixtures("eager")
def test_input_and_kernel_are_both_trimmed_if_the_input_is_finite(untrimmed):
    x, kernel = framed(noise(100, "f8"), (300, 200)), framed(noise(60, "f8", seed=1), (90, 150))
    for method in ("direct", "auto"):
        with observed() as events:
            found = fastconv.convolve1d(x, kernel, method=method)
        assert {"trimmed", "trim_input"} <= {event.name for event in events}
        assert np.count_nonzero(found) == 159
        x[350] = np.inf
        found = fastconv.convolve1d(x, kernel, method=method)
        assert np.count_nonzero(~np.isfinite(found)) == 300
        np.testing.assert_array_equal(found, untrimmed(fastconv.convolve1d, x, kernel, method=method))
        x[350] = 1


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i4"])
@pytest.mark.parametrize("correlate", [False, True])
def test_trimming_the_kernel_keeps_the_bits_of_direct_results(dtype, correlate, untrimmed):
    rng, trimmed = np.random.default_rng(5), 0
    for turn in range(24):
        shape, axes = [((900,), (0,)), ((7, 300), (0, 1)), ((300, 5), (0,)), ((40, 50), (1, 0))][turn % 4]
        taps = tuple(rng.integers(60, 400, 1)) if len(axes) == 1 else tuple(rng.integers(1, 40, 2))
        kernel = np.zeros(taps, dtype)
        within = tuple(slice(*sorted(rng.integers(0, extent + 1, 2))) for extent in taps)
        kernel[within] = noise(kernel[within].shape, dtype)
        function = function_of(axes, correlate)
        given = noise(shape, dtype), kernel, ("full", "same")[turn % 2]
        with observed() as events:
            found = function(*given, method="direct")
        trimmed += any(event.name == "trimmed" for event in events)
        assert_same_bits(found, untrimmed(function, *given, method="direct"))
    assert trimmed > 5


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
@pytest.mark.parametrize("axis", [0, 1])
def test_zeros_that_make_taps_unsymmetric_keep_the_bits_of_direct_results(dtype, axis, untrimmed):
    x = noise((700, 700), dtype)
    for length in (5, 40, 90, 131, 180, 300):
        part = noise((length,), dtype)
        part += part[::-1].copy()
        for before, after in ((30, 0), (0, 30), (20, 10), (400, 128), (256, 256)):
            kernel = np.concatenate((np.zeros(before, dtype), part, np.zeros(after, dtype)))
            if dtype == "c8" and before == after:
                kernel.imag[before + 1] += 1  # one part is symmetric
            found = fastconv.convolve1d(x, kernel, "same", axis=axis, method="direct")
            assert_same_bits(found, untrimmed(fastconv.convolve1d, x, kernel, "same", axis=axis, method="direct"))


# -------------------------------------------------------------------------------------------- plans and other functions


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("method", ["direct", "auto"])
@pytest.mark.parametrize("taps", [(400,), (25, 25), (60, 61)])
def test_plans_trim_as_functions_do(taps, method):
    kernel = noise(taps, "f8")
    shape = (9000,) if len(taps) == 1 else (300, 310)
    axes = tuple(range(len(taps)))
    plan = fastconv.plan(kernel, shape, mode="same", method=method)
    sent = pickle.loads(pickle.dumps(plan))
    for seed in range(3):
        inside = tuple(extent // 4 for extent in shape)
        x = framed(noise(inside, "f8", seed), *((extent // 2, extent - extent // 4 - extent // 2) for extent in shape))
        wanted = function_of(axes)(x, kernel, "same", method=method)
        for one in (plan, sent):
            found, problems = trimming(one, x)
            assert len(problems) == 1
            assert_same_bits(found, wanted)


def test_a_plan_with_swapped_operands_trims_both():
    x, kernel = framed(noise(500, "f8"), (1000, 500)), framed(noise(900, "f8"), (3000, 2000))
    plan = fastconv.plan(kernel, x.shape, method="direct")
    found, problems = trimming(plan, x)
    assert len(problems) == 1
    assert_same_bits(found, fastconv.convolve(x, kernel, method="direct"))
    np.testing.assert_allclose(found, np.convolve(x, kernel), rtol=0, atol=1e-12 * np.abs(found).max())


def test_arrays_without_zeros_at_the_border_are_not_searched():
    x, kernel = noise((300, 310), "f4"), noise((9, 9), "f4")
    dark, padded = x.copy(), x.copy()
    dark[0, 0] = 0
    padded[[0, 1, -1]] = padded[:, [0, -1]] = 0  # so few zeros that it would not pay
    for method in ("direct", "auto"):
        with observed() as events:
            for samples in (x, dark, padded):
                fastconv.convolve2d(samples, kernel, method=method)
                fastconv.plan(kernel, x.shape, method=method)(samples)
        assert "look" not in {event.name for event in events}
    dark[:40] = 0
    with observed() as events:
        fastconv.convolve2d(dark, kernel)
    assert "look" in {event.name for event in events}


def test_objects_of_many_positions_and_sizes_share_few_problems():
    kernel, seen, rng = noise((15, 15), "f4"), set(), np.random.default_rng(6)
    plan = fastconv.plan(kernel, (400, 500), mode="same")
    for _ in range(200):
        x = np.zeros(plan.shape, "f4")
        height, width = rng.integers(100, 120), rng.integers(140, 160)
        top, left = rng.integers(20, 400 - height - 20), rng.integers(20, 500 - width - 20)
        x[top : top + height, left : left + width] = 1
        _, problems = trimming(plan, x)
        seen.update(problems)
    assert len(seen) <= 60


def probabilities(n):
    """A binomial distribution; most of its values underflow to 0."""
    k = np.arange(n + 1)
    logs = np.concatenate(([0], np.cumsum(np.log((n + 1 - k[1:]) / k[1:])))) - n * np.log(2)
    with np.errstate(under="ignore"):
        return np.exp(logs)


def test_a_distribution_convolved_with_itself_keeps_its_zeros_and_tails():
    pmf = probabilities(5000)
    assert np.count_nonzero(pmf) < 3000
    wanted = np.convolve(pmf, pmf)
    for function in (fastconv.convolve, compat.numpy.convolve, signal.convolve):
        options = {} if function is compat.numpy.convolve else {"method": "direct"}
        found, problems = trimming(function, pmf, pmf, **options)
        assert len(problems) == 1
        assert_same_bits(found, fastconv.convolve(pmf, pmf, method="direct"))
        np.testing.assert_array_equal(found == 0, wanted == 0)
        normal = wanted > 1e-290
        np.testing.assert_allclose(found[normal], wanted[normal], rtol=1e-12)


@pytest.mark.usefixtures("eager")
def test_pictures_on_black_have_the_same_bits_with_and_without_trimming(untrimmed):
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[100:160, 150:230] = noise((60, 80, 3), "u1")
    calls = [
        lambda x: image.filter(x, np.ones((9, 9)), scale=81),
        lambda x: image.filter(x, noise((9, 9), "f8"), scale=700),
        lambda x: image.filter(x.astype("f4"), noise((9, 9), "f4"), scale=-7),
        lambda x: image.gaussian_blur(x, 4),
        lambda x: cv2.filter2D(x, -1, noise((9, 9), "f4") / 700),
        lambda x: cv2.GaussianBlur(x, (21, 21), 0),
        lambda x: ndimage.gaussian_filter(x[..., 0].astype("f8"), 3, bits=False),
        lambda x: ndimage.correlate(x[..., 0].astype("f4"), noise((9, 9), "f8"), mode="constant", bits=False),
    ]
    for number, call in enumerate(calls):
        found, problems = trimming(call, picture)
        assert problems, number
        assert_same_bits(found, untrimmed(call, picture))
    # Options that make results without samples nonzero.
    for options in ({"offset": 3}, {"boundary": "fill", "fill_value": 1}):
        found, problems = trimming(image.filter, picture, np.ones((9, 9)), scale=81, **options)
        assert not problems
        assert_same_bits(found, untrimmed(image.filter, picture, np.ones((9, 9)), scale=81, **options))


def test_separable_factors_are_reused_when_a_trimmed_object_moves():
    x = np.zeros((900, 1000), "f4")
    x[400:450, 300:420] = noise((50, 120), "f4")
    kernel = kernels.gaussian(6)
    with observed() as events:
        fastconv.convolve2d(x, kernel, "same")
        prepared = [event.method for event in events if event.name == "prepare"]
        fastconv.convolve2d(np.roll(x, 64, axis=1), kernel, "same")
    assert [event.name for event in events].count("trim_input") == 2
    assert [event.method for event in events if event.name == "prepare"] == prepared
