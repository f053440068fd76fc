"""Pictures against other libraries: equal where sums are exact, otherwise within the tolerances given here."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fastconv import image, kernels
from tests.oracle import blurred


def random_pixels(shape, dtype="u1", seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)


def black_and_white(shape, seed=0):
    """Return noise of maximum contrast, which exposes errors of weights."""
    return np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), shape)


def whole_taps(extents, grain=1, seed=0):
    """Return random taps that are multiples of ``1 / grain``."""
    return np.random.default_rng(seed).integers(-9, 10, extents) / grain


# ----------------------------------------------------------------------------------------------------------- OpenCV


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2")


@pytest.fixture(params=["reflect", "mirror", "nearest", "zero"])
def border(request, cv2):
    """A boundary, and its name in OpenCV; `filter2D` supports no others."""
    code = {"reflect": "REFLECT", "mirror": "REFLECT_101", "nearest": "REPLICATE", "zero": "CONSTANT"}[request.param]
    return request.param, getattr(cv2, f"BORDER_{code}")


@pytest.mark.parametrize("extents", [(3, 3), (2, 2), (1, 4), (5, 3), (4, 7), (6, 6), (9, 9), (11, 11)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_filter_equals_opencv_filter2d(cv2, border, dtype, channels, extents):
    boundary, code = border
    rng = np.random.default_rng(7)
    picture = random_pixels((40, 53, channels) if channels > 1 else (40, 53), dtype, seed=channels)
    for grain, offset in ((1, 0), (16, 0), (16, 100), (64, -20.5)):
        taps = whole_taps(extents, grain, seed=grain)
        if dtype != "u1":
            # Sums of 16-bit pixels are exact in float32 as long as the integer taps add up to 2**8. From 50 taps on,
            # OpenCV uses a transform, which is not exact.
            taps = taps[:7, :7] * grain % 4 * rng.choice([1, -1], taps[:7, :7].shape) / grain
        # Its default anchor is that of a correlation in mode 'same': tap K // 2, after the middle of an even size.
        theirs = cv2.filter2D(picture, -1, taps, delta=offset, borderType=code)
        ours = image.filter(picture, taps, boundary=boundary, offset=offset, correlate=True)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("extents", [(3, 3), (4, 5), (2, 6)])
def test_opencv_anchors_select_parts_of_the_full_result(cv2, border, extents):
    boundary, code = border
    picture, taps = random_pixels((20, 31)), whole_taps(extents, 4)
    full = image.filter(picture, taps, mode="full", boundary=boundary, correlate=True)
    rows, columns = extents
    for row in range(rows):
        for column in range(columns):
            theirs = cv2.filter2D(picture, -1, taps, anchor=(column, row), borderType=code)
            top, left = rows - 1 - row, columns - 1 - column
            ours = full[top : top + 20, left : left + 31]
            # Both extend the picture in the same way, for any anchor.
            np.testing.assert_array_equal(ours, theirs)


SOBEL = {"sobel_x": (1, 0), "sobel_y": (0, 1)}


def opencv_derivative(cv2, name, picture, **options):
    if name == "laplacian":
        return cv2.Laplacian(picture, cv2.CV_32F, **options)
    function = cv2.Sobel if name in SOBEL else cv2.Scharr
    return function(picture, cv2.CV_32F, *((1, 0) if name.endswith("x") else (0, 1)), **options)


@pytest.mark.parametrize("name", ["sobel_x", "sobel_y", "scharr_x", "scharr_y", "laplacian"])
def test_derivatives_equal_opencv(cv2, border, name):
    boundary, code = border
    for picture in (random_pixels((40, 51)), random_pixels((40, 51, 3)), random_pixels((40, 51), "i2")):
        theirs = opencv_derivative(cv2, name, picture, borderType=code)
        kernel = getattr(kernels, name)()
        ours = image.filter(picture, kernel, boundary=boundary, dtype="float32")
        np.testing.assert_array_equal(ours, theirs)
        if picture.dtype == np.uint8 and name.startswith("sobel"):
            shown = cv2.Sobel(picture, -1, *SOBEL[name], scale=0.25, delta=128, borderType=code)
            np.testing.assert_array_equal(image.filter(picture, kernel, boundary=boundary, scale=4, offset=128), shown)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_gaussian_blur_is_within_one_of_opencv_for_accurate_weights(cv2, border, sigma):
    boundary, code = border
    size = kernels.gaussian(sigma).shape[0]
    for picture in (random_pixels((120, 140)), black_and_white((120, 140)), random_pixels((90, 100, 3))):
        theirs = cv2.GaussianBlur(picture, (size, size), sigma, borderType=code)
        ours = image.gaussian_blur(picture, sigma, boundary=boundary)
        assert np.abs(theirs.astype(int) - ours).max() <= 1


@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0, 1.2, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0])
def test_gaussian_blur_is_more_accurate_than_opencv(cv2, sigma):
    # For 8-bit pixels OpenCV has weights of 8 bits: on noise it differs by up to 2.3 grey levels from float64, and so
    # by up to 2 from our results, which differ by the final rounding only. For float32 it has weights of float32.
    size = kernels.gaussian(sigma).shape[0]
    picture = black_and_white((120, 140))
    exact = blurred(picture, sigma, size // 2)
    theirs = cv2.GaussianBlur(picture, (size, size), sigma, borderType=cv2.BORDER_REFLECT).astype(int)
    ours = image.gaussian_blur(picture, sigma)
    assert np.abs(ours - exact).max() <= 0.501
    assert 0.501 < np.abs(theirs - exact).max() < 2.5
    assert np.abs(theirs - ours).max() <= 2
    fine = cv2.GaussianBlur(picture.astype("f4"), (size, size), sigma, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(image.filter(picture, kernels.gaussian(sigma), dtype="f4"), fine, atol=3e-4)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8])
def test_box_equals_opencv(cv2, border, size):
    boundary, code = border
    picture = random_pixels((50, 61, 3))
    theirs = cv2.boxFilter(picture, cv2.CV_32S, (size, size), normalize=False, borderType=code)
    ours = image.filter(picture, np.ones((size, size)), boundary=boundary, dtype="float32", correlate=True)
    np.testing.assert_array_equal(ours, theirs)
    if size % 2:  # for even sizes OpenCV's mean is wrong by more than the final rounding
        mean = image.filter(picture, np.ones((size, size)), scale=size * size, boundary=boundary)
        np.testing.assert_array_equal(mean, cv2.blur(picture, (size, size), borderType=code))


# ----------------------------------------------------------------------------------------------------------- Pillow

# Scales that are powers of two, for which Pillow's arithmetic is exact; and 13, with which no result is a half.
EXACT_PILLOW = ["BLUR", "CONTOUR", "EDGE_ENHANCE", "EDGE_ENHANCE_MORE", "EMBOSS", "FIND_EDGES", "SHARPEN", "SMOOTH"]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
@pytest.mark.parametrize("name", EXACT_PILLOW)
def test_filter_equals_pillow_for_exact_scales(name, mode):
    theirs = getattr(ImageFilter, name)
    channels = len(Image.new(mode, (1, 1)).getbands())
    edge = theirs.filterargs[0][0] // 2
    inner = (slice(edge, -edge), slice(edge, -edge))
    for pixels in (random_pixels((90, 100, channels)), black_and_white((90, 100, channels))):
        picture = Image.frombytes(mode, (100, 90), pixels.tobytes())
        ours = np.asarray(image.filter(picture, **kernels.from_pillow(theirs)))
        np.testing.assert_array_equal(ours[inner], np.asarray(picture.filter(theirs))[inner])


@pytest.mark.parametrize("name", ["DETAIL", "SMOOTH_MORE"])
def test_filter_differs_from_pillow_only_at_halves_for_other_scales(name):
    theirs = getattr(ImageFilter, name)
    picture = Image.fromarray(random_pixels((300, 310)))
    options = kernels.from_pillow(theirs)
    ours, other = (np.asarray(one).astype(int) for one in (image.filter(picture, **options), picture.filter(theirs)))
    sums = image.filter(picture, options["kernel"], dtype="float32").astype(int)
    edge = theirs.filterargs[0][0] // 2
    inner = (slice(edge, -edge), slice(edge, -edge))
    differ = (ours != other)[inner]
    scale = int(options["scale"])
    assert 0 < differ.sum() < differ.size / 10
    assert np.all((2 * sums % (2 * scale) == scale)[inner][differ])
    assert np.abs(ours - other)[inner].max() == 1


@pytest.mark.parametrize("size", [3, 5])
def test_filter_equals_pillow_for_custom_kernels(size):
    rng = np.random.default_rng(size)
    picture = Image.fromarray(random_pixels((60, 70, 3)))
    inner = (slice(2, -2), slice(2, -2))
    for scale in (1, 2, 4, 16, 64):
        for offset in (0, 100, -7):
            theirs = ImageFilter.Kernel((size, size), rng.integers(-9, 10, size * size).tolist(), scale, offset)
            ours = np.asarray(image.filter(picture, **kernels.from_pillow(theirs)))
            np.testing.assert_array_equal(ours[inner], np.asarray(picture.filter(theirs))[inner])


def test_filter_keeps_alpha_which_pillow_filters():
    picture = Image.frombytes("RGBA", (40, 30), random_pixels((30, 40, 4)).tobytes())
    sharpen = kernels.from_pillow(ImageFilter.SHARPEN)
    ours = np.asarray(image.filter(picture, alpha="keep", **sharpen))[1:-1, 1:-1]
    theirs = np.asarray(picture.filter(ImageFilter.SHARPEN))[1:-1, 1:-1]
    np.testing.assert_array_equal(ours[..., :3], theirs[..., :3])
    np.testing.assert_array_equal(ours[..., 3], np.asarray(picture)[1:-1, 1:-1, 3])
    as_array = image.filter(np.asarray(picture), **sharpen)[1:-1, 1:-1]
    np.testing.assert_array_equal(as_array, theirs)


# ----------------------------------------------------------------------------------------------------- scikit-image


@pytest.fixture
def filters():
    return pytest.importorskip("skimage.filters")


@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "wrap", "constant"])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0, 3.3])
def test_gaussian_blur_equals_skimage(filters, mode, sigma):
    boundary = "zero" if mode == "constant" else mode
    for picture in (random_pixels((60, 71)), random_pixels((40, 51, 3)), random_pixels((40, 51), "u2")):
        options = {"channel_axis": -1 if picture.ndim == 3 else None, "preserve_range": True}
        theirs = filters.gaussian(picture, sigma, mode=mode, **options)
        most = float(picture.max())
        ours = image.gaussian_blur(picture, sigma, boundary=boundary)
        assert np.abs(ours - theirs).max() <= 0.5 + 1e-6 * most
        fine = image.filter(picture, kernels.gaussian(sigma), boundary=boundary, dtype="float32")
        np.testing.assert_allclose(fine, theirs, atol=1e-6 * most)
    floats = np.random.default_rng(1).standard_normal((50, 60))
    theirs = filters.gaussian(floats, sigma, mode=mode)
    # The taps are rounded to float32.
    np.testing.assert_allclose(image.gaussian_blur(floats, sigma, boundary=boundary), theirs, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(1.0, None), (1.5, 4.0)])
def test_difference_of_gaussians_equals_skimage(filters, low, high):
    picture = random_pixels((60, 71))
    theirs = filters.difference_of_gaussians(picture, low, high, mode="reflect")  # of values from 0 to 1
    np.testing.assert_allclose(image.difference_of_gaussians(picture, low, high), theirs * 255, atol=3e-4)
    floats = picture.astype("f8")
    theirs = filters.difference_of_gaussians(floats, low, high, mode="wrap")
    ours = image.difference_of_gaussians(floats, low, high, boundary="wrap")
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(("sigma", "amount"), [(1.0, 1.0), (2.5, 0.6), (1.5, -0.5)])
def test_unsharp_mask_equals_skimage(filters, sigma, amount):
    for picture in (random_pixels((60, 71)), random_pixels((40, 51, 3))):
        # Channel by channel: with a `channel_axis`, scikit-image 0.26 returns uninitialised memory.
        planes = np.moveaxis(np.atleast_3d(picture), 2, 0)
        theirs = [filters.unsharp_mask(plane, sigma, amount, preserve_range=True) for plane in planes]
        theirs = np.stack(theirs, axis=-1).reshape(picture.shape)
        ours = image.unsharp_mask(picture, sigma, amount)
        assert theirs.max() > 255 or amount < 0
        assert np.abs(ours - np.clip(theirs, 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", ["sobel", "prewitt", "scharr"])
def test_derivatives_equal_skimage(filters, name):
    picture = np.random.default_rng(2).integers(0, 256, (40, 51)).astype("f8")
    divisor = {"sobel": 4, "prewitt": 3, "scharr": 16}[name]  # skimage returns weighted means
    for axis, direction in (("v", "x"), ("h", "y")):
        theirs = getattr(filters, f"{name}_{axis}")(picture)
        ours = image.filter(picture, getattr(kernels, f"{name}_{direction}")(), scale=divisor)
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


# ---------------------------------------------------------------------------------------------------------- libvips


@pytest.fixture
def pyvips():
    return pytest.importorskip("pyvips")


def as_vips(pyvips, pixels):
    height, width = pixels.shape[:2]
    return pyvips.Image.new_from_memory(pixels.tobytes(), width, height, pixels.size // (height * width), "uchar")


def conv(pyvips, pixels, taps, precision, **options):
    found = as_vips(pyvips, pixels).conv(pyvips.Image.new_from_array(taps.tolist(), **options), precision=precision)
    return found.numpy().reshape(pixels.shape)


@pytest.mark.parametrize("shape", [(60, 71), (40, 51, 3), (40, 51, 4)])
@pytest.mark.parametrize("extents", [(1, 3), (3, 3), (3, 5), (7, 7), (11, 9)])
def test_filter_equals_libvips(pyvips, shape, extents):
    # libvips correlates, with the boundary 'nearest'.
    pixels, taps = random_pixels(shape), whole_taps(extents).astype(int)
    options = {"correlate": True, "boundary": "nearest"}
    ours = image.filter(pixels, taps, **options)
    np.testing.assert_array_equal(ours, conv(pyvips, pixels, taps, "integer"))
    # Floats are not rounded by either.
    ours = image.filter(pixels, taps, scale=4, offset=10, dtype="float32", **options)
    theirs = conv(pyvips, pixels, taps, "float", scale=4, offset=10)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_gaussian_blur_equals_libvips_in_floats(pyvips, sigma):
    pixels = random_pixels((60, 71))
    mask = pyvips.Image.gaussmat(sigma, 0.001, precision="float")
    taps = mask.numpy().reshape(mask.height, mask.width)
    theirs = as_vips(pyvips, pixels).gaussblur(sigma, min_ampl=0.001, precision="float").numpy().reshape(60, 71)
    ours = image.filter(pixels, taps, scale=taps.sum(), boundary="nearest", dtype="float32")
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
