"""Template matching by the normalized cross-correlation."""

import numpy as np
import pytest
from PIL import Image

from fastconv import image

RNG = np.random.default_rng(1)
FRAME = RNG.integers(0, 256, (60, 80), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)
TEMPLATE = FRAME[20:33, 50:61]


def definition(x, template):
    """Scores at all places inside, in float64."""
    x, template = np.atleast_3d(x).astype("f8"), np.atleast_3d(template).astype("f8")
    template = template - template.mean((0, 1))
    views = np.lib.stride_tricks.sliding_window_view(x, template.shape[:2], (0, 1))
    views = views - views.mean((-2, -1), keepdims=True)
    products = np.einsum("abchw,hwc->ab", views, template)
    norms = np.sqrt((views**2).sum((-3, -2, -1)) * (template**2).sum())
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 1e-9)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8", "i1", "f2", ">u2"])
def test_scores_equal_the_definition(dtype):
    x = (FRAME // 2).astype(dtype)
    found = image.normalized_cross_correlation(x, x[20:33, 50:61])
    np.testing.assert_allclose(found.scores, definition(x, x[20:33, 50:61]), atol=1e-4 if dtype != "f8" else 1e-12)
    assert found.peak == (20, 50)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert found.scores.dtype == ("f8" if dtype in ("i4", "f8") else "f4")
    assert np.abs(found.scores).max() <= 1


def test_colours_add_up_and_alpha_is_left_out():
    template = COLOURS[5:16, 7:20]
    found = image.normalized_cross_correlation(COLOURS, template)
    np.testing.assert_allclose(found.scores, definition(COLOURS, template), atol=1e-4)
    assert found.peak == (5, 7)
    rgba = np.dstack([COLOURS, RNG.integers(0, 256, (60, 80), dtype=np.uint8)])
    for again in (
        image.normalized_cross_correlation(Image.fromarray(COLOURS), Image.fromarray(template)),
        image.normalized_cross_correlation(Image.fromarray(rgba), Image.fromarray(rgba[5:16, 7:20])),
        image.normalized_cross_correlation(rgba, rgba[5:16, 7:20], alpha_channel=3),
        image.normalized_cross_correlation(rgba, template, alpha_channel=-1),
    ):
        np.testing.assert_array_equal(again.scores, found.scores)
    single = image.normalized_cross_correlation(COLOURS, template[..., 1])
    assert single.scores.shape == (50, 68, 3)
    assert single.peak == (5, 7, 1)


def test_brightness_and_contrast_do_not_matter_and_flat_windows_score_0():
    scene = np.full((70, 90), 100, np.uint8)
    scene[10:23, 40:51] = TEMPLATE // 4 + 30
    found = image.normalized_cross_correlation(scene, TEMPLATE)
    assert found.peak == (10, 40)
    assert found.score > 0.99
    assert not found.scores[40:].any()
    negative = image.normalized_cross_correlation(255 - scene, TEMPLATE)
    assert negative.scores[10, 40] < -0.99
    large = image.normalized_cross_correlation(1e6 + 1e-3 * scene, TEMPLATE)
    np.testing.assert_allclose(large.scores, found.scores, atol=1e-5)
    assert not large.scores[40:].any()


@pytest.mark.parametrize("boundary", ["reflect", "zero", "fill", "wrap"])
def test_modes_and_boundaries(boundary):
    outside = {"fill_value": 200} if boundary == "fill" else {}
    how = {"reflect": {"mode": "symmetric"}, "wrap": {"mode": "wrap"}}.get(
        boundary, {"constant_values": 200 * bool(outside)}
    )
    for mode, around in (("same", [(6, 6), (5, 5)]), ("full", [(12, 12), (10, 10)])):
        found = image.normalized_cross_correlation(FRAME, TEMPLATE, mode=mode, boundary=boundary, **outside)
        np.testing.assert_allclose(found.scores, definition(np.pad(FRAME, around, **how), TEMPLATE), atol=1e-4)
        assert found.peak == (20 + 6 * (1 + (mode == "full")), 50 + 5 * (1 + (mode == "full")))


def test_stacks_out_types_methods_and_linear_light():
    stack = np.stack([FRAME, FRAME[::-1]])
    found = image.normalized_cross_correlation(stack, TEMPLATE, axes=(1, 2))
    usual = image.normalized_cross_correlation(FRAME, TEMPLATE)
    np.testing.assert_allclose(found.scores[0], usual.scores, atol=1e-5)
    assert found.peak == (0, 20, 50)
    out = np.empty_like(usual.scores)
    assert image.normalized_cross_correlation(FRAME, TEMPLATE, out=out).scores is out
    np.testing.assert_array_equal(out, usual.scores)
    for method in ("direct", "fft"):
        again = image.normalized_cross_correlation(FRAME, TEMPLATE, method=method, dtype="f8")
        assert again.scores.dtype == np.float64
        np.testing.assert_allclose(again.scores, usual.scores, atol=1e-5)
    linear = image.normalized_cross_correlation(FRAME, TEMPLATE, linear=True)
    assert linear.peak == (20, 50)
    assert np.abs(linear.scores - usual.scores).max() > 0.01


def test_a_nan_spoils_only_its_windows():
    x = FRAME.astype("f4")
    x[5, 5] = np.nan
    found = image.normalized_cross_correlation(x, TEMPLATE)
    assert np.isnan(found.scores[:6, :6]).all()
    assert np.isfinite(found.scores[6:]).all()
    assert found.peak == (20, 50)


@pytest.mark.parametrize(
    ("dtype", "odd"), [("f4", -3.4028235e38), ("f4", 1e17), ("f8", 1e200), ("f8", -1e300), ("i8", 2**62)]
)
@pytest.mark.parametrize("where", [np.s_[0, 0], np.s_[1, 1], np.s_[40:]])
def test_huge_pixels_spoil_only_their_windows(dtype, odd, where):
    """Marks of missing data: none at the pixels that are looked at, one of these, and a third of the picture."""
    x = FRAME.astype(dtype)
    spoiled = x.copy()
    spoiled[where] = odd
    found = image.normalized_cross_correlation(spoiled, TEMPLATE)
    assert found[1:] == ((20, 50), pytest.approx(1, abs=1e-6))
    usual = image.normalized_cross_correlation(x, TEMPLATE)
    np.testing.assert_allclose(found.scores[2:28], usual.scores[2:28], atol=1e-6)
    flat = spoiled.copy()
    flat[5:20, 5:30] = 0.1
    assert not image.normalized_cross_correlation(flat, TEMPLATE).scores[5:8, 5:20].any()


def test_scores_equal_those_of_scikit_image():
    feature = pytest.importorskip("skimage.feature")
    expected = feature.match_template(FRAME.astype("f8"), TEMPLATE.astype("f8"))
    np.testing.assert_allclose(image.normalized_cross_correlation(FRAME, TEMPLATE).scores, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("template", "options", "message"),
    [
        (np.ones((5, 5), "u1"), {}, "template must not be flat"),
        (np.full((5, 5), np.nan), {}, "template must be finite"),
        (np.eye(61, dtype="u1"), {}, r"template must be no larger than image in mode 'valid'; got \(61, 61\)"),
        (
            COLOURS[:5, :5],
            {},
            r"template must be of shape \(h, w\), or have the channels of image; got shape \(5, 5, 3\)",
        ),
        (np.eye(3, dtype="c8"), {}, "template must be a Pillow picture or an array of"),
        (np.arange(3), {}, "template must have at least 2 dimensions"),
    ],
)
def test_invalid_templates(template, options, message):
    with pytest.raises(ValueError, match=message):
        image.normalized_cross_correlation(FRAME, template, **options)


@pytest.mark.parametrize(
    ("dtype", "scale"), [("f4", 1e19), ("f4", 1e30), ("f4", 1e-30), ("f8", 1e155), ("f8", 1e200), ("f8", 1e-200)]
)
def test_scores_do_not_depend_on_the_scale(dtype, scale):
    x = (np.random.default_rng(3).standard_normal((40, 50)) * scale).astype(dtype)
    assert image.normalized_cross_correlation(x, x[10:20, 20:32])[1:] == ((10, 20), pytest.approx(1, abs=1e-5))
    usual = (x.astype("f8") / scale).astype(dtype)
    assert image.normalized_cross_correlation(x, usual[10:20, 20:32])[1:] == ((10, 20), pytest.approx(1, abs=1e-5))


def test_small_differences_beside_large_ones_are_found():
    x = (100 + np.random.default_rng(0).integers(0, 2, (60, 60))).astype(np.uint16)
    x[50:, 50:] = 65535
    assert image.normalized_cross_correlation(x, x[10:20, 20:30])[1:] == ((10, 20), pytest.approx(1, abs=1e-6))
    x = (60000 + np.random.default_rng(0).integers(0, 2, (60, 60))).astype(np.uint16)
    assert image.normalized_cross_correlation(x, x[10:20, 20:30])[1:] == ((10, 20), pytest.approx(1, abs=1e-6))


def test_masked_arrays_are_refused():
    x = np.random.default_rng(0).random((20, 20))
    with pytest.raises(ValueError, match="image must not be a masked array"):
        image.normalized_cross_correlation(np.ma.masked_less(x, 0.5), x[:5, :5])
    with pytest.raises(ValueError, match="template must not be a masked array"):
        image.normalized_cross_correlation(x, np.ma.masked_less(x[:5, :5], 0.5))
