"""Gradients of depthwise layers of stride 2 to their input, channels first: all phases of a plane at once.

An output row meets every second kernel row, and its even and odd columns the even and the odd taps of one, or the
reverse: two sums of a few taps, whose vectors are interleaved as they are stored. A unit is a block of pairs of output
rows of some planes of one image. Planes are copied one by one, with zeros beside them, just before they are read; those
that need a conversion are packed before, all those of the unit.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layers.depthwise_unit import planes_of
from fastconv._microkernels.layers.layer_packing import CHANNEL, NUMBER, PACKING, PADDING, ROW, pad_planes
from fastconv._microkernels.layers.layer_units import UNITS
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.integers import larger, smaller
from fastconv._simd.layer_tiles import broadcast_all, store_alternating
from fastconv._simd.memory import advance, call
from fastconv._simd.register_tiles import sweep, width, zeros

# Everything that a unit, also of `channelwise_upsampling`, needs to know but the arrays; sizes are in elements.
# Kernel rows, columns and output rows of `UNITS` are those of a layer of stride 1 that reads what all phases read.
UPSAMPLING_JOB = Record(
    "UpsamplingJob",
    {
        **HEAD,
        **PACKING,
        **UNITS,
        "tile": np.intp,  # address of the microkernel
        "rows": np.intp,  # of the output,
        "columns": np.intp,  # and columns
        # Taps that even and odd rows meet, and their first input row after that of the layer of stride 1; columns too.
        "even_rows": np.intp,
        "even_row": np.intp,
        "odd_rows": np.intp,
        "odd_row": np.intp,
        "even_columns": np.intp,
        "even_column": np.intp,
        "odd_columns": np.intp,
        "odd_column": np.intp,
        # With channels last, the rest is not used.
        "parts": np.intp,  # of the channels
        "packed_plane": np.intp,
        **PADDING,
    },
)
job_at = reader(UPSAMPLING_JOB)
_pad_planes = compilation.outline(pad_planes)


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, *[n] * 5, pointer, pointer, pointer, *[n] * 15)


@functools.cache
def make(vectors: int):
    """Make the microkernel for pairs of tiles of so many vectors."""

    def depthwise_upsampling_tile(
        x, x_row, x_plane, packed, packed_row, left, inside, right, packed_rows, weights, bias, out, out_row, out_plane,
        planes, rows, columns, top, height,
        even_rows, even_row, odd_rows, odd_row, even_columns, even_column, odd_columns, odd_column,
    ):  # fmt: skip
        """Fill `rows` rows of `columns` of some planes, the first of them even.

        `x` is the input row number `top`, or the first if that is outside. If there are any `packed_rows`, so many rows
        of a plane are copied to `packed` first. Weights are in the order (kernel rows of even rows, of odd ones; taps
        of even columns, of odd ones). The last vectors of a row are read beyond its end.
        """
        taps = even_columns + odd_columns
        for p in range(planes):
            source, pitch = advance(x, p * x_plane), x_row
            if packed_rows > 0:
                _pad_planes(source, x_row, 0, packed, packed_row, 0, left, inside, right, packed_rows, 1)
                source, pitch = packed, packed_row
            start = broadcast_all(zeros(x, 1, vectors), advance(bias, p))
            kernel = advance(weights, p * (even_rows + odd_rows) * taps)
            for r in range(rows):
                y, count, weight = top + r // 2 + even_row, even_rows, kernel
                if r % 2:
                    y, count, weight = top + r // 2 + odd_row, odd_rows, advance(kernel, even_rows * taps)
                first, last = larger(0, -y), smaller(count, height - y)
                line = advance(source, (y - larger(0, top)) * pitch)
                c = 0
                while 2 * c < columns:
                    even, odd = start, start
                    for k in range(first, last):
                        corner, factors = advance(line, k * pitch + c), advance(weight, k * taps)
                        even = sweep(
                            even, 0, 1, 0, advance(corner, even_column), 0, 1, factors, even_columns, even_columns
                        )
                        odd = sweep(
                            odd, 0, 1, 0, advance(corner, odd_column), 0, 1,
                            advance(factors, even_columns), odd_columns, odd_columns,
                        )  # fmt: skip
                    store_alternating(even, odd, advance(out, p * out_plane + r * out_row + 2 * c), columns - 2 * c)
                    c += width(even)

    depthwise_upsampling_tile.__name__ = f"depthwise_upsampling_tile_{vectors}"
    return depthwise_upsampling_tile


def upsampling_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute one unit."""
    job = job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    size = job.bytes
    image, first, stop, first_row, rows, top, source, x_row, x_plane, padded_rows = planes_of(x, job, unit, scratch)
    call(
        job.tile,
        source, x_row, x_plane, scratch, job.packed_columns,
        job.pad_left, job.packed_columns - job.pad_left - job.pad_right, job.pad_right, padded_rows,
        weights + first * (job.even_rows + job.odd_rows) * (job.even_columns + job.odd_columns) * size,
        bias + first * size,
        out.address + image * out.strides[NUMBER] + 2 * first_row * out.strides[ROW] + first * out.strides[CHANNEL],
        out.strides[ROW] // size, out.strides[CHANNEL] // size,
        stop - first, smaller(2 * rows, job.rows - 2 * first_row), job.columns, top, job.height,
        job.even_rows, job.even_row, job.odd_rows, job.odd_row,
        job.even_columns, job.even_column, job.odd_columns, job.odd_column,
    )  # fmt: skip
