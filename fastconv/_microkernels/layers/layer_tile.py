"""The microkernel of a convolutional layer: pixels times vectors of output channels.

A tile is one row of ``pixels`` output pixels by ``vectors`` vectors of output channels. For each tap it broadcasts a
channel of a pixel and multiplies it with a vector of weights. Weights are packed as
``[kernel row][kernel column][channel][output channel]`` and streamed; the input has channels last.

The taps of a kernel row and their channels lie side by side in memory if the dilation is 1 and there is one group: one
run of products for each kernel row; else one for each tap. Kernel rows outside of the image are left out.

Each output adds its products in one order, whatever its tile. After some hundred products a tile is added to partial
sums in memory and begins again from zero: with 512 x 3 x 3 products the largest error fell from 7e-4 to 1.3e-4.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._simd.integers import larger, smaller
from fastconv._simd.layer_tiles import (
    add_sums,
    broadcast_vectors,
    move_to_sums,
    multiply_run,
    rectified,
    store_pixels,
    store_transposed,
)
from fastconv._simd.memory import advance
from fastconv._simd.register_tiles import width, zeros
from fastconv._simd.target import processor

# 14 x 2 accumulators, two vectors of weights, a broadcast sample. Of 32 registers 14x2, 9x3 and 6x4 are equally fast,
# 14x1 and 28x1 15 % slower; 7x4 spills and halves the speed. Of 16 registers 6x2 reaches 131 of 133 GFLOP/s.
PIXELS = 14 if processor().registers >= 32 else 6
VECTORS = 2

# Products between two additions to partial sums, and how many more a run may have.
PRODUCTS = 512
SLACK = 64


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, pointer, pointer, pointer, *[n] * 15)


def sums_size() -> int:
    """Elements of the partial sums, at most."""
    return PIXELS * VECTORS * processor().lanes(32)


@functools.cache
def make(pixels: int, vectors: int, transposed: bool, partial: bool):
    """Make the microkernel for one shape of tile, and one layout of the output: `transposed` for channels first.

    With `partial` not all output channels of the last vector are stored.
    """

    def layer_tile(
        x, x_row, pitch, weights, bias, sums, out, out_row, out_pitch, valid, rows, tiles, top, row_stride, dilation,
        height, kernel_rows, taps, tap_step, row_step, length, rectify,
    ):  # fmt: skip
        """Fill `rows` rows of `tiles` tiles; `x` is the input row number `top`, or the first if that is outside."""
        base = larger(0, top)
        # Pixels that follow each other are prefetched: those of the next tile. Others are in the L2 cache. 256 to 64
        # channels at 56 x 56, 4 images: 2.28 to 1.77 ms on one thread of a busy machine.
        ahead = pixels if length == pitch else 0
        for r in range(rows):
            y = top + r * row_stride
            first = 0 if y >= 0 else (dilation - 1 - y) // dilation
            last = smaller(kernel_rows, (height - 1 - y) // dilation + 1)
            row = advance(x, (y + first * dilation - base) * x_row)
            line = advance(weights, first * taps * length * width(zeros(x, 1, vectors)))
            for t in range(tiles):
                tile = broadcast_vectors(zeros(x, pixels, vectors), bias)
                corner, factors = advance(row, t * pixels * pitch), line
                since, is_first = 0, True
                samples, tap = corner, 0
                for _ in range((last - first) * taps):
                    done = 0
                    while done < length:
                        count = smaller(length - done, PRODUCTS)
                        if since + count > PRODUCTS + SLACK:
                            tile = move_to_sums(tile, sums, is_first)
                            since, is_first = 0, False
                        tile = multiply_run(tile, advance(samples, done), pitch, factors, count, ahead)
                        factors = advance(factors, count * width(tile))
                        done += count
                        since += count
                    samples, tap = advance(samples, tap_step), tap + 1
                    if tap == taps:
                        corner, tap = advance(corner, row_step), 0
                        samples = corner
                if not is_first:
                    tile = add_sums(tile, sums)
                if rectify:
                    tile = rectified(tile)
                target = advance(out, r * out_row + t * pixels * (1 if transposed else out_pitch))
                if transposed:
                    store_transposed(tile, target, out_pitch, valid, partial)
                else:
                    store_pixels(tile, target, out_pitch, valid, partial)

    layer_tile.__name__ = (
        f"layer_tile_{pixels}x{vectors}{'_transposed' if transposed else ''}{'_partial' if partial else ''}"
    )
    return layer_tile
