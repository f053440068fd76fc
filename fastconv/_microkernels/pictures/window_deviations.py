"""Standard deviations over windows, at a cost that does not depend on the size of the window.

Counts, means and sums of squared distances from them are combined (T. F. Chan, G. H. Golub and R. J. LeVeque, The
American Statistician 37, 1983): no square is larger than that of a distance. Lines of samples are cut into blocks as
long as the window. A window is the end of one block, combined from there upwards, and the beginning of the next
(M. van Herk, Pattern Recognition Letters 13, 1992). First down the columns; then, transposed, along as many rows as a
vector has lanes.
"""

from __future__ import annotations

from fastconv._microkernels.pictures.window_job import extend, fill_row, job_at, row_of
from fastconv._simd import compilation
from fastconv._simd.lane_copies import copy_transposed
from fastconv._simd.memory import advance, as_element, doubles_at, load, pointer_to, store
from fastconv._simd.window_lanes import (
    include_mean,
    include_square,
    lanes_of,
    load_vector,
    own_square,
    root_of_quotient,
    store_vector,
)


@compilation.inline
def _begin_line(samples, to, squares, count):
    """Means and squares of single samples: the squares are 0, and NaN for an infinity or a NaN."""
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        sample = load_vector(advance(samples, j), to)
        store_vector(sample, advance(to, j))
        store_vector(own_square(sample), advance(squares, j))
    for j in range(whole, count):
        single = as_element(to, load(advance(samples, j)))
        store(advance(to, j), single)
        store(advance(squares, j), single - single)


@compilation.inline
def _include_line(means, squares, samples, to, to_squares, share, weight, count):
    """Include a line of samples."""
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        mean, square = load_vector(advance(means, j), to), load_vector(advance(squares, j), to)
        sample = load_vector(advance(samples, j), to)
        store_vector(include_square(square, own_square(sample), mean, sample, weight), advance(to_squares, j))
        store_vector(include_mean(mean, sample, share), advance(to, j))
    for j in range(whole, count):
        single, before = as_element(to, load(advance(samples, j))), load(advance(means, j))
        distance = single - before
        square_before = load(advance(squares, j)) + (single - single)
        store(advance(to_squares, j), square_before + distance * distance * weight)
        store(advance(to, j), before + distance * share)


@compilation.inline
def _join_lines(means, squares, others, other_squares, to, to_squares, share, weight, count):
    """Join two lines of means and squares."""
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        mean, square = load_vector(advance(means, j), to), load_vector(advance(squares, j), to)
        other, more = load_vector(advance(others, j), to), load_vector(advance(other_squares, j), to)
        store_vector(include_square(square, more, mean, other, weight), advance(to_squares, j))
        store_vector(include_mean(mean, other, share), advance(to, j))
    for j in range(whole, count):
        before = load(advance(means, j))
        distance = load(advance(others, j)) - before
        both = load(advance(squares, j)) + load(advance(other_squares, j))
        store(advance(to_squares, j), both + distance * distance * weight)
        store(advance(to, j), before + distance * share)


@compilation.inline
def _join_along(turned, turned_squares, job, shares):
    """Deviations along transposed rows, in place of the squares."""
    lanes, channels, rows, columns = lanes_of(turned), job.channels, job.rows, job.columns
    step, block = lanes * channels, lanes * channels * columns
    stop, whole = lanes * job.out_line, shares[columns]
    for first in range(0, stop, block):
        for k in range(0, step, lanes):
            at = first + block - step + k
            mean, square = load_vector(advance(turned, at), turned), load_vector(advance(turned_squares, at), turned)
            for t in range(1, columns):
                at -= step
                column = load_vector(advance(turned, at), turned)
                more = load_vector(advance(turned_squares, at), turned)
                share = shares[t + 1]
                square = include_square(square, more, mean, column, rows * t * share)
                mean = include_mean(mean, column, share)
                store_vector(mean, advance(turned, at))
                store_vector(square, advance(turned_squares, at))
            store_vector(root_of_quotient(square, job.size), advance(turned_squares, at))
            begin = first + block + k
            outputs = min(columns, (stop - first - k - 1) // step + 1)
            if outputs > 1:
                mean, square = (
                    load_vector(advance(turned, begin), turned),
                    load_vector(advance(turned_squares, begin), turned),
                )
            for t in range(1, outputs):
                at += step
                if t > 1:
                    begin += step
                    column = load_vector(advance(turned, begin), turned)
                    more = load_vector(advance(turned_squares, begin), turned)
                    share = shares[t]
                    square = include_square(square, more, mean, column, rows * (t - 1) * share)
                    mean = include_mean(mean, column, share)
                end, end_square = load_vector(advance(turned, at), turned), advance(turned_squares, at)
                weight = rows * (t * (columns - t)) * whole
                both = include_square(load_vector(end_square, turned), square, end, mean, weight)
                store_vector(root_of_quotient(both, job.size), end_square)


@compilation.inline
def _turn(lines, turned, job):
    """Transpose as many lines as a vector has lanes: each becomes a lane."""
    lanes = lanes_of(lines)
    for j in range(0, job.extended * job.channels, lanes):
        copy_transposed(advance(lines, j), 8 * job.line_pitch, advance(turned, j * lanes), 8 * lanes, True, False)


@compilation.inline
def _store_turned(turned, job, dst, place_row, rows):
    """Store results of lines that were turned as rows of the output."""
    lanes, out_line = lanes_of(turned), job.out_line
    whole = out_line - out_line % lanes if rows == lanes else 0
    place, pitch_bytes = advance(dst, place_row * out_line), out_line * job.result_bytes
    for j in range(0, whole, lanes):
        copy_transposed(advance(turned, j * lanes), 8 * lanes, advance(place, j), pitch_bytes, True, False)
    for q in range(rows):
        for j in range(whole, out_line):
            store(advance(place, q * out_line + j), load(advance(turned, j * lanes + q)))


@compilation.inline
def _store_group(lines, squares, turned, turned_squares, job, shares, dst, place_row, rows):
    """Join along a group of lines, and store the deviations."""
    _turn(lines, turned, job)
    _turn(squares, turned_squares, job)
    _join_along(turned, turned_squares, job, shares)
    _store_turned(turned_squares, job, dst, place_row, rows)


def deviations(src, sums, dst, job_address, scratch, plane, first, rows):
    """Compute the standard deviations of `rows` output rows from `first` on."""
    job = job_at(job_address, 0)
    count, lanes, window = job.inside * job.channels, lanes_of(sums), job.rows
    shares = doubles_at(job.shares, 0)
    lines, turned = pointer_to(sums, scratch + job.line_at), pointer_to(sums, scratch + job.turned_at)
    squares, turned_squares = advance(lines, lanes * job.line_pitch), advance(turned, lanes * job.line_pitch)
    ends = pointer_to(sums, scratch + job.blocks_at)
    pitch = job.inside_pitch
    begin, end_squares = advance(ends, window * pitch), advance(ends, (window + 1) * pitch)
    begin_squares = advance(end_squares, window * pitch)
    fill_row(src, job, scratch)
    filled, inside_at = as_element(sums, job.fill), job.inside_at * job.channels
    for row in range(rows):
        group = row % lanes
        line, square = advance(lines, group * job.line_pitch), advance(squares, group * job.line_pitch)
        inside, inside_square = advance(line, inside_at), advance(square, inside_at)
        t = row % window
        if t == 0:
            at = (window - 1) * pitch
            last = row_of(src, job, scratch, plane, first + row + window - 1)
            _begin_line(last, advance(ends, at), advance(end_squares, at), count)
            for above in range(window - 2, -1, -1):
                samples, share = row_of(src, job, scratch, plane, first + row + above), shares[window - above]
                to = above * pitch
                _include_line(
                    advance(ends, to + pitch), advance(end_squares, to + pitch), samples,
                    advance(ends, to), advance(end_squares, to), share, (window - above - 1) * share, count,
                )  # fmt: skip
            for j in range(count):
                store(advance(inside, j), load(advance(ends, j)))
                store(advance(inside_square, j), load(advance(end_squares, j)))
        else:
            samples = row_of(src, job, scratch, plane, first + row + window - 1)
            if t == 1:
                _begin_line(samples, begin, begin_squares, count)
            else:
                share = shares[t]
                _include_line(begin, begin_squares, samples, begin, begin_squares, share, (t - 1) * share, count)
            share = shares[window]
            _join_lines(
                advance(ends, t * pitch), advance(end_squares, t * pitch), begin, begin_squares,
                inside, inside_square, t * share, (window - t) * t * share, count,
            )  # fmt: skip
        extend(line, job, filled)
        extend(square, job, filled - filled)
        if group == lanes - 1 or row == rows - 1:
            place_row = plane * job.out_height + first + row - group
            _store_group(lines, squares, turned, turned_squares, job, shares, dst, place_row, group + 1)
