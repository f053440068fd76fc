"""The loop over tiles with marked outputs: the exact test of each, which unmarks those that are within the bound.

Marked groups of outputs are taken as rectangles. Their samples are packed once more, and the norm of the samples in the
core of each footprint is summed in float64, without a subtraction. Under the rule for results of one sign, results are
compared themselves.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels import tile_checks, tile_job, tile_moves
from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.footprint_windows import EMPTY, VAGUE, sum_windows
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.tile_job import COUNT, MARKS, TILE_JOB
from fastconv._model.guarantees import RELATIVE
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import advance, bytes_at, call, doubles_at, integers_at, load

# A job of overlap-save, and what the exact test needs in addition.
REFINEMENT_JOB = Record(
    "RefinementJob",
    {
        "tile": TILE_JOB,
        "square": np.intp,  # addresses of compiled routines
        "widen": np.intp,
        "load": np.intp,  # from the output to the compute type
        "capacity": np.intp,  # samples in each buffer
        "judged_step": np.intp,  # numbers of each unit in `judged`
    },
)
_job_at = reader(REFINEMENT_JOB)

# Mark of a group whose outputs have been tested and are not within the bound, until all of a tile are tested.
_TESTED = 3

# One axis of a rectangle of groups.
_SIDE = Record(
    "Side",
    {
        "low": np.intp,  # first output,
        "outputs": np.intp,
        "first": np.intp,  # first sample,
        "samples": np.intp,
        "taps": np.intp,  # and samples of a footprint
    },
)
_SIDES = Record("Sides", {"rows": _SIDE, "columns": _SIDE, "factor": np.float64})
_sides_at = reader(_SIDES)


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, view, n, n, n)


def square_signature(dtype):
    """Signature of `square`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n)


def square(samples, count, parts, factor, target):
    """Squares of samples times the float64 at `factor`, in float64 at `target`; those of both parts are added.

    Only those of zeros are zero.
    """
    scale, squares = doubles_at(factor, 0)[0], doubles_at(target, 0)
    if parts == 1:
        for k in range(count):
            value = float(load(advance(samples, k)))
            size = max(value * scale * (value * scale), _LEAST_SQUARE)
            squares[k] = 0.0 if value == 0 else size
    else:
        for k in range(count):
            real, imag = float(load(advance(samples, 2 * k))), float(load(advance(samples, 2 * k + 1)))
            size = max(real * scale * (real * scale) + imag * scale * (imag * scale), _LEAST_SQUARE)
            squares[k] = 0.0 if real == 0 and imag == 0 else size


_LEAST_SQUARE = 1e-290
_LEAST_LIMIT = 1e-140


def widen(samples, count, parts, factor, target):
    """Sizes of samples times the float64 at `factor`, in float64 at `target`."""
    scale, sizes = doubles_at(factor, 0)[0], doubles_at(target, 0)
    for k in range(count):
        sizes[k] = abs(float(load(advance(samples, k)))) * scale


@compilation.outline
def _set_outputs(side, axis, first_tap, taps, cell, extent, first_window, start, stop):
    """The outputs of the groups from `start` to `stop` along an axis."""
    begin = axis.skip - (first_tap + taps - 1)
    side.low = max(0, (first_window + start - 1) * cell + 1 - begin)
    side.outputs = min(extent.length - 1, (first_window + stop - 1) * cell - begin) - side.low + 1


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
def _locate_rectangle(job, head, sides, down, across, groups):
    """The outputs of a rectangle of groups along both axes."""
    tile, check, w, (start, stop, begin, end) = job.tile, job.tile.check, head.windows, groups
    _set_outputs(sides.rows, tile.down, check.first_row, check.rows, tile.cell_rows, down, w.first_row, start, stop)
    _set_outputs(
        sides.columns, tile.across, check.first_column, check.columns, tile.cell_columns, across,
        w.first_column, begin, end,
    )  # fmt: skip


@compilation.outline
def _sum_squares(job, sides, target, spare, staging, factor, corner, strides, down, across):
    """Sum the squares of the samples under the kernel of each output of a rectangle, at the address `target`."""
    tile, rows, columns = job.tile, sides.rows, sides.columns
    line = columns.samples * tile.parts * tile.item
    tile_moves.pack_rectangle(
        tile, staging, line, rows.first, rows.first + rows.samples, columns.first, columns.first + columns.samples,
        corner, strides[0], strides[1], down, across, True,
    )  # fmt: skip
    count = rows.samples * columns.samples
    call(job.square, staging, count, tile.parts, factor, target)
    sum_windows(doubles_at(target, 0), doubles_at(spare, 0), count, 1, columns.taps)
    sum_windows(doubles_at(target, 0), doubles_at(spare, 0), count, columns.samples, rows.taps)


@compilation.outline
def _store_zeros(tile, zeros, sides, out_corner, strides, down, across, row, rows, column, columns):
    """Store zeros in some outputs of a rectangle, from a line of them."""
    target = out_corner + (down.start + sides.rows.low + row) * strides[2]
    target += (across.start + sides.columns.low + column) * strides[3]
    size = tile.parts * tile.item
    call(
        tile.store,
        zeros, 0, size, tile.item,
        target, strides[2], strides[3], tile.out_item,
        rows, columns, tile.parts, tile.rescale,
    )  # fmt: skip


@compilation.outline
def _store_empty(job, sides, everything, pitch, zeros, out_corner, strides, down, across):
    """Store zeros in the outputs of a rectangle without anything under the kernel, from a line at `zeros`."""
    rows, columns, cleared = sides.rows, sides.columns, False
    for r in range(rows.outputs):
        c = 0
        while c < columns.outputs:
            end = c
            while end < columns.outputs and everything[r * pitch + end] == 0:
                end += 1
            if end > c:
                if not cleared:
                    cleared, words = True, integers_at(zeros, 0)
                    for k in range((columns.outputs * job.tile.parts * job.tile.item + 7) // 8):
                        words[k] = 0
                _store_zeros(job.tile, zeros, sides, out_corner, strides, down, across, r, 1, c, end - c)
            c = end + 1


@compilation.outline
def _test_rectangle(job, head, scratch, judged, relative, corner, out_corner, strides, down, across, groups):
    """Test the outputs of a rectangle of groups, and store zeros where there is nothing but zeros under the kernel."""
    tile, w, check, (start, stop, begin, end) = job.tile, head.windows, job.tile.check, groups
    base = scratch + tile.transposed_at
    sides = _sides_at(base, 0)
    rows, columns = sides.rows, sides.columns
    _locate_rectangle(job, head, sides, down, across, groups)
    step = 1 if tile.across.transformed and not tile.down.transformed else 0
    jump = 1 if tile.down.transformed and not tile.across.transformed else 0
    bound = 0.0
    for k in range((rows.outputs - 1) * step + (columns.outputs - 1) * jump + 1):
        bound = max(bound, judged[rows.low * step + columns.low * jump + k])
    sides.factor, factor = 1 / bound if bound > 0 else 0.0, base + _FACTOR_AT
    sums, spare, held, staging = (
        base + _BUFFERS_AT, base + _BUFFERS_AT + 8 * job.capacity, base + _BUFFERS_AT + 16 * job.capacity,
        base + _BUFFERS_AT + 24 * job.capacity,
    )  # fmt: skip
    # All samples under the kernel.
    _set_samples(rows, tile.down, 0, tile.down.taps, down)
    _set_samples(columns, tile.across, 0, tile.across.taps, across)
    _sum_squares(job, sides, held, spare, staging, factor, corner, strides, down, across)
    everything, everything_pitch, values, pitch = doubles_at(held, 0), columns.samples, held, columns.samples
    if relative:
        source = out_corner + (down.start + rows.low) * strides[2] + (across.start + columns.low) * strides[3]
        call(
            job.load,
            source, strides[2], strides[3], tile.out_item,
            staging, columns.outputs * tile.item, tile.item, tile.item,
            rows.outputs, columns.outputs, 1, 0,
        )  # fmt: skip
        values, pitch, count = sums, columns.outputs, rows.outputs * columns.outputs
        call(job.widen, staging, count, 1, factor, sums)
        sizes, norm = doubles_at(sums, 0), check.least_result / check.least_norm
        for k in range(count):
            size = sizes[k] / norm
            sizes[k] = size * size
    elif check.rows < tile.down.taps or check.columns < tile.across.taps:
        _set_samples(rows, tile.down, check.first_row, check.rows, down)
        _set_samples(columns, tile.across, check.first_column, check.columns, across)
        _sum_squares(job, sides, sums, spare, staging, factor, corner, strides, down, across)
        values, pitch = sums, columns.samples

    _store_empty(job, sides, everything, everything_pitch, spare, out_corner, strides, down, across)
    found, limit = doubles_at(values, 0), check.least_norm * sides.factor
    row_begin = tile.down.skip - (check.first_row + check.rows - 1)
    column_begin = tile.across.skip - (check.first_column + check.columns - 1)
    for i in range(start, stop):
        top = max(0, (w.first_row + i - 1) * tile.cell_rows + 1 - row_begin) - rows.low
        bottom = min(rows.outputs - 1, (w.first_row + i) * tile.cell_rows - row_begin - rows.low)
        for j in range(begin, end):
            left = max(0, (w.first_column + j - 1) * tile.cell_columns + 1 - column_begin) - columns.low
            right = min(columns.outputs - 1, (w.first_column + j) * tile.cell_columns - column_begin - columns.low)
            mark = 0
            for r in range(top, bottom + 1):
                for c in range(left, right + 1):
                    least = limit * judged[(r + rows.low) * step + (c + columns.low) * jump]
                    # Squares underflow of lines that are far below another one.
                    enough = least > _LEAST_LIMIT and found[r * pitch + c] >= least * least
                    if not enough and everything[r * everything_pitch + c] != 0:  # a NaN, too
                        mark = _TESTED
            bytes_at(w.marks, i * w.marks_pitch + j)[0] = mark


_FACTOR_AT = _SIDES.offset("factor")
_BUFFERS_AT = 128  # bytes, for `_SIDES`


@compilation.outline
def _empty_rectangle(job, head, scratch, out_corner, strides, down, across, groups):
    """Store zeros in the outputs of a rectangle of groups, and unmark these."""
    w, (start, stop, begin, end) = head.windows, groups
    sides = _sides_at(scratch + job.tile.transposed_at, 0)
    rows, columns = sides.rows, sides.columns
    _locate_rectangle(job, head, sides, down, across, groups)
    zeros = scratch + job.tile.transposed_at + _BUFFERS_AT
    words = integers_at(zeros, 0)
    for k in range((columns.outputs * job.tile.parts * job.tile.item + 7) // 8):
        words[k] = 0
    _store_zeros(job.tile, zeros, sides, out_corner, strides, down, across, 0, rows.outputs, 0, columns.outputs)
    for i in range(start, stop):
        for j in range(begin, end):
            bytes_at(w.marks, i * w.marks_pitch + j)[0] = 0


@compilation.outline
def _rectangle(job, w, i, j, dense):
    """The largest rectangle of groups marked as one is, first across and then down, whose samples fit the buffers.

    If it is `dense`, of any marks.
    """
    tile, mark = job.tile, bytes_at(w.marks, i * w.marks_pitch + j)[0]
    height = tile.cell_rows + tile.down.taps
    end = j + 1
    while end < w.across and (dense or bytes_at(w.marks, i * w.marks_pitch + end)[0] == mark):
        if height * ((end - j + 1) * tile.cell_columns + tile.across.taps) > job.capacity:
            break
        end += 1
    stop, width = i + 1, (end - j) * tile.cell_columns + tile.across.taps
    while stop < w.down and ((stop - i + 1) * tile.cell_rows + tile.down.taps) * width <= job.capacity:
        marked = True
        for k in range(j, end):
            marked = marked and (dense or bytes_at(w.marks, stop * w.marks_pitch + k)[0] == mark)
        if not marked:
            break
        stop += 1
    return i, stop, j, end


@compilation.outline
def _is_dense(job, w):
    """Whether to test all of a tile takes less time than to test its marked groups alone."""
    tile, cost = job.tile, 0
    for i in range(w.down):
        for j in range(w.across):
            if bytes_at(w.marks, i * w.marks_pitch + j)[0] == VAGUE:
                start, stop, begin, end = _rectangle(job, w, i, j, False)
                height, width = (stop - start) * tile.cell_rows, (end - begin) * tile.cell_columns
                cost += (height + tile.down.taps) * (width + tile.across.taps)
                for r in range(start, stop):
                    for c in range(begin, end):
                        bytes_at(w.marks, r * w.marks_pitch + c)[0] = _TESTED
    _replace_marks(w, _TESTED, VAGUE)
    height, width = w.down * tile.cell_rows, w.across * tile.cell_columns
    whole = (height + tile.down.taps) * (width + tile.across.taps)
    if whole > job.capacity:
        whole *= 2  # blocks overlap
    return cost > whole


@compilation.outline
def _any_vague(w, groups):
    """Whether a rectangle has a group that is marked as vague."""
    start, stop, begin, end = groups
    for i in range(start, stop):
        for j in range(begin, end):
            if bytes_at(w.marks, i * w.marks_pitch + j)[0] == VAGUE:
                return True
    return False


@compilation.outline
def _replace_marks(w, old, new):
    """Replace the marks of a tile that have one value by another."""
    for i in range(w.down):
        marks = bytes_at(w.marks, i * w.marks_pitch)
        for j in range(w.across):
            if marks[j] == old:
                marks[j] = new


@compilation.outline
def _test_tile(x, out, job, head, scratch, number, marks, judged):
    """Test the marked outputs of a tile."""
    tile = job.tile
    unit, second = number // tile.packed_tiles, number % tile.packed_tiles
    tile_moves.locate_unit(tile, unit, head)
    x_corner, out_corner = corners(x, out, tile, unit // tile.units_of_plane)
    x_row = x.strides[tile.row_axis] if tile.row_axis >= 0 else 0
    out_row = out.strides[tile.row_axis] if tile.row_axis >= 0 else 0
    strides = x_row, x.strides[tile.column_axis], out_row, out.strides[tile.column_axis]
    down, across = head.down, head.across
    if second:
        down, across = head.second_down, head.second_across
    tile_checks.set_windows(tile, head, scratch, marks, down, across)
    w, numbers = head.windows, doubles_at(judged, unit * job.judged_step)
    relative = numbers[second] != 0.0 and tile.check.rule == RELATIVE
    for i in range(w.down):
        for j in range(w.across):
            if bytes_at(w.marks, i * w.marks_pitch + j)[0] == EMPTY:
                groups = _rectangle(job, w, i, j, False)
                _empty_rectangle(job, head, scratch, out_corner, strides, down, across, groups)
    bounds = doubles_at(judged, unit * job.judged_step + 2)
    if _is_dense(job, w):  # block by block
        _, height, _, width = _rectangle(job, w, 0, 0, True)
        for i in range(0, w.down, height):
            for j in range(0, w.across, width):
                groups = i, min(i + height, w.down), j, min(j + width, w.across)
                if _any_vague(w, groups):
                    _test_rectangle(
                        job, head, scratch, bounds, relative, x_corner, out_corner, strides, down, across, groups
                    )
    for i in range(w.down):
        for j in range(w.across):
            if bytes_at(w.marks, i * w.marks_pitch + j)[0] == VAGUE:
                groups = _rectangle(job, w, i, j, False)
                _test_rectangle(
                    job, head, scratch, bounds, relative, x_corner, out_corner, strides, down, across, groups
                )
    _replace_marks(w, _TESTED, VAGUE)


def run(x, out, job, progress, listed, judged, limit, max_spins, scratch):
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
        For each unit: the signs of its two tiles, and bounds of its norms.
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
    head, count = tile_job.head_at(scratch, 0), counters[COUNT]
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
        _test_tile(x, out, job, head, scratch, number, marks, judged.address)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
