"""The test whether each footprint of a tile holds enough, by the sums of cells, and the clamp of results at zero.

The error of a tile's results is relative to all samples that are transformed at once, while a user looks at it relative
to the samples under the kernel. So footprints with too little in them are marked, to be computed in another way. A
footprint holds at least the whole cells within it: a cell of `n` samples with the sum ``sum |x|`` has at least the
2-norm ``sum |x| / sqrt(n)``. Outputs are marked in groups, those whose whole cells are the same: as many as there are
samples in a cell.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import lanes, larger, largest, smaller, smallest, sums, zero
from fastconv._simd.complex_vectors import load as load_pair
from fastconv._simd.complex_vectors import store as store_pair
from fastconv._simd.memory import advance, bytes_at, doubles_at, load, store

# What the test needs to know of a kernel.
CHECK = Record(
    "FootprintCheck",
    {
        "rule": np.intp,  # of `_model.guarantees`
        "sign": np.intp,  # of all taps; 0 if they have both, or results are complex
        # The core: the taps but for those rows and columns around it that hardly count.
        "first_row": np.intp,
        "rows": np.intp,
        "first_column": np.intp,
        "columns": np.intp,
        # The least norm of the samples in the core of a footprint, and the least |result|, relative to a bound of the
        # norm of all samples that are transformed at once.
        "least_norm": np.float64,
        "least_result": np.float64,
        "least_largest": np.float64,  # the largest |x|, at least: below, results underflow;
        "least_bound": np.float64,  # and the bound of a line
    },
)

# Windows of cells, one for each group of outputs, and where to mark those that hold too little.
WINDOWS = Record(
    "Windows",
    {
        "cells_rows": np.intp,
        "cells_columns": np.intp,
        "top": np.intp,  # cells that hold nothing but samples: rows from `top` to `bottom`, exclusive,
        "bottom": np.intp,
        "left": np.intp,  # and columns from `left` to `right`
        "right": np.intp,
        "pitch": np.intp,  # elements from one row of cells to the next
        "first_row": np.intp,  # cell of the first window, which may lie outside of these
        "first_column": np.intp,
        "rows": np.intp,  # cells of a window,
        "columns": np.intp,
        # The cells that cover all footprints of a group, relative to those of its window.
        "outer_row": np.intp,
        "outer_rows": np.intp,
        "outer_column": np.intp,
        "outer_columns": np.intp,
        "down": np.intp,  # and the number of windows
        "across": np.intp,
        # The least norm of a window's cells, each taken as its sum; and the norm below which a footprint is too quiet;
        # both relative to a bound of the norm of all samples, of each row, or of each column,
        "limit": np.float64,
        "quiet": np.float64,
        "bounds": np.intp,  # at this address,
        "bounds_step": np.intp,  # and which of them follows from window to window, down and across
        "bounds_jump": np.intp,
        "buffer": np.intp,  # address of two buffers of float64, for the cells of all windows
        "marks": np.intp,  # address of a byte for each window
        "marks_pitch": np.intp,
    },
)
windows_at = reader(WINDOWS)

# Marks of groups of outputs: those that may hold too little; those without a sample but zeros under the kernel; those
# of one sign with a result that may be too small; and,
# from `QUIET` on, those that hold too little, but at least ``2**(QUIET - mark - 1)`` times the limit, and no sample
# above the limit; from `PATCHY` on, the same of some outputs of a group, while the results of others are kept. Of a
# group that is `LOST` nothing is known but that it is not `EMPTY`.
VAGUE, EMPTY, SMALL, QUIET, PATCHY, LOST = 1, 2, 3, 16, 135, 255


def bound_signature(dtype):
    """Signature of `bound_rows` and `bound_columns`."""
    n = types.intp
    return types.void(types.CPointer(dtype), types.CPointer(dtype), n, n, n)


def bound_rows(cells, second_cells, rows, columns, bounds):
    """Bound the 2-norm of each row of cells, those of both parts, in float64 at the address `bounds`.

    The square of a 2-norm is at most the product of a 1-norm and the largest number, and that at most its cell.
    """
    whole = columns - columns % (2 * lanes(cells))
    for r in range(rows):
        row, second_row, total, highest = advance(cells, r * columns), advance(second_cells, r * columns), 0.0, 0.0
        if whole:
            every = extreme = zero(cells)
            for c in range(0, whole, 2 * lanes(cells)):
                first, second = load_pair(advance(row, c)), load_pair(advance(second_row, c))
                every = every + first + second
                extreme = larger(larger(extreme, first), second)
            one, other = sums(every)
            total = one + other
            one, other = largest(extreme)
            highest = max(one, other)
        for c in range(whole, columns):
            first, second = float(load(advance(row, c))), float(load(advance(second_row, c)))
            total, highest = total + (first + second), max(highest, first, second)
        doubles_at(bounds, r)[0] = math.sqrt(total) * math.sqrt(highest)


def bound_columns(cells, second_cells, rows, columns, bounds):
    """`bound_rows` for columns; there are twice as many numbers at `bounds`."""
    total, highest = doubles_at(bounds, 0), doubles_at(bounds, columns)
    for c in range(2 * columns):
        total[c] = 0.0
    for r in range(rows):
        row, second_row = advance(cells, r * columns), advance(second_cells, r * columns)
        for c in range(columns):
            first, second = float(load(advance(row, c))), float(load(advance(second_row, c)))
            total[c] += first + second
            high = first if first > second else second
            highest[c] = high if high > highest[c] else highest[c]
    for c in range(columns):
        total[c] = math.sqrt(total[c]) * math.sqrt(highest[c])


def compare_signature(dtype):
    """Signature of `compare_cells`."""
    return types.void(types.CPointer(dtype), types.CPointer(dtype), types.intp, types.intp)


def compare_cells(cells, second_cells, both, windows):
    """Mark the windows whose cells hold less than the limit; with `both`, the sums of two tables of cells.

    Windows with a bound of 0 are not compared, and with a limit below zero none. Of those that are marked before, the
    ones whose outer cells hold nothing are marked `EMPTY`.
    """
    w = windows_at(windows, 0)
    judged = w.limit >= 0
    if judged and _hold_enough(cells, second_cells, both, w):
        return
    marked = _has_marks(w)
    held, bounds, step, jump = doubles_at(w.buffer, 0), doubles_at(w.bounds, 0), w.bounds_step, w.bounds_jump
    if judged:
        highest = _highest_bound(w)
        scale = 1 / highest if 0 < highest < math.inf else 1.0
        width = _sum_cells(cells, second_cells, both, w, w.first_row, w.rows, w.first_column, w.columns, scale)
        for i in range(w.down):
            marks = bytes_at(w.marks, i * w.marks_pitch)
            for j in range(w.across):
                bound, found = bounds[i * step + j * jump], held[i * width + j]
                limit = w.limit * (bound * scale)
                limit *= limit
                # Squares underflow of lines that are far below another one. A NaN is marked, too.
                if not ((limit > _LEAST_LIMIT and found >= limit) or bound == 0):
                    marks[j] = mark_of(found, limit) if found > _LEAST_LIMIT else LOST
                    marked = True
    if marked:
        row, column = w.first_row + w.outer_row, w.first_column + w.outer_column
        width = _sum_cells(cells, second_cells, both, w, row, w.outer_rows, column, w.outer_columns, 0.0)
        for i in range(w.down):
            marks = bytes_at(w.marks, i * w.marks_pitch)
            for j in range(w.across):
                if marks[j] != 0:
                    found = held[i * width + j]
                    if found == 0:
                        marks[j] = EMPTY
                    elif marks[j] == LOST:
                        marks[j] = VAGUE
                    elif marks[j] >= QUIET:
                        # All samples under the kernel are below the limit if their sum is; but if it is far above what
                        # the whole cells hold, look at them one by one.
                        limit = w.quiet * bounds[i * step + j * jump]
                        part = found / limit
                        if not (part <= _NEARLY_ONE and mark_of(part * part, _FAR * _FAR) >= marks[j]):
                            marks[j] = VAGUE


_LEAST_LIMIT = 1e-290
_NEARLY_ONE = 1 - 2.0**-10  # cells are sums in the type of the samples
_FAR = 2.0**10


@compilation.outline
def mark_of(found, limit):
    """The mark of a group that holds less than the limit; both are squares of norms."""
    mark = QUIET
    while mark < PATCHY and found * 2.0**32 <= limit:
        found, mark = found * 2.0**32, mark + 16
    while mark < PATCHY and found * 4 <= limit:
        found, mark = found * 4, mark + 1
    return mark if mark < PATCHY else LOST


@compilation.inline
def _highest_bound(w):
    """The highest bound of the norm of all samples."""
    highest = 0.0
    for k in range(max((w.down - 1) * w.bounds_step, (w.across - 1) * w.bounds_jump) + 1):
        highest = max(highest, doubles_at(w.bounds, k)[0])
    return highest


@compilation.outline
def _sum_cells(cells, second_cells, both, w, first_row, rows, first_column, columns, scale):
    """Sum the cells of all windows of so many rows and columns, into the buffer; returns its width.

    Unless `scale` is 0, the squares of cells times `scale`.
    """
    height, width = w.down + rows - 1, w.across + columns - 1
    held, spare = doubles_at(w.buffer, 0), doubles_at(w.buffer, height * width)
    for k in range(height * width):
        held[k] = 0.0
    left, right = max(0, first_column), min(w.cells_columns, first_column + width)
    for r in range(max(0, first_row), min(w.cells_rows, first_row + height)):
        start, row = (r - first_row) * width - first_column, r * w.pitch
        for c in range(left, right):
            held[start + c] = load(advance(cells, row + c))
        if both:
            for c in range(left, right):
                held[start + c] += load(advance(second_cells, row + c))
        if scale != 0:
            for c in range(left, right):
                size = held[start + c] * scale
                held[start + c] = size * size
    sum_windows(held, spare, height * width, 1, columns)
    sum_windows(held, spare, height * width, width, rows)
    return width


@compilation.outline
def _has_marks(w):
    """Whether a window has a mark."""
    for i in range(w.down):
        marks = bytes_at(w.marks, i * w.marks_pitch)
        for j in range(w.across):
            if marks[j] != 0:
                return True
    return False


@compilation.outline
def _mark_all_but(w, start, stop, begin, end):
    """Mark all windows but a rectangle of them, and those with a bound of 0."""
    for i in range(w.down):
        whole = w.across if i < start or i >= stop else begin
        _mark_some(w, i, 0, whole)
        _mark_some(w, i, max(whole, end), w.across)


@compilation.inline
def _mark_some(w, i, begin, end):
    """Mark some windows of a row, but those with a bound of 0."""
    marks, bounds = bytes_at(w.marks, i * w.marks_pitch), doubles_at(w.bounds, i * w.bounds_step)
    for j in range(begin, end):
        if bounds[j * w.bounds_jump] != 0:
            marks[j] = VAGUE


@compilation.inline
def _hold_enough(cells, second_cells, both, w):
    """Whether all windows hold enough even if each of their cells holds as little as the least of all.

    Those are left to the exact test that hold no cell inside, at the edges of the array.
    """
    start, stop = max(0, w.top + 1 - w.rows - w.first_row), min(w.down, w.bottom - w.first_row)
    begin, end = max(0, w.left + 1 - w.columns - w.first_column), min(w.across, w.right - w.first_column)
    if start >= stop or begin >= end:
        return False
    down = _least_inside(w.first_row + start, w.rows, stop - start, w.top, w.bottom)
    across = _least_inside(w.first_column + begin, w.columns, end - begin, w.left, w.right)
    left, right = max(w.left, w.first_column), min(w.right, w.first_column + w.across + w.columns - 1)
    whole = left + (right - left) // (2 * lanes(cells)) * (2 * lanes(cells))
    top, bottom = max(w.top, w.first_row), min(w.bottom, w.first_row + w.down + w.rows - 1)
    least = float(load(advance(cells, top * w.pitch + left)))
    if both:
        least += load(advance(second_cells, top * w.pitch + left))
    for r in range(top, bottom):
        row, second_row = advance(cells, r * w.pitch), advance(second_cells, r * w.pitch)
        if whole > left:
            extreme = load_pair(advance(row, left))
            if both:
                extreme = extreme + load_pair(advance(second_row, left))
            for c in range(left, whole, 2 * lanes(cells)):
                values = load_pair(advance(row, c))
                if both:
                    values = values + load_pair(advance(second_row, c))
                extreme = smaller(extreme, values)
            one, other = smallest(extreme)
            least = min(least, one, other)
        for c in range(whole, right):
            value = float(load(advance(row, c)))
            if both:
                value += load(advance(second_row, c))
            least = min(least, value)
    if not least * math.sqrt(float(down * across)) >= w.limit * _highest_bound(w):
        return False
    _mark_all_but(w, start, stop, begin, end)
    return True


@compilation.inline
def _least_inside(first, size, count, begin, end):
    """The least number of cells from `begin` to `end`, exclusive, in any window: in the first or the last."""
    last = first + count - 1
    return min(min(first + size, end) - max(first, begin), min(last + size, end) - max(last, begin))


@compilation.outline
def sum_windows(values, spare, count, stride, size):
    """Replace each of `count` values by the sum of `size` of them, `stride` apart; those at the end are undefined.

    Sums of twice as many, again and again, and those of them that make up `size`: nothing is subtracted.
    """
    span, done = 1, 0
    while True:
        if size & span and done:
            add_values(spare, advance(values, done * stride), count - done * stride)
            done += span
        elif size & span and 2 * span <= size:
            copy_values(spare, values, count)
            done = span
        if 2 * span > size:
            break
        add_values(values, advance(values, span * stride), count - span * stride)
        span *= 2
    if done:
        copy_values(values, spare, count)


@compilation.inline
def add_values(values, others, count):
    """Add other values to the first `count`; they may be the same, further on."""
    whole = max(0, count - count % (2 * lanes(values)))
    for k in range(0, whole, 2 * lanes(values)):
        store_pair(advance(values, k), load_pair(advance(values, k)) + load_pair(advance(others, k)))
    for k in range(whole, count):
        values[k] += others[k]


@compilation.inline
def copy_values(values, others, count):
    whole = count - count % (2 * lanes(values))
    for k in range(0, whole, 2 * lanes(values)):
        store_pair(advance(values, k), load_pair(advance(others, k)))
    for k in range(whole, count):
        values[k] = others[k]


def clamp_signature(dtype):
    """Signature of `clamp`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n, n)


def clamp(results, wide, rows, columns, sign, least):
    """Set results of the other sign than `sign` to zero, and the float64 at `least` to the least size, if smaller.

    Rows are `wide` elements apart.
    """
    lowest, nothing = doubles_at(least, 0)[0], zero(results)
    whole = columns - columns % (2 * lanes(results))
    for r in range(rows):
        row = advance(results, r * wide)
        if whole:
            extreme = load_pair(row)
            for c in range(0, whole, 2 * lanes(results)):
                values = load_pair(advance(row, c))
                if sign > 0:
                    values = larger(nothing, values)
                    extreme = smaller(values, extreme)
                else:
                    values = smaller(nothing, values)
                    extreme = larger(values, extreme)
                store_pair(advance(row, c), values)
            one, other = smallest(extreme) if sign > 0 else largest(extreme)
            lowest = min(lowest, max(0.0, one * sign), max(0.0, other * sign))
        for c in range(whole, columns):
            value = load(advance(row, c))
            if not value * sign > 0:
                value = value - value
                store(advance(row, c), value)
            lowest = min(lowest, abs(value))
    doubles_at(least, 0)[0] = lowest
