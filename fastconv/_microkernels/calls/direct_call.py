"""Direct convolution by one thread, called from a user's compiled code: with no Python, tables or buffers at hand.

`convolve` is independent of the element types: `ROUTINES` has the addresses of the routines for them, the same as those
of `direct`, and the blocks are those of `block_loop`, so that results have the same bits. Memory comes from the
allocator in `ROUTINES`. All decisions that the direct engine makes in Python are made here for each call: which array
is the kernel, roles of axes, blocks and pieces.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.block_cutting import COLUMN_BLOCK, PIECE, ROW_BLOCK, RUN, column_block_at, row_block_at
from fastconv._microkernels.blocks.block_loop import BLOCK_JOB, compute_block, convert_kernel, job_at, plane_layout
from fastconv._microkernels.calls.axis_roles import axis_roles
from fastconv._microkernels.calls.call_checks import check
from fastconv._microkernels.calls.call_cutting import (
    CALL_AXIS,
    MOST_PIECES,
    add_columns,
    add_piece,
    axis_at,
    end_of_block,
    most_runs,
)
from fastconv._microkernels.calls.call_records import CALL, KINDS, NO_MEMORY, OK, ROUTINES
from fastconv._microkernels.job_records import reader
from fastconv._microkernels.sample_layout import pitch_of, usual_block
from fastconv._model.geometry import ZERO
from fastconv._simd import compilation
from fastconv._simd.array_view import view_of
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import bytes_at, call_for, call_for_two, integers_at

_WORD = 8
_JOB_BYTES, _AXIS_BYTES = BLOCK_JOB.dtype.itemsize, CALL_AXIS.dtype.itemsize
_PIECE_BYTES, _RUN_BYTES = PIECE.dtype.itemsize, RUN.dtype.itemsize
_BLOCK_BYTES = ROW_BLOCK.dtype.itemsize + COLUMN_BLOCK.dtype.itemsize
_ROW_BLOCK_BYTES = ROW_BLOCK.dtype.itemsize

_FLOAT = KINDS.index("f")  # the first of those whose sums are floats

_routines_at, _call_at = reader(ROUTINES), reader(CALL)
_inlined_roles = compilation.inline(axis_roles)
_inlined_pitch, _inlined_block = compilation.inline(pitch_of), compilation.inline(usual_block)


def signature():
    """Signature of `convolve`."""
    return types.intp(types.intp, types.intp)


@compilation.inline
def _bounds(address, extents, strides, rank, item):
    """Addresses of the first byte of an array, and of the byte after the last."""
    first, last = address, address + item
    for axis in range(rank):
        step = (integers_at(extents, axis)[0] - 1) * integers_at(strides, axis)[0]
        if step < 0:
            first += step
        else:
            last += step
    return first, last


@compilation.outline
def _overlaps(routines, call):
    """Whether the output may share memory with the input or the kernel."""
    out_item = routines.out_bytes * max(routines.x_parts, routines.kernel_parts)
    out = _bounds(call.out, call.out_extents, call.out_strides, call.rank, out_item)
    x = _bounds(call.x, call.x_extents, call.x_strides, call.rank, routines.x_bytes * routines.x_parts)
    kernel_item = routines.kernel_bytes * routines.kernel_parts
    kernel = _bounds(call.kernel, call.kernel_extents, call.kernel_strides, call.count, kernel_item)
    return (out[0] < x[1] and x[0] < out[1]) or (out[0] < kernel[1] and kernel[0] < out[1])


@compilation.outline
def _copy_elements(source, source_strides, target, target_strides, extents, rank, item, flipped):
    """Copy an array byte by byte; `flipped` are bits to flip in the last byte of each element."""
    total = 1
    for axis in range(rank):
        total *= integers_at(extents, axis)[0]
    for element in range(total):
        index, origin, place = element, source, target
        for k in range(rank):
            axis = rank - 1 - k
            extent = integers_at(extents, axis)[0]
            origin += index % extent * integers_at(source_strides, axis)[0]
            place += index % extent * integers_at(target_strides, axis)[0]
            index //= extent
        read, written = bytes_at(origin, 0), bytes_at(place, 0)
        for k in range(item):
            written[k] = read[k]
        written[item - 1] ^= flipped


@compilation.inline
def _set_contiguous(strides, extents, rank, item):
    """Set the strides of a C-contiguous array; return its size in bytes."""
    for k in range(rank):
        axis = rank - 1 - k
        integers_at(strides, axis)[0] = item
        item *= integers_at(extents, axis)[0]
    return item


@compilation.inline
def _swaps(call):
    """Whether input and kernel change places, as in `plans`: the engines want the short array as the kernel."""
    if call.rank != call.count or call.boundary != ZERO:
        return False
    samples = taps = 1
    for k in range(call.count):
        samples *= integers_at(call.x_extents, k)[0]
        taps *= integers_at(call.kernel_extents, k)[0]
    return samples < taps


@compilation.inline
def _exchange(routines, call, job, taken):
    """Make the kernel the input, and the input the kernel; `taken` has room for four integers on each of two axes."""
    extents, strides, kernel_extents, kernel_strides = taken, taken + 2 * _WORD, taken + 4 * _WORD, taken + 6 * _WORD
    axes, address = integers_at(call.axes, 0), call.kernel
    for k in range(call.count):
        axis, extent = axes[k], integers_at(call.kernel_extents, k)[0]
        step = integers_at(call.kernel_strides, k)[0]
        if not call.flip:
            address, step = address + (extent - 1) * step, -step
        integers_at(extents, axis)[0], integers_at(strides, axis)[0] = extent, step
        integers_at(kernel_extents, k)[0] = integers_at(call.x_extents, axis)[0]
        integers_at(kernel_strides, k)[0] = integers_at(call.x_strides, axis)[0]
    call.kernel, call.x = call.x, address
    call.x_extents, call.x_strides = extents, strides
    call.kernel_extents, call.kernel_strides = kernel_extents, kernel_strides
    job.flip = True
    job.pack, job.convert_kernel = routines.convert_kernel, routines.pack
    job.x_bytes, job.kernel_bytes = routines.kernel_bytes, routines.x_bytes
    job.x_parts, job.kernel_parts = routines.kernel_parts, routines.x_parts
    job.x_in_place = routines.kernel_is_of_samples


@compilation.inline
def _set_types(routines, call, job):
    """Set the fields of a job that the types decide."""
    job.pack, job.convert_kernel, job.fill, job.store = (
        routines.pack,
        routines.convert_kernel,
        routines.copy,
        routines.store,
    )
    job.add_rotated = routines.add_rotated
    job.x_in_place, job.out_in_place = routines.x_is_of_samples, routines.out_is_of_samples
    job.compute_bytes = job.sample_bytes = routines.compute_bytes
    job.x_bytes, job.kernel_bytes, job.out_bytes = routines.x_bytes, routines.kernel_bytes, routines.out_bytes
    job.x_parts, job.kernel_parts = routines.x_parts, routines.kernel_parts
    job.minimum_width = routines.minimum_width
    job.blocks_down = job.blocks_across = 1
    job.flip = call.flip
    for k in range(2):
        integers_at(job.fill_value, k)[0] = integers_at(call.fill_value, k)[0]


@compilation.inline
def _set_axis(axis, call, role, kernel_role):
    """Set an axis of rows or columns: convolved, iterated, or absent."""
    axis.samples = axis.outputs = axis.taps = 1
    axis.first, axis.boundary = 0, ZERO
    axis.leaves_taps_out = axis.is_exact = False
    if role < 0:
        return
    axis.samples, axis.outputs = integers_at(call.x_extents, role)[0], integers_at(call.out_extents, role)[0]
    if kernel_role >= 0:
        axis.taps, axis.boundary = integers_at(call.kernel_extents, kernel_role)[0], call.boundary
        axis.first = integers_at(call.starts, kernel_role)[0] - (axis.taps - 1)


@compilation.inline
def _looks_outside(axis):
    return axis.first < 0 or axis.first + axis.outputs + axis.taps - 1 > axis.samples


@compilation.inline
def _set_blocks(routines, job, row_axis, column_axis):
    """Choose the microkernel, and the size of blocks: as in `direct`, but for the limits that Ctrl-C needs there."""
    rows, taps = row_axis.taps, column_axis.taps
    job.kernel_rows, job.taps = rows, taps
    is_line = rows == 1 or taps == 1
    job.microkernel = routines.tile_microkernel
    if rows == 1:
        job.microkernel = routines.line_microkernel
    elif taps == 1:
        job.microkernel = routines.column_microkernel
    # Sums of floats along a line have an order that depends on the symmetry of the whole kernel.
    row_axis.leaves_taps_out = row_axis.boundary == ZERO and not (is_line and routines.result_kind >= _FLOAT)
    column_axis.leaves_taps_out = column_axis.boundary == ZERO and row_axis.leaves_taps_out
    size, channels = routines.compute_bytes, job.channels * job.x_parts
    most, elements = _inlined_block(row_axis.outputs, size)
    row_axis.size = min(row_axis.outputs, most)
    across = -(-column_axis.outputs * channels // max(elements, routines.minimum_width))
    column_axis.size = -(-column_axis.outputs // across)


@compilation.outline
def _set_scratch(job, row_axis, column_axis):
    """Divide the scratch memory; return its size in bytes."""
    size, channels = job.sample_bytes, job.channels * job.x_parts
    line = max(column_axis.size * channels, job.minimum_width)
    job.staging_pitch = _inlined_pitch(line, size)
    job.packed_pitch = _inlined_pitch(line + (column_axis.taps - 1) * channels, size)
    weights = -(-job.kernel_parts * row_axis.taps * column_axis.taps * size // 64) * 64
    packed = -(-(row_axis.size + row_axis.taps - 1) * job.packed_pitch * size // 64) * 64
    staging = -(-row_axis.size * job.staging_pitch * size // 64) * 64
    job.packed_at = weights
    job.staging_at = weights + packed
    job.second_staging_at = job.staging_at + staging
    return job.second_staging_at + (staging if job.kernel_parts == 2 else 0)


@compilation.outline
def _compute(x, kernel, out, job, row_axis, column_axis, planes, scratch):
    """Compute the output block by block; return False, and compute nothing, if the kernel is not finite but must be."""
    if not convert_kernel(kernel, job, scratch + job.weights_at):
        return False
    channels = job.channels * job.x_parts
    x_strides, x_in_place = plane_layout(x, job, job.x_bytes, job.x_in_place, channels)
    out_strides, out_in_place = plane_layout(out, job, job.out_bytes, job.out_in_place, channels)
    rows, columns = row_block_at(job.row_blocks, 0), column_block_at(job.column_blocks, 0)
    rows.first, rows.stop = 0, 1
    least = -(-job.minimum_width // channels)
    first = top = types.intp(0)  # not a literal, for which Numba would compile all that it is passed to once more
    while top < row_axis.outputs:
        bottom = end_of_block(row_axis, top)
        known = add_piece(job, first, first, row_axis, top, bottom)
        left = first
        while left < column_axis.outputs:
            right = end_of_block(column_axis, left)
            add_columns(job, columns, known, column_axis, left, right, least)
            for plane in range(planes):
                compute_block(
                    x, kernel, out, job, scratch, plane, channels, x_strides, out_strides, x_in_place, out_in_place
                )  # fmt: skip
            left = right
        top = bottom
    return True


@compilation.inline
def _conjugate(call, memory, item):
    """Make the kernel its conjugate, in `memory`: that has room for two strides and the elements."""
    strides, target, sign = memory, memory + 2 * _WORD, types.intp(0x80)
    _set_contiguous(strides, call.kernel_extents, call.count, item)
    _copy_elements(call.kernel, call.kernel_strides, target, strides, call.kernel_extents, call.count, item, sign)
    call.kernel, call.kernel_strides = target, strides


@compilation.outline
def _run(routines, call, kernel_memory):
    """Compute a call whose arrays do not overlap; `kernel_memory` is the address of memory for a conjugated kernel."""
    rank, count = call.rank, call.count
    if kernel_memory != 0:
        _conjugate(call, kernel_memory, 2 * routines.kernel_bytes)

    # A job, two axes, the arrays that change places, batch axes, and what is left of the tables for runs and scratch.
    fixed = _JOB_BYTES + 2 * _AXIS_BYTES + (8 + rank) * _WORD
    memory = call_for(routines.allocate, fixed)
    if memory == 0:
        return NO_MEMORY
    for k in range(fixed // _WORD):
        integers_at(memory, k)[0] = 0
    job, row_axis = job_at(memory, 0), axis_at(memory + _JOB_BYTES, 0)
    column_axis, taken = axis_at(memory + _JOB_BYTES, 1), memory + _JOB_BYTES + 2 * _AXIS_BYTES
    job.batch_axes = taken + 8 * _WORD
    _set_types(routines, call, job)
    if _swaps(call):
        _exchange(routines, call, job, taken)

    axes = integers_at(call.axes, 0)
    is_complex = job.x_parts == 2 or job.kernel_parts == 2
    extent = integers_at(call.x_extents, rank - 1)[0]
    second = axes[1] if count == 2 else -1
    role = _inlined_roles(rank, extent, axes[0], second, is_complex, routines.minimum_width)
    job.row_axis, job.column_axis, job.channel_axis, job.kernel_row_axis, job.kernel_column_axis = role
    job.channels = 1
    if role[2] >= 0:
        job.channels = integers_at(call.x_extents, role[2])[0]
        if job.channels == 1:
            job.channel_axis = -1
    planes = types.intp(1)
    for axis in range(rank):
        if axis != role[0] and axis != role[1] and axis != role[2]:
            integers_at(job.batch_axes, job.batch_rank)[0] = axis
            job.batch_rank += 1
            planes *= integers_at(call.out_extents, axis)[0]
    _set_axis(row_axis, call, role[0], role[3])
    _set_axis(column_axis, call, role[1], role[4])
    _set_blocks(routines, job, row_axis, column_axis)
    looks_outside = _looks_outside(row_axis) or _looks_outside(column_axis)
    if call.boundary == ZERO and looks_outside:
        job.exponent_mask = routines.exponent_mask

    tables = _BLOCK_BYTES + MOST_PIECES * _PIECE_BYTES
    runs = (most_runs(row_axis) + 4 * most_runs(column_axis)) * _RUN_BYTES
    work = call_for(routines.allocate, tables + runs + _set_scratch(job, row_axis, column_axis) + 64)
    if work == 0:
        call_for(routines.free, memory)
        return NO_MEMORY
    job.row_blocks, job.column_blocks = work, work + _ROW_BLOCK_BYTES
    job.pieces, job.runs = work + _BLOCK_BYTES, work + tables
    scratch = -(-(work + tables + runs) // 64) * 64
    x, kernel = (
        view_of(call.x, call.x_extents, call.x_strides),
        view_of(call.kernel, call.kernel_extents, call.kernel_strides),
    )
    out = view_of(call.out, call.out_extents, call.out_strides)
    if not _compute(x, kernel, out, job, row_axis, column_axis, planes, scratch):
        # Each output near the ends has exactly the taps that reach samples: a missing sample adds nothing.
        job.exponent_mask = 0
        row_axis.leaves_taps_out = row_axis.is_exact = row_axis.taps > 1
        column_axis.leaves_taps_out = column_axis.is_exact = column_axis.taps > 1
        _compute(x, kernel, out, job, row_axis, column_axis, planes, scratch)
    call_for(routines.free, work)
    call_for(routines.free, memory)
    return OK


@compilation.inline
def _in_threads(routines, call, address):
    """Have the shared engine compute a call, if that pays and this is a thread of Python's; return whether it has.

    A worker of a parallel region is none: the thread that waits for it may hold the GIL. Python runs in a thread of its
    own meanwhile. In this one it might call a signal handler, whose exception cannot pass through compiled code.
    """
    if call.workers == 1 or routines.share == 0:
        return False
    work = 1
    for k in range(call.count):
        work *= integers_at(call.kernel_extents, k)[0]
    work += 8
    for axis in range(call.rank):
        work *= integers_at(call.out_extents, axis)[0]
    if work < routines.work_for_threads or call_for(routines.thread_state, 0) == 0:
        return False
    call.shared, call.lock = 0, call_for(routines.new_lock, 0)
    if call.lock == 0:
        return False
    lock, state = call.lock, 0
    if call_for(routines.holds_gil, 0) % 2 != 0:  # a C integer: the other bits are arbitrary
        state = call_for(routines.release_gil, 0)
    call_for_two(routines.acquire_lock, lock, 1)
    if call_for_two(routines.start_thread, routines.share, address) != -1:
        call_for_two(routines.acquire_lock, lock, 1)
    call_for(routines.free_lock, lock)
    if state != 0:
        call_for(routines.acquire_gil, state)
    return call.shared != 0


def convolve(routines_address, call_address):
    """Check a call, or compute one that has been checked; return `OK`, or the number of an error.

    Parameters
    ----------
    routines_address : intp
        Address of a `ROUTINES`.
    call_address : intp
        Address of a `CALL`, which changes.
    """
    routines, call = _routines_at(routines_address, 0), _call_at(call_address, 0)
    if not call.checked:
        return check(routines, call)
    rank, out, out_strides, temporary = call.rank, call.out, call.out_strides, 0
    item = routines.out_bytes * max(routines.x_parts, routines.kernel_parts)
    if call.has_out and _overlaps(routines, call):
        size = item
        for axis in range(rank):
            size *= integers_at(call.out_extents, axis)[0]
        temporary = call_for(routines.allocate, rank * _WORD + size)
        if temporary == 0:
            return NO_MEMORY
        call.out_strides, call.out = temporary, temporary + rank * _WORD
        _set_contiguous(temporary, call.out_extents, rank, item)
    status = OK
    if not _in_threads(routines, call, call_address):
        kernel_memory = 0
        if not call.flip and routines.kernel_parts == 2:
            size = 2 * routines.kernel_bytes
            for k in range(call.count):
                size *= integers_at(call.kernel_extents, k)[0]
            kernel_memory = call_for(routines.allocate, 2 * _WORD + size)
            status = OK if kernel_memory != 0 else NO_MEMORY
        if status == OK:
            floats = set_default_float_environment()
            status = _run(routines, call, kernel_memory)
            restore_float_environment(floats)
        if kernel_memory != 0:
            call_for(routines.free, kernel_memory)
    if temporary != 0:
        if status == OK:
            _copy_elements(call.out, temporary, out, out_strides, call.out_extents, rank, item, types.intp(0))
        call_for(routines.free, temporary)
    return status
