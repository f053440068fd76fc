"""Means of floats over windows, summed in float64, at a cost that hardly depends on the size of the window.

Nothing is subtracted: errors are those of a plain sum, and an infinity or a NaN stays in the windows that hold it.

Down the columns, the windows of a block of output rows share their middle. Each is the sum of the middle and the rows
above it, added up from there, and of the rows below, added up as windows move down (after M. van Herk, Pattern
Recognition Letters 13, 1992). The rows below those of a block are added up as a whole too: the middle of later blocks
is made of such totals.

Along the rows, sums of 2, 4, ... columns are doubled; a window is some of the longest, and one at most of each shorter
kind. Many of the longest are added up as rows are, in blocks as long as the window.

Sums of few rows, or of few columns, are added up directly.
"""

from __future__ import annotations

from fastconv._microkernels.pictures.window_job import extend, fill_row, job_at, row_of
from fastconv._microkernels.pictures.window_lines import add_line, copy_line, sum_rows
from fastconv._simd import compilation
from fastconv._simd.integers import smaller
from fastconv._simd.memory import address_of, advance, integers_at, load, pointer_to, prefetch, store
from fastconv._simd.target import processor
from fastconv._simd.window_lanes import (
    add_moved,
    add_vector,
    divided,
    lanes_of,
    load_vector,
    multiplied,
    store_vector,
)

# At most so many rows, columns, or sums of columns are added up directly.
DIRECT = 6
# Sums are doubled so many times: of 1, 2, 4, ... columns, each in a line of its own.
DOUBLINGS = 5
# The most terms of a sum of columns.
TERMS = DIRECT + DOUBLINGS
# Elements that are doubled at a time: all of their sums fit into the L1 cache.
_CHUNK = 1024
# Sums of up to 8 columns of one channel are doubled in registers.
_IN_REGISTERS, _SHUFFLED = processor().lanes(64) >= 4, 3


def doublings(columns: int, channels: int) -> int:
    """How often sums of columns are doubled for a window of so many."""
    direct = 1 if _IN_REGISTERS and channels == 1 else DIRECT
    return 0 if columns <= direct else max(_SHUFFLED, min(DOUBLINGS, columns.bit_length() - 1))


@compilation.inline
def _totals(line, terms, count, j):
    """The sums of the vectors `j` elements behind each of the addresses of terms, and of those that follow."""
    lanes, term = lanes_of(line), advance(pointer_to(line, terms[0]), j)
    total, other = load_vector(term, line), load_vector(advance(term, lanes), line)
    for t in range(1, count):
        term = advance(pointer_to(line, terms[t]), j)
        total, other = add_vector(total, term), add_vector(other, advance(term, lanes))
    return total, other


@compilation.inline
def _add_to_total(samples, total, is_first, count):
    """Add a row of samples to a total, which it may begin."""
    if is_first:
        copy_line(samples, total, count)
    else:
        add_line(total, samples, total, count)


@compilation.inline
def _begin_block(src, job, scratch, plane, row, ends, totals, begun, count):
    """Sums of the middle and the rows above it, for each row of the block of output rows from `row` on.

    The middle is made of all totals but the one that is to be begun, and of rows.
    """
    pitch, last = job.inside_pitch, job.block_rows - 1
    middle, bottom = advance(ends, last * pitch), last + job.middle_rows
    copy_line(row_of(src, job, scratch, plane, row + bottom), middle, count)
    for number in range(job.totals):
        if number != begun:
            add_line(middle, advance(totals, number * pitch), middle, count)
    for t in range(bottom - 1, -1, -1):
        samples, after = row_of(src, job, scratch, plane, row + t), advance(ends, smaller(t + 1, last) * pitch)
        add_line(after, samples, advance(ends, smaller(t, last) * pitch), count)


@compilation.inline
def _double(line, job):
    """Double sums of columns, from the end of a line to its beginning."""
    whole, pitch = job.doubled, job.line_pitch
    for first in range((whole - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
        count = smaller(_CHUNK, whole - first)
        for k in range(job.doublings):
            sums = advance(line, k * pitch + first)
            add_line(sums, advance(sums, job.channels << k), advance(sums, pitch), count)


@compilation.inline
def _double_in_registers(line, job):
    """The same for one channel; the first line of sums holds those of the last columns of windows, less than 8."""
    lanes, whole, pitch, columns = lanes_of(line), job.doubled, job.line_pitch, job.columns
    rests, eights = advance(line, pitch), advance(line, _SHUFFLED * pitch)
    rest = columns % (1 << _SHUFFLED)
    pairs = rest % 4
    one_after = load_vector(advance(line, whole), line)
    two_after, four_after, some_after = one_after, one_after, one_after
    for j in range(whole - lanes, -1, -lanes):
        one = load_vector(advance(line, j), line)
        two = add_moved(one, one, one_after, 1)
        four = add_moved(two, two, two_after, 2)
        total, sums = add_moved(four, four, four_after, 4), advance(eights, j)
        if columns >= 8:
            store_vector(total, sums)
        if columns >= 16:
            total = add_vector(total, advance(sums, 8))
            sums = advance(sums, pitch)
            store_vector(total, sums)
        if columns >= 32:
            store_vector(add_vector(total, advance(sums, 16)), advance(sums, pitch))
        if pairs == 3:
            some = add_moved(two, one, one_after, 2)
        elif pairs == 2:
            some = two
        else:
            some = one
        if rest == 4:
            store_vector(four, advance(rests, j))
        elif rest > 4:
            store_vector(add_moved(four, some, some_after, 4), advance(rests, j))
        elif rest > 0:
            store_vector(some, advance(rests, j))
        one_after, two_after, four_after, some_after = one, two, four, some


@compilation.inline
def _double_by_channels(line, job):
    if job.channels == 1:
        _double_in_registers(line, job)
    else:
        _double(line, job)


_double_line = _double_by_channels if _IN_REGISTERS else _double


@compilation.inline
def _sum_along(line, step, count, stop):
    """Sums of `count` elements that are `step` apart, in place of the elements before `stop`."""
    lanes, block = lanes_of(line), step * count
    for first in range(0, stop, block):
        for k in range(first, first + step, lanes):
            at = advance(line, k + block - step)
            total = load_vector(at, line)
            for _ in range(count - 1):
                at = advance(at, -step)
                total = add_vector(total, at)
                store_vector(total, at)
            begin = advance(line, k + block)
            more = smaller(count - 1, (stop - k - 1) // step)
            if more > 0:
                total = load_vector(begin, line)
                at = advance(at, step)
                store_vector(add_vector(total, at), at)
                for _ in range(more - 1):
                    begin, at = advance(begin, step), advance(at, step)
                    total = add_vector(total, begin)
                    store_vector(add_vector(total, at), at)


@compilation.inline
def _list_terms(line, job, terms):
    """List the addresses of the sums that make that of the first window of a line; return their number."""
    columns, channels, pitch, top = job.columns, job.channels, job.line_pitch, job.doublings
    longest = columns >> top
    count, at = 1 if longest > DIRECT else longest, longest << top
    for t in range(count):
        terms[t] = address_of(advance(line, top * pitch + (t << top) * channels))
    least = _SHUFFLED if _IN_REGISTERS and channels == 1 else 0
    for k in range(top - 1, least - 1, -1):
        if columns >> k & 1:
            terms[count] = address_of(advance(line, k * pitch + at * channels))
            count, at = count + 1, at + (1 << k)
    if top > 0 and at < columns:
        terms[count] = address_of(advance(line, pitch + at))
        count += 1
    return count


@compilation.inline
def _divide(total, size, reciprocal):
    return divided(total, size)


@compilation.inline
def _multiply(total, size, reciprocal):
    return multiplied(total, reciprocal)


def _make(name: str, mean_of):
    """Make the routine for one way to divide."""

    @compilation.inline
    def store_line(line, terms, count, place, job, ahead):
        """Means of sums of terms."""
        lanes, out_line, size, reciprocal = lanes_of(line), job.out_line, job.size, job.reciprocal
        whole = out_line - out_line % (2 * lanes)
        for j in range(0, whole, 2 * lanes):
            prefetch(address_of(advance(ahead, j)), False)
            prefetch(address_of(advance(place, out_line + j)), True)
            total, other = _totals(line, terms, count, j)
            store_vector(mean_of(total, size, reciprocal), advance(place, j))
            store_vector(mean_of(other, size, reciprocal), advance(place, j + lanes))
        if whole < out_line:
            total, other = _totals(line, terms, count, whole)
            store_vector(mean_of(total, size, reciprocal), line)
            store_vector(mean_of(other, size, reciprocal), advance(line, lanes))
            for j in range(whole, out_line):
                store(advance(place, j), load(advance(line, j - whole)))

    def means(src, sums, dst, job_address, scratch, plane, first, rows):
        """Compute the means of `rows` output rows from `first` on."""
        job = job_at(job_address, 0)
        count, window, pitch = job.inside * job.channels, job.rows, job.inside_pitch
        line, terms = pointer_to(sums, scratch + job.line_at), integers_at(scratch + job.terms_at, 0)
        ends, totals = pointer_to(sums, scratch + job.ends_at), pointer_to(sums, scratch + job.totals_at)
        inside, block = advance(line, job.inside_at * job.channels), job.block_rows
        fill_row(src, job, scratch)
        filled, term_count = job.fill * window, _list_terms(line, job, terms)
        top = job.doublings
        longest = job.columns >> top
        if window > DIRECT:
            for t in range(block, job.totals * block):
                samples = row_of(src, job, scratch, plane, first + job.middle_rows + t)
                _add_to_total(samples, advance(totals, t // block * pitch), t % block == 0, count)
        for row in range(first, first + rows):
            if window <= DIRECT:
                sum_rows(src, job, scratch, plane, row, inside, count)
            else:
                t, number = (row - first) % block, (row - first) // block % job.totals
                total = advance(totals, number * pitch)
                if t == 0:
                    _begin_block(src, job, scratch, plane, row, ends, totals, number, count)
                _add_to_total(row_of(src, job, scratch, plane, row + window - 1), total, t == 0, count)
                add_line(total, advance(ends, t * pitch), inside, count)
            extend(line, job, filled)
            if top > 0:
                _double_line(line, job)
                if longest > DIRECT:
                    _sum_along(pointer_to(line, terms[0]), job.channels << top, longest, job.out_line)
            ahead = row_of(src, job, scratch, plane, smaller(row + 1, job.out_height - 1) + window - 1)
            place = advance(dst, (plane * job.out_height + row) * job.out_line)
            store_line(line, terms, term_count, place, job, advance(ahead, -job.first_column * job.channels))

    means.__name__ = name
    return means


# By whether sums are divided, or multiplied by the reciprocal: a float32 that is stored is the same, but for a last bit
# of float64.
MEANS = {True: _make("means_divided", _divide), False: _make("means_multiplied", _multiply)}
