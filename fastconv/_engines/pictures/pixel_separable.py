"""The separable engine for pictures: pixels in, pixels out, with four rows of sums between the passes, in cache."""

from __future__ import annotations

from typing import NamedTuple, NoReturn, SupportsIndex

import numpy as np
from numba import types

from fastconv._engines.blocks.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.layout import Layout
from fastconv._engines.routine_addresses import compiled_routine, refuse_copies, rescale_parameters
from fastconv._microkernels.pictures import pixel_passes
from fastconv._model.problem import Problem
from fastconv._model.separability import Separable, factors
from fastconv._runtime.instrumentation import limited, placed


class PixelFactors(NamedTuple):
    """A kernel prepared for `PixelSeparableEngine.run`: three addresses, and the arrays that they point to."""

    addresses: np.ndarray
    arrays: tuple[np.ndarray, ...]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


class PixelSeparableEngine(BlockEngine):
    """Convolutions of one `Problem` of pictures whose kernels are outer products."""

    name = "pixels"

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        step, taps = layout.plane_channels, layout.column_axis.taps
        block_rows, block_columns = _block(layout)
        width = max(block_columns * step, layout.minimum_width)
        cut = Cut(
            block_rows,
            block_columns,
            layout.row_axis.taps + taps,
            head=pixel_passes.buffered(width, taps, step),
            pixels=layout.out_type,
        )
        signature = pixel_passes.signature(layout.out_type, layout.compute)
        is_integer = isinstance(layout.compute, types.Integer)
        passes = pixel_passes.pass_picture_in_integers if is_integer else pixel_passes.pass_picture
        routine = compiled_routine(passes, signature)
        super().__init__(problem, layout, cut, {"microkernel": routine, "is_prepared": True})
        self._dtype = np.dtype(layout.compute.name)
        self._upright = layout.role.kernel_row == 0  # True if the kernel's rows lie along the rows of a plane
        numbers = rescale_parameters(problem.finish, layout.compute)
        assert numbers is not None
        self._numbers = numbers

    def prepare(self, kernel: np.ndarray | Separable) -> PixelFactors | None:
        """Factor a kernel for `run`; None if it is not an outer product."""
        found = factors(kernel, self._dtype)
        if found is None:
            return None
        column, row = found if self._upright else found[::-1]
        if self._problem.flip:
            column, row = column[::-1].copy(), row[::-1].copy()
        arrays = placed(column), placed(row), placed(self._numbers)
        return PixelFactors(placed(np.array([array.ctypes.data for array in arrays], np.intp)), arrays)

    def run(self, x: np.ndarray, prepared: PixelFactors, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`."""
        return self(x, prepared.addresses, out, workers)


def _block(layout: Layout) -> tuple[int, int]:
    """Rows and columns of a block.

    Long lines suit the hardware prefetcher: 2048 x 2048 x 3 bytes by 3x3 took 3.1 ms in lines of 2048 bytes and 2.5 in
    whole ones, by 5x5 3.6 and 3.3. All heights from 16 to 128 rows are equally fast.
    """
    row_axis, column_axis = layout.row_axis, layout.column_axis
    elements = max(8192, layout.minimum_width, column_axis.outputs * layout.plane_channels // MOST_PIECES)
    across = -(-column_axis.outputs * layout.plane_channels // elements)
    rows = max(32, row_axis.outputs // MOST_PIECES)
    return limited(min(rows, row_axis.outputs), -(-column_axis.outputs // across))
