"""The loop over blocks: locate a block's input, pack it if necessary, compute it, store it.

`run` is compiled once and independent of the element type. It calls compiled routines by address: the microkernel
(`direct_tile`, or two passes), and `transfer` and `add_rotated` (`transfers`) to move and convert samples. Type, byte
order, strides and boundary of the input are handled block by block, in a scratch buffer that stays in cache: there is
no padded or converted copy of an array.

Several threads may call `run` with the same counters: each takes the next block until none is left.

An image with channels last is a plane of ``columns * channels`` elements in which neighbouring taps lie `channels`
apart. A complex array is a plane of real and imaginary parts, two channels.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corner_of, corners
from fastconv._microkernels.block_cutting import column_block_at, piece_at, row_block_at, run_at
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    KERNEL_NOT_FINITE,
    MORE,
    NON_FINITE,
    RESULT_NOT_FINITE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.sample_layout import are_finite, layout_of
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.integers import larger
from fastconv._simd.memory import call, fetch_add, integers_at

# Parameters of `run` for a job. "Samples" are the elements that the microkernel reads and writes.
BLOCK_JOB = Record(
    "BlockJob",
    {
        # Addresses of compiled routines.
        "microkernel": np.intp,
        "pack": np.intp,  # from the input to samples
        "fill": np.intp,  # from the fill value to samples
        "store": np.intp,  # from samples to the output,
        "rescale": np.intp,  # with these parameters, 0 for none
        "convert_kernel": np.intp,
        "add_rotated": np.intp,  # a += 1j * b
        # Samples that may be missing are pairs with their weights (`missing_samples`), `x_parts` is 2.
        "weigh": np.intp,  # pairs by weights, 0 for none
        "divide": np.intp,  # sums of pairs, into the output; 0 if samples are no pairs
        "divide_parameters": np.intp,
        "sample_weights": np.intp,  # addresses of arrays, and of their strides,
        "sample_weight_strides": np.intp,
        "shares": np.intp,  # 0 if they are not wanted
        "share_strides": np.intp,
        "is_prepared": np.bool_,  # whether the microkernel takes a kernel prepared for it, and a buffer
        "single_threaded": np.bool_,  # whether one call computes all blocks, without the shared counters
        "keeps_gil": np.bool_,  # whether the job is too small for releasing the GIL
        "flip": np.bool_,
        "x_in_place": np.bool_,  # whether the input, or the output, is of the samples' type
        "out_in_place": np.bool_,
        "exponent_mask": np.intp,  # bits that are all set in an infinity or a NaN; 0 if the kernel is not checked
        # Bytes of a sum, of a sample, and of a number, or its part, in the input, the kernel and the output.
        "compute_bytes": np.intp,
        "sample_bytes": np.intp,
        "x_bytes": np.intp,
        "kernel_bytes": np.intp,
        "out_bytes": np.intp,
        "x_parts": np.intp,  # 2 if complex
        "kernel_parts": np.intp,
        # Axes of input and output, and of the kernel; -1 for none.
        "row_axis": np.intp,
        "column_axis": np.intp,
        "channel_axis": np.intp,
        "kernel_row_axis": np.intp,
        "kernel_column_axis": np.intp,
        "batch_rank": np.intp,  # number of batch axes,
        "batch_axes": np.intp,  # and the address of a table of them
        "channels": np.intp,
        "kernel_rows": np.intp,
        "taps": np.intp,  # in each row of the kernel
        "listed": np.intp,  # address of the numbers of the blocks to compute; 0 for all
        "blocks": np.intp,  # in all,
        "blocks_down": np.intp,  # and in a plane
        "blocks_across": np.intp,
        "minimum_width": np.intp,  # smallest number of elements that the microkernel computes
        "packed_pitch": np.intp,  # pitches of scratch buffers, in samples,
        "staging_pitch": np.intp,
        "weights_at": np.intp,  # and offsets in scratch memory, in bytes
        "packed_at": np.intp,
        "staging_at": np.intp,
        "second_staging_at": np.intp,
        "lines_at": np.intp,
        "lines_per_call": np.intp,  # of input, with two passes
        # Addresses of the tables of `block_cutting`.
        "pieces": np.intp,
        "runs": np.intp,
        "row_blocks": np.intp,
        "column_blocks": np.intp,
        "fill_value": 16,  # real and imaginary part, 8 bytes apart
    },
)
job_at = reader(BLOCK_JOB)


def signature():
    """Signature of `run`."""
    return types.intp(view, view, view, view, view, types.intp, types.intp, types.intp)


@compilation.inline
def convert_kernel(kernel, job, weights):
    """Convert the kernel to the compute type, flipped, one plane for each part; return whether it is finite."""
    rows, taps, size = job.kernel_rows, job.taps, job.compute_bytes
    row_stride = kernel.strides[job.kernel_row_axis] if job.kernel_row_axis >= 0 else 0
    tap_stride = kernel.strides[job.kernel_column_axis] if job.kernel_column_axis >= 0 else 0
    source = kernel.address
    if job.flip:
        source += (rows - 1) * row_stride + (taps - 1) * tap_stride
        row_stride, tap_stride = -row_stride, -tap_stride
    call(
        job.convert_kernel,
        source, row_stride, tap_stride, job.kernel_bytes,
        weights, taps * size, size, rows * taps * size,
        rows, taps, job.kernel_parts, 0,
    )  # fmt: skip
    return are_finite(weights, rows * taps * job.kernel_parts, size, job.exponent_mask)


@compilation.inline
def plane_layout(array, job, element, is_of_samples, channels):
    """Strides along rows, columns and channels, and whether the array can be addressed in place."""
    row = array.strides[job.row_axis] if job.row_axis >= 0 else 0
    column, channel, in_place = layout_of(array, job, row, job.batch_rank, element, is_of_samples, channels)
    return (row, column, channel), in_place


@compilation.inline
def _strides_of(strides, job):
    """Strides of an array along rows, columns and channels."""
    row = strides[job.row_axis] if job.row_axis >= 0 else 0
    channel = strides[job.channel_axis] if job.channel_axis >= 0 else 0
    return row, strides[job.column_axis], channel


@compilation.inline
def _pack(job, packed, corner, strides, weights_corner, channels, row_piece, column_piece, fits):
    """Copy the input of a block, as the boundary extends it, into `packed`: runs of rows by runs of columns."""
    row_stride, column_stride, channel_stride = strides
    size, pitch = job.sample_bytes, job.packed_pitch * job.sample_bytes
    if not fits:  # the microkernel reads beyond the piece: zeros
        words = integers_at(packed, 0)
        for k in range(pitch * row_piece.samples // 8):
            words[k] = 0
    for r in range(row_piece.first_run, row_piece.stop_run):
        rows = run_at(job.runs, r)
        for c in range(column_piece.first_run, column_piece.stop_run):
            columns = run_at(job.runs, c)
            target = packed + rows.offset * pitch + columns.offset * channels * size
            if rows.source < 0 or columns.source < 0:
                call(
                    job.fill,
                    job.fill_value, 0, 0, 8 * (job.x_parts - 1),
                    target, pitch, channels * size, size,
                    rows.length, columns.length, channels, 0,
                )  # fmt: skip
            else:
                call(
                    job.pack,
                    corner + rows.source * row_stride + columns.source * column_stride,
                    rows.direction * row_stride, columns.direction * column_stride, channel_stride,
                    target, pitch, channels * size, size,
                    rows.length, columns.length, channels, 0,
                )  # fmt: skip
                if weights_corner != 0:
                    steps = _strides_of(integers_at(job.sample_weight_strides, 0), job)
                    call(
                        job.weigh,
                        weights_corner + rows.source * steps[0] + columns.source * steps[1],
                        rows.direction * steps[0], columns.direction * steps[1], steps[2],
                        target, pitch, channels * size, size,
                        rows.length, columns.length, channels, 0,
                    )  # fmt: skip


@compilation.inline
def _convolve(
    job, kernel, scratch, source, pitch, target, target_pitch, number, row_piece, column_piece, width, channels
):
    """Call the microkernel for piece `number` of a strip, once for each part of the kernel."""
    if job.is_prepared:
        call(
            job.microkernel,
            source, pitch, kernel.address, scratch + job.lines_at, job.staging_pitch, number,
            job.lines_per_call, row_piece.samples,
            target, target_pitch, row_piece.length, width, job.kernel_rows, job.taps, channels,
        )  # fmt: skip
    else:
        for part in range(job.kernel_parts):
            first = (part * job.kernel_rows + row_piece.first_tap) * job.taps + column_piece.first_tap
            weights = scratch + job.weights_at + first * job.compute_bytes
            if part:
                target = scratch + job.second_staging_at
            call(
                job.microkernel,
                source, pitch, weights, job.taps,
                target, target_pitch, row_piece.length, width, row_piece.taps, column_piece.taps, channels,
            )  # fmt: skip


@compilation.inline
def _store(job, scratch, target, strides, channels, height, columns):
    """Store a piece from the staging buffer, or from the two of a complex kernel."""
    row_stride, column_stride, channel_stride = strides
    size, parts = job.sample_bytes, job.kernel_parts
    staging, second_staging = scratch + job.staging_at, scratch + job.second_staging_at
    if parts == 2 and channels == 2:
        call(job.add_rotated, staging, second_staging, job.staging_pitch, height, columns)
        parts = 1
    for part in range(parts):  # two for a real input: the real and the imaginary parts
        call(
            job.store,
            second_staging if part else staging, job.staging_pitch * size, channels * size, size,
            target + part * job.out_bytes, row_stride, column_stride, channel_stride,
            height, columns, channels, job.rescale,
        )  # fmt: skip


@compilation.inline
def _divide(job, scratch, target, strides, shares_corner, channels, row_piece, column_piece):
    """Divide the sums of a piece, in the staging buffers, into the output; those of sizes are the second ones."""
    staging, shares, steps = scratch + job.staging_at, 0, (0, 0, 0)
    sizes = scratch + job.second_staging_at if job.kernel_parts == 2 else staging
    if shares_corner != 0:
        steps = _strides_of(integers_at(job.share_strides, 0), job)
        shares = shares_corner + row_piece.start * steps[0] + column_piece.start * steps[1]
    call(
        job.divide,
        staging, sizes, job.staging_pitch * job.sample_bytes,
        target, strides[0], strides[1], strides[2],
        shares, steps[0], steps[1], steps[2],
        row_piece.length, column_piece.length, channels, job.divide_parameters,
    )  # fmt: skip


@compilation.inline
def compute_block(x, kernel, out, job, scratch, block, channels, x_strides, out_strides, x_in_place, out_in_place):
    """Compute one block: for each piece of the columns, the pieces of the rows from top to bottom."""
    size = job.sample_bytes
    columns = column_block_at(job.column_blocks, block % job.blocks_across)
    block //= job.blocks_across
    rows = row_block_at(job.row_blocks, block % job.blocks_down)
    x_corner, out_corner = corners(x, out, job, block // job.blocks_down)
    weights_corner, shares_corner = 0, 0
    if job.sample_weights != 0:
        strides = integers_at(job.sample_weight_strides, 0)
        weights_corner = corner_of(job.sample_weights, strides, out, job, block // job.blocks_down)
    if job.shares != 0:
        strides = integers_at(job.share_strides, 0)
        shares_corner = corner_of(job.shares, strides, out, job, block // job.blocks_down)
    split = x_in_place and (job.is_prepared or piece_at(job.pieces, rows.first).source >= 0)
    first, stop = columns.first_whole, columns.stop_whole
    if split:
        first, stop = columns.first_split, columns.stop_split
    for c in range(first, stop):
        column = piece_at(job.pieces, c)
        width = larger(column.length * channels, job.minimum_width)
        fits = width == column.length * channels  # otherwise the microkernel reads and writes beyond the piece
        reads_in_place = split and fits and column.source >= 0
        writes_in_place = out_in_place and fits and job.kernel_parts == 1
        for r in range(rows.first, rows.stop):
            row = piece_at(job.pieces, r)
            if reads_in_place and row.source >= 0:
                source = x_corner + row.source * x_strides[0] + column.source * x_strides[1]
                pitch = x_strides[0] // size
            else:
                source, pitch = scratch + job.packed_at, job.packed_pitch
                _pack(job, source, x_corner, x_strides, weights_corner, channels, row, column, fits)
            target = out_corner + row.start * out_strides[0] + column.start * out_strides[1]
            tile, tile_pitch = scratch + job.staging_at, job.staging_pitch
            if writes_in_place:
                tile, tile_pitch = target, out_strides[0] // size
            _convolve(
                job, kernel, scratch, source, pitch, tile, tile_pitch, r - rows.first, row, column, width, channels
            )  # fmt: skip
            if job.divide != 0:
                _divide(job, scratch, target, out_strides, shares_corner, channels, row, column)
            elif not writes_in_place:
                _store(job, scratch, target, out_strides, channels, row.length, column.length)


def run(x, kernel, out, job, progress, limit, max_spins, scratch):
    """Compute blocks of `out`.

    Parameters
    ----------
    x, kernel, out : view
        The arrays described by `job`. `out` shares no memory with the others.
    job : view
        A `BLOCK_JOB`.
    progress : view
        `progress_counters`, shared by all calls of a job. Not used if the job is single-threaded.
    limit : intp
        Maximum number of blocks to compute. Not used if the job is single-threaded.
    max_spins : intp
        Maximum number of checks, when no block is left to take, whether other threads have finished theirs.
    scratch : intp
        Address of a buffer private to this thread.

    Returns
    -------
    intp
        A status of `progress_counters`. `RESULT_NOT_FINITE` only if the job is single-threaded; otherwise such blocks
        are counted. `KERNEL_NOT_FINITE` if zeros outside would not be equivalent to missing samples.
    """
    job = job_at(job.address, 0)
    thread = 0 if job.keeps_gil else release_gil()
    floats = set_default_float_environment()
    if not job.single_threaded:
        advance_epoch(progress)
    channels = job.channels * job.x_parts
    x_strides, x_in_place = plane_layout(x, job, job.x_bytes, job.x_in_place, channels)
    out_strides, out_in_place = plane_layout(out, job, job.out_bytes, job.out_in_place, channels)
    not_finite = integers_at(scratch + job.lines_at, 0)  # two passes make this a NaN if a result is not finite
    not_finite[0] = 0

    status, taken = DONE, 0
    if not job.is_prepared and not convert_kernel(kernel, job, scratch + job.weights_at):
        status = KERNEL_NOT_FINITE
    while status == DONE:
        if job.single_threaded:
            block = taken
        elif taken == limit:
            status = MORE
            break
        else:
            block = take_piece(progress)
        if block >= job.blocks:
            break
        taken += 1
        if job.listed != 0:
            block = integers_at(job.listed, block)[0]
        compute_block(x, kernel, out, job, scratch, block, channels, x_strides, out_strides, x_in_place, out_in_place)
        if not job.single_threaded:
            if not_finite[0] != 0:
                fetch_add(integers_at(progress.address, NON_FINITE), 1)
            finish_piece(progress)

    if job.single_threaded:
        if not_finite[0] != 0:
            status = RESULT_NOT_FINITE
    elif status == DONE:
        status = wait_for_others(progress, job.blocks, max_spins)
    restore_float_environment(floats)
    if thread != 0:
        acquire_gil(thread)
    return status
