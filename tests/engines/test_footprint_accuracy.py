"""The error of overlap-save is relative to what lies under the kernel, whatever lies elsewhere."""

import itertools
import math
import pickle

import numpy as np
import pytest

import fastconv
from fastconv import reference
from fastconv._engines import cost_model
from fastconv._engines.spectra.overlap_save import OverlapSaveEngine
from fastconv._model import guarantees
from fastconv._runtime.instrumentation import forced, observed
from tests.engines.test_separable_volume import problem_of
from tests.oracle import BOUNDARIES, MODES
from tests.sizes import enlarged

FLOATS = ("f4", "f8", "c8", "c16")


# ------------------------------------------------------------------------------------------------------- the oracle


def extended(x, taps, mode, boundary, fill_value):
    """The samples that the outputs of a mode look at, in long double."""
    x = x.astype(np.clongdouble if x.dtype.kind == "c" else np.longdouble)
    for axis, extent in enumerate(taps):
        first, last = reference.output_range(mode, x.shape[axis], extent)
        sources = [reference.source_index(o, x.shape[axis], boundary) for o in range(first - extent + 1, last)]
        shape = [-1 if k == axis else 1 for k in range(x.ndim)]
        inside = np.array([source is not None for source in sources]).reshape(shape)
        where = [source or 0 for source in sources]
        outside = fill_value if boundary == "fill" else 0
        x = np.where(inside, x.take(where, axis), np.array(outside, x.dtype))
    return x


def footprints(x, kernel, mode="full", boundary="zero", fill_value=0):
    """Exact sums, sums of absolute products, and the 2-norm of the samples under the kernel."""
    samples = extended(x, kernel.shape, mode, "zero" if mode == "valid" else boundary, fill_value)
    flipped = np.flip(kernel).astype(samples.dtype if kernel.dtype.kind != "c" else np.clongdouble)
    outs = [n - k + 1 for n, k in zip(samples.shape, kernel.shape)]
    dtype = np.result_type(samples, flipped)
    exact, sizes, squares = (np.zeros(outs, kind) for kind in (dtype, np.longdouble, np.longdouble))
    magnitudes = abs(samples)
    powers = magnitudes**2
    for at in itertools.product(*map(range, kernel.shape)):
        under = tuple(slice(k, k + n) for k, n in zip(at, outs))
        exact += flipped[at] * samples[under]
        sizes += abs(flipped[at]) * magnitudes[under]
        squares += powers[under]
    return exact, sizes, np.sqrt(squares)


def bounds(dtype):
    """The eps of a type and what the rules allow in its units."""
    info = np.finfo(dtype)
    return float(info.eps), 2.0 ** guarantees.LOST_BITS[info.bits // 8]


def has_one_sign(values):
    """Whether no number is negative, or none positive."""
    return values.dtype.kind != "c" and ((values >= 0).all() or (values <= 0).all())


def worst(found, x, kernel, relative, alone=True, **options):
    """The largest error in units of what is guaranteed; zero footprints are checked, and signs if `x` is `alone`."""
    exact, sizes, norms = footprints(x, kernel, **options)
    eps, lost = bounds(found.dtype)
    # Rounding of the samples and taps is none; that of the sums to the type is half an eps, in denormals one of those.
    least = float(np.finfo(found.dtype).smallest_subnormal)
    error = abs(found.astype(exact.dtype) - exact)
    limit = lost * eps * np.linalg.norm(kernel.ravel().astype(exact.dtype)) * norms
    one_sign = alone and has_one_sign(x) and has_one_sign(kernel)
    if one_sign and relative:
        limit = lost * eps / (1 - lost * eps) * sizes
    if one_sign:
        sign = (1 if (x >= 0).all() else -1) * (1 if (kernel >= 0).all() else -1)
        assert (found * sign >= 0).all()
    assert not found[norms == 0].any()
    return float((error / (limit + kernel.size * least)).max())


# -------------------------------------------------------------------------------------------------------- the data


def spikes(rng, shape):
    x = rng.standard_normal(shape)
    x[tuple(rng.integers(0, n, 4) for n in shape)] *= 10.0 ** rng.uniform(3, 12, 4)
    return x


def islands(rng, shape):
    x = np.zeros(shape)
    for _ in range(6):
        corner = [int(rng.integers(0, n)) for n in shape]
        where = tuple(slice(c, c + int(rng.integers(1, 2 + n // 4))) for c, n in zip(corner, shape))
        x[where] = rng.standard_normal(x[where].shape) * 10.0 ** rng.uniform(-12, 12)
    return x


def steps(rng, shape):
    x = rng.uniform(0.5, 1.5, shape)
    x[tuple(slice(n // 3, None) for n in shape)] *= 10.0 ** rng.uniform(2, 12)
    return x


def tails(rng, shape):
    distance = sum(
        np.abs(axis - n * rng.uniform(0.2, 0.8)) for axis, n in zip(np.ogrid[tuple(map(slice, shape))], shape)
    )
    return rng.choice([-1, 1], shape) * np.exp(-distance * rng.uniform(0.02, 0.3)) * rng.uniform(0.5, 1, shape)


def probabilities(rng, shape):
    count = math.prod(shape)
    log = np.array([-math.lgamma(k + 1) - math.lgamma(count - k) for k in range(count)])
    return np.exp(log - log.max()).reshape(shape)


def decays(rng, shape):
    x = rng.standard_normal(shape)
    axis = -1
    n = shape[axis]
    return x * np.exp(-(np.arange(n) % max(1, n // 3)) * 30.0 / n)


def stars(rng, shape):
    x = np.zeros(shape)
    x[tuple(rng.integers(0, n, 9) for n in shape)] = 10.0 ** rng.uniform(0, 5, 9)
    return x


def phantom(rng, shape):
    axes = np.ogrid[tuple(map(slice, shape))]
    x = np.zeros(shape)
    for _ in range(5):
        distance = sum(
            ((axis - n * rng.uniform(0.3, 0.7)) / (n * rng.uniform(0.1, 0.4))) ** 2 for axis, n in zip(axes, shape)
        )
        x += (distance < 1) * rng.uniform(0.01, 1)
    return x


DATA = [spikes, islands, steps, tails, probabilities, decays, stars, phantom]


def disc(rng, taps):
    distance = sum(((axis - (n - 1) / 2) / (n / 2)) ** 2 for axis, n in zip(np.ogrid[tuple(map(slice, taps))], taps))
    return (distance <= 1) / 7.0


def gaussian(rng, taps):
    distance = sum(((axis - (n - 1) / 2) / (n / 10)) ** 2 for axis, n in zip(np.ogrid[tuple(map(slice, taps))], taps))
    return np.exp(-0.5 * distance)


def wings(rng, taps):
    distance = sum(((axis - (n - 1) / 2) / (n / 20)) ** 2 for axis, n in zip(np.ogrid[tuple(map(slice, taps))], taps))
    return (1 + distance) ** -2.5


def random_signs(rng, taps):
    return rng.standard_normal(taps)


def falling(rng, taps):
    return -np.exp(-np.arange(math.prod(taps)) / math.prod(taps) * 20).reshape(taps)


KERNELS = [disc, gaussian, wings, random_signs, falling]


def drawn(rng, function, shape, dtype):
    """Data or a kernel of any type of floats, within its range."""
    values = function(rng, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * function(rng, shape)
    return values.astype(dtype)


def cases(seed):
    """Some of all pairs of data and kernels, and a boundary and a mode for each."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.product(DATA, KERNELS))
    for k in rng.permutation(len(pairs))[:16]:
        yield rng, *pairs[k], str(rng.choice(BOUNDARIES)), str(rng.choice(MODES))


def fuzz(dtype, shape, taps, seed, relative):
    """The largest error, in units of what is guaranteed, over all kinds of data and kernels; it names its case."""
    found = []
    for rng, data, kernel, boundary, mode in cases([seed, *shape, *taps, FLOATS.index(dtype)]):
        x, weights = drawn(rng, data, shape, dtype), drawn(rng, kernel, taps, dtype)
        if np.dtype(dtype).kind == "c" and rng.random() < 0.5:
            weights = weights.real.copy()
        options = {"mode": mode, "boundary": boundary, "fill_value": 2 if boundary == "fill" else 0}
        result = fastconv.convolve(x, weights, method="fft", **options)
        error = worst(result, x, weights, relative, **options)
        found.append((error, data.__name__, kernel.__name__, mode, boundary))
    return max(found)


# --------------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("shape", "taps"), [((53, 61), (9, 8)), ((61, 40), (7, 14)), ((1400,), (29,)), ((900,), (150,))]
)
@pytest.mark.usefixtures("small_tiles")
def test_errors_are_within_the_guarantee_in_many_small_tiles(shape, taps, dtype):
    largest, *case = fuzz(dtype, enlarged(shape, dtype), taps, 1, relative=len(shape) == 1)
    assert largest < 1, case


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("shape", "taps"), [((130, 141), (21, 17)), ((5000,), (101,)), ((3000,), (701,)), ((90,), (400,))]
)
def test_errors_are_within_the_guarantee_in_the_tiles_of_the_engine(shape, taps, dtype):
    largest, *case = fuzz(dtype, shape, taps, 2, relative=len(shape) == 1)
    assert largest < 1, case


def scattered(rng, taps):
    return random_signs(rng, taps) * 10.0 ** rng.uniform(-8, 0, taps)


def scattered_of_one_sign(rng, taps):
    return np.abs(scattered(rng, taps))


def sparse(rng, taps):
    """Ones along the diagonal, or at both ends of a line, and zeros elsewhere."""
    return np.eye(*taps) if len(taps) == 2 else np.isin(np.arange(*taps), (0, taps[0] - 1)).astype(float)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kernel", [scattered, scattered_of_one_sign, sparse])
@pytest.mark.parametrize(("shape", "taps"), [((40, 51), (9, 11)), ((700,), (60,))])
def test_errors_are_within_the_guarantee_for_tiny_taps_inside_the_kernel(shape, taps, kernel, dtype):
    rng = np.random.default_rng([11, *shape])
    for data in DATA:
        x, weights = drawn(rng, data, shape, dtype), drawn(rng, kernel, taps, dtype)
        found = fastconv.convolve(x, weights, method="fft")
        assert worst(found, x, weights, relative=len(shape) == 1) < 1, data.__name__


def by_axis(x, kernel, axis, **options):
    """What `worst` needs of a convolution of lines: results, and the exact ones line by line."""
    found = fastconv.convolve1d(x, kernel, axis=axis, method="fft", **options)
    lines, results = np.moveaxis(x, axis, -1), np.moveaxis(found, axis, -1)
    return max(
        worst(result, line, kernel, True, **options)
        for line, result in zip(lines.reshape(-1, x.shape[axis]), results.reshape(-1, found.shape[axis]))
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("data", [spikes, steps, tails, phantom, probabilities])
def test_errors_of_lines_are_within_the_guarantee(data, axis, dtype):
    rng = np.random.default_rng([3, axis, DATA.index(data)])
    x = drawn(rng, data, (8, 900), dtype)
    x = np.concatenate([x, drawn(rng, random_signs, (8, 900), dtype)])
    if axis == 0:
        x = np.tile(x, (2, 1)).T.copy()
    for kernel in (gaussian, random_signs):
        weights = drawn(rng, kernel, (101,), dtype)
        assert by_axis(x, weights, axis, mode="same", boundary="mirror") < 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_errors_are_within_the_guarantee_where_threads_share_a_plane(dtype, monkeypatch):
    monkeypatch.setattr(cost_model, "LARGE_PLANE", 0)
    monkeypatch.setattr(cost_model, "WORK_FOR_THREADS", 0)
    rng = np.random.default_rng(4)
    for shape, taps in [((130, 140), (40, 30)), ((5000,), (700,))]:
        for data in (spikes, steps, phantom, decays, stars):
            fastconv.clear_caches()
            x = drawn(rng, data, shape, dtype)
            for kernel in (disc, random_signs):
                weights = drawn(rng, kernel, taps, dtype)
                one = fastconv.convolve(x, weights, "same", boundary="reflect", method="fft", workers=1)
                with forced(cpus=2):
                    two = fastconv.convolve(x, weights, "same", boundary="reflect", method="fft", workers=2)
                np.testing.assert_array_equal(one, two)
                options = {"mode": "same", "boundary": "reflect"}
                assert worst(one, x, weights, len(shape) == 1, **options) < 1
    fastconv.clear_caches()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.usefixtures("small_tiles")
def test_every_number_of_workers_gives_the_same_bits_where_outputs_are_computed_in_another_way(dtype):
    rng = np.random.default_rng(5)
    ways = []
    for data in (spikes, islands, steps, stars):
        x, kernel = drawn(rng, data, enlarged((130, 141), dtype), dtype), drawn(rng, random_signs, (9, 8), dtype)
        with observed() as events:
            one = fastconv.convolve2d(x, kernel, method="fft", workers=1)
        ways += [event for event in events if event.name == "vague"]
        for workers in (2, 3, None):
            with forced(cpus=4):
                np.testing.assert_array_equal(fastconv.convolve2d(x, kernel, method="fft", workers=workers), one)
    assert ways


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_noise_and_pictures_take_no_other_way(dtype):
    rng = np.random.default_rng(6)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((300, 310)), 0), 1)
    for x in (rng.standard_normal((300, 310)), smooth - smooth.min() + 1):
        for mode, boundary in [("same", "zero"), ("same", "reflect"), ("valid", "zero"), ("same", "wrap")]:
            with observed() as events:
                fastconv.convolve2d(
                    x.astype(dtype), random_signs(rng, (31, 33)).astype(dtype), mode, boundary=boundary, method="fft"
                )
            assert "vague" not in [event.name for event in events]


@pytest.mark.parametrize("size", [300, 512])  # a tile for each thread, and one for all
def test_corners_of_few_samples_are_computed_directly(size):
    rng = np.random.default_rng(8)
    x, kernel = (rng.standard_normal((size, size)).astype("f4") for _ in range(2))
    x[0, 0] = 1e-3
    problem = problem_of(x, kernel, mode="full", boundaries="zero")
    engine, found = OverlapSaveEngine(problem), np.empty(problem.out_shape, "f4")
    with observed() as events:
        engine.run(x, engine.prepare(kernel), found, None)
    assert "quiet" not in [event.name for event in events]
    assert [event.double for event in events if event.name == "vague"] == [0]
    assert found[0, 0] == x[0, 0] * kernel[0, 0]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("layout", ["strided", "swapped", "pixels", "channels"])
@pytest.mark.usefixtures("small_tiles")
def test_arrays_of_any_layout(layout, dtype):
    rng = np.random.default_rng(7)
    x, kernel = drawn(rng, stars, enlarged((60, 70), dtype), dtype), drawn(rng, random_signs, (9, 8), dtype)
    if layout == "strided":
        given = np.asfortranarray(x)[::-1][::-1]
    elif layout == "swapped":
        given = x.astype(x.dtype.newbyteorder())
    elif layout == "pixels":
        given = x = np.minimum(x, 200).astype("u1")
    else:
        given = np.stack([x, 3 * x], -1)
    axes = {"axes": (0, 1)} if layout == "channels" else {}
    found = fastconv.convolve2d(given, kernel, "same", boundary="wrap", method="fft", **axes)
    pairs = [(found, x)] if layout != "channels" else [(found[..., 0], x), (found[..., 1], 3 * x)]
    for result, samples in pairs:
        assert worst(np.ascontiguousarray(result), samples, kernel, False, mode="same", boundary="wrap") < 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("double", [0.0, 1e9], ids=["in double precision", "in the same precision"])
@pytest.mark.parametrize(("shape", "taps"), [((53, 61), (9, 8)), ((1400,), (29,))])
@pytest.mark.usefixtures("small_tiles")
def test_errors_are_within_the_guarantee_wherever_tiles_are_transformed_again(shape, taps, double, dtype, monkeypatch):
    monkeypatch.setattr(cost_model, "AGAIN", 1e-9)
    monkeypatch.setattr(cost_model, "CALL_AGAIN", -1.0)
    monkeypatch.setattr(cost_model, "IN_DOUBLE", double)
    with observed() as events:
        largest, *case = fuzz(dtype, enlarged(shape, dtype), taps, 3, relative=len(shape) == 1)
    assert largest < 1, case
    assert "quiet" in [event.name for event in events]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_one_loud_sample_in_noise_is_left_out_of_another_transform(dtype):
    rng = np.random.default_rng(10)
    x, kernel = drawn(rng, random_signs, (600, 610), dtype), drawn(rng, random_signs, (31, 33), dtype)
    kernel += np.dtype(dtype).type(0.1)
    plain = fastconv.convolve2d(x, kernel, "same", method="fft")
    x[300, 300] = 1e12
    with observed() as events:
        found = fastconv.convolve2d(x, kernel, "same", method="fft")
    assert "quiet" in [event.name for event in events]
    far = np.maximum(*np.abs(np.indices(x.shape) - 300)) > 17
    eps, size = float(np.finfo(dtype).eps), float(np.linalg.norm(kernel)) * math.sqrt(kernel.size)
    assert np.abs(found - plain)[far].max() < 64 * eps * size


def test_probabilities_keep_their_relative_accuracy():
    for count in (1000, 4000):
        log = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(count + 1)]
        p = np.exp(np.array(log) - count * math.log(2))
        found = fastconv.convolve(p, p, method="fft")
        exact = np.convolve(p.astype("g"), p.astype("g"))
        assert (found >= 0).all()
        normal = exact > 1e-290
        assert (np.abs(found - exact)[normal] / exact[normal]).max() < 1e-12


@pytest.mark.parametrize("dtype", ["f4", "c8"])
@pytest.mark.parametrize(("shape", "axis"), [((20, 27), 0), ((20, 27), 1), ((3, 30, 5), 1)])
def test_loud_samples_in_lines_side_by_side(dtype, shape, axis):
    x, kernel = np.full(shape, 1e-12, dtype), np.arange(1, 10).astype(dtype)
    x[(0,) * len(shape)] = x[(2,) * len(shape)] = 1e3
    found = fastconv.convolve1d(x, kernel, axis=axis, method="fft")
    exact, _, norms = footprints(x, kernel.reshape([-1 if k == axis else 1 for k in range(len(shape))]))
    eps = np.finfo(np.float32).eps
    assert (abs(found - exact) <= 2**13 * eps * np.linalg.norm(kernel.astype("c16")) * norms).all()


def test_one_beside_1e12():
    x = np.zeros(4000)
    x[0] = 1e12
    kernel = np.exp(-0.5 * (np.arange(-400, 401) / 100) ** 2)
    kernel /= kernel.sum()
    found = fastconv.convolve1d(x, kernel, "same", method="fft")
    direct = fastconv.convolve1d(x, kernel, "same", method="direct")
    np.testing.assert_array_equal(found == 0, direct == 0)
    np.testing.assert_allclose(found, direct, 1e-12)
    rng = np.random.default_rng(8)
    image, taps = rng.uniform(0.5, 1.5, (300, 310)), np.ones((41, 41))
    image[150, 150] = 1e12
    found = fastconv.convolve2d(image, taps, "same", method="fft")
    np.testing.assert_allclose(found, fastconv.convolve2d(image, taps, "same", method="direct"), 1e-11)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_smallest_numbers(dtype):
    rng = np.random.default_rng(9)
    tiny = float(np.finfo(dtype).tiny)
    for scale, weight in [(tiny, 1), (1, tiny), (tiny * 1e4, 1), (tiny**0.5, tiny**0.5), (tiny * 1e9, 1e-5)]:
        x, kernel = rng.uniform(0.5, 1, 3000) * scale, rng.uniform(0.5, 1, 201) * weight
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        found = fastconv.convolve1d(x, kernel, "valid", method="fft")
        assert worst(found, x, kernel, True, mode="valid") < 1


def test_unchecked_results_are_those_of_the_transform():
    x, kernel = np.zeros(5000), np.hanning(501)
    x[0] = 1e12
    raw = fastconv.convolve1d(x, kernel, method="fft", check=False)
    assert np.count_nonzero(raw) > np.count_nonzero(fastconv.convolve1d(x, kernel, method="fft"))
    plan = fastconv.plan(kernel, x.shape, method="fft", check=False)
    np.testing.assert_array_equal(plan(x), raw)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan))(x), raw)
    assert "not checked" in plan.guarantee
    checked = fastconv.plan(kernel, x.shape, method="fft")
    assert "2e-10 of the kernel's norm" in checked.guarantee
    assert checked.guarantee in repr(checked)
    with pytest.raises(TypeError, match="check must be True or False; got 'no'"):
        fastconv.convolve1d(x, kernel, check="no")
    with pytest.raises(TypeError, match="check must be True or False; got None"):
        fastconv.plan(kernel, x.shape, check=None)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("method", ["auto", "fft"])
def test_a_kernel_larger_than_the_image_stays_the_kernel(dtype, method):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(26, 27))
    x[rng.random(x.shape) < 0.1] *= 1e6 if dtype == "f4" else 1e10
    x[0, 0], x[:9, -9:] = 1, 0
    x, kernel = x.astype(dtype), rng.normal(size=(100, 101)).astype(dtype)
    result = fastconv.convolve(x, kernel, method=method)
    exact = fastconv.convolve(x.astype("f8"), kernel.astype("f8"), method="direct")
    under = np.sqrt(fastconv.convolve(np.square(x.astype("f8")), np.ones(kernel.shape), method="direct"))
    limit = 2.0 ** (13 if dtype == "f4" else 20) * np.finfo(dtype).eps * np.linalg.norm(kernel.astype("f8"))
    assert (abs(result - exact) <= limit * under).all()
    assert (result[:9, -9:][under[:9, -9:] == 0] == 0).all()
