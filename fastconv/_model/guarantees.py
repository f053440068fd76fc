"""What is guaranteed of the error of results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastconv._model.problem import Problem

# Bounds of the error of results that come by way of a spectrum. RAW: relative to all of a tile. FOOTPRINT: relative to
# the samples under the kernel; along one axis, as RELATIVE. RELATIVE: relative to the result where the kernel and the
# samples of a tile have one sign, along one axis those of a line in it, and else as FOOTPRINT.
RAW, FOOTPRINT, RELATIVE = range(3)

# The error of a transform is at most ``MARGIN * eps * norm(kernel) * norm(x)``, measured: see `docs/accuracy.md`.
MARGIN = 8

# The method for an outer product of a line along the first of three axes and a matrix along the others.
PARTLY = "partly separable"

# Bits that the error of a result of so many bytes may be larger than its eps, relative to what is under the kernel.
LOST_BITS = {4: 13, 8: 20}


def in_words(problem: Problem, method: str) -> str:
    """What is guaranteed of the error of each result of a problem by a method."""
    sums, taps = problem.sums, problem.kernel_shape
    if sums.kind in "iub":
        return "exact modulo the range of the integers" if sums.kind != "b" else "exact"
    if sums.kind not in "fc":
        return "errors are those of NumPy's sums"
    if method != "fft":
        if method not in ("separable", PARTLY):
            return f"errors are at most {math.prod(taps)} eps of the sum of the sizes of all products"
        # Factors may differ from a kernel by its own rounding.
        kernel = problem.kernel_dtype
        coarse = kernel.kind == "f" and np.finfo(kernel).eps > np.finfo(sums).eps
        unit = f"eps of {kernel.newbyteorder('=')}" if coarse else "eps"
        added = sum(taps) if method == "separable" else taps[0] + math.prod(taps[1:])
        return f"errors are at most {added + 4} {unit} of the sum of the sizes of all products"
    if problem.guarantee == RAW:
        return "errors are not checked, and relative to the largest samples nearby"
    real = sums.itemsize // (2 if sums.kind == "c" else 1)
    part = 2.0 ** LOST_BITS[real] * float(np.finfo(sums).eps)
    words = f"errors are at most {part:.1g} of the kernel's norm times that of the samples under it"
    if len(problem.axes) == 1:
        words += ", or of the result where the kernel and a line of the input have one sign"
    elif problem.guarantee == RELATIVE:
        words += ", or of the result where the kernel and the whole input have one sign"
    return words
