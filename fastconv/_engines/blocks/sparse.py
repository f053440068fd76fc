"""The direct engine for kernels most of whose taps are zero, such as lines at an angle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv._engines.blocks.block_engine import BlockEngine, Cut
from fastconv._engines.blocks.direct import block_of, shared_engine
from fastconv._engines.layout import Layout
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.block_cutting import Axis
from fastconv._microkernels.blocks import sparse_tile
from fastconv._model.problem import Problem
from fastconv._runtime.instrumentation import placed
from fastconv._runtime.interruptible_numpy import is_finite

# The least number of all taps for each that is not zero: one that is listed takes about as long as two of a matrix.
# Blocks take the samples under the whole matrix.
LEAST_SHARE, LARGEST = 3, 4096


def pays(kernel: np.ndarray) -> bool:
    """Whether to list the taps of a kernel, whatever it is convolved with: so all parts of an array agree."""
    if kernel.size > LARGEST or min(kernel.shape) == 1:
        return False
    count = int(np.count_nonzero(kernel))
    return 0 < count <= min(sparse_tile.MOST_TAPS, kernel.size // LEAST_SHARE)


class Listed(NamedTuple):
    """A kernel ready for `SparseEngine.run`."""

    taps: np.ndarray  # as `sparse_tile.listed`
    kernel: np.ndarray
    shows_all: bool  # whether any sample that is not finite shows in a result

    @property
    def nbytes(self) -> int:
        return self.taps.nbytes + self.kernel.nbytes


class SparseEngine(BlockEngine):
    """Convolutions of one `Problem` of real numbers with kernels of few taps that are not zero."""

    name = "direct"

    def __init__(self, problem: Problem):
        layout = self._layout = Layout.of(problem)
        row, column, channels = layout.row_axis, layout.column_axis, layout.plane_channels
        rows, columns = block_of(row, column, channels, layout.minimum_width, layout.item)
        work = min(sparse_tile.MOST_TAPS, row.taps * column.taps // LEAST_SHARE)
        routine = compiled_routine(sparse_tile.convolve_sparse, sparse_tile.signature(layout.compute))
        super().__init__(problem, layout, Cut(rows, columns, work), {"microkernel": routine, "is_prepared": True})

    def prepare(self, kernel: np.ndarray) -> Listed:
        """List the taps of a kernel."""
        row, column, channels = self._layout.row_axis, self._layout.column_axis, self._layout.plane_channels
        taps = kernel if self._layout.role.kernel_row == 0 else kernel.T
        taps = taps[::-1, ::-1] if self._problem.flip else taps
        shows_all = bool(taps[_under_all(row), _under_all(column)].any())
        return Listed(placed(sparse_tile.listed(taps, channels)), kernel, shows_all)

    def run(self, x: np.ndarray, kernel: Listed, out: np.ndarray, workers: int | None) -> bool:
        """Compute `out`; a zero times a sample that is not finite is a NaN, which counts."""
        shows = kernel.shows_all or self._are_finite(x)
        if shows and (self(x, kernel.taps, out, workers) or self._are_finite(x)):
            return True
        return shared_engine(self._problem).run(x, kernel.kernel, out, workers)

    def _are_finite(self, x: np.ndarray) -> bool:
        """Whether all samples are known to be finite as they are summed: colours times alpha may overflow."""
        finish = self._problem.finish
        multiplies = finish is not None and finish.premultiplied and x.dtype.kind == "f"
        return not multiplies and is_finite(x)


def _under_all(axis: Axis) -> slice:
    """The taps that are multiplied by each of the samples along an axis, for one result or another."""
    return slice(max(0, axis.samples - axis.first - axis.outputs), max(0, 1 - axis.first))
