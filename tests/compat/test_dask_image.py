"""`fastconv.compat.dask_image` against `scipy.ndimage` for the whole array, and against the errors of dask-image."""

import itertools

import dask.array as da
import dask_image.ndfilters
import numpy as np
import pytest
import scipy.ndimage

from fastconv.compat import dask_image as ours
from fastconv.compat import patch

MODES = ["reflect", "constant", "nearest", "mirror", "wrap", "grid-wrap", "grid-mirror", "grid-constant"]


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def check(lazy, whole, exact=True):
    found = lazy.compute(scheduler="synchronous")
    assert (lazy.dtype, lazy.shape) == (found.dtype, found.shape) == (whole.dtype, whole.shape)
    if exact:
        np.testing.assert_array_equal(found, whole)
    else:
        np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


CHUNKS = [(13, 17), ((3, 37), (2, 1, 57))]


@pytest.mark.parametrize("mode", MODES)
def test_all_filters(rng, mode):
    calls = [
        ("gaussian_filter", (1.3,), {}),
        ("gaussian_filter", ((0.6, 2),), {"order": (0, 1), "truncate": 3}),
        ("gaussian_gradient_magnitude", (1,), {}),
        ("gaussian_laplace", ((2, 1),), {}),
        ("laplace", (), {}),
        ("sobel", (), {"axis": 0}),
        ("prewitt", (), {}),
        ("uniform_filter", ((4, 5),), {"origin": (-2, 2)}),
    ]
    for (name, arguments, options), chunks, dtype in itertools.product(calls, CHUNKS, ("f8", "u1")):
        x = (rng.random((40, 60)) * 200).astype(dtype)
        options = {"mode": mode, "cval": 3, **options}
        whole = getattr(scipy.ndimage, name)(x, *arguments, **options)
        found = getattr(ours, name)(da.from_array(x, chunks), *arguments, **options)
        assert found.chunks == da.from_array(x, chunks).chunks
        check(found, whole, exact=name != "uniform_filter" or dtype == "u1")


@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_weights_and_origins(rng, name):
    for shape, chunks, mode in itertools.product([(3, 3), (2, 4), (5, 1), (21, 33)], CHUNKS, MODES):
        x, weights = rng.random((40, 60)), rng.random(shape)
        origin = [int(rng.integers(-(taps // 2), (taps + 1) // 2)) for taps in shape]
        options = {"mode": mode, "cval": 2.5, "origin": origin}
        whole = getattr(scipy.ndimage, name)(x, weights, **options)
        check(getattr(ours, name)(da.from_array(x, chunks), weights, **options), whole, exact=weights.size <= 128)
    x = rng.random((40, 60))
    whole = getattr(scipy.ndimage, name)(x, [[1, 2j]])
    check(getattr(ours, name)(da.from_array(x, 13), np.array([[1, 2j]])), whole)


def test_errors_are_those_of_the_original():
    x = da.ones((10, 14), chunks=(5, 7))
    calls = [
        ("convolve", (np.ones(1),), {}),
        ("convolve", (np.ones((1, 0)),), {}),
        ("correlate", (np.ones((1, 1)),), {"origin": (0,)}),
        ("correlate", (np.ones((1, 1)),), {"origin": 1}),
        ("correlate", (np.ones((1, 1)),), {"origin": 0.0}),
        ("gaussian_filter", ([[1.0]],), {}),
        ("gaussian_filter", ([1.0],), {}),
        ("gaussian_filter", (1j,), {}),
        ("gaussian_filter", (1.0,), {"truncate": 2j}),
        ("gaussian_laplace", ([1.0],), {}),
        ("uniform_filter", ([[1]],), {}),
        ("uniform_filter", ([1],), {}),
        ("uniform_filter", (1.0,), {}),
        ("sobel", (0.0,), {}),
        ("prewitt", (2,), {}),
    ]
    for name, arguments, options in calls:
        with pytest.raises((RuntimeError, TypeError, ValueError)) as original:
            getattr(dask_image.ndfilters, name)(x, *arguments, **options)
        with pytest.raises(original.type):
            getattr(ours, name)(x, *arguments, **options)
    with pytest.raises(RuntimeError, match="mode must be one of"):
        ours.laplace(x, mode="some")


def test_patch():
    x = da.ones((10, 14), chunks=(5, 7))
    whole = scipy.ndimage.gaussian_filter(np.ones((10, 14)), 1)
    with patch("dask_image.ndfilters") as active:
        check(dask_image.ndfilters.gaussian_filter(x, 1), whole)
        assert active.calls["dask_image.ndfilters.gaussian_filter"].fastconv == 1
    assert "map_overlap" in dask_image.ndfilters.gaussian_filter.__code__.co_names
    assert ours.median_filter is dask_image.ndfilters.median_filter
    assert ours.is_native("sobel")
    assert not ours.is_native("median_filter")
