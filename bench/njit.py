"""A user's loop over lines in a function compiled by Numba: against Numba's `numpy.convolve`, and calls from Python.

    python -m bench.njit [--brief]

All sides take turns (`alternation`) on one thread, write into an array of their own, and are compared before anything
is timed. Times are medians.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

import fastconv
from bench.comparisons import Comparison, Sides
from bench.data import SEED

fastconv.njit.register()


class Loop(NamedTuple):
    """Lines that are convolved one by one with some taps."""

    rows: int
    samples: int
    taps: int
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.dtype}, {self.rows} rows of {self.samples} by {self.taps}"


CASES = [Loop(1000, samples, 31, dtype) for dtype in ("float32", "float64") for samples in (100, 1000, 10_000)]


@numba.njit
def by_fastconv(rows, taps, out):
    for k in range(len(rows)):
        fastconv.convolve1d(rows[k], taps, out=out[k])
    return out


@numba.njit
def by_numba(rows, taps, out):
    for k in range(len(rows)):
        out[k] = np.convolve(rows[k], taps)
    return out


def from_python(rows, taps, out):
    for row, target in zip(rows, out):
        fastconv.convolve1d(row, taps, method="direct", workers=1, out=target)
    return out


def prepare(case: Loop, workers: int) -> Sides:
    """Return the call of each side; `workers` is not used."""
    random = np.random.default_rng(SEED)
    rows = random.standard_normal((case.rows, case.samples)).astype(case.dtype)
    taps = random.standard_normal(case.taps).astype(case.dtype)

    def side(function):
        out = np.empty((case.rows, case.samples + case.taps - 1), case.dtype)
        return lambda: function(rows, taps, out)

    return {
        "fastconv in @njit": side(by_fastconv),
        "numpy.convolve in @njit": side(by_numba),
        "fastconv from Python": side(from_python),
    }


COMPARISON = Comparison("loop", CASES, prepare)

if __name__ == "__main__":
    COMPARISON.command(__doc__ or "")
