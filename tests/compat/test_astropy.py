"""`fastconv.compat.astropy` compared with Astropy: values, types, warnings and errors."""

import itertools
import warnings

import numpy as np
import pytest

from fastconv.compat import Unsupported, patch
from fastconv.compat import astropy as ours

pytest.importorskip("astropy")

from astropy import units
from astropy.convolution import (
    Box1DKernel,
    CustomKernel,
    Gaussian1DKernel,
    Gaussian2DKernel,
    Kernel1D,
    convolve,
    convolve_fft,
    interpolate_replace_nans,
)
from astropy.nddata import NDData
from astropy.utils.exceptions import AstropyUserWarning

NAN, INF = np.nan, np.inf
X, TAPS = [1, 2, NAN, 1, 2], [0.25, 0.5, 0.25]


def outcome(function, *args, **options):
    """Return the result of a call, or the type and the text of its error; and its warnings."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            result = function(*args, **options)
        except Exception as error:
            result = type(error), str(error)
    told = [(type(item.message), str(item.message)) for item in caught if issubclass(item.category, AstropyUserWarning)]
    return result, told


def check(name, *args, tolerance=1e-12, **options):
    """Compare a call with Astropy's."""
    original = {"convolve": convolve, "convolve_fft": convolve_fft, "replace": interpolate_replace_nans}[name]
    function = {"convolve": ours.convolve, "convolve_fft": ours.convolve_fft}.get(name, ours.interpolate_replace_nans)
    (found, told), (expect, warned) = outcome(function, *args, **options), outcome(original, *args, **options)
    assert told == warned
    if isinstance(expect, tuple):
        assert found == expect
        return found
    assert type(found) is type(expect), (found, expect)
    if hasattr(expect, "array"):
        found, expect = found.array, expect.array
    assert (found.shape, found.dtype, getattr(found, "unit", None)) == (
        expect.shape, expect.dtype, getattr(expect, "unit", None),
    )  # fmt: skip
    scale = np.abs(np.asarray(getattr(args[0], "array", getattr(args[0], "data", args[0])), float))
    largest = scale[np.isfinite(scale)].max(initial=1)
    tolerance = max(tolerance, 4 * float(np.finfo(expect.dtype).eps))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expect), rtol=tolerance, atol=tolerance * largest)
    return found


CASES = {
    "by default": (X, TAPS, {}, [1, 5 / 3, 1.5, 4 / 3, 1.25]),
    "extend": (X, TAPS, {"boundary": "extend"}, [1.25, 5 / 3, 1.5, 4 / 3, 1.75]),
    "wrap": (X, TAPS, {"boundary": "wrap"}, [1.5, 5 / 3, 1.5, 4 / 3, 1.5]),
    "NaN outside": (X, TAPS, {"fill_value": NAN}, [4 / 3, 5 / 3, 1.5, 4 / 3, 5 / 3]),
    "no boundary": (X, TAPS, {"boundary": None}, [0, 5 / 3, 1.5, 4 / 3, 0]),
    "filled with 0": (X, TAPS, {"nan_treatment": "fill"}, [1, 1.25, 0.75, 1, 1.25]),
    "filled with 7": (X, TAPS, {"nan_treatment": "fill", "fill_value": 7}, [2.75, 3, 4.25, 2.75, 3]),
    "NaNs preserved": (X, TAPS, {"preserve_nan": True}, [1, 5 / 3, NAN, 4 / 3, 1.25]),
    "a wide hole": ([1, NAN, NAN, NAN, 5], [1, 1, 1], {}, [0.5, 1, NAN, 5, 2.5]),
    "not normalized": (X, [1, 2, 1], {"normalize_kernel": False}, [4, 20 / 3, 6, 16 / 3, 5]),
    "normalized": (X, [1, 2, 1], {}, [1, 5 / 3, 1.5, 4 / 3, 1.25]),
    "a derivative": ([1, 2, 3, 4, 5], [1, 0, -1], {"normalize_kernel": False}, [2, 2, 2, 2, -4]),
    "an infinity": ([1, 2, INF, 1, 2], TAPS, {}, [1, INF, INF, INF, 1.25]),
    "nothing but NaN": ([NAN] * 3, TAPS, {}, [0, NAN, 0]),
    "negative taps": (X, [-0.5, 2, -0.5], {}, [1, 7 / 3, 1.5, 2 / 3, 3.5]),
    "a hole in the kernel": ([1, NAN, 5, NAN, 2], [1, 0, 1], {"boundary": "extend"}, [1, 3, 5, 3.5, 2]),
}


@pytest.mark.parametrize("case", CASES)
def test_values(case):
    x, taps, options, expect = CASES[case]
    found = check("convolve", x, taps, **options)
    np.testing.assert_allclose(found, expect, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["convolve", "convolve_fft"])
@pytest.mark.parametrize("shape", [(31,), (12, 17), (6, 7, 8)])
def test_all_options(name, shape):
    rng = np.random.default_rng(1)
    extents = [(1,) * len(shape), (3, 5, 1)[: len(shape)], (5, 3, 3)[: len(shape)]]
    if name == "convolve_fft":
        extents.append((4, 2, 3)[: len(shape)])
    x = rng.standard_normal(shape)
    x[rng.random(shape) < 0.2] = NAN
    x[tuple(slice(extent // 2) for extent in shape)] = NAN
    boundaries = [None, "fill", "wrap", "extend"]
    for boundary, extent, treatment in itertools.product(boundaries, extents, ("interpolate", "fill")):
        for normalize, fill, preserve in itertools.product((True, False), (0.0, 2.0, NAN), (True, False)):
            options = {"boundary": boundary, "fill_value": fill, "nan_treatment": treatment, "preserve_nan": preserve}
            for kernel in (rng.random(extent) + 0.1, rng.random(extent) - 0.1):
                for values in (x, np.where(np.isnan(x), 0.5, x)):
                    check(name, values, kernel, normalize_kernel=normalize, tolerance=1e-9, **options)


@pytest.mark.parametrize("name", ["convolve", "convolve_fft"])
@pytest.mark.parametrize("dtype", ["?", "i2", "u1", "f2", "f4", ">f4", "f8", "g"])
def test_types(name, dtype):
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2 if dtype == "?" else 100, (15, 16)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[3, 4] = NAN
    for values in (x, x[::-1, ::2], x.T, np.ma.MaskedArray(x, x == 3), x.tolist()):
        check(name, values, np.ones((3, 3)))
        check(name, values, Gaussian2DKernel(0.5))
    assert outcome(ours.convolve, x + 0j, np.ones((3, 3)))[0] is not None


def test_masks_and_units_and_data_with_masks():
    x = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    mask = x == 5
    for name in ("convolve", "convolve_fft"):
        check(name, x, np.ones((3, 3)), mask=mask)
        check(name, x, np.ones((3, 3)), mask=mask.astype(int), boundary="wrap")
        check(name, np.ma.MaskedArray(x, x == 1), np.ones((3, 3)), mask=mask)
        check(name, X, TAPS, mask=[0, 0, 1, 0, 0])
        check(name, NDData(x, mask=mask), np.ones((3, 3)))
        check(name, NDData(x), np.ones((3, 3)), mask=mask)
        check(name, x * units.m, np.ones((3, 3)))
        check(name, x, np.ma.masked_equal(np.arange(9.0).reshape(3, 3), 4))
    assert ours.convolve(x * units.m, np.ones((3, 3))).unit == units.m


def test_kernel_objects():
    gaussian, box = Gaussian1DKernel(2), Box1DKernel(5)
    found = check("convolve", gaussian, box)
    assert found.shape == gaussian.shape
    with pytest.warns(AstropyUserWarning, match="Both array and kernel are Kernel instances"):
        result = ours.convolve(gaussian, box, boundary="wrap")
    assert isinstance(result, Kernel1D)
    assert result.separable == gaussian.separable
    check("convolve", Gaussian2DKernel(1), Gaussian2DKernel(2))
    check("convolve", X, CustomKernel([1, 2, 1]))
    check("convolve_fft", gaussian, box)
    check("convolve", gaussian, [1, 2, 1])


ERRORS = [
    ("convolve", ([1, 2, 3], [1, 1, 1]), {"boundary": "reflect"}),
    ("convolve", ([1, 2, 3], [1, 1, 1]), {"nan_treatment": "omit"}),
    ("convolve", ([1, 2, 3], [1, 1]), {}),
    ("convolve", ([1, 2, 3], [[1, 1, 1]]), {}),
    ("convolve", (1.0, 1.0), {}),
    ("convolve", ([], [1]), {}),
    ("convolve", ([1, NAN, 3], [1, 0, -1]), {}),
    ("convolve", ([1, 2, 3], [1, 0, -1]), {}),
    ("convolve", ([1, 2, 3], [1, 1, 1, 1, 1]), {"boundary": None}),
    ("convolve_fft", ([1, 2, 3], [[1, 1, 1]]), {}),
    ("convolve_fft", ([1, NAN, 3], [1, 0, -1]), {"normalize_kernel": False}),
    ("convolve_fft", ([1, NAN, 3], [1, 0, -1]), {}),
    ("convolve_fft", ([1, 2, 3], [1, 1, 1]), {"boundary": "extend"}),
    ("convolve_fft", ([1, 2, 3], [1, 1, 1]), {"boundary": "wrap", "psf_pad": True}),
    ("convolve_fft", ([1, 2, 3], [1, 1, 1]), {"boundary": "wrap", "fft_pad": True}),
    ("convolve_fft", ([1, 2, 3], [1, 1, 1]), {"boundary": "wrap", "dealias": True}),
    ("convolve_fft", ([1, 2, 3], [1, 1, 1]), {"nan_treatment": "omit"}),
    ("convolve_fft", ([1, NAN, 3], [1, 1, 1]), {"nan_treatment": "fill", "fill_value": NAN}),
    ("convolve_fft", (Gaussian1DKernel(1), Gaussian1DKernel(1)), {}),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    name, args, options = ERRORS[case]
    found = check(name, *args, **options)
    assert issubclass(found[0], Exception)


def test_input_that_is_not_numeric_and_huge_arrays():
    for name in ("convolve", "convolve_fft"):
        found, _ = outcome(getattr(ours, name), ["a", "b"], [1])
        assert found[0] is TypeError
    with pytest.raises(ValueError, match=r"Size Error: Arrays will be 1\.6G"):
        ours.convolve_fft(np.broadcast_to(np.float32(1), (10_000, 10_000)), [[1]])


def test_convolve_fft_of_its_own():
    x = np.array([1.0, NAN, 3, INF, 5, 6, NAN, NAN, NAN, 1])
    for options in (
        {}, {"min_wt": 0.5}, {"min_wt": 1e-8}, {"normalize_kernel": np.sum}, {"normalize_kernel": np.max},
        {"dealias": True}, {"boundary": "wrap", "min_wt": 0.3}, {"fill_value": INF}, {"preserve_nan": True},
        {"fft_pad": False}, {"nan_treatment": "fill", "fill_value": 2.0}, {"normalize_kernel": False},
    ):  # fmt: skip
        for taps in ([1, 1, 1], [1, 2], [1.0, NAN, 2], [2, 1, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 2]):
            if options.get("boundary") == "wrap" and len(taps) > len(x):
                continue
            check("convolve_fft", x, taps, tolerance=1e-9, **options)
    for options in (
        {"return_fft": True}, {"crop": False}, {"psf_pad": False}, {"complex_dtype": np.complex64},
    ):  # fmt: skip
        with pytest.raises(Unsupported):
            ours.convolve_fft(x, [1, 1, 1], **options)
    for args in ((x, [1, 1j, 1]), (x[:2], [1, 1, 1])):
        with pytest.raises(Unsupported):
            ours.convolve_fft(*args, boundary="wrap")


def test_interpolate_replace_nans():
    x = np.array([[1.0, NAN, 3], [4, 5, NAN], [NAN, 8, 9]])
    check("replace", x, Gaussian2DKernel(1))
    check("replace", x, np.ones((3, 3)), boundary="extend")
    check("replace", np.nan_to_num(x), np.ones((3, 3)))
    found = ours.interpolate_replace_nans(x, np.ones((3, 3)), convolve=ours.convolve_fft)
    np.testing.assert_allclose(found, interpolate_replace_nans(x, np.ones((3, 3)), convolve=convolve_fft))


def test_patch():
    expect = convolve(X, TAPS), convolve_fft(X, TAPS)
    with patch("astropy.convolution") as patched:
        np.testing.assert_allclose(convolve(X, TAPS), expect[0])
        np.testing.assert_allclose(convolve_fft(X, TAPS), expect[1], atol=1e-15)
        with pytest.raises(Exception, match="Kernel size must be odd"):
            convolve(X, [1, 1])
        np.testing.assert_allclose(convolve([1, 2, 3], [1, NAN, 1], normalize_kernel=False)[1], NAN)
        assert patched.calls["astropy.convolution.convolve"] == (1, 1)
        assert patched.calls["astropy.convolution.convolve_fft"] == (1, 0)
        assert not patched.refused
    assert convolve(X, TAPS).tolist() == expect[0].tolist()
