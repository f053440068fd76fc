"""Means of integers over windows, by sums that move along.

Integer sums are exact, so the sample that enters is added, and the one that leaves is subtracted: down the columns, and
along the rows, where the differences of a vector are added up by shuffles. Sums over few columns are added up directly.
"""

from __future__ import annotations

from fastconv._microkernels.window_job import extend, fill_row, job_at, row_of
from fastconv._simd import compilation
from fastconv._simd.memory import advance, as_element, load, pointer_to, store
from fastconv._simd.window_lanes import (
    add_tiles,
    add_vector,
    lanes_of,
    lanes_taken,
    last_pixel,
    load_vector,
    scan,
    store_means,
    store_means_of_words,
    store_vector,
    subtract_vector,
)

# Sums along a row of at most so many columns are added up directly; of words all are.
_DIRECT = 8
# Numbers of channels whose sums move along rows.
CHANNELS = (1, 3, 4)


@compilation.inline
def _load_line(samples, to, count):
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        store_vector(load_vector(advance(samples, j), to), advance(to, j))
    for j in range(whole, count):
        store(advance(to, j), as_element(to, load(advance(samples, j))))


@compilation.inline
def _add_line(samples, to, count):
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        store_vector(add_vector(load_vector(advance(to, j), to), advance(samples, j)), advance(to, j))
    for j in range(whole, count):
        store(advance(to, j), load(advance(to, j)) + as_element(to, load(advance(samples, j))))


@compilation.inline
def _move_line(after, before, to, count):
    """Add the samples that enter, and subtract those that leave."""
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        moved = add_vector(load_vector(advance(to, j), to), advance(after, j))
        store_vector(subtract_vector(moved, advance(before, j)), advance(to, j))
    for j in range(whole, count):
        entering, leaving = load(advance(after, j)), load(advance(before, j))
        store(advance(to, j), load(advance(to, j)) + as_element(to, entering) - as_element(to, leaving))


@compilation.inline
def _store_words(tile, place, job):
    store_means_of_words(tile, place, job.whole_size, job.multiplier, job.shift)


@compilation.inline
def _store_single(tile, place, job):
    store_means(tile, place, True, job.size, job.reciprocal)


@compilation.inline
def _store_double(tile, place, job):
    store_means(tile, place, False, job.size, job.reciprocal)


WORDS, SINGLE, DOUBLE = range(3)
_STORES = {WORDS: _store_words, SINGLE: _store_single, DOUBLE: _store_double}


def _make_store(way: int):
    """Make a function that stores the means of a vector, of which `count` are wanted and `room` fit."""
    store_vector_of_means = _STORES[way]

    @compilation.inline
    def store_some(tile, place, job, scratch, room, count):
        if room >= lanes_of(tile):
            store_vector_of_means(tile, place, job)
        else:
            rest = pointer_to(place, scratch + job.rest_at)
            store_vector_of_means(tile, rest, job)
            for j in range(min(room, count)):
                store(advance(place, j), load(advance(rest, j)))

    return store_some


def _make_directly(store_some):
    @compilation.inline
    def sum_directly(line, place, job, scratch):
        """Means along a row, of sums that are added up one by one."""
        lanes, out_line, channels = lanes_of(line), job.out_line, job.channels
        for j in range(0, out_line, lanes):
            total = load_vector(advance(line, j), line)
            for t in range(1, job.columns):
                total = add_vector(total, advance(line, j + t * channels))
            store_some(total, advance(place, j), job, scratch, out_line - j, lanes)

    return sum_directly


def _make_along(channels: int, store_some):
    @compilation.inline
    def sum_along(line, place, job, scratch):
        """Means along a row, of sums that move along."""
        out_line, last = job.out_line, (job.columns - 1) * channels
        step = lanes_taken(line, channels)
        # The columns of the first window but its last one: there are zeros before the line.
        total = load_vector(advance(line, last - step), line)
        for j in range(last - 2 * step, -step, -step):
            total = add_vector(total, advance(line, j))
        total = last_pixel(scan(total, channels), channels)
        for j in range(0, out_line, step):
            change = subtract_vector(load_vector(advance(line, j + last), line), advance(line, j - channels))
            total = add_tiles(scan(change, channels), total)
            store_some(total, advance(place, j), job, scratch, out_line - j, step)
            total = last_pixel(total, channels)

    return sum_along


def _make_lines(name: str, sum_line):
    """Make a routine from a function that stores the means of a line of sums down the columns."""

    def whole_means(src, sums, dst, job_address, scratch, plane, first, rows):
        """Compute `rows` output rows from `first` on."""
        job = job_at(job_address, 0)
        line = pointer_to(sums, scratch + job.line_at)
        inside, count = advance(line, job.inside_at * job.channels), job.inside * job.channels
        for j in range(-lanes_of(line), 0):
            store(advance(line, j), 0)
        fill_row(src, job, scratch)
        _load_line(row_of(src, job, scratch, plane, first), inside, count)
        for row in range(first + 1, first + job.rows):
            _add_line(row_of(src, job, scratch, plane, row), inside, count)
        filled = as_element(line, job.fill) * as_element(line, job.rows)
        for row in range(first, first + rows):
            if row > first:
                after = row_of(src, job, scratch, plane, row + job.rows - 1)
                _move_line(after, row_of(src, job, scratch, plane, row - 1), inside, count)
            extend(line, job, filled)
            sum_line(line, advance(dst, (plane * job.out_height + row) * job.out_line), job, scratch)

    whole_means.__name__ = name
    return whole_means


def _make(channels: int, way: int):
    """Make the routine for so many channels and one way to divide."""
    store_some = _make_store(way)
    sum_directly, sum_along = _make_directly(store_some), _make_along(channels, store_some)

    @compilation.inline
    def sum_line(line, place, job, scratch):
        if job.columns <= _DIRECT:
            sum_directly(line, place, job, scratch)
        else:
            sum_along(line, place, job, scratch)

    return _make_lines(f"whole_means_{channels}_{('words', 'single', 'double')[way]}", sum_line)


# For words of 16 bits, and by number of channels and way to divide.
MEANS_OF_WORDS = _make_lines("whole_means_of_words", _make_directly(_make_store(WORDS)))
MEANS = {(channels, way): _make(channels, way) for channels in CHANNELS for way in (SINGLE, DOUBLE)}
