"""The engine of means and standard deviations over windows: runs `window_sums`."""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import layout
from fastconv._engines.numpy_engine import source_indices
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import UnitEngine
from fastconv._microkernels import window_sums
from fastconv._runtime.borrowed_arrays import non_owning_view, pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd import compilation

# Whole sums below it are exact in float32, and quotients by so many pixels are never rounded to a half.
_EXACT, _PIXELS = 1 << 24, 1 << 15
# Rows of a unit, and how many units share the work of large windows.
_UNIT_ROWS, _UNITS = 64, 8
# What a pixel costs, in products.
_PRODUCTS, _PRODUCTS_OF_DEVIATIONS = 60, 200


class WindowProblem(NamedTuple):
    """Means, or standard deviations, over the windows of planes of an array (planes, height, columns, channels)."""

    x_dtype: np.dtype
    dtype: np.dtype
    shape: tuple[int, int, int, int]
    window: tuple[int, int]
    firsts: tuple[int, int]  # the row and the column of the input at the first ones of the window at output 0
    outputs: tuple[int, int]
    boundary: int
    fill_value: float
    deviations: bool


def supports(dtype: np.dtype) -> bool:
    """True if samples of this type are compiled."""
    return layout.supports(dtype)


@kept
def engine_of(problem: WindowProblem) -> WindowEngine:
    """Return the cached engine of a problem, or make it."""
    return WindowEngine(problem)


@compilation.once
def _run():
    return compilation.compile_entry(window_sums.run, window_sums.signature(), nogil=False)


class WindowEngine(UnitEngine):
    """The windows of one `WindowProblem`."""

    def __init__(self, problem: WindowProblem):
        planes, height, width, channels = problem.shape
        (rows, columns), (out_height, out_width) = problem.window, problem.outputs
        function, sums = _routine(problem)
        sources = [
            source_indices(first, outputs + taps - 1, extent, problem.boundary)
            for first, outputs, taps, extent in zip(problem.firsts, problem.outputs, problem.window, (height, width))
        ]
        inside = max(0, -problem.firsts[1]), max(0, min(out_width + columns - 1, width - problem.firsts[1]))
        first_inside = min(inside[0], out_width + columns - 2)
        tables = {
            "row_sources": sources[0],
            "column_sources": sources[1],
            "shares": np.concatenate([[0.0], 1 / np.arange(1.0, max(rows, columns) + 1)]),
        }
        blocks = max(1, min(-(-_UNIT_ROWS // rows), -(-out_height // (rows * _UNITS))))
        unit_rows = blocks * rows
        row_units = -(-out_height // unit_rows)
        elements = [_element(dtype) for dtype in (problem.x_dtype, problem.dtype)]
        signature = window_sums.unit_signature(elements[0], sums, elements[1])
        extended = out_width + columns - 1
        fields = {
            "routine": compiled_routine(function, signature),
            "height": height,
            "line": width * channels,
            "out_line": out_width * channels,
            "out_height": out_height,
            "channels": channels,
            "rows": rows,
            "columns": columns,
            "extended": extended,
            "first_inside": first_inside,
            "stop_inside": max(first_inside, inside[1]),
            "fill": problem.fill_value,
            "unit_rows": unit_rows,
            "row_units": row_units,
            "units": planes * row_units,
            **{name: table.ctypes.data for name, table in tables.items()},
        }
        lines = window_sums.lines_of_scratch(rows, problem.deviations)
        cost = _PRODUCTS_OF_DEVIATIONS if problem.deviations else _PRODUCTS
        self._problem = problem
        self._set_job(
            window_sums.WINDOW_JOB.filled(fields),
            _run(),
            tables,
            planes * row_units,
            cost * planes * extended * channels * (out_height + rows),
            lines * extended * channels * sums.bitwidth // 8,
        )

    def __call__(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`; both arrays are contiguous, of the shapes and types of the problem."""
        _pins = pinned(x, out)
        if listeners:
            notify("windows", problem=self._problem, x=x, out=out)
        self._compute((non_owning_view(x), non_owning_view(out)), (x, out), self._threads(workers))


def _routine(problem: WindowProblem) -> tuple[Callable, types.Type]:
    """The routine of a problem, and the type of its sums."""
    if problem.deviations:
        return window_sums.deviations, types.float64
    if problem.x_dtype.kind == "f":
        return window_sums.means, types.float64
    limits, size = np.iinfo(problem.x_dtype), math.prod(problem.window)
    largest = size * max(-int(limits.min), int(limits.max))
    to_whole = problem.dtype.kind in "iu"
    single = to_whole and largest < _EXACT and size < _PIXELS
    return window_sums.WHOLE_MEANS[to_whole, single], types.int32 if largest < 2**31 else types.int64


def _element(dtype: np.dtype) -> types.Type:
    if dtype.kind == "f":
        return types.float64 if dtype.itemsize == 8 else types.float32
    return types.Integer.from_bitwidth(8 * dtype.itemsize, dtype.kind == "i")
