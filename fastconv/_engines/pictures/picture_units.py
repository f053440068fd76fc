"""What the engines of pictures whose units are rows of results share: a call on two arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._engines.unit_engine import UnitEngine
from fastconv._runtime.borrowed_arrays import for_threads, pinned
from fastconv._runtime.instrumentation import listeners, notify


class PictureUnits(UnitEngine):
    """An engine whose units are rows of results."""

    def _fill(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`; both arrays are pinned."""
        threads = self._threads(workers)
        given, result = for_threads(threads, x, out)
        # Three times: the loop of layers also takes weights and a bias.
        self._compute((given, result, given, given), (x, out), threads)


class WindowUnits(PictureUnits):
    """An engine of one problem of windows."""

    _problem: Any

    def __call__(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`; both arrays are contiguous, of the shapes and types of the problem."""
        _pins = pinned(x, out)
        if listeners:
            notify("windows", problem=self._problem, x=x, out=out)
        self._fill(x, out, workers)
