"""Index arithmetic of one axis: output length and start of each mode, and the samples beyond each boundary.

Along one axis, with samples `x` and taps `kernel`, every result of the package is::

    out[o] = sum_j kernel[j] * x[o + start - j]

so a mode is a length of the output and a `start`.
"""

from __future__ import annotations

from typing import NamedTuple

MODES = ("full", "same", "valid")

# Engines denote a boundary by its index here.
BOUNDARIES = ("zero", "fill", "nearest", "reflect", "mirror", "wrap")
ZERO, FILL, NEAREST, REFLECT, MIRROR, WRAP = range(len(BOUNDARIES))


class Span(NamedTuple):
    """Length of the output along one axis, and index of its first sample in the full convolution."""

    length: int
    start: int


def span(mode: str, samples: int, taps: int) -> Span:
    """Return length and start of the output of `mode`.

    ========  ====================  ============================
    mode      length                start
    ========  ====================  ============================
    full      samples + taps - 1    0
    same      samples               (taps - 1) // 2
    valid     abs(samples-taps)+1   min(samples, taps) - 1
    ========  ====================  ============================
    """
    if mode == "full":
        return Span(samples + taps - 1, 0)
    if mode == "same":
        return Span(samples, (taps - 1) // 2)
    return Span(abs(samples - taps) + 1, min(samples, taps) - 1)


def reach(taps: int, dilation: int) -> int:
    """Samples from the first to the last tap."""
    return (taps - 1) * dilation + 1


def products_inside(samples: int, taps: int, outputs: int, first: int) -> int:
    """Number of products of a tap and a sample along an axis: those with what lies outside are not counted.

    `first` is the index of the sample under the first tap of the flipped kernel at output 0.

    >>> products_inside(5, 3, 7, -2), products_inside(5, 3, 5, -1), products_inside(5, 3, 3, 0)
    (15, 13, 9)
    """

    def below(limit: int) -> int:
        """Pairs of an output and a tap whose sum is less than `limit`."""
        corners = (limit, 1), (limit - outputs, -1), (limit - taps, -1), (limit - outputs - taps, 1)
        return sum(sign * (least * (least + 1) // 2) for least, sign in corners if least > 0)

    return below(samples - first) - below(-first)


class Run(NamedTuple):
    """Samples at equal distances: `length` of them, from index `source` in steps of `direction`.

    `direction` is the step requested, its negative, or 0 for one sample repeated; `source` is -1 for fill values.
    `offset` is the position of the run relative to the first sample requested, in steps.
    """

    offset: int
    source: int
    length: int
    direction: int

    @property
    def indices(self) -> slice:
        """The samples in an array, one if it is repeated."""
        if self.direction == 0:
            return slice(self.source, self.source + 1)
        stop = self.source + self.direction * self.length
        return slice(self.source, stop if stop >= 0 else None, self.direction)


def runs(position: int, count: int, extent: int, boundary: int, step: int = 1) -> list[Run]:
    """Split `count` samples from `position` on, `step` apart, of an axis extended by `boundary`, into runs.

    >>> runs(-3, 8, 4, REFLECT)
    [Run(offset=0, source=2, length=3, direction=-1), Run(offset=3, source=0, length=4, direction=1), \
Run(offset=7, source=3, length=1, direction=-1)]
    """
    found = []
    offset = 0
    while offset < count:
        source, length, direction = next_run(position + step * offset, extent, boundary)
        length = min(-(-length // step), count - offset)
        found.append(Run(offset, source, length, step * direction))
        offset += length
    return found


_UNBOUNDED = 1 << 62


def next_run(position: int, extent: int, boundary: int) -> tuple[int, int, int]:
    """Return source, length and direction of the run that begins at `position`; compiled code runs this too."""
    if 0 <= position < extent:
        return position, extent - position, 1
    outside = -position if position < 0 else _UNBOUNDED
    if boundary == ZERO or boundary == FILL:
        return -1, outside, 0
    if boundary == NEAREST or (boundary == MIRROR and extent == 1):
        return (0 if position < 0 else extent - 1), outside, 0
    if boundary == WRAP:
        index = position % extent
        return index, extent - index, 1
    # One period is forwards and backwards; reflect repeats the samples at the ends, mirror does not.
    repeated = 1 if boundary == REFLECT else 0
    period = 2 * extent - 2 + 2 * repeated
    index = position % period
    if index < extent:
        return index, extent - index, 1
    return period - repeated - index, period - index, -1


class Hull(NamedTuple):
    """The part of an axis that some samples are taken from: ranges of indices to join, and where the samples begin.

    Joined, and extended by the boundary of the axis, they have the same samples; `first` is the position of the first.
    """

    ranges: tuple[tuple[int, int], ...]
    first: int


def hull(first: int, count: int, extent: int, boundary: int) -> Hull:
    """The least part of an axis from which `count` samples from `first` on can be had, at least one of its samples.

    >>> hull(-2, 5, 100, REFLECT), hull(-2, 5, 100, WRAP)
    (Hull(ranges=((0, 3),), first=-2), Hull(ranges=((98, 100), (0, 3)), first=0))
    """
    last = first + count
    if boundary == WRAP:
        if count >= extent:
            return Hull(((0, extent),), first % extent)
        begin = first % extent
        if begin + count <= extent:
            return Hull(((begin, begin + count),), 0)
        return Hull(((begin, extent), (0, begin + count - extent)), 0)
    low, high = min(max(first, 0), extent - 1), max(min(last, extent), 1)
    if boundary in (REFLECT, MIRROR):
        # What lies outside on one side is mirrored there, so the part must end there, and hold all that is mirrored.
        pivot = 1 if boundary == MIRROR else 0
        if first < 0:
            low, high = 0, min(max(high, pivot - first), extent)
        if last > extent:
            low, high = (0 if first < 0 else max(min(low, 2 * extent - last - pivot), 0)), extent
    return Hull(((low, high),), first - low)
