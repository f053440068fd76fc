"""The loop of separable convolutions along three axes: planes, rows and columns.

A few planes of a block of output are computed at a time, from top to bottom, a few lines in each step: the lines of all
input planes under them are summed along the axis of planes (`sum_planes`), which gives lines of those few planes
only; two passes (`separable_passes`) along the rows and down the columns of each plane give the output. All lines in
between stay in cache. Blocks are cut along rows and columns, and follow each other along the planes, so that an input
plane is still in a cache when it is summed for the next few planes.

Along the planes, input is read in place where it is contiguous, of the right type, and inside; else the lines of all
planes under one row are packed. Lines are extended beyond the boundary after they are summed over planes: sums along
different axes commute. With fill values, which no sum may change, and where a block needs samples of the far end of
its lines, packed lines are extended before.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.block_cutting import piece_at, row_block_at, run_at
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    NON_FINITE,
    RESULT_NOT_FINITE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.sample_layout import layout_of
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import call, fetch_add, integers_at, prefetch

# Parameters of `run` for a job. "Samples" are of the type of the sums.
VOLUME_JOB = Record(
    "VolumeJob",
    {
        # Addresses of compiled routines.
        "sum_planes": np.intp,
        "pass_twice": np.intp,
        "pack": np.intp,  # from the input to samples
        "copy": np.intp,  # of samples
        "store": np.intp,  # from samples to the output,
        "rescale": np.intp,  # with these parameters, 0 for none
        "single_threaded": np.bool_,  # whether one call computes all pieces, without the shared counters
        "keeps_gil": np.bool_,  # whether the job is too small for releasing the GIL
        "x_in_place": np.bool_,  # whether the input, or the output, is of the samples' type
        "out_in_place": np.bool_,
        "plane_fills": np.bool_,  # whether samples outside along an axis, if not repeated, are of the fill value or 0
        "row_fills": np.bool_,
        "column_fills": np.bool_,
        # Bytes of a sample, and of a number, or its part, in the input and the output.
        "sample_bytes": np.intp,
        "x_bytes": np.intp,
        "out_bytes": np.intp,
        "x_parts": np.intp,  # 2 if complex
        # Axes of input and output; -1 for none.
        "plane_axis": np.intp,
        "row_axis": np.intp,
        "column_axis": np.intp,
        "channel_axis": np.intp,
        "batch_rank": np.intp,  # number of batch axes,
        "batch_axes": np.intp,  # and the address of a table of them
        "channels": np.intp,
        "plane_taps": np.intp,
        "kernel_rows": np.intp,
        "taps": np.intp,  # in each row
        "blocks": np.intp,  # pieces of work in all,
        "blocks_down": np.intp,  # and blocks of rows and of columns
        "blocks_across": np.intp,
        "planes": np.intp,  # computed together, a group,
        "depths": np.intp,  # number of groups,
        "depths_together": np.intp,  # and those in a piece of work
        "minimum_width": np.intp,  # smallest number of elements that the microkernels compute
        "packed_pitch": np.intp,  # pitches of scratch buffers, in samples,
        "line_pitch": np.intp,
        "plane_pitch": np.intp,
        "staging_pitch": np.intp,
        "packed_at": np.intp,  # and offsets in scratch memory, in bytes
        "planes_at": np.intp,
        "staging_at": np.intp,
        "lines_at": np.intp,
        "lines_bytes": np.intp,  # of a plane, each of which has lines of its own
        "lines_per_call": np.intp,
        # Addresses of the tables of `block_cutting`: the pieces of groups of planes, of blocks of columns, and of rows.
        "pieces": np.intp,
        "runs": np.intp,
        "row_blocks": np.intp,
        "mains": np.intp,  # for each block of columns the run that is summed before others are copied; -1 for none
        "fill_value": 16,  # real and imaginary part, 8 bytes apart
        "zero": 16,
    },
)
_job_at = reader(VOLUME_JOB)


def signature():
    """Signature of `run`."""
    return types.intp(view, view, view, view, view, types.intp, types.intp, types.intp)


@compilation.inline
def _layout_of(array, job, element, is_of_samples, channels):
    """Strides in bytes along planes, rows, columns and channels, and whether the array can be addressed in place."""
    plane, row = array.strides[job.plane_axis], array.strides[job.row_axis]
    column, channel, in_place = layout_of(array, job, plane | row, job.batch_rank, element, is_of_samples, channels)
    return (plane, row, column, channel), in_place


@compilation.inline
def _set(job, value, target, pitch, channels, rows, columns):
    """Set a rectangle of samples to a value: its parts, 8 bytes apart, alternate."""
    size = job.sample_bytes
    part = 8 if job.x_parts == 2 else 0
    call(job.copy, value, 0, 0, part, target, pitch, channels * size, size, rows, columns, channels, 0)


# How many rows ahead planes that no sum has read yet are prefetched: the hardware does not follow so many streams.
_ROWS_AHEAD = 2
_CACHE_LINE = 64


@compilation.inline
def _prefetch_planes(first, pitch, planes, size):
    """Prefetch a line, `size` bytes, of some planes."""
    for p in range(planes):
        for place in range(0, size, _CACHE_LINE):
            prefetch(first + p * pitch + place, False)


@compilation.inline
def _prefetch_rows(first, pitch, rows, size):
    """Prefetch rows of `size` bytes that are about to be written."""
    for r in range(rows):
        for place in range(0, size, _CACHE_LINE):
            prefetch(first + r * pitch + place, True)


@compilation.outline
def _pack_line(job, packed, corner, strides, channels, plane, column, whole, main, fills):
    """Pack the samples under one row of a few planes: of the run `main` of the columns, or extended, the `whole` line.

    `fills` if all samples of this row are outside, and of the fill value.
    """
    plane_stride, _, column_stride, channel_stride = strides
    size, pitch = job.sample_bytes, job.packed_pitch * job.sample_bytes
    first, stop = main, main + 1
    if whole:
        first, stop = column.first_run, column.stop_run
        words = integers_at(packed, 0)  # the microkernels may read beyond the samples: zeros
        for k in range(pitch * plane.samples // 8):
            words[k] = 0
    for p in range(plane.first_run, plane.stop_run):
        planes = run_at(job.runs, p)
        for c in range(first, stop):
            columns = run_at(job.runs, c)
            target = packed + planes.offset * pitch
            if whole:
                target += columns.offset * channels * size
            is_zero = (planes.source < 0 and not job.plane_fills) or (columns.source < 0 and not job.column_fills)
            if is_zero:
                _set(job, job.zero, target, pitch, channels, planes.length, columns.length)
            elif fills or planes.source < 0 or columns.source < 0:
                _set(job, job.fill_value, target, pitch, channels, planes.length, columns.length)
            else:
                call(
                    job.pack,
                    corner + planes.source * plane_stride + columns.source * column_stride,
                    planes.direction * plane_stride, columns.direction * column_stride, channel_stride,
                    target, pitch, channels * size, size,
                    planes.length, columns.length, channels, 0,
                )  # fmt: skip


@compilation.outline
def _extend_lines(job, line, channels, lines, column, main):
    """Extend lines beyond the run `main`, which is there."""
    size, pitch = job.sample_bytes, job.line_pitch * job.sample_bytes
    there = run_at(job.runs, main)
    origin = line + (there.offset - there.source) * channels * size
    for c in range(column.first_run, column.stop_run):
        if c != main:
            columns = run_at(job.runs, c)
            target = line + columns.offset * channels * size
            if columns.source < 0:
                _set(job, job.zero, target, pitch, channels, lines, columns.length)
            else:
                call(
                    job.copy,
                    origin + columns.source * channels * size, pitch, columns.direction * channels * size, size,
                    target, pitch, channels * size, size,
                    lines, columns.length, channels, 0,
                )  # fmt: skip


@compilation.outline
def _sum_planes(job, weights, scratch, corner, strides, channels, plane, row, column, main, in_place):
    """Sum the lines of a block over planes, and extend them beyond the boundary."""
    size, planes_pitch = job.sample_bytes, job.plane_pitch * job.sample_bytes
    planes, packed = scratch + job.planes_at, scratch + job.packed_at
    whole = main < 0
    elements = larger(column.length * channels, job.minimum_width) + (job.taps - 1) * channels
    place = 0
    if not whole:
        run = run_at(job.runs, main)
        elements, place = run.length * channels, run.offset * channels * size
    for r in range(row.first_run, row.stop_run):
        rows = run_at(job.runs, r)
        for k in range(rows.length):
            line = planes + (rows.offset + k) * job.line_pitch * size
            if rows.source < 0 and not job.row_fills:
                width = larger(column.length * channels, job.minimum_width) // channels + job.taps
                _set(job, job.zero, line, planes_pitch, channels, plane.length, width)
                continue
            at = corner + (rows.source + k * rows.direction) * strides[1]
            if in_place and not whole and plane.source >= 0:
                source = at + plane.source * strides[0] + run_at(job.runs, main).source * strides[2]
                pitch = strides[0] // size
                ahead = source + _ROWS_AHEAD * strides[1] + (plane.samples - plane.length) * strides[0]
                _prefetch_planes(ahead, strides[0], plane.length, elements * size)
            else:
                source, pitch = packed, job.packed_pitch
                _pack_line(job, packed, at, strides, channels, plane, column, whole, main, rows.source < 0)
            call(
                job.sum_planes,
                source, pitch, weights, 1, line + place, job.plane_pitch, plane.length, elements,
                job.plane_taps, 1, 1,
            )  # fmt: skip
    if not whole:  # all lines in one call, also those beyond the last row, which nothing takes
        _extend_lines(job, planes, channels, plane.length * job.lines_per_call, column, main)


@compilation.outline
def _finish_planes(job, weights, scratch, target, strides, channels, planes, number, row, column, in_place):
    """Convolve the next lines of each plane along the rows and down the columns; store the rows complete with them."""
    size = job.sample_bytes
    plane_stride, row_stride, column_stride, channel_stride = strides
    width = larger(column.length * channels, job.minimum_width)
    writes_in_place = in_place and width == column.length * channels
    for p in range(planes):
        tile, tile_pitch = scratch + job.staging_at, job.staging_pitch
        if writes_in_place:
            tile, tile_pitch = target, row_stride // size
            _prefetch_rows(target, row_stride, row.length, width * size)
        call(
            job.pass_twice,
            scratch + job.planes_at + p * job.plane_pitch * size, job.line_pitch,
            weights, scratch + job.lines_at + p * job.lines_bytes, job.staging_pitch, number,
            job.lines_per_call, row.samples,
            tile, tile_pitch, row.length, width, job.kernel_rows, job.taps, channels,
        )  # fmt: skip
        if not writes_in_place:
            call(
                job.store,
                tile, tile_pitch * size, channels * size, size,
                target, row_stride, column_stride, channel_stride,
                row.length, column.length, channels, job.rescale,
            )  # fmt: skip
        target += plane_stride


@compilation.outline
def _compute(x, weights, out, job, scratch, number, channels, x_strides, out_strides, x_in_place, out_in_place):
    """Compute a piece of work: some groups of planes of a block, each from top to bottom."""
    parts = (job.depths + job.depths_together - 1) // job.depths_together
    first = number % parts * job.depths_together
    number //= parts
    rows = row_block_at(job.row_blocks, number % job.blocks_down)
    number //= job.blocks_down
    across = number % job.blocks_across
    column = piece_at(job.pieces, job.depths + across)
    main = integers_at(job.mains, across)[0]
    x_corner, out_corner = corners(x, out, job, number // job.blocks_across)
    passes = weights.address + job.plane_taps * job.sample_bytes
    for depth in range(first, smaller(first + job.depths_together, job.depths)):
        plane = piece_at(job.pieces, depth)
        corner = out_corner + plane.start * out_strides[0] + column.start * out_strides[2]
        for r in range(rows.first, rows.stop):
            row = piece_at(job.pieces, r)
            _sum_planes(
                job, weights.address, scratch, x_corner, x_strides, channels, plane, row, column, main, x_in_place
            )  # fmt: skip
            _finish_planes(
                job, passes, scratch, corner + row.start * out_strides[1], out_strides, channels,
                plane.length, r - rows.first, row, column, out_in_place,
            )  # fmt: skip


@compilation.inline
def _forget_not_finite(job, scratch):
    """Clear what two passes make a NaN if a result is not finite, for each plane."""
    for p in range(job.planes):
        integers_at(scratch + job.lines_at + p * job.lines_bytes, 0)[0] = 0


@compilation.inline
def _is_not_finite(job, scratch):
    """Whether a result is not finite."""
    found = False
    for p in range(job.planes):
        found |= integers_at(scratch + job.lines_at + p * job.lines_bytes, 0)[0] != 0
    return found


def run(x, weights, out, job, progress, limit, max_spins, scratch):
    """Compute pieces of work of `out`: parameters and status as of `block_loop.run`.

    `weights` are the factors of planes, rows and columns, and `job` is a `VOLUME_JOB`.
    """
    job = _job_at(job.address, 0)
    thread = 0 if job.keeps_gil else release_gil()
    floats = set_default_float_environment()
    if not job.single_threaded:
        advance_epoch(progress)
    channels = job.channels * job.x_parts
    x_strides, x_in_place = _layout_of(x, job, job.x_bytes, job.x_in_place, channels)
    out_strides, out_in_place = _layout_of(out, job, job.out_bytes, job.out_in_place, channels)
    _forget_not_finite(job, scratch)

    status, taken = DONE, 0
    while status == DONE:
        if job.single_threaded:
            number = taken
        elif taken == limit:
            status = MORE
            break
        else:
            number = take_piece(progress)
        if number >= job.blocks:
            break
        taken += 1
        _compute(x, weights, out, job, scratch, number, channels, x_strides, out_strides, x_in_place, out_in_place)
        if not job.single_threaded:
            if _is_not_finite(job, scratch):
                fetch_add(integers_at(progress.address, NON_FINITE), 1)
            finish_piece(progress)

    if job.single_threaded:
        if _is_not_finite(job, scratch):
            status = RESULT_NOT_FINITE
    elif status == DONE:
        status = wait_for_others(progress, job.blocks, max_spins)
    restore_float_environment(floats)
    if thread != 0:
        acquire_gil(thread)
    return status
