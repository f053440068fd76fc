"""The errors that the documentation states, against exact sums of fractions."""

from fractions import Fraction

import numpy as np
import pytest

import fastconv

RNG = np.random.default_rng(12)


def exact(x, kernel, place):
    """One output of mode 'same' with zeros outside, and the sum of the sizes of its products."""
    first = [at + (taps - 1) // 2 for at, taps in zip(place, kernel.shape)]
    products = []
    for tap in np.ndindex(*kernel.shape):
        source = tuple(start - step for start, step in zip(first, tap))
        if all(0 <= at < n for at, n in zip(source, x.shape)):
            products.append(Fraction(float(x[source])) * Fraction(float(kernel[tap])))
    return sum(products, Fraction(0)), sum(map(abs, products), Fraction(0))


def places(shape, count):
    return [(0,) * len(shape), *(tuple(int(RNG.integers(n)) for n in shape) for _ in range(count))]


def data(shape, kernel_shape, dtype, outer):
    x = RNG.uniform(-1, 1, shape).astype(dtype)
    if outer:
        lines = [RNG.uniform(0.1, 1, taps).astype(dtype) for taps in kernel_shape]
        return x, np.outer(*lines)
    return x, RNG.uniform(-1, 1, kernel_shape).astype(dtype)


SIZES = [((3000,), (7,)), ((20_000,), (601,)), ((100, 90), (5, 5)), ((200, 210), (31, 29))]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "kernel_shape"), SIZES)
def test_direct(dtype, shape, kernel_shape):
    x, kernel = data(shape, kernel_shape, dtype, outer=False)
    result = fastconv.convolve(x, kernel, "same", method="direct")
    eps = Fraction(float(np.finfo(dtype).eps))
    for place in places(shape, 20):
        value, size = exact(x, kernel, place)
        assert abs(Fraction(float(result[place])) - value) <= kernel.size * eps * size


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "kernel_shape"), SIZES[2:])
def test_separable(dtype, shape, kernel_shape):
    x, kernel = data(shape, kernel_shape, dtype, outer=True)
    result = fastconv.convolve(x, kernel, "same", method="separable")
    eps = Fraction(float(np.finfo(dtype).eps))
    for place in places(shape, 20):
        value, size = exact(x, kernel, place)
        # A sum along each axis, and 4 eps of each tap for the factors.
        assert abs(Fraction(float(result[place])) - value) <= (sum(kernel_shape) + 4) * eps * size


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "kernel_shape"), SIZES)
@pytest.mark.parametrize("steep", [False, True])
def test_fft(dtype, shape, kernel_shape, steep):
    x, kernel = data(shape, kernel_shape, dtype, outer=False)
    if steep:  # the bound knows of the largest values only
        x *= np.geomspace(1e-6, 1, shape[-1]).astype(dtype)
    result = fastconv.convolve(x, kernel, "same", method="fft")
    norm = float(np.linalg.norm(x.astype("f8")) * np.linalg.norm(kernel.astype("f8")))
    bound = Fraction(12 * float(np.finfo(dtype).eps) * (np.log2(2.0 * x.size * kernel.size) + 1) * norm)
    for place in places(shape, 20):
        value, _ = exact(x, kernel, place)
        assert abs(Fraction(float(result[place])) - value) <= bound


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_of_noise_a_spectrum_is_as_accurate_as_a_sum(dtype):
    x, kernel = data((200, 210), (31, 29), dtype, outer=False)
    result = fastconv.convolve(x, kernel, "same", method="fft")
    eps = Fraction(float(np.finfo(dtype).eps))
    for place in places((200, 210), 40):
        value, size = exact(x, kernel, place)
        assert abs(Fraction(float(result[place])) - value) <= eps * size


def test_a_wrong_result_would_be_seen():
    x, kernel = data((100, 90), (5, 5), "f4", outer=False)
    wrong = kernel.copy()
    wrong[2, 3] *= 1.001
    result = fastconv.convolve(x, wrong, "same", method="direct")
    eps, seen = Fraction(float(np.finfo("f4").eps)), 0
    for place in places((100, 90), 20):
        value, size = exact(x, kernel, place)
        seen += abs(Fraction(float(result[place])) - value) > kernel.size * eps * size
    assert seen > 10
