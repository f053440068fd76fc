"""Two passes from pixels to pixels, for separable kernels: down the columns, then along the rows.

Columns come first: along them outputs share no shifted vectors, so pixels can be converted as they are loaded. The sums
of four rows stay in the L1 cache, and those along the rows leave the registers only as pixels.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.direct_tile import ROW_VECTORS, ROWS, VECTORS, convolve_column
from fastconv._simd import compilation
from fastconv._simd.memory import advance, integers_at, load, pointer_to
from fastconv._simd.pixel_vectors import METHOD, PLAIN, PRODUCT, QUOTIENT, parameters_at, rescale_row
from fastconv._simd.register_tiles import store_rows, sweep, width, zero_row, zeros


def signature(pixel, compute):
    """Signature of `pass_picture` from and to pixels of one type."""
    pixels, sums, n = types.CPointer(pixel), types.CPointer(compute), types.intp
    return types.void(pixels, n, n, sums, n, n, n, n, pixels, n, n, n, n, n, n)


@compilation.inline
def _convolve_columns(x, x_pitch, weights, sums, pitch, height, columns, rows):
    """Convolve down the columns: `height` rows of sums, at most `ROWS`."""
    c = 0
    while c < columns:
        tile = zeros(sums, ROWS, VECTORS)
        c = min(c, columns - width(tile))
        corner, target = advance(x, c), advance(sums, c)
        if height == ROWS and rows >= 3:
            tile = convolve_column(tile, corner, x_pitch, weights, rows)
            store_rows(tile, 4, target, pitch)
        else:
            for k in range(height):
                line = zero_row(tile)
                line = sweep(line, 0, 1, 0, advance(corner, k * x_pitch), 0, x_pitch, weights, 0, rows)
                store_rows(line, 1, advance(target, k * pitch), pitch)
        c += width(tile)


@compilation.inline
def _finish(row, out, numbers, way):
    if way == PLAIN:
        rescale_row(row, out, numbers, PLAIN)
    elif way == PRODUCT:
        rescale_row(row, out, numbers, PRODUCT)
    else:
        rescale_row(row, out, numbers, QUOTIENT)


@compilation.inline
def _convolve_row(sums, weights, numbers, out, columns, taps, step):
    """Convolve along a row of sums, and store it as pixels."""
    way = load(advance(numbers, METHOD))
    c = 0
    while c < columns:
        wide = zeros(sums, 1, ROW_VECTORS)
        if c + width(wide) <= columns:
            wide = sweep(wide, 0, 1, 0, advance(sums, c), 0, step, weights, 0, taps)
            _finish(wide, advance(out, c), numbers, way)
            c += width(wide)
        else:
            narrow = zeros(sums, 1, VECTORS)
            c = min(c, columns - width(narrow))
            narrow = sweep(narrow, 0, 1, 0, advance(sums, c), 0, step, weights, 0, taps)
            _finish(narrow, advance(out, c), numbers, way)
            c += width(narrow)


# Elements at the start of the buffer that remain unchanged: `block_loop` expects the flag of non-finite results there.
_HEAD = 32


def buffered(columns: int, taps: int, step: int) -> int:
    """Size of the buffer, in sums, for a block of `columns` columns."""
    return _HEAD + ROWS * _pitch(columns, taps, step)


def _pitch(columns, taps, step):
    # A pitch that is a power of two would put the rows into the same few sets of the cache.
    return (columns + (taps - 1) * step + 15) // 16 * 16 + 16


_jitted_pitch = compilation.inline(_pitch)


def pass_picture(
    x, x_pitch, kernel, buffer, _pitch, _number, _at_a_time, _samples, out, out_pitch, height, columns, rows, taps, step
):
    """Compute a rectangle of pixels.

    Parameters
    ----------
    x, x_pitch
        The samples of the rectangle. Pitches are in elements.
    kernel
        The addresses of the column factor, of the row factor, and of the rescale parameters.
    buffer
        Memory for `buffered` sums.
    out, out_pitch
        The `height` rows of the output.
    columns, rows, taps, step
        As for the microkernels.

    The other parameters are not used: the signature is that of `separable_passes.pass_twice`.
    """
    addresses = integers_at(kernel, 0)
    column, row = pointer_to(buffer, addresses[0]), pointer_to(buffer, addresses[1])
    numbers = parameters_at(buffer, addresses[2])
    pitch, sums = _jitted_pitch(columns, taps, step), advance(buffer, _HEAD)
    for r in range(0, height, ROWS):
        count = min(ROWS, height - r)
        _convolve_columns(
            advance(x, r * x_pitch), x_pitch, column, sums, pitch, count, columns + (taps - 1) * step, rows
        )
        for k in range(count):
            _convolve_row(
                advance(sums, k * pitch), row, numbers, advance(out, (r + k) * out_pitch), columns, taps, step
            )
