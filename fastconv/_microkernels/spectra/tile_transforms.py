"""The transforms of a tile's plane: passes over columns in place, and over rows, transposed, in a small buffer."""

from __future__ import annotations

from numba import types

from fastconv._microkernels.spectra.tile_job import ALL_STEPS, pass_at
from fastconv._simd import compilation
from fastconv._simd.memory import call

# Directions of `transform`; passed as run-time integers: a literal would have it compiled anew.
FORWARD, BACKWARD, BOTH = range(3)
_, _COLUMNS, _ROWS, _COLUMNS_BACK, _ = ALL_STEPS


@compilation.outline
def transform(axis, item, size, data, pitch, middle, factors, width, direction):
    """Run the passes forward, the routine `middle`, and the passes backward; or only those of one direction.

    The blocks of the first pass go through all the others one by one: then they stay in the first-level cache.
    """
    first = pass_at(axis.passes, 0)
    if direction != BACKWARD:
        call(first.forward, data, pitch, 1, first.span, first.twiddles)
    size //= first.radix
    for part in range(first.radix):
        corner, blocks = data + part * size * pitch * item, 1
        for k in range(1, axis.pass_count - 1):
            now = pass_at(axis.passes, k)
            if direction != BACKWARD:
                call(now.forward, corner, pitch, blocks, now.span, now.twiddles)
            blocks *= now.radix
        call(middle, corner, pitch, blocks, factors + part * size * width * item, width)
        if direction != FORWARD:
            for k in range(axis.pass_count - 2, 0, -1):
                now = pass_at(axis.passes, k)
                blocks //= now.radix
                call(now.backward, corner, pitch, blocks, now.span, now.twiddles)
    if direction != FORWARD:
        call(first.backward, data, pitch, 1, first.span, first.twiddles)


@compilation.outline
def transform_columns(job, plane, first, last, middle, factors, width, direction):
    """Transform columns `first` to `last` of the plane; `factors` are the same for all if `width` is 2."""
    for c in range(first, last, job.lanes):
        start = factors if width == 2 else factors + 2 * c * job.item
        transform(job.down, job.item, job.rows, plane + 2 * c * job.item, job.pitch, middle, start, width, direction)


@compilation.inline
def transform_rows(job, plane, points, top, bottom, spectrum):
    """Transform rows, multiply them by the spectrum, and transform them back."""
    for r in range(top, bottom, job.lanes):
        line, factors, width = plane + r * job.pitch * job.item, spectrum, types.intp(2)
        if job.down.transformed:
            factors, width = spectrum + 2 * r * job.columns * job.item, 2 * job.lanes
        call(job.transpose_rows, line, job.pitch, points, job.columns)
        pitch, both = 2 * job.lanes, types.intp(BOTH)
        transform(job.across, job.item, job.columns, points, pitch, job.product, factors, width, both)
        call(job.transpose_back, line, job.pitch, points, job.columns)


@compilation.inline
def transform_unit(job, head, plane, points, spectrum, steps, top, bottom, left, right):
    """Take those of `steps` between packing and storing, for rows `top` to `bottom` and columns `left` to `right`."""
    forward, backward, both, uniform = types.intp(FORWARD), types.intp(BACKWARD), types.intp(BOTH), types.intp(2)
    if steps & _COLUMNS and job.down.transformed:
        stop = min(right, head.used)
        if job.across.transformed:
            factors = job.four_step_twiddles
            transform_columns(job, plane, left, stop, job.last_column_pass, factors, 2 * job.columns, forward)
        else:
            transform_columns(job, plane, left, stop, job.product, spectrum, uniform, both)
    if steps & _ROWS and job.across.transformed:
        transform_rows(job, plane, points, top, bottom, spectrum)
    if steps & _COLUMNS_BACK and job.down.transformed and job.across.transformed:
        first, stop, middle = max(left, head.first_column), min(right, head.stop_column), job.first_column_pass_back
        transform_columns(job, plane, first, stop, middle, job.four_step_twiddles, 2 * job.columns, backward)
