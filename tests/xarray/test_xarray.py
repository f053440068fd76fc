"""Convolutions of labelled arrays: values are those of `fastconv`, labels those of the samples."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fastconv
import fastconv.xarray
from tests.oracle import MODES


@pytest.fixture
def sea():
    rng = np.random.default_rng(3)
    coords = {
        "t": np.arange("2020-01-01", "2020-01-04", dtype="M8[D]").astype("M8[ns]"),
        "y": ("y", np.linspace(50, 30, 12), {"units": "degrees"}),
        "x": np.arange(15) * 2,
        "depth": (("y", "x"), rng.random((12, 15))),
        "month": ("t", ["a", "b", "c"]),
        "scale": 3.0,
    }
    return xr.DataArray(rng.standard_normal((3, 12, 15)), coords, ("t", "y", "x"), "temperature", {"units": "K"})


KERNEL = np.arange(15.0).reshape(3, 5)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("mode", MODES)
def test_values_names_and_attributes(sea, mode, name, lazy):
    whole = getattr(fastconv, name)(sea.values, KERNEL, mode, axes=(1, 2), boundary="nearest", method="direct")
    x = sea.chunk({"t": 1, "y": 5, "x": 4}) if lazy else sea
    found = getattr(fastconv.xarray, name)(x, KERNEL, ("y", "x"), mode, boundary="nearest", method="direct")
    assert (found.dims, found.name, found.attrs) == (sea.dims, "temperature", {"units": "K"})
    assert isinstance(found.data, da.Array) == lazy
    np.testing.assert_array_equal(found.values, whole)
    turned = getattr(fastconv.xarray, name)(sea.transpose("x", "t", "y"), KERNEL, ("y", "x"), mode, boundary="nearest")
    assert turned.dims == ("x", "t", "y")
    np.testing.assert_allclose(turned.transpose(*sea.dims).values, whole, atol=1e-12)


def test_same_keeps_all_coordinates(sea):
    found = fastconv.xarray.convolve(sea, KERNEL, ("y", "x"))
    assert found.coords.equals(sea.coords)
    assert found.y.attrs == {"units": "degrees"}
    assert fastconv.xarray.convolve(sea, KERNEL, ("y", "x"), start="first").coords.equals(sea.coords)


def test_valid_keeps_coordinates_of_samples(sea):
    found = fastconv.xarray.convolve(sea, np.ones((4, 5)), ("y", "x"), "valid")
    assert found.coords.equals(sea.isel(y=slice(2, 11), x=slice(2, 13)).coords)
    # An impulse in the middle of a kernel does not move.
    impulse = np.zeros((4, 5))
    impulse[1, 2] = 1
    found = fastconv.xarray.convolve(sea, impulse, ("y", "x"), "valid")
    xr.testing.assert_equal(found, sea.sel(y=found.y, x=found.x))


def test_strides_keep_coordinates_of_results(sea):
    found = fastconv.xarray.convolve(sea, KERNEL, ("y", "x"), stride=(2, 3))
    assert found.coords.equals(sea.isel(y=slice(None, None, 2), x=slice(None, None, 3)).coords)
    found = fastconv.xarray.convolve(sea, KERNEL, ("y", "x"), stride=2**70)
    assert found.coords.equals(sea.isel(y=[0], x=[0]).coords)


def test_full_continues_regular_coordinates(sea):
    found = fastconv.xarray.convolve(sea, np.ones((2, 3, 5)), ("t", "y", "x"), "full")
    assert {*found.coords} == {"t", "y", "x", "scale"}
    np.testing.assert_array_equal(found.x, np.arange(-4, 34, 2))
    step = 20 / 11
    np.testing.assert_allclose(found.y, np.linspace(50 + step, 30 - step, 14))
    np.testing.assert_array_equal(found.y[1:-1], sea.y)  # to the last bit
    np.testing.assert_array_equal(found.t, np.arange("2020-01-01", "2020-01-05", dtype="M8[D]"))
    assert found.y.attrs == {"units": "degrees"}
    uneven = sea.assign_coords(x=np.arange(15) ** 2)
    assert "x" not in fastconv.xarray.convolve(uneven, KERNEL, ("y", "x"), "full").coords
    named = sea.assign_coords(x=[*"abcdefghijklmno"])
    assert "x" not in fastconv.xarray.convolve(named, KERNEL, ("y", "x"), "full").coords


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i8", "u8", "M8[D]", "m8[s]"])
@pytest.mark.parametrize(("first", "step", "fits"), [(3, 2, True), (100, -25, False), (0, 1, False), (99, 0, True)])
def test_continued_integers_do_not_wrap(dtype, first, step, fits):
    signed = np.dtype(dtype).kind != "u"
    counts = first + step * np.arange(5)
    x = xr.DataArray(np.ones(5), {"t": counts.astype("i8").astype(dtype)}, ("t",))
    found = fastconv.xarray.convolve(x, np.ones(3), "t", "full").coords
    if fits or signed:
        np.testing.assert_array_equal(found["t"], (first + step * np.arange(-1, 6)).astype("i8").astype(dtype))
        assert found["t"].dtype == x.t.dtype
    else:
        assert "t" not in found


@pytest.mark.parametrize(
    "values",
    [
        np.array([124, 125, 126, 127], "i1"),
        np.array([-100, 100], "i1"),  # a step that the type does not hold
        np.array([0, 128, 0, 128], "u1"),  # equal steps modulo 256
        np.array([0, 2**63, 0], "u8"),
        np.array([-(2**62), 2**62], "i8"),
        np.array(["NaT", "NaT"], "M8[D]"),
    ],
)
def test_integers_that_cannot_be_continued(values):
    x = xr.DataArray(np.ones(len(values)), {"t": values}, ("t",))
    assert "t" not in fastconv.xarray.convolve(x, np.ones(3), "t", "full").coords


def test_dimensions_without_coordinates():
    plain = xr.DataArray(np.arange(20.0).reshape(4, 5), dims=("y", "x"))
    for mode in MODES:
        found = fastconv.xarray.convolve(plain, np.ones((3, 3)), ("y", "x"), mode)
        assert not found.coords
        np.testing.assert_array_equal(found, fastconv.convolve(plain.values, np.ones((3, 3)), mode))


def test_datasets(sea):
    sets = xr.Dataset({"a": sea, "b": sea * 2, "time_only": ("t", [1, 2, 3])}, attrs={"title": "sea"})
    for mode in MODES:
        found = fastconv.xarray.convolve(sets, KERNEL, ("y", "x"), mode)
        assert ([*found], found.attrs) == (["a", "b", "time_only"], {"title": "sea"})
        xr.testing.assert_identical(
            found.a.rename("temperature"), fastconv.xarray.convolve(sea, KERNEL, ("y", "x"), mode)
        )
        xr.testing.assert_equal(found.b, found.a * 2)
        assert found.time_only.equals(sets.time_only)
    apart = xr.Dataset({"a": sea}, {"depth": (("t", "z"), np.ones((3, 2))), "width": (("x", "z"), np.ones((15, 2)))})
    for mode in MODES:  # coordinates that no variable carries
        found = fastconv.xarray.convolve(apart, KERNEL, ("y", "x"), mode)
        assert found.depth.equals(apart.depth)
        assert ("width" in found.coords) == (mode != "full")
    with pytest.raises(ValueError, match="'profile' has"):
        fastconv.xarray.convolve(sets.assign(profile=("y", np.ones(12))), KERNEL, ("y", "x"))


def test_kernels_with_dimensions(sea):
    kernel = xr.DataArray(KERNEL, dims=("y", "x"))
    expected = fastconv.xarray.convolve(sea, KERNEL, ("y", "x"))
    xr.testing.assert_identical(fastconv.xarray.convolve(sea, kernel), expected)
    xr.testing.assert_identical(fastconv.xarray.convolve(sea, kernel.T, ("y", "x")), expected)
    along_time = fastconv.xarray.correlate(sea, [1, 2, 3], "t")
    np.testing.assert_array_equal(along_time, fastconv.correlate(sea.values, [1, 2, 3], "same", axes=0))


@pytest.mark.parametrize("lazy", [False, True])
def test_missing_samples(sea, lazy):
    weights = xr.DataArray(np.linspace(0, 1, 15), {"x": sea.x}, ("x",))
    x = sea.chunk({"y": 5}) if lazy else sea
    options = {"weights": weights, "return_weight": True, "min_weight": 0.2}
    found, share = fastconv.xarray.convolve(x, KERNEL, ("y", "x"), **options)
    options["weights"] = weights.values
    values, shares = fastconv.convolve(sea.values, KERNEL, "same", axes=(1, 2), **options)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(share, shares)
    assert share.coords.equals(sea.coords)
    sets, both = fastconv.xarray.convolve(xr.Dataset({"a": x}), KERNEL, ("y", "x"), **options)
    np.testing.assert_array_equal(sets.a, values)
    np.testing.assert_array_equal(both.a, shares)
    with pytest.raises(ValueError, match="cannot align"):
        fastconv.xarray.convolve(x, KERNEL, ("y", "x"), weights=weights.assign_coords(x=weights.x + 1))


def test_errors(sea):
    cases = [
        (TypeError, "x must be a DataArray or a Dataset", (sea.values, KERNEL, ("y", "x"))),
        (TypeError, "dims must name", (sea, KERNEL)),
        (ValueError, "dims must be different dimensions of x", (sea, KERNEL, ("y", "z"))),
        (ValueError, "dims must be different dimensions of x", (sea, KERNEL, ("y", "y"))),
        (ValueError, "dims must be different dimensions of x", (sea, KERNEL, {"y", "x"})),
        (ValueError, "dims must be different dimensions of x", (sea, KERNEL, np.array(["y", "x"]))),
        (ValueError, "kernel must have one dimension for each", (sea, KERNEL, "x")),
        (ValueError, "kernel must have the dimensions", (sea, xr.DataArray(KERNEL, dims=("y", "x")), ("y", "t"))),
        (ValueError, "mode must be", (sea, KERNEL, ("y", "x"), "some")),
    ]
    for kind, words, arguments in cases:
        with pytest.raises(kind, match=words):
            fastconv.xarray.convolve(*arguments)
    with pytest.raises(TypeError, match=r"fastconv\.dask"):
        fastconv.convolve(sea.chunk(), np.ones((1, 1, 1)))
