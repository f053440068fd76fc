"""Magnitudes of two derivatives."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastconv._model.problem import Problem
from fastconv._planning import engine_loader
from fastconv._planning.zero_trimming import LEAST, may_have_zeros_around
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices


def compile_all() -> None:
    """Compile all that magnitudes need."""
    combine(np.zeros(1, np.float32), np.zeros(1, np.float32), None, 1)
    engines = engine_loader.load()
    if engines.layout.supports(np.dtype(np.float32)):
        engines.separable_magnitudes.routine()


def of_plans(plans: list[Any], x: np.ndarray, workers: int | None) -> np.ndarray | None:
    """The magnitude of two derivatives, in one pass over the array; None where they are to be computed one by one.

    That is where they are not both separable with sums of float32, or not finite, and where zeros around the array may
    be left out.
    """
    engines = None if sys.is_finalizing() else engine_loader.load()
    prepared = [plan.prepared for plan in plans]
    if engines is None or not all(
        isinstance(getattr(one, "engine", None), engines.separable.SeparableEngine) for one in prepared
    ):
        return None
    problem = plans[0].problem
    if not engines.separable_magnitudes.supports(problem):
        return None
    if any(one.looks for one in prepared) and may_have_zeros_around(x, problem.axes, LEAST):
        return None
    out = np.empty(problem.out_shape, problem.dtype)
    return out if _engine(problem).run(x, [one.kernel for one in prepared], out, workers) else None


@kept
def _engine(problem: Problem) -> Any:
    return engine_loader.load().separable_magnitudes.SeparableMagnitudeEngine(problem)


def combine(a: np.ndarray, b: np.ndarray, out: np.ndarray | None, workers: int | None) -> None:
    """Store ``hypot(a, b)`` in `out`, by default in `a`."""
    result = a if out is None else out
    engines = None if sys.is_finalizing() else engine_loader.load()
    if engines is not None and engines.magnitudes.supports(a, b, result):
        engines.magnitudes.fill(a, b, result, workers)
        return
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(a.shape):
            _hypot(a[chunk], b[chunk], result[chunk])


def _hypot(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """``hypot(a, b)``, several times as fast where squares neither overflow nor vanish; `a` may be `out`."""
    limits = np.finfo(out.dtype)
    largest = max(abs(float(part(one))) for one in (a, b) for part in (np.max, np.min))
    if not largest < 2.0 ** (limits.maxexp // 2 - 2):
        np.hypot(a, b, out=out)
        return
    found = a * a
    found += b * b
    np.sqrt(found, out=found)
    # Squares of smaller numbers lose digits.
    small = found < 2.0 ** (limits.minexp // 2 + limits.nmant)
    if small.any():
        small &= (a != 0) | (b != 0)
        np.hypot(a, b, out=found, where=small)
    out[...] = found
