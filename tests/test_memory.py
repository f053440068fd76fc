"""Memory beside input and output does not grow with the image, and nothing is kept."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import _sharing

# Of the process's own memory: ru_maxrss begins with that of the process it was forked from.
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")

CODE = """
import sys
import numpy as np
import fastconv

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

shape, axes, taps, dtype, layout, method, extra = eval(sys.argv[1])
x = np.ones(shape, dtype, order="F" if layout == "fortran" else "C")
if layout == "big-endian":
    x = x.astype(x.dtype.newbyteorder(">"))
if layout == "strided":
    x = x[:, ::2]
out, kernel = np.full(x.shape, 7, dtype), np.ones(taps, dtype)

def convolve(x, out):
    if len(axes) == 1:
        fastconv.convolve1d(x, kernel, "same", axis=axes[0], boundary="wrap", method=method, out=out)
    else:
        fastconv.convolve2d(x, kernel, "same", axes=axes, boundary="wrap", method=method, out=out)

few = tuple(slice(0, 30) for _ in shape)
convolve(x[few], out[few])
before = peak()
convolve(x, out)
if extra:
    held = np.ones(extra * 2**20, np.uint8)
after = peak()
assert np.allclose(out.ravel()[[0, -1]], [kernel.size % 2**31] * 2), out
print(after - before)
"""


def growth(shape, axes, taps, dtype="f4", layout="contiguous", method="direct", extra=0):
    """Megabytes by which the process grows in a call, with input and output there before."""
    case = repr((shape, axes, taps, dtype, layout, method, extra))
    done = subprocess.run([sys.executable, "-c", CODE, case], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize("layout", ["contiguous", "fortran", "big-endian", "strided"])
@pytest.mark.parametrize(
    ("dtype", "method"),
    [("f4", "direct"), ("u1", "direct"), ("f4", "separable"), ("u1", "separable"), ("f4", "fft")],
)
def test_memory_beside_input_and_output(layout, dtype, method):
    assert growth((5000, 5000), (0, 1), (5, 5), dtype, layout, method) < 16  # MB; the image has 100, or 25


@pytest.mark.parametrize(
    "case",
    [
        ((64, 2, 200_000), (0,), (5,)),
        ((12, 12, 100_000), (0, 1), (3, 3)),
        ((5_000_000, 4), (0, 1), (3, 3)),
        ((20_000_000,), (0,), (31,)),
        ((1500, 1500), (0, 1), (501, 11)),
    ],
)
@pytest.mark.parametrize("method", ["direct", "separable", "fft"])
def test_memory_beside_arrays_of_odd_shapes(case, method):
    if method != "separable" or len(case[1]) == 2:
        assert growth(*case, method=method) < 16


def test_twenty_megabytes_would_be_seen():
    assert growth((2000, 2000), (0, 1), (5, 5), extra=20) > 16


def test_the_scratch_of_a_large_kernel_is_not_kept():
    fastconv.convolve1d(np.ones(50), np.ones(2_000_000), "same", boundary="wrap")
    fastconv.convolve1d(np.ones(50), np.ones(3))
    assert 0 < _sharing.thread.scratch[0] <= _sharing._KEPT_SCRATCH
