"""Correlation in any number of dimensions, with any alignment; sums may be more precise than the result."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, TypeVar

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.checks import overlaps_itself
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.guarantees import RELATIVE
from fastconv._model.problem import correlation
from fastconv._planning.method_choice import LARGEST_KEPT, Choice
from fastconv._runtime.bounded_cache import kept, size_of
from fastconv._runtime.interruptible_numpy import converted
from fastconv._runtime.memory_maps import may_share_memory

Facts = TypeVar("Facts")


def kept_by_content(make: Callable[[np.ndarray], Facts]) -> Callable[[np.ndarray], Facts]:
    """Decorate a function of float64 weights to cache its results by their values, unless they are many."""

    @kept
    def from_content(content: bytes) -> Facts:
        return make(np.frombuffer(content))

    @functools.wraps(make)
    def find(weights: np.ndarray) -> Facts:
        return make(weights) if weights.nbytes > LARGEST_KEPT else from_content(weights.tobytes())

    return find


class Filter(NamedTuple):
    """A correlation: ``out[i] = sum_j weights[j] * x[i + first + j]``.

    Axis ``k`` of the weights lies along axis ``axes[k]`` of the input, ``firsts[k]`` is the sample under the first
    weight at output 0, and `boundary` the code of a boundary. Weights are not conjugated.
    """

    weights: np.ndarray
    axes: tuple[int, ...]
    firsts: tuple[int, ...]
    boundary: int
    fill_value: complex

    @property
    def has_no_zeros(self) -> bool:
        """True if no weight is zero; `numpy.all` would warn about a signalling NaN."""
        return np.count_nonzero(self.weights) == self.weights.size

    def squeezed(self, ndim: int) -> Filter:
        """Without axes of one weight; the last of `ndim` axes stays if there is no other."""
        shape = self.weights.shape
        if shape and 1 not in shape:
            return self
        left = [k for k, extent in enumerate(shape) if extent > 1]
        return self._replace(
            weights=self.weights.reshape([shape[k] for k in left] or [1]),
            axes=tuple(self.axes[k] for k in left) or (ndim - 1,),
            firsts=tuple(self.firsts[k] for k in left) or (0,),
        )


class _Engine(NamedTuple):
    """The choice for a correlation, and its engine if that does not depend on the weights."""

    choice: Choice
    only: Any

    @property
    def nbytes(self) -> int:
        return size_of(self.only)


@kept
def _engine(x_dtype, x_shape, kernel_dtype, kernel_shape, axes, firsts, boundary, fill_value, sums) -> _Engine:
    boundaries, arrays = (boundary,) * len(axes), (x_dtype, x_shape, kernel_dtype, kernel_shape)
    problem = correlation(*arrays, axes, firsts, boundaries, fill_value, sums, sums, guarantee=RELATIVE)  # as SciPy's
    choice = Choice(problem, "auto")
    return _Engine(choice, choice.only)


def is_apart(out: np.ndarray, x: np.ndarray) -> bool:
    """True if the engines can fill `out` from `x`: it has native byte order and shares no memory."""
    if out.base is None and x.base is None and out is not x and out.flags.c_contiguous and out.dtype.isnative:
        return True
    return out.dtype.isnative and not may_share_memory(out, x) and not overlaps_itself(out)


def correlate(x: np.ndarray, filter: Filter, out: np.ndarray, sums: np.dtype) -> str:
    """Fill `out` with sums of the type `sums`, and return the method.

    `x` has at least one element and one axis. `out` has its shape, shares no memory with it, and has native byte order
    and the type `sums` or a less precise one.
    """
    filter = filter.squeezed(x.ndim)
    weights, axes, firsts = filter.weights, filter.axes, filter.firsts
    boundary, fill_value = filter.boundary, filter.fill_value
    if weights.ndim > 2 and boundary == ZERO:  # stacks of planes leave out samples of `ZERO` where a weight is infinite
        boundary, fill_value = FILL, 0
    choice, only = _engine(x.dtype, x.shape, weights.dtype, weights.shape, axes, firsts, boundary, fill_value, sums)
    result = out if out.dtype == sums else np.empty(out.shape, sums)
    method = choice.run(only, x, weights, result, None)
    if result is not out:
        with np.errstate(all="ignore"):
            out[...] = result
    return method


def samples(x: np.ndarray, filter: Filter, block: tuple[slice, ...]) -> np.ndarray:
    """Return the samples that a block of outputs needs."""
    axes = filter.axes
    x = x[tuple(slice(None) if axis in axes else part for axis, part in enumerate(block))]
    for axis, first, extent in zip(axes, filter.firsts, filter.weights.shape):
        x = _taken(x, axis, block[axis].start + first, block[axis].stop + first + extent - 1, filter)
    return x


def _taken(x: np.ndarray, axis: int, start: int, stop: int, filter: Filter) -> np.ndarray:
    """Return the samples from `start` to `stop` along an axis, extended by the boundary."""
    extent, boundary = x.shape[axis], filter.boundary
    if 0 <= start and stop <= extent:
        return x[(slice(None),) * axis + (slice(start, stop),)]
    positions = np.arange(start, stop)
    indices = boundary_indices(positions, extent, boundary)
    taken = x.take(indices, axis)
    if boundary == FILL:
        taken = converted(taken, np.promote_types(x.dtype, np.float64))  # the fill value may not fit the samples' type
    if boundary in (ZERO, FILL):
        taken[(slice(None),) * axis + (positions != indices,)] = filter.fill_value
    return taken


# Elements of a block; several blocks fit into a cache.
_BLOCK = 1 << 14


def blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut an array into blocks of long lines."""
    if math.prod(shape) <= _BLOCK:
        yield tuple(slice(0, extent) for extent in shape)
        return
    budget, sizes = _BLOCK, []
    for extent in reversed(shape):
        sizes.append(max(1, min(extent, budget)))
        budget //= sizes[-1]
    for corner in itertools.product(*(range(0, extent, size) for extent, size in zip(shape, reversed(sizes)))):
        yield tuple(
            slice(start, min(start + size, extent)) for start, size, extent in zip(corner, reversed(sizes), shape)
        )
