"""Gaussian blurs of volumes: three and more axes of an array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import image
from fastconv._runtime.instrumentation import observed
from tests import oracle


def blurred(x, sigmas, axes, boundary="reflect", truncate=4.0):
    x = np.asarray(x, float)
    for sigma, axis in zip(sigmas, axes):
        radius = int(truncate * sigma + 0.5)
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        x = oracle.sums(x, line / line.sum(), "same", boundary, axes=(axis,))
    return x


def volume(rng, shape, dtype):
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(max(limits.min, -1000), min(limits.max, 1000), shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["u1", "u2", "i2", "i4", "f4", "f8", ">f4"]),
    st.sampled_from(["reflect", "mirror", "nearest", "wrap", "zero"]),
    st.permutations([0, 1, 2, 3]).map(lambda axes: tuple(axes[:3])),
    st.tuples(*[st.floats(0.3, 3)] * 3),
)
def test_volumes_agree_with_the_definition(seed, dtype, boundary, axes, sigmas):
    x = volume(np.random.default_rng(seed), (9, 14, 11, 13), dtype)
    found = image.gaussian_blur(x, sigmas, axes=axes, boundary=boundary)
    assert found.dtype == x.dtype
    assert found.shape == x.shape
    precision = np.finfo("f8" if np.dtype(dtype) in ("i4", "f8") else "f4").eps
    slack = 80 * precision * float(np.abs(x).max()) + (0.5 if x.dtype.kind in "iu" else 0)
    assert np.all(np.abs(found - blurred(x, sigmas, axes, boundary)) <= slack)


def test_one_call_of_one_engine():
    x = np.zeros((20, 30, 100), "f4")
    with observed() as events:
        image.gaussian_blur(x, (1, 2, 2), axes=(0, 1, 2))
    assert [event.name for event in events if event.name in ("volume", "separable", "direct", "numpy")][-1] == "volume"
    calls = [event for event in events if event.name == "volume" and event.x.shape == x.shape]
    assert len(calls) == 1


def test_four_axes_two_axes_and_one_sigma():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((8, 9, 10, 11))
    for axes in ((0, 1, 2, 3), (3, 1), [1, 2], np.array([0, 2, 3])):
        found = image.gaussian_blur(x, 0.8, axes=axes)
        np.testing.assert_allclose(found, blurred(x, [0.8] * len(axes), axes), rtol=0, atol=1e-13)


def test_a_fill_value_of_zero_is_outside():
    x = np.ones((9, 9, 70), "f4")
    found = [image.gaussian_blur(x, 1, axes=(0, 1, 2), boundary=name) for name in ("fill", "zero")]
    np.testing.assert_array_equal(*found)
    assert found[0][0, 0, 0] < 0.5


@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_out_is_filled_and_may_be_the_image(dtype):
    x = volume(np.random.default_rng(3), (12, 10, 80), dtype)
    wanted, out = image.gaussian_blur(x, (1, 2, 1), axes=(0, 1, 2)), np.empty_like(x)
    assert image.gaussian_blur(x, (1, 2, 1), axes=(0, 1, 2), out=out) is out
    np.testing.assert_array_equal(out, wanted)
    image.gaussian_blur(x, (1, 2, 1), axes=(0, 1, 2), out=x)
    np.testing.assert_array_equal(x, wanted)


def test_a_nan_stays_under_its_kernel():
    x = np.ones((20, 20, 80), "f4")
    x[10, 9, 40] = np.nan
    found = image.gaussian_blur(x, 1, axes=(0, 1, 2))
    wanted = np.zeros(x.shape, bool)
    wanted[6:15, 5:14, 36:45] = True
    np.testing.assert_array_equal(np.isnan(found), wanted)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, r"sigma must be one number, or one for each of 3 axes; got \(1, 2\)", {"sigma": (1, 2)}),
        (ValueError, r"sigma\[1\] must be", {"sigma": (1, -2, 1)}),
        (ValueError, r"axes must lie in -3 .. 2 .* got 3", {"axes": (0, 1, 3)}),
        (ValueError, r"axes must be different axes; got \(0, 1, 1\)", {"axes": (0, 1, 1)}),
        (ValueError, r"axes must be 2 integers; got \(0,\)", {"axes": (0,)}),
        (TypeError, r"axes must be 2 integers; got 1", {"axes": 1}),
        (TypeError, r"axes must be 3 integers; got \(0, 1, 2.5\)", {"axes": (0, 1, 2.5)}),
    ],
)
def test_errors_name_the_argument(error, message, options):
    with pytest.raises(error, match=message):
        image.gaussian_blur(np.zeros((4, 5, 6), "f4"), **{"sigma": 1, "axes": (0, 1, 2), **options})


def test_axes_are_not_for_pillow_pictures():
    Image = pytest.importorskip("PIL.Image")
    with pytest.raises(TypeError, match="axes is only for arrays"):
        image.gaussian_blur(Image.new("L", (4, 4)), 1, axes=(0, 1))
