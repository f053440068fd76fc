"""Means of integers over windows, by sums that move along.

Integer sums are exact, so the sample that enters is added, and the one that leaves is subtracted: down the columns, and
along the rows, where the differences of a vector are added up by shuffles. Sums over few columns are added up directly.
"""

from __future__ import annotations

from fastconv._microkernels.pictures.window_job import extend, fill_row, job_at, row_of
from fastconv._microkernels.pictures.window_lines import sum_rows
from fastconv._simd import compilation
from fastconv._simd.memory import advance, as_element, load, pointer_to, store
from fastconv._simd.whole_means import store_mean_pairs, store_means, store_means_of_words
from fastconv._simd.window_lanes import (
    add_tiles,
    add_vector,
    lanes_of,
    lanes_taken,
    last_pixel,
    load_vector,
    pair_lanes,
    paired,
    scan,
    store_vector,
    subtract_tiles,
    subtract_vector,
)

# Sums along a row of at most so many columns are added up directly; of words all are.
DIRECT = 5
# Numbers of channels whose sums move along rows.
CHANNELS = (1, 3, 4)


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


# What sums are divided by, read once: compiled code cannot know that results do not overwrite it.
@compilation.inline
def _numbers_of_words(job):
    return job.whole_size, job.multiplier, job.shift


@compilation.inline
def _numbers_of_means(job):
    return job.size, job.reciprocal


@compilation.inline
def _store_words(tile, place, numbers):
    store_means_of_words(tile, place, numbers[0], numbers[1], numbers[2])


@compilation.inline
def _store_single(tile, place, numbers):
    store_means(tile, place, True, numbers[0], numbers[1])


@compilation.inline
def _store_double(tile, place, numbers):
    store_means(tile, place, False, numbers[0], numbers[1])


WORDS, SINGLE, DOUBLE = range(3)
_STORES = {
    WORDS: (_numbers_of_words, _store_words),
    SINGLE: (_numbers_of_means, _store_single),
    DOUBLE: (_numbers_of_means, _store_double),
}


def _make_directly(way: int):
    numbers_of, store_tile = _STORES[way]

    @compilation.inline
    def sum_directly(line, place, job, rest):
        """Means along a row, of sums that are added up one by one."""
        lanes, out_line, channels, columns = lanes_of(line), job.out_line, job.channels, job.columns
        numbers = numbers_of(job)
        for j in range(0, out_line, lanes):
            total = load_vector(advance(line, j), line)
            for t in range(1, columns):
                total = add_vector(total, advance(line, j + t * channels))
            if j + lanes <= out_line:
                store_tile(total, advance(place, j), numbers)
            else:
                store_tile(total, rest, numbers)
                for k in range(out_line - j):
                    store(advance(place, j + k), load(advance(rest, k)))

    return sum_directly


def _make_along(channels: int, way: int):
    numbers_of, store_tile = _STORES[way]

    @compilation.inline
    def sum_along(line, place, job, rest):
        """Means along a row, of sums that move along."""
        out_line, last = job.out_line, (job.columns - 1) * channels
        step, lanes, numbers = lanes_taken(line, channels), lanes_of(line), numbers_of(job)
        # The columns of the first window but its last one: there are zeros before the line.
        before = load_vector(advance(line, last - step), line)
        for j in range(last - 2 * step, -step, -step):
            before = add_vector(before, advance(line, j))
        before = last_pixel(scan(before, channels), channels)
        end, j = advance(line, last), 0
        while j < out_line:
            change = scan(subtract_vector(load_vector(advance(end, j), line), advance(line, j - channels)), channels)
            total = add_tiles(change, before)
            # Not the last pixel of the total: one sum waits for the other, not for shuffles.
            before = add_tiles(before, last_pixel(change, channels))
            if j + lanes > out_line:
                store_tile(total, rest, numbers)
                for k in range(min(step, out_line - j)):
                    store(advance(place, j + k), load(advance(rest, k)))
            else:
                store_tile(total, advance(place, j), numbers)
            j += step

    return sum_along


def _make_pairs(single: bool):
    @compilation.inline
    def sum_pairs(line, place, job, rest):
        """Means along a row of one channel, of sums that move along two by two."""
        out_line, last, step = job.out_line, job.columns - 1, pair_lanes(line)
        size, reciprocal = job.size, job.reciprocal
        zeros = advance(line, -step)
        before, _ = paired(advance(line, last - step), zeros)
        for j in range(last - 2 * step, -step, -step):
            more, _ = paired(advance(line, j), zeros)
            before = add_tiles(before, more)
        before = last_pixel(scan(before, 1), 1)
        end, start, j = advance(line, last), advance(line, -1), 0
        while j < out_line:
            change, second = paired(advance(end, j), advance(start, j))
            change = scan(change, 1)
            odd = add_tiles(change, before)
            even = subtract_tiles(odd, second)
            before = add_tiles(before, last_pixel(change, 1))
            if j + step > out_line:
                store_mean_pairs(even, odd, rest, single, size, reciprocal)
                for k in range(out_line - j):
                    store(advance(place, j + k), load(advance(rest, k)))
            else:
                store_mean_pairs(even, odd, advance(place, j), single, size, reciprocal)
            j += step

    return sum_pairs


def _make_lines(name: str, sum_line):
    """Make a routine from a function that stores the means of a line of sums down the columns."""

    def whole_means(src, sums, dst, job_address, scratch, plane, first, rows):
        """Compute `rows` output rows from `first` on."""
        job = job_at(job_address, 0)
        line = pointer_to(sums, scratch + job.line_at)
        inside, count = advance(line, job.inside_at * job.channels), job.inside * job.channels
        for j in range(-2 * lanes_of(line), 0):
            store(advance(line, j), 0)
        fill_row(src, job, scratch)
        sum_rows(src, job, scratch, plane, first, inside, count)
        filled = as_element(line, job.fill) * as_element(line, job.rows)
        for row in range(first, first + rows):
            if row > first:
                after = row_of(src, job, scratch, plane, row + job.rows - 1)
                _move_line(after, row_of(src, job, scratch, plane, row - 1), inside, count)
            extend(line, job, filled)
            place = advance(dst, (plane * job.out_height + row) * job.out_line)
            sum_line(line, place, job, pointer_to(dst, scratch + job.rest_at))

    whole_means.__name__ = name
    return whole_means


def _make(name: str, sum_directly, sum_along):
    """Make a routine from those for few and for many columns."""

    @compilation.inline
    def sum_line(line, place, job, rest):
        if job.columns <= DIRECT:
            sum_directly(line, place, job, rest)
        else:
            sum_along(line, place, job, rest)

    return _make_lines(name, sum_line)


_NAMES = ("words", "single", "double")
# For words of 16 bits.
MEANS_OF_WORDS = _make_lines("whole_means_of_words", _make_directly(WORDS))
# By number of channels and way to divide.
MEANS = {
    (channels, way): _make(f"whole_means_{channels}_{_NAMES[way]}", _make_directly(way), _make_along(channels, way))
    for channels in CHANNELS
    for way in (SINGLE, DOUBLE)
}
# Of more channels than a vector has lanes, by way to divide: of sums of 64 bits in registers of 128.
MEANS_OF_WIDE_PIXELS = {
    way: _make_lines(f"whole_means_of_wide_pixels_{_NAMES[way]}", _make_directly(way)) for way in (SINGLE, DOUBLE)
}
# Of one channel, two by two, by way to divide: of sums of 16 bits down the columns, and of 32 bits.
MEANS_OF_NARROW_PAIRS = {
    way: _make_lines(f"whole_means_of_narrow_pairs_{_NAMES[way]}", _make_pairs(way == SINGLE))
    for way in (SINGLE, DOUBLE)
}
MEANS_OF_PAIRS = {
    way: _make(f"whole_means_of_pairs_{_NAMES[way]}", _make_directly(way), _make_pairs(way == SINGLE))
    for way in (SINGLE, DOUBLE)
}
