"""Zeros around an array: find them, and reduce a problem to what they surround.

Where nothing lies outside, or only zeros do, results without a sample other than zero are zeros: exact ones, and
positive, as all sums start from 0. A NaN is not zero. Zeros under a kernel that is not finite are NaNs, and must count.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines import cost_model
from fastconv._model.geometry import MIRROR, NEAREST, REFLECT, WRAP, ZERO
from fastconv._model.guarantees import PARTLY
from fastconv._model.problem import Problem
from fastconv._runtime import memory_maps
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._runtime.interruptible_numpy import chunk_slices

Ranges = tuple[tuple[int, int], ...]

# Elements of the second look, after that at one line, and of the largest; each is four times the one before.
SECOND_LOOK = 1 << 12
LARGEST_LOOK = 1 << 16
# The largest share of the work that is worth another problem.
_WORTHWHILE = 0.75
# The least share of an axis that zeros at one of its ends have then.
LEAST = 1 / 16


def may_have_zeros_around(array: np.ndarray, axes: tuple[int, ...], least: float = 0) -> bool:
    """Look at a few elements; False if they show that no end of an axis has more zeros than this share of it."""
    _pins = pinned(array)
    if array.item(0) and array.item(-1):
        return False
    for axis in axes:
        depth = int(least * array.shape[axis])
        for index in (depth, -1 - depth):
            line = array[(slice(None),) * axis + (index,)]
            if not line.item(line.size // 2):
                return True
    return False


def nonzero_ranges(array: np.ndarray, axes: tuple[int, ...], least: float = 0) -> Ranges | None:
    """Range along each of `axes` outside of which all elements are zero; None if there are no zeros around.

    All ranges are empty if there is nothing but zeros. Only the zeros, and some elements beside them, are read. It may
    also return None if the zeros at each end of an axis are at most the `least` share of it.
    """
    if not may_have_zeros_around(array, axes, least):
        return None
    maps, found, inner = memory_maps.mapped(array), [], array
    for axis in axes:
        lines = np.moveaxis(inner, axis, 0)
        first = _zero_lines(lines, False, maps)
        if first == len(lines):
            return ((0, 0),) * len(axes)
        found.append((first, len(lines) - _zero_lines(lines, True, maps)))
        inner = inner[(slice(None),) * axis + (slice(*found[-1]),)]
    return None if inner.shape == array.shape else tuple(found)


def _zero_lines(lines: np.ndarray, at_end: bool, maps: memory_maps.Mapped | None) -> int:
    """Number of lines, along the first axis, of nothing but zeros before the first other one, or after the last."""
    length = math.prod(lines.shape[1:])
    done, count = 0, 1
    while done < len(lines):
        count = min(count, len(lines) - done)
        part = lines[len(lines) - done - count : len(lines) - done] if at_end else lines[done : done + count]
        if listeners:
            notify("look", lines=part)
        nonzero = np.zeros(count, bool)
        for chunk in chunk_slices(part.shape):
            for bits in _bits(part[chunk]):
                if bits.max() != 0:  # a fraction of the time of what follows, and -0.0 is rare
                    magnitudes = bits << 1 if part.dtype.kind in "fc" else bits  # without the sign
                    nonzero[chunk[0]] |= (magnitudes != 0).any(axis=tuple(range(1, part.ndim)))
            if maps is not None:
                maps.release_pages()
        if nonzero.any():
            return done + int((nonzero[::-1] if at_end else nonzero).argmax())
        done, count = done + count, max(1, SECOND_LOOK // length, min(4 * count, LARGEST_LOOK // length))
    return done


def _bits(array: np.ndarray) -> list[np.ndarray]:
    """Views of the numbers, or of their parts, as unsigned integers.

    Comparisons of floats would count denormal numbers as zeros where another library has enabled that.
    """
    parts = [array.real, array.imag] if array.dtype.kind == "c" else [array]
    return [part.view(f"{part.dtype.str[0]}u{part.itemsize}") for part in parts]


class Part(NamedTuple):
    """The part of a problem whose results are not known to be zeros."""

    problem: Problem | None  # None if there is no such result
    samples: tuple[slice, ...]
    outputs: tuple[slice, ...]

    def is_worthwhile(self, whole: Problem, method: str) -> bool:
        """Whether the part takes much less time than the whole; a spectrum of the kernel may have to be made for it."""
        if self.problem is None:
            return True
        share = cost_model.work(self.problem, method) / cost_model.work(whole, method)
        if method == "fft":
            share += math.prod(whole.kernel_shape) / math.prod(whole.out_shape) / 2
        return share <= _WORTHWHILE


def methods_that_trim(problem: Problem) -> frozenset[str]:
    """The methods for which zeros around the input make results zero, and are worth looking for."""
    least = cost_model.WORK_WORTH_TRIMMING
    if cost_model.work(problem, "direct") < least:
        return frozenset()
    finish = problem.finish
    offset = 0.0 if finish is None else abs(finish.offset)
    stay_zero = (offset == 0 or (problem.dtype.kind in "iu" and offset < 0.5)) and not (finish and finish.premultiplied)
    zeros_outside = not problem.fills or bool(problem.fill_value == 0)
    if not (stay_zero and zeros_outside):
        return frozenset()
    return frozenset(
        {"direct"} | {name for name in ("separable", PARTLY, "fft") if cost_model.work(problem, name) >= 4 * least}
    )


def without_zeros(problem: Problem, x: np.ndarray) -> Part | None:
    """Reduce a problem of `methods_that_trim`, with a finite kernel, to samples inside of zeros; None if it stays."""
    found = nonzero_ranges(x, problem.axes, LEAST)
    if found is None:
        return None
    x_shape, out_shape, starts = list(problem.x_shape), list(problem.out_shape), list(problem.starts)
    samples, outputs = [[slice(0, extent) for extent in shape] for shape in (x_shape, out_shape)]
    steps = [steps or (1,) * len(starts) for steps in (problem.strides, problem.dilations)]
    for k, (axis, taps, stride, dilation) in enumerate(zip(problem.axes, problem.kernel_shape, *steps)):
        (first, last), extent, length, start = found[k], x_shape[axis], out_shape[axis], starts[k]
        reach = (taps - 1) * dilation
        before, after = max(0, reach - start), max(0, start + stride * (length - 1) + 1 - extent)
        if first < last and not _has_zeros_outside(problem.boundaries[k], before, after, first, extent - last):
            return None
        grid = 1 << max(0, (last - first).bit_length() - 4)  # few lengths, so that other input has the same problem
        first, last = first // grid * grid, min(-(-last // grid) * grid, extent)
        # Output o is the sum over samples from stride * o + start - reach to stride * o + start.
        begin, end = max(0, -((start - first) // stride)), min(length, -((start - last - reach) // stride))
        if first == last or begin >= end:
            outputs[axis] = slice(0, 0)
            return Part(None, tuple(samples), tuple(outputs))
        samples[axis], outputs[axis] = slice(first, last), slice(begin, end)
        x_shape[axis], out_shape[axis], starts[k] = last - first, end - begin, start + stride * begin - first
    part = problem._replace(
        x_shape=tuple(x_shape),
        out_shape=tuple(out_shape),
        starts=tuple(starts),
        boundaries=(ZERO,) * len(starts),
        fill_value=0,
        looks_outside=True,
    )
    return Part(part, tuple(samples), tuple(outputs))


def _has_zeros_outside(boundary: int, before: int, after: int, first: int, last: int) -> bool:
    """Whether the samples that a boundary adds are zeros: so many before and after, of so many zeros at both ends."""
    if boundary == NEAREST:
        return (not before or first > 0) and (not after or last > 0)
    if boundary == REFLECT:
        return before <= first and after <= last
    if boundary == MIRROR:
        return (not before or before < first) and (not after or after < last)
    return boundary != WRAP or (before <= last and after <= first)


def clear_around(out: np.ndarray, outputs: tuple[slice, ...]) -> None:
    """Set all elements but those of a part to zero."""
    maps = memory_maps.mapped(out)
    for axis, part in enumerate(outputs):
        lines = np.moveaxis(out, axis, 0)
        for beside in (lines[: part.start], lines[part.stop :]):
            for chunk in chunk_slices(beside.shape) if beside.size else ():
                beside[chunk] = 0
                if maps is not None:
                    maps.release_pages()
        out = out[(slice(None),) * axis + (part,)]
