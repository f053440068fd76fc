"""Correlation along one axis in SciPy's order of summation, with every product and sum rounded to double."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastconv._model.problem import Problem
from fastconv._planning import engine_loader
from fastconv._planning.method_choice import LARGEST_KEPT
from fastconv._planning.nd_correlation import Filter, blocks, samples
from fastconv._runtime.bounded_cache import kept

_DOUBLE = np.dtype(np.float64)
_COMPLEX = np.dtype(np.complex128)
# By this, weights may differ and still count as symmetric.
_EPS = 2.0**-52


def correlate_line(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """Fill `out` with a correlation along one axis, as `scipy.ndimage.correlate1d` does.

    `x` has at least one element. `out` has its shape, shares no memory with it, and holds native numbers of any type
    but bool, complex ones if `x` does. Sums are rounded to floats, or truncated to integers that wrap.
    """
    engine = _engine(
        x.dtype,
        x.shape,
        out.dtype,
        filter.weights.shape,
        filter.axes,
        filter.firsts,
        filter.boundary,
        filter.fill_value,
        symmetry(filter.weights),
    )
    if engine is None:
        _in_numpy(x, filter, out)
    else:
        engine.run(x, filter.weights, out, None)


@kept
def _engine(x_dtype, x_shape, dtype, taps, axes, firsts, boundary, fill_value, symmetry) -> Any:
    """Return the engine; None where nothing can be compiled."""
    sums = _COMPLEX if dtype.kind == "c" else _DOUBLE
    if sys.is_finalizing() or not engine_loader.load().layout.supports(sums):
        return None
    problem = Problem(
        x_dtype=x_dtype,
        kernel_dtype=_DOUBLE,
        sums=sums,
        dtype=dtype,
        x_shape=x_shape,
        kernel_shape=taps,
        out_shape=x_shape,
        axes=axes,
        starts=(firsts[0] + taps[0] - 1,),
        flip=False,
        boundary=boundary,
        fill_value=fill_value,
        looks_outside=False,
    )
    return engine_loader.load().rounded_lines.RoundedLineEngine(problem, symmetry)


def symmetry(weights: np.ndarray) -> int:
    """Return 1 for symmetric weights, -1 for antisymmetric ones, else 0, by SciPy's test; the middle one is ignored."""
    return _new_symmetry(weights) if weights.nbytes > LARGEST_KEPT else _symmetry(weights.tobytes())


@kept
def _symmetry(content: bytes) -> int:
    return _new_symmetry(np.frombuffer(content))


def _new_symmetry(weights: np.ndarray) -> int:
    if weights.size % 2 == 0:
        return 0
    left, right = weights[: weights.size // 2], weights[::-1][: weights.size // 2]
    with np.errstate(all="ignore"):
        if not (np.abs(right - left) > _EPS).any():
            return 1
        return 0 if (np.abs(right + left) > _EPS).any() else -1


def _in_numpy(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """`correlate_line` without compiled code."""
    if x.dtype.kind == "c":
        fill = filter.fill_value
        _in_numpy(x.real, filter._replace(fill_value=fill.real), out.real)
        _in_numpy(x.imag, filter._replace(fill_value=fill.imag), out.imag)
        return
    weights, (axis,), sign = filter.weights, filter.axes, symmetry(filter.weights)
    last, middle = weights.size - 1, weights.size // 2
    with np.errstate(all="ignore"):
        for block in blocks(x.shape):
            around = np.moveaxis(samples(x, filter, block).astype(_DOUBLE), axis, 0)
            count = block[axis].stop - block[axis].start
            if sign == 0:
                total = around[last : last + count] * weights[last]
                for k in range(last):
                    total += around[k : k + count] * weights[k]
            else:
                total = around[middle : middle + count] * weights[middle]
                for k in range(middle):
                    pair = around[last - k : last - k + count]
                    pair = around[k : k + count] + (pair if sign > 0 else -pair)
                    total += pair * weights[k]
            store(np.moveaxis(total, 0, axis), out[block])


def store(sums: np.ndarray, out: np.ndarray) -> None:
    """Round doubles to floats; or truncate them and wrap them as C compilers for x86 do, on every processor."""
    if out.dtype.kind == "b":
        out[...] = sums.astype(np.int32).astype(np.uint8)
    elif out.dtype.kind == "f":
        out[...] = sums
    elif out.dtype.itemsize <= 2:
        out[...] = sums.astype(np.int32)
    elif out.dtype.kind == "u" and out.dtype.itemsize == 4:
        out[...] = sums.astype(np.int64)
    else:
        out[...] = sums
        if out.dtype.kind == "u":  # aarch64 converts negative sums to 0
            negative = sums < 0
            out[negative] = sums[negative].astype(np.int64)
