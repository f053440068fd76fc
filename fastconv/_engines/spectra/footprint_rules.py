"""The rules by which overlap-save bounds the error of each result, and what they need to know of a kernel.

The error of a transform is at most ``MARGIN * eps * norm(kernel) * norm(x)``, `x` being all that is transformed at
once: `MARGIN` is measured, 3.84 being the largest found; C. Percival (Mathematics of Computation 72, 2003, theorem 5.1)
proves ``12 * (log2(points) + 1)`` in its place.

Rule FOOTPRINT keeps a result if the samples under the kernel have a norm of at least ``MARGIN * 2**-LOST_BITS`` times
that of all. Then its error is at most ``2**LOST_BITS * eps * norm(kernel) * norm(samples under the kernel)``. If
they have less, none of them is above that limit: a transform without all samples above has the same result, and errors
relative to the rest.

Rule RELATIVE, where all samples of a tile have one sign and all taps as well, keeps a result if its size is at least
``MARGIN * 2**-LOST_BITS * norm(kernel) * norm(x)``; its relative error is then at most ``2**LOST_BITS * eps``.
Lines of a tile that do not mix have norms and signs of their own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.spectra.overlap_save_tiling import TiledLayout, compute_type
from fastconv._microkernels.spectra.footprint_windows import CHECK
from fastconv._model.guarantees import FOOTPRINT, LOST_BITS, MARGIN, RAW, RELATIVE
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy

# A row or column at the edge of the kernel hardly counts if its largest tap is below this part of the largest one.
_CORE = 2.0**-8


class KernelFacts(NamedTuple):
    """What the rules need to know of a kernel: its core and its 2-norm, and the sign of all taps or 0."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    norm: float
    largest: float
    sign: int


def kernel_facts(taps: np.ndarray) -> KernelFacts:
    """Look at the taps of a kernel, finite ones, in two dimensions."""
    rows, columns = (np.zeros(extent) for extent in taps.shape)
    positive = negative = False
    squares = []
    is_complex = taps.dtype.kind == "c"
    wide = np.complex128 if is_complex else np.float64
    for some in interruptible_numpy.chunk_slices(taps.shape):
        part = taps[some] if taps.dtype.char in "fd" else taps[some].astype(wide)
        if not is_complex:
            positive, negative = positive or bool(part.max() > 0), negative or bool(part.min() < 0)
        with np.errstate(over="ignore", under="ignore"):
            size = np.abs(part)
            top = float(size.max())
            if top:  # without BLAS, whose threads take longer than the sum
                squares.append(top * math.sqrt(np.add.reduce(np.square(size / top), axis=None, dtype=np.float64)))
        rows[some[0]] = np.maximum(rows[some[0]], size.max(axis=1))
        columns[some[1]] = np.maximum(columns[some[1]], size.max(axis=0))
    sign = 0 if is_complex or (positive and negative) else -1 if negative else 1
    largest = float(rows.max())
    return KernelFacts(core(rows), core(columns), math.hypot(*squares), largest, sign)


def core(largest: np.ndarray) -> tuple[int, int]:
    """First and last line of taps that count, by the largest one of each."""
    count = np.flatnonzero(counts(largest, float(largest.max())))
    return int(count[0]), int(count[-1])


def counts(largest: np.ndarray, of_all: float) -> np.ndarray:
    """Whether lines of taps count, by the largest one of each and that of all."""
    return largest >= _CORE * of_all


def check_fields(problem: Problem, layout: TiledLayout, kernel: KernelFacts, precision: np.dtype) -> np.ndarray:
    """A `CHECK` for a problem and a kernel, and results as precise as the type `precision`; RAW checks nothing."""
    rule = problem.guarantee if kernel.norm > 0 else RAW
    if rule != RAW and problem.finish is not None:  # results are no sums
        rule = FOOTPRINT
    elif rule != RAW and len(problem.axes) == 1:
        rule = RELATIVE
    points, compute, result = layout.tile.rows * layout.tile.columns, compute_type(problem), np.finfo(precision)
    used = np.finfo(compute.name)
    part = MARGIN * float(used.eps) / float(result.eps) / 2.0 ** LOST_BITS[result.bits // 8]
    rows, columns = (last - first + 1 for first, last in (kernel.rows, kernel.columns))
    tiny = float(used.tiny)
    least = math.inf if kernel.largest < points * tiny else max(64 * tiny, points * tiny / kernel.norm)
    fields = {
        "rule": rule,
        "sign": 0 if problem.sums.kind == "c" else kernel.sign,
        "first_row": kernel.rows[0],
        "rows": rows,
        "first_column": kernel.columns[0],
        "columns": columns,
        "least_norm": part,
        "least_result": part * kernel.norm,
        "least_largest": least,
        "least_bound": least * points,
    }
    return CHECK.filled(fields)
