"""The input of a layer as compiled loops take it: types, geometry, and tables of rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, types

from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import transfer_routine
from fastconv._microkernels.block_cutting import RUN
from fastconv._model.geometry import FILL, ZERO, runs
from fastconv._model.layer_problem import LayerProblem

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


def fields(problem: LayerProblem, compute) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return fields of a job about the input, and the tables whose addresses they have."""
    rows, columns = problem.needed
    has_rows = problem.boundary == ZERO  # rows outside are left out, others are packed
    height = problem.x_shape[2] if has_rows else rows
    x_type = stored(problem.x_dtype, compute)
    tables = {
        "row_sources": np.arange(height, dtype=np.intp) if has_rows else _sources(problem, 0),
        "column_runs": _runs(problem, 1),
        "fill_line": np.full(columns * problem.x_shape[1], _fill_value(problem), problem.sums),
    }
    return {
        **{name: table.ctypes.data for name, table in tables.items()},
        "column_run_count": len(tables["column_runs"]),
        "packed_columns": columns,
        "pack": transfer_routine(x_type, compute, not problem.x_dtype.isnative),
        "fill": transfer_routine(compute, compute),
        "x_in_place": holds_samples(problem) and not problem.looks_outside(1),
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


def _found(problem: LayerProblem, axis: int) -> list:
    """Runs of the input samples that an axis needs."""
    return runs(problem.starts[axis], problem.needed[axis], problem.x_shape[2 + axis], problem.boundary)


def _runs(problem: LayerProblem, axis: int) -> np.ndarray:
    return np.array([tuple(run) for run in _found(problem, axis)], np.intp).reshape(-1).view(RUN.dtype)


def _sources(problem: LayerProblem, axis: int) -> np.ndarray:
    """Index of each sample that an axis needs, -1 for the fill value."""
    return np.concatenate(
        [
            np.full(run.length, -1, np.intp) if run.source < 0 else run.source + run.direction * np.arange(run.length)
            for run in _found(problem, axis)
        ]
    ).astype(np.intp)


def _fill_value(problem: LayerProblem):
    return problem.fill_value if problem.boundary == FILL else 0
