"""Functions of every kind that Numba compiles, all cached: a program of its own, see `test_caching`.

``python cached_forms.py [ABI]`` calls them, in this process and in a fork of it, compares the results with calls from
Python, and prints how many kernels fastconv has compiled.
"""

import math
import os
import sys

import numba
import numpy as np
from numba import types

import fastconv
from fastconv._runtime.cache_folder import counts
from fastconv.njit import _loading

if len(sys.argv) > 1:
    _loading.abi = lambda: sys.argv[1]
fastconv.njit.register()


@numba.njit(cache=True)
def plain(x, taps):
    return fastconv.convolve1d(x, taps, "same", boundary="reflect")


@numba.njit(cache=True)
def inner(image, kernel, mode):
    return fastconv.correlate2d(image, kernel, mode, boundary="wrap")


@numba.njit(cache=True)
def outer(image, kernel, mode):
    return 2 * inner(image, kernel, mode)


@numba.njit(cache=True)
def outermost(image, kernel):
    return outer(image, kernel, "same") + 1


@numba.njit(cache=True, parallel=True)
def parallel(images, kernel):
    out = np.empty_like(images)
    for k in numba.prange(len(images)):
        out[k] = fastconv.convolve2d(images[k], kernel, "same")
    return out


@numba.njit(cache=True, nogil=True)
def without_gil(x, taps):
    return fastconv.convolve1d(x, taps, "valid")


@numba.njit("float64[::1](float64[::1], float64[::1])", cache=True)
def eager(x, taps):
    return fastconv.correlate1d(x, taps)


@numba.cfunc("float64(CPointer(float64), intp)", cache=True)
def callback(data, count):
    x = numba.carray(data, count)
    return fastconv.convolve1d(x, x)[count - 1]


@numba.guvectorize(["(float64[:], float64[:], float64[:])"], "(n),(m)->(n)", nopython=True, cache=True)
def generalized(x, taps, out):
    fastconv.convolve1d(x, taps, "same", out=out)


@numba.experimental.jitclass([("taps", types.float64[::1])])
class Filter:
    def __init__(self, taps):
        self.taps = taps

    def apply(self, x):
        return fastconv.convolve1d(x, self.taps, "same", boundary="nearest")


def check():
    rng = np.random.default_rng(3)
    x, taps = rng.standard_normal(1000), rng.standard_normal(7)
    images, kernel = rng.standard_normal((5, 40, 50)).astype("f4"), rng.standard_normal((3, 5)).astype("f4")
    direct = {"method": "direct"}
    wrapped = fastconv.correlate2d(images[0], kernel, "same", boundary="wrap", **direct)
    same = fastconv.convolve1d(x, taps, "same", **direct)
    pairs = [
        (plain(x, taps), fastconv.convolve1d(x, taps, "same", boundary="reflect", **direct)),
        (outermost(images[0], kernel), 2 * wrapped + 1),
        (parallel(images, kernel), fastconv.convolve2d(images, kernel, "same", **direct)),
        (without_gil(x, taps), fastconv.convolve1d(x, taps, "valid", **direct)),
        (eager(x, taps), fastconv.correlate1d(x, taps, **direct)),
        (generalized(x.reshape(4, 250), taps), fastconv.convolve1d(x.reshape(4, 250), taps, "same", **direct)),
        (generalized(x, taps), same),
        (Filter(taps).apply(x), fastconv.convolve1d(x, taps, "same", boundary="nearest", **direct)),
    ]
    found = callback.ctypes(x.ctypes.data_as(callback.ctypes.argtypes[0]), 1000)
    expected = fastconv.convolve1d(x, x, **direct)[999]
    return all(map(np.array_equal, *zip(*pairs))) and math.isclose(found, expected, rel_tol=0, abs_tol=0)


if hasattr(os, "fork") and len(sys.argv) == 1:
    child = os.fork()  # before anything is loaded
    if child == 0:
        os._exit(not check())
    assert os.waitpid(child, 0)[1] == 0
right = check()
print(right, counts["compiled"])
