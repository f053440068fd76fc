"""The microkernel of layers of few channels, channels first: output channels times vectors of columns.

A tile is ``outputs`` output channels by ``vectors`` vectors, each a piece of a row. The last piece of a row slides
back, and the pieces of a tile may lie in several rows. For each tap of a channel it loads a vector of input for each
piece, and multiplies it with a broadcast weight for each output channel. Weights are packed as
``[kernel row][kernel column][channel][output channel]``, so that products are added in the order of `layer_tile`, and
partial sums begin where they do there: both give the same bits.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._microkernels.layer_packing import pad_lines
from fastconv._microkernels.layer_tile import PRODUCTS, SLACK
from fastconv._simd import compilation
from fastconv._simd.layer_tiles import (
    add_sums,
    broadcast_all,
    broadcast_rows,
    move_to_sums,
    multiply_planes,
    rectified,
    store_lines,
    store_planes,
)
from fastconv._simd.memory import advance, store
from fastconv._simd.register_tiles import stack_integers, sweep, sweep_some, width, zeros

# Rows of a tile of a depthwise layer; its phases are written out for four.
ROWS = 4


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, types.CPointer(n), pointer, pointer, pointer, pointer, *[n] * 8)


@compilation.inline
def _accumulate(tile, x, places, offsets, weights, outputs, runs, length, sums):
    """Add `runs` runs of `length` products."""
    if runs * length <= PRODUCTS:
        runs, length = 1, runs * length
    since, first = 0, True
    for _ in range(runs):
        done = 0
        while done < length:
            count = min(length - done, PRODUCTS)
            if since + count > PRODUCTS + SLACK:
                tile = move_to_sums(tile, sums, first)
                since, first = 0, False
            tile = multiply_planes(tile, x, places, offsets, weights, count)
            offsets, weights = advance(offsets, count), advance(weights, count * outputs)
            done += count
            since += count
    if not first:
        tile = add_sums(tile, sums)
    return tile


@functools.cache
def make(outputs: int, vectors: int):
    """Make the microkernel for one shape of tile."""

    def planewise_tile(
        x, x_row, offsets, weights, bias, sums, out, out_row, out_channel, valid, rows, columns, runs, length, rectify
    ):
        """Fill `rows` rows of at least a vector of `columns`, of the first `valid` output channels of the tile.

        Products are in `runs` runs of `length`. `offsets` are in bytes; `x_row` is the pitch of the rows that outputs
        begin at.
        """
        lanes = width(zeros(x, 1, 1))
        places, targets = stack_integers(vectors), stack_integers(vectors)
        r, c = 0, 0
        while r < rows:
            for v in range(vectors):
                row, column = min(r, rows - 1), min(c, columns - lanes)  # a piece beyond the last row repeats another
                store(advance(places, v), row * x_row + column)
                store(advance(targets, v), row * out_row + column)
                c += lanes
                if c >= columns:
                    r, c = r + 1, 0
            tile = broadcast_rows(zeros(x, outputs, vectors), bias)
            tile = _accumulate(tile, x, places, offsets, weights, outputs, runs, length, sums)
            if rectify:
                tile = rectified(tile)
            store_planes(tile, out, targets, out_channel, valid)

    planewise_tile.__name__ = f"planewise_tile_{outputs}x{vectors}"
    return planewise_tile


def depthwise_signature(dtype):
    """Signature of the microkernel of depthwise layers for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, *[n] * 5, pointer, pointer, pointer, *[n] * 11)


@functools.cache
def make_depthwise(vectors: int):
    """Make the microkernel of depthwise layers of stride 1: four rows by some vectors of one plane."""

    @compilation.outline
    def fill(
        x, x_row, weights, bias, out, out_row, rows, columns, top, height, kernel_rows, kernel_columns, step, rectify
    ):
        base = max(0, top)
        for r in range(0, rows, ROWS):
            count, y = min(ROWS, rows - r), top + r
            line = advance(x, (y - base) * x_row)
            is_inside = count == ROWS and y >= 0 and y + ROWS - 1 + kernel_rows <= height and kernel_rows >= ROWS - 1
            c = 0
            while c < columns:
                corner = advance(line, c)
                tile = broadcast_all(zeros(x, ROWS, vectors), bias)
                if is_inside:
                    tile = sweep(tile, 0, 1, 0, corner, x_row, step, weights, kernel_columns, kernel_columns)
                    tile = sweep(tile, 0, 2, 1, corner, x_row, step, weights, kernel_columns, kernel_columns)
                    tile = sweep(tile, 0, 3, 2, corner, x_row, step, weights, kernel_columns, kernel_columns)
                    for i in range(3, kernel_rows):
                        tile = sweep(tile, 0, 4, i, corner, x_row, step, weights, kernel_columns, kernel_columns)
                    last = kernel_rows
                    tile = sweep(tile, 1, 4, last, corner, x_row, step, weights, kernel_columns, kernel_columns)
                    tile = sweep(tile, 2, 4, last + 1, corner, x_row, step, weights, kernel_columns, kernel_columns)
                    tile = sweep(tile, 3, 4, last + 2, corner, x_row, step, weights, kernel_columns, kernel_columns)
                else:
                    for i in range(max(0, -y), min(count + kernel_rows - 1, height - y)):
                        first, stop = max(0, i - kernel_rows + 1), min(count, i + 1)
                        tile = sweep_some(
                            tile, first, stop, i, corner, x_row, step, weights, kernel_columns, kernel_columns
                        )
                if rectify:
                    tile = rectified(tile)
                store_lines(tile, advance(out, r * out_row + c), out_row, count, columns - c)
                c += width(tile)

    def depthwise_tile(
        x, x_row, x_plane, packed, packed_row, left, inside, right, packed_rows, weights, bias, out, out_row, out_plane,
        planes, rows, columns, top, height, kernel_rows, kernel_columns, step, rectify,
    ):  # fmt: skip
        """Fill `rows` rows of `columns` of some planes; `x` is the input row number `top`, or the first inside.

        If there are any `packed_rows`, so many rows of a plane, `inside` columns of each, are copied to `packed` first,
        with zeros beside them. Taps of a row are `step` apart. The last vectors of a row are read beyond its end.
        """
        for p in range(planes):
            source, pitch = advance(x, p * x_plane), x_row
            if packed_rows > 0:
                pad_lines(source, x_row, packed, packed_row, left, inside, right, packed_rows)
                source, pitch = packed, packed_row
            fill(
                source, pitch, advance(weights, p * kernel_rows * kernel_columns), advance(bias, p),
                advance(out, p * out_plane), out_row,
                rows, columns, top, height, kernel_rows, kernel_columns, step, rectify,
            )  # fmt: skip

    depthwise_tile.__name__ = f"depthwise_tile_{vectors}"
    return depthwise_tile
