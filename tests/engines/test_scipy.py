"""Against NumPy, and SciPy where it is installed: the sizes, starts and boundaries that the documentation claims."""

import numpy as np
import pytest

import fastconv
from tests.oracle import MODES, check, whole_numbers

signal = pytest.importorskip("scipy.signal")
ndimage = pytest.importorskip("scipy.ndimage")

SIZES = [(n, m) for n in range(1, 9) for m in range(1, 9)]
NDIMAGE = {"zero": "constant", "nearest": "nearest", "reflect": "reflect", "mirror": "mirror", "wrap": "wrap"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["i8", "f8", "c16"])
def test_scipy_signal_in_one_dimension(mode, dtype):
    rng = np.random.default_rng(1)
    for n, m in SIZES:
        x, kernel = whole_numbers(rng, n, dtype), whole_numbers(rng, m, dtype)
        check(fastconv.convolve, x, kernel, mode, expect=signal.convolve(x, kernel, mode, method="direct"))
        check(fastconv.correlate, x, kernel, mode, expect=signal.correlate(x, kernel, mode, method="direct"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("boundary", "name"), [("zero", "fill"), ("fill", "fill"), ("wrap", "wrap"), ("reflect", "symm")]
)
def test_scipy_signal_in_two_dimensions(mode, boundary, name):
    rng = np.random.default_rng(2)
    fill = 9 if boundary == "fill" else 0
    for n, m in [(1, 1), (3, 3), (5, 2), (4, 4), (7, 3), (6, 5)]:
        image, kernel = whole_numbers(rng, (n, n + 2), "f8"), whole_numbers(rng, (m, m), "f8")
        expect = signal.convolve2d(image, kernel, mode, name, fill)
        check(fastconv.convolve2d, image, kernel, mode, boundary=boundary, fill_value=fill, expect=expect)


def test_numpy_same_swaps_and_ours_does_not():
    assert np.convolve([1, 2], [0, 1, 0.5, 3], "same").tolist() == [0, 1, 2.5, 4]
    assert fastconv.convolve([1, 2], [0, 1, 0.5, 3], "same").tolist() == [1, 2.5]
    assert fastconv.convolve([0, 1, 0.5, 3], [1, 2], "same").tolist() == [0, 1, 2.5, 4]


@pytest.mark.parametrize("mode", MODES)
def test_numpy(mode):
    rng = np.random.default_rng(3)
    for n, m in SIZES:
        if n >= m:
            x, kernel = whole_numbers(rng, n, "f8"), whole_numbers(rng, m, "f8")
            check(fastconv.convolve, x, kernel, mode, expect=np.convolve(x, kernel, mode))


@pytest.mark.parametrize("boundary", NDIMAGE)
def test_scipy_ndimage_for_odd_kernels(boundary):
    rng = np.random.default_rng(4)
    for n, m in [(1, 1), (1, 3), (4, 3), (5, 5), (3, 9), (7, 21)]:
        x, kernel = whole_numbers(rng, n, "f8"), whole_numbers(rng, m, "f8")
        expect = ndimage.convolve1d(x, kernel, mode=NDIMAGE[boundary])
        check(fastconv.convolve1d, x, kernel, "same", boundary=boundary, expect=expect)
        image, kernel = whole_numbers(rng, (n, n + 3), "f8"), whole_numbers(rng, (m, m), "f8")
        expect = ndimage.correlate(image, kernel, mode=NDIMAGE[boundary])
        check(fastconv.correlate2d, image, kernel, "same", boundary=boundary, expect=expect)


@pytest.mark.parametrize("boundary", NDIMAGE)
def test_scipy_ndimage_starts_half_a_tap_later_for_even_kernels(boundary):
    x, kernel = np.arange(1.0, 8), np.array([1.0, 10, 100, 1000])
    expect = ndimage.convolve1d(x, kernel, mode=NDIMAGE[boundary], origin=-1)
    check(fastconv.convolve1d, x, kernel, "same", boundary=boundary, expect=expect)


def test_correlate2d_of_scipy_starts_later_for_even_kernels():
    x = np.array([[1.0, 2, 3, 4]])
    assert signal.correlate2d(x, x, "same").tolist() == [[20, 30, 20, 11]]
    assert fastconv.correlate2d(x, x, "same").tolist() == [[11, 20, 30, 20]]
    assert signal.correlate(x[0], x[0], "same").tolist() == [11, 20, 30, 20]
