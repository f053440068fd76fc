"""The input of a layer as compiled loops take it: types, geometry, and tables of rows and columns."""

from __future__ import annotations

import math
import sys
from typing import Any, Callable

import numpy as np
from numba import config, types

from fastconv._engines.layout import stored
from fastconv._engines.numpy_engine import source_indices
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._microkernels.block_cutting import RUN
from fastconv._microkernels.layers import layer_packing
from fastconv._model.geometry import FILL, MIRROR, REFLECT, WRAP, ZERO, runs
from fastconv._model.layer_problem import LayerProblem, reach
from fastconv._simd.target import processor

# Channels whose planes are interleaved in registers, at most: each vector of pixels takes a shuffle for each.
MOST_INTERLEAVED = 8
# Repetitions of an image in a row from which on its runs are found by NumPy.
_MANY = 16

COMPUTE = {
    np.dtype(np.float32): types.float32,
    np.dtype(np.float64): types.float64,
    np.dtype(np.int32): types.int32,
    np.dtype(np.int64): types.int64,
    np.dtype(np.uint64): types.int64,  # integers wrap
}


def supports(problem: LayerProblem) -> bool:
    """Whether there is a compiled engine for a problem: not for longdouble, and not with the compiler disabled."""
    return problem.sums in COMPUTE and problem.x_dtype.char not in "eg" and not config.DISABLE_JIT


def holds_samples(problem: LayerProblem) -> bool:
    """Whether the input is of the samples' type, and nothing but zeros lies outside."""
    compute = COMPUTE[problem.sums]
    return stored(problem.x_dtype, compute) == compute and problem.x_dtype.isnative and problem.boundary == ZERO


def is_inside(problem: LayerProblem) -> bool:
    """Whether the input is of the samples' type, and no column is outside."""
    return holds_samples(problem) and not problem.looks_outside(1)


def fields(problem: LayerProblem, compute, packs: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return fields of a job about the input, and the tables whose addresses they have; routines only if it `packs`."""
    rows, columns = problem.needed
    has_rows = problem.boundary == ZERO  # rows outside are left out, others are packed
    height = problem.x_shape[2] if has_rows else rows
    x_type = stored(problem.x_dtype, compute)
    row_sources = np.arange(height, dtype=np.intp) if has_rows else _sources(problem, 0)
    column_runs = _column_runs(problem)
    filled = column_runs if not has_rows and (row_sources < 0).any() else column_runs[column_runs["source"] < 0]
    tables = {
        "row_sources": row_sources,
        "column_runs": column_runs,
        "fill_line": np.full(filled["length"].max(initial=0) * problem.x_shape[1], _fill_value(problem), problem.sums),
    }
    return {
        **{name: table.ctypes.data for name, table in tables.items()},
        "column_run_count": len(tables["column_runs"]),
        "packed_columns": columns,
        **(_packing(problem, x_type, compute) if packs else {}),
        "pixel_columns": sys.maxsize,
        "x_in_place": is_inside(problem),
        "x_bytes": problem.x_dtype.itemsize,
        "bytes": problem.sums.itemsize,
        "channels": problem.x_shape[1] // problem.groups,
        "groups": problem.groups,
        "kernel_rows": problem.kernel[0],
        "kernel_columns": problem.kernel[1],
        "row_stride": problem.stride[0],
        "column_stride": problem.stride[1],
        "row_dilation": problem.dilation[0],
        "column_dilation": problem.dilation[1],
        "height": height,
        "top": problem.starts[0] if has_rows else 0,
        "left": problem.starts[1],
    }, tables


def _packing(problem: LayerProblem, x_type, compute) -> dict[str, int]:
    """Addresses of the routines that pack input of any layout."""
    return {
        "pack_runs": compiled_routine(layer_packing.pack_runs, layer_packing.pack_runs_signature()),
        "pack": transfer_routine(x_type, compute, not problem.x_dtype.isnative),
        "fill": transfer_routine(compute, compute),
    }


def padding(problem: LayerProblem, compute, to_pixels: bool = False) -> dict[str, int]:
    """Fields about rows that become planes, or pixels, padded with zeros; none if they are packed otherwise."""
    channels, width = problem.x_shape[1], problem.x_shape[3]
    columns, start = problem.needed[1], problem.starts[1]
    left, right = max(0, -start), max(0, start + columns - width)
    inside, planes = columns - left - right, channels
    is_few = 1 < channels <= MOST_INTERLEAVED
    function: Callable
    lanes = max(2, processor().lanes(compute.bitwidth))
    if to_pixels:
        left, right = left * channels, right * channels
    if to_pixels and problem.has_pixels:
        function, inside, planes = layer_packing.pad_planes, inside * channels, 1
    elif problem.has_lines and not to_pixels:
        function = layer_packing.pad_planes
    elif problem.has_lines and is_few:
        function = layer_packing.make_interleaved(channels)
    elif problem.has_lines and channels >= lanes:
        function = layer_packing.pad_transposed
    elif problem.has_pixels and is_few:
        function = layer_packing.make_separated(channels)
    else:
        return {}
    if not holds_samples(problem) or inside < lanes:
        return {}
    return {
        "pad": compiled_routine(function, layer_packing.pad_signature(compute)),
        "first_column": max(0, start),
        "pad_left": left,
        "pad_columns": inside,
        "pad_right": right,
        "pad_planes": planes,
    }


def transposing_routine(compute) -> int:
    """Address of the routine that copies rows of many planes to pixels, or of pixels to planes."""
    return compiled_routine(layer_packing.pad_transposed, layer_packing.pad_signature(compute))


def interleaving_routine(channels: int, compute) -> int:
    """Address of the routine that copies rows of so many planes to pixels."""
    return compiled_routine(layer_packing.make_interleaved(channels), layer_packing.pad_signature(compute))


def pixels(problem: LayerProblem, compute) -> dict[str, Any]:
    """Fields about planes of a few channels that become pixels; none if the input is of another kind."""
    x_type = stored(problem.x_dtype, compute)
    columns = max(2, processor().lanes(8 * max(problem.x_dtype.itemsize, problem.sums.itemsize)))
    channels = problem.x_shape[1]
    is_few = 1 < channels <= MOST_INTERLEAVED and math.prod(problem.x_shape[2:]) >= columns
    if not problem.has_lines or not problem.x_dtype.isnative or not is_few:
        return {}
    return {"pack_pixels": pixels_routine(channels, x_type, compute), "pixel_columns": columns}


def pixels_routine(channels: int, x_type, compute) -> int:
    """Address of the routine that copies planes of so many channels to pixels."""
    return compiled_routine(layer_packing.make_pixels(channels), layer_packing.pixels_signature(x_type, compute))


def inside(problem: LayerProblem) -> tuple[int, int]:
    """The first output column whose taps are all inside, and the one behind the last; equal if there are none."""
    start, stride = problem.starts[1], problem.stride[1]
    extent = reach(problem.kernel[1], problem.dilation[1])
    first = max(0, -(start // stride))
    stop = min(problem.out_size[1], (problem.x_shape[3] - extent - start) // stride + 1)
    return (first, stop) if first < stop else (0, 0)


def edges(problem: LayerProblem) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fields about the input of output columns that look outside, side by side, and their table; none if all do."""
    (first, stop), width = inside(problem), problem.out_size[1]
    if not holds_samples(problem) or first == stop or not problem.looks_outside(1):
        return {}, {}
    found: list = []
    columns: list[int] = []
    for begin, end in ((0, first), (stop, width)):
        offset = sum(columns)
        columns.append((end - 1 - begin) * problem.stride[1] + reach(problem.kernel[1], problem.dilation[1]))
        columns[-1] *= end > begin
        start = problem.starts[1] + begin * problem.stride[1]
        found += [
            run._replace(offset=offset + run.offset)
            for run in (runs(start, columns[-1], problem.x_shape[3], problem.boundary) if columns[-1] else ())
        ]
    if sum(columns) >= problem.needed[1]:  # little is inside
        return {}, {}
    table = _table(found)
    return {
        "edge_runs": table.ctypes.data,
        "edge_run_count": len(table),
        "edge_columns": sum(columns),
        "right_edge": columns[0],
        "first_inside": first,
        "stop_inside": stop,
    }, {"edge_runs": table}


def _table(found: list) -> np.ndarray:
    return np.array([tuple(run) for run in found], np.intp).reshape(-1).view(RUN.dtype)


def _column_runs(problem: LayerProblem) -> np.ndarray:
    """Table of the runs of a row; repetitions of a small image, which may be millions, are found all at once."""
    position, count, extent = problem.starts[1], problem.needed[1], problem.x_shape[3]
    repeated = {WRAP: 0, REFLECT: 1, MIRROR: 0}.get(problem.boundary)
    if repeated is None or count < _MANY * extent or (extent == 1 and problem.boundary == MIRROR):
        return _table(runs(position, count, extent, problem.boundary))
    # One period is forwards and, but for `WRAP`, backwards.
    period = extent if problem.boundary == WRAP else 2 * extent - 2 + 2 * repeated
    first = np.arange(position // period, (position + count) // period + 1) * period
    starts = np.unique(np.concatenate([first, first + extent, [position]]))
    starts = starts[(starts >= position) & (starts < position + count)]
    table = np.empty(len(starts), RUN.dtype)
    index = starts % period
    forwards = index < extent
    table["offset"] = starts - position
    table["source"] = np.where(forwards, index, period - repeated - index)
    table["length"] = np.diff(starts, append=position + count)
    table["direction"] = np.where(forwards, 1, -1)
    return table


def _sources(problem: LayerProblem, axis: int) -> np.ndarray:
    """Index of each sample that an axis needs, -1 for the fill value."""
    return source_indices(problem.starts[axis], problem.needed[axis], problem.x_shape[2 + axis], problem.boundary)


def _fill_value(problem: LayerProblem):
    return problem.fill_value if problem.boundary == FILL else 0
