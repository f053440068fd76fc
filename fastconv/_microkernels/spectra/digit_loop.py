"""The loop over tiles of integers: `overlap_save_loop` with a plane for each digit, in float64.

Two integer tiles are packed in staging buffers of int64 and split into digits; a digit of both is a complex plane, or
two digits of a tile that is alone. All planes are transformed; their products with the digits of the kernel are added
in the spectrum, by weight; and what is transformed back is rounded, shifted and added modulo 2**64. Digits are so small
that rounding errors stay below a half: every result is exact. A single digit is the sample itself, where that is small
enough: squares of samples are summed on the way, and a tile with too large a sum is left out.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import (
    COUNTERS,
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.spectra import tile_job, tile_moves, tile_transforms
from fastconv._microkernels.spectra.digit_passes import DIGIT
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import call, integers_at

DIGIT_JOB = Record(
    "DigitJob",
    {
        "tile": tile_job.TILE_JOB,
        # Addresses of compiled routines.
        "split": np.intp,  # from staging to the plane of a digit
        "join": np.intp,  # and from that of a weight to staging
        "product": np.intp,  # of all planes with the kernel's digits
        "first_row_pass_back": np.intp,
        "store": np.intp,  # from staging to the output,
        "rescale": np.intp,  # with these parameters, 0 for none
        "result_item": np.intp,  # bytes of a result in staging
        "planes": np.intp,  # of samples
        "step": np.intp,  # digits of a tile in a plane
        "kernel_digits": np.intp,
        "results": np.intp,  # planes of results,
        "result_step": np.intp,  # from the weight of one to that of the next
        "base_bits": np.intp,
        "digit_table": np.intp,  # address: a `DIGIT` for each plane
        # Sizes in bytes, from one digit to the next.
        "plane_bytes": np.intp,
        "transposed_bytes": np.intp,
        "spectrum_bytes": np.intp,
        # Offsets in scratch memory, in bytes.
        "transposed_at": np.intp,
        "staging_at": np.intp,
        "second_staging_at": np.intp,
        "plane_at": np.intp,
        "shares": np.intp,  # 1, or the number of parts of all planes that threads work at together
        "share_rows": np.intp,
        "share_columns": np.intp,
    },
)
_job_at = reader(DIGIT_JOB)
HEAD_BYTES = tile_job.HEAD.dtype.itemsize  # at the start of scratch memory

# What follows the counters of progress: those of `tile_job`, and the limits, as bits of float64, below which
# the sum of a unit's squares, or the largest of them, must be.
LIMIT, LARGEST = range(COUNTERS + 3, COUNTERS + 5)
_FORWARD, _BACKWARD, _BOTH = range(3)
ALL_STEPS = _PACK, _COLUMNS, _ROWS, _COLUMNS_BACK, _STORE = tile_job.ALL_STEPS


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, view, n, n, n, n)


@compilation.outline
def _split(job, scratch, head, second, plane, top, bottom, corner, row_stride, column_stride, squares):
    """Bring rows `top` to `bottom` of a unit's tiles into the planes of their digits."""
    tile = job.tile
    staging = scratch + job.staging_at
    second_staging = scratch + job.second_staging_at if job.step == 1 else staging
    for r in range(top, bottom, tile.staging_rows):
        rows = min(tile.staging_rows, bottom - r)
        tile_moves.pack(tile, staging, r, rows, corner, row_stride, column_stride, head.down, head.across)
        if second:
            down, across = head.second_down, head.second_across
            tile_moves.pack(tile, second_staging, r, rows, corner, row_stride, column_stride, down, across)
        elif job.step == 1:
            words = integers_at(second_staging, 0)
            for k in range(rows * tile.columns):
                words[k] = 0
        target, pitch = plane + r * tile.pitch * tile.item, tile.pitch
        for k in range(job.planes):
            digit = job.digit_table + k * _DIGIT_BYTES
            call(job.split, staging, second_staging, tile.columns, target, pitch, rows, tile.columns, digit, squares)
            target += job.plane_bytes


_DIGIT_BYTES = DIGIT.dtype.itemsize


@compilation.outline
def _store(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the results of `rows` rows of a tile from row `first` on from a staging buffer to the output."""
    tile, item = job.tile, job.result_item
    line, top, left = tile.columns * item, tile.down.skip, tile.across.skip
    up, height, before, width = first, rows, 0, tile.columns
    if tile.four_step:
        up, height, before, width = 0, 1, first * tile.columns, rows * tile.columns
    above, begin = max(0, top - up), max(0, left - before)
    height = min(height, top + down.length - up) - above
    width = min(width, left + across.length - before) - begin
    if height > 0 and width > 0:
        target = corner + (down.start + up + above - top) * row_stride
        target += (across.start + before + begin - left) * column_stride
        call(
            job.store,
            staging + above * line + begin * item, line, item, item,
            target, row_stride, column_stride, item,
            height, width, 1, job.rescale,
        )  # fmt: skip


@compilation.outline
def _join(job, scratch, head, second, plane, first, last, columns, corner, row_stride, column_stride):
    """Add the planes of all weights, and store the results in their rows `first` to `last`."""
    tile = job.tile
    staging = scratch + job.staging_at
    second_staging = scratch + job.second_staging_at if job.step == 1 else staging
    skipped, width = columns[0] * job.result_item, -(-(columns[1] - columns[0]) // tile.lanes) * tile.lanes
    for r in range(first, last, tile.staging_rows):
        rows = min(tile.staging_rows, last - r)
        source, keep = plane + (r * tile.pitch + 2 * columns[0]) * tile.item, 0
        for k in range(job.results):
            shift, second_keep = k * job.result_step * job.base_bits, keep
            second_shift = shift + (job.step - 1) * job.base_bits
            if job.step == 2:
                second_keep = -1
            call(
                job.join,
                staging + skipped, second_staging + skipped, tile.columns,
                source, tile.pitch, rows, width, shift, keep, second_shift, second_keep,
            )  # fmt: skip
            source, keep = source + job.plane_bytes, -1
        _store(job, staging, r, rows, corner, row_stride, column_stride, head.down, head.across)
        if second:
            down, across = head.second_down, head.second_across
            _store(job, second_staging, r, rows, corner, row_stride, column_stride, down, across)


@compilation.outline
def _columns_of_digits(job, count, plane, first, last, middle, factors, width, direction):
    """Transform columns of the first `count` planes."""
    for k in range(count):
        data = plane + k * job.plane_bytes
        tile_transforms.transform_columns(job.tile, data, first, last, middle, factors, width, direction)


@compilation.outline
def _multiply(job, data, points, pitch, plane_bytes, factors):
    """Multiply `points` points of all planes by the spectra of the kernel's digits."""
    item = job.tile.item
    call(
        job.product,
        data, pitch, points, plane_bytes // item, factors, job.spectrum_bytes // item,
        job.planes, job.step, job.kernel_digits, job.results, job.result_step,
    )  # fmt: skip


@compilation.outline
def _rows_of_digits(job, plane, points, top, bottom, spectrum):
    """Transform rows of all planes, multiply them by the spectra, and transform them back."""
    tile = job.tile
    pitch, uniform = 2 * tile.lanes, types.intp(2)
    for r in range(top, bottom, tile.lanes):
        line, factors = plane + r * tile.pitch * tile.item, spectrum
        if tile.down.transformed:
            factors = spectrum + 2 * r * tile.columns * tile.item
        source, target = line, points
        for _ in range(job.planes):
            call(tile.transpose_rows, source, tile.pitch, target, tile.columns)
            forward = types.intp(_FORWARD)
            tile_transforms.transform(
                tile.across, tile.item, tile.columns, target, pitch, tile.last_row_pass, target, uniform, forward
            )
            source, target = source + job.plane_bytes, target + job.transposed_bytes
        _multiply(job, points, tile.columns, pitch, job.transposed_bytes, factors)
        source, target = line, points
        for _ in range(job.results):
            backward, middle = types.intp(_BACKWARD), job.first_row_pass_back
            tile_transforms.transform(
                tile.across, tile.item, tile.columns, target, pitch, middle, target, uniform, backward
            )
            call(tile.transpose_back, source, tile.pitch, target, tile.columns)
            source, target = source + job.plane_bytes, target + job.transposed_bytes


@compilation.outline
def _columns_alone(job, plane, first, last, spectrum):
    """Transform columns of all planes, multiply them by the spectra, and transform them back."""
    tile, uniform = job.tile, types.intp(2)
    for c in range(first, last, tile.lanes):
        forward, backward = types.intp(_FORWARD), types.intp(_BACKWARD)
        middle = tile.last_column_pass
        _columns_of_digits(job, job.planes, plane, c, c + tile.lanes, middle, spectrum, uniform, forward)
        _multiply(job, plane + 2 * c * tile.item, tile.rows, tile.pitch, job.plane_bytes, spectrum)
        middle = tile.first_column_pass_back
        _columns_of_digits(job, job.results, plane, c, c + tile.lanes, middle, spectrum, uniform, backward)


def run(x, out, job, progress, units, squares, spectrum, limit, max_spins, scratch):
    """Compute tiles of `out`: see `overlap_save_loop.run`.

    Parameters
    ----------
    x, out : view
        Arrays that `job` describes. `out` shares no memory with the others.
    job : view
        A `DIGIT_JOB`.
    progress : view
        `progress_counters`, and what follows them, shared by all calls of a job.
    units : view
        The units to compute.
    squares : view
        Two float64 for each unit, or each share of a plane: the sum and the largest of the squares of its samples.
    spectrum : intp
        Address of the spectra of the kernel's digits.
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
    job, counters = _job_at(job.address, 0), integers_at(progress.address, 0)
    tile = job.tile
    advance_epoch(progress)
    (x_row, x_column), (out_row, out_column) = tile_moves.plane_strides(x, tile), tile_moves.plane_strides(out, tile)
    head, points = tile_job.head_at(scratch, 0), scratch + job.transposed_at
    plane, count, steps = scratch + job.plane_at, units.extents[0], counters[tile_job.STEPS]
    if job.shares > 1:
        plane, count = counters[tile_job.SHARED_PLANE], job.shares
    forward, backward, both, uniform = types.intp(_FORWARD), types.intp(_BACKWARD), types.intp(_BOTH), types.intp(2)

    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        piece = take_piece(progress)
        if piece >= count:
            break
        taken += 1
        top, bottom, left, right = 0, tile.rows, 0, tile.columns
        if job.shares > 1:
            top, left = piece * job.share_rows, piece * job.share_columns
            bottom, right = min(bottom, top + job.share_rows), min(right, left + job.share_columns)
            unit = counters[tile_job.SHARED_UNIT]
        else:
            unit = integers_at(units.address, piece)[0]
        tile_moves.locate_unit(tile, unit, head)
        second, used = head.second, head.used
        rows, columns = (head.first_row, head.stop_row), (head.first_column, head.stop_column)
        x_corner, out_corner = corners(x, out, tile, unit // tile.units_of_plane)

        small = True
        if steps & _PACK:
            # Bits of positive floats are ordered as they are.
            found, here = integers_at(squares.address, 2 * piece), squares.address + 16 * piece
            found[0] = found[1] = 0
            _split(job, scratch, head, second, plane, top, bottom, x_corner, x_row, x_column, here)
            small = found[0] < counters[LIMIT] or found[1] < counters[LARGEST] or job.shares > 1
        if small and steps & _COLUMNS and tile.down.transformed:
            stop = min(right, used)
            if tile.across.transformed:
                middle, factors = tile.last_column_pass, tile.four_step_twiddles
                _columns_of_digits(job, job.planes, plane, left, stop, middle, factors, 2 * tile.columns, forward)
            elif job.results == 1:
                tile_transforms.transform_columns(tile, plane, left, stop, tile.product, spectrum, uniform, both)
            else:
                _columns_alone(job, plane, left, stop, spectrum)
        if small and steps & _ROWS and tile.across.transformed:
            if job.results == 1:
                tile_transforms.transform_rows(tile, plane, points, top, bottom, spectrum)
            else:
                _rows_of_digits(job, plane, points, top, bottom, spectrum)
        if small and steps & _COLUMNS_BACK and tile.down.transformed and tile.across.transformed:
            first, stop, middle = max(left, columns[0]), min(right, columns[1]), tile.first_column_pass_back
            factors = tile.four_step_twiddles
            _columns_of_digits(job, job.results, plane, first, stop, middle, factors, 2 * tile.columns, backward)
        if small and steps & _STORE:
            first, stop = max(top, rows[0]), min(bottom, rows[1])
            _join(job, scratch, head, second, plane, first, stop, columns, out_corner, out_row, out_column)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
