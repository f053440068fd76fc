"""Tables that cut an output into blocks of rows, columns and planes, and locate the samples of each.

Along an axis with stride s and dilation d, tap j of output o lies on the sample ``first + s * o + d * j``. With
``g = gcd(s, d)`` the taps are dealt out to `phases`, ``s / g`` of them: those of one phase lie whole outputs apart,
``spacing = d / g``, so a phase is a convolution without stride, of every s-th sample. Outputs `spacing` apart share
samples; rows and planes are cut into such classes, in which the taps of a phase are adjacent.
"""

from __future__ import annotations

import math
from array import array
from typing import Iterator, NamedTuple

import numpy as np

from fastconv._microkernels.block_cutting import RUN, run_at
from fastconv._microkernels.job_records import Record, reader
from fastconv._model.geometry import Run, runs
from fastconv._simd import compilation

# Samples at equal distances: the first if all of them lie in the array in this order, else -1; and their runs.
SAMPLES = Record("Samples", dict.fromkeys(("source", "first_run", "stop_run"), np.intp))
# Outputs `start`, ``start + step``, ...: `length` of them, the first entry of their phases in the table of samples, and
# whether all of these lie in the array in order.
BLOCK = Record("Block", {**dict.fromkeys(("start", "step", "length", "samples"), np.intp), "inside": np.bool_})
samples_at, block_at = map(reader, (SAMPLES, BLOCK))


class StridedAxis(NamedTuple):
    """One axis of a convolution; tap j of output o lies on the sample ``first + stride * o + dilation * j``."""

    samples: int
    outputs: int
    taps: int
    first: int
    boundary: int
    stride: int = 1
    dilation: int = 1
    undealt: bool = False  # whether all taps are one phase, of adjacent samples: the microkernel takes the stride

    @property
    def phase_step(self) -> int:
        """Distance of the taps of a phase, in taps."""
        return 1 if self.undealt else self.stride // math.gcd(self.stride, self.dilation)

    @property
    def spacing(self) -> int:
        """Distance of outputs that share samples, and of the taps of a phase in outputs."""
        return self.dilation // math.gcd(self.stride, self.dilation)

    @property
    def phases(self) -> list[int]:
        """Number of taps of each phase; the first tap is the number of the phase."""
        step = self.phase_step
        return [-(-(self.taps - phase) // step) for phase in range(min(step, self.taps))]

    @property
    def looks_outside(self) -> bool:
        """True if some tap of some output lies outside of the array."""
        last = self.first + self.stride * (self.outputs - 1) + self.dilation * (self.taps - 1)
        return self.first < 0 or last >= self.samples


class SampleTable:
    """Progressions of samples, and their runs."""

    def __init__(self) -> None:
        self._samples = array("q")
        self._runs = array("q")

    def add(self, axis: StridedAxis, position: int, step: int, count: int) -> int:
        """Add the samples at ``position + step * k`` for k < `count`; return the number of the entry."""
        found = runs(position, count, axis.samples, axis.boundary, step)
        first, known = found[0], len(self._runs) // len(Run._fields)
        whole = len(found) == 1 and (first.direction == step or count == 1)
        for run in found:
            self._runs.extend(run)
        self._samples.extend((first.source if whole else -1, known, known + len(found)))
        return len(self._samples) // 3 - 1

    def are_inside(self, entries: list[int]) -> bool:
        """True if all samples of some entries lie in the array, in order."""
        return all(self._samples[3 * entry] >= 0 for entry in entries)

    def tables(self) -> dict[str, np.ndarray]:
        """Tables by the names of the fields that hold their addresses."""
        return {
            "samples": np.array(self._samples, np.intp).view(SAMPLES.dtype),
            "runs": np.array(self._runs, np.intp).view(RUN.dtype),
        }


def _pieces(outputs: int, size: int, unit: int) -> Iterator[tuple[int, int]]:
    """First and last, exclusive, of pieces of at most `size` outputs, of about equal lengths in whole units."""
    unit = outputs if size >= outputs else min(unit, size)
    units = -(-outputs // unit)
    count = -(-units // (size // unit))
    for k in range(count):
        yield units * k // count * unit, min(outputs, units * (k + 1) // count * unit)


def _inner_pieces(axis: StridedAxis, size: int, unit: int) -> Iterator[tuple[int, int]]:
    """As `_pieces`, where outputs with samples outside are in pieces of their own, in whole units, if they are few."""
    last = axis.first + axis.stride * (axis.outputs - 1) + axis.dilation * (axis.taps - 1)
    before, after = (-(-max(0, samples) // axis.stride) for samples in (-axis.first, last - axis.samples + 1))
    start, stop = -(-before // unit) * unit, axis.outputs - -(-after // unit) * unit
    spans = [(0, start), (start, stop), (stop, axis.outputs)]
    if stop - start < _LEAST_INSIDE * unit:
        spans = [(0, axis.outputs)]
    for start, stop in spans:
        if start < stop:
            for begin, end in _pieces(stop - start, size, unit):
                yield start + begin, start + end


# Units of outputs that have all their samples inside, to be in pieces without others.
_LEAST_INSIDE = 4


def classes(axis: StridedAxis, size: int, unit: int = 1) -> Iterator[tuple[int, int]]:
    """Start and length of blocks of at most `size` outputs, `spacing` apart, class by class."""
    for start in range(min(axis.spacing, axis.outputs)):
        for begin, end in _pieces(-(-(axis.outputs - start) // axis.spacing), size, unit):
            yield start + axis.spacing * begin, end - begin


def cut_rows(table: SampleTable, axis: StridedAxis, size: int, unit: int, apart: bool = False) -> np.ndarray:
    """Cut rows into blocks of one class each, in whole units, with the samples of each phase.

    Of rows in one class those with samples outside are kept `apart` if so wanted.
    """
    blocks, step = [], axis.stride * axis.spacing
    pieces = classes(axis, size, unit)
    if apart and axis.spacing == 1:
        pieces = ((start, stop - start) for start, stop in _inner_pieces(axis, size, unit))
    for start, length in pieces:
        first = axis.first + axis.stride * start
        found = [
            table.add(axis, first + axis.dilation * phase, step, length + taps - 1)
            for phase, taps in enumerate(axis.phases)
        ]
        blocks.append((start, axis.spacing, length, found[0], table.are_inside(found)))
    return np.array(blocks, BLOCK.dtype)


def cut_columns(table: SampleTable, axis: StridedAxis, size: int, unit: int, apart: bool = False) -> np.ndarray:
    """Cut columns into blocks of adjacent outputs, in whole units, with the samples of each phase.

    Columns with samples outside are kept `apart` if so wanted.
    """
    blocks = []
    for start, stop in _inner_pieces(axis, size, unit) if apart else _pieces(axis.outputs, size, unit):
        first = axis.first + axis.stride * start
        if axis.undealt:
            found = [table.add(axis, first, 1, axis.stride * (stop - start - 1) + axis.taps)]
        else:
            found = [
                table.add(axis, first + axis.dilation * phase, axis.stride, stop - start + axis.spacing * (taps - 1))
                for phase, taps in enumerate(axis.phases)
            ]
        blocks.append((start, 1, stop - start, found[0], table.are_inside(found)))
    return np.array(blocks, BLOCK.dtype)


def cut_planes(axis: StridedAxis, size: int) -> np.ndarray:
    """Cut an axis of planes into blocks of one class each."""
    blocks = [
        (start, axis.spacing if length > 1 else 1, length, 0, True)  # no distance beyond 64 bits
        for start, length in classes(axis, size)
    ]
    return np.array(blocks, BLOCK.dtype)


def add_taps(table: SampleTable, axis: StridedAxis) -> int:
    """Add the samples of all outputs under each tap; return the number of the first entry."""
    positions = (axis.first + axis.dilation * tap for tap in range(axis.taps))
    return min([table.add(axis, position, axis.stride, axis.outputs) for position in positions])


@compilation.inline
def sample_of(job, entry, index):
    """Index of sample number `index` of an entry of the table; -1 if it lies outside."""
    found = samples_at(job.samples, entry)
    for r in range(found.first_run, found.stop_run):
        run = run_at(job.runs, r)
        if index < run.offset + run.length:
            return run.source + (index - run.offset) * run.direction if run.source >= 0 else -1
    return -1
