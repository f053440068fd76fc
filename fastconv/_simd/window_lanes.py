"""Intrinsics for sums over windows, a vector at a time: sums that move along a line, and means of them."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.register_tiles import Tile
from fastconv._simd.target import processor

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


def _splat_real(builder, value, real, lanes):
    if real is types.float32:
        value = builder.fptrunc(value, ir.FloatType())
    return emitters.splat(builder, value, lanes)


def _quotient(builder, sums, size, reciprocal):
    """``sums / size`` by the reciprocal and one correction (P. Markstein): exact if it is representable, as halves are.

    Other quotients are so close that neither an integer nor a float32 differs.
    """
    first = emitters.multiply(builder, sums, reciprocal)
    rest = emitters.fmuladd(builder, builder.fneg(first), size, sums)
    return emitters.fmuladd(builder, rest, reciprocal, first)


def _rounding(vector, bits):
    """Floats so large that sums with them have no bits for fractions: they are rounded half to even."""
    return ir.Constant(vector, [1.5 * 2.0 ** (23 if bits == 32 else 52)] * vector.count)


def _whole_means(context, builder, sums, dtype, single, size, reciprocal):
    """Rounded quotients as integers, correct in their low bits, of integer sums of type `dtype`."""
    lanes, narrow = sums.type.count, dtype.bitwidth <= 32 and processor().fma
    real = types.float32 if single or narrow else _DOUBLE
    bits = 32 if real is types.float32 else 64
    vector, whole = ir.VectorType(context.get_value_type(real), lanes), ir.VectorType(ir.IntType(bits), lanes)
    number, inverse = (_splat_real(builder, value, real, lanes) for value in (size, reciprocal))
    large = _rounding(vector, bits)
    convert = builder.sitofp if dtype.signed else builder.uitofp
    values = convert(sums, vector)
    if not narrow:
        return builder.bitcast(emitters.add(builder, builder.fdiv(values, number), large), whole)
    if single:
        return builder.bitcast(emitters.add(builder, _quotient(builder, values, number, inverse), large), whole)
    # Sums that float32 cannot hold: a quotient that is wrong by one at most, and that of the exact remainder.
    near = emitters.fmuladd(builder, values, inverse, large)
    offset = builder.sub(builder.bitcast(near, whole), builder.bitcast(large, whole))
    rest = builder.sub(sums, builder.mul(offset, builder.fptosi(number, whole)))
    correction = _quotient(builder, builder.sitofp(rest, vector), number, inverse)
    return builder.bitcast(emitters.add(builder, near, correction), whole)


def _real_means(context, builder, sums, dtype, result, size, reciprocal):
    """Quotients as floats of type `result`."""
    vector = ir.VectorType(ir.DoubleType(), sums.type.count)
    values = (builder.sitofp if dtype.signed else builder.uitofp)(sums, vector)
    number, inverse = (emitters.splat(builder, value, sums.type.count) for value in (size, reciprocal))
    if processor().fma and dtype.bitwidth <= 32 and result is not _DOUBLE:
        values = _quotient(builder, values, number, inverse)
    else:
        values = builder.fdiv(values, number)
    return emitters.convert_lanes(context, builder, values, _DOUBLE, result)


@intrinsic(prefer_literal=True)
def store_means(typingctx, tile, out, single, size, reciprocal):
    """Divide integer sums by `size`, and store the means: rounded half to even if they are integers.

    `single`, a literal, promises that sums are below 2**24, and so few that float32 rounds no quotient to a half.
    """

    def codegen(context, builder, signature, args):
        sums = _vector(builder, args[0])
        if isinstance(out.dtype, types.Integer):
            whole = _whole_means(context, builder, sums, tile.dtype, single.literal_value, *args[3:])
            target = ir.VectorType(ir.IntType(out.dtype.bitwidth), tile.lanes)
            value = builder.trunc(whole, target) if whole.type != target else whole
        else:
            value = _real_means(context, builder, sums, tile.dtype, out.dtype, *args[3:])
        emitters.store_vector(builder, value, args[1])
        return context.get_dummy_value()

    return types.void(tile, out, single, _DOUBLE, _DOUBLE), codegen


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
def subtract_tiles(typingctx, a, b):
    """``a - b``, of integers."""

    def codegen(context, builder, signature, args):
        return _tile(context, builder, a, builder.sub(*(_vector(builder, one) for one in args)))

    return a(a, b), codegen


@intrinsic(prefer_literal=True)
def store_mean_pairs(typingctx, even, odd, out, single, size, reciprocal):
    """`store_means` of the first and the second sums of pairs."""
    lanes, dtype = even.lanes, out.dtype

    def codegen(context, builder, signature, args):
        place, numbers = args[2], args[4:]
        order = [k // 2 + k % 2 * lanes for k in range(2 * lanes)]
        both = [_vector(builder, one) for one in args[:2]]
        if isinstance(dtype, types.Float):
            first, second = (_real_means(context, builder, one, even.dtype, dtype, *numbers) for one in both)
            emitters.store_vector(builder, emitters.shuffle(builder, first, second, order), place)
            return context.get_dummy_value()
        first, second = (
            _whole_means(context, builder, one, even.dtype, single.literal_value, *numbers) for one in both
        )
        bits = dtype.bitwidth
        if bits == 32 or first.type.element.width == 64:
            target = ir.VectorType(ir.IntType(bits), 2 * lanes)
            value = emitters.shuffle(builder, first, second, order)
            value = builder.trunc(value, target) if value.type != target else value
        else:
            mask, shift = (ir.Constant(first.type, [number] * lanes) for number in ((1 << bits) - 1, bits))
            value = builder.or_(builder.and_(first, mask), builder.shl(second, shift))
            value = builder.trunc(value, ir.VectorType(ir.IntType(16), lanes)) if bits == 8 else value
        emitters.store_vector(builder, value, place)
        return context.get_dummy_value()

    return types.void(even, odd, out, single, _DOUBLE, _DOUBLE), codegen


def word_reciprocal(size):
    """The least shift, and its multiplier, with ``sum * multiplier >> 16 + shift == sum // size`` for sums of bytes.

    A sum of so many bytes, plus half of `size`, fits into 16 bits, as does the multiplier; zeros if there are none.
    """
    largest = 255 * size + size // 2
    for shift in range(8):
        whole = 1 << (16 + shift)
        multiplier = -(-whole // size)
        if max(largest, multiplier) < 1 << 16 and largest * (multiplier * size - whole) < whole:
            return multiplier, shift
    return 0, 0


@intrinsic
def store_means_of_words(typingctx, tile, out, size, multiplier, shift):
    """The same for 16-bit sums of bytes: ``(sum + size // 2) * multiplier >> 16 + shift``.

    Of an even size, a quotient that was a half, and became odd, is decreased.
    """

    def codegen(context, builder, signature, args):
        lanes = tile.lanes
        word, wide = (ir.VectorType(ir.IntType(bits), lanes) for bits in (16, 32))

        def splat(value):
            return emitters.splat(builder, builder.trunc(value, word.element), lanes)

        size, multiplier, shift = (splat(value) for value in args[2:])
        one = ir.Constant(word, [1] * lanes)
        value = builder.add(_vector(builder, args[0]), builder.lshr(size, one))
        product = builder.mul(builder.zext(value, wide), builder.zext(multiplier, wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, [16] * lanes)), word)
        quotient = builder.lshr(high, shift)
        is_half = builder.icmp_unsigned("==", builder.mul(quotient, size), value)
        odd = builder.and_(builder.and_(quotient, builder.xor(size, one)), one)
        quotient = builder.sub(quotient, builder.select(is_half, odd, ir.Constant(word, None)))
        pixels = builder.trunc(quotient, ir.VectorType(ir.IntType(8), lanes))
        emitters.store_vector(builder, pixels, args[1])
        return context.get_dummy_value()

    return types.void(tile, out, _INTP, _INTP, _INTP), codegen


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
