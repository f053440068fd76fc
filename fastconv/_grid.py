"""How the output is cut into pieces along each axis, and where the input of each piece lies.

A block of the engine is a piece of the rows by a piece of the columns. Both are laid out here once, before any
array is seen, as tables of integers that compiled code walks through; there, no boundary has a name any more.

Along an axis, outputs ``start .. start + length - 1`` of a kernel with ``taps`` taps need the input samples
``start + first .. start + length - 1 + first + taps - 1``. They lie in the array in one straight run, or the
boundary makes several runs of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv._geometry import runs

# A piece in a table: first output, number of outputs, the input sample that it begins at (-1 where not all of its
# samples lie in the array), and where its runs begin and end.
START, LENGTH, SOURCE, RUNS_FROM, RUNS_TO, PIECE = range(6)
# A run, as in `fastconv._geometry`.
OFFSET, RUN_SOURCE, COUNT, DIRECTION, RUN = range(5)
# A block of columns: its pieces where those that lie inside may be read in place, and where none may.
SPLIT_FROM, SPLIT_TO, WHOLE_FROM, WHOLE_TO, BLOCK = range(5)


class Axis(NamedTuple):
    """One axis of a convolution."""

    samples: int
    outputs: int
    taps: int
    first: int  # the input sample under the first tap of the (flipped) kernel at output 0
    boundary: int


class Table:
    """Pieces and runs, as they are laid out."""

    def __init__(self):
        self._pieces: list[tuple[int, ...]] = []
        self._runs: list[tuple[int, ...]] = []

    def add(self, axis: Axis, start: int, stop: int) -> None:
        """Add the piece of the outputs from `start` to `stop`, exclusive."""
        found = runs(start + axis.first, stop - start + axis.taps - 1, axis.samples, axis.boundary)
        inside = len(found) == 1 and found[0].direction == 1
        source = found[0].source if inside else -1
        count = len(self._runs)
        self._pieces.append((start, stop - start, source, count, count + len(found)))
        self._runs += found

    def __len__(self) -> int:
        return len(self._pieces)

    def pieces(self) -> np.ndarray:
        return np.array(self._pieces, np.intp).reshape(-1)

    def runs(self) -> np.ndarray:
        return np.array(self._runs, np.intp).reshape(-1)


def cut_rows(table: Table, axis: Axis, size: int) -> int:
    """Cut an axis into pieces of `size` outputs; return how many."""
    starts = range(0, axis.outputs, size)
    for start in starts:
        table.add(axis, start, min(start + size, axis.outputs))
    return len(starts)


def cut_columns(table: Table, axis: Axis, size: int, least: int) -> np.ndarray:
    """Cut an axis into blocks of `size` outputs, and those that reach outside into edges and an inner piece.

    The edges, to be packed, are as narrow as they can be, but for the `least` that a tile computes. Returns the
    blocks.
    """
    inside_from, inside_to = -axis.first, axis.samples - axis.first - axis.taps + 1
    blocks = []
    for start in range(0, axis.outputs, size):
        stop = min(start + size, axis.outputs)
        inner_from = start if start >= inside_from else max(inside_from, start + least)
        inner_to = stop if stop <= inside_to else min(inside_to, stop - least)
        whole = len(table)
        table.add(axis, start, stop)
        if inner_to - inner_from < least or (inner_from == start and inner_to == stop):
            blocks.append((whole, whole + 1, whole, whole + 1))
            continue
        split = len(table)
        for piece in ((start, inner_from), (inner_from, inner_to), (inner_to, stop)):
            if piece[0] < piece[1]:
                table.add(axis, *piece)
        blocks.append((split, len(table), whole, whole + 1))
    return np.array(blocks, np.intp).reshape(-1)
