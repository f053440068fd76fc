"""NumPy operations on large arrays that Ctrl-C interrupts: chunk by chunk, or in a thread of their own."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import threading
from typing import Any, Callable, Iterator

import numpy as np

from fastconv._runtime import memory_maps, progress_reports

# For this number of elements NumPy takes some milliseconds, and the overhead of its calls is negligible.
CHUNK_ELEMENTS = 1 << 20


def chunk_slices(shape: tuple[int, ...], max_elements: int | None = None) -> Iterator[tuple[slice, ...]]:
    """Yield the slices of chunks that cover an array of this shape, in C order; chunks span whole trailing axes."""
    length, axis = max_elements or CHUNK_ELEMENTS, len(shape)
    while axis and shape[axis - 1] <= length:
        axis -= 1
        length //= max(1, shape[axis])
    whole = (slice(None),) * (len(shape) - axis)
    if axis == 0:
        yield whole
        return
    extent = shape[axis - 1]
    for outer in itertools.product(*map(range, shape[: axis - 1])):
        before = tuple(slice(index, index + 1) for index in outer)
        for start in range(0, extent, length):
            progress_reports.tick()
            yield (*before, slice(start, min(start + length, extent)), *whole)


def copy(target: np.ndarray, source: np.ndarray) -> None:
    """Compute ``target[...] = source`` for arrays of one shape, without warnings about values that do not fit."""
    with contextlib.nullcontext() if target.dtype == source.dtype else np.errstate(all="ignore"):
        for chunk in chunk_slices(target.shape):
            target[chunk] = source[chunk]


def add(target: np.ndarray, part: np.ndarray) -> None:
    """Compute ``target += part`` for arrays of one shape, without warnings."""
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(part.shape):
            target[chunk] += part[chunk]


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return ``array.astype(dtype)``, without warnings about values that do not fit."""
    result = np.empty_like(array, dtype, subok=False)
    copy(result, array)
    return result


def zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return ``numpy.zeros(shape, dtype)``; the pages of a large array are mapped before it is first written to."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= CHUNKED_BYTES:
        return np.zeros(shape, dtype)
    array = np.empty(shape, dtype)
    for chunk in chunk_slices(shape):
        array[chunk] = 0
    return array


# Page faults for this number of bytes take some 20 ms.
CHUNKED_BYTES = 1 << 26


# Elements of an array that one operation takes, in any order, in less time than it takes to cut it into chunks.
_FEW = 4096


def is_finite(array: np.ndarray) -> bool:
    """True if all elements are finite."""
    if array.dtype.kind not in "fc":
        return True
    if array.size <= _FEW:
        with np.errstate(all="ignore"):
            return bool(np.isfinite(array).all())
    maps = memory_maps.mapped(array)
    # In memory order: the elements of a chunk are close together.
    array = array.transpose(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(array.shape):
            if not np.isfinite(array[chunk]).all():
                return False
            if maps is not None:
                maps.release_pages()
    return True


# Rows of a matrix whose decomposition takes some 10 ms.
LARGE_MATRIX = 400


def decomposed(function: Callable[..., Any], matrix: np.ndarray, **options: Any) -> Any:
    """Return ``function(matrix, **options)``, from `numpy.linalg`; that of a large one is computed in another thread.

    An interrupt is raised at once; the computation ends later, and its result is dropped.
    """
    if len(matrix) < LARGE_MATRIX or sys.is_finalizing():
        return function(matrix, **options)
    outcome: list[Any] = []

    def work() -> None:
        try:
            with np.errstate(all="ignore"):
                outcome.append(function(matrix, **options))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="fastconv decomposition", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # without a time limit, Windows would not raise an interrupt
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
