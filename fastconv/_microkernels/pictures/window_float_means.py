"""Means of floats over windows, summed in float64, at a cost that does not depend on the size of the window.

Lines of samples are cut into blocks as long as the window. A window is the end of one block and the beginning of the
next: the sum of a suffix of the one, taken from its end, and of a prefix of the other (M. van Herk, Pattern Recognition
Letters 13, 1992). Nothing is subtracted, so that errors are those of a plain sum, and an infinity or a NaN stays in the
windows that hold it. First down the columns; then, transposed, along as many rows as a vector has lanes. Sums of few
rows, or of few columns, are added up directly.
"""

from __future__ import annotations

from fastconv._microkernels.pictures.window_job import extend, fill_row, job_at, row_of
from fastconv._microkernels.pictures.window_lines import add_line, copy_line, store_turned, turn
from fastconv._simd import compilation
from fastconv._simd.memory import address_of, advance, as_element, integers_at, load, pointer_to, store
from fastconv._simd.window_lanes import (
    add_vector,
    divided,
    lanes_of,
    load_vector,
    multiplied,
    store_vector,
)

# Sums of at most so many rows, or columns, are added up directly.
DIRECT = 6


@compilation.inline
def _sum_rows(src, job, scratch, plane, row, to, count):
    """Add up the rows of a window directly."""
    addresses, lanes, rows = integers_at(scratch + job.addresses_at, 0), lanes_of(to), job.rows
    for t in range(rows):
        addresses[t] = address_of(row_of(src, job, scratch, plane, row + t))
    whole = count - count % lanes
    if rows == 3:
        a, b, c = pointer_to(src, addresses[0]), pointer_to(src, addresses[1]), pointer_to(src, addresses[2])
        for j in range(0, whole, lanes):
            total = add_vector(load_vector(advance(a, j), to), advance(b, j))
            store_vector(add_vector(total, advance(c, j)), advance(to, j))
    else:
        for j in range(0, whole, lanes):
            total = load_vector(advance(pointer_to(src, addresses[0]), j), to)
            for t in range(1, rows):
                total = add_vector(total, advance(pointer_to(src, addresses[t]), j))
            store_vector(total, advance(to, j))
    for j in range(whole, count):
        single = as_element(to, load(advance(pointer_to(src, addresses[0]), j)))
        for t in range(1, rows):
            single += as_element(to, load(advance(pointer_to(src, addresses[t]), j)))
        store(advance(to, j), single)


@compilation.inline
def _begin_block(src, job, scratch, plane, row, ends, count):
    """Sums of the ends of the block of rows that begins at `row`."""
    last, pitch = job.rows - 1, job.inside_pitch
    copy_line(row_of(src, job, scratch, plane, row + last), advance(ends, last * pitch), count)
    for t in range(last - 1, -1, -1):
        samples = row_of(src, job, scratch, plane, row + t)
        add_line(advance(ends, (t + 1) * pitch), samples, advance(ends, t * pitch), count)


@compilation.inline
def _divide(total, size, reciprocal):
    return divided(total, size)


@compilation.inline
def _multiply(total, size, reciprocal):
    return multiplied(total, reciprocal)


def _make(name: str, mean_of):
    """Make the routine for one way to divide."""

    @compilation.inline
    def sum_directly(line, place, job):
        """Means along a line, of sums that are added up one by one."""
        lanes, out_line, columns, channels = lanes_of(line), job.out_line, job.columns, job.channels
        size, reciprocal = job.size, job.reciprocal
        whole = out_line - out_line % lanes
        if columns == 3:
            second, third = advance(line, channels), advance(line, 2 * channels)
            for j in range(0, whole, lanes):
                total = add_vector(load_vector(advance(line, j), line), advance(second, j))
                total = add_vector(total, advance(third, j))
                store_vector(mean_of(total, size, reciprocal), advance(place, j))
        else:
            for j in range(0, whole, lanes):
                total = load_vector(advance(line, j), line)
                for t in range(1, columns):
                    total = add_vector(total, advance(line, j + t * channels))
                store_vector(mean_of(total, size, reciprocal), advance(place, j))
        if whole < out_line:
            total = load_vector(advance(line, whole), line)
            for t in range(1, columns):
                total = add_vector(total, advance(line, whole + t * channels))
            store_vector(mean_of(total, size, reciprocal), line)
            for j in range(whole, out_line):
                store(advance(place, j), load(advance(line, j - whole)))

    @compilation.inline
    def sum_along(turned, job):
        """Means along transposed rows, in place."""
        lanes, channels, columns = lanes_of(turned), job.channels, job.columns
        size, reciprocal = job.size, job.reciprocal
        step, block, stop = lanes * channels, lanes * channels * columns, lanes * job.out_line
        for first in range(0, stop, block):
            for k in range(first, first + step, lanes):
                at = advance(turned, k + block - step)
                total = load_vector(at, turned)
                for _ in range(columns - 1):
                    at = advance(at, -step)
                    total = add_vector(total, at)
                    store_vector(total, at)
                store_vector(mean_of(total, size, reciprocal), at)
                begin = advance(turned, k + block)
                more = min(columns - 1, (stop - k - 1) // step)
                if more > 0:
                    at = advance(at, step)
                    total = load_vector(begin, turned)
                    store_vector(mean_of(add_vector(total, at), size, reciprocal), at)
                    for _ in range(more - 1):
                        begin, at = advance(begin, step), advance(at, step)
                        total = add_vector(total, begin)
                        store_vector(mean_of(add_vector(total, at), size, reciprocal), at)

    @compilation.inline
    def store_group(lines, turned, job, dst, place_row, rows):
        """Sum along a group of lines, and store the means."""
        if job.columns <= DIRECT:
            for q in range(rows):
                sum_directly(advance(lines, q * job.line_pitch), advance(dst, (place_row + q) * job.out_line), job)
            return
        turn(lines, turned, job)
        sum_along(turned, job)
        store_turned(turned, job, dst, place_row, rows)

    def means(src, sums, dst, job_address, scratch, plane, first, rows):
        """Compute the means of `rows` output rows from `first` on."""
        job = job_at(job_address, 0)
        count, lanes, window = job.inside * job.channels, lanes_of(sums), job.rows
        lines, turned = pointer_to(sums, scratch + job.line_at), pointer_to(sums, scratch + job.turned_at)
        ends = pointer_to(sums, scratch + job.blocks_at)
        begin = advance(ends, window * job.inside_pitch)
        fill_row(src, job, scratch)
        filled, inside_at = job.fill * window, job.inside_at * job.channels
        for row in range(rows):
            line = advance(lines, row % lanes * job.line_pitch)
            inside = advance(line, inside_at)
            if window <= DIRECT:
                _sum_rows(src, job, scratch, plane, first + row, inside, count)
            else:
                t = row % window
                if t == 0:
                    _begin_block(src, job, scratch, plane, first + row, ends, count)
                    copy_line(ends, inside, count)
                else:
                    samples = row_of(src, job, scratch, plane, first + row + window - 1)
                    if t == 1:
                        copy_line(samples, begin, count)
                    else:
                        add_line(begin, samples, begin, count)
                    add_line(begin, advance(ends, t * job.inside_pitch), inside, count)
            extend(line, job, filled)
            if row % lanes == lanes - 1 or row == rows - 1:
                group = row - row % lanes
                store_group(lines, turned, job, dst, plane * job.out_height + first + group, row - group + 1)

    means.__name__ = name
    return means


# By whether sums are divided, or multiplied by the reciprocal: a float32 that is stored is the same, but for a last bit
# of float64.
MEANS = {True: _make("means_divided", _divide), False: _make("means_multiplied", _multiply)}
