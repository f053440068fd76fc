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

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.block_cutting import RUN, run_at
from fastconv._microkernels.job_records import Record, address_of_record, reader
from fastconv._microkernels.progress_counters import COUNTERS, DONE, EPOCH, FINISHED, MORE, NEXT, PENDING
from fastconv._microkernels.sample_sums import SAMPLE_SUMS, begin_sums
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import call, fetch_add, integers_at, spin_load

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
        "transpose_rows": np.intp,
        "transpose_back": np.intp,
        "last_column_pass": np.intp,  # forward
        "last_row_pass": np.intp,
        "product": np.intp,  # with the spectrum, between the last pass forward and the first pass backward
        "first_column_pass_back": np.intp,
        "item": np.intp,  # bytes of a number of the compute type,
        "x_item": np.intp,  # and of a number, or its part, in the input
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
        # Offsets in scratch memory, in bytes.
        "plane_at": np.intp,
        "transposed_at": np.intp,
        "staging_at": np.intp,
        "second_staging_at": np.intp,
        "cells_at": np.intp,  # of each part
        "second_cells_at": np.intp,
        # Cells of samples: see `SAMPLE_SUMS`.
        "cells_pitch": np.intp,
        "cell_rows": np.intp,
        "cell_vectors": np.intp,
        "lanes_of_cell": np.intp,
        "shares": np.intp,  # 1, or the number of parts of a plane that threads work at together
        "share_rows": np.intp,
        "share_columns": np.intp,
        "four_step_twiddles": np.intp,  # address
        "fill_value": 16,  # real and imaginary part, 8 bytes apart
        "down": AXIS,
        "across": AXIS,
    },
)

# What follows the counters of progress: if threads share a plane, its address and its unit; and the steps to take.
SHARED_PLANE, SHARED_UNIT, STEPS = range(COUNTERS, COUNTERS + 3)
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
# Start of scratch memory: the extents of the two packed tiles, the sums of their samples, and whether a result is not
# finite.
HEAD = Record(
    "Head",
    {
        **dict.fromkeys(("down", "across", "second_down", "second_across"), _EXTENT),
        "sums": SAMPLE_SUMS,
        "not_finite": np.intp,
    },
)
_job_at, _pass_at, _edge_at, head_at = map(reader, (TILE_JOB, PASS, EDGE, HEAD))
_NOT_FINITE_AT = HEAD.offset("not_finite")


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
    """Locate the tiles of a unit.

    Returns whether there are two, how many columns of the plane are not zero, and the rows and columns with outputs.
    """
    place = unit % job.units_of_plane
    first = place % job.units_of_group * job.packed_tiles
    tile = place // job.units_of_group * job.group + first
    _locate_both(job, tile, head.down, head.across)
    used, height, width = head.across.needed, head.down.length, head.across.length
    second = job.packed_tiles == 2 and first + 1 < job.group
    if second:
        _locate_both(job, tile + 1, head.second_down, head.second_across)
        used = max(used, head.second_across.needed)
        height, width = max(height, head.second_down.length), max(width, head.second_across.length)
    rows = job.down.skip, job.down.skip + height
    columns = job.across.skip // job.lanes * job.lanes, job.across.skip + width
    if job.four_step:
        rows = columns[0] // job.columns, -(-columns[1] // job.columns)
        columns, used = (0, job.columns), min(used, job.columns)
    return second, used, rows, columns


@compilation.outline
def pack(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the input of `rows` rows of a tile from row `first` on, as the boundary extends it, to a staging buffer."""
    parts, item, wide = job.parts, job.item, job.columns
    line = wide * parts * item
    if down.gaps or across.gaps or job.x_parts != parts:
        words = integers_at(staging, 0)
        for k in range(rows * line // 8):
            words[k] = 0
    # The part of the tile in the buffer: rows and columns; a tile of a four-step transform has a single row.
    top, bottom, left, right = first, first + rows, 0, wide
    if job.four_step:
        top, bottom, left, right = 0, 1, first * wide, (first + rows) * wide
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


@compilation.outline
def _store(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the results of `rows` rows of a tile from row `first` on from a staging buffer to the output."""
    parts, item, wide = job.parts, job.item, job.columns
    line = wide * parts * item
    top, left = job.down.skip, job.across.skip
    up, height, before, width = first, rows, 0, wide
    if job.four_step:
        up, height, before, width = 0, 1, first * wide, rows * wide
    above, begin = max(0, top - up), max(0, left - before)
    height = min(height, top + down.length - up) - above
    width = min(width, left + across.length - before) - begin
    if height > 0 and width > 0:
        target = corner + (down.start + up + above - top) * row_stride
        target += (across.start + before + begin - left) * column_stride
        call(
            job.store,
            staging + above * line + begin * parts * item, line, parts * item, item,
            target, row_stride, column_stride, item,
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
def _pack_unit(job, scratch, head, second, plane, top, bottom, corner, row_stride, column_stride):
    """Bring rows `top` to `bottom` of a unit's tiles into the plane, and sum their sizes."""
    staging, second_staging = scratch + job.staging_at, scratch + job.second_staging_at
    sums = head.sums
    begin_sums(sums)
    sums.cells_pitch, sums.cell_rows = job.cells_pitch, job.cell_rows
    sums.cell_vectors, sums.lanes_of_cell = job.cell_vectors, job.lanes_of_cell
    for r in range(top, bottom, job.staging_rows):
        rows = min(job.staging_rows, bottom - r)
        pack(job, staging, r, rows, corner, row_stride, column_stride, head.down, head.across)
        if second:
            down, across = head.second_down, head.second_across
            pack(job, second_staging, r, rows, corner, row_stride, column_stride, down, across)
        elif job.packed_tiles == 2:
            words = integers_at(second_staging, 0)
            for k in range(rows * job.columns * job.item // 8):
                words[k] = 0
        target, cells = plane + r * job.pitch * job.item, r // job.cell_rows * job.cells_pitch * job.item
        sums.cells, sums.second_cells = scratch + job.cells_at + cells, scratch + job.second_cells_at + cells
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


@compilation.inline
def _store_unit(job, scratch, head, second, plane, first, last, columns, corner, row_stride, column_stride):
    """Store the results in rows `first` to `last` of the plane, and note whether all are finite."""
    staging, second_staging = scratch + job.staging_at, scratch + job.second_staging_at
    skipped, width = columns[0] * job.parts * job.item, -(-(columns[1] - columns[0]) // job.lanes) * job.lanes
    head.not_finite = 0
    for r in range(first, last, job.staging_rows):
        rows = min(job.staging_rows, last - r)
        source = plane + (r * job.pitch + 2 * columns[0]) * job.item
        call(
            job.from_plane,
            staging + skipped, second_staging + skipped, job.columns,
            source, job.pitch, rows, width, scratch + _NOT_FINITE_AT,
        )  # fmt: skip
        _store(job, staging, r, rows, corner, row_stride, column_stride, head.down, head.across)
        if second:
            down, across = head.second_down, head.second_across
            _store(job, second_staging, r, rows, corner, row_stride, column_stride, down, across)


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
    fetch_add(integers_at(counters[EPOCH], 0), 1)
    x_row = x.strides[job.row_axis] if job.row_axis >= 0 else 0
    out_row = out.strides[job.row_axis] if job.row_axis >= 0 else 0
    x_column, out_column = x.strides[job.column_axis], out.strides[job.column_axis]
    head, points = head_at(scratch, 0), scratch + job.transposed_at
    plane, count, steps = scratch + job.plane_at, job.units, counters[STEPS]
    if job.shares > 1:
        plane, count = counters[SHARED_PLANE], job.shares
    forward, backward, both, uniform = types.intp(_FORWARD), types.intp(_BACKWARD), types.intp(_BOTH), types.intp(2)

    status, taken = DONE, 0
    while True:
        if taken == limit:
            status = MORE
            break
        unit = fetch_add(integers_at(progress.address, NEXT), 1)
        if unit >= count:
            break
        taken += 1
        top, bottom, left, right = 0, job.rows, 0, job.columns
        if job.shares > 1:
            top, left = unit * job.share_rows, unit * job.share_columns
            bottom, right = min(bottom, top + job.share_rows), min(right, left + job.share_columns)
            unit = counters[SHARED_UNIT]
        second, used, rows, columns = locate_unit(job, unit, head)
        x_corner, out_corner = corners(x, out, job, unit // job.units_of_plane)

        if steps & _PACK:
            _pack_unit(job, scratch, head, second, plane, top, bottom, x_corner, x_row, x_column)
        if steps & _COLUMNS and job.down.transformed:
            stop = min(right, used)
            if job.across.transformed:
                factors = job.four_step_twiddles
                transform_columns(job, plane, left, stop, job.last_column_pass, factors, 2 * job.columns, forward)
            else:
                transform_columns(job, plane, left, stop, job.product, spectrum, uniform, both)
        if steps & _ROWS and job.across.transformed:
            transform_rows(job, plane, points, top, bottom, spectrum)
        if steps & _COLUMNS_BACK and job.down.transformed and job.across.transformed:
            first, stop, middle = max(left, columns[0]), min(right, columns[1]), job.first_column_pass_back
            transform_columns(job, plane, first, stop, middle, job.four_step_twiddles, 2 * job.columns, backward)
        if steps & _STORE:
            first, stop = max(top, rows[0]), min(bottom, rows[1])
            _store_unit(job, scratch, head, second, plane, first, stop, columns, out_corner, out_row, out_column)
            if head.not_finite:
                integers_at(flags.address, unit)[0] = 1
        fetch_add(integers_at(progress.address, FINISHED), 1)

    if status == DONE:
        status = PENDING
        for _ in range(max_spins):
            if spin_load(integers_at(progress.address, FINISHED)) >= count:
                status = DONE
                break
    restore_float_environment(floats)
    return status
