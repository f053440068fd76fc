"""A unit of a convolutional layer: pack its input rows, and call the microkernel.

A unit is a block of output rows of one image, or some whole images, and a part of the output channels. Input that the
microkernel can read in place is not packed; all other input is copied to channels last, converted, and extended beyond
the boundary, in a scratch buffer that stays in the L2 cache. Weights of a single call are packed by the units, too,
block by block.
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
from fastconv._simd.integers import smaller
from fastconv._simd.memory import call

# Everything that a unit needs to know but the arrays. Sizes and strides are in elements if nothing else is said.
LAYER_JOB = Record(
    "LayerJob",
    {
        **HEAD,
        **PACKING,
        **PADDING,
        **UNITS,
        # Addresses of compiled routines: the microkernel for whole blocks of output channels, and for the rest of them,
        # with tiles of `pixels` pixels and of one less.
        "wide": np.intp,
        "narrow": np.intp,
        "wide_rest": np.intp,
        "narrow_rest": np.intp,
        "transposed": np.bool_,  # whether the output has channels first
        "rectify": np.bool_,
        "outputs": np.intp,  # of a group
        "parts": np.intp,  # of the output channels of all groups: units that share rows
        "pixels": np.intp,  # of a tile
        "wide_tiles": np.intp,  # number in a row,
        "narrow_tiles": np.intp,  # and of those one pixel narrower
        "block_outputs": np.intp,  # output channels of a block,
        "blocks": np.intp,  # whole blocks of a group,
        "rest_outputs": np.intp,  # and output channels, with those that are not stored, of the block behind them, or 0
        "images": np.intp,  # of a unit; more than one only if that has all their rows
        "image_bytes": np.intp,  # in scratch memory, for the packed input of one
        "sums_at": np.intp,  # offset in scratch memory, in bytes
        "pack_weights": np.intp,  # address of the routine that packs `GIVEN_WEIGHTS`; 0 for packed ones
        "weights_at": np.intp,  # and offsets of a packed block,
        "square_at": np.intp,  # and of a buffer of the routine that packs it
    },
)
_job_at = reader(LAYER_JOB)


@compilation.inline
def _compute_block(
    job, source, x_row, weights, bias, sums, target, row_bytes, pixel_bytes, channel_bytes, rest, rows, top
):
    """Compute a block of output channels of one unit: tiles of full width first, then those one pixel narrower."""
    size, channels = job.bytes, job.channels * job.groups
    is_merged = job.column_dilation == 1 and job.groups == 1
    taps = 1 if is_merged else job.kernel_columns
    length = job.channels * (job.kernel_columns if is_merged else 1)
    pitch = job.column_stride * channels
    out_pitch = (channel_bytes if job.transposed else pixel_bytes) // size
    for narrow in range(2):
        tiles = job.narrow_tiles if narrow else job.wide_tiles
        if tiles == 0:
            continue
        routine = job.narrow if narrow else job.wide
        valid = job.block_outputs
        if rest > 0:
            routine = job.narrow_rest if narrow else job.wide_rest
            valid = rest
        columns = job.wide_tiles * job.pixels if narrow else 0
        call(
            routine,
            source + columns * pitch * size, x_row, pitch, weights, bias, sums,
            target + columns * pixel_bytes, row_bytes // size, out_pitch, valid,
            rows, tiles, top, job.row_stride, job.row_dilation, job.height,
            job.kernel_rows, taps, job.column_dilation * channels, job.row_dilation * x_row, length, job.rectify,
        )  # fmt: skip


def layer_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute one unit: group by group, block of output channels by block."""
    job = _job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    size, channels = job.bytes, job.channels * job.groups
    part, unit = unit % job.parts, unit // job.parts
    image, first_row, rows, top, begin, end = rows_of(job, unit)
    image *= job.images
    images = smaller(job.images, x.extents[NUMBER] - image)
    source, x_image = x.address + image * x.strides[NUMBER], x.strides[NUMBER]
    if job.x_in_place:
        source += begin * x.strides[ROW] + job.left * x.strides[COLUMN]
        x_row = x.strides[ROW] // size
    else:
        for n in range(images):
            pack_rows(x, job, source + n * x_image, begin, end - begin, scratch + n * job.image_bytes, 0)
        source, x_image, x_row = scratch, job.image_bytes, job.packed_columns * channels
    all_blocks = job.blocks + (1 if job.rest_outputs > 0 else 0)
    padded = job.blocks * job.block_outputs + job.rest_outputs
    taps = job.kernel_rows * job.kernel_columns * job.channels
    total = all_blocks * job.groups
    for k in range(total * part // job.parts, total * (part + 1) // job.parts):
        group, block = k // all_blocks, k % all_blocks
        output = block * job.block_outputs
        packed_output = group * padded + output
        rest = job.outputs - output if block == job.blocks else 0
        channel = group * job.outputs + output
        factors = weights + packed_output * taps * size
        if job.pack_weights != 0:
            factors = scratch + job.weights_at
            call(
                job.pack_weights,
                weights, channel, factors, scratch + job.square_at, job.rest_outputs if rest > 0 else job.block_outputs,
                rest if rest > 0 else job.block_outputs, job.channels, job.kernel_rows, job.kernel_columns, size,
            )  # fmt: skip
        for n in range(images):
            target = out.address + (image + n) * out.strides[NUMBER] + channel * out.strides[CHANNEL]
            _compute_block(
                job, source + n * x_image + group * job.channels * size, x_row,
                factors, bias + packed_output * size, scratch + job.sums_at,
                target + first_row * out.strides[ROW], out.strides[ROW], out.strides[COLUMN], out.strides[CHANNEL],
                rest, rows, top,
            )  # fmt: skip
