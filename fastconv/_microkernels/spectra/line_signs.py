"""Signs of the lines of a tile that do not mix, and the clamp of their results: each row, or each column, has its own.

The signs are bytes of the bits of `sample_sums`, one for each line, those of the second packed tile behind the others.
"""

from __future__ import annotations

import math

from numba import types

from fastconv._microkernels.spectra.sample_sums import NEGATIVE, POSITIVE
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import (
    any_above_zero,
    any_below_zero,
    lanes,
    larger,
    largest,
    smaller,
    smallest,
    zero,
)
from fastconv._simd.complex_vectors import load as load_pair
from fastconv._simd.complex_vectors import store as store_pair
from fastconv._simd.memory import advance, bytes_at, doubles_at, load, pointer_to, store

# Points in the middle of a row, and of a column, that are looked at before all others: the ends may be empty.
_SOME_OF_ROW, _SOME_OF_COLUMN = 2, 16  # those of a row are registers


@compilation.inline
def _extremes(samples, step, first, stop):
    """The largest and the smallest numbers of vectors `first` to `stop`, `step` elements apart, and zero."""
    highest, lowest = zero(samples), zero(samples)
    for k in range(first, stop):
        values = load_pair(advance(samples, k * step))
        highest, lowest = larger(highest, values), smaller(lowest, values)
    return highest, lowest


@compilation.inline
def _bits(is_positive, is_negative):
    return types.uint8((POSITIVE if is_positive else 0) | (NEGATIVE if is_negative else 0))


def signs_signature(dtype):
    """Signature of `signs_of_rows` and `signs_of_columns`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n, n, n, n, n)


def signs_of_rows(plane, pitch, first, stop, columns, is_pair, signs, lines, _):
    """Store the signs of rows `first` to `stop`, those of the second tile `lines` bytes behind those of the first.

    `signs` is an address, and the plane holds one tile or, if it `is_pair`, two.
    """
    vectors = -(-columns // lanes(plane))
    middle = vectors // 2
    for r in range(first, stop):
        row = advance(plane, r * pitch)
        for k in range(2):
            begin, end = (middle, min(vectors, middle + _SOME_OF_ROW)) if k == 0 else (0, vectors)
            highest, lowest = _extremes(row, 2 * lanes(plane), begin, end)
            is_positive, second_is_positive = any_above_zero(highest)
            is_negative, second_is_negative = any_below_zero(lowest)
            if is_positive and is_negative and (not is_pair or (second_is_positive and second_is_negative)):
                break
        bytes_at(signs, r)[0] = _bits(is_positive, is_negative)
        bytes_at(signs, lines + r)[0] = _bits(second_is_positive, second_is_negative)


def signs_of_columns(plane, pitch, first, stop, rows, is_pair, signs, lines, spare):
    """`signs_of_rows` for columns, from the first lane of a register on; at `spare` is room for two points."""
    count = lanes(plane)
    most, least = pointer_to(plane, spare), advance(pointer_to(plane, spare), 2 * count)
    for c in range(first, stop, count):
        point = advance(plane, 2 * c)
        for k in range(2):
            begin, end = (rows // 2, min(rows, rows // 2 + _SOME_OF_COLUMN)) if k == 0 else (0, rows)
            highest, lowest = _extremes(point, pitch, begin, end)
            low, second_low = smallest(highest)
            high, second_high = largest(lowest)
            if low > 0 > high and (not is_pair or second_low > 0 > second_high):
                break
        store_pair(most, highest)
        store_pair(least, lowest)
        for k in range(2 * count):
            at = c + k if k < count else lines + c + k - count
            bytes_at(signs, at)[0] = _bits(load(advance(most, k)) > 0, load(advance(least, k)) < 0)


def clamp_signature(dtype):
    """Signature of `clamp_columns`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n, n, n)


def clamp_columns(results, wide, rows, columns, signs, limits, sizes):
    """Set results of another sign than their column's to zero, and each float64 at `sizes` to the least size in one.

    Rows are `wide` elements apart; at `limits` is room for two numbers for each column.
    """
    low = pointer_to(results, limits)
    high = advance(low, columns)
    for c in range(columns):
        sign = bytes_at(signs, c)[0]
        store(advance(low, c), -math.inf if sign & NEGATIVE else 0.0)
        store(advance(high, c), math.inf if sign & POSITIVE else 0.0)
    whole = columns - columns % (2 * lanes(results))
    for c in range(0, whole, 2 * lanes(results)):
        below, above, place = load_pair(advance(low, c)), load_pair(advance(high, c)), advance(results, c)
        least, most = above, below
        for _ in range(rows):
            values = smaller(above, larger(below, load_pair(place)))
            store_pair(place, values)
            least, most = smaller(least, values), larger(most, values)
            place = advance(place, wide)
        store_pair(advance(low, c), least)
        store_pair(advance(high, c), most)
    for c in range(whole, columns):
        below, above, place = load(advance(low, c)), load(advance(high, c)), advance(results, c)
        least, most = above, below
        for _ in range(rows):
            value = load(place)
            value = value if value > below else below
            value = value if value < above else above
            store(place, value)
            least, most = value if value < least else least, value if value > most else most
            place = advance(place, wide)
        store(advance(low, c), least)
        store(advance(high, c), most)
    for c in range(columns):
        is_negative = bytes_at(signs, c)[0] == NEGATIVE
        doubles_at(sizes, c)[0] = -load(advance(high, c)) if is_negative else load(advance(low, c))
