"""Pictures of which pixels are missing."""

import numpy as np
import pytest
from PIL import Image

from fastconv import image, kernels
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
