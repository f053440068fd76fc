"""Routines of layers by spectra: samples to a plane, spectra to and from memory, and their products over channels.

A spectrum is a number of points, each a vector of real parts and one of imaginary parts: see `fft_passes`. In memory
points are outermost: those of all tiles and channels side by side, so that each point is a product of two matrices.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._simd.complex_vectors import (
    all_zero,
    broadcast,
    lanes,
    larger,
    load,
    load_planes,
    store,
    store_planes,
    zero,
)
from fastconv._simd.layer_tiles import multiply_spectra
from fastconv._simd.memory import advance, integers_at
from fastconv._simd.memory import load as load_element
from fastconv._simd.memory import store as store_element
from fastconv._simd.register_tiles import store_rows, width, zeros
from fastconv._simd.target import processor

# Shape of a tile of products: spectra of input tiles by those of pairs of output channels. Each is two vectors; of 32
# registers 6 x 2 leave two for a spectrum of the input. Each step loads a weight once for all input tiles.
PAIRS = 2
_VECTORS = 2 * PAIRS
TILES = 6 if processor().registers >= 32 else 2


def spread_signature(dtype):
    """Signature of `spread`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, pointer, n, n, n)


def spread(real, imag, wide, plane, pitch, rows, columns):
    """Move rows of two real tiles, `wide` elements long, into a plane."""
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            source = r * wide + c
            store(advance(plane, r * pitch + 2 * c), load_planes(advance(real, source), advance(imag, source)))


def gather_signature(dtype):
    """Signature of `scatter` and `gather`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, n)


def scatter(points, spectra, step, count):
    """Store points of a spectrum `step` elements apart."""
    for k in range(count):
        store(advance(spectra, k * step), load(advance(points, 2 * lanes(points) * k)))


def gather(points, spectra, step, count):
    """Load points of a spectrum that are `step` elements apart."""
    for k in range(count):
        store(advance(points, 2 * lanes(points) * k), load(advance(spectra, k * step)))


def finish_signature(dtype):
    """Signature of `finish`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, pointer, n, n, n, n, pointer, n)


def finish(real, imag, wide, plane, pitch, rows, columns, not_finite, bias, rectify):
    """Undo `spread`, and add a pair of biases. Set the integer at the address `not_finite` to 1 if a sum is not finite.

    With `rectify` negative results become zero.
    """
    different, added = zero(plane), broadcast(bias)
    for r in range(rows):
        for c in range(0, columns, lanes(plane)):
            values = load(advance(plane, r * pitch + 2 * c)) + added
            different = different + (values - values)  # zero if all are finite, else NaN
            if rectify:
                values = larger(values, zero(plane))
            store_planes(advance(real, r * wide + c), advance(imag, r * wide + c), values)
    if not all_zero(different):
        integers_at(not_finite, 0)[0] = 1


def spread_taps_signature(dtype):
    """Signature of `spread_taps`."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, pointer, n, n, n, n, n, n, pointer)


def spread_taps(weights, plane, pitch, part, rows, columns, row_dilation, column_dilation, scale):
    """Move the taps of one kernel, flipped and scaled, to the real (0) or the imaginary `part` of a plane of zeros."""
    wide = lanes(plane)
    for i in range(rows):
        for j in range(columns):
            c = (columns - 1 - j) * column_dilation
            place = (rows - 1 - i) * row_dilation * pitch + c // wide * 2 * wide + part * wide + c % wide
            tap = load_element(advance(weights, i * columns + j)) * load_element(scale)
            store_element(advance(plane, place), tap)


def products_signature(dtype):
    """Signature of the routines that `make_products` makes."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n, pointer, n, n, n, n, n, n)


@functools.cache
def make_products(count: int):
    """Make the routine that multiplies spectra, for `count` tiles at a time."""

    def spectral_products(
        x, x_tile, x_point, weights, weights_point, out, out_tile, out_point, points, tiles, blocks, channels
    ):
        """Sum the products of spectra over channels, for at least `count` tiles and `blocks` of pairs of outputs.

        For each point the input is (tile, channel), the weights are (block, channel, pair), the output (tile, block,
        pair).
        """
        for p in range(points):
            samples, line, target = advance(x, p * x_point), advance(weights, p * weights_point), p * out_point
            for _ in range(blocks):
                for first in range(0, tiles, count):
                    tile = zeros(x, count, _VECTORS)
                    t = min(first, tiles - count)  # the last ones slide back
                    tile = multiply_spectra(tile, advance(samples, t * x_tile), x_tile, line, channels)
                    store_rows(tile, count, advance(out, target + t * out_tile), out_tile)
                line = advance(line, channels * width(zeros(x, 1, _VECTORS)))
                target += width(zeros(x, 1, _VECTORS))

    spectral_products.__name__ = f"spectral_products_{count}"
    return spectral_products
