"""Engines that give the bits of `scipy.ndimage`: along one axis, along two in turn, in 2-D, and in n-D."""

from __future__ import annotations

from typing import Callable

import numpy as np
from numba import types

from fastconv._engines.blocks.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.blocks.direct import DirectEngine
from fastconv._engines.layout import Layout
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._microkernels import accumulation
from fastconv._microkernels.blocks import direct_tile, scipy_order_lines, scipy_order_offsets, scipy_order_passes
from fastconv._model.problem import Problem
from fastconv._runtime.instrumentation import limited, placed


class RoundedLineEngine(BlockEngine):
    """Correlations of one `Problem` along one axis, with sums in float64 or complex128 and results of any type.

    `symmetry` is 1 or -1 for taps that are symmetric or antisymmetric, else 0, or `scipy_order_lines.IN_ORDER`. Sums
    are stored if the `operation` is "store", else combined with what the output holds by one of `accumulation.COMBINE`.
    """

    name = "rounded"

    def __init__(self, problem: Problem, symmetry: int, operation: str):
        layout = Layout.of(problem)
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        own = {
            "microkernel": _microkernel(symmetry),
            "convert_kernel": transfer_routine(layout.compute, layout.compute),
            "kernel_bytes": layout.item,
            "kernel_row_axis": layout.role.kernel_row,
            "kernel_column_axis": layout.role.kernel_column,
            **_combining(operation, layout),
        }
        super().__init__(problem, layout, Cut(*_block(layout), rows * taps, weights=rows * taps), own)

    def run(self, x: np.ndarray, weights: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`."""
        self(x, weights, out, workers)


class RoundedPassesEngine(BlockEngine):
    """Correlations of one `Problem` along the first of its axes, and then along the second.

    Sums are rounded to the type of the result in between. `symmetries` and `operation` are as in `RoundedLineEngine`.
    """

    name = "rounded"

    def __init__(self, problem: Problem, symmetries: tuple[int, int], operation: str):
        layout = Layout.of(problem)
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        self._row_first = problem.axes[0] > problem.axes[1]
        block_rows, block_columns = _block(layout)
        width = max(block_columns * layout.plane_channels, layout.minimum_width)
        if not self._row_first:
            width += (taps - 1) * layout.plane_channels
        head = scipy_order_passes.buffered(rows, width, self._row_first)
        routine = scipy_order_passes.row_first if self._row_first else scipy_order_passes.column_first
        own = {
            "microkernel": compiled_routine(routine, scipy_order_passes.signature()),
            "is_prepared": True,
            **_combining(operation, layout),
        }
        self._words = np.zeros(scipy_order_passes.WORDS, np.intp)
        column, row = symmetries[::-1] if self._row_first else symmetries
        self._words[[scipy_order_passes.COLUMN, scipy_order_passes.ROW]] = _microkernel(column), _microkernel(row)
        if layout.out_type != layout.compute:
            self._words[scipy_order_passes.NARROW] = transfer_routine(layout.compute, layout.out_type)
            self._words[scipy_order_passes.WIDEN] = transfer_routine(layout.out_type, layout.compute)
            self._words[scipy_order_passes.SIZE] = layout.out_type.bitwidth // 8
        super().__init__(problem, layout, Cut(block_rows, block_columns, rows + taps, head=head), own)

    def run(self, x: np.ndarray, weights: tuple[np.ndarray, np.ndarray], out: np.ndarray, workers: int | None) -> None:
        """Fill `out`; the weights are those of both passes, in turn."""
        column, row = weights[::-1] if self._row_first else weights
        self(x, placed(np.concatenate((self._words.view(np.float64), column, row))), out, workers)


class RoundedTileEngine(DirectEngine):
    """2-D correlations of one `Problem`, with sums in float64 and results of any type."""

    name = "rounded"

    def _microkernel(self, rows: int, taps: int, may_be_symmetric: bool) -> Callable:
        return direct_tile.convolve_rounded_tiles


class RoundedOffsetEngine(BlockEngine):
    """Correlations in any number of dimensions, of a float64 input that is extended beyond its boundary.

    The input of `run` is the view of the extended input that starts where that does and has the shape of the output;
    `problem` has a single tap, along the last axis. Lines are at least `minimum_width` long.
    """

    name = "rounded"

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        routine = compiled_routine(
            scipy_order_offsets.correlate_at_offsets, scipy_order_offsets.signature(layout.compute)
        )
        rows, columns = _block(layout)
        columns = max(columns, layout.minimum_width)
        # A block narrower than a tile would be packed without the samples around it.
        while 0 < layout.column_axis.outputs % columns < layout.minimum_width:
            columns += 1
        super().__init__(problem, layout, Cut(rows, columns, 32), {"microkernel": routine, "is_prepared": True})

    def run(
        self, x: np.ndarray, offsets: np.ndarray, weights: np.ndarray, out: np.ndarray, workers: int | None
    ) -> None:
        """Fill `out` with sums of weights times the samples `offsets` elements further on."""
        kernel = np.concatenate((np.array([offsets.size, *offsets], np.intp).view(np.float64), weights))
        self(x, placed(kernel), out, workers)


def minimum_width() -> int:
    """Smallest length of lines for `RoundedOffsetEngine`."""
    return direct_tile.minimum_width(8)


def _microkernel(symmetry: int) -> int:
    return compiled_routine(scipy_order_lines.CORRELATE[symmetry], scipy_order_lines.signature(types.float64))


def _combining(operation: str, layout: Layout) -> dict[str, object]:
    """Fields of a job that combine sums with the output."""
    if operation == "store":
        return {}
    signature = accumulation.signature(layout.compute, layout.out_type)
    return {"store": compiled_routine(accumulation.COMBINE[operation], signature), "out_in_place": False}


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
    return limited(min(rows, row_axis.outputs), -(-column_axis.outputs // -(-outputs // elements)))


# Most samples that a block packs.
_PACKED = 1 << 18
