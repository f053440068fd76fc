"""What a convolution costs by each method: nanoseconds on one core, estimated.

Figures were fitted to measurements with vectors of 256 bits. What matters is which method is the cheapest, and with
other vectors all of them gain or lose alike. The number of threads has no part in it, though it has some in the truth:
the choice of a method shows in the last bits of a result, and those must not depend on how many threads there are.
"""

from __future__ import annotations

import math

from fastconv._model.problem import Problem

_VECTOR = 32
# For a vector of so many bytes: to read and write it, and all else that does not depend on the kernel; and one tap.
_MOVE = 2.2
_TAP = 0.21
# The same for a kernel of one row, where no rows share what is loaded.
_LINE_TAP = 0.20
# For each vector, of two passes: what lies between them.
_BETWEEN = 2.0
# The same for two passes from pixels to pixels, and a tap of them.
_PIXELS = 2.2
_PIXEL_TAP = 0.16
_CALL = 4_000.0  # of any engine
_CALL_OF_PASSES = 3_000.0  # beside it
# A product of integers of 32 and 64 bits takes several instructions.
_INTEGER_TAP = {4: 3.0, 8: 8.0}


def _vectors(problem: Problem) -> float:
    """How many registers the result fills, parts of complex numbers and kernels counted."""
    parts = 2 if problem.x_dtype.kind == "c" else 1
    parts *= 2 if problem.kernel_dtype.kind == "c" else 1
    item = max(2, problem.sums.itemsize // (2 if problem.sums.kind == "c" else 1))
    if problem.sums.kind == "b":
        item = 4
    return math.prod(problem.out_shape) * parts * item / _VECTOR


def _tap(problem: Problem) -> float:
    """How much longer a tap takes than one of floats."""
    return _INTEGER_TAP.get(problem.sums.itemsize, 1.0) if problem.sums.kind in "iu" else 1.0


def direct(problem: Problem) -> float:
    """The direct engine's time."""
    rows = problem.kernel_shape[0] if len(problem.kernel_shape) == 2 else 1
    tap = _TAP if rows > 1 else _LINE_TAP
    return _CALL + _vectors(problem) * (_MOVE + _tap(problem) * tap * math.prod(problem.kernel_shape))


def separable(problem: Problem) -> float:
    """The separable engine's, if the kernel is an outer product."""
    rows, columns = problem.kernel_shape
    if problem.from_pixels:
        return _CALL + _CALL_OF_PASSES + _vectors(problem) * (_PIXELS + _PIXEL_TAP * (rows + columns))
    taps = _tap(problem) * (_LINE_TAP * columns + _TAP * rows)
    return _CALL + _CALL_OF_PASSES + _vectors(problem) * (_MOVE + _BETWEEN + taps)


def look_for_infinities(problem: Problem) -> float:
    """To see whether all of the input is finite."""
    if problem.x_dtype.kind not in "fc":
        return 0.0
    return _CALL + 0.15 * math.prod(problem.x_shape) * problem.x_dtype.itemsize
