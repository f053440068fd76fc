"""The engine of the steps of a Gaussian pyramid, from pixels to pixels."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import config, types

from fastconv._engines.pictures.picture_units import PictureUnits
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.pictures import pyramid_steps
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd.target import processor

# Types of sums by type of pixels.
_SUMS = {
    "u1": types.uint16,
    "u2": types.uint32,
    "i2": types.int32,
    "f4": types.float32,
    "f8": types.float64,
}
# Rows of a unit, and bytes of the rows under the taps of a strip.
UNIT_ROWS, STRIP_BYTES = 32, 1 << 15


class PyramidProblem(NamedTuple):
    """A step from a picture of a shape (rows, columns, channels) to one of half or of twice the size.

    The sources are the rows and columns of the input that each of those under the taps stands for.
    """

    dtype: np.dtype
    shape: tuple[int, int, int]
    doubles: bool
    row_sources: np.ndarray
    column_sources: np.ndarray


def supports(dtype: np.dtype) -> bool:
    """True if pixels of this type are compiled."""
    return dtype.str[1:] in _SUMS and not config.DISABLE_JIT


class PyramidEngine(PictureUnits):
    """One `PyramidProblem`."""

    def __init__(self, problem: PyramidProblem):
        (_, width, channels), doubles = problem.shape, problem.doubles
        sums, element = _SUMS[problem.dtype.str[1:]], numba.from_dtype(problem.dtype)
        # Rows and columns that units divide: those of the input for twice the size.
        before, step, taps = (1, 1, 3) if doubles else (2, 2, 5)
        rows, across = ((len(sources) - taps) // step + 1 for sources in (problem.row_sources, problem.column_sources))
        columns = np.arange(-before, len(problem.column_sources) - before)
        outside = (columns < 0) | (columns >= width)
        tables = {
            # Rows of half the size are computed in pairs.
            "row_sources": np.append(problem.row_sources, [problem.row_sources[-1]] * 2).astype(np.intp),
            "edges": np.array([columns[outside], problem.column_sources[outside]], np.intp).T.copy(),
        }
        widest = max(8, STRIP_BYTES // (taps * step * channels * problem.dtype.itemsize))
        strips = -(-across // widest)
        strip = -(-across // strips)
        strips = -(-across // strip)
        vector = processor().vector_bytes
        line = -(-((strip + 2) * channels * sums.bitwidth // 8) // 64) * 64 + 10 * vector
        routines = pyramid_steps.DOUBLING if doubles else pyramid_steps.HALVING
        function = routines.get(channels, routines[0])
        units = -(-rows // UNIT_ROWS) * strips
        fields = {
            "compute_unit": unit_routine(pyramid_steps.pyramid_unit),
            "routine": compiled_routine(function, pyramid_steps.step_signature(element, sums, element)),
            "columns": width,
            "channels": channels,
            "edge_count": len(tables["edges"]),
            "rows": rows,
            "across": across,
            "unit_rows": UNIT_ROWS,
            "strip": strip,
            "strips": strips,
            "line_at": 0,
            "other_line_at": line,
            "apart": 2 * line // (sums.bitwidth // 8),
            "rest_at": 4 * line,
            "units": units,
            **{name: table.ctypes.data for name, table in tables.items()},
        }
        self._problem = problem
        # Each byte that is read or written takes as long as a product.
        pixels = problem.shape[0] * width + rows * across * (4 if doubles else 1)
        self._set_job(
            pyramid_steps.PYRAMID_JOB.filled(fields),
            compiled_loop(),
            tables,
            units,
            pixels * channels * problem.dtype.itemsize,
            4 * line + 8 * vector,
        )

    def __call__(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, of shape (rows, columns, channels) as `x`; rows of both are contiguous."""
        _pins = pinned(x, out)
        if listeners:
            notify("pyramid", problem=self._problem, x=x, out=out)
        self._fill(x, out, workers)
