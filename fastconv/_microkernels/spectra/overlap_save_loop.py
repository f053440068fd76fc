"""The loop over tiles of overlap-save: pack, transform, multiply, transform back, store.

`run` is compiled once and independent of the element type; it calls the routines of `fft_passes` and `transfer` by
address. Samples reach the plane of a tile, and results leave it, through staging buffers, some rows at a time.

Columns are transformed in place, a vector of them at a time. Rows are transposed into a small buffer, as many as there
are lanes, and go through both transforms and the product there.

Tiles overlap in their input (overlap-save): of ``size`` results along an axis the first ``taps - 1`` have wrapped
around, and are skipped.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.spectra.sample_sums import keep_sums, sample_sums_at
from fastconv._microkernels.spectra.tile_checks import clamp_rows, compare_tile, judge_unit, note_signs
from fastconv._microkernels.spectra.tile_job import (
    ALL_STEPS,
    COUNT,
    HEAD,
    JUDGED,
    LISTED,
    MARKS,
    SHARED_PLANE,
    SHARED_UNIT,
    STEPS,
    head_at,
    job_at,
)
from fastconv._microkernels.spectra.tile_moves import locate_unit, pack_unit, plane_strides, store
from fastconv._microkernels.spectra.tile_transforms import FORWARD, transform, transform_columns, transform_unit
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import call, doubles_at, integers_at

_PACK, _COLUMNS, _ROWS, _, _STORE = ALL_STEPS
_NOT_FINITE_AT = HEAD.offset("not_finite")


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, n, n, n, n)


def prepare_signature():
    """Signature of `prepare`."""
    n = types.intp
    return types.void(view, n, n, n, n, n)


@compilation.inline
def _store_unit(job, scratch, head, plane, top, bottom, marks, judged, corner, row_stride, column_stride):
    """Store the results in rows `top` to `bottom` of the plane; note whether all are finite, and mark the vague."""
    staging, second_staging = scratch + job.staging_at, scratch + job.second_staging_at
    first, last, left = max(top, head.first_row), min(bottom, head.stop_row), head.first_column
    skipped, width = left * job.parts * job.item, -(-(head.stop_column - left) // job.lanes) * job.lanes
    second_marks = marks + job.marks_down * job.marks_across if marks else 0
    head.not_finite = 0
    if marks:
        lines = judge_unit(job, scratch, head, plane)
        numbers, bounds = doubles_at(judged, 0), doubles_at(scratch + job.bounds_at, 0)
        for k in range(lines):
            numbers[k] = bounds[k]
    for r in range(first, last, job.staging_rows):
        rows = min(job.staging_rows, last - r)
        source = plane + (r * job.pitch + 2 * left) * job.item
        call(
            job.from_plane,
            staging + skipped, second_staging + skipped, job.columns,
            source, job.pitch, rows, width, scratch + _NOT_FINITE_AT,
        )  # fmt: skip
        down, across = head.down, head.across
        if marks:
            clamp_rows(job, head, scratch, plane, staging, r, rows, 0, marks, down, across)
        store(job, staging, r, rows, corner, row_stride, column_stride, down, across)
        if head.second:
            down, across = head.second_down, head.second_across
            if marks:
                clamp_rows(job, head, scratch, plane, second_staging, r, rows, 1, second_marks, down, across)
            store(job, second_staging, r, rows, corner, row_stride, column_stride, down, across)
    if marks:
        compare_tile(job, head, scratch, plane, marks, 0, top, bottom, True, head.down, head.across)
        if head.second:
            down, across = head.second_down, head.second_across
            compare_tile(job, head, scratch, plane, second_marks, 1, top, bottom, True, down, across)


def prepare(job, plane, spectrum, down, first, stop):
    """Transform a part of a kernel that lies in a plane: with `down`, columns; then, without, rows into `spectrum`.

    Points of the spectrum are in the order that the product needs: rows in groups of as many as there are lanes.
    """
    floats = set_default_float_environment()
    job = job_at(job.address, 0)
    item, lanes, pitch, width = job.item, job.lanes, job.pitch, job.columns
    forward = types.intp(FORWARD)
    if down:
        factors = job.four_step_twiddles
        transform_columns(job, plane, first, stop, job.last_column_pass, factors, 2 * width, forward)
    else:
        for k in range(first, stop, lanes):
            points = spectrum + 2 * k * width * item
            call(job.transpose_rows, plane + k * pitch * item, pitch, points, width)
            if job.across.transformed:
                transform(job.across, item, width, points, 2 * lanes, job.last_row_pass, points, pitch, forward)
    restore_float_environment(floats)


@compilation.inline
def _compute(x, out, job, head, counters, flags, spectrum, scratch, unit):
    """Take some steps of a unit; if threads share its plane, of a share of it with the number `unit`."""
    (x_row, x_column), (out_row, out_column) = plane_strides(x, job), plane_strides(out, job)
    plane, points, steps, share = scratch + job.plane_at, scratch + job.transposed_at, counters[STEPS], unit
    top, bottom, left, right = 0, job.rows, 0, job.columns
    if job.shares > 1:
        top, left = share * job.share_rows, share * job.share_columns
        bottom, right = min(bottom, top + job.share_rows), min(right, left + job.share_columns)
        plane, unit = counters[SHARED_PLANE], counters[SHARED_UNIT]
    locate_unit(job, unit, head)
    x_corner, out_corner = corners(x, out, job, unit // job.units_of_plane)

    if steps & _PACK:
        pack_unit(job, scratch, head, plane, top, bottom, x_corner, x_row, x_column)
        if job.shares > 1:
            keep_sums(sample_sums_at(plane + job.sums_at, share), head.sums)
    if counters[MARKS] and steps & _COLUMNS and job.down.transformed:
        note_signs(job, scratch, head, plane, left, min(right, head.used))
    elif counters[MARKS] and steps & _ROWS and not job.down.transformed:
        note_signs(job, scratch, head, plane, top, bottom)
    transform_unit(job, head, plane, points, spectrum, steps, top, bottom, left, right)
    if steps & _STORE:
        marks, judged = counters[MARKS], counters[JUDGED] + unit * job.judged_bytes
        if marks:
            marks += unit * job.packed_tiles * job.marks_down * job.marks_across
        _store_unit(job, scratch, head, plane, top, bottom, marks, judged, out_corner, out_row, out_column)
        if head.not_finite:
            integers_at(flags.address, unit)[0] = 1


def run(x, out, job, progress, flags, spectrum, limit, max_spins, scratch):
    """Compute tiles of `out`.

    Parameters
    ----------
    x, out : view
        Arrays that `job` describes. `out` shares no memory with the others.
    job : view
        A `TILE_JOB`.
    progress : view
        `progress_counters`, and what follows them, shared by all calls of a job.
    flags : view
        An integer for each unit, set to 1 if a result is an infinity or a NaN.
    spectrum : intp
        Address of the kernel's spectrum, by `prepare`.
    limit : intp
        How many units, or shares, to compute at most.
    max_spins : intp
        How often to check, when no unit is left to take, whether other threads have finished theirs.
    scratch : intp
        Address of a buffer of this thread alone.

    Returns
    -------
    intp
        `DONE`, `MORE` or `PENDING`: see `progress_counters`.
    """
    floats = set_default_float_environment()
    job, counters = job_at(job.address, 0), integers_at(progress.address, 0)
    advance_epoch(progress)
    head, count = head_at(scratch, 0), counters[COUNT]
    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        unit = take_piece(progress)
        if unit >= count:
            break
        taken += 1
        if counters[LISTED]:
            unit = integers_at(counters[LISTED], unit)[0]
        _compute(x, out, job, head, counters, flags, spectrum, scratch, unit)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
