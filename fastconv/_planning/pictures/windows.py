"""Means, standard deviations, and magnitudes of gradients over windows along two axes of an array."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import saturate, source_indices
from fastconv._model.geometry import BOUNDARIES, WRAP, span
from fastconv._planning import engine_loader
from fastconv._runtime import progress_reports
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import CHUNK_ELEMENTS, chunk_slices, copy

# Bytes of sums that a thread may keep: it also bounds the time until an interrupt is answered.
MOST_SCRATCH = 1 << 24


class Request(NamedTuple):
    """What is to be computed: means over windows, or others of them, of arrays of one type and shape.

    Integer results are rounded half to even. Of an even extent the window reaches one sample further to the left, as
    `fastconv.kernels.box`.
    """

    x_dtype: np.dtype
    x_shape: tuple[int, ...]
    axes: tuple[int, ...]
    window: tuple[int, int]
    mode: str
    boundary: str
    fill_value: float
    dtype: np.dtype
    deviations: bool = False
    # Of magnitudes: the weights of smoothing, outer and middle, and what derivatives are divided by.
    gradient: tuple[int, int, int] | None = None


def takes_gradients(dtype: np.dtype) -> bool:
    """True if magnitudes of gradients are compiled for arrays of this type."""
    if sys.is_finalizing():
        return False
    dtype = dtype.newbyteorder("=")
    return engine_loader.load().small_window_engine.supports(dtype, dtype, (3, 3), True)


def compute(request: Request, x: np.ndarray, workers: int | None) -> np.ndarray:
    """Return what is requested, in a new array."""
    return _find(request)(x, workers)


@kept
def _find(request: Request) -> Windows:
    return Windows(request)


class Windows:
    """A request, with the order of its axes, and the engines that compute it."""

    def __init__(self, request: Request):
        shape, axes, dtype = request.x_shape, request.axes, request.x_dtype
        self.request, count = request, len(shape)
        self.is_float = request.deviations or dtype.kind == "f"
        others = [axis for axis in range(count) if axis not in axes]
        self.dtype = dtype.newbyteorder("=")
        engines = None if sys.is_finalizing() else engine_loader.load()
        is_compiled = engines is not None and engines.window_engine.supports(dtype)
        self.is_small, takes_channels = False, self.is_float
        if engines is not None and is_compiled and not request.deviations:
            self.is_small = engines.small_window_engine.supports(
                self.dtype, request.dtype, request.window, request.gradient is not None
            )
            takes_channels = takes_channels or self.is_small or engines.window_engine.moves_along(shape[-1])
        has_channels = others[-1:] == [count - 1] and takes_channels
        first, last = (others[:-1], others[-1:]) if has_channels else (others, [])
        order = (*first, *axes, *last)
        self.order = None if order == tuple(range(count)) else order
        self.back = tuple(order.index(axis) for axis in range(count))
        spans = [span(request.mode, shape[axis], taps) for axis, taps in zip(axes, request.window)]
        planes, self.channels = math.prod(shape[axis] for axis in first), shape[-1] if last else 1
        self.shape = planes, *(shape[axis] for axis in axes), self.channels
        self.outputs = tuple(one.length for one in spans)
        self.result_shape = planes, *self.outputs, self.channels
        self.found_shape = (*(shape[axis] for axis in first), *self.outputs, *(shape[axis] for axis in last))
        self.firsts = tuple(one.start - (taps - 1) for one, taps in zip(spans, request.window))
        self.boundary = BOUNDARIES.index(request.boundary)
        self.takes_power = dtype.kind == "f" and dtype.itemsize == 8
        self.stripes = [(*columns, self._engine(*columns)) for columns in self._columns()] if is_compiled else []
        self.nbytes = sum(engine.nbytes for _, _, engine in self.stripes)

    def _columns(self) -> list[tuple[int, int]]:
        """The output columns of each stripe; only lines of sums of blocks of rows are too long for one."""
        columns, window = self.outputs[1], self.request.window
        count = 1
        if self.is_float and not self.is_small:
            lines = engine_loader.load().window_engine.lines_of_sums(window[0], self.request.deviations)
            most = MOST_SCRATCH // (8 * self.channels * lines)
            # As wide as the window at least, so that what the boundary repeats is inside.
            count = max(1, min(-(-columns // max(1, most)), columns // window[1] - 1))
        cuts = [columns * k // count for k in range(count + 1)]
        return [*itertools.pairwise(cuts)]

    @property
    def _is_wrapped(self) -> bool:
        """Whether columns are repeated before they are cut into stripes."""
        return self.boundary == WRAP and self.outputs[1] > self.request.window[1] and len(self._columns()) > 1

    def _engine(self, first: int, stop: int) -> Any:
        """The engine for a stripe."""
        request, (planes, height, width, channels) = self.request, self.shape
        if self.is_small:
            small = engine_loader.load().small_window_engine
            outputs, fill_value = self.outputs, float(request.fill_value)
            problem = small.SmallWindowProblem(
                self.dtype,
                self.shape,
                request.window,
                self.firsts,
                outputs,
                self.boundary,
                fill_value,
                request.gradient,
            )
            return small.SmallWindowEngine(problem)
        start = self.firsts[1] + first
        if self._is_wrapped:
            width, start = self.outputs[1] + request.window[1] - 1, first
        problem = engine_loader.load().window_engine.WindowProblem(
            self.dtype,
            request.dtype,
            (planes, height, width, channels),
            request.window,
            (self.firsts[0], start),
            (self.outputs[0], stop - first),
            self.boundary,
            float(request.fill_value),
            request.deviations,
        )
        return engine_loader.load().window_engine.WindowEngine(problem)

    def __call__(self, x: np.ndarray, workers: int | None) -> np.ndarray:
        """Compute windows of an array."""
        _pins = pinned(x)
        arranged = x if self.order is None else x.transpose(self.order)
        if not arranged.flags.c_contiguous or not arranged.dtype.isnative:
            given, arranged = arranged, np.empty(arranged.shape, self.dtype)
            copy(arranged, given)
        flat, result = arranged.reshape(self.shape), np.empty(self.result_shape, self.request.dtype)
        self._fill(flat, result, workers)
        if self.takes_power:
            self._mend_overflow(flat, result, workers)
        found = result.reshape(self.found_shape)
        if self.order is None:
            return found
        back = np.empty([self.found_shape[axis] for axis in self.back], found.dtype)
        copy(back, found.transpose(self.back))
        return back

    def _fill(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out` for an array of shape (planes, height, columns, channels)."""
        if not self.stripes or sys.is_finalizing():
            arguments = self.request.window, self.firsts, self.boundary, self.request.fill_value
            _fill_by_numpy(x, *arguments, self.request.deviations, out)
        elif len(self.stripes) == 1:
            self.stripes[0][2](x, out, workers)
        else:
            if self._is_wrapped:
                extended = self.outputs[1] + self.request.window[1] - 1
                given, columns = x, source_indices(self.firsts[1], extended, x.shape[2], WRAP)
                x = np.empty((*given.shape[:2], extended, self.channels), given.dtype)
                for chunk in chunk_slices(x.shape[:2], max(1, CHUNK_ELEMENTS // (extended * self.channels))):
                    x[chunk] = given[chunk][..., columns, :]
            for number, (first, stop, engine) in enumerate(self.stripes):
                part = np.empty((*out.shape[:2], stop - first, self.channels), out.dtype)
                with progress_reports.part(number, len(self.stripes)):
                    engine(x, part, workers)
                copy(out[:, :, first:stop], part)

    def _mend_overflow(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Compute results whose sums, or squares, overflowed again, from samples divided by a power of two."""
        power, large = (-600, 2.0**400) if self.request.deviations else (-64, 2.0**900)
        with np.errstate(all="ignore"):
            if all(np.isfinite(out[chunk]).all() for chunk in chunk_slices(out.shape)):
                return
            small, overflows = np.empty(x.shape), abs(self.request.fill_value) > large
            for chunk in chunk_slices(x.shape):
                part = x[chunk]
                overflows = overflows or bool(np.any((np.abs(part) > large) & np.isfinite(part)))
                np.ldexp(part, power, out=small[chunk])
            if not overflows:
                return
            again = np.empty_like(out)
            fill_value = math.ldexp(self.request.fill_value, power)
            _find(self.request._replace(fill_value=fill_value))._fill(small, again, workers)
            for chunk in chunk_slices(out.shape):
                np.copyto(out[chunk], np.ldexp(again[chunk], -power), where=~np.isfinite(out[chunk]))


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
