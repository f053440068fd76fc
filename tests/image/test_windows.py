"""Means and standard deviations over windows."""

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import image, kernels
from fastconv._planning.pictures import windows
from fastconv._runtime.instrumentation import forced, observed
from tests.oracle import BOUNDARIES, LAYOUTS

PADS = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}
WINDOWS = [(3, 3), (1, 5), (5, 1), (4, 6), (7, 8), (1, 1), (19, 5), (2, 29), (25, 40), (16, 16)]


def windows_of(x, size, mode, boundary, fill_value=0):
    """All windows, along the last two axes, as floats."""
    around = {"same": [(n // 2, (n - 1) // 2) for n in size], "full": [(n - 1, n - 1) for n in size]}
    pads = [*around.get(mode, [(0, 0)] * 2), *[(0, 0)] * (x.ndim - 2)]
    how = {"mode": PADS[boundary]} if boundary in PADS else {"constant_values": fill_value}
    return np.lib.stride_tricks.sliding_window_view(np.pad(x.astype("f8"), pads, **how), size, (0, 1))


def frame_of(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (100 * rng.standard_normal(shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True, dtype=np.dtype(dtype).newbyteorder("=")).astype(
        dtype
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", WINDOWS)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f4"])
def test_means_and_deviations_equal_the_definition(dtype, size, boundary):
    outside = {"fill_value": 77} if boundary == "fill" else {}
    for shape in ((23, 31), (9, 45, 3)):
        x = frame_of(shape, dtype)
        scale = float(np.abs(x.astype("f8")).max())
        for mode in ("same", "full", "valid"):
            if mode == "valid" and (size[0] > shape[0] or size[1] > shape[1]):
                continue
            every = windows_of(x, size, mode, boundary, **outside)
            options = {"mode": mode, "boundary": boundary, **outside}
            mean = image.local_mean(x, size, **options, dtype="f8")
            assert np.abs(mean - every.mean((-2, -1))).max() <= (1e-5 if np.prod(size) <= 225 else 1e-13) * scale
            std = image.local_std(x, size, **options, dtype="f8")
            assert np.abs(std - every.std((-2, -1))).max() <= 1e-7 * scale
            if x.dtype.kind in "iu":
                sums, count = every.sum((-2, -1)).astype(np.int64), int(np.prod(size))
                exact, rest = sums // count, sums % count
                exact += (2 * rest > count) | ((2 * rest == count) & (exact % 2 == 1))
                np.testing.assert_array_equal(image.box_blur(x, size, **options), exact.astype(x.dtype))


def test_the_engine_runs_for_large_windows_in_every_layout():
    for dtype in ("u1", "f4", "i2"):
        x = frame_of((40, 50, 3), dtype)
        wanted = image.box_blur(x, (21, 13))
        for name, layout in LAYOUTS.items():
            with observed() as events:
                np.testing.assert_array_equal(image.box_blur(layout(x), (21, 13)), wanted, err_msg=name)
            assert [event.name for event in events if event.name in ("windows", "direct", "separable")] == ["windows"]
        planes = np.moveaxis(x, -1, 0)
        np.testing.assert_array_equal(image.box_blur(planes, (21, 13), axes=(1, 2)), np.moveaxis(wanted, -1, 0))
        turned = image.box_blur(x.transpose(1, 0, 2), (13, 21), axes=(0, 1)).transpose(1, 0, 2)
        if dtype == "f4":
            np.testing.assert_allclose(turned, wanted, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(turned, wanted)
        flipped = image.box_blur(x.transpose(1, 0, 2), (21, 13), axes=(1, 0)).transpose(1, 0, 2)
        np.testing.assert_array_equal(flipped, wanted)


def test_large_windows_agree_with_the_kernel():
    for size in ((31, 31), (40, 17)):
        x = frame_of((90, 100), "f8")
        expected = image.filter(x, kernels.box(size, dtype="f8"))
        np.testing.assert_allclose(image.box_blur(x, size), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("channels", [1, 3])
def test_sums_of_whole_floats_are_exact_however_windows_are_cut(channels):
    whole = np.random.default_rng(3).integers(-1000, 1000, (310, 520, channels))
    sizes = [(1, columns) for columns in (*range(1, 70), 223, 224, 225, 256, 500)]
    sizes += [(rows, 1) for rows in (2, 6, 7, 8, 25, 26, 27, 49, 50, 51, 73, 101, 150, 289, 300)]
    for rows, columns in [*sizes, (26, 31), (50, 64), (97, 230)]:
        x = whole[:9] if rows == 1 else whole[:, :30] if columns == 1 else whole
        pads = [(n // 2, (n - 1) // 2) for n in (rows, columns)]
        sums = np.pad(np.pad(x, [*pads, (0, 0)], mode="symmetric"), [(1, 0), (1, 0), (0, 0)]).cumsum(0).cumsum(1)
        down = sums[rows:] - sums[:-rows]
        expected = (down[:, columns:] - down[:, :-columns]) / (rows * columns)
        found = image.local_mean(x.astype("f4"), (rows, columns), dtype="f8")
        np.testing.assert_array_equal(found, expected, err_msg=f"{rows} x {columns}")


def test_small_deviations_around_a_large_mean():
    rng = np.random.default_rng(1)
    noise = 1e-3 * rng.standard_normal((80, 90))
    for size in ((5, 5), (31, 31), (80, 3)):
        exact = windows_of(noise, size, "valid", "zero").std((-2, -1))
        found = image.local_std(1e6 + noise, size, mode="valid")
        np.testing.assert_allclose(found, exact, rtol=1e-4)
    # A slope of 1e6 across the picture, under noise that is as small.
    slope = np.linspace(0, 1e6, 90) + noise
    exact = windows_of(slope - slope.mean(), (5, 5), "valid", "zero").std((-2, -1))
    np.testing.assert_allclose(image.local_std(slope, 5, mode="valid"), exact, rtol=1e-12)
    flat = np.full((40, 40), 1e6 / 3)
    assert image.local_std(flat, 15).max() < 1e-9
    assert not image.local_std(np.full((40, 40), 255, np.uint8), 15).any()


@pytest.mark.parametrize("size", [11, 61])
def test_large_numbers_and_nans_stay_in_their_windows(size):
    x = frame_of((140, 150), "f4")
    wanted, deviations = image.box_blur(x, size), image.local_std(x, size)
    for odd in (np.nan, np.inf, 1e30, -1e37):
        spoiled = x.copy()
        spoiled[60, 75] = odd
        touched = np.zeros(x.shape, bool)
        touched[60 - size // 2 : 61 + size // 2, 75 - size // 2 : 76 + size // 2] = True
        for found, usual in ((image.box_blur(spoiled, size), wanted), (image.local_std(spoiled, size), deviations)):
            np.testing.assert_array_equal(found[~touched], usual[~touched])
            assert np.all(~(np.abs(found[touched] - usual[touched]) < 1e25))


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8"])
def test_bits_do_not_depend_on_the_number_of_workers(dtype):
    x = frame_of((700, 600), dtype)
    for size in ((15, 15), (150, 7)):
        for function in (image.box_blur, image.local_std):
            usual = function(x, size)
            for workers in (1, 2, 5):
                np.testing.assert_array_equal(function(x, size, workers=workers), usual)
    with forced(cpus=8):
        np.testing.assert_array_equal(image.local_std(x, (150, 7)), usual)


def test_sums_beyond_32_bits_are_exact():
    x = np.full((300, 400), 65535, np.uint16)
    assert np.all(image.box_blur(x, (299, 399)) == 65535)
    x = np.full((70, 70), -(2**31), np.int32)
    assert np.all(image.box_blur(x, 61) == -(2**31))


def test_alpha_and_pictures():
    pixels = frame_of((40, 41, 4), "u1")
    pixels[:20, :20, 3] = 0
    pixels[25:, 25:, 3] = 255
    picture = Image.fromarray(pixels)
    for size in (3, 9, 17):
        found = np.asarray(image.box_blur(picture, size)).astype(int)
        expected = np.asarray(image.filter(picture, kernels.box(size, dtype="f8"), alpha="filter"))
        assert np.abs(found - expected).max() <= 1
        np.testing.assert_array_equal(np.asarray(image.box_blur(picture, size, alpha="keep"))[..., 3], pixels[..., 3])
    assert not image.local_std(picture, 9)[..., 3].any()
    for mode in ("1", "L", "RGB", "I;16", "I", "F"):
        given = Image.new(mode, (30, 20), 1)
        assert image.box_blur(given, 7).mode == mode
    filled = image.box_blur(picture, 17, boundary="fill", fill_value=255)
    expected = image.filter(picture, kernels.box(17, dtype="f8"), boundary="fill", fill_value=255)
    np.testing.assert_array_equal(np.asarray(filled), np.asarray(expected))


def test_missing_pixels_and_methods_take_the_convolution():
    x = frame_of((50, 60), "f8")
    weights = np.random.default_rng(2).random(x.shape) < 0.8
    blurred = image.box_blur(x, 17, weights=weights)
    np.testing.assert_allclose(blurred, image.filter(x, kernels.box(17, dtype="f8"), weights=weights), rtol=1e-9)
    np.testing.assert_allclose(image.box_blur(x, 17, method="fft"), image.box_blur(x, 17), atol=1e-9)


def test_wide_arrays_are_cut_into_stripes():
    x = frame_of((1030, 5000), "f4")
    found = image.local_std(x, (1001, 3))
    columns = [0, 1, 2499, 3333, 4998]
    for column in columns:
        part = x[:, max(0, column - 1) : column + 2].astype("f8")
        if part.shape[1] == 3:
            assert found[515, column] == pytest.approx(part[515 - 500 : 515 + 501].std(), rel=1e-5)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_stripes_have_the_same_results(boundary, monkeypatch):
    x, options = frame_of((40, 150, 2), "f4"), {"boundary": boundary, "fill_value": 7 if boundary == "fill" else 0}
    calls = [(function, mode) for function in (image.box_blur, image.local_std) for mode in ("same", "full", "valid")]
    expected = [function(x, (21, 8), mode=mode, **options) for function, mode in calls]
    fastconv.clear_caches()
    monkeypatch.setattr(windows, "MOST_SCRATCH", 1 << 14)
    for (function, mode), expect in zip(calls, expected):
        with observed() as events:
            found = function(x, (21, 8), mode=mode, **options)
        assert sum(event.name == "windows" for event in events) > 2
        np.testing.assert_allclose(found, expect, rtol=1e-6, atol=1e-5)
    fastconv.clear_caches()


@pytest.mark.parametrize("size", [0, -1, (3, 0), (1, 2, 3), 1.5, "3", (1 << 20, 1 << 20)])
def test_invalid_sizes(size):
    for function in (image.box_blur, image.local_mean, image.local_std):
        with pytest.raises((ValueError, TypeError), match="size"):
            function(np.zeros((9, 9), "u1"), size)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 3), (7, 5), (18, 17)])
@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_deviations_of_windows_that_hold_no_number_are_nan(size, odd):
    x = frame_of((40, 50), "f8")
    x[20, 25] = odd
    touched = ~np.isfinite(windows_of(x, size, "same", "reflect")).all((-2, -1))
    np.testing.assert_array_equal(np.isnan(image.local_std(x, size)), touched)


@pytest.mark.parametrize("dtype", ["i1", "u2"])
def test_integers_are_rounded_once(dtype):
    limits = np.iinfo(dtype)
    x = np.full((401, 401), limits.max // 2, dtype)
    x.flat[: x.size // 2 + 2] += 1
    mean = x.astype("f8").mean()
    assert 0 < mean % 1 - 0.5 < 1e-4
    assert image.box_blur(x, 401, mode="valid").item() == limits.max // 2 + 1


@pytest.mark.parametrize("size", [(201, 201), (255, 255), (256, 255), (257, 256), (258, 129), (257, 300)])
def test_means_of_bytes_around_halves_and_of_the_largest_sums(size):
    x, count = np.empty(size, np.uint8), size[0] * size[1]
    for level in (0, 1, 127, 128, 253, 254):
        for more in (-1, 0, 1):
            x[:] = level
            x.flat[: count // 2 + more] += 1
            mean = level + (2 * (count // 2 + more) > count or (2 * (count // 2 + more) == count and level % 2))
            assert image.box_blur(x, size, mode="valid").item() == mean
    x[:] = 255
    assert (image.box_blur(x, size) == 255).all()


def test_opaque_pictures_have_the_means_of_their_colours():
    for dtype, size in (("u2", 17), ("u1", 31)):
        colours = frame_of((60, 70, 3), dtype)
        opaque = np.dstack([colours, np.full((60, 70), np.iinfo(dtype).max, dtype)])
        np.testing.assert_array_equal(
            image.box_blur(opaque, size, alpha_channel=3)[..., :3], image.box_blur(colours, size)
        )


@pytest.mark.parametrize(("dtype", "large"), [("f4", 3e38), ("f8", 1.7e308)])
def test_means_and_deviations_of_large_floats_do_not_overflow(dtype, large):
    large = np.dtype(dtype).type(large)
    x = np.full((30, 40), large)
    x[:, 1::2] *= -1
    for size in (2, 3, 9, 16, 21):
        flat = image.box_blur(np.abs(x), size)
        np.testing.assert_allclose(flat, large, rtol=1e-6)
        for weights in (None, np.arange(40) % 5 < 4):
            means = image.local_mean(x, size, mode="valid", weights=weights, method="auto" if size < 9 else "direct")
            assert np.abs(means).max() <= large
        wanted = (x[:size, :size] / large).astype("f8").std()
        np.testing.assert_allclose(image.local_std(x, size, mode="valid") / large, wanted, rtol=1e-6)
    x[12, 20] = np.inf
    assert np.isfinite(image.box_blur(np.abs(x), 5)[:, :18]).all()
    assert np.isinf(image.box_blur(np.abs(x), 5)[12, 20])


@pytest.mark.parametrize(("size", "dtype"), [(2, "u1"), (9, "u1"), (16, "u1"), (50, "u1"), (9, "u2"), (90, "u2")])
def test_every_remainder_is_rounded_half_to_even(size, dtype):
    # Windows of one row whose sums are all those around halves, and all remainders.
    most = int(np.iinfo(dtype).max)
    sums = np.concatenate([(2 * q + 1) * size // 2 + np.arange(-3, 4) for q in range(0, most, max(1, most // 500))])
    sums = np.concatenate([sums, np.arange(min(most * size, 4000))]).clip(0, most * size)
    x = np.zeros((sums.size, size), dtype)
    x[:] = (sums // size)[:, np.newaxis]
    x[np.arange(size) < (sums % size)[:, np.newaxis]] += 1
    found = image.box_blur(x, (1, size), mode="valid")[:, 0].astype(int)
    quotient, rest = sums // size, sums % size
    quotient += (2 * rest > size) | ((2 * rest == size) & (quotient % 2 == 1))
    np.testing.assert_array_equal(found, quotient)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i2", "f4", "f8", "?", "f2"])
def test_results_of_float64_have_its_precision(dtype):
    x = np.array([[1, 2, 2]]).astype(dtype)
    for function, wanted in ((image.local_mean, x.mean(dtype="f8")), (image.local_std, x.std(dtype="f8"))):
        found = function(x, (1, 3), mode="valid", dtype="float64")
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, rtol=1e-15)
