"""Two passes instead of one: along the rows, then down the columns, for kernels that are an outer product.

A kernel of ``rows x taps`` then costs ``rows + taps`` multiplications for an output. What lies between the passes is a
buffer of lines that stays in cache. A strip of output is computed from top to bottom, a few lines of input at a time;
the last ``rows - 1`` lines are kept, so that within a strip no line is computed twice.
"""

from __future__ import annotations

from numba import types

from fastconv import _jit
from fastconv._tile import ROW_VECTORS, VECTORS, convolve_columns, convolve_rows
from fastconv._vector import advance, hidden, load, store, store_rows, sweep, width, zeros

# Lines of input that are taken at a time (more, of very tall images), and how often before the lines kept must be moved
# to the top of the buffer. Of 4, 8, 12, 16 and 32 lines, 8 are the fastest with AVX2, from 5x5 to 31x31.
LINES = 8
TIMES = 8
# Elements at the beginning of the buffer, where `pass_checked` reports: as many as the widest tiles, and one more.
HEAD = 512

_convolve_columns = _jit.inline(convolve_columns)
_convolve_rows = _jit.inline(convolve_rows)


def buffered(rows: int, at_a_time: int = LINES) -> int:
    """Lines of the buffer, behind its head."""
    return rows - 1 + at_a_time * TIMES


def signature(dtype):
    """Signature of both leaves for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, pointer, n, n, n, n, pointer, n, n, n, n, n, n)


@_jit.inline
def _pass_twice(
    x, x_pitch, weights, buffer, pitch, number, at_a_time, samples, out, out_pitch, height, columns, rows, taps, step
):
    lines = advance(buffer, HEAD)
    place = number % TIMES * at_a_time
    if place == 0 and number > 0:
        for k in range((rows - 1) * pitch):
            store(advance(lines, k), load(advance(lines, TIMES * at_a_time * pitch + k)))
    new = advance(lines, (rows - 1 + place) * pitch)
    _convolve_rows(x, x_pitch, weights, taps, new, pitch, samples, columns, 1, taps, step)
    first = advance(new, (samples - height - rows + 1) * pitch)
    _convolve_columns(first, pitch, advance(weights, taps), 1, out, out_pitch, height, columns, rows, 1, step)


def pass_exactly(
    x, x_pitch, weights, buffer, pitch, number, at_a_time, samples, out, out_pitch, height, columns, rows, taps, step
):
    """Take the next lines of a strip, and compute the rows of output that are complete with them.

    Parameters
    ----------
    x, x_pitch
        The lines, `samples` of them: `at_a_time`, or fewer at the end of a strip. Pitches are in elements.
    weights
        The row factor, the column factor, and `at_a_time` zeros.
    buffer, pitch
        Where lines are kept from call to call: `HEAD` elements, and `buffered` lines.
    number
        How many calls this strip has had.
    out, out_pitch
        Where `height` rows go.
    columns, rows, taps, step
        As for the microkernels.
    """
    _pass_twice(
        x,
        x_pitch,
        weights,
        buffer,
        pitch,
        number,
        at_a_time,
        samples,
        out,
        out_pitch,
        height,
        columns,
        rows,
        taps,
        step,
    )


def pass_checked(
    x, x_pitch, weights, buffer, pitch, number, at_a_time, samples, out, out_pitch, height, columns, rows, taps, step
):
    """`pass_exactly`; and if a result is not finite, the first element of the buffer becomes a NaN, else stays zero.

    Zero times the results is summed up, which leaves a zero or a NaN.
    """
    _pass_twice(
        x,
        x_pitch,
        weights,
        buffer,
        pitch,
        number,
        at_a_time,
        samples,
        out,
        out_pitch,
        height,
        columns,
        rows,
        taps,
        step,
    )
    nothing = advance(weights, taps + rows)
    wide, narrow = zeros(x, 1, ROW_VECTORS), zeros(x, 1, VECTORS)
    c = 0
    while c + width(wide) <= columns:
        wide = sweep(wide, 0, 1, 0, advance(out, c), 0, out_pitch, nothing, 0, height)
        c += width(wide)
    while c < columns:
        c = min(c, columns - width(narrow))
        narrow = sweep(narrow, 0, 1, 0, advance(out, c), 0, out_pitch, nothing, 0, height)
        c += width(narrow)
    sums = advance(buffer, 1)
    store_rows(wide, 1, sums, 0)
    store_rows(narrow, 1, advance(sums, width(wide)), 0)
    total = load(buffer)
    for k in range(width(wide) + width(narrow)):
        total += load(hidden(advance(sums, k)))
    store(buffer, total)
