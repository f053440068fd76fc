"""Two passes of `scipy_order_lines` over a block, whose sums are rounded in between to the type of the result.

Some rows at a time, so that the sums between the passes stay in cache.
"""

from __future__ import annotations

from numba import types

from fastconv._simd import compilation
from fastconv._simd.memory import call, integers_at

# Words before the weights of the column and of the row: the addresses of their microkernels; and of the routines from
# sums to the type of the result and back, 0 if that is double; and the size of that type.
COLUMN, ROW, NARROW, WIDEN, SIZE, WORDS = range(6)
# Rows at a time: with the column first, and with the row first, where lines that two groups need are computed twice.
COLUMN_GROUP = 16
ROW_GROUP = 32
# Elements at the start of the buffer that stay untouched: there `block_loop` looks for results that are not finite.
_HEAD = 8
_DOUBLE = 8


def signature():
    """Signature of both routines, that of `separable_passes.pass_twice` with addresses as integers."""
    return types.void(*[types.intp] * 15)


def _pitch(width):
    # An odd number of cache lines: an even one would put the rows into fewer sets of the cache.
    return (width + 7) // 16 * 16 + 8


_jitted_pitch = compilation.inline(_pitch)


def buffered(rows: int, width: int, row_first: bool) -> int:
    """Elements of the buffer for a column of so many taps: lines of this width, in double and in the result's type."""
    lines = ROW_GROUP + rows - 1 if row_first else COLUMN_GROUP
    return _HEAD + 2 * lines * _pitch(width)


@compilation.inline
def _round(words, sums, pitch, lines, width, room):
    """Round lines of sums, by way of the memory behind them."""
    if words[NARROW] != 0:
        narrow, line = sums + room, pitch * _DOUBLE
        size = words[SIZE]
        call(words[NARROW], sums, line, _DOUBLE, _DOUBLE, narrow, line, size, size, lines, width, 1, 0)
        call(words[WIDEN], narrow, line, size, size, sums, line, _DOUBLE, _DOUBLE, lines, width, 1, 0)


def column_first(
    x, x_pitch, kernel, buffer, _pitch, _number, _lines, _samples, out, out_pitch, height, columns, rows, taps, step
):
    """Correlate down the columns, then along the rows; the arguments are those of `pixel_passes.pass_picture`."""
    words, column = integers_at(kernel, 0), kernel + WORDS * _DOUBLE
    width, sums = columns + (taps - 1) * step, buffer + _HEAD * _DOUBLE
    pitch = _jitted_pitch(width)
    for r in range(0, height, COLUMN_GROUP):
        count = min(COLUMN_GROUP, height - r)
        source, target = x + r * x_pitch * _DOUBLE, out + r * out_pitch * _DOUBLE
        call(words[COLUMN], source, x_pitch, column, 1, sums, pitch, count, width, rows, 1, 1)
        _round(words, sums, pitch, count, width, COLUMN_GROUP * pitch * _DOUBLE)
        call(words[ROW], sums, pitch, column + rows * _DOUBLE, taps, target, out_pitch, count, columns, 1, taps, step)


def row_first(
    x, x_pitch, kernel, buffer, _pitch, _number, _lines, _samples, out, out_pitch, height, columns, rows, taps, step
):
    """Correlate along the rows, then down the columns."""
    words, column = integers_at(kernel, 0), kernel + WORDS * _DOUBLE
    pitch, sums = _jitted_pitch(columns), buffer + _HEAD * _DOUBLE
    for r in range(0, height, ROW_GROUP):
        count = min(ROW_GROUP, height - r)
        lines = count + rows - 1
        source, target = x + r * x_pitch * _DOUBLE, out + r * out_pitch * _DOUBLE
        call(words[ROW], source, x_pitch, column + rows * _DOUBLE, taps, sums, pitch, lines, columns, 1, taps, step)
        _round(words, sums, pitch, lines, columns, (ROW_GROUP + rows - 1) * pitch * _DOUBLE)
        call(words[COLUMN], sums, pitch, column, 1, target, out_pitch, count, columns, rows, 1, 1)
