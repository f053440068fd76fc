"""The check of a tile: bounds of the norm of its samples, signs, and marks of outputs that may be too far off."""

from __future__ import annotations

import math

from numba import types

from fastconv._microkernels.block_cutting import run_at
from fastconv._microkernels.footprint_windows import VAGUE
from fastconv._microkernels.job_records import address_of_record
from fastconv._microkernels.sample_sums import add_sums, begin_sums, largest_of, sample_sums_at, signs_of
from fastconv._microkernels.tile_job import HEAD
from fastconv._microkernels.tile_moves import line_steps, window
from fastconv._model.guarantees import RELATIVE
from fastconv._simd import compilation
from fastconv._simd.memory import bytes_at, call, doubles_at

_LEAST_AT = HEAD.offset("least")
# Sign of the results of a tile of zeros.
NO_SIGN = 2


@compilation.inline
def judge_unit(job, scratch, head, plane):
    """Bound the norm of a unit's samples, and find the signs of its results, from the sums of the samples.

    Returns how many bounds there are: one, or one of each row or column.
    """
    sums = head.sums
    if job.shares > 1:
        begin_sums(sums)
        for share in range(job.shares):
            add_sums(sums, sample_sums_at(plane + job.sums_at, share))
    first, second = largest_of(sums)
    largest = max(first, second) if job.parts == 1 else first + second
    bounds, lines = doubles_at(scratch + job.bounds_at, 0), 1
    if job.down.transformed and job.across.transformed:
        # The square of a 2-norm is at most the product of a 1-norm and the largest number.
        bounds[0] = math.sqrt(sums.total + sums.second_total) * math.sqrt(largest)
    else:
        lines, cells, second_cells = job.rows, plane + job.cells_at, plane + job.second_cells_at
        if job.down.transformed:
            lines = job.columns
        call(job.bound_lines, cells, second_cells, job.rows // job.cell_rows, job.cells_pitch, scratch + job.bounds_at)
    for k in range(lines):
        # A bound may be as many times the largest number as there are points.
        if 0 < largest < job.check.least_largest or (lines > 1 and 0 < bounds[k] < job.check.least_bound):
            bounds[k] = math.inf
    if job.parts == 1:
        first, second = signs_of(sums)
        head.sign = NO_SIGN if sums.total == 0 else first * job.check.sign
        head.second_sign = NO_SIGN if sums.second_total == 0 else second * job.check.sign
    return lines


@compilation.inline
def _set_axis(axis, first_tap, taps, cell, length):
    """The windows of `length` outputs along an axis: the first cell, cells in each, and their number; and what covers.

    The latter are the first cell that covers the footprints of a group, relative to its window, and how many there are.
    """
    first = axis.skip - (first_tap + taps - 1)  # sample of the first footprint
    cells = max(0, (taps - cell + 1) // cell)
    start, shift = -(-first // cell), first_tap + taps - axis.taps
    outer = (shift + 1 - cell) // cell
    return (
        start,
        cells,
        -(-(first + length - 1) // cell) - start + 1,
        outer,
        (shift + axis.taps - 1) // cell - outer + 1,
    )


@compilation.inline
def cells_inside(extent, cell):
    """The cells along an axis that hold nothing but samples of a tile: the first, and the one behind the last."""
    if extent.run_count == 0:
        return 0, 0
    first, last = run_at(extent.runs, 0), run_at(extent.runs, extent.run_count - 1)
    return -(-first.offset // cell), (last.offset + last.length) // cell


@compilation.outline
def set_windows(job, head, scratch, marks, down, across):
    """Set up the windows of a tile whose extents are `down` and `across`."""
    w, check = head.windows, job.check
    w.first_row, w.rows, w.down, w.outer_row, w.outer_rows = _set_axis(
        job.down, check.first_row, check.rows, job.cell_rows, down.length
    )
    w.first_column, w.columns, w.across, w.outer_column, w.outer_columns = _set_axis(
        job.across, check.first_column, check.columns, job.cell_columns, across.length
    )
    numbers = job.cell_rows * job.cell_columns * job.parts
    w.quiet, w.bounds = check.least_norm, scratch + job.bounds_at
    w.limit = check.least_norm * math.sqrt(float(numbers))
    w.bounds_step, w.bounds_jump = line_steps(job)
    if w.rows == 0 or w.columns == 0:  # no footprint is sure to hold a cell
        w.rows, w.columns, w.limit = max(1, w.rows), max(1, w.columns), math.inf
    w.top, w.bottom = cells_inside(down, job.cell_rows)
    w.left, w.right = cells_inside(across, job.cell_columns)
    w.pitch, w.cells_rows, w.cells_columns = job.cells_pitch, job.rows // job.cell_rows, job.cells_pitch
    if job.four_step:
        w.cells_rows, w.cells_columns = 1, job.rows * job.cells_pitch
    w.buffer, w.marks, w.marks_pitch = scratch + job.windows_at, marks, job.marks_across


@compilation.outline
def compare_tile(job, head, scratch, plane, marks, tile, top, bottom, sign, down, across):
    """Mark the groups of a tile whose footprints hold too little; of a shared plane, the share that begins at `top`."""
    if sign == NO_SIGN:
        return
    set_windows(job, head, scratch, marks, down, across)
    w, both = head.windows, types.intp(job.parts == 2)
    if sign and job.check.rule == RELATIVE:  # results have been compared themselves
        w.limit = -1.0
    cells, second_cells = plane + job.cells_at, plane + job.second_cells_at
    if job.shares > 1 and w.down > 1:
        begin, end = w.down * top // job.rows, w.down * bottom // job.rows
        w.down, w.first_row, w.marks = end - begin, w.first_row + begin, w.marks + begin * w.marks_pitch
    elif job.shares > 1:
        begin, end = w.across * top // job.rows, w.across * bottom // job.rows
        w.across, w.first_column, w.marks = end - begin, w.first_column + begin, w.marks + begin
    if w.down > 0 and w.across > 0:
        call(job.compare, second_cells if tile else cells, second_cells, both, address_of_record(w))


@compilation.outline
def _mark_rows(job, head, first, rows, down, across):
    """Mark the groups of all outputs in these rows of the plane."""
    w = head.windows
    start, stop, begin, end = 0, w.down, 0, w.across
    if job.four_step:
        shift = job.check.first_column + job.check.columns - 1
        low, high = first * job.columns, (first + rows) * job.columns
        low, high = max(low, job.across.skip) - shift, min(high, job.across.skip + across.length) - shift
        begin = -(-low // job.cell_columns) - w.first_column
        end = -(-(high - 1) // job.cell_columns) - w.first_column + 1
    else:
        shift = job.check.first_row + job.check.rows - 1
        low, high = max(first, job.down.skip) - shift, min(first + rows, job.down.skip + down.length) - shift
        start = -(-low // job.cell_rows) - w.first_row
        stop = -(-(high - 1) // job.cell_rows) - w.first_row + 1
    for r in range(start, stop):
        for c in range(begin, end):
            bytes_at(w.marks, r * w.marks_pitch + c)[0] = VAGUE


@compilation.inline
def _is_large(job, head, scratch, row):
    """Whether the least result is large enough, compared with the bound of a row, or with that of all columns."""
    bounds, bound = doubles_at(scratch + job.bounds_at, 0), 0.0
    if job.across.transformed:
        bound = bounds[0 if job.down.transformed else row]
    else:
        for k in range(job.columns):
            bound = max(bound, bounds[k])
    return head.least >= job.check.least_result * bound


@compilation.outline
def clamp(job, head, scratch, results, height, width, sign):
    """Clamp results at zero, and find the least of their sizes."""
    head.least = math.inf
    address = scratch + _LEAST_AT
    if sign == NO_SIGN:  # of one sign and of the other
        call(job.clamp, results, job.columns, height, width, 1, address)
        sign = -1
    call(job.clamp, results, job.columns, height, width, sign, address)


@compilation.outline
def clamp_rows(job, head, scratch, staging, first, rows, sign, marks, down, across):
    """Clamp the results of a tile of one sign at zero; mark them if the rule is about their size and one is small."""
    up, above, height, _, begin, width = window(job, first, rows, down, across)
    if sign == 0 or height <= 0 or width <= 0:
        return
    line, alone = job.columns * job.item, job.across.transformed and not job.down.transformed
    results = staging + above * line + begin * job.item
    some = 1 if alone else height  # rows that do not mix are looked at one by one
    for r in range(0, height, some):
        clamp(job, head, scratch, results + r * line, some, width, sign)
        if sign != NO_SIGN and job.check.rule == RELATIVE and not _is_large(job, head, scratch, up + above + r):
            set_windows(job, head, scratch, marks, down, across)
            start, count = (first + above + r, 1) if alone else (first, rows)
            _mark_rows(job, head, start, count, down, across)
