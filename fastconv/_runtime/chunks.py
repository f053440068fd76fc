"""What NumPy does to a large array at once, done slab by slab: between two slabs the interpreter looks for Ctrl-C."""

from __future__ import annotations

import itertools
import math
from typing import Iterator

import numpy as np

from fastconv._runtime import memory_maps

# Elements of a slab: some milliseconds of NumPy's work, and so many that its calls do not count.
MOST = 1 << 20


def slabs(shape: tuple[int, ...], most: int = MOST) -> Iterator[tuple[slice, ...]]:
    """Boxes of at most `most` elements that make up an array of this shape, in C order; whole along its last axes."""
    rest, axis = most, len(shape)
    while axis and shape[axis - 1] <= rest:
        axis -= 1
        rest //= max(1, shape[axis])
    whole = (slice(None),) * (len(shape) - axis)
    if axis == 0:
        yield whole
        return
    extent = shape[axis - 1]
    for outer in itertools.product(*map(range, shape[: axis - 1])):
        before = tuple(slice(index, index + 1) for index in outer)
        for start in range(0, extent, rest):
            yield (*before, slice(start, min(start + rest, extent)), *whole)


def copy(target: np.ndarray, source: np.ndarray) -> None:
    """``target[...] = source``, for arrays of one shape."""
    for slab in slabs(target.shape):
        target[slab] = source[slab]


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``array.astype(dtype)``."""
    result = np.empty_like(array, dtype, subok=False)
    copy(result, array)
    return result


def zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    """``numpy.zeros``, but the memory of a large array is there: who begins to write waits for no pages."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= _SOON_THERE:
        return np.zeros(shape, dtype)
    array = np.empty(shape, dtype)
    for slab in slabs(shape):
        array[slab] = 0
    return array


# Bytes whose pages take some 20 ms.
_SOON_THERE = 1 << 26


def is_finite(array: np.ndarray) -> bool:
    """Whether all of `array` is finite; False also where a sum of it is not."""
    if array.dtype.kind not in "fc":
        return True
    found = memory_maps.mapped(array)
    # In the order in which it lies in memory: a slab is to be in one place.
    array = array.transpose(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
    with np.errstate(all="ignore"):
        for slab in slabs(array.shape):
            if not np.isfinite(array[slab].sum()):
                return False
            if found is not None:
                found.look()
    return True
