"""The engine of means and standard deviations over windows: runs the `window_job`."""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import numba
import numpy as np
from numba import types

from fastconv._engines import layout
from fastconv._engines.numpy_engine import source_indices
from fastconv._engines.pictures.picture_units import WindowUnits
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.pictures import window_deviations, window_float_means, window_job, window_whole_means
from fastconv._model.geometry import runs
from fastconv._simd.target import processor
from fastconv._simd.whole_means import word_reciprocal

# Whole sums below it are exact in float32; quotients of bytes by so many pixels are never rounded to a half.
_EXACT, _PIXELS = 1 << 24, 1 << 16
# The least rows of a unit of sums. Each adds up its first window: so the most are those of some windows,
# or of one if these have more pixels, which would delay an answer to Ctrl-C.
_UNIT_ROWS, _UNIT_WINDOWS, _UNIT_PIXELS = 64, 4, 1 << 25
# Units of deviations are blocks as high as the window, and of large planes so many at least.
_UNITS = 8
# The most rows of a block of windows of floats, or as often the root of their height: its sums stay in the L2 cache.
_BLOCK_ROWS, _BLOCK_ROOTS = 24, 2
# What a pixel costs, in products.
_PRODUCTS, _PRODUCTS_OF_FLOATS, _PRODUCTS_OF_DEVIATIONS = 6, 20, 200


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


def moves_along(channels: int) -> bool:
    """True if sums of integers move along rows of pixels with so many channels."""
    return channels in window_whole_means.CHANNELS


class WindowEngine(WindowUnits):
    """The windows of one `WindowProblem`."""

    def __init__(self, problem: WindowProblem):
        planes, _, width, channels = problem.shape
        (rows, columns), (out_height, out_width) = problem.window, problem.outputs
        how = _How.of(problem)
        row_sources = source_indices(problem.firsts[0], out_height + rows - 1, problem.shape[1], problem.boundary)
        extended, first = out_width + columns - 1, problem.firsts[1]
        every = runs(first, extended, width, problem.boundary)
        (inside,) = (run for run in every if run.direction == 1 and first + run.offset == run.source)
        # Sources as columns of the extended line.
        others = [
            (
                run.offset,
                run.length,
                -1 if run.source < 0 else run.source - inside.source + inside.offset,
                run.direction,
            )
            for run in every
            if run is not inside
        ]
        tables = {
            "row_sources": row_sources,
            "runs": np.array(others, np.intp).reshape(-1, 4),
            "shares": np.concatenate([[0.0], 1 / np.arange(1.0, max(rows, columns) + 1)]),
        }
        block, doublings = _Block.of(rows), window_float_means.doublings(columns, channels)
        unit_rows = how.unit_rows(problem, block.rows)
        row_units = -(-out_height // unit_rows)
        size = rows * columns
        count, lanes, sum_bytes = inside.length * channels, how.lanes, how.sums.bitwidth // 8
        line, inside_pitch = (-(-(n * channels) // lanes) * lanes for n in (extended, inside.length))
        # With the vectors and sums that reach beyond the end of a line.
        pitch = line + (2 + (channels << doublings) // lanes) * lanes
        line_bytes, inside_bytes = pitch * sum_bytes, inside_pitch * sum_bytes
        if how.whole:
            lines, more = 1, {}
        elif problem.deviations:
            lines = 2 * lanes
            more = {"blocks_at": 2 * (rows + 1) * inside_bytes, "turned_at": lines * line_bytes}
        else:
            lines = 1 + doublings
            more = {
                "ends_at": block.rows * inside_bytes,
                "totals_at": block.totals * inside_bytes,
                "terms_at": window_float_means.TERMS * 8,
            }
        parts = {
            "line_at": lanes * sum_bytes + lines * line_bytes,
            "fill_at": count * problem.x_dtype.itemsize,
            "rest_at": 2 * lanes * problem.dtype.itemsize,
            "addresses_at": rows * 8,
            **more,
        }
        offset, places = 2 * processor().vector_bytes, {}  # zeros first
        for name, size_of_part in parts.items():
            offset = places[name] = -(-offset // 64) * 64
            offset += size_of_part
        if how.whole or problem.deviations:  # columns inside begin at a multiple of a vector
            places["line_at"] += -inside.offset * channels % lanes * sum_bytes
        multiplier, shift = word_reciprocal(size)
        fields = {
            "compute_unit": unit_routine(window_job.window_unit),
            "routine": compiled_routine(how.routine, how.signature(problem)),
            "height": problem.shape[1],
            "line": width * channels,
            "out_line": out_width * channels,
            "out_height": out_height,
            "channels": channels,
            "rows": rows,
            "columns": columns,
            "extended": extended,
            "doubled": line,
            "doublings": doublings,
            "inside_at": inside.offset,
            "inside": inside.length,
            "first_column": inside.source,
            "run_count": len(others),
            "fill": problem.fill_value,
            "fills_rows": bool(np.any(row_sources < 0)),
            "size": size,
            "reciprocal": 1 / size,
            "whole_size": size,
            "multiplier": multiplier,
            "shift": shift,
            "result_bytes": problem.dtype.itemsize,
            "line_pitch": pitch,
            "inside_pitch": inside_pitch,
            "block_rows": block.rows,
            "totals": block.totals,
            "middle_rows": block.middle_rows,
            "unit_rows": unit_rows,
            "row_units": row_units,
            "units": planes * row_units,
            **places,
            **{name: table.ctypes.data for name, table in tables.items()},
        }
        self._problem = problem
        self._set_job(
            window_job.WINDOW_JOB.filled(fields),
            compiled_loop(),
            tables,
            planes * row_units,
            how.products * planes * extended * channels * (out_height + rows),
            offset,
        )


class _How(NamedTuple):
    """How windows are computed."""

    routine: Callable
    sums: types.Type
    products: int  # the cost of a pixel
    whole: bool  # sums of integers

    @classmethod
    def of(cls, problem: WindowProblem) -> _How:
        if problem.deviations:
            return cls(window_deviations.deviations, types.float64, _PRODUCTS_OF_DEVIATIONS, False)
        if problem.x_dtype.kind == "f":
            routine = window_float_means.MEANS[problem.dtype.itemsize == 8]
            return cls(routine, types.float64, _PRODUCTS_OF_FLOATS, False)
        limits, size = np.iinfo(problem.x_dtype), math.prod(problem.window)
        largest = size * max(-int(limits.min), int(limits.max))
        sums = types.int32 if largest < 2**31 else types.int64
        (rows, columns), channels = problem.window, problem.shape[3]
        single = problem.dtype.kind in "iu" and largest < _EXACT and size < _PIXELS
        if problem.x_dtype == problem.dtype == np.uint8:
            if columns <= _WORD_COLUMNS and word_reciprocal(size)[0]:
                return cls(window_whole_means.MEANS_OF_WORDS, types.uint16, _PRODUCTS, True)
        way = window_whole_means.SINGLE if single else window_whole_means.DOUBLE
        is_narrow = problem.x_dtype == problem.dtype == np.uint8 and rows <= _NARROW_ROWS
        if channels == 1 and is_narrow and sums is types.int32:
            return cls(window_whole_means.MEANS_OF_NARROW_PAIRS[way], types.uint16, _PRODUCTS, True)
        if channels == 1 and sums is types.int32:
            return cls(window_whole_means.MEANS_OF_PAIRS[way], sums, _PRODUCTS, True)
        if channels > processor().lanes(sums.bitwidth):
            return cls(window_whole_means.MEANS_OF_WIDE_PIXELS[way], sums, _PRODUCTS, True)
        return cls(window_whole_means.MEANS[channels, way], sums, _PRODUCTS, True)

    @property
    def lanes(self) -> int:
        """Sums in a vector."""
        return processor().lanes(self.sums.bitwidth)

    def signature(self, problem: WindowProblem) -> types.Type:
        """The signature of the routine."""
        elements = [numba.from_dtype(dtype) for dtype in (problem.x_dtype, problem.dtype)]
        return window_job.unit_signature(elements[0], self.sums, elements[1])

    def unit_rows(self, problem: WindowProblem, block_rows: int) -> int:
        """Output rows of a unit."""
        rows, (height, width) = problem.window[0], problem.outputs
        if problem.deviations:
            blocks = max(1, min(-(-_UNIT_ROWS // rows), -(-height // (rows * _UNITS))))
            return max(self.lanes, blocks * rows // self.lanes * self.lanes)
        line = width * problem.shape[3]
        most = max(_UNIT_ROWS, rows, min(_UNIT_WINDOWS * rows, _UNIT_PIXELS // max(1, line)))
        units = 2 * -(-height // (2 * most))  # two threads take as many
        most = min(max(_UNIT_ROWS, -(-height // units)), height)
        return most if self.whole else -(-most // block_rows) * block_rows


class _Block(NamedTuple):
    """A block of output rows, whose windows of floats share their middle."""

    rows: int
    totals: int  # of as many rows of samples as a block has; the middle is made of all but one,
    middle_rows: int  # and of rows, so many and one

    @classmethod
    def of(cls, rows: int) -> _Block:
        """A block for windows of so many rows."""
        totals = -(-(rows - 1) // max(_BLOCK_ROWS, _BLOCK_ROOTS * math.isqrt(rows)))
        length = (rows - 1) // max(1, totals)
        return cls(max(1, length), totals, rows - 1 - totals * length)


def lines_of_sums(rows: int, deviations: bool) -> int:
    """Lines of sums that windows of floats of so many rows take."""
    block = _Block.of(rows)
    return 2 * (rows + 1) if deviations else block.rows + block.totals


# Words of 16 bits hold the sums of bytes over few pixels, which are added up one by one along rows.
_WORD_COLUMNS = 7
# Words of 16 bits hold sums of bytes over so many rows.
_NARROW_ROWS = 257
