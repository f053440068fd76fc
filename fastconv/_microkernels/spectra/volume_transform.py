"""Convolution along three axes by one transform of all planes, rows and columns, of real samples.

A *slab* holds as many planes as a register has lanes, one in each, as the points of `fft_passes`: for each row those of
the spectrum of its line, for each frequency along the line those of the spectrum down the rows. The points of all
slabs at one place are transposed into a small buffer, the lanes of which are then such places, and its points the
planes: there they are transformed along the planes, multiplied by the spectrum of the kernel, and transformed back.

So all passes but these transpositions run in the first-level cache or through one slab. Rows that hold no samples are
cleared and not transformed, and of those transformed back only the wanted ones. A plane of one row has no passes down
its rows.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.spectra.tile_transforms import BACKWARD, BOTH, FORWARD, transform
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import call, integers_at

# One of the transforms: the number of points, and the passes of `tile_job`.
LENGTH = Record("TransformLength", dict.fromkeys(("size", "passes", "pass_count"), np.intp))
# Everything that `run` needs to know but the arrays. Sizes are in points or samples, `_bytes` and `_at` in bytes.
VOLUME_TRANSFORM = Record(
    "VolumeTransform",
    {
        # Addresses of compiled routines.
        "pack": np.intp,  # from the input to samples
        "store": np.intp,  # from samples to the output
        "lines_to_points": np.intp,
        "points_to_lines": np.intp,
        "untangle": np.intp,
        "tangle": np.intp,
        "to_planes": np.intp,  # transpose points of a slab into a buffer along the planes,
        "from_planes": np.intp,  # and back
        "last_pass": np.intp,
        "first_pass_back": np.intp,
        "product": np.intp,  # both, with a product in between
        "scale_points": np.intp,
        "item": np.intp,  # bytes of a sample
        "lanes": np.intp,
        "planes": LENGTH,
        "rows": LENGTH,
        "points": LENGTH,  # of a line: half as many as samples
        "bins": np.intp,  # of the spectrum of a line
        "tangles": np.intp,  # address of the table of `real_lines`, its factors, and its length
        "tangle_factors": np.intp,
        "tangle_count": np.intp,
        "scale": 8,  # of the spectrum of a kernel
        "slab_bytes": np.intp,
        "x_planes": np.intp,  # extents of the input
        "x_rows": np.intp,
        "x_columns": np.intp,
        "first_plane": np.intp,  # the first results that go to the output, and their numbers
        "first_row": np.intp,
        "first_column": np.intp,
        "out_planes": np.intp,
        "out_rows": np.intp,
        "out_columns": np.intp,
        "line_pitch": np.intp,  # of samples in scratch memory, which lie behind points
        "lines_at": np.intp,
    },
)
_job_at = reader(VOLUME_TRANSFORM)

# What `run` computes: slabs of an input; groups of places of all slabs, of a kernel or of samples; slabs of an output.
SPREAD, PREPARE, MULTIPLY, COLLECT = range(4)


def signature():
    """Signature of `run`."""
    n = types.intp
    return types.void(view, view, n, n, n, n, n, n)


@compilation.outline
def _clear(address, count):
    """Set `count` bytes, a multiple of 8, to zero."""
    words = integers_at(address, 0)
    for k in range(count // 8):
        words[k] = 0


@compilation.inline
def _transform_rows(job, slab, middle, direction):
    """Transform a slab down its rows."""
    none, uniform, point = types.intp(0), types.intp(2), 2 * job.lanes
    for k in range(job.bins if job.rows.size > 1 else 0):
        at = slab + k * point * job.item
        transform(job.rows, job.item, job.rows.size, at, job.bins * point, middle, none, uniform, direction)


@compilation.inline
def _spread(job, x, slab, number, scratch):
    """Transform the lines and rows of as many planes as there are lanes into a slab."""
    none, uniform, forward = types.intp(0), types.intp(2), types.intp(FORWARD)
    item, lanes, lines = job.item, job.lanes, scratch + job.lines_at
    line, row = 2 * job.points.size, job.bins * 2 * lanes * item
    first = number * lanes
    planes = min(lanes, job.x_planes - first)
    _clear(lines, lanes * job.line_pitch * item)
    for r in range(job.x_rows):
        source = x.address + first * x.strides[0] + r * x.strides[1]
        call(
            job.pack,
            source, x.strides[0], x.strides[2], 0, lines, job.line_pitch * item, item, 0, planes, job.x_columns, 1, 0,
        )  # fmt: skip
        call(job.lines_to_points, lines, job.line_pitch, scratch, line)
        transform(job.points, item, job.points.size, scratch, 2 * lanes, job.last_pass, none, uniform, forward)
        call(job.untangle, scratch, slab + r * row, job.tangles, job.tangle_factors, job.tangle_count)
    _clear(slab + job.x_rows * row, (job.rows.size - job.x_rows) * row)
    _transform_rows(job, slab, job.last_pass, forward)


@compilation.inline
def _along_planes(job, slabs, table, group, is_kernel, scratch):
    """Transform the points of all slabs in a group of places along the planes: those of a kernel into its table."""
    lanes, planes, item = job.lanes, job.planes.size, job.item
    square = 2 * lanes * lanes * item
    at = slabs + group * square
    spectrum = table + group * 2 * planes * lanes * item
    filled = (job.x_planes + lanes - 1) // lanes
    for k in range(filled):
        call(job.to_planes, at + k * job.slab_bytes, 2 * lanes, scratch + k * square, lanes)
    if filled * lanes < planes:
        _clear(scratch + filled * square, 2 * (planes - filled * lanes) * lanes * item)
    middle, direction = job.product, types.intp(BOTH)
    if is_kernel:
        middle, direction = job.last_pass, types.intp(FORWARD)
    transform(job.planes, item, planes, scratch, 2 * lanes, middle, spectrum, 2 * lanes, direction)
    if is_kernel:
        call(job.scale_points, scratch, spectrum, planes, job.scale)
        return
    for k in range(job.first_plane // lanes, (job.first_plane + job.out_planes - 1) // lanes + 1):
        call(job.from_planes, at + k * job.slab_bytes, 2 * lanes, scratch + k * square, lanes)


@compilation.inline
def _collect(job, out, slab, number, scratch):
    """Transform a slab back, and store the planes, rows and columns of the output."""
    none, uniform, backward = types.intp(0), types.intp(2), types.intp(BACKWARD)
    item, lanes, lines = job.item, job.lanes, scratch + job.lines_at
    row = job.bins * 2 * lanes * item
    first = max(job.first_plane, number * lanes)
    planes = min(job.first_plane + job.out_planes, (number + 1) * lanes) - first
    source = lines + ((first - number * lanes) * job.line_pitch + job.first_column) * item
    _transform_rows(job, slab, job.first_pass_back, backward)
    for r in range(job.out_rows):
        call(
            job.tangle,
            scratch, slab + (job.first_row + r) * row, job.tangles, job.tangle_factors, job.tangle_count,
        )  # fmt: skip
        transform(job.points, item, job.points.size, scratch, 2 * lanes, job.first_pass_back, none, uniform, backward)
        call(job.points_to_lines, lines, job.line_pitch, scratch, 2 * job.points.size)
        target = out.address + (first - job.first_plane) * out.strides[0] + r * out.strides[1]
        call(
            job.store,
            source, job.line_pitch * item, item, 0,
            target, out.strides[0], out.strides[2], 0, planes, job.out_columns, 1, 0,
        )  # fmt: skip


def run(job, array, slabs, table, step, first, stop, scratch):
    """Take a step for slabs, or groups of places, from `first` to `stop`.

    `array` is the input or the output; `slabs` and `table`, the spectrum of a kernel, are addresses.
    """
    floats = set_default_float_environment()
    job = _job_at(job.address, 0)
    for number in range(first, stop):
        slab = slabs + number * job.slab_bytes
        if step == SPREAD:
            _spread(job, array, slab, number, scratch)
        elif step == COLLECT:
            _collect(job, array, slab, number, scratch)
        else:
            _along_planes(job, slabs, table, number, step == PREPARE, scratch)
    restore_float_environment(floats)
