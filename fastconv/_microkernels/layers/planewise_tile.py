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

from fastconv._microkernels.layers.layer_tile import PRODUCTS, SLACK
from fastconv._simd.integers import smaller
from fastconv._simd.layer_tiles import (
    add_sums,
    broadcast_rows,
    move_to_sums,
    multiply_planes,
    rectified,
    store_planes,
)
from fastconv._simd.memory import advance, store
from fastconv._simd.register_tiles import stack_integers, width, zeros


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, types.CPointer(n), pointer, pointer, pointer, pointer, *[n] * 8)


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
        if runs * length <= PRODUCTS:
            runs, length = 1, runs * length
        lanes = width(zeros(x, 1, 1))
        places, targets = stack_integers(vectors), stack_integers(vectors)
        r, c = 0, 0
        while r < rows:
            for v in range(vectors):
                # A piece beyond the last row repeats another.
                row, column = smaller(r, rows - 1), smaller(c, columns - lanes)
                store(advance(places, v), row * x_row + column)
                store(advance(targets, v), row * out_row + column)
                c += lanes
                if c >= columns:
                    r, c = r + 1, 0
            tile = broadcast_rows(zeros(x, outputs, vectors), bias)
            since, is_first = 0, True
            place, factors = offsets, weights
            for _ in range(runs):
                done = 0
                while done < length:
                    count = smaller(length - done, PRODUCTS)
                    if since + count > PRODUCTS + SLACK:
                        tile = move_to_sums(tile, sums, is_first)
                        since, is_first = 0, False
                    tile = multiply_planes(tile, x, places, place, factors, count)
                    place, factors = advance(place, count), advance(factors, count * outputs)
                    done += count
                    since += count
            if not is_first:
                tile = add_sums(tile, sums)
            if rectify:
                tile = rectified(tile)
            store_planes(tile, out, targets, out_channel, valid)

    planewise_tile.__name__ = f"planewise_tile_{outputs}x{vectors}"
    return planewise_tile
