"""The keywords that all functions of `fastconv.image` share, and what each means for every function."""

import inspect
import math

import numpy as np
import pytest
from PIL import Image

from fastconv import image, kernels
from tests.oracle import filtered_with_alpha

# Every function, with the radius of its kernel.
FUNCTIONS = {
    "filter": (lambda x, **options: image.filter(x, kernels.gaussian(0.8), **options), 3),
    "gaussian_blur": (lambda x, **options: image.gaussian_blur(x, 1, **options), 4),
    "gaussian_blur, a derivative": (lambda x, **options: image.gaussian_blur(x, 1, order=(0, 1), **options), 4),
    "motion_blur": (lambda x, **options: image.motion_blur(x, 5, 45, **options), 2),
    "box_blur": (lambda x, **options: image.box_blur(x, 17, **options), 8),
    "local_mean": (lambda x, **options: image.local_mean(x, 9, **options), 4),
    "local_std": (lambda x, **options: image.local_std(x, 5, **options), 2),
    "sobel_magnitude": (image.sobel_magnitude, 1),
    "scharr_magnitude": (image.scharr_magnitude, 1),
    "prewitt_magnitude": (image.prewitt_magnitude, 1),
    "gaussian_gradient_magnitude": (lambda x, **options: image.gaussian_gradient_magnitude(x, 1, **options), 4),
    "sobel_direction": (image.sobel_direction, 1),
    "laplacian_of_gaussian": (lambda x, **options: image.laplacian_of_gaussian(x, 1, **options), 4),
    "difference_of_gaussians": (lambda x, **options: image.difference_of_gaussians(x, 0.6, 1.2, **options), 5),
    "unsharp_mask": (lambda x, **options: image.unsharp_mask(x, 1, 1.5, **options), 4),
    "edges": (image.edges, 1),
    "emboss": (image.emboss, 1),
}
SUM_OF_ZERO = {"sobel_magnitude", "scharr_magnitude", "prewitt_magnitude", "gaussian_gradient_magnitude", "edges"}
SUM_OF_ZERO |= {"sobel_direction", "laplacian_of_gaussian", "difference_of_gaussians", "local_std"}
FLOATS = {"sobel_direction", "laplacian_of_gaussian", "difference_of_gaussians", "local_mean", "local_std"}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def frame_of(shape, dtype="u1", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) if np.dtype(dtype).kind == "f" else rng.integers(0, 256, shape)).astype(dtype)


def same(found, expected, name):
    """Compare results: up to rounding for floats, up to a step at a half for integers, and modulo 2 pi for angles."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if name == "sobel_direction":
        found, expected = np.exp(1j * found), np.exp(1j * expected)
    slack = 1 if found.dtype.kind in "iu" else 1e-4
    assert np.abs(found.astype("c16") - expected.astype("c16")).max() <= slack


def test_every_function_takes_the_same_keywords_with_the_same_defaults():
    shared = "mode axes boundary fill_value alpha alpha_channel linear dtype method workers progress out".split()
    of_filter = inspect.signature(image.filter).parameters
    for name in image.__all__:
        function = getattr(image, name)
        if not inspect.isfunction(function):
            continue
        parameters = inspect.signature(function).parameters
        assert [one for one in parameters if one in shared] == shared, name
        for keyword in shared:
            if (name, keyword) != ("normalized_cross_correlation", "mode"):
                assert parameters[keyword] == of_filter[keyword], (name, keyword)
            assert f"\n    {keyword} : " in function.__doc__, (name, keyword)
        with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'colour'"):
            function(
                np.zeros((4, 4)),
                *[1] * (list(parameters)[1:2] in (["sigma"], ["low_sigma"], ["kernel"], ["template"])),
                colour=1,
            )


@every_function
def test_axes_leave_the_slices_of_a_stack_apart(name):
    function, _ = FUNCTIONS[name]
    stack = frame_of((3, 14, 15))
    result = function(stack, axes=(1, 2))
    for k, plane in enumerate(stack):
        np.testing.assert_array_equal(result[k], function(plane))
    np.testing.assert_array_equal(function(np.moveaxis(stack, 0, 1), axes=(0, 2)), np.moveaxis(result, 0, 1))


@every_function
@pytest.mark.parametrize("boundary", ["reflect", "mirror", "nearest", "wrap", "zero", "fill"])
def test_modes_and_boundaries(name, boundary):
    function, radius = FUNCTIONS[name]
    frame, outside = frame_of((21, 23), "f4"), {"fill_value": 0.5} if boundary == "fill" else {}
    names = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}
    how = {"mode": names[boundary]} if boundary in names else {"constant_values": outside.get("fill_value", 0)}
    near, far = (np.pad(frame, n * radius, **how) for n in (1, 2))
    found = function(frame, boundary=boundary, **outside)
    same(found, function(near, mode="valid"), name)
    found = function(frame, boundary=boundary, mode="full", **outside)
    assert found.shape == (21 + 2 * radius, 23 + 2 * radius)
    same(found, function(far, mode="valid"), name)


@every_function
def test_a_kernel_larger_than_the_picture_in_mode_valid(name):
    function, radius = FUNCTIONS[name]
    with pytest.raises(ValueError, match="kernel must be no larger than image in mode 'valid'"):
        function(np.zeros((2 * radius, 30), "u1"), mode="valid")


@every_function
def test_results_of_floats_are_neither_rounded_nor_saturated(name):
    function, _ = FUNCTIONS[name]
    frame = frame_of((20, 20))
    for dtype in ("float32", "float64"):
        found = function(frame, dtype=dtype)
        assert found.dtype == dtype
        exact = function(frame.astype("f8"))
        if name != "sobel_direction":
            np.testing.assert_allclose(found, exact, rtol=1e-5, atol=2e-3)
    picture = function(Image.fromarray(frame), dtype="float32")
    np.testing.assert_array_equal(picture, function(frame, dtype="float32"))


def test_magnitudes_of_diagonals_exceed_8_bits():
    corner = np.zeros((8, 8), np.uint8)
    corner[4:, :] = 255
    corner[:, 4:] = 255
    assert image.sobel_magnitude(corner).max() == 255
    assert image.sobel_magnitude(corner, dtype="float32").max() == pytest.approx(255 * 0.75 * math.sqrt(2))


@every_function
def test_out_is_filled_and_may_be_the_image(name):
    function, _ = FUNCTIONS[name]
    for dtype in ("u1", "f4", ">f4", "i1", "?"):
        frame = frame_of((16, 17), "u1").astype(dtype)
        wanted = function(frame)
        out = np.empty_like(wanted)
        assert function(frame, out=out) is out
        np.testing.assert_array_equal(out, wanted)
        if wanted.dtype == frame.dtype:
            function(frame, out=frame)
            np.testing.assert_array_equal(frame, wanted)
    with pytest.raises(ValueError, match=r"out must have shape \(16, 17\)"):
        function(frame, out=np.zeros((3, 3), wanted.dtype))
    with pytest.raises(ValueError, match="out must have dtype"):
        function(frame, out=np.zeros((16, 17), "c8"))


@every_function
def test_methods_agree(name):
    function, _ = FUNCTIONS[name]
    frame = frame_of((40, 41), "f4")
    for method in ("direct", "fft", "separable") if "blur" in name and "motion" not in name else ("direct", "fft"):
        same(function(frame, method=method), function(frame), name)


# ------------------------------------------------------------------------------------------------------------- types

RESULTS = {"?": "f4", "i1": "i1", "f2": "f2", "u4": "u4", "i8": "i8", "u8": "u8", ">i8": ">i8", ">f2": ">f2"}


@every_function
@pytest.mark.parametrize("dtype", RESULTS)
def test_types_that_engines_do_not_take(name, dtype):
    function, _ = FUNCTIONS[name]
    frame = (frame_of((12, 13, 3)) // 2).astype(dtype)
    found, exact = function(frame), function(frame.astype("f8"))
    kind = np.dtype(RESULTS[dtype])
    if name in FLOATS:
        kind = np.dtype("f8" if kind.itemsize >= 4 and dtype != "?" else "f4")
    assert (found.dtype, found.shape) == (kind, frame.shape)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        exact = np.clip(np.rint(exact), max(limits.min, -(2**40)), min(limits.max, 2**40))
    if name != "sobel_direction":
        slack = {"i": 1, "u": 1}.get(kind.kind, 0.3 if kind.itemsize == 2 else 1e-3)
        assert np.abs(found.astype("f8") - exact).max() <= slack
    picture = function(frame, dtype="float32")
    assert picture.dtype == np.float32


def test_64_bit_integers_saturate_at_their_limits():
    for dtype in ("i8", "u8", "u4"):
        limits = np.iinfo(dtype)
        frame = np.array([[limits.max, limits.min]], dtype)
        assert image.filter(frame, [[2]]).tolist() == [[limits.max, limits.min]]
        assert image.filter(frame, [[1]]).tolist() == [[limits.max, limits.min]]
    assert image.filter(np.array([[100, -100]], "i1"), [[2]]).tolist() == [[127, -128]]
    assert image.filter(np.array([[60000]], "f2"), [[2]]).tolist() == [[np.inf]]


# ------------------------------------------------------------------------------------------------------------- alpha


def with_holes(shape, dtype="u1", seed=1):
    """Pixels of which many are transparent or opaque; alpha is the last channel."""
    pixels = frame_of(shape, "u1", seed)
    pixels[..., 2:9, 3:12, -1] = 0
    pixels[..., 12:, 12:, -1] = 255
    scaled = pixels / 255 if np.dtype(dtype).kind == "f" else pixels.astype("i4") * (257 if dtype == "u2" else 1)
    return scaled.astype(dtype)


def test_invisible_colours_do_not_bleed():
    picture = Image.new("RGBA", (3, 1), (0, 255, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 1, 1))
    blurred = image.filter(picture, kernels.box((1, 3)), boundary="nearest")
    assert [blurred.getpixel((k, 0)) for k in range(3)] == [(255, 0, 0, 170), (255, 0, 0, 85), (0, 0, 0, 0)]
    kept = image.filter(picture, kernels.box((1, 3)), boundary="nearest", alpha="keep")
    assert kept.getpixel((0, 0)) == (170, 85, 0, 255)


@every_function
def test_auto_filters_alpha_with_positive_sums_and_keeps_it_with_others(name):
    function, _ = FUNCTIONS[name]
    pixels = with_holes((20, 20, 4))
    is_derivative = name in SUM_OF_ZERO or "derivative" in name
    picture = Image.fromarray(pixels)
    result = function(picture)
    if is_derivative:
        expected = function(picture, alpha="keep")
    else:
        expected = function(picture, alpha="filter")
        assert np.abs(np.asarray(expected)[..., 3].astype(int) - pixels[..., 3]).max() > 20
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))
    array = function(pixels, alpha_channel=3)
    np.testing.assert_array_equal(array, np.asarray(result))
    np.testing.assert_array_equal(function(pixels, alpha_channel=-1), array)
    if name in SUM_OF_ZERO and name != "edges":
        with pytest.raises(ValueError, match="alpha must be 'auto' or 'keep' for a filter whose taps add up to 0"):
            function(picture, alpha="filter")
    stack = np.stack([pixels, pixels[::-1]])
    same(function(stack, axes=(1, 2), alpha_channel=-1)[0], array, name)


@every_function
def test_opaque_pictures_are_the_same_with_and_without_alpha(name):
    function, _ = FUNCTIONS[name]
    pixels = with_holes((20, 20, 4))
    pixels[..., 3] = 255
    found = np.asarray(function(Image.fromarray(pixels)))
    same(found[..., :3], np.asarray(function(Image.fromarray(np.ascontiguousarray(pixels[..., :3])))), name)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "f2", "i4"])
def test_filtered_alpha_of_arrays(dtype):
    pixels = with_holes((30, 31, 4), dtype)
    kernel = kernels.gaussian(1.3, dtype="f8")
    result = image.filter(pixels, kernel, alpha_channel=3)
    expected = filtered_with_alpha(pixels.astype("f8"), kernel, 0)
    if pixels.dtype.kind == "f":
        assert np.abs(result - expected).max() < (2e-3 if dtype == "f2" else 1e-4)
    else:
        assert np.abs(result - expected).max() <= 0.55  # sums of float32 are rounded
    for gain, offset in ((3, 0), (-1, 5), (0.5, 7)):
        plain = with_holes((30, 31, 4), dtype)
        plain[..., 3] = plain[..., 3].max()
        kwargs = {"scale": 1 / gain, "offset": offset, "dtype": "f8"}
        found = image.filter(plain, kernel, alpha_channel=3, **kwargs)[..., :3]
        wanted = image.filter(plain[..., :3], kernel, **kwargs)
        np.testing.assert_allclose(found, wanted, atol=1e-3 * float(plain.max()) + 1e-3)


@every_function
@pytest.mark.parametrize("mode", ["full", "valid"])
def test_kept_alpha_has_the_size_of_the_result(name, mode):
    function, radius = FUNCTIONS[name]
    pixels = with_holes((20, 20, 4))
    found = function(Image.fromarray(pixels), mode=mode, alpha="keep")
    if isinstance(found, Image.Image) or name == "local_mean":
        alpha = (
            np.pad(pixels[..., 3], radius, "symmetric") if mode == "full" else pixels[radius:-radius, radius:-radius, 3]
        )
        np.testing.assert_array_equal(np.asarray(found)[..., 3], alpha)
    else:
        assert not found[..., 3].any()


# ------------------------------------------------------------------------------------------------------ linear light


def decoded(values):
    values = np.asarray(values, float)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.asarray(light, float)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def test_a_checkerboard_blurs_to_188():
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    pair = [[0.25, 0.25], [0.25, 0.25]]
    assert np.all(image.filter(board, pair, boundary="wrap") == 128)
    assert np.all(image.filter(board, pair, boundary="wrap", linear=True) == 188)
    assert np.all(image.gaussian_blur(board, 4, boundary="wrap", linear=True) == 188)
    for mode in ("L", "RGB", "RGBA", "LA"):
        picture = Image.fromarray(board).convert(mode)
        assert np.all(np.asarray(image.filter(picture, pair, boundary="wrap", linear=True))[..., 0] == 188)
    deep = board.astype(np.uint16) * 257
    assert np.all(image.filter(deep, pair, boundary="wrap", linear=True) == 48192)
    assert image.filter(deep / 65535, pair, boundary="wrap", linear=True)[3, 3] == pytest.approx(encoded(0.5))


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f2", "f4", "f8"])
def test_filters_in_linear_light(dtype):
    white = {"u1": 255, "u2": 65535, ">u2": 65535}.get(dtype, 1)
    frame = (frame_of((25, 26, 3), "f8") * white).astype(dtype)
    kernel = kernels.gaussian(1.2, dtype="f8")
    expected = encoded(image.filter(decoded(frame.astype("f8") / white), kernel)) * white
    found = image.filter(frame, kernel, linear=True)
    assert found.dtype == frame.dtype
    assert np.abs(found - expected).max() <= (0.51 if white > 1 else {"f2": 2e-3, "f4": 1e-6}.get(dtype, 1e-14))
    same_again = image.filter(frame, [[1]], linear=True)
    np.testing.assert_allclose(same_again.astype("f8"), frame.astype("f8"), rtol=2e-3 if dtype == "f2" else 1e-6)


@every_function
def test_every_function_in_linear_light(name):
    function, _ = FUNCTIONS[name]
    frame = frame_of((20, 20))
    light = function(decoded(frame / 255))
    encodes = name not in SUM_OF_ZERO or name == "edges"
    if name == "sobel_direction":
        return same(function(frame, linear=True), light.astype("f4"), name)
    expected = encoded(light) * 255 if encodes else light * 255
    if "derivative" in name:  # the encoding of a negative number mirrors that of its size
        expected = np.sign(light) * encoded(np.abs(light)) * 255
    found = function(frame, linear=True, dtype="float32")
    inner = expected >= 0
    assert np.abs(found - expected)[inner].max() < 1e-2
    return None


def test_linear_light_with_alpha_and_outside():
    pixels = with_holes((20, 20, 4))
    light = pixels / 255
    light[..., :3] = decoded(light[..., :3])
    kernel = kernels.gaussian(1, dtype="f8")
    expected = filtered_with_alpha(light, kernel, 0)
    expected[..., :3] = encoded(expected[..., :3])
    found = image.filter(pixels, kernel, linear=True, alpha_channel=3)
    assert np.abs(found - expected * 255).max() <= 0.51
    np.testing.assert_array_equal(np.asarray(image.filter(Image.fromarray(pixels), kernel, linear=True)), found)
    grey = np.full((9, 9), 77, np.uint8)
    assert np.all(image.gaussian_blur(grey, 2, boundary="fill", fill_value=77, linear=True) == 77)
    with pytest.raises(ValueError, match="fill_value must be 0 or 255 for linear=True with alpha; got 77"):
        image.gaussian_blur(pixels, 2, boundary="fill", fill_value=77, linear=True, alpha_channel=3)


def test_missing_pixels_in_linear_light_and_of_other_types():
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    weights = np.ones((16, 16), bool)
    weights[4:6, 4:6] = False
    dusty = np.where(weights, board, 77).astype(np.uint8)
    pair = [[0.25, 0.25], [0.25, 0.25]]
    options = {"boundary": "wrap", "weights": weights, "missing_value": 9}
    found = image.filter(dusty, pair, linear=True, **options)
    assert found[5, 5] == 9
    assert np.all(found[8:, 8:] == 188)
    wide = image.filter(dusty.astype("i8") - 100, pair, **options)
    plain = image.filter(dusty.astype("i2") - 100, pair, **options)
    np.testing.assert_array_equal(wide, plain)
    masked = image.filter(np.ma.MaskedArray(dusty.astype("i1"), ~weights), pair, boundary="wrap")
    assert isinstance(masked, np.ma.MaskedArray)
    assert np.argwhere(masked.mask).tolist() == [[5, 5]]


# ------------------------------------------------------------------------------------------------- the functions


def test_a_sigma_of_zero_is_the_identity():
    frame = frame_of((12, 13))
    np.testing.assert_array_equal(image.gaussian_blur(frame, 0), frame)
    for sigmas in ((0, 1.5), (1.5, 0)):
        blurred = image.gaussian_blur(frame.astype("f8"), sigmas)
        line = kernels.gaussian(1.5, dtype="f8").sum(axis=0)
        kernel = line[np.newaxis] if sigmas[0] == 0 else line[:, np.newaxis]
        np.testing.assert_allclose(blurred, image.filter(frame.astype("f8"), kernel), rtol=1e-12)
    np.testing.assert_array_equal(image.unsharp_mask(frame, 0, 3), frame)
    volume = frame_of((5, 6, 7), "f8")
    assert np.array_equal(image.gaussian_blur(volume, (0, 0, 0), axes=(0, 1, 2)), volume)
    with pytest.raises(ValueError, match="order must be 0 along an axis with a sigma of 0; got 1"):
        image.gaussian_blur(frame, (0, 1), order=1)
    for order, error in ((-1, ValueError), (17, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"order must be an integer in 0 .. 16; got"):
            image.gaussian_blur(frame, 1, order=order)


def test_sigmas_of_each_axis_and_cuts_of_all_functions_of_gaussians():
    x = np.random.default_rng(3).standard_normal((30, 40))
    for sigma in ((1, 2), (0, 1.5), (0, 0)):
        for truncate in (4.0, 2.5):
            blurred = image.gaussian_blur(x, sigma, truncate=truncate)
            taps = kernels.gaussian(sigma, truncate, dtype="f8")
            np.testing.assert_allclose(image.filter(x, taps), blurred, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(
                image.unsharp_mask(x, sigma, 2, truncate=truncate), 3 * x - 2 * blurred, rtol=1e-12, atol=1e-12
            )
            np.testing.assert_allclose(
                image.filter(x, kernels.unsharp(sigma, 2, truncate, dtype="f8")),
                3 * x - 2 * blurred,
                rtol=1e-12,
                atol=1e-12,
            )
            if any(sigma):
                wide = image.gaussian_blur(x, tuple(1.6 * one for one in sigma), truncate=truncate)
                found = image.difference_of_gaussians(x, sigma, truncate=truncate)
                np.testing.assert_allclose(found, blurred - wide, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(image.difference_of_gaussians(x, 0, 2), x - image.gaussian_blur(x, 2), atol=1e-12)
    np.testing.assert_array_equal(kernels.gaussian(0), [[1]])


@pytest.mark.parametrize("order", [0, 1, 2, 3, (1, 0), (0, 2), (2, 3)])
def test_derivatives_equal_those_of_scipy(order):
    ndimage = pytest.importorskip("scipy.ndimage")
    frame = frame_of((30, 31), "f8")
    found = image.gaussian_blur(frame, (1.5, 2), order=order)
    np.testing.assert_allclose(found, ndimage.gaussian_filter(frame, (1.5, 2), order=order), atol=1e-12)


def test_gradients_and_laplacians():
    ndimage = pytest.importorskip("scipy.ndimage")
    frame = frame_of((30, 31), "f8")
    found = image.gaussian_gradient_magnitude(frame, (1.5, 2))
    np.testing.assert_allclose(found, ndimage.gaussian_gradient_magnitude(frame, (1.5, 2)), atol=1e-12)
    volume = frame_of((9, 10, 11), "f8")
    found = image.gaussian_gradient_magnitude(volume, 1, axes=(0, 1, 2))
    np.testing.assert_allclose(found, ndimage.gaussian_gradient_magnitude(volume, 1), atol=1e-12)
    for sigma in (0.2, 0.7, 1.4, 3):
        expected = image.filter(frame, kernels.log(sigma, dtype="f8"))
        np.testing.assert_allclose(image.laplacian_of_gaussian(frame, sigma), expected, atol=1e-10)
    found = image.laplacian_of_gaussian(volume, (2, 1, 1.5), axes=(0, 1, 2))
    np.testing.assert_allclose(found, ndimage.gaussian_laplace(volume, (2, 1, 1.5)), atol=2e-3)
    for function, across in ((image.scharr_magnitude, kernels.scharr_x), (image.prewitt_magnitude, kernels.prewitt_x)):
        kernel = across(dtype="f8")
        kernel /= np.abs(kernel).sum() / 2
        parts = [image.filter(frame, one) for one in (kernel, kernel.T)]
        np.testing.assert_allclose(function(frame), np.hypot(*parts), atol=1e-12)


def test_filters_of_named_kernels():
    for frame in (frame_of((20, 21, 3)), frame_of((20, 21), "f8")):
        for found, kernel in (
            (image.edges(frame), kernels.edge()),
            (image.emboss(frame), kernels.emboss()),
            (image.motion_blur(frame, 7, 30), kernels.motion(7, 30, dtype="f8")),
        ):
            np.testing.assert_allclose(found, image.filter(frame, kernel), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_magnitudes_of_large_and_of_tiny_numbers(dtype):
    limits = np.finfo(dtype)
    step = np.repeat(np.array([[0.0, 0.0, 1.0, 1.0]]), 4, axis=0)
    for scale in (float(limits.max) / 16, float(limits.tiny) * 64, 1e-30, 1.0, 1e18):
        x = (step * scale).astype(dtype)
        expected = np.float64(scale) * np.array([0, 1, 1, 0])
        np.testing.assert_allclose(image.sobel_magnitude(x)[1].astype("f8"), expected, atol=1e-6 * scale)
    x = step.astype(dtype)
    x[0, 0] = np.nan
    x[3, 0] = np.inf
    found = image.sobel_magnitude(x)
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[:2, 2:]).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("channel", [0, 3])
def test_alpha_and_numbers_that_are_not_finite_agree_in_all_methods(channel, odd):
    x = np.full((40, 40, 4), 0.5, np.float32)
    x[20, 20, channel] = odd
    kernel = np.outer([1, 2, 4, 6, 8, 6, 4, 2, 1], np.arange(1, 10))
    wanted = image.filter(x, kernel, alpha_channel=3, method="direct")
    found = image.filter(x, kernel, alpha_channel=3, method="separable")
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize(("order", "sigma"), [(2, 0.7), (4, 1.5), ((2, 2), 0.6), (1, 1.0)])
def test_derivatives_of_gaussians_keep_alpha(order, sigma):
    x = np.random.default_rng(0).integers(0, 256, (30, 30, 4), dtype=np.uint8)
    found = image.gaussian_blur(x, sigma, order=order, alpha_channel=3)
    np.testing.assert_array_equal(found[..., 3], x[..., 3])


@pytest.mark.parametrize(("dtype", "small"), [("f4", 1e-24), ("f8", 1e-170)])
def test_small_slopes_beside_large_ones_are_kept(dtype, small):
    x = np.zeros((40, 40), dtype)
    x[10:13, 10:13] = small
    alone = image.sobel_magnitude(x)
    assert alone.any()
    x[30, 30] = 1
    np.testing.assert_array_equal(image.sobel_magnitude(x)[:20, :20], alone[:20, :20])
