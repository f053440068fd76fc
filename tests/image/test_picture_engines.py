"""The engines of `image.filter`: integer and float sums, and their conversion to pixels."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fastconv
from fastconv import image, kernels
from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._model.separability import Separable
from fastconv._planning.method_choice import Choice
from fastconv._planning.pictures import picture_plans
from fastconv._runtime import bounded_cache
from fastconv._runtime.instrumentation import forced, observed
from tests import sizes
from tests.oracle import (
    BOUNDARIES,
    LAYOUTS,
    MODES,
    blurred,
    check_rounded,
    filtered_with_alpha,
    picture_sums,
    pixels,
    saturated,
)

DTYPES = ("u1", "u2", "i2", "i4")
METHODS = ("direct", "separable", "fft")


def documented_distance(x, taps, scale=1.0, offset=0.0):
    """Error of a result before rounding to an integer, as documented by `image.filter`.

    The rounding errors of the quotient and the offset are added.
    """
    eps = 6e-8 if x.dtype.itemsize < 4 else 1.2e-16
    size = np.abs(taps).sum() * float(np.abs(x.astype(float)).max())
    return eps * (taps.size * size + 3 * size) / abs(scale) + 2 * eps * abs(offset)


# ---------------------------------------------------------------------------------------------------- actual results


def request(x, **options):
    plain = {
        "x_dtype": x.dtype,
        "x_shape": x.shape,
        "dtype": x.dtype.newbyteorder("="),
        "mode": "same",
        "axes": (0, 1),
        "boundary": "reflect",
        "fill_value": 0,
        "scale": 1.0,
        "offset": 0.0,
        "flip": True,
        "premultiplied": False,
    }
    return picture_plans.Request(**{**plain, **options})


def wide(x, taps, method, **options):
    """Filter by one method, with float sums."""
    return _run(*picture_plans.wide(request(x, **options), np.asarray(taps, float)), method, x)


def narrow(x, taps, method, **options):
    """Filter by one method, with 16-bit sums."""
    return _run(*picture_plans.narrow(request(x, **options), np.asarray(taps, float)), method, x)


def _run(problem, taps, method, x):
    if method == "tapwise":
        prepared = NumpyEngine(problem)
    else:
        prepared = Choice(problem, method).prepare(taps)
        assert prepared.method == method
    out = np.full(problem.out_shape, 77, problem.dtype)
    if method == "tapwise":
        prepared(x, taps, out)
    else:
        prepared.run(x, out, None)
    return out


def random_pixels(rng, shape, dtype="u1"):
    """Random pixels, in some cases only of minimum and maximum value."""
    limits = np.iinfo(dtype)
    if rng.random() < 0.3:
        return rng.choice(np.array([limits.min, limits.max], dtype), shape)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def integer_taps(rng, shape, kind):
    """Integer taps, at least one of which is 1."""
    if kind == "outer":
        column, row = (rng.integers(-3, 4, extent) for extent in shape)
        column[rng.integers(shape[0])], row[rng.integers(shape[1])] = 1, -1
        return np.outer(column, row)
    taps = rng.integers(*{"few": (-1, 2), "small": (-3, 4), "large": (-99, 100)}[kind], shape)
    taps[tuple(rng.integers(shape))] = 1
    return taps


SHAPES = st.tuples(st.integers(1, 200), st.integers(1, 200), st.integers(1, 5))
EXTENTS = st.tuples(st.integers(1, 9), st.integers(1, 9))
SEEDS = st.integers(0, 2**32 - 1)


def valid_options(x, extents, mode, boundary):
    """Options with a mode that this kernel allows, and a valid fill value."""
    fits = all(extent <= room for extent, room in zip(extents, x.shape))
    return {
        "mode": mode if fits else "same",
        "boundary": boundary,
        "fill_value": int(x.flat[0]) if boundary == "fill" else 0,
    }


# ------------------------------------------------------------------------------------------------------ exact results

# Integers: powers of two, others, and a negative one.
SCALES = (1, 2, 3, 4, 6, 10, 16, 257, -3)


@settings(deadline=None, max_examples=150)
@given(
    SEEDS,
    SHAPES,
    EXTENTS,
    st.sampled_from(["few", "small", "large", "outer"]),
    st.sampled_from(MODES),
    st.sampled_from(BOUNDARIES),
    st.booleans(),
    st.sampled_from([(scale, offset) for scale in SCALES for offset in (0, 128)] + [(4, -7), (8, 0.5), (64, 0.25)]),
)
def test_integer_taps_are_exact(seed, shape, extents, kind, mode, boundary, flip, finish):
    rng = np.random.default_rng(seed)
    x, taps = random_pixels(rng, shape), integer_taps(rng, extents, kind)
    options = valid_options(x, extents, mode, boundary)
    scale, offset = finish
    sums = picture_sums(x, taps, flip=flip, **options)
    result = image.filter(x, taps, scale=scale, offset=offset, correlate=not flip, **options)
    np.testing.assert_array_equal(result, pixels(sums, "u1", scale, offset))
    np.testing.assert_array_equal(
        image.filter(x, taps, correlate=not flip, dtype="float32", **options), sums.astype("f4")
    )


@pytest.mark.parametrize("extents", [(40, 1), (1, 40), (13, 17), (31, 8), (24, 23)])
@pytest.mark.parametrize("method", ["direct", "separable"])
def test_large_kernels_of_integer_taps_are_exact(method, extents):
    rng = np.random.default_rng(1)
    for boundary in ("reflect", "wrap", "zero"):
        x = random_pixels(rng, (67, 90, 3))
        taps = integer_taps(rng, extents, "outer" if method == "separable" else "small")
        sums = picture_sums(x, taps, boundary=boundary)
        result = wide(x, taps, method, boundary=boundary, scale=4.0, offset=128.0)
        np.testing.assert_array_equal(result, pixels(sums, "u1", 4, 128))


def taps_with_total(rng, total, extents, signs):
    """Integer taps whose absolute values sum to `total`; none is 0, and one is 1."""
    taps = np.ones(extents, int)
    most = taps.ravel()[1:]
    most += rng.multinomial(total - taps.size, np.full(most.size, 1 / most.size))
    if signs == "mixed":
        return np.where(np.arange(taps.size).reshape(extents) % 2, taps, -taps)
    return taps if signs == "positive" else -taps


def extremes(taps):
    """Pixels of 0 and 255 that give the smallest and the largest sum, and some sums in between."""
    turned = np.flip(taps)
    order = np.argsort(turned, axis=None)
    tiles = [(turned > 0) * 255, (turned < 0) * 255]
    for count in np.linspace(0, taps.size, min(taps.size, 12), dtype=int):
        tile = np.zeros(taps.size, int)
        tile[order[:count]] = 255
        tiles += [tile.reshape(taps.shape), 255 - tile.reshape(taps.shape)]
    return np.concatenate(tiles, axis=1).astype(np.uint8)


@pytest.mark.parametrize("signs", ["positive", "negative", "mixed"])
@pytest.mark.parametrize("extents", [(1, 2), (1, 9), (7, 1), (3, 3), (5, 7), (15, 16), (1, 250), (250, 1)])
@pytest.mark.parametrize("total", [256, 257, 258])
def test_sums_at_the_limit_of_16_bits_are_exact(total, extents, signs):
    taps = taps_with_total(np.random.default_rng(total), total, extents, signs)
    x = extremes(taps)
    sums = picture_sums(x, taps, "valid")
    assert sums.max() == 255 * taps[taps > 0].sum()
    assert sums.min() == 255 * taps[taps < 0].sum()
    in_16_bits = picture_plans.integer_taps(taps.astype(float)) is not None
    assert in_16_bits == (total <= 257)

    np.testing.assert_array_equal(image.filter(x, taps, mode="valid", dtype="float32"), sums)
    for scale, offset in ((256, 0), (512, 128), (1, 0), (-256, 0)):
        result = image.filter(x, taps, mode="valid", scale=scale, offset=offset)
        np.testing.assert_array_equal(result, pixels(sums, "u1", scale, offset))
    for method in ("direct", "tapwise", *(["separable"] if 1 in extents else [])):
        options = {"mode": "valid", "scale": 256.0, "offset": 100.0}
        exact = pixels(sums, "u1", 256, 100)
        np.testing.assert_array_equal(wide(x, taps, method, **options), exact)
        if in_16_bits:
            np.testing.assert_array_equal(narrow(x, taps, method, **options), exact)


def test_whole_finds_integer_multiples_that_fit_into_16_bits():
    def whole(taps):
        found = picture_plans.integer_taps(np.array([taps], float))
        return None if found is None else (found[0].tolist()[0], found[1])

    third = 1 / 3
    assert whole([1, 0, -2]) == ([1, 0, -2], 1.0)
    assert whole([2, 3]) == ([2, 3], 1.0)
    assert whole([3, 4, 5]) == ([3, 4, 5], 1.0)
    assert whole([4, 6, 10]) == ([2, 3, 5], 2.0)
    assert whole([0.25, 1.5]) == ([1, 6], 0.25)
    assert whole([third, 2 * third, -1]) == ([1, 2, -3], third)
    assert whole([np.float32(0.1), np.float32(0.3)]) == ([1, 3], float(np.float32(0.1)))
    assert whole([-7.5]) == ([-1], 7.5)
    assert whole([257]) == ([1], 257.0)
    assert whole([1, 256]) == ([1, 256], 1.0)
    assert whole([1, -256]) == ([1, -256], 1.0)
    assert whole([1, 257]) is None
    assert whole([5, 7]) is None  # only halves and thirds of the smallest tap are tried
    assert whole([1, 1.001]) is None
    assert whole([1, np.pi]) is None
    assert whole([0, 0]) is None
    assert whole([1e-300, 1e300]) is None
    assert whole([5e-324, 5e-324]) == ([1, 1], 5e-324)


@pytest.mark.parametrize("name", kernels.NAMES)
def test_float32_and_float64_kernels_give_equal_bytes(name):
    x = random_pixels(np.random.default_rng(26), (70, 80, 3))
    rough, fine = (kernels.named(name, dtype=dtype) for dtype in ("float32", "float64"))
    found = [picture_plans.integer_taps(kernel.astype(float)) for kernel in (rough, fine)]
    assert (found[0] is None) == (found[1] is None)
    if found[0] is not None:  # in 16 bits
        np.testing.assert_array_equal(found[0][0], found[1][0])
    if name != "log":
        np.testing.assert_array_equal(image.filter(x, rough), image.filter(x, fine))
        np.testing.assert_array_equal(image.filter(x, rough, dtype="f4"), image.filter(x, fine, dtype="f4"))


@pytest.mark.parametrize("scale", [1, 2, 3, 6, 10, 300])
def test_taps_and_scale_with_a_common_factor_are_exact(scale):
    rng = np.random.default_rng(scale)
    x = random_pixels(rng, (40, 61, 3))
    for factor in (2, 3, 4, 7, 50, 1000):
        taps = factor * integer_taps(rng, (3, 5), "few")
        sums = picture_sums(x, taps)
        for scale_of_all in (scale, scale * factor):
            result = image.filter(x, taps, scale=scale_of_all)
            np.testing.assert_array_equal(result, pixels(sums, "u1", scale_of_all, 0))


def test_taps_over_powers_of_two_are_exact():
    rng = np.random.default_rng(3)
    x = random_pixels(rng, (50, 70, 4))
    for power in (1, 2, 4, 8):
        for extents in ((1, 1), (2, 3), (5, 5), (1, 30)):
            taps = integer_taps(rng, extents, "large")
            result = image.filter(x, taps / 2**power, offset=10)
            np.testing.assert_array_equal(result, pixels(picture_sums(x, taps), "u1", 2**power, 10))


# -------------------------------------------------------------------------------------------------------------- halves


@pytest.mark.parametrize("sign", [1, -1])
def test_all_16_bit_sums_and_scales_are_rounded_half_to_even(sign):
    sums = np.arange(65536)
    # Pairs of pixels, one above the other, and taps that sum them to each 16-bit number once.
    x = np.stack(np.divmod(sums, 256)).astype(np.uint8)
    taps, sums = sign * np.array([[1], [256]]), sign * sums
    np.testing.assert_array_equal(image.filter(x, taps, mode="valid", dtype="f4")[0], sums)
    for scale in range(sign, sign * 301, sign):
        for offset in (0, 128):
            result = image.filter(x, taps, mode="valid", scale=scale, offset=offset)
            np.testing.assert_array_equal(result[0], pixels(sums, "u1", scale, offset), err_msg=f"{scale=}")
        quotients = image.filter(x, taps, mode="valid", scale=scale, dtype="float32")
        np.testing.assert_array_equal(quotients[0], (sums / scale).astype("f4"))


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(name, scale) for name in ("u1", "u2", "i2") for scale in (2, 4, 6, 10, -2, -6)]
    + [("i4", scale) for scale in (4, 6, 10)],
)
def test_halves_are_rounded_to_even_for_every_type(dtype, scale):
    least, most = {"u1": (0, 255), "u2": (0, 60_000), "i2": (-30_000, 30_000), "i4": (-(10**9), 10**9)}[dtype]
    rng = np.random.default_rng(abs(scale))
    x = rng.integers(least, most, (60, 200), dtype)
    for taps in ([[1]], [[1, 1]], [[1, -1]], [[1, 2, 1], [2, 4, 2], [1, 2, 1]]):
        taps = np.array(taps)
        sums = picture_sums(x, taps, boundary="nearest")
        result = image.filter(x, taps, boundary="nearest", scale=scale)
        assert np.any(sums % abs(scale) == abs(scale) / 2)
        np.testing.assert_array_equal(result, pixels(sums, dtype, scale, 0))


# ---------------------------------------------------------------------------------------- within the documented error


@settings(deadline=None, max_examples=100)
@given(
    SEEDS,
    SHAPES,
    EXTENTS,
    st.sampled_from(DTYPES),
    st.sampled_from(["normal", "outer", "blur", "thirds", "sparse"]),
    st.sampled_from(MODES),
    st.sampled_from(BOUNDARIES),
    st.sampled_from([(1.0, 0.0), (0.3, 10.0), (-7.0, 100.0), (2.5, -0.75)]),
)
def test_float_taps_are_rounded_within_the_documented_error(seed, shape, extents, dtype, kind, mode, boundary, finish):
    rng = np.random.default_rng(seed)
    x = random_pixels(rng, shape, dtype)
    column, row = (rng.standard_normal(extent) for extent in extents)
    taps = {
        "normal": rng.standard_normal(extents),
        "outer": np.outer(column, row),
        "blur": np.outer(np.abs(column), np.abs(row)) / np.outer(np.abs(column), np.abs(row)).sum(),
        "thirds": rng.integers(-6, 7, extents) / 3,
        "sparse": rng.standard_normal(extents) * (rng.random(extents) < 0.2),
    }[kind]
    options = valid_options(x, extents, mode, boundary)
    scale, offset = finish
    exact = picture_sums(x, taps, **options) / scale + offset
    result = image.filter(x, taps, scale=scale, offset=offset, **options)
    check_rounded(result, exact, documented_distance(x, taps, scale, offset))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_methods_agree_within_rounding(dtype, method):
    rng = np.random.default_rng(5)
    for shape, extents in (
        ((70, 90, 3), (5, 9)),
        ((33, 130, 1), (40, 3)),
        ((9, 8, 4), (17, 21)),
        ((150, 200, 2), (9, 9)),
    ):
        x = random_pixels(rng, shape, dtype)
        taps = np.outer(rng.standard_normal(extents[0]), rng.standard_normal(extents[1]))
        for boundary in BOUNDARIES:
            for mode in ("same", "full"):
                options = {"mode": mode, "boundary": boundary, "fill_value": 3 if boundary == "fill" else 0}
                exact = picture_sums(x, taps, **options) / 1.5 + 20
                result = wide(x, taps, method, scale=1.5, offset=20.0, **options)
                check_rounded(result, exact, documented_distance(x, taps, 1.5, 20))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "result"), [("u1", "f4"), ("u2", "f4"), ("u1", "f8"), ("i4", "f4"), ("i4", "f8")])
def test_every_method_supports_float_results(dtype, result, method):
    rng = np.random.default_rng(6)
    x = random_pixels(rng, (40, 70, 3), dtype)
    taps = np.outer(rng.standard_normal(5), [1.0, -0.7, 0.9, -1.3])
    exact = picture_sums(x, taps) / -3 + 0.5
    found = wide(x, taps, method, scale=-3.0, offset=0.5, dtype=np.dtype(result))
    size = picture_sums(np.abs(x.astype(float)), np.abs(taps)) / 3 + 1
    assert found.dtype == result
    assert found.min() < 0
    eps = np.finfo(result).eps
    if method == "fft":  # its errors are relative to the largest sums
        size = size.max()
    assert np.all(np.abs(found - exact) <= 20 * eps * size)


@pytest.mark.parametrize("method", ["direct", "separable", "tapwise"])
def test_16_bit_sums_are_exact(method):
    rng = np.random.default_rng(7)
    for shape, extents in (((1, 1, 1), (3, 3)), ((64, 97, 3), (3, 5)), ((31, 200, 4), (7, 1)), ((200, 33, 1), (1, 8))):
        x = random_pixels(rng, shape)
        taps = np.outer(rng.integers(-2, 3, extents[0]), rng.integers(-2, 3, extents[1]))
        if method != "separable" or not taps.any():
            taps[0, 0] = 1
        for boundary in BOUNDARIES:
            for mode in ("same", "full"):
                options = {"mode": mode, "boundary": boundary, "fill_value": 200 if boundary == "fill" else 0}
                exact = pixels(picture_sums(x, taps, **options), "u1", 2, 128)
                result = narrow(x, taps, method, scale=2.0, offset=128.0, **options)
                np.testing.assert_array_equal(result, exact)


# ------------------------------------------------------------------------------------------ taps most of which are zero


def scattered_taps(rng, extents, count):
    """A kernel with so many taps that are not zero, those in two opposite corners among them."""
    taps = np.zeros(extents)
    taps.flat[rng.choice(np.arange(1, taps.size - 1), count - 2, replace=False)] = rng.standard_normal(count - 2)
    taps[0, 0], taps[-1, -1] = 0.5, -0.7
    return taps


def listed(x, taps, **options):
    """Filter, by the list of the taps."""
    with observed() as events:
        result = image.filter(x, taps, **options)
    jobs = [event.job for event in events if event.name == "direct"]
    assert jobs
    assert all(job["is_prepared"] for job in jobs)
    return result


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_listed_taps_give_the_bits_of_all_taps(dtype, boundary):
    rng = np.random.default_rng(3)
    width = 4 * sizes.lanes("f4")
    extents = [(9, 13), (2, 9), (5, 4), (12, 3)]
    for number, shape in enumerate(
        [(1, 9), (2, width), (3, width + 3), (5, 40, 3), (30, 7), (75, width - 1), (8, 9, 2)]
    ):
        x = random_pixels(rng, shape, "u1").astype(dtype) / (1 if dtype == "u1" else 7)
        taps = kernels.motion(15, 30, dtype="f8") if number % 2 else scattered_taps(rng, extents[number // 2], 5)
        for mode in MODES:
            options = {**valid_options(x, taps.shape, mode, boundary), "correlate": number % 3 == 0}
            expected = image.filter(x, taps, method="direct", **options)
            for block in (None, (6, 16)):
                with forced(block=block):
                    np.testing.assert_array_equal(listed(x, taps, **options), expected)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("mode", MODES)
def test_zeros_among_listed_taps_times_samples_that_are_not_finite_are_nans(mode, odd):
    taps = kernels.motion(15, 30, dtype="f8")
    for place in ((0, 0), (0, 69), (29, 0), (15, 30), (14, 69)):
        x = np.random.default_rng(4).random((30, 70), np.float32)
        x[place] = odd
        for workers in (1, 2):
            with forced(block=(7, 30)):
                found = image.filter(x, taps, mode=mode, workers=workers)
            expected = image.filter(x, taps, mode=mode, method="direct")
            np.testing.assert_array_equal(found, expected)
            assert not np.isfinite(found).all()


def test_zeros_among_listed_taps_times_a_fill_value_that_is_not_finite_are_nans():
    taps, x = kernels.motion(15, 30, dtype="f8"), np.ones((30, 70), np.float32)
    options = {"boundary": "fill", "fill_value": np.inf}
    found = image.filter(x, taps, **options)
    np.testing.assert_array_equal(found, image.filter(x, taps, method="direct", **options))
    assert np.isnan(found).any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_zeros_among_listed_taps_times_colours_that_overflow_by_alpha_are_nans(dtype):
    large = float(np.finfo(dtype).max) ** 0.75
    x, taps = np.ones((30, 70, 4), dtype), kernels.motion(15, 30, dtype="f8")
    spoiled = x.copy()
    spoiled[15, 30] = large
    for colours, options in ((x, {}), (spoiled, {}), (x, {"boundary": "fill", "fill_value": large})):
        options |= {"alpha_channel": 3, "alpha": "filter"}
        found = image.filter(colours, taps, **options)
        np.testing.assert_array_equal(found, image.filter(colours, taps, method="direct", **options))
        assert np.isnan(found).any() == (colours is spoiled or "boundary" in options)


def test_sums_of_listed_taps_that_overflow_are_infinite():
    taps = kernels.motion(15, 30, dtype="f8") * 40
    x = np.full((20, 30), np.finfo("f4").max, np.float32)
    np.testing.assert_array_equal(listed(x, taps), np.full((20, 30), np.inf, np.float32))


# ---------------------------------------------------------------------------------------------------- unusual kernels


@pytest.mark.parametrize("dtype", [*DTYPES, "f4", "f8"])
def test_kernel_of_zeros_gives_the_offset(dtype):
    x = np.arange(600).reshape(20, 30).astype(dtype)
    for extents in ((1, 1), (3, 4), (30, 30)):
        for offset in (0, 7):
            result = image.filter(x, np.zeros(extents), offset=offset, scale=3)
            np.testing.assert_array_equal(result, np.full((20, 30), offset, dtype))


@pytest.mark.parametrize("dtype", [*DTYPES, "f4", "f8"])
@pytest.mark.parametrize("extents", [(1, 1), (4, 5), (21, 20), (39, 40)])
def test_single_tap_shifts_the_picture(dtype, extents):
    rng = np.random.default_rng(9)
    x = rng.integers(0, 200, (60, 70, 2)).astype(dtype)
    for place in ((0, 0), (extents[0] - 1, 0), (extents[0] // 2, extents[1] // 2)):
        taps = np.zeros(extents)
        taps[place] = 1
        # The full convolution is the picture at the position of the tap.
        full = image.filter(x, taps, mode="full", boundary="zero")
        shifted = np.zeros_like(full)
        shifted[place[0] : place[0] + 60, place[1] : place[1] + 70] = x
        np.testing.assert_array_equal(full, shifted)
        np.testing.assert_array_equal(image.filter(x, taps, boundary="wrap"), picture_sums(x, taps, boundary="wrap"))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
@pytest.mark.parametrize("flip", [True, False])
def test_zeros_around_the_taps_do_not_change_the_result(dtype, flip):
    rng = np.random.default_rng(10)
    x = random_pixels(rng, (180, 200, 3), dtype)
    taps = np.zeros((21, 27))
    taps[15:18, 2:7] = rng.integers(1, 4, (3, 5)) * 2.0 ** rng.integers(-3, 2, (3, 5))
    for boundary in BOUNDARIES:
        for mode in MODES:
            options = valid_options(x, taps.shape, mode, boundary)
            exact = picture_sums(x, taps, flip=flip, **options)
            result = image.filter(x, taps, correlate=not flip, **options)
            # All sums are exact: the taps are multiples of one eighth.
            np.testing.assert_array_equal(result, saturated(exact, dtype))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_kernel_larger_than_the_picture(boundary):
    rng = np.random.default_rng(11)
    for shape in ((1, 1, 1), (2, 3, 1), (3, 1, 4), (5, 40, 3)):
        x, taps = random_pixels(rng, shape), integer_taps(rng, (11, 30), "few")
        for mode in ("same", "full"):
            options = {"mode": mode, "boundary": boundary, "fill_value": 9 if boundary == "fill" else 0}
            exact = pixels(picture_sums(x, taps, **options), "u1", 4, 100)
            np.testing.assert_array_equal(wide(x, taps, "direct", scale=4.0, offset=100.0, **options), exact)


# --------------------------------------------------------------------------------------------------------- saturation


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", [*METHODS, "tapwise"])
def test_results_saturate_for_extreme_scales_and_offsets(dtype, method):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(12)
    x = rng.integers(1, 100, (40, 70, 3)).astype(dtype)
    taps = np.outer([1.0, 2, 1], [1, 1])
    for scale, offset, value in (
        (1e-30, 0.0, limits.max),
        (-1e-30, 0.0, limits.min),
        (1.0, 1e30, limits.max),
        (1.0, -1e30, limits.min),
        (1e30, 0.0, 0),
        (1e-20, -1e30, limits.min),
        (1e30, 100.0, 100),
        (1.0, 3e9, limits.max),
        (1.0, -3e9, limits.min),
        (1e-9, 0.0, limits.max),
        (-1e-9, 0.0, limits.min),
    ):
        result = wide(x, taps, method, scale=scale, offset=offset)
        np.testing.assert_array_equal(result, np.full_like(x, value), err_msg=f"{scale=} {offset=}")
        if dtype == "u1" and method != "fft":
            np.testing.assert_array_equal(narrow(x, taps, method, scale=scale, offset=offset), result)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_around_the_limits_are_rounded_and_saturated(dtype):
    limits = np.iinfo(dtype)
    for limit in (limits.min, limits.max):
        for offset in (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2):
            x = np.full((3, 50), limit, dtype)
            result = image.filter(x, [[1]], offset=offset)
            np.testing.assert_array_equal(result, saturated(x.astype(float) + offset, dtype))


def test_floats_are_neither_rounded_nor_saturated():
    x = np.array([[0.25, -3e38, 1e-40, np.inf, np.nan, 5]], "f4")
    np.testing.assert_array_equal(image.filter(x, [[1]]), x)
    np.testing.assert_array_equal(image.filter(x[:, :1], [[-2]], offset=0.125), [[-0.375]])


# ------------------------------------------------------------------------------------------------------------ layouts


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_input_of_every_layout_gives_the_same_result(layout, dtype):
    rng = np.random.default_rng(13)
    separable, other = np.outer([1, 2, 1], [1, 0, -1]), integer_taps(rng, (4, 3), "small")
    for shape in ((37, 61), (20, 33, 3)):
        x = random_pixels(rng, shape, dtype)
        for taps in (separable, other, separable / 7, other / 7):
            for boundary in ("zero", "mirror"):
                usual = image.filter(x, taps, boundary=boundary, offset=3)
                laid_out = LAYOUTS[layout](x)
                result = image.filter(laid_out, taps, boundary=boundary, offset=3)
                assert result.dtype == laid_out.dtype
                np.testing.assert_array_equal(result, usual)
                np.testing.assert_array_equal(laid_out, x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_of_every_layout_gives_the_same_result(dtype, method):
    rng = np.random.default_rng(14)
    taps = np.outer([1, 2, 1], [1, 0, -1, 3])
    for shape in ((37, 61, 1), (20, 33, 3), (50, 5, 4)):
        x = random_pixels(rng, shape, dtype)
        asked = request(x, scale=1.5, offset=3.0)
        usual = wide(x, taps, method, scale=1.5, offset=3.0)
        problem, converted = picture_plans.wide(asked, taps.astype(float))
        prepared = Choice(problem, method).prepare(converted)
        for layout in ("fortran", "strided", "reversed", "rows reversed", "crop", "unaligned"):
            out = LAYOUTS[layout](np.zeros_like(usual))
            around = out.base if layout in ("strided", "crop") else None
            prepared.run(x, out, None)
            np.testing.assert_array_equal(out, usual)
            if around is not None:  # nothing is written between and beside the elements
                out[...] = around.flat[0]
                assert len(np.unique(around)) == 1


# ------------------------------------------------------------------------------------------ kernels given by factors


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("sigma", [20, 250])
def test_large_gaussians(sigma, dtype):
    rng = np.random.default_rng(3)
    for shape in ((50, 71), (40, 53, 3)):
        x = random_pixels(rng, shape, dtype) if dtype[0] == "u" else rng.standard_normal(shape).astype(dtype)
        tolerance = {"u1": 0.501, "u2": 0.6, "f4": 2e-6, "f8": 1e-14}[dtype]
        assert np.abs(image.gaussian_blur(x, sigma) - blurred(x, sigma, int(4 * sigma + 0.5))).max() <= tolerance
    pixels = Image.fromarray(random_pixels(rng, (40, 53, 4), "u1"), "RGBA")
    assert image.gaussian_blur(pixels, sigma, alpha="filter").mode == "RGBA"


@pytest.mark.parametrize("shape", [(50, 71), (40, 53, 3)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_large_gaussian_never_forms_its_outer_product(dtype, shape):
    x, taps = np.ones(shape, dtype), 2001  # along each axis
    fastconv.clear_caches()
    tracemalloc.start()
    try:
        image.gaussian_blur(x, 250)
        assert tracemalloc.get_traced_memory()[1] < 2 * taps**2  # half of the product in float32
    finally:
        tracemalloc.stop()


def test_small_factors_equal_the_kernel_as_an_array():
    x = random_pixels(np.random.default_rng(4), (90, 80, 3), "u1")
    for sigma in (0.5, 2, 10):
        np.testing.assert_array_equal(image.gaussian_blur(x, sigma), image.filter(x, kernels.gaussian(sigma)))


def test_large_gaussian_of_non_finite_pixels_equals_the_kernel_as_an_array():
    x = np.random.default_rng(5).standard_normal((200, 210)).astype("f4")
    x[3, 5], x[100, 120], x[190, 9] = np.nan, np.inf, -np.inf
    found, wanted = image.gaussian_blur(x, 17), image.filter(x, kernels.gaussian(17))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.isinf(wanted).any()
    assert np.isfinite(wanted).any()


@pytest.mark.parametrize("method", ["direct", "fft"])
def test_factors_are_supported_by_the_other_engines(method):
    x = np.random.default_rng(6).standard_normal((60, 70)).astype("f4")
    lines = [np.arange(1.0, 200) for _ in range(2)]
    kernel = Separable(tuple(line / line.sum() for line in lines), np.dtype("f4"))
    for boundary in BOUNDARIES:
        with forced(method=method):
            found = picture_plans.find(request(x, boundary=boundary, dtype=x.dtype), kernel)
        assert found.prepared.method == method
        out, array = np.empty_like(x), kernel.taps(np.dtype("f8"))
        found(x, out, None)
        wanted = fastconv.convolve2d(x.astype("f8"), array, "same", boundary=boundary, method="direct")
        np.testing.assert_allclose(out, wanted, atol=1e-5)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (1, 2), (0, 2), (2, 3), (-1, 0)])
@pytest.mark.parametrize("dtype", ["u1", "i2"])
def test_any_axes_with_batches(axes, dtype):
    rng = np.random.default_rng(15)
    x = random_pixels(rng, (7, 9, 8, 10), dtype)
    for taps in (integer_taps(rng, (3, 4), "few"), np.outer([1, 2, 1], [1, -1])):
        result = image.filter(x, taps, axes=axes, offset=5, scale=2)
        moved = np.moveaxis(x, axes, (0, 1))
        exact = pixels(picture_sums(moved, taps), dtype, 2, 5)
        np.testing.assert_array_equal(result, np.moveaxis(exact, (0, 1), axes))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 17])
def test_widths_around_those_of_registers_and_tiles(channels):
    rng = np.random.default_rng(channels)
    kinds = [integer_taps(rng, (2, 3), "small"), np.outer([1, 2, 1], [1, 2, 1]), rng.standard_normal((3, 3)).round(2)]
    # Integer taps are summed in 16 bits, and others in 32.
    widths, about = {1, *range(7, 10), *range(31, 34)}, sizes.widths("u1") + sizes.widths("f4")
    for width in sorted(widths.union(*({size // channels, -(-size // channels)} for size in about)) - {0}):
        x = random_pixels(rng, (5, width, channels))
        for taps in kinds:
            exact = picture_sums(x, taps) / 16
            check_rounded(image.filter(x, taps, scale=16), exact, documented_distance(x, taps, 16))


def test_pictures_of_several_blocks():
    rng = np.random.default_rng(17)
    for shape in ((70, 2100, 1), (1100, 70, 1), (65, 700, 3), (2, 20_000, 1)):
        x = random_pixels(rng, shape)
        for taps in (
            integer_taps(rng, (3, 4), "small"),
            np.outer([1, 3, 3, 1], [1, 2, 1]),
            np.outer([9, 30, 9], [9, 8]),
        ):
            exact = pixels(picture_sums(x, taps), "u1", 64, 0)
            np.testing.assert_array_equal(wide(x, taps, "direct", scale=64.0), exact)
            if np.linalg.matrix_rank(taps) == 1:
                np.testing.assert_array_equal(wide(x, taps, "separable", scale=64.0), exact)
            np.testing.assert_array_equal(image.filter(x, taps, scale=64), exact)


@pytest.mark.parametrize("premultiplied", [False, True])
@pytest.mark.parametrize("kernel", [kernels.gaussian(2), kernels.box(3), kernels.disk(3), np.ones((29, 31)) / 899])
@pytest.mark.usefixtures("eight_processors")
def test_results_do_not_depend_on_the_number_of_workers(kernel, premultiplied):
    x = random_pixels(np.random.default_rng(18), (700, 600, 4))
    found = picture_plans.find(request(x, premultiplied=premultiplied), kernel.astype(float))
    results = []
    for workers in (1, 2, 3, 8, None):
        results.append(np.zeros(found.shape, np.uint8))
        found(x, results[-1], workers)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# ------------------------------------------------------------------------------------------------ colours with alpha


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_colours_match_the_formula(channels, boundary):
    rng = np.random.default_rng(19)
    x = random_pixels(rng, (40, 67, channels))
    x[10:30, 10:50, -1] = 0
    x[20, 20, -1] = 1
    taps = kernels.gaussian(1.0).astype(float)
    for mode in MODES:
        options = {"mode": mode, "boundary": boundary, "fill_value": 90 if boundary == "fill" else 0}
        exact = filtered_with_alpha(x, taps, **options)
        for method in (*METHODS[:2], "tapwise"):
            result = wide(x, taps, method, premultiplied=True, **options)
            clear = picture_sums(x[..., -1:], taps, **options)[..., 0] > 0.5
            check_rounded(result[clear], exact[clear], 1e-2)
            check_rounded(result[..., -1], exact[..., -1], 1e-4)


@pytest.mark.parametrize("method", ["direct", "separable", "tapwise"])
@pytest.mark.parametrize("result", ["f4", "f8"])
@pytest.mark.parametrize("dtype", [*DTYPES, "f4", "f8"])
def test_premultiplied_float_results_match_the_formula(dtype, result, method):
    rng = np.random.default_rng(23)
    shape = (200, 67, 4)  # large enough for blocks that need no samples from outside
    x = rng.integers(0, 256, shape) if dtype in ("f4", "f8") else random_pixels(rng, shape, dtype)
    x = x.astype(dtype)
    x[..., -1] = np.abs(x[..., -1] // 2)
    x[10:30, 10:50, -1] = 0
    x[20, 20, -1] = 1
    taps = np.outer([1.0, 2, 1], [1, 5, 9, 5, 1]) / 80
    for scale, offset in ((1.0, 0.0), (2.0, 0.0), (1.0, 20.5), (-3.0, -7.0)):
        for boundary, fill_value in (("reflect", 0), ("fill", 90)):
            options = {"boundary": boundary, "fill_value": fill_value}
            exact = filtered_with_alpha(x, taps, offset, scale, **options)
            found = wide(
                x, taps, method, scale=scale, offset=offset, premultiplied=True, dtype=np.dtype(result), **options
            )
            assert found.dtype == result
            assert not exact[20, 30].any()
            assert not found[20, 30].any()
            # No tap and no alpha is negative: the error of an average is some eps of the average of absolute values.
            size = filtered_with_alpha(np.abs(x.astype(float)), taps, abs(offset), abs(scale), **options)
            assert np.all(np.abs(found - exact) <= 20 * np.finfo(result).eps * size)


@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("picture_mode", ["LA", "RGBA"])
def test_filtered_alpha_matches_the_formula_for_every_result_type(picture_mode, mode, dtype):
    x = random_pixels(np.random.default_rng(24), (30, 41, len(picture_mode)))
    x[5:25, 10:30, -1] = 0
    picture = Image.frombytes(picture_mode, (41, 30), x.tobytes())
    for taps in (kernels.box((1, 3)), kernels.gaussian(1.0), np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]), [[1, 2]]):
        for boundary in BOUNDARIES:
            for scale, offset in ((1, 0), (2, 0), (1, 5), (16, -20.25)):
                options = {"mode": mode, "boundary": boundary, "fill_value": 200 if boundary == "fill" else 0}
                finish = {"scale": scale, "offset": offset}
                exact = filtered_with_alpha(x, taps, offset, scale, **options)
                found = image.filter(picture, taps, alpha="filter", dtype=dtype, **finish, **options)
                if dtype is None:
                    assert found.mode == picture_mode
                    check_rounded(np.asarray(found), exact, 1e-4)
                    continue
                assert found.dtype == dtype
                np.testing.assert_allclose(found, exact, rtol=30 * np.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize("picture_mode", ["LA", "RGBA"])
def test_integer_taps_of_premultiplied_colours_are_exact(picture_mode):
    x = random_pixels(np.random.default_rng(25), (50, 60, len(picture_mode)))
    x[:2, :2] = [[100], [100]], [[101], [100]]
    picture = Image.frombytes(picture_mode, (60, 50), x.tobytes())
    for taps in ([[1, 1]], [[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.ones((7, 9)), np.arange(9).reshape(3, 3)):
        exact = filtered_with_alpha(x, np.array(taps))
        found = image.filter(picture, taps, alpha="filter", dtype="float32")
        np.testing.assert_array_equal(found, exact.astype("f4"))
        pixels = np.asarray(image.filter(picture, taps, alpha="filter", scale=16))
        exact[..., -1] /= 16
        np.testing.assert_array_equal(pixels, saturated(exact, "u1"))


def test_premultiplied_sums_that_may_overflow_are_refused():
    picture = Image.new("LA", (5, 5), (255, 255))
    assert image.filter(picture, [[1e33]], alpha="filter", scale=1e33).getpixel((2, 2)) == (255, 255)
    with pytest.raises(ValueError, match=r"kernel must be finite, with sums that float32 can hold; .* 6.5e\+38"):
        image.filter(picture, [[1e34]], alpha="filter", scale=1e34)


# ---------------------------------------------------------------------------------------- the NumPy engine, and memory


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_engine_agrees_with_the_direct_engine(dtype):
    rng = np.random.default_rng(20)
    for boundary in BOUNDARIES:
        x, taps = random_pixels(rng, (20, 31, 3), dtype), rng.standard_normal((3, 4))
        options = {"boundary": boundary, "fill_value": 5 if boundary == "fill" else 0, "scale": 1.5, "offset": 3.0}
        exact = picture_sums(x, taps, boundary=boundary, fill_value=options["fill_value"]) / 1.5 + 3
        check_rounded(wide(x, taps, "tapwise", **options), exact, documented_distance(x, taps, 1.5, 3))
        check_rounded(wide(x, taps, "direct", **options), exact, documented_distance(x, taps, 1.5, 3))


def test_numpy_filters_pictures_if_the_compiler_is_disabled():
    code = """
import sys
import numpy as np
from PIL import Image
from fastconv import image, kernels
def picture(mode):
    channels = len(mode)
    values = np.arange(9 * 8 * channels) * 37 % 256
    return Image.frombytes(mode, (8, 9), values.astype(np.uint8).tobytes())
found = [
    image.filter(picture("L"), [[1, 2], [3, -4]], scale=2, offset=9),
    image.filter(picture("L"), kernels.gaussian(0.7), boundary="wrap"),
    image.filter(picture("RGBA"), kernels.box(3), alpha="filter"),
    image.filter(picture("RGBA"), kernels.sobel_x(), offset=128),
]
sys.stdout.write(b"".join(one.tobytes() for one in found).hex())
"""
    printed = []
    for value in ("0", "1"):
        env = dict(os.environ, NUMBA_DISABLE_JIT=value)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
        printed.append(np.frombuffer(bytes.fromhex(done.stdout), np.uint8))
    assert len(printed[0]) == 72 * (1 + 1 + 4 + 4)
    np.testing.assert_array_equal(*printed)


@pytest.mark.parametrize("kernel", [kernels.gaussian(2), kernels.box(3), kernels.disk(2), kernels.sobel_x()])
def test_filter_makes_no_float_copy_of_the_picture(kernel):
    x = random_pixels(np.random.default_rng(21), (1500, 1500, 3))
    image.filter(x, kernel)
    tracemalloc.start()
    try:
        image.filter(x, kernel)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes <= peak < 1.5 * x.nbytes


def test_16_bit_sums_do_not_wrap_during_conversion():
    x = np.random.default_rng(21).integers(0, 256, (20, 40), np.uint8)
    for taps in (-np.ones((15, 15), int), np.array([[-1, -256]]), np.array([[1, -255]]), np.array([[128, -128, 1]])):
        sums = picture_sums(x, taps, boundary="wrap")
        for offset in (-16000, -8200, -300, -1, 0, 1, 128, 16000):
            result = image.filter(x, taps, boundary="wrap", offset=offset)
            np.testing.assert_array_equal(result, pixels(sums, "u1", 1, offset))


def test_float64_results_have_float64_precision():
    x = np.full((4, 40), 20, np.uint8)
    np.testing.assert_array_equal(image.filter(x, [[1]], scale=3, dtype="float64"), np.full(x.shape, 20 / 3))


def test_fill_value_is_a_colour_and_an_alpha():
    picture = Image.new("RGBA", (40, 9), (100, 100, 100, 128))
    result = image.filter(picture, np.ones((3, 3)) / 9, boundary="fill", fill_value=128, alpha="filter")
    # Of nine pixels of alpha 128, five are of colour 128.
    assert result.getpixel((0, 0)) == (116, 116, 116, 128)
    assert result.getpixel((5, 5)) == (100, 100, 100, 128)


def test_plans_of_large_kernels_are_not_cached():
    fastconv.clear_caches()
    picture, large = np.zeros((300, 300), np.uint8), np.random.default_rng(22).random((150, 150))
    for kernel, kept in ((large[:9, :9], True), (large, False)):
        image.filter(picture, kernel)
        total = bounded_cache.total()
        image.filter(picture, kernel + 1)
        assert (bounded_cache.total() > total) is kept


@pytest.mark.parametrize("dtype", ["u2", "i2"])
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_sums_of_more_than_24_bits_are_exact(dtype, method):
    # Sobel's 7x7: in float32, columns smoothed by 64 are rounded, and multiplied by 5.
    ramp = np.add.outer(np.arange(90), np.arange(100)) * 300
    x = (ramp + np.random.default_rng(23).integers(0, 50, ramp.shape)).astype(dtype)
    taps = np.outer([1, 6, 15, 20, 15, 6, 1], [-1, -4, -5, 0, 5, 4, 1])
    sums = picture_sums(x, taps, boundary="mirror", flip=False)
    result = image.filter(x, taps, correlate=True, boundary="mirror", method=method)
    np.testing.assert_array_equal(result, pixels(sums, dtype, 1, 0))
    scaled = image.filter(x, taps, correlate=True, boundary="mirror", method=method, scale=640, offset=1000)
    check_rounded(scaled, sums / 640 + 1000, 0.01)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_kernels_of_few_taps_have_the_bits_of_all_their_products(dtype):
    rng = np.random.default_rng(23)
    for length, angle, channels, columns in ((15, 30, 1, 700), (31, 45, 3, 90), (9, 45, 1, 5), (40, 100, 2, 60)):
        x = (rng.random((83, columns, channels)) * 250).astype(dtype)[..., 0 if channels == 1 else slice(None)]
        taps = kernels.motion(length, angle, dtype="float64")
        integers = np.where(taps > 0, rng.choice([-3, -2, -1, 1, 2, 3], taps.shape), 0)
        for kernel, scale in ((taps, 1), (integers, 5)):
            for boundary in ("zero", "mirror"):
                with observed() as events:
                    found = image.filter(x, kernel, scale=scale, boundary=boundary, workers=1)
                    wanted = image.filter(x, kernel, scale=scale, boundary=boundary, method="direct", workers=1)
                assert found.tobytes() == wanted.tobytes()
                routines = {int(event.job["microkernel"]) for event in events if event.name == "direct"}
                assert len(routines) == 2
    if dtype[0] == "f":  # times the zeros around the line too
        x[40, 30] = np.inf
        found = image.filter(x, taps)
        assert found.tobytes() == image.filter(x, taps, method="direct").tobytes()
        assert np.isnan(found).sum() > np.count_nonzero(taps)
