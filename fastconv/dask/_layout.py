"""Chunks of a lazy result: where they are cut, and which samples each one depends on."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

from fastconv._model.geometry import hull, reach
from fastconv._planning.sweeps import Sweep


class Row(NamedTuple):
    """One chunk of the result along one axis."""

    outputs: int
    ranges: tuple[tuple[int, int], ...]  # of the samples that it depends on
    start: int | None = None  # of its first result in the full convolution of these; None along other axes

    @property
    def samples(self) -> int:
        return sum(high - low for low, high in self.ranges)


def whole_row(samples: int, outputs: int) -> Row:
    """A result in one chunk."""
    return Row(outputs, ((0, samples),))


def batch_rows(chunks: tuple[int, ...], outputs: int) -> list[Row]:
    """The chunks of a result along an axis that is not convolved; one sample may be broadcast."""
    if sum(chunks) != outputs:
        return [Row(outputs, ((0, 1),))]
    edges = [0, *accumulate(chunks)]
    return [Row(high - low, ((low, high),)) for low, high in pairwise(edges) if high > low]


def convolved_rows(chunks: tuple[int, ...], sweep: Sweep, cuts: list[int] | None = None) -> list[Row]:
    """The chunks of a result along an axis that is convolved, between `cuts`.

    By default they are those of the samples: the results whose kernels lie around the samples of each.

    >>> [row.outputs for row in convolved_rows((4, 4), Sweep(0, 8, 3, 10, 0))]
    [5, 5]
    """
    span = reach(sweep.taps, sweep.dilation)
    edges = list(accumulate(chunks[:-1])) if cuts is None else cuts[1:-1]
    if cuts is None and (sweep.stride > 1 or sweep.outputs != sweep.samples):
        # Output o lies at the middle of its samples, start + stride * o - span // 2.
        shifts = (edge + (span - 1) // 2 - sweep.start for edge in edges)
        edges = [min(max(-(-shift // sweep.stride), 0), sweep.outputs) for shift in shifts]
    # A single result has no stride, so that its sum would be taken in another order.
    least = 2 if sweep.stride > 1 else 1
    kept = [0]
    for edge in edges:
        if edge - kept[-1] >= least and sweep.outputs - edge >= least:
            kept.append(edge)
    return [_row(sweep, span, first, last) for first, last in pairwise([*kept, sweep.outputs])]


def _row(sweep: Sweep, span: int, first: int, last: int) -> Row:
    """The results from `first` to `last`."""
    position = sweep.start + sweep.stride * first - (span - 1)
    found = hull(position, sweep.stride * (last - first - 1) + span, sweep.samples, sweep.boundary)
    return Row(last - first, found.ranges, found.first + span - 1)
