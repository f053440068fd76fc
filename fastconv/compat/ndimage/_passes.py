"""Filters of `scipy.ndimage` that run in passes, each along one axis, with the bits of SciPy.

SciPy stores each pass in the type of the output: floats are rounded to it between two passes, integers truncated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._model.geometry import FILL
from fastconv._model.problem import Finish, correlation
from fastconv._model.separability import Separable
from fastconv._planning import separable_plans
from fastconv._planning.ndimage.nd_correlation import Filter, correlate, is_apart
from fastconv._planning.ndimage.scipy_order import correlate_lines
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices, copy
from fastconv.compat.ndimage._arguments import check_output, writable
from fastconv.compat.ndimage._truncation import average_whole, correlate_whole, wraps

_DOUBLE = np.dtype(np.float64)
_COMPLEX = np.dtype(np.complex128)
# Weights of two fused passes: more are slow to factor.
_MOST_FUSED = 1 << 16


class Facts(NamedTuple):
    """A `Pass` as a key of a cache."""

    axis: int
    content: bytes
    first: int
    boundary: int
    divisor: int

    @property
    def taps(self) -> int:
        return len(self.content) // _DOUBLE.itemsize


class Pass(NamedTuple):
    """A correlation along one axis; its sums are divided by `divisor`."""

    axis: int
    weights: np.ndarray
    first: int
    boundary: int
    fill_value: complex
    divisor: int = 1

    @property
    def filter(self) -> Filter:
        """The correlation, without the division."""
        return Filter(self.weights, (self.axis,), (self.first,), self.boundary, self.fill_value)

    @property
    def facts(self) -> Facts:
        """All but the fill value."""
        return Facts(self.axis, self.weights.tobytes(), self.first, self.boundary, self.divisor)


def run(x: np.ndarray, passes: list[Pass], out: np.ndarray, bits: bool) -> None:
    """Apply the passes, without divisors, to `x` in turn and store the result in `out`; they may share memory.

    Floats have SciPy's bits, or if not `bits` as many digits as the fastest method gives.
    """
    if not passes:
        assign(out, x)
        return
    check_output(out, x)
    out = writable(out, x.shape)
    if x.size == 0:
        return
    x, dtype = as_computed(x, out)
    target = out if out.dtype == dtype and is_apart(out, x) else np.empty(x.shape, dtype)
    _run_lines(x, passes, target, bits)
    if target is not out:
        store(target, out)


def _run_lines(x: np.ndarray, passes: list[Pass], out: np.ndarray, bits: bool, operation: str = "store") -> None:
    """Apply passes; `out`, of a type that is computed, is apart from `x`."""
    if not bits and out.dtype.kind in "fc":
        _run_fused(x, passes, out, fast_sums(x, out))
        return
    filters = [one.filter for one in passes]
    if operation == "store" and _wrap(x, filters, out):
        steps = [step for step, _ in _fused(passes)]
        if _wrap(x, steps, out):
            for number, step in enumerate(steps):
                target = out if number == len(steps) - 1 else np.empty(x.shape, out.dtype)
                correlate_whole(x, step, target)
                x = target
            return
    correlate_lines(x, filters, out, operation)


def _wrap(x: np.ndarray, filters: list[Filter], out: np.ndarray) -> bool:
    """Whether integer arithmetic, which wraps, gives the results of all filters: then it is faster."""
    return x.dtype.kind in "iu" and out.dtype.kind in "iu" and all(wraps(x.dtype, out.dtype, one) for one in filters)


def assign(out: np.ndarray, x: np.ndarray) -> None:
    """Compute ``out[...] = x``, without NumPy's warnings about numbers that the type of `out` cannot hold."""
    with np.errstate(all="ignore"):
        copy(out, x)


def as_computed(x: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.dtype]:
    """Return the input and the type of results: bools are computed as bytes."""
    x = x.view(np.uint8) if x.dtype.kind == "b" else x
    return x, np.dtype(np.uint8) if out.dtype.kind == "b" else out.dtype.newbyteorder("=")


def store(result: np.ndarray, out: np.ndarray) -> None:
    """Store a result in `out`, with 1 for every byte that is true."""
    for chunk in chunk_slices(out.shape):
        out[chunk] = result[chunk] != 0 if out.dtype.kind == "b" else result[chunk]


def average(x: np.ndarray, passes: list[Pass], out: np.ndarray) -> None:
    """`run` for averages: weights of 1, and divisors."""
    if not passes:
        assign(out, x)
        return
    check_output(out, x)
    out = writable(out, x.shape)
    if x.size == 0:
        return
    if out.dtype.kind in "fc":
        x, dtype = as_computed(x, out)
        target = out if is_apart(out, x) else np.empty(x.shape, dtype)
        _run_fused(x, passes, target, _COMPLEX if dtype.kind == "c" else _DOUBLE)
        if target is not out:
            assign(out, target)
    else:
        _average_in_integers(x, passes, out)


def fast_sums(x: np.ndarray, out: np.ndarray) -> np.dtype:
    """Type of sums without SciPy's bits: single precision if neither input nor result has more."""
    dtype = np.result_type(x.dtype, np.float32)
    return dtype if dtype == out.dtype else _COMPLEX if out.dtype.kind == "c" else _DOUBLE


def _run_fused(x: np.ndarray, passes: list[Pass], out: np.ndarray, sums: np.dtype) -> None:
    """Apply passes with sums of one type, unrounded in between; `out`, of floats, is apart from `x`."""
    if _are_one(passes):
        _volume_plan(x.dtype, x.shape, out.dtype, sums, tuple(one.facts for one in passes)).run(x, out, None)
        return
    steps = _fused(passes)
    for number, (step, divisor) in enumerate(steps):
        last = number == len(steps) - 1
        target = out if last else np.empty(x.shape, sums)
        correlate(x, step, target, sums)
        if divisor != 1:
            with np.errstate(all="ignore"):
                for part in (target.real, target.imag) if target.dtype.kind == "c" else (target,):
                    part /= divisor
        x = target


def _are_one(passes: list[Pass]) -> bool:
    """Whether passes are one kernel of three or more axes: not with a fill value, which later passes see filtered."""
    axes, boundaries = {one.axis for one in passes}, {one.boundary for one in passes}
    return len(passes) == len(axes) > 2 and len(boundaries) == 1 and FILL not in boundaries


@kept
def _volume_plan(x_dtype, shape, dtype, sums, facts: tuple[Facts, ...]) -> separable_plans.SeparablePlan:
    """The plan of passes that are one kernel of three or more axes."""
    divisor = math.prod(one.divisor for one in facts)
    taps, axes, firsts, boundaries = zip(*((one.taps, one.axis, one.first, one.boundary) for one in facts))
    finish = None if divisor == 1 else Finish(0.0, 1.0, float(divisor), 0.0)
    problem = correlation(x_dtype, shape, _DOUBLE, taps, axes, firsts, boundaries, 0.0, sums, dtype, finish=finish)
    kernel = Separable(tuple(np.frombuffer(one.content) for one in facts), _DOUBLE)
    return separable_plans.prepare(problem, kernel)


def _average_in_integers(x: np.ndarray, passes: list[Pass], out: np.ndarray) -> None:
    x, dtype = as_computed(x, out)
    for number, one in enumerate(passes):
        fits = number == len(passes) - 1 and out.dtype == dtype and is_apart(out, x)
        target = out if fits else np.empty(x.shape, dtype)
        average_whole(x, one.filter, target)
        x = target
    if x is not out:
        store(x, out)


def _fused(passes: list[Pass]) -> list[tuple[Filter, int]]:
    """Fuse pairs of passes where possible: not with a fill value, which the second pass would see filtered."""
    steps, rest = [], list(passes)
    while rest:
        one = rest.pop(0)
        if rest:
            other = rest[0]
            alike = one.boundary == other.boundary != FILL
            if alike and one.weights.size * other.weights.size <= _MOST_FUSED and one.axis != other.axis:
                rest.pop(0)
                one, other = (one, other) if one.axis < other.axis else (other, one)
                weights = np.multiply.outer(one.weights, other.weights)
                filter = Filter(weights, (one.axis, other.axis), (one.first, other.first), one.boundary, 0.0)
                steps.append((filter, one.divisor * other.divisor))
                continue
        steps.append((one.filter, one.divisor))
    return steps


def add_up(x: np.ndarray, parts: list[list[Pass]], out: np.ndarray, bits: bool, magnitude: bool = False) -> None:
    """Fill `out` with the sum of several filters of `x`, added in its type; they may share memory.

    For the `magnitude`, the root of the sum of squares.
    """
    check_output(out, x)
    out = writable(out, x.shape)
    if x.size == 0:
        return
    samples, dtype = as_computed(x, out)
    if out.dtype.kind == "b" or (magnitude and out.dtype.kind != "f") or not all(parts) or not bits:
        _add_arrays(x, parts, out, bits, magnitude)
        return
    total = out if out.dtype == dtype and is_apart(out, x) else np.empty(x.shape, dtype)
    cross = None if magnitude else _cross(parts)
    if cross is not None and _wrap(samples, [cross], total):
        correlate_whole(samples, cross, total)
        parts = []
    for number, part in enumerate(parts):
        if magnitude:
            operation = "square" if number == 0 else "root" if number == len(parts) - 1 else "add_square"
        else:
            operation = "add" if number else "store"
        _run_lines(samples, part, total, True, operation)
    if magnitude and len(parts) == 1:
        _take_root(total)
    if total is not out:
        assign(out, total)


def _take_root(array: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(array.shape):
            np.sqrt(array[chunk], out=array[chunk], casting="unsafe")


def _add_arrays(x: np.ndarray, parts: list[list[Pass]], out: np.ndarray, bits: bool, magnitude: bool) -> None:
    """`add_up` by NumPy: for types that have squares and roots of their own, parts without a pass, and other bits."""
    total = np.empty(x.shape, out.dtype.newbyteorder("="))
    for number, part in enumerate(parts):
        found = np.empty_like(total) if number else total
        run(x, part, found, bits)
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(x.shape):
                if magnitude:
                    found[chunk] *= found[chunk]
                if number:
                    total[chunk] += found[chunk]
    if magnitude:
        _take_root(total)
    assign(out, total)


def _cross(parts: list[list[Pass]]) -> Filter | None:
    """Return the sum of two parts of one pass, along different axes, as one correlation; None for any others."""
    if [len(part) for part in parts] != [1, 1]:
        return None
    one, other = sorted((part[0] for part in parts), key=lambda found: found.axis)
    if (one.boundary, one.fill_value) != (other.boundary, other.fill_value):
        return None
    weights = np.zeros((one.weights.size, other.weights.size))
    weights[:, -other.first] += one.weights
    weights[-one.first] += other.weights
    return Filter(weights, (one.axis, other.axis), (one.first, other.first), one.boundary, one.fill_value)
