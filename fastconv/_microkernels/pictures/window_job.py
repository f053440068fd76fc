"""The job of means and standard deviations over windows, its unit, and the lines of sums that its routines share.

A unit is a block of output rows of one plane. Sums down the columns are those of the columns of the input; a line of
them is then extended beyond the boundary, which commutes with sums, and summed along.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.integers import smaller
from fastconv._simd.memory import advance, as_element, call, integers_at, load, pointer_to, store

# Fields about planes, and the units of them, of all windows.
PLANES = {
    "routine": np.intp,  # address of the routine for a unit
    "height": np.intp,  # of a plane of the input
    "line": np.intp,  # elements of a row of the input,
    "out_line": np.intp,  # and of the output
    "out_height": np.intp,
    "channels": np.intp,
    "row_sources": np.intp,  # address of a table: the row of the input for each one of those as the boundary
    # extends them, -1 for `fill`
    "fill": np.float64,  # the value outside
    "fills_rows": np.bool_,
    "fill_at": np.intp,  # a row of samples of the value outside
    "unit_rows": np.intp,  # output rows of a unit
    "row_units": np.intp,  # units of a plane
}
# Everything that a unit needs to know but the arrays, which are contiguous: planes of rows of columns of channels.
# Addresses in scratch memory are offsets in bytes.
WINDOW_JOB = Record(
    "WindowJob",
    {
        **HEAD,
        **PLANES,
        "rows": np.intp,  # of the window
        "columns": np.intp,
        "extended": np.intp,  # columns as the boundary extends them,
        "inside_at": np.intp,  # the first one of the input,
        "inside": np.intp,  # their number,
        "first_column": np.intp,  # and the column of the input
        "runs": np.intp,  # address of a table of the others, four numbers each: first, number, source, step; the source
        "run_count": np.intp,  # is a column as extended, or -1 for `fill`
        "size": np.float64,  # of the window in pixels,
        "reciprocal": np.float64,  # 1 over it,
        "whole_size": np.intp,  # the same as an integer,
        "multiplier": np.intp,  # and what `store_means_of_words` multiplies by,
        "shift": np.intp,  # and shifts by
        "shares": np.intp,  # address of a table: 1 / n for each number n of rows or columns in a window, and 0 for 0
        "line_at": np.intp,  # lines of sums, as extended, behind a vector of zeros
        "result_bytes": np.intp,  # of an element of the output
        "line_pitch": np.intp,  # elements from one such line to the next,
        "inside_pitch": np.intp,  # and from one line of columns inside
        "rest_at": np.intp,  # a vector of results that are not all stored
        "addresses_at": np.intp,  # a table of the addresses of the rows under a window
        "terms_at": np.intp,  # and one of those of the sums that make that of a window
        "block_rows": np.intp,  # output rows of a block, whose windows of floats share their middle,
        "totals": np.intp,  # totals of as many rows of samples: the middle is made of all but one,
        "middle_rows": np.intp,  # and of rows, so many and one
        "doubled": np.intp,  # elements of a line from which sums of 2, 4, ... columns begin,
        "doublings": np.intp,  # and the number of lines of these
        "ends_at": np.intp,  # lines of sums of the middle and the rows above it, one for each row of a block
        "totals_at": np.intp,  # and lines of totals
        "blocks_at": np.intp,  # lines of sums of the ends of a block of rows, and one of the beginning of the next
        "turned_at": np.intp,  # lines of sums, transposed
    },
)
job_at = reader(WINDOW_JOB)


def unit_signature(source, sums, result):
    """Signature of the routines for a unit, by the types of the samples, of the sums, and of the results."""
    pointers = map(types.CPointer, (source, sums, result))
    return types.void(*pointers, *[types.intp] * 5)


@compilation.inline
def row_of(src, job, scratch, plane, row):
    """The samples, of columns inside, of a row as the boundary extends them."""
    source = integers_at(job.row_sources, row)[0]
    if source < 0:
        return pointer_to(src, scratch + job.fill_at)
    return advance(src, (plane * job.height + source) * job.line + job.first_column * job.channels)


@compilation.inline
def fill_row(src, job, scratch):
    """Fill the row of samples outside, if any row is."""
    if job.fills_rows:
        samples, fill = pointer_to(src, scratch + job.fill_at), job.fill
        for j in range(job.inside * job.channels):
            store(advance(samples, j), as_element(samples, fill))


@compilation.outline
def extend(line, job, filled):
    """Extend a line of sums of columns inside to the others; `filled` is the sum outside."""
    channels = job.channels
    for run in range(job.run_count):
        first, count, source, step = (
            integers_at(job.runs, 4 * run)[0],
            integers_at(job.runs, 4 * run + 1)[0],
            integers_at(job.runs, 4 * run + 2)[0],
            integers_at(job.runs, 4 * run + 3)[0],
        )
        to = advance(line, first * channels)
        if source < 0:
            for j in range(count * channels):
                store(advance(to, j), filled)
        elif channels == 1 and step < 0:
            samples = advance(line, source)
            for c in range(count):
                store(advance(to, c), load(advance(samples, -c)))
        else:
            for c in range(count):
                for k in range(channels):
                    store(advance(to, c * channels + k), load(advance(line, (source + c * step) * channels + k)))


def window_unit(
    x, x_extents, x_strides, out, out_extents, out_strides, unused, unused_too, job_address, progress, scratch, unit
):
    """Compute one unit, by the routine of the types."""
    job = job_at(job_address, 0)
    first = unit % job.row_units * job.unit_rows
    call(
        job.routine,
        x, scratch, out, job_address, scratch, unit // job.row_units, first,
        smaller(job.unit_rows, job.out_height - first),
    )  # fmt: skip
