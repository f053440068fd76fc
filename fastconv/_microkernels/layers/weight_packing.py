"""Packing of a layer's weights to ``[kernel row][kernel column][channel][output channel]``, block by block."""

from __future__ import annotations

from numba import types

from fastconv._simd.array_view import view
from fastconv._simd.integers import larger, smaller
from fastconv._simd.lane_copies import copy_lanes, copy_transposed, transpose_side
from fastconv._simd.memory import advance, advance_bytes, call, itemsize, load, opaque, store


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
