"""Two arrays as the even and the odd columns of a third, by compiled code."""

from __future__ import annotations

import numpy as np
from numba import config

from fastconv._engines import scheduler
from fastconv._engines.layers.layer_input import COMPUTE
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.layers import interleaving
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._simd import compilation

# Elements of a call, between which Python handles Ctrl-C; and nanoseconds of one, in cache.
_MOST_ELEMENTS, _ELEMENT = 1 << 19, 0.1


@compilation.once
def _interleave():
    return compilation.compile_entry(interleaving.interleave_planes, interleaving.entry_signature())


def supports(out: np.ndarray) -> bool:
    """Whether an array of four axes can be filled: floats, aligned, with columns side by side."""
    has_columns = out.strides[3] == out.itemsize and not any(stride % out.itemsize for stride in out.strides)
    is_float = out.dtype.char in "fd" and out.dtype.isnative
    return is_float and has_columns and out.flags.aligned and not config.DISABLE_JIT


def interleave(even: np.ndarray, odd: np.ndarray, out: np.ndarray, workers: int | None) -> None:
    """Fill `out`, of which `even` has the columns 0, 2, ..., and `odd` the others; all are of its type."""
    _pins = pinned(out)
    routine = compiled_routine(interleaving.interleave_rows, interleaving.signature(COMPUTE[out.dtype]))
    planes = out.shape[0] * out.shape[1]
    step = max(1, _MOST_ELEMENTS // max(1, out.shape[2] * out.shape[3]))
    run = _interleave()
    scheduler.run_slices(
        lambda first, stop: run(even, odd, out, routine, out.itemsize, first, stop),
        range(planes), step, _ELEMENT * out.size, workers,
    )  # fmt: skip
