"""Convolutions along three axes whose kernel is an outer product of a line along planes and a matrix of taps in them.

Each plane is convolved with the matrix, by the direct engine, and the results are summed along the line. A few planes
at a time, in blocks of rows: the array in between stays small.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from fastconv._engines import cost_model
from fastconv._engines import layout as _layout
from fastconv._engines.blocks.direct import shared_engine
from fastconv._engines.non_finite_repair import repair
from fastconv._engines.planes import plane_engine
from fastconv._engines.planes.separable_volume import along
from fastconv._model.geometry import ZERO, runs
from fastconv._model.problem import Problem
from fastconv._model.separability import factors
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.instrumentation import limited, listeners, notify

# Bytes of the array in between.
_BETWEEN = 1 << 23


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem, if its kernel is such an outer product."""
    steps = problem.strides + problem.dilations
    return (
        len(problem.axes) == 3
        and problem.axes == tuple(sorted(problem.axes))
        and min(problem.kernel_shape) > 1
        and not problem.kernels
        and problem.pairs is None
        and steps.count(1) == len(steps)
        and problem.kernel_dtype.kind != "c"
        and problem.sums.kind != "b"
        and _layout.supports(problem.sums)
        and problem.sums == problem.dtype
        and problem.finish is None
        and not problem.fills  # the second sum would take fill values that the first has summed
    )


def estimate(problem: Problem) -> float:
    """Nanoseconds for a problem that is supported and whose kernel is such an outer product."""
    return cost_model.partly_separable(problem)


class PartFactors(NamedTuple):
    """A kernel ready for `PartlySeparableEngine.run`: its factors, and itself for repairs."""

    line: np.ndarray
    matrix: np.ndarray
    kernel: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.line.nbytes + self.matrix.nbytes + self.kernel.nbytes


class PartlySeparableEngine:
    """Convolutions of one `Problem`; results that are not finite are recomputed directly, as by `SeparableEngine`."""

    def __init__(self, problem: Problem):
        self._problem = problem
        self._dtype = np.dtype(_layout.COMPUTE[problem.sums.kind, problem.sums.itemsize].name)
        axis, row, _ = problem.axes
        taps, outputs = problem.kernel_shape[0], problem.out_shape
        planes, rows = limited(
            min(outputs[axis], max(8, 4 * (taps - 1))),
            max(1, min(outputs[row], _BETWEEN // max(1, self._line_bytes * (max(8, 4 * (taps - 1)) + taps - 1)))),
        )
        steps = [*outputs]
        steps[axis], steps[row] = planes, rows
        self._cuts = [range(0, extent, step) for extent, step in zip(outputs, steps)]
        self._steps = steps

    @property
    def _line_bytes(self) -> int:
        """Bytes of the results of a row of a plane, for all of the batch."""
        axis, row, _ = self._problem.axes
        others = (extent for k, extent in enumerate(self._problem.out_shape) if k not in (axis, row))
        return math.prod(others) * self._problem.sums.itemsize

    @property
    def nbytes(self) -> int:
        return 0

    def prepare(self, kernel: np.ndarray) -> PartFactors | None:
        """Factor a kernel for `run`; None where it is not such an outer product."""
        taps = self._problem.kernel_shape
        found = factors(np.ascontiguousarray(kernel).reshape(taps[0], -1), self._dtype)
        if found is None:
            return None
        line, matrix = found
        return PartFactors(line, matrix.reshape(taps[1:]), kernel.copy())

    def run(self, x: np.ndarray, prepared: PartFactors, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`."""
        problem, finite = self._problem, True
        if listeners:
            notify("partly_separable", problem=problem, x=x, out=out, steps=self._steps)
        for corner in itertools.product(*self._cuts):
            where = tuple(
                slice(start, min(start + step, extent)) for start, step, extent in zip(corner, self._steps, out.shape)
            )
            part, source = problem.part(where)
            self._run_part(part, x[source], prepared, out[where], workers)
            finite = finite and interruptible_numpy.is_finite(out[where])
        if not finite:
            repair(problem, x, prepared.kernel, out, workers, _compute_part)
        return True

    def _run_part(self, part: Problem, x: np.ndarray, prepared: PartFactors, out: np.ndarray, workers) -> None:
        """Fill a part of the output, whose problem is `part`."""
        axis, taps, outputs = part.axes[0], part.kernel_shape[0], part.out_shape[part.axes[0]]
        shape = list(part.out_shape)
        shape[axis] = outputs + taps - 1
        between = np.empty(shape, part.sums)
        for run in runs(part.starts[0] - taps + 1, shape[axis], part.x_shape[axis], part.boundaries[0]):
            target = between[_along(axis, slice(run.offset, run.offset + run.length))]
            if run.source < 0:
                target[...] = 0
                continue
            planes = target[_along(axis, slice(0, 1))] if run.direction == 0 else target
            samples = x[_along(axis, run.indices)]
            planewise = along(part, (1, 2))._replace(
                kernel_dtype=self._dtype, x_shape=samples.shape, out_shape=planes.shape
            )
            shared_engine(planewise)(samples, prepared.matrix, planes, workers)
            if run.direction == 0:
                interruptible_numpy.copy(target, np.broadcast_to(planes, target.shape))
        sums = along(part, (0,))._replace(
            x_dtype=part.sums,
            kernel_dtype=self._dtype,
            x_shape=tuple(shape),
            starts=(taps - 1,),
            boundaries=(ZERO,),
            looks_outside=False,
        )
        shared_engine(sums)(between, prepared.line, out, workers)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """A part of an axis, of all others everything."""
    return (slice(None),) * axis + (part,)


def _compute_part(problem: Problem, where: tuple[slice, ...], x, kernel, out, workers: int | None) -> None:
    """Compute the part `where` of a problem's result into `out`, an array of its shape."""
    part, source = problem.part(where)
    plane_engine.compute(part, x[source], kernel, out, workers)
