"""Input that is smaller than its kernel, by way of a spectrum along two axes: operands are exchanged, and checked.

The error is then at most ``MARGIN * eps * norm(kernel) * norm(x)``, with the norm of the whole input. That is within
the footprint rule for every result whose footprint holds ``MARGIN / 2**LOST_BITS`` of that norm. The kernel, the larger
one along both axes, covers the first rows and columns of the input, or the last, or all. So footprints that hold too
little are those of results near the corners; these depend on the corners of both operands alone, and are summed
directly.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from fastconv._model.guarantees import LOST_BITS, MARGIN
from fastconv._model.problem import Problem
from fastconv._planning.method_choice import choice
from fastconv._runtime.interruptible_numpy import chunk_slices

# Products in the corners, for each result, that take less time than the transforms.
MOST_PRODUCTS = 32
# The largest numbers are so many times as large as the smallest normal one, at least: below, transforms lose digits.
_LEAST = 2.0**64


class Corner(NamedTuple):
    """Rows and columns at a corner of a result; the steps lead away from it."""

    down: int
    across: int
    rows: int
    columns: int


class Flaws(NamedTuple):
    """What is to be mended in a result: its corners, and the sign that all of it has, or 0."""

    corners: list[Corner]
    sign: int


def find(problem: Problem, x: np.ndarray, kernel: np.ndarray) -> Flaws | None:
    """What the exchange of operands leaves to mend in a result; None if it does not pay, or digits would be lost."""
    info = np.finfo(problem.sums)
    least = _LEAST * float(info.tiny)
    (largest, sign), (weight, other) = _largest(x), _largest(kernel)
    if largest == 0 or not math.isfinite(largest):  # exact zeros, or computed directly
        return Flaws([], 0)
    if not min(largest, weight, largest * weight) >= least:
        return None
    limit = MARGIN / 2.0 ** LOST_BITS[info.bits // 8] * _norm(x, largest)
    found, products = [], 0
    for down, across in itertools.product((1, -1), repeat=2):
        part = x[::down, ::across]
        side, rows, columns = _square(part, largest, limit), _count(part[:, 0], largest, limit), 0
        if side is None or rows == len(x):
            return None
        if side:  # all footprints with more rows and more columns hold enough
            columns = _count(part[0], largest, limit)
            if columns == len(part[0]):
                return None
            found += [Corner(down, across, side, columns), Corner(down, across, rows, side)]
            products += (side * columns) ** 2 + (rows * side) ** 2
    return Flaws(found, sign * other) if products <= MOST_PRODUCTS * math.prod(problem.out_shape) else None


def mend(problem: Problem, found: Flaws, x, kernel, out, workers: int | None) -> None:
    """Compute the corners of the result of an exchanged `problem` directly, and clamp all of it if it has one sign.

    Axes of `x` and `kernel` are those of `out`.
    """
    starts = dict(zip(problem.axes, problem.starts))
    for corner in found.corners:
        shape = corner.rows, corner.columns
        some, taps = (array[:: corner.down, :: corner.across][: shape[0], : shape[1]] for array in (kernel, x))
        part = np.empty(shape, out.dtype)
        alone = problem._replace(x_shape=shape, kernel_shape=shape, out_shape=shape, axes=(0, 1), starts=(0, 0))
        direct = choice(alone, "direct")
        direct.run(direct.only, some, taps, part, workers)
        spans = [
            _span(step, extent, n + m - 1, starts[axis], outputs)
            for axis, (step, extent, n, m, outputs) in enumerate(
                zip((corner.down, corner.across), shape, x.shape, kernel.shape, out.shape)
            )
        ]
        (into, rows), (aside, columns) = spans
        out[into, aside] = part[:: corner.down, :: corner.across][rows, columns]
    if found.sign:
        bound = np.maximum if found.sign > 0 else np.minimum
        for chunk in chunk_slices(out.shape):
            bound(out[chunk], 0, out=out[chunk])


def _span(step: int, extent: int, full: int, start: int, outputs: int) -> tuple[slice, slice]:
    """Where a corner lies along an axis of a result that begins at `start` of the full one; and which part of it."""
    begin = (0 if step > 0 else full - extent) - start
    low, high = max(0, begin), max(0, min(outputs, begin + extent))
    return slice(low, max(low, high)), slice(low - begin, max(low, high) - begin)


def _largest(array: np.ndarray) -> tuple[float, int]:
    """The largest size of a number, or of its part; and the sign of all, 0 if they have both or are complex."""
    high, low = 0.0, 0.0
    with np.errstate(invalid="ignore"):
        for chunk in chunk_slices(array.shape):
            for part in (array[chunk].real, array[chunk].imag) if array.dtype.kind == "c" else (array[chunk],):
                high, low = max(high, float(part.max())), min(low, float(part.min()))
                if math.isnan(float(part.max())):
                    return math.nan, 0
    sign = 0 if array.dtype.kind == "c" or (high > 0 and low < 0) else -1 if low < 0 else 1
    return max(high, -low), sign


def _squares(part: np.ndarray, largest: float) -> np.ndarray:
    """Squares of sizes relative to the largest one."""
    with np.errstate(under="ignore"):
        return np.square(np.abs(part.astype(np.complex128 if part.dtype.kind == "c" else np.float64)) / largest)


def _norm(x: np.ndarray, largest: float) -> float:
    return math.sqrt(sum(float(_squares(x[chunk], largest).sum()) for chunk in chunk_slices(x.shape)))


def _count(line: np.ndarray, largest: float, limit: float) -> int:
    """How many samples in front of a line have a smaller norm than the limit."""
    return int(np.searchsorted(np.cumsum(_squares(line, largest)), limit * limit))


def _square(part: np.ndarray, largest: float, limit: float) -> int | None:
    """The side of a square in the corner, so that all larger ones have at least the limit as norm; None if none has."""
    side, most = 0, min(part.shape)
    while not _squares(part[: side + 1, : side + 1], largest).sum() >= limit * limit:
        if side + 1 >= most:
            return None
        side = min(2 * side + 1, most - 1)
    return side
