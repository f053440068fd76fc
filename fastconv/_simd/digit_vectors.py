"""Intrinsics that convert vectors of integers to complex vectors of one digit, and rounded results to integers.

The mantissa of a float64 from 2**52 to 2**53 has the bits of an integer: conversions only add, subtract and mask, in
registers of any width. One vector of integers becomes the real part, another the imaginary part.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.complex_vectors import ComplexVector, lanes_of

_WORD, _DOUBLE = ir.IntType(64), ir.DoubleType()
_EXPONENT = 0x4330000000000000  # bits of 2.0**52
# Adding this rounds a number of magnitude below 2**51 half to even; and its bits.
_ROUNDING, _ROUNDING_BITS = 1.5 * 2.0**52, 0x4338000000000000


def _vectors(count):
    return ir.VectorType(_WORD, count), ir.VectorType(_DOUBLE, count)


def _load(builder, pointer, vector):
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=1)


@intrinsic
def load_digits(typingctx, real, imag, bias, shift, mask, offset, imag_shift, imag_mask, imag_offset):
    """Load two vectors of int64 as ``((x + bias) >> shift & mask) - offset``; infinite if that exceeds 52 bits."""
    count = lanes_of(types.float64)

    def codegen(context, builder, signature, args):
        words, doubles = _vectors(count)
        bias = emitters.splat(builder, args[2], count)
        parts = []
        for pointer, digit in ((args[0], args[3:6]), (args[1], args[6:9])):
            shift, mask = (emitters.splat(builder, value, count) for value in digit[:2])
            offset = emitters.splat(builder, builder.sitofp(digit[2], _DOUBLE), count)
            digits = builder.and_(builder.lshr(builder.add(_load(builder, pointer, words), bias), shift), mask)
            fits = builder.icmp_unsigned("<", digits, ir.Constant(words, [1 << 52] * count))
            bits = builder.or_(digits, ir.Constant(words, [_EXPONENT] * count))
            number = builder.fsub(builder.bitcast(bits, doubles), ir.Constant(doubles, [2.0**52] * count))
            number = builder.fsub(number, offset)
            parts.append(builder.select(fits, number, ir.Constant(doubles, [float("inf")] * count)))
        pair = ir.Constant(ir.ArrayType(doubles, 2), ir.Undefined)
        return builder.insert_value(builder.insert_value(pair, parts[0], 0), parts[1], 1)

    n = types.int64
    return ComplexVector(types.float64)(real, imag, *[n] * 7), codegen


@intrinsic
def add_rounded(typingctx, real, imag, values, shift, keep, imag_shift, imag_keep):
    """Add the rounded parts of a vector, shifted left by up to 126 bits, to two vectors of int64 masked with `keep`.

    `real` and `imag` may be equal.
    """

    def codegen(context, builder, signature, args):
        count = values.lanes
        words, doubles = _vectors(count)
        for index, pointer in enumerate(args[:2]):
            shift, keep = args[3 + 2 * index : 5 + 2 * index]
            half = builder.lshr(shift, shift.type(1))
            part = builder.extract_value(args[2], index)
            rounded = builder.bitcast(builder.fadd(part, ir.Constant(doubles, [_ROUNDING] * count)), words)
            whole = builder.sub(rounded, ir.Constant(words, [_ROUNDING_BITS] * count))
            for bits in (half, builder.sub(shift, half)):
                whole = builder.shl(whole, emitters.splat(builder, bits, count))
            known = builder.and_(_load(builder, pointer, words), emitters.splat(builder, keep, count))
            builder.store(builder.add(whole, known), builder.bitcast(pointer, words.as_pointer()), align=1)
        return context.get_dummy_value()

    n = types.int64
    return types.void(real, imag, values, n, n, n, n), codegen


@intrinsic
def load_whole(typingctx, real, imag):
    """Load two vectors of float64; elements that are not whole numbers of magnitude below 2**51 become infinite."""

    def codegen(context, builder, signature, args):
        _, doubles = _vectors(lanes_of(types.float64))
        infinity = ir.Constant(doubles, [float("inf")] * doubles.count)
        pair = ir.Constant(ir.ArrayType(doubles, 2), ir.Undefined)
        for index, pointer in enumerate(args):
            number = _load(builder, pointer, doubles)
            whole = builder.fcmp_ordered("==", _rounded(builder, number), number)
            pair = builder.insert_value(pair, builder.select(whole, number, infinity), index)
        return pair

    return ComplexVector(types.float64)(real, imag), codegen


@intrinsic
def store_rounded(typingctx, real, imag, values):
    """Store the rounded parts of a vector as two vectors of floats."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(context.get_value_type(real.dtype), values.lanes)
        for index, pointer in enumerate(args[:2]):
            number = _rounded(builder, builder.extract_value(args[2], index))
            if real.dtype is types.float32:
                number = builder.fptrunc(number, vector)
            builder.store(number, builder.bitcast(pointer, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(real, imag, values), codegen


def _rounded(builder, number):
    large = ir.Constant(number.type, [_ROUNDING] * number.type.count)
    return builder.fsub(builder.fadd(number, large), large)


@intrinsic
def add_squares(typingctx, total, values):
    """``total + values * values``, part by part."""

    def codegen(context, builder, signature, args):
        pair = args[0]
        for index in range(2):
            part = builder.extract_value(args[1], index)
            part = emitters.fmuladd(builder, part, part, builder.extract_value(args[0], index))
            pair = builder.insert_value(pair, part, index)
        return pair

    return total(total, values), codegen


@intrinsic
def larger_squares(typingctx, most, values):
    """``max(most, values * values)``, part by part."""

    def codegen(context, builder, signature, args):
        pair = args[0]
        for index in range(2):
            part, known = (builder.extract_value(vector, index) for vector in (args[1], args[0]))
            square = builder.fmul(part, part)
            part = builder.select(builder.fcmp_ordered(">", square, known), square, known)
            pair = builder.insert_value(pair, part, index)
        return pair

    return most(most, values), codegen


def _across_lanes(name, combine):
    """An intrinsic that combines all numbers of a complex vector of float64."""

    @intrinsic
    def across(typingctx, values):
        def codegen(context, builder, signature, args):
            parts = [builder.extract_value(args[0], index) for index in range(2)]
            numbers = [builder.extract_element(part, ir.IntType(32)(k)) for k in range(values.lanes) for part in parts]
            while len(numbers) > 1:
                numbers = [combine(builder, *pair) for pair in zip(numbers[::2], numbers[1::2])]
            return numbers[0]

        return types.float64(values), codegen

    across.__name__ = name
    return across


total_of = _across_lanes("total_of", lambda builder, a, b: builder.fadd(a, b))
largest_of = _across_lanes("largest_of", lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
