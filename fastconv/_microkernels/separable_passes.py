"""Two passes instead of one: along the rows, then down the columns, for kernels that are an outer product.

A kernel of ``rows x taps`` then costs ``rows + taps`` multiplications for an output. What lies between the passes is a
buffer of lines that stays in cache. A strip of output is computed from top to bottom, a few lines of input at a time;
the last ``rows - 1`` lines are kept, so that within a strip no line is computed twice.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.direct_tile import ROWS, VECTORS, convolve_column, convolve_rows
from fastconv._simd import compilation
from fastconv._simd.memory import advance, load, opaque, store
from fastconv._simd.register_tiles import accumulate_nonfinite, store_rows, sweep, width, zero_row, zeros

# Lines of input that are taken at a time (more, of very tall images), and how often before the lines kept must be moved
# to the top of the buffer. Of 4, 8, 12, 16 and 32 lines, 8 are the fastest with AVX2, from 5x5 to 31x31.
LINES = 8
TIMES = 8
# Elements at the beginning of the buffer, where `pass_twice` reports: a row of a tile, and one more.
HEAD = 512

_convolve_rows = compilation.inline(convolve_rows)


def buffered(rows: int, at_a_time: int) -> int:
    """Lines of the buffer, behind its head."""
    return rows - 1 + at_a_time * TIMES


def signature(dtype):
    """Signature of `pass_twice` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, pointer, n, n, n, n, pointer, n, n, n, n, n, n)


@compilation.inline
def _convolve_columns(x, x_pitch, weights, out, out_pitch, height, columns, rows):
    """As `convolve_tiles`, for one column of weights; returns zeros, or NaNs among them if a result is not finite."""
    flaws = zeros(x, 1, VECTORS)
    for r in range(0, height, ROWS):
        tile_height = min(ROWS, height - r)
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        while c < columns:
            tile = zeros(x, ROWS, VECTORS)
            c = min(c, columns - width(tile))
            corner, target = advance(x_row, c), advance(out_row, c)
            if tile_height == 4 and rows >= 3:
                tile = convolve_column(tile, corner, x_pitch, weights, rows)
                store_rows(tile, 4, target, out_pitch)
                flaws = accumulate_nonfinite(flaws, tile)
            else:
                for k in range(tile_height):
                    line = zero_row(tile)
                    line = sweep(line, 0, 1, 0, advance(corner, k * x_pitch), 0, x_pitch, weights, 0, rows)
                    store_rows(line, 1, advance(target, k * out_pitch), out_pitch)
                    flaws = accumulate_nonfinite(flaws, line)
            c += width(tile)
    return flaws


def pass_twice(
    x, x_pitch, weights, buffer, pitch, number, at_a_time, samples, out, out_pitch, height, columns, rows, taps, step
):
    """Take the next lines of a strip, and compute the rows of output that are complete with them.

    If a result is not finite, the first element of the buffer becomes a NaN; else it stays as it was.

    Parameters
    ----------
    x, x_pitch
        The lines, `samples` of them: `at_a_time`, or fewer at the end of a strip. Pitches are in elements.
    weights
        The row factor, and behind it the column factor.
    buffer, pitch
        Where lines are kept from call to call: `HEAD` elements, and `buffered` lines.
    number
        How many calls this strip has had.
    out, out_pitch
        Where `height` rows go.
    columns, rows, taps, step
        As for the microkernels.
    """
    lines = advance(buffer, HEAD)
    place = number % TIMES * at_a_time
    if place == 0 and number > 0:
        for k in range((rows - 1) * pitch):
            store(advance(lines, k), load(advance(lines, TIMES * at_a_time * pitch + k)))
    new = advance(lines, (rows - 1 + place) * pitch)
    _convolve_rows(x, x_pitch, weights, taps, new, pitch, samples, columns, 1, taps, step)
    first = advance(new, (samples - height - rows + 1) * pitch)
    flaws = _convolve_columns(first, pitch, advance(weights, taps), out, out_pitch, height, columns, rows)
    store_rows(flaws, 1, advance(buffer, 1), 0)
    for k in range(1, width(flaws) + 1):
        store(buffer, load(buffer) + load(opaque(advance(buffer, k))))
