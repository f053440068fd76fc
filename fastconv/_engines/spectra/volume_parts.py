"""Parts of a problem of several axes that are transformed at once: some planes, and their samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastconv._engines.planes.separable_volume import along, summed_axes
from fastconv._model.geometry import ZERO, Run, runs
from fastconv._model.guarantees import RAW
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.instrumentation import overrides

# Bytes of the samples of a part that is transformed as a matrix, and samples of other parts, if a kernel does not need
# more.
_BYTES, _SAMPLES = 1 << 25, 1 << 22


class Parts(NamedTuple):
    """A problem with its batch first and its axes in the order of the array, cut along the batch and the planes."""

    order: tuple[int, ...]  # axes of the array: the batch, then those of the volume,
    places: tuple[int, ...]  # and axes of the kernel, in that order
    volume: Problem  # for some planes of the output, of samples that are extended, with zeros around
    firsts: tuple[int, ...]  # of these samples along the axes of the volume, for the first planes
    rows: tuple[int, ...]  # extents of memory for samples along all axes of the volume but the first and the last
    starts: tuple[range, ...]  # of the batch, and of the planes of the output, for each part

    @classmethod
    def of(cls, problem: Problem, has_gaps: bool) -> Parts:
        """Cut a problem; with gaps, no sum for a row that is kept reaches the samples of the plane before or after."""
        places = tuple(sorted(summed_axes(problem, 2), key=problem.axes.__getitem__))
        axes = [problem.axes[k] for k in places]
        batch = [axis for axis in range(len(problem.x_shape)) if axis not in axes]
        before = [problem.x_shape[axis] for axis in batch]
        outputs = [problem.out_shape[axis] for axis in axes]
        taps = [problem.kernel_shape[k] for k in places]
        spans = [_samples(problem, k, 0, problem.out_shape[problem.axes[k]]) for k in places]
        starts = [problem.starts[k] - first for k, (first, _) in zip(places, spans)]
        rows = [count for _, count in spans][1:-1]
        if has_gaps:
            rows = [
                max(count + more - 1 - start, start + results)
                for (_, count), more, start, results in zip(spans, taps, starts, outputs)
            ][1:-1]
        plane = math.prod([*rows, max(spans[-1][1], outputs[-1])])
        budget = _BYTES // problem.sums.itemsize if has_gaps else _SAMPLES
        is_matrix = len(places) == 2 and not has_gaps  # which is not cut: its kernel is large
        most = outputs[0] if is_matrix else budget // (plane * math.prod(before)) - taps[0]
        most = overrides.block[0] if overrides.block else most
        count = -(-outputs[0] // min(outputs[0], max(most, taps[0] // 2, 1)))
        planes = -(-outputs[0] // count)
        room = overrides.block[1] if overrides.block else max(1, budget // (plane * (planes + taps[0])))
        for k, extent in enumerate(before):  # as few as there is room for
            others = math.prod(before[k + 1 :])
            before[k] = min(extent, max(1, room // others))
        starts_of = [range(0, problem.x_shape[axis], extent) for axis, extent in zip(batch, before)]
        starts_of.append(range(0, outputs[0], planes))
        if count > 1:  # all parts have as many samples, also outside
            first = problem.starts[places[0]] - taps[0] + 1
            spans[0], starts[0], outputs[0] = (first, planes + taps[0] - 1), taps[0] - 1, planes
        volume = along(problem, places)._replace(
            x_dtype=_sample_type(problem),
            kernel_dtype=problem.kernel_dtype.newbyteorder("="),
            x_shape=(*before, *(count for _, count in spans)),
            out_shape=(*before, *outputs),
            axes=tuple(range(len(batch), len(batch) + len(axes))),
            starts=tuple(starts),
            flip=True,
            boundaries=(ZERO,) * len(axes),
            fill_value=0,
            looks_outside=True,
            guarantee=RAW,
        )
        return cls((*batch, *axes), places, volume, tuple(first for first, _ in spans), tuple(rows), tuple(starts_of))

    @property
    def number(self) -> int:
        """How many there are."""
        return math.prod(map(len, self.starts))

    @property
    def rank(self) -> int:
        """Number of axes of the batch."""
        return len(self.order) - len(self.places)

    def outputs(self, shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        """Where the outputs of each part lie in an array of this shape; the last part is as large as all others."""
        for first in itertools.product(*self.starts):
            where = [slice(0, extent) for extent in shape]
            for axis, start, extent in zip(self.order, first, self.volume.out_shape):
                start = min(start, shape[axis] - extent)
                where[axis] = slice(start, start + extent)
            yield tuple(where)

    def samples(self, problem: Problem, x: np.ndarray, where: tuple[slice, ...]) -> np.ndarray:
        """The samples under some planes of the output, extended by the boundary, with zeros between the planes.

        They may be a view of `x`.
        """
        rank, shape = self.rank, self.volume.x_shape
        x = x.transpose(self.order)[tuple(where[axis] for axis in self.order[:rank])]
        cuts: list[list[Run]] = []
        for axis, k in enumerate(self.places, rank):
            first = self.firsts[axis - rank] + (where[problem.axes[k]].start if axis == rank else 0)
            cuts.append(runs(first, shape[axis], x.shape[axis], problem.boundaries[k]))
        whole_shape = (*shape[: rank + 1], *self.rows, shape[-1])
        is_inside = all(len(cut) == 1 and cut[0].source >= 0 and cut[0].direction == 1 for cut in cuts)
        if is_inside and x.dtype == self.volume.x_dtype and whole_shape == shape:
            part = x[(slice(None),) * rank + tuple(cut[0].indices for cut in cuts)]
            if part.flags.c_contiguous and part.flags.aligned:
                return part
        whole = np.empty(whole_shape, self.volume.x_dtype)
        for axis in range(rank, whole.ndim):
            whole[(slice(None),) * axis + (slice(shape[axis], None),)] = 0
        result = self.inside(whole)
        for parts in itertools.product(*cuts):
            target = result[(slice(None),) * rank + tuple(slice(run.offset, run.offset + run.length) for run in parts)]
            outside = [problem.boundaries[k] for k, run in zip(self.places, parts) if run.source < 0]
            if outside:
                target[...] = 0 if ZERO in outside else problem.fill_value
                continue
            source = x
            for axis, run in enumerate(parts, rank):
                source = source[(slice(None),) * axis + (run.indices,)]
            interruptible_numpy.copy(target, np.broadcast_to(source, target.shape))
        return whole

    def inside(self, samples: np.ndarray) -> np.ndarray:
        """The samples without the zeros between planes."""
        return samples[tuple(slice(0, extent) for extent in self.volume.x_shape)]


def _samples(problem: Problem, k: int, first: int, count: int) -> tuple[int, int]:
    """First sample, and number of samples, under some outputs along an axis of the kernel; none of zeros outside.

    Outputs before the first sample, which a kernel has whose first taps were zeros, need zeros, so that they do not lie
    before the volume.
    """
    begin = problem.starts[k] + first - problem.kernel_shape[k] + 1
    stop = problem.starts[k] + first + count
    if problem.boundaries[k] == ZERO:
        extent = problem.x_shape[problem.axes[k]]
        begin = min(max(begin, min(problem.starts[k] + first, 0)), extent - 1)
        stop = max(min(stop, extent), begin + 1)
    return begin, stop - begin


def _sample_type(problem: Problem) -> np.dtype:
    """The type of samples, which may be fill values; floats if the sums are."""
    if problem.fills or (problem.x_dtype.kind in "biu" and problem.sums.kind == "f"):
        return problem.sums
    is_whole = problem.x_dtype.kind in "biu" and problem.sums.kind == "c"
    return np.empty(0, problem.sums).real.dtype if is_whole else problem.x_dtype.newbyteorder("=")
