"""The job that `tile_loop` runs: compiled routines, sizes, scratch offsets and the tables of both axes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv._engines import cost_model
from fastconv._engines.fft_tables import NO_TRANSFORM, Transform, transform
from fastconv._engines.layout import stored
from fastconv._engines.routines import leaf, store_leaf, told, transfer_leaf
from fastconv._engines.tile_search import Tile, TiledLayout, compute_type, single_tile_size
from fastconv._microkernels import fft_passes, tile_loop
from fastconv._microkernels.block_tables import Axis
from fastconv._model.geometry import FILL, ZERO, Run, runs
from fastconv._model.problem import Problem
from fastconv._simd import complex_vectors


class TileJob(NamedTuple):
    """A job, how many pieces threads take of it, and the memory that it needs."""

    fields: np.ndarray
    references: tuple[Any, ...]  # objects that it holds addresses of
    pieces: int
    shared_bytes: int  # of the plane, if all threads work at one; else 0
    scratch_bytes: int  # of each thread
    nbytes: int


def build(problem: Problem, layout: TiledLayout) -> TileJob:
    """Prepare the job of a problem."""
    tile, units, compute = layout.tile, layout.units, compute_type(problem)
    lanes = complex_vectors.lanes_of(compute)
    x_parts, parts = (2 if dtype.kind == "c" else 1 for dtype in (problem.x_dtype, problem.sums))
    batch = batch_axes(problem, layout)
    axes = row_axis, column_axis = _axes(layout, compute)
    memory = _Memory.of(tile, units.total, compute)
    numbers = told(problem.finish, compute)

    job = np.zeros(tile_loop.BATCH + len(batch), np.intp)
    fields = {
        tile_loop.PACK: transfer_leaf(stored(problem.x_dtype, compute), compute, not problem.x_dtype.isnative),
        tile_loop.COPY: transfer_leaf(compute, compute),
        tile_loop.STORE: store_leaf(problem.finish, compute, stored(problem.dtype, compute)),
        tile_loop.TOLD: 0 if numbers is None else numbers.ctypes.data,
        **_stages(compute, units.packed, tile.four_step, alike=not (tile.down and tile.across)),
        tile_loop.ITEM: memory.item,
        tile_loop.X_ITEM: problem.x_dtype.itemsize // x_parts,
        tile_loop.RIDERS: units.packed,
        tile_loop.PARTS: parts,
        tile_loop.X_PARTS: x_parts,
        tile_loop.FOLDED: tile.four_step,
        tile_loop.ROWS: tile.rows,
        tile_loop.COLUMNS: tile.columns,
        tile_loop.ROW_AXIS: layout.row,
        tile_loop.COLUMN_AXIS: layout.column,
        tile_loop.UNITS: units.total,
        tile_loop.UNITS_OF_PLANE: units.per_plane,
        tile_loop.GROUP: units.group,
        tile_loop.UNITS_OF_GROUP: units.per_group,
        tile_loop.DOWN_FIRST: units.down_first,
        tile_loop.LANES: lanes,
        tile_loop.PITCH: memory.pitch,
        tile_loop.STAGE_ROWS: memory.stage_rows,
        tile_loop.PLANE_AT: memory.plane_at,
        tile_loop.POINTS_AT: memory.points_at,
        tile_loop.STAGE_AT: memory.stage_at,
        tile_loop.SECOND_STAGE_AT: memory.second_stage_at,
        tile_loop.SHARES: memory.shares,
        tile_loop.SHARE_ROWS: -(-tile.rows // memory.shares // lanes) * lanes,
        tile_loop.SHARE_COLUMNS: -(-tile.columns // memory.shares // lanes) * lanes,
        tile_loop.BATCH_AXES: len(batch),
    }
    job[list(fields)] = list(fields.values())
    job[tile_loop.DOWN : tile_loop.DOWN + tile_loop.AXIS] = row_axis.fields
    job[tile_loop.ACROSS : tile_loop.ACROSS + tile_loop.AXIS] = column_axis.fields
    job[tile_loop.BATCH :] = batch
    if problem.boundary == FILL:
        value = np.asarray(problem.fill_value, problem.sums)
        places = job[tile_loop.FILL_VALUE : tile_loop.FILL_VALUE + 2].view(compute.name)
        for part, number in enumerate((value.real, value.imag)):
            places[part * 8 // memory.item] = number.astype(compute.name)
    shared = memory.shares > 1
    return TileJob(
        fields=job,
        references=(axes, numbers),
        pieces=memory.shares if shared else units.total,
        shared_bytes=memory.plane_bytes if shared else 0,
        scratch_bytes=memory.plane_at + (0 if shared else memory.plane_bytes),
        nbytes=job.nbytes + sum(axis.nbytes for axis in axes),
    )


def batch_axes(problem: Problem, layout: TiledLayout) -> list[int]:
    """Axes that are not along a tile."""
    return [axis for axis in range(len(problem.x_shape)) if axis not in (layout.row, layout.column)]


def compile_all(problem: Problem) -> None:
    """Compile all that problems of these types need, whatever their sizes."""
    compute = compute_type(problem)
    for four_step, alike in ((False, True), (False, False), (True, False)):
        _stages(compute, 1 if problem.sums.kind == "c" else 2, four_step, alike)
    transform(480, compute)  # passes of every radix


def _stages(compute, packed: int, four_step: bool, alike: bool) -> dict[int, int]:
    """Compiled routines between the passes of a tile, by their fields in the job."""

    def middle(function):
        return leaf(function, fft_passes.middle_signature(compute))

    spread, gather = (
        (fft_passes.spread, fft_passes.gather)
        if packed == 2
        else (fft_passes.spread_complex, fft_passes.gather_complex)
    )
    return {
        tile_loop.SPREAD: leaf(spread, fft_passes.stage_signature(compute)),
        tile_loop.GATHER: leaf(gather, fft_passes.stage_signature(compute)),
        tile_loop.TAKE_ROWS: leaf(fft_passes.take_rows, fft_passes.rows_signature(compute)),
        tile_loop.GIVE_ROWS: leaf(fft_passes.give_rows, fft_passes.rows_signature(compute)),
        tile_loop.LAST: middle(fft_passes.twist if four_step else fft_passes.last),
        tile_loop.LAST_OF_ROWS: middle(fft_passes.last),
        tile_loop.TURN: middle(fft_passes.turn_alike if alike else fft_passes.turn),
        tile_loop.FIRST_BACK: middle(fft_passes.twist_back if four_step else fft_passes.first_back),
    }


class _Memory(NamedTuple):
    """The plane of a tile and the offsets of its buffers in the scratch memory of a thread, in bytes."""

    item: int
    pitch: int
    plane_bytes: int
    shares: int  # threads share a plane in so many parts; 1 if each has its own
    stage_rows: int
    points_at: int
    stage_at: int
    second_stage_at: int
    plane_at: int

    @classmethod
    def of(cls, tile: Tile, units: int, compute) -> _Memory:
        item, lanes = compute.bitwidth // 8, complex_vectors.lanes_of(compute)
        # A pitch that is a power of two would put a column into few sets of the cache.
        pitch = 2 * tile.columns + 64 // item
        plane_bytes = tile.rows * pitch * item
        # A plane that no cache of one thread holds, and of which there are few: all threads work at one.
        shares = cost_model.SHARES if plane_bytes > cost_model.LARGE_PLANE and units < cost_model.SHARES else 1
        # Few enough staged rows to leave room in the first cache, enough to transpose them.
        stage_rows = min(tile.rows, max(lanes, 8192 // item // tile.columns))
        points_at = -(-tile_loop.HEAD // 64) * 64
        stage_at = points_at + 2 * lanes * tile.columns * item
        stage_bytes = stage_rows * tile.columns * item
        return cls(
            item,
            pitch,
            plane_bytes,
            shares,
            stage_rows,
            points_at,
            stage_at,
            second_stage_at=stage_at + stage_bytes,
            plane_at=stage_at + 2 * stage_bytes,
        )


class _AxisJob(NamedTuple):
    """The fields of one axis in the job, and the tables that they hold the addresses of."""

    fields: np.ndarray
    edges: np.ndarray
    runs: np.ndarray
    passes: Transform

    @property
    def nbytes(self) -> int:
        return self.edges.nbytes + self.runs.nbytes + self.passes.nbytes


def _axes(layout: TiledLayout, compute) -> tuple[_AxisJob, _AxisJob]:
    tile = layout.tile
    (down, across), (row_points, column_points) = tile.extents, (tile.rows, tile.columns)
    row_passes = transform(row_points, compute) if tile.down else NO_TRANSFORM
    column_passes = transform(column_points, compute) if tile.across else NO_TRANSFORM
    return (
        _axis_job(layout.row_axis, down, tile.down, row_passes),
        _axis_job(layout.column_axis, across, tile.across, column_passes),
    )


def _axis_job(axis: Axis, size: int, transformed: bool, passes: Transform) -> _AxisJob:
    """Cut an axis into tiles of `size` points, and list the runs of samples of those that reach beyond the array."""
    skip, reach, first = axis.taps - 1, axis.taps - 1, axis.first
    if size - skip < axis.outputs and size >= single_tile_size(axis):
        step, skip, reach, first = axis.outputs, axis.first + axis.taps - 1, axis.samples - axis.outputs, 0
    else:
        step = min(size - skip, axis.outputs)
    tiles = -(-axis.outputs // step)
    lead = min(tiles, max(0, -(first // step)))
    tail = min(tiles, max(lead, (axis.samples - first - step - reach) // step + 1))
    edges: list[tuple[int, int, bool]] = []
    table: list[Run] = []
    for tile in (*range(lead), *range(tail, tiles)):
        start = tile * step
        needed = min(step, axis.outputs - start) + reach
        found = runs(start + first, needed, axis.samples, axis.boundary)
        there = [run for run in found if run.source >= 0 or axis.boundary != ZERO]
        edges.append((len(table), len(table) + len(there), needed < size or len(there) < len(found)))
        table += there
    arrays = np.array(edges, np.intp).reshape(-1, tile_loop.EDGE), np.array(table, np.intp).reshape(-1)
    job = np.zeros(tile_loop.AXIS, np.intp)
    fields = {
        tile_loop.TRANSFORMED: transformed,
        tile_loop.SIZE: size,
        tile_loop.STEP: step,
        tile_loop.TILES: tiles,
        tile_loop.OUTPUTS: axis.outputs,
        tile_loop.FIRST: first,
        tile_loop.REACH: reach,
        tile_loop.SKIP: skip,
        tile_loop.LEAD: lead,
        tile_loop.TAIL: tail,
        tile_loop.EDGES: arrays[0].ctypes.data,
        tile_loop.RUNS: arrays[1].ctypes.data,
        tile_loop.PASSES: passes.passes.ctypes.data,
        tile_loop.PASS_COUNT: passes.number,
    }
    job[list(fields)] = list(fields.values())
    return _AxisJob(job, *arrays, passes)
