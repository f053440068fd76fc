"""The loop over blocks: find a block's input, pack it where it must be, tile it, store it.

`run` is compiled once and knows no element type. It calls compiled routines by address: the microkernel
(`direct_tile`), and `transfer` and `add_rotated` (`transfers`) for all that is moved or converted. Type, byte order,
strides and edges of the input are dealt with block by block, in a scratch buffer that stays in cache: there is no
padded or converted copy of an array.

Several threads may call `run` with one counter: each takes the next block from it until none is left.

A picture with channels last is a plane of ``columns * channels`` elements in which neighbouring taps lie
`channels` apart. A complex array is a plane of real and imaginary parts, two channels.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.block_tables import (
    BLOCK,
    COUNT,
    DIRECTION,
    LENGTH,
    OFFSET,
    PIECE,
    ROW_BLOCK,
    ROWS_FROM,
    ROWS_TO,
    RUN,
    RUN_SOURCE,
    RUNS_FROM,
    RUNS_TO,
    SAMPLES,
    SOURCE,
    SPLIT_FROM,
    START,
    WHOLE_FROM,
)
from fastconv._microkernels.progress_counters import BELL, DONE, FINISHED, FLAWS, LEFT, MORE, NEXT, NOT_FINITE
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.gil import acquire_gil, release_gil
from fastconv._simd.memory import address_of, call, fetch_add, integers_at, load_int32, load_int64, spin_load

# What `run` is told, as an array of integers.
(
    TILE,  # addresses of leaves: the microkernel,
    PASSES,  # or both passes of a kernel that is an outer product, else 0,
    PACK,  # transfer from the input's type,
    WEIGH,  # from the kernel's type,
    COPY,  # of fill values,
    STORE,  # and to the output's type,
    TOLD,  # which is told this last;
    ROTATE,  # and a += i * b
    ITEM,  # bytes of an element of the type of the sums,
    PLANE_ITEM,  # of what is packed,
    STAGE_ITEM,  # and of what is tiled, which are others where a leaf converts;
    X_ITEM,  # of a number, or its part, in the input,
    KERNEL_ITEM,  # and in the kernel
    IN_PLACE,  # whether input, and output, are of the type of what is packed, and tiled
    OUT_IN_PLACE,
    X_PARTS,  # 2 where input, and kernel, are complex
    KERNEL_PARTS,
    ROW_AXIS,  # axes of input and output, -1 for none
    COLUMN_AXIS,
    CHANNEL_AXIS,
    KERNEL_ROW_AXIS,
    KERNEL_COLUMN_AXIS,
    CHANNELS,
    ROWS,  # of the kernel
    TAPS,  # in each
    FLIP,
    EXPONENT,  # bits that are all set in an infinity or a NaN; 0 where those need no care
    BLOCKS,  # how many, how many of them down and across a plane
    DOWN,
    ACROSS,
    MINIMUM_WIDTH,  # elements that the microkernel computes at the least
    PLANE_PITCH,  # of the scratch buffers, in elements
    STAGE_PITCH,
    PLANE_AT,  # where they start, in bytes
    STAGE_AT,
    SECOND_STAGE_AT,
    LINES_AT,
    LINES,  # of input that are taken at a time, where there are two passes
    KEEPS_GIL,  # whether the job is so small that other threads can wait for it
    PIECES,  # addresses of the tables of `block_tables`
    RUNS,
    ROW_BLOCKS,
    COLUMN_BLOCKS,
    FILL_VALUE,  # the bytes of a fill value of the compute type; its imaginary part follows
    _FILL_IMAGINARY,
    BATCH_AXES,  # how many there are; their numbers follow
    BATCH,
) = range(47)


def signature():
    """Signature of `run`."""
    return types.intp(view, view, view, view, view, types.intp, types.intp, types.intp)


@compilation.inline
def _weigh(kernel, job, scratch):
    """Bring the kernel, flipped, into the compute type; one plane for each part. False where it is not finite."""
    rows, taps, item = job[ROWS], job[TAPS], job[ITEM]
    row_stride = kernel.strides[job[KERNEL_ROW_AXIS]] if job[KERNEL_ROW_AXIS] >= 0 else 0
    tap_stride = kernel.strides[job[KERNEL_COLUMN_AXIS]] if job[KERNEL_COLUMN_AXIS] >= 0 else 0
    source = kernel.address
    if job[FLIP]:
        source += (rows - 1) * row_stride + (taps - 1) * tap_stride
        row_stride, tap_stride = -row_stride, -tap_stride
    call(
        job[WEIGH],
        source, row_stride, tap_stride, job[KERNEL_ITEM],
        scratch, taps * item, item, rows * taps * item,
        rows, taps, job[KERNEL_PARTS], 0,
    )  # fmt: skip
    mask = job[EXPONENT]
    if mask != 0:
        for k in range(rows * taps * job[KERNEL_PARTS]):
            bits = load_int32(scratch + 4 * k) if item == 4 else load_int64(scratch + 8 * k)
            if bits & mask == mask:
                return False
    return True


@compilation.inline
def _pack(job, plane, corner, row_stride, column_stride, channel_stride, channels, row_piece, column_piece):
    """Copy the input of a block, as the boundary extends it, into `plane`: runs of rows by runs of columns."""
    item, pitch, runs = job[PLANE_ITEM], job[PLANE_PITCH] * job[PLANE_ITEM], job[RUNS]
    for r in range(row_piece[RUNS_FROM], row_piece[RUNS_TO]):
        rows = integers_at(runs, r * RUN)
        for c in range(column_piece[RUNS_FROM], column_piece[RUNS_TO]):
            columns = integers_at(runs, c * RUN)
            target = plane + rows[OFFSET] * pitch + columns[OFFSET] * channels * item
            if rows[RUN_SOURCE] < 0 or columns[RUN_SOURCE] < 0:
                call(
                    job[COPY],
                    address_of(job, FILL_VALUE), 0, 0, 8 * (job[X_PARTS] - 1),
                    target, pitch, channels * item, item,
                    rows[COUNT], columns[COUNT], channels, 0,
                )  # fmt: skip
            else:
                call(
                    job[PACK],
                    corner + rows[RUN_SOURCE] * row_stride + columns[RUN_SOURCE] * column_stride,
                    rows[DIRECTION] * row_stride, columns[DIRECTION] * column_stride, channel_stride,
                    target, pitch, channels * item, item,
                    rows[COUNT], columns[COUNT], channels, 0,
                )  # fmt: skip


@compilation.inline
def _go(x, kernel, out, job, progress, limit, patience, scratch):
    """`run`, with floats as they should be."""
    job = integers_at(job.address, 0)
    state = integers_at(progress.address, 0)
    if limit >= 0:
        fetch_add(integers_at(state[BELL], 0), 1)
    if not job[PASSES] and not _weigh(kernel, job, scratch):
        return NOT_FINITE

    rows, taps, parts = job[ROWS], job[TAPS], job[KERNEL_PARTS]
    plane_item, item = job[PLANE_ITEM], job[STAGE_ITEM]
    # Elements of a column of the plane: channels, or the parts of a complex number.
    channels = job[CHANNELS] * job[X_PARTS]
    x_row = x.strides[job[ROW_AXIS]] if job[ROW_AXIS] >= 0 else 0
    out_row = out.strides[job[ROW_AXIS]] if job[ROW_AXIS] >= 0 else 0
    x_column, out_column = x.strides[job[COLUMN_AXIS]], out.strides[job[COLUMN_AXIS]]
    x_channel, out_channel = job[X_ITEM], item
    if job[CHANNEL_AXIS] >= 0:
        x_channel, out_channel = x.strides[job[CHANNEL_AXIS]], out.strides[job[CHANNEL_AXIS]]
    # One test for each array: all that is not zero here must be, for a tile to read or write it where it is.
    x_steps, out_steps = x.address | x_row, out.address | out_row
    for k in range(job[BATCH_AXES]):
        x_steps |= x.strides[job[BATCH + k]]
        out_steps |= out.strides[job[BATCH + k]]
    x_in_place = job[IN_PLACE] and not (
        (x_channel - plane_item) * (channels - 1) | (x_column - channels * plane_item) | x_steps % plane_item
    )
    out_in_place = job[OUT_IN_PLACE] and not (
        (out_channel - item) * (channels - 1) | (out_column - channels * item) | out_steps % item
    )
    plane, stage, second_stage = scratch + job[PLANE_AT], scratch + job[STAGE_AT], scratch + job[SECOND_STAGE_AT]
    stage_pitch = job[STAGE_PITCH]
    lines = scratch + job[LINES_AT]
    flaws = integers_at(lines, 0)
    flaws[0] = 0

    taken = 0
    while True:
        if limit < 0:
            block = taken
        elif taken == limit:
            return MORE
        else:
            block = fetch_add(integers_at(progress.address, NEXT), 1)
        if block >= job[BLOCKS]:
            break
        taken += 1

        across = block % job[ACROSS]
        block //= job[ACROSS]
        row_block = integers_at(job[ROW_BLOCKS], block % job[DOWN] * ROW_BLOCK)
        index = block // job[DOWN]
        x_corner, out_corner = x.address, out.address
        for k in range(job[BATCH_AXES]):
            axis = job[BATCH + k]
            extent = out.extents[axis]
            x_corner += index % extent * x.strides[axis]
            out_corner += index % extent * out.strides[axis]
            index //= extent
        split = x_in_place and (job[PASSES] or integers_at(job[PIECES], row_block[ROWS_FROM] * PIECE)[SOURCE] >= 0)
        segments = integers_at(job[COLUMN_BLOCKS], across * BLOCK + (SPLIT_FROM if split else WHOLE_FROM))

        for segment in range(segments[0], segments[1]):
            piece = integers_at(job[PIECES], segment * PIECE)
            columns = piece[LENGTH] * channels
            width = max(columns, job[MINIMUM_WIDTH])
            inside = split and piece[SOURCE] >= 0 and width == columns
            direct = out_in_place and width == columns and parts == 1
            for row_number in range(row_block[ROWS_FROM], row_block[ROWS_TO]):
                row_piece = integers_at(job[PIECES], row_number * PIECE)
                height, samples = row_piece[LENGTH], row_piece[SAMPLES]
                if inside and row_piece[SOURCE] >= 0:
                    source = x_corner + row_piece[SOURCE] * x_row + piece[SOURCE] * x_column
                    pitch = x_row // plane_item
                else:
                    source, pitch = plane, job[PLANE_PITCH]
                    if width != columns:  # the tile reads further than there is: let it read zeros
                        words = integers_at(plane, 0)
                        for k in range(pitch * samples * plane_item // 8):
                            words[k] = 0
                    _pack(job, plane, x_corner, x_row, x_column, x_channel, channels, row_piece, piece)

                target = out_corner + row_piece[START] * out_row + piece[START] * out_column
                tiled, tiled_pitch = stage, stage_pitch
                if direct:
                    tiled, tiled_pitch = target, out_row // item
                if job[PASSES]:
                    call(
                        job[PASSES],
                        source, pitch, kernel.address, lines, stage_pitch, row_number - row_block[ROWS_FROM],
                        job[LINES], samples,
                        tiled, tiled_pitch, height, width, rows, taps, channels,
                    )  # fmt: skip
                else:
                    for part in range(parts):
                        weights = scratch + part * rows * taps * job[ITEM]
                        if part:
                            tiled = second_stage
                        call(
                            job[TILE],
                            source, pitch, weights, taps, tiled, tiled_pitch, height, width, rows, taps, channels,
                        )  # fmt: skip
                if direct:
                    continue
                results = parts  # of a real input and a complex kernel: the real and the imaginary parts
                if parts == 2 and channels == 2:
                    call(job[ROTATE], stage, second_stage, stage_pitch, height, piece[LENGTH])
                    results = 1
                for part in range(results):
                    call(
                        job[STORE],
                        second_stage if part else stage, stage_pitch * item, channels * item, item,
                        target + part * item, out_row, out_column, out_channel,
                        height, piece[LENGTH], channels, job[TOLD],
                    )  # fmt: skip
        if limit >= 0:
            if flaws[0] != 0:
                fetch_add(integers_at(progress.address, FLAWS), 1)
            fetch_add(integers_at(progress.address, FINISHED), 1)

    if limit >= 0:
        for _ in range(patience):
            if spin_load(integers_at(progress.address, FINISHED)) >= job[BLOCKS]:
                return DONE
        return LEFT
    return NOT_FINITE if flaws[0] != 0 else DONE


def run(x, kernel, out, job, progress, limit, patience, scratch):
    """Compute blocks of `out`.

    Parameters
    ----------
    x, kernel, out : view
        Any arrays; `job` says what they hold. No element of `out` is one of the others.
    job : view
        The integers above.
    progress : view
        How far the job has got, shared by all who call with it.
    limit : intp
        How many blocks to compute at the most. Below 0: all of them, in this call alone, without `progress`.
    patience : intp
        How often to look, when no block is left to take, whether the others have finished theirs.
    scratch : intp
        Address of a buffer that is this thread's alone.

    Returns
    -------
    intp
        `DONE`, all blocks are finished; `MORE` are to be taken; `LEFT`, others are still at work on the last ones; or
        `NOT_FINITE`, nothing was computed, because the kernel has an infinity or a NaN and zeros outside would not be
        the same as no samples there.
    """
    thread = 0 if integers_at(job.address, KEEPS_GIL)[0] else release_gil()
    kept = set_default_float_environment()
    status = _go(x, kernel, out, job, progress, limit, patience, scratch)
    restore_float_environment(kept)
    if thread != 0:
        acquire_gil(thread)
    return status
