"""The microkernel of a layer's weight gradient: input channels times vectors of output channels.

A tile is the gradient to one tap. For each pixel of a block it broadcasts the input's channels and multiplies them with
vectors of the output's gradient; at the end it is added to sums in memory. Blocks thus are partial sums.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._simd.integers import smaller
from fastconv._simd.layer_tiles import SHARING_PIXELS, add_sums, multiply_channels, multiply_outer, store_transposed
from fastconv._simd.memory import advance, load, store
from fastconv._simd.register_tiles import store_rows, width, zeros
from fastconv._simd.target import processor


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, n, n, pointer, n, n, n, pointer, n, n, n, n, n)


@functools.cache
def make(channels: int, vectors: int):
    """Make the microkernel for one shape of tile."""

    def weight_gradient_tile(
        x, x_image, x_row, x_step, tap_step, y, y_image, y_row, y_step, sums, images, rows, columns, x_ahead, y_ahead
    ):
        """Add the products of `images` x `rows` x `columns` pixels to `sums`; `tap_step` is not used.

        What lies `x_ahead` and `y_ahead` bytes behind a pixel is prefetched.
        """
        tile = zeros(x, channels, vectors)
        for n in range(images):
            for r in range(rows):
                line, gradient = advance(x, n * x_image + r * x_row), advance(y, n * y_image + r * y_row)
                tile = multiply_outer(tile, line, x_step, gradient, y_step, columns, x_ahead, y_ahead)
        tile = add_sums(tile, sums)
        store_rows(tile, channels, sums, width(tile))

    weight_gradient_tile.__name__ = f"weight_gradient_tile_{channels}x{vectors}"
    return weight_gradient_tile


@functools.cache
def make_channelwise(taps: int, size: int, vectors: int, stride: int):
    """Make the microkernel for groups of `size` channels, in and out: some taps by vectors of channels.

    Taps are one pixel apart, and outputs `stride`, if that is not 0.
    """
    count = taps * size

    def channelwise_gradient(
        x, x_image, x_row, x_step, tap_step, y, y_image, y_row, y_step, sums, images, rows, columns, x_ahead, y_ahead
    ):
        """As `weight_gradient_tile`, without prefetching; taps are `tap_step` apart."""
        tile = zeros(x, count, vectors)
        for n in range(images):
            for r in range(rows):
                line, gradient = advance(x, n * x_image + r * x_row), advance(y, n * y_image + r * y_row)
                tile = multiply_channels(tile, line, x_step, tap_step, 0, gradient, y_step, columns, size, stride, 1)
        tile = add_sums(tile, sums)
        store_rows(tile, count, sums, width(tile))

    channelwise_gradient.__name__ = f"channelwise_gradient_{taps}x{vectors}_{size}_{stride}"
    return channelwise_gradient


# Columns that are taken with all their channels before the next ones: memory is read in runs that are long enough.
_PIECE = 16


def all_rows_signature(dtype):
    """Signature of the microkernel for all kernel rows, for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, *[n] * 5, pointer, *[n] * 3, pointer, *[n] * 4)


def holds_all_rows(kernel_rows: int, sums: int) -> bool:
    """Whether so many sums for each kernel row fit into registers, with what is multiplied."""
    return kernel_rows > 1 and kernel_rows * sums + SHARING_PIXELS + 2 <= processor().registers


@functools.cache
def make_all_rows(kernel_rows: int, taps: int, size: int, stride: int):
    """Make the microkernel for groups of `size` channels, and all kernel rows at once."""
    count = kernel_rows * taps * size

    def channelwise_gradient_rows(
        x, x_image, x_row, x_step, tap_step, kernel_row, y, y_image, y_row, y_step, sums, images, rows, columns,
        channels,
    ):  # fmt: skip
        """Add the products of all `channels`, one vector after the other; the last one slides back."""
        lanes = width(zeros(x, 1, 1))
        c = 0
        while c < columns:
            v, place = 0, sums
            while v < channels:
                v = smaller(v, channels - lanes)
                tile = zeros(x, count, 1)
                for n in range(images):
                    for r in range(rows):
                        tile = multiply_channels(
                            tile, advance(x, n * x_image + r * x_row + c * x_step + v), x_step, tap_step, kernel_row,
                            advance(y, n * y_image + r * y_row + c * y_step + v), y_step,
                            smaller(_PIECE, columns - c), size, stride, kernel_rows,
                        )  # fmt: skip
                store_rows(add_sums(tile, place), count, place, lanes)
                v, place = v + lanes, advance(place, count * lanes)
            c += _PIECE

    channelwise_gradient_rows.__name__ = f"channelwise_gradient_rows_{kernel_rows}x{taps}_{size}_{stride}"
    return channelwise_gradient_rows


def finish_signature(dtype):
    """Signature of `finish` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, pointer, types.CPointer(n), *[n] * 5)


@functools.cache
def make_finish(lanes: int):
    """Make the routine that adds up splits, for vectors of `lanes` elements."""

    def finish_gradient(sums, scratch, out, places, split, splits, width, total, outputs):
        """Add up the splits of a block of output channels, and store it as (output, channel, row, column).

        `places` has, for each of the `total` weights of an output, the place of its sums, of `width` outputs each.
        `scratch` is for as many vectors as they have, `lanes` times.
        """
        begin = 0
        while begin < total:
            if total >= lanes:
                begin = smaller(begin, total - lanes)  # the last square slides back
            for k in range(smaller(lanes, total - begin)):
                source = advance(sums, places[begin + k] * width)
                for v in range(width // lanes):
                    vector = zeros(out, 1, 1)
                    for s in range(splits):
                        vector = add_sums(vector, advance(source, s * split + v * lanes))
                    store_rows(vector, 1, advance(scratch, (v * lanes + k) * lanes), 0)
            for v in range(width // lanes):
                count = smaller(lanes, outputs - v * lanes)
                square, target = advance(scratch, v * lanes * lanes), advance(out, v * lanes * total + begin)
                if total >= lanes:
                    store_transposed(add_sums(zeros(out, lanes, 1), square), target, total, count, True)
                else:
                    for o in range(count):
                        for k in range(total):
                            store(advance(target, o * total + k), load(advance(square, k * lanes + o)))
            begin += lanes

    finish_gradient.__name__ = f"finish_gradient_{lanes}"
    return finish_gradient
