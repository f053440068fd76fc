"""Intrinsics for lines of sums over windows, a vector at a time: of whole numbers that move along, and of floats."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.register_tiles import Tile

_INTP = types.intp
_DOUBLE = types.float64


def _row(dtype):
    """A tile of one vector."""
    return Tile(dtype, 1, 1)


def _vector(builder, tile):
    return builder.extract_value(tile, 0)


def _tile(context, builder, kind, vector):
    return builder.insert_value(ir.Constant(context.get_value_type(kind), ir.Undefined), vector, 0)


def _load(context, builder, pointer, address, kind):
    """Load a vector of `kind`, converted from the type of `pointer`."""
    loaded = emitters.load_lanes(context, builder, pointer.dtype, address, kind.lanes)
    return emitters.convert_lanes(context, builder, loaded, pointer.dtype, kind.dtype)


def _plus(builder, kind, a, b):
    return emitters.add(builder, a, b) if isinstance(kind.dtype, types.Float) else builder.add(a, b)


@intrinsic
def lanes_of(typingctx, sums):
    """Number of sums in a vector."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _row(sums.dtype).lanes)

    return _INTP(sums), codegen


@intrinsic
def load_vector(typingctx, samples, sums):
    """The vector at `samples`, converted to the type of `sums`."""
    kind = _row(sums.dtype)

    def codegen(context, builder, signature, args):
        return _tile(context, builder, kind, _load(context, builder, samples, args[0], kind))

    return kind(samples, sums), codegen


@intrinsic
def add_vector(typingctx, tile, samples):
    """``tile + samples``"""

    def codegen(context, builder, signature, args):
        more = _load(context, builder, samples, args[1], tile)
        return _tile(context, builder, tile, _plus(builder, tile, _vector(builder, args[0]), more))

    return tile(tile, samples), codegen


@intrinsic
def subtract_vector(typingctx, tile, samples):
    """``tile - samples``, of integers."""

    def codegen(context, builder, signature, args):
        less = _load(context, builder, samples, args[1], tile)
        return _tile(context, builder, tile, builder.sub(_vector(builder, args[0]), less))

    return tile(tile, samples), codegen


@intrinsic
def store_vector(typingctx, tile, sums):
    """Store a vector of sums."""

    def codegen(context, builder, signature, args):
        emitters.store_lanes(context, builder, tile.dtype, _vector(builder, args[0]), sums.dtype, args[1])
        return context.get_dummy_value()

    return types.void(tile, sums), codegen


def _lanes_taken(kind, channels):
    """Lanes of whole pixels."""
    return kind.lanes // channels * channels


@intrinsic(prefer_literal=True)
def lanes_taken(typingctx, sums, channels):
    """Number of sums in a vector that belong to whole pixels of so many channels, a literal."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _lanes_taken(_row(sums.dtype), channels.literal_value))

    return _INTP(sums, channels), codegen


@intrinsic(prefer_literal=True)
def scan(typingctx, tile, channels):
    """Add to each lane all those before it that are of its channel; `channels` is a literal."""

    def codegen(context, builder, signature, args):
        value, step, lanes = _vector(builder, args[0]), channels.literal_value, tile.lanes
        zero = ir.Constant(value.type, None)
        while step < lanes:
            moved = emitters.shuffle(builder, value, zero, [j - step if j >= step else lanes for j in range(lanes)])
            value, step = builder.add(value, moved), 2 * step
        return _tile(context, builder, tile, value)

    return tile(tile, channels), codegen


@intrinsic(prefer_literal=True)
def last_pixel(typingctx, tile, channels):
    """Repeat the last whole pixel of a vector."""

    def codegen(context, builder, signature, args):
        count = channels.literal_value
        first, value = _lanes_taken(tile, count) - count, _vector(builder, args[0])
        lanes = [first + j % count for j in range(tile.lanes)]
        return _tile(context, builder, tile, emitters.shuffle(builder, value, value, lanes))

    return tile(tile, channels), codegen


@intrinsic
def add_tiles(typingctx, a, b):
    """``a + b``"""

    def codegen(context, builder, signature, args):
        return _tile(context, builder, a, _plus(builder, a, *(_vector(builder, one) for one in args)))

    return a(a, b), codegen


@intrinsic
def subtract_tiles(typingctx, a, b):
    """``a - b``, of integers."""

    def codegen(context, builder, signature, args):
        return _tile(context, builder, a, builder.sub(*(_vector(builder, one) for one in args)))

    return a(a, b), codegen


@intrinsic(prefer_literal=True)
def add_moved(typingctx, tile, other, following, distance):
    """Add to each lane the one `distance`, a literal, further on in another vector and the one that follows it."""

    def codegen(context, builder, signature, args):
        value, some, after = (_vector(builder, one) for one in args[:3])
        first = distance.literal_value
        moved = emitters.shuffle(builder, some, after, range(first, first + tile.lanes))
        return _tile(context, builder, tile, _plus(builder, tile, value, moved))

    return tile(tile, tile, tile, distance), codegen


@intrinsic
def divided(typingctx, tile, size):
    """A vector of floats divided by `size`."""

    def codegen(context, builder, signature, args):
        value = _vector(builder, args[0])
        return _tile(context, builder, tile, builder.fdiv(value, emitters.splat(builder, args[1], tile.lanes)))

    return tile(tile, _DOUBLE), codegen


@intrinsic
def multiplied(typingctx, tile, factor):
    """A vector of floats times `factor`."""

    def codegen(context, builder, signature, args):
        value = emitters.multiply(builder, _vector(builder, args[0]), emitters.splat(builder, args[1], tile.lanes))
        return _tile(context, builder, tile, value)

    return tile(tile, _DOUBLE), codegen


# Pairs of neighbouring sums, of 32 bits: the scan of their sums takes half as many shuffles.
_PAIRS = _row(types.int32)


@intrinsic
def pair_lanes(typingctx, sums):
    """Number of sums that `paired` takes."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, 2 * _PAIRS.lanes)

    return _INTP(sums), codegen


@intrinsic
def paired(typingctx, after, before):
    """Differences of sums of 16 or 32 bits: of each pair their sum, and the second one."""
    lanes, bits = _PAIRS.lanes, after.dtype.bitwidth

    def codegen(context, builder, signature, args):
        whole = ir.VectorType(ir.IntType(32), lanes)

        def difference(first, count):
            loaded = []
            for pointer in args:
                place = builder.gep(pointer, [ir.IntType(32)(first)])
                loaded.append(emitters.load_lanes(context, builder, after.dtype, place, count))
            return builder.sub(*loaded)

        if bits == 16:  # in 32 bits: a difference of sums of bytes takes 17
            sums = [
                builder.bitcast(emitters.load_lanes(context, builder, after.dtype, place, 2 * lanes), whole)
                for place in args
            ]
            even, odd = (builder.sub(*pair) for pair in zip(*(emitters.halves(builder, both, False) for both in sums)))
        else:
            parts = difference(0, lanes), difference(lanes, lanes)
            even, odd = (emitters.shuffle(builder, *parts, range(first, 2 * lanes, 2)) for first in range(2))
        tiles = [_tile(context, builder, _PAIRS, value) for value in (builder.add(even, odd), odd)]
        return context.make_tuple(builder, signature.return_type, tiles)

    return types.UniTuple(_PAIRS, 2)(after, before), codegen


@intrinsic
def include_mean(typingctx, mean, sample, share):
    """``mean + (sample - mean) * share``"""

    def codegen(context, builder, signature, args):
        before, after = (_vector(builder, one) for one in args[:2])
        moved = emitters.fmuladd(
            builder, builder.fsub(after, before), emitters.splat(builder, args[2], mean.lanes), before
        )
        return _tile(context, builder, mean, moved)

    return mean(mean, sample, _DOUBLE), codegen


@intrinsic
def include_square(typingctx, square, sample_square, mean, sample, weight):
    """``square + sample_square + (sample - mean)**2 * weight``"""

    def codegen(context, builder, signature, args):
        before, more, center, value = (_vector(builder, one) for one in args[:4])
        distance = builder.fsub(value, center)
        weighted = emitters.multiply(builder, distance, emitters.splat(builder, args[4], square.lanes))
        total = emitters.fmuladd(builder, weighted, distance, emitters.add(builder, before, more))
        return _tile(context, builder, square, total)

    return square(square, sample_square, mean, sample, _DOUBLE), codegen


@intrinsic
def own_square(typingctx, tile):
    """The squared distances of samples from themselves: 0, and NaN for an infinity or a NaN."""

    def codegen(context, builder, signature, args):
        value = _vector(builder, args[0])
        return _tile(context, builder, tile, emitters.subtract(builder, value, value))

    return tile(tile), codegen


@intrinsic
def root_of_quotient(typingctx, tile, size):
    """``sqrt(tile / size)``"""

    def codegen(context, builder, signature, args):
        quotient = builder.fdiv(_vector(builder, args[0]), emitters.splat(builder, args[1], tile.lanes))
        return _tile(context, builder, tile, emitters.square_root(builder, quotient))

    return tile(tile, _DOUBLE), codegen
