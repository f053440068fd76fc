"""Where tiles lie, and how samples reach staging buffers from the input, and results the output."""

from __future__ import annotations

from fastconv._microkernels.block_cutting import run_at
from fastconv._microkernels.job_records import address_of_record
from fastconv._microkernels.spectra.sample_sums import begin_sums
from fastconv._microkernels.spectra.tile_job import edge_at
from fastconv._simd import compilation
from fastconv._simd.memory import call, integers_at


@compilation.outline
def locate_axis(axis, tile, extent):
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
        edge = edge_at(axis.edges, tile if tile < axis.lead else tile - axis.tail + axis.lead)
        extent.runs = address_of_record(run_at(axis.runs, edge.first_run))
        extent.run_count = edge.stop_run - edge.first_run
        extent.gaps = edge.gaps


@compilation.outline
def _locate_both(job, tile, down, across):
    """Fill in both extents of a tile."""
    if job.down_first:
        locate_axis(job.down, tile % job.down.tiles, down)
        locate_axis(job.across, tile // job.down.tiles, across)
    else:
        locate_axis(job.down, tile // job.across.tiles, down)
        locate_axis(job.across, tile % job.across.tiles, across)


@compilation.inline
def plane_strides(array, job):
    """Strides of an array along the rows and columns of its planes."""
    return array.strides[job.row_axis] if job.row_axis >= 0 else 0, array.strides[job.column_axis]


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
def rectangle(job, first, rows):
    """Rows and columns of a tile that are `rows` rows of its plane from row `first` on: top, bottom, left, right."""
    if job.four_step:
        return 0, 1, first * job.columns, (first + rows) * job.columns
    return first, first + rows, 0, job.columns


@compilation.inline
def pack(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the input of `rows` rows of a tile from row `first` on, as the boundary extends it, to a staging buffer."""
    top, bottom, left, right = rectangle(job, first, rows)
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
                    target, line, parts * item, job.part_step,
                    height, width, job.x_parts, 0,
                )  # fmt: skip
            else:
                source = corner + (row.source + above * row.direction) * row_stride
                source += (column.source + before * column.direction) * column_stride
                call(
                    job.pack,
                    source, row.direction * row_stride, column.direction * column_stride, job.x_item,
                    target, line, parts * item, job.part_step,
                    height, width, job.x_parts, 0,
                )  # fmt: skip


@compilation.inline
def line_steps(job):
    """Steps from one bound of the norm to the next, down and across: lines that do not mix have their own."""
    down, across = job.down.transformed, job.across.transformed
    return 1 if across and not down else 0, 1 if down and not across else 0


@compilation.inline
def drop_loud(job, staging, first, rows, drop, judged):
    """Replace the samples of a staging buffer by zeros that are too large for the results that are wanted."""
    step, jump = line_steps(job)
    bounds = judged + 8 * first * step
    call(drop, staging, rows, job.columns * job.parts, bounds, step, jump, address_of_record(job.check))


@compilation.inline
def pack_unit(job, scratch, head, plane, top, bottom, corner, row_stride, column_stride, drop=0, judged=0):
    """Bring rows `top` to `bottom` of a unit's tiles into the plane, and sum their sizes.

    The routine `drop`, if any, removes samples before that, by what is `judged` of the unit.
    """
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
        if drop != 0:
            drop_loud(job, staging, r, rows, drop, judged)
            drop_loud(job, second_staging, r, rows, drop, judged)
        target, cells = plane + r * job.pitch * job.item, r // job.cell_rows * job.cells_pitch * job.item
        sums.cells, sums.second_cells = plane + job.cells_at + cells, plane + job.second_cells_at + cells
        call(
            job.to_plane,
            staging, second_staging, job.columns, target, job.pitch, rows, job.columns, address_of_record(sums),
        )  # fmt: skip


@compilation.inline
def window(job, first, rows, down, across):
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
def store(job, staging, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the results of `rows` rows of a tile from row `first` on from a staging buffer to the output."""
    parts, item, wide = job.parts, job.item, job.columns
    line = wide * parts * item
    up, above, height, before, begin, width = window(job, first, rows, down, across)
    if height > 0 and width > 0:
        target = corner + (down.start + up + above - job.down.skip) * row_stride
        target += (across.start + before + begin - job.across.skip) * column_stride
        call(
            job.store,
            staging + above * line + begin * parts * item, line, parts * item, item,
            target, row_stride, column_stride, job.out_item,
            height, width, parts, job.rescale,
        )  # fmt: skip
