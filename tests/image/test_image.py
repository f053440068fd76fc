"""`fastconv.image`: every mode and type against the reference in exact arithmetic."""

import functools

import numpy as np
import pytest
from PIL import Image

from fastconv import image, kernels, reference
from fastconv.image._pillow_modes import MODES as PICTURE_MODES
from tests.oracle import BOUNDARIES, LAYOUTS, check_rounded, filtered, filtered_with_alpha

# Quarters: every product and sum of 8-bit pixels is exact in float32, and many results end in one half.
QUARTERS = np.array([[1, 2, -1], [0, 3, 1]]) / 4

WITH_ALPHA = ("LA", "RGBA")
CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3}
STORED = {"1": "?", "I;16": "<u2", "I;16B": ">u2", "I": "i4", "F": "f4"}
DTYPES = ("u1", "u2", "i2", "i4", "f4", "f8")


def random_array(dtype, shape, seed=0):
    """Return random values of the type; for floats, multiples of one eighth."""
    dtype, rng = np.dtype(dtype), np.random.default_rng(seed)
    if dtype.kind == "f":
        return (rng.integers(-1000, 1000, shape) / 8).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def random_picture(mode, height=6, width=7, seed=0):
    shape = (height, width, CHANNELS[mode]) if mode in CHANNELS else (height, width)
    pixels = random_array(STORED.get(mode, "u1"), shape, seed)
    if mode == "1":
        return Image.fromarray(pixels)
    return Image.frombytes(mode, (width, height), pixels.tobytes())


def pixels_of(picture):
    """Return the pixels of a picture as they are filtered: white is 255."""
    pixels = np.asarray(picture)
    return pixels * np.uint8(255) if pixels.dtype == bool else pixels


# ------------------------------------------------------------------------------------------------------- every mode

FINISHES = [(None, 0), (None, 128), (2, 0.5), (-4, 100), (3, 0), (0.25, -50)]


@pytest.mark.parametrize(("scale", "offset"), FINISHES)
@pytest.mark.parametrize("mode", ["same", "full", "valid"])
@pytest.mark.parametrize("picture_mode", PICTURE_MODES)
def test_filter_equals_the_reference_for_every_picture_mode(picture_mode, mode, scale, offset):
    picture = random_picture(picture_mode)
    before = picture.copy()
    result = image.filter(picture, QUARTERS, mode=mode, scale=scale, offset=offset, alpha="keep")

    assert type(result) is Image.Image
    assert result.mode == picture_mode
    assert result.size == {"same": (7, 6), "full": (9, 7), "valid": (5, 5)}[mode]
    assert picture == before
    colours = slice(-1) if picture_mode in WITH_ALPHA else slice(None)
    planes, results = np.atleast_3d(pixels_of(picture))[..., colours], np.atleast_3d(pixels_of(result))[..., colours]
    expected = filtered(planes, QUARTERS, mode, scale=scale, offset=offset)
    if picture_mode == "1":
        expected = np.where(expected >= 128, 255, 0)
    if picture_mode == "F":
        np.testing.assert_allclose(results, expected, rtol=2e-7 if scale == 3 else 0)
    else:
        np.testing.assert_array_equal(results, expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("picture_mode", ["1", "L", "RGB", "I;16", "I;16B", "I", "F"])
def test_filter_applies_each_boundary(picture_mode, boundary):
    picture = random_picture(picture_mode)
    fill_value = 250 if boundary == "fill" else 0
    expected = filtered(pixels_of(picture), QUARTERS, boundary=boundary, fill_value=fill_value)
    result = pixels_of(image.filter(picture, QUARTERS, boundary=boundary, fill_value=fill_value))
    np.testing.assert_array_equal(result, np.where(expected >= 128, 255, 0) if picture_mode == "1" else expected)


def test_filter_rounds_half_to_even_and_saturates():
    picture = Image.fromarray(np.array([[1, 3, 5, 255]], np.uint8))
    assert np.asarray(image.filter(picture, [[0.5]])).tolist() == [[0, 2, 2, 128]]
    assert np.asarray(image.filter(picture, [[1]], scale=2)).tolist() == [[0, 2, 2, 128]]
    assert np.asarray(image.filter(picture, [[1]], offset=0.5)).tolist() == [[2, 4, 6, 255]]
    assert np.asarray(image.filter(picture, [[2]])).tolist() == [[2, 6, 10, 255]]
    assert np.asarray(image.filter(picture, [[-1]])).tolist() == [[0, 0, 0, 0]]
    assert np.asarray(image.filter(picture, [[-1]], offset=6)).tolist() == [[5, 3, 1, 0]]


def test_filter_flips_the_kernel_unless_correlate_is_true():
    step = np.repeat(np.array([[0, 0, 9, 9]], np.uint8), 3, axis=0)
    for picture in (step, Image.fromarray(step)):
        assert np.asarray(image.filter(picture, kernels.sobel_x())).tolist() == [[0, 36, 36, 0]] * 3
        assert np.asarray(image.filter(picture, kernels.sobel_x(), correlate=True)).tolist() == [[0] * 4] * 3
        turned = kernels.sobel_x()[::-1, ::-1]
        assert np.asarray(image.filter(picture, turned, correlate=True)).tolist() == [[0, 36, 36, 0]] * 3


@pytest.mark.parametrize("extents", [(1, 1), (2, 3), (3, 4), (2, 2), (5, 1)])
def test_correlation_equals_convolution_with_the_rotated_kernel(extents):
    taps = np.random.default_rng(1).integers(-2, 3, extents)
    for array in (random_array("u1", (9, 10)), random_array("u2", (9, 10, 3)), random_array("f4", (9, 10))):
        for mode in ("same", "full", "valid"):
            for boundary in ("reflect", "zero"):
                options = {"mode": mode, "boundary": boundary}
                result = image.filter(array, taps, correlate=True, **options)
                np.testing.assert_array_equal(result, image.filter(array, taps[::-1, ::-1], **options))
        np.testing.assert_array_equal(image.filter(array, taps, correlate=True), filtered(array, taps, correlate=True))


def test_filter_of_32_bit_integers_is_exact():
    pixels = np.array([[2**31 - 1, -(2**31), 2**24 + 1]], np.int32)
    negated = [[-(2**31) + 1, 2**31 - 1, -16777217]]
    for picture in (pixels, Image.fromarray(pixels)):
        assert np.asarray(image.filter(picture, [[1]])).tolist() == pixels.tolist()
        assert np.asarray(image.filter(picture, [[-1]])).tolist() == negated


def test_filter_of_floats_does_not_saturate():
    pixels = np.array([[np.inf, np.nan, -(2.0**127), 3e38]], np.float32)
    for picture in (pixels, Image.fromarray(pixels)):
        np.testing.assert_array_equal(np.asarray(image.filter(picture, [[1]])), pixels)
        result = np.asarray(image.filter(picture, [[1]], offset=2.0**126))
        np.testing.assert_array_equal(result, [[np.inf, np.nan, -(2.0**126), np.inf]])
        result = np.asarray(image.filter(picture, [[1]], scale=3))
        np.testing.assert_array_equal(result, pixels / np.float32(3))
    options = {"mode": "full", "boundary": "fill", "fill_value": np.inf}
    assert np.asarray(image.filter(Image.new("F", (1, 1)), [[1, 1, 1]], **options)).tolist() == [[np.inf] * 3]


def test_filter_keeps_info_except_transparency():
    for mode in ("1", "L", "RGB"):
        picture = Image.new(mode, (4, 4))
        picture.info = {"dpi": (300, 300), "transparency": 0}
        result = image.filter(picture, kernels.box())
        assert result.info == {"dpi": (300, 300)}
        result.info["dpi"] = None
        assert picture.info == {"dpi": (300, 300), "transparency": 0}


def test_filtered_picture_is_independent_of_its_input():
    picture = random_picture("RGB")
    result = image.filter(picture, [[1]])
    picture.paste(0, (0, 0, 7, 6))
    assert result == random_picture("RGB")
    result.putpixel((0, 0), (1, 2, 3))  # and can be written to
    assert result.getpixel((0, 0)) == (1, 2, 3)


def test_filter_accepts_an_opened_file(tmp_path):
    random_picture("RGB").save(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as opened:
        result = image.filter(opened, kernels.box())
    assert type(result) is Image.Image
    assert result == image.filter(random_picture("RGB"), kernels.box())


# ------------------------------------------------------------------------------------------------------------ alpha


@pytest.mark.parametrize("mode", WITH_ALPHA)
@pytest.mark.parametrize("correlate", [False, True])
@pytest.mark.parametrize("extents", [(3, 5), (2, 4)])
def test_kept_alpha_is_cropped_or_extended(mode, extents, correlate):
    picture = random_picture(mode)
    alpha = np.asarray(picture)[..., -1]
    rows, columns = extents

    def result(mode, **options):
        kernel = np.full(extents, 7.0)
        options |= {"mode": mode, "correlate": correlate, "alpha": "keep"}
        filtered = image.filter(picture, kernel, offset=9, scale=3, **options)
        return np.asarray(filtered)[..., -1]

    np.testing.assert_array_equal(result("same"), alpha)
    top, left = (rows - 1) // 2, (columns - 1) // 2
    bottom, right = rows - 1 - top, columns - 1 - left
    np.testing.assert_array_equal(result("valid"), alpha[bottom : 6 - top, right : 7 - left])
    around = ((top, bottom), (left, right))
    np.testing.assert_array_equal(result("full"), np.pad(alpha, around, "symmetric"))
    np.testing.assert_array_equal(result("full", boundary="zero"), np.pad(alpha, around))
    np.testing.assert_array_equal(result("full", boundary="wrap"), np.pad(alpha, around, "wrap"))
    np.testing.assert_array_equal(result("full", boundary="mirror"), np.pad(alpha, around, "reflect"))
    np.testing.assert_array_equal(result("full", boundary="nearest"), np.pad(alpha, around, "edge"))
    filled = np.pad(alpha, around, constant_values=200)
    np.testing.assert_array_equal(result("full", boundary="fill", fill_value=200), filled)


@pytest.mark.parametrize("boundary", [name for name in BOUNDARIES if name != "fill"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3)])
def test_kept_alpha_is_extended_far_beyond_a_small_picture(boundary, size):
    picture = random_picture("LA", *size)
    delta = [[0] * 11 for _ in range(14)]
    delta[6][5] = 1  # in the middle: the grey channel, too, is only extended
    result = np.asarray(image.filter(picture, delta, mode="full", boundary=boundary))
    planes = np.moveaxis(np.asarray(picture), -1, 0).tolist()
    expected = [reference.convolve2d(plane, delta, "full", boundary) for plane in planes]
    np.testing.assert_array_equal(result, np.stack(expected, axis=-1))


@pytest.mark.parametrize("mode", WITH_ALPHA)
@pytest.mark.parametrize("kernel", [kernels.box((3, 3)), kernels.gaussian(1.5), np.outer([1, 3, 1], [1, 2]) / 15])
@pytest.mark.parametrize("offset", [0, 20])
def test_filtered_alpha_weights_the_colours(mode, kernel, offset):
    picture = random_picture(mode, 40, 50)
    pixels = np.array(picture)
    pixels[5:30, 10:30, -1] = 0
    pixels[30:, 20:, -1] = 255
    pixels[35, :10, -1] = 1
    picture = Image.frombytes(mode, (50, 40), pixels.tobytes())
    result = np.asarray(image.filter(picture, kernel, alpha="filter", offset=offset))
    expected = filtered_with_alpha(pixels, kernel, offset)
    assert result.shape == pixels.shape
    check_rounded(result, expected, 1e-3)
    # Where the whole footprint is transparent, the colour is 0.
    transparent = expected[..., -1] == 0
    assert transparent.sum() > 50
    assert not result[transparent].any()
    # Where the whole footprint is opaque, the result is that without alpha.
    opaque = expected[..., -1] >= 255 - 1e-3
    usual = np.asarray(image.filter(picture, kernel, offset=offset, alpha="keep"))
    assert opaque.sum() > 50
    assert np.all(np.abs(result[opaque].astype(int) - usual[opaque]) <= 1)


def test_filtered_alpha_prevents_bleeding_of_transparent_pixels():
    pixels = np.zeros((1, 8, 4), np.uint8)
    pixels[:, :4] = (0, 255, 0, 0)  # an invisible green
    pixels[:, 4:] = (200, 0, 0, 255)
    picture = Image.frombytes("RGBA", (8, 1), pixels.tobytes())
    kept = np.asarray(image.filter(picture, kernels.box((1, 3)), alpha="keep"))
    assert kept[0, 4].tolist() == [133, 85, 0, 255]
    filtered = np.asarray(image.filter(picture, kernels.box((1, 3)), alpha="filter"))
    np.testing.assert_array_equal(filtered, np.asarray(image.filter(picture, kernels.box((1, 3)))))
    assert filtered[0, :3].tolist() == [[0, 0, 0, 0]] * 3
    assert filtered[0, 3:].tolist() == [[200, 0, 0, 85], [200, 0, 0, 170]] + [[200, 0, 0, 255]] * 3


def test_filtered_alpha_in_each_mode_and_with_transparent_boundaries():
    picture = Image.new("RGBA", (5, 4), (10, 20, 30, 90))
    for mode, size in (("same", (5, 4)), ("full", (7, 6)), ("valid", (3, 2))):
        result = np.asarray(image.filter(picture, kernels.box(), mode=mode, alpha="filter"))
        np.testing.assert_array_equal(result, np.tile(np.uint8([10, 20, 30, 90]), (size[1], size[0], 1)))
    # The outside is transparent: colours keep their brightness and become more transparent.
    result = np.asarray(image.filter(picture, kernels.box(), boundary="zero", alpha="filter"))
    assert result[0, 0].tolist() == [10, 20, 30, 40]
    assert result[0, 2].tolist() == [10, 20, 30, 60]
    options = {"boundary": "fill", "fill_value": 255, "alpha": "filter"}
    white = np.asarray(image.filter(Image.new("LA", (1, 1), (0, 0)), kernels.box(), **options))
    assert white.tolist() == [[[255, 227]]]  # eight ninths of 255, rounded


@pytest.mark.parametrize("mode", [mode for mode in PICTURE_MODES if mode not in WITH_ALPHA])
def test_alpha_option_has_no_effect_without_alpha(mode):
    picture = random_picture(mode)
    assert image.filter(picture, QUARTERS, alpha="filter") == image.filter(picture, QUARTERS)


# ----------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(("scale", "offset"), FINISHES)
@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (5, 6, 3), (4, 5, 6)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_filter_equals_the_reference_for_arrays(dtype, shape, scale, offset):
    array = random_array(dtype, shape)
    before = array.copy()
    result = image.filter(array, QUARTERS, scale=scale, offset=offset)
    expected = filtered(array, QUARTERS, scale=scale, offset=offset)
    assert type(result) is np.ndarray
    assert (result.dtype, result.shape) == (array.dtype, shape)
    eps = {"f4": 2e-7, "f8": 5e-16}.get(dtype, 0) if scale == 3 else 0
    np.testing.assert_allclose(result, expected, rtol=eps)
    np.testing.assert_array_equal(array, before)
    assert not np.shares_memory(result, array)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_filter_accepts_arrays_of_every_layout(dtype, layout):
    for shape in ((9, 11), (7, 8, 3)):
        array = random_array(dtype, shape)
        given = LAYOUTS[layout](array)
        result = image.filter(given, QUARTERS, offset=3)
        assert result.dtype == given.dtype
        np.testing.assert_array_equal(result, filtered(array, QUARTERS, offset=3))
        np.testing.assert_array_equal(given, array)


def test_filter_converts_sequences_to_arrays():
    assert image.filter([[1.0, 2.5]], [[2]]).tolist() == [[2.0, 5.0]]


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (2, 0), (-1, -3), (3, 1)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f8"])
def test_filter_convolves_along_any_axes(dtype, axes):
    array = random_array(dtype, (4, 5, 3, 6))
    result = image.filter(array, QUARTERS, axes=axes, mode="full")
    expected = filtered(np.moveaxis(array, axes, (0, 1)), QUARTERS, "full")
    np.testing.assert_array_equal(np.moveaxis(result, axes, (0, 1)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_filter_writes_to_out_of_any_layout(dtype):
    array = random_array(dtype, (20, 30, 3))
    usual = image.filter(array, QUARTERS)
    for layout in ("contiguous", "fortran", "strided", "reversed", "crop", "unaligned"):
        out = LAYOUTS[layout](np.zeros_like(array))
        assert image.filter(array, QUARTERS, out=out) is out
        np.testing.assert_array_equal(out, usual)
    full = np.zeros((21, 32, 3), dtype)
    np.testing.assert_array_equal(image.filter(array, QUARTERS, mode="full", out=full)[:-1, 1:-1][1:-1], usual[1:-1])


@pytest.mark.parametrize("kernel", [QUARTERS, kernels.gaussian(2), kernels.disk(2)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_may_be_or_overlap_the_input(dtype, kernel):
    array = random_array(dtype, (60, 50))
    usual = image.filter(array, kernel)
    place = array.copy()
    assert image.filter(place, kernel, out=place) is place
    np.testing.assert_array_equal(place, usual)
    for view in (lambda a: a[::-1], lambda a: a[:, ::-1]):
        place = array.copy()
        image.filter(place, kernel, out=view(place))
        np.testing.assert_array_equal(view(place), usual)
    for down, right in ((1, 0), (0, 1), (3, 2)):
        larger = np.zeros((64, 54), dtype)
        larger[:60, :50] = array
        image.filter(larger[:60, :50], kernel, out=larger[down : 60 + down, right : 50 + right])
        np.testing.assert_array_equal(larger[down : 60 + down, right : 50 + right], usual)


@pytest.mark.parametrize("wanted", ["float32", np.float64, np.dtype("f4"), float])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_float_results_are_signed_and_neither_rounded_nor_saturated(dtype, wanted):
    array = random_array(dtype, (7, 8, 2)) if dtype != "i4" else random_array("i2", (7, 8, 2)).astype("i4")
    result = image.filter(array, QUARTERS, scale=-0.25, offset=0.5, dtype=wanted)
    expected = filtered(array.astype("f8"), QUARTERS, scale=-0.25, offset=0.5)
    assert result.dtype == np.dtype(wanted)
    assert result.min() < -500
    np.testing.assert_array_equal(result, expected.astype(wanted))


@pytest.mark.parametrize("dtype", ["u1", ">u2"])
def test_float_results_of_8_bit_and_byte_swapped_pixels(dtype):
    array = random_array(dtype, (7, 8))
    result = image.filter(array, QUARTERS, scale=-0.25, offset=0.5, dtype="float32")
    assert result.dtype == np.float32
    assert result.min() < -500
    np.testing.assert_array_equal(result, filtered(array.astype("f8"), QUARTERS, scale=-0.25, offset=0.5))
    fine = image.filter(array, kernels.gaussian(1), dtype="float64")
    assert fine.dtype == np.float64
    np.testing.assert_allclose(fine, filtered(array.astype("f8"), kernels.gaussian(1)), rtol=1e-14)


@pytest.mark.parametrize("mode", PICTURE_MODES)
def test_float_results_of_pictures_are_arrays(mode):
    picture = random_picture(mode)
    result = image.filter(picture, [[1, -1]], dtype="float32", boundary="nearest")
    pixels = np.atleast_3d(pixels_of(picture).astype(float))
    expected = np.diff(pixels, axis=1, prepend=pixels[:, :1])
    if mode in WITH_ALPHA:
        expected[..., -1] = pixels[..., -1]
    assert type(result) is np.ndarray
    assert result.shape == np.asarray(picture).shape
    np.testing.assert_array_equal(np.atleast_3d(result), expected.astype("f4"))


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("kernel", [QUARTERS, kernels.gaussian(2), kernels.disk(3), np.ones((41, 41)) / 1681])
def test_results_do_not_depend_on_the_number_of_workers(kernel, workers):
    for array in (random_array("u1", (700, 500, 3)), random_array("u2", (600, 700))):
        usual = image.filter(array, kernel)
        np.testing.assert_array_equal(image.filter(array, kernel, workers=workers), usual)
    picture = random_picture("RGBA", 500, 600)
    usual = image.filter(picture, kernel, alpha="filter")
    assert image.filter(picture, kernel, alpha="filter", workers=workers) == usual


def test_filter_accepts_kernels_of_every_real_type():
    array = random_array("u1", (5, 6))
    for dtype in ("?", "i1", "u8", "f2", "f4", "f8", "g", ">f4"):
        np.testing.assert_array_equal(
            image.filter(array, np.array([[1, 0, 1]], dtype)), filtered(array, np.array([[1, 0, 1]]))
        )
    taps = QUARTERS.copy()
    taps.flags.writeable = False
    np.testing.assert_array_equal(image.filter(array, taps.T[::-1]), filtered(array, QUARTERS.T[::-1]))


# ------------------------------------------------------------------------------------------------ invalid arguments


@pytest.mark.parametrize("mode", ["P", "PA", "LAB", "HSV", "RGBX", "RGBa", "La"])
def test_unsupported_modes_raise(mode):
    names = "1, L, LA, RGB, RGBA, CMYK, YCbCr, I;16, I;16B, I, F"
    functions = [
        lambda picture: image.filter(picture, kernels.box()),
        lambda picture: image.gaussian_blur(picture, 1),
        image.sobel_magnitude,
        image.sobel_direction,
        image.unsharp_mask,
        lambda picture: image.difference_of_gaussians(picture, 1),
    ]
    for function in functions:
        with pytest.raises(ValueError, match=rf"image must have a mode of {names}; got '{mode}' \(image.convert"):
            function(Image.new(mode, (4, 4)))


GREY = Image.new("L", (4, 4))
FRAME = np.zeros((4, 4), np.uint8)
READ_ONLY = LAYOUTS["read-only"](FRAME)
PIXELS = "uint8, uint16, int16, int32, float32, float64, bool, int8, float16, uint32, int64, uint64"
TALL = np.ones((5, 1))
CUBE = np.zeros((4, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": Image.new("L", (0, 4))}, ValueError, "image must have pixels; got 0 x 4"),
        (
            {"image": "picture.png"},
            TypeError,
            "image must be a Pillow picture or an array, not a path; open it with PIL.Image.open",
        ),
        ({"image": FRAME.astype("g")}, ValueError, "image must .*; got dtype (float128|longdouble|float64)"),
        ({"image": FRAME * 1j}, ValueError, f"image must .* an array of {PIXELS}; got dtype complex128"),
        ({"image": [[1, 2], [3]]}, ValueError, "image must be an array or nested sequences of equal lengths"),
        ({"image": FRAME[0]}, ValueError, r"image must have at least 2 dimensions; got shape \(4,\)"),
        ({"image": FRAME[:0]}, ValueError, r"image must not be empty; got shape \(0, 4\)"),
        (
            {"image": np.zeros((2, 3, 4, 5), "u1")},
            ValueError,
            r"axes must be given .* 3 dimensions; got shape \(2, 3, 4",
        ),
        ({"kernel": [1, 2]}, ValueError, r"kernel must be 2-D; got shape \(2,\)"),
        ({"kernel": [[1, 2], [3]]}, ValueError, "kernel must be an array or nested sequences of equal lengths"),
        ({"kernel": np.zeros((0, 3))}, ValueError, r"kernel must not be empty; got shape \(0, 3\)"),
        ({"kernel": [[1j]]}, TypeError, "kernel must hold real numbers; got dtype complex128"),
        (
            {"kernel": "box"},
            TypeError,
            "kernel must be an array of taps, as kernels.named makes one by a name; got 'box'",
        ),
        ({"kernel": kernels.box}, TypeError, "kernel must be an array of taps; got a function to be called first, "),
        ({"kernel": [["1"]]}, TypeError, "kernel must hold real numbers; got dtype <U1"),
        ({"kernel": [[np.nan]]}, ValueError, "kernel must be finite, with sums that float32 can hold; .* nan"),
        ({"kernel": [[np.inf]]}, ValueError, "kernel must be finite, with sums that float32 can hold; .* inf"),
        ({"kernel": [[1e300]]}, ValueError, r"kernel must be finite, .* they may reach 2.55e\+302"),
        ({"kernel": [[1e38, -1e38]]}, ValueError, r"kernel must be finite, .* they may reach 5.1e\+40"),
        (
            {"image": FRAME.astype("i4"), "kernel": [[1e300]]},
            ValueError,
            r"sums that float64 .* reach 2.15e\+309|reach inf",
        ),
        ({"scale": 1e-39}, ValueError, "scale and offset must leave results that float32 can hold; got 1e-39 and 0.0"),
        ({"offset": 1e39}, ValueError, r"scale and offset must leave results .* got 1.0 and 1e\+39"),
        ({"kernel": TALL, "mode": "valid"}, ValueError, r"kernel must be no larger .* got \(5, 1\) and \(4, 4\)"),
        ({"scale": 0}, ValueError, "scale must be a finite number other than 0; got 0"),
        ({"scale": np.inf}, ValueError, "scale must be a finite number other than 0; got inf"),
        ({"scale": "half"}, TypeError, "scale must be a finite number other than 0; got 'half'"),
        ({"scale": [1]}, TypeError, r"scale must be a finite number other than 0; got \[1\]"),
        ({"offset": np.inf}, ValueError, "offset must be a finite number; got inf"),
        ({"offset": np.nan}, ValueError, "offset must be a finite number; got nan"),
        ({"offset": 10**400}, ValueError, "offset must be a finite number; got 1000"),
        ({"offset": None}, TypeError, "offset must be a finite number; got None"),
        ({"offset": 1j}, TypeError, "offset must be a finite number; got 1j"),
        ({"boundary": "fill", "fill_value": 256}, ValueError, "fill_value must be an integer in 0 .. 255 .*; got 256"),
        ({"boundary": "fill", "fill_value": -1}, ValueError, "fill_value must be an integer in 0 .. 255 .*; got -1"),
        ({"boundary": "fill", "fill_value": 1.5}, ValueError, "fill_value must be an integer in 0 .. 255 .*; got 1.5"),
        ({"boundary": "fill", "fill_value": np.nan}, ValueError, "fill_value must be an integer .*; got nan"),
        ({"boundary": "fill", "fill_value": "white"}, TypeError, "fill_value must be a number; got 'white'"),
        (
            {"image": Image.new("F", (4, 4)), "boundary": "fill", "fill_value": -1e39},
            ValueError,
            r"fill_value must be a number that float32 can hold; got -1e\+39",
        ),
        ({"fill_value": 1}, ValueError, "fill_value is for boundary='fill' only; got 1"),
        ({"boundary": "edge"}, ValueError, "boundary must be 'zero', .* or 'wrap'; got 'edge'"),
        ({"boundary": 0}, TypeError, "boundary must be a string, 'zero', .* or 'wrap'; got 0"),
        ({"mode": "half"}, ValueError, "mode must be 'full', 'same' or 'valid'; got 'half'"),
        ({"mode": None}, TypeError, "mode must be a string, 'full', 'same' or 'valid'; got None"),
        ({"alpha": "drop"}, ValueError, "alpha must be 'auto', 'keep' or 'filter'; got 'drop'"),
        ({"alpha": True}, TypeError, "alpha must be a string, 'auto', 'keep' or 'filter'; got True"),
        ({"image": FRAME, "alpha": "filter"}, ValueError, "alpha='filter' is for Pillow pictures, and for arrays"),
        ({"dtype": "uint8"}, ValueError, "dtype must be None, float32 or float64; got 'uint8'"),
        ({"dtype": ">f4"}, ValueError, "dtype must be None, float32 or float64; got '>f4'"),
        ({"dtype": "number"}, TypeError, "dtype must be None, float32 or float64; got 'number'"),
        ({"axes": (0, 1)}, TypeError, "axes is only for arrays; image is a Pillow picture"),
        ({"alpha_channel": 3}, TypeError, "alpha_channel is only for arrays; image is a Pillow picture"),
        ({"image": FRAME, "alpha_channel": 3}, ValueError, r"alpha_channel is for arrays with channels .* \(4, 4\)"),
        ({"image": CUBE, "alpha_channel": 0}, ValueError, "alpha_channel must be the last channel, 3 or -1; got 0"),
        ({"image": CUBE, "alpha_channel": 2.0}, TypeError, "alpha_channel must be None or an integer; got 2.0"),
        ({"image": CUBE, "alpha_channel": 3, "axes": (1, 2)}, ValueError, r"alpha_channel is for .* axes \(1, 2\)"),
        ({"method": "fast"}, ValueError, "method must be 'auto', 'direct', 'separable' or 'fft'; got 'fast'"),
        ({"method": "separable", "kernel": kernels.edge()}, ValueError, "kernel must be an outer product"),
        ({"linear": "yes"}, TypeError, "linear must be True or False; got 'yes'"),
        ({"linear": True, "offset": 1}, ValueError, "offset must be 0 for linear=True; got 1"),
        ({"linear": True, "image": Image.new("CMYK", (4, 4))}, ValueError, "linear=True is for sRGB .*; got mode CMYK"),
        ({"linear": True, "image": FRAME.astype("i2")}, ValueError, "linear=True is for sRGB .*; got dtype int16"),
        ({"blur": 1}, TypeError, r"filter\(\) got an unexpected keyword argument 'blur'"),
        ({"image": FRAME, "axes": (0,)}, ValueError, r"axes must be 2 integers; got \(0,\)"),
        ({"image": FRAME, "axes": 1}, TypeError, "axes must be 2 integers; got 1"),
        ({"image": FRAME, "axes": (1, 1)}, ValueError, r"axes must be different axes; got \(1, 1\)"),
        ({"image": FRAME, "axes": (0, 2)}, ValueError, "axes must lie in -2 .. 1 .*; got 2"),
        ({"workers": 0}, ValueError, "workers must be None or a positive integer; got 0"),
        ({"workers": 1.5}, TypeError, "workers must be None or a positive integer; got 1.5"),
        ({"out": FRAME}, TypeError, "out is only for arrays; image is a Pillow picture"),
        ({"image": FRAME, "out": [0]}, TypeError, "out must be a numpy.ndarray; got list"),
        ({"image": FRAME, "out": np.zeros((4, 5), "u1")}, ValueError, r"out must have shape \(4, 4\); got \(4, 5\)"),
        ({"image": FRAME, "out": np.zeros((4, 4))}, ValueError, "out must have dtype uint8; got float64"),
        ({"image": FRAME, "out": FRAME, "dtype": "f4"}, ValueError, "out must have dtype float32; got uint8"),
        ({"image": FRAME, "out": READ_ONLY}, ValueError, "out must be writable; got a read-only array"),
    ],
)
def test_invalid_arguments_of_filter_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        image.filter(**{"image": GREY, "kernel": kernels.box(), **arguments})
    assert not FRAME.any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: image.gaussian_blur(GREY, -1), ValueError, "sigma must be 0 or a positive number; got -1"),
        (lambda: image.gaussian_blur(GREY, "1"), TypeError, "sigma must be 0 or a positive number; got '1'"),
        (lambda: image.gaussian_blur(GREY, 1, truncate=-1), ValueError, "truncate must be a positive number; got -1"),
        (lambda: image.gaussian_blur(FRAME, 1, alpha="filter"), ValueError, "alpha='filter' is for Pillow pictures"),
        (lambda: image.gaussian_blur(GREY, 1, out=FRAME), TypeError, "out is only for arrays"),
        (lambda: image.sobel_magnitude(FRAME * 1j), ValueError, "image must be a Pillow picture or an array of"),
        (lambda: image.sobel_magnitude(GREY, boundary="edge"), ValueError, "boundary must be 'zero'"),
        (lambda: image.sobel_direction(FRAME[0]), ValueError, "image must have at least 2 dimensions"),
        (lambda: image.sobel_direction(GREY, workers=0), ValueError, "workers must be None or a positive integer"),
        (lambda: image.unsharp_mask(GREY, -1), ValueError, "sigma must be 0 or a positive number; got -1"),
        (lambda: image.unsharp_mask(GREY, amount=np.inf), ValueError, "amount must be a finite number; got inf"),
        (lambda: image.unsharp_mask(GREY, threshold=np.nan), ValueError, "threshold must be a finite number; got nan"),
        (
            lambda: image.difference_of_gaussians(GREY, 0),
            ValueError,
            "low_sigma, 0, along each axis where one is not 0;",
        ),
        (lambda: image.difference_of_gaussians(GREY, 2, 1), ValueError, "larger than low_sigma, 2, .* not 0; got 1"),
        (lambda: image.difference_of_gaussians(GREY, (1, 2), (2, 2)), ValueError, r"low_sigma, \(1, 2\), along"),
        (
            lambda: image.difference_of_gaussians(GREY, -1, 1),
            ValueError,
            "sigma must be 0 or a positive number; got -1",
        ),
    ],
)
def test_invalid_arguments_of_the_other_functions_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --------------------------------------------------------------------------------------- blurs, slopes and sharpening

DTYPES_OF_FUNCTIONS = ["u1", "u2", ">u2", "i2", "i4", ">i4", "f4", "f8", ">f8"]


@pytest.fixture
def ndimage():
    return pytest.importorskip("scipy.ndimage")


def by_channel(function, pixels):
    planes = np.atleast_3d(pixels).astype(float)
    results = np.stack([function(planes[..., k]) for k in range(planes.shape[2])], axis=-1)
    return results.reshape(pixels.shape)


def check_close(result, exact, size):
    """Compare with `exact`, rounded and saturated, within the rounding errors of numbers up to `size`."""
    eps = (1e-14 if np.result_type(result.dtype, np.float32) == np.float64 else 1e-6) * size
    if result.dtype.kind == "f":
        assert np.all(np.abs(result - exact) <= eps)
        return
    limits = np.iinfo(result.dtype)
    lowest, highest = (np.clip(np.rint(exact + side), limits.min, limits.max) for side in (-eps, eps))
    assert np.all(lowest <= result)
    assert np.all(result <= highest)


def check_function(function, reference, given):
    """Compare a function of a picture or an array with a float64 reference, channel by channel."""
    result = function(given)
    pixels = pixels_of(given) if isinstance(given, Image.Image) else given
    size = float(np.abs(pixels.astype(float)).max())
    expected = by_channel(reference, pixels)
    if not isinstance(given, Image.Image):
        assert result.dtype == given.dtype
        check_close(result, expected, size)
        return
    assert result.mode == given.mode
    found = pixels_of(result)
    if given.mode in WITH_ALPHA:
        np.testing.assert_array_equal(found[..., -1], pixels[..., -1])
        found, expected = found[..., :-1], expected[..., :-1]
    if given.mode == "1":
        expected = np.where(np.rint(expected) >= 128, 255, 0)
    check_close(found, expected, size)


GIVEN = {
    **{f"picture {mode}": random_picture(mode, 20, 24, seed=3) for mode in PICTURE_MODES},
    **{f"array {dtype}": random_array(dtype, (20, 24), seed=4) for dtype in DTYPES_OF_FUNCTIONS},
    "array of colours": random_array("u1", (15, 16, 3), seed=5),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_gaussian_blur_equals_scipy(ndimage, given):
    keep = {"alpha": "keep"}
    check_function(lambda x: image.gaussian_blur(x, 1.5, **keep), lambda p: ndimage.gaussian_filter(p, 1.5), given)
    check_function(
        lambda x: image.gaussian_blur(x, (2, 0.7), truncate=3, boundary="wrap", **keep),
        lambda p: ndimage.gaussian_filter(p, (2, 0.7), truncate=3, mode="wrap"),
        given,
    )


def test_blurs_keep_a_constant_image_within_a_few_eps():
    flat, eps = np.full((90, 80), 2_000_000_000, np.int32), np.finfo(np.float64).eps
    for sigma in (0.5, 1, 2, (3, 1), 12):
        for given in (flat, Image.fromarray(flat), flat.astype(">i4")):
            assert (np.asarray(image.gaussian_blur(given, sigma)) == flat).all()
        assert np.abs(image.gaussian_blur(np.ones((90, 80)), sigma) - 1).max() <= 4 * eps
    for sigma, amount in ((0.7, 1), (2, 1.5), (5, 3)):
        assert (image.unsharp_mask(flat, sigma, amount) == flat).all()
        assert np.abs(image.unsharp_mask(np.ones((90, 80)), sigma, amount) - 1).max() <= 4 * eps * (1 + amount)
    for sigmas in ((1,), (0.8, 9)):
        assert np.abs(image.difference_of_gaussians(np.full((90, 80), 1e6), *sigmas)).max() <= 4 * eps * 1e6
        assert np.abs(image.difference_of_gaussians(flat, *sigmas)).max() <= 4 * eps * 2e9
    assert not image.sobel_magnitude(flat).any()
    assert image.sobel_magnitude(flat / 3).max() <= 4 * eps * 2e9
    blurs = {
        "box": kernels.box((9, 4), dtype="f8"),
        "disk": kernels.disk(5, dtype="f8"),
        "a large disk": kernels.disk(20, dtype="f8"),
        "motion": kernels.motion(41, 30, dtype="f8"),
        "unsharp": kernels.unsharp(3, dtype="f8"),
    }
    for name, blur in blurs.items():
        assert (image.filter(flat, blur) == flat).all(), name
        assert np.abs(image.filter(np.ones((90, 80)), blur) - 1).max() <= 10 * eps, name


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_sobel_magnitude_equals_scipy(ndimage, given):
    def magnitude(plane, mode="reflect"):
        return np.hypot(ndimage.sobel(plane, 0, mode=mode), ndimage.sobel(plane, 1, mode=mode)) / 4

    check_function(image.sobel_magnitude, magnitude, given)
    check_function(
        lambda x: image.sobel_magnitude(x, boundary="mirror", workers=1), lambda p: magnitude(p, "mirror"), given
    )


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_sobel_direction_equals_scipy(ndimage, given):
    result = image.sobel_direction(given)
    pixels = pixels_of(given) if isinstance(given, Image.Image) else given
    expected = by_channel(lambda p: np.arctan2(ndimage.sobel(p, 0), ndimage.sobel(p, 1)), pixels)
    assert result.dtype == np.result_type(pixels.dtype.newbyteorder("="), np.float32)
    assert result.shape == pixels.shape
    if isinstance(given, Image.Image) and given.mode in WITH_ALPHA:
        result, expected = result[..., :-1], expected[..., :-1]
    # Compare modulo 2 * pi.
    slack = 1e-14 if result.dtype == np.float64 else 1e-5
    assert np.all(np.abs(np.exp(1j * result) - np.exp(1j * expected)) < slack)


def test_sobel_direction_of_ramps():
    ramp = np.arange(0, 200, 10, dtype=np.uint8) * np.ones((20, 1), np.uint8)
    inner = (slice(2, -2), slice(2, -2))
    for turned, direction in ((ramp, 0), (ramp[:, ::-1], np.pi), (ramp.T, np.pi / 2), (ramp.T[::-1], -np.pi / 2)):
        np.testing.assert_allclose(image.sobel_direction(turned)[inner], direction, rtol=1e-6)
    for dtype in DTYPES:
        assert not image.sobel_direction(np.full((9, 9), 3, dtype)).any()  # flat


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize(
    ("sigma", "amount", "threshold"), [(2.0, 1.0, 0), (1.0, 1.5, 20.1), (0.8, -0.5, 3.3), ((2.0, 0.7), 1.2, 0)]
)
def test_unsharp_mask_equals_its_formula(ndimage, given, sigma, amount, threshold):
    def sharpened(plane):
        difference = plane - ndimage.gaussian_filter(plane, sigma)
        assert not threshold or np.abs(np.abs(difference) - threshold).min() > 1e-6 * np.abs(plane).max()
        return plane + amount * np.where(np.abs(difference) < threshold, 0, difference)

    if threshold and np.asarray(given).dtype.itemsize == 4:
        threshold *= 1e6
    check_function(lambda x: image.unsharp_mask(x, sigma, amount, threshold, alpha="keep"), sharpened, given)


def test_unsharp_mask_ignores_differences_below_the_threshold():
    picture = random_picture("RGB", 20, 20)
    assert image.unsharp_mask(picture, threshold=256) == picture
    assert image.unsharp_mask(picture, amount=0) == picture
    assert image.unsharp_mask(picture, threshold=20) != picture


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_difference_of_gaussians_equals_scipy(ndimage, given):
    pixels = pixels_of(given) if isinstance(given, Image.Image) else given
    size = float(np.abs(pixels.astype(float)).max())
    for sigmas in ((1.0, 1.6), (0.8, 3.0)):
        result = image.difference_of_gaussians(given, *(sigmas if sigmas[1] == 3 else sigmas[:1]))
        narrow, wide = (by_channel(functools.partial(ndimage.gaussian_filter, sigma=sigma), pixels) for sigma in sigmas)
        expected = narrow - wide
        assert result.dtype == np.result_type(pixels.dtype.newbyteorder("="), np.float32)
        assert result.shape == pixels.shape
        if isinstance(given, Image.Image) and given.mode in WITH_ALPHA:
            result, expected = result[..., :-1], expected[..., :-1]
        assert np.abs(result - expected).max() <= (1e-14 if result.dtype == np.float64 else 2e-6) * size


def test_gaussian_blur_filters_alpha_and_writes_to_out():
    picture = random_picture("RGBA", 12, 12)
    blurred = image.gaussian_blur(picture, 1, alpha="filter")
    assert blurred == image.filter(picture, kernels.gaussian(1), alpha="filter")
    array = random_array("u1", (12, 12, 3))
    out = np.empty_like(array)
    assert image.gaussian_blur(array, 1, out=out) is out
    np.testing.assert_array_equal(out, image.gaussian_blur(array, 1))


@pytest.mark.parametrize("name", ["sobel_magnitude", "sobel_direction", "unsharp_mask"])
def test_functions_do_not_modify_their_input(name):
    for given in (
        random_picture("RGBA"),
        random_array("f4", (8, 9)),
        random_array("f8", (8, 9)),
        random_array("u1", (8, 9)),
    ):
        before = given.copy()
        getattr(image, name)(given)
        np.testing.assert_array_equal(np.asarray(given), np.asarray(before))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_magnitudes_do_not_depend_on_strips(boundary):
    options = {"boundary": boundary, "fill_value": 7 if boundary == "fill" else 0}
    for shape in ((2100, 130), (700, 130, 3)):
        frame = random_array("u1", shape)
        for mode in ("same", "full", "valid"):
            found = image.sobel_magnitude(frame, mode=mode, **options)
            # A method is for whole pictures.
            np.testing.assert_array_equal(found, image.sobel_magnitude(frame, mode=mode, method="direct", **options))
