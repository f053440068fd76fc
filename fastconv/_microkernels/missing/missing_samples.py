"""Move samples of which some are missing: pack them as pairs with their weights, and divide sums of pairs by weights.

`pack` and `fill` have the parameters of `transfers.transfer`, and replace it: a channel of the input becomes two
neighbouring channels, a sample times its weight, and its weight. `channels` counts those. `weigh` multiplies pairs that
are packed by an array of weights. Those with `apart` in their names are the same for one channel and rows of
adjacent samples at `dst`, whose weights lie `dst_chan` bytes behind them.
"""

from __future__ import annotations

from numba import types

from fastconv._simd.memory import advance, advance_bytes, itemsize, load, opaque, pointer_to, store
from fastconv._simd.pair_vectors import (
    divide_pairs,
    pack_apart,
    pack_pairs,
    pair_lanes,
    scale_lanes,
    weigh_apart,
    weigh_pairs,
)


def signature(source, pairs):
    """Signature of `pack`, `fill` and `weigh`."""
    n = types.intp
    return types.void(types.CPointer(source), n, n, n, types.CPointer(pairs), n, n, n, n, n, n, n)


def _make_pack(name: str, swapped: bool, ignores_nan: bool):
    """`pack` for sources of native or opposite byte order, and for NaNs that are data or missing."""

    def pack(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
        """Store samples and weights of 1; strides are in bytes."""
        size, lanes = itemsize(src), pair_lanes(dst)
        of_pixel = channels // 2
        if src_col == of_pixel * src_chan:
            columns, of_pixel, src_col = columns * of_pixel, 1, src_chan
        step = 2 * of_pixel * itemsize(dst)
        for k in range(of_pixel):
            source, target = advance_bytes(src, k * src_chan), advance(dst, 2 * k)
            for r in range(rows):
                line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
                done = 0
                if src_col == size and of_pixel == 1:
                    done = columns - columns % lanes
                    for c in range(0, done, lanes):
                        pack_pairs(advance(line, c), advance(out, 2 * c), True, swapped, ignores_nan)
                for c in range(done, columns):
                    place = opaque(advance_bytes(line, c * src_col))
                    pack_pairs(place, advance_bytes(out, c * step), False, swapped, ignores_nan)

    pack.__name__ = name
    return pack


def _make_pack_apart(name: str, swapped: bool, ignores_nan: bool):
    def pack(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
        size, lanes = itemsize(src), pair_lanes(dst)
        for r in range(rows):
            line, out = advance_bytes(src, r * src_row), advance_bytes(dst, r * dst_row)
            known, done = advance_bytes(out, dst_chan), 0
            if src_col == size:
                done = columns - columns % lanes
                for c in range(0, done, lanes):
                    pack_apart(advance(line, c), advance(out, c), advance(known, c), True, swapped, ignores_nan)
            for c in range(done, columns):
                place = opaque(advance_bytes(line, c * src_col))
                pack_apart(place, advance(out, c), advance(known, c), False, swapped, ignores_nan)

    pack.__name__ = name
    return pack


# By whether the source is swapped, and whether NaNs are missing; and whether pairs are apart.
PACKS = {
    (swapped, ignores, apart): make(
        f"pack{'_apart' * apart}{'_swapped' * swapped}{'_numbers' * ignores}", swapped, ignores
    )
    for swapped in (False, True)
    for ignores in (False, True)
    for apart, make in ((False, _make_pack), (True, _make_pack_apart))
}


def fill(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
    """Store the pair at `src`, 8 bytes apart, everywhere."""
    value, weight = load(src), load(advance_bytes(src, 8))
    for r in range(rows):
        for c in range(columns):
            target = opaque(advance_bytes(dst, r * dst_row + c * dst_col))
            for k in range(0, channels, 2):
                store(advance(target, k), value)
                store(advance(target, k + 1), weight)


def fill_apart(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
    value, weight = load(src), load(advance_bytes(src, 8))
    for r in range(rows):
        out = advance_bytes(dst, r * dst_row)
        known = advance_bytes(out, dst_chan)
        for c in range(columns):
            store(advance(out, c), value)
            store(advance(known, c), weight)


def keep(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
    """Leave pairs as they are."""


def weigh(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
    """Multiply pairs by the weights at `src`."""
    size, lanes = itemsize(src), pair_lanes(dst)
    of_pixel = channels // 2
    if src_col == of_pixel * src_chan:
        columns, of_pixel, src_col = columns * of_pixel, 1, src_chan
    step = 2 * of_pixel * itemsize(dst)
    for k in range(of_pixel):
        source, target = advance_bytes(src, k * src_chan), advance(dst, 2 * k)
        for r in range(rows):
            line, out = advance_bytes(source, r * src_row), advance_bytes(target, r * dst_row)
            done = 0
            if src_col == size and of_pixel == 1:
                done = columns - columns % lanes
                for c in range(0, done, lanes):
                    weigh_pairs(advance(line, c), advance(out, 2 * c), True)
            for c in range(done, columns):
                weigh_pairs(opaque(advance_bytes(line, c * src_col)), advance_bytes(out, c * step), False)


def weigh_apart_pairs(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, _):
    size, lanes = itemsize(src), pair_lanes(dst)
    for r in range(rows):
        line, out = advance_bytes(src, r * src_row), advance_bytes(dst, r * dst_row)
        known, done = advance_bytes(out, dst_chan), 0
        if src_col == size:
            done = columns - columns % lanes
            for c in range(0, done, lanes):
                weigh_apart(advance(line, c), advance(out, c), advance(known, c), True)
        for c in range(done, columns):
            weigh_apart(opaque(advance_bytes(line, c * src_col)), advance(out, c), advance(known, c), False)


def divide_signature(sums, destination):
    """Signature of the routines in `DIVISIONS`."""
    n, pointer = types.intp, types.CPointer(sums)
    return types.void(pointer, pointer, n, types.CPointer(destination), n, n, n, n, n, n, n, n, n, n, n)


def _make_divide(name: str, normalize: bool, rescales: bool, apart: bool):
    each = 1 if apart else 2  # numbers from one pair to the next

    def divide(
        src, sizes, src_row, dst, dst_row, dst_col, dst_chan, shares, share_row, share_col, share_chan, rows, columns,
        channels, parameters,
    ):  # fmt: skip
        """Divide sums of pairs into results, and known shares at the address `shares`, unless that is 0.

        Strides are in bytes; `sizes` are sums of pairs with the absolute taps, at the same strides as `src`, or the
        second numbers of pairs that are apart, and `parameters` the address of those of `divide_pairs`.
        """
        lanes, numbers, of_pixel = pair_lanes(src), pointer_to(src, parameters), channels // 2
        merges = dst_col == of_pixel * dst_chan and (shares == 0 or share_col == of_pixel * share_chan)
        if merges:
            columns, of_pixel, dst_col, share_col = columns * of_pixel, 1, dst_chan, share_chan
        in_vectors = of_pixel == 1 and dst_col == itemsize(dst) and (shares == 0 or share_col == itemsize(src))
        step = each * of_pixel
        for k in range(of_pixel):
            for r in range(rows):
                line = advance(advance_bytes(src, r * src_row), 2 * k)
                other = advance(advance_bytes(sizes, r * src_row), 2 * k)
                out = advance_bytes(dst, r * dst_row + k * dst_chan)
                known = pointer_to(src, shares + r * share_row + k * share_chan)
                done = 0
                if in_vectors:
                    done = columns - columns % lanes
                    for c in range(0, done, lanes):
                        place, beside, target = advance(line, each * c), advance(other, each * c), advance(out, c)
                        if shares != 0:
                            divide_pairs(
                                place,
                                beside,
                                target,
                                advance(known, c),
                                numbers,
                                True,
                                apart,
                                normalize,
                                rescales,
                                True,
                            )
                        else:
                            divide_pairs(place, beside, target, known, numbers, True, apart, normalize, rescales, False)
                for c in range(done, columns):
                    place, beside = opaque(advance(line, c * step)), advance(other, c * step)
                    target = advance_bytes(out, c * dst_col)
                    if shares != 0:
                        share = advance_bytes(known, c * share_col)
                        divide_pairs(place, beside, target, share, numbers, False, apart, normalize, rescales, True)
                    else:
                        divide_pairs(place, beside, target, known, numbers, False, apart, normalize, rescales, False)

    divide.__name__ = name
    return divide


# By whether results are normalized, whether they are rescaled, as those of pictures, and whether pairs are apart.
DIVISIONS = {
    (normalize, rescales, apart): _make_divide(
        f"divide{'_apart' * apart}{'' if normalize else '_by_shares'}{'_and_rescale' * rescales}",
        normalize,
        rescales,
        apart,
    )
    for normalize in (True, False)
    for rescales in (False, True)
    for apart in (False, True)
}


def scale_signature(dtype):
    """Signature of `scale`."""
    n = types.intp
    return types.void(types.CPointer(dtype), n, n, n, n, n)


def scale(numbers, pitch, rows, vectors, step, factor):
    """Multiply vectors of numbers by a factor, given by the bits of a float64; pitch and step are in elements."""
    for r in range(rows):
        line = advance(numbers, r * pitch)
        for k in range(vectors):
            scale_lanes(advance(line, k * step), factor)
