"""How the output is cut into pieces along each axis, and where the input of each piece lies.

A block of the engine is a piece of the rows by a piece of the columns. Both are laid out here once, before any
array is seen, as tables of integers that compiled code walks through; there, no boundary has a name any more.

Along an axis, outputs ``start .. start + length - 1`` of a kernel with ``taps`` taps need the input samples
``start + first .. start + length - 1 + first + taps - 1``. They lie in the array in one straight run, or the
boundary makes several runs of them.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from fastconv._model.geometry import runs

# A piece in a table: first output, number of outputs, the number of input samples and the first of them (-1 where not
# all of them lie in the array), and where its runs begin and end.
START, LENGTH, SAMPLES, SOURCE, RUNS_FROM, RUNS_TO, PIECE = range(7)
# A run, as in `fastconv._model.geometry`.
OFFSET, RUN_SOURCE, COUNT, DIRECTION, RUN = range(5)
# A block of rows: its pieces.
ROWS_FROM, ROWS_TO, ROW_BLOCK = range(3)
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
        self._pieces = array("q")
        self._runs = array("q")

    def add(self, axis: Axis, start: int, length: int, first: int, count: int) -> None:
        """Add a piece of `length` outputs from `start` on, with the `count` samples that output `first` begins with."""
        source, known = first + axis.first, len(self._runs) // RUN
        if 0 <= source <= axis.samples - count:  # nearly all are: no need to look for runs
            self._runs.extend((0, source, count, 1))
        else:
            found = runs(source, count, axis.samples, axis.boundary)
            source = found[0].source if len(found) == 1 and found[0].direction == 1 else -1
            for run in found:
                self._runs.extend(run)
        self._pieces.extend((start, length, count, source, known, len(self._runs) // RUN))

    def __len__(self) -> int:
        return len(self._pieces) // PIECE

    def pieces(self) -> np.ndarray:
        return np.array(self._pieces, np.intp)

    def runs(self) -> np.ndarray:
        return np.array(self._runs, np.intp)


def cut_rows(table: Table, axis: Axis, size: int, samples: int) -> np.ndarray:
    """Cut an axis into blocks of `size` outputs, and those into pieces of at most `samples` samples.

    A piece of a block has the samples that the piece before it had not, and the outputs that are complete with them:
    the first few may have none. Returns the blocks.
    """
    blocks = array("q")
    for start in range(0, axis.outputs, size):
        begin, done = len(table), start
        end = min(start + size, axis.outputs) + axis.taps - 1
        for first in range(start, end, samples):
            until = min(first + samples, end)
            complete = max(start, until - axis.taps + 1)
            table.add(axis, done, complete - done, first, until - first)
            done = complete
        blocks.extend((begin, len(table)))
    return np.array(blocks, np.intp)


def _add_whole(table: Table, axis: Axis, start: int, stop: int) -> None:
    """Add the piece of the outputs from `start` to `stop`, exclusive, with all their samples."""
    table.add(axis, start, stop - start, start, stop - start + axis.taps - 1)


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
        _add_whole(table, axis, start, stop)
        if inner_to - inner_from < least or (inner_from == start and inner_to == stop):
            blocks.append((whole, whole + 1, whole, whole + 1))
            continue
        split = len(table)
        for piece in ((start, inner_from), (inner_from, inner_to), (inner_to, stop)):
            if piece[0] < piece[1]:
                _add_whole(table, axis, *piece)
        blocks.append((split, len(table), whole, whole + 1))
    return np.array(blocks, np.intp).reshape(-1)
