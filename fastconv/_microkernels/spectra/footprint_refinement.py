"""The loop over tiles with marked outputs: the exact test of each, which unmarks those that are within the bound.

Marked groups of outputs are taken as rectangles. Their samples are packed once more, and the norm of the samples in the
core of each footprint is summed (`footprint_norms`). Where results of one sign may be `SMALL`, these are compared
themselves.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.job_records import Record, address_of_record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.spectra import tile_checks, tile_moves
from fastconv._microkernels.spectra.footprint_norms import (
    CLEARED,
    ENOUGH,
    NOTHING,
    TOO_LITTLE,
    UNKNOWN_SHORT_SUM,
    UNKNOWN_SUM,
    rectangle_at,
)
from fastconv._microkernels.spectra.footprint_windows import EMPTY, LOST, PATCHY, QUIET, SMALL, VAGUE, mark_of
from fastconv._microkernels.spectra.tile_job import COUNT, MARKS, TILE_JOB, head_at
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import bytes_at, call, doubles_at, integers_at, load

# A job of overlap-save, and what the exact test needs in addition.
REFINEMENT_JOB = Record(
    "RefinementJob",
    {
        "tile": TILE_JOB,
        "square": np.intp,  # addresses of compiled routines
        "measure": np.intp,
        "widen": np.intp,
        "load": np.intp,  # from the output to the compute type
        "capacity": np.intp,  # squares of a rectangle
        "judged_step": np.intp,  # numbers of each unit in `judged`
        # Offsets in scratch memory, in bytes.
        **dict.fromkeys(
            (
                "rectangle_at",
                "squares_at",
                "staging_at",
                "spare_at",
                "open_at",
                "least_at",
                "most_at",
                "zeros_at",
                "core_least_at",
                "core_zeros_at",
                "limits_at",
                "scales_at",
                "kinds_at",
            ),
            np.intp,
        ),
    },
)
_job_at = reader(REFINEMENT_JOB)

_EIGHT = 0x0101010101010101  # a byte of one, in eight bytes
# Mark of a group that is part of a rectangle found before.
_SEEN = 4
_MANTISSA_BITS, _BIAS = 52, 1023  # of float64
STAGED = 4096  # samples that are packed at a time, about


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, view, view, n, n, n)


@compilation.outline
def _set_outputs(side, axis, check_first, check_taps, cell, extent, first_window, start, stop):
    """The outputs of the groups from `start` to `stop` along an axis."""
    begin = axis.skip - (check_first + check_taps - 1)
    side.low = max(0, (first_window + start - 1) * cell + 1 - begin)
    side.outputs = min(extent.length - 1, (first_window + stop - 1) * cell - begin) - side.low + 1
    side.groups, side.cell = stop - start, cell
    side.phase = side.low - ((first_window + start - 1) * cell + 1 - begin)


@compilation.outline
def _set_samples(side, axis, first_tap, taps, extent):
    """The samples that these outputs need of so many taps.

    Where footprints reach beyond all samples on one side, they are cut.
    """
    side.first, side.taps = axis.skip - (first_tap + taps - 1) + side.low, taps
    inside, end = tile_checks.cells_inside(extent, 1)
    last = side.first + side.outputs - 1
    if last <= inside and last + taps - inside < taps:  # all begin before the first sample
        side.taps = max(1, last + taps - inside)
        side.first += taps - side.taps
    elif side.first + taps >= end and end - side.first < taps:  # all end behind the last one
        side.taps = max(1, end - side.first)
    side.samples = side.outputs + side.taps - 1


@compilation.outline
def _locate_rectangle(job, head, scratch, down, across, groups):
    """The outputs of a rectangle of groups along both axes."""
    tile, check, w, (start, stop, begin, end) = job.tile, job.tile.check, head.windows, groups
    f = rectangle_at(scratch + job.rectangle_at, 0)
    _set_outputs(f.rows, tile.down, check.first_row, check.rows, tile.cell_rows, down, w.first_row, start, stop)
    _set_outputs(
        f.columns, tile.across, check.first_column, check.columns, tile.cell_columns, across,
        w.first_column, begin, end,
    )  # fmt: skip
    f.limit_step, f.limit_jump = tile_moves.line_steps(tile)
    f.spare, f.open, f.least, f.most = (
        scratch + job.spare_at, scratch + job.open_at, scratch + job.least_at, scratch + job.most_at,
    )  # fmt: skip
    f.zeros, f.limits, f.kinds = scratch + job.zeros_at, scratch + job.limits_at, scratch + job.kinds_at
    return f


@compilation.outline
def _set_limits(job, f, scratch, judged):
    """The limits of the sums of squares in a rectangle, and the scales of samples: powers of two, as two factors.

    Samples are scaled so that none is above one, line by line if lines do not mix.
    """
    address = scratch + job.scales_at
    limits, scales = doubles_at(f.limits, 0), doubles_at(address, 0)
    low = f.rows.low * f.limit_step + f.columns.low * f.limit_jump
    least = job.tile.check.least_norm
    rounding = 1 + 4 * (job.tile.down.taps + 64) * (2.0**-24 if job.tile.item == 4 else 2.0**-53)
    for k in range(max(1, f.rows.groups * f.limit_step + f.columns.groups * f.limit_jump)):
        bound, scale, second_scale = judged[low + k], 1.0, 1.0
        if 0 < bound < math.inf:
            scales[2 * k] = bound
            bits = integers_at(address, 2 * k)
            exponent = (bits[0] >> _MANTISSA_BITS) - _BIAS + 1
            half = exponent // 2
            bits[0], bits[1] = (_BIAS - half) << _MANTISSA_BITS, (_BIAS + half - exponent) << _MANTISSA_BITS
            scale, second_scale = scales[2 * k], scales[2 * k + 1]
            bound = bound * scale * second_scale
        elif bound == math.inf:  # no sum is enough, and none may overflow
            scale = second_scale = 2.0**-63 if job.tile.item == 4 else 2.0**-511
        scales[2 * k], scales[2 * k + 1] = scale, second_scale
        limits[k] = rounding * (least * bound) * (least * bound)


@compilation.outline
def _sum_squares(job, f, scratch, corner, strides, down, across):
    """Sum the squares of the samples under the kernel of each output of a rectangle."""
    tile, rows, columns = job.tile, f.rows, f.columns
    lanes = 2 * tile.lanes
    f.pitch = -(-columns.samples // lanes) * lanes
    line, target = columns.samples * tile.parts * tile.item, scratch + job.squares_at
    some = max(1, STAGED // f.pitch)
    left, right = columns.first, columns.first + columns.samples
    for first in range(0, rows.samples, some):
        count, staging = min(some, rows.samples - first), scratch + job.staging_at
        tile_moves.pack_rectangle(
            tile, staging, line, rows.first + first, rows.first + first + count, left, right,
            corner, strides[0], strides[1], down, across, True,
        )  # fmt: skip
        for r in range(first, first + count):
            scales = scratch + job.scales_at + 16 * r * f.limit_step
            call(job.square, staging, columns.samples, f.pitch, tile.parts, scales, f.limit_jump, target)
            staging, target = staging + line, target + f.pitch * tile.item
    call(job.measure, scratch + job.squares_at, address_of_record(f))


@compilation.outline
def _clear_line(job, f, scratch):
    """A line of zeros, as long as the rows of a rectangle; returns its address."""
    zeros = scratch + job.staging_at
    words = integers_at(zeros, 0)
    for k in range((f.columns.outputs * job.tile.parts * job.tile.item + 7) // 8):
        words[k] = 0
    return zeros


@compilation.outline
def _store_zeros(tile, zeros, f, out_corner, strides, down, across, row, rows, column, columns):
    """Store zeros in some outputs of a rectangle, from a line of them."""
    size = tile.parts * tile.item
    target = out_corner + (down.start + f.rows.low + row) * strides[2]
    target += (across.start + f.columns.low + column) * strides[3]
    call(
        tile.store,
        zeros, 0, size, tile.item,
        target, strides[2], strides[3], tile.out_item,
        rows, columns, tile.parts, tile.rescale,
    )  # fmt: skip


@compilation.outline
def _store_empty(job, f, scratch, out_corner, strides, down, across):
    """Store zeros in the outputs of a rectangle without anything under the kernel, and mark them as done."""
    columns, zeros = f.columns.outputs, 0
    for r in range(f.rows.outputs):
        line, c = f.kinds + r * columns, 0
        kinds = bytes_at(line, 0)
        while c < columns:
            while c < columns and kinds[c] != NOTHING:
                eight = load(integers_at(line + c, 0))
                c += 8 if eight == ENOUGH * _EIGHT or eight == TOO_LITTLE * _EIGHT else 1
            end, stop = min(c, columns), r + 1
            while end < columns and kinds[end] == NOTHING:
                is_run = end + 8 <= columns and load(integers_at(line + end, 0)) == NOTHING * _EIGHT
                end += 8 if is_run else 1
            if end > c:
                while stop < f.rows.outputs and _take_run(bytes_at(f.kinds, stop * columns), c, end):
                    stop += 1
                if zeros == 0:
                    zeros = _clear_line(job, f, scratch)
                _store_zeros(job.tile, zeros, f, out_corner, strides, down, across, r, stop - r, c, end - c)
            c = end


@compilation.outline
def _take_run(kinds, begin, end):
    """Mark a run of a row as done if all of it is empty; returns whether it was."""
    count = 0
    for c in range(begin, end):
        count += 1 if kinds[c] == NOTHING else 0
    if count < end - begin:
        return False
    for c in range(begin, end):
        kinds[c] = CLEARED
    return True


@compilation.outline
def _open_small_results(job, f, scratch, judged, out_corner, strides, down, across):
    """Open the groups with a result that is too small, and not marked as empty; close all others.

    Returns whether there are any.
    """
    tile, columns, staging, sizes_at = job.tile, f.columns, scratch + job.staging_at, scratch + job.spare_at
    least, sizes, found = tile.check.least_result, doubles_at(sizes_at, 0), False
    for k in range(f.rows.groups * columns.groups):
        bytes_at(f.open, k)[0] = 0
    for r in range(f.rows.outputs):
        source = out_corner + (down.start + f.rows.low + r) * strides[2]
        source += (across.start + columns.low) * strides[3]
        call(
            job.load,
            source, strides[2], strides[3], tile.out_item,
            staging, columns.outputs * tile.item, tile.item, tile.item,
            1, columns.outputs, 1, 0,
        )  # fmt: skip
        call(job.widen, staging, columns.outputs, sizes_at)
        group = (r + f.rows.phase) // f.rows.cell * columns.groups
        kinds = bytes_at(f.kinds, r * columns.outputs)
        for c in range(columns.outputs):
            bound = judged[(f.rows.low + r) * f.limit_step + (columns.low + c) * f.limit_jump]
            if not sizes[c] >= least * bound and kinds[c] != NOTHING and kinds[c] != CLEARED:  # a NaN, too
                bytes_at(f.open, group + (c + columns.phase) // columns.cell)[0] = 1
                found = True
    return found


@compilation.outline
def _mark(job, f, k, least, zeros, is_cut):
    """The mark of an open group.

    Its least sum over the core of the kernel is `least`, but for `zeros` outputs; under all of the kernel the measured.
    """
    unknown = UNKNOWN_SHORT_SUM if job.tile.item == 4 else UNKNOWN_SUM
    limit = doubles_at(f.limits, k // f.columns.groups * f.limit_step + k % f.columns.groups * f.limit_jump)[0]
    if zeros != doubles_at(f.zeros, k)[0]:  # something is under the kernel, and nothing in its core
        return LOST
    if least >= limit:
        return 0
    mark = mark_of(least, limit) if least > unknown and limit < math.inf else LOST
    is_quiet = doubles_at(f.most, k)[0] < limit * _NEARLY_ONE
    if mark == LOST or (is_cut and not is_quiet) or (f.limit_jump != 0 and not is_quiet):
        return LOST
    return mark if zeros == 0 and is_quiet else mark + PATCHY - QUIET


_NEARLY_ONE = 1 - 2.0**-6  # sums are rounded


@compilation.outline
def _test_rectangle(job, head, scratch, judged, kept, tested, corner, out_corner, strides, down, across, groups):
    """Test the outputs of the groups in a rectangle that are marked as `tested`, which are VAGUE or SMALL.

    Zeros are stored where there is nothing but zeros under the kernel.
    """
    tile, check, w, (start, stop, begin, end) = job.tile, job.tile.check, head.windows, groups
    f = _locate_rectangle(job, head, scratch, down, across, groups)
    _set_limits(job, f, scratch, judged)
    width, numbers, relative = end - begin, (stop - start) * (end - begin), tested == SMALL
    for i in range(start, stop):
        for j in range(begin, end):
            mark = bytes_at(w.marks, i * w.marks_pitch + j)[0]
            bytes_at(f.open, (i - start) * width + j - begin)[0] = types.uint8(mark == tested)
    _clear_kinds(f)
    f.all_open = False
    is_cut = check.rows < tile.down.taps or check.columns < tile.across.taps
    least, zeros = doubles_at(f.least, 0), doubles_at(f.zeros, 0)
    if relative:
        _open_small_results(job, f, scratch, judged, out_corner, strides, down, across)
    else:
        _set_samples(f.rows, tile.down, check.first_row, check.rows, down)
        _set_samples(f.columns, tile.across, check.first_column, check.columns, across)
        _sum_squares(job, f, scratch, corner, strides, down, across)
        if is_cut:
            least, zeros = doubles_at(scratch + job.core_least_at, 0), doubles_at(scratch + job.core_zeros_at, 0)
            for k in range(numbers):
                least[k], zeros[k] = doubles_at(f.least, k)[0], doubles_at(f.zeros, k)[0]
    is_open = False
    for k in range(numbers):
        is_open = is_open or bytes_at(f.open, k)[0] != 0
    if is_open and (relative or is_cut):
        _clear_kinds(f)
        f.all_open = True
        _set_samples(f.rows, tile.down, 0, tile.down.taps, down)
        _set_samples(f.columns, tile.across, 0, tile.across.taps, across)
        _sum_squares(job, f, scratch, corner, strides, down, across)
    if is_open:
        _store_empty(job, f, scratch, out_corner, strides, down, across)
        if relative:
            _open_small_results(job, f, scratch, judged, out_corner, strides, down, across)
    for i in range(start, stop):
        for j in range(begin, end):
            place, k = bytes_at(w.marks, i * w.marks_pitch + j), (i - start) * width + j - begin
            if place[0] == tested:
                mark = 0
                if bytes_at(f.open, k)[0] != 0:
                    mark = LOST if relative else _mark(job, f, k, least[k], zeros[k], is_cut)
                place[0] = types.uint8(mark)
                if PATCHY <= mark < LOST:
                    _keep_outputs(job, f, kept, i - start, j - begin)


@compilation.outline
def _keep_outputs(job, f, kept, i, j):
    """Note which outputs of a group keep their results."""
    rows, columns = f.rows, f.columns
    begin, end = max(0, j * columns.cell - columns.phase), min(columns.outputs, (j + 1) * columns.cell - columns.phase)
    for r in range(max(0, i * rows.cell - rows.phase), min(rows.outputs, (i + 1) * rows.cell - rows.phase)):
        target = bytes_at(kept, (rows.low + r) * job.tile.across.step + columns.low)
        kinds = bytes_at(f.kinds, r * columns.outputs)
        for c in range(begin, end):
            target[c] = types.uint8(kinds[c] != TOO_LITTLE)


@compilation.outline
def _clear_kinds(f):
    """Forget what is known of the outputs of a rectangle."""
    words = integers_at(f.kinds, 0)
    for k in range((f.rows.outputs * f.columns.outputs + 7) // 8):
        words[k] = 0


@compilation.outline
def _empty_rectangle(job, head, scratch, out_corner, strides, down, across, groups):
    """Store zeros in the outputs of a rectangle of groups."""
    f = _locate_rectangle(job, head, scratch, down, across, groups)
    zeros = _clear_line(job, f, scratch)
    _store_zeros(job.tile, zeros, f, out_corner, strides, down, across, 0, f.rows.outputs, 0, f.columns.outputs)


@compilation.inline
def _squares(job, height, width):
    """Elements of so many rows of squares."""
    lanes = 2 * job.tile.lanes
    return height * (-(-width // lanes) * lanes)


@compilation.outline
def _rectangle(job, w, i, j, dense):
    """The largest rectangle of groups marked as one is, first across and then down, whose samples fit the buffers.

    If it is `dense`, of any marks.
    """
    tile, mark = job.tile, bytes_at(w.marks, i * w.marks_pitch + j)[0]
    height = tile.cell_rows + tile.down.taps
    end = j + 1
    while end < w.across and (dense or bytes_at(w.marks, i * w.marks_pitch + end)[0] == mark):
        if _squares(job, height, (end - j + 1) * tile.cell_columns + tile.across.taps) > job.capacity:
            break
        end += 1
    stop, width = i + 1, (end - j) * tile.cell_columns + tile.across.taps
    while stop < w.down and _squares(job, (stop - i + 1) * tile.cell_rows + tile.down.taps, width) <= job.capacity:
        marked = True
        for k in range(j, end):
            marked = marked and (dense or bytes_at(w.marks, stop * w.marks_pitch + k)[0] == mark)
        if not marked:
            break
        stop += 1
    return i, stop, j, end


@compilation.outline
def _count(w, mark):
    """The number of groups with a mark."""
    count = 0
    for i in range(w.down):
        marks = bytes_at(w.marks, i * w.marks_pitch)
        for j in range(w.across):
            count += 1 if marks[j] == mark else 0
    return count


@compilation.outline
def _next(w, i, j, mark):
    """The next group with a mark, which one has."""
    while bytes_at(w.marks, i * w.marks_pitch + j)[0] != mark:
        j += 1
        if j >= w.across:
            i, j = i + 1, 0
            if i >= w.down:
                return 0, 0
    return i, j


@compilation.outline
def _replace_marks(w, groups, old, new):
    """Replace the marks of a rectangle that have one value by another; returns how many did."""
    (start, stop, begin, end), count = groups, 0
    for i in range(start, stop):
        marks = bytes_at(w.marks, i * w.marks_pitch)
        for j in range(begin, end):
            count += 1 if marks[j] == old else 0
            marks[j] = new if marks[j] == old else marks[j]
    return count


@compilation.outline
def _is_dense(job, w, mark, left):
    """Whether to test all of a tile takes less time than to test its `left` groups with a mark alone."""
    tile, cost, i, j = job.tile, 0, 0, 0
    height, width = w.down * tile.cell_rows, w.across * tile.cell_columns
    whole = _squares(job, height + tile.down.taps, width + tile.across.taps)
    if whole > job.capacity:
        whole *= 2  # blocks overlap
    while left > 0 and cost <= whole:
        i, j = _next(w, i, j, mark)
        start, stop, begin, end = groups = _rectangle(job, w, i, j, False)
        height, width = (stop - start) * tile.cell_rows, (end - begin) * tile.cell_columns
        cost += _squares(job, height + tile.down.taps, width + tile.across.taps)
        left -= max(1, _replace_marks(w, groups, mark, types.uint8(_SEEN)))
    _replace_marks(w, (0, w.down, 0, w.across), types.uint8(_SEEN), mark)
    return cost > whole


@compilation.outline
def _test_tile(x, out, job, head, scratch, number, marks, judged, kept):
    """Test the marked outputs of a tile."""
    tile = job.tile
    unit, second = number // tile.packed_tiles, number % tile.packed_tiles
    tile_moves.locate_unit(tile, unit, head)
    x_corner, out_corner = corners(x, out, tile, unit // tile.units_of_plane)
    strides = tile_moves.plane_strides(x, tile) + tile_moves.plane_strides(out, tile)
    down, across = head.down, head.across
    if second:
        down, across = head.second_down, head.second_across
    tile_checks.set_windows(tile, head, scratch, marks, down, across)
    w, i, j, left = head.windows, 0, 0, _count(head.windows, EMPTY)
    while left > 0:
        i, j = _next(w, i, j, types.uint8(EMPTY))
        groups = _rectangle(job, w, i, j, False)
        _empty_rectangle(job, head, scratch, out_corner, strides, down, across, groups)
        left -= max(1, _replace_marks(w, groups, types.uint8(EMPTY), types.uint8(0)))
    bounds = doubles_at(judged, unit * job.judged_step)
    for mark in (types.uint8(VAGUE), types.uint8(SMALL)):
        _test_marked(job, head, scratch, bounds, kept, mark, x_corner, out_corner, strides, down, across)


@compilation.outline
def _test_marked(job, head, scratch, bounds, kept, mark, corner, out_corner, strides, down, across):
    """Test the outputs of a tile with a mark, rectangle by rectangle, or block by block."""
    w, i, j = head.windows, 0, 0
    left = _count(w, mark)
    if left > 0 and _is_dense(job, w, mark, left):
        _, height, _, width = _rectangle(job, w, 0, 0, True)
        for i in range(0, w.down, height):
            for j in range(0, w.across, width):
                groups = i, min(i + height, w.down), j, min(j + width, w.across)
                if _replace_marks(w, groups, mark, mark) > 0:
                    _test_rectangle(
                        job, head, scratch, bounds, kept, mark, corner, out_corner, strides, down, across, groups
                    )
        return
    while left > 0:
        i, j = _next(w, i, j, mark)
        groups = _rectangle(job, w, i, j, False)
        left -= max(1, _replace_marks(w, groups, mark, mark))
        _test_rectangle(job, head, scratch, bounds, kept, mark, corner, out_corner, strides, down, across, groups)


def run(x, out, job, progress, listed, judged, kept, limit, max_spins, scratch):
    """Test the marked outputs of tiles.

    Parameters
    ----------
    x, out : view
        Arrays that `job` describes.
    job : view
        A `REFINEMENT_JOB`.
    progress : view
        `progress_counters`, and what follows them, shared by all calls of a job.
    listed : view
        The numbers of the tiles, by unit and by tile in the unit.
    judged : view
        For each unit: the bound of its norm, or that of each line.
    kept : view
        For each output of each tile: whether its result is kept where its group is `PATCHY`.
    limit : intp
        How many tiles to test at most.
    max_spins : intp
        How often to check, when no tile is left to take, whether other threads have finished theirs.
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
    head, count = head_at(scratch, 0), counters[COUNT]
    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        piece = take_piece(progress)
        if piece >= count:
            break
        taken += 1
        number = integers_at(listed.address, piece)[0]
        marks = counters[MARKS] + number * job.tile.marks_down * job.tile.marks_across
        outputs = kept.address + number * job.tile.down.step * job.tile.across.step
        _test_tile(x, out, job, head, scratch, number, marks, judged.address, outputs)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
