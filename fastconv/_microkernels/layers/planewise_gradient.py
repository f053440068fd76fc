"""Gradients of depthwise layers, and those of few outputs, to their weights, channels first: lanes are columns.

A tile is a vector for each tap, to which each vector of the gradient adds its products with the input that it meets. A
unit is some channels, and some outputs of their groups, of all images. Blocks of rows of a plane of the input are
copied one by one, with zeros beside them, just before they are read; each is a partial sum.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layers.layer_packing import CHANNEL, NUMBER, PACKING, PADDING, ROW, pack_input
from fastconv._microkernels.layers.layer_units import UNITS, rows_of
from fastconv._microkernels.layers.planewise_unit import are_lines
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.integers import larger, smaller
from fastconv._simd.layer_tiles import add_sums, multiply_taps, pushed
from fastconv._simd.memory import advance, bytes_at, call, load, store
from fastconv._simd.register_tiles import store_rows, width, zeros

# Everything that a unit needs to know but the arrays. Sizes are in elements.
PLANEWISE_GRADIENT_JOB = Record(
    "PlanewiseGradientJob",
    {
        **HEAD,
        **PACKING,
        **UNITS,
        # Addresses of compiled routines: the microkernel, and the last step.
        "tile": np.intp,
        "finish": np.intp,
        "number": np.intp,
        "out_width": np.intp,
        "sums_at": np.intp,  # offset in scratch memory, in bytes
        "sums": np.intp,  # of a channel and an output
        "outputs": np.intp,  # of a group,
        "parts": np.intp,  # and units that share them
        **PADDING,
    },
)
_job_at = reader(PLANEWISE_GRADIENT_JOB)


def signature(dtype):
    """Signature of the microkernel for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, n, pointer, n, n)


@functools.cache
def make(kernel_rows: int, taps: int, stride: int):
    """Make the microkernel for one size of kernels, and a stride of 1 or 2 along both axes."""
    count, held = kernel_rows * taps, -(-kernel_rows // stride)

    def make_columns(partial: bool):
        def add_row(tile, x, x_row, recent, q, rows, valid, begin, end, edge):
            """Add the products of input row number `q`, or of those two of a stride of 2."""
            line = advance(x, stride * q * x_row)
            tile = multiply_taps(tile, line, recent, taps, stride, 0, partial, edge, valid, begin, end)
            if stride == 2 and 2 * q + 1 < 2 * (rows - 1) + kernel_rows:
                line = advance(line, x_row)
                tile = multiply_taps(tile, line, recent, taps, stride, 1, partial, edge, valid, begin, end)
            return tile

        add_row = compilation.inline(add_row)

        def add_columns(tile, x, x_row, y, y_row, rows, valid):
            """Add the products of a vector of columns: a row of input meets several of the gradient, held in registers.

            Samples are not multiplied with the gradient of rows that there are not: they may be infinite.
            """
            recent = zeros(x, held, 1)
            first = smaller(held - 1, rows)
            for q in range(first):
                recent = pushed(recent, advance(y, q * y_row), valid, partial)
                tile = add_row(tile, x, x_row, recent, q, rows, valid, 0, q + 1, True)
            for q in range(first, rows):
                recent = pushed(recent, advance(y, q * y_row), valid, partial)
                tile = add_row(tile, x, x_row, recent, q, rows, valid, 0, held, False)
            for q in range(rows, rows + held - 1):
                recent = pushed(recent, y, 0, True)
                tile = add_row(tile, x, x_row, recent, q, rows, valid, q - rows + 1, smaller(held, q + 1), True)
            return tile

        return compilation.inline(add_columns)

    add_whole, add_rest = make_columns(False), make_columns(True)

    def planewise_gradient_tile(x, x_row, y, y_row, sums, rows, columns):
        """Add the products of `rows` rows of the gradient to `sums`; `x_row` is the pitch of the input."""
        tile = zeros(x, count, 1)
        lanes = width(tile)
        c = 0
        while c + lanes <= columns:
            tile = add_whole(tile, advance(x, c * stride), x_row, advance(y, c), y_row, rows, lanes)
            c += lanes
        if c < columns:
            tile = add_rest(tile, advance(x, c * stride), x_row, advance(y, c), y_row, rows, columns - c)
        store_rows(add_sums(tile, sums), count, sums, lanes)

    planewise_gradient_tile.__name__ = f"planewise_gradient_tile_{kernel_rows}x{taps}_{stride}"
    return planewise_gradient_tile


def finish_signature(dtype):
    """Signature of `add_lanes`."""
    pointer = types.CPointer(dtype)
    return types.void(pointer, pointer, types.intp)


def add_lanes(sums, out, count):
    """Store the sum of the lanes of each vector, halves at a time."""
    lanes = width(zeros(out, 1, 1))
    for k in range(count):
        vector = advance(sums, k * lanes)
        half = lanes // 2
        while half > 0:
            for lane in range(half):
                store(advance(vector, lane), load(advance(vector, lane)) + load(advance(vector, lane + half)))
            half //= 2
        store(advance(out, k), load(vector))


@compilation.inline
def _clear(address, count):
    """Fill so many bytes with zeros."""
    place = bytes_at(address, 0)
    for k in range(count):
        place[k] = 0


def gradient_unit(
    x_address, x_extents, x_strides, y_address, y_extents, y_strides,
    out, unused, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute the gradients of some input channels to some outputs of their groups; `out` is contiguous."""
    job = _job_at(job_address, 0)
    x, y = view_of(x_address, x_extents, x_strides), view_of(y_address, y_extents, y_strides)
    size, kernel, pitch = job.bytes, job.kernel_rows * job.kernel_columns, job.packed_columns
    part, unit = unit % job.parts, unit // job.parts
    first, stop = job.outputs * part // job.parts, job.outputs * (part + 1) // job.parts
    channels, channel_parts = job.channels * job.groups, job.units // job.parts
    for channel in range(channels * unit // channel_parts, channels * (unit + 1) // channel_parts):
        group = channel // job.channels
        _clear(scratch + job.sums_at, (stop - first) * job.sums * size)
        for block in range(job.number * job.row_blocks):
            image, row, rows, top, begin, end = rows_of(job, block)
            source = x.address + image * x.strides[NUMBER] + channel * x.strides[CHANNEL]
            needed, count = (rows - 1) * job.row_stride + job.kernel_rows, larger(0, end - begin)
            above = smaller(begin - top, needed)
            inside = scratch + above * pitch * size
            _clear(scratch, above * pitch * size)
            if count > 0 and job.pad != 0 and are_lines(x, job):
                call(
                    job.pad,
                    source + begin * x.strides[ROW] + job.first_column * size, x.strides[ROW] // size, 0,
                    inside, pitch, 0, job.pad_left, pitch - job.pad_left - job.pad_right, job.pad_right, count, 1,
                )  # fmt: skip
            elif count > 0:
                pack_input(
                    x, job, source, begin, count, inside, needed * pitch * size, 1,
                    job.column_runs, job.column_run_count, pitch,
                )  # fmt: skip
            _clear(inside + count * pitch * size, (needed - above - count) * pitch * size)
            slopes = y.address + image * y.strides[NUMBER] + row * y.strides[ROW]
            slopes += group * job.outputs * y.strides[CHANNEL]
            for output in range(first, stop):
                call(
                    job.tile,
                    scratch, pitch, slopes + output * y.strides[CHANNEL], y.strides[ROW] // size,
                    scratch + job.sums_at + (output - first) * job.sums * size, rows, job.out_width,
                )  # fmt: skip
        for output in range(first, stop):
            place = (group * job.outputs + output) * job.channels + channel % job.channels
            call(
                job.finish,
                scratch + job.sums_at + (output - first) * job.sums * size, out + place * kernel * size, kernel,
            )  # fmt: skip
