"""The loop over blocks of a convolution along any axes: a sum over a stack of planes for each plane of the output.

Two axes are rows and columns; taps along all others, the plane axes, tell which planes of the input are summed. A unit
is a block of rows by columns in some planes of the output, in order. For each of them `run` lists the planes under the
kernel, with their weights (`plane_tile.ENTRY`), and calls the microkernel. A plane where nothing lies outside may be
read in place; all others are packed as in `block_loop`, into slots that stay in cache: the planes of one output and the
next overlap, so each is packed once in a unit.

With a stride along rows or columns a plane has several entries, one for each pair of phases (`plane_cutting`), and
packing takes every s-th sample. A plane outside of an array without a boundary is left out.

Several threads may call `run` with the same counters. Channels and complex numbers are those of `block_loop`.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.batch_index import corners
from fastconv._microkernels.block_cutting import run_at
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.planes.plane_cutting import block_at, sample_of, samples_at
from fastconv._microkernels.planes.plane_tile import ENTRY
from fastconv._microkernels.progress_counters import (
    DONE,
    MORE,
    NON_FINITE,
    advance_epoch,
    finish_piece,
    take_piece,
    wait_for_others,
)
from fastconv._microkernels.sample_layout import are_finite, layout_of
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import call, fetch_add, integers_at

# Everything that `run` needs to know but the arrays.
PLANE_JOB = Record(
    "PlaneJob",
    {
        # Addresses of compiled routines.
        "microkernel": np.intp,
        "pack": np.intp,  # from the input to samples,
        "pack_apart": np.intp,  # and of columns so many bytes apart
        "bytes_apart": np.intp,
        "fill": np.intp,  # from the fill value to samples
        "store": np.intp,  # from samples to the output
        "convert_kernel": np.intp,
        "add_rotated": np.intp,  # a += 1j * b
        "flip": np.bool_,
        "x_in_place": np.bool_,  # whether the input is of the samples' type, and has no stride along columns
        "out_in_place": np.bool_,  # whether the output is of the samples' type
        "has_kernels": np.bool_,  # whether each batch index has a kernel of its own
        "rolls": np.bool_,  # whether all planes of an output have a slot, and stay in it for the next
        "rows_miss": np.bool_,  # whether a sample outside along rows, or columns, is no sample; else it is a fill value
        "columns_miss": np.bool_,
        "exponent_mask": np.intp,  # bits that are all set in an infinity or a NaN; 0 if the kernel is not checked
        # Bytes of a sample, and of a number, or its part, in the input, the kernel and the output.
        "sample_bytes": np.intp,
        "x_bytes": np.intp,
        "kernel_bytes": np.intp,
        "out_bytes": np.intp,
        "x_parts": np.intp,  # 2 if complex
        "kernel_parts": np.intp,
        # Axes of input and output, and of the kernel; 0 for one that does not exist, and -1 for no channels.
        "row_axis": np.intp,
        "column_axis": np.intp,
        "channel_axis": np.intp,
        "kernel_row_axis": np.intp,
        "kernel_column_axis": np.intp,
        "batch_rank": np.intp,  # number of batch axes,
        "batch_axes": np.intp,  # and the address of a table of them
        "channels": np.intp,
        "kernel_rows": np.intp,
        "kernel_columns": np.intp,
        "row_phases": np.intp,
        "column_phases": np.intp,
        "row_phase_step": np.intp,  # distance of the taps of a phase, in taps
        "column_phase_step": np.intp,
        "row_step": np.intp,  # distance of the rows of a phase, in rows of the input
        "spacing": np.intp,  # distance of the taps of a phase in packed columns
        "phases": np.intp,  # address of the table of `PHASE`, column phases fastest
        "plane_rank": np.intp,  # number of plane axes, the rolling one last,
        "plane_axes": np.intp,  # and the address of their table
        "plane_step": np.intp,  # distance of two outputs of a block, in planes under the kernel
        "planes": np.intp,  # under the kernel,
        "plane_taps": np.intp,  # and the address of a table of their taps along each plane axis
        "outer_outputs": np.intp,  # planes of the output along all plane axes but the rolling one
        "slots": np.intp,  # number of planes that fit into scratch memory
        "blocks_across": np.intp,
        "blocks_down": np.intp,
        "blocks_deep": np.intp,
        "units": np.intp,
        # Addresses of the tables of `plane_cutting`.
        "samples": np.intp,
        "runs": np.intp,
        "row_blocks": np.intp,
        "column_blocks": np.intp,
        "plane_blocks": np.intp,
        "minimum_width": np.intp,  # smallest number of elements that the microkernel computes
        "packed_pitch": np.intp,  # pitches of scratch buffers, in samples
        "staging_pitch": np.intp,
        "part_bytes": np.intp,  # of a phase in a slot,
        "slot_bytes": np.intp,  # of a slot,
        "staging_bytes": np.intp,  # and of a staging buffer: two for each part of the kernel, in turn for partial sums
        "weights_at": np.intp,  # offsets in scratch memory, in bytes
        "slots_at": np.intp,
        "staging_at": np.intp,
        "entries_at": np.intp,
        "places_at": np.intp,  # the output along each plane axis
        "fill_value": 16,  # real and imaginary part, 8 bytes apart
        "zero": 16,
    },
)
# A plane axis: its axes in the arrays; outputs, taps, the samples of its first tap in the table, and
# whether nothing is there outside.
PLANE_AXIS = Record(
    "PlaneAxis",
    {**dict.fromkeys(("axis", "kernel_axis", "outputs", "taps", "samples"), np.intp), "misses": np.bool_},
)
# A pair of a row phase and a column phase: rows and columns of its kernel, and place among the weights of a plane.
PHASE = Record("Phase", dict.fromkeys(("rows", "taps", "weights"), np.intp))
_ENTRY_BYTES = ENTRY.dtype.itemsize
_job_at, _plane_axis_at, _phase_at, _entry_at = map(reader, (PLANE_JOB, PLANE_AXIS, PHASE, ENTRY))


def signature():
    """Signature of `run`."""
    return types.intp(view, view, view, view, view, types.intp, types.intp, types.intp)


@compilation.outline
def _convert_kernel(kernel, job, batch, weights):
    """Convert the kernel of a batch index to samples, phase by phase for each plane; return whether it is finite."""
    size, parts = job.sample_bytes, job.kernel_parts
    area = job.kernel_rows * job.kernel_columns
    row_stride, tap_stride = kernel.strides[job.kernel_row_axis], kernel.strides[job.kernel_column_axis]
    origin = kernel.address
    if job.has_kernels:
        for k in range(job.batch_rank):
            origin += batch % kernel.extents[k] * kernel.strides[k]
            batch //= kernel.extents[k]
    if job.flip:
        origin += (job.kernel_rows - 1) * row_stride + (job.kernel_columns - 1) * tap_stride
        row_stride, tap_stride = -row_stride, -tap_stride
    for p in range(job.planes):
        source, taps = origin, integers_at(job.plane_taps, p * job.plane_rank)
        for a in range(job.plane_rank):
            axis = _plane_axis_at(job.plane_axes, a)
            source += (axis.taps - 1 - taps[a] if job.flip else taps[a]) * kernel.strides[axis.kernel_axis]
        for i in range(job.row_phases):
            for j in range(job.column_phases):
                phase = _phase_at(job.phases, i * job.column_phases + j)
                call(
                    job.convert_kernel,
                    source + i * row_stride + j * tap_stride,
                    job.row_phase_step * row_stride, job.column_phase_step * tap_stride, job.kernel_bytes,
                    weights + (p * area + phase.weights) * size, phase.taps * size, size, job.planes * area * size,
                    phase.rows, phase.taps, parts, 0,
                )  # fmt: skip
    return are_finite(weights, job.planes * area * parts, size, job.exponent_mask)


@compilation.inline
def _layout_of(array, job, element, is_of_samples, channels):
    """As in `block_loop`; plane axes follow the batch axes in their table."""
    row, rank = array.strides[job.row_axis], job.batch_rank + job.plane_rank
    column, channel, in_place = layout_of(array, job, row, rank, element, is_of_samples, channels)
    return (row, column, channel), in_place


@compilation.outline
def _pack(job, plane, is_outside, strides, channels, rows, columns, slot):
    """Copy a plane of the input, as the boundaries extend it, into a slot, phase by phase.

    Phases of columns take turns every few rows, which are then still in the L1 cache.
    """
    row_stride, column_stride, channel_stride = strides
    size, pitch = job.sample_bytes, job.packed_pitch * job.sample_bytes
    for i in range(job.row_phases):
        row_samples = samples_at(job.samples, rows.samples + i)
        for r in range(row_samples.first_run, row_samples.stop_run):
            row = run_at(job.runs, r)
            height = row.length if job.column_phases == 1 else 4
            for done in range(0, row.length, height):
                lines = smaller(height, row.length - done)
                for j in range(job.column_phases):
                    column_samples = samples_at(job.samples, columns.samples + j)
                    line = slot + j * job.part_bytes + (row.offset + done) * pitch
                    for c in range(column_samples.first_run, column_samples.stop_run):
                        column = run_at(job.runs, c)
                        target, apart = line + column.offset * channels * size, column.direction * column_stride
                        routine = job.pack_apart if apart == job.bytes_apart else job.pack
                        source = (
                            plane + (row.source + done * row.direction) * row_stride + column.source * column_stride
                        )
                        step, between = row.direction * row_stride, channel_stride
                        if is_outside or row.source < 0 or column.source < 0:
                            misses = (row.source < 0 and job.rows_miss) or (column.source < 0 and job.columns_miss)
                            routine, source, step, apart = job.fill, job.zero if misses else job.fill_value, 0, 0
                            between = 8 * (job.x_parts - 1)
                        call(
                            routine,
                            source, step, apart, between, target, pitch, channels * size, size,
                            lines, column.length, channels, 0,
                        )  # fmt: skip
        slot += job.column_phases * job.part_bytes


@compilation.inline
def _list_entries(job, first, rows, columns, strides, channels, plane, slot, weights):
    """Write the entries of a plane that is read in place if `slot` is 0."""
    size = job.sample_bytes
    for i in range(job.row_phases):
        for j in range(job.column_phases):
            phase = _phase_at(job.phases, i * job.column_phases + j)
            entry = _entry_at(first, i * job.column_phases + j)
            entry.rows, entry.taps = phase.rows, phase.taps
            entry.weights = weights + phase.weights * size
            if slot == 0:
                row, column = samples_at(job.samples, rows.samples + i), samples_at(job.samples, columns.samples)
                entry.x = plane + row.source * strides[0] + column.source * strides[1]
                entry.pitch = job.row_step * strides[0] // size
            else:
                entry.x = slot + (i * job.column_phases + j) * job.part_bytes
                entry.pitch = job.packed_pitch


@compilation.inline
def _convolve(job, scratch, count, before, before_pitch, sums, pitch, next_part, lines, width, channels):
    """Call the microkernel for a list of planes, once for each part of the kernel."""
    shift = job.planes * job.kernel_rows * job.kernel_columns * job.sample_bytes
    for part in range(job.kernel_parts):
        call(
            job.microkernel,
            scratch + job.entries_at, count * job.row_phases * job.column_phases, part * shift,
            before + part * next_part, before_pitch, sums + part * next_part, pitch,
            lines, width, job.spacing * channels,
        )  # fmt: skip


@compilation.inline
def _store(job, first, second, target, strides, row_step, channels, height, columns):
    """Store a block from the staging buffer, or from the two of a complex kernel."""
    row_stride, column_stride, channel_stride = strides
    size, parts = job.sample_bytes, job.kernel_parts
    if parts == 2 and channels == 2:
        call(job.add_rotated, first, second, job.staging_pitch, height, columns)
        parts = 1
    for part in range(parts):  # two for a real input: the real and the imaginary parts
        call(
            job.store,
            second if part else first, job.staging_pitch * size, channels * size, size,
            target + part * job.out_bytes, row_step * row_stride, column_stride, channel_stride,
            height, columns, channels, 0,
        )  # fmt: skip


@compilation.outline
def _compute_unit(x, out, job, scratch, unit, channels, x_strides, out_strides, x_in_place, out_in_place):
    """Compute one unit, plane by plane, and the planes under each from the first tap to the last."""
    size = job.sample_bytes
    columns = block_at(job.column_blocks, unit % job.blocks_across)
    unit //= job.blocks_across
    rows = block_at(job.row_blocks, unit % job.blocks_down)
    unit //= job.blocks_down
    deep = block_at(job.plane_blocks, unit % job.blocks_deep)
    unit //= job.blocks_deep
    x_corner, out_corner = corners(x, out, job, unit // job.outer_outputs)
    places, rest, rolling = integers_at(scratch + job.places_at, 0), unit % job.outer_outputs, job.plane_rank - 1
    for a in range(rolling - 1, -1, -1):
        axis = _plane_axis_at(job.plane_axes, a)
        places[a] = rest % axis.outputs
        rest //= axis.outputs
        out_corner += places[a] * out.strides[axis.axis]
    last = _plane_axis_at(job.plane_axes, rolling)
    out_plane = out.strides[last.axis]
    out_corner += rows.start * out_strides[0] + columns.start * out_strides[1]

    width = larger(columns.length * channels, job.minimum_width)
    fits = width == columns.length * channels  # otherwise the microkernel reads and writes beyond the block
    reads_in_place = x_in_place and fits and rows.inside and columns.inside
    writes_in_place = out_in_place and fits and job.kernel_parts == 1
    if not fits:  # zeros there
        words = integers_at(scratch + job.slots_at, 0)
        for k in range(job.slots * job.slot_bytes // 8):
            words[k] = 0
    phases = job.row_phases * job.column_phases
    staging, part_bytes = scratch + job.staging_at, 2 * job.staging_bytes
    # With literals Numba would compile helpers anew.
    none, no = types.intp(0), bool(types.intp(0))
    packed = none  # number of the first plane along the rolling axis that has not been packed
    for k in range(deep.length):
        places[rolling] = deep.start + k * deep.step
        target = out_corner + places[rolling] * out_plane
        first = k * job.plane_step
        turned = first % last.taps
        listed, before, before_pitch, sums = none, staging, none, staging
        for p in range(job.planes + 1):
            if p == job.planes or listed == job.slots:
                sums_pitch = job.staging_pitch
                if p == job.planes and writes_in_place:
                    sums, sums_pitch = target, rows.step * out_strides[0] // size
                _convolve(
                    job, scratch, listed, before, before_pitch, sums, sums_pitch, part_bytes,
                    rows.length, width, channels,
                )  # fmt: skip
                if p == job.planes:
                    break
                # Sums so far are in one of two buffers: the next list of planes begins with them.
                listed, before, before_pitch, sums = none, sums, sums_pitch, 2 * staging + job.staging_bytes - sums
            plane, misses, is_outside, taps = x_corner, no, no, integers_at(job.plane_taps, p * job.plane_rank)
            for a in range(job.plane_rank):
                axis = _plane_axis_at(job.plane_axes, a)
                source = sample_of(job, axis.samples + taps[a], places[a])
                if source < 0:
                    misses, is_outside = misses or axis.misses, True
                else:
                    plane += source * x.strides[axis.axis]
            if misses:
                continue
            slot = none
            if is_outside or not reads_in_place:
                tap, number = taps[rolling], listed
                if job.rolls:
                    number = p + turned if tap + turned < last.taps else p + turned - last.taps
                slot = scratch + job.slots_at + number * job.slot_bytes
                if not job.rolls or first + tap >= packed:
                    _pack(job, plane, is_outside, x_strides, channels, rows, columns, slot)
            _list_entries(
                job, scratch + job.entries_at + listed * phases * _ENTRY_BYTES, rows, columns, x_strides, channels,
                plane, slot, scratch + job.weights_at + p * job.kernel_rows * job.kernel_columns * size,
            )  # fmt: skip
            listed += 1
        packed = first + last.taps
        if not writes_in_place:
            _store(job, sums, sums + part_bytes, target, out_strides, rows.step, channels, rows.length, columns.length)


def run(x, kernel, out, job, progress, limit, max_spins, scratch):
    """Compute units of `out`.

    Parameters
    ----------
    x, kernel, out : view
        The arrays described by `job`. `out` shares no memory with the others.
    job : view
        A `PLANE_JOB`.
    progress : view
        `progress_counters`, shared by all calls of a job.
    limit : intp
        How many units to compute at most.
    max_spins : intp
        How often to check, when no unit is left to take, whether other threads have finished theirs.
    scratch : intp
        Address of a buffer of this thread alone.

    Returns
    -------
    intp
        A status of `progress_counters`. If zeros outside would not be equivalent to missing samples, units whose kernel
        is not finite are counted, and not computed.
    """
    job = _job_at(job.address, 0)
    thread = release_gil()
    floats = set_default_float_environment()
    advance_epoch(progress)
    channels = job.channels * job.x_parts
    x_strides, x_in_place = _layout_of(x, job, job.x_bytes, job.x_in_place, channels)
    out_strides, out_in_place = _layout_of(out, job, job.out_bytes, job.out_in_place, channels)
    units_of_a_kernel = job.units
    if job.has_kernels:
        units_of_a_kernel = job.blocks_across * job.blocks_down * job.blocks_deep * job.outer_outputs

    status, taken, converted, is_finite = DONE, 0, -1, True
    while True:
        if taken == limit:
            status = MORE
            break
        unit = take_piece(progress)
        if unit >= job.units:
            break
        taken += 1
        number = unit // units_of_a_kernel
        if number != converted:
            is_finite = _convert_kernel(kernel, job, number, scratch + job.weights_at)
            converted = number
        if is_finite:
            _compute_unit(x, out, job, scratch, unit, channels, x_strides, out_strides, x_in_place, out_in_place)
        else:
            fetch_add(integers_at(progress.address, NON_FINITE), 1)
        finish_piece(progress)
    if status == DONE:
        status = wait_for_others(progress, job.units, max_spins)
    restore_float_environment(floats)
    acquire_gil(thread)
    return status
