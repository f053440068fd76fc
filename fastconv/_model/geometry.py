"""Modes and boundaries: how long an output is, and where it starts.

Along one axis, with ``N`` samples and ``M`` taps, every result of the package is::

    out[o] = sum_j kernel[j] * x[o + start - j]

so a mode is nothing but a length and a start. Nothing here knows an array.
"""

from __future__ import annotations

from typing import NamedTuple

MODES = ("full", "same", "valid")

# The order is the code that the engines use for a boundary.
BOUNDARIES = ("zero", "fill", "nearest", "reflect", "mirror", "wrap")
ZERO, FILL, NEAREST, REFLECT, MIRROR, WRAP = range(len(BOUNDARIES))


class Span(NamedTuple):
    """Length of the output along one axis, and the index in the full convolution of its first sample."""

    length: int
    start: int


def span(mode: str, samples: int, taps: int) -> Span:
    """Output length and start of `mode` for `samples` of input and `taps` of kernel.

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


class Run(NamedTuple):
    """Samples that lie in a straight line: `length` of them from index `source` on.

    `direction` is 1, -1, or 0 for one sample again and again; `source` is -1 for what is not in the array. `offset`
    is where the run goes, from the first sample asked for.
    """

    offset: int
    source: int
    length: int
    direction: int


def runs(position: int, count: int, extent: int, boundary: int) -> list[Run]:
    """The `count` samples from `position` on, of an axis of `extent` samples continued by `boundary`.

    >>> runs(-3, 8, 4, REFLECT)
    [Run(offset=0, source=2, length=3, direction=-1), Run(offset=3, source=0, length=4, direction=1), \
Run(offset=7, source=3, length=1, direction=-1)]
    """
    found = []
    offset = 0
    while offset < count:
        source, length, direction = _run_at(position + offset, extent, boundary)
        length = min(length, count - offset)
        found.append(Run(offset, source, length, direction))
        offset += length
    return found


_ENDLESS = 1 << 62


def _run_at(position: int, extent: int, boundary: int) -> tuple[int, int, int]:
    """Source, length and direction of the run that begins at `position`."""
    if 0 <= position < extent:
        return position, extent - position, 1
    before = -position if position < 0 else _ENDLESS
    if boundary in (ZERO, FILL):
        return -1, before, 0
    if boundary == NEAREST or (boundary == MIRROR and extent == 1):
        return (0 if position < 0 else extent - 1), before, 0
    if boundary == WRAP:
        index = position % extent
        return index, extent - index, 1
    # Forth and back again: the last sample counts twice in reflect, and once in mirror.
    twice = 1 if boundary == REFLECT else 0
    period = 2 * extent - 2 + 2 * twice
    index = position % period
    if index < extent:
        return index, extent - index, 1
    return period - twice - index, period - index, -1
