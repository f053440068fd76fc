"""Input that is smaller than its kernel, by way of a spectrum: exchanged where that keeps what is guaranteed."""

import numpy as np
import pytest

import fastconv
from fastconv._runtime.instrumentation import observed
from tests.engines.test_footprint_accuracy import DATA, FLOATS, KERNELS, drawn, random_signs, stars, worst
from tests.oracle import MODES

SHAPES = [((11, 14), (20, 17)), ((16, 9), (16, 30)), ((1, 12), (5, 40)), ((13, 13), (13, 14))]


def transformed(events):
    """The shapes of the input of all transforms."""
    return [event.x.shape for event in events if event.name == "fft"]


def corner_of_dust(rng, shape):
    """Noise that is so quiet at two corners that results there would lose their digits."""
    x = rng.standard_normal(shape)
    x[:3, :4] *= 1e-15
    x[-2:, -1:] = 0
    return x


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "taps"), SHAPES)
@pytest.mark.parametrize("data", [*DATA, random_signs, corner_of_dust])
def test_errors_are_within_the_guarantee(data, shape, taps, dtype):
    rng = np.random.default_rng([1, *shape, *taps])
    for kernel, mode in zip(rng.permutation(KERNELS), MODES):
        x, weights = drawn(rng, data, shape, dtype), drawn(rng, kernel, taps, dtype)
        found = fastconv.convolve(x, weights, mode, method="fft")
        assert worst(found, x, weights, False, mode=mode) < 1, (kernel.__name__, mode)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", [random_signs, corner_of_dust])
@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_noise_is_exchanged_whatever_its_corners(axes, data, dtype):
    rng = np.random.default_rng(2)
    x, weights = drawn(rng, data, (24, 20), dtype), drawn(rng, random_signs, (33, 40), dtype)
    given = weights if axes == (0, 1) else weights.T
    for function, taps in (
        (fastconv.convolve2d, weights),
        (fastconv.correlate2d, weights[::-1, ::-1].conj()),
    ):
        for mode in ("full", "same"):
            with observed() as events:
                found = function(x, given, mode, axes=axes, method="fft")
            assert transformed(events) == [weights.shape]
            assert worst(found, x, taps, False, mode=mode) < 1


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_stars_keep_their_kernel(dtype):
    rng = np.random.default_rng(3)
    x, weights = drawn(rng, stars, (24, 20), dtype), drawn(rng, random_signs, (33, 40), dtype)
    x[0] = 0
    x[0, 0] = x[-1, -1] = 1e-6 if dtype == "f4" else 1e-20  # no zeros around to be trimmed
    with observed() as events:
        found = fastconv.convolve2d(x, weights, method="fft")
    assert set(transformed(events)) <= {x.shape}
    assert worst(found, x, weights, False) < 1


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sign", [1, -1])
def test_results_have_the_sign_of_both(sign, dtype):
    rng = np.random.default_rng(4)
    x, weights = rng.random((30, 30)).astype(dtype), np.zeros((64, 70), dtype)
    weights[[0, 0, 5, -1], [0, -1, 40, -1]] = 1
    found = fastconv.convolve2d(x, sign * weights, method="fft")
    assert (found * sign >= 0).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_smallest_numbers_keep_their_digits(dtype):
    rng = np.random.default_rng(5)
    tiny = float(np.finfo(dtype).tiny)
    for scale, weight in [(tiny, 1), (1, tiny), (tiny**0.5, tiny**0.5), (tiny * 1e9, 1e-5)]:
        x, weights = (rng.uniform(0.5, 1, (20, 22)) * scale).astype(dtype), rng.uniform(0.5, 1, (41, 43)) * weight
        found = fastconv.convolve2d(x, weights.astype(dtype), method="fft")
        assert worst(found, x, weights.astype(dtype), False) < 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("of_kernel", [False, True])
def test_what_is_not_finite_affects_the_results_that_cover_it(of_kernel, value):
    rng = np.random.default_rng(6)
    x, weights = rng.standard_normal((20, 22)), rng.standard_normal((41, 43))
    (weights if of_kernel else x)[7, 9] = value
    found = fastconv.convolve2d(x, weights, method="fft")
    expected = fastconv.convolve2d(x, weights, method="direct")
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(found[finite], expected[finite], atol=1e-10)


@pytest.mark.parametrize("types", [("u1", "f8"), ("f8", "i2"), ("f2", "f2"), ("f4", "c16"), (">f8", "f4"), ("?", "f4")])
def test_operands_of_different_types(types):
    rng = np.random.default_rng(7)
    x, weights = ((rng.standard_normal(shape) * 5).astype(dtype) for shape, dtype in zip([(20, 22), (41, 43)], types))
    found = fastconv.convolve2d(x, weights, "same", method="fft")
    expected = fastconv.convolve2d(x, weights, "same", method="direct")
    assert found.dtype == expected.dtype
    scale = float(abs(expected.astype("c16")).max())
    assert abs(found.astype("c16") - expected).max() <= 32 * float(np.finfo(found.dtype).eps) * scale


def test_a_plan_tells_the_guarantee_of_its_results_and_exchanges_as_calls_do():
    rng = np.random.default_rng(8)
    x, weights = rng.standard_normal((20, 22)), rng.standard_normal((41, 43))
    plan = fastconv.plan(weights, x.shape, method="fft")
    assert "2e-10 of the kernel's norm" in plan.guarantee
    np.testing.assert_array_equal(plan(x), fastconv.convolve2d(x, weights, method="fft"))
