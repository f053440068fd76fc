"""The engine of magnitudes of two derivatives by separable kernels."""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._engines.blocks.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.blocks.separable import Factors, block_of
from fastconv._engines.layout import Layout
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.blocks import separable_passes
from fastconv._microkernels.pictures import separable_magnitudes
from fastconv._model.problem import Problem
from fastconv._runtime.instrumentation import placed


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem of `SeparableEngine`."""
    return problem.sums == np.float32 and problem.finish is None


def routine() -> int:
    """Address of the compiled routine."""
    return compiled_routine(separable_magnitudes.pass_magnitudes, separable_passes.signature(types.float32))


class SeparableMagnitudeEngine(BlockEngine):
    """Magnitudes of two convolutions of one `Problem`, whose kernels are outer products.

    Only where all results are finite: a call returns False otherwise.
    """

    name = "magnitudes"

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        lines = max(separable_passes.LINES, layout.row_axis.outputs // MOST_PIECES)
        kept = separable_magnitudes.room(rows, lines)
        cut = Cut(*block_of(layout, 2), 2 * (rows + taps), lines=lines, head=separable_passes.HEAD, kept=kept)
        super().__init__(problem, layout, cut, {"microkernel": routine(), "is_prepared": True})

    def run(self, x: np.ndarray, kernels: list[Factors], out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; the kernels are those of `SeparableEngine`."""
        return self(x, placed(np.concatenate([kernel.weights for kernel in kernels])), out, workers)
