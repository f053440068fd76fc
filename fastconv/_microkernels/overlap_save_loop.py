"""The loop over tiles of overlap-save: pack, transform, multiply, transform back, store.

`run` is compiled once and independent of the element type; it calls the routines of `fft_passes` and `transfer` by
address. A tile is a plane of complex numbers in scratch memory that stays in cache: in each row, a register of real
parts, one of imaginary parts, and so on. It holds two packed real tiles, one as the real and one as the imaginary part:
a real kernel keeps them apart. Samples reach the plane, and results leave it, through staging buffers, some rows at a
time.

There are four kinds of tile, distinguished by the axes that are transformed:

- both: an image by a kernel with rows and columns;
- both, with a four-step transform: a long stretch of one line, its samples row after row. The transforms of columns and
  of rows are, with twiddle factors in between, one long transform;
- the rows alone, or the columns alone: many lines by a kernel of one row or column, which must not mix them, as the
  rounding errors of one would reach into the others.

Columns are transformed in place, a vector of them at a time. Rows are transposed into a small buffer, as many as there
are lanes, and go through both transforms and the product there.

Tiles overlap in their input (overlap-save): of ``size`` results along an axis the first ``taps - 1`` have wrapped
around, and are skipped.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.block_cutting import RUN, run_at
from fastconv._microkernels.footprint_windows import CHECK, VAGUE, WINDOWS
from fastconv._microkernels.job_records import Record, address_of_record, reader
from fastconv._microkernels.progress_counters import (
    COUNTERS,
    DONE,
    MORE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.sample_sums import (
    SAMPLE_SUMS,
    add_sums,
    begin_sums,
    keep_sums,
    largest_of,
    sample_sums_at,
    signs_of,
)
from fastconv._model.guarantees import RELATIVE
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import bytes_at, call, doubles_at, integers_at

# One axis of the tiles, down or across.
AXIS = Record(
    "TileAxis",
    {
        "transformed": np.bool_,  # whether there are taps along it
        "size": np.intp,  # of a tile, in samples
        "step": np.intp,  # from one tile's outputs to those of the next
        "tiles": np.intp,
        "outputs": np.intp,
        "first_sample": np.intp,  # of the first tile
        "extra_samples": np.intp,  # samples that a tile needs beyond the number of its outputs
        "skip": np.intp,  # results in front of a tile's first output
        "taps": np.intp,
        "lead": np.intp,  # number of tiles at the start that may reach outside,
        "tail": np.intp,  # and the first one at the end that may
        "edges": np.intp,  # addresses: an `EDGE` for each of those tiles,
        "runs": np.intp,  # their runs,
        "passes": np.intp,  # and the passes of the transform,
        "pass_count": np.intp,  # of which there are so many
    },
)
# A tile that may reach outside: its runs, and whether some of its samples are zeros that no run holds.
EDGE = Record("Edge", {"first_run": np.intp, "stop_run": np.intp, "gaps": np.bool_})
# A pass: addresses of the routines, radix, span, address of the twiddle factors.
PASS = Record("Pass", dict.fromkeys(("forward", "backward", "radix", "span", "twiddles"), np.intp))

# Everything that `run` needs to know but the arrays and the spectrum.
TILE_JOB = Record(
    "TileJob",
    {
        # Addresses of compiled routines.
        "pack": np.intp,  # from the input to staging
        "fill": np.intp,  # from the fill value to staging
        "store": np.intp,  # from staging to the output,
        "rescale": np.intp,  # with these parameters, 0 for none
        "to_plane": np.intp,  # from staging to the plane
        "from_plane": np.intp,
        "bound_lines": np.intp,
        "compare": np.intp,  # footprints with all that is transformed at once
        "clamp": np.intp,
        "transpose_rows": np.intp,
        "transpose_back": np.intp,
        "last_column_pass": np.intp,  # forward
        "last_row_pass": np.intp,
        "product": np.intp,  # with the spectrum, between the last pass forward and the first pass backward
        "first_column_pass_back": np.intp,
        "item": np.intp,  # bytes of a number of the compute type,
        "x_item": np.intp,  # and of a number, or its part, in the input,
        "out_item": np.intp,  # and in the output
        "packed_tiles": np.intp,  # real tiles in a plane: 2, or 1 if the result is complex
        "parts": np.intp,  # elements of a number in staging: 2 if the result is complex,
        "x_parts": np.intp,  # and in the input
        "four_step": np.bool_,  # whether columns and rows are one long transform
        "down_first": np.bool_,  # whether tiles are counted down, not across
        "rows": np.intp,  # of the plane
        "columns": np.intp,
        "row_axis": np.intp,  # axes of input and output, -1 for none
        "column_axis": np.intp,
        "batch_rank": np.intp,  # number of batch axes,
        "batch_axes": np.intp,  # and the address of a table of them
        "units": np.intp,  # planes to transform, in all,
        "units_of_plane": np.intp,  # and for each plane of the input
        "group": np.intp,  # successive tiles that may share a plane: all of a batch item, or those along one line
        "units_of_group": np.intp,
        "lanes": np.intp,
        "pitch": np.intp,  # of the plane, in elements
        "staging_rows": np.intp,  # rows of the plane in a staging buffer
        # Offsets in scratch memory, in bytes; those of cells and sums are from the plane.
        "plane_at": np.intp,
        "transposed_at": np.intp,
        "staging_at": np.intp,
        "second_staging_at": np.intp,
        "windows_at": np.intp,
        "bounds_at": np.intp,  # of the norm of all samples, or of each row or each column where these do not mix
        "cells_at": np.intp,  # of each part
        "second_cells_at": np.intp,
        "sums_at": np.intp,  # of each share of a shared plane
        # Cells of samples: see `SAMPLE_SUMS`.
        "cells_pitch": np.intp,
        "cell_rows": np.intp,
        "cell_vectors": np.intp,
        "lanes_of_cell": np.intp,
        "cell_columns": np.intp,  # samples across a cell
        "marks_down": np.intp,  # groups of outputs of a tile at most
        "marks_across": np.intp,
        "judged_bytes": np.intp,  # of what is judged of a unit
        "check": CHECK,
        "shares": np.intp,  # 1, or the number of parts of a plane that threads work at together
        "share_rows": np.intp,
        "share_columns": np.intp,
        "four_step_twiddles": np.intp,  # address
        "fill_value": 16,  # real and imaginary part, 8 bytes apart
        "down": AXIS,
        "across": AXIS,
    },
)

# What follows the counters of progress: if threads share a plane, its address and its unit; the steps to take; the
# address of the marks of all tiles; that of a list of the units to compute, 0 for all; their number; and the address of
# what is judged of each unit, in float64: the signs of its tiles, and bounds of its norms.
SHARED_PLANE, SHARED_UNIT, STEPS, MARKS, LISTED, COUNT, JUDGED = range(COUNTERS, COUNTERS + 7)
# Steps in their order, each a bit. If threads share a plane, a step begins when all have finished the one before.
ALL_STEPS = _PACK, _COLUMNS, _ROWS, _COLUMNS_BACK, _STORE = 1, 2, 4, 8, 16

# Extent of a tile along an axis. Its runs are in a table, or it has one of its own.
_EXTENT = Record(
    "Extent",
    {
        "start": np.intp,  # first output,
        "length": np.intp,  # and their number
        "needed": np.intp,  # samples
        "runs": np.intp,  # address
        "run_count": np.intp,
        "gaps": np.bool_,
        "own_run": RUN,
    },
)
# Start of scratch memory: what is known of a unit.
HEAD = Record(
    "Head",
    {
        **dict.fromkeys(("down", "across", "second_down", "second_across"), _EXTENT),  # of its two tiles
        "second": np.bool_,  # whether there are two
        "used": np.intp,  # columns of the plane that are not zero
        "first_row": np.intp,  # rows and columns of the plane that hold results
        "stop_row": np.intp,
        "first_column": np.intp,
        "stop_column": np.intp,
        "sums": SAMPLE_SUMS,
        "sign": np.intp,  # of all results of a tile; 0 if they may have both,
        "second_sign": np.intp,
        "least": np.float64,  # and the least of their sizes
        "windows": WINDOWS,
        "not_finite": np.intp,
    },
)
_job_at, _pass_at, _edge_at, head_at = map(reader, (TILE_JOB, PASS, EDGE, HEAD))
_NOT_FINITE_AT, _LEAST_AT = HEAD.offset("not_finite"), HEAD.offset("least")


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, n, n, n, n)


def prepare_signature():
    """Signature of `prepare`."""
    n = types.intp
    return types.void(view, n, n, n, n, n)


@compilation.outline
def _locate(axis, tile, extent):
    """Fill in the `extent` of a tile along an axis."""
    extent.start = tile * axis.step
    extent.length = min(axis.step, axis.outputs - extent.start)
    extent.needed = extent.length + axis.extra_samples
    if axis.lead <= tile < axis.tail:
        run = extent.own_run
        run.offset, run.source, run.length, run.direction = 0, extent.start + axis.first_sample, extent.needed, 1
        extent.runs, extent.run_count = address_of_record(run), 1
        extent.gaps = extent.needed < axis.size
    else:
        edge = _edge_at(axis.edges, tile if tile < axis.lead else tile - axis.tail + axis.lead)
        extent.runs = address_of_record(run_at(axis.runs, edge.first_run))
        extent.run_count = edge.stop_run - edge.first_run
        extent.gaps = edge.gaps


@compilation.outline
def _locate_both(job, tile, down, across):
    """Fill in both extents of a tile."""
    if job.down_first:
        _locate(job.down, tile % job.down.tiles, down)
        _locate(job.across, tile // job.down.tiles, across)
    else:
        _locate(job.down, tile // job.across.tiles, down)
        _locate(job.across, tile % job.across.tiles, across)


@compilation.inline
def locate_unit(job, unit, head):
    """Locate the tiles of a unit."""
    place = unit % job.units_of_plane
    first = place % job.units_of_group * job.packed_tiles
    tile = place // job.units_of_group * job.group + first
    _locate_both(job, tile, head.down, head.across)
    used, height, width = head.across.needed, head.down.length, head.across.length
    head.second = job.packed_tiles == 2 and first + 1 < job.group
    if head.second:
        _locate_both(job, tile + 1, head.second_down, head.second_across)
        used = max(used, head.second_across.needed)
        height, width = max(height, head.second_down.length), max(width, head.second_across.length)
    first_column, stop_column = job.across.skip // job.lanes * job.lanes, job.across.skip + width
    if job.four_step:
        head.first_row, head.stop_row = first_column // job.columns, -(-stop_column // job.columns)
        head.first_column, head.stop_column, head.used = 0, job.columns, min(used, job.columns)
    else:
        head.first_row, head.stop_row = job.down.skip, job.down.skip + height
        head.first_column, head.stop_column, head.used = first_column, stop_column, used


@compilation.inline
def pack(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the input of `rows` rows of a tile from row `first` on, as the boundary extends it, to a staging buffer."""
    top, bottom, left, right = first, first + rows, 0, job.columns
    if job.four_step:
        top, bottom, left, right = 0, 1, first * job.columns, (first + rows) * job.columns
    line, gaps = job.columns * job.parts * job.item, down.gaps or across.gaps
    pack_rectangle(job, staging, line, top, bottom, left, right, corner, row_stride, column_stride, down, across, gaps)


@compilation.outline
def pack_rectangle(job, staging, line, top, bottom, left, right, corner, row_stride, column_stride, down, across, gaps):
    """Copy the input of some rows and columns of a tile to a staging buffer of lines of `line` bytes.

    If there are `gaps`, samples that are in no run, zeros come first.
    """
    parts, item = job.parts, job.item
    if gaps or job.x_parts != parts:
        words = integers_at(staging, 0)
        for k in range(((bottom - top) * (right - left) * parts * item + 7) // 8):
            words[k] = 0
    for r in range(down.run_count):
        row = run_at(down.runs, r)
        above = max(0, top - row.offset)
        height = min(row.length, bottom - row.offset) - above
        if height <= 0:
            continue
        for c in range(across.run_count):
            column = run_at(across.runs, c)
            before = max(0, left - column.offset)
            width = min(column.length, right - column.offset) - before
            if width <= 0:
                continue
            target = staging + (row.offset + above - top) * line + (column.offset + before - left) * parts * item
            if row.source < 0 or column.source < 0:
                call(
                    job.fill,
                    job.fill_value, 0, 0, 8,
                    target, line, parts * item, item,
                    height, width, job.x_parts, 0,
                )  # fmt: skip
            else:
                source = corner + (row.source + above * row.direction) * row_stride
                source += (column.source + before * column.direction) * column_stride
                call(
                    job.pack,
                    source, row.direction * row_stride, column.direction * column_stride, job.x_item,
                    target, line, parts * item, item,
                    height, width, job.x_parts, 0,
                )  # fmt: skip


@compilation.inline
def _window(job, first, rows, down, across):
    """Where the outputs of a tile lie among results from row `first` of the plane on, in a line if it is a long one.

    Returns for rows, and for columns: the first result, how many are in front of the first output, and the outputs.
    """
    top, left = job.down.skip, job.across.skip
    up, height, before, width = first, rows, 0, job.columns
    if job.four_step:
        up, height, before, width = 0, 1, first * job.columns, rows * job.columns
    above, begin = max(0, top - up), max(0, left - before)
    height = min(height, top + down.length - up) - above
    width = min(width, left + across.length - before) - begin
    return up, above, height, before, begin, width


@compilation.outline
def _store(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the results of `rows` rows of a tile from row `first` on from a staging buffer to the output."""
    parts, item, wide = job.parts, job.item, job.columns
    line = wide * parts * item
    up, above, height, before, begin, width = _window(job, first, rows, down, across)
    if height > 0 and width > 0:
        target = corner + (down.start + up + above - job.down.skip) * row_stride
        target += (across.start + before + begin - job.across.skip) * column_stride
        call(
            job.store,
            staging + above * line + begin * parts * item, line, parts * item, item,
            target, row_stride, column_stride, job.out_item,
            height, width, parts, job.rescale,
        )  # fmt: skip


# Directions of `transform`; passed as run-time integers: a literal would have it compiled anew.
_FORWARD, _BACKWARD, _BOTH = range(3)


@compilation.outline
def transform(axis, item, size, data, pitch, middle, factors, width, direction):
    """Run the passes forward, the routine `middle`, and the passes backward; or only those of one direction.

    The blocks of the first pass go through all the others one by one: then they stay in the first-level cache.
    """
    first = _pass_at(axis.passes, 0)
    if direction != _BACKWARD:
        call(first.forward, data, pitch, 1, first.span, first.twiddles)
    size //= first.radix
    for part in range(first.radix):
        corner, blocks = data + part * size * pitch * item, 1
        for k in range(1, axis.pass_count - 1):
            now = _pass_at(axis.passes, k)
            if direction != _BACKWARD:
                call(now.forward, corner, pitch, blocks, now.span, now.twiddles)
            blocks *= now.radix
        call(middle, corner, pitch, blocks, factors + part * size * width * item, width)
        if direction != _FORWARD:
            for k in range(axis.pass_count - 2, 0, -1):
                now = _pass_at(axis.passes, k)
                blocks //= now.radix
                call(now.backward, corner, pitch, blocks, now.span, now.twiddles)
    if direction != _FORWARD:
        call(first.backward, data, pitch, 1, first.span, first.twiddles)


@compilation.outline
def transform_columns(job, plane, first, last, middle, factors, width, direction):
    """Transform columns `first` to `last` of the plane; `factors` are the same for all if `width` is 2."""
    for c in range(first, last, job.lanes):
        start = factors if width == 2 else factors + 2 * c * job.item
        transform(job.down, job.item, job.rows, plane + 2 * c * job.item, job.pitch, middle, start, width, direction)


@compilation.inline
def _pack_unit(job, scratch, head, plane, top, bottom, corner, row_stride, column_stride):
    """Bring rows `top` to `bottom` of a unit's tiles into the plane, and sum their sizes."""
    staging, second_staging = scratch + job.staging_at, scratch + job.second_staging_at
    sums = head.sums
    begin_sums(sums)
    sums.cells_pitch, sums.cell_rows = job.cells_pitch, job.cell_rows
    sums.cell_vectors, sums.lanes_of_cell = job.cell_vectors, job.lanes_of_cell
    for r in range(top, bottom, job.staging_rows):
        rows = min(job.staging_rows, bottom - r)
        pack(job, staging, r, rows, corner, row_stride, column_stride, head.down, head.across)
        if head.second:
            down, across = head.second_down, head.second_across
            pack(job, second_staging, r, rows, corner, row_stride, column_stride, down, across)
        elif job.packed_tiles == 2:
            words = integers_at(second_staging, 0)
            for k in range(rows * job.columns * job.item // 8):
                words[k] = 0
        target, cells = plane + r * job.pitch * job.item, r // job.cell_rows * job.cells_pitch * job.item
        sums.cells, sums.second_cells = plane + job.cells_at + cells, plane + job.second_cells_at + cells
        call(
            job.to_plane,
            staging, second_staging, job.columns, target, job.pitch, rows, job.columns, address_of_record(sums),
        )  # fmt: skip


@compilation.inline
def transform_rows(job, plane, points, top, bottom, spectrum):
    """Transform rows, multiply them by the spectrum, and transform them back."""
    for r in range(top, bottom, job.lanes):
        line, factors, width = plane + r * job.pitch * job.item, spectrum, types.intp(2)
        if job.down.transformed:
            factors, width = spectrum + 2 * r * job.columns * job.item, 2 * job.lanes
        call(job.transpose_rows, line, job.pitch, points, job.columns)
        pitch, both = 2 * job.lanes, types.intp(_BOTH)
        transform(job.across, job.item, job.columns, points, pitch, job.product, factors, width, both)
        call(job.transpose_back, line, job.pitch, points, job.columns)


# Sign of the results of a tile of zeros.
_ZERO = 2


@compilation.inline
def _judge_unit(job, scratch, head, plane):
    """Bound the norm of a unit's samples, and find the signs of its results, from the sums of the samples.

    Returns how many bounds there are: one, or one of each row or column.
    """
    sums = head.sums
    if job.shares > 1:
        begin_sums(sums)
        for share in range(job.shares):
            add_sums(sums, sample_sums_at(plane + job.sums_at, share))
    first, second = largest_of(sums)
    largest = max(first, second) if job.packed_tiles == 2 else first + second
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
    if job.packed_tiles == 2:
        first, second = signs_of(sums)
        head.sign = _ZERO if sums.total == 0 else first * job.check.sign
        head.second_sign = _ZERO if sums.second_total == 0 else second * job.check.sign
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
    w.limit, w.bounds = check.least_sum, scratch + job.bounds_at
    w.bounds_step = 1 if job.across.transformed and not job.down.transformed else 0
    w.bounds_jump = 1 if job.down.transformed and not job.across.transformed else 0
    if w.rows == 0 or w.columns == 0:  # no footprint is sure to hold a cell
        w.rows, w.columns, w.limit = max(1, w.rows), max(1, w.columns), math.inf
    w.top, w.bottom = cells_inside(down, job.cell_rows)
    w.left, w.right = cells_inside(across, job.cell_columns)
    w.pitch, w.cells_rows, w.cells_columns = job.cells_pitch, job.rows // job.cell_rows, job.cells_pitch
    if job.four_step:
        w.cells_rows, w.cells_columns = 1, job.rows * job.cells_pitch
    w.buffer, w.marks, w.marks_pitch = scratch + job.windows_at, marks, job.marks_across


@compilation.outline
def _compare_tile(job, head, scratch, plane, marks, tile, top, bottom, sign, down, across):
    """Mark the groups of a tile whose footprints hold too little; of a shared plane, the share that begins at `top`."""
    if sign == _ZERO:
        return
    set_windows(job, head, scratch, marks, down, across)
    w, both = head.windows, types.intp(job.packed_tiles == 1)
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


@compilation.inline
def _clamp(job, head, scratch, results, height, width, sign):
    """Clamp results at zero, and find the least of their sizes."""
    head.least = math.inf
    address = scratch + _LEAST_AT
    if sign == _ZERO:  # of one sign and of the other
        call(job.clamp, results, job.columns, height, width, 1, address)
        sign = -1
    call(job.clamp, results, job.columns, height, width, sign, address)


@compilation.outline
def _clamp_rows(job, head, scratch, staging, first, rows, sign, marks, down, across):
    """Clamp the results of a tile of one sign at zero; mark them if the rule is about their size and one is small."""
    up, above, height, _, begin, width = _window(job, first, rows, down, across)
    if sign == 0 or height <= 0 or width <= 0:
        return
    line, alone = job.columns * job.item, job.across.transformed and not job.down.transformed
    results = staging + above * line + begin * job.item
    some = 1 if alone else height  # rows that do not mix are looked at one by one
    for r in range(0, height, some):
        _clamp(job, head, scratch, results + r * line, some, width, sign)
        if sign != _ZERO and job.check.rule == RELATIVE and not _is_large(job, head, scratch, up + above + r):
            set_windows(job, head, scratch, marks, down, across)
            start, count = (first + above + r, 1) if alone else (first, rows)
            _mark_rows(job, head, start, count, down, across)


@compilation.inline
def _store_unit(job, scratch, head, plane, top, bottom, marks, judged, corner, row_stride, column_stride):
    """Store the results in rows `top` to `bottom` of the plane; note whether all are finite, and mark the vague."""
    staging, second_staging = scratch + job.staging_at, scratch + job.second_staging_at
    first, last, left = max(top, head.first_row), min(bottom, head.stop_row), head.first_column
    skipped, width = left * job.parts * job.item, -(-(head.stop_column - left) // job.lanes) * job.lanes
    second_marks = marks + job.marks_down * job.marks_across if marks else 0
    head.not_finite, head.sign, head.second_sign = 0, 0, 0
    if marks:
        lines = _judge_unit(job, scratch, head, plane)
        numbers, bounds = doubles_at(judged, 0), doubles_at(scratch + job.bounds_at, 0)
        numbers[0], numbers[1] = head.sign, head.second_sign
        for k in range(lines):
            numbers[2 + k] = bounds[k]
    for r in range(first, last, job.staging_rows):
        rows = min(job.staging_rows, last - r)
        source = plane + (r * job.pitch + 2 * left) * job.item
        call(
            job.from_plane,
            staging + skipped, second_staging + skipped, job.columns,
            source, job.pitch, rows, width, scratch + _NOT_FINITE_AT,
        )  # fmt: skip
        down, across = head.down, head.across
        _clamp_rows(job, head, scratch, staging, r, rows, head.sign, marks, down, across)
        _store(job, staging, r, rows, corner, row_stride, column_stride, down, across)
        if head.second:
            down, across, sign = head.second_down, head.second_across, head.second_sign
            _clamp_rows(job, head, scratch, second_staging, r, rows, sign, second_marks, down, across)
            _store(job, second_staging, r, rows, corner, row_stride, column_stride, down, across)
    if marks:
        _compare_tile(job, head, scratch, plane, marks, 0, top, bottom, head.sign, head.down, head.across)
        if head.second:
            down, across, sign = head.second_down, head.second_across, head.second_sign
            _compare_tile(job, head, scratch, plane, second_marks, 1, top, bottom, sign, down, across)


def prepare(job, plane, spectrum, down, first, stop):
    """Transform a part of a kernel that lies in a plane: with `down`, columns; then, without, rows into `spectrum`.

    Points of the spectrum are in the order that the product needs: rows in groups of as many as there are lanes.
    """
    floats = set_default_float_environment()
    job = _job_at(job.address, 0)
    item, lanes, pitch, width = job.item, job.lanes, job.pitch, job.columns
    forward = types.intp(_FORWARD)
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
    x_row = x.strides[job.row_axis] if job.row_axis >= 0 else 0
    out_row = out.strides[job.row_axis] if job.row_axis >= 0 else 0
    x_column, out_column = x.strides[job.column_axis], out.strides[job.column_axis]
    plane, points, steps, share = scratch + job.plane_at, scratch + job.transposed_at, counters[STEPS], unit
    forward, backward, both, uniform = types.intp(_FORWARD), types.intp(_BACKWARD), types.intp(_BOTH), types.intp(2)
    top, bottom, left, right = 0, job.rows, 0, job.columns
    if job.shares > 1:
        top, left = share * job.share_rows, share * job.share_columns
        bottom, right = min(bottom, top + job.share_rows), min(right, left + job.share_columns)
        plane, unit = counters[SHARED_PLANE], counters[SHARED_UNIT]
    locate_unit(job, unit, head)
    x_corner, out_corner = corners(x, out, job, unit // job.units_of_plane)

    if steps & _PACK:
        _pack_unit(job, scratch, head, plane, top, bottom, x_corner, x_row, x_column)
        if job.shares > 1:
            keep_sums(sample_sums_at(plane + job.sums_at, share), head.sums)
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
        if counters[LISTED]:
            unit = integers_at(counters[LISTED], unit)[0]
        _compute(x, out, job, head, counters, flags, spectrum, scratch, unit)
        finish_piece(progress)

    if status == DONE:
        status = wait_for_others(progress, count, max_spins)
    restore_float_environment(floats)
    return status
