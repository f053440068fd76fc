"""Copy a rectangle between any two layouts, with conversion: how data gets to the tiles and away from them.

One leaf serves all: the engine packs input with it (any stride, negative and zero among them, any byte order and
alignment), flips the kernel, spreads fill values, and stores what a tile could not store in place. A conversion is
a C cast that loses nothing the result type has: integers wrap, a bool is what is not zero.
"""

from __future__ import annotations

from numba import types

from fastconv._vector import (
    advance,
    advance_bytes,
    common_lanes,
    copy_lanes,
    copy_lanes_reversed,
    copy_transposed,
    hidden,
    load,
    load_swapped,
    size,
    store,
)


def signature(source, destination):
    """Signature of `transfer` from one element type to another."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, n, types.CPointer(destination), n, n, n, n, n, n, n)


def transfer(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, swapped):
    """``dst[r, c, k] = src[r, c, k]``; strides are in bytes, `swapped` says that the source's byte order is."""
    if src_col == channels * src_chan and dst_col == channels * dst_chan:
        columns, channels, src_col, dst_col = columns * channels, 1, src_chan, dst_chan
    lanes = common_lanes(src, dst)
    in_vectors = not swapped and columns >= lanes and dst_col == size(dst)
    for k in range(channels):
        source, target = advance_bytes(src, k * src_chan), advance_bytes(dst, k * dst_chan)
        # The last vector of a line, and the last square, slide back to end at the edge.
        if in_vectors and src_col == size(src):
            for r in range(rows):
                line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
                done = columns - columns % (4 * lanes)
                for c in range(0, done, 4 * lanes):
                    copy_lanes(advance(line, c), advance(out, c), 4)
                for start in range(done, columns, lanes):
                    c = min(start, columns - lanes)
                    copy_lanes(advance(line, c), advance(out, c), 1)
        elif in_vectors and src_col == -size(src):
            for r in range(rows):
                line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
                for start in range(0, columns, lanes):
                    c = min(start, columns - lanes)
                    copy_lanes_reversed(advance(line, -c), advance(out, c))
        elif in_vectors and src_row == size(src) and rows >= lanes:
            for first in range(0, columns, lanes):
                c = min(first, columns - lanes)
                for start in range(0, rows, lanes):
                    r = min(start, rows - lanes)
                    corner, out = advance_bytes(source, r * src_row + c * src_col), advance_bytes(target, r * dst_row)
                    copy_transposed(corner, src_col, advance(out, c), dst_row)
        else:
            for r in range(rows):
                for c in range(columns):
                    element = hidden(advance_bytes(source, r * src_row + c * src_col))
                    value = load_swapped(element) if swapped else load(element)
                    store(advance_bytes(target, r * dst_row + c * dst_col), value)


def rotate_signature(dtype):
    """Signature of `add_rotated` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, n, n)


def add_rotated(a, b, pitch, rows, pairs):
    """``a += 1j * b`` for rows of `pairs` complex numbers; the pitch is in elements, two a number."""
    for r in range(rows):
        for c in range(r * pitch, r * pitch + 2 * pairs, 2):
            store(advance(a, c), load(advance(a, c)) - load(advance(b, c + 1)))
            store(advance(a, c + 1), load(advance(a, c + 1)) + load(advance(b, c)))
