"""Packing of the input rows of a layer: to channels last, converted, and as the boundary extends them.

The functions take a job record that has the fields of `PACKING`, and arrays as views of the order (number, channels,
rows, columns) with any strides.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from fastconv._microkernels.block_cutting import run_at
from fastconv._microkernels.job_records import Record, address_of_record, reader
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.integers import smaller
from fastconv._simd.lane_copies import (
    common_lanes,
    copy_lanes,
    copy_transposed,
    interleave_lanes,
    separate_lanes,
    transpose_side,
)
from fastconv._simd.memory import address_of, advance, advance_bytes, call, integers_at, itemsize
from fastconv._simd.register_tiles import store_rows, width, zeros

NUMBER, CHANNEL, ROW, COLUMN = range(4)

# Fields of a job record that these functions read.
PACKING = {
    "pack_runs": np.intp,  # address of `pack_runs`,
    "pack": np.intp,  # of the routine from the input to samples,
    "fill": np.intp,  # and of that from samples to samples
    "pack_pixels": np.intp,  # and of that from planes of all channels to pixels, for rows of so many columns
    "pixel_columns": np.intp,
    "x_in_place": np.bool_,  # whether the input is read in place; for gradients, if its strides allow it
    "x_bytes": np.intp,  # of an element of the input
    "bytes": np.intp,  # of a sample
    "channels": np.intp,  # of a group
    "groups": np.intp,
    "packed_columns": np.intp,
    "row_sources": np.intp,  # address of a table: the row of the image for each input row, -1 for the fill value
    "column_runs": np.intp,  # address of a table: the runs of a packed row,
    "column_run_count": np.intp,
    "fill_line": np.intp,  # address of the longest run of fill values, in all channels
}
# Fields about rows of the type of samples that are padded with zeros.
PADDING = {
    "pad": np.intp,  # address of `pad_planes` or the like; 0 if rows are packed in another way
    "first_column": np.intp,  # of the image
    "pad_left": np.intp,  # zeros before columns,
    "pad_columns": np.intp,
    "pad_right": np.intp,  # and behind them
    "pad_planes": np.intp,
}
_packing_at = reader(Record("Packing", {**HEAD, **PACKING}))  # the first fields of all records that have these


@compilation.paste
def are_pixels(x, job):
    """Whether the input is pixels side by side, each with its channels side by side."""
    size, channels = job.bytes, job.channels * job.groups
    steps = x.address | x.strides[NUMBER] | x.strides[ROW]
    obstacles = (
        (x.strides[CHANNEL] - size) * (channels - 1)
        | (x.strides[COLUMN] - channels * size) * (x.extents[COLUMN] - 1)
        | steps % size
    )
    return not obstacles


@compilation.paste
def reads_in_place(x, job):
    """Whether the microkernel can address the input."""
    return job.x_in_place and are_pixels(x, job)


@compilation.inline
def pack_samples(
    routine, source, row_step, column_step, channel_step, item, target, pitch, plane, rows, columns, channels, size
):
    """Copy samples to channels last; or, if `plane` is not 0, to planes of channels, so many bytes from each other.

    `item` and `size` are the bytes of an element before and after.
    """
    pixel = channels * size
    adjacent = channel_step if plane > 0 else column_step
    if channels > 1 and (adjacent == item or adjacent == -item):  # to be transposed, row by row
        if plane == 0 and column_step == item and row_step == columns * item and pitch == columns * pixel:
            columns, rows = rows * columns, 1
        for r in range(rows):
            call(
                routine,
                source + r * row_step, channel_step if plane > 0 else column_step,
                column_step if plane > 0 else channel_step, 0,
                target + r * pitch, plane if plane > 0 else pixel, size, 0,
                channels if plane > 0 else columns, columns if plane > 0 else channels, 1, 0,
            )  # fmt: skip
    else:
        call(
            routine,
            source, row_step, column_step, channel_step,
            target, pitch, size if plane > 0 else pixel, plane if plane > 0 else size,
            rows, columns, channels, 0,
        )  # fmt: skip


@compilation.paste
def pack_input(x, job, image, first, count, packed, plane, channels, runs, run_count, columns):
    """Call `pack_runs`."""
    call(
        job.pack_runs,
        address_of(x.strides), address_of_record(job), image, first, count, packed, plane, channels,
        runs, run_count, columns,
    )  # fmt: skip


@compilation.inline
def pack_rows(x, job, image, first, count, packed, plane):
    """Copy `count` input rows from row `first` on to channels last; or, if `plane` is not 0, to planes so far apart."""
    size, channels = job.bytes, job.channels * job.groups
    if job.pad != 0:
        call(
            job.pad,
            image + first * x.strides[ROW] + job.first_column * x.strides[COLUMN],
            x.strides[ROW] // size, x.strides[CHANNEL] // size,
            packed, job.packed_columns * (1 if plane > 0 else channels), plane // size if plane > 0 else channels,
            job.pad_left, job.pad_columns, job.pad_right, count, job.pad_planes,
        )  # fmt: skip
    else:
        pack_input(
            x, job, image, first, count, packed, plane, channels,
            job.column_runs, job.column_run_count, job.packed_columns,
        )  # fmt: skip


def pack_runs_signature():
    """Signature of `pack_runs`."""
    return types.void(*[types.intp] * 11)


def pack_runs(x_strides, job_address, image, first, count, packed, plane, channels, runs, run_count, packed_columns):
    """Copy the given runs of `count` input rows of some channels from row `first` on, as the boundary extends them.

    They become channels last; or, if `plane` is not 0, planes of channels, so many bytes from each other.
    """
    job, strides = _packing_at(job_address, 0), integers_at(x_strides, 0)
    size = job.bytes
    step = size if plane > 0 else channels * size
    pitch = packed_columns * step
    sources = integers_at(job.row_sources, first)
    done = 0
    while done < count:
        source, rows = sources[done], 1
        while done + rows < count and sources[done + rows] == (source + rows if source >= 0 else source):
            rows += 1
        for k in range(run_count):
            run = run_at(runs, k)
            routine, corner, item = job.fill, job.fill_line, 0
            row_step, column_step, channel_step = 0, step, size
            if source >= 0 and run.source >= 0:
                routine, item = job.pack, job.x_bytes
                corner = image + source * strides[ROW] + run.source * strides[COLUMN]
                row_step, column_step = strides[ROW], run.direction * strides[COLUMN]
                channel_step = strides[CHANNEL]
            target = packed + done * pitch + run.offset * step
            lines, columns = rows, run.length
            if columns == packed_columns and row_step == columns * column_step:
                lines, columns = 1, rows * columns
            if plane == 0 and column_step == item and columns >= job.pixel_columns:
                call(job.pack_pixels, corner, row_step, channel_step, target, pitch, lines, columns)
            else:
                pack_samples(
                    routine, corner, row_step, column_step, channel_step, item,
                    target, pitch, plane, rows, run.length, channels, size,
                )  # fmt: skip
        done += rows


def pixels_signature(source, destination):
    """Signature of `pack_pixels` from one element type to another."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, types.CPointer(destination), n, n, n)


@functools.cache
def make_pixels(channels: int):
    """Make the routine that copies planes of a few channels to pixels.

    It takes 0.05 ns for each float32; `transfer`, which has no squares of so few channels to transpose, 0.5.
    """

    def pack_pixels(source, row_step, channel_step, target, pitch, rows, columns):
        """Copy and convert rows of a vector of `columns` at least; steps and the pitch are in bytes."""
        lanes = common_lanes(source, target)
        for r in range(rows):
            line, out = advance_bytes(source, r * row_step), advance_bytes(target, r * pitch)
            for start in range(0, columns, lanes):
                c = smaller(start, columns - lanes)
                interleave_lanes(advance(line, c), channel_step, advance(out, c * channels), channels)

    pack_pixels.__name__ = f"pack_pixels_{channels}"
    return pack_pixels


def pad_signature(dtype):
    """Signature of `pad_planes` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n, n, *[n] * 5)


@compilation.inline
def _store_zeros(target, count):
    """Store at least `count` zeros, in whole vectors."""
    zero = zeros(target, 1, 1)
    for k in range(0, count, width(zero)):
        store_rows(zero, 1, advance(target, k), 0)


def pad_planes(x, x_row, x_plane, out, out_row, out_plane, left, columns, right, rows, planes):
    """Copy rows of at least a vector of `columns` of planes, with `left` zeros before and `right` zeros behind them.

    Zeros are stored in whole vectors: also behind the last row, where a vector must be free.
    """
    lanes = common_lanes(x, out)
    for p in range(planes):
        for r in range(rows):
            source, target = advance(x, p * x_plane + r * x_row), advance(out, p * out_plane + r * out_row)
            _store_zeros(target, left)
            target = advance(target, left)
            for c in range(0, columns, lanes):
                first = smaller(c, columns - lanes)
                copy_lanes(advance(source, first), advance(target, first), 1, False)
            target = advance(target, columns)
            _store_zeros(target, right)


def pad_transposed(x, x_row, x_plane, out, out_row, out_plane, left, columns, right, rows, planes):
    """Copy rows of planes to pixels `out_plane` apart, as `pad_planes`; at least a vector of columns and of planes."""
    side, item = transpose_side(x, out, False), itemsize(x)
    for r in range(rows):
        source, target = advance(x, r * x_row), advance(out, r * out_row)
        _store_zeros(target, left)
        target = advance(target, left)
        for first in range(0, planes, side):
            p = smaller(first, planes - side)
            for start in range(0, columns, side):
                c = smaller(start, columns - side)
                corner, square = advance(source, p * x_plane + c), advance(target, c * out_plane + p)
                copy_transposed(corner, x_plane * item, square, out_plane * item, False, False)
        target = advance(target, columns * out_plane)
        _store_zeros(target, right)


@functools.cache
def make_interleaved(channels: int):
    """Make the routine that copies rows of a few planes to pixels."""

    def pad_interleaved(x, x_row, x_plane, out, out_row, out_plane, left, columns, right, rows, planes):
        """As `pad_transposed`."""
        lanes, item = common_lanes(x, out), itemsize(x)
        for r in range(rows):
            source, target = advance(x, r * x_row), advance(out, r * out_row)
            _store_zeros(target, left)
            target = advance(target, left)
            for start in range(0, columns, lanes):
                c = smaller(start, columns - lanes)
                interleave_lanes(advance(source, c), x_plane * item, advance(target, c * channels), channels)
            target = advance(target, columns * channels)
            _store_zeros(target, right)

    pad_interleaved.__name__ = f"pad_interleaved_{channels}"
    return pad_interleaved


@functools.cache
def make_separated(channels: int):
    """Make the routine that copies rows of pixels of a few channels to planes."""

    def pad_separated(x, x_row, x_plane, out, out_row, out_plane, left, columns, right, rows, planes):
        """As `pad_planes`."""
        lanes = common_lanes(x, out)
        for r in range(rows):
            source, target = advance(x, r * x_row), advance(out, r * out_row)
            for p in range(channels):
                _store_zeros(advance(target, p * out_plane), left)
            target = advance(target, left)
            for start in range(0, columns, lanes):
                c = smaller(start, columns - lanes)
                separate_lanes(advance(source, c * channels), advance(target, c), out_plane, channels)
            target = advance(target, columns)
            for p in range(channels):
                _store_zeros(advance(target, p * out_plane), right)

    pad_separated.__name__ = f"pad_separated_{channels}"
    return pad_separated
