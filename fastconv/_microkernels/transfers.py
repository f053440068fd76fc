"""Copy a rectangle between any two layouts, with conversion.

One routine serves all: it packs input (of any stride, including negative and zero ones, byte order and alignment),
flips the kernel, replicates fill values, and stores results that a tile cannot store in place. A conversion is a C cast
that keeps everything that the result type can hold: integers wrap, and any number but zero is true.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._simd.integers import smaller
from fastconv._simd.lane_copies import (
    common_lanes,
    copy_every,
    copy_lanes,
    copy_lanes_reversed,
    copy_transposed,
    transpose_side,
)
from fastconv._simd.memory import advance, advance_bytes, itemsize, load, load_any, opaque, store


def signature(source, destination):
    """Signature of `transfer` and `transfer_swapped` from one element type to another."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, n, types.CPointer(destination), n, n, n, n, n, n, n)


def _make(name: str, swapped: bool):
    """`transfer` for sources of native or opposite byte order: two routines, as most programs need only the first."""

    def transfer(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale):
        """``dst[r, c, k] = src[r, c, k]``; strides are in bytes, and `rescale` is not used."""
        if src_col == channels * src_chan and dst_col == channels * dst_chan:
            columns, channels, src_col, dst_col = columns * channels, 1, src_chan, dst_chan
        lanes, small, large = common_lanes(src, dst), transpose_side(src, dst, False), transpose_side(src, dst, True)
        in_vectors = dst_col == itemsize(dst)
        for k in range(channels):
            source, target = advance_bytes(src, k * src_chan), advance_bytes(dst, k * dst_chan)
            # The last vector of a line, and the last square, slide back to end at the edge.
            if in_vectors and src_col == itemsize(src) and columns >= lanes:
                for r in range(rows):
                    line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
                    done = columns - columns % (4 * lanes)
                    for c in range(0, done, 4 * lanes):
                        copy_lanes(advance(line, c), advance(out, c), 4, swapped)
                    for start in range(done, columns, lanes):
                        c = smaller(start, columns - lanes)
                        copy_lanes(advance(line, c), advance(out, c), 1, swapped)
            elif in_vectors and src_col == -itemsize(src) and columns >= lanes:
                for r in range(rows):
                    line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
                    for start in range(0, columns, lanes):
                        c = smaller(start, columns - lanes)
                        copy_lanes_reversed(advance(line, -c), advance(out, c), swapped)
            elif in_vectors and src_row == itemsize(src) and columns >= small and rows >= small:
                side = large if columns >= large else small
                whole = rows - rows % large if side > small else 0
                for first in range(0, columns, side):
                    left = smaller(first, columns - side)
                    for r in range(0, whole, large):
                        corner = advance_bytes(source, r * src_row + left * src_col)
                        out = advance(advance_bytes(target, r * dst_row), left)
                        copy_transposed(corner, src_col, out, dst_row, True, swapped)
                    for start in range(whole, rows, small):
                        r = smaller(start, rows - small)
                        for c in range(left, left + side, small):
                            corner = advance_bytes(source, r * src_row + c * src_col)
                            out = advance(advance_bytes(target, r * dst_row), c)
                            copy_transposed(corner, src_col, out, dst_row, False, swapped)
            else:
                for r in range(rows):
                    for c in range(columns):
                        element = opaque(advance_bytes(source, r * src_row + c * src_col))
                        store(advance_bytes(target, r * dst_row + c * dst_col), load_any(element, swapped))

    transfer.__name__ = name
    return transfer


transfer = _make("transfer", False)
transfer_swapped = _make("transfer_swapped", True)


# Largest distance of columns for `every`.
MOST_APART = 4


@functools.cache
def every(step: int):
    """Make a routine that copies columns `step` apart, at most `MOST_APART`, to adjacent ones: as `transfer`.

    There is one channel, and the byte order is native. 2 apart it took 0.1 ns for each float32, `transfer` 0.5.
    """
    offset = step - 1

    def transfer_every(
        src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale
    ):
        lanes = common_lanes(src, dst)
        for r in range(rows):
            line, out = advance_bytes(src, r * src_row), advance_bytes(dst, r * dst_row)
            if columns > lanes:  # no read beyond the last column
                for c in range(0, columns - lanes, lanes):
                    copy_every(advance(line, c * step), advance(out, c), step, 0)
                c = columns - lanes
                copy_every(advance(line, c * step - offset), advance(out, c), step, offset)
            else:
                for c in range(columns):
                    store(advance(out, c), load(opaque(advance(line, c * step))))

    transfer_every.__name__ = f"transfer_every_{step}"
    return transfer_every


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
