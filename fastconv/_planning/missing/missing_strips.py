"""Convolution of samples of which some are missing, strip by strip, by the engines of ordinary convolutions.

For each strip of the result the samples under it, times their weights, and the weights are copied into buffers that
are extended beyond the boundary; along axes where that is less, only those under a tap. Both are convolved, and the
results divided. So this takes every type, kernel, method and number of axes, and no more memory than some strips.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices, rescale
from fastconv._model.geometry import FILL, ZERO, Run, reach, runs
from fastconv._model.guarantees import RELATIVE
from fastconv._model.missing_data import KernelSums, Missing, largest_unknown
from fastconv._model.problem import Problem
from fastconv._planning.method_choice import choice
from fastconv._runtime.interruptible_numpy import chunk_slices

# Samples of a strip: more than a transform takes at once.
STRIP_ELEMENTS = 1 << 19
# Elements that are divided at a time, so that all of NumPy's passes over them are in cache.
_IN_CACHE = 1 << 16
# How many times more samples are copied at a time rather than one by one, along an axis.
_GAPS = 2
# Height of a strip in heights of the kernel, so that few samples belong to two strips.
_HEIGHTS = 4


class _Window(NamedTuple):
    """The samples that are copied for the results of a strip along an axis of the kernel, and its steps over them."""

    first: int  # position of the first one
    samples: int
    stride: int
    dilation: int
    reach: int
    positions: np.ndarray | None  # of each sample; None if they are side by side

    @classmethod
    def of(cls, first: int, outputs: int, taps: int, stride: int, dilation: int) -> _Window:
        """All samples from the first to the last one, or those under the taps of each result, if these are few."""
        whole = reach(taps, dilation)
        count = stride * (outputs - 1) + whole
        if count <= _GAPS * outputs * taps:
            return cls(first, count, stride, dilation, whole, None)
        steps = (step * np.arange(extent, dtype=np.intp) for step, extent in ((stride, outputs), (dilation, taps)))
        positions = first + np.add.outer(*steps).ravel()
        return cls(first, positions.size, taps, 1, taps, positions)


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
        ones = (1,) * len(problem.axes)
        self._steps = [*zip(problem.strides or ones, problem.dilations or ones)]
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
        k = problem.axes.index(min(problem.axes))
        height = -(-_HEIGHTS * reach(problem.kernel_shape[k], self._steps[k][1]) // self._steps[k][0])
        row = math.prod(extents[min(problem.axes) + 1 :]) * height
        copied = math.prod(
            stride if stride <= _GAPS * taps else taps for taps, (stride, _) in zip(problem.kernel_shape, self._steps)
        )
        for chunk in chunk_slices(extents, max(STRIP_ELEMENTS // copied, row)):
            strip = tuple(
                slice(start + part.indices(extent)[0], start + part.indices(extent)[1])
                for part, extent, (start, _) in zip(chunk, extents, spans)
            )
            self._fill(x, weights, out, shares, workers, strip, scratch)

    def _window(self, k: int, part: slice) -> _Window:
        """What a part of the output needs along axis number `k` of the kernel."""
        taps, (stride, dilation) = self._problem.kernel_shape[k], self._steps[k]
        first = self._problem.starts[k] + stride * part.start - reach(taps, dilation) + 1
        return _Window.of(first, part.stop - part.start, taps, stride, dilation)

    def _under(self, numbers: Any, strip: tuple[slice, ...]) -> Any:
        """What an array of numbers of each line has for a strip."""
        if not self._problem.kernels:
            return numbers
        whole = slice(None)
        return numbers[tuple(whole if axis in self._problem.axes else part for axis, part in enumerate(strip))]

    def _fill(self, x, weights, out, shares, workers, strip, scratch) -> None:
        problem, missing = self._problem, self._missing
        windows = [self._window(k, strip[axis]) for k, axis in enumerate(problem.axes)]
        samples, known = self._buffers(x, weights, strip, windows, workers, scratch)
        shape, target = tuple(part.stop - part.start for part in strip), out[strip]
        in_place = problem.finish is None and out.dtype == problem.sums
        found = target if in_place else scratch.array("found", shape, problem.sums)
        self._convolve(samples, self._kernel, found, problem.guarantee, strip, windows, workers)
        divisors = scratch.array("divisors", shape, np.result_type(self._kernel, self._real))
        self._convolve(known, self._kernel, divisors, RELATIVE, strip, windows, workers)
        sizes = divisors
        if self._sizes is not None:
            sizes = scratch.array("sizes", shape, self._real)
            self._convolve(known, self._sizes, sizes, RELATIVE, strip, windows, workers)
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

    def _buffers(self, x, weights, strip, windows: list[_Window], workers, scratch) -> tuple[np.ndarray, np.ndarray]:
        """Samples times weights, and weights, 0 where a sample is missing, under a strip of the output."""
        problem = self._problem
        shape = [part.stop - part.start for part in strip]
        for axis, window in zip(problem.axes, windows):
            shape[axis] = window.samples
        if self._packer is not None:
            samples, known = (scratch.array(name, shape, self._real) for name in ("samples", "known"))
            under = (slice(part.start, part.start + extent) for part, extent in zip(strip, shape))
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
        pick = self._copy if all(window.positions is None for window in windows) else self._gather
        with np.errstate(all="ignore"):
            pick(x, weights, strip, windows, samples, known)
            if self._missing.ignores_nan and x.dtype.kind in "fc":
                missing = np.isnan(samples)
                np.copyto(samples, 0, where=missing)
                np.copyto(known, 0, where=missing)
            if weights is not None:
                _apply(np.multiply, samples, known)
                np.copyto(samples, 0, where=known == 0)
        return samples, known

    def _copy(self, x, weights, strip, windows: list[_Window], samples, known) -> None:
        """Copy samples and weights, run by run."""
        problem = self._problem
        boundaries = [ZERO] * x.ndim
        places = [[Run(0, part.start, part.stop - part.start, 1)] for part in strip]
        for axis, boundary, window in zip(problem.axes, problem.boundaries, windows):
            boundaries[axis] = boundary
            places[axis] = runs(window.first, window.samples, x.shape[axis], boundary)
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

    def _gather(self, x, weights, strip, windows: list[_Window], samples, known) -> None:
        """Copy samples and weights, those under taps alone along some axes."""
        problem, outside = self._problem, []
        indices = [np.arange(part.start, part.stop) for part in strip]
        for axis, boundary, window in zip(problem.axes, problem.boundaries, windows):
            positions = (
                window.first + np.arange(window.samples, dtype=np.intp)
                if window.positions is None
                else window.positions
            )
            indices[axis] = boundary_indices(positions, x.shape[axis], boundary)
            where = (slice(None),) * axis + (indices[axis] != positions,)
            if boundary in (ZERO, FILL):
                outside.append((boundary == ZERO, where))
        mesh = np.ix_(*indices)
        samples[...] = x[mesh]
        if weights is not None:
            known[...] = weights[mesh]
        for is_zero, where in sorted(outside, key=lambda found: found[0]):  # zeros outside have precedence
            samples[where], known[where] = (0, 0) if is_zero else (problem.fill_value, 1)

    def _convolve(self, samples, kernel, out, guarantee, strip, windows: list[_Window], workers) -> None:
        """Fill `out` with sums of samples that nothing lies outside of."""
        problem = self._problem
        others = [part for axis, part in enumerate(strip) if axis not in problem.axes]
        if problem.kernels:
            kernel = kernel[tuple(others)]
        strides, dilations = (tuple(getattr(window, name) for window in windows) for name in ("stride", "dilation"))
        part = Problem(
            x_dtype=samples.dtype,
            kernel_dtype=kernel.dtype,
            sums=out.dtype,
            dtype=out.dtype,
            x_shape=samples.shape,
            kernel_shape=problem.kernel_shape,
            out_shape=out.shape,
            axes=problem.axes,
            starts=tuple(window.reach - 1 for window in windows),
            flip=problem.flip,
            boundaries=(ZERO,) * len(problem.axes),
            fill_value=0,
            looks_outside=False,
            guarantee=guarantee,
            strides=strides if max(strides) > 1 else (),
            dilations=dilations if max(dilations) > 1 else (),
            kernels=kernel.shape[: len(others)] if problem.kernels else (),
        )
        choice(part, self._method).prepare_cached(kernel).run(samples, out, workers)
