"""The direct engine: every product of a tap and a sample, summed in registers."""

from __future__ import annotations

from typing import Callable

import numpy as np
from numba import types

from fastconv._engines.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.layout import Layout, stored
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._microkernels import direct_tile, transfers
from fastconv._microkernels.block_cutting import Axis
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem

# Exponent bits of a float: all set in an infinity or NaN.
_EXPONENTS = {types.float32: 0x7F800000, types.float64: 0x7FF0000000000000}


class DirectEngine(BlockEngine):
    """Convolutions of one `Problem` by the definition, with any arrays of its types and sizes.

    A call returns False, and leaves `out` untouched, if zeros lie outside and the kernel is not finite.
    """

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        compute, parts = layout.compute, layout.kernel_parts
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        block_rows, block_columns = _block(
            layout.row_axis, layout.column_axis, layout.plane_channels, layout.minimum_width, layout.item
        )
        cut = Cut(block_rows, block_columns, rows * taps * layout.x_parts * parts, weights=parts * rows * taps)
        # A kernel that is not finite makes a zero outside a NaN, where nothing must be added.
        guard = problem.boundary == ZERO and problem.looks_outside and isinstance(compute, types.Float)
        routine = compiled_routine(_microkernel(rows, taps, compute), direct_tile.signature(compute))
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

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel unchanged: it is converted and flipped in cache."""
        return kernel

    run = BlockEngine.__call__


def _microkernel(rows: int, taps: int, compute: types.Type) -> Callable:
    """The microkernel for a kernel of so many rows and taps in each."""
    if rows == 1:
        return direct_tile.convolve_rows
    if taps == 1 and isinstance(compute, types.Float):
        return direct_tile.convolve_columns
    return direct_tile.convolve_tiles


def compute_part(problem: Problem, where: tuple[slice, ...], x, kernel, out, workers: int | None) -> None:
    """Compute the part `where` of a problem's result into `out`, an array of its shape."""
    starts, source = list(problem.starts), list(where)
    for k, axis in enumerate(problem.axes):
        starts[k] += where[axis].start
        source[axis] = slice(None)
    x = x[tuple(source)]
    part = problem._replace(x_shape=x.shape, out_shape=out.shape, starts=tuple(starts))
    DirectEngine(part)(x, kernel, out, workers)


def _block(row_axis: Axis, column_axis: Axis, channels: int, minimum_width: int, item: int) -> tuple[int, int]:
    """Rows and columns of a block.

    64 rows of 8 kB, or 32 where a small image would have too few blocks for all threads. Long lines gain more than
    many rows: 2048 x 2048 float32 by 5x5 took 3.4 ms in blocks of 64 x 512 and 2.7 in blocks of 64 x 1024.

    With a large kernel blocks are smaller: they pack some megabytes at most, and take some hundredths of a second,
    since Python handles Ctrl-C between blocks. Along very long axes they are larger, so that the tables stay small.
    """
    elements = min(2048, 8192 // item) if row_axis.outputs > 1 else 8192
    rows = 32 if row_axis.outputs < 1024 else 64
    taps = row_axis.taps * column_axis.taps
    most = _WORK_OF_A_BLOCK // (taps * item)
    while rows * elements > most and max(rows // 4, elements // 512) > 1:
        rows, elements = (rows // 2, elements) if rows > 16 or elements <= 512 else (rows, elements // 2)
    elements = max(elements, minimum_width, column_axis.outputs * channels // MOST_PIECES)
    rows = max(rows, row_axis.outputs // MOST_PIECES // 4 * 4)
    across = -(-column_axis.outputs * channels // elements)
    return min(rows, row_axis.outputs), -(-column_axis.outputs // across)


_WORK_OF_A_BLOCK = 2_000_000_000  # products, times their bytes
