"""Filters of `scipy.ndimage` that run in passes, each along one axis.

Between passes SciPy stores the output's type. If that is a float, two passes can be fused to one correlation along two
axes with double sums, without loss; if it is an integer, each pass truncates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv._model.geometry import FILL
from fastconv._planning.nd_correlation import Filter, correlate, is_apart
from fastconv._runtime.interruptible_numpy import is_finite
from fastconv.compat.ndimage._arguments import check_output, writable
from fastconv.compat.ndimage._truncation import average_whole, correlate_whole, wraps

_DOUBLE = np.dtype(np.float64)
_COMPLEX = np.dtype(np.complex128)
# Weights of two fused passes: more are slow to factor.
_MOST_FUSED = 1 << 16


class Pass(NamedTuple):
    """A correlation along one axis; its sums are divided by `divisor`."""

    axis: int
    weights: np.ndarray
    first: int
    boundary: int
    fill_value: complex
    divisor: int = 1


def run(x: np.ndarray, passes: list[Pass], out: np.ndarray) -> None:
    """Apply the passes to `x` in turn and store the result in `out`; they may share memory."""
    if not passes:
        assign(out, x)
        return
    check_output(out, x)
    out = writable(out, x.shape)
    if x.size == 0:
        return
    if x.dtype.kind == "b":
        x = x.view(np.uint8)
    if out.dtype.kind in "fc":
        _run_in_floats(x, passes, out)
    else:
        _run_in_integers(x, passes, out)


def assign(out: np.ndarray, x: np.ndarray) -> None:
    """Compute ``out[...] = x``, without NumPy's warnings about numbers that the type of `out` cannot hold."""
    with np.errstate(all="ignore"):
        out[...] = x


def _run_in_floats(x: np.ndarray, passes: list[Pass], out: np.ndarray) -> None:
    sums = _COMPLEX if out.dtype.kind == "c" else _DOUBLE
    steps = _fused(passes)
    for number, (step, divisor) in enumerate(steps):
        last = number == len(steps) - 1
        target = out if last and is_apart(out, x) else np.empty(x.shape, out.dtype if last else sums)
        correlate(x, step, target, sums)
        if divisor != 1:
            with np.errstate(all="ignore"):
                target /= divisor
        x = target
    if x is not out:
        out[...] = x


def _run_in_integers(x: np.ndarray, passes: list[Pass], out: np.ndarray) -> None:
    # Bools are computed as bytes.
    dtype = np.dtype(np.uint8) if out.dtype.kind == "b" else out.dtype.newbyteorder("=")
    steps = _fused(passes)
    if not (x.dtype.kind in "iu" and all(divisor == 1 and wraps(x.dtype, dtype, step) for step, divisor in steps)):
        steps = [_step(one) for one in passes]
    for number, (step, divisor) in enumerate(steps):
        fits = number == len(steps) - 1 and out.dtype == dtype and is_apart(out, x)
        target = out if fits else np.empty(x.shape, dtype)
        if divisor == 1:
            correlate_whole(x, step, target, line=True)
        else:
            average_whole(x, step, target)
        x = target
    if x is not out:
        out[...] = x != 0 if out.dtype.kind == "b" else x


def _step(one: Pass) -> tuple[Filter, int]:
    return Filter(one.weights, (one.axis,), (one.first,), one.boundary, one.fill_value), one.divisor


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
        steps.append(_step(one))
    return steps


def add_up(x: np.ndarray, parts: list[list[Pass]], out: np.ndarray) -> None:
    """Fill `out` with the sum of several filters of `x`, added in its type; they may share memory."""
    check_output(out, x)
    out = writable(out, x.shape)
    if x.size == 0:
        return
    total = None
    for part in parts:
        found = np.empty(x.shape, out.dtype.newbyteorder("="))
        run(x, part, found)
        if total is None:
            total = found
        else:
            with np.errstate(all="ignore"):
                total += found
    out[...] = total


def add_lines(x: np.ndarray, lines: list[Pass], out: np.ndarray) -> None:
    """`add_up` of single passes, two at a time as a cross of weights where that does not change the result."""
    check_output(out, x)
    out = writable(out, x.shape)
    if x.size == 0:
        return
    samples = x.view(np.uint8) if x.dtype.kind == "b" else x
    sums = {"f": _DOUBLE, "c": _COMPLEX}.get(out.dtype.kind, out.dtype.newbyteorder("="))
    crosses = [_cross(*pair) for pair in zip(lines[::2], lines[1::2])]
    steps = [cross for cross in crosses if cross is not None]
    narrow = out.dtype.kind in "iu" and all(wraps(samples.dtype, sums, step) for step in steps)
    total = None
    if steps and len(steps) == len(crosses) and (out.dtype.kind in "fc" or narrow):
        for step in steps + [_step(line)[0] for line in lines[2 * len(steps) :]]:
            found = out if len(lines) == 2 and is_apart(out, x) else np.empty(x.shape, sums)
            if narrow:
                correlate_whole(samples, step, found, line=False)
            else:
                correlate(samples, step, found, sums)
            with np.errstate(all="ignore"):
                total = found if total is None else np.add(total, found, out=total)
    if total is None or not is_finite(total):  # the zero weights in the corners of a cross would spread NaN
        add_up(x, [[line] for line in lines], out)
    elif total is not out:
        assign(out, total)


def _cross(one: Pass, other: Pass) -> Filter | None:
    """Return the sum of two passes along different axes as one correlation; None if their boundaries differ."""
    if one.axis > other.axis:
        one, other = other, one
    if (one.boundary, one.fill_value) != (other.boundary, other.fill_value):
        return None
    weights = np.zeros((one.weights.size, other.weights.size))
    weights[:, -other.first] += one.weights
    weights[-one.first] += other.weights
    return Filter(weights, (one.axis, other.axis), (one.first, other.first), one.boundary, one.fill_value)
