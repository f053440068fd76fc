"""Outputs of the separable engines that are infinite or NaN: recomputed, unless no order of the sums matters."""

from __future__ import annotations

import itertools
from typing import Callable

import numpy as np

from fastconv._model.problem import Problem
from fastconv._model.separability import Separable
from fastconv._runtime import interruptible_numpy, memory_maps
from fastconv._runtime.instrumentation import listeners, notify

# Computes the part of an output between slices: see `direct.compute_part`.
ComputePart = Callable[[Problem, "tuple[slice, ...]", np.ndarray, np.ndarray, np.ndarray, "int | None"], None]


def order_is_free(x: np.ndarray, kernel: np.ndarray | Separable, weights: np.ndarray) -> bool:
    """True if results that are not finite are those of the direct engine whatever the order of the sums.

    That is so for positive factors if no finite sum overflows. Else one NaN under a large Gaussian would cost as many
    products as the outer product has taps.
    """
    if not isinstance(kernel, Separable) or x.dtype.kind != "f" or not (weights > 0).all():
        return False
    largest = 0.0
    for chunk in interruptible_numpy.chunk_slices(x.shape):
        part = np.abs(x[chunk])
        largest = max(largest, float(part.max(initial=0, where=np.isfinite(part))))
    return 4 * kernel.total() * largest < float(np.finfo(weights.dtype).max)


def repair(
    problem: Problem,
    x: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    workers: int | None,
    compute_part: ComputePart,
) -> None:
    """Recompute results that are not finite directly, a block at a time."""
    if listeners:
        notify("repair", method="separable")
    sizes = [1] * out.ndim
    for axis, size in zip(problem.axes, (*[_PLANES] * (len(problem.axes) - 2), *_REPAIRED_AT_ONCE)):
        sizes[axis] = size
    if problem.finish is not None and problem.finish.premultiplied:  # colours depend on alpha
        sizes[-1] = out.shape[-1]
    found = memory_maps.mapped(x, out)
    for corner in itertools.product(*(range(0, extent, size) for extent, size in zip(out.shape, sizes))):
        part = out[tuple(slice(start, start + size) for start, size in zip(corner, sizes))]
        not_finite = ~np.isfinite(part)
        if found is not None:
            found.release_pages()
        if not not_finite.any():
            continue
        # Only from the first to the last of them along each axis.
        where = [slice(start, start + size) for start, size in zip(corner, sizes)]
        for axis in problem.axes:
            others = tuple(other for other in range(out.ndim) if other != axis)
            places = corner[axis] + np.flatnonzero(not_finite.any(axis=others))
            where[axis] = slice(int(places[0]), int(places[-1]) + 1)
        part = out[tuple(where)]
        direct = np.empty(part.shape, problem.dtype)
        compute_part(problem, tuple(where), x, kernel, direct, workers)
        np.copyto(part, direct, where=~np.isfinite(part))


# Rows and columns, and planes of volumes.
_REPAIRED_AT_ONCE = (256, 1024)
_PLANES = 4
