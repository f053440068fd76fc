"""The loop over tiles of overlap-save whose samples may be missing: the real parts of a plane are samples times their
weights, the imaginary parts these weights; a kernel of one sign.

Both go through the transforms as the two packed tiles of `overlap_save_loop`, at the same place. So that the rounding
errors of one do not drown the other, that which is smaller on average is multiplied by a power of two. Results are
divided as they are stored.

A sum of weights below the limit of rule RELATIVE may have no correct bit, and may be that of missing samples only.
Where all cells around a group of outputs hold no weight at all, nothing is known there; other groups with such a sum
are marked, to be computed directly. Sums of samples are checked by the rule of the problem, in the same groups.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corner_of, corners
from fastconv._microkernels.job_records import Record, address_of_record, reader
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.spectra.footprint_windows import EMPTY, VAGUE
from fastconv._microkernels.spectra.sample_sums import BOTH, begin_sums
from fastconv._microkernels.spectra.tile_checks import clamp, compare_tile, judge_unit, signs_of_unit
from fastconv._microkernels.spectra.tile_job import ALL_STEPS, COUNT, HEAD, MARKS, TILE_JOB, head_at
from fastconv._microkernels.spectra.tile_moves import (
    locate_unit,
    pack,
    pack_rectangle,
    plane_strides,
    rectangle,
    window,
)
from fastconv._microkernels.spectra.tile_transforms import transform_unit
from fastconv._model.guarantees import RAW, RELATIVE
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import bytes_at, call, doubles_at, integers_at

PAIR_JOB = Record(
    "PairJob",
    {
        "tile": TILE_JOB,
        # Packs nothing, but multiplies what is packed by weights.
        "weighing": TILE_JOB,
        # Addresses of compiled routines.
        "divide": np.intp,
        "scale": np.intp,
        "divide_parameters": np.intp,
        "sample_weights": np.intp,  # addresses of arrays, 0 for none, and of their strides
        "sample_weight_strides": np.intp,
        "shares": np.intp,
        "share_strides": np.intp,
        "most_exponent": np.intp,  # of factors
    },
)
_job_at = reader(PAIR_JOB)
_NOT_FINITE_AT = HEAD.offset("not_finite")
_MANTISSA_BITS, _BIAS = 52, 1023
_TRANSFORMS = sum(ALL_STEPS[1:-1])
# Sums of samples and of weights whose exponents differ by so much are not scaled.
_ALIKE = 2


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, n, n, n, n)


@compilation.outline
def _pack_unit(job, scratch, head, plane, corner, row_stride, column_stride, weights_corner):
    """Bring the samples of a tile and their weights into its plane, and sum their sizes."""
    tile, down, across, sums = job.tile, head.down, head.across, head.sums
    staging, second_staging = scratch + tile.staging_at, scratch + tile.second_staging_at
    begin_sums(sums)
    sums.cells_pitch, sums.cell_rows = tile.cells_pitch, tile.cell_rows
    sums.cell_vectors, sums.lanes_of_cell = tile.cell_vectors, tile.lanes_of_cell
    for r in range(0, tile.rows, tile.staging_rows):
        rows = min(tile.staging_rows, tile.rows - r)
        if down.gaps or across.gaps:
            words = integers_at(second_staging, 0)
            for k in range(rows * tile.columns * tile.item // 8):
                words[k] = 0
        pack(tile, staging, r, rows, corner, row_stride, column_stride, down, across)
        if weights_corner != 0:
            top, bottom, left, right = rectangle(tile, r, rows)
            steps = integers_at(job.sample_weight_strides, 0)
            row_step = steps[tile.row_axis] if tile.row_axis >= 0 else 0
            pack_rectangle(
                job.weighing, staging, tile.columns * tile.item, top, bottom, left, right,
                weights_corner, row_step, steps[tile.column_axis], down, across, False,
            )  # fmt: skip
        target, cells = plane + r * tile.pitch * tile.item, r // tile.cell_rows * tile.cells_pitch * tile.item
        sums.cells, sums.second_cells = plane + tile.cells_at + cells, plane + tile.second_cells_at + cells
        call(
            tile.to_plane,
            staging, second_staging, tile.columns, target, tile.pitch, rows, tile.columns, address_of_record(sums),
        )  # fmt: skip


@compilation.inline
def _exponent(number, scratch):
    """The exponent of a positive float64."""
    doubles_at(scratch, 0)[0] = number
    return (integers_at(scratch, 0)[0] >> _MANTISSA_BITS) - _BIAS


@compilation.inline
def _power(exponent, scratch):
    """A power of two as a float64."""
    integers_at(scratch, 0)[0] = (exponent + _BIAS) << _MANTISSA_BITS
    return doubles_at(scratch, 0)[0]


@compilation.outline
def _scale(job, scratch, head, plane):
    """Scale samples or weights of a plane, that they have the same size; returns the exponents of both factors."""
    tile, sums, spare = job.tile, head.sums, scratch + job.tile.transposed_at
    total, second = sums.total, sums.second_total
    if not (0 < total < math.inf and 0 < second < math.inf):
        return 0, 0
    exponent = _exponent(total, spare) - _exponent(second, spare)
    if abs(exponent) <= _ALIKE:
        return 0, 0
    size = min(abs(exponent), job.most_exponent)
    factor, bits = _power(size, spare), integers_at(spare, 0)[0]
    place, cells = plane, plane + tile.cells_at
    if exponent > 0:
        place, cells = plane + tile.lanes * tile.item, plane + tile.second_cells_at
        sums.second_total *= factor
        sums.second_highest *= factor
    else:
        sums.total *= factor
        sums.highest *= factor
        sums.lowest *= factor
    call(job.scale, place, tile.pitch, tile.rows, tile.columns // tile.lanes, 2 * tile.lanes, bits)
    count = tile.rows // tile.cell_rows * tile.cells_pitch
    call(job.scale, cells, 0, 1, -(-count // tile.lanes), tile.lanes, bits)
    return (0, size) if exponent > 0 else (size, 0)


@compilation.outline
def _settle_line(job, head, scratch, marks, group_row, line, begin, width, sign, least):
    """Clear the results of a line, of `width` from output `begin` on, where nothing is; mark groups with small ones."""
    tile, w, check = job.tile, head.windows, job.tile.check
    groups, cell = marks + group_row * w.marks_pitch, tile.cell_columns
    first = tile.across.skip - (check.first_column + check.columns - 1)
    start = -(-first // cell)
    c = begin
    while c < begin + width:
        number = -(-(first + c) // cell)
        stop = min(begin + width, number * cell - first + 1)
        mark = bytes_at(groups, number - start)
        results = line + (c - begin) * tile.item
        if mark[0] == EMPTY:
            clamp(tile, head, scratch, results, 1, stop - c, 0)
        elif sign != BOTH:
            clamp(tile, head, scratch, results, 1, stop - c, sign)
            if not head.least >= least:
                mark[0] = VAGUE
        c = stop


@compilation.outline
def _settle(job, head, scratch, marks, some_empty, results, first, height, begin, width, sign, least):
    """Clamp results at zero, clear those without anything under the kernel, and mark groups with one below `least`.

    They are `height` lines from output `first` on. Results of both signs are left as they are.
    """
    tile, check, line = job.tile, job.tile.check, job.tile.columns * job.tile.item
    if sign != BOTH:
        clamp(tile, head, scratch, results, height, width, sign)
    if not some_empty and (sign == BOTH or sign == 0 or head.least >= least):
        return
    top = tile.down.skip - (check.first_row + check.rows - 1)
    for r in range(height):
        row = 0
        if not tile.four_step:
            row = -(-(top + first + r) // tile.cell_rows) - -(-top // tile.cell_rows)
        _settle_line(job, head, scratch, marks, row, results + r * line, begin, width, sign, least)


@compilation.outline
def _keep_empty(tile, marks):
    """Remove all marks but `EMPTY`."""
    for k in range(tile.marks_down * tile.marks_across):
        mark = bytes_at(marks, k)
        if mark[0] != EMPTY:
            mark[0] = 0


@compilation.outline
def _some_empty(tile, marks):
    """Whether a group is marked as `EMPTY`."""
    found = False
    for k in range(tile.marks_down * tile.marks_across):
        found = found or bytes_at(marks, k)[0] == EMPTY
    return found


@compilation.outline
def _unscale(job, scratch, results, rows, width, exponent):
    """Divide results of both parts by the factor of samples or weights."""
    tile = job.tile
    spare = scratch + tile.transposed_at
    _power(-exponent, spare)
    bits = integers_at(spare, 0)[0]
    call(job.scale, results, tile.columns, rows, width // tile.lanes, tile.lanes, bits)


@compilation.outline
def _divide(job, staging, head, first, height, start, length, corner, row_stride, column_stride, shares_corner):
    """Divide some lines of results, from output `first` and `start` on, into the output."""
    tile, down, across = job.tile, head.down, head.across
    shares, row_step, column_step = 0, 0, 0
    if shares_corner != 0:
        steps = integers_at(job.share_strides, 0)
        row_step, column_step = steps[tile.row_axis] if tile.row_axis >= 0 else 0, steps[tile.column_axis]
        shares = shares_corner + (down.start + first) * row_step + (across.start + start) * column_step
    call(
        job.divide,
        staging, staging + tile.part_step, tile.columns * tile.item,
        corner + (down.start + first) * row_stride + (across.start + start) * column_stride,
        row_stride, column_stride, tile.out_item,
        shares, row_step, column_step, tile.item,
        height, length, 2, job.divide_parameters,
    )  # fmt: skip


@compilation.outline
def _store_unit(job, scratch, head, plane, exponent, second_exponent, marks, corner, strides, shares_corner):
    """Divide the results of a tile into the output; note whether all are finite, and mark what is too imprecise."""
    tile, down, across = job.tile, head.down, head.across
    staging, second_staging = scratch + tile.staging_at, scratch + tile.second_staging_at
    second_marks, rule = marks + tile.marks_down * tile.marks_across, tile.check.rule
    lines, bounds = judge_unit(tile, scratch, head, plane), doubles_at(scratch + tile.bounds_at, 0)
    sign, second_sign = signs_of_unit(tile, head, plane)
    alone, bound = tile.across.transformed and not tile.down.transformed, bounds[0]
    for k in range(1, lines):
        bound = max(bound, bounds[k])
    least = tile.check.least_result * bound
    if second_sign != 0:
        compare_tile(tile, head, scratch, plane, second_marks, 1, 0, tile.rows, False, down, across)
        _keep_empty(tile, second_marks)
    if sign != 0 and rule != RAW:
        compare_tile(tile, head, scratch, plane, marks, 0, 0, tile.rows, False, down, across)
    relative = sign != 0 and sign != BOTH and rule == RELATIVE
    if relative:  # results are tested themselves
        _keep_empty(tile, marks)
    empty, second_empty = _some_empty(tile, marks), _some_empty(tile, second_marks)

    left = head.first_column
    skipped, wide = left * tile.item, -(-(head.stop_column - left) // tile.lanes) * tile.lanes
    head.not_finite = 0
    for r in range(head.first_row, head.stop_row, tile.staging_rows):
        rows = min(tile.staging_rows, head.stop_row - r)
        call(
            tile.from_plane,
            staging + skipped, second_staging + skipped, tile.columns,
            plane + (r * tile.pitch + 2 * left) * tile.item, tile.pitch, rows, wide, scratch + _NOT_FINITE_AT,
        )  # fmt: skip
        up, above, height, before, begin, width = window(tile, r, rows, down, across)
        if height <= 0 or width <= 0:
            continue
        at, first, start = (above * tile.columns + begin) * tile.item, up + above - tile.down.skip, before + begin
        start -= tile.across.skip
        weights, samples, some = second_staging + at, staging + at, 1 if alone else height
        for k in range(0, height, some):  # lines that do not mix have bounds of their own
            if alone:
                least = tile.check.least_result * bounds[first + k]
            limit, down_to = least if relative else -1.0, k * tile.columns * tile.item
            _settle(
                job, head, scratch, second_marks, second_empty, weights + down_to, first + k, some, start, width,
                second_sign, least,
            )  # fmt: skip
            _settle(job, head, scratch, marks, empty, samples + down_to, first + k, some, start, width, sign, limit)
        if exponent != 0:
            _unscale(job, scratch, staging + skipped, rows, wide, exponent)
        if second_exponent != 0:
            _unscale(job, scratch, second_staging + skipped, rows, wide, second_exponent)
        _divide(job, samples, head, first, height, start, width, corner, strides[0], strides[1], shares_corner)


@compilation.inline
def _compute(x, out, job, head, counters, flags, spectrum, scratch, unit):
    """Compute a unit."""
    tile, plane, index = job.tile, scratch + job.tile.plane_at, unit // job.tile.units_of_plane
    x_strides, weights_corner, shares_corner = plane_strides(x, tile), 0, 0
    locate_unit(tile, unit, head)
    x_corner, out_corner = corners(x, out, tile, index)
    if job.sample_weights != 0:
        strides = integers_at(job.sample_weight_strides, 0)
        weights_corner = corner_of(job.sample_weights, strides, out, tile, index)
    if job.shares != 0:
        strides = integers_at(job.share_strides, 0)
        shares_corner = corner_of(job.shares, strides, out, tile, index)
    _pack_unit(job, scratch, head, plane, x_corner, x_strides[0], x_strides[1], weights_corner)
    exponent, second_exponent = _scale(job, scratch, head, plane)
    steps = types.intp(_TRANSFORMS)
    transform_unit(tile, head, plane, scratch + tile.transposed_at, spectrum, steps, 0, tile.rows, 0, tile.columns)
    marks = counters[MARKS] + unit * 2 * tile.marks_down * tile.marks_across
    _store_unit(
        job, scratch, head, plane, exponent, second_exponent, marks, out_corner, plane_strides(out, tile), shares_corner
    )
    if head.not_finite:
        integers_at(flags.address, unit)[0] = 1


def run(x, out, job, progress, flags, spectrum, limit, max_spins, scratch):
    """Compute tiles of `out`: as `overlap_save_loop.run`, with a `PAIR_JOB`, and two tables of marks of each unit."""
    floats = set_default_float_environment()
    job, counters = _job_at(job.address, 0), integers_at(progress.address, 0)
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
        _compute(x, out, job, head, counters, flags, spectrum, scratch, unit)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
