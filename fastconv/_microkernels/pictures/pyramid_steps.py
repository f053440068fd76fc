"""Steps of a Gaussian pyramid: a picture of half the size, and one of twice the size, in one pass over memory.

A unit is a block of rows of a strip of columns, so narrow that the rows under the taps stay in the L1 cache. For each
row of results, rows are summed into lines in scratch memory, and those along the row. Sums of the columns beyond the
boundary are those of the columns that it repeats.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import (
    address_of,
    advance,
    advance_bytes,
    call,
    integers_at,
    itemsize,
    load,
    pointer_to,
    store,
)
from fastconv._simd.pyramid_lanes import (
    ALL,
    SINGLE,
    double_rows,
    halve_rows,
    result_lanes,
    store_doubled,
    store_doubled_phase,
    store_halved,
    sum_lanes,
)
from fastconv._simd.target import processor

_VECTOR_BYTES = processor().vector_bytes

# What a unit needs to know but the arrays, of shape (rows, columns, channels), whose rows are contiguous. Addresses in
# scratch memory are offsets in bytes.
PYRAMID_JOB = Record(
    "PyramidJob",
    {
        **HEAD,
        "routine": np.intp,  # address of the routine for a unit
        "columns": np.intp,  # of the input
        "channels": np.intp,
        "row_sources": np.intp,  # address of a table: the row of the input for each one of those that are summed
        "edges": np.intp,  # address of a table of columns beyond the boundary, and those of the input that they repeat
        "edge_count": np.intp,
        "rows": np.intp,  # of the output, or of the input for twice the size: what units and strips divide
        "across": np.intp,  # and columns
        "unit_rows": np.intp,  # rows of a unit
        "strip": np.intp,  # and columns
        "strips": np.intp,
        "line_at": np.intp,  # a line of sums: of even pixels, or for even rows of results
        "other_line_at": np.intp,  # and one for the odd ones
        "apart": np.intp,  # elements from those for a row of results of half the size to those for the next
        "rest_at": np.intp,  # results that are not all stored
    },
)
_job_at = reader(PYRAMID_JOB)


def step_signature(source, sums, result):
    """Signature of the routines for a unit, by the types of the samples, of the sums, and of the results."""
    pointers = map(types.CPointer, (source, sums, result))
    return types.void(*pointers, *[types.intp] * 8)


def pyramid_unit(
    x, x_extents, x_strides, out, out_extents, out_strides, unused, unused_too, job_address, progress, scratch, unit
):
    """Compute one unit, by the routine of the types."""
    job = _job_at(job_address, 0)
    row, column = unit // job.strips * job.unit_rows, unit % job.strips * job.strip
    call(
        job.routine,
        x, scratch, out, job_address, scratch, integers_at(x_strides, 0)[0], integers_at(out_strides, 0)[0],
        row, smaller(job.unit_rows, job.rows - row), column, smaller(job.strip, job.across - column),
    )  # fmt: skip


@compilation.inline
def _row_at(src, job, pitch, row):
    """The row of the input that is the number `row` of those that are summed."""
    return advance_bytes(src, integers_at(job.row_sources, row)[0] * pitch)


@compilation.outline
def _copy(samples, to, count):
    for k in range(count):
        store(advance(to, k), load(advance(samples, k)))


@compilation.outline
def _steps_back(address, step):
    """How many steps, of so many bytes, lead back from an address to a whole vector; 0 if none do."""
    for count in range(_VECTOR_BYTES):
        if (address - count * step) % _VECTOR_BYTES == 0:
            return count
    return 0


@compilation.inline
def _sum_pixel(rows, at, to, apart, channels):
    """Sums of seven rows of one pixel."""
    for k in range(channels):
        halve_rows(rows, at + k, advance(to, k), to, apart, SINGLE)


@compilation.inline
def _sum_wide_pixels(rows, at, evens, odds, apart, pixels, channels, readable, back):
    """Sums of pixels, the even and the odd ones apart, of any number of channels, by vectors that overlap the next."""
    lanes = sum_lanes(evens)
    for pixel in range(pixels):
        to = advance(odds if pixel % 2 else evens, pixel // 2 * channels)
        for k in range(0, channels, lanes):
            j, place = at + pixel * channels + k, advance(to, k)
            if j + lanes <= readable:
                halve_rows(rows, j, place, place, apart, ALL)
            else:
                _sum_pixel(rows, j, place, apart, smaller(lanes, channels - k))


def _make_pixel_sums(shuffled: int):
    """Make `_sum_wide_pixels` for a number of channels that are shuffled in registers."""

    @compilation.inline
    def sum_pixels(rows, at, evens, odds, apart, pixels, channels, readable, back):
        """Sums of pixels, the even and the odd ones apart; `back` is where vectors are whole."""
        group, pixel = 2 * sum_lanes(evens), 0
        if pixels >= group:
            most = pixels - group - pixels % 2
            while pixel + 1 < pixels:
                # The last group begins before the end of the one before it, at an even pixel; so does the second.
                begin = smaller(pixel, most)
                to = begin // 2 * channels
                halve_rows(rows, at + begin * channels, advance(evens, to), advance(odds, to), apart, shuffled)
                pixel = begin + group if pixel else group - 2 * back
        while pixel < pixels:
            to = advance(odds if pixel % 2 else evens, pixel // 2 * channels)
            _sum_pixel(rows, at + pixel * channels, to, apart, channels)
            pixel += 1

    return sum_pixels


def _make_halving(name: str, sum_pixels):
    """Make the routine for half the size."""

    def halve(src, sums, dst, job_address, scratch, pitch, out_pitch, first_row, rows, first_column, columns):
        """Compute a unit of a picture of half the size, two rows at a time."""
        job = _job_at(job_address, 0)
        channels, apart = job.channels, job.apart
        evens, odds = pointer_to(sums, scratch + job.line_at), pointer_to(sums, scratch + job.other_line_at)
        first = 2 * first_column - 2  # the column of the first even pixel
        stop = first + 2 * columns + 3
        low, high = larger(0, first), smaller(job.columns, stop)
        at, inside = low * channels, (low - first) // 2 * channels
        lanes, stored = result_lanes(dst), columns * channels
        second = address_of(advance(src, at + 2 * sum_lanes(sums) * channels))
        back = _steps_back(second, 2 * channels * itemsize(src)) if pitch % _VECTOR_BYTES == 0 else 0
        back = back if back < sum_lanes(sums) else 0
        for row in range(first_row, first_row + rows, 2):
            under = (
                _row_at(src, job, pitch, 2 * row), _row_at(src, job, pitch, 2 * row + 1),
                _row_at(src, job, pitch, 2 * row + 2), _row_at(src, job, pitch, 2 * row + 3),
                _row_at(src, job, pitch, 2 * row + 4), _row_at(src, job, pitch, 2 * row + 5),
                _row_at(src, job, pitch, 2 * row + 6),
            )  # fmt: skip
            sum_pixels(
                under, at, advance(evens, inside), advance(odds, inside), apart, high - low, channels,
                job.columns * channels, back,
            )  # fmt: skip
            for edge in range(job.edge_count):
                column, source = integers_at(job.edges, 2 * edge)[0], integers_at(job.edges, 2 * edge + 1)[0]
                if first <= column < stop:
                    to = advance(odds if column % 2 else evens, (column - first) // 2 * channels)
                    _sum_pixel(under, source * channels, to, apart, channels)
            for other in range(smaller(2, first_row + rows - row)):
                even, odd = advance(evens, other * apart), advance(odds, other * apart)
                place = advance(advance_bytes(dst, (row + other) * out_pitch), first_column * channels)
                if stored < lanes:
                    rest = pointer_to(dst, scratch + job.rest_at)
                    store_halved(even, odd, rest, channels)
                    _copy(rest, place, stored)
                else:
                    for j in range(0, stored, lanes):
                        k = smaller(j, stored - lanes)
                        store_halved(advance(even, k), advance(odd, k), advance(place, k), channels)

    halve.__name__ = name
    return halve


@compilation.inline
def _store_wide_pixels(line, place, rest, columns, channels):
    """Twice as many pixels of any number of channels, by vectors that overlap the next, but nothing behind the last."""
    lanes, stored = sum_lanes(line), 2 * columns * channels
    for pixel in range(2 * columns):
        for k in range(0, channels, lanes):
            samples, at = advance(line, pixel // 2 * channels + k), pixel * channels + k
            to = advance(place, at) if at + lanes <= stored else rest
            if pixel % 2:
                store_doubled_phase(samples, to, channels, True)
            else:
                store_doubled_phase(samples, to, channels, False)
            if at + lanes > stored:
                _copy(rest, advance(place, at), smaller(lanes, channels - k))


def _make_pixel_stores(shuffled: int):
    """Make `_store_wide_pixels` for a number of channels that are shuffled in registers."""

    @compilation.inline
    def store_pixels(line, place, rest, columns, channels):
        """Twice as many pixels, the even and the odd ones in turn."""
        group, count = shuffled * sum_lanes(line), columns * channels
        if count < group:
            store_doubled(line, rest, shuffled)
            _copy(rest, place, 2 * count)
        else:
            for k in range(0, count, group):
                j = smaller(k, count - group)
                store_doubled(advance(line, j), advance(place, 2 * j), shuffled)

    return store_pixels


@compilation.inline
def _sum_three(above, here, below, even, odd, at, count):
    """Sums of rows for both rows of results, one by one."""
    for k in range(at, at + count):
        to, other = advance(even, k - at), advance(odd, k - at)
        double_rows(advance(above, k), advance(here, k), advance(below, k), to, other, True)


def _make_doubling(name: str, store_pixels):
    """Make the routine for twice the size."""

    def double(src, sums, dst, job_address, scratch, pitch, out_pitch, first_row, rows, first_column, columns):
        """Compute a unit of a picture of twice the size: two rows for each row of the input."""
        job = _job_at(job_address, 0)
        channels = job.channels
        even, odd = pointer_to(sums, scratch + job.line_at), pointer_to(sums, scratch + job.other_line_at)
        rest = pointer_to(dst, scratch + job.rest_at)
        first, stop = first_column - 1, first_column + columns + 1
        low, high = larger(0, first) * channels, smaller(job.columns, stop) * channels
        inside, inside_odd = advance(even, low - first * channels), advance(odd, low - first * channels)
        lanes = sum_lanes(sums)
        for row in range(first_row, first_row + rows):
            above, here = _row_at(src, job, pitch, row), _row_at(src, job, pitch, row + 1)
            below = _row_at(src, job, pitch, row + 2)
            if high - low < lanes:
                _sum_three(above, here, below, inside, inside_odd, low, high - low)
            else:
                for k in range(low, high, lanes):
                    j = smaller(k, high - lanes)
                    to, other = advance(inside, j - low), advance(inside_odd, j - low)
                    double_rows(advance(above, j), advance(here, j), advance(below, j), to, other, False)
            for edge in range(job.edge_count):
                column, source = integers_at(job.edges, 2 * edge)[0], integers_at(job.edges, 2 * edge + 1)[0]
                if first <= column < stop:
                    at = (column - first) * channels
                    _sum_three(
                        above, here, below, advance(even, at), advance(odd, at), source * channels, channels
                    )  # fmt: skip
            for phase in range(2):
                place = advance(advance_bytes(dst, (2 * row + phase) * out_pitch), 2 * first_column * channels)
                store_pixels(advance(odd if phase else even, channels), place, rest, columns, channels)

    double.__name__ = name
    return double


# By number of channels; 0 stands for all others.
HALVING = {0: _make_halving("halve_any", _sum_wide_pixels)}
DOUBLING = {0: _make_doubling("double_any", _store_wide_pixels)}
for _channels in range(1, 5):
    HALVING[_channels] = _make_halving(f"halve_{_channels}", _make_pixel_sums(_channels))
    DOUBLING[_channels] = _make_doubling(f"double_{_channels}", _make_pixel_stores(_channels))
