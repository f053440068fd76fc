"""Magnitudes of two derivatives."""

from __future__ import annotations

import sys

import numpy as np

from fastconv._planning import engine_loader
from fastconv._runtime.interruptible_numpy import chunk_slices


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
