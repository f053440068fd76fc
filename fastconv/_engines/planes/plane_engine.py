"""The direct engine for any number of axes, strides, dilations, and a kernel for each line: stacks of planes."""

from __future__ import annotations

import itertools
import math
from typing import Callable, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines.layout import EXPONENTS, stored
from fastconv._engines.layout import supports as supports_type
from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._engines.planes.plane_layout import PlaneLayout
from fastconv._engines.routine_addresses import compiled_routine, fill_bytes, transfer_routine
from fastconv._engines.unit_engine import UnitEngine
from fastconv._microkernels import transfers
from fastconv._microkernels.planes import plane_loop, plane_tile
from fastconv._microkernels.planes.plane_cutting import (
    SampleTable,
    StridedAxis,
    add_taps,
    cut_columns,
    cut_planes,
    cut_rows,
)
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._runtime.borrowed_arrays import non_owning_view, pinned
from fastconv._runtime.instrumentation import limited, listeners, notify
from fastconv._simd import compilation

# Bytes of the planes of a unit that stay in the L2 cache; and at most, where each output packs all of its planes.
SLOT_BYTES = 600_000
MOST_SLOT_BYTES = 4_000_000
_LARGEST_SLOT = 1 << 25
# Products of a unit, and units of a job, so that all threads have as much to do.
UNIT_PRODUCTS = 200_000_000
_UNITS = 16
_MOST_PRODUCTS = 1_000_000_000  # of a plane of a unit: some 30 ms, since Python handles Ctrl-C between units
_MOST_BLOCKS = 32768
# Products that take as long as a sample that is loaded for nothing.
_SKIPPED = 4


class PlaneCut(NamedTuple):
    """Outputs of a block along each axis, and the number of planes in scratch memory."""

    rows: int
    columns: int
    planes: int
    slots: int
    rolls: bool


@compilation.once
def _run():
    return compilation.compile_entry(plane_loop.run, plane_loop.signature(), nogil=False)  # it releases the GIL itself


class PlaneEngine(UnitEngine):
    """Convolutions of one `Problem` by the definition, with any arrays of its types and sizes.

    A call returns False if zeros lie outside along rows or columns and a kernel is not finite.
    """

    name = "planes"

    def __init__(self, problem: Problem):
        layout = PlaneLayout.of(problem)
        role, compute, parts, item = layout.roles, layout.compute, layout.kernel_parts, layout.item
        row, column = layout.axis(role.row), layout.axis(role.column)
        planes = [layout.axis(axis) for axis in role.planes] or [layout.axis(-1)]
        cut = _cut(layout, row, column, planes)
        stacked = math.prod(axis.taps for axis in planes)
        x_in_place = layout.x_type == compute and problem.x_dtype.isnative and column.stride == layout.apart
        apart = x_in_place and stacked == 1  # a plane that is read once is better read in place
        table = SampleTable()
        plane_axes = np.zeros(len(planes), plane_loop.PLANE_AXIS.dtype)
        for k, (axis, found) in enumerate(zip(role.planes or (-1,), planes)):
            kernel_axis = layout.kernel_axis(axis)
            plane_axes[k] = (
                max(axis, 0),
                max(kernel_axis, 0),
                found.outputs,
                found.taps,
                add_taps(table, found),
                found.boundary == ZERO,
            )
        phases = [(rows, taps) for rows in row.phases for taps in column.phases]
        places = np.cumsum([0] + [rows * taps for rows, taps in phases])
        # The job holds the addresses of these.
        tables = {
            "row_blocks": cut_rows(table, row, cut.rows, plane_tile.ROWS if layout.has_rows else 1, apart),
            "column_blocks": cut_columns(table, column, cut.columns, layout.tile_columns, apart),
            "plane_blocks": cut_planes(planes[-1], cut.planes),
            "batch_axes": np.array([*role.batch, *plane_axes["axis"]], np.intp),
            "plane_axes": plane_axes,
            "plane_taps": np.array([*np.ndindex(*(axis.taps for axis in planes))], np.intp),
            "phases": np.array([(*size, place) for size, place in zip(phases, places)], plane_loop.PHASE.dtype),
            **table.tables(),
        }
        blocks = [len(tables[name]) for name in ("column_blocks", "row_blocks", "plane_blocks")]
        outer_outputs = math.prod(axis.outputs for axis in planes[:-1])
        batch = math.prod(problem.out_shape[axis] for axis in role.batch)
        units = math.prod(blocks) * outer_outputs * batch
        # Samples that a stride skips are loaded, too: 1024 x 1024 float32 by 3x3, stride 2, gains from a thread.
        loaded = _SKIPPED * (math.prod(problem.strides) - 1)
        products = math.prod(problem.out_shape) * (
            math.prod(problem.kernel_shape) * layout.x_parts * parts + 8 + loaded
        )
        scratch, scratch_bytes = _scratch_fields(layout, cut, row, column, stacked, len(phases), len(planes))
        # A kernel that is not finite makes a zero outside a NaN, where nothing must be added.
        misses = [axis.looks_outside and axis.boundary == ZERO for axis in (row, column)]
        fill_type = compute if problem.fills else layout.x_type
        pack = transfer_routine(layout.x_type, compute, not problem.x_dtype.isnative)
        pack_apart = pack
        takes_vectors = layout.line_channels == 1 and problem.x_dtype.isnative and not column.undealt
        if takes_vectors and 1 < column.stride <= transfers.MOST_APART:
            pack_apart = _pack_apart(layout, column.stride)
        own = {
            "microkernel": _microkernel(compute, layout.has_rows, layout.vectors, layout.apart),
            "pack": pack,
            "pack_apart": pack_apart,
            "bytes_apart": column.stride * problem.x_dtype.itemsize,
            "fill": transfer_routine(fill_type, compute),
            "store": transfer_routine(compute, layout.out_type),
            "convert_kernel": transfer_routine(
                stored(problem.kernel_dtype, compute), compute, not problem.kernel_dtype.isnative
            ),
            "add_rotated": compiled_routine(transfers.add_rotated, transfers.rotate_signature(compute))
            if parts == 2
            else 0,
            "flip": problem.flip,
            "x_in_place": x_in_place,
            "out_in_place": layout.out_type == compute,
            "has_kernels": bool(problem.kernels),
            "rolls": cut.rolls,
            "rows_miss": row.boundary == ZERO,
            "columns_miss": column.boundary == ZERO,
            "exponent_mask": EXPONENTS[compute] if any(misses) and isinstance(compute, types.Float) else 0,
            "sample_bytes": item,
            "x_bytes": problem.x_dtype.itemsize // layout.x_parts,
            "kernel_bytes": problem.kernel_dtype.itemsize // parts,
            "out_bytes": problem.dtype.itemsize // max(layout.x_parts, parts),
            "x_parts": layout.x_parts,
            "kernel_parts": parts,
            "row_axis": max(role.row, 0),
            "column_axis": role.column,
            "channel_axis": role.channel if layout.channels > 1 else -1,
            "kernel_row_axis": max(layout.kernel_axis(role.row), 0),
            "kernel_column_axis": max(layout.kernel_axis(role.column), 0),
            "batch_rank": len(role.batch),
            "channels": layout.channels,
            "kernel_rows": row.taps,
            "kernel_columns": column.taps,
            "row_phases": len(row.phases),
            "column_phases": len(column.phases),
            "row_phase_step": row.phase_step,
            "column_phase_step": column.phase_step,
            "row_step": row.stride * row.spacing,
            "spacing": column.spacing,
            "plane_rank": len(planes),
            "plane_step": planes[-1].phase_step,
            "planes": stacked,
            "outer_outputs": outer_outputs,
            "slots": cut.slots,
            "blocks_across": blocks[0],
            "blocks_down": blocks[1],
            "blocks_deep": blocks[2],
            "units": units,
            "minimum_width": layout.minimum_width,
            "fill_value": fill_bytes(problem, fill_type),
            **scratch,
            **{name: table.ctypes.data for name, table in tables.items()},
        }
        self._problem = problem
        self._set_job(plane_loop.PLANE_JOB.filled(own), _run(), tables, units, products, scratch_bytes)

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel unchanged: it is converted and flipped in cache."""
        return kernel

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; return False if a kernel is not finite although it must be, else True."""
        _pins = pinned(x, kernel, out)
        if listeners:
            notify(self.name, problem=self._problem, job=self._job, tables=self._tables, x=x, out=out)
        threads, arrays = self._threads(workers), (x, kernel, out)
        return self._compute(tuple(map(non_owning_view, arrays)) if threads > 1 else arrays, (x, out), threads)

    run = __call__


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem."""
    if (
        problem.finish is not None
        or problem.pairs is not None
        or not supports_type(problem.sums)
        or problem.sums != problem.dtype
    ):
        return False
    layout = PlaneLayout.of(problem)
    return _slot_bytes(layout, layout.least_rows, 1) <= _LARGEST_SLOT


def roles(problem: Problem) -> tuple:
    """The roles of the axes of a problem, which determine the order of its sums."""
    return tuple(PlaneLayout.of(problem).roles)


def compute(problem: Problem, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> None:
    """Fill `out` by the engine, or by NumPy's where that cannot."""
    if not (supports(problem) and PlaneEngine(problem)(x, kernel, out, workers)):
        NumpyEngine(problem)(x, kernel, out, workers)


def compile_all(problem: Problem) -> None:
    """Compile all that problems of these types need, whatever their sizes and steps."""
    PlaneEngine(problem)
    layout = PlaneLayout.of(problem)
    may_lie_apart = layout.item >= plane_tile.LEAST_APART and layout.x_parts == 1
    for has_rows, apart in itertools.product((True, False), (1, 2) if may_lie_apart else (1,)):
        for vectors in plane_tile.tiles(has_rows, apart):
            _microkernel(layout.compute, has_rows, vectors, apart)
    for step in range(2, transfers.MOST_APART + 1):
        _pack_apart(layout, step)


def _microkernel(compute: types.Type, has_rows: bool, vectors: int, apart: int) -> int:
    return compiled_routine(plane_tile.make(has_rows, vectors, apart), plane_tile.signature(compute))


def _pack_apart(layout: PlaneLayout, step: int) -> int:
    return compiled_routine(transfers.every(step), transfers.signature(layout.x_type, layout.compute))


def estimate(problem: Problem) -> float:
    """Estimate the engine in nanoseconds on one core."""
    return cost_model.planes(problem, PlaneLayout.of(problem).has_rows)


def _line_elements(layout: PlaneLayout, columns: int) -> int:
    """Elements of a packed line for so many outputs."""
    column = layout.axis(layout.roles.column)
    width = max(columns * layout.line_channels, layout.minimum_width)
    if column.undealt:
        return column.stride * width + column.taps
    return width + column.spacing * (max(column.phases) - 1) * layout.line_channels


def _pitch(elements: int, size: int) -> int:
    """Pitch of lines with so many elements: whole cache lines, of an odd number, so that rows lie in different sets."""
    lines = -(-elements * size // 64)
    return (lines + 1 - lines % 2) * 64 // size


def _slot_bytes(layout: PlaneLayout, rows: int, columns: int) -> int:
    row, column = layout.axis(layout.roles.row), layout.axis(layout.roles.column)
    pitch = _pitch(_line_elements(layout, columns), layout.item) * layout.item
    return len(row.phases) * len(column.phases) * (rows + max(row.phases) - 1) * pitch


def _cut(layout: PlaneLayout, row: StridedAxis, column: StridedAxis, planes: list[StridedAxis]) -> PlaneCut:
    """Cut the output: blocks as long and as high as their planes fit into the cache, at least one tile.

    Depends on sizes alone.
    """
    stacked = math.prod(axis.taps for axis in planes)
    tile, least = layout.tile_columns, layout.least_rows
    lines = -(-row.outputs // row.spacing)
    most = max(tile, min(2048, 8192 // layout.item) // layout.line_channels // tile * tile)
    rows, columns = min(lines, 64), min(column.outputs, most)
    products = math.prod(layout.problem.kernel_shape) * layout.line_channels * layout.kernel_parts

    def shrunk(size: tuple[int, int], least: tuple[int, int], is_too_large: Callable[[int, int], bool]):
        """Halve rows, and then columns, down to the least ones while a block is too large."""
        rows, columns = size
        while is_too_large(rows, columns) and (rows > least[0] or columns > least[1]):
            if rows > least[0]:
                rows = max(least[0], rows // 2)
            else:
                columns = max(least[1], columns // 2 // tile * tile)
        return rows, columns

    def leaves_cache(rows: int, columns: int) -> bool:
        return stacked * _slot_bytes(layout, rows, columns) > SLOT_BYTES

    rows, columns = shrunk((rows, columns), (16, 2 * tile), leaves_cache)
    rows, columns = shrunk((rows, columns), (least, columns), leaves_cache)
    rolls = stacked * _slot_bytes(layout, rows, columns) <= 2 * SLOT_BYTES
    if not rolls:
        size = min(lines, 32), min(column.outputs, most)
        rows, columns = shrunk(size, (least, tile), lambda *size: _slot_bytes(layout, *size) > MOST_SLOT_BYTES)
    rows, columns = shrunk((rows, columns), (least, tile), lambda *size: math.prod(size) * products > _MOST_PRODUCTS)
    rows, columns = limited(rows, columns)
    rows = max(rows, -(-lines // _MOST_BLOCKS))
    columns = max(columns, -(-column.outputs // _MOST_BLOCKS))
    slots = stacked if rolls else max(1, min(stacked, MOST_SLOT_BYTES // _slot_bytes(layout, rows, columns)))
    outputs = -(-planes[-1].outputs // planes[-1].spacing)
    others = math.prod(layout.problem.out_shape) // max(1, planes[-1].outputs)
    units = max(1, others // (rows * columns * layout.channels)) * planes[-1].spacing
    deep = max(1, UNIT_PRODUCTS // (rows * columns * products))
    deep = min(deep, max(4 * planes[-1].taps, outputs * units // _UNITS))
    deep = max(deep, -(-outputs // _MOST_BLOCKS), 1)
    return PlaneCut(rows, columns, min(deep, outputs), slots, rolls)


def _scratch_fields(
    layout: PlaneLayout, cut: PlaneCut, row: StridedAxis, column: StridedAxis, planes: int, phases: int, rank: int
) -> tuple[dict[str, int], int]:
    """Fields of the job that divide the scratch memory, and the size of that."""
    item, parts = layout.item, layout.kernel_parts
    packed_pitch = _pitch(_line_elements(layout, cut.columns), item)
    staging_pitch = _pitch(max(cut.columns * layout.line_channels, layout.minimum_width), item)
    fields = {
        "packed_pitch": packed_pitch,
        "staging_pitch": staging_pitch,
        "part_bytes": (cut.rows + max(row.phases) - 1) * packed_pitch * item,
        "slot_bytes": _slot_bytes(layout, cut.rows, cut.columns),
        "staging_bytes": cut.rows * staging_pitch * item,
    }
    sizes = {
        "weights_at": parts * planes * row.taps * column.taps * item,
        "slots_at": cut.slots * fields["slot_bytes"],
        "staging_at": 2 * parts * fields["staging_bytes"],
        "entries_at": cut.slots * phases * plane_tile.ENTRY.dtype.itemsize,
        "places_at": rank * 8,
    }
    total = 0
    for name, size in sizes.items():
        fields[name] = total
        total += -(-size // 64) * 64
    return fields, total
