"""A unit of a depthwise layer, or one of small groups: see `channelwise_tile`.

A unit is a block of output rows of one image. Input with channels last and nothing outside but zeros is read in place:
then tiles compute the columns whose taps are all inside, and the others one by one with the taps that are. With
channels first a unit is computed in a staging buffer.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layers.layer_packing import (
    CHANNEL,
    COLUMN,
    NUMBER,
    PACKING,
    PADDING,
    ROW,
    pack_rows,
)
from fastconv._microkernels.layers.layer_units import UNITS, rows_of
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import call

# Everything that a unit needs to know but the arrays. Sizes and strides are in elements if nothing else is said.
CHANNELWISE_JOB = Record(
    "ChannelwiseJob",
    {
        **HEAD,
        **PACKING,
        **PADDING,
        **UNITS,
        # Addresses of compiled routines: microkernels of one output row, of two (0 for none), and of single pixels.
        "single": np.intp,
        "double": np.intp,
        "pixel": np.intp,
        "transpose": np.intp,  # from staging to the output: `pad_transposed`,
        "store": np.intp,  # or, if that is 0, any other
        "transposed": np.bool_,  # whether the output has channels first
        "rectify": np.bool_,
        "width": np.intp,  # columns of the image
        "out_width": np.intp,
        "first_inside": np.intp,  # output columns whose taps are all inside
        "stop_inside": np.intp,
        "pitch": np.intp,  # between the pixels that the microkernels step by
        "runs": np.intp,  # runs of taps in a kernel row, and the taps of one
        "run_taps": np.intp,
        "staging_at": np.intp,  # offset in scratch memory, in bytes
    },
)
_job_at = reader(CHANNELWISE_JOB)


@compilation.inline
def _call_tile(
    job, routine, source, x_row, weights, bias, target, out_row, out_pitch, rows, columns, top, runs, run_taps
):
    channels = job.channels * job.groups
    call(
        routine,
        source, x_row, job.pitch, weights, job.kernel_columns * job.channels * channels, channels, bias,
        target, out_row, out_pitch, rows, columns, channels,
        top, job.row_stride, job.row_dilation, job.height, job.kernel_rows,
        runs, run_taps * job.column_dilation * channels, job.rectify,
    )  # fmt: skip


@compilation.inline
def _compute_rows(job, source, x_row, weights, bias, target, out_row, out_pitch, rows, columns, top):
    """Compute columns whose taps are all inside: pairs of rows where their kernel rows are, too, else single ones."""
    size = job.bytes
    base = larger(0, top)
    done = 0
    while done < rows:
        y = top + done * job.row_stride
        count, routine = 1, job.single
        if job.double != 0:
            inside = smaller(rows - done, job.height - job.kernel_rows - y + 1)
            if y < 0:
                count = smaller(rows - done, -y)
            elif inside >= 2:
                count, routine = inside // 2 * 2, job.double
            else:
                count = rows - done
        else:
            count = rows
        _call_tile(
            job, routine, source + (larger(0, y) - base) * x_row * size, x_row, weights, bias,
            target + done * out_row * size, out_row, out_pitch, count, columns, y, job.runs, job.run_taps,
        )  # fmt: skip
        done += count


@compilation.inline
def _compute_edges(job, source, x_row, weights, bias, target, out_row, out_pitch, rows, top):
    """Compute the columns some of whose taps are outside, one by one; `source` is column 0 of the image."""
    size, channels = job.bytes, job.channels * job.groups
    for column in range(job.out_width):
        if column >= job.first_inside and column < job.stop_inside:
            continue
        begin = column * job.column_stride + job.left
        first = 0 if begin >= 0 else (job.column_dilation - 1 - begin) // job.column_dilation
        last = smaller(job.kernel_columns, (job.width - 1 - begin) // job.column_dilation + 1)
        first = smaller(first, job.kernel_columns)
        _call_tile(
            job, job.pixel, source + (begin + first * job.column_dilation) * channels * size, x_row,
            weights + first * job.channels * channels * size, bias,
            target + column * out_pitch * size, out_row, out_pitch, rows, 1, top, larger(0, last - first), 1,
        )  # fmt: skip


def channelwise_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute one unit: columns inside, and those at the edges."""
    job = _job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    size, channels = job.bytes, job.channels * job.groups
    image, first_row, rows, top, begin, end = rows_of(job, unit)
    source = x.address + image * x.strides[NUMBER]
    place = out.address + image * out.strides[NUMBER] + first_row * out.strides[ROW]
    target, out_row, out_pitch = place, out.strides[ROW] // size, out.strides[COLUMN] // size
    if job.transposed:
        target, out_row, out_pitch = scratch + job.staging_at, job.out_width * channels, channels
    if job.x_in_place:
        source += begin * x.strides[ROW]
        x_row = x.strides[ROW] // size
        _compute_edges(job, source, x_row, weights, bias, target, out_row, out_pitch, rows, top)
        if job.stop_inside > job.first_inside:
            column = job.first_inside * job.column_stride + job.left
            _compute_rows(
                job, source + column * channels * size, x_row, weights, bias,
                target + job.first_inside * out_pitch * size, out_row, out_pitch,
                rows, job.stop_inside - job.first_inside, top,
            )  # fmt: skip
    else:
        pack_rows(x, job, source, begin, end - begin, scratch, 0)
        x_row = job.packed_columns * channels
        _compute_rows(
            job, scratch, x_row, weights, bias, target, out_row, out_pitch, rows, job.out_width, top
        )  # fmt: skip
    if job.transposed:
        pixels, lines = job.out_width, rows
        if out.strides[ROW] == pixels * size:  # one line for each channel
            pixels, lines = rows * pixels, 1
        for r in range(lines):
            line, there = target + r * out_row * size, place + r * out.strides[ROW]
            if job.transpose != 0:
                plane = out.strides[CHANNEL] // size
                call(job.transpose, line, 0, channels, there, 0, plane, 0, channels, 0, 1, pixels)
                continue
            call(
                job.store,
                line, size, channels * size, 0,
                there, out.strides[CHANNEL], out.strides[COLUMN], 0,
                channels, pixels, 1, 0,
            )  # fmt: skip
