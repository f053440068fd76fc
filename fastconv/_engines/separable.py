"""The separable engine: kernels that are an outer product, in two passes."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from fastconv._engines import layout as _layout
from fastconv._engines.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.direct import DirectEngine
from fastconv._engines.layout import Layout
from fastconv._engines.routines import compiled_routine
from fastconv._microkernels import separable_passes
from fastconv._model.arguments import Problem
from fastconv._model.separability import factors
from fastconv._runtime import memory_maps


class Prepared(NamedTuple):
    """A kernel as the passes want it, and as it was."""

    weights: np.ndarray
    kernel: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.kernel.nbytes


def supports(problem: Problem) -> bool:
    """Whether a problem can be computed here, if its kernel is an outer product."""
    return len(problem.kernel_shape) == 2 and problem.kernel_dtype.kind != "c" and _layout.supports(problem.sums)


class SeparableEngine(BlockEngine):
    """Convolutions of one `Problem` whose kernels are outer products: first along the rows, then down the columns.

    A result that is not finite is the direct engine's: neither an infinity in the input nor a sum that overflows
    becomes something else here because the sum was taken in another order.
    """

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        work = (rows + taps) * layout.x_parts
        lines = max(separable_passes.LINES, layout.row_axis.outputs // MOST_PIECES)
        kept = separable_passes.buffered(rows, lines)
        cut = Cut(*_block(layout), work, lines=lines, head=separable_passes.HEAD, kept=kept)
        super().__init__(
            problem,
            layout,
            cut,
            {
                "microkernel": compiled_routine(
                    separable_passes.pass_twice, separable_passes.signature(layout.compute)
                ),
                "two_passes": True,
            },
        )
        self._problem = problem
        self._dtype = np.dtype(layout.compute.name)
        self._upright = layout.role.kernel_row == 0  # whether the kernel's rows go along the rows of a plane

    def prepare(self, kernel: np.ndarray) -> Prepared | None:
        """The kernel, ready for `run`; None where it is not an outer product."""
        found = factors(kernel, self._dtype)
        if found is None:
            return None
        column, row = found if self._upright else found[::-1]
        if self._problem.flip:
            column, row = column[::-1], row[::-1]
        weights = np.concatenate((row, column))
        return Prepared(weights, kernel.copy())

    def run(self, x: np.ndarray, prepared: Prepared, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`."""
        if not super().__call__(x, prepared.weights, out, workers):
            self._mend(x, prepared.kernel, out, workers)
        return True

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; False where `kernel` is not an outer product, and `out` was not touched."""
        prepared = self.prepare(kernel)
        return prepared is not None and self.run(x, prepared, out, workers)

    def _mend(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Replace results that are not finite by the direct engine's, a rectangle at a time."""
        problem = self._problem
        sizes = [1] * out.ndim
        for axis, size in zip(problem.axes, _MENDED):
            sizes[axis] = size
        found = memory_maps.mapped(x, out)
        for corner in itertools.product(*(range(0, extent, size) for extent, size in zip(out.shape, sizes))):
            part = out[tuple(slice(start, start + size) for start, size in zip(corner, sizes))]
            flawed = ~np.isfinite(part)
            if found is not None:
                found.look()
            if not flawed.any():
                continue
            # No more than the rows and columns from the first to the last of them.
            starts, spans = list(problem.starts), [slice(None)] * out.ndim
            for k, axis in enumerate(problem.axes):
                others = tuple(other for other in range(out.ndim) if other != axis)
                places = np.flatnonzero(flawed.any(axis=others))
                spans[axis] = slice(places[0], places[-1] + 1)
                starts[k] += corner[axis] + places[0]
            flawed, part = flawed[tuple(spans)], part[tuple(spans)]
            own = tuple(
                slice(None) if axis in problem.axes else slice(start, start + 1) for axis, start in enumerate(corner)
            )
            source = x[own]
            engine = DirectEngine(
                problem._replace(x_shape=source.shape, out_shape=part.shape, starts=tuple(map(int, starts)))
            )
            direct = np.empty(part.shape, problem.dtype)
            engine(source, kernel, direct, workers)
            np.copyto(part, direct, where=flawed)


# Rows and columns of what is mended at a time.
_MENDED = (256, 1024)


def _block(layout: Layout) -> tuple[int, int]:
    """Rows and columns of a block.

    Lines are as long as those that a column needs leave room for in a cache of a megabyte, up to 8 kB: 2048 x 2048
    float32 by 15x15 took 6.4 ms in lines of 2 kB, 5.3 in 4 kB and 4.9 in 8 kB. What two blocks, one below the other,
    both need is computed twice: blocks are at least four times as high as the kernel. Those of an image wider than
    64 kB, of which the whole width may be mapped for each line of a file, are no higher than 96 rows unless they must.
    """
    row_axis, column_axis = layout.row_axis, layout.column_axis
    elements = min(8192, (1 << 20) // separable_passes.buffered(row_axis.taps, separable_passes.LINES)) // layout.item
    elements = max(elements, layout.least, column_axis.outputs * layout.plane_channels // MOST_PIECES)
    across = -(-column_axis.outputs * layout.plane_channels // elements)
    wide = column_axis.outputs * layout.plane_channels * layout.item > 1 << 16
    usual = 96 if wide else 128 if row_axis.outputs < 1024 else 256
    rows = max(usual, 4 * row_axis.taps, row_axis.outputs // MOST_PIECES)
    return min(rows, row_axis.outputs), -(-column_axis.outputs // across)
