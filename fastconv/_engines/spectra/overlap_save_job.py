"""The job that `overlap_save_loop` runs: compiled routines, sizes, scratch offsets and the tables of both axes."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import (
    compiled_routine,
    fill_bytes,
    pack_pairs_routine,
    pair_bytes,
    rescale_parameters,
    store_routine,
    transfer_routine,
)
from fastconv._engines.spectra.fft_tables import NO_TRANSFORM, Transform, transform
from fastconv._engines.spectra.overlap_save_tiling import Tile, TiledLayout, batch_axes, compute_type, single_tile_size
from fastconv._microkernels.block_cutting import RUN, Axis
from fastconv._microkernels.missing import missing_samples
from fastconv._microkernels.spectra import (
    fft_passes,
    footprint_norms,
    footprint_refinement,
    footprint_windows,
    line_signs,
    quiet_loop,
    tile_job,
)
from fastconv._microkernels.spectra.footprint_norms import RECTANGLE, SPARE_ROWS
from fastconv._microkernels.spectra.sample_sums import ALL, FOUR, SAMPLE_SUMS, SINGLE
from fastconv._model.geometry import ZERO, Run, runs
from fastconv._model.problem import Problem
from fastconv._runtime.bounded_cache import kept
from fastconv._simd import complex_vectors


class TileJob(NamedTuple):
    """A job, how many pieces threads take of it, and the memory that it needs."""

    record: np.ndarray
    references: tuple[Any, ...]  # objects that it holds addresses of
    pieces: int
    shared_bytes: int  # of the plane, if all threads work at one; else 0
    scratch_bytes: int  # of each thread
    # Shape of the marks: units, tiles of a unit, or samples and weights of one, groups of outputs down and across.
    marks: tuple[int, int, int, int]
    judged: tuple[int, int]  # shape of what is judged of each unit
    nbytes: int


class Tiles(NamedTuple):
    """The tiles of an engine: what they are cut of, and what their work is like."""

    problem: Problem
    layout: TiledLayout
    parts: TileJob
    unit_work: float  # nanoseconds
    alone: bool  # whether one thread is as fast as several

    @property
    def is_double(self) -> bool:
        """Whether transforms are of double precision."""
        return compute_type(self.problem).bitwidth == 64


def build(problem: Problem, layout: TiledLayout) -> TileJob:
    """Prepare the job of a problem."""
    tile, units, compute = layout.tile, layout.units, compute_type(problem)
    staged = compute if problem.sums.kind in "fc" else types.int64
    lanes = complex_vectors.lanes_of(compute)
    x_parts, parts = (2 if dtype.kind == "c" else 1 for dtype in (problem.x_dtype, problem.sums))
    batch = np.array(batch_axes(problem, layout), np.intp)
    axes = row_axis, column_axis = _axes(layout, compute)
    memory = _Memory.of(layout, compute)
    lines = _lines(tile)
    rescale = None if problem.pairs else rescale_parameters(problem.finish, compute)
    fields = {
        **_moves(problem, staged),
        "rescale": 0 if rescale is None else rescale.ctypes.data,
        **_stages(compute, 3 - parts, tile.four_step, alike=not (tile.down and tile.across)),
        **_checks(problem, compute, down_only=not tile.across),
        "item": memory.item,
        "x_item": problem.x_dtype.itemsize // x_parts,
        "out_item": problem.dtype.itemsize // parts,
        "packed_tiles": units.packed,
        "parts": parts,
        "part_step": memory.second_staging_at - memory.staging_at if problem.pairs else memory.item,
        "x_parts": x_parts,
        "four_step": tile.four_step,
        "rows": tile.rows,
        "columns": tile.columns,
        "row_axis": layout.row,
        "column_axis": layout.column,
        "batch_rank": len(batch),
        "batch_axes": batch.ctypes.data,
        "units": units.total,
        "units_of_plane": units.per_plane,
        "group": units.group,
        "units_of_group": units.per_group,
        "down_first": units.down_first,
        "lanes": lanes,
        "pitch": memory.pitch,
        "staging_rows": memory.staging_rows,
        "plane_at": memory.plane_at,
        "transposed_at": memory.transposed_at,
        "staging_at": memory.staging_at,
        "second_staging_at": memory.second_staging_at,
        "windows_at": memory.windows_at,
        "bounds_at": memory.bounds_at,
        "limits_at": memory.limits_at,
        "cells_at": memory.cells_at,
        "second_cells_at": memory.second_cells_at,
        "sums_at": memory.sums_at,
        "signs_at": memory.signs_at,
        **memory.cells._asdict(),
        "marks_down": memory.marks[0],
        "marks_across": memory.marks[1],
        "judged_bytes": 8 * lines,
        "shares": memory.shares,
        "share_rows": -(-tile.rows // memory.shares // memory.row_unit) * memory.row_unit,
        "share_columns": -(-tile.columns // memory.shares // lanes) * lanes,
        "down": row_axis.record,
        "across": column_axis.record,
    }
    job = tile_job.TILE_JOB.filled(fields)
    shared = memory.shares > 1
    return TileJob(
        record=job,
        references=(axes, batch, rescale),
        pieces=memory.shares if shared else units.total,
        shared_bytes=memory.plane_bytes if shared else 0,
        scratch_bytes=memory.plane_at + (0 if shared else memory.plane_bytes),
        marks=(units.total, 2 if problem.pairs else units.packed, *memory.marks),
        judged=(units.total, lines),
        nbytes=job.nbytes + sum(axis.nbytes for axis in axes),
    )


def _moves(problem: Problem, staged) -> dict[str, Any]:
    """Compiled routines between arrays and staging buffers, by their fields in the job."""
    source, swapped = _samples(problem, staged), not problem.x_dtype.isnative
    if problem.pairs is not None:
        return {
            "pack": pack_pairs_routine(problem.pairs, source, staged, swapped, apart=True),
            "fill": compiled_routine(missing_samples.fill_apart, missing_samples.signature(staged, staged)),
            "fill_value": pair_bytes(problem, staged),
        }
    return {
        "pack": transfer_routine(source, staged, swapped),
        "fill": transfer_routine(staged, staged),
        "fill_value": fill_bytes(problem, staged),
        "store": store_routine(problem.finish, staged, stored(problem.dtype, staged)),
    }


def _samples(problem: Problem, staged) -> types.Type:
    """Type in memory of the input; signed if it is an integer of as many bits as the result, where sums wrap anyway."""
    dtype, sums = problem.x_dtype, problem.sums
    if sums.kind in "iu" and dtype.kind in "iu" and dtype.itemsize >= sums.itemsize:
        return types.Integer.from_bitwidth(8 * dtype.itemsize, signed=True)
    return stored(problem.x_dtype, staged)


class FurtherJob(NamedTuple):
    """A job for tiles that have been computed, but for their own job, and the scratch memory of each thread."""

    record: np.ndarray
    scratch_bytes: int

    @property
    def nbytes(self) -> int:
        return self.record.nbytes

    def of(self, job: np.ndarray) -> np.ndarray:
        """Complete it with the job of the tiles, for a prepared kernel."""
        record = self.record.copy()
        record["tile"] = job
        return record


@kept
def refinement(problem: Problem, layout: TiledLayout) -> FurtherJob:
    """Prepare the exact test of marked outputs of a problem."""
    compute, tile = compute_type(problem), layout.tile
    memory, parts = _Memory.of(layout, compute), 2 if problem.sums.kind == "c" else 1
    item, lanes = memory.item, complex_vectors.lanes_of(compute)
    cell_rows, cell_columns = memory.cells.cell_rows, memory.cells.cell_columns
    row, column = layout.row_axis.taps, layout.column_axis.taps

    def pitch(samples: int) -> int:
        return -(-samples // (2 * lanes)) * 2 * lanes

    begin = memory.transposed_at
    least = (row + cell_rows) * pitch(column + cell_columns)
    capacity = max(_SQUARES_AT_ONCE if tile.down and not tile.four_step else _SQUARES_OF_LINES, least)
    widest = min(capacity, pitch((memory.marks[1] + 1) * cell_columns + column))
    groups, lines = 8 * math.prod(memory.marks), max(memory.marks) + 1
    sizes = {
        "squares_at": RECTANGLE.dtype.itemsize,
        "staging_at": capacity * item,
        "spare_at": (footprint_refinement.STAGED + widest) * parts * item,
        "open_at": (SPARE_ROWS + cell_rows) * widest * item,
        "least_at": groups // 8,
        "most_at": groups,
        "zeros_at": groups,
        "core_least_at": groups,
        "core_zeros_at": groups,
        "limits_at": groups,
        "scales_at": 8 * lines,
        "kinds_at": 16 * lines,
        "end": capacity + 8,
    }
    offsets = {"rectangle_at": begin, **{name: begin + offset for name, offset in _offsets(sizes).items()}}
    scratch_bytes = offsets.pop("end")
    fields = {
        **_refinement_routines(problem, compute),
        "capacity": capacity,
        "judged_step": _lines(tile),
        **offsets,
    }
    return FurtherJob(footprint_refinement.REFINEMENT_JOB.filled(fields), scratch_bytes)


def _lines(tile: Tile) -> int:
    """How many lines of a tile do not mix: each has a bound of its norm, and a sign."""
    return 1 if tile.down and tile.across else tile.columns if tile.down else tile.rows


@kept
def quiet(problem: Problem, layout: TiledLayout) -> FurtherJob:
    """Prepare transforms without loud samples; what pays is to be filled in."""
    compute = compute_type(problem)
    memory = _Memory.of(layout, compute)
    fields = {
        "drop": _drop_routine(compute),
        "judged_step": _lines(layout.tile),
    }
    return FurtherJob(quiet_loop.QUIET_JOB.filled(fields), memory.plane_at + memory.plane_bytes)


def _drop_routine(compute) -> int:
    return compiled_routine(quiet_loop.drop, quiet_loop.drop_signature(compute))


# Squares of a rectangle, some of which stay in the second-level cache.
_SQUARES_AT_ONCE, _SQUARES_OF_LINES = 1 << 16, 1 << 14


def _refinement_routines(problem: Problem, compute) -> dict[str, int]:
    """Compiled routines of the exact test, by their fields in its job."""
    return {
        "square": compiled_routine(footprint_norms.square, footprint_norms.square_signature(compute)),
        "measure": compiled_routine(footprint_norms.measure, footprint_norms.measure_signature(compute)),
        "widen": compiled_routine(footprint_norms.widen, footprint_norms.widen_signature(compute)),
        "load": 0 if problem.finish is not None else transfer_routine(stored(problem.dtype, compute), compute),
    }


def compile_all(problem: Problem) -> None:
    """Compile all that problems of these types need, whatever their sizes."""
    compute = compute_type(problem)
    for four_step, alike in ((False, True), (False, False), (True, False)):
        _stages(compute, 1 if problem.sums.kind == "c" else 2, four_step, alike)
    if problem.sums.kind in "fc":
        for down_only in (False, True):
            _checks(problem, compute, down_only)
        _refinement_routines(problem, compute)
        _drop_routine(compute)
    transform(480, compute)  # passes of every radix


def _checks(problem: Problem, compute, down_only: bool) -> dict[str, int]:
    """Compiled routines that check the results of floating-point numbers, by their fields in the job."""
    if problem.sums.kind not in "fc":
        return {}
    return {
        "bound_lines": compiled_routine(
            footprint_windows.bound_columns if down_only else footprint_windows.bound_rows,
            footprint_windows.bound_signature(compute),
        ),
        "compare": compiled_routine(footprint_windows.compare_cells, footprint_windows.compare_signature(compute)),
        "clamp": compiled_routine(footprint_windows.clamp, footprint_windows.clamp_signature(compute)),
        "note_signs": compiled_routine(
            line_signs.signs_of_columns if down_only else line_signs.signs_of_rows,
            line_signs.signs_signature(compute),
        ),
        "clamp_columns": compiled_routine(line_signs.clamp_columns, line_signs.clamp_signature(compute)),
    }


def _stages(compute, packed: int, four_step: bool, alike: bool) -> dict[str, int]:
    """Compiled routines between the passes of a tile, by their fields in the job."""

    def middle(function):
        return compiled_routine(function, fft_passes.middle_signature(compute))

    to_plane, from_plane = (
        (fft_passes.interleave_pair, fft_passes.deinterleave_pair)
        if packed == 2
        else (fft_passes.deinterleave_complex, fft_passes.interleave_complex)
    )
    return {
        "to_plane": compiled_routine(to_plane, fft_passes.staging_signature(compute)),
        "from_plane": compiled_routine(from_plane, fft_passes.staging_signature(compute)),
        "transpose_rows": compiled_routine(fft_passes.transpose_rows, fft_passes.rows_signature(compute)),
        "transpose_back": compiled_routine(fft_passes.transpose_back, fft_passes.rows_signature(compute)),
        "last_column_pass": middle(fft_passes.four_step_twiddle if four_step else fft_passes.last_pass),
        "last_row_pass": middle(fft_passes.last_pass),
        "product": middle(fft_passes.spectrum_product_uniform if alike else fft_passes.spectrum_product),
        "first_column_pass_back": middle(
            fft_passes.four_step_twiddle_back if four_step else fft_passes.first_pass_back
        ),
    }


class _Cells(NamedTuple):
    """Cells of samples whose sizes are summed, as `SAMPLE_SUMS` has them.

    They are small enough for the part of a footprint that lies inside at the edge, half of it along each axis, to
    contain one; but where kernels are so narrow that single columns would have to be, only for the whole footprint.
    """

    cells_pitch: int
    cell_rows: int
    cell_vectors: int
    lanes_of_cell: int
    cell_columns: int

    @classmethod
    def of(cls, layout: TiledLayout, lanes: int) -> _Cells:
        tile, vectors = layout.tile, layout.tile.columns // lanes
        most_rows, most_columns = ((axis.taps + 3) // 4 for axis in (layout.row_axis, layout.column_axis))
        if most_columns < 4:
            most_rows = (layout.row_axis.taps + 1) // 2
        rows = 1
        if tile.down and not tile.four_step:
            rows = _power_of_two(min(most_rows, _ROWS_OF_A_CELL))
        if layout.column_axis.taps < _LEAST_TAPS_OF_FOUR or not tile.across:
            return cls(tile.columns, rows, 1, SINGLE, 1)
        if most_columns < lanes:
            return cls(vectors * max(1, lanes // 4), rows, 1, FOUR, min(lanes, 4))
        across = 1 if rows > 1 else _power_of_two(min(most_columns // lanes, _VECTORS_OF_A_CELL))
        while vectors % across:
            across //= 2
        return cls(vectors // across, rows, across, ALL, across * lanes)


_LEAST_TAPS_OF_FOUR = 7  # so many columns contain four lanes that begin at a multiple of four
_ROWS_OF_A_CELL = 8
_VECTORS_OF_A_CELL = 16


def _power_of_two(most: int) -> int:
    """The largest power of two up to `most`."""
    return 1 << most.bit_length() - 1


class _Memory(NamedTuple):
    """The plane of a tile and the offsets of its buffers in the scratch memory of a thread, in bytes."""

    item: int
    pitch: int
    plane_bytes: int
    shares: int  # threads share a plane in so many parts; 1 if each has its own
    row_unit: int  # rows are moved and shared in multiples of this number
    staging_rows: int
    cells: _Cells
    marks: tuple[int, int]  # groups of outputs of a tile, down and across
    transposed_at: int
    staging_at: int
    second_staging_at: int
    windows_at: int
    bounds_at: int
    limits_at: int
    plane_at: int
    # From the plane on.
    cells_at: int
    second_cells_at: int
    sums_at: int
    signs_at: int

    @classmethod
    def of(cls, layout: TiledLayout, compute) -> _Memory:
        item, lanes, tile = compute.bitwidth // 8, complex_vectors.lanes_of(compute), layout.tile
        # A pitch that is a power of two would put a column into few sets of the cache.
        pitch = 2 * tile.columns + 64 // item
        # A plane that no cache of one thread holds, and of which there are few: all threads work at one.
        large = tile.rows * pitch * item > cost_model.LARGE_PLANE and layout.units.total < cost_model.SHARES
        shares = cost_model.SHARES if large else 1
        cells = _Cells.of(layout, lanes)
        sides = (
            (layout.row_axis, tile.extents[0], cells.cell_rows),
            (layout.column_axis, tile.extents[1], cells.cell_columns),
        )
        marks = [(_step(axis, size) - 1) // cell + 2 for axis, size, cell in sides]
        windows = [count + axis.taps // cell + 3 for count, (axis, _, cell) in zip(marks, sides)]
        # Few enough staged rows to leave room in the first cache, enough to transpose them.
        row_unit = max(lanes, cells.cell_rows)
        staging_rows = min(tile.rows, max(1, 8192 // item // tile.columns // row_unit) * row_unit)
        staging_bytes = staging_rows * tile.columns * item
        sizes = {
            "transposed_at": tile_job.HEAD.dtype.itemsize,
            "staging_at": 2 * lanes * tile.columns * item,
            "second_staging_at": staging_bytes,
            "windows_at": staging_bytes,
            "bounds_at": 2 * math.prod(windows) * 8,
            "limits_at": 16 * _lines(tile),
            "plane_at": 0 if tile.across else 24 * tile.columns,
        }
        cells_bytes = tile.rows // cells.cell_rows * cells.cells_pitch * item
        behind = {
            "cells_at": tile.rows * pitch * item,
            "second_cells_at": cells_bytes,
            "sums_at": cells_bytes,
            "signs_at": shares * SAMPLE_SUMS.dtype.itemsize,
            "plane_bytes": 2 * _lines(tile),
        }
        return cls(
            item=item,
            pitch=pitch,
            shares=shares,
            row_unit=row_unit,
            staging_rows=staging_rows,
            cells=cells,
            marks=(marks[0], marks[1]),
            **_offsets(sizes),
            **_offsets(behind),
        )


def _offsets(sizes: dict[str, int]) -> dict[str, int]:
    """Offsets at which buffers end, one behind the other: each is named by what follows it."""
    ends = itertools.accumulate(-(-size // 64) * 64 for size in sizes.values())
    return dict(zip(sizes, ends))


def is_shared(problem: Problem, layout: TiledLayout) -> bool:
    """Whether threads share each plane."""
    return _Memory.of(layout, compute_type(problem)).shares > 1


class _AxisJob(NamedTuple):
    """The record of one axis in the job, and the tables that it holds the addresses of."""

    record: np.ndarray
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
        axis_job(layout.row_axis, down, tile.down, row_passes),
        axis_job(layout.column_axis, across, tile.across, column_passes),
    )


def _step(axis: Axis, size: int) -> int:
    """Outputs of a tile of `size` points along an axis."""
    most = size - (axis.taps - 1)
    return axis.outputs if size >= single_tile_size(axis) else min(most, axis.outputs)


def axis_job(axis: Axis, size: int, transformed: bool, passes: Transform) -> _AxisJob:
    """Cut an axis into tiles of `size` points, and list the runs of samples of those that reach beyond the array."""
    skip, reach, first, step = axis.taps - 1, axis.taps - 1, axis.first, _step(axis, size)
    if step > size - skip:  # one tile, and nothing outside of it
        skip, reach, first = axis.first + axis.taps - 1, axis.samples - axis.outputs, 0
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
    arrays = np.array(edges, tile_job.EDGE.dtype), np.array(table, RUN.dtype)
    fields = {
        "transformed": transformed,
        "size": size,
        "step": step,
        "tiles": tiles,
        "outputs": axis.outputs,
        "first_sample": first,
        "extra_samples": reach,
        "skip": skip,
        "taps": axis.taps,
        "lead": lead,
        "tail": tail,
        "edges": arrays[0].ctypes.data,
        "runs": arrays[1].ctypes.data,
        "passes": passes.passes.ctypes.data,
        "pass_count": passes.number,
    }
    return _AxisJob(tile_job.AXIS.filled(fields), *arrays, passes)
