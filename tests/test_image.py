"""Pillow pictures: every mode against the definition in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fastconv import image as pictures
from fastconv import kernels, reference
from fastconv.image import convolve_image

# Quarters: every product and sum of 8-bit pixels is exact in float32, and many results end in one half.
QUARTERS = np.array([[1, 2, -1], [0, 3, 1]]) / 4

COLOURS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "I;16": 1, "I;16B": 1, "I": 1, "F": 1}
DTYPES = {"I;16": "<u2", "I;16B": ">u2", "I": "i4", "F": "f4"}


def random_pixels(mode, height=6, width=7):
    dtype = np.dtype(DTYPES.get(mode, "u1"))
    channels = len(mode) if mode in ("LA", "RGB", "RGBA") else 1
    if dtype.kind == "f":
        values = np.random.default_rng(0).integers(-1000, 1000, (height, width, channels)) / 8
    else:
        limits = np.iinfo(dtype)
        values = np.random.default_rng(0).integers(limits.min, limits.max, (height, width, channels), endpoint=True)
    pixels = values.astype(dtype)
    return pixels if channels > 1 else pixels[..., 0]


def exact(plane, kernel, mode="same", boundary="reflect", fill_value=0, offset=0):
    """The definition, in fractions, then rounded and saturated: the result as nested lists."""
    taps = [[Fraction(tap) for tap in row] for row in kernel.tolist()]
    samples = [[Fraction(sample) for sample in row] for row in plane.tolist()]
    sums = reference.convolve2d(samples, taps, mode, boundary, Fraction(fill_value))
    if plane.dtype.kind == "f":
        return [[float(value + offset) for value in row] for row in sums]
    limits = np.iinfo(plane.dtype)
    # round() of a fraction rounds half to even.
    return [[min(max(round(value + offset), limits.min), limits.max) for value in row] for row in sums]


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize("mode", ["same", "full", "valid"])
@pytest.mark.parametrize("pixel_mode", pictures.PIXEL_MODES)
def test_every_mode_of_picture_is_the_definition_rounded_and_saturated(pixel_mode, mode, offset):
    pixels = random_pixels(pixel_mode)
    image = Image.fromarray(pixels)
    assert image.mode == pixel_mode
    result = convolve_image(image, QUARTERS, mode, offset=offset)

    assert result.mode == pixel_mode
    assert result.size == {"same": (7, 6), "full": (9, 7), "valid": (5, 5)}[mode]
    np.testing.assert_array_equal(np.asarray(image), pixels)  # the picture that was given is as it was
    planes = np.atleast_3d(pixels)
    results = np.atleast_3d(np.asarray(result))
    for channel in range(COLOURS[pixel_mode]):
        np.testing.assert_array_equal(results[..., channel], exact(planes[..., channel], QUARTERS, mode, offset=offset))


@pytest.mark.parametrize("pixel_mode", ["LA", "RGBA"])
def test_alpha_is_untouched_cropped_or_continued(pixel_mode):
    pixels = random_pixels(pixel_mode)
    image = Image.fromarray(pixels)
    alpha = pixels[..., -1]

    def result(mode, **options):
        return np.asarray(convolve_image(image, np.full((3, 5), 7.0), mode, **options))[..., -1]

    np.testing.assert_array_equal(result("same"), alpha)
    np.testing.assert_array_equal(result("valid"), alpha[1:-1, 2:-2])
    around = ((1, 1), (2, 2))
    np.testing.assert_array_equal(result("full"), np.pad(alpha, around, "symmetric"))
    np.testing.assert_array_equal(result("full", boundary="zero"), np.pad(alpha, around))
    np.testing.assert_array_equal(result("full", boundary="wrap"), np.pad(alpha, around, "wrap"))
    filled = np.pad(alpha, around, constant_values=200)
    np.testing.assert_array_equal(result("full", boundary="fill", fill_value=200), filled)


@pytest.mark.parametrize("boundary", ["zero", "fill", "nearest", "reflect", "mirror", "wrap"])
def test_boundaries(boundary):
    pixels = random_pixels("L")
    fill_value = 250 if boundary == "fill" else 0
    result = convolve_image(Image.fromarray(pixels), QUARTERS, boundary=boundary, fill_value=fill_value, workers=1)
    expected = exact(pixels, QUARTERS, boundary=boundary, fill_value=fill_value)
    np.testing.assert_array_equal(np.asarray(result), expected)


def test_half_is_rounded_to_even_and_sums_are_saturated():
    image = Image.fromarray(np.array([[1, 3, 5, 255]], np.uint8))
    assert np.asarray(convolve_image(image, [[0.5]])).tolist() == [[0, 2, 2, 128]]
    assert np.asarray(convolve_image(image, [[2]])).tolist() == [[2, 6, 10, 255]]
    assert np.asarray(convolve_image(image, [[-1]])).tolist() == [[0, 0, 0, 0]]


def test_the_kernel_is_flipped():
    step = Image.fromarray(np.repeat(np.array([[0, 0, 9, 9]], np.uint8), 3, axis=0))
    assert np.asarray(convolve_image(step, kernels.sobel_x())).tolist() == [[0, 36, 36, 0]] * 3


def test_pixels_of_32_bits_are_exact():
    pixels = np.array([[2**31 - 1, -(2**31), 2**24 + 1]], np.int32)
    assert np.asarray(convolve_image(Image.fromarray(pixels), [[1]])).tolist() == pixels.tolist()
    assert np.asarray(convolve_image(Image.fromarray(pixels), [[-1]])).tolist() == [
        [-(2**31) + 1, 2**31 - 1, -16777217]
    ]


def test_pixels_of_mode_f_may_be_anything():
    pixels = np.array([[np.inf, np.nan, -(2.0**127), 3e38]], np.float32)
    result = np.asarray(convolve_image(Image.fromarray(pixels), [[1]], offset=2.0**126))
    np.testing.assert_array_equal(result, np.array([[np.inf, np.nan, -(2.0**126), np.inf]], np.float32))
    options = {"boundary": "fill", "fill_value": np.inf}
    assert np.asarray(convolve_image(Image.new("F", (1, 1)), [[1, 1, 1]], "full", **options)).tolist() == [[np.inf] * 3]


def test_info_is_kept_but_for_the_transparent_colour():
    image = Image.new("RGB", (4, 4))
    image.info = {"dpi": (300, 300), "transparency": (0, 0, 0)}
    assert convolve_image(image, kernels.box()).info == {"dpi": (300, 300)}
    assert "transparency" in image.info


@pytest.mark.parametrize("mode", ["1", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa", "La"])
def test_other_modes_are_refused(mode):
    with pytest.raises(ValueError, match=rf"image must have a mode of L, .*, F; got '{mode}' \(image.convert"):
        convolve_image(Image.new(mode, (4, 4)), kernels.box())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": np.zeros((4, 4))}, TypeError, "image must be a PIL.Image.Image; got ndarray"),
        ({"image": Image.new("L", (0, 4))}, ValueError, "image must not be empty"),
        ({"kernel": [1, 2]}, ValueError, r"kernel must be 2-D; got shape \(2,\)"),
        ({"kernel": [[1j]]}, TypeError, "kernel must hold real numbers; got dtype complex128"),
        ({"kernel": [["1"]]}, TypeError, "kernel must hold real numbers; got dtype <U1"),
        ({"kernel": [[np.nan]]}, ValueError, "kernel must be finite, with sums that float32 can hold"),
        ({"kernel": [[1e300]]}, ValueError, "kernel must be finite, with sums that float32 can hold; .* inf"),
        ({"kernel": [[1e38, -1e38]]}, ValueError, r"kernel must be finite, .* they may reach 5.1e\+40"),
        ({"kernel": np.zeros((0, 3))}, ValueError, "kernel must not be empty"),
        ({"offset": np.inf}, ValueError, "offset must be finite; got inf"),
        ({"boundary": "fill", "fill_value": 256}, ValueError, r"fill_value must lie in 0 .. 255 .* 'L'; got 256"),
        ({"boundary": "fill", "fill_value": np.nan}, ValueError, r"fill_value must lie in 0 .. 255 .* 'L'; got nan"),
        (
            {"image": Image.new("F", (4, 4)), "boundary": "fill", "fill_value": -1e39},
            ValueError,
            r"fill_value must be a number that float32 can hold; got -1e\+39",
        ),
        ({"fill_value": 1}, ValueError, "fill_value is for boundary='fill' only; got 1"),
        ({"boundary": "edge"}, ValueError, "boundary must be 'zero', .*; got 'edge'"),
        ({"mode": "half"}, ValueError, "mode must be 'full', 'same' or 'valid'; got 'half'"),
        ({"workers": 0}, ValueError, "workers must be None or a positive integer; got 0"),
    ],
)
def test_arguments_that_make_no_picture(arguments, error, message):
    with pytest.raises(error, match=message):
        convolve_image(**{"image": Image.new("L", (4, 4)), "kernel": kernels.box(), **arguments})
