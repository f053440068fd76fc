"""The microkernels of direct convolution, which take nearly all of the time.

Both compute a rectangle of a correlation (the engine has flipped the kernel)::

    out[r, c] = sum over i, j of weights[i, j] * x[r + i, c + j * step]

in the type of their pointers, which is also that of the accumulators. Each output adds its products in one fixed
order, so the result does not depend on the tile's shape or place, to the last bit. Error: at most
``taps * eps * sum |weights| |x|`` to first order, and less with FMA (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1). Integers wrap.

`convolve_tiles` shares each vector of input among rows of output, and each weight among vectors. `convolve_rows` is
for kernels of one row, where rows share nothing: there taps one vector apart share vectors of input.
"""

from __future__ import annotations

from numba import types

from fastconv._simd import compilation
from fastconv._simd.memory import advance
from fastconv._simd.register_tiles import rounded_zeros, store_rows, sweep, sweep_grouped, sweep_some, width, zeros
from fastconv._simd.target import processor

# Rows of a tile. The phases of `convolve_tiles` are written out for four.
ROWS = 4

if processor().registers >= 32:
    # 16 accumulators, 4 vectors of input, a weight. 5x5 to 15x15 reached 63 to 87 % of peak with AVX-512.
    VECTORS = 4
    ROW_VECTORS = 16
    GROUP = 4
else:
    # 12 accumulators, 3 vectors of input, a weight: all 16 registers. Of 6x2, 5x2, 3x4 and 2x5 none is faster
    # beyond 3x3 with AVX2: 72, 82 and 90 % of peak with 5x5, 7x7 and 15x15.
    VECTORS = 3
    ROW_VECTORS = 12
    GROUP = 2


def minimum_width(itemsize: int) -> int:
    """Least width, in elements, of a rectangle that the microkernels compute."""
    return VECTORS * (processor().vector_bytes // itemsize)


def widest(itemsize: int) -> int:
    """Width, in elements, of the tiles of `convolve_rows`."""
    return ROW_VECTORS * (processor().vector_bytes // itemsize)


def tap_unit(itemsize: int, step: int) -> int:
    """Taps that `convolve_rows` adds in an order of their own, group by group; those of other kernels are in order."""
    lanes = processor().vector_bytes // itemsize
    return max(1, lanes // step * GROUP) if lanes % step == 0 else 1


def signature(dtype):
    """Signature of both microkernels for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n, pointer, n, n, n, n, n, n)


def _make(name: str, make_tile):
    def convolve(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
        """Correlate with a kernel of any size; pitches are in elements, `columns` is at least `minimum_width`."""
        for r in range(0, height, ROWS):
            tile_height = min(ROWS, height - r)
            x_row = advance(x, r * x_pitch)
            out_row = advance(out, r * out_pitch)
            c = 0
            while c < columns:
                tile = make_tile(x, ROWS, VECTORS)
                # The last tile slides back: it computes again, and never reads outside.
                c = min(c, columns - width(tile))
                corner = advance(x_row, c)
                if tile_height == 4 and rows >= 3:
                    # Input row i is kernel row i of tile row 0, kernel row i - 1 of tile row 1, and so on.
                    tile = sweep(tile, 0, 1, 0, corner, x_pitch, step, weights, weights_pitch, taps)
                    tile = sweep(tile, 0, 2, 1, corner, x_pitch, step, weights, weights_pitch, taps)
                    tile = sweep(tile, 0, 3, 2, corner, x_pitch, step, weights, weights_pitch, taps)
                    for i in range(3, rows):
                        tile = sweep(tile, 0, 4, i, corner, x_pitch, step, weights, weights_pitch, taps)
                    tile = sweep(tile, 1, 4, rows, corner, x_pitch, step, weights, weights_pitch, taps)
                    tile = sweep(tile, 2, 4, rows + 1, corner, x_pitch, step, weights, weights_pitch, taps)
                    tile = sweep(tile, 3, 4, rows + 2, corner, x_pitch, step, weights, weights_pitch, taps)
                else:
                    for i in range(tile_height + rows - 1):
                        first, last = max(0, i - rows + 1), min(tile_height, i + 1)
                        tile = sweep_some(tile, first, last, i, corner, x_pitch, step, weights, weights_pitch, taps)
                store_rows(tile, tile_height, advance(out_row, c), out_pitch)
                c += width(tile)

    convolve.__name__ = name
    return convolve


convolve_tiles = _make("convolve_tiles", zeros)
# The same with every product rounded before it is added.
convolve_rounded_tiles = _make("convolve_rounded_tiles", rounded_zeros)


@compilation.inline
def convolve_column(tile, x, x_pitch, weights, rows):
    """Accumulate a tile of four rows whose input begins at `x`, for one column of three weights or more.

    Down a column the samples are a pitch apart, and the weights of the rows of a tile are adjacent: where all four rows
    take part, one sweep along the column is enough.
    """
    tile = sweep(tile, 0, 1, 0, x, x_pitch, x_pitch, weights, 1, 1)
    tile = sweep(tile, 0, 2, 1, x, x_pitch, x_pitch, weights, 1, 1)
    tile = sweep(tile, 0, 3, 2, x, x_pitch, x_pitch, weights, 1, 1)
    tile = sweep(tile, 0, 4, 3, x, x_pitch, x_pitch, weights, 1, rows - 3)
    tile = sweep(tile, 1, 4, rows, x, x_pitch, x_pitch, weights, 1, 1)
    tile = sweep(tile, 2, 4, rows + 1, x, x_pitch, x_pitch, weights, 1, 1)
    return sweep(tile, 3, 4, rows + 2, x, x_pitch, x_pitch, weights, 1, 1)


@compilation.inline
def _sweep_row(tile, x, step, weights, taps, apart):
    """Accumulate all taps of a kernel of one row, in groups as far as possible."""
    done = 0
    if apart > 0:
        while done + GROUP * apart <= taps:
            tile = sweep_grouped(tile, GROUP, advance(x, done * step), step, advance(weights, done), apart, apart)
            done += GROUP * apart
        while done + 2 * apart <= taps:
            tile = sweep_grouped(tile, 2, advance(x, done * step), step, advance(weights, done), apart, apart)
            done += 2 * apart
        pairs = taps - done - apart
        if pairs > 0:
            tile = sweep_grouped(tile, 2, advance(x, done * step), step, advance(weights, done), apart, pairs)
            return sweep(
                tile,
                0,
                1,
                0,
                advance(x, (done + pairs) * step),
                0,
                step,
                advance(weights, done + pairs),
                0,
                apart - pairs,
            )
    return sweep(tile, 0, 1, 0, advance(x, done * step), 0, step, advance(weights, done), 0, taps - done)


def convolve_rows(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with a kernel of one row: as `convolve_tiles`, with ``rows == 1``."""
    lanes = width(zeros(x, 1, 1))
    # Taps that lie `apart` from each other see the same vectors of input, one vector on.
    apart = lanes // step if lanes % step == 0 else 0
    for r in range(height):
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        while c < columns:
            wide = zeros(x, 1, ROW_VECTORS)
            if c + width(wide) <= columns:
                wide = _sweep_row(wide, advance(x_row, c), step, weights, taps, apart)
                store_rows(wide, 1, advance(out_row, c), out_pitch)
                c += width(wide)
            else:
                narrow = zeros(x, 1, VECTORS)
                c = min(c, columns - width(narrow))
                narrow = _sweep_row(narrow, advance(x_row, c), step, weights, taps, apart)
                store_rows(narrow, 1, advance(out_row, c), out_pitch)
                c += width(narrow)
