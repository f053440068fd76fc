"""The norm of the samples under the kernel, for each output of a rectangle, by groups of outputs.

Squares are summed over windows of rows first: sums of the rows of a block from each one to the last, plus those of the
next block from its first on (van Herk). Then over windows of columns, of the least of all rows of a group: no output of
the group has less. Only where that is too little are the rows summed one by one. Nothing is subtracted.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.spectra.footprint_windows import add_values, copy_values, sum_windows
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import lanes, smaller, zero
from fastconv._simd.complex_vectors import load as load_pair
from fastconv._simd.complex_vectors import store as store_pair
from fastconv._simd.memory import advance, bytes_at, doubles_at, itemsize, load, pointer_to, store

# One axis of a rectangle of groups.
SIDE = Record(
    "Side",
    {
        "low": np.intp,  # first output of the tile,
        "outputs": np.intp,
        "first": np.intp,  # first sample,
        "samples": np.intp,
        "taps": np.intp,  # and samples of a footprint
        "groups": np.intp,
        "cell": np.intp,  # outputs of a group,
        "phase": np.intp,  # and those that the first one lacks
    },
)
RECTANGLE = Record(
    "Rectangle",
    {
        "rows": SIDE,
        "columns": SIDE,
        "pitch": np.intp,  # elements of a row of squares, whole registers
        # Addresses: buffers of rows,
        "spare": np.intp,
        # for each group: whether to look at it, or rather, afterwards, whether an output may hold less than the limit;
        # the least sum of its outputs but for zeros, the largest one, and how many are zeros,
        "open": np.intp,
        "least": np.intp,
        "most": np.intp,
        "zeros": np.intp,
        "limits": np.intp,  # for each group down, or across, by these steps,
        "limit_step": np.intp,
        "limit_jump": np.intp,
        "all_open": np.bool_,  # whether open groups stay open,
        "kinds": np.intp,  # and what is known of each output, one of the following
    },
)
rectangle_at = reader(RECTANGLE)
# An output that holds too little; nothing; nothing, and zeros are stored there; or enough.
TOO_LITTLE, NOTHING, CLEARED, ENOUGH = range(4)
_ROWS_IN_FRONT = 3
SPARE_ROWS = _ROWS_IN_FRONT + 2  # besides one for each row of a group


def square_signature(dtype):
    """Signature of `square`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n, n, types.CPointer(dtype))


def square(samples, count, pitch, parts, scales, jump, target):
    """Squares of a row of samples times two scales, of float64; those of both parts are added, and zeros follow.

    The scales are the same for all samples if `jump` is 0. Only squares of zeros are zero.
    """
    store(target, _LEAST_SQUARE if itemsize(samples) == 8 else _LEAST_SHORT_SQUARE)
    least = load(target)
    store(target, 0.0)
    nothing = load(target)
    store(target, doubles_at(scales, 0)[0])
    factor = load(target)
    store(target, doubles_at(scales, 1)[0])
    second_factor = load(target)
    if parts == 1 and jump == 0:
        for k in range(count):
            value = load(advance(samples, k))
            size = value * factor * second_factor
            size = size * size
            size = size if size > least else least
            store(advance(target, k), size if value != nothing else nothing)
    else:
        for k in range(count):
            if jump:
                store(advance(target, k), doubles_at(scales, 2 * k)[0])
                factor = load(advance(target, k))
                store(advance(target, k), doubles_at(scales, 2 * k + 1)[0])
                second_factor = load(advance(target, k))
            value, other = load(advance(samples, parts * k)), nothing
            if parts == 2:
                other = load(advance(samples, 2 * k + 1))
            size, second = value * factor * second_factor, other * factor * second_factor
            size = size * size + second * second
            size = size if size > least else least
            store(advance(target, k), nothing if value == nothing and other == nothing else size)
    for k in range(count, pitch):
        store(advance(target, k), nothing)


_LEAST_SQUARE, _LEAST_SHORT_SQUARE = 1e-290, 1e-34
# Below, sums of squares may be those of the least one.
UNKNOWN_SUM, UNKNOWN_SHORT_SUM = 1e-270, 1e-22


def measure_signature(dtype):
    """Signature of `measure`."""
    return types.void(types.CPointer(dtype), types.intp)


def measure(squares, rectangle):
    """Sum `squares` under the kernel, for the groups of a `RECTANGLE` that are open, and close those with enough."""
    f = rectangle_at(rectangle, 0)
    rows, pitch, taps = f.rows, f.pitch, f.rows.taps
    prefix = pointer_to(squares, f.spare)
    lines, begin, group = advance(prefix, _ROWS_IN_FRONT * pitch), 0, 0
    for r in range(rows.outputs):
        first, line = advance(squares, r * pitch), advance(lines, (r - begin) * pitch)
        if r % taps == 0:
            for k in range(taps - 2, -1, -1):
                add_values(advance(first, k * pitch), advance(first, (k + 1) * pitch), pitch)
            copy_values(line, first, pitch)
            for k in range(0, pitch, 2 * lanes(squares)):
                store_pair(advance(prefix, k), zero(squares))
        else:
            last = advance(first, (taps - 1) * pitch)
            for k in range(0, pitch, 2 * lanes(squares)):
                total = load_pair(advance(prefix, k)) + load_pair(advance(last, k))
                store_pair(advance(prefix, k), total)
                store_pair(advance(line, k), total + load_pair(advance(first, k)))
        if r + 1 == rows.outputs or (r + 1 + rows.phase) % rows.cell == 0:
            _finish_groups(f, squares, group, begin, r + 1 - begin)
            begin, group = r + 1, group + 1


@compilation.outline
def _finish_groups(f, squares, group, begin, count):
    """Sum `count` rows of sums over windows of columns, for the groups across that they make up."""
    columns, pitch = f.columns, f.pitch
    prefix = pointer_to(squares, f.spare)
    level, other, lines = advance(prefix, pitch), advance(prefix, 2 * pitch), advance(prefix, _ROWS_IN_FRONT * pitch)
    opened = bytes_at(f.open, group * columns.groups)
    limits, is_open = doubles_at(f.limits, group * f.limit_step), False
    for j in range(columns.groups):
        is_open = is_open or opened[j] != 0
    if is_open and not f.all_open:
        copy_values(level, lines, pitch)
        for k in range(1, count):
            line = advance(lines, k * pitch)
            for c in range(0, pitch, 2 * lanes(squares)):
                store_pair(advance(level, c), smaller(load_pair(advance(level, c)), load_pair(advance(line, c))))
        sum_windows(level, other, pitch, 1, columns.taps)
        is_open = False
        for j in range(columns.groups):
            if opened[j] != 0:
                left = max(0, j * columns.cell - columns.phase)
                least = load(advance(level, left))
                for c in range(left + 1, min(columns.outputs, (j + 1) * columns.cell - columns.phase)):
                    value = load(advance(level, c))
                    least = value if value < least else least
                if least >= limits[j * f.limit_jump]:
                    opened[j] = 0
                else:
                    is_open = True
    if is_open:
        _finish_outputs(f, level, other, lines, group, begin, count)


@compilation.outline
def _finish_outputs(f, level, other, lines, group, begin, count):
    """Sum over windows of columns row by row, for open groups."""
    columns, pitch = f.columns, f.pitch
    opened, place = bytes_at(f.open, group * columns.groups), group * columns.groups
    lowest, highest, zeros = doubles_at(f.least, place), doubles_at(f.most, place), doubles_at(f.zeros, place)
    low, high = advance(lines, f.rows.cell * pitch), advance(lines, (f.rows.cell + 1) * pitch)
    for c in range(columns.outputs):
        store(advance(low, c), math.inf)
        store(advance(high, c), 0.0)
    # Lines across that do not mix have limits of their own, and groups of one column: there none is mixed.
    store(level, doubles_at(f.limits, group * f.limit_step)[0] if f.limit_jump == 0 else math.inf)
    limit = load(level)
    for k in range(count):
        copy_values(level, advance(lines, k * pitch), pitch)
        sum_windows(level, other, pitch, 1, columns.taps)
        _fold_row(level, low, high, limit, bytes_at(f.kinds, (begin + k) * columns.outputs), columns.outputs)
    for j in range(columns.groups):
        if opened[j] != 0:
            left, least, most = max(0, j * columns.cell - columns.phase), math.inf, 0.0
            right = min(columns.outputs, (j + 1) * columns.cell - columns.phase)
            for c in range(left, right):
                least, most = min(least, float(load(advance(low, c)))), max(most, float(load(advance(high, c))))
            lowest[j], highest[j], number = least, most, 0
            for k in range(count):
                kinds = bytes_at(f.kinds, (begin + k) * columns.outputs)
                for c in range(left, right):
                    number += 1 if kinds[c] == NOTHING else 0
            zeros[j] = number


@compilation.outline
def _fold_row(level, low, high, limit, kinds, count):
    """The least number but zeros, and the largest one, of each column; and the kind of each output of a row."""
    for c in range(count):
        value, least, most = load(advance(level, c)), load(advance(low, c)), load(advance(high, c))
        is_zero = value + value == value
        least = value if value < least and not is_zero else least
        store(advance(low, c), least)
        store(advance(high, c), value if value > most else most)
        kinds[c] = types.uint8(NOTHING) if is_zero else types.uint8(ENOUGH if value >= limit else TOO_LITTLE)


def widen_signature(dtype):
    """Signature of `widen`."""
    return types.void(types.CPointer(dtype), types.intp, types.intp)


def widen(samples, count, target):
    """Sizes of samples, in float64 at `target`."""
    sizes = doubles_at(target, 0)
    for k in range(count):
        sizes[k] = abs(float(load(advance(samples, k))))
