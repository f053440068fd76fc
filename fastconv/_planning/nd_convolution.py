"""Convolution along any number of axes, as sums of convolutions along two.

The engine takes the two axes with the most taps; along all others the kernel is split into slices, and the input is
shifted. Arguments are checked before: both arrays have the same number of dimensions, and are not empty.
"""

from __future__ import annotations

import itertools
import math
from typing import Sequence

import numpy as np

from fastconv._model.geometry import span
from fastconv._planning.plans import Plan, find
from fastconv._runtime.interruptible_numpy import converted

_SINGLE = np.dtype(np.float32)


def run(x, kernel, mode, axes, method, boundary="zero", fill_value=0, flip=True) -> np.ndarray:
    """Convolve along one or two axes, into a new array.

    The method 'direct' also allows two separable passes: unlike a transform, they add no rounding errors of distant
    samples. For integers it allows all methods, which are exact.
    """
    if method == "direct" and np.result_type(x.dtype, kernel.dtype).kind in "iu":
        method = "auto"

    def plan_for(method) -> Plan:
        return find("in1", x.dtype, x.shape, kernel.dtype, kernel.shape, mode, axes, boundary, fill_value, method, flip)

    if method == "direct" and len(axes) == 2:
        plan = plan_for("auto")
        if plan.method == "fft":
            if kernel.dtype.kind != "c" and kernel.size <= x.size:
                try:
                    plan = plan_for("separable")
                    result = np.empty(plan.shape, plan.dtype)
                    plan(x, kernel, result, None)
                    return result
                except ValueError:  # the kernel is not an outer product
                    pass
            plan = plan_for("direct")
    else:
        plan = plan_for(method)
    result = np.empty(plan.shape, plan.dtype)
    plan(x, kernel, result, None)
    return result


def split(shape: Sequence[int]) -> tuple[list[int], tuple[int, ...]]:
    """Axes along which a kernel of this shape is split into slices, and the one or two that the engine takes."""
    axes = [axis for axis, extent in enumerate(shape) if extent > 1] or [len(shape) - 1]
    together = sorted(sorted(axes, key=shape.__getitem__)[-2:])
    return [axis for axis in axes if axis not in together], tuple(together)


def convolve(x: np.ndarray, kernel: np.ndarray, mode: str, method: str) -> np.ndarray:
    """Convolve along all axes; nothing lies outside of `x`.

    In mode 'valid' `x` must be at least as large as `kernel` along each axis. Axes on which the kernel has one tap are
    a batch.
    """
    if mode != "valid" and x.ndim > 2 and kernel.size > x.size:  # the smaller array has fewer slices
        if mode == "full":
            return convolve(kernel, x, mode, method)
        spans = [span(mode, samples, taps) for samples, taps in zip(x.shape, kernel.shape)]
        within = tuple(slice(start, start + length) for length, start in spans)
        return np.ascontiguousarray(convolve(kernel, x, "full", method)[within])
    apart, together = split(kernel.shape)
    if not apart:
        return run(x, kernel.reshape([kernel.shape[axis] for axis in together]), mode, together, method)

    dtype = np.result_type(x, kernel)
    if dtype.char == "e":  # sum in single precision, round once
        result = convolve(converted(x, _SINGLE), converted(kernel, _SINGLE), mode, method)
        with np.errstate(all="ignore"):
            return result.astype(dtype)
    spans = [span(mode, samples, taps) for samples, taps in zip(x.shape, kernel.shape)]
    out = np.zeros([length for length, _ in spans], dtype)
    taps_shape = [kernel.shape[axis] for axis in together]
    for taps in itertools.product(*(range(kernel.shape[axis]) for axis in apart)):
        chosen, source, target = ([slice(None)] * x.ndim for _ in range(3))
        for axis, tap in zip(apart, taps):
            length, start = spans[axis]
            first = max(0, tap - start)
            last = min(length, x.shape[axis] + tap - start)
            chosen[axis] = slice(tap, tap + 1)
            source[axis] = slice(first + start - tap, last + start - tap)
            target[axis] = slice(first, last)
        part = kernel[tuple(chosen)].reshape(taps_shape)
        if x.dtype.kind in "iub" and not part.any():
            continue
        if all(piece.start is None or piece.start < piece.stop for piece in target):
            with np.errstate(all="ignore"):
                out[tuple(target)] += run(x[tuple(source)], part, mode, together, method)
    return out


def convolve_batches(x: np.ndarray, kernel: np.ndarray, mode: str, axes: list[int], method: str) -> np.ndarray:
    """Convolve along `axes` only; both arrays are broadcast along the others, so each position has its own kernel.

    In mode 'valid' `x` must be at least as large as `kernel` along `axes`; the method is 'auto' or 'fft'.
    """
    batch = [axis for axis in range(x.ndim) if axis not in axes]
    if all(kernel.shape[axis] == 1 for axis in batch):
        return convolve(x, kernel, mode, method)
    if mode == "full" and all(x.shape[axis] == 1 for axis in batch):
        return convolve(kernel, x, mode, method)
    own = [axis for axis in batch if kernel.shape[axis] > 1]
    shape = [max(x.shape[axis], kernel.shape[axis]) for axis in range(x.ndim)]
    for axis in axes:
        shape[axis] = span(mode, x.shape[axis], kernel.shape[axis]).length
    out = np.empty(shape, np.result_type(x, kernel))
    apart, together = split([1 if axis in own else extent for axis, extent in enumerate(kernel.shape)])
    taps = [kernel.shape[axis] for axis in together]
    plan = None
    for place in itertools.product(*(range(kernel.shape[axis]) for axis in own)):
        part, source = [slice(None)] * x.ndim, [slice(None)] * x.ndim
        for axis, index in zip(own, place):
            part[axis] = slice(index, index + 1)
            source[axis] = part[axis] if x.shape[axis] > 1 else slice(None)
        samples, weights = x[tuple(source)], kernel[tuple(part)]
        if apart:
            out[tuple(part)] = convolve(samples, weights, mode, method)
            continue
        weights = weights.reshape(taps)
        if plan is None:  # one plan for all batches, whose shapes are equal
            plan = find(
                "in1", x.dtype, samples.shape, weights.dtype, weights.shape, mode, together, "zero", 0, method, True
            )
        plan(samples, weights, out[tuple(part)], None)
    return out


def usual_method(x: np.ndarray, kernel: np.ndarray, mode: str) -> str:
    """The method that `convolve` would use for its convolutions along one or two axes."""
    if mode != "valid" and math.prod(kernel.shape) > math.prod(x.shape):
        x, kernel, mode = kernel, x, "full"
    apart, together = split(kernel.shape)
    part = kernel[tuple(slice(0, 1) if axis in apart else slice(None) for axis in range(kernel.ndim))]
    part = part.reshape([kernel.shape[axis] for axis in together])
    return find("in1", x.dtype, x.shape, part.dtype, part.shape, mode, together, "zero", 0, "auto", True).method
