"""Convolutions along three and more axes by a kernel that is given by its factors, ready to run."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._model.problem import Problem
from fastconv._model.separability import Separable
from fastconv._planning import engine_loader
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept, size_of


class SeparablePlan(NamedTuple):
    """A problem with its engine and its factors; without them where nothing can be compiled."""

    problem: Problem
    kernel: Separable
    engine: Any
    factors: Any

    @property
    def nbytes(self) -> int:
        return self.kernel.nbytes + size_of(self.engine) + size_of(self.factors)

    def run(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x`."""
        _pins = pinned(x, out)
        if self.engine is None:
            NumpyEngine(self.problem)(x, self.kernel.taps(self.problem.kernel_dtype), out)
        else:
            self.engine.run(x, self.factors, out, workers)


def prepare(problem: Problem, kernel: Separable) -> SeparablePlan:
    """Prepare a kernel of three or more axes for a problem."""
    if sys.is_finalizing() or not engine_loader.load().separable_volume.supports(problem):
        return SeparablePlan(problem, kernel, None, None)
    engine = _engine(problem)
    return SeparablePlan(problem, kernel, engine, engine.prepare(kernel))


@kept
def _engine(problem: Problem) -> Any:
    return engine_loader.load().separable_volume.SeparableVolumeEngine(problem)
