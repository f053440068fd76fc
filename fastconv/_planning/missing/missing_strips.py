"""Convolution of samples of which some are missing, strip by strip, by the engines of ordinary convolutions.

For each strip of the result the samples under it, times their weights, and the weights are copied into buffers that
are extended beyond the boundary. Both are convolved, and the results divided. So this takes every type, kernel, method
and number of axes, and no more memory than some strips.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from fastconv._engines.numpy_engine import rescale
from fastconv._model.geometry import ZERO, Run, runs
from fastconv._model.guarantees import RELATIVE
from fastconv._model.missing_data import KernelSums, Missing, largest_unknown
from fastconv._model.problem import Problem
from fastconv._planning.method_choice import choice
from fastconv._runtime.interruptible_numpy import chunk_slices

# Elements of a strip: more than a transform takes at once.
STRIP_ELEMENTS = 1 << 19
# Elements that are divided at a time, so that all of NumPy's passes over them are in cache.
_IN_CACHE = 1 << 16
# Height of a strip in heights of the kernel, so that few samples belong to two strips.
_HEIGHTS = 4


class _Scratch:
    """Memory of the buffers of one strip after the other: new memory costs a page fault for each page."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...] | list[int], dtype: np.dtype) -> np.ndarray:
        """An array whose elements may be anything; one of this name is no longer used."""
        size = math.prod(shape)
        found = self._arrays.get(name)
        if found is None or found.size < size:
            found = self._arrays[name] = np.empty(size, dtype)
        return found[:size].reshape(shape)


def _apply(operation: np.ufunc, numbers: np.ndarray, factors: Any) -> None:
    """Multiply or divide in place; complex numbers by real ones part by part, as an infinite one leaves the other."""
    is_apart = numbers.dtype.kind == "c" and factors.dtype.kind != "c"
    for part in (numbers.real, numbers.imag) if is_apart else (numbers,):
        operation(part, factors, out=part)


class Strips:
    """Convolutions of one problem whose samples may be missing, for one kernel.

    The problem describes the sums, of floats; their boundary is `ZERO` where the fill value is missing as well.
    """

    def __init__(
        self,
        problem: Problem,
        kernel: np.ndarray,
        sums: KernelSums,
        missing: Missing,
        method: str,
        packer: Any = None,
    ):
        self._problem, self._kernel, self._sums, self._missing, self._method = problem, kernel, sums, missing, method
        self._packer = packer  # an engine that fills both buffers, if there is one
        self._real = np.empty(0, problem.sums).real.dtype
        with np.errstate(all="ignore"):
            self._sizes = (
                None if sums.sign else np.abs(kernel.astype(np.result_type(kernel, self._real))).astype(self._real)
            )
            total_dtype = problem.sums if kernel.dtype.kind == "c" else self._real
            self._total, self._size = self._of_lines(sums.total, total_dtype), self._of_lines(sums.size, self._real)
            self._least = largest_unknown(self._size, self._real.type(missing.min_weight))

    def _of_lines(self, number: Any, dtype: np.dtype) -> Any:
        """A sum of the kernel; of a kernel for each line, as an array that is broadcast to the output."""
        problem = self._problem
        if not problem.kernels:
            return dtype.type(number)
        return np.expand_dims(np.asarray(number, dtype), problem.axes)

    @property
    def nbytes(self) -> int:
        own = self._total, self._size, self._least
        return self._kernel.nbytes + sum(array.nbytes for array in (self._sizes, *own) if array is not None)

    def run(
        self,
        x: np.ndarray,
        weights: np.ndarray | None,
        out: np.ndarray,
        shares: np.ndarray | None,
        workers: int | None,
        where: tuple[slice, ...],
    ) -> None:
        """Fill the part `where` of `out`, and of `shares` if they are wanted."""
        problem, spans = self._problem, [part.indices(extent)[:2] for part, extent in zip(where, out.shape)]
        extents = tuple(stop - start for start, stop in spans)
        scratch = _Scratch()
        row = math.prod(extents[min(problem.axes) + 1 :]) * _HEIGHTS * self._reach(self._first_axis)
        for chunk in chunk_slices(extents, max(STRIP_ELEMENTS, row)):
            strip = tuple(
                slice(start + part.indices(extent)[0], start + part.indices(extent)[1])
                for part, extent, (start, _) in zip(chunk, extents, spans)
            )
            self._fill(x, weights, out, shares, workers, strip, scratch)

    @property
    def _first_axis(self) -> int:
        """Number, among the axes of the kernel, of the first one in memory."""
        return self._problem.axes.index(min(self._problem.axes))

    def _step(self, k: int) -> tuple[int, int]:
        """Stride and dilation along axis number `k` of the kernel."""
        problem = self._problem
        return problem.strides[k] if problem.strides else 1, problem.dilations[k] if problem.dilations else 1

    def _reach(self, k: int) -> int:
        """Samples that the kernel spans along its axis number `k`."""
        return (self._problem.kernel_shape[k] - 1) * self._step(k)[1] + 1

    def _under(self, numbers: Any, strip: tuple[slice, ...]) -> Any:
        """What an array of numbers of each line has for a strip."""
        if not self._problem.kernels:
            return numbers
        whole = slice(None)
        return numbers[tuple(whole if axis in self._problem.axes else part for axis, part in enumerate(strip))]

    def _fill(self, x, weights, out, shares, workers, strip, scratch) -> None:
        problem, missing = self._problem, self._missing
        samples, known = self._buffers(x, weights, strip, workers, scratch)
        shape, target = tuple(part.stop - part.start for part in strip), out[strip]
        in_place = problem.finish is None and out.dtype == problem.sums
        found = target if in_place else scratch.array("found", shape, problem.sums)
        self._convolve(samples, self._kernel, found, problem.guarantee, strip, workers)
        divisors = scratch.array("divisors", shape, np.result_type(self._kernel, self._real))
        self._convolve(known, self._kernel, divisors, RELATIVE, strip, workers)
        sizes = divisors
        if self._sizes is not None:
            sizes = scratch.array("sizes", shape, self._real)
            self._convolve(known, self._sizes, sizes, RELATIVE, strip, workers)
        within = None if shares is None else shares[strip]
        total, size, least = (self._under(numbers, strip) for numbers in (self._total, self._size, self._least))
        with np.errstate(all="ignore"):
            for part in chunk_slices(shape, _IN_CACHE):
                unknown = self._divide(
                    found[part],
                    divisors[part],
                    sizes[part],
                    None if within is None else within[part],
                    *(self._under(numbers, part) for numbers in (total, size, least)),
                )
                if problem.finish is not None:
                    rescale(found[part], problem.finish, out.dtype)
                if unknown.any():
                    np.copyto(found[part], missing.value, where=unknown)
                if found is not target:
                    target[part] = found[part]

    def _divide(
        self, found: np.ndarray, divisors: np.ndarray, sizes: np.ndarray, shares: np.ndarray | None, total, size, least
    ) -> np.ndarray:
        """Divide sums in place, and fill `shares`; return where too little is known."""
        if self._sums.sign < 0:  # the sums of sizes are negative
            unknown, size = sizes >= -least, -size
        else:
            unknown = sizes <= least
        if shares is not None:
            np.divide(sizes, size, out=shares)
        if self._missing.normalize:
            _apply(np.divide, found, divisors)
            if self._problem.kernels or total != 1:
                _apply(np.multiply, found, total)
        else:
            _apply(np.divide, found, sizes / size)
        return unknown

    def _buffers(self, x, weights, strip, workers, scratch) -> tuple[np.ndarray, np.ndarray]:
        """Samples times weights, and weights, 0 where a sample is missing, under a strip of the output."""
        problem = self._problem
        boundaries = [ZERO] * x.ndim
        for axis, boundary in zip(problem.axes, problem.boundaries):
            boundaries[axis] = boundary
        places: list[list[Run]] = []
        shape = []
        for axis, part in enumerate(strip):
            if axis in problem.axes:
                k = problem.axes.index(axis)
                stride, reach = self._step(k)[0], self._reach(k)
                first = problem.starts[k] + stride * part.start - reach + 1
                count = stride * (part.stop - part.start - 1) + reach
                places.append(runs(first, count, x.shape[axis], problem.boundaries[k]))
            else:
                count = part.stop - part.start
                places.append([Run(0, part.start, count, 1)])
            shape.append(count)
        if self._packer is not None:
            samples, known = (scratch.array(name, shape, self._real) for name in ("samples", "known"))
            under = [slice(part.start, part.start + extent) for part, extent in zip(strip, shape)]
            self._packer.run_part(x, weights, samples, known, workers, tuple(under))
            if weights is not None:
                with np.errstate(all="ignore"):
                    samples *= known
            return samples, known
        is_complex = x.dtype.kind == "c" or problem.fill_value.imag != 0
        samples = scratch.array("samples", shape, problem.sums if is_complex else self._real)
        known = scratch.array("known", shape, self._real)
        if weights is None:
            known.fill(1)
        with np.errstate(all="ignore"):
            for pieces in itertools.product(*places):
                target = tuple(slice(run.offset, run.offset + run.length) for run in pieces)
                outside = {boundary for run, boundary in zip(pieces, boundaries) if run.source < 0}
                if outside:
                    samples[target], known[target] = (0, 0) if ZERO in outside else (problem.fill_value, 1)
                    continue
                source = tuple(run.indices for run in pieces)
                samples[target] = x[source]
                if weights is not None:
                    known[target] = weights[source]
            if self._missing.ignores_nan and x.dtype.kind in "fc":
                missing = np.isnan(samples)
                np.copyto(samples, 0, where=missing)
                np.copyto(known, 0, where=missing)
            if weights is not None:
                _apply(np.multiply, samples, known)
                np.copyto(samples, 0, where=known == 0)
        return samples, known

    def _convolve(self, samples, kernel, out, guarantee, strip, workers) -> None:
        """Fill `out` with sums of samples that nothing lies outside of."""
        problem = self._problem
        others = [part for axis, part in enumerate(strip) if axis not in problem.axes]
        if problem.kernels:
            kernel = kernel[tuple(others)]
        part = Problem(
            x_dtype=samples.dtype,
            kernel_dtype=kernel.dtype,
            sums=out.dtype,
            dtype=out.dtype,
            x_shape=samples.shape,
            kernel_shape=problem.kernel_shape,
            out_shape=out.shape,
            axes=problem.axes,
            starts=tuple(self._reach(k) - 1 for k in range(len(problem.axes))),
            flip=problem.flip,
            boundaries=(ZERO,) * len(problem.axes),
            fill_value=0,
            looks_outside=False,
            guarantee=guarantee,
            strides=problem.strides,
            dilations=problem.dilations,
            kernels=kernel.shape[: len(others)] if problem.kernels else (),
        )
        choice(part, self._method).prepare_cached(kernel).run(samples, out, workers)
