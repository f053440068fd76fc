"""Shapes too large for any memory raise an error at once, before anything of that size is read or allocated.

Run in a separate process with a limited address space, so that no machine has enough memory.
"""

import sys

import numpy as np
import pytest

import fastconv
from tests.sample_calls import succeed

CODE = """
import itertools, resource, signal, sys, time
import numpy as np, fastconv
from fastconv import image, kernels
from fastconv.compat import cv2, ndimage, signal as scipy_signal, numpy as fnp

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


def many(shape, dtype):
    return np.broadcast_to(np.dtype(dtype).type(1), shape)


def strided(shape, dtype):
    return np.lib.stride_tricks.as_strided(np.ones(1, dtype), shape, (0,) * len(shape))


def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def refused(call, *detail):
    began = time.perf_counter()
    try:
        call()
    except (ValueError, MemoryError) as error:
        assert len(str(error)) < 1000, detail
    else:
        raise AssertionError(f"{detail}: no error")
    times.append((time.perf_counter() - began, detail))


times = []
fastconv.convolve2d(np.ones((9, 9)), np.ones((3, 3)))
before = used()
for dtype, sizes in (("f8", (2**34, 2**59)), ("u1", (2**62,))):
    small, square = np.ones(3, dtype), np.ones((3, 3), dtype)
    for size in sizes:
        side = int(size**0.5)
        line, sheet = many((size,), dtype), strided((side, side), dtype)
        row, column = many((1, size), dtype), many((size, 1), dtype)
        for mode, boundary in itertools.product(("full", "same", "valid"), ("zero", "wrap")):
            for method in ("auto", "direct", "separable", "fft"):
                detail = dtype, size, mode, boundary, method
                options = {"mode": mode, "boundary": boundary, "method": method}
                if method != "separable":
                    refused(lambda: fastconv.convolve1d(line, small, **options), "x", *detail)
                    refused(lambda: fastconv.convolve1d(small, line, **options), "kernel", *detail)
                    refused(lambda: fastconv.convolve1d(line, line, **options), "both", *detail)
                refused(lambda: fastconv.convolve2d(sheet, square, **options), "image", *detail)
                refused(lambda: fastconv.correlate2d(square, sheet, **options), "kernel", *detail)
                refused(lambda: fastconv.convolve2d(column, square, **options), "column", *detail)
                if mode != "valid":
                    refused(lambda: fastconv.convolve2d(square, row, **options), "row", *detail)
            refused(lambda: image.filter(sheet, square, mode=mode, boundary=boundary), "picture", *detail)
            refused(lambda: image.filter(square, sheet, mode=mode, boundary=boundary), "taps", *detail)
            refused(lambda: fastconv.plan(sheet, (3, 3), mode=mode, boundary=boundary), "plan", *detail)
        refused(lambda: fnp.convolve(line, small), "numpy", dtype, size)
        refused(lambda: scipy_signal.convolve(sheet, square), "signal", dtype, size)
        refused(lambda: image.gaussian_blur(sheet, 1), "blur", dtype, size)
        refused(lambda: image.sobel_magnitude(sheet), "sobel", dtype, size)
        refused(lambda: image.unsharp_mask(sheet, 1), "unsharp", dtype, size)

for shape in ((2**62, 2**62), (2**63 - 1, 1), (10**30, 10**30), (2**40, 2**40), (1,) * 100):
    refused(lambda: fastconv.plan(np.ones((3, 3)), shape), "shape", shape)
refused(lambda: fastconv.plan(np.ones(3), 10**30), "shape")
for call in (kernels.box, kernels.disk, kernels.gaussian, kernels.log, kernels.motion, kernels.unsharp, kernels.gabor):
    for size in (2**30, 2**62, 10**300):
        refused(lambda: call(size), call.__name__, size)
assert used() - before < 300 << 20, used() - before
# No call has read all elements: NumPy takes longer for an eighth of the smallest array.
began = time.perf_counter()
many((2**31,), "f8").sum()
longest, detail = max(times)
assert longest < time.perf_counter() - began, (detail, longest)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on the address space, and /proc")
def test_sizes_beyond_memory_are_refused_at_once_without_allocating():
    succeed(CODE, timeout=300)


def test_broadcast_arrays_with_small_results_are_convolved():
    image = np.broadcast_to(np.float32(1), (1000, 1000))
    assert (fastconv.convolve2d(image, np.ones((3, 3), "f4"), "valid") == 9).all()
    assert (fastconv.convolve2d(np.ones((3, 3), "f4"), image, "same") == 9).all()
    row = np.broadcast_to(np.arange(5.0), (4, 5))
    np.testing.assert_array_equal(fastconv.convolve2d(row, row), fastconv.convolve2d(row.copy(), row.copy()))
    # One result of four million products.
    line = np.broadcast_to(1.0, (2**22,))
    assert fastconv.convolve1d(line, line, "valid").tolist() == [2**22]
