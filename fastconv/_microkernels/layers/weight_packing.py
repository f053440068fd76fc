"""Packing of a layer's weights to ``[kernel row][kernel column][channel][output channel]``, block by block."""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd.array_view import view
from fastconv._simd.integers import larger, smaller
from fastconv._simd.lane_copies import common_lanes, copy_lanes, copy_transposed, deal_lanes, transpose_side
from fastconv._simd.memory import advance, advance_bytes, call, integers_at, itemsize, load, opaque, store

# Weights as a layer is given them, which its units pack. Steps are in bytes.
GIVEN_WEIGHTS = Record(
    "GivenWeights",
    {
        "pack": np.intp,  # address of the routine that packs a block
        "weights": np.intp,  # address
        "space": np.intp,  # bytes from there on that may be read
        "output_step": np.intp,
        "channel_step": np.intp,
        "row_step": np.intp,
        "column_step": np.intp,
    },
)
given_at = reader(GIVEN_WEIGHTS)


def signature(dtype):
    """Signature of `pack_block` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, n, n, n, pointer, pointer, *[n] * 5)


def pack_block(
    source,
    space,
    output_step,
    channel_step,
    row_step,
    column_step,
    target,
    square,
    size,
    outputs,
    channels,
    rows,
    columns,
):
    """Pack `outputs` output channels in rows of `size`; steps are in bytes.

    `space` bytes from `source` on may be read. `square` is for the elements of a square of `transpose_side`.
    """
    item, side, taps = itemsize(source), transpose_side(source, target, False), rows * columns
    done = 0
    is_single = taps == 1 and channel_step == item
    forwards = is_single or (taps > 1 and column_step == item and row_step == columns * item)
    backwards = taps > 1 and column_step == -item and row_step == -columns * item
    if output_step == item and outputs >= side:
        done = outputs
        for c in range(channels):
            for tap in range(taps):
                line = advance_bytes(source, c * channel_step + tap // columns * row_step + tap % columns * column_step)
                for start in range(0, outputs, side):
                    o = smaller(start, outputs - side)
                    copy_lanes(advance(line, o), advance(target, (tap * channels + c) * size + o), 1, False)
    elif (forwards or backwards) and output_step > 0:
        # The weights of a kernel, or all of an output, lie side by side: squares of outputs and weights are transposed.
        is_whole = forwards and channel_step == taps * item
        run = channels * taps if is_whole else taps
        first = (rows - 1) * row_step + (columns - 1) * column_step if backwards else 0
        done = outputs // side * side
        for o in range(0, done, side):
            for c in range(1 if is_whole else channels):
                begin = o * output_step + c * channel_step + first
                k = 0
                while k < run:
                    k = larger(0, smaller(k, run - side))
                    count = smaller(side, run - k)
                    corner = advance_bytes(source, begin + k * item)
                    if begin + (k + side) * item + (side - 1) * output_step <= space:
                        copy_transposed(corner, output_step, square, side * item, False, False)
                    else:
                        for line in range(side):
                            for n in range(count):
                                value = load(opaque(advance_bytes(corner, line * output_step + n * item)))
                                store(advance(square, n * side + line), value)
                    channel, tap = (k // taps, k % taps) if is_whole else (c, k)
                    for n in range(count):
                        place = ((taps - 1 - tap if backwards else tap) * channels + channel) * size + o
                        copy_lanes(advance(square, n * side), advance(target, place), 1, False)
                        tap += 1
                        if tap == taps:
                            channel, tap = channel + 1, 0
                    k += side
    if done < outputs:
        for tap in range(taps):
            for c in range(channels):
                line = advance_bytes(source, c * channel_step + tap // columns * row_step + tap % columns * column_step)
                place = advance(target, (tap * channels + c) * size)
                for o in range(done, outputs):
                    store(advance(place, o), load(opaque(advance_bytes(line, o * output_step))))


@functools.cache
def make_dealt(taps: int):
    """Make the routine for kernels of an odd number of taps, those of adjacent output channels side by side.

    The taps lie in memory in the order of rows and columns, or all in the reverse order: as in the gradient to the
    input. They are dealt out in registers, without a square in memory.
    """

    def pack_dealt(
        source, space, output_step, channel_step, row_step, column_step, target, square, size, outputs, channels, rows,
        columns,
    ):  # fmt: skip
        """Pack a vector of output channels at least, as `pack_block`; the last vector slides back."""
        lanes = common_lanes(source, target)
        pitch = channels * size
        is_reversed = (column_step if columns > 1 else row_step) < 0
        corner = source
        if is_reversed:
            corner = advance_bytes(source, (rows - 1) * row_step + (columns - 1) * column_step)
            target = advance(target, (taps - 1) * pitch)
            pitch = -pitch
        for c in range(channels):
            o = 0
            while o < outputs:
                o = smaller(o, outputs - lanes)
                line = advance_bytes(corner, c * channel_step + o * output_step)
                deal_lanes(line, advance(target, c * size + o), pitch, taps, channel_step)
                o += lanes

    pack_dealt.__name__ = f"pack_dealt_{taps}"
    return pack_dealt


def entry_signature():
    """Signature of `pack_blocks`."""
    n = types.intp
    return types.void(view, view, view, n, n, n, n, n, n)


def pack_blocks(weights, packed, square, routine, outputs, block, padded, first, stop):
    """Pack the blocks of output channels from `first` to `stop`, exclusive, numbered through all groups.

    `weights` is of the order (output, channel, row, column), with `outputs` outputs in a group, which become `padded`
    ones in blocks of `block`, the last of which may be smaller.
    """
    channels, rows, columns = weights.extents[1], weights.extents[2], weights.extents[3]
    blocks = (padded + block - 1) // block
    size = packed.strides[0]
    stop_address = weights.address + size
    for axis in range(4):
        stop_address += larger(0, (weights.extents[axis] - 1) * weights.strides[axis])
    for k in range(first, stop):
        group, output = k // blocks, k % blocks * block
        source = weights.address + (group * outputs + output) * weights.strides[0]
        call(
            routine,
            source, stop_address - source,
            weights.strides[0], weights.strides[1], weights.strides[2], weights.strides[3],
            packed.address + (group * padded + output) * channels * rows * columns * size, square.address,
            smaller(block, padded - output), larger(0, smaller(block, outputs - output)), channels, rows, columns,
        )  # fmt: skip


def given_signature():
    """Signature of `pack_given`."""
    return types.void(*[types.intp] * 10)


def pack_given(given_address, output, target, square, size, outputs, channels, rows, columns, item):
    """Pack a block of given weights, of `item` bytes each, from an output channel on.

    Of the `size` outputs those after `outputs` are zeros.
    """
    given = given_at(given_address, 0)
    if outputs < size:
        words = integers_at(target, 0)
        for word in range(channels * rows * columns * size * item // 8):
            words[word] = 0
    offset = output * given.output_step
    call(
        given.pack,
        given.weights + offset, given.space - offset,
        given.output_step, given.channel_step, given.row_step, given.column_step,
        target, square, size, outputs, channels, rows, columns,
    )  # fmt: skip
