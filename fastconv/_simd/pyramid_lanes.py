"""Intrinsics for steps of a Gaussian pyramid, a vector at a time: sums down the columns, then along a row.

The taps are 1 4 6 4 1, over 16; twice that for the step up, where the even pixels get 1 6 1 and the odd ones 4 4.
Sums of floats are weighted, so that none overflows; those of integers are of twice the bits, and divided at the end.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.target import processor

_INT32, _STEP = ir.IntType(32), ir.IntType(64)
_INTP = types.intp

_HALVING, _EVEN, _ODD = (1, 4, 6, 4, 1), (1, 6, 1), (4, 4)
# Binary logarithms of the sums of the taps of both passes.
_HALVING_BITS, _DOUBLING_BITS = 8, 6
# What `halve_rows` takes instead of a number of channels.
ALL, SINGLE = 0, -1


def _lanes(element):
    return processor().lanes(element.bitwidth)


def _load(context, builder, samples, address, sums, lanes):
    """Load a vector, converted from the type of `samples` to that of `sums`."""
    loaded = emitters.load_lanes(context, builder, samples.dtype, address, lanes)
    return emitters.convert_lanes(context, builder, loaded, samples.dtype, sums.dtype)


def _loaded(context, builder, pointer, address, distances, lanes):
    """Load vectors at distances from an address."""
    places = (builder.gep(address, [distance]) for distance in distances)
    return [emitters.load_lanes(context, builder, pointer.dtype, place, lanes) for place in places]


def _weighted(builder, vectors, taps):
    """The sum of vectors times symmetric taps; of floats, times taps that add up to 1."""
    kind = vectors[0].type
    half = len(taps) // 2
    if not isinstance(kind.element, ir.IntType):
        weights = [ir.Constant(kind, [tap / sum(taps)] * kind.count) for tap in taps]
        total = builder.fmul(vectors[half], weights[half])
        for k in sorted(range(len(taps)), key=lambda k: -taps[k]):
            if k != half:
                total = emitters.fmuladd(builder, vectors[k], weights[k], total)
        return total
    total = None
    for tap in sorted(set(taps)):
        some = [vector for vector, own in zip(vectors, taps) if own == tap]
        part = some[0]
        for vector in some[1:]:
            part = builder.add(part, vector)
        if tap > 1:
            part = builder.mul(part, ir.Constant(kind, [tap] * kind.count))
        total = part if total is None else builder.add(total, part)
    return total


def _divided(builder, vector, sums, bits):
    """Integer sums over a power of two, rounded half up; floats as they are."""
    if isinstance(sums.dtype, types.Float):
        return vector
    half, shift = (ir.Constant(vector.type, [number] * vector.type.count) for number in (1 << (bits - 1), bits))
    move = builder.ashr if sums.dtype.signed else builder.lshr
    return move(builder.add(vector, half), shift)


def _narrowed(builder, vector, result):
    """Convert quotients to the type of the pixels, in which they fit."""
    if isinstance(result.dtype, types.Float):
        return vector
    return builder.trunc(vector, ir.VectorType(ir.IntType(result.dtype.bitwidth), vector.type.count))


def _picked(builder, registers, indices):
    """A register of the elements with these indices in the registers, by shuffles of two registers at a time."""
    lanes = len(indices)
    sources = sorted({index // lanes for index in indices})
    found = registers[sources[0]]
    order = [index % lanes if index // lanes == sources[0] else lane for lane, index in enumerate(indices)]
    if len(sources) == 1:
        return emitters.shuffle(builder, found, found, order)
    for source in sources[1:]:
        mask = [
            lanes + index % lanes if index // lanes == source else position for index, position in zip(indices, order)
        ]
        found, order = emitters.shuffle(builder, found, registers[source], mask), list(range(lanes))
    return found


def _phases(builder, registers, channels):
    """Registers of the even pixels, and of the odd ones, of twice as many registers."""
    lanes = registers[0].type.count
    for phase in range(2):
        order = [(2 * (k // channels) + phase) * channels + k % channels for k in range(lanes * len(registers) // 2)]
        yield [_picked(builder, registers, order[k : k + lanes]) for k in range(0, len(order), lanes)]


@intrinsic
def sum_lanes(typingctx, sums):
    """Number of sums in a vector."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _lanes(sums.dtype))

    return _INTP(sums), codegen


@intrinsic
def result_lanes(typingctx, result):
    """Number of pixels that `store_halved` stores."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _lanes(result.dtype))

    return _INTP(result), codegen


@intrinsic(prefer_literal=True)
def halve_rows(typingctx, rows, at, evens, odds, apart, channels):
    """Sums of the first five of seven rows, and of the last five, which are those of the next row of results.

    They are of ``2 * channels`` vectors from `at` on. Those of even pixels are stored at `evens`, and of odd ones at
    `odds`; those of the next row of results `apart` elements behind. `channels` is a literal from 1 to 4; or `ALL` for
    a vector, or `SINGLE` for one sum, all of which are stored at `evens`.
    """
    count, samples = channels.literal_value, rows.dtype
    lanes = 1 if count == SINGLE else _lanes(evens.dtype)
    paired = count == 1 and isinstance(samples.dtype, types.Integer)

    def codegen(context, builder, signature, args):
        starts = [builder.gep(row, [args[1]]) for row in cgutils.unpack_tuple(builder, args[0])]
        if paired:
            pairs = ir.VectorType(ir.IntType(evens.dtype.bitwidth), lanes)
            loaded = [builder.load(builder.bitcast(row, pairs.as_pointer()), align=1) for row in starts]
            parted = (emitters.halves(builder, vector, evens.dtype.signed) for vector in loaded)
            columns = [[*one] for one in zip(*parted)]
        else:
            columns = []
            for k in range(2 * count if count > 0 else 1):
                places = [builder.gep(row, [_INT32(k * lanes)]) for row in starts]
                columns.append([_load(context, builder, samples, place, evens, lanes) for place in places])
        sums = [[_weighted(builder, column[first : first + 5], _HALVING) for first in (0, 2)] for column in columns]
        to = args[2:4]
        for totals in zip(*sums):
            phases = _phases(builder, totals, count) if count > 0 and not paired else [[total] for total in totals]
            for place, registers in zip(to, phases):
                for k, register in enumerate(registers):
                    emitters.store_vector(builder, register, builder.gep(place, [_INT32(k * lanes)]))
            to = [builder.gep(place, [args[4]]) for place in to]
        return context.get_dummy_value()

    return types.void(rows, at, evens, odds, apart, channels), codegen


@intrinsic
def store_halved(typingctx, evens, odds, out, step):
    """Sums along a row as `result_lanes` pixels: of three even pixels and the two odd ones between, `step` apart."""
    lanes = _lanes(out.dtype)

    def codegen(context, builder, signature, args):
        step = args[3]
        even = [step.type(0), step, builder.add(step, step)]
        a, c, e = _loaded(context, builder, evens, args[0], even, lanes)
        b, d = _loaded(context, builder, odds, args[1], even[:2], lanes)
        total = _divided(builder, _weighted(builder, (a, b, c, d, e), _HALVING), evens, _HALVING_BITS)
        emitters.store_vector(builder, _narrowed(builder, total, out), args[2])
        return context.get_dummy_value()

    return types.void(evens, odds, out, _INTP), codegen


@intrinsic(prefer_literal=True)
def double_rows(typingctx, above, row, below, even, odd, single):
    """Sums of rows for the even row of results and for the odd one: a vector each, or one if `single`, a literal."""
    lanes = 1 if single.literal_value else _lanes(even.dtype)

    def codegen(context, builder, signature, args):
        vectors = [_load(context, builder, row, place, even, lanes) for place in args[:3]]
        emitters.store_vector(builder, _weighted(builder, vectors, _EVEN), args[3])
        emitters.store_vector(builder, _weighted(builder, vectors[1:], _ODD), args[4])
        return context.get_dummy_value()

    return types.void(above, row, below, even, odd, single), codegen


@intrinsic(prefer_literal=True)
def store_doubled(typingctx, line, out, channels):
    """Sums along a row as pixels, the even and the odd ones in turn: of `channels` vectors, twice as many pixels.

    `channels` is a literal from 1 to 4.
    """
    count, lanes = channels.literal_value, _lanes(line.dtype)
    integers, bits = isinstance(out.dtype, types.Integer), out.dtype.bitwidth

    def codegen(context, builder, signature, args):
        phases = _doubled(context, builder, line, args[0], _STEP(count), lanes, count)
        if integers and count != 3:
            # Pairs of an even and an odd number, then put in order within the pairs of pixels.
            order = [(k // count % 2) + 2 * (k % count) + k // (2 * count) * 2 * count for k in range(2 * lanes)]
            stored = []
            for even, odd in zip(*phases):
                pairs = emitters.joined(builder, even, odd, bits)
                stored.append(emitters.shuffle(builder, pairs, pairs, order) if count > 1 else pairs)
        else:
            registers = [*phases[0], *phases[1]]
            order = [
                (k // count % 2) * count * lanes + k // (2 * count) * count + k % count
                for k in range(2 * count * lanes)
            ]
            stored = [
                _narrowed(builder, _picked(builder, registers, order[k : k + lanes]), out)
                for k in range(0, len(order), lanes)
            ]
        place = args[1]
        for vector in stored:
            emitters.store_vector(builder, vector, place)
            place = builder.gep(place, [_INT32(vector.type.count)])
        return context.get_dummy_value()

    return types.void(line, out, channels), codegen


@intrinsic(prefer_literal=True)
def store_doubled_phase(typingctx, line, out, step, odd):
    """A vector of sums along a row as pixels, of even ones or of odd ones; neighbours are `step` elements apart.

    `odd` is a literal.
    """
    lanes, phase = _lanes(line.dtype), int(odd.literal_value)

    def codegen(context, builder, signature, args):
        (vector,) = _doubled(context, builder, line, args[0], args[2], lanes, 1)[phase]
        emitters.store_vector(builder, _narrowed(builder, vector, out), args[1])
        return context.get_dummy_value()

    return types.void(line, out, _INTP, odd), codegen


def _doubled(context, builder, line, address, step, lanes, count):
    """Registers of even and of odd quotients along a line, of pixels that are `step` elements apart."""
    phases: tuple[list, list] = ([], [])
    for k in range(count):
        place = builder.gep(address, [_INT32(k * lanes)])
        vectors = _loaded(context, builder, line, place, [builder.neg(step), step.type(0), step], lanes)
        for found, taps, some in zip(phases, (_EVEN, _ODD), (vectors, vectors[1:])):
            found.append(_divided(builder, _weighted(builder, some, taps), line, _DOUBLING_BITS))
    return phases
