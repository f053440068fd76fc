"""Means and standard deviations over windows along two axes of an array."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np

from fastconv._engines.numpy_engine import saturate, source_indices
from fastconv._model.geometry import BOUNDARIES, WRAP, span
from fastconv._planning import engine_loader
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import CHUNK_ELEMENTS, chunk_slices, copy


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
    # Channels; sums of integers move along rows of a few only.
    apart = x.dtype.kind != "f" and not deviations and x.shape[-1] not in _CHANNELS
    last = [x.ndim - 1] if x.ndim - 1 in others and not apart else []
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
    arguments = window, firsts, index, fill_value, deviations
    _fill(flat, *arguments, result, workers)
    if x.dtype.kind == "f" and x.dtype.itemsize == 8:
        _mend_overflow(flat, *arguments, result, workers)
    found = result.reshape([*arranged.shape[: len(others) - len(last)], *outputs, *([channels] if last else [])])
    if order == tuple(range(x.ndim)):
        return found
    back = np.empty([found.shape[order.index(axis)] for axis in range(x.ndim)], dtype)
    copy(back, found.transpose([order.index(axis) for axis in range(x.ndim)]))
    return back


# Bytes of sums that a thread may keep: it also bounds the time until an interrupt is answered.
_MOST_SCRATCH = 1 << 26
# Numbers of channels along which sums of integers move: `window_whole_means.CHANNELS`.
_CHANNELS = (1, 3, 4)


def _fill(
    x: np.ndarray, window, firsts, boundary: int, fill_value, deviations: bool, out: np.ndarray, workers: int | None
) -> None:
    """Fill `out` for an array of shape (planes, height, columns, channels)."""
    stripes, (outputs, channels) = 1, out.shape[2:]
    if deviations or x.dtype.kind == "f":  # sums of a block of rows are kept
        most = _MOST_SCRATCH // ((window[0] + 1) * 8 * channels * (1 + deviations))
        stripes = min(-(-outputs // max(1, most)), outputs // window[1] - 1)
    if stripes <= 1:
        _fill_stripe(x, window, firsts, boundary, fill_value, deviations, out, workers)
        return
    # Stripes are as wide as the window at least, so that what the boundary repeats is inside.
    if boundary == WRAP:
        x, firsts = np.take(x, source_indices(firsts[1], outputs + window[1] - 1, x.shape[2], WRAP), 2), (firsts[0], 0)
    for first, stop in itertools.pairwise(outputs * k // stripes for k in range(stripes + 1)):
        part = np.empty((*out.shape[:2], stop - first, channels), out.dtype)
        _fill_stripe(x, window, (firsts[0], firsts[1] + first), boundary, fill_value, deviations, part, workers)
        copy(out[:, :, first:stop], part)


def _mend_overflow(
    x: np.ndarray, window, firsts, boundary: int, fill_value, deviations: bool, out: np.ndarray, workers: int | None
) -> None:
    """Compute results whose sums, or squares, overflowed again, from samples divided by a power of two."""
    power, large = (-600, 2.0**400) if deviations else (-64, 2.0**900)
    with np.errstate(all="ignore"):
        if all(np.isfinite(out[chunk]).all() for chunk in chunk_slices(out.shape)):
            return
        small = np.empty(x.shape)
        overflows = abs(fill_value) > large
        for chunk in chunk_slices(x.shape):
            part = x[chunk]
            overflows = overflows or bool(np.any((np.abs(part) > large) & np.isfinite(part)))
            np.ldexp(part, power, out=small[chunk])
        if not overflows:
            return
        again = np.empty_like(out)
        _fill(small, window, firsts, boundary, math.ldexp(fill_value, power), deviations, again, workers)
        for chunk in chunk_slices(out.shape):
            np.copyto(out[chunk], np.ldexp(again[chunk], -power), where=~np.isfinite(out[chunk]))


def _fill_stripe(
    x: np.ndarray, window, firsts, boundary: int, fill_value, deviations: bool, out: np.ndarray, workers: int | None
) -> None:
    """Fill `out`, a part of the columns."""
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
