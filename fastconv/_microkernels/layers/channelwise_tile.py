"""The microkernels of layers whose groups are small: depthwise, and of 2, 4 or 8 channels in and as many out.

Lanes are channels, in and out. A tile is some vectors of channels by some pixels of one output row, or one vector by
pixels of two. Kernel rows outside of the image are left out. Weights are packed as
``[kernel row][kernel column][channel of the group][output channel]``; the last vectors of channels, and the last tile
of a row, slide back.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller
from fastconv._simd.layer_tiles import (
    broadcast_vectors,
    multiply_groups,
    rectified,
    store_pixel_rows,
    sweep_channels,
)
from fastconv._simd.memory import advance
from fastconv._simd.register_tiles import width, zeros
from fastconv._simd.target import processor


def signature(dtype):
    """Signature of the microkernels for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n, n, pointer, pointer, *[n] * 13)


def tile_pixels(rows: int, taps: int, vectors: int = 1) -> int:
    """Pixels in each row of a tile, at most: with their weights and a vector of input they fill the registers."""
    most = 14 if rows == 1 else 10
    return max(1, min(most, (processor().registers - 1 - rows * taps - 1) // (rows * vectors)))


@compilation.inline
def _kernel_rows(y, dilation, height, kernel_rows):
    """The first kernel row inside of the image, and the one behind the last."""
    first = 0 if y >= 0 else (dilation - 1 - y) // dilation
    return first, smaller(kernel_rows, (height - 1 - y) // dilation + 1)


@functools.cache
def make(pixels: int, vectors: int, taps: int, stride: int):
    """Make the microkernel for one output row at a time, and runs of `taps` taps."""

    def channelwise_tile(
        x, x_row, pitch, weights, weights_row, step, bias, out, out_row, out_pitch, rows, columns, channels,
        top, row_stride, dilation, height, kernel_rows, runs, run_step, rectify,
    ):  # fmt: skip
        """Fill `rows` rows of `columns` pixels; `x` is the input row number `top`, or the first if that is outside.

        `runs` runs of taps, `run_step` apart, are a kernel row; `step` is that between the weights of two taps.
        """
        base = larger(0, top)
        for r in range(rows):
            y = top + r * row_stride
            first, last = _kernel_rows(y, dilation, height, kernel_rows)
            line = advance(x, (y - base) * x_row)
            c = 0
            while c < columns:
                c = smaller(c, columns - pixels)
                v = 0
                while v < channels:
                    tile = zeros(x, pixels, vectors)
                    v = smaller(v, channels - width(tile))
                    tile = broadcast_vectors(tile, advance(bias, v))
                    corner, taps_of = advance(line, c * stride * pitch + v), advance(weights, v)
                    for i in range(first, last):
                        for j in range(runs):
                            tile = sweep_channels(
                                tile, 0, 1, 1,
                                advance(corner, i * dilation * x_row + j * run_step), pitch,
                                advance(taps_of, i * weights_row + j * taps * step), weights_row, step, stride, taps,
                            )  # fmt: skip
                    if rectify:
                        tile = rectified(tile)
                    store_pixel_rows(tile, 1, advance(out, r * out_row + c * out_pitch + v), out_row, out_pitch)
                    v += width(tile)
                c += pixels

    channelwise_tile.__name__ = f"channelwise_tile_{pixels}x{vectors}_{taps}_{stride}"
    return channelwise_tile


@functools.cache
def make_double(pixels: int, taps: int, stride: int):
    """Make the microkernel for two output rows at a time: row stride 1, kernel rows of one run and all inside."""
    both = 2 * pixels

    def channelwise_double(
        x, x_row, pitch, weights, weights_row, step, bias, out, out_row, out_pitch, rows, columns, channels,
        top, row_stride, dilation, height, kernel_rows, runs, run_step, rectify,
    ):  # fmt: skip
        """As `channelwise_tile`, for an even number of rows and dilation 1; an input row is loaded for both rows."""
        base = larger(0, top)
        for r in range(0, rows, 2):
            line = advance(x, (top + r - base) * x_row)
            c = 0
            while c < columns:
                c = smaller(c, columns - pixels)
                v = 0
                while v < channels:
                    tile = zeros(x, both, 1)
                    v = smaller(v, channels - width(tile))
                    tile = broadcast_vectors(tile, advance(bias, v))
                    corner, weight = advance(line, c * stride * pitch + v), advance(weights, v)
                    tile = sweep_channels(tile, 0, 1, 2, corner, pitch, weight, weights_row, step, stride, taps)
                    for _ in range(1, kernel_rows):
                        corner, weight = advance(corner, x_row), advance(weight, weights_row)
                        tile = sweep_channels(tile, 0, 2, 2, corner, pitch, weight, weights_row, step, stride, taps)
                    corner, weight = advance(corner, x_row), advance(weight, weights_row)
                    tile = sweep_channels(tile, 1, 2, 2, corner, pitch, weight, weights_row, step, stride, taps)
                    if rectify:
                        tile = rectified(tile)
                    store_pixel_rows(tile, 2, advance(out, r * out_row + c * out_pitch + v), out_row, out_pitch)
                    v += width(tile)
                c += pixels

    channelwise_double.__name__ = f"channelwise_double_{pixels}_{taps}_{stride}"
    return channelwise_double


@functools.cache
def make_grouped(pixels: int, size: int, vectors: int):
    """Make the microkernel for groups of `size` channels, and tiles of some vectors of channels."""

    def channelwise_grouped(
        x, x_row, pitch, weights, weights_row, step, bias, out, out_row, out_pitch, rows, columns, channels,
        top, row_stride, dilation, height, kernel_rows, runs, run_step, rectify,
    ):  # fmt: skip
        """As `channelwise_tile`; `pitch` is that between the pixels of a tile, and runs are single taps."""
        base = larger(0, top)
        for r in range(rows):
            y = top + r * row_stride
            first, last = _kernel_rows(y, dilation, height, kernel_rows)
            line = advance(x, (y - base) * x_row)
            c = 0
            while c < columns:
                c = smaller(c, columns - pixels)
                v = 0
                while v < channels:
                    tile = zeros(x, pixels, vectors)
                    v = smaller(v, channels - width(tile))
                    tile = broadcast_vectors(tile, advance(bias, v))
                    corner, taps_of = advance(line, c * pitch + v), advance(weights, v)
                    for i in range(first, last):
                        for j in range(runs):
                            tile = multiply_groups(
                                tile, advance(corner, i * dilation * x_row + j * run_step), pitch,
                                advance(taps_of, i * weights_row + j * size * step), step, size,
                            )  # fmt: skip
                    if rectify:
                        tile = rectified(tile)
                    store_pixel_rows(tile, 1, advance(out, r * out_row + c * out_pitch + v), out_row, out_pitch)
                    v += width(tile)
                c += pixels

    channelwise_grouped.__name__ = f"channelwise_grouped_{pixels}x{vectors}_{size}"
    return channelwise_grouped
