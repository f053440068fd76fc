"""A unit of a depthwise layer of stride 1, channels first: see `depthwise_tile`.

A unit is a block of output rows of some planes of one image. Planes that are padded with zeros are copied one by one,
just before they are read; others are packed before, all those of the unit.
"""

from __future__ import annotations

from fastconv._microkernels.layers.layer_packing import CHANNEL, NUMBER, ROW, pack_input
from fastconv._microkernels.layers.layer_units import rows_of
from fastconv._microkernels.layers.planewise_unit import are_lines, job_at
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.integers import larger
from fastconv._simd.memory import call


@compilation.inline
def planes_of(x, job, unit, scratch):
    """The planes of a unit: image and channels, output rows, the first input row; then those to pad, or packed ones.

    These are the address of the first one, elements to the next row and the next plane, and the rows to pad.
    """
    size = job.bytes
    part, unit = unit % job.parts, unit // job.parts
    image, first_row, rows, top, begin, end = rows_of(job, unit)
    first, stop = job.groups * part // job.parts, job.groups * (part + 1) // job.parts
    source = x.address + image * x.strides[NUMBER] + first * x.strides[CHANNEL]
    x_row, x_plane, padded_rows = job.packed_columns, job.packed_plane, 0
    if job.pad != 0 and are_lines(x, job):
        source += begin * x.strides[ROW] + job.first_column * size
        x_row, x_plane, padded_rows = x.strides[ROW] // size, x.strides[CHANNEL] // size, larger(0, end - begin)
    else:
        pack_input(
            x, job, source, begin, end - begin, scratch, job.packed_plane * size, stop - first,
            job.column_runs, job.column_run_count, job.packed_columns,
        )  # fmt: skip
        source = scratch
    return image, first, stop, first_row, rows, top, source, x_row, x_plane, padded_rows


def depthwise_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute one unit."""
    job = job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    size = job.bytes
    image, first, stop, first_row, rows, top, source, x_row, x_plane, padded_rows = planes_of(x, job, unit, scratch)
    call(
        job.tile,
        source, x_row, x_plane, scratch, job.packed_columns,
        job.pad_left, job.packed_columns - job.pad_left - job.pad_right, job.pad_right, padded_rows,
        weights + first * job.kernel_rows * job.kernel_columns * size, bias + first * size,
        out.address + image * out.strides[NUMBER] + first_row * out.strides[ROW] + first * out.strides[CHANNEL],
        out.strides[ROW] // size, out.strides[CHANNEL] // size,
        stop - first, rows, job.out_width, top, job.height, job.kernel_rows, job.kernel_columns, job.column_dilation,
        job.rectify,
    )  # fmt: skip
