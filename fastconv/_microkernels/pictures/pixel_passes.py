"""Two passes from pixels to pixels, for separable kernels: down the columns, then along the rows.

Columns come first: along them outputs share no shifted vectors, so pixels can be converted as they are loaded. The sums
of four rows stay in the L1 cache, and those along the rows leave the registers only as pixels.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.blocks.direct_tile import ROWS, VECTORS, sweep_columns, sweep_columns_down
from fastconv._simd import compilation
from fastconv._simd.memory import advance, integers_at, load, pointer_to
from fastconv._simd.pixel_vectors import METHOD, PLAIN, PRODUCT, QUOTIENT, parameters_at, rescale_row
from fastconv._simd.register_tiles import sweep, sweep_ends, width, zeros
from fastconv._simd.target import processor

# Vectors of a tile of sums along a row, multiples of the four that fill one of bytes. Floats take two tiles.
_INTEGER_VECTORS, _FLOAT_VECTORS = (16, 8) if processor().registers >= 32 else (12, 4)


def signature(pixel, compute):
    """Signature of `pass_picture` from and to pixels of one type."""
    pixels, sums, n = types.CPointer(pixel), types.CPointer(compute), types.intp
    return types.void(pixels, n, n, sums, n, n, n, n, pixels, n, n, n, n, n, n)


@compilation.inline
def _finish(row, out, numbers, way):
    if way == PLAIN:
        rescale_row(row, out, numbers, PLAIN)
    elif way == PRODUCT:
        rescale_row(row, out, numbers, PRODUCT)
    else:
        rescale_row(row, out, numbers, QUOTIENT)


def _make_row(vectors: int, sweep_row):
    """A function that convolves along a row of sums, and stores it as pixels, in tiles of so many vectors."""

    @compilation.inline
    def convolve_row(sums, weights, numbers, out, columns, taps, step):
        way = load(advance(numbers, METHOD))
        c = 0
        while c < columns:
            wide = zeros(sums, 1, vectors)
            if c + width(wide) <= columns:
                wide = sweep_row(wide, advance(sums, c), step, weights, taps)
                _finish(wide, advance(out, c), numbers, way)
                c += width(wide)
            else:
                narrow = zeros(sums, 1, VECTORS)
                c = min(c, columns - width(narrow))
                narrow = sweep_row(narrow, advance(sums, c), step, weights, taps)
                _finish(narrow, advance(out, c), numbers, way)
                c += width(narrow)

    return convolve_row


@compilation.inline
def _sweep_once(tile, x, step, weights, taps):
    """All taps of a row from left to right."""
    return sweep(tile, 0, 1, 0, x, 0, step, weights, 0, taps)


# Elements at the start of the buffer that remain unchanged: `block_loop` expects the flag of non-finite results there.
_HEAD = 32


def buffered(columns: int, taps: int, step: int) -> int:
    """Size of the buffer, in sums, for a block of `columns` columns."""
    return _HEAD + ROWS * _pitch(columns, taps, step)


def _pitch(columns, taps, step):
    # A pitch that is a power of two would put the rows into the same few sets of the cache.
    return (columns + (taps - 1) * step + 15) // 16 * 16 + 16


_jitted_pitch = compilation.inline(_pitch)


def _make(name: str, columns_of, row_of):
    """`pass_picture` with one way to convolve columns, and rows."""

    def pass_picture(
        x,
        x_pitch,
        kernel,
        buffer,
        _pitch,
        _number,
        _at_a_time,
        _samples,
        out,
        out_pitch,
        height,
        columns,
        rows,
        taps,
        step,
    ):
        """Compute a rectangle of pixels.

        Parameters
        ----------
        x, x_pitch
            The samples of the rectangle. Pitches are in elements.
        kernel
            The addresses of the column factor, of the row factor, and of the rescale parameters.
        buffer
            Room for `buffered` sums.
        out, out_pitch
            Where `height` rows go.
        columns, rows, taps, step
            As for the microkernels.

        The others are not used: the signature is that of `separable_passes.pass_twice`.
        """
        addresses = integers_at(kernel, 0)
        column, row = pointer_to(buffer, addresses[0]), pointer_to(buffer, addresses[1])
        numbers = parameters_at(buffer, addresses[2])
        pitch, sums = _jitted_pitch(columns, taps, step), advance(buffer, _HEAD)
        for r in range(0, height, ROWS):
            count = min(ROWS, height - r)
            columns_of(advance(x, r * x_pitch), x_pitch, column, sums, pitch, count, columns + (taps - 1) * step, rows)
            for k in range(count):
                target = advance(out, (r + k) * out_pitch)
                row_of(advance(sums, k * pitch), row, numbers, target, columns, taps, step)

    pass_picture.__name__ = name
    return pass_picture


pass_picture = _make("pass_picture", sweep_columns, _make_row(_FLOAT_VECTORS, sweep_ends))
pass_picture_in_integers = _make(
    "pass_picture_in_integers", sweep_columns_down, _make_row(_INTEGER_VECTORS, _sweep_once)
)
