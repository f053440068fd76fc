"""Premultiply colours by alpha while packing, and divide by alpha while storing.

Both routines have the parameters of `transfers.transfer`, and replace it. The last channel is alpha. A colour is packed
as ``colour * alpha``, and the sum of these is divided by the sum of alphas. Products of 8 bits are exact, so opaque
pixels have the same colours as without alpha.
"""

from __future__ import annotations

from numba import types

from fastconv._simd.memory import advance, advance_bytes, load, load_any, opaque, store
from fastconv._simd.pixel_vectors import OFFSET, SCALE, as_double, parameters_at, store_pixel


def signature(source, destination):
    """Signature of `pack` and `finish`, from one element type to another."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, n, types.CPointer(destination), n, n, n, n, n, n, n)


def _make(name: str, swapped: bool):
    """`pack` for sources of native or opposite byte order."""

    def pack(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale):
        """Store colours times alpha, and alpha; strides are in bytes, and `rescale` is not used."""
        for r in range(rows):
            for c in range(columns):
                pixel = opaque(advance_bytes(src, r * src_row + c * src_col))
                target = opaque(advance_bytes(dst, r * dst_row + c * dst_col))
                alpha = load_any(advance_bytes(pixel, (channels - 1) * src_chan), swapped)
                store(advance_bytes(target, (channels - 1) * dst_chan), alpha)
                for k in range(channels - 1):
                    colour = load_any(advance_bytes(pixel, k * src_chan), swapped)
                    store(advance_bytes(target, k * dst_chan), colour * alpha)

    pack.__name__ = name
    return pack


pack = _make("pack", False)
pack_swapped = _make("pack_swapped", True)


def finish(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale):
    """Store colours, with the offset of `rescale`, and alpha, divided by its scale; colours are 0 where alpha is."""
    numbers = parameters_at(src, rescale)
    scale, offset = load(advance(numbers, SCALE)), load(advance(numbers, OFFSET))
    for r in range(rows):
        for c in range(columns):
            sums = opaque(advance_bytes(src, r * src_row + c * src_col))
            target = opaque(advance_bytes(dst, r * dst_row + c * dst_col))
            alpha = as_double(load(advance_bytes(sums, (channels - 1) * src_chan)))
            store_pixel(advance_bytes(target, (channels - 1) * dst_chan), alpha / scale)
            for k in range(channels - 1):
                colour = 0.0
                if alpha != 0:
                    colour = as_double(load(advance_bytes(sums, k * src_chan))) / alpha + offset
                store_pixel(advance_bytes(target, k * dst_chan), colour)
