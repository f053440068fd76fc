"""The test whether each footprint of a tile holds enough, by the sums of cells, and the clamp of results at zero.

The error of a tile's results is relative to all samples that are transformed at once, while a user looks at it relative
to the samples under the kernel. So footprints with too little in them are marked, to be computed in another way. A
footprint holds at least the whole cells within it. Outputs are marked in groups, those whose whole cells are the same:
as many as there are samples in a cell.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import lanes, larger, largest, smaller, smallest, zero
from fastconv._simd.complex_vectors import load as load_pair
from fastconv._simd.complex_vectors import store as store_pair
from fastconv._simd.memory import advance, bytes_at, doubles_at, load, store

# What the test needs to know of a kernel.
CHECK = Record(
    "FootprintCheck",
    {
        "rule": np.intp,  # of `_model.problem`
        "sign": np.intp,  # of all taps; 0 if they have both
        # The core: the taps but for those rows and columns around it that hardly count.
        "first_row": np.intp,
        "rows": np.intp,
        "first_column": np.intp,
        "columns": np.intp,
        # The least sum of |x| over the cells in a footprint, and the least |result|, relative to a bound of the norm of
        # all samples that are transformed at once.
        "least_sum": np.float64,
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
        "pitch": np.intp,  # elements from one row of cells to the next
        "first_row": np.intp,  # cell of the first window, which may lie outside, where nothing is
        "first_column": np.intp,
        "rows": np.intp,  # cells of a window,
        "columns": np.intp,
        "down": np.intp,  # and the number of windows
        "across": np.intp,
        "limit": np.float64,  # relative to a bound of the norm of all samples, of each row, or of each column,
        "bounds": np.intp,  # at this address,
        "bounds_step": np.intp,  # and which of them follows from window to window, down and across
        "bounds_jump": np.intp,
        "buffer": np.intp,  # address of two buffers of float64, for ``(down + rows - 1) * (across + columns - 1)`` each
        "marks": np.intp,  # address of a byte for each window
        "marks_pitch": np.intp,
    },
)
windows_at = reader(WINDOWS)


def bound_signature(dtype):
    """Signature of `bound_lines`."""
    n = types.intp
    return types.void(types.CPointer(dtype), types.CPointer(dtype), n, n, n, n)


def bound_lines(cells, second_cells, lines, length, step, bounds):
    """Bound the 2-norm of each of some lines of cells, those of both parts, at the address `bounds`.

    Lines are `length` cells long. Cells lie 1 apart and lines `step`; or lines 1 and cells -`step`.
    """
    across, down = (1, step) if step > 0 else (-step, 1)
    for line in range(lines):
        total = largest = 0.0
        for k in range(length):
            at = line * down + k * across
            cell = float(load(advance(cells, at)))
            second_cell = float(load(advance(second_cells, at)))
            total += cell + second_cell
            largest = max(largest, cell, second_cell)
        # The square of a 2-norm is at most the product of a 1-norm and the largest number, and that at most its cell.
        doubles_at(bounds, line)[0] = math.sqrt(total) * math.sqrt(largest)


def compare_signature(dtype):
    """Signature of `compare_cells`."""
    return types.void(types.CPointer(dtype), types.CPointer(dtype), types.intp, types.intp)


def compare_cells(cells, second_cells, both, windows):
    """Mark the windows whose cells hold less than the limit; with `both`, the sums of two tables of cells."""
    w = windows_at(windows, 0)
    height, width = w.down + w.rows - 1, w.across + w.columns - 1
    sums, spare = doubles_at(w.buffer, 0), doubles_at(w.buffer, height * width)
    for k in range(height * width):
        sums[k] = 0.0
    left, right = max(0, w.first_column), min(w.cells_columns, w.first_column + width)
    for r in range(max(0, w.first_row), min(w.cells_rows, w.first_row + height)):
        start = (r - w.first_row) * width - w.first_column
        for c in range(left, right):
            cell = load(advance(cells, r * w.pitch + c))
            if both:
                cell += load(advance(second_cells, r * w.pitch + c))
            sums[start + c] = cell
    sum_windows(sums, spare, height * width, 1, w.columns)
    sum_windows(sums, spare, height * width, width, w.rows)
    for i in range(w.down):
        for j in range(w.across):
            bound = doubles_at(w.bounds, i * w.bounds_step + j * w.bounds_jump)[0]
            if not sums[i * width + j] >= w.limit * bound:  # a NaN, too
                bytes_at(w.marks, i * w.marks_pitch + j)[0] = 1


@compilation.inline
def sum_windows(values, spare, count, stride, size):
    """Replace each of `count` values by the sum of `size` of them, `stride` apart; those at the end are undefined.

    Sums of twice as many, again and again, and those of them that make up `size`: nothing is subtracted.
    """
    span, done = 1, 0
    while True:
        if size & span and done:
            for k in range(count - done * stride):
                spare[k] += values[k + done * stride]
            done += span
        elif size & span and 2 * span <= size:
            for k in range(count):
                spare[k] = values[k]
            done = span
        if 2 * span > size:
            break
        for k in range(count - span * stride):
            values[k] += values[k + span * stride]
        span *= 2
    if done:
        for k in range(count):
            values[k] = spare[k]


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
