"""Correlation along one axis in the orders of summation of `scipy.ndimage`, with every product and sum rounded.

`correlate1d` starts with the middle tap if taps are symmetric or antisymmetric about it, and adds one product for each
pair of taps, from the outside in; otherwise it starts with the last tap, and adds the others in their order.
`correlate` adds taps to 0 in their order. Nothing is fused, so results have the same bits on all processors, and those
of SciPy's builds for x86.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.blocks.direct_tile import VECTORS
from fastconv._simd import compilation
from fastconv._simd.memory import advance
from fastconv._simd.register_tiles import multiply, rounded_zeros, store_rows, sweep, sweep_pairs, width

# Vectors of a row: enough independent sums to hide the latency of an addition.
WIDE = 8
# Elements under all taps of a column that stay in the first-level cache.
_CACHED = 3072


def signature(dtype):
    """Signature of the microkernels for one element type: that of `direct_tile`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n, pointer, n, n, n, n, n, n)


@compilation.inline
def _symmetric(tile, x, step, weights, taps):
    middle, last = taps // 2, taps - 1
    tile = multiply(tile, advance(x, middle * step), advance(weights, middle))
    return sweep_pairs(tile, 1, x, advance(x, last * step), step, weights, middle)


@compilation.inline
def _antisymmetric(tile, x, step, weights, taps):
    middle, last = taps // 2, taps - 1
    tile = multiply(tile, advance(x, middle * step), advance(weights, middle))
    return sweep_pairs(tile, -1, x, advance(x, last * step), step, weights, middle)


@compilation.inline
def _plain(tile, x, step, weights, taps):
    last = taps - 1
    tile = multiply(tile, advance(x, last * step), advance(weights, last))
    return sweep(tile, 0, 1, 0, x, 0, step, weights, 0, last)


@compilation.inline
def _in_order(tile, x, step, weights, taps):
    return sweep(tile, 0, 1, 0, x, 0, step, weights, 0, taps)


def _make(name: str, correlate_row):
    def correlate(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
        """Correlate with a kernel of one row or of one column, of an odd number of taps if they share products."""
        wide = width(rounded_zeros(x, 1, WIDE))
        chunk = columns
        if rows > 1:
            # Rows of a chunk are read once per tap, from the first-level cache.
            taps, step = rows, x_pitch
            chunk = max(wide, _CACHED // rows // wide * wide)
        for left in range(0, columns, chunk):
            right = min(left + chunk, columns)
            for r in range(height):
                x_row = advance(x, r * x_pitch)
                out_row = advance(out, r * out_pitch)
                c = left
                while c < right:
                    if c + wide <= right:
                        row = correlate_row(rounded_zeros(x, 1, WIDE), advance(x_row, c), step, weights, taps)
                        store_rows(row, 1, advance(out_row, c), out_pitch)
                        c += wide
                    else:
                        narrow = rounded_zeros(x, 1, VECTORS)
                        c = min(c, columns - width(narrow))  # the last one is shifted back to end at the edge
                        narrow = correlate_row(narrow, advance(x_row, c), step, weights, taps)
                        store_rows(narrow, 1, advance(out_row, c), out_pitch)
                        c += width(narrow)

    correlate.__name__ = name
    return correlate


IN_ORDER = 2
# By the symmetry of the taps; `IN_ORDER` is the order of `correlate`.
CORRELATE = {
    1: _make("correlate_symmetric", _symmetric),
    -1: _make("correlate_antisymmetric", _antisymmetric),
    0: _make("correlate_plain", _plain),
    IN_ORDER: _make("correlate_in_order", _in_order),
}
