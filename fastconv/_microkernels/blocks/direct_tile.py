"""The microkernels of direct convolution, which take nearly all of the time.

All compute a rectangle of a correlation (the engine has flipped the kernel)::

    out[r, c] = sum over i, j of weights[i, j] * x[r + i, c + j * step]

in the type of their pointers, which is also that of the accumulators. Each output adds its products in one fixed
order, so the result does not depend on the tile's shape or place, to the last bit. Error: at most
``taps * eps * sum |weights| |x|`` to first order, and less with FMA (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1). Integers wrap.

`convolve_tiles` shares each vector of input among rows of output, and each weight among vectors. `convolve_rows` is
for kernels of one row, where rows share nothing: there taps one vector apart share vectors of input.

Symmetric and antisymmetric floats of one row or column are summed from both ends, ``(left + right) + middle``, and the
right half in the order of the mirror image of the left. So mirrored input gives the mirrored result, to the last bit,
and no pair of samples is added that could overflow.
"""

from __future__ import annotations

from numba import types

from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import advance, load
from fastconv._simd.register_tiles import (
    SHORT_COLUMNS,
    SHORT_ROWS,
    accumulate_nonfinite,
    convolve_short_row,
    rounded_zeros,
    stack_memory,
    store_rows,
    sweep,
    sweep_down,
    sweep_ends,
    sweep_grouped,
    sweep_inwards,
    sweep_short_column,
    sweep_some,
    sweep_tall_column,
    width,
    zero_row,
    zeros,
)
from fastconv._simd.target import processor

# Rows of a tile. The phases of `convolve_tiles` are written out for four.
ROWS = 4

if processor().registers >= 32:
    # 16 accumulators, 4 vectors of input, a weight. 5x5 to 15x15 reached 63 to 87 % of peak with AVX-512.
    VECTORS = 4
    ROW_VECTORS = 16
    END_VECTORS = 12  # of a row from both ends: two tiles
    SHORT_VECTORS = 8  # of one of few taps
    GROUP = 4
else:
    # 12 accumulators, 3 vectors of input, a weight: all 16 registers. Of 6x2, 5x2, 3x4 and 2x5 none is faster
    # beyond 3x3 with AVX2: 72, 82 and 90 % of peak with 5x5, 7x7 and 15x15.
    VECTORS = 3
    ROW_VECTORS = 12
    END_VECTORS = 6
    SHORT_VECTORS = 6
    GROUP = 2

_LONGEST, _LONGEST_ROW = SHORT_COLUMNS[-1], SHORT_ROWS[-1]


def minimum_width(itemsize: int) -> int:
    """Least width, in elements, of a rectangle that the microkernels compute."""
    return VECTORS * (processor().vector_bytes // itemsize)


def widest(itemsize: int) -> int:
    """Width, in elements, of the tiles of `convolve_rows`."""
    return ROW_VECTORS * (processor().vector_bytes // itemsize)


def _apart(lanes, step):
    """How many taps apart two taps see the same vectors of input, one vector on; 0 for none."""
    return lanes // step if lanes % step == 0 and lanes > step else 0


def _cut_half(taps, apart):
    """Cut one half of a symmetric row into groups: the numbers for `sweep_inwards`, all 0 if there are none.

    Both ends of a long row are cut into blocks of groups of `GROUP` taps. Of the core between them, taps that lie
    `apart` form a stream, and whole streams belong to one half: stream r to the left, its mirror image to the right. If
    the taps are odd, two streams are their own mirror image, ``apart / 2`` from each other: their taps are single.
    """
    if apart == 0 or 4 * taps <= 5 * apart:
        return 0, 0, 0, 0, 0
    blocks = taps // (2 * GROUP * apart)
    core = taps - 2 * blocks * GROUP * apart
    size = core // apart + 1
    is_long = 1 if size > GROUP else 0
    return blocks, core % apart, core // apart if taps % 2 else 0, is_long, size - is_long * GROUP


def tap_unit(taps: int, itemsize: int, step: int) -> int:
    """Taps that `convolve_rows` adds in an order of their own, group by group; those of short rows are in order."""
    apart = _apart(processor().vector_bytes // itemsize, step)
    return GROUP * apart if taps > apart > 0 else 1


def removable(taps: int, itemsize: int, step: int, zeros_at_ends: int) -> int:
    """How many of the zeros at each end of a symmetric row can be left out: the order of all others stays the same.

    Rows in groups lose whole blocks of taps, and keep enough of them to be cut into the same groups.
    """
    apart = _apart(processor().vector_bytes // itemsize, step)
    if not any(_cut_half(taps, apart)):
        return zeros_at_ends
    block = GROUP * apart
    found = min(zeros_at_ends // block, _cut_half(taps, apart)[0]) * block
    while found and not any(_cut_half(taps - 2 * found, apart)):
        found -= block
    return found


_inlined_apart, _inlined_cut_half = compilation.inline(_apart), compilation.inline(_cut_half)


def signature(dtype):
    """Signature of the microkernels for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n, pointer, n, n, n, n, n, n)


def _make(name: str, make_tile):
    def convolve(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
        """Correlate with a kernel of any size; pitches are in elements, `columns` is at least `minimum_width`."""
        for r in range(0, height, ROWS):
            tile_height = smaller(ROWS, height - r)
            x_row = advance(x, r * x_pitch)
            out_row = advance(out, r * out_pitch)
            c = 0
            while c < columns:
                tile = make_tile(x, ROWS, VECTORS)
                # The last tile slides back: it computes again, and never reads outside.
                c = smaller(c, columns - width(tile))
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
                        first, last = larger(0, i - rows + 1), smaller(tile_height, i + 1)
                        tile = sweep_some(tile, first, last, i, corner, x_pitch, step, weights, weights_pitch, taps)
                store_rows(tile, tile_height, advance(out_row, c), out_pitch)
                c += width(tile)

    convolve.__name__ = name
    return convolve


convolve_tiles = _make("convolve_tiles", zeros)
# The same with every product rounded before it is added.
convolve_rounded_tiles = _make("convolve_rounded_tiles", rounded_zeros)


@compilation.inline
def _symmetry(weights, taps):
    """1 if a row is its own mirror image, -1 if it is the negative of that, else 0."""
    is_even = is_odd = True
    for k in range((taps + 1) // 2):  # without branches, which take most of the time for short rows
        left, right = load(advance(weights, k)), load(advance(weights, taps - 1 - k))
        is_even &= left == right
        is_odd &= left == -right
    return 1 if is_even else -1 if is_odd else 0


@compilation.inline
def sweep_columns_down(x, x_pitch, weights, out, out_pitch, height, columns, rows):
    """Correlate with a kernel of one column, from top to bottom."""
    for r in range(0, height, ROWS):
        tile_height = smaller(ROWS, height - r)
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        while c < columns:
            tile = zeros(out, ROWS, VECTORS)
            c = smaller(c, columns - width(tile))
            corner, target = advance(x_row, c), advance(out_row, c)
            if tile_height == 4 and rows >= 3:
                store_rows(sweep_down(tile, corner, x_pitch, weights, rows), 4, target, out_pitch)
            else:
                for k in range(tile_height):
                    row = sweep(zero_row(tile), 0, 1, 0, advance(corner, k * x_pitch), 0, x_pitch, weights, 0, rows)
                    store_rows(row, 1, advance(target, k * out_pitch), out_pitch)
            c += width(tile)
    return zeros(out, 1, VECTORS)


@compilation.inline
def sweep_columns(x, x_pitch, weights, out, out_pitch, height, columns, rows):
    """Correlate with a kernel of one column, from both ends; returns zeros, with NaNs if a result is not finite.

    Columns of a few weights, of an odd number, get code of their own for each: their samples stay in registers.
    """
    not_finite = zeros(out, 1, VECTORS)
    kept = stack_memory(out, zeros(out, ROWS, VECTORS))
    for r in range(0, height, ROWS):
        tile_height = smaller(ROWS, height - r)
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        while c < columns:
            if tile_height == 4 and 3 <= rows <= _LONGEST and rows % 2:
                slim = zeros(out, ROWS, 2)
                c = smaller(c, columns - width(slim))
                slim = sweep_short_column(slim, advance(x_row, c), x_pitch, weights, rows)
                store_rows(slim, 4, advance(out_row, c), out_pitch)
                not_finite = accumulate_nonfinite(not_finite, slim)
                c += width(slim)
            elif tile_height == 4 and rows >= 6:
                tile = zeros(out, ROWS, VECTORS)
                c = smaller(c, columns - width(tile))
                tile = sweep_tall_column(tile, kept, advance(x_row, c), x_pitch, weights, rows)
                store_rows(tile, 4, advance(out_row, 3 * out_pitch + c), -out_pitch)
                not_finite = accumulate_nonfinite(not_finite, tile)
                c += width(tile)
            else:
                line = zeros(out, 1, VECTORS)
                c = smaller(c, columns - width(line))
                corner, target = advance(x_row, c), advance(out_row, c)
                for k in range(tile_height):
                    row = sweep_ends(line, advance(corner, k * x_pitch), x_pitch, weights, rows)
                    store_rows(row, 1, advance(target, k * out_pitch), out_pitch)
                    not_finite = accumulate_nonfinite(not_finite, row)
                c += width(line)
    return not_finite


def convolve_symmetric_columns(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with a kernel of one column, of floats: from both ends if it is symmetric, or antisymmetric."""
    if _symmetry(weights, rows) == 0:
        sweep_columns_down(x, x_pitch, weights, out, out_pitch, height, columns, rows)
    else:
        sweep_columns(x, x_pitch, weights, out, out_pitch, height, columns, rows)


@compilation.inline
def _sweep_row(tile, x, step, weights, taps, apart):
    """Accumulate all taps of a kernel of one row, in groups as far as possible."""
    done = 0
    if apart > 0:
        while done + GROUP * apart <= taps:
            tile = sweep_grouped(tile, GROUP, advance(x, done * step), step, advance(weights, done), apart, apart)
            done += GROUP * apart
        while done + apart < taps:
            pairs = smaller(apart, taps - done - apart)
            tile = sweep_grouped(tile, 2, advance(x, done * step), step, advance(weights, done), apart, pairs)
            done += pairs
            if pairs == apart:
                done += apart
            else:
                taps -= pairs
    return sweep(tile, 0, 1, 0, advance(x, done * step), 0, step, advance(weights, done), 0, taps - done)


@compilation.inline
def _convolve_row(x, step, weights, out, columns, taps, apart):
    c = 0
    while c < columns:
        wide = zeros(x, 1, ROW_VECTORS)
        if c + width(wide) <= columns:
            wide = _sweep_row(wide, advance(x, c), step, weights, taps, apart)
            store_rows(wide, 1, advance(out, c), 0)
            c += width(wide)
        else:
            narrow = zeros(x, 1, VECTORS)
            c = smaller(c, columns - width(narrow))
            narrow = _sweep_row(narrow, advance(x, c), step, weights, taps, apart)
            store_rows(narrow, 1, advance(out, c), 0)
            c += width(narrow)


def convolve_rows(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with a kernel of one row, from left to right: as `convolve_tiles`, with ``rows == 1``."""
    apart = _inlined_apart(width(zeros(x, 1, 1)), step)
    for r in range(height):
        _convolve_row(advance(x, r * x_pitch), step, weights, advance(out, r * out_pitch), columns, taps, apart)


def convolve_symmetric_rows(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with a kernel of one row, of floats: from both ends if it is symmetric, or antisymmetric."""
    apart, sign = _inlined_apart(width(zeros(x, 1, 1)), step), _symmetry(weights, taps)
    cut = _inlined_cut_half(taps, apart)
    for r in range(height):
        x_row, out_row = advance(x, r * x_pitch), advance(out, r * out_pitch)
        if sign == 0:
            _convolve_row(x_row, step, weights, out_row, columns, taps, apart)
            continue
        short = zeros(x, 1, SHORT_VECTORS)
        if cut[4] == 0 and 3 <= taps <= _LONGEST_ROW and taps % 2 and columns >= width(short):
            convolve_short_row(short, x_row, step, weights, out_row, columns, taps)
            continue
        c = 0
        while c < columns:
            wide = zeros(x, 1, END_VECTORS)
            if c + width(wide) <= columns:
                if cut[4] == 0:
                    wide = sweep_ends(wide, advance(x_row, c), step, weights, taps)
                else:
                    wide = sweep_inwards(wide, GROUP, advance(x_row, c), step, weights, taps, apart, cut, sign)
                store_rows(wide, 1, advance(out_row, c), out_pitch)
                c += width(wide)
            else:
                narrow = zeros(x, 1, VECTORS)
                c = smaller(c, columns - width(narrow))
                if cut[4] == 0:
                    narrow = sweep_ends(narrow, advance(x_row, c), step, weights, taps)
                else:
                    narrow = sweep_inwards(narrow, GROUP, advance(x_row, c), step, weights, taps, apart, cut, sign)
                store_rows(narrow, 1, advance(out_row, c), out_pitch)
                c += width(narrow)
