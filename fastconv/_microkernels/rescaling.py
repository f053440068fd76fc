"""Rescale sums to pixels, between any two layouts: replaces `transfers.transfer` if the result is a picture."""

from __future__ import annotations

from numba import types

from fastconv._simd.pixel_vectors import PLAIN, PRODUCT, QUOTIENT, WAY, finish_lanes, finished_lanes, told_at
from fastconv._simd.vectors import advance, advance_bytes, load, size


def signature(source, destination):
    """Signature of `finish` from the type of the sums to that of a picture."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, n, types.CPointer(destination), n, n, n, n, n, n, n)


def finish(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale):
    """``dst[r, c, k] = rescaled(src[r, c, k])``, with the parameters at `rescale`; strides are in bytes."""
    if src_col == channels * src_chan and dst_col == channels * dst_chan:
        columns, channels, src_col, dst_col = columns * channels, 1, src_chan, dst_chan
    lanes = finished_lanes(src, dst)
    numbers = told_at(src, rescale)
    way = load(advance(numbers, WAY))
    in_vectors = columns >= lanes and dst_col == size(dst) and src_col == size(src)
    for k in range(channels):
        source, target = advance_bytes(src, k * src_chan), advance_bytes(dst, k * dst_chan)
        for r in range(rows):
            line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
            if in_vectors:
                # The last vector slides back to end at the edge.
                for start in range(0, columns, lanes):
                    c = min(start, columns - lanes)
                    if way == PLAIN:
                        finish_lanes(advance(line, c), advance(out, c), numbers, True, PLAIN)
                    elif way == PRODUCT:
                        finish_lanes(advance(line, c), advance(out, c), numbers, True, PRODUCT)
                    else:
                        finish_lanes(advance(line, c), advance(out, c), numbers, True, QUOTIENT)
            else:
                for c in range(columns):
                    sums, pixel = advance_bytes(line, c * src_col), advance_bytes(out, c * dst_col)
                    if way == PLAIN:
                        finish_lanes(sums, pixel, numbers, False, PLAIN)
                    elif way == PRODUCT:
                        finish_lanes(sums, pixel, numbers, False, PRODUCT)
                    else:
                        finish_lanes(sums, pixel, numbers, False, QUOTIENT)
