"""Means and standard deviations over windows, at a cost that does not depend on their size.

Lines of samples are cut into blocks as long as the window. A window is the end of one block and the beginning of the
next: the sum of a suffix of the one, taken from its end, and of a prefix of the other (M. van Herk, Pattern Recognition
Letters 13, 1992). Nothing is subtracted, so that errors are those of a plain sum, and an infinity or a NaN stays in the
windows that hold it. First down the columns, then along the rows.

Sums of integers, which are exact, are moved along instead: the next sample is added, and the last one subtracted.

Deviations combine counts, means and sums of squared distances from them in the same way (T. F. Chan, G. H. Golub and
R. J. LeVeque, The American Statistician 37, 1983): no square is larger than that of a distance.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.memory import advance, as_element, call, doubles_at, integers_at, load, store

# Everything that `run` needs to know but the arrays, which are contiguous: planes of rows of columns of channels.
WINDOW_JOB = Record(
    "WindowJob",
    {
        "routine": np.intp,  # address of the routine for a unit
        "height": np.intp,  # of a plane of the input
        "line": np.intp,  # elements of a row of the input,
        "out_line": np.intp,  # and of the output
        "out_height": np.intp,
        "channels": np.intp,
        "rows": np.intp,  # of the window
        "columns": np.intp,
        "row_sources": np.intp,  # address of a table: the row of the input for each one of those as the boundary
        "column_sources": np.intp,  # extends them, -1 for `fill`; and the same for columns
        "extended": np.intp,  # number of these columns
        "first_inside": np.intp,  # those of the input, in order
        "stop_inside": np.intp,
        "fill": np.float64,  # the value outside
        "shares": np.intp,  # address of a table: 1 / n for each number n of rows or columns in a window, and 0 for 0
        "unit_rows": np.intp,  # output rows of a unit, a multiple of the rows of the window
        "row_units": np.intp,  # units of a plane
        "units": np.intp,
    },
)
_job_at = reader(WINDOW_JOB)


def signature():
    """Signature of `run`."""
    return types.intp(view, view, view, view, types.intp, types.intp, types.intp)


def unit_signature(source, sums, result):
    """Signature of the routines for a unit, by the types of the samples, of the sums, and of the results."""
    pointers = map(types.CPointer, (source, sums, result))
    return types.void(*pointers, *[types.intp] * 4)


def lines_of_scratch(rows: int, deviations: bool) -> int:
    """Lines of sums that a unit needs."""
    return 2 * rows + 7 if deviations else rows + 3


def run(x, out, job, progress, limit, max_spins, scratch):
    """Compute units of `out`: see `unit_loop`."""
    job_address = job.address
    job = _job_at(job_address, 0)
    thread = release_gil()
    floats = set_default_float_environment()
    advance_epoch(progress)
    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        unit = take_piece(progress)
        if unit >= job.units:
            break
        taken += 1
        first = unit % job.row_units * job.unit_rows
        call(job.routine, x.address, scratch, out.address, job_address, unit // job.row_units, first,
             min(job.unit_rows, job.out_height - first))  # fmt: skip
        finish_piece(progress)
    if status == DONE:
        status = wait_for_others(progress, job.units, max_spins)
    restore_float_environment(floats)
    acquire_gil(thread)
    return status


@compilation.inline
def _put(before, sample, to):
    store(to, as_element(to, sample))


@compilation.inline
def _add(before, sample, to):
    store(to, load(before) + as_element(to, sample))


@compilation.inline
def _subtract(before, sample, to):
    store(to, load(before) - as_element(to, sample))


def _make_line(combine):
    """Make a function that combines a line of sums with a row of the extended input, element by element."""

    @compilation.outline
    def combine_edge(samples, job, line, to, first, stop):
        """The columns that are not those of the input in order."""
        channels, fill = job.channels, job.fill
        for c in range(first, stop):
            source = integers_at(job.column_sources, c)[0]
            for k in range(channels):
                j = c * channels + k
                if source < 0:
                    combine(advance(line, j), fill, advance(to, j))
                else:
                    combine(advance(line, j), load(advance(samples, source * channels + k)), advance(to, j))

    @compilation.inline
    def combine_line(src, job, plane, row, line, to):
        channels, source = job.channels, integers_at(job.row_sources, row)[0]
        if source < 0:
            fill = job.fill
            for j in range(job.extended * channels):
                combine(advance(line, j), fill, advance(to, j))
            return
        samples = advance(src, (plane * job.height + source) * job.line)
        combine_edge(samples, job, line, to, 0, job.first_inside)
        first = job.first_inside * channels
        inside = advance(samples, integers_at(job.column_sources, job.first_inside)[0] * channels)
        line_inside, to_inside = advance(line, first), advance(to, first)
        for j in range(job.stop_inside * channels - first):
            combine(advance(line_inside, j), load(advance(inside, j)), advance(to_inside, j))
        combine_edge(samples, job, line, to, job.stop_inside, job.extended)

    return combine_line


_load_line, _add_line, _subtract_line = map(_make_line, (_put, _add, _subtract))


@compilation.inline
def _add_lines(a, b, to, count):
    for j in range(count):
        store(advance(to, j), load(advance(a, j)) + load(advance(b, j)))


@compilation.inline
def _copy_line(source, to, count):
    for j in range(count):
        store(advance(to, j), load(advance(source, j)))


@compilation.inline
def _suffixes(sums, ends, columns, channels, count):
    """Add up the columns of each block from its end: four blocks at a time, as each sum waits for the one before."""
    block = columns * channels
    whole = count // (4 * block) * (4 * block)
    for start in range(0, whole, 4 * block):
        for k in range(channels):
            j = start + block - channels + k
            a, b = load(advance(sums, j)), load(advance(sums, j + block))
            c, d = load(advance(sums, j + 2 * block)), load(advance(sums, j + 3 * block))
            for t in range(columns):
                store(advance(ends, j), a)
                store(advance(ends, j + block), b)
                store(advance(ends, j + 2 * block), c)
                store(advance(ends, j + 3 * block), d)
                if t < columns - 1:
                    j -= channels
                    a = load(advance(sums, j)) + a
                    b = load(advance(sums, j + block)) + b
                    c = load(advance(sums, j + 2 * block)) + c
                    d = load(advance(sums, j + 3 * block)) + d
    for start in range(whole, count, block):
        if start + block <= count:  # the last block has no end
            for k in range(channels):
                j = start + block - channels + k
                a = load(advance(sums, j))
                store(advance(ends, j), a)
                for _ in range(columns - 1):
                    j -= channels
                    a = load(advance(sums, j)) + a
                    store(advance(ends, j), a)


@compilation.inline
def _windows(sums, ends, columns, channels, count):
    """Add the sums of the beginning of the next block to those of the ends, in place: sums of whole windows."""
    block = columns * channels
    whole = max(0, (count - block) // (4 * block) * (4 * block))
    for start in range(0, whole, 4 * block):
        for k in range(channels):
            j = start + k
            a, b = load(advance(sums, j + block)), load(advance(sums, j + 2 * block))
            c, d = load(advance(sums, j + 3 * block)), load(advance(sums, j + 4 * block))
            for _ in range(columns - 1):
                j += channels
                store(advance(ends, j), load(advance(ends, j)) + a)
                store(advance(ends, j + block), load(advance(ends, j + block)) + b)
                store(advance(ends, j + 2 * block), load(advance(ends, j + 2 * block)) + c)
                store(advance(ends, j + 3 * block), load(advance(ends, j + 3 * block)) + d)
                a = a + load(advance(sums, j + block))
                b = b + load(advance(sums, j + 2 * block))
                c = c + load(advance(sums, j + 3 * block))
                d = d + load(advance(sums, j + 4 * block))
    for start in range(whole, count - block, block):
        for k in range(channels):
            j = start + k
            a = load(advance(sums, j + block))
            more = min(columns - 1, (count - block - start) // channels)
            for t in range(more):
                j += channels
                store(advance(ends, j), load(advance(ends, j)) + a)
                if t < more - 1:
                    a = a + load(advance(sums, j + block))


def means(src, sums, dst, job_address, plane, first, rows):
    """Compute the means of floats of `rows` output rows from `first` on, which begins a block."""
    job = _job_at(job_address, 0)
    count, window, columns, channels = job.extended * job.channels, job.rows, job.columns, job.channels
    begin, total = advance(sums, window * count), advance(sums, (window + 1) * count)
    ends = advance(sums, (window + 2) * count)
    size, out_line = np.float64(window * columns), job.out_line
    for block in range(first, first + rows, window):
        last = advance(sums, (window - 1) * count)
        _load_line(src, job, plane, block + window - 1, last, last)
        for t in range(window - 2, -1, -1):
            _add_line(src, job, plane, block + t, advance(sums, (t + 1) * count), advance(sums, t * count))
        for t in range(min(window, first + rows - block)):
            end = advance(sums, t * count)
            if t == 0:
                _copy_line(end, total, count)
            else:
                if t == 1:
                    _load_line(src, job, plane, block + window, begin, begin)
                else:
                    _add_line(src, job, plane, block + window + t - 1, begin, begin)
                _add_lines(end, begin, total, count)
            _suffixes(total, ends, columns, channels, count)
            _windows(total, ends, columns, channels, count)
            place = advance(dst, (plane * job.out_height + block + t) * out_line)
            for j in range(out_line):
                store(advance(place, j), load(advance(ends, j)) / size)


def _make_whole_means(name: str, real, half_up, to_whole: bool):
    """Make a routine for means of integers, whose sums are exact, so that they may run along.

    Means are computed in `real`, and rounded by adding `half_up` if results are whole.
    """

    def whole_means(src, sums, dst, job_address, plane, first, rows):
        job = _job_at(job_address, 0)
        count, window, columns, channels = job.extended * job.channels, job.rows, job.columns, job.channels
        found = advance(sums, count)
        size, out_line = real(window * columns), job.out_line
        _load_line(src, job, plane, first, sums, sums)
        for t in range(1, window):
            _add_line(src, job, plane, first + t, sums, sums)
        for row in range(first, first + rows):
            if row > first:
                _add_line(src, job, plane, row + window - 1, sums, sums)
                _subtract_line(src, job, plane, row - 1, sums, sums)
            for k in range(channels):
                total = load(advance(sums, k))
                for c in range(1, columns):
                    total = total + load(advance(sums, c * channels + k))
                store(advance(found, k), total)
                for j in range(channels + k, out_line, channels):
                    total = total + (
                        load(advance(sums, j + (columns - 1) * channels)) - load(advance(sums, j - channels))
                    )
                    store(advance(found, j), total)
            place = advance(dst, (plane * job.out_height + row) * out_line)
            for j in range(out_line):
                mean = real(load(advance(found, j))) / size
                if to_whole:
                    store(advance(place, j), np.int32((mean + half_up) - half_up))
                else:
                    store(advance(place, j), mean)

    whole_means.__name__ = name
    return whole_means


# A sum of a float and one of these has no bits for fractions: it is rounded half to even.
_ROUNDS, _ROUNDS_SINGLE = 1.5 * 2.0**52, np.float32(1.5 * 2.0**23)
# By type of the results, integers or floats, and of the means before they are rounded.
WHOLE_MEANS = {
    (True, True): _make_whole_means("whole_means_single", np.float32, _ROUNDS_SINGLE, True),
    (True, False): _make_whole_means("whole_means", np.float64, _ROUNDS, True),
    (False, False): _make_whole_means("means_of_whole", np.float64, _ROUNDS, False),
}


@compilation.inline
def _include(mean, square, sample_mean, sample_square, share, weight):
    """Add one sample, or one column, to a mean and a sum of squared distances from it."""
    distance = sample_mean - mean
    return mean + distance * share, square + sample_square + distance * distance * weight


@compilation.inline
def _own_square(sample):
    """The squared distance of a sample from its own mean: 0, and NaN for an infinity or a NaN."""
    return sample - sample


def deviations(src, sums, dst, job_address, plane, first, rows):
    """Compute the standard deviations of `rows` output rows from `first` on, which begins a block."""
    job = _job_at(job_address, 0)
    count, window, columns, channels = job.extended * job.channels, job.rows, job.columns, job.channels
    shares = doubles_at(job.shares, 0)
    squares = advance(sums, window * count)  # of the ends of a block; its means are in front
    begin, begin_squares = advance(sums, 2 * window * count), advance(sums, (2 * window + 1) * count)
    line, total = advance(sums, (2 * window + 2) * count), advance(sums, (2 * window + 3) * count)
    total_squares, ends = advance(sums, (2 * window + 4) * count), advance(sums, (2 * window + 5) * count)
    ends_squares = advance(sums, (2 * window + 6) * count)
    for block in range(first, first + rows, window):
        _load_line(src, job, plane, block + window - 1, line, advance(sums, (window - 1) * count))
        for j in range((window - 1) * count, window * count):
            store(advance(squares, j), _own_square(load(advance(sums, j))))
        for t in range(window - 2, -1, -1):
            _load_line(src, job, plane, block + t, line, line)
            share = shares[window - t]
            _include_line(advance(sums, t * count), advance(squares, t * count), line,
                          advance(sums, (t + 1) * count), advance(squares, (t + 1) * count),
                          share, (window - t - 1) * share, count)  # fmt: skip
        outputs = min(window, first + rows - block)
        for t in range(outputs):
            end, end_squares = advance(sums, t * count), advance(squares, t * count)
            if t == 0:
                _copy_line(end, total, count)
                _copy_line(end_squares, total_squares, count)
            else:
                _load_line(src, job, plane, block + window + t - 1, line, line)
                if t == 1:
                    _copy_line(line, begin, count)
                    for j in range(count):
                        store(advance(begin_squares, j), _own_square(load(advance(line, j))))
                else:
                    _include_line(
                        begin, begin_squares, line, begin, begin_squares, shares[t], (t - 1) * shares[t], count
                    )
                share, weight = t * shares[window], (window - t) * t * shares[window]
                for j in range(count):
                    mean, square = _include(
                        load(advance(end, j)), load(advance(end_squares, j)),
                        load(advance(begin, j)), load(advance(begin_squares, j)), share, weight,
                    )  # fmt: skip
                    store(advance(total, j), mean)
                    store(advance(total_squares, j), square)
            _suffix_deviations(total, total_squares, ends, ends_squares, shares, window, columns, channels, count)
            _window_deviations(total, total_squares, ends, ends_squares, shares, window, columns, channels, count)
            size = window * columns
            place = advance(dst, (plane * job.out_height + block + t) * job.out_line)
            for j in range(job.out_line):
                store(advance(place, j), np.sqrt(load(advance(ends_squares, j)) / size))


@compilation.inline
def _include_line(mean_to, square_to, line, mean_from, square_from, share, weight, count):
    for j in range(count):
        sample = load(advance(line, j))
        mean, square = _include(
            load(advance(mean_from, j)), load(advance(square_from, j)), sample, _own_square(sample), share, weight
        )
        store(advance(mean_to, j), mean)
        store(advance(square_to, j), square)


@compilation.inline
def _suffix_deviations(means, squares, ends, ends_squares, shares, rows, columns, channels, count):
    """As `_suffixes`; step by step in all blocks and channels, which do not wait for each other."""
    block = columns * channels
    whole = count // block * block
    for start in range(0, whole, block):
        _copy_line(advance(means, start + block - channels), advance(ends, start + block - channels), channels)
        _copy_line(
            advance(squares, start + block - channels), advance(ends_squares, start + block - channels), channels
        )
    for t in range(1, columns):
        share = shares[t + 1]
        weight = rows * t * share
        for start in range((columns - 1 - t) * channels, whole, block):
            for j in range(start, start + channels):
                mean, square = _include(
                    load(advance(ends, j + channels)), load(advance(ends_squares, j + channels)),
                    load(advance(means, j)), load(advance(squares, j)), share, weight,
                )  # fmt: skip
                store(advance(ends, j), mean)
                store(advance(ends_squares, j), square)


@compilation.inline
def _window_deviations(means, squares, ends, ends_squares, shares, rows, columns, channels, count):
    """As `_windows`; the beginnings of blocks take the place of their columns."""
    block = columns * channels
    for t in range(1, columns):
        last, whole = shares[t], shares[columns]
        share, weight = t * whole, rows * (t * (columns - t)) * whole
        for start in range(t * channels, count - block + channels, block):
            for j in range(start, start + channels):
                at = j + block - channels  # the column that the beginning grows by
                if t > 1:
                    mean, square = _include(
                        load(advance(means, at - channels)), load(advance(squares, at - channels)),
                        load(advance(means, at)), load(advance(squares, at)), last, rows * (t - 1) * last,
                    )  # fmt: skip
                    store(advance(means, at), mean)
                    store(advance(squares, at), square)
                _, square = _include(
                    load(advance(ends, j)), load(advance(ends_squares, j)),
                    load(advance(means, at)), load(advance(squares, at)), share, weight,
                )  # fmt: skip
                store(advance(ends_squares, j), square)
