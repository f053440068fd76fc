"""Intrinsics that divide integer sums over windows by their size, and store the means: exact, or as floats."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.target import processor

_INTP = types.intp
_DOUBLE = types.float64


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
        sums = builder.extract_value(args[0], 0)
        if isinstance(out.dtype, types.Integer):
            whole = _whole_means(context, builder, sums, tile.dtype, single.literal_value, *args[3:])
            target = ir.VectorType(ir.IntType(out.dtype.bitwidth), tile.lanes)
            value = builder.trunc(whole, target) if whole.type != target else whole
        else:
            value = _real_means(context, builder, sums, tile.dtype, out.dtype, *args[3:])
        emitters.store_vector(builder, value, args[1])
        return context.get_dummy_value()

    return types.void(tile, out, single, _DOUBLE, _DOUBLE), codegen


@intrinsic(prefer_literal=True)
def store_mean_pairs(typingctx, even, odd, out, single, size, reciprocal):
    """`store_means` of the first and the second sums of pairs."""
    lanes, dtype = even.lanes, out.dtype

    def codegen(context, builder, signature, args):
        place, numbers = args[2], args[4:]
        order = [k // 2 + k % 2 * lanes for k in range(2 * lanes)]
        both = [builder.extract_value(one, 0) for one in args[:2]]
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
    """`store_means` of 16-bit sums of bytes: ``(sum + size // 2) * multiplier >> 16 + shift``.

    Of an even size, a quotient that was a half, and became odd, is decreased.
    """

    def codegen(context, builder, signature, args):
        lanes = tile.lanes
        word, wide = (ir.VectorType(ir.IntType(bits), lanes) for bits in (16, 32))

        def splat(value):
            return emitters.splat(builder, builder.trunc(value, word.element), lanes)

        size, multiplier, shift = (splat(value) for value in args[2:])
        one = ir.Constant(word, [1] * lanes)
        value = builder.add(builder.extract_value(args[0], 0), builder.lshr(size, one))
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
