"""Engines of layers whose loop goes over units of output rows: see `layer_units`."""

from __future__ import annotations

import numpy as np

from fastconv._engines.layers.weight_packing import GivenWeights, PackedWeights
from fastconv._engines.unit_engine import UnitEngine
from fastconv._runtime.borrowed_arrays import for_threads, pinned


class LayerUnitEngine(UnitEngine):
    """An engine of layers, whose job has a routine for a unit."""

    def __call__(
        self, x: np.ndarray, packed: PackedWeights | GivenWeights, out: np.ndarray, workers: int | None
    ) -> bool:
        """Fill `out`; return False if another engine is to do so.

        Both arrays are of the order (number, channels, rows, columns) and of any strides of `x`.
        """
        _pins = pinned(x, out)
        threads = self._threads(workers)
        return self._compute((*for_threads(threads, x, out), *packed), (x, out), threads)
