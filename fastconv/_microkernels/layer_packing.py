"""Packing of the input rows of a layer: to channels last, converted, and as the boundary extends them.

The functions take a job record that has the fields of `PACKING`, and arrays as views of the order (number, channels,
rows, columns) with any strides.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.block_cutting import run_at
from fastconv._simd import compilation
from fastconv._simd.lane_copies import common_lanes, copy_lanes
from fastconv._simd.memory import advance, call, integers_at
from fastconv._simd.register_tiles import store_rows, zeros

NUMBER, CHANNEL, ROW, COLUMN = range(4)

# Fields of a job record that these functions read.
PACKING = {
    "pack": np.intp,  # address of the routine from the input to samples
    "fill": np.intp,  # from samples to samples
    "x_in_place": np.bool_,  # whether the input may be read in place, if its strides allow it
    "x_bytes": np.intp,  # of an element of the input
    "bytes": np.intp,  # of a sample
    "channels": np.intp,  # of a group
    "groups": np.intp,
    "packed_columns": np.intp,
    "row_sources": np.intp,  # address of a table: the row of the image for each input row, -1 for the fill value
    "column_runs": np.intp,  # address of a table: the runs of a packed row,
    "column_run_count": np.intp,
    "fill_line": np.intp,  # address of a packed row of the fill value
}


@compilation.inline
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


@compilation.inline
def reads_in_place(x, job):
    """Whether the microkernel can address the input."""
    return job.x_in_place and are_pixels(x, job)


@compilation.inline
def pack_rows(routine, source, row_step, column_step, channel_step, item, target, pitch, rows, columns, channels, size):
    """Copy rows of pixels to channels last; `item` and `size` are the bytes of an element before and after."""
    if channels == 1 or (column_step != item and column_step != -item):
        call(
            routine,
            source, row_step, column_step, channel_step,
            target, pitch, channels * size, size,
            rows, columns, channels, 0,
        )  # fmt: skip
        return
    # Planes: pixels become rows, and channels columns.
    if column_step == item and row_step == columns * column_step and pitch == columns * channels * size:
        columns, rows = rows * columns, 1
    for r in range(rows):
        call(
            routine,
            source + r * row_step, column_step, channel_step, 0,
            target + r * pitch, channels * size, size, 0,
            columns, channels, 1, 0,
        )  # fmt: skip


@compilation.inline
def _pack_run(x, job, corner, direction, target, pitch, plane, rows, columns, channels):
    """Copy a run of samples of some rows; `plane` is the pitch of planes in bytes, 0 for channels last."""
    size = job.bytes
    if plane > 0 and channels > 1 and x.strides[CHANNEL] == job.x_bytes:  # pixels become columns
        for r in range(rows):
            call(
                job.pack,
                corner + r * x.strides[ROW], x.strides[CHANNEL], direction * x.strides[COLUMN], 0,
                target + r * pitch, plane, size, 0, channels, columns, 1, 0,
            )  # fmt: skip
    elif plane > 0:
        call(
            job.pack,
            corner, x.strides[ROW], direction * x.strides[COLUMN], x.strides[CHANNEL],
            target, pitch, size, plane, rows, columns, channels, 0,
        )  # fmt: skip
    else:
        pack_rows(
            job.pack, corner,
            x.strides[ROW], direction * x.strides[COLUMN], x.strides[CHANNEL], job.x_bytes,
            target, pitch, rows, columns, channels, size,
        )  # fmt: skip


@compilation.inline
def pack_input(x, job, image, first, count, packed, plane, channels):
    """Copy `count` input rows of some channels from `first` on, as the boundary extends them: see `pack_runs`."""
    pack_runs(
        x, job, image, first, count, packed, plane, channels,
        job.column_runs, job.column_run_count, job.packed_columns,
    )  # fmt: skip


@compilation.outline
def pack_runs(x, job, image, first, count, packed, plane, channels, runs, run_count, packed_columns):
    """Copy the given runs of `count` input rows of some channels, from row `first` on.

    They become channels last; or, if `plane` is not 0, planes of channels, so many bytes from each other.
    """
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
            target = packed + done * pitch + run.offset * step
            if source < 0 or run.source < 0:
                samples, planes = (run.length, channels) if plane > 0 else (run.length * channels, 1)
                call(
                    job.fill,
                    job.fill_line, 0, size, 0, target, pitch, size, plane, rows, samples, planes, 0,
                )  # fmt: skip
            else:
                corner = image + source * x.strides[ROW] + run.source * x.strides[COLUMN]
                _pack_run(x, job, corner, run.direction, target, pitch, plane, rows, run.length, channels)
        done += rows


@compilation.inline
def pad_lines(x, x_row, out, out_row, left, columns, right, rows):
    """Copy rows of at least a vector of `columns`, with `left` zeros before them and `right` zeros behind them.

    Zeros are stored in whole vectors: also behind the last row, where a vector must be free.
    """
    lanes = common_lanes(x, out)
    for r in range(rows):
        source, target = advance(x, r * x_row), advance(out, r * out_row)
        for c in range(0, left, lanes):
            store_rows(zeros(out, 1, 1), 1, advance(target, c), 0)
        target = advance(target, left)
        for c in range(0, columns, lanes):
            first = min(c, columns - lanes)
            copy_lanes(advance(source, first), advance(target, first), 1, False)
        target = advance(target, columns)
        for c in range(0, right, lanes):
            store_rows(zeros(out, 1, 1), 1, advance(target, c), 0)


def pad_signature(dtype):
    """Signature of `pad_planes` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n, n, *[n] * 5)


def pad_planes(x, x_row, x_plane, out, out_row, out_plane, left, columns, right, rows, planes):
    """`pad_lines` of planes."""
    for p in range(planes):
        pad_lines(advance(x, p * x_plane), x_row, advance(out, p * out_plane), out_row, left, columns, right, rows)
