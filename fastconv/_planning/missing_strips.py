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

from fastconv._model.geometry import ZERO, Run, runs
from fastconv._model.guarantees import RELATIVE
from fastconv._model.missing_data import KernelSums, Missing
from fastconv._model.problem import Problem
from fastconv._planning.method_choice import choice
from fastconv._runtime.interruptible_numpy import chunk_slices

# Elements of a strip: more than a transform takes at once.
STRIP_ELEMENTS = 1 << 18
# Height of a strip in heights of the kernel, so that few samples belong to two strips.
_HEIGHTS = 4


class Strips:
    """Convolutions of one problem whose samples may be missing, for one kernel.

    The problem describes the sums, of floats; their boundary is `ZERO` where the fill value is missing as well.
    """

    def __init__(self, problem: Problem, kernel: np.ndarray, sums: KernelSums, missing: Missing, method: str):
        self._problem, self._kernel, self._sums, self._missing, self._method = problem, kernel, sums, missing, method
        self._real = np.empty(0, problem.sums).real.dtype
        with np.errstate(all="ignore"):
            self._sizes = None if sums.sign else np.abs(kernel).astype(self._real)
            self._total = problem.sums.type(sums.total)

    @property
    def nbytes(self) -> int:
        return self._kernel.nbytes + (0 if self._sizes is None else self._sizes.nbytes)

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
        row = math.prod(extents[min(problem.axes) + 1 :]) * _HEIGHTS * problem.kernel_shape[self._first_axis]
        for chunk in chunk_slices(extents, max(STRIP_ELEMENTS, row)):
            strip = tuple(
                slice(start + part.indices(extent)[0], start + part.indices(extent)[1])
                for part, extent, (start, _) in zip(chunk, extents, spans)
            )
            self._fill(x, weights, out, shares, workers, strip)

    @property
    def _first_axis(self) -> int:
        """Number, among the axes of the kernel, of the first one in memory."""
        return self._problem.axes.index(min(self._problem.axes))

    def _fill(self, x, weights, out, shares, workers, strip) -> None:
        problem, missing, sums = self._problem, self._missing, self._sums
        samples, known = self._buffers(x, weights, strip)
        shape = tuple(part.stop - part.start for part in strip)
        found = self._convolved(samples, self._kernel, shape, problem.sums, problem.guarantee, workers)
        divisors = self._convolved(
            known, self._kernel, shape, np.result_type(self._kernel, self._real), RELATIVE, workers
        )
        with np.errstate(all="ignore"):
            if self._sizes is not None:
                share = self._convolved(known, self._sizes, shape, self._real, RELATIVE, workers)
            else:
                share = divisors * self._real.type(sums.sign)
            share = share / self._real.type(sums.size)
            unknown = ~(share > self._real.type(missing.min_weight))
            found /= divisors if missing.normalize else share
            if missing.normalize and self._total != 1:
                found *= self._total
            finish(found, problem, missing.value, unknown, out[strip])
        if shares is not None:
            shares[strip] = share

    def _buffers(self, x, weights, strip) -> tuple[np.ndarray, np.ndarray]:
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
                first = problem.starts[k] + part.start - problem.kernel_shape[k] + 1
                count = part.stop - part.start + problem.kernel_shape[k] - 1
                places.append(runs(first, count, x.shape[axis], problem.boundaries[k]))
            else:
                count = part.stop - part.start
                places.append([Run(0, part.start, count, 1)])
            shape.append(count)
        is_complex = x.dtype.kind == "c" or isinstance(problem.fill_value, complex)
        samples, known = np.empty(shape, problem.sums if is_complex else self._real), np.empty(shape, self._real)
        with np.errstate(all="ignore"):
            for pieces in itertools.product(*places):
                target = tuple(slice(run.offset, run.offset + run.length) for run in pieces)
                outside = {boundary for run, boundary in zip(pieces, boundaries) if run.source < 0}
                if outside:
                    samples[target], known[target] = (0, 0) if ZERO in outside else (problem.fill_value, 1)
                    continue
                source = tuple(map(_slice, pieces))
                samples[target] = x[source]
                known[target] = 1 if weights is None else weights[source]
            if self._missing.ignores_nan and x.dtype.kind in "fc":
                known[np.isnan(samples)] = 0
            if weights is not None:
                samples *= known
            samples[known == 0] = 0
        return samples, known

    def _convolved(self, samples, kernel, shape, dtype, guarantee, workers) -> np.ndarray:
        problem = self._problem
        part = Problem(
            x_dtype=samples.dtype,
            kernel_dtype=kernel.dtype,
            sums=dtype,
            dtype=dtype,
            x_shape=samples.shape,
            kernel_shape=kernel.shape,
            out_shape=shape,
            axes=problem.axes,
            starts=tuple(extent - 1 for extent in kernel.shape),
            flip=problem.flip,
            boundaries=(ZERO,) * len(problem.axes),
            fill_value=0,
            looks_outside=False,
            guarantee=guarantee,
        )
        result = np.empty(shape, dtype)
        choice(part, self._method).prepare_cached(kernel).run(samples, result, workers)
        return result


def _slice(run: Run) -> slice:
    """The samples of a run; one that is repeated is broadcast."""
    if run.direction == 0:
        return slice(run.source, run.source + 1)
    stop = run.source + run.direction * run.length
    return slice(run.source, None if stop < 0 else stop, run.direction)


def finish(sums: np.ndarray, problem: Problem, value: Any, unknown: np.ndarray, out: np.ndarray) -> None:
    """Store results: as pixels if that is the problem's, and `value` where they are unknown."""
    if problem.finish is not None:
        real = problem.sums.type
        sums = sums / real(problem.finish.scale) + real(problem.finish.offset)
        if out.dtype.kind != "f":
            limits = np.iinfo(out.dtype)
            sums = np.minimum(np.maximum(np.rint(sums), limits.min), limits.max)
    np.copyto(sums, value, where=unknown)
    out[...] = sums
