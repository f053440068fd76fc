"""Arrays on disk: each task reads what it needs, and no chunk is written by two tasks."""

import dask
import dask.array
import numpy as np
import pytest
import zarr

import fastconv
import fastconv.dask
import fastconv.image
from tests.dask import beyond_memory
from tests.oracle import BOUNDARIES, MODES


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(params=["zarr", "map", "map in Fortran order"])
def stored(request, tmp_path, rng):
    """An array of 90 x 70, and the same in memory."""
    x = rng.standard_normal((90, 70))
    if request.param == "zarr":
        array = zarr.open_array(tmp_path / "x.zarr", mode="w", shape=x.shape, chunks=(20, 30), dtype=x.dtype)
    else:
        order = request.param != "map"
        array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", x.dtype, x.shape, fortran_order=order)
    array[:] = x
    return array, x


@pytest.mark.parametrize("mode", MODES)
def test_results(stored, rng, mode):
    array, x = stored
    for boundary in BOUNDARIES:
        options = {"boundary": boundary, "fill_value": 2 if boundary == "fill" else 0, "method": "direct"}
        for kernel in (rng.standard_normal((3, 5)), rng.standard_normal((41, 33))):
            with dask.config.set({"array.chunk-size": "10kB"}):
                lazy = fastconv.dask.convolve2d(array, kernel, mode, **options)
            assert lazy.npartitions >= 4
            assert len(lazy.dask) <= lazy.npartitions + 1  # no task but those, and perhaps a kernel
            whole = fastconv.convolve2d(x, kernel, mode, **options)
            np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), whole)


def test_chunks_of_the_result_are_whole_stored_chunks(tmp_path):
    x = zarr.open_array(tmp_path / "x.zarr", mode="w", shape=(1000, 900), chunks=(50, 40), dtype="f4")
    with dask.config.set({"array.chunk-size": "100kB"}):
        same = fastconv.dask.convolve2d(x, np.ones((9, 9), "f4"), "same")
        full = fastconv.dask.convolve2d(x, np.ones((9, 9), "f4"), "full")
    assert same.chunks == ((100,) * 10, (160,) * 5 + (100,))
    assert full.chunks == ((100,) * 10 + (8,), (160,) * 5 + (108,))
    small = fastconv.dask.convolve2d(x, np.ones((9, 9), "f4"))
    assert small.npartitions == 1


def test_weights_and_missing_samples(stored, rng):
    array, x = stored
    kernel, weights = rng.random((3, 3)), rng.random((90, 70))
    with dask.config.set({"array.chunk-size": "10kB"}):
        lazy = fastconv.dask.convolve2d(array, kernel, "same", weights=weights)
    np.testing.assert_array_equal(lazy.compute(), fastconv.convolve2d(x, kernel, "same", weights=weights))
    array[3:9, 4:20] = np.nan
    lazy = fastconv.dask.convolve2d(array, kernel, "same", nan="ignore")
    whole = fastconv.convolve2d(np.array(array), kernel, "same", nan="ignore")
    np.testing.assert_allclose(lazy.compute(), whole, atol=1e-12)


@pytest.mark.parametrize("kind", ["zarr", "map"])
def test_stored_weights_are_read_by_the_tasks(stored, rng, tmp_path, kind):
    array, x = stored
    kernel, weights = rng.random((3, 3)), rng.random((90, 70))
    weights[20:50, 30:60] = 0
    if kind == "zarr":
        stored_weights = zarr.open_array(tmp_path / "w.zarr", mode="w", shape=(90, 70), chunks=(90, 10), dtype="f8")
    else:
        stored_weights = np.memmap(tmp_path / "w", "f8", "w+", shape=(90, 70))
    stored_weights[:] = weights
    with dask.config.set({"array.chunk-size": "10kB"}):
        lazy = fastconv.dask.convolve2d(array, kernel, "same", weights=stored_weights, boundary="wrap")
        of_pixels = fastconv.dask.filter(array, kernel, weights=stored_weights, mode="full")
    whole = fastconv.convolve2d(x, kernel, "same", weights=weights, boundary="wrap")
    np.testing.assert_array_equal(lazy.compute(), whole)
    expect = fastconv.image.filter(x, kernel, weights=weights, mode="full")
    np.testing.assert_array_equal(of_pixels.compute(), expect)
    assert len(lazy.dask) == lazy.npartitions > 4
    if isinstance(array, zarr.Array):
        again = fastconv.dask.convolve2d(array, kernel, "same")
        assert len({lazy.name, again.name}) == 2
    # Weights of pixels have no channels, and those of a chunked array are loaded.
    colours = np.stack((x, 2 * x), axis=2)
    chunked = fastconv.dask.filter(dask.array.from_array(colours, 40), kernel, weights=stored_weights)
    kept = zarr.open_array(tmp_path / "c.zarr", mode="w", shape=colours.shape, chunks=(20, 30, 1), dtype="f8")
    kept[:] = colours
    expect = fastconv.image.filter(colours, kernel, weights=weights)
    for lazy in (chunked, fastconv.dask.filter(kept, kernel, weights=stored_weights)):
        np.testing.assert_array_equal(lazy.compute(), expect)
    names = zarr.open_array(tmp_path / "n.zarr", mode="w", shape=(90, 70), chunks=(90, 10), dtype="c8")
    for call in (fastconv.dask.filter, fastconv.dask.convolve2d):
        with pytest.raises(TypeError, match="weights must hold real numbers; got dtype complex64"):
            call(array, kernel, weights=names)


def test_views_of_memory_maps(stored, rng):
    array, x = stored
    if isinstance(array, np.memmap):
        kernel = rng.random((3, 3))
        for view in (np.s_[::2], np.s_[5:80], np.s_[:, ::-1]):
            found = fastconv.dask.convolve2d(array[view], kernel).compute()
            np.testing.assert_allclose(found, fastconv.convolve2d(x[view], kernel), atol=1e-12)
    else:
        assert (
            fastconv.dask.convolve2d(array, np.ones((3, 3))).name
            == fastconv.dask.convolve2d(array, np.ones((3, 3))).name
        )


def test_changes_of_a_map_that_its_file_does_not_have(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(100.0).reshape(10, 10))
    array, kernel = np.load(tmp_path / "x.npy", mmap_mode="c"), np.ones((3, 3))
    array[3, 3] = 1000
    for call in (fastconv.dask.convolve2d, fastconv.dask.filter):
        lazy, eager = call(array, kernel), call(dask.array.from_array(np.array(array)), kernel)
        np.testing.assert_array_equal(lazy.compute(), eager.compute())


def test_an_array_larger_than_the_memory_that_is_used(tmp_path):
    beyond_memory.run(tmp_path, gigabytes=0.9, most=0.8)
