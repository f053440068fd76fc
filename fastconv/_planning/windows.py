"""Means and standard deviations over windows along two axes of an array."""

from __future__ import annotations

import math
import sys

import numpy as np

from fastconv._engines.numpy_engine import saturate, source_indices
from fastconv._model.geometry import BOUNDARIES, span
from fastconv._planning import engine_loader
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import CHUNK_ELEMENTS, copy


def compute(
    x: np.ndarray,
    axes: tuple[int, ...],
    window: tuple[int, int],
    mode: str,
    boundary: str,
    fill_value: float,
    dtype: np.dtype,
    workers: int | None,
    deviations: bool = False,
) -> np.ndarray:
    """Return the means over windows, or the standard deviations, as an array of `dtype`.

    Integer results are rounded half to even. Of an even extent the window reaches one sample further to the left, as
    `fastconv.kernels.box`.
    """
    _pins = pinned(x)
    others = [axis for axis in range(x.ndim) if axis not in axes]
    last = [x.ndim - 1] if x.ndim - 1 in others else []  # channels
    order = (*others[: len(others) - len(last)], *axes, *last)
    arranged = x.transpose(order)
    if not arranged.flags.c_contiguous or not arranged.dtype.isnative:
        given, arranged = arranged, np.empty(arranged.shape, arranged.dtype.newbyteorder("="))
        copy(arranged, given)
    channels = x.shape[-1] if last else 1
    height, width = (x.shape[axis] for axis in axes)
    spans = [span(mode, extent, taps) for extent, taps in zip((height, width), window)]
    planes = math.prod(x.shape[axis] for axis in order[: len(others) - len(last)])
    outputs = tuple(one.length for one in spans)
    result = np.empty((planes, *outputs, channels), dtype)
    firsts = tuple(one.start - (taps - 1) for one, taps in zip(spans, window))
    shape = planes, height, width, channels
    flat = arranged.reshape(shape)
    index = BOUNDARIES.index(boundary)
    step = max(window[1], _MOST_SCRATCH // ((2 * window[0] + 7) * 8 * channels) - window[1])
    if step >= outputs[1]:
        _fill(flat, window, firsts, index, fill_value, deviations, result, workers)
    else:  # in stripes, since sums of a block of rows are kept
        for first in range(0, outputs[1], step):
            part = np.empty((planes, outputs[0], min(step, outputs[1] - first), channels), dtype)
            _fill(flat, window, (firsts[0], firsts[1] + first), index, fill_value, deviations, part, workers)
            copy(result[:, :, first : first + step], part)
    found = result.reshape([*arranged.shape[: len(others) - len(last)], *outputs, *([channels] if last else [])])
    if order == tuple(range(x.ndim)):
        return found
    back = np.empty([found.shape[order.index(axis)] for axis in range(x.ndim)], dtype)
    copy(back, found.transpose([order.index(axis) for axis in range(x.ndim)]))
    return back


# Bytes of sums that a thread may keep: it also bounds the time until an interrupt is answered.
_MOST_SCRATCH = 1 << 26


def _fill(
    x: np.ndarray, window, firsts, boundary: int, fill_value, deviations: bool, out: np.ndarray, workers: int | None
) -> None:
    """Fill `out` for an array of shape (planes, height, columns, channels)."""
    engines = None if sys.is_finalizing() else engine_loader.load()
    if engines is None or not engines.window_engine.supports(x.dtype):
        _fill_by_numpy(x, window, firsts, boundary, fill_value, deviations, out)
        return
    outputs = out.shape[1], out.shape[2]
    problem = engines.window_engine.WindowProblem(
        x.dtype, out.dtype, x.shape, window, firsts, outputs, boundary, float(fill_value), deviations
    )
    engines.window_engine.engine_of(problem)(x, out, workers)


def _fill_by_numpy(x: np.ndarray, window, firsts, boundary: int, fill_value, deviations: bool, out) -> None:
    """Fill `out` by NumPy, row by row of windows, where nothing can be compiled."""
    rows_of, columns_of = (
        source_indices(first, outputs + taps - 1, extent, boundary)
        for first, taps, outputs, extent in zip(firsts, window, out.shape[1:3], x.shape[1:3])
    )
    samples = x[:, :, columns_of].astype(np.float64)
    samples[:, :, columns_of < 0] = fill_value
    step = max(1, CHUNK_ELEMENTS // (samples[:, 0].size * math.prod(window)))
    with np.errstate(all="ignore"):
        for row in range(0, out.shape[1], step):
            rows = rows_of[row : min(row + step, out.shape[1]) + window[0] - 1]
            part = samples[:, rows]
            part[:, rows < 0] = fill_value
            views = np.lib.stride_tricks.sliding_window_view(part, window, (1, 2))
            found = views.std((-2, -1)) if deviations else views.mean((-2, -1))
            saturate(found, out.dtype)
            out[:, row : row + found.shape[1]] = found
