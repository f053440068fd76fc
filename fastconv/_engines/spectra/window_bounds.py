"""Lower bounds of the sizes of samples under a kernel, for groups of adjacent results at once.

A group of results has in common what lies under the kernel for all of them: a box of samples, the sum of whose sizes is
at most that under the kernel for any of the group. All these boxes are put together of cells, so the samples are read
once (`_microkernels.cell_sums`). Groups are as large as their common box allows: at the ends of an array a few results,
in its middle some part of the kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastconv._engines import scheduler
from fastconv._engines.scratch_memory import lent_scratch
from fastconv._engines.spectra.overlap_save_tiling import COMPUTE
from fastconv._microkernels.spectra import cell_sums
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd import compilation, complex_vectors

# What results of a group have in common is at least this part of what is under the kernel for each.
_COMMON = 0.5
# Nanoseconds for a byte of samples, and parts of the work to share among threads.
_BYTE, _PARTS = 0.06, 16
# Sums in floats, and differences of sums, are precise to this part.
_PRECISE = 1 - 2.0**-7


class WindowAxis(NamedTuple):
    """Windows along an axis: the sample under the first tap at output 0, which may lie outside; samples there are."""

    first: int
    taps: int
    outputs: int
    samples: int

    @property
    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """First sample under each window and the one behind the last, of those that there are."""
        first = self.first + np.arange(self.outputs)
        return first.clip(0, self.samples), (first + self.taps).clip(0, self.samples)


class WindowGroups(NamedTuple):
    """Groups of results along an axis, and the cells in what they have in common."""

    outputs: np.ndarray  # the first result of each group, and behind the last one all
    first: np.ndarray  # the first cell of each group,
    stop: np.ndarray  # and the one behind the last
    most: np.ndarray  # samples under a window
    ends: np.ndarray  # the sample behind each cell

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)


@kept
def groups_of(axis: WindowAxis) -> WindowGroups:
    """Group the results along an axis."""
    low, high = axis.spans
    starts, inner, most = [0], [], []
    while starts[-1] < axis.outputs:
        start = starts[-1]
        # Common samples become fewer with each result, and the most samples of one more.
        common = high[start] - low[start:]
        enough = common >= _COMMON * np.maximum.accumulate(high[start:] - low[start:])
        count = axis.outputs - start if enough.all() else max(1, int(np.argmin(enough)))
        stop = start + count
        inner.append((int(low[stop - 1]), max(int(low[stop - 1]), int(high[start]))))
        most.append(int((high[start:stop] - low[start:stop]).max()))
        starts.append(stop)
    ends = sorted({axis.samples, *itertools.chain(*inner)} - {0})
    cell = {0: 0, **{end: k for k, end in enumerate(ends, 1)}}
    first, stop_cells = ([cell[place] for place in side] for side in zip(*inner))
    return WindowGroups(*(np.array(values, np.intp) for values in (starts, first, stop_cells, most, ends)))


class Survey(NamedTuple):
    """What is known of samples: extremes, zero among them, 2-norm, and sums of their sizes over cells."""

    lowest: float
    highest: float
    norm: float
    cells: np.ndarray
    groups: tuple[WindowGroups, ...]

    @property
    def largest(self) -> float:
        return max(-self.lowest, self.highest)

    @property
    def is_finite(self) -> bool:
        """Whether all samples are finite, and small enough for sums; False may be a mistake, True not."""
        return math.isfinite(float(self.cells.sum()))

    @property
    def sign(self) -> int:
        """The sign of all samples, or 0."""
        return 1 if self.lowest >= 0 else -1 if self.highest <= 0 else 0

    def least_norms(self) -> np.ndarray:
        """A lower bound of the norm of the samples under the kernel, for each group."""
        sums, counts = self.cells, np.ones(1)
        for axis, some in enumerate(self.groups, sums.ndim - len(self.groups)):
            total = np.zeros((*sums.shape[:axis], sums.shape[axis] + 1, *sums.shape[axis + 1 :]))
            np.cumsum(sums, axis, out=total[(slice(None),) * axis + (slice(1, None),)])
            sums = total.take(some.stop, axis) - total.take(some.first, axis)
            counts = np.multiply.outer(counts, np.maximum(some.most, 1))
        return sums * _PRECISE / np.sqrt(counts[0])


def survey(x: np.ndarray, groups: Sequence[WindowGroups], workers: int | None) -> Survey:
    """Survey real samples, whose lines are contiguous, for groups along the last axes; at least two of them."""
    if len(groups) == 2:
        deep = survey(np.expand_dims(x, -3), (groups_of(WindowAxis(0, 1, 1, 1)), *groups), workers)
        return deep._replace(cells=deep.cells[..., 0, :, :], groups=tuple(groups))
    *outer, planes, rows, columns = (some.ends for some in groups)
    shape, item, batch = x.shape, x.itemsize, x.shape[:-3]
    units = math.prod(batch) * len(planes)  # of the compiled routine: no axes but the last three are cut there
    offsets = np.zeros(1, np.intp)
    for extent, stride in zip(shape[:-2], x.strides[:-2]):
        offsets = (offsets[:, np.newaxis] + np.arange(extent) * stride).ravel()
    firsts = np.arange(math.prod(batch))[:, np.newaxis] * shape[-3]
    unit_ends = np.concatenate(([0], (firsts + planes).ravel()))
    lanes = complex_vectors.lanes_of(COMPUTE["f", item])
    wide = -(-shape[-1] // (2 * lanes)) * 2 * lanes
    cells, found = np.empty((*batch, len(planes), len(rows), len(columns))), np.empty((units, cell_sums.FOUND))
    job = cell_sums.CELL_JOB.filled(
        {
            "planes": offsets.ctypes.data,
            "unit_ends": unit_ends.ctypes.data,
            "row_bytes": x.strides[-2],
            "row_cells": len(rows),
            "row_ends": rows.ctypes.data,
            "columns": shape[-1],
            "column_cells": len(columns),
            "column_ends": columns.ctypes.data,
            "wide": wide,
        }
    )
    if listeners:
        notify("survey", x=x, cells=cells)
    add_up, scratch_bytes = _add_up(item), (len(rows) + 1) * wide * item

    def part(first: int, stop: int) -> None:
        with lent_scratch(scratch_bytes) as scratch:
            add_up(
                job.ctypes.data, x.ctypes.data, first, stop, cells.ctypes.data, found.ctypes.data, scratch.ctypes.data
            )

    scheduler.run_ranges(part, range(units), x.size * item * _BYTE, _PARTS, workers)
    for axis, ends in enumerate(outer, x.ndim - len(groups)):
        cells = np.add.reduceat(cells, np.concatenate(([0], ends[:-1])), axis)
    lowest, highest = float(found[:, cell_sums.LOWEST].min()), float(found[:, cell_sums.HIGHEST].max())
    return Survey(lowest, highest, math.sqrt(found[:, cell_sums.SQUARES].sum()), cells, tuple(groups))


def results_of(marked: np.ndarray, groups: Sequence[WindowGroups], shape: Sequence[int]) -> np.ndarray:
    """Numbers of the results, in an array of a shape, of the marked groups along its last axes."""
    rank, found = len(shape) - len(groups), [np.zeros(0, np.intp)]
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    for place in np.argwhere(marked).tolist():
        parts = [range(index, index + 1) for index in place[:rank]]
        parts += [range(some.outputs[k], some.outputs[k + 1]) for some, k in zip(groups, place[rank:])]
        number = np.zeros(1, np.intp)
        for part, step in zip(parts, steps):
            number = (number[:, np.newaxis] + np.arange(part.start, part.stop) * step).ravel()
        found.append(number)
    return np.concatenate(found)


def compile_all(dtype: np.dtype) -> None:
    """Compile all that a survey of samples of a type needs."""
    _add_up(dtype.itemsize)


@compilation.once
def _add_up(itemsize: int):
    return compilation.compile_entry(cell_sums.ADD_UP[itemsize], cell_sums.signature())
