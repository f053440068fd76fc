"""Gradients of depthwise layers of stride 2 to their input, channels last: see `depthwise_upsampling`.

Lanes are channels. A tile is one vector of them by some even, or some odd, pixels of an output row. A unit is a block
of pairs of output rows of one image, whose input is packed with zeros beside it.
"""

from __future__ import annotations

import functools

from numba import types

from fastconv._microkernels.layers.depthwise_upsampling import job_at
from fastconv._microkernels.layers.layer_packing import NUMBER, ROW, pack_input
from fastconv._microkernels.layers.layer_units import rows_of
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.integers import larger, smaller
from fastconv._simd.layer_tiles import broadcast_vectors, store_pixel_rows, sweep_channels
from fastconv._simd.memory import advance, call
from fastconv._simd.register_tiles import width, zeros


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, pointer, pointer, *[n] * 12)


@functools.cache
def make(pixels: int, even_taps: int, odd_taps: int):
    """Make the microkernel for so many taps of a kernel row that even and odd pixels meet."""
    taps = even_taps + odd_taps

    def make_half(count: int):
        def fill_half(x, x_row, weights, bias, out, channels, first, last):
            """Fill every second one of some pixels of a row, for one vector of channels."""
            tile = broadcast_vectors(zeros(x, pixels, 1), bias)
            for k in range(first, last):
                tile = sweep_channels(
                    tile, 0, 1, 1, advance(x, k * x_row), channels, advance(weights, k * taps * channels), 0, channels,
                    1, count,
                )  # fmt: skip
            store_pixel_rows(tile, 1, out, 0, 2 * channels)

        return compilation.inline(fill_half)

    fill_even, fill_odd = make_half(even_taps), make_half(odd_taps)

    def channelwise_upsampling_tile(
        x, x_row, weights, bias, out, out_row, rows, columns, channels, top, height,
        even_rows, even_row, odd_rows, odd_row, even_column, odd_column,
    ):  # fmt: skip
        """Fill `rows` rows of `columns` pixels, the first of them even.

        `x` is the input row number `top`, or the first if that is outside. Weights are in the order (kernel rows of
        even rows, of odd ones; taps of even pixels, of odd ones; channels). The last vector of channels, and the last
        tiles of a row, slide back.
        """
        lanes = width(zeros(x, 1, 1))
        for r in range(rows):
            y, count, weight = top + r // 2 + even_row, even_rows, weights
            if r % 2:
                y, count = top + r // 2 + odd_row, odd_rows
                weight = advance(weights, even_rows * taps * channels)
            first, last = larger(0, -y), smaller(count, height - y)
            line, target = advance(x, (y - larger(0, top)) * x_row), advance(out, r * out_row)
            for c in range(0, (columns + 1) // 2, pixels):
                even, odd = smaller(c, (columns + 1) // 2 - pixels), smaller(c, columns // 2 - pixels)
                v = 0
                while v < channels:
                    v = smaller(v, channels - lanes)
                    fill_even(
                        advance(line, (even + even_column) * channels + v), x_row, advance(weight, v),
                        advance(bias, v), advance(target, 2 * even * channels + v), channels, first, last,
                    )  # fmt: skip
                    fill_odd(
                        advance(line, (odd + odd_column) * channels + v), x_row,
                        advance(weight, even_taps * channels + v),
                        advance(bias, v), advance(target, (2 * odd + 1) * channels + v), channels, first, last,
                    )  # fmt: skip
                    v += lanes

    channelwise_upsampling_tile.__name__ = f"channelwise_upsampling_tile_{pixels}_{even_taps}_{odd_taps}"
    return channelwise_upsampling_tile


def upsampling_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute one unit."""
    job = job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    image, first_row, rows, top, begin, end = rows_of(job, unit)
    pack_input(
        x, job, x.address + image * x.strides[NUMBER], begin, end - begin, scratch, 0, job.groups,
        job.column_runs, job.column_run_count, job.packed_columns,
    )  # fmt: skip
    call(
        job.tile,
        scratch, job.packed_columns * job.groups, weights, bias,
        out.address + image * out.strides[NUMBER] + 2 * first_row * out.strides[ROW], out.strides[ROW] // job.bytes,
        smaller(2 * rows, job.rows - 2 * first_row), job.columns, job.groups, top, job.height,
        job.even_rows, job.even_row, job.odd_rows, job.odd_row, job.even_column, job.odd_column,
    )  # fmt: skip
