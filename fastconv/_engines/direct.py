"""The direct engine: every product of a tap and a sample, summed in registers."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.layout import Layout, stored
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._microkernels import direct_tile, transfers
from fastconv._microkernels.block_cutting import Axis
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._runtime.instrumentation import limited

# Exponent bits of a float: all set in an infinity or NaN.
_EXPONENTS = {types.float32: 0x7F800000, types.float64: 0x7FF0000000000000}


class DirectEngine(BlockEngine):
    """Convolutions of one `Problem` by the definition, with any arrays of its types and sizes.

    A call returns False, and leaves `out` untouched, if zeros lie outside and the kernel is not finite.
    """

    name = "direct"

    def __init__(self, problem: Problem, block: tuple[int, int] | None = None):
        layout = Layout.of(problem)
        compute, parts = layout.compute, layout.kernel_parts
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        if problem.boundary == ZERO and problem.looks_outside and not _sums_from_both_ends(layout):
            layout = layout._replace(
                row_axis=_cut_at_the_ends(layout.row_axis), column_axis=_cut_at_the_ends(layout.column_axis)
            )
        block_rows, block_columns = block or _block(
            layout.row_axis, layout.column_axis, layout.plane_channels, layout.minimum_width, layout.item
        )
        work = math.ceil(cost_model.taps_of_a_result(problem)) * layout.x_parts * parts
        cut = Cut(block_rows, block_columns, work, weights=parts * rows * taps)
        # A kernel that is not finite makes a zero outside a NaN, where nothing must be added.
        guard = problem.boundary == ZERO and problem.looks_outside and isinstance(compute, types.Float)
        routine = compiled_routine(self._microkernel(rows, taps, compute), direct_tile.signature(compute))
        own = {
            "microkernel": routine,
            "convert_kernel": transfer_routine(
                stored(problem.kernel_dtype, compute), compute, not problem.kernel_dtype.isnative
            ),
            "add_rotated": compiled_routine(transfers.add_rotated, transfers.rotate_signature(compute))
            if parts == 2
            else 0,
            "kernel_bytes": problem.kernel_dtype.itemsize // parts,
            "kernel_row_axis": layout.role.kernel_row,
            "kernel_column_axis": layout.role.kernel_column,
            "flip": problem.flip,
            "exponent_mask": _EXPONENTS[compute] if guard else 0,
        }
        super().__init__(problem, layout, cut, own)

    def _microkernel(self, rows: int, taps: int, compute: types.Type) -> Callable:
        """The microkernel for a kernel of so many rows, and taps in each."""
        if rows == 1:
            return direct_tile.convolve_rows
        if taps == 1 and isinstance(compute, types.Float):
            return direct_tile.convolve_columns
        return direct_tile.convolve_tiles

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel unchanged: it is converted and flipped in cache."""
        return kernel

    run = BlockEngine.__call__


class DirectBlocks(DirectEngine):
    """The direct engine with small blocks, of which it computes those that are asked for."""

    def __init__(self, problem: Problem):
        layout = self._layout = Layout.of(problem)
        lines = layout.row_axis.taps == 1
        width = (direct_tile.BROAD_VECTORS // direct_tile.VECTORS if lines else 1) * layout.minimum_width
        columns = max(-(-width // layout.plane_channels), layout.column_axis.outputs // MOST_PIECES)
        rows = max(1 if lines else _SMALL_ROWS, layout.row_axis.outputs // MOST_PIECES)
        self.block = rows, columns
        super().__init__(problem, self.block)

    def numbers(self, spans: dict[int, tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of the blocks that hold parts of the output: the first and the last index along each axis."""
        layout, axes = self._layout, ((self._layout.role.row, 0), (self._layout.role.column, 1))
        found = np.zeros(1, np.intp)
        for axis in reversed(layout.batch):
            found = found * shape[axis] + spans[axis][0]
        for axis, which in axes:
            size = self.block[which]
            if axis < 0:
                continue
            first, last = (end // size for end in spans[axis])
            steps = np.arange(int((last - first).max(initial=0)) + 1)[:, np.newaxis]
            found = found * -(-shape[axis] // size) + np.minimum(first + steps, last)
            found = found.ravel()
            spans = {key: (np.tile(low, len(steps)), np.tile(high, len(steps))) for key, (low, high) in spans.items()}
        return np.unique(found)


_SMALL_ROWS = 4


def _sums_from_both_ends(layout: Layout) -> bool:
    """Whether sums go from both ends of the taps to their middle: floats, with a kernel of one row or column."""
    return 1 in (layout.row_axis.taps, layout.column_axis.taps) and isinstance(layout.compute, types.Float)


def in_whole_groups(problem: Problem, spans: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Spans of the kernel, enlarged to those that give the same sums, to the last bit, if all other taps are zero.

    Where sums go from both ends, the middle must stay where it is.
    """
    layout = Layout.of(problem)
    if _sums_from_both_ends(layout):
        ends = [min(first, extent - last) for (first, last), extent in zip(spans, problem.kernel_shape)]
        k = layout.role.kernel_column
        if k >= 0:
            ends[k] = direct_tile.removable(layout.column_axis.taps, layout.item, layout.plane_channels, ends[k])
        return tuple((end, extent - end) for end, extent in zip(ends, problem.kernel_shape))
    found = list(spans)
    for k, extent in enumerate(problem.kernel_shape):  # kernels of one row or column have orders of their own
        first, last = spans[k]
        last = max(last, min(first + 2, extent))
        found[k] = min(first, max(0, last - 2)), last
    return tuple(found)


def compute_part(problem: Problem, where: tuple[slice, ...], x, kernel, out, workers: int | None) -> None:
    """Compute the part `where` of a problem's result into `out`, an array of its shape."""
    starts, source = list(problem.starts), list(where)
    for k, axis in enumerate(problem.axes):
        starts[k] += where[axis].start
        source[axis] = slice(None)
    x = x[tuple(source)]
    part = problem._replace(x_shape=x.shape, out_shape=out.shape, starts=tuple(starts))
    DirectEngine(part)(x, kernel, out, workers)


def _cut_at_the_ends(axis: Axis) -> Axis:
    """`axis`, with taps that reach no sample left out where that pays."""
    cut = cost_model.leaves_taps_out(axis.samples, axis.taps, axis.outputs, axis.first)
    return axis._replace(unit=1) if cut else axis


def _block(row_axis: Axis, column_axis: Axis, channels: int, minimum_width: int, item: int) -> tuple[int, int]:
    """Rows and columns of a block.

    64 rows of 8 kB, or 32 where a small image would have too few blocks for all threads. Long lines gain more than
    many rows: 2048 x 2048 float32 by 5x5 took 3.4 ms in blocks of 64 x 512 and 2.7 in blocks of 64 x 1024.

    With a large kernel blocks are smaller: they pack some megabytes at most, and take some hundredths of a second,
    since Python handles Ctrl-C between blocks. Along very long axes they are larger, so that the tables stay small.

    Where blocks take only the taps that reach samples, they are a part of the kernel in size, and whole tiles wide.
    """
    elements = min(2048, 8192 // item) if row_axis.outputs > 1 else 8192
    rows = 32 if row_axis.outputs < 1024 else 64
    taps = row_axis.taps * column_axis.taps
    most = _WORK_OF_A_BLOCK // (taps * item)
    while rows * elements > most and max(rows // 4, elements // 512) > 1:
        rows, elements = (rows // 2, elements) if rows > 16 or elements <= 512 else (rows, elements // 2)
    if row_axis.unit:
        rows = min(rows, max(16, row_axis.taps // _PARTS // 4 * 4))
    if column_axis.unit:
        wide = minimum_width if row_axis.taps > 1 else direct_tile.widest(item)
        elements = min(elements, max(1, column_axis.taps * channels // _PARTS // wide) * wide)
    elements = max(elements, minimum_width, column_axis.outputs * channels // MOST_PIECES)
    rows = max(rows, row_axis.outputs // MOST_PIECES // 4 * 4)
    across = -(-column_axis.outputs * channels // elements)
    columns = max(1, elements // channels) if column_axis.unit else -(-column_axis.outputs // across)
    return limited(min(rows, row_axis.outputs), min(columns, column_axis.outputs))


_PARTS = 8
_WORK_OF_A_BLOCK = 2_000_000_000  # products, times their bytes
