"""Lazy convolutions against those of whole arrays, which other tests compare with the definition."""

import inspect
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.array as da
import numpy as np
import pytest
from dask.array.utils import meta_from_array

import fastconv
import fastconv.dask
from fastconv import image
from fastconv._runtime import cpu_limits
from fastconv._runtime.instrumentation import forced, observed
from tests.oracle import BOUNDARIES, MODES

SYNC = {"scheduler": "synchronous"}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def numbers(rng, shape, dtype="f4"):
    dtype = np.dtype(dtype)
    found = rng.standard_normal(shape) * 100
    return (found + 1j * rng.standard_normal(shape) if dtype.kind == "c" else found).astype(dtype)


def random_chunks(rng, extent):
    """Sizes of chunks that add up to an extent, some of them 0."""
    cuts = sorted(rng.integers(0, extent + 1, rng.integers(0, 4)))
    return tuple(int(size) for size in np.diff([0, *cuts, extent]))


def assert_same(lazy, whole):
    """The same dtype, shape and bits."""
    assert (lazy.shape, lazy.dtype) == (whole.shape, whole.dtype)
    assert meta_from_array(lazy).dtype == whole.dtype
    got = lazy.compute(**SYNC)
    assert (got.shape, got.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_array_equal(got, whole)


SHAPES = [
    ((40, 50), (13, 17), (3, 5)),
    ((40, 50), (7, 50), (20, 31)),  # larger than chunks
    ((40, 50), (13, 17), (61, 7)),  # larger than the array along one axis
    ((7, 8), (3, 3), (30, 20)),
    ((60,), (13,), (7,)),
    ((30,), (7,), (41,)),
]


@pytest.mark.parametrize(("shape", "chunks", "taps"), SHAPES)
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_modes_and_boundaries(rng, shape, chunks, taps, dtype):
    x, kernel = numbers(rng, shape, dtype), numbers(rng, taps, dtype)
    lazy = da.from_array(x, chunks)
    for mode, boundary, name in itertools.product(MODES, BOUNDARIES, ("convolve", "correlate")):
        options = {"boundary": boundary, "fill_value": 3 if boundary == "fill" else 0, "method": "direct"}
        if mode == "valid" and taps == (61, 7):  # neither fits into the other
            with pytest.raises(ValueError, match="in mode 'valid' one of x and kernel must be"):
                getattr(fastconv.dask, name)(lazy, kernel, mode, **options)
            continue
        whole = getattr(fastconv, name)(x, kernel, mode, **options)
        assert_same(getattr(fastconv.dask, name)(lazy, kernel, mode, **options), whole)


def random_call(rng):
    """A function, its arguments, and keywords, with which it can be called."""
    ndim = int(rng.integers(1, 5))
    shape = tuple(int(extent) for extent in rng.integers(1, 30 if ndim < 3 else 10, ndim))
    count = int(rng.integers(1, min(ndim, 3) + 1))
    axes = tuple(int(axis) for axis in rng.permutation(ndim)[:count])
    taps = tuple(int(extent) for extent in rng.integers(1, 9, count))
    options = {"method": "direct", "mode": str(rng.choice(MODES)), "boundary": str(rng.choice(BOUNDARIES))}
    if options["boundary"] == "fill":
        options["fill_value"] = 2
    if rng.random() < 0.3:
        options["stride"] = tuple(int(step) for step in rng.integers(1, 4, count))
    if rng.random() < 0.3:
        options["dilation"] = tuple(int(step) for step in rng.integers(1, 4, count))
    if rng.random() < 0.3 and options["mode"] != "valid":
        options["start"] = str(rng.choice(["first", "center", "last"]))
    if rng.random() < 0.2:  # a kernel for each line
        aligned = [1 if rng.random() < 0.5 else extent for extent in shape]
        for axis, extent in zip(axes, taps):
            aligned[axis] = extent
        taps = tuple(aligned)
    x_dtype, dtype = (str(rng.choice(["f4", "f8", "i2", "u1", "c8", ">f4"])) for _ in range(2))
    x, kernel = numbers(rng, shape, x_dtype), numbers(rng, taps, dtype)
    name = str(rng.choice(["convolve", "correlate"]))
    return name, x, kernel, {"axes": axes, **options}


@pytest.mark.parametrize("seed", range(4))
def test_random_calls(seed):
    rng = np.random.default_rng(seed)
    done = 0
    while done < 25:
        name, x, kernel, options = random_call(rng)
        try:
            whole = getattr(fastconv, name)(x, kernel, **options)
        except ValueError:
            continue
        lazy = da.from_array(x, tuple(random_chunks(rng, extent) for extent in x.shape))
        got = getattr(fastconv.dask, name)(lazy, kernel, **options)
        assert_same(got, whole)
        done += 1


def test_functions_of_one_to_three_axes(rng):
    x = numbers(rng, (12, 20, 18))
    lazy = da.from_array(x, (5, 9, 7))
    calls = [
        ("convolve1d", (5,), {"axis": 0, "boundary": "wrap"}),
        ("correlate1d", (5,), {"lags": (-3, 11)}),
        ("convolve2d", (4, 3), {"axes": (0, 2), "boundary": "mirror"}),
        ("correlate2d", (4, 3), {"stride": 2}),
        ("convolve3d", (2, 3, 4), {"boundary": "reflect"}),
        ("correlate3d", (2, 3, 4), {"dilation": (1, 2, 1)}),
    ]
    for name, taps, options in calls:
        kernel = numbers(rng, taps)
        whole = getattr(fastconv, name)(x, kernel, **options, method="direct")
        assert_same(getattr(fastconv.dask, name)(lazy, kernel, **options, method="direct"), whole)


def test_the_method_is_that_of_the_whole_array(rng):
    x, outer = numbers(rng, (300, 400)), np.outer(numbers(rng, 15), numbers(rng, 15))
    lazy = da.from_array(x, (70, 80))
    for method in ("separable", "auto"):
        assert fastconv.plan(outer, x.shape, x.dtype, method=method).method == "separable"
        whole = fastconv.convolve2d(x, outer, "same", boundary="reflect", method=method)
        assert_same(fastconv.dask.convolve2d(lazy, outer, "same", boundary="reflect", method=method), whole)
    with pytest.raises(ValueError, match="outer product"):
        fastconv.dask.convolve2d(lazy, numbers(rng, (15, 15)), method="separable")


def test_spectra_agree_to_rounding(rng):
    x, kernel = numbers(rng, (200, 200), "f8"), numbers(rng, (40, 40), "f8")
    whole = fastconv.convolve2d(x, kernel, "same", method="fft")
    got = fastconv.dask.convolve2d(da.from_array(x, (90, 70)), kernel, "same", method="fft").compute(**SYNC)
    assert np.abs(got - whole).max() <= 1e-14 * np.abs(whole).max()
    volume, blob = numbers(rng, (30, 32, 34), "f8"), numbers(rng, (8, 8, 8), "f8")
    whole = fastconv.convolve3d(volume, blob, "same", method="fft")
    got = fastconv.dask.convolve3d(da.from_array(volume, 13), blob, "same", method="fft").compute(**SYNC)
    assert np.abs(got - whole).max() <= 1e-14 * np.abs(whole).max()


def test_zeros_around_kernels_and_samples(rng):
    x, kernel = np.zeros((400, 300), "f4"), np.zeros((21, 25), "f4")
    x[200:260, 100:150], kernel[8:13, 9:14] = numbers(rng, (60, 50)), numbers(rng, (5, 5))
    for method in ("auto", "direct"):
        whole = fastconv.convolve2d(x, kernel, "same", method=method)
        assert_same(fastconv.dask.convolve2d(da.from_array(x, 90), kernel, "same", method=method), whole)


def test_sums_have_the_order_of_the_whole_array(rng):
    # Sizes choose which axes are rows, columns and channels, and so do zeros that are trimmed.
    x, kernel = numbers(rng, (3, 40, 5, 3), "f8"), numbers(rng, (8,))
    options = {"axis": 1, "stride": 2, "method": "direct"}
    whole = fastconv.convolve1d(x, kernel, **options)
    for chunks in ((3, 40, 5, (2, 1)), (1, 7, 2, 1)):
        assert_same(fastconv.dask.convolve1d(da.from_array(x, chunks), kernel, **options), whole)
    volume, blob = np.zeros((60, 70, 80)), np.zeros((7, 8, 9))
    volume[20:40, 10:60, 30:70], blob[2:5, 1:7, 3:8] = numbers(rng, (20, 50, 40)), numbers(rng, (3, 6, 5))
    for method in ("direct", "auto"):
        whole = fastconv.convolve3d(volume, blob, "same", method=method)
        if fastconv.plan(blob, volume.shape, volume.dtype, "same", method=method).method != "fft":
            assert_same(
                fastconv.dask.convolve3d(da.from_array(volume, (60, 9, 50)), blob, "same", method=method), whole
            )


def test_special_values(rng):
    x = numbers(rng, (60, 70))
    x[10, 10], x[40, 20], x[50, 60] = np.inf, np.nan, -np.inf
    for kernel in (numbers(rng, (5, 5)), np.outer(numbers(rng, 5), numbers(rng, 5))):
        for method in ("auto", "direct"):
            whole = fastconv.convolve2d(x, kernel, "same", method=method)
            assert_same(fastconv.dask.convolve2d(da.from_array(x, 17), kernel, "same", method=method), whole)
    taps = np.array([1, np.inf, 2], "f4")
    assert_same(fastconv.dask.convolve1d(da.from_array(x, 17), taps), fastconv.convolve1d(x, taps))


def test_types_without_compiled_engines(rng):
    x = np.array([fastconv.reference.convolve1d([i], [3])[0] for i in range(20)], object)
    kernel = np.array([1, 2**70, 5], object)
    lazy = da.from_array(x, 7)
    assert_same(fastconv.dask.convolve1d(lazy, kernel, "same"), fastconv.convolve1d(x, kernel, "same"))
    halves = numbers(rng, (30, 40), "f2") / np.float16(100)
    whole = fastconv.convolve2d(halves, halves[:3, :3])
    assert_same(fastconv.dask.convolve2d(da.from_array(halves, 11), halves[:3, :3]), whole)


# --------------------------------------------------------------------------------------------------- missing samples


def test_weights(rng):
    x, kernel = numbers(rng, (40, 50), "f8"), rng.random((5, 5))
    weights = rng.random((40, 50)) * (rng.random((40, 50)) < 0.8)
    options = {"mode": "same", "boundary": "nearest", "method": "direct", "min_weight": 0.3, "return_weight": True}
    whole, shares = fastconv.convolve2d(x, kernel, weights=weights, **options)
    lazy = da.from_array(x, (13, 17))
    for given in (weights, da.from_array(weights, 19)):
        got, parts = fastconv.dask.convolve2d(lazy, kernel, weights=given, **options)
        assert_same(got, whole)
        assert_same(parts, shares)
    row = da.from_array(weights[0], 11)
    whole = fastconv.correlate2d(x, kernel, "same", weights=weights[0])
    assert_same(fastconv.dask.correlate2d(lazy, kernel, "same", weights=row), whole)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_nan(rng, mode, boundary):
    x, kernel = numbers(rng, (40, 50), "f8"), rng.random((5, 7))
    x[3:20, 10:30] = np.nan
    options = {"mode": mode, "boundary": boundary, "nan": "ignore", "missing_value": -1}
    if boundary == "fill":
        options["fill_value"] = np.nan
    whole = fastconv.convolve2d(x, kernel, **options)
    got = fastconv.dask.convolve2d(da.from_array(x, (13, 17)), kernel, **options)
    assert (got.shape, got.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_allclose(got.compute(**SYNC), whole, rtol=1e-12, atol=1e-10)


def test_masked_chunks(rng):
    x = np.ma.masked_greater(numbers(rng, (40, 50)), 100)
    kernel = np.ones((3, 3), "f4")
    whole = fastconv.convolve2d(x, kernel, "same", method="direct")
    got = fastconv.dask.convolve2d(da.from_array(x, (13, 17)), kernel, "same", method="direct")
    assert isinstance(meta_from_array(got), np.ma.MaskedArray)
    found = got.compute(**SYNC)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(whole))
    np.testing.assert_array_equal(found.filled(0), whole.filled(0))


# ----------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", ">i2"])
def test_pictures(rng, dtype):
    picture = rng.integers(0, 256, (50, 60, 3)).astype(dtype)
    lazy = da.from_array(picture, (17, 25, 3))
    kernels = [np.ones((3, 3)) / 9, fastconv.kernels.sobel_x(), rng.standard_normal((5, 4)), np.ones((21, 23)) / 483]
    for kernel, mode, boundary in itertools.product(kernels, MODES, ("reflect", "wrap", "fill")):
        options = {"mode": mode, "boundary": boundary, "fill_value": 7 if boundary == "fill" else 0}
        assert_same(fastconv.dask.filter(lazy, kernel, **options), image.filter(picture, kernel, **options))
    whole = image.filter(picture, kernels[2], scale=3, offset=100, correlate=True, dtype="float32")
    assert_same(fastconv.dask.filter(lazy, kernels[2], scale=3, offset=100, correlate=True, dtype="float32"), whole)
    assert_same(fastconv.dask.gaussian_blur(lazy, (1, 2)), image.gaussian_blur(picture, (1, 2)))
    assert_same(fastconv.dask.gaussian_blur(lazy, 30, truncate=3), image.gaussian_blur(picture, 30, truncate=3))


@pytest.mark.parametrize("mode", MODES)
def test_alpha_linear_light_and_other_types(rng, mode):
    picture = rng.integers(0, 256, (40, 50, 4), np.uint8)
    kernels = [np.ones((3, 5)) / 15, np.ones((3, 5)), fastconv.kernels.sobel_x()]
    cases = [{"alpha_channel": 3}, {"alpha_channel": -1, "alpha": "keep"}, {"linear": True}, {"dtype": "float64"}]
    cases += [{"alpha_channel": 3, "linear": True}]
    for kernel, options in itertools.product(kernels, cases):
        lazy = da.from_array(picture, (17, 21, 4))
        whole = image.filter(picture, kernel, mode=mode, **options)
        assert_same(fastconv.dask.filter(lazy, kernel, mode=mode, **options), whole)
    for dtype in ("?", "i1", "i8", "u8", "f2"):
        x = (picture[..., 0] % 64).astype(dtype)
        lazy = da.from_array(x, (17, 21))
        whole = image.gaussian_blur(x, 1.5, mode=mode, order=(0, 1))
        assert_same(fastconv.dask.gaussian_blur(lazy, 1.5, mode=mode, order=(0, 1)), whole)


def test_pictures_of_missing_pixels(rng):
    picture, weights = rng.integers(0, 256, (50, 60, 3), np.uint8), rng.random((50, 60)) < 0.7
    lazy = da.from_array(picture, (17, 25, 3))
    options = {"weights": weights, "return_weight": True}
    for got, whole in zip(fastconv.dask.gaussian_blur(lazy, 2, **options), image.gaussian_blur(picture, 2, **options)):
        assert_same(got, whole)
    whole = image.gaussian_blur(picture, 2, weights=weights)
    assert_same(fastconv.dask.gaussian_blur(lazy, 2, weights=da.from_array(weights, 20)), whole)


def test_volumes(rng):
    volume = numbers(rng, (20, 24, 28))
    lazy = da.from_array(volume, (7, 11, 13))
    whole = image.gaussian_blur(volume, (1, 2, 2), axes=(0, 1, 2))
    assert_same(fastconv.dask.gaussian_blur(lazy, (1, 2, 2), axes=(0, 1, 2)), whole)


# ------------------------------------------------------------------------------------------------- graphs and chunks


def test_chunks_of_the_result():
    x = da.zeros((100, 90), chunks=((30, 50, 20), 45))
    ones = np.ones((5, 11))
    assert fastconv.dask.convolve2d(x, ones, "same").chunks == x.chunks
    assert fastconv.dask.convolve2d(x, ones, "same", start="first").chunks == x.chunks
    assert fastconv.dask.convolve2d(x, ones, "full").chunks == ((32, 50, 22), (50, 50))
    assert fastconv.dask.convolve2d(x, ones, "valid").chunks == ((28, 50, 18), (40, 40))
    assert fastconv.dask.convolve2d(x, ones, "same", stride=2).chunks == ((15, 25, 10), (23, 22))


def test_names_are_deterministic(rng):
    x = da.from_array(numbers(rng, (40, 50)), 13)
    kernel = numbers(rng, (3, 3))
    names = [fastconv.dask.convolve2d(x, kernel.copy(), "same", boundary="wrap").name for _ in range(2)]
    assert names[0] == names[1]
    others = [
        fastconv.dask.convolve2d(x, kernel, "same"),
        fastconv.dask.convolve2d(x, kernel, "same", boundary="wrap", method="direct"),
        fastconv.dask.convolve2d(x, kernel + 1, "same", boundary="wrap"),
        fastconv.dask.convolve2d(x + 1, kernel, "same", boundary="wrap"),
        fastconv.dask.correlate2d(x, kernel, "same", boundary="wrap"),
        fastconv.dask.filter(x, kernel, boundary="wrap"),
        fastconv.dask.filter(x, kernel, boundary="wrap", scale=2),
    ]
    assert len({names[0], *(other.name for other in others)}) == 8


def test_nothing_is_computed_before_it_is_asked_for():
    def refuse(block):
        raise AssertionError("computed")

    x = da.zeros((40, 50), chunks=20).map_blocks(refuse, meta=np.empty((0, 0)))
    y = fastconv.dask.convolve2d(x, np.ones((3, 3)), "same")
    with pytest.raises(AssertionError, match="computed"):
        y.compute(**SYNC)


def test_only_samples_around_a_chunk_are_taken_from_others():
    x = da.ones((300, 300), chunks=100)
    y = fastconv.dask.convolve2d(x, np.ones((5, 7)), "same")
    graph = y.dask.layers[y.name]
    strips = [key for key in graph if key[0] != y.name]
    assert len(strips) == 4 * 3 + 4 * 5 + 8  # corners, edges, and the middle one
    found = dask.get({**x.dask, **graph}, strips)
    assert {strip.shape for strip in found} == {(2, 100), (100, 3), (2, 3)}
    assert all(strip.base is None for strip in found)  # no strip keeps its chunk in memory


def test_large_kernels_are_sent_once(rng):
    x, kernel = da.from_array(numbers(rng, (90, 90)), 30), numbers(rng, (70, 80))
    y = fastconv.dask.convolve2d(x, kernel, "same", method="direct")
    graph = y.dask.layers[y.name]
    assert sum(len(pickle.dumps(task)) for task in graph.values()) < 2 * kernel.nbytes
    assert_same(y, fastconv.convolve2d(x.compute(), kernel, "same", method="direct"))


def test_graphs_are_computed_in_threads(rng):
    x, kernel = numbers(rng, (500, 400)), numbers(rng, (7, 9))
    y = fastconv.dask.convolve2d(da.from_array(x, 64), kernel, "same", method="direct")
    whole = fastconv.convolve2d(x, kernel, "same", method="direct")
    np.testing.assert_array_equal(y.compute(scheduler="threads"), whole)
    np.testing.assert_array_equal(y[100:103, -5:].compute(), whole[100:103, -5:])


def test_limits_of_a_thread():
    with forced(cpus=8):
        everywhere = cpu_limits.available_workers(by_default=False)
        with cpu_limits.limited_to(1):
            assert cpu_limits.available_workers() == 1
            with ThreadPoolExecutor(1) as others:
                assert others.submit(cpu_limits.available_workers, False).result() == everywhere
        assert cpu_limits.available_workers(by_default=False) == everywhere


@pytest.mark.parametrize(("order", "sigma"), [(2, 0.7), ((2, 2), 0.6), (1, 1.0)])
def test_derivatives_of_gaussians_keep_alpha(rng, order, sigma):
    x = rng.integers(0, 256, (30, 40, 4), dtype=np.uint8)
    whole = image.gaussian_blur(x, sigma, order=order, alpha_channel=3)
    np.testing.assert_array_equal(whole[..., 3], x[..., 3])
    lazy = da.from_array(x, (13, 17, 4))
    assert_same(fastconv.dask.gaussian_blur(lazy, sigma, order=order, alpha_channel=3), whole)


def shared(events):
    """The jobs that several threads have shared."""
    return [event for event in events if event.name == "share"]


def test_tasks_start_no_threads(rng):
    x, kernel = numbers(rng, (1200, 1000)), numbers(rng, (9, 9))
    lazy = da.from_array(x, 600)
    with forced(cpus=4), observed() as events:
        fastconv.convolve2d(x, kernel)
        assert shared(events)
        del events[:]
        fastconv.dask.convolve2d(lazy, kernel).compute(**SYNC)
        fastconv.dask.gaussian_blur(lazy, 3).compute(**SYNC)
        assert not shared(events)
        fastconv.dask.convolve2d(lazy, kernel, workers=2).compute(**SYNC)
        assert shared(events)


# ------------------------------------------------------------------------------------------------------------- errors


def test_arguments_are_checked_at_once():
    x = da.zeros((40, 50), chunks=20)
    ones = np.ones((3, 3))
    cases = [
        (ValueError, "mode must be", {"mode": "some"}),
        (ValueError, "boundary must be", {"boundary": "some"}),
        (ValueError, "fill_value is for", {"fill_value": 3}),
        (ValueError, "fill_value is for", {"fill_value": np.ma.masked}),
        (ValueError, "axes must lie in", {"axes": (0, 2)}),
        (ValueError, "stride must be", {"stride": 0}),
        (ValueError, "workers must be", {"workers": 0}),
        (TypeError, "check must be", {"check": 3}),
        (ValueError, "min_weight is for", {"min_weight": 0.5}),
        (ValueError, "weights must be of a shape", {"weights": np.ones(3)}),
        (ValueError, "weights must be of a shape", {"weights": da.ones(3)}),
        (TypeError, "weights must hold real", {"weights": da.ones(50, dtype=complex)}),
        (ValueError, "missing samples need one kernel", {"nan": "ignore", "stride": 2}),
        (TypeError, "convolve2d.. got an unexpected keyword argument 'out'", {"out": np.ones((40, 50))}),
    ]
    for kind, words, options in cases:
        with pytest.raises(kind, match=words):
            fastconv.dask.convolve2d(x, ones, **options)
    with pytest.raises(ValueError, match="kernel must be 2-D"):
        fastconv.dask.convolve2d(x, np.ones(3))
    with pytest.raises(ValueError, match="volume must have at least 3 dimensions"):
        fastconv.dask.convolve3d(x, np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="same number of dimensions"):
        fastconv.dask.convolve(x, np.ones(3))
    with pytest.raises(TypeError, match="kernel must be an array in memory"):
        fastconv.dask.convolve2d(x, da.ones((3, 3)))
    with pytest.raises(TypeError, match="image must be a dask array"):
        fastconv.dask.convolve2d(np.ones((9, 9)), ones)
    with pytest.raises(ValueError, match="image must have chunks of known sizes"):
        fastconv.dask.convolve2d(x[x.sum(axis=1) == 0], ones)
    with pytest.raises(ValueError, match="image must be a Pillow picture or an array of"):
        fastconv.dask.filter(x.astype("c8"), ones)
    with pytest.raises(ValueError, match="must not be empty"):
        fastconv.dask.convolve2d(da.zeros((0, 9)), ones)


def test_weights_are_checked_when_they_are_used():
    y = fastconv.dask.convolve1d(da.ones(9, chunks=4), np.ones(3), weights=da.full(9, 2.0))
    with pytest.raises(ValueError, match="weights must lie in"):
        y.compute(**SYNC)


@pytest.mark.parametrize("name", ["convolve", "correlate2d", "image.filter", "image.gaussian_blur"])
def test_ordinary_functions_refuse_dask_arrays(name):
    function = fastconv
    for part in name.split("."):
        function = getattr(function, part)
    x = da.ones((9, 9))
    with pytest.raises(TypeError, match=r"fastconv\.dask"):
        function(x, 2.0 if "blur" in name else np.ones((3, 3)))
    with pytest.raises(TypeError, match=r"fastconv\.dask"):
        fastconv.convolve(np.ones((9, 9)), x)


def test_signatures_are_those_of_the_ordinary_functions():
    for name in fastconv.dask.__all__:
        lazy = getattr(fastconv.dask, name)
        native = getattr(fastconv, name, None) or getattr(image, name)
        expected = [key for key in inspect.signature(native).parameters if key not in ("out", "progress")]
        assert [*inspect.signature(lazy).parameters] == expected
        assert pickle.loads(pickle.dumps(lazy)) is lazy
        assert name in lazy.__doc__
