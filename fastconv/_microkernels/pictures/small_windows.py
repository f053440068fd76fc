"""The job of means, or magnitudes of gradients, over small windows, and the routine for a unit of it.

A unit is a block of output rows of one plane; `ROWS` of them are computed at a time, straight from the rows of samples.
At both ends of a row the window reaches beyond the samples, or a vector does: what these results need is packed into
one short line, as the boundary extends it, and computed there in the same way.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.pictures.window_job import PLANES
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller
from fastconv._simd.lane_copies import common_lanes, copy_lanes
from fastconv._simd.memory import address_of, advance, as_element, call, integers_at, load, opaque, pointer_to, store
from fastconv._simd.small_windows import (
    ROWS,
    column_lanes,
    column_sums,
    result_lanes,
    store_box_means,
    store_magnitudes_of_gradients,
    store_means_of_columns,
)

# Arrays are contiguous: planes of rows of columns of channels. Addresses in scratch memory are offsets in bytes.
SMALL_WINDOW_JOB = Record(
    "SmallWindowJob",
    {
        **HEAD,
        **PLANES,
        "first_at": np.intp,  # elements from the first one of a row to the first one of the window at output 0
        "inside": np.intp,  # the first element of a row of the output that is computed from the row,
        "beyond": np.intp,  # and the first one after those
        "outer": np.intp,  # weights of smoothing, along an edge,
        "middle": np.intp,
        "scale": np.float64,  # and what derivatives are divided by
        "run_at": np.intp,  # of a packed line, for the first results and for the last ones: the first element that
        "run": np.intp,  # is copied from this one of a row on,
        "run_length": np.intp,  # their number,
        "others": np.intp,  # and address of a table of all others: their place, and that in a row, -1 for `fill`
        "other_count": np.intp,
        "packed_results": np.intp,  # results of such a line up to the last one needed,
        "last_at": np.intp,  # and the first one of those at the end of a row
        "packed_pitch": np.intp,  # elements from one packed line to the next,
        "results_pitch": np.intp,  # and from one line of its results
        "spare_at": np.intp,  # a row of results below the last one
        "packed_at": np.intp,
        "results_at": np.intp,
        "sources_at": np.intp,  # tables of addresses: of rows of samples, of packed lines,
        "packed_sources_at": np.intp,
        "targets_at": np.intp,  # of rows of results, and of those of packed lines
        "packed_targets_at": np.intp,
    },
)
_job_at = reader(SMALL_WINDOW_JOB)


def signature(source, result):
    """Signature of the routines for a unit, by the types of the samples and of the results."""
    return types.void(types.CPointer(source), types.CPointer(result), *[types.intp] * 5)


def _make(name: str, store_rows, store_middle, rows: int, means: bool):
    """Make the routine for windows of so many rows; ``store_rows(...)`` computes `ROWS` vectors of results.

    ``store_middle(...)`` computes most of those that are computed straight from the samples, and returns their end.
    """
    samples = ROWS + rows - 1

    @compilation.outline
    def store_line(src, dst, sources, targets, first, start, stop, first_at, job):
        """Compute elements of `ROWS` rows from `start` on; the last vector slides back to `first` at most."""
        lanes = result_lanes(src, means)
        for j in range(start, stop, lanes):
            at = larger(first, smaller(j, stop - lanes))
            store_rows(src, dst, sources, targets, at + first_at, at, job)

    @compilation.outline
    def copy(samples_of_row, place, count):
        lanes = common_lanes(samples_of_row, place)
        whole = count - count % lanes
        for j in range(0, whole, lanes):
            copy_lanes(advance(samples_of_row, j), advance(place, j), 1, False)
        for j in range(whole, count):
            store(advance(opaque(place), j), load(advance(samples_of_row, j)))

    @compilation.outline
    def pack(samples_of_row, line, job):
        """Pack the samples for both ends of a row."""
        copy(advance(samples_of_row, job.run), advance(line, job.run_at), job.run_length)
        fill = as_element(line, job.fill)
        for k in range(job.other_count):
            at, source = integers_at(job.others, 2 * k)[0], integers_at(job.others, 2 * k + 1)[0]
            store(advance(line, at), fill if source < 0 else load(advance(samples_of_row, source)))

    def small_windows(src, dst, job_address, scratch, plane, first, rows_of_unit):
        """Compute `rows_of_unit` output rows from `first` on."""
        job = _job_at(job_address, 0)
        sources, targets = integers_at(scratch + job.sources_at, 0), integers_at(scratch + job.targets_at, 0)
        packed_sources = integers_at(scratch + job.packed_sources_at, 0)
        packed_targets = integers_at(scratch + job.packed_targets_at, 0)
        packed, results = pointer_to(src, scratch + job.packed_at), pointer_to(dst, scratch + job.results_at)
        filled = pointer_to(src, scratch + job.fill_at)
        if job.fills_rows:
            for j in range(job.line):
                store(advance(opaque(filled), j), as_element(filled, job.fill))
        for q in range(ROWS):
            packed_targets[q] = address_of(advance(results, q * job.results_pitch))
        new = first
        for row in range(first, first + rows_of_unit, ROWS):
            count = smaller(ROWS, first + rows_of_unit - row)
            for t in range(samples):
                below = row + smaller(t, count + rows - 2)
                source = integers_at(job.row_sources, below)[0]
                given = filled if source < 0 else advance(src, (plane * job.height + source) * job.line)
                sources[t] = address_of(given)
                line = advance(packed, below % samples * job.packed_pitch)
                packed_sources[t] = address_of(line)
                if below == new:
                    pack(given, line, job)
                    new += 1
            for q in range(ROWS):
                place = advance(dst, (plane * job.out_height + row + q) * job.out_line)
                targets[q] = address_of(place) if q < count else scratch + job.spare_at
            start = store_middle(src, dst, sources, targets, job)
            store_line(src, dst, sources, targets, job.inside, start, job.beyond, job.first_at, job)
            store_line(src, dst, packed_sources, packed_targets, 0, 0, job.packed_results, 0, job)
            for q in range(count):
                place, found = pointer_to(dst, targets[q]), advance(results, q * job.results_pitch)
                copy(found, place, job.inside)
                copy(advance(found, job.last_at), advance(place, job.beyond), job.out_line - job.beyond)

    small_windows.__name__ = name
    return small_windows


def _make_means(size: int, channels: int):
    @compilation.inline
    def store_rows(src, dst, sources, targets, at, to, job):
        store_box_means(src, dst, sources, targets, at, to, job.channels, size, size)

    @compilation.inline
    def store_columns(src, dst, sources, targets, job):
        """By sums down the columns, of which each is computed once."""
        lanes, j, first_at = column_lanes(src), job.inside, job.first_at
        stop = smaller(job.beyond - lanes, job.line - first_at - 2 * lanes)
        if j <= stop:
            sums = column_sums(src, sources, j + first_at, size)
            while j <= stop:
                following = column_sums(src, sources, j + first_at + lanes, size)
                store_means_of_columns(sums, following, dst, targets, j, channels, size, size)
                sums = following
                j += lanes
        return j

    store_middle = store_columns if channels else _store_none
    return _make(f"box_means_{size}_{channels}", store_rows, store_middle, size, True)


@compilation.inline
def _store_none(src, dst, sources, targets, job):
    return job.inside


@compilation.inline
def _store_magnitudes(src, dst, sources, targets, at, to, job):
    channels, outer, middle, scale = job.channels, job.outer, job.middle, job.scale
    store_magnitudes_of_gradients(src, dst, sources, targets, at, to, channels, outer, middle, scale)


# By the side of the window, and the number of channels, 0 for any.
MEANS = {(size, channels): _make_means(size, channels) for size in (3, 5) for channels in (0, 1, 3)}
MAGNITUDES = _make("magnitudes_of_gradients", _store_magnitudes, _store_none, 3, False)


def unit(
    x, x_extents, x_strides, out, out_extents, out_strides, unused, unused_too, job_address, progress, scratch, number
):
    """Compute one unit, by the routine of the types."""
    job = _job_at(job_address, 0)
    first = number % job.row_units * job.unit_rows
    call(
        job.routine,
        x, out, job_address, scratch, number // job.row_units, first, smaller(job.unit_rows, job.out_height - first),
    )  # fmt: skip
