"""Magnitudes of two derivatives, by compiled code."""

from __future__ import annotations

import numpy as np
from numba import config

from fastconv._engines import scheduler
from fastconv._microkernels.pictures import magnitudes
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._simd import compilation

# Elements of a call, between which Python handles Ctrl-C; and nanoseconds of one, in cache.
_MOST_ELEMENTS, _ELEMENT = 1 << 19, 0.2


@compilation.once
def _magnitudes():
    return compilation.compile_entry(magnitudes.magnitudes, magnitudes.signature())


def supports(*arrays: np.ndarray) -> bool:
    """Whether these arrays are taken: contiguous ones of float32."""
    return not config.DISABLE_JIT and all(
        array.dtype.char == "f" and array.dtype.isnative and array.flags.c_contiguous for array in arrays
    )


def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, workers: int | None) -> None:
    """Fill `out`, which may be one of the others, with ``hypot(a, b)``."""
    _pins = pinned(a, b, out)
    compute = _magnitudes()
    scheduler.run_slices(
        lambda first, stop: compute(a, b, out, first, stop),
        range(out.size), _MOST_ELEMENTS, _ELEMENT * out.size, workers,
    )  # fmt: skip
