"""Cut the output of a call into blocks, and those into pieces: in compiled code, block by block.

`block_cutting` makes the same pieces and runs in Python, for a whole output. Here the memory that they take does not
depend on the size of the output.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.block_cutting import piece_at, run_at
from fastconv._microkernels.job_records import Record, reader
from fastconv._model.geometry import next_run
from fastconv._simd import compilation

# An axis of a call.
CALL_AXIS = Record(
    "CallAxis",
    {
        "samples": np.intp,  # as in `block_cutting.Axis`
        "outputs": np.intp,
        "taps": np.intp,
        "first": np.intp,
        "boundary": np.intp,
        "leaves_taps_out": np.bool_,  # whether a piece takes only the taps that reach samples,
        "is_exact": np.bool_,  # and that of each single output: taps that are not finite must not meet a zero outside
        "size": np.intp,  # of a block
    },
)
axis_at = reader(CALL_AXIS)

# Pieces of a block: of its rows, and of its columns as a whole and cut into three; and the runs of one piece.
MOST_PIECES = 5
_next_run = compilation.inline(next_run)


@compilation.inline
def most_runs(axis):
    """Largest number of runs of a piece: at most two for each period of a boundary."""
    return 2 * ((axis.size + axis.taps) // axis.samples) + 5


@compilation.outline
def end_of_block(axis, start):
    """The end of the block that begins at output `start`."""
    stop = min(start + axis.size, axis.outputs)
    inside_from, inside_to = -axis.first, axis.samples - axis.first - axis.taps + 1
    if not axis.is_exact or (inside_from <= start and stop <= inside_to):
        return stop
    return min(stop, inside_to) if inside_from <= start < inside_to else start + 1


@compilation.outline
def add_piece(job, number, known, axis, start, stop):
    """Write piece `number`, of the outputs from `start` to `stop`, exclusive, and its runs, from run `known` on.

    Returns the number of runs.
    """
    piece = piece_at(job.pieces, number)
    first_tap, taps = 0, axis.taps
    if axis.leaves_taps_out:
        first_tap = min(max(0, 1 - stop - axis.first), taps - 1)
        taps = min(taps, max(first_tap + 1, axis.samples - start - axis.first)) - first_tap
    position, count = start + first_tap + axis.first, stop - start + taps - 1
    piece.start, piece.length, piece.samples, piece.source = start, stop - start, count, -1
    piece.first_tap, piece.taps, piece.first_run = first_tap, taps, known
    offset = 0
    while offset < count:
        run = run_at(job.runs, known)
        source, length, direction = _next_run(position + offset, axis.samples, axis.boundary)
        length = min(length, count - offset)
        run.offset, run.source, run.length, run.direction = offset, source, length, direction
        if length == count and direction == 1:
            piece.source = source
        offset += length
        known += 1
    piece.stop_run = known
    return known


@compilation.outline
def add_columns(job, columns, known, axis, start, stop, least):
    """Write the pieces of a block of columns, from piece 1 on: the whole block, and its edges and inner piece.

    The edges, to be packed, are as narrow as possible, but no piece is narrower than `least`, the width of a tile.
    """
    columns.first_split = columns.first_whole = 1
    columns.stop_split = columns.stop_whole = 2
    known = add_piece(job, columns.first_whole, known, axis, start, stop)
    inside_from, inside_to = -axis.first, axis.samples - axis.first - axis.taps + 1
    inner_from = start if start >= inside_from else max(inside_from, start + least)
    inner_to = stop if stop <= inside_to else min(inside_to, stop - least)
    if inner_to - inner_from < least or (inner_from == start and inner_to == stop):
        return
    columns.first_split = columns.stop_split = 2
    begin = start
    for end in (inner_from, inner_to, stop):
        if begin < end:
            known = add_piece(job, columns.stop_split, known, axis, begin, end)
            columns.stop_split += 1
        begin = end
