"""The microkernels of direct convolution, which take nearly all of the time.

All compute a rectangle of a correlation (the engine has flipped the kernel)::

    out[r, c] = sum over i, j of weights[i, j] * x[r + i, c + j * step]

in the type of their pointers, which is also that of the accumulators. Each output adds its products in one fixed
order, so the result does not depend on the tile's shape or place, to the last bit. Error: at most
``taps * eps * sum |weights| |x|`` to first order, and less with FMA (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1). Integers wrap.

`convolve_tiles` shares each vector of input among rows of output, and each weight among vectors. `convolve_rows` is
for kernels of one row, where rows share nothing: there taps one vector apart share vectors of input.

Kernels of one row or column are summed from both ends, ``(left + right) + middle``, and the right half in the order of
the mirror image of the left. So mirrored input and weights give the mirrored result, to the last bit, and no pair of
samples is added that could overflow.
"""

from __future__ import annotations

from numba import types

from fastconv._simd import compilation
from fastconv._simd.memory import advance, store
from fastconv._simd.register_tiles import (
    GROUP_FIELDS,
    SHORT_COLUMNS,
    accumulate_nonfinite,
    rounded_zeros,
    stack_integers,
    stack_memory,
    store_rows,
    sweep,
    sweep_down,
    sweep_ends,
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
    # Of a row, in two tiles, one for each end: in groups of taps, and tap by tap.
    ROW_VECTORS = 8
    BROAD_VECTORS = 12
    GROUP = 4
else:
    # 12 accumulators, 3 vectors of input, a weight: all 16 registers. Of 6x2, 5x2, 3x4 and 2x5 none is faster
    # beyond 3x3 with AVX2: 72, 82 and 90 % of peak with 5x5, 7x7 and 15x15.
    VECTORS = 3
    ROW_VECTORS = 6
    BROAD_VECTORS = 6
    GROUP = 2

_LONGEST = SHORT_COLUMNS[-1]


def minimum_width(itemsize: int) -> int:
    """Least width, in elements, of a rectangle that the microkernels compute."""
    return VECTORS * (processor().vector_bytes // itemsize)


def widest(itemsize: int) -> int:
    """Width, in elements, of the tiles of `convolve_rows`."""
    return BROAD_VECTORS * (processor().vector_bytes // itemsize)


def removable(taps: int, itemsize: int, step: int, zeros_at_ends: int) -> int:
    """How many of the zeros at each end of a row can be left out: all others are added in the same order then.

    Long rows lose whole groups of taps, as `_plan_groups` makes them.
    """
    lanes = processor().vector_bytes // itemsize
    apart = lanes // step if lanes % step == 0 else 0
    if apart < 2 or 4 * taps < 7 * apart:
        return zeros_at_ends
    length, found = taps // 2 // apart, 0
    while length - GROUP >= 2:
        small = length % GROUP not in (0, GROUP - 1)
        size = GROUP - 1 if small else GROUP
        if found + size * apart > zeros_at_ends:
            break
        length, found = length - size, found + size * apart
    return found


def signature(dtype):
    """Signature of the microkernels for one element type."""
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
def sweep_integer_columns(x, x_pitch, weights, out, out_pitch, height, columns, rows):
    """Correlate with a kernel of one column, from top to bottom; sums are integers, and any order gives the same."""
    for r in range(0, height, ROWS):
        tile_height = min(ROWS, height - r)
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        while c < columns:
            tile = zeros(out, ROWS, VECTORS)
            c = min(c, columns - width(tile))
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
        tile_height = min(ROWS, height - r)
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        while c < columns:
            if tile_height == 4 and 3 <= rows <= _LONGEST and rows % 2:
                slim = zeros(out, ROWS, 1)
                c = min(c, columns - width(slim))
                slim = sweep_short_column(slim, advance(x_row, c), x_pitch, weights, rows)
                store_rows(slim, 4, advance(out_row, c), out_pitch)
                not_finite = accumulate_nonfinite(not_finite, slim)
                c += width(slim)
            elif tile_height == 4 and rows >= 6:
                tile = zeros(out, ROWS, VECTORS)
                c = min(c, columns - width(tile))
                tile = sweep_tall_column(tile, kept, advance(x_row, c), x_pitch, weights, rows)
                store_rows(tile, 4, advance(out_row, 3 * out_pitch + c), -out_pitch)
                not_finite = accumulate_nonfinite(not_finite, tile)
                c += width(tile)
            else:
                line = zeros(out, 1, VECTORS)
                c = min(c, columns - width(line))
                corner, target = advance(x_row, c), advance(out_row, c)
                for k in range(tile_height):
                    row = sweep_ends(line, advance(corner, k * x_pitch), x_pitch, weights, rows)
                    store_rows(row, 1, advance(target, k * out_pitch), out_pitch)
                    not_finite = accumulate_nonfinite(not_finite, row)
                c += width(line)
    return not_finite


def convolve_columns(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with a kernel of one column, of floats: as `convolve_tiles`, with ``taps == 1``."""
    sweep_columns(x, x_pitch, weights, out, out_pitch, height, columns, rows)


# Most loops that `_plan_groups` makes.
_MOST_LOOPS = 5
_PLAN_SIZE = _MOST_LOOPS * GROUP_FIELDS


@compilation.inline
def _add_loop(groups, count, step, size, first, times, by, repeats):
    if size <= 0 or times <= 0 or repeats <= 0:
        return count
    place = advance(groups, count * GROUP_FIELDS)
    store(place, size)
    store(advance(place, 1), first)
    store(advance(place, 2), first * step)
    store(advance(place, 3), by * step)
    store(advance(place, 4), times * by)
    store(advance(place, 5), by)
    store(advance(place, 6), repeats)
    return count + 1


@compilation.inline
def _plan_groups(groups, taps, apart, step):
    """Write the loops of `sweep_inwards` over one half of the taps, each tap once; return how many there are.

    Taps that lie `apart` from each other (0 for none) form a stream, and share loads of input. In rows of less than
    four taps a stream, whole streams belong to one half: stream r to the left, and to the right its mirror image,
    ``rest - 1 - r``, or ``apart + rest - 1 - r`` from ``rest = taps % apart`` on. If the taps are odd, two
    streams are their own mirror image, ``apart / 2`` from each other. Of longer rows the left half is cut into streams.
    """
    half = taps // 2
    if apart < 2 or 4 * taps < 7 * apart:
        return 0
    count = 0
    if half < 2 * apart:
        length = taps // apart
        rest = taps - length * apart
        first, times, size = 0, rest // 2, length + 1
        for _ in range(2):
            large = min(size, GROUP)
            count = _add_loop(groups, count, step, large, first, times, 1, 1)
            count = _add_loop(groups, count, step, size - large, first + large * apart, times, 1, 1)
            first, times, size = rest, (apart - rest) // 2, length
        return _add_loop(groups, count, step, taps % 2, (rest - 1) // 2, length, apart // 2, 1)
    length = half // apart
    rest = half - length * apart
    # All streams, in groups of about equal size, until less than a full one is left.
    small = min((GROUP - 1 - length % GROUP) % (GROUP - 1), (length - 1) // (GROUP - 1))
    done = small * (GROUP - 1)
    large = (length - done) // GROUP
    count = _add_loop(groups, count, step, GROUP - 1, 0, apart, 1, small)
    count = _add_loop(groups, count, step, GROUP, done * apart, apart, 1, large)
    done += large * GROUP
    count = _add_loop(groups, count, step, length - done + 1, done * apart, rest, 1, 1)
    return _add_loop(groups, count, step, length - done, done * apart + rest, apart - rest, 1, 1)


def convolve_rows(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with a kernel of one row: as `convolve_tiles`, with ``rows == 1``."""
    lanes = width(zeros(x, 1, 1))
    # Taps that lie `apart` from each other see the same vectors of input, one vector on.
    apart = lanes // step if lanes % step == 0 else 0
    groups = stack_integers(_PLAN_SIZE)
    count = _plan_groups(groups, taps, apart, step)
    for r in range(height):
        x_row = advance(x, r * x_pitch)
        out_row = advance(out, r * out_pitch)
        c = 0
        if count == 0:
            broad = zeros(x, 1, BROAD_VECTORS)
            while c + width(broad) <= columns:
                sums = sweep_ends(broad, advance(x_row, c), step, weights, taps)
                store_rows(sums, 1, advance(out_row, c), out_pitch)
                c += width(broad)
        while c < columns:
            wide = zeros(x, 1, ROW_VECTORS)
            if c + width(wide) <= columns:
                wide = sweep_inwards(wide, GROUP, advance(x_row, c), step, weights, taps, apart, groups, count)
                store_rows(wide, 1, advance(out_row, c), out_pitch)
                c += width(wide)
            else:
                narrow = zeros(x, 1, VECTORS)
                c = min(c, columns - width(narrow))
                narrow = sweep_inwards(narrow, GROUP, advance(x_row, c), step, weights, taps, apart, groups, count)
                store_rows(narrow, 1, advance(out_row, c), out_pitch)
                c += width(narrow)
