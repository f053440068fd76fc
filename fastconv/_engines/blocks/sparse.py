"""The direct engine for kernels most of whose taps are zero, such as lines at an angle."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from fastconv._engines.blocks.direct import DirectEngine, shared_engine
from fastconv._engines.layout import Layout
from fastconv._microkernels.blocks import sparse_tile
from fastconv._model.problem import Problem
from fastconv._runtime.interruptible_numpy import is_finite

# The most taps that are not zero, and the least number of all taps for each of them: a tap that is listed takes about
# as long as two of a matrix.
MOST_TAPS, LEAST_SHARE = 64, 3


def pays(kernel: np.ndarray) -> bool:
    """Whether to list the taps of a kernel, whatever it is convolved with: so all parts of an array agree."""
    count = int(np.count_nonzero(kernel))
    return min(kernel.shape) > 1 and 0 < count <= min(MOST_TAPS, kernel.size // LEAST_SHARE)


class SparseEngine(DirectEngine):
    """Convolutions of one `Problem` of real numbers with kernels of few taps that are not zero."""

    def _layout_of(self, problem: Problem, cuts_lines: bool) -> Layout:
        return Layout.of(problem)

    def _list_elements(self, taps: int, item: int) -> int:
        return sparse_tile.listed(taps, item)

    def _microkernel(self, rows: int, taps: int, may_be_symmetric: bool) -> Callable:
        return sparse_tile.convolve_sparse

    def run(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None, *own: Any) -> bool:
        """Compute `out`; a zero times a sample that is not finite is a NaN, which counts."""
        if is_finite(x):
            return self(x, kernel, out, workers, *own)
        return shared_engine(self._problem).run(x, kernel, out, workers)
