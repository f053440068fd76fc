"""The direct engine: every product of a tap and a sample, summed in registers."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines.blocks.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.layout import EXPONENTS, Layout, stored
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._microkernels import transfers
from fastconv._microkernels.block_cutting import Axis
from fastconv._microkernels.blocks import direct_tile
from fastconv._microkernels.sample_layout import usual_block
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import limited


class DirectEngine(BlockEngine):
    """Convolutions of one `Problem` by the definition, with any arrays of its types and sizes.

    A call returns False, and leaves `out` untouched, if zeros lie outside and the kernel is not finite.
    """

    name = "direct"

    def __init__(self, problem: Problem, block: tuple[int, int] | None = None, cuts_lines: bool = False):
        layout = self._layout_of(problem, cuts_lines)
        compute, parts = layout.compute, layout.kernel_parts
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        block_rows, block_columns = block or block_of(
            layout.row_axis, layout.column_axis, layout.plane_channels, layout.minimum_width, layout.item
        )
        work = math.ceil(cost_model.taps_of_a_result(problem)) * layout.x_parts * parts
        cut = Cut(block_rows, block_columns, work, weights=parts * rows * taps)
        # A kernel that is not finite makes a zero outside a NaN, where nothing must be added.
        guard = problem.misses_samples and isinstance(compute, types.Float) and problem.pairs is None
        may_be_symmetric = isinstance(compute, types.Float) and not cuts_lines
        microkernel = self._microkernel(rows, taps, may_be_symmetric)
        routine = compiled_routine(microkernel, direct_tile.signature(compute))
        own = {
            "microkernel": routine,
            "convert_kernel": transfer_routine(
                stored(problem.kernel_dtype, compute), compute, not problem.kernel_dtype.isnative
            ),
            "add_rotated": compiled_routine(transfers.add_rotated, transfers.rotate_signature(compute))
            if parts == 2 and problem.pairs is None
            else 0,
            "kernel_bytes": problem.kernel_dtype.itemsize // parts,
            "kernel_row_axis": layout.role.kernel_row,
            "kernel_column_axis": layout.role.kernel_column,
            "flip": problem.flip,
            "exponent_mask": EXPONENTS[compute] if guard else 0,
        }
        super().__init__(problem, layout, cut, own)

    def _layout_of(self, problem: Problem, cuts_lines: bool) -> Layout:
        """The layout, without the taps that reach no sample."""
        layout = Layout.of(problem)
        is_cut = cuts_lines or not cost_model.is_line_of_floats(problem)
        return _cut_at_the_ends(problem, layout) if is_cut else layout

    def _microkernel(self, rows: int, taps: int, may_be_symmetric: bool) -> Callable:
        """The microkernel for a kernel of so many rows, and taps in each."""
        if rows == 1:
            return direct_tile.convolve_symmetric_rows if may_be_symmetric else direct_tile.convolve_rows
        if taps == 1 and may_be_symmetric:
            return direct_tile.convolve_symmetric_columns
        return direct_tile.convolve_tiles

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel unchanged: it is converted and flipped in cache."""
        return kernel

    run = BlockEngine.__call__


class CutLineEngine:
    """The direct engine for lines of floats without the taps that reach no sample; symmetric ones are not cut."""

    def __init__(self, problem: Problem):
        self._problem, self._cut = problem, DirectEngine(problem, cuts_lines=True)

    @property
    def nbytes(self) -> int:
        return self._cut.nbytes

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
        """Compute `out`; return False as `DirectEngine`."""
        whole = any(symmetries(kernel, self._problem.sums))
        return (shared_engine(self._problem) if whole else self._cut)(x, kernel, out, workers)

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel unchanged."""
        return kernel

    run = __call__


# The direct engine of a problem, with all taps of lines, for engines that leave calls to it: making one takes 0.1 ms.
shared_engine = kept(DirectEngine)


def engine(problem: Problem) -> DirectEngine | CutLineEngine:
    """The direct engine of a problem."""
    is_cut = cost_model.is_line_of_floats(problem) and any(
        cost_model.leaves_taps_out(problem, k) for k in range(len(problem.kernel_shape))
    )
    return CutLineEngine(problem) if is_cut else DirectEngine(problem)


class DirectBlocks(DirectEngine):
    """The direct engine with small blocks, of which it computes those that are asked for."""

    def __init__(self, problem: Problem):
        layout = self._layout = Layout.of(problem)
        lines = layout.row_axis.taps == 1
        width = (direct_tile.ROW_VECTORS // direct_tile.VECTORS if lines else 1) * layout.minimum_width
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


def symmetries(kernel: np.ndarray, sums: np.dtype) -> list[bool]:
    """Whether a line of taps, or its real and its imaginary part, is its own mirror image or the negative of that.

    Such parts are summed from both ends, with all their taps, and others from the first tap on.
    """
    line, found = kernel.reshape(-1), []
    for part in (line.real, line.imag) if line.dtype.kind == "c" else (line,):
        signs = {1, -1}
        for (chunk,) in interruptible_numpy.chunk_slices(((part.size + 1) // 2,), _COMPARED_AT_ONCE):
            with np.errstate(all="ignore"):
                left, right = (end[chunk].astype(sums.type(0).real.dtype) for end in (part, part[::-1]))
                signs = {sign for sign in signs if np.array_equal(left, sign * right)}
            if not signs:
                break
        found.append(bool(signs))
    return found


_COMPARED_AT_ONCE = 1 << 12


def in_whole_groups(
    problem: Problem, spans: tuple[tuple[int, int], ...], kernel: np.ndarray
) -> tuple[tuple[int, int], ...]:
    """Spans of the kernel, enlarged to those that give the same sums, to the last bit, if all other taps are zero."""
    if not cost_model.is_line_of_floats(problem):
        # A kernel of one row or column may have another order.
        widened = ((first, max(last, min(first + 2, extent))) for (first, last), extent in zip(spans, kernel.shape))
        return tuple((min(first, max(0, last - 2)), last) for first, last in widened)
    layout = Layout.of(problem)
    k, row, step = layout.role.kernel_column, layout.column_axis, layout.plane_channels
    whole, found = symmetries(kernel, problem.sums), list(spans)
    if all(whole):  # the middle must stay where it is
        ends = [min(first, extent - last) for (first, last), extent in zip(spans, kernel.shape)]
        if k >= 0:
            ends[k] = direct_tile.removable(row.taps, layout.item, step, ends[k])
        return tuple((end, extent - end) for end, extent in zip(ends, kernel.shape))
    if k >= 0:
        unit = direct_tile.tap_unit(row.taps, layout.item, step)
        first, last = spans[k]
        if problem.flip:
            first, last = row.taps - last, row.taps - first
        first, last = row._replace(unit=unit).in_units(first, last)
        found[k] = (row.taps - last, row.taps - first) if problem.flip else (first, last)
    if any(whole) or any(symmetries(kernel[tuple(slice(*span) for span in found)], problem.sums)):
        return tuple((0, extent) for extent in kernel.shape)
    return tuple(found)


def compute_part(problem: Problem, where: tuple[slice, ...], x, kernel, out, workers: int | None) -> None:
    """Compute the part `where` of a problem's result into `out`, an array of its shape."""
    part, source = problem.part(where)
    engine(part)(x[source], kernel, out, workers)


def _cut_at_the_ends(problem: Problem, layout: Layout) -> Layout:
    """`layout`, with taps that reach no sample left out where that pays."""
    row_axis, column_axis, role = layout.row_axis, layout.column_axis, layout.role
    if role.kernel_row >= 0 and cost_model.leaves_taps_out(problem, role.kernel_row):
        row_axis = row_axis._replace(unit=1)
    if role.kernel_column >= 0 and cost_model.leaves_taps_out(problem, role.kernel_column):
        taps, in_order = column_axis.taps, cost_model.is_line_of_floats(problem)
        unit = direct_tile.tap_unit(taps, layout.item, layout.plane_channels) if in_order else 1
        column_axis = column_axis._replace(unit=unit)
    return layout._replace(row_axis=row_axis, column_axis=column_axis)


def block_of(row_axis: Axis, column_axis: Axis, channels: int, minimum_width: int, item: int) -> tuple[int, int]:
    """Rows and columns of a block.

    Those of `usual_block`. Long lines gain more than many rows: 2048 x 2048 float32 by 5x5 took 3.4 ms in blocks of
    64 x 512 and 2.7 in blocks of 64 x 1024.

    With a large kernel blocks are smaller: they pack some megabytes at most, and take some hundredths of a second,
    since Python handles Ctrl-C between blocks. Along very long axes they are larger, so that the tables stay small.

    Where blocks take only the taps that reach samples, they are a part of the kernel in size, and whole tiles wide.
    """
    rows, elements = usual_block(row_axis.outputs, item)
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
