"""Rescale sums to pixels, between any two layouts: replaces `transfers.transfer` for pictures."""

from __future__ import annotations

from numba import types

from fastconv._simd.memory import advance, advance_bytes, itemsize, load
from fastconv._simd.pixel_vectors import METHOD, PLAIN, PRODUCT, QUOTIENT, parameters_at, pixel_lanes, rescale_lanes


def signature(source, destination):
    """Signature of `finish` from the type of the sums to that of a picture."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, n, types.CPointer(destination), n, n, n, n, n, n, n)


def finish(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale):
    """``dst[r, c, k] = rescaled(src[r, c, k])``, with the parameters at `rescale`; strides are in bytes."""
    if src_col == channels * src_chan and dst_col == channels * dst_chan:
        columns, channels, src_col, dst_col = columns * channels, 1, src_chan, dst_chan
    lanes = pixel_lanes(src, dst)
    numbers = parameters_at(src, rescale)
    way = load(advance(numbers, METHOD))
    in_vectors = columns >= lanes and dst_col == itemsize(dst) and src_col == itemsize(src)
    for k in range(channels):
        source, target = advance_bytes(src, k * src_chan), advance_bytes(dst, k * dst_chan)
        for r in range(rows):
            line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
            if in_vectors:
                # The last vector slides back to end at the edge.
                for start in range(0, columns, lanes):
                    c = min(start, columns - lanes)
                    if way == PLAIN:
                        rescale_lanes(advance(line, c), advance(out, c), numbers, True, PLAIN)
                    elif way == PRODUCT:
                        rescale_lanes(advance(line, c), advance(out, c), numbers, True, PRODUCT)
                    else:
                        rescale_lanes(advance(line, c), advance(out, c), numbers, True, QUOTIENT)
            else:
                for c in range(columns):
                    sums, pixel = advance_bytes(line, c * src_col), advance_bytes(out, c * dst_col)
                    if way == PLAIN:
                        rescale_lanes(sums, pixel, numbers, False, PLAIN)
                    elif way == PRODUCT:
                        rescale_lanes(sums, pixel, numbers, False, PRODUCT)
                    else:
                        rescale_lanes(sums, pixel, numbers, False, QUOTIENT)
