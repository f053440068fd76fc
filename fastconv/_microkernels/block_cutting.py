"""Tables that cut the output into pieces along each axis, and locate the input samples of each piece.

A block is a piece of the rows by a piece of the columns. The tables depend only on shapes and the boundary, and
compiled code that reads them needs no boundary arithmetic.

Along an axis, outputs ``start .. start + length - 1`` of a kernel with ``taps`` taps need the input samples
``start + first .. start + length - 1 + first + taps - 1``. They are one contiguous run of the array, or the boundary
extends them to several runs. Where nothing lies outside of the array, pieces near its ends take fewer taps: those that
reach samples.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from fastconv._microkernels.job_records import Record, reader
from fastconv._model.geometry import Run, runs

RUN = Record("Run", dict.fromkeys(Run._fields, np.intp))
PIECE = Record(
    "Piece",
    {
        "start": np.intp,  # first output,
        "length": np.intp,  # and number of outputs
        "samples": np.intp,  # number of input samples,
        "source": np.intp,  # and the first of them; -1 if not all of them lie in the array
        "first_run": np.intp,  # its runs
        "stop_run": np.intp,
        "first_tap": np.intp,  # of the flipped kernel,
        "taps": np.intp,  # and number of taps
    },
)
ROW_BLOCK = Record("RowBlock", {"first": np.intp, "stop": np.intp})  # its pieces
# A block of columns is one piece to be packed as a whole, or split into edges and an inner piece to be read in place.
COLUMN_BLOCK = Record("ColumnBlock", dict.fromkeys(("first_split", "stop_split", "first_whole", "stop_whole"), np.intp))
run_at, piece_at, row_block_at, column_block_at = map(reader, (RUN, PIECE, ROW_BLOCK, COLUMN_BLOCK))


class Axis(NamedTuple):
    """One axis of a convolution."""

    samples: int
    outputs: int
    taps: int
    first: int  # the input sample under the first tap of the (flipped) kernel at output 0
    boundary: int
    unit: int = 0  # taps that reach no sample are left out in multiples of this; 0 if none are

    def reaching(self, start: int, stop: int) -> tuple[int, int]:
        """First tap, and the number of taps, that outputs from `start` to `stop`, exclusive, are summed from."""
        if not self.unit:
            return 0, self.taps
        first = min(max(0, 1 - stop - self.first), self.taps - 1)
        first, last = self.in_units(first, max(first + 1, self.samples - start - self.first))
        return first, last - first

    def in_units(self, first: int, last: int) -> tuple[int, int]:
        """Enlarge a range of taps, `last` exclusive, to whole units, with the rest of the taps as the last one."""
        last = -(-last // self.unit) * self.unit
        return first // self.unit * self.unit, last if last <= self.taps else self.taps


class Table:
    """Pieces and runs."""

    def __init__(self):
        self._pieces = array("q")
        self._runs = array("q")

    def add(self, axis: Axis, start: int, length: int, first: int, count: int, taps: tuple[int, int]) -> None:
        """Add a piece of `length` outputs from `start` on, with the `count` samples from that of output `first` on.

        `taps` are the first tap, under that sample, and the number of taps.
        """
        source, known = first + axis.first, len(self._runs) // len(Run._fields)
        if 0 <= source <= axis.samples - count:  # inside, as nearly all are
            self._runs.extend((0, source, count, 1))
        else:
            found = runs(source, count, axis.samples, axis.boundary)
            source = found[0].source if len(found) == 1 and found[0].direction == 1 else -1
            for run in found:
                self._runs.extend(run)
        self._pieces.extend((start, length, count, source, known, len(self._runs) // len(Run._fields), *taps))

    def __len__(self) -> int:
        return len(self._pieces) * self._pieces.itemsize // PIECE.dtype.itemsize

    def pieces(self) -> np.ndarray:
        return np.array(self._pieces, np.intp).view(PIECE.dtype)

    def runs(self) -> np.ndarray:
        return np.array(self._runs, np.intp).view(RUN.dtype)


def cut_rows(table: Table, axis: Axis, size: int, samples: int) -> np.ndarray:
    """Cut an axis into blocks of `size` outputs, and those into pieces of at most `samples` samples; return the blocks.

    A piece has the samples after those of the previous piece, and the outputs that are complete with them: the first
    few pieces may have none.
    """
    blocks = array("q")
    for start in range(0, axis.outputs, size):
        begin, done = len(table), start
        if axis.unit:
            _add_whole(table, axis, start, min(start + size, axis.outputs))
            blocks.extend((begin, len(table)))
            continue
        end = min(start + size, axis.outputs) + axis.taps - 1
        for first in range(start, end, samples):
            until = min(first + samples, end)
            complete = max(start, until - axis.taps + 1)
            table.add(axis, done, complete - done, first, until - first, (0, axis.taps))
            done = complete
        blocks.extend((begin, len(table)))
    return np.array(blocks, np.intp).view(ROW_BLOCK.dtype)


def _add_whole(table: Table, axis: Axis, start: int, stop: int) -> None:
    """Add the piece of the outputs from `start` to `stop`, exclusive, with all their samples."""
    first, taps = axis.reaching(start, stop)
    table.add(axis, start, stop - start, start + first, stop - start + taps - 1, (first, taps))


def cut_columns(table: Table, axis: Axis, size: int, least: int) -> np.ndarray:
    """Cut an axis into blocks of `size` outputs, and those that reach outside into edges and an inner piece.

    The edges, to be packed, are as narrow as possible, but no piece is narrower than `least`, the width of a tile.
    Returns the blocks.
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
    return np.array(blocks, np.intp).reshape(-1).view(COLUMN_BLOCK.dtype)
