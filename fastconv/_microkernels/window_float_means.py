"""Means of floats over windows, summed in float64, at a cost that does not depend on the size of the window.

Lines of samples are cut into blocks as long as the window. A window is the end of one block and the beginning of the
next: the sum of a suffix of the one, taken from its end, and of a prefix of the other (M. van Herk, Pattern Recognition
Letters 13, 1992). Nothing is subtracted, so that errors are those of a plain sum, and an infinity or a NaN stays in the
windows that hold it. First down the columns; then, transposed, along as many rows as a vector has lanes. Sums of few
rows, or of few columns, are added up directly.
"""

from __future__ import annotations

from fastconv._microkernels.window_job import extend, fill_row, job_at, row_of
from fastconv._simd import compilation
from fastconv._simd.lane_copies import copy_transposed
from fastconv._simd.memory import advance, as_element, integers_at, load, pointer_to, store
from fastconv._simd.window_lanes import (
    add_vector,
    address_of,
    divided,
    lanes_of,
    load_vector,
    store_vector,
)

# Sums of at most so many rows, or columns, are added up directly.
DIRECT = 6


@compilation.inline
def _sum_rows(src, job, scratch, plane, row, to, count):
    """Add up the rows of a window directly."""
    addresses, lanes = integers_at(scratch + job.addresses_at, 0), lanes_of(to)
    for t in range(job.rows):
        addresses[t] = address_of(row_of(src, job, scratch, plane, row + t))
    for j in range(0, count - count % lanes, lanes):
        total = load_vector(advance(pointer_to(src, addresses[0]), j), to)
        for t in range(1, job.rows):
            total = add_vector(total, advance(pointer_to(src, addresses[t]), j))
        store_vector(total, advance(to, j))
    for j in range(count - count % lanes, count):
        single = as_element(to, load(advance(pointer_to(src, addresses[0]), j)))
        for t in range(1, job.rows):
            single += as_element(to, load(advance(pointer_to(src, addresses[t]), j)))
        store(advance(to, j), single)


@compilation.inline
def _add_line(line, samples, to, count):
    """``line + samples``"""
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        store_vector(add_vector(load_vector(advance(line, j), to), advance(samples, j)), advance(to, j))
    for j in range(whole, count):
        store(advance(to, j), load(advance(line, j)) + as_element(to, load(advance(samples, j))))


@compilation.inline
def _copy_line(samples, to, count):
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        store_vector(load_vector(advance(samples, j), to), advance(to, j))
    for j in range(whole, count):
        store(advance(to, j), as_element(to, load(advance(samples, j))))


@compilation.inline
def _begin_block(src, job, scratch, plane, row, ends, count):
    """Sums of the ends of the block of rows that begins at `row`."""
    last = job.rows - 1
    _copy_line(row_of(src, job, scratch, plane, row + last), advance(ends, last * count), count)
    for t in range(last - 1, -1, -1):
        samples = row_of(src, job, scratch, plane, row + t)
        _add_line(advance(ends, (t + 1) * count), samples, advance(ends, t * count), count)


@compilation.inline
def _sum_along(turned, job, size):
    """Means along transposed rows, in place."""
    lanes, channels = lanes_of(turned), job.channels
    step, block = lanes * channels, lanes * channels * job.columns
    stop = lanes * job.out_line
    for first in range(0, stop, block):
        for k in range(0, step, lanes):
            at = advance(turned, first + block - step + k)
            total = load_vector(at, turned)
            for _ in range(job.columns - 1):
                at = advance(at, -step)
                total = add_vector(total, at)
                store_vector(total, at)
            store_vector(divided(total, size), at)
            begin = advance(turned, first + block + k)
            more = min(job.columns - 1, (stop - first - k - 1) // step)
            if more > 0:
                at = advance(at, step)
                total = load_vector(begin, turned)
                for t in range(more):
                    if t > 0:
                        begin = advance(begin, step)
                        total = add_vector(total, begin)
                    store_vector(divided(add_vector(total, at), size), at)
                    at = advance(at, step)


@compilation.inline
def _store_group(lines, turned, job, dst, place_row, rows):
    """Sum along a group of lines, and store the means."""
    lanes, pitch, out_line, size = lanes_of(lines), job.line_pitch, job.out_line, job.size
    if job.columns <= DIRECT:
        for q in range(rows):
            line, place = advance(lines, q * pitch), advance(dst, (place_row + q) * out_line)
            whole = out_line - out_line % lanes
            for j in range(0, whole, lanes):
                total = load_vector(advance(line, j), line)
                for t in range(1, job.columns):
                    total = add_vector(total, advance(line, j + t * job.channels))
                store_vector(divided(total, size), advance(place, j))
            for j in range(whole, out_line):
                single = load(advance(line, j))
                for t in range(1, job.columns):
                    single += load(advance(line, j + t * job.channels))
                store(advance(place, j), single / size)
        return
    for j in range(0, job.extended * job.channels, lanes):
        copy_transposed(advance(lines, j), 8 * pitch, advance(turned, j * lanes), 8 * lanes, True, False)
    _sum_along(turned, job, size)
    whole = out_line - out_line % lanes if rows == lanes else 0
    place = advance(dst, place_row * out_line)
    result_bytes = job.result_bytes
    for j in range(0, whole, lanes):
        copy_transposed(advance(turned, j * lanes), 8 * lanes, advance(place, j), out_line * result_bytes, True, False)
    for q in range(rows):
        for j in range(whole, out_line):
            store(advance(place, q * out_line + j), load(advance(turned, j * lanes + q)))


def means(src, sums, dst, job_address, scratch, plane, first, rows):
    """Compute the means of `rows` output rows from `first` on."""
    job = job_at(job_address, 0)
    count, lanes = job.inside * job.channels, lanes_of(sums)
    lines, turned = pointer_to(sums, scratch + job.line_at), pointer_to(sums, scratch + job.turned_at)
    ends = pointer_to(sums, scratch + job.blocks_at)
    begin = advance(ends, job.rows * count)
    fill_row(src, job, scratch)
    filled, inside_at = job.fill * job.rows, job.inside_at * job.channels
    for row in range(rows):
        line = advance(lines, row % lanes * job.line_pitch)
        inside = advance(line, inside_at)
        if job.rows <= DIRECT:
            _sum_rows(src, job, scratch, plane, first + row, inside, count)
        else:
            t = row % job.rows
            if t == 0:
                _begin_block(src, job, scratch, plane, first + row, ends, count)
                _copy_line(ends, inside, count)
            else:
                samples = row_of(src, job, scratch, plane, first + row + job.rows - 1)
                if t == 1:
                    _copy_line(samples, begin, count)
                else:
                    _add_line(begin, samples, begin, count)
                _add_line(begin, advance(ends, t * count), inside, count)
        extend(line, job, filled)
        if row % lanes == lanes - 1 or row == rows - 1:
            group = row - row % lanes
            _store_group(lines, turned, job, dst, plane * job.out_height + first + group, row - group + 1)
