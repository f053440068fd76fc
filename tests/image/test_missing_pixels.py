"""Pictures of which pixels are missing."""

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import image, kernels
from fastconv.kernels._profiles import gaussian_profiles
from tests.oracle import BOUNDARIES, normalized, saturated

KERNEL = np.array([[1, 2, 1], [2, 3, 1], [0, 1, 1]])
PIXELS = ("u1", "u2", "i2", "i4", "f4", "f8", ">u2", ">f4")


def frame_of(rng, shape, dtype):
    return rng.integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", PIXELS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_every_type_of_pixels(dtype, boundary):
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 3, (21, 34)) / 2
    weights[3:9, 4:11] = 0
    for shape in ((21, 34), (21, 34, 3)):
        frame = frame_of(rng, shape, dtype)
        options = {"boundary": boundary, "fill_value": 7 if boundary == "fill" else 0}
        found, shares = image.filter(frame, KERNEL, weights=weights, scale=12, offset=3, return_weight=True, **options)
        full = weights if len(shape) == 2 else weights[..., np.newaxis]
        expect, known = normalized(frame, KERNEL, "same", axes=(0, 1), weights=full, missing_value=0, **options)
        expect = np.where(known > 0, expect / 12 + 3, 0 if np.dtype(dtype).kind in "iu" else np.nan)
        assert (found.dtype, found.shape) == (frame.dtype, frame.shape)
        np.testing.assert_allclose(shares, known, rtol=1e-6)
        if np.dtype(dtype).kind == "f":
            np.testing.assert_allclose(found, expect, rtol=1e-5)
        else:
            lowest, highest = (saturated(expect + side, frame.dtype) for side in (-1e-3, 1e-3))
            assert np.all((lowest <= found) & (found <= highest))
    # No pixel can be missing, but outside.
    frame = frame_of(rng, (21, 34), dtype)
    found = image.filter(frame, KERNEL, nan="ignore", scale=12, **options)
    inner = (slice(1, -1),) * 2 if boundary == "zero" else ...
    np.testing.assert_array_equal(found[inner], image.filter(frame, KERNEL, scale=12, **options)[inner])


def test_pillow_pictures_and_their_alpha():
    rng = np.random.default_rng(2)
    frame = frame_of(rng, (20, 30, 4), "u1")
    mask = rng.random((20, 30)) < 0.7
    colours = image.gaussian_blur(frame, 1.5, weights=mask)
    for mode, channels in (("L", 0), ("RGB", slice(3)), ("RGBA", slice(4))):
        picture = Image.fromarray(frame[..., channels] if mode != "L" else frame[..., 0].copy(), mode=None)
        blurred = image.gaussian_blur(picture, 1.5, weights=mask)
        assert (blurred.mode, blurred.size) == (mode, picture.size)
        pixels = np.asarray(blurred)
        if mode == "RGBA":
            np.testing.assert_array_equal(pixels[..., 3], frame[..., 3])
            pixels = pixels[..., :3]
        np.testing.assert_array_equal(pixels, colours[..., 0] if mode == "L" else colours[..., :3])
    with_share, share = image.filter(picture, kernels.box(), weights=mask, return_weight=True)
    assert isinstance(with_share, Image.Image)
    assert share.shape == (20, 30, 4)
    with pytest.raises(ValueError, match="alpha must be 'keep' or 'auto' where pixels may be missing"):
        image.filter(picture, kernels.box(), weights=mask, alpha="filter")


@pytest.mark.parametrize("sigma", [1.0, 3.0, 40.0])
def test_gaussian_blurs(sigma):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((150, 170)).astype("f4")
    x[rng.random(x.shape) < 0.1] = np.nan
    x[20:50, 60:90] = np.nan
    found, share = image.gaussian_blur(x, sigma, nan="ignore", return_weight=True)
    taps = kernels.gaussian(sigma=sigma, dtype="float64")
    expect, known = normalized(x.astype(float), taps, "same", "reflect", nan="ignore")
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expect))
    np.testing.assert_allclose(share, known, atol=1e-5)
    np.testing.assert_allclose(found[known > 1e-3], expect[known > 1e-3], rtol=2e-3, atol=1e-3)
    constant = np.where(np.isnan(x), np.float32(np.nan), np.float32(3))
    blurred = image.gaussian_blur(constant, sigma, nan="ignore")
    np.testing.assert_allclose(blurred[~np.isnan(blurred)], 3, rtol=1e-6)


def test_masked_arrays_and_missing_values():
    frame = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    masked = np.ma.MaskedArray(frame, frame != 50)
    found = image.filter(masked, [[1, 1]], boundary="zero", missing_value=9)
    assert isinstance(found, np.ma.MaskedArray)
    assert found.dtype == np.uint8
    assert found.filled(9).tolist() == [[9, 9, 9], [9, 100, 100], [9, 9, 9]]
    assert found.data.tolist() == found.filled(9).tolist()
    out = np.zeros((3, 3), np.uint8)
    assert image.filter(frame, [[1, 1]], boundary="zero", weights=frame == 50, out=out) is out
    assert out.tolist() == [[0, 0, 0], [0, 100, 100], [0, 0, 0]]
    for options, message in (
        ({"missing_value": 300, "weights": 1}, "missing_value must be an integer in 0 .. 255"),
        ({"missing_value": 3}, "missing_value is for nan='ignore'"),
        ({"weights": np.ones((2, 2))}, "weights must be of a shape that broadcasts to"),
    ):
        with pytest.raises(ValueError, match=message):
            image.filter(frame, [[1, 1]], **options)


def holed(rng, shape, dtype="f4"):
    frame = rng.uniform(0, 200, shape).astype(dtype)
    frame[rng.random(shape) < 0.1] = np.nan
    frame[10:25, 12:30] = np.nan
    return frame


def known_sums(frame, taps, boundary, normalize, **options):
    return fastconv.convolve2d(
        frame.astype("f8"), taps, "same", boundary=boundary, nan="ignore", normalize=normalize, return_weight=True,
        **options,
    )  # fmt: skip


MAGNITUDES = {
    "sobel": (image.sobel_magnitude, kernels.sobel_x, kernels.sobel_y, 4),
    "scharr": (image.scharr_magnitude, kernels.scharr_x, kernels.scharr_y, 16),
    "prewitt": (image.prewitt_magnitude, kernels.prewitt_x, kernels.prewitt_y, 3),
}


@pytest.mark.parametrize("name", MAGNITUDES)
@pytest.mark.parametrize("boundary", ["zero", "reflect", "wrap"])
def test_gradients_are_those_of_distances_from_local_means(name, boundary):
    function, across, down, scale = MAGNITUDES[name]
    frame = holed(np.random.default_rng(4), (40, 50))
    mean, _ = known_sums(frame, np.ones((3, 3)) / 9, boundary, True)
    flat = np.where(np.isnan(frame), np.nan, 1)
    parts = []
    for make in (across, down):
        taps = make(dtype="float64")
        (sums, known), (ones, _) = (known_sums(one, taps, boundary, False) for one in (frame, flat))
        parts.append((sums - mean * ones, known))
    share = np.minimum(parts[0][1], parts[1][1])
    expect = np.where(share > 0, np.hypot(parts[0][0], parts[1][0]) / scale, np.nan)
    found, shares = function(frame, boundary=boundary, nan="ignore", return_weight=True)
    np.testing.assert_allclose(shares, share, rtol=1e-6)
    np.testing.assert_allclose(found, expect, rtol=1e-4, atol=1e-3)
    angle = image.sobel_direction(frame, boundary=boundary, nan="ignore", min_weight=0.999)
    whole = share > 0.999
    np.testing.assert_array_equal(np.isnan(angle), ~whole)
    # Where all is known the gradient is the ordinary one.
    ordinary = function(np.nan_to_num(frame), boundary=boundary)
    np.testing.assert_allclose(found[whole], ordinary[whole], rtol=1e-4, atol=1e-3)


def test_pictures_stay_what_they_are():
    rng = np.random.default_rng(5)
    frame, mask = frame_of(rng, (40, 50, 3), "u1"), rng.random((40, 50)) < 0.8
    mask[10:20, 10:20] = False
    floats = np.where(mask[..., np.newaxis], frame, np.nan)
    calls = {
        "sobel": lambda x, **options: image.sobel_magnitude(x, **options),
        "gradient": lambda x, **options: image.gaussian_gradient_magnitude(x, 1.0, **options),
        "unsharp": lambda x, **options: image.unsharp_mask(x, 1.0, **options),
    }
    for call in calls.values():
        expect, share = call(floats, nan="ignore", return_weight=True)
        lowest, highest = (saturated(np.nan_to_num(expect) + side, np.uint8) for side in (-1e-2, 1e-2))
        for picture in (frame, Image.fromarray(frame)):
            found, known = call(picture, weights=mask, missing_value=7, return_weight=True)
            assert type(found) is type(picture) or isinstance(found, Image.Image)
            pixels = np.asarray(found)
            assert pixels.dtype == np.uint8
            np.testing.assert_allclose(known, share, rtol=1e-5, atol=1e-6)
            unknown = known == 0
            assert (pixels[unknown] == 7).all()
            assert np.all((lowest <= pixels) & (pixels <= highest) | unknown)
        masked = call(np.ma.MaskedArray(frame, np.broadcast_to(~mask[..., np.newaxis], frame.shape)))
        assert isinstance(masked, np.ma.MaskedArray)
        np.testing.assert_array_equal(masked.mask, unknown)
        np.testing.assert_array_equal(masked.compressed(), pixels[~unknown])
        out = np.empty_like(frame)
        assert call(frame, weights=mask, missing_value=7, out=out) is out
        np.testing.assert_array_equal(out, pixels)


def test_differences_of_flat_pictures_with_holes():
    flat = np.full((60, 70), 5.0)
    flat[np.random.default_rng(6).random(flat.shape) < 0.3] = np.nan
    flat[20:40, 20:40] = np.nan
    for boundary in ("zero", "nearest"):
        options = {"boundary": boundary, "nan": "ignore"}
        sharpened, share = image.unsharp_mask(flat, 1.0, return_weight=True, **options)
        np.testing.assert_allclose(sharpened[share > 0], 5, rtol=1e-12)
        assert np.isnan(sharpened[share == 0]).all()
        assert (share == 0).any()
        band = image.difference_of_gaussians(flat, 1.0, **options)
        np.testing.assert_allclose(band[share > 0], 0, atol=1e-12)
        np.testing.assert_array_equal(np.isnan(band), share == 0)
        curvature = image.laplacian_of_gaussian(flat, 1.0, min_weight=0.5, missing_value=-1, **options)
        assert (curvature[25:35, 25:35] == -1).all()


def test_a_missing_pixel_is_sharpened_from_its_neighbours():
    frame = holed(np.random.default_rng(7), (40, 50), "f8")
    for mode in ("same", "full", "valid"):
        for boundary in ("zero", "nearest", "wrap"):
            options = {"mode": mode, "boundary": boundary, "nan": "ignore"}
            blurred = image.gaussian_blur(frame, 1.5, **options)
            sharp = image.unsharp_mask(frame, 1.5, 2.0, **options)
            same = image.unsharp_mask(frame, 1.5, 2.0, boundary=boundary, nan="ignore")
            inner = {"same": np.s_[:, :], "full": np.s_[6:-6, 6:-6], "valid": np.s_[:, :]}[mode]
            part = np.s_[6:-6, 6:-6] if mode == "valid" else np.s_[:, :]
            np.testing.assert_allclose(sharp[inner], same[part], rtol=1e-12)
            missing = np.isnan(frame[part])
            np.testing.assert_allclose(sharp[inner][missing], blurred[inner][missing], rtol=1e-12)
            expect = 3 * frame[part][~missing] - 2 * blurred[inner][~missing]
            np.testing.assert_allclose(sharp[inner][~missing], expect, rtol=1e-10, atol=1e-10)
            if mode == "full" and boundary == "zero":  # there is no pixel outside
                np.testing.assert_allclose(sharp[:6], blurred[:6], rtol=1e-12)


def test_local_means_leave_out_missing_pixels():
    frame = holed(np.random.default_rng(9), (40, 50))
    found, share = image.local_mean(frame, (5, 9), nan="ignore", return_weight=True)
    expect, known = known_sums(frame, np.full((5, 9), 1 / 45), "reflect", True)
    np.testing.assert_allclose(found, expect, rtol=1e-5)
    np.testing.assert_allclose(share, known, rtol=1e-5)
    with pytest.raises(ValueError, match="image must not be a masked array: local_std"):
        image.local_std(np.ma.masked_invalid(frame))


def test_linear_light_with_holes():
    rng = np.random.default_rng(8)
    frame, mask = frame_of(rng, (30, 31), "u1"), rng.random((30, 31)) < 0.7
    for call in (image.sobel_magnitude, image.unsharp_mask):
        found = call(frame, weights=mask, linear=True)
        again = frame.copy()
        again[~mask] = 255  # hidden
        np.testing.assert_array_equal(call(again, weights=mask, linear=True), found)
        assert found.dtype == np.uint8


@pytest.mark.parametrize(
    "call",
    [image.sobel_magnitude, image.sobel_direction, image.unsharp_mask, image.edges, image.emboss],
    ids=lambda call: call.__name__,
)
def test_options_of_missing_pixels_are_checked(call):
    frame = np.ones((5, 5), np.float32)
    for options, error, message in (
        ({"min_weight": 0.5}, ValueError, "min_weight is for nan='ignore', weights, and masked arrays only"),
        ({"return_weight": True}, ValueError, "return_weight is for nan='ignore'"),
        ({"missing_value": 3}, ValueError, "missing_value is for nan='ignore'"),
        ({"nan": "omit"}, ValueError, "nan must be 'propagate' or 'ignore'"),
        ({"weights": 2}, ValueError, r"weights must lie in 0 \.\. 1"),
        ({"nan": "ignore", "min_weight": 1}, ValueError, "min_weight must lie in 0"),
    ):
        with pytest.raises(error, match=message):
            call(frame, **options)
    with pytest.raises(ValueError, match="kernel must have a sum other than 0"):
        image.filter(frame, kernels.sobel_x(), nan="ignore")


def test_relief_around_a_hole_is_not_divided_by_a_sum_near_zero():
    x = np.random.default_rng(0).uniform(100, 103, (9, 9))
    weights = np.ones(x.shape)
    weights[4, 4] = 0
    found = image.emboss(x, weights=weights)
    np.testing.assert_allclose(found[7:], image.emboss(x)[7:], rtol=1e-12)
    assert np.abs(found).max() < 500


ZERO_SUMS = {
    "sobel": (image.sobel_magnitude, 0),
    "scharr": (image.scharr_magnitude, 0),
    "prewitt": (image.prewitt_magnitude, 0),
    "gradient": (lambda x, **options: image.gaussian_gradient_magnitude(x, 1.5, **options), 0),
    "direction": (image.sobel_direction, 0),
    "curvature": (lambda x, **options: image.laplacian_of_gaussian(x, 1.5, **options), 0),
    "edges": (image.edges, 0),
    "derivative": (lambda x, **options: image.gaussian_blur(x, 1.5, order=(0, 1), **options), 0),
    "relief": (image.emboss, 1),
}


@pytest.mark.parametrize("name", ZERO_SUMS)
@pytest.mark.parametrize("boundary", ["zero", "fill", "reflect"])
def test_flat_pictures_with_holes_have_no_edges(name, boundary):
    call, gain = ZERO_SUMS[name]
    options = {"boundary": boundary, "fill_value": 77} if boundary == "fill" else {"boundary": boundary}
    mask = np.random.default_rng(6).random((40, 50)) > 0.2
    mask[10:28, 20:40] = False
    for dtype in ("u1", "f4"):
        flat = np.full((40, 50), 77, dtype)
        found, share = call(flat, weights=mask, return_weight=True, dtype="f4", **options)
        assert 0 < (share == 0).sum() < share.size
        np.testing.assert_allclose(found[share > 0], 77 * gain, rtol=1e-6, atol=0)
    holes = np.where(mask, np.float32(77), np.float32(np.nan))
    np.testing.assert_allclose(call(holes, nan="ignore", **options)[share > 0], 77 * gain, rtol=1e-6, atol=0)
    picture = np.asarray(call(Image.fromarray(np.full((40, 50), 77, np.uint8)), weights=mask, **options))
    np.testing.assert_array_equal(picture[share > 0], 77 * gain)


def test_the_gradient_around_holes_is_that_of_the_normalized_blur():
    rng = np.random.default_rng(11)
    x, mask = 100 + 10 * rng.standard_normal((40, 50)), rng.random((40, 50)) > 0.3
    found = image.gaussian_blur(x, 2.0, order=(0, 1), weights=mask)
    plain, first = kernels.gaussian(2.0, dtype="f8"), np.outer(*gaussian_profiles(2.0, 4.0, 2, (0, 1)))
    sums, weights, slopes, slope_weights = (
        fastconv.convolve2d(one, taps, "same", boundary="reflect")
        for taps in (plain, first)
        for one in (x * mask, mask.astype("f8"))
    )
    exact = (slopes - sums / weights * slope_weights) / weights
    # Where as much of the taps of both is known, the quotients are the same.
    share = fastconv.convolve2d(mask.astype("f8"), np.abs(first), "same", boundary="reflect") / np.abs(first).sum()
    np.testing.assert_allclose(found * share, exact * weights, rtol=1e-9, atol=1e-9)


def test_derivatives_by_a_single_tap_are_0_where_anything_is_known():
    x = np.ones((9, 9), np.float32)
    x[4, 4] = np.nan
    found, shares = image.gaussian_blur(x, 0.3, truncate=1, order=(1, 0), nan="ignore", return_weight=True)
    np.testing.assert_array_equal(found, np.where(np.isnan(x), np.nan, 0))
    np.testing.assert_array_equal(shares, ~np.isnan(x))
    masked = image.gaussian_gradient_magnitude(np.ma.masked_invalid(x), 0.3, truncate=1)
    np.testing.assert_array_equal(masked.mask, np.isnan(x))
    assert (masked.compressed() == 0).all()
