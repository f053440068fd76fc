"""Samples of which some are missing: NaNs that are ignored, weights and masks, against the definition."""

import itertools
import pickle
import random
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

import fastconv
from fastconv import image, kernels, reference
from fastconv._model.guarantees import LOST_BITS
from fastconv._runtime.instrumentation import forced, observed
from tests import guarded_arrays
from tests.oracle import BOUNDARIES, LAYOUTS, MODES, normalized

NAN = np.nan
FLOATS = ("f2", "f4", "f8", "c8", "c16")
INTEGERS = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def quarters(rng, shape):
    """Weights whose sums and products with small whole numbers are exact."""
    return rng.integers(0, 5, shape) / 4.0


def holes(x, rng, share=0.2):
    """A float array with NaNs, real parts and imaginary parts alike."""
    x = x.copy()
    x[rng.random(x.shape) < share] = NAN
    return x


def small(rng, shape, dtype):
    """Whole numbers, of which sums and products are exact."""
    dtype = np.dtype(dtype)
    values = rng.integers(0 if dtype.kind in "ub" else -4, 2 if dtype.kind == "b" else 5, shape)
    return (values + 1j * rng.integers(-4, 5, shape) if dtype.kind == "c" else values).astype(dtype)


def check(function, x, kernel, mode="full", *, flip=True, axes=None, **options):
    """Compare a call, and its shares, with the oracle, whose sums are exact: a few roundings are allowed."""
    call, axes = dict(options), tuple(range(x.ndim - kernel.ndim, x.ndim)) if axes is None else axes
    call["axis" if kernel.ndim == 1 else "axes"] = axes if len(axes) > 1 else axes[0]
    before = np.array(x, copy=True)
    result, shares = function(x, kernel, mode, return_weight=True, **call)
    alone = function(x, kernel, mode, **call)
    np.testing.assert_array_equal(alone, result)
    np.testing.assert_array_equal(x, before)
    for name in ("method", "workers", "check"):
        options.pop(name, None)
    expect, known = normalized(x, kernel, mode, flip=flip, axes=axes, **options)
    dtype = np.result_type(np.asarray(x), np.asarray(kernel))
    dtype = np.dtype(float) if dtype.kind in "biu" else dtype
    assert (result.dtype, result.shape) == (dtype, expect.shape)
    real = np.zeros(0, np.float32 if dtype.char == "e" else dtype).real.dtype
    assert (shares.dtype, shares.shape) == (real, expect.shape)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(shares, known, rtol=4 * eps, atol=0)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expect))
    here = ~np.isnan(expect)
    np.testing.assert_allclose(result[here], expect[here], rtol=8 * eps, atol=0)
    return result


def options_for(boundary):
    return {"boundary": boundary, "fill_value": 1 if boundary == "fill" else 0}


def test_the_worked_example():
    taps, x = [0.25, 0.5, 0.25], [1, 2, NAN, 1, 2]
    expect = [1 / 0.75, 1.25 / 0.75, 0.75 / 0.5, 1 / 0.75, 1.25 / 0.75]
    np.testing.assert_allclose(fastconv.convolve1d(x, taps, "same", nan="ignore"), expect, rtol=4e-16)
    masked = fastconv.correlate1d(np.ma.masked_invalid(x), taps, "same")
    assert isinstance(masked, np.ma.MaskedArray)
    np.testing.assert_allclose(masked.filled(0), expect, rtol=4e-16)
    # Astropy 8.0.2, `convolve(x, taps, boundary="extend" / "wrap" / "fill", fill_value=0)`.
    for options, ends in (
        ({"boundary": "nearest"}, [1.25, 1.75]),
        ({"boundary": "wrap"}, [1.5, 1.5]),
        ({"boundary": "fill"}, [1, 1.25]),
    ):
        result = fastconv.convolve1d(x, taps, "same", nan="ignore", **options)
        np.testing.assert_allclose(result[[0, -1]], ends, rtol=4e-16)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_the_definition_in_plain_loops(mode, boundary):
    rng = np.random.default_rng(1)
    for normalize in (True, False):
        kernel = [[int(tap) for tap in line] for line in rng.integers(-3, 9, (3, 4))]
        image, weights = rng.integers(-9, 9, (6, 7)).astype(float), quarters(rng, (6, 7))
        image[rng.random(image.shape) < 0.2] = NAN
        options = {"nan": "ignore", "min_weight": 0.25, "normalize": normalize, **options_for(boundary)}
        exact = [[Fraction(weight) for weight in line] for line in weights]
        expect, shares = reference.normalized_convolve2d(image.tolist(), kernel, mode, weights=exact, **options)
        expect = np.array([[NAN if value is None else float(value) for value in line] for line in expect])
        found, known = fastconv.convolve2d(image, kernel, mode, weights=weights, return_weight=True, **options)
        np.testing.assert_allclose(found, expect, rtol=1e-15)
        np.testing.assert_allclose(known, np.array(shares, float), rtol=1e-15)
        by_oracle, shares = normalized(image, kernel, mode, weights=weights, **options)
        np.testing.assert_allclose(by_oracle, expect, rtol=1e-15)
        np.testing.assert_allclose(shares, known, rtol=1e-15)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_every_type(dtype):
    rng = np.random.default_rng(2)
    taps, kernel = np.array([1, 2, 3, 1, 1]), np.array([[1, 2, 1], [0, 3, 1], [2, 1, 1], [1, 0, 1]])
    for boundary in BOUNDARIES:
        for kernel_dtype in ("i4", "f4"):
            x, image = small(rng, 61, dtype), small(rng, (23, 41), dtype)
            if np.dtype(dtype).kind in "fc":
                x, image = holes(x, rng), holes(image, rng)
            options = {"nan": "ignore", **options_for(boundary)}
            check(fastconv.convolve1d, x, taps.astype(kernel_dtype), "same", **options)
            check(fastconv.convolve1d, x, taps.astype(kernel_dtype), "full", weights=quarters(rng, 61), **options)
            check(fastconv.convolve2d, image, kernel.astype(kernel_dtype), "same", **options)
            weights = quarters(rng, image.shape)
            check(
                fastconv.correlate2d, image, kernel.astype(kernel_dtype), "full", flip=False, weights=weights, **options
            )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c8"])
def test_every_layout(layout, dtype):
    rng = np.random.default_rng(3)
    kernel = np.array([[1, 2, 1], [2, 5, 2], [1, 3, 1]], "f4")
    for boundary in ("zero", "reflect", "wrap"):
        image = small(rng, (29, 50), dtype)
        if dtype != "u1":
            image = holes(image, rng)
        image, weights = LAYOUTS[layout](image), LAYOUTS[layout](quarters(rng, (29, 50)).astype("f4"))
        check(fastconv.convolve2d, image, kernel, "same", nan="ignore", boundary=boundary)
        check(fastconv.convolve2d, image, kernel, "same", nan="ignore", boundary=boundary, weights=weights)
        check(fastconv.convolve1d, image, kernel[1], "full", nan="ignore", boundary=boundary, weights=weights)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_axes_batches_and_channels(boundary):
    rng = np.random.default_rng(4)
    x, options = holes(small(rng, (9, 13, 17, 3), "f4"), rng), options_for(boundary)
    kernel, taps = np.array([[1, 2, 1, 1], [3, 2, 2, 1], [1, 2, 3, 1]]), np.array([1, 3, 2])
    for axes in ((0, 1), (1, 2), (2, 1), (2, 3), (0, 3), (1, 3)):
        check(fastconv.convolve2d, x, kernel, "same", axes=axes, nan="ignore", **options)
    for axis in range(4):
        check(fastconv.convolve1d, x, taps, "full", axes=(axis,), nan="ignore", **options)
    # Weights of one plane, of one row, of the channels, and one number.
    for shape in ((13, 17, 1), (17, 1), (3,), (9, 1, 1, 1), ()):
        weights = quarters(rng, shape)
        check(fastconv.convolve2d, x, kernel, "same", axes=(1, 2), nan="ignore", weights=weights, **options)
        check(fastconv.convolve1d, x, taps, "same", axes=(2,), nan="ignore", weights=weights, **options)


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i2"])
def test_methods_agree(method, dtype):
    rng = np.random.default_rng(6)
    column, row = np.array([1, 2, 4, 3, 2, 1, 1, 2, 1]), np.array([1, 3, 5, 4, 2, 1, 1])
    kernel = np.outer(column, row).astype(dtype if dtype[0] == "f" else "f8" if dtype == "i2" else "f4")
    image = small(rng, (150, 131), dtype)
    if dtype != "i2":
        image = holes(image, rng, 0.05)
        image[40:90, 30:80] = NAN
    for boundary in ("zero", "nearest"):
        tolerance = 64 * np.finfo(np.result_type(kernel, "f4")).eps
        for weights in (None, quarters(rng, image.shape)):
            options = {"boundary": boundary, "nan": "ignore", "weights": weights}
            expect, known = normalized(image, kernel, "same", axes=(0, 1), **options)
            options["return_weight"] = True
            found, shares = fastconv.convolve2d(image, kernel, "same", method=method, **options)
            np.testing.assert_array_equal(shares == 0, known == 0)
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expect))
            np.testing.assert_allclose(shares, known, atol=tolerance)
            here = known > 1e-2
            np.testing.assert_allclose(found[here], expect[here], rtol=50 * tolerance, atol=500 * tolerance)


@pytest.mark.parametrize("kernel", ["positive", "negative", "mixed", "complex"])
@pytest.mark.parametrize("normalize", [True, False])
def test_signs_of_kernels(kernel, normalize):
    rng = np.random.default_rng(7)
    taps = {
        "positive": [[1, 2, 1], [2, 0, 2]],
        "negative": [[-1, -2, -1], [-2, 0, -2]],
        "mixed": [[-1, 4, 2], [3, -1, 5]],
        "complex": [[1 + 2j, 3, 1j], [2, 1 - 1j, 4]],
    }[kernel]
    for dtype in ("f4", "f8", "c8"):
        kernel = np.array(taps).astype("f4" if np.isrealobj(np.array(taps)) else "c8")
        x = holes(small(rng, (31, 57), dtype), rng)
        for boundary in BOUNDARIES:
            options = {"nan": "ignore", "normalize": normalize, "min_weight": 0.5, **options_for(boundary)}
            if np.iscomplexobj(kernel):  # products of complex numbers are not exact quotients
                found, shares = fastconv.correlate2d(x, kernel, "same", return_weight=True, **options)
                expect, known = normalized(x, kernel, "same", flip=False, **options)
                np.testing.assert_allclose(shares, known, rtol=1e-6)
                here = known > 0.5 + 1e-6
                np.testing.assert_allclose(found[here], expect[here], rtol=1e-4, atol=1e-4)
                continue
            check(fastconv.convolve2d, x, kernel, "same", **options)
            check(fastconv.convolve1d, x, kernel[0], "same", **options)


def test_kernels_that_add_up_to_zero_have_no_normalized_form():
    x = np.array([[1.0, NAN, 3.0]] * 3)
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    for kernel in (sobel, sobel.astype("f4"), *(np.array([[0.1, 0.2, -0.3]], t) for t in ("f2", "f4", "f8"))):
        with pytest.raises(ValueError, match=r"kernel must have a sum other than 0.*normalize=False"):
            fastconv.convolve2d(x, kernel, "same", nan="ignore")
        check(fastconv.convolve2d, x, np.rint(10 * kernel), "same", nan="ignore", normalize=False)
    for kernel in ([[0, 0]], [[1, NAN]], [[np.inf, 1]]):
        with pytest.raises(ValueError, match="kernel must be finite, with a tap that is not 0"):
            fastconv.convolve2d(x, kernel, "same", nan="ignore", normalize=False)


def test_weights_hide_anything_and_infinities_are_data():
    taps = np.ones(3)
    x = np.array([1, NAN, 3, np.inf, 5, 6, 7, -np.inf, 9])
    weights = np.array([1, 0, 1, 0, 1, 1, 1, 0, 1])
    result = fastconv.convolve1d(x, taps, "same", weights=weights)
    np.testing.assert_allclose(result, [3, 6, 9, 12, 16.5, 18, 19.5, 24, 27])
    result = fastconv.convolve1d(x, taps, "same", nan="ignore")
    np.testing.assert_array_equal(np.isinf(result), [False, False, True, True, True, False, True, True, True])
    assert result[0] == 3
    # A NaN that is not ignored is data as well.
    result = fastconv.convolve1d(x, taps, "same", weights=[1, 1, 1, 0, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(np.isnan(result), [True] * 3 + [False] * 6)


def test_a_signalling_nan_is_missing_and_raises_no_warning():
    for bits, dtype in ((0x7FA00000, "f4"), (0x7FF4000000000000, "f8")):
        x = np.ones(50, dtype)
        x.view(f"u{x.itemsize}")[[3, 20]] = bits
        np.testing.assert_allclose(fastconv.convolve1d(x, np.ones(3, dtype), "same", nan="ignore"), 3, rtol=1e-6)


def test_properties():
    rng = np.random.default_rng(8)
    x, kernel = rng.standard_normal((40, 50)), rng.random((5, 5)) + 0.1
    weights = rng.integers(0, 2, x.shape) * 0.5 + 0.25 * (rng.random(x.shape) < 0.5)
    for boundary in BOUNDARIES:
        found = fastconv.convolve2d(x, kernel, "same", weights=weights, boundary=boundary)
        scaled = fastconv.convolve2d(x, kernel, "same", weights=weights / 4, boundary=boundary)
        if boundary != "fill":  # whose weight is 1
            np.testing.assert_allclose(scaled, found, rtol=1e-11, atol=1e-12)
        ordinary = fastconv.convolve2d(x, kernel, "same", boundary=boundary)
        ones = fastconv.convolve2d(x, kernel, "same", weights=np.ones(x.shape), boundary=boundary)
        inner = (slice(2, -2),) * 2 if boundary == "zero" else ...
        np.testing.assert_allclose(ones[inner], ordinary[inner], rtol=1e-11, atol=1e-12)
        constant = fastconv.convolve2d(np.full(x.shape, 3.0), kernel / kernel.sum(), "same", weights=weights)
        known = ~np.isnan(constant)
        np.testing.assert_allclose(constant[known], 3, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_where_nothing_is_missing_the_ordinary_engine_runs(dtype):
    rng = np.random.default_rng(9)
    x, kernel = small(rng, (300, 310), dtype), rng.random((4, 7)).astype(np.dtype(dtype).type(0).real.dtype)
    for boundary in BOUNDARIES:
        ordinary = fastconv.convolve2d(x, kernel, "same", **options_for(boundary))
        result, shares = fastconv.convolve2d(
            x, kernel, "same", nan="ignore", return_weight=True, **options_for(boundary)
        )
        inner = (slice(2, -2), slice(3, -3)) if boundary == "zero" else ...
        np.testing.assert_array_equal(result[inner], ordinary[inner])
        assert (shares[inner] == 1).all()
        x[150, 150] = NAN
        with_hole = fastconv.convolve2d(x, kernel, "same", nan="ignore", **options_for(boundary))
        far = np.ones(x.shape, bool)
        far[145:155, 145:155] = False
        np.testing.assert_allclose(with_hole[far], result[far], rtol=1e-4, atol=1e-4)
        x[150, 150] = 1


def test_masked_arrays_come_back_masked():
    x = np.ma.MaskedArray([1.0, NAN, 3.0, 4.0, 5.0, 6.0], [False, True, True, True, False, False])
    for nan in ("propagate", "ignore"):
        result, shares = fastconv.convolve1d(x, [1.0, 2.0, 1.0], "same", nan=nan, return_weight=True)
        assert isinstance(result, np.ma.MaskedArray)
        assert type(shares) is np.ndarray
        assert result.mask.tolist() == [False, False, True, False, False, False]
        np.testing.assert_allclose(result.compressed(), [4, 4, 20, 64 / 3, 68 / 3])
        assert np.isnan(result.data[2])
    whole = fastconv.convolve1d(np.ma.MaskedArray([1.0, 2.0, 3.0]), [1.0, 1.0], "valid")
    assert isinstance(whole, np.ma.MaskedArray)
    assert whole.tolist() == [3, 5]
    # Weights count too; results where too little is known take a given value.
    result = fastconv.convolve1d(
        x, [1.0, 1.0], "valid", weights=[1, 1, 1, 1, 0.5, 0], min_weight=0.25, missing_value=-9
    )
    assert result.mask.tolist() == [False, True, True, True, True]
    assert result.data.tolist() == [2, -9, -9, -9, -9]
    out = np.ma.zeros(5)
    assert fastconv.convolve1d(x, [1.0, 1.0], "valid", out=out) is out
    assert out.mask.tolist() == [False, True, True, False, False]
    plain = np.zeros(5)
    assert fastconv.convolve1d(x, [1.0, 1.0], "valid", out=plain) is plain
    np.testing.assert_array_equal(plain, [2, NAN, NAN, 10, 11])
    scalar = fastconv.convolve(np.ma.MaskedArray(3.0), 2.0)
    assert (scalar.shape, float(scalar)) == ((), 6)
    with pytest.raises(TypeError, match=r"kernel has masked elements"):
        fastconv.convolve1d(x, np.ma.masked_equal([1, 2], 2))


def test_out_may_overlap_x_and_the_weights():
    rng = np.random.default_rng(10)
    x, weights = holes(rng.standard_normal((60, 70)), rng), rng.random((60, 70))
    expect = fastconv.convolve2d(x, np.ones((3, 3)), "same", nan="ignore", weights=weights)
    for overlapped in ("x", "weights"):
        arrays = {"x": x.copy(), "weights": weights.copy()}
        out = arrays[overlapped]
        result = fastconv.convolve2d(
            arrays["x"], np.ones((3, 3)), "same", nan="ignore", weights=arrays["weights"], out=out
        )
        assert result is out
        np.testing.assert_array_equal(out, expect)
    with pytest.raises(ValueError, match="out must have shape"):
        fastconv.convolve2d(x, np.ones((3, 3)), "full", nan="ignore", out=np.empty((3, 3)))


def test_strips_meet(monkeypatch):
    from fastconv._planning.missing import missing_strips

    monkeypatch.setattr(missing_strips, "STRIP_ELEMENTS", 64)
    rng = np.random.default_rng(11)
    kernel = np.array([[1, -2, 4], [2, 3, 1], [1, 1, 5], [1, 3, -1]])
    for boundary in BOUNDARIES:
        x = holes(small(rng, (41, 33), "f8"), rng)
        check(fastconv.convolve2d, x, kernel, "full", nan="ignore", **options_for(boundary))
        check(fastconv.convolve2d, x.T, kernel, "same", nan="ignore", **options_for(boundary))
        check(fastconv.convolve1d, x.ravel(), kernel[:, 2], "full", nan="ignore", **options_for(boundary))


ERRORS = {
    "nan": ({"nan": "omit"}, ValueError, "nan must be 'propagate' or 'ignore'; got 'omit'"),
    "nan type": ({"nan": True}, TypeError, "nan must be a string"),
    "min_weight": ({"nan": "ignore", "min_weight": 1}, ValueError, r"min_weight must lie in 0 \.\. 1"),
    "min_weight type": ({"nan": "ignore", "min_weight": "half"}, TypeError, "min_weight must be a finite number"),
    "return_weight": ({"nan": "ignore", "return_weight": 2}, TypeError, "return_weight must be True or False"),
    "normalize": ({"nan": "ignore", "normalize": None}, TypeError, "normalize must be True or False"),
    "missing_value": ({"nan": "ignore", "missing_value": 1j}, ValueError, "missing_value must be real"),
    "shape": ({"weights": [1, 0]}, ValueError, r"weights must be of a shape that broadcasts to \(3,\); got \(2,\)"),
    "range": ({"weights": [0, 1, 2]}, ValueError, r"weights must lie in 0 \.\. 1; got numbers from 0 to 2"),
    "weights NaN": ({"weights": [0, NAN, 1]}, ValueError, r"weights must lie in 0 \.\. 1; got numbers from nan"),
    "weights type": ({"weights": ["1", "0", "1"]}, TypeError, "weights must hold real numbers; got dtype <U1"),
    "complex weights": ({"weights": [1j, 0, 0]}, TypeError, "weights must hold real numbers; got dtype complex128"),
    "unused": ({"min_weight": 0.5}, ValueError, "min_weight is for nan='ignore', weights, and masked arrays only"),
    "unused too": ({"return_weight": True}, ValueError, "return_weight is for nan='ignore', weights, and masked"),
    "unused three": ({"normalize": False}, ValueError, "normalize is for nan='ignore', weights, and masked arrays"),
    "unused four": ({"missing_value": 0}, ValueError, "missing_value is for nan='ignore', weights, and masked"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    options, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        fastconv.convolve1d([1.0, 2.0, 3.0], [1.0, 1.0], **options)


def test_factors_of_single_precision_are_not_used_for_sums_of_double():
    rng = np.random.default_rng(71)
    x, kernel = rng.random((60, 70)), np.outer(rng.random(15), rng.random(15)).astype("f4")
    x[3, 3] = np.nan
    found = fastconv.convolve2d(x, kernel, "same", boundary="wrap", nan="ignore")
    expect = fastconv.convolve2d(x, kernel, "same", boundary="wrap", nan="ignore", method="direct")
    np.testing.assert_allclose(found, expect, rtol=1e-13)


def test_a_line_of_taps_by_the_method_separable():
    x = np.arange(240.0).reshape(4, 5, 12)
    for kernel in (np.ones((1, 1, 3)), np.ones((1, 1, 1)), np.ones((1, 3, 1))):
        for options in ({}, {"stride": 2}, {"mode": "same", "start": ("first", 0, 0)}):
            found, expect = (
                fastconv.convolve(x, kernel, **options, method=method, nan="ignore") for method in ("separable", "auto")
            )
            np.testing.assert_array_equal(found, expect)


def test_long_doubles_keep_their_precision():
    x, kernel = np.arange(1, 7, dtype="g") / 7, np.array([1, 0.1, 0.3], "g") / 3
    known = np.ones(6)
    eps = np.finfo("g").eps
    _, shares = fastconv.convolve1d(x, kernel, "valid", weights=known, return_weight=True)
    np.testing.assert_allclose(shares, 1, rtol=4 * eps)
    sums = fastconv.convolve1d(x, kernel, "valid", weights=known, normalize=False)
    np.testing.assert_allclose(sums, fastconv.convolve1d(x, kernel, "valid"), rtol=4 * eps)


def test_objects_are_refused_and_defaults_may_be_spelt_out():
    with pytest.raises(TypeError, match="numbers of a fixed size"):
        fastconv.convolve1d(np.array([Fraction(1)]), [1], nan="ignore")
    spelt = {"nan": "".join(("prop", "agate")), "weights": None, "min_weight": 0, "return_weight": np.bool_(False)}
    assert fastconv.convolve1d([1, 2], [1, 1], **spelt).tolist() == [1, 3, 2]


def compiled(events):
    """Names of the engines that took pairs."""
    ran = [event for event in events if event.name != "prepare"]
    return [event.name for event in ran if getattr(getattr(event, "problem", None), "pairs", None)]


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i8"])
def test_blocks_and_threads_give_the_same_bits(method, dtype):
    rng = np.random.default_rng(12)
    x, kernel = small(rng, (190, 230, 2), dtype), np.outer([1, 2, 3, 1], [1, 3, 1, 2, 1]).astype("f4")
    weights = rng.random((190, 230, 1)).astype("f4")
    if dtype[0] == "f":
        x = holes(x, rng)
    for boundary in BOUNDARIES:
        options = {"axes": (0, 1), "nan": "ignore", "method": method, "return_weight": True, **options_for(boundary)}
        for mask in (None, weights, weights > 0.3):
            options["weights"] = mask
            with observed() as events:
                expect = fastconv.convolve2d(x, kernel, "same", workers=1, **options)
            if dtype[0] == "f" or mask is not None:
                assert compiled(events) == [method]
            for block in ((7, 11), (64, 500)):
                with forced(block=block) if method != "fft" else forced(cpus=3):
                    found = fastconv.convolve2d(x, kernel, "same", workers=3, **options)
                np.testing.assert_array_equal(found[0], expect[0])
                np.testing.assert_array_equal(found[1], expect[1])


def test_which_engine_takes_what():
    rng = np.random.default_rng(13)
    x, wide = holes(rng.standard_normal((100, 90)).astype("f4"), rng), rng.random((31, 31)).astype("f4")
    for kernel, values, engines in (
        (rng.random((3, 3), np.float32), x, ["direct"]),
        (rng.random((3, 3), np.float32) - np.float32(0.5), x, ["direct"]),  # of both signs
        (np.outer(wide[0], wide[1]), np.tile(x, (3, 3)), ["separable"]),
        (wide, np.tile(x, (3, 3)), ["fft"]),
        (rng.random((3, 3), np.float32), x.astype("c8"), []),
        (rng.random((3, 3)).astype("c8"), x, []),
        (rng.random((3, 3)).astype("g"), x, []),
    ):
        with observed() as events:
            fastconv.convolve2d(values, kernel, "same", nan="ignore", boundary="nearest")
        assert compiled(events) == engines


@pytest.mark.parametrize("normalize", [True, False])
def test_the_threshold_is_that_of_the_shares(normalize):
    """Shares at a threshold, up to the last bit: those returned decide what is known."""
    rng = np.random.default_rng(14)
    for dtype in ("f4", "f8", "c8"):
        for _ in range(20):
            kernel = rng.random(5).astype(np.zeros(0, dtype).real.dtype)
            x = np.ones(200, dtype)
            x[rng.random(200) < 0.5] = NAN
            options = {"nan": "ignore", "boundary": "wrap", "normalize": normalize}
            shares = fastconv.convolve1d(x, kernel, "same", return_weight=True, **options)[1]
            least = float(shares[7])
            if 0 < least < 1:
                found, again = fastconv.convolve1d(
                    x, kernel, "same", return_weight=True, min_weight=least, missing_value=-5, **options
                )
                np.testing.assert_array_equal(again, shares)
                np.testing.assert_array_equal(found == -5, shares <= least)


def test_more_axes_and_a_boundary_for_each():
    rng = np.random.default_rng(15)
    x, cube = holes(small(rng, (9, 11, 12), "f4"), rng), rng.integers(0, 5, (3, 2, 3)).astype("f4")
    for options in (
        {"boundary": "zero"},
        {"boundary": ("nearest", "wrap", "zero")},
        {"boundary": ("zero", "fill", "reflect"), "fill_value": 2},
        {"boundary": ("fill", "fill", "wrap"), "fill_value": NAN},
    ):
        axes = (0, 1, 2)
        found, shares = fastconv.convolve3d(x, cube, "same", nan="ignore", return_weight=True, **options)
        expect, known = normalized(x, cube, "same", axes=axes, nan="ignore", **options)
        np.testing.assert_allclose(shares, known, rtol=1e-5)
        np.testing.assert_allclose(found, expect, rtol=1e-5, atol=1e-5)
        pair = {**options, "boundary": options["boundary"][1:] if len(options["boundary"]) == 3 else "zero"}
        check(fastconv.convolve2d, x, cube[0] + 1, "same", axes=(1, 2), nan="ignore", **pair)
    result = fastconv.convolve2d(x, cube[0] + 1, ("valid", "full"), nan="ignore")
    assert result.shape == (9, 10, 14)
    options = {"boundary": ("zero", "fill"), "fill_value": 1, "nan": "ignore"}
    for method in ("direct", "fft"):
        check(fastconv.convolve2d, x, cube[0] + 1, "same", axes=(1, 2), method=method, **options)
    with pytest.raises(ValueError, match="method='fft' does not support this convolution"):
        fastconv.convolve2d(x.astype("c8"), cube[0] + 1, method="fft", **options)


STEPS = [
    {"start": "first"},
    {"start": 2},
    {"stride": 2},
    {"stride": 30},
    {"dilation": 3},
    {"stride": 3, "dilation": 2, "start": "last"},
]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_strides_dilations_and_starts(steps, boundary):
    """Against exact fractions: a part of the full result, of a kernel with zeros between its taps."""
    rng = np.random.default_rng(26)
    step, stride, taps = steps.get("dilation", 1), steps.get("stride", 1), rng.integers(-3, 9, 4)
    x, weights = holes(small(rng, 23, "f8"), rng), quarters(rng, 23)
    exact, wide = [Fraction(weight) for weight in weights], np.zeros(3 * step + 1, int)
    wide[::step] = taps
    start = {"first": 0, "last": len(wide) - 1, None: (len(wide) - 1) // 2}.get(steps.get("start"), 2)
    modes = {"same": np.s_[start : start + len(x) : stride], "full": np.s_[::stride]}
    if "start" in steps:
        del modes["full"]  # as long as the full result: not a part of it
    for correlates, normalize in ((False, True), (True, False)):
        options = {"nan": "ignore", "min_weight": 0.25, "normalize": normalize, **options_for(boundary)}
        spread = [int(tap) for tap in (wide[::-1] if correlates else wide)]
        found, shares = reference.normalized_convolve1d(x.tolist(), spread, "full", weights=exact, **options)
        whole = np.array([NAN if value is None else float(value) for value in found]), np.array(shares, float)
        options |= {"weights": weights, "return_weight": True, **steps}
        for mode, part in modes.items():
            result = (fastconv.correlate1d if correlates else fastconv.convolve1d)(x, taps, mode, **options)
            plan = fastconv.plan(taps, 23, float, mode, correlate=correlates, **options)
            for one, planned, expect in zip(result, pickle.loads(pickle.dumps(plan))(x), whole):
                np.testing.assert_allclose(one, expect[part], rtol=1e-14, atol=1e-14)
                np.testing.assert_array_equal(planned, one)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "u1"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_steps_along_more_axes(boundary, dtype, monkeypatch):
    """Equal every so many of the results without steps, of kernels with zeros between their taps."""
    from fastconv._planning.missing import missing_strips

    rng, options = np.random.default_rng(27), {"nan": "ignore", "return_weight": True, **options_for(boundary)}
    x, cube = small(rng, (14, 17, 12), dtype), rng.integers(1, 5, (2, 3, 2)).astype("f4")
    if dtype != "u1":
        x = holes(x, rng)
    weights = quarters(rng, (14, 1, 12))
    for elements in (missing_strips.STRIP_ELEMENTS, 50):
        monkeypatch.setattr(missing_strips, "STRIP_ELEMENTS", elements)
        for kernel, axes in ((cube, (0, 1, 2)), (cube[0], (1, 2)), (cube[0], (2, 0)), (cube[:, :1, 1], (0, 2))):
            stride, dilation = (2, 3, 1)[: len(axes)], (3, 1, 2)[: len(axes)]
            wide = np.zeros([(n - 1) * step + 1 for n, step in zip(kernel.shape, dilation)], kernel.dtype)
            wide[tuple(slice(None, None, step) for step in dilation)] = kernel
            whole = fastconv.convolve(x, wide, "same", axes=axes, weights=weights, **options)
            found = fastconv.convolve(
                x, kernel, "same", axes=axes, weights=weights, stride=stride, dilation=dilation, **options
            )
            part = tuple(slice(None, None, dict(zip(axes, stride)).get(axis, 1)) for axis in range(3))
            for one, other in zip(found, whole):
                np.testing.assert_array_equal(np.isnan(one), np.isnan(other[part]))
                np.testing.assert_allclose(one, other[part], rtol=2e-5, atol=2e-5)


def test_lags():
    rng = np.random.default_rng(28)
    x, kernel = holes(small(rng, 50, "f8"), rng), rng.integers(1, 5, 7)
    whole = fastconv.correlate1d(x, kernel, "full", nan="ignore")
    for lo, hi in ((-6, 49), (0, 10), (-3, -2), (45, 49)):
        found = fastconv.correlate1d(x, kernel, lags=(lo, hi), nan="ignore")
        np.testing.assert_array_equal(found, whole[lo + 6 : hi + 7])


@pytest.mark.parametrize("method", ["auto", "direct"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_kernel_for_each_line(boundary, method, monkeypatch):
    """Equal the results of the lines one by one; an array is broadcast to several kernels."""
    from fastconv._planning.missing import missing_strips

    monkeypatch.setattr(missing_strips, "STRIP_ELEMENTS", 100)
    rng = np.random.default_rng(29)
    x, weights = holes(small(rng, (3, 5, 40), "f8"), rng), quarters(rng, (5, 40))
    for kernel in (rng.integers(1, 6, (3, 5, 7)), -rng.integers(1, 6, (1, 5, 7)), rng.integers(-1, 6, (3, 1, 7)) + 0.5):
        for given, least, normalize in ((x, 0.3, True), (x[:1], 0, False)):
            options = {"nan": "ignore", "min_weight": least, "normalize": normalize, "missing_value": -99}
            options |= {"return_weight": True, "method": method, **options_for(boundary)}
            found = fastconv.convolve(given, kernel, "same", axes=2, weights=weights, **options)
            lines = np.broadcast_shapes(given.shape[:2], kernel.shape[:2])
            values, taps = np.broadcast_to(given, (*lines, 40)), np.broadcast_to(kernel, (*lines, 7))
            for i, j in np.ndindex(lines):
                alone = fastconv.convolve1d(values[i, j], taps[i, j], "same", weights=weights[j], **options)
                for one, other in zip(found, alone):
                    np.testing.assert_allclose(one[i, j], other, rtol=1e-13, atol=1e-13)
    planes = fastconv.correlate(x, kernel[:, :, :3], axes=(0, 2), stride=2, nan="ignore")
    assert planes.shape == (3, 5, 21)
    with pytest.raises(ValueError, match=r"kernel must have a sum other than 0.*; got 0"):
        fastconv.convolve(x[0], np.stack([[1, 2, 3]] * 4 + [[1, 0, -1]]), axes=1, nan="ignore")


def test_plans():
    rng = np.random.default_rng(16)
    kernel, weights = rng.random((3, 5)), rng.random((40, 1))
    frames = [holes(rng.standard_normal((40, 50)), rng) for _ in range(3)]
    options = {"boundary": "nearest", "nan": "ignore", "weights": weights, "min_weight": 0.1, "missing_value": -1}
    plan = fastconv.plan(kernel, (40, 50), mode="same", return_weight=True, **options)
    assert plan.method in ("direct", "separable")
    assert "known samples" in repr(plan)
    assert (plan.out_shape, plan.dtype) == ((40, 50), np.dtype(float))
    again = pickle.loads(pickle.dumps(plan))
    for frame in frames:
        expect = fastconv.convolve2d(frame, kernel, "same", return_weight=True, **options)
        for made in (plan, again):
            found = made(frame)
            np.testing.assert_array_equal(found[0], expect[0])
            np.testing.assert_array_equal(found[1], expect[1])
    weights[...] = 0  # they are copied
    np.testing.assert_array_equal(plan(frames[2])[0], expect[0])
    with pytest.raises(ValueError, match="x must have shape"):
        plan(frames[0][1:])
    ignoring = fastconv.plan([1.0, 2.0], 5, mode="same", correlate=True, nan="ignore")
    masked = np.ma.MaskedArray([1.0, 2, 3, 4, 5], [0, 0, 1, 1, 0])
    for x in (masked, masked.filled(NAN)):
        expect = fastconv.correlate1d(x, [1.0, 2.0], "same", nan="ignore")
        found = ignoring(x)
        assert type(found) is type(expect)
        np.testing.assert_array_equal(np.ma.filled(found, 9), np.ma.filled(expect, 9))
        out = np.zeros(5)
        assert ignoring(x, out=out) is out
    with pytest.raises(ValueError, match="min_weight is for nan='ignore'"):
        fastconv.plan([1.0], 5, min_weight=0.5)
    whole = fastconv.plan([1, 2], 5, np.int16, nan="ignore")
    assert whole.dtype == np.float64
    assert whole(np.arange(5, dtype=np.int16)).tolist() == [0, 1, 4, 7, 10, 12]


@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_no_temporary_array_is_as_large_as_the_input(method):
    rng = np.random.default_rng(17)
    x = rng.random((4000, 1500), np.float32)
    x[::7, ::5] = NAN
    kernel = np.outer(rng.random(5), rng.random(5)).astype("f4")
    weights, out = rng.random((4000, 1500), np.float32), np.empty_like(x)
    options = {"nan": "ignore", "method": method, "boundary": "reflect", "out": out, "weights": weights}
    fastconv.convolve2d(x, kernel, "same", **options)
    tracemalloc.start()
    try:
        fastconv.convolve2d(x, kernel, "same", **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 2, peak


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
def test_no_byte_beside_the_arrays_is_touched():
    """Samples, weights and results at inaccessible pages, in several layouts, of sizes around those of tiles."""
    rng, order = np.random.default_rng(18), random.Random(18)
    regions = [guarded_arrays.Region(1 << 21) for _ in range(3)]
    for number in range(150):
        dtype = np.dtype(rng.choice(["f4", "f8", "u1", "i4", ">f4"]))
        shape = tuple(map(int, rng.integers(1, 90, 2))) + ((int(rng.integers(1, 4)),) if number % 3 == 0 else ())
        extents = tuple(map(int, rng.integers(1, 7, 2)))
        outer = np.outer(*(rng.integers(1, 4, extent) for extent in extents))
        kernel = (outer if number % 2 else outer - 2 * (rng.random(extents) < 0.3)).astype("f4" if number % 5 else "f8")
        if abs(kernel.sum()) < 1:
            continue
        x, weights = small(rng, shape, dtype), quarters(rng, shape).astype(rng.choice(["?", "f4", "f8"]))
        if dtype.kind == "f":
            x = holes(x, rng)
        boundary = BOUNDARIES[number % 6]
        method = ("direct", "separable", "fft")[rng.integers(3)] if number % 2 else "direct"
        options = {"axes": (0, 1), "nan": "ignore", "method": method, "normalize": bool(number % 7), "min_weight": 0.1}
        options |= options_for(boundary)
        expect, shares = fastconv.convolve2d(x, kernel, "same", weights=weights, return_weight=True, **options)
        upper = bool(number % 2)
        kinds = ("contiguous", "permuted", "reversed", "padded", "odd")
        strides = [guarded_arrays.strides_of(order, shape, a.itemsize, order.choice(kinds)) for a in (x, weights)]
        out_strides = guarded_arrays.strides_of(order, expect.shape, expect.itemsize, order.choice(kinds))
        placed, around = regions[0].filled(x, strides[0], upper)
        placed_weights, _ = regions[1].filled(weights, strides[1], upper)
        out = regions[2].empty(expect.shape, expect.dtype, out_strides, upper)
        before = around.copy()
        found = fastconv.convolve2d(
            placed, kernel, "same", weights=placed_weights, out=out, return_weight=True, **options
        )  # fmt: skip
        np.testing.assert_array_equal(out, expect)
        np.testing.assert_array_equal(found[1], shares)
        np.testing.assert_array_equal(around, before)
        assert regions[2].untouched(out)


def compare(found, expect, bits):
    """Compare results and shares with those of direct sums: what is unknown must be equal."""
    (result, shares), (values, known) = found, expect
    eps = np.finfo(result.dtype).eps
    np.testing.assert_array_equal(shares == 0, known == 0)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(values))
    np.testing.assert_allclose(shares, known, rtol=2.0**bits * eps, atol=0)
    here = ~np.isnan(values)
    size = np.abs(values[here]).max(initial=0)
    np.testing.assert_allclose(result[here], values[here], rtol=2.0**bits * eps, atol=2.0**bits * eps * size)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_transforms_of_pairs(dtype, boundary):
    """Holes larger than the kernel, samples far above and below weights, zeros, tiles without a sample."""
    rng = np.random.default_rng(21)
    flat, peaked = rng.uniform(0.1, 1, (17, 23)), kernels.gaussian(sigma=2.0)
    for size, kernel, taps in itertools.product((1.0, 2.0**60, 2.0**-60), (flat, peaked), (1, -1)):
        x = holes(rng.uniform(-1, 1, (210, 190)), rng, 0.05)
        x[30:90, 20:70] = NAN  # some tiles have nothing else
        x[100:150] = 0
        x[:, 150:160] *= 1e-3
        x, kernel = (size * x).astype(dtype), (taps * kernel).astype(dtype)
        weights = (rng.random(x.shape) * (rng.random(x.shape) < 0.8)).astype(dtype)
        for mask, tiles in ((None, 2), (weights, 3), (weights > 0.1, None)):
            options = {"boundary": boundary, "fill_value": size if boundary == "fill" else 0, "nan": "ignore"}
            options |= {"return_weight": True, "weights": mask}
            expect = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
            with forced(tiles=tiles), observed() as events:
                found = fastconv.convolve2d(x, kernel, "same", method="fft", **options)
            assert [event.name for event in events if event.name in ("fft", "direct")] == ["fft"]
            compare(found, expect, 6)
            inside = np.s_[115:135, 15:170]
            known = expect[1][inside] > 0
            assert (found[0][inside][known] == 0).all()  # nothing but zeros is under the kernel


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", [2.0**-80, 1e-6, 1, 1e6, 2.0**80])
def test_pairs_of_samples_far_from_one_need_no_direct_sums(dtype, size):
    rng = np.random.default_rng(25)
    x, kernel = holes(size * rng.uniform(-1, 1, (150, 160)), rng, 0.05).astype(dtype), rng.uniform(0.1, 1, (21, 21))
    for values, weights in ((x, None), (x, np.full(x.shape, 2.0**-20, dtype)), (x.astype("f8"), None)):
        with observed() as events:
            fastconv.convolve2d(values, kernel.astype(dtype), "same", method="fft", nan="ignore", weights=weights)
        assert [event.name for event in events if event.name in ("fft", "vague")] == ["fft"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_transforms_of_lines_of_pairs(dtype):
    rng = np.random.default_rng(22)
    x, kernel = holes(rng.standard_normal(70_000), rng).astype(dtype), rng.uniform(0.1, 1, 501).astype(dtype)
    x[20_000:24_000] = NAN
    options = {"nan": "ignore", "return_weight": True}
    expect = fastconv.convolve1d(x, kernel, "same", method="direct", **options)
    with observed() as events:
        found = fastconv.convolve1d(x, kernel, "same", method="fft", **options)
    assert [event.name for event in events if event.name == "fft"] == ["fft"]
    assert np.isnan(found[0]).sum() == 4000 - 500
    compare(found, expect, 8)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_transforms_of_lines_of_pairs_that_do_not_mix(dtype, axis):
    """Lines far above and below others, without a sample, of zeros, with holes; none shows in another."""
    rng = np.random.default_rng(32)
    for sign in (0, 1):
        x = holes(rng.uniform(-1 + sign, 1, (37, 1200)), rng)
        x *= 10.0 ** rng.integers(-6, 7, (37, 1))
        x[3], x[7], x[:, 400:700] = NAN, 0, NAN
        x, kernel = x.astype(dtype), rng.uniform(0.1, 1, 121).astype(dtype)
        x, weights = (x, rng.random(x.shape)) if axis else (x.T, rng.random(x.T.shape))
        for mask in (None, weights):
            options = {"axis": axis, "nan": "ignore", "weights": mask, "return_weight": True, "boundary": "reflect"}
            expect = fastconv.convolve1d(x, kernel, "same", method="direct", **options)
            for tiles in (8, None):
                with forced(tiles=tiles), observed() as events:
                    found = fastconv.convolve1d(x, kernel, "same", method="fft", **options)
                assert [event.name for event in events if event.name in ("fft", "direct")] == ["fft"]
                np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(expect[0]))
                for k in range(37):
                    line = (slice(None), k) if axis == 0 else k
                    compare(*(tuple(part[line] for part in both) for both in (found, expect)), LOST_BITS[x.itemsize])


def test_transforms_of_pairs_with_infinities_and_small_divisors():
    """What a spectrum is not precise enough for is computed directly, to the bit."""
    rng = np.random.default_rng(23)
    x = holes(rng.uniform(0, 1, (200, 180)).astype("f4"), rng, 0.02)
    x[60, 70], x[150, 3] = np.inf, -np.inf
    kernel = kernels.gaussian(sigma=3.0, dtype="f4")
    options = {"nan": "ignore", "boundary": "nearest", "return_weight": True}
    expect = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
    with forced(tiles=3):
        found = fastconv.convolve2d(x, kernel, "same", method="fft", **options)
    for one, other in zip(found, expect):
        np.testing.assert_array_equal(np.isfinite(one), np.isfinite(other))
        np.testing.assert_array_equal(one[~np.isfinite(other)], other[~np.isfinite(other)])
    x[np.isinf(x)] = 1
    x[90:, :100] = NAN  # far from what is known only the least taps reach it
    expect = fastconv.convolve2d(x, kernel, "same", method="direct", **options)
    with observed() as events:
        found = fastconv.convolve2d(x, kernel, "same", method="fft", **options)
    assert [event.marked > 0 for event in events if event.name == "vague"] == [True]
    small = (expect[1] > 0) & (expect[1] < 1e-4)
    assert small.sum() > 50
    for one, other in zip(found, expect):
        np.testing.assert_array_equal(one[small], other[small])
    compare(found, expect, 13)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">f4", ">f8", "?"])
def test_transforms_of_pairs_of_other_types(dtype):
    rng = np.random.default_rng(24)
    x, kernel = small(rng, (90, 120, 2), dtype), rng.uniform(0.1, 1, (11, 13)).astype("f4")
    weights = rng.random((90, 120, 1)) * (rng.random((90, 120, 1)) < 0.7)
    for picture in (x, x[::-1, ::2], np.moveaxis(x, 2, 0)):
        axes = (1, 2) if picture.shape[0] == 2 else (0, 1)
        mask = np.broadcast_to(
            np.moveaxis(weights, 2, 0) if axes == (1, 2) else weights[::-1, : picture.shape[1]], picture.shape
        )
        options = {"axes": axes, "weights": mask, "nan": "ignore", "boundary": "reflect", "return_weight": True}
        expect = fastconv.correlate2d(picture, kernel, "full", method="direct", **options)
        compare(fastconv.correlate2d(picture, kernel, "full", method="fft", **options), expect, 6)


@pytest.mark.parametrize("function", [fastconv.convolve2d, image.filter])
def test_kernels_are_prepared_once_and_only_where_they_are_used(function):
    rng = np.random.default_rng(30)
    x, kernels_of = rng.random((300, 310)).astype("f4"), [rng.random((23, 23), np.float32) for _ in range(3)]
    options = {"mode": "same", "boundary": "nearest", "method": "fft", "nan": "ignore"}
    with forced():
        for frame, whole in ((holes(x, rng), False), (x, True)):
            for expect in (3, 0):
                with observed() as events:
                    for kernel in kernels_of:
                        function(frame, kernel, **options)
                found = [event.problem.pairs is None for event in events if event.name == "prepare"]
                assert found == [whole] * expect
        with observed() as events:
            border = {**options, "method": "separable", "boundary": "zero"}
            for _ in range(3):
                function(x, np.outer(kernels_of[0][0], kernels_of[0][1]), **border)
        prepared = [event for event in events if event.name == "prepare" and event.problem.pairs is not None]
        assert len(prepared) == 4  # of the four sides


def test_a_large_kernel_is_prepared_once_by_a_plan():
    rng = np.random.default_rng(31)
    x, kernel = rng.random((300, 310)), rng.random((140, 141))
    plan = fastconv.plan(kernel, x.shape, mode="same", boundary="wrap", method="fft", nan="ignore")
    with observed() as events:
        first, second = plan(x), plan(x)
    assert sum(event.name == "prepare" for event in events) == 1
    np.testing.assert_array_equal(first, second)


def test_kernels_whose_size_the_type_cannot_hold_are_refused():
    for kernel in ([3e38, 3e38], [2e38, -2e38]):
        with pytest.raises(ValueError, match=r"kernel must be finite, .* a sum of absolute taps that the type of the"):
            fastconv.plan(np.array(kernel, "f4"), 10, nan="ignore", normalize=kernel[1] > 0)
    assert np.isfinite(fastconv.convolve1d([1.0, np.nan, 2], np.array([3e38, 3e38], "f4"), nan="ignore")[:1]).all()


def test_kernels_of_one_sign_always_have_a_sum():
    x = np.ones((40, 40), "f4")
    x[20, 20] = np.nan
    result = fastconv.convolve2d(x, np.ones((32, 32), "f2"), "same", nan="ignore")
    np.testing.assert_allclose(result, 1024, rtol=1e-5)


def test_masks_of_structures_are_refused_as_structures():
    with pytest.raises(TypeError, match=r"^x must hold numbers; got dtype"):
        fastconv.convolve1d(np.ma.array([(1, 2)], dtype=[("a", int), ("b", int)]), [1])


def test_an_infinite_part_leaves_the_other_part_of_a_complex_sample_alone():
    x, kernel = np.array([1 + 1j, 2 + 1j, complex(np.inf, 1), 3 + 1j, 1j, 1, 2j, 3]), np.array([1.0, 2, 1])
    with_nan, options = x.copy(), {"mode": "same", "boundary": "nearest"}
    with_nan[-1] = np.nan
    for given in (
        fastconv.convolve1d(with_nan, kernel, nan="ignore", **options),
        fastconv.convolve1d(x, kernel, weights=np.ones(8), **options),
        fastconv.convolve1d(x, kernel, weights=np.ones(8), normalize=False, **options),
        fastconv.convolve(x[np.newaxis], kernel[np.newaxis], axes=(1,), weights=1.0, **options)[0],
    ):
        np.testing.assert_array_equal(given[1:4], [complex(np.inf, 4)] * 3)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_long_steps_along_some_axes(boundary):
    rng = np.random.default_rng(31)
    x, weights = holes(small(rng, (2, 23, 29), "f8"), rng), quarters(rng, (23, 29))
    fill = 3 if boundary == "fill" else 0
    for shape, stride, dilation in (
        ((3, 2), 9, 1),
        ((2, 3), (1, 8), (1, 2)),
        ((2, 2), (2, 1), (40, 31)),
        ((1, 3), 7, 30),
    ):
        kernel = rng.integers(1, 4, shape).astype(float)
        options = {"axes": (1, 2), "boundary": boundary, "fill_value": fill, "nan": "ignore", "weights": weights}
        options |= {"dilation": dilation, "return_weight": True}
        whole = fastconv.convolve2d(x, kernel, "full", **options)
        found = fastconv.convolve2d(x, kernel, "full", stride=stride, **options)
        rows, columns = stride if isinstance(stride, tuple) else (stride, stride)
        for one, other in zip(found, whole):
            np.testing.assert_allclose(one, other[:, ::rows, ::columns], rtol=1e-12)


def test_what_a_stride_skips_is_not_read():
    x = np.broadcast_to(np.float32(1), (1 << 36,))
    assert fastconv.convolve1d(x, [1, 2, 3], "valid", stride=1 << 34, weights=0.5).tolist() == [6] * 4
    few, step = np.arange(10.0), 1 << 36
    assert fastconv.convolve1d(few, [1, 1], "full", stride=step, dilation=step, nan="ignore").tolist() == [0, 0]
    few[3] = NAN
    options = {"stride": 10**12, "dilation": 10**12, "boundary": "wrap", "nan": "ignore"}
    assert fastconv.convolve1d(few, [1, 1], "full", **options).tolist() == [0, 0]
    image = np.ones((3000, 2000), "f4")
    tracemalloc.start()
    try:
        found = fastconv.convolve2d(image, np.ones((3, 3), "f4"), "valid", stride=50, weights=0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found == 9).all()
    assert peak < image.nbytes // 4
