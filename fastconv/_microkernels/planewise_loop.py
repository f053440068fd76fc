"""The loop over the units of a layer of few channels, channels first: see `planewise_tile`.

A unit is a block of output rows of one image, and a part of the output channels. Input that the microkernel can read in
place is not packed; all other input is copied to planes of channels in a scratch buffer.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layer_packing import CHANNEL, COLUMN, NUMBER, PACKING, ROW, pack_input
from fastconv._microkernels.layer_units import UNITS, make_run
from fastconv._simd import compilation
from fastconv._simd.memory import advance, call, integers_at, store

# Everything that `run` needs to know but the arrays. Sizes and strides are in elements if nothing else is said.
PLANEWISE_JOB = Record(
    "PlanewiseJob",
    {
        **PACKING,
        **UNITS,
        "tile": np.intp,  # address of the microkernel
        "rectify": np.bool_,
        "out_width": np.intp,
        "outputs": np.intp,  # of a group
        "tile_outputs": np.intp,  # output channels of a tile,
        "blocks": np.intp,  # and tiles that cover those of a group
        "parts": np.intp,  # of the output channels of all groups: units that share rows
        "packed_plane": np.intp,
        "offsets_at": np.intp,  # offsets in scratch memory, in bytes
        "sums_at": np.intp,
    },
)
_job_at = reader(PLANEWISE_JOB)


@compilation.inline
def _reads_in_place(x, job):
    """Whether the microkernel can address the input: columns side by side."""
    size = job.bytes
    steps = x.address | x.strides[NUMBER] | x.strides[CHANNEL] | x.strides[ROW]
    return job.x_in_place and not ((x.strides[COLUMN] - size) * (x.extents[COLUMN] - 1) | steps % size)


@compilation.inline
def _compute_channels(job, source, x_row, offsets, weights, bias, sums, target, out_row, out_channel, valid, rows, top):
    """Compute the output channels of a tile: rows with all kernel rows inside at once, others one by one."""
    size, dilation = job.bytes, job.row_dilation
    is_merged = job.column_dilation == 1 and job.groups == 1
    taps = 1 if is_merged else job.kernel_columns
    length = job.channels * (job.kernel_columns if is_merged else 1)
    base = max(0, top)
    done = 0
    while done < rows:
        y = top + done * job.row_stride
        first = 0 if y >= 0 else (dilation - 1 - y) // dilation
        last = min(job.kernel_rows, (job.height - 1 - y) // dilation + 1)
        count = 1
        if first == 0 and last == job.kernel_rows:
            count = min(rows - done, (job.height - 1 - y - (last - 1) * dilation) // job.row_stride + 1)
        skipped = first * taps * length
        call(
            job.tile,
            source + (y - base) * x_row * size, job.row_stride * x_row, offsets + skipped * 8,
            weights + skipped * job.tile_outputs * size, bias, sums,
            target + done * out_row * size, out_row, out_channel, valid,
            count, job.out_width, max(0, last - first) * taps, length, job.rectify,
        )  # fmt: skip
        done += count


@compilation.inline
def _compute_unit(x, weights, bias, out, job, scratch, unit, in_place):
    """Compute one unit: pack its rows, list the offsets of its products, and go through the output channels."""
    size = job.bytes
    part, unit = unit % job.parts, unit // job.parts
    first_row, image = unit % job.row_blocks * job.block_rows, unit // job.row_blocks
    rows = min(job.block_rows, job.out_height - first_row)
    top = first_row * job.row_stride + job.top
    begin = max(0, top)
    end = min(job.height, top + (rows - 1) * job.row_stride + (job.kernel_rows - 1) * job.row_dilation + 1)
    source = x.address + image * x.strides[NUMBER]
    if in_place:
        source += begin * x.strides[ROW] + job.left * x.strides[COLUMN]
        x_row, plane = x.strides[ROW] // size, x.strides[CHANNEL] // size
    else:
        x_row, plane = job.packed_columns, job.packed_plane
        pack_input(x, job, source, begin, end - begin, scratch, plane * size)
        source = scratch
    offsets = integers_at(scratch + job.offsets_at, 0)
    k = 0
    for i in range(job.kernel_rows):
        for j in range(job.kernel_columns):
            for c in range(job.channels):
                place = i * job.row_dilation * x_row + j * job.column_dilation + c * plane
                store(advance(offsets, k), place * size)
                k += 1
    total = job.blocks * job.groups
    for b in range(total * part // job.parts, total * (part + 1) // job.parts):
        group, block = b // job.blocks, b % job.blocks
        output = block * job.tile_outputs
        channel = group * job.outputs + output
        _compute_channels(
            job, source + group * job.channels * plane * size, x_row, scratch + job.offsets_at,
            weights.address + b * k * job.tile_outputs * size, bias.address + b * job.tile_outputs * size,
            scratch + job.sums_at,
            out.address + image * out.strides[NUMBER] + channel * out.strides[CHANNEL] + first_row * out.strides[ROW],
            out.strides[ROW] // size, out.strides[CHANNEL] // size, min(job.tile_outputs, job.outputs - output),
            rows, top,
        )  # fmt: skip


run = make_run("planewise_loop", _job_at, _reads_in_place, _compute_unit)
