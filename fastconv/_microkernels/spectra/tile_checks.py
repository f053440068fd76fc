"""The check of a tile: bounds of the norm of its samples, signs, and marks of outputs that may be too far off."""

from __future__ import annotations

import math

from numba import types

from fastconv._microkernels.block_cutting import run_at
from fastconv._microkernels.job_records import address_of_record
from fastconv._microkernels.spectra.footprint_windows import SMALL
from fastconv._microkernels.spectra.sample_sums import (
    BOTH,
    NEGATIVE,
    POSITIVE,
    add_sums,
    begin_sums,
    largest_of,
    sample_sums_at,
    signs_of,
)
from fastconv._microkernels.spectra.tile_job import HEAD
from fastconv._microkernels.spectra.tile_moves import line_steps, window
from fastconv._model.guarantees import RELATIVE
from fastconv._simd import compilation
from fastconv._simd.memory import bytes_at, call, doubles_at

_LEAST_AT = HEAD.offset("least")


@compilation.outline
def _sums_of_unit(job, head, plane):
    """The sums of a unit's samples, of all shares of a shared plane."""
    sums = head.sums
    if job.shares > 1:
        begin_sums(sums)
        for share in range(job.shares):
            add_sums(sums, sample_sums_at(plane + job.sums_at, share))
    return sums


@compilation.inline
def _lines(job):
    """How many lines do not mix: rows, or columns; one where both axes are transformed."""
    if not job.across.transformed:
        return job.columns
    return 1 if job.down.transformed else job.rows


@compilation.outline
def note_signs(job, scratch, head, plane, first, stop):
    """Note the signs of a unit's results, those of lines `first` to `stop` where lines do not mix.

    The samples are still in the plane. Nothing is noted for a kernel with both signs.
    """
    if job.check.sign == 0:
        return
    one, other = signs_of_unit(job, head, plane)
    address, lines = plane + job.signs_at, _lines(job)
    signs = bytes_at(address, 0)
    if lines == 1:
        first, stop = 0, 1
    if lines > 1 and (one == BOTH or other == BOTH):
        count = head.used if job.across.transformed else job.rows
        call(
            job.note_signs,
            plane, job.pitch, first, stop, count, types.intp(head.second), address, lines, scratch + job.transposed_at,
        )  # fmt: skip
        if job.check.sign < 0:
            for k in range(first, stop):
                signs[k], signs[lines + k] = _turned(signs[k]), _turned(signs[lines + k])
    else:
        for k in range(first, stop):
            signs[k], signs[lines + k] = one, other


@compilation.inline
def _turned(signs):
    """The signs of the negatives."""
    return (POSITIVE if signs & NEGATIVE else 0) | (NEGATIVE if signs & POSITIVE else 0)


@compilation.outline
def signs_of_unit(job, head, plane):
    """The signs that the results of both tiles of a unit, or of both parts, may have."""
    one, other = signs_of(_sums_of_unit(job, head, plane))
    if job.check.sign == 0:
        one, other = BOTH, BOTH
    return (_turned(one), _turned(other)) if job.check.sign < 0 else (one, other)


@compilation.inline
def judge_unit(job, scratch, head, plane):
    """Bound the norm of a unit's samples from their sums; returns how many bounds there are, one for each line."""
    sums, lines = _sums_of_unit(job, head, plane), _lines(job)
    first, second = largest_of(sums)
    largest = max(first, second) if job.parts == 1 else first + second
    bounds = doubles_at(scratch + job.bounds_at, 0)
    if lines == 1:
        # The square of a 2-norm is at most the product of a 1-norm and the largest number.
        bounds[0] = math.sqrt(sums.total + sums.second_total) * math.sqrt(largest)
    else:
        cells, second_cells = plane + job.cells_at, plane + job.second_cells_at
        call(job.bound_lines, cells, second_cells, job.rows // job.cell_rows, job.cells_pitch, scratch + job.bounds_at)
    for k in range(lines):
        # A bound may be as many times the largest number as there are points.
        if 0 < largest < job.check.least_largest or (lines > 1 and 0 < bounds[k] < job.check.least_bound):
            bounds[k] = math.inf
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
def compare_tile(job, head, scratch, plane, marks, tile, top, bottom, by_sign, down, across):
    """Mark the groups of a tile whose footprints hold too little; of a shared plane, the share that begins at `top`.

    With `by_sign`, not those of lines whose results are zero, or have been compared themselves.
    """
    set_windows(job, head, scratch, marks, down, across)
    w, both = head.windows, types.intp(job.parts == 2)
    if by_sign and job.check.sign != 0:
        _leave_out_signs(job, w, bytes_at(plane + job.signs_at, tile * _lines(job)))
    cells, second_cells = plane + job.cells_at, plane + job.second_cells_at
    if job.shares > 1 and w.down > 1:
        begin, end = w.down * top // job.rows, w.down * bottom // job.rows
        w.down, w.first_row, w.marks = end - begin, w.first_row + begin, w.marks + begin * w.marks_pitch
        w.bounds += 8 * begin * w.bounds_step
    elif job.shares > 1:
        begin, end = w.across * top // job.rows, w.across * bottom // job.rows
        w.across, w.first_column, w.marks = end - begin, w.first_column + begin, w.marks + begin
        w.bounds += 8 * begin * w.bounds_jump
    if w.down > 0 and w.across > 0:
        call(job.compare, second_cells if tile else cells, second_cells, both, address_of_record(w))


@compilation.outline
def _leave_out_signs(job, w, signs):
    """Compare no footprints of lines whose results are zero, or have been compared themselves."""
    lines, compared = _lines(job), 0
    bounds, limits = doubles_at(w.bounds, 0), doubles_at(w.bounds, lines)
    for k in range(lines):
        is_left = signs[k] == BOTH or (signs[k] != 0 and job.check.rule != RELATIVE)
        limits[k] = bounds[k] if is_left else 0.0
        compared += 1 if is_left else 0
    w.bounds += 8 * lines
    if compared == 0:
        w.limit = -1.0


@compilation.outline
def _mark_small(job, head, first, rows, begin, end, down, across):
    """Mark the groups of the outputs in these rows of the plane, of columns `begin` to `end` if those are lines."""
    w = head.windows
    start, stop = 0, w.down
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
        if job.across.transformed:
            begin, end = 0, w.across
    for r in range(start, stop):
        for c in range(begin, end):
            bytes_at(w.marks, r * w.marks_pitch + c)[0] = SMALL


@compilation.outline
def clamp(job, head, scratch, results, height, width, sign):
    """Clamp results at zero, and find the least of their sizes."""
    head.least = math.inf
    address = scratch + _LEAST_AT
    if sign & POSITIVE or sign == 0:  # a zero is of neither sign
        call(job.clamp, results, job.columns, height, width, 1, address)
    if sign & NEGATIVE or sign == 0:
        call(job.clamp, results, job.columns, height, width, -1, address)


@compilation.outline
def clamp_rows(job, head, scratch, plane, staging, first, rows, tile, marks, down, across):
    """Clamp the results of a tile at zero where their line has one sign.

    If the rule is about their size, mark those that are too small, unless `marks` is 0.
    """
    up, above, height, _, begin, width = window(job, first, rows, down, across)
    if job.check.sign == 0 or height <= 0 or width <= 0:
        return
    signs_at = plane + job.signs_at + tile * _lines(job)
    signs, bounds = bytes_at(signs_at, 0), doubles_at(scratch + job.bounds_at, 0)
    line, marked = job.columns * job.item, marks if job.check.rule == RELATIVE else 0
    results = staging + above * line + begin * job.item
    if not job.across.transformed:
        _clamp_columns(job, head, scratch, results, first, rows, height, width, signs_at, marked, down, across)
        return
    some = height if job.down.transformed else 1  # rows that do not mix are looked at one by one
    for r in range(0, height, some):
        k = 0 if job.down.transformed else up + above + r
        if signs[k] != BOTH:
            clamp(job, head, scratch, results + r * line, some, width, signs[k])
            if marked and signs[k] != 0 and not head.least >= job.check.least_result * bounds[k]:
                set_windows(job, head, scratch, marks, down, across)
                start, count = (first, rows) if job.down.transformed else (first + above + r, 1)
                _mark_small(job, head, start, count, 0, 0, down, across)


@compilation.outline
def _clamp_columns(job, head, scratch, results, first, rows, height, width, signs_at, marks, down, across):
    """`clamp_rows` where lines are columns."""
    signs, is_one = bytes_at(signs_at, 0), False
    for c in range(width):
        is_one = is_one or signs[c] != BOTH
    if not is_one:
        return
    sizes_at = scratch + job.limits_at
    bounds, sizes = doubles_at(scratch + job.bounds_at, 0), doubles_at(sizes_at, 0)
    call(
        job.clamp_columns,
        results, job.columns, height, width, signs_at, sizes_at + 8 * width, sizes_at,
    )  # fmt: skip
    is_set = False
    for c in range(width):
        if marks and signs[c] != BOTH and signs[c] != 0 and not sizes[c] >= job.check.least_result * bounds[c]:
            if not is_set:
                set_windows(job, head, scratch, marks, down, across)
                is_set = True
            _mark_small(job, head, first, rows, c, c + 1, down, across)
