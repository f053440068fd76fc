"""Memory beside input and output does not grow with the image, and nothing is kept."""

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

CODE = """
import resource, sys
import numpy as np
import fastconv
dtype, layout, size = sys.argv[1:]
size = int(size)
kernel = np.ones((5, 5), dtype)
image = np.ones((size, size), dtype, order="F" if layout == "fortran" else "C")
if layout == "big-endian":
    image = image.astype(image.dtype.newbyteorder(">"))
if layout == "strided":
    image = image[:, ::2]
out = np.zeros(image.shape, dtype)
small = image[:300, :300]
fastconv.convolve2d(small, kernel, "same", boundary="wrap", out=out[:300, :300])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fastconv.convolve2d(image, kernel, "same", boundary="wrap", out=out)
assert out[0, 0] == 25 and out[-1, -1] == 25
scale = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * scale / 2**20)
"""


ODD_SHAPES = """
import resource, sys
import numpy as np
import fastconv
shape, axes, taps = eval(sys.argv[1])
x, kernel = np.ones(shape, "f4"), np.ones(taps, "f4")
out = np.zeros(shape, "f4")
def convolve(x, out):
    if len(axes) == 1:
        fastconv.convolve1d(x, kernel, "same", axis=axes[0], boundary="wrap", out=out)
    else:
        fastconv.convolve2d(x, kernel, "same", axes=axes, boundary="wrap", out=out)
small = tuple(slice(0, 30) for _ in shape)
convolve(x[small], out[small])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convolve(x, out)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert (out == kernel.size).all()
print((after - before) * (1 if sys.platform == "darwin" else 1024) / 2**20)
"""


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
def test_memory_beside_arrays_of_odd_shapes(case):
    done = subprocess.run([sys.executable, "-c", ODD_SHAPES, repr(case)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 16


@pytest.mark.parametrize("layout", ["contiguous", "fortran", "big-endian", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_memory_beside_input_and_output(layout, dtype):
    command = [sys.executable, "-c", CODE, dtype, layout, "5000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 16  # MB; the image itself has 100, or 25


def test_the_scratch_of_a_large_kernel_is_not_kept():
    import numpy as np

    import fastconv
    from fastconv import _direct

    fastconv.convolve1d(np.ones(50), np.ones(2_000_000), "same", boundary="wrap")
    assert _direct._thread.scratch[0] <= _direct._KEPT_SCRATCH
