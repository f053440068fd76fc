"""The microkernel of a layer's weight gradient: input channels times vectors of output channels.

A tile is the gradient to one tap. For each pixel of a block it broadcasts the input's channels and multiplies them with
vectors of the output's gradient; at the end it is added to sums in memory. Blocks thus are partial sums.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._simd import compilation
from fastconv._simd.layer_tiles import add_sums, multiply_outer
from fastconv._simd.memory import advance, load, store
from fastconv._simd.register_tiles import store_rows, width, zeros


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, n, pointer, n, n, n, pointer, n, n, n)


@functools.cache
def make(channels: int, vectors: int):
    """Make the microkernel for one shape of tile."""

    def layer_gradient_tile(x, x_image, x_row, x_step, y, y_image, y_row, y_step, sums, images, rows, columns):
        """Add the products of `images` x `rows` x `columns` pixels to `sums`; steps and pitches are in elements."""
        tile = zeros(x, channels, vectors)
        for n in range(images):
            for r in range(rows):
                line, gradient = advance(x, n * x_image + r * x_row), advance(y, n * y_image + r * y_row)
                tile = multiply_outer(tile, line, x_step, gradient, y_step, columns)
        tile = add_sums(tile, sums)
        store_rows(tile, channels, sums, width(tile))

    layer_gradient_tile.__name__ = f"layer_gradient_tile_{channels}x{vectors}"
    return layer_gradient_tile


def finish_signature(dtype):
    """Signature of `finish` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, n, n, pointer, n, n, n, n)


@compilation.inline
def _total(sums, split, splits):
    """The sum of one element over all splits, in their order."""
    total = load(sums)
    for s in range(1, splits):
        total += load(advance(sums, s * split))
    return total


def finish(sums, split, splits, step, tap_step, out, out_step, taps, channels, outputs):
    """Add up the splits of a block, and store it: ``out[o, c, t]`` is at ``o * out_step + c * taps + t``.

    The sums of tap `t`, channel `c` and output `o` are at ``t * tap_step + c * step + o``.
    """
    for o in range(outputs):
        for c in range(channels):
            for t in range(taps):
                place = advance(sums, t * tap_step + c * step + o)
                store(advance(out, o * out_step + c * taps + t), _total(place, split, splits))
