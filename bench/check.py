"""Check that a side computes the correct result before it is timed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import data
from bench.cases import Case
from bench.rivals import Side
from tests.oracle import exact_at

_POINTS = 24


class ResultsDiffer(AssertionError):
    """The result of a library is wrong, so its time must not be reported."""


def check_ours(case: Case, result: Any) -> NDArray:
    """Return `result` as an array after comparing corners and random points with `fastconv.reference`."""
    result = np.asarray(result)
    random = np.random.default_rng(data.SEED)
    corners = [tuple(n - 1 if bit >> axis & 1 else 0 for axis, n in enumerate(case.out_shape)) for bit in (0, 1, 2, 7)]
    # Fewer points for a large kernel: the reference is a Python loop.
    count = max(2, min(_POINTS, 200_000 // math.prod(case.kernel_shape)))
    points = corners + [tuple(random.integers(0, case.out_shape)) for _ in range(count)]
    # A pixel is the nearest integer to the sum, up to the float32 rounding of halves.
    tolerance = 0.5 + 1e-3 if case.is_picture else tolerance_of(case)
    for point in points:
        expected = _definition(case, point)
        if not abs(float(result[point]) - expected) <= tolerance:
            raise ResultsDiffer(
                f"{case.name}: at {tuple(map(int, point))} fastconv has {result[point]}, its reference {expected}"
            )
    return result


def _definition(case: Case, point: tuple[int, ...]) -> float:
    """Compute one element of the result by the reference."""
    image, kernel = data.inputs(case).image, data.dilated_kernel(case)
    if case.own_kernels:
        kernel = kernel[point[0]]
    place = [index * case.stride if axis in case.axes else index for axis, index in enumerate(point)]
    exact, _ = exact_at(place, image, kernel, case.mode, case.boundary, case.axes)
    total = int(exact) if np.issubdtype(case.dtype, np.integer) and not case.is_picture else float(exact)
    if case.is_picture:
        return min(max(total, 0), 255)
    if np.issubdtype(case.dtype, np.integer):  # wraps
        return int(np.array(total % 2 ** (8 * np.dtype(case.dtype).itemsize), np.uint64).astype(case.dtype))
    return total


def check_same(case: Case, side: Side, result: Any, expected: NDArray) -> None:
    """Raise `ResultsDiffer` unless the `result` of a rival equals ours, `expected`, up to rounding."""
    result = np.asarray(result)
    result = result.reshape(expected.shape) if result.size == expected.size else result
    if result.shape != expected.shape or result.dtype != expected.dtype:
        raise ResultsDiffer(
            f"{case.name}: {side.name} returned {result.dtype} of shape {result.shape}, "
            f"fastconv {expected.dtype} of shape {expected.shape}"
        )
    if side.margin:
        inside = tuple(slice(taps // 2, -(taps // 2)) for taps in case.kernel_shape)
        result, expected = result[inside], expected[inside]
    if expected.dtype.kind == "f":
        worst, tolerance = float(np.abs(result - expected).max()), 2 * tolerance_of(case)
    else:
        # Subtract the smaller pixel from the larger one, so that nothing wraps.
        apart = np.maximum(result, expected) - np.minimum(result, expected)
        worst, tolerance = float(apart.max()), float(side.levels)
    if not worst <= tolerance:  # also true for NaN
        raise ResultsDiffer(
            f"{case.name}: {side.name} and fastconv differ by up to {worst:g}, and may differ by {tolerance:g}"
        )


def tolerance_of(case: Case) -> float:
    """Return the allowed error: that of rounding errors of random sign, which is far less than the results.

    It is some ``sqrt(n) * eps`` times a product for a sum of n products [1]_, and ``log2(size) * eps`` times a norm of
    the kernel and the data for a transform [2]_. The data have mean 0 (except pictures and Gaussians, whose kernels sum
    to 1), so the results are about as large as that norm. The largest measured error is a sixth of this bound. Integers
    are exact.

    .. [1] N. J. Higham and T. Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 41
       (2019), A2815-A2835.
    .. [2] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 24.1.
    """
    if not np.issubdtype(case.dtype, np.floating):
        return 0
    image, kernel = data.inputs(case)
    eps = float(np.finfo(case.dtype).eps)
    steps = math.sqrt(kernel.size) + math.log2(image.size)
    return 4 * steps * eps * float(np.abs(image).max()) * float(np.linalg.norm(kernel.astype(float)))
