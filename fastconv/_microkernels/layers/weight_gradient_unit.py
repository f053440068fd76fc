"""A unit of a layer's weight gradient: pack blocks of rows, and call the microkernel for each tap.

A unit is a split of the blocks of rows of all images, and a part of the output channels. It has sums of its own, which
are added up in the order of the splits at the end (`finish_sums`), so that the result does not depend on the threads.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layers.layer_packing import (
    CHANNEL,
    COLUMN,
    NUMBER,
    PACKING,
    ROW,
    are_pixels,
    pack_input,
    pack_samples,
    reads_in_place,
)
from fastconv._microkernels.layers.layer_units import UNITS
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.array_view import view, view_of
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import call, integers_at

# Everything that a unit needs to know but the arrays. Sizes and strides are in elements if nothing else is said.
GRADIENT_JOB = Record(
    "GradientJob",
    {
        **HEAD,
        **PACKING,
        **UNITS,
        # Addresses of compiled routines.
        "tile": np.intp,  # the microkernel for whole blocks of output channels,
        "tile_rest": np.intp,  # for the rest of them,
        "all_rows": np.intp,  # and for small groups and all kernel rows; 0 for none
        "pack_gradient": np.intp,
        "gradient_in_place": np.bool_,  # whether the gradient may be read in place, if its strides allow it
        "gradient_bytes": np.intp,
        "outputs": np.intp,  # of a group
        "number": np.intp,
        "out_width": np.intp,
        "block_images": np.intp,  # images of a block
        "all_blocks": np.intp,  # of all images
        "splits": np.intp,
        "parts": np.intp,  # of the output channels of all groups
        "tile_channels": np.intp,  # input channels of a tile,
        "tiles": np.intp,  # tiles that cover those of a group; the last one slides back
        "taps": np.intp,  # runs of taps in a kernel row; 1 if they count as channels
        "run_taps": np.intp,  # taps of a run
        "run": np.intp,  # channels of a group, times the taps of a row if they count as channels
        "block_outputs": np.intp,  # output channels of a block
        "blocks": np.intp,  # whole blocks of a group,
        "rest_outputs": np.intp,  # and output channels, with those not needed, of the block behind them, or 0
        "is_channelwise": np.bool_,  # whether a block is a vector or more of channels, in and out
        "output_blocks": np.intp,  # blocks of output channels of all groups
        "split_sums": np.intp,  # sums of a split
        "places": np.intp,  # address of a table: the place of the sums for each weight of an output
        "gradient_at": np.intp,  # offset in scratch memory, in bytes
        # Where there is one block of rows, each block of outputs is finished at once.
        "finish": np.intp,  # address of the routine; 0 for none,
        "sums_at": np.intp,  # and offsets of the sums, in bytes,
        "square_at": np.intp,  # and of a buffer
        "image_rows": np.intp,  # packed input rows of an image in a block, at most
        # Output columns whose taps are all inside read the input in place, others read it packed: from both edges.
        "edge_runs": np.intp,  # address of a table: the runs of a packed row,
        "edge_run_count": np.intp,  # 0 if whole rows are packed
        "edge_columns": np.intp,
        "right_edge": np.intp,  # first packed column of the right edge
        "first_inside": np.intp,
        "stop_inside": np.intp,
    },
)
_job_at = reader(GRADIENT_JOB)


@compilation.inline
def _gradient_in_place(gradient, job):
    size, channels = job.bytes, job.outputs * job.groups
    steps = gradient.address | gradient.strides[NUMBER] | gradient.strides[ROW] | gradient.strides[COLUMN]
    return job.gradient_in_place and not ((gradient.strides[CHANNEL] - size) * (channels - 1) | steps % size)


@compilation.inline
def _add_taps(
    job, source, x_image, x_row, gradient, y_image, y_row, y_step, sums, routine, lanes, images, rows, columns, top,
    all_channels, x_ahead, y_ahead,
):  # fmt: skip
    """Add the products of some columns to the sums of one block of output channels: tile by tile, tap by tap.

    Rows of the gradient that meet all kernel rows are taken at once if the job has a routine for that: with all of
    `all_channels`, which are 0 if an earlier block took these rows. `x_ahead` and `y_ahead` are the bytes to what the
    next block of rows reads, or 0.
    """
    size, channels = job.bytes, job.channels * job.groups
    base = larger(0, top)
    stride, height = job.row_stride, job.height
    x_step, tap_step = job.column_stride * channels, job.column_dilation * channels
    inner, stop = rows, rows
    if job.all_rows != 0:
        inner = 0 if top >= 0 else smaller(rows, (stride - 1 - top) // stride)
        reach = (job.kernel_rows - 1) * job.row_dilation
        stop = larger(inner, smaller(rows, (height - 1 - reach - top) // stride + 1))
        if stop > inner and all_channels > 0:
            call(
                job.all_rows,
                source + (top + inner * stride - base) * x_row * size,
                x_image, stride * x_row, x_step, tap_step, job.row_dilation * x_row,
                gradient + inner * y_row * size, y_image, y_row, y_step,
                sums, images, stop - inner, columns, all_channels,
            )  # fmt: skip
    for t in range(job.tiles):
        channel = smaller(t * job.tile_channels, job.run - job.tile_channels)
        for i in range(job.kernel_rows):
            y = top + i * job.row_dilation
            first = 0 if y >= 0 else (stride - 1 - y) // stride
            last = smaller(rows, (height - 1 - y) // stride + 1)
            for j in range(job.taps):
                # Rows before and behind those taken at once.
                for begin, end in ((first, smaller(last, inner)), (larger(first, stop), last)):
                    if end > begin:
                        line = y + begin * stride - base
                        call(
                            routine,
                            source + (line * x_row + j * job.run_taps * tap_step + channel) * size,
                            x_image, stride * x_row, x_step, tap_step,
                            gradient + begin * y_row * size, y_image, y_row, y_step,
                            sums, images, end - begin, columns, x_ahead, y_ahead if t == 0 else 0,
                        )  # fmt: skip
                sums += job.tile_channels * lanes * size


@compilation.inline
def _first_output(job, k):
    """The first output channel of a block; the last block of single channels, or of small groups, slides back."""
    all_blocks = job.blocks + (1 if job.rest_outputs > 0 else 0)
    if job.is_channelwise:
        return smaller(k * job.block_outputs, job.outputs * job.groups - job.block_outputs)
    return k // all_blocks * job.outputs + k % all_blocks * job.block_outputs


@compilation.inline
def _stop_output(job, k):
    """The output channel behind the last one of a block."""
    if job.is_channelwise:
        return _first_output(job, k) + job.block_outputs
    all_blocks = job.blocks + (1 if job.rest_outputs > 0 else 0)
    return k // all_blocks * job.outputs + smaller(job.outputs, (k % all_blocks + 1) * job.block_outputs)


@compilation.inline
def _clear(address, count):
    """Fill so many bytes, and up to 7 behind them, with zeros."""
    words = integers_at(address, 0)
    for word in range((count + 7) // 8):
        words[word] = 0


@compilation.inline
def _block_sums(job):
    """Bytes of the sums of a block of output channels."""
    return job.tiles * job.kernel_rows * job.taps * job.tile_channels * job.block_outputs * job.bytes


@compilation.inline
def _finish_block(job, routine, sums, scratch, out, k):
    """Add up the splits of block `k` of output channels, and store them in `out`, which is contiguous."""
    all_blocks = job.blocks + (1 if job.rest_outputs > 0 else 0)
    group, block = k // all_blocks, k % all_blocks
    output = group * job.outputs + block * job.block_outputs
    call(
        routine,
        sums, scratch, out + output * job.channels * job.kernel_rows * job.kernel_columns * job.bytes, job.places,
        job.split_sums, job.splits, job.rest_outputs if block == job.blocks else job.block_outputs,
        job.channels * job.kernel_rows * job.kernel_columns,
        smaller(job.block_outputs, job.outputs - block * job.block_outputs),
    )  # fmt: skip


@compilation.inline
def _compute_block(x, gradient, sums, job, scratch, block, first, last, x_in_place, gradient_in_place):
    """Add the products of a block of rows to the sums of the blocks of output channels from `first` to `last`."""
    size, channels = job.bytes, job.channels * job.groups
    row, image = block % job.row_blocks * job.block_rows, block // job.row_blocks * job.block_images
    images, rows = smaller(job.block_images, job.number - image), smaller(job.block_rows, job.out_height - row)
    top = row * job.row_stride + job.top
    begin = larger(0, top)
    end = smaller(job.height, top + (rows - 1) * job.row_stride + (job.kernel_rows - 1) * job.row_dilation + 1)
    source = x.address + image * x.strides[NUMBER]
    has_edges = job.edge_run_count > 0 and are_pixels(x, job)
    packed_row = (job.edge_columns if has_edges else job.packed_columns) * channels
    packed_image = job.image_rows * packed_row
    if not x_in_place:
        for n in range(images):
            pack_input(
                x, job, source + n * x.strides[NUMBER], begin, end - begin, scratch + n * packed_image * size,
                0, channels, job.edge_runs if has_edges else job.column_runs,
                job.edge_run_count if has_edges else job.column_run_count, packed_row // channels,
            )  # fmt: skip
    source += begin * x.strides[ROW] + job.left * x.strides[COLUMN]
    x_row, x_image = x.strides[ROW] // size, x.strides[NUMBER] // size
    line = gradient.address + image * gradient.strides[NUMBER] + row * gradient.strides[ROW]
    y_first = 0
    if gradient_in_place:
        y_step, y_row, y_image = (
            gradient.strides[COLUMN] // size, gradient.strides[ROW] // size, gradient.strides[NUMBER] // size
        )  # fmt: skip
    else:
        # Only the output channels of these blocks are packed.
        y_first, y_step = _first_output(job, first), _stop_output(job, last - 1)
        y_step -= y_first
        y_row = job.out_width * y_step
        y_image = rows * y_row
        for n in range(images):
            pack_samples(
                job.pack_gradient,
                line + n * gradient.strides[NUMBER] + y_first * gradient.strides[CHANNEL],
                gradient.strides[ROW], gradient.strides[COLUMN], gradient.strides[CHANNEL], job.gradient_bytes,
                scratch + job.gradient_at + n * y_image * size, y_row * size, 0, rows, job.out_width, y_step, size,
            )  # fmt: skip
        line = scratch + job.gradient_at
    # What is read in place is prefetched for the next block while this one reads its lines for the first time: pixels
    # are a few lines each, far apart, which the hardware does not follow.
    x_ahead = (images * x_image if images > 1 else rows * job.row_stride * x_row) * size if x_in_place else 0
    y_ahead = (images * y_image if images > 1 else rows * y_row) * size if gradient_in_place else 0
    all_blocks = job.blocks + (1 if job.rest_outputs > 0 else 0)
    block_sums = _block_sums(job)
    for k in range(first, last):
        place_of_sums = sums + k * block_sums
        if job.finish != 0:
            place_of_sums = scratch + job.sums_at
            _clear(place_of_sums, block_sums)
        y_place = _first_output(job, k)
        rest = k % all_blocks == job.blocks and not job.is_channelwise
        x_place = y_place if job.is_channelwise else k // all_blocks * job.channels
        # Columns inside, then those of the left and of the right edge; or all columns.
        for edge in range(3 if has_edges else 1):
            first_column, stop_column = 0, job.out_width
            place, row_pitch, image_pitch = scratch, packed_row, packed_image
            if has_edges and edge == 0:
                first_column, stop_column = job.first_inside, job.stop_inside
                place = source + job.first_inside * job.column_stride * x.strides[COLUMN]
                row_pitch, image_pitch = x_row, x_image
            elif has_edges and edge == 1:
                stop_column = job.first_inside
            elif has_edges:
                first_column, place = job.stop_inside, scratch + job.right_edge * channels * size
            elif x_in_place:
                place, row_pitch, image_pitch = source, x_row, x_image
            if first_column < stop_column:
                _add_taps(
                    job, place + x_place * size, image_pitch, row_pitch,
                    line + (first_column * y_step + y_place - y_first) * size, y_image, y_row, y_step,
                    place_of_sums, job.tile_rest if rest else job.tile,
                    job.rest_outputs if rest else job.block_outputs, images, rows, stop_column - first_column, top,
                    _stop_output(job, last - 1) - y_place if k == first else 0,
                    x_ahead if k == first else 0, y_ahead,
                )  # fmt: skip
        if job.finish != 0:
            _finish_block(job, job.finish, place_of_sums, scratch + job.square_at, sums, k)


def gradient_unit(
    x_address, x_extents, x_strides, gradient_address, gradient_extents, gradient_strides,
    sums, unused, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute the sums of a unit; `x` and `gradient` are of the order (number, channels, rows, columns).

    `sums` has those of a split after those of another; or it is the result, if the job finishes it.
    """
    job = _job_at(job_address, 0)
    x = view_of(x_address, x_extents, x_strides)
    gradient = view_of(gradient_address, gradient_extents, gradient_strides)
    x_in_place, gradient_in_place = reads_in_place(x, job), _gradient_in_place(gradient, job)
    part, split = unit % job.parts, unit // job.parts
    first, last = job.output_blocks * part // job.parts, job.output_blocks * (part + 1) // job.parts
    place = sums + split * job.split_sums * job.bytes
    if job.finish == 0:
        _clear(place + first * _block_sums(job), (last - first) * _block_sums(job))
    for block in range(job.all_blocks * split // job.splits, job.all_blocks * (split + 1) // job.splits):
        _compute_block(
            x, gradient, place, job, scratch, block, first, last, x_in_place, gradient_in_place
        )  # fmt: skip


def finish_sums_signature():
    """Signature of `finish_sums`."""
    return types.void(view, view, view, view, types.intp, types.intp, types.intp)


def finish_sums(sums, scratch, out, job, routine, first, last):
    """Add up the splits of the blocks of output channels from `first` to `last`; store them in `out`.

    `out` is contiguous, of shape (outputs, channels of a group, kernel rows, kernel columns). `scratch` is of this call
    alone.
    """
    job = _job_at(job.address, 0)
    for k in range(first, last):
        _finish_block(job, routine, sums.address + k * _block_sums(job), scratch.address, out.address, k)
