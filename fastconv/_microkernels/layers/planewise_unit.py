"""A unit of a layer of few channels, channels first: see `planewise_tile`.

A unit is a block of output rows of one image, and a part of the output channels. Input that the microkernel can read in
place is not packed; all other input is copied to planes of channels in a scratch buffer.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layers.layer_packing import CHANNEL, COLUMN, NUMBER, PACKING, PADDING, ROW, pack_rows
from fastconv._microkernels.layers.layer_units import UNITS, rows_of
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import advance, call, integers_at, store

# Everything that a unit, also of `depthwise_unit`, needs to know but the arrays. Sizes and strides are in elements if
# nothing else is said.
PLANEWISE_JOB = Record(
    "PlanewiseJob",
    {
        **HEAD,
        **PACKING,
        **UNITS,
        "tile": np.intp,  # address of the microkernel
        "joins_rows": np.bool_,  # whether rows narrower than a vector are one row, with what lies between them
        "is_staged": np.bool_,  # whether results go by way of staging; then addresses of routines from there:
        "interleave": np.intp,  # to pixels of a few channels that are all outputs of the layer,
        "store": np.intp,  # and, if that is 0, to any output
        "staging_at": np.intp,  # offset in scratch memory, in bytes
        "staging_row": np.intp,
        "staging_plane": np.intp,
        "rectify": np.bool_,
        "out_width": np.intp,
        "outputs": np.intp,  # of a group
        "tile_outputs": np.intp,  # output channels of a tile,
        "blocks": np.intp,  # and tiles that cover those of a group
        "parts": np.intp,  # of the output channels of all groups: units that share rows
        "packed_plane": np.intp,
        **PADDING,
        "offsets_at": np.intp,  # offsets in scratch memory, in bytes
        "sums_at": np.intp,
    },
)
job_at = reader(PLANEWISE_JOB)


@compilation.inline
def are_lines(x, job):
    """Whether rows of the input are columns side by side."""
    size = job.bytes
    steps = x.address | x.strides[NUMBER] | x.strides[CHANNEL] | x.strides[ROW]
    return not ((x.strides[COLUMN] - size) * (x.extents[COLUMN] - 1) | steps % size)


@compilation.inline
def _compute_channels(job, source, x_row, offsets, weights, bias, sums, target, out_row, out_channel, valid, rows, top):
    """Compute the output channels of a tile: rows with all kernel rows inside at once, others one by one."""
    size, dilation = job.bytes, job.row_dilation
    is_merged = job.column_dilation == 1 and job.groups == 1
    taps = 1 if is_merged else job.kernel_columns
    length = job.channels * (job.kernel_columns if is_merged else 1)
    base = larger(0, top)
    done = 0
    while done < rows:
        y = top + done * job.row_stride
        first = 0 if y >= 0 else (dilation - 1 - y) // dilation
        last = smaller(job.kernel_rows, (job.height - 1 - y) // dilation + 1)
        count = 1
        if first == 0 and last == job.kernel_rows:
            count = smaller(rows - done, (job.height - 1 - y - (last - 1) * dilation) // job.row_stride + 1)
        skipped = first * taps * length
        call(
            job.tile,
            source + (y - base) * x_row * size, job.row_stride * x_row, offsets + skipped * 8,
            weights + skipped * job.tile_outputs * size, bias, sums,
            target + done * out_row * size, out_row, out_channel, valid,
            1 if job.joins_rows else count, (count - 1) * x_row + job.out_width if job.joins_rows else job.out_width,
            larger(0, last - first) * taps, length, job.rectify,
        )  # fmt: skip
        done += count


@compilation.inline
def _store_staged(job, staged, place, out, channels, rows):
    """Copy rows of some channels from planes to the output."""
    size, columns = job.bytes, job.out_width
    if job.interleave != 0:
        call(
            job.interleave,
            staged, job.staging_row, job.staging_plane, place, out.strides[ROW] // size, 0,
            0, columns, 0, rows, channels,
        )  # fmt: skip
        return
    if out.strides[COLUMN] == size:
        call(
            job.store,
            staged, job.staging_row * size, size, job.staging_plane * size,
            place, out.strides[ROW], size, out.strides[CHANNEL],
            rows, columns, channels, 0,
        )  # fmt: skip
        return
    if job.staging_row == columns and out.strides[ROW] == columns * out.strides[COLUMN]:
        rows, columns = 1, rows * columns
    for r in range(rows):
        call(
            job.store,
            staged + r * job.staging_row * size, size, job.staging_plane * size, 0,
            place + r * out.strides[ROW], out.strides[COLUMN], size, 0,
            columns, channels, 1, 0,
        )  # fmt: skip


def planewise_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute one unit: pack its rows, list the offsets of its products, and go through the output channels."""
    job = job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    size = job.bytes
    part, unit = unit % job.parts, unit // job.parts
    image, first_row, rows, top, begin, end = rows_of(job, unit)
    source = x.address + image * x.strides[NUMBER]
    place = out.address + image * out.strides[NUMBER] + first_row * out.strides[ROW]
    total = job.blocks * job.groups
    if job.x_in_place:
        source += begin * x.strides[ROW] + job.left * x.strides[COLUMN]
        x_row, plane = x.strides[ROW] // size, x.strides[CHANNEL] // size
    else:
        x_row, plane = job.packed_columns, job.packed_plane
        pack_rows(x, job, source, begin, end - begin, scratch, plane * size)
        source = scratch
    offsets = integers_at(scratch + job.offsets_at, 0)
    k = 0
    for i in range(job.kernel_rows):
        for j in range(job.kernel_columns):
            for c in range(job.channels):
                offset = i * job.row_dilation * x_row + j * job.column_dilation + c * plane
                store(advance(offsets, k), offset * size)
                k += 1
    out_row, out_plane = out.strides[ROW] // size, out.strides[CHANNEL] // size
    if job.is_staged:
        out_row, out_plane = job.staging_row, job.staging_plane
    for b in range(total * part // job.parts, total * (part + 1) // job.parts):
        group, block = b // job.blocks, b % job.blocks
        output = block * job.tile_outputs
        channel = group * job.outputs + output
        valid = smaller(job.tile_outputs, job.outputs - output)
        target = place + channel * out.strides[CHANNEL]
        if job.is_staged:
            target = scratch + job.staging_at
        _compute_channels(
            job, source + group * job.channels * plane * size, x_row, scratch + job.offsets_at,
            weights + b * k * job.tile_outputs * size, bias + b * job.tile_outputs * size,
            scratch + job.sums_at, target, out_row, out_plane, valid, rows, top,
        )  # fmt: skip
        if job.is_staged:
            _store_staged(job, target, place + channel * out.strides[CHANNEL], out, valid, rows)
