"""The loop over tiles that are transformed once more for their quiet outputs: without loud samples, or more precisely.

Footprints that hold too little, relative to a bound of the norm of all samples, hold no sample above that limit. So
their results do not depend on louder samples, and these are left out: then what is transformed has a smaller norm, and
so have its errors. Or all samples are transformed, in double precision. All other outputs keep their results.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.spectra.footprint_windows import CHECK, LOST, PATCHY, QUIET, VAGUE
from fastconv._microkernels.spectra.tile_checks import clamp_rows, judge_unit, note_signs, set_windows
from fastconv._microkernels.spectra.tile_job import COUNT, HEAD, LISTED, MARKS, TILE_JOB, head_at
from fastconv._microkernels.spectra.tile_moves import locate_unit, pack_unit, plane_strides, window
from fastconv._microkernels.spectra.tile_transforms import BACKWARD, BOTH, FORWARD, transform_columns, transform_rows
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import advance, bytes_at, call, doubles_at, integers_at, load, store

# A job of overlap-save, and when another transform of a unit pays.
QUIET_JOB = Record(
    "QuietJob",
    {
        "tile": TILE_JOB,
        "groups": TILE_JOB,  # the job by which tiles have been computed, and groups of their outputs marked
        "drop": np.intp,  # address of a compiled routine, 0 to keep all samples
        "halvings": np.intp,  # of the limit in this precision, relative to that of the marks
        "judged_step": np.intp,  # numbers of each unit in `judged`
        # Groups that must come out within the bound, at least; and that may be left, unless more come out.
        "least_won": np.intp,
        "most_left": np.intp,
    },
)
_job_at, _check_at = reader(QUIET_JOB), reader(CHECK)
_NOT_FINITE_AT = HEAD.offset("not_finite")


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, view, n, n, n, n)


def drop_signature(dtype):
    """Signature of `drop`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n, n, n)


def drop(samples, rows, columns, bounds, step, jump, check):
    """Replace samples by zeros that are above the limit of the norm of a footprint, which is relative to `bounds`."""
    least = _check_at(check, 0).least_norm * _ABOVE_ONE
    nothing = load(samples)
    for r in range(rows):
        row = advance(samples, r * columns)
        if jump == 0:
            value = load(row)
            store(row, doubles_at(bounds, r * step)[0] * least)
            limit = load(row)
            store(row, 0.0)
            nothing = load(row)
            store(row, value)
            for c in range(columns):
                value = load(advance(row, c))
                store(advance(row, c), value if abs(value) <= limit else nothing)
        else:
            for c in range(columns):
                if abs(float(load(advance(row, c)))) > doubles_at(bounds, c)[0] * least:
                    store(advance(row, c), 0.0)


_ABOVE_ONE = 1 + 2.0**-20


@compilation.outline
def _halvings(new, old, more):
    """How often a bound may be halved without falling below another one, which has been halved so often by itself."""
    count = more
    while count > 0 and not new <= old:
        new, count = new * 0.5, count - 1
    if not new <= old:
        return 0
    while count < PATCHY - QUIET and new * 2 <= old:
        new, count = new * 2, count + 1
    return count


@compilation.inline
def _is_within(mark, halvings):
    """Whether a group comes out within the bound."""
    return mark != LOST and mark - (QUIET if mark < PATCHY else PATCHY) < halvings


@compilation.outline
def _count_marks(w, halvings, won):
    """The groups of a tile that come out within the bound, if `won`, or all others that are marked."""
    count, numbers = 0, doubles_at(halvings, 0)
    for i in range(w.down):
        marks = bytes_at(w.marks, i * w.marks_pitch)
        for j in range(w.across):
            mark = marks[j]
            if mark >= QUIET:
                count += 1 if _is_within(mark, numbers[i * w.bounds_step + j * w.bounds_jump]) == won else 0
    return count


@compilation.outline
def _settle_marks(w, halvings):
    """Remove the marks of the groups that have come out within the bound; others have to be looked at again."""
    numbers = doubles_at(halvings, 0)
    for i in range(w.down):
        marks = bytes_at(w.marks, i * w.marks_pitch)
        for j in range(w.across):
            if QUIET <= marks[j] < LOST:
                enough = _is_within(marks[j], numbers[i * w.bounds_step + j * w.bounds_jump])
                marks[j] = types.uint8(0) if enough else types.uint8(VAGUE)


_NONE, _ALL, _SOME = range(3)


@compilation.inline
def _kind(mark):
    """Which outputs of a group are quiet."""
    return _ALL if QUIET <= mark < PATCHY else _SOME if PATCHY <= mark < LOST else _NONE


@compilation.outline
def _store_some(job, source, target, stride, kept, count):
    """Store those results of a line that are not kept."""
    size, c = job.parts * job.item, 0
    while c < count:
        while c < count and kept[c] != 0:
            c += 1
        end = c
        while end < count and kept[end] == 0:
            end += 1
        if end > c:
            call(
                job.store,
                source + c * size, 0, size, job.item,
                target + c * stride, 0, stride, job.out_item,
                1, end - c, job.parts, job.rescale,
            )  # fmt: skip
        c = end


@compilation.outline
def _store_quiet(job, groups, head, staging, first, rows, marks, kept, corner, strides, down, across):
    """Store the results of `rows` rows of a tile that belong to groups of quiet outputs."""
    check, w, cell_rows, cell_columns = groups.check, head.windows, groups.cell_rows, groups.cell_columns
    line, size = job.columns * job.parts * job.item, job.parts * job.item
    up, above, height, before, begin, width = window(job, first, rows, down, across)
    row_begin = job.down.skip - (check.first_row + check.rows - 1)
    column_begin = job.across.skip - (check.first_column + check.columns - 1)
    top, left = up + above - job.down.skip, before + begin - job.across.skip  # outputs of the tile
    r = 0
    while r < height:
        i = -(-(row_begin + top + r) // cell_rows) - w.first_row
        count = min(height, (w.first_row + i) * cell_rows - row_begin + 1 - top) - r
        line_of_groups = bytes_at(marks, i * w.marks_pitch)
        c = 0
        while c < width:
            j = -(-(column_begin + left + c) // cell_columns) - w.first_column
            stop, kind, end, source = j, _kind(line_of_groups[j]), c, staging + (above + r) * line + (begin + c) * size
            while end < width and _kind(line_of_groups[stop]) == kind:
                end = min(width, (w.first_column + stop) * cell_columns - column_begin + 1 - left)
                stop += 1
            target = corner + (down.start + top + r) * strides[2] + (across.start + left + c) * strides[3]
            if kind == _ALL:
                call(
                    job.store,
                    source, line, size, job.item,
                    target, strides[2], strides[3], job.out_item,
                    count, end - c, job.parts, job.rescale,
                )  # fmt: skip
            elif kind == _SOME:
                for k in range(count):
                    outputs = bytes_at(kept, (top + r + k) * job.across.step + left + c)
                    _store_some(job, source + k * line, target + k * strides[2], strides[3], outputs, end - c)
            c = end
        r += count


@compilation.outline
def _finish_rows(
    job, groups, head, scratch, plane, staging, first, rows, tile, marks, kept, corner, strides, down, across
):
    """Clamp the results of some rows of a tile where they have one sign, and store those of quiet outputs."""
    _, _, height, _, _, width = window(job, first, rows, down, across)
    if height > 0 and width > 0:
        clamp_rows(job, head, scratch, plane, staging, first, rows, tile, 0, down, across)
        _store_quiet(job, groups, head, staging, first, rows, marks, kept, corner, strides, down, across)


@compilation.inline
def _transform(job, head, scratch, plane, spectrum):
    """Note the signs of a unit's results, transform its plane, multiply it by the spectrum, and transform it back."""
    note_signs(job, scratch, head, plane, 0, job.rows if job.across.transformed else head.used)
    forward, backward, both, uniform = types.intp(FORWARD), types.intp(BACKWARD), types.intp(BOTH), types.intp(2)
    factors, width, points = job.four_step_twiddles, 2 * job.columns, scratch + job.transposed_at
    if not job.across.transformed:
        transform_columns(job, plane, 0, head.used, job.product, spectrum, uniform, both)
        return
    if job.down.transformed:
        transform_columns(job, plane, 0, head.used, job.last_column_pass, factors, width, forward)
    transform_rows(job, plane, points, 0, job.rows, spectrum)
    if job.down.transformed:
        middle, first, stop = job.first_column_pass_back, head.first_column, head.stop_column
        transform_columns(job, plane, first, stop, middle, factors, width, backward)


@compilation.inline
def _compute(x, out, job, head, unit, marks, judged, kept, spectrum, scratch):
    """Transform a unit once more if that pays, and store the results of its quiet outputs."""
    tile, groups = job.tile, job.groups
    locate_unit(tile, unit, head)
    x_corner, out_corner = corners(x, out, tile, unit // tile.units_of_plane)
    strides = plane_strides(x, tile) + plane_strides(out, tile)
    second_kept = kept + tile.down.step * tile.across.step
    plane, second_marks = scratch + tile.plane_at, marks + groups.marks_down * groups.marks_across
    pack_unit(tile, scratch, head, plane, 0, tile.rows, x_corner, strides[0], strides[1], job.drop, judged)
    head.not_finite = 0
    lines = judge_unit(tile, scratch, head, plane)
    halvings, bounds = scratch + tile.bounds_at, doubles_at(judged, 0)
    numbers = doubles_at(halvings, 0)
    for k in range(lines):
        numbers[k] = _halvings(numbers[k], bounds[k], job.halvings)

    w = head.windows
    set_windows(groups, head, scratch, marks, head.down, head.across)
    won, left = _count_marks(w, halvings, True), _count_marks(w, halvings, False)
    if head.second:
        set_windows(groups, head, scratch, second_marks, head.second_down, head.second_across)
        won, left = won + _count_marks(w, halvings, True), left + _count_marks(w, halvings, False)
    if won < job.least_won or left > max(won, job.most_left):
        return
    _transform(tile, head, scratch, plane, spectrum)

    staging, second_staging = scratch + tile.staging_at, scratch + tile.second_staging_at
    column = head.first_column
    skipped, width = column * tile.parts * tile.item, -(-(head.stop_column - column) // tile.lanes) * tile.lanes
    for r in range(head.first_row, head.stop_row, tile.staging_rows):
        rows = min(tile.staging_rows, head.stop_row - r)
        source = plane + (r * tile.pitch + 2 * column) * tile.item
        call(
            tile.from_plane,
            staging + skipped, second_staging + skipped, tile.columns,
            source, tile.pitch, rows, width, scratch + _NOT_FINITE_AT,
        )  # fmt: skip
        set_windows(groups, head, scratch, marks, head.down, head.across)
        _finish_rows(
            tile, groups, head, scratch, plane, staging, r, rows, 0, marks, kept,
            out_corner, strides, head.down, head.across,
        )  # fmt: skip
        if head.second:
            set_windows(groups, head, scratch, second_marks, head.second_down, head.second_across)
            _finish_rows(
                tile, groups, head, scratch, plane, second_staging, r, rows, 1, second_marks, second_kept,
                out_corner, strides, head.second_down, head.second_across,
            )  # fmt: skip
    set_windows(groups, head, scratch, marks, head.down, head.across)
    _settle_marks(w, halvings)
    if head.second:
        set_windows(groups, head, scratch, second_marks, head.second_down, head.second_across)
        _settle_marks(w, halvings)
    if job.drop != 0:
        for k in range(lines):
            for _ in range(int(numbers[k])):
                bounds[k] *= 0.5


def run(x, out, job, progress, judged, kept, spectrum, limit, max_spins, scratch):
    """Compute the quiet outputs of listed units of `out`.

    Parameters
    ----------
    x, out : view
        Arrays that `job` describes.
    job : view
        A `QUIET_JOB`.
    progress : view
        `progress_counters`, and what follows them, shared by all calls of a job.
    judged : view
        For each unit: the bound of its norm, or that of each line.
    kept : view
        For each output of each tile: whether its result is kept where its group is `PATCHY`.
    spectrum : intp
        Address of the kernel's spectrum, by `overlap_save_loop.prepare`.
    limit : intp
        How many units to compute at most.
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
    job, counters = _job_at(job.address, 0), integers_at(progress.address, 0)
    advance_epoch(progress)
    head, tile, count = head_at(scratch, 0), job.tile, counters[COUNT]
    marks_of_unit = tile.packed_tiles * job.groups.marks_down * job.groups.marks_across
    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        piece = take_piece(progress)
        if piece >= count:
            break
        taken += 1
        unit = integers_at(counters[LISTED], piece)[0]
        marks, numbers = counters[MARKS] + unit * marks_of_unit, judged.address + 8 * unit * job.judged_step
        kept_of_unit = kept.address + unit * tile.packed_tiles * tile.down.step * tile.across.step
        _compute(x, out, job, head, unit, marks, numbers, kept_of_unit, spectrum, scratch)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
