"""Before a side is timed: does it compute what the others compute?"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import data
from bench.cases import Case
from bench.rivals import Side
from fastconv import reference

_POINTS = 24


class ResultsDiffer(AssertionError):
    """A library did not compute the case, and its speed would say nothing."""


def check_ours(case: Case, result: Any) -> NDArray:
    """`result` as an array, if at some points, the corners among them, it is what `fastconv.reference` computes."""
    result = np.asarray(result)
    random = np.random.default_rng(data.SEED)
    corners = [tuple(n - 1 if bit >> axis & 1 else 0 for axis, n in enumerate(case.out_shape)) for bit in (0, 1, 2, 7)]
    # Few points of a large kernel: the reference is a loop in Python.
    count = max(2, min(_POINTS, 200_000 // math.prod(case.kernel_shape)))
    points = corners + [tuple(random.integers(0, case.out_shape)) for _ in range(count)]
    # A pixel is the nearest to the sum, but for what float32 makes of a half.
    tolerance = 0.5 + 1e-3 if case.is_picture else _tolerance(case)
    for point in points:
        expected = _definition(case, point)
        if not abs(float(result[point]) - expected) <= tolerance:
            raise ResultsDiffer(
                f"{case.name}: at {tuple(map(int, point))} fastconv has {result[point]}, its reference {expected}"
            )
    return result


def _definition(case: Case, point: tuple[int, ...]) -> float:
    """One element of the result, by the reference."""
    image, kernel = data.inputs(case)
    if kernel.ndim == 1:
        axes: tuple[int, ...] = (case.axis % image.ndim,)
    else:
        axes = (0, 1)
    corner = [(taps - 1) // 2 if case.mode == "same" else 0 for taps in case.kernel_shape]
    neighbours = [
        [reference.source_index(point[axis] + start - tap, image.shape[axis], case.boundary) for tap in range(taps)]
        for axis, start, taps in zip(axes, corner, case.kernel_shape)
    ]
    there = [[tap for tap, place in enumerate(places) if place is not None] for places in neighbours]
    whole: list[Any] = list(point)
    products = []
    for tap in itertools.product(*there):
        for axis, places, index in zip(axes, neighbours, tap):
            whole[axis] = places[index]
        products.append(image[tuple(whole)].item() * kernel[tap].item())
    total = math.fsum(products) if isinstance(products[0], float) else sum(products)
    if case.is_picture:
        return min(max(total, 0), 255)
    if np.issubdtype(case.dtype, np.integer):  # wraps
        return int(np.array(total % 2 ** (8 * np.dtype(case.dtype).itemsize), np.uint64).astype(case.dtype))
    return total


def check_same(case: Case, side: Side, result: Any, expected: NDArray) -> None:
    """Raise `ResultsDiffer` unless `result`, a rival's, is `expected`, ours, within what rounding explains."""
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
        worst, tolerance = float(np.abs(result - expected).max()), 2 * _tolerance(case)
    else:
        # Of two pixels the larger minus the smaller: neither may wrap.
        apart = np.maximum(result, expected) - np.minimum(result, expected)
        worst, tolerance = float(apart.max()), float(side.levels)
    if not worst <= tolerance:  # also if it is not a number
        raise ResultsDiffer(
            f"{case.name}: {side.name} and fastconv differ by up to {worst:g}, and may differ by {tolerance:g}"
        )


def _tolerance(case: Case) -> float:
    """How far a result may be off: what roundings of random sign leave, and far less than the results.

    Of a sum of n products they leave some ``sqrt(n) * eps`` times a product [1]_, and of a transform
    ``log2(size) * eps`` times a norm of the kernel and the data [2]_. The data have the mean 0 (but for pictures and
    Gaussians, whose kernels have the sum 1), so the results are about as large as that norm. The worst of what is
    measured here is at a sixth of it. Integers are exact.

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
