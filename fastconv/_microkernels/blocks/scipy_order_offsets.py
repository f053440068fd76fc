"""Correlation in any number of dimensions, with an input extended beyond its boundary and every product rounded.

Products are added to 0 in the order of the weights, as `scipy.ndimage.correlate` adds them.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.blocks.direct_tile import VECTORS
from fastconv._microkernels.blocks.scipy_order_lines import WIDE
from fastconv._simd import compilation
from fastconv._simd.memory import advance, integers_at, pointer_to
from fastconv._simd.register_tiles import rounded_zeros, store_rows, sweep, width


def signature(dtype):
    """Signature of `correlate_at_offsets` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n, n, n, n, pointer, n, n, n, n, n, n)


@compilation.inline
def _sum(tile, x, weights, offsets, count):
    for k in range(count):
        tile = sweep(tile, 0, 1, 0, advance(x, offsets[k]), 0, 0, advance(weights, k), 0, 1)
    return tile


def correlate_at_offsets(
    x, x_pitch, kernel, _buffer, _pitch, _number, _lines, _samples, out, out_pitch, height, columns, _rows, _taps, _step
):
    """Correlate a rectangle; the signature is that of `separable_passes.pass_twice`.

    `kernel` points to the number of weights, then the offset in elements of the sample under each, then the weights.
    """
    count = integers_at(kernel, 0)[0]
    offsets = integers_at(kernel, 1)
    weights = pointer_to(x, kernel + 8 * (1 + count))
    wide = width(rounded_zeros(x, 1, WIDE))
    for r in range(height):
        x_row, out_row = advance(x, r * x_pitch), advance(out, r * out_pitch)
        c = 0
        while c < columns:
            if c + wide <= columns:
                row = _sum(rounded_zeros(x, 1, WIDE), advance(x_row, c), weights, offsets, count)
                store_rows(row, 1, advance(out_row, c), out_pitch)
                c += wide
            else:
                narrow = rounded_zeros(x, 1, VECTORS)
                c = min(c, columns - width(narrow))
                narrow = _sum(narrow, advance(x_row, c), weights, offsets, count)
                store_rows(narrow, 1, advance(out_row, c), out_pitch)
                c += width(narrow)
