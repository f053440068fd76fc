"""The engine of means, and of magnitudes of gradients, over small windows: runs the job of `small_windows`."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from fastconv._engines.compiled_routines import compiled_routine
from fastconv._engines.numpy_engine import source_indices
from fastconv._engines.pictures.picture_units import WindowUnits
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.pictures import small_windows
from fastconv._simd.small_windows import ROWS, takes_columns
from fastconv._simd.target import processor

_DTYPES = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "float32"))
# Output rows of a unit.
_UNIT_ROWS = 8 * ROWS
# What a pixel of one byte costs, in products.
_PRODUCTS_OF_MEANS, _PRODUCTS_OF_MAGNITUDES = 2, 6


class SmallWindowProblem(NamedTuple):
    """Means, or magnitudes of gradients, over small windows of an array (planes, height, columns, channels)."""

    dtype: np.dtype  # of samples and results
    shape: tuple[int, int, int, int]
    window: tuple[int, int]
    firsts: tuple[int, int]  # the row and the column of the input at the first ones of the window at output 0
    outputs: tuple[int, int]
    boundary: int
    fill_value: float
    gradient: tuple[int, int, int] | None  # weights along an edge, outer and middle, and what sums are divided by


def supports(dtype: np.dtype, result: np.dtype, window: tuple[int, int], gradient: bool) -> bool:
    """True if means over this window, or magnitudes of gradients, are compiled for these types."""
    if numba.config.DISABLE_JIT or dtype not in _DTYPES or result != dtype:
        return False
    return gradient or (window[0] == window[1] and (window[0], 0) in small_windows.MEANS)


class SmallWindowEngine(WindowUnits):
    """The windows of one `SmallWindowProblem`."""

    def __init__(self, problem: SmallWindowProblem):
        planes, height, width, channels = problem.shape
        (rows, columns), (out_height, out_width) = problem.window, problem.outputs
        first, dtype, element = problem.firsts[1], problem.dtype, numba.from_dtype(problem.dtype)
        row_sources = source_indices(problem.firsts[0], out_height + rows - 1, height, problem.boundary)
        column_sources = source_indices(first, out_width + columns - 1, width, problem.boundary)
        is_mean = problem.gradient is None
        lanes = processor().lanes(64 if is_mean and dtype.kind == "f" else 8 * dtype.itemsize)
        # Results whose windows are inside, if they fill a vector.
        inside, beyond = max(0, -first), min(out_width, width - first - columns + 1)
        if (beyond - inside) * channels < lanes:
            inside = beyond = out_width
        before = column_sources[: inside + columns - 1] if inside else column_sources[:0]
        packed_columns = np.concatenate([before, column_sources[beyond:] if beyond < out_width else before[:0]])
        places = packed_columns[:, np.newaxis] * channels + np.arange(channels)
        packed_sources = np.where(packed_columns[:, np.newaxis] < 0, -1, places).astype(np.intp).ravel()
        run_at, run_stop = _longest_run(packed_sources)
        rest = np.r_[:run_at, run_stop : packed_sources.size]
        others = np.stack([rest, packed_sources[rest]], -1).astype(np.intp)
        last_at = (inside + columns - 1) * channels if inside else 0
        needed = last_at + (out_width - beyond) * channels if beyond < out_width else inside * channels
        tables = {"row_sources": row_sources, "others": others}
        results_pitch = -(-needed // lanes) * lanes
        packed_pitch = results_pitch + columns * channels
        parts = {
            "fill_at": width * channels * dtype.itemsize,
            "spare_at": out_width * channels * dtype.itemsize,
            "packed_at": (ROWS + rows - 1) * packed_pitch * dtype.itemsize,
            "results_at": ROWS * results_pitch * dtype.itemsize,
            "sources_at": (ROWS + rows - 1) * 8,
            "packed_sources_at": (ROWS + rows - 1) * 8,
            "targets_at": ROWS * 8,
            "packed_targets_at": ROWS * 8,
        }
        offset, places_of = 0, {}
        for name, size_of_part in parts.items():
            places_of[name] = offset
            offset += -(-size_of_part // 64) * 64
        if is_mean:
            special = (rows, channels) in small_windows.MEANS and takes_columns(element, columns, channels)
            function = small_windows.MEANS[rows, channels if special else 0]
        else:
            function = small_windows.MAGNITUDES
        row_units = -(-out_height // _UNIT_ROWS)
        fields = {
            "compute_unit": unit_routine(small_windows.unit),
            "routine": compiled_routine(function, small_windows.signature(element, element)),
            "height": height,
            "line": width * channels,
            "out_line": out_width * channels,
            "out_height": out_height,
            "channels": channels,
            "first_at": first * channels,
            "inside": inside * channels,
            "beyond": beyond * channels,
            "run_at": run_at,
            "run": packed_sources[run_at] if run_at < run_stop else 0,
            "run_length": run_stop - run_at,
            "other_count": len(others),
            "packed_results": needed,
            "last_at": last_at,
            "packed_pitch": packed_pitch,
            "results_pitch": results_pitch,
            "fill": problem.fill_value,
            "fills_rows": bool(np.any(row_sources < 0)),
            "unit_rows": _UNIT_ROWS,
            "row_units": row_units,
            "units": planes * row_units,
            **dict(zip(("outer", "middle", "scale"), problem.gradient or ())),
            **places_of,
            **{name: table.ctypes.data for name, table in tables.items()},
        }
        products = (_PRODUCTS_OF_MEANS if is_mean else _PRODUCTS_OF_MAGNITUDES) * dtype.itemsize
        self._problem = problem
        self._set_job(
            small_windows.SMALL_WINDOW_JOB.filled(fields),
            compiled_loop(),
            tables,
            planes * row_units,
            products * planes * out_height * out_width * channels,
            offset,
        )


def _longest_run(places: np.ndarray) -> tuple[int, int]:
    """The first one, and that after the last one, of the most successive places."""
    if not places.size:
        return 0, 0
    breaks = np.flatnonzero((np.diff(places) != 1) | (places[1:] <= 0)) + 1
    cuts = np.concatenate([[0], breaks, [places.size]])
    longest = int(np.argmax(np.diff(cuts)))
    first, stop = int(cuts[longest]), int(cuts[longest + 1])
    return (first, stop) if places[first] >= 0 else (0, 0)
