"""The engine for correlations along one axis with the bits of `scipy.ndimage.correlate1d`."""

from __future__ import annotations

import numpy as np

from fastconv._engines.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.layout import Layout
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._microkernels import rounded_lines
from fastconv._model.problem import Problem


class RoundedLineEngine(BlockEngine):
    """Correlations of one `Problem` along one axis, with real sums in double and any real result.

    `symmetry` is 1 or -1 for taps that are symmetric or antisymmetric, else 0.
    """

    def __init__(self, problem: Problem, symmetry: int):
        layout = Layout.of(problem)
        compute, rows, taps = layout.compute, layout.row_axis.taps, layout.column_axis.taps
        own = {
            "microkernel": compiled_routine(rounded_lines.CORRELATE[symmetry], rounded_lines.signature(compute)),
            "convert_kernel": transfer_routine(compute, compute),
            "kernel_bytes": layout.item,
            "kernel_row_axis": layout.role.kernel_row,
            "kernel_column_axis": layout.role.kernel_column,
        }
        super().__init__(problem, layout, Cut(*_block(layout), rows * taps, weights=rows * taps), own)

    def run(self, x: np.ndarray, weights: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`."""
        self(x, weights, out, workers)


def _block(layout: Layout) -> tuple[int, int]:
    """Rows and columns of a block.

    64 rows of 8 kB. With more taps blocks are higher, since each packs the samples of all taps, and narrower, so that
    those are some megabytes at most.
    """
    row_axis, column_axis = layout.row_axis, layout.column_axis
    outputs, step = column_axis.outputs * layout.plane_channels, layout.plane_channels
    rows = max(64 if row_axis.outputs >= 1024 else 32, min(2 * row_axis.taps, 128))
    beyond = (column_axis.taps - 1) * step
    elements = 1024 if row_axis.outputs > 1 else 8192
    elements = min(max(elements, min(4 * beyond, 8192)), _PACKED // (rows + row_axis.taps))
    elements = max(elements, layout.minimum_width, outputs // MOST_PIECES)
    rows = max(min(rows, _PACKED // (elements + beyond)), 1, row_axis.outputs // MOST_PIECES)
    return min(rows, row_axis.outputs), -(-column_axis.outputs // -(-outputs // elements))


# Samples that a block packs.
_PACKED = 1 << 18
