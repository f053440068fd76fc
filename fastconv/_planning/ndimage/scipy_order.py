"""Correlations along one axis after the other, in SciPy's order, with every product, sum and result rounded."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.problem import correlation
from fastconv._planning import engine_loader
from fastconv._planning.ndimage.nd_correlation import Filter, blocks, kept_by_content, samples
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import placed
from fastconv._runtime.interruptible_numpy import is_finite

# Weights beyond which products in their order take several times as long as the fastest method.
MOST_IN_ORDER = 128
_DOUBLE = np.dtype(np.float64)
_COMPLEX = np.dtype(np.complex128)
# By this, weights may differ and still count as symmetric.
_EPS = 2.0**-52


def correlate_lines(x: np.ndarray, filters: list[Filter], out: np.ndarray, operation: str = "store") -> None:
    """Fill `out` with correlations along one axis each, in turn, as `scipy.ndimage.correlate1d` computes them.

    Sums are rounded to floats, or truncated to integers that wrap, after each.

    Parameters
    ----------
    x : ndarray
        With at least one element.
    filters : list of Filter
        At least one.
    out : ndarray
        Of the shape of `x`, apart from it, of native numbers of any type but bool; complex ones if those of `x` are.
    operation : {'store', 'add', 'square', 'add_square', 'root'}
        How results `b` meet the elements `a` of `out`: ``b``, ``a + b``, ``b * b``, ``a + b * b``, or the root of that.
        Only the first two are for integers and complex numbers.
    """
    rest = list(filters)
    # The last two passes run together if they can: two of three axes are then contiguous more often.
    last = 2 if len(rest) > 1 and _run_together(*rest[-2:]) else 1
    while len(rest) > last:
        count = 2 if len(rest) - last > 1 and _run_together(*rest[:2]) else 1
        between = np.empty(x.shape, out.dtype)
        _correlate(x, rest[:count], between, "store")
        x, rest = between, rest[count:]
    _correlate(x, rest, out, operation)


# Most taps down the columns where the rows come first: lines that two groups need are computed twice.
_MOST_SHARED = 9


def _run_together(one: Filter, other: Filter) -> bool:
    """Whether two passes can run block by block: what is outside of the second must be the first's result there."""
    (axis,), (next_axis,) = one.axes, other.axes
    if axis == next_axis or one.boundary != other.boundary or one.boundary == FILL:
        return False
    if axis > next_axis and other.weights.size > _MOST_SHARED:
        return False
    return facts_of(one.weights).finite and facts_of(other.weights).finite


def _correlate(x: np.ndarray, filters: list[Filter], out: np.ndarray, operation: str) -> None:
    """`correlate_lines` with one filter, or two that run together."""
    first = filters[0]
    engine = _engine(
        x.dtype,
        x.shape,
        out.dtype,
        tuple(filter.weights.size for filter in filters),
        tuple(filter.axes[0] for filter in filters),
        tuple(filter.firsts[0] for filter in filters),
        first.boundary,
        first.fill_value,
        tuple(facts_of(filter.weights).symmetry for filter in filters),
        operation,
    )
    if engine is None:
        for filter in filters[:-1]:
            between = np.empty(x.shape, out.dtype)
            lines_in_numpy(x, filter, between, "store")
            x = between
        lines_in_numpy(x, filters[-1], out, operation)
    elif len(filters) == 1:
        engine.run(x, first.weights, out, None)
    else:
        engine.run(x, (first.weights, filters[1].weights), out, None)


@kept
def _engine(
    x_dtype,
    x_shape,
    dtype,
    taps,
    axes,
    firsts,
    boundary,
    fill_value,
    symmetries: tuple[int, ...] | None,
    operation: str,
) -> Any:
    """Return the engine; None where nothing can be compiled."""
    sums = _COMPLEX if dtype.kind == "c" else _DOUBLE
    if sys.is_finalizing() or not engine_loader.load().layout.supports(sums):
        return None
    boundaries = (boundary,) * len(taps)
    problem = correlation(x_dtype, x_shape, _DOUBLE, taps, axes, firsts, boundaries, fill_value, sums, dtype)
    engines = engine_loader.load().scipy_order
    if symmetries is None:
        if len(taps) == 2:
            return engines.RoundedTileEngine(problem)
        symmetries = (engines.scipy_order_lines.IN_ORDER,)
    if len(taps) == 1:
        return engines.RoundedLineEngine(problem, symmetries[0], operation)
    return engines.RoundedPassesEngine(problem, symmetries, operation)


def correlate(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """Fill `out` with a correlation as `scipy.ndimage.correlate` computes it: products are added in the weights' order.

    Samples under weights of 0 are left out, even an infinity or a NaN. The input, its fill value and the weights are
    real, and no axis of one weight is shifted; all else is as in `correlate_lines`.
    """
    filter = filter.squeezed(x.ndim)
    if filter.weights.ndim > 2 or not (filter.has_no_zeros or (np.isfinite(filter.fill_value) and is_finite(x))):
        _correlate_extended(x, filter, out)
        return
    key = filter.weights.shape, filter.axes, filter.firsts, filter.boundary, filter.fill_value
    engine = _engine(x.dtype, x.shape, out.dtype, *key, None, "store")
    if engine is None:
        _in_numpy(x, filter, out)
    else:
        engine.run(x, filter.weights, out, None)


def _correlate_extended(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """`correlate` a copy in double that is extended beyond the boundary: with any number of axes, and of zeros."""
    engines = engine_loader.load()
    if sys.is_finalizing() or not engines.layout.supports(_DOUBLE):
        _in_numpy(x, filter, out)
        return
    *leading, width = x.shape
    shape = *leading, max(width, engines.scipy_order.minimum_width())
    extended = placed(_extended(x, filter, shape[-1] - width))
    view = extended[tuple(slice(0, extent) for extent in shape)]
    places = np.nonzero(filter.weights)
    offsets = sum(index * (extended.strides[axis] // extended.itemsize) for index, axis in zip(places, filter.axes))
    engine = _extended_engine(shape, out.dtype)
    target = out if shape == x.shape else np.empty(shape, out.dtype)
    engine.run(view, offsets, filter.weights[places], target, None)
    if target is not out:
        interruptible_numpy.copy(out, target[..., :width])


def _extended(x: np.ndarray, filter: Filter, more: int) -> np.ndarray:
    """Copy `x` in double, as the boundary extends it for all weights, with `more` zeros at the end of the last axis."""
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, first, taps in zip(filter.axes, filter.firsts, filter.weights.shape):
        before[axis], after[axis] = -first, first + taps - 1
    extents = [sum(parts) for parts in zip(before, x.shape, after)]
    extended = np.empty((*extents[:-1], extents[-1] + more))
    extended[..., extents[-1] :] = 0
    known = [slice(start, start + extent) for start, extent in zip(before, x.shape)]
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        interruptible_numpy.copy(extended[tuple(known)], x)
    for axis in filter.axes:
        extent, start = x.shape[axis], before[axis]
        for positions in (np.arange(-start, 0), np.arange(extent, extent + after[axis])):
            indices = boundary_indices(positions, extent, filter.boundary)
            for position, index in zip((positions + start).tolist(), (indices + start).tolist()):
                beyond, source = list(known), list(known)
                beyond[axis], source[axis] = slice(position, position + 1), slice(index, index + 1)
                outside = filter.boundary in (ZERO, FILL)
                extended[tuple(beyond)] = filter.fill_value if outside else extended[tuple(source)]
        known[axis] = slice(0, extents[axis])
    return extended


@kept
def _extended_engine(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return engine_loader.load().scipy_order.RoundedOffsetEngine(
        correlation(_DOUBLE, shape, _DOUBLE, (1,), (len(shape) - 1,), (0,), (ZERO,), 0.0, _DOUBLE, dtype)
    )


class Facts(NamedTuple):
    """Properties of weights: 1 for symmetric ones, -1 for antisymmetric ones, else 0; and whether all are finite."""

    symmetry: int
    finite: bool


@kept_by_content
def facts_of(weights: np.ndarray) -> Facts:
    """Return the properties of weights."""
    return Facts(_symmetry(weights), bool(np.isfinite(weights).all()))


def _symmetry(weights: np.ndarray) -> int:
    """SciPy's test of symmetry, which ignores the middle weight."""
    if weights.size % 2 == 0:
        return 0
    left, right = weights[: weights.size // 2], weights[::-1][: weights.size // 2]
    with np.errstate(all="ignore"):
        if not (np.abs(right - left) > _EPS).any():
            return 1
        return 0 if (np.abs(right + left) > _EPS).any() else -1


def lines_in_numpy(x: np.ndarray, filter: Filter, out: np.ndarray, operation: str) -> None:
    """`correlate_lines` with one filter, without compiled code."""
    if x.dtype.kind == "c":
        fill = filter.fill_value
        lines_in_numpy(x.real, filter._replace(fill_value=fill.real), out.real, operation)
        lines_in_numpy(x.imag, filter._replace(fill_value=fill.imag), out.imag, operation)
        return
    weights, (axis,), sign = filter.weights, filter.axes, _symmetry(filter.weights)
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
            part = out[block]
            result = np.empty(part.shape, out.dtype)
            store(np.moveaxis(total, 0, axis), result)
            if operation in ("square", "add_square", "root"):
                result *= result
            if operation in ("add", "add_square", "root"):
                result += part
            part[...] = np.sqrt(result) if operation == "root" else result


def _in_numpy(x: np.ndarray, filter: Filter, out: np.ndarray) -> None:
    """`correlate` without compiled code."""
    for block in blocks(x.shape):
        correlate_block(x, filter, block, out)


def correlate_block(x: np.ndarray, filter: Filter, block: tuple[slice, ...], out: np.ndarray) -> None:
    """`correlate` one block by NumPy."""
    weights = filter.weights
    with np.errstate(all="ignore"):
        around, total = samples(x, filter, block).astype(_DOUBLE), np.zeros(out[block].shape)
        for index in zip(*np.nonzero(weights)):
            view = [slice(None)] * x.ndim
            for axis, start in zip(filter.axes, map(int, index)):
                view[axis] = slice(start, start + total.shape[axis])
            total += around[tuple(view)] * weights[index]
        store(total, out[block])


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
