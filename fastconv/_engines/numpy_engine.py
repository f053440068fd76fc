"""Convolution by NumPy, one tap at a time, for problems that no compiled engine supports.

Used for types without SIMD arithmetic (longdouble, Python objects), and for kernels with an infinity or a NaN if
samples are missing outside: a missing sample adds nothing, while a zero times an infinity would be a NaN. Slow, and
exactly as accurate as NumPy's multiplication and addition.
"""

from __future__ import annotations

import numpy as np

from fastconv._model.geometry import FILL, MIRROR, REFLECT, WRAP, ZERO
from fastconv._model.problem import Finish, Problem
from fastconv._runtime import progress_reports
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._runtime.interruptible_numpy import CHUNK_ELEMENTS, chunk_slices


class NumpyEngine:
    """Convolutions of one `Problem`, of any number of axes: the sum of one shifted copy for each tap, slab by slab."""

    def __init__(self, problem: Problem):
        self._problem = problem
        ones = (1,) * len(problem.axes)
        self._strides, self._dilations = problem.strides or ones, problem.dilations or ones

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers=None) -> bool:
        """Fill `out`; `workers` is not used."""
        _pins = pinned(x, kernel, out)
        problem = self._problem
        if listeners:
            notify("numpy", problem=problem, x=x, out=out)
        own = len(problem.kernels)
        if out.dtype.kind == "O":  # a tap of another type would be one of NumPy's numbers, whose products wrap
            kernel = kernel.astype(out.dtype)
        if not problem.flip:
            kernel = np.flip(kernel, tuple(range(own, kernel.ndim)))
        most = CHUNK_ELEMENTS if out.dtype.kind != "O" else CHUNK_ELEMENTS // 64
        for slab in chunk_slices(out.shape, most):
            where = tuple(slice(*part.indices(extent)) for part, extent in zip(slab, out.shape))
            batch = tuple(slab[axis] for axis in range(out.ndim) if axis not in problem.axes) if own else ()
            self._fill(x, kernel[batch], out, where)
        return True

    def _fill(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, where: tuple[slice, ...]) -> None:
        """Fill the part `where` of `out`."""
        problem, source = self._problem.part(where)
        x, out, starts = x[source], out[where], [*problem.starts]
        if problem.finish is None:
            self._sum(x, kernel, out, starts)
        else:
            sums = np.empty(out.shape, problem.sums)
            self._sum(x, kernel, sums, starts)
            _finish(sums, problem.finish, out)

    def _sum(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, starts: list[int]) -> None:
        """Fill `out` with sums; the first is the one at `starts` of the full convolution."""
        problem, own = self._problem, len(self._problem.kernels)
        for k, (axis, taps) in enumerate(zip(problem.axes, problem.kernel_shape)):
            outputs, samples = out.shape[axis], x.shape[axis]
            first = starts[k] - self._dilations[k] * (taps - 1)
            last = starts[k] + self._strides[k] * (outputs - 1) + 1
            if problem.boundaries[k] == ZERO:
                first = min(max(0, first), samples)
                x = x[(slice(None),) * axis + (slice(first, max(first, last)),)]
            elif last - first <= 2 * (samples + outputs + taps):
                x = _extended(x, np.arange(first, last), axis, problem.boundaries[k], problem)
            else:  # with long steps, only what each tap needs
                continue
            starts[k] -= first
        if problem.finish is not None and problem.finish.premultiplied:
            x = _premultiplied(x, problem.sums)
        out[...] = 0
        with np.errstate(all="ignore"):
            # Taps first, then the batch of kernels.
            self._add_taps(x, kernel.transpose(*range(own, kernel.ndim), *range(own)), out, starts, 0)

    def _add_taps(self, x: np.ndarray, kernel, out: np.ndarray, starts: list[int], k: int) -> None:
        """Add the products of all taps from axis number `k` on."""
        problem = self._problem
        if k == len(problem.axes):
            progress_reports.tick()
            if problem.kernels:
                kernel = np.expand_dims(kernel, problem.axes)
            _add_product(out, kernel, x)
            return
        axis, step = problem.axes[k], self._strides[k]
        before: tuple = (slice(None),) * axis
        outputs, samples = out.shape[axis], x.shape[axis]
        for tap in range(problem.kernel_shape[k]):
            position = starts[k] - self._dilations[k] * tap  # of the sample under output 0
            first, last = 0, outputs
            if problem.boundaries[k] == ZERO:
                first = min(outputs, max(0, -(position // step)))
                last = max(first, min(outputs, (samples - 1 - position) // step + 1))
                if first == last:
                    continue
            elif position < 0 or position + step * (outputs - 1) >= samples:
                positions = position + step * np.arange(outputs)
                source = _extended(x, positions, axis, problem.boundaries[k], problem)
                self._add_taps(source, kernel[tap], out, starts, k + 1)
                continue
            begin = position + step * first
            part = slice(begin, begin + step * (last - first - 1) + 1, step)
            self._add_taps(x[before + (part,)], kernel[tap], out[before + (slice(first, last),)], starts, k + 1)

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel unchanged."""
        return kernel

    run = __call__


def _premultiplied(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Multiply colours by alpha, the last channel."""
    pixels = x.astype(dtype)
    pixels[..., :-1] *= pixels[..., -1:]
    return pixels


def _finish(sums: np.ndarray, finish: Finish, out: np.ndarray) -> None:
    """Scale, shift, round and saturate sums into `out`."""
    if sums.dtype.kind == "c":  # by parts, as an infinite one must not make the other NaN
        _finish(sums.real, finish, out.real)
        _finish(sums.imag, finish._replace(offset=0.0), out.imag)
        return
    if sums.dtype.kind == "i":
        sums = (sums + np.int32(finish.bias)).astype(np.uint16) - np.float32(finish.bias)
    offset, scale = sums.dtype.type(finish.offset), sums.dtype.type(finish.scale)
    if finish.premultiplied:
        result = np.zeros(sums.shape)
        alpha = sums[..., -1:].astype(result.dtype)
        np.divide(sums[..., :-1], alpha, out=result[..., :-1], where=alpha != 0)
        result[..., :-1] += np.where(alpha != 0, offset, 0)
        result[..., -1:] = alpha / scale
        saturate(result, out.dtype)
    else:
        with np.errstate(all="ignore"):
            result = sums * sums.dtype.type(finish.unit)
        rescale(result, finish, out.dtype)
    out[...] = result


def rescale(sums: np.ndarray, finish: Finish, dtype: np.dtype) -> None:
    """Scale, shift, round and saturate floats, without the unit of `finish`, in place."""
    with np.errstate(all="ignore"):
        sums /= sums.dtype.type(finish.scale)
        sums += sums.dtype.type(finish.offset)
    saturate(sums, dtype)


def saturate(values: np.ndarray, dtype: np.dtype) -> None:
    """Round and saturate floats to numbers of `dtype` in place; not if that is of floats."""
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        np.rint(values, out=values)
        np.maximum(values, limits.min, out=values)  # `numpy.clip` may import
        np.minimum(values, limits.max, out=values)


def _add_product(out: np.ndarray, tap, x: np.ndarray) -> None:
    """``out += tap * x`` in the type of `out`; a real factor keeps real and imaginary parts separate."""
    tap = np.asarray(tap, out.dtype if out.dtype.kind == "O" else None)
    part = out.real.dtype
    if out.dtype.kind == "O" or (tap.dtype.kind == "c") == (x.dtype.kind == "c"):
        out += tap.astype(out.dtype) * x.astype(out.dtype, copy=False)
    elif x.dtype.kind == "c":
        out.real += tap.astype(part) * x.real.astype(part)
        out.imag += tap.astype(part) * x.imag.astype(part)
    else:
        out.real += tap.real.astype(part) * x.astype(part)
        out.imag += tap.imag.astype(part) * x.astype(part)


def _extended(x: np.ndarray, positions: np.ndarray, axis: int, boundary: int, problem: Problem) -> np.ndarray:
    """Samples at `positions` along one axis, extended by the boundary."""
    indices = boundary_indices(positions, x.shape[axis], boundary)
    if boundary != FILL:
        return x.take(indices, axis)
    outside = np.expand_dims(positions != indices, tuple(k for k in range(x.ndim) if k != axis))
    dtype, fill_value = problem.dtype, problem.fill_value
    if dtype.kind == "c" and x.dtype.kind != "c" and fill_value.imag == 0:  # parts of products stay apart
        dtype, fill_value = np.empty(0, dtype).real.dtype, fill_value.real
    return np.where(outside, np.asarray(fill_value).astype(dtype), x.take(indices, axis))


def source_indices(first: int, count: int, extent: int, boundary: int) -> np.ndarray:
    """Index of each of `count` samples from `first` on along an axis; -1 where the boundary has none."""
    positions = np.arange(first, first + count, dtype=np.intp)
    indices = boundary_indices(positions, extent, boundary)
    if boundary in (ZERO, FILL):
        indices[indices != positions] = -1
    return indices


def boundary_indices(positions: np.ndarray, extent: int, boundary: int) -> np.ndarray:
    """Indices of the samples at `positions` of an axis; of the nearest sample if the boundary has none there."""
    if boundary == WRAP:
        return positions % extent
    if boundary == REFLECT:
        indices = positions % (2 * extent)
        return np.minimum(indices, 2 * extent - 1 - indices)
    if boundary == MIRROR:
        period = max(1, 2 * extent - 2)
        indices = positions % period
        return np.minimum(indices, period - indices)
    return np.clip(positions, 0, extent - 1)
