"""The error of overlap-save is relative to what lies under the kernel, whatever lies elsewhere."""

import itertools
import math

import numpy as np
import pytest

import fastconv
from fastconv import reference
from fastconv._model import guarantees
from tests.oracle import BOUNDARIES, MODES
from tests.sizes import enlarged

FLOATS = ("f4", "f8", "c8", "c16")


# ------------------------------------------------------------------------------------------------------- the oracle


def extended(x, taps, mode, boundary, fill_value):
    """The samples that the outputs of a mode look at, in long double, and which of them exist."""
    there = np.ones(x.shape, bool)
    x = x.astype(np.clongdouble if x.dtype.kind == "c" else np.longdouble)
    for axis, extent in enumerate(taps):
        first, last = reference.output_range(mode, x.shape[axis], extent)
        sources = [reference.source_index(o, x.shape[axis], boundary) for o in range(first - extent + 1, last)]
        shape = [-1 if k == axis else 1 for k in range(x.ndim)]
        inside = np.array([source is not None for source in sources]).reshape(shape)
        where = [source or 0 for source in sources]
        outside = fill_value if boundary == "fill" else 0
        there = there.take(where, axis) & inside
        x = np.where(inside, x.take(where, axis), np.array(outside, x.dtype))
    return x


def footprints(x, kernel, mode="full", boundary="zero", fill_value=0):
    """Exact sums, sums of absolute products, and the 2-norm of the samples under the kernel."""
    samples = extended(x, kernel.shape, mode, "zero" if mode == "valid" else boundary, fill_value)
    flipped = np.flip(kernel).astype(samples.dtype if kernel.dtype.kind != "c" else np.clongdouble)
    outs = [n - k + 1 for n, k in zip(samples.shape, kernel.shape)]
    dtype = np.result_type(samples, flipped)
    exact, sizes, squares = (np.zeros(outs, kind) for kind in (dtype, np.longdouble, np.longdouble))
    for at in itertools.product(*map(range, kernel.shape)):
        part = samples[tuple(slice(k, k + n) for k, n in zip(at, outs))]
        exact += flipped[at] * part
        sizes += abs(flipped[at]) * abs(part)
        squares += abs(part) ** 2
    return exact, sizes, np.sqrt(squares)


def bounds(dtype):
    """The eps of a type and what the rules allow in its units."""
    info = np.finfo(dtype)
    return float(info.eps), 2.0 ** guarantees.LOST_BITS[info.bits // 8]


def worst(found, x, kernel, relative, **options):
    """The largest error in units of what is guaranteed; zero footprints and signs are checked."""
    exact, sizes, norms = footprints(x, kernel, **options)
    eps, lost = bounds(found.dtype)
    # Rounding of the samples and taps is none; that of the sums to the type is half an eps, in denormals one of those.
    least = float(np.finfo(found.dtype).smallest_subnormal)
    error = abs(found.astype(exact.dtype) - exact)
    limit = lost * eps * np.linalg.norm(kernel.ravel().astype(exact.dtype)) * norms
    one_sign = kernel.dtype.kind != "c" and x.dtype.kind != "c"
    one_sign = one_sign and ((x >= 0).all() or (x <= 0).all()) and ((kernel >= 0).all() or (kernel <= 0).all())
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
