"""Documented bounds of errors, compared with exact results."""

from fractions import Fraction

import numpy as np
import pytest

import fastconv
from tests.oracle import bound_of_direct, bound_of_fft, bound_of_separable, exact_at

RNG = np.random.default_rng(12)


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
def test_errors_of_direct_are_within_the_bound(dtype, shape, kernel_shape):
    x, kernel = data(shape, kernel_shape, dtype, outer=False)
    result = fastconv.convolve(x, kernel, "same", method="direct")
    for place in places(shape, 20):
        value, size = exact_at(place, x, kernel)
        assert abs(Fraction(float(result[place])) - value) <= Fraction(bound_of_direct(x, kernel)) * size


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "kernel_shape"), SIZES[2:])
def test_errors_of_separable_are_within_the_bound(dtype, shape, kernel_shape):
    x, kernel = data(shape, kernel_shape, dtype, outer=True)
    result = fastconv.convolve(x, kernel, "same", method="separable")
    for place in places(shape, 20):
        value, size = exact_at(place, x, kernel)
        assert abs(Fraction(float(result[place])) - value) <= Fraction(bound_of_separable(x, kernel)) * size


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("shape", "kernel_shape"), SIZES)
@pytest.mark.parametrize("steep", [False, True])
def test_errors_of_fft_are_within_the_bound(dtype, shape, kernel_shape, steep):
    x, kernel = data(shape, kernel_shape, dtype, outer=False)
    if steep:  # the bound depends on the largest values
        x *= np.geomspace(1e-6, 1, shape[-1]).astype(dtype)
    result = fastconv.convolve(x, kernel, "same", method="fft")
    for place in places(shape, 20):
        value, _ = exact_at(place, x, kernel)
        assert abs(Fraction(float(result[place])) - value) <= bound_of_fft(x, kernel)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_errors_of_fft_for_noise_are_those_of_sums(dtype):
    x, kernel = data((200, 210), (31, 29), dtype, outer=False)
    result = fastconv.convolve(x, kernel, "same", method="fft")
    eps = Fraction(float(np.finfo(dtype).eps))
    for place in places((200, 210), 40):
        value, size = exact_at(place, x, kernel)
        assert abs(Fraction(float(result[place])) - value) <= eps * size


def test_bounds_reject_wrong_results():
    x, kernel = data((100, 90), (5, 5), "f4", outer=False)
    wrong = kernel.copy()
    wrong[2, 3] *= 1.001
    result = fastconv.convolve(x, wrong, "same", method="direct")
    seen = 0
    for place in places((100, 90), 20):
        value, size = exact_at(place, x, kernel)
        seen += abs(Fraction(float(result[place])) - value) > Fraction(bound_of_direct(x, kernel)) * size
    assert seen > 10
