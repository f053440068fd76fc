"""The vocabulary of pictures: sums as pixels, scaled, rounded half to even and saturated.

A sum becomes ``(sum - bias) * unit / scale + offset``. Sums in integers of 16 bits are unsigned, once the bias is added
that makes the sign.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv._simd import compilation
from fastconv._simd.vectors import Registers, fmuladd, load_lanes, shuffle

_INT32 = ir.IntType(32)
_INTP = types.intp

# What a leaf is told of it: numbers of the type that sums are scaled in.
BIAS, UNIT, SCALE, RECIPROCAL, OFFSET, WAY, TOLD = range(7)

# How sums become pixels. PLAIN: they are, but for their rounding, and 32 bits hold them; integers also have a whole
# offset. PRODUCT: times the unit, with the offset. QUOTIENT: that, divided by the scale to the last bit, so that a half
# is a half.
PLAIN, PRODUCT, QUOTIENT = range(3)


def real_of(compute):
    """The type that sums of type `compute` are scaled in: 16 bits fit into float32, with bits to spare."""
    return compute if isinstance(compute, types.Float) else types.float32


@intrinsic
def told_at(typingctx, sums, address):
    """A pointer to what is told at `address`, of how sums of the type of `sums` are finished."""
    pointer = types.CPointer(real_of(sums.dtype))

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[1], context.get_value_type(pointer))

    return pointer(sums, _INTP), codegen


def _finished_lanes(pixels):
    """Lanes of a vector of pixels: as many sums fill several registers, which are packed into one."""
    return 8 * compilation.processor().vector_bytes // pixels.dtype.bitwidth


@intrinsic
def finished_lanes(typingctx, source, destination):
    """How many sums `finish_lanes` finishes."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _finished_lanes(destination))

    return _INTP(source, destination), codegen


@intrinsic(prefer_literal=True)
def finish_lanes(typingctx, source, destination, numbers, many, way):
    """Finish `finished_lanes` sums, or one."""
    lanes = _finished_lanes(destination) if many.literal_value else 1
    chosen = way.literal_value

    def codegen(context, builder, signature, args):
        src, dst, told, *_ = args
        sums = load_lanes(context, builder, source.dtype, src, lanes)
        pixels = _finished(context, builder, sums, source.dtype, destination.dtype, told, chosen)
        builder.store(pixels, builder.bitcast(dst, pixels.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(source, destination, numbers, many, way), codegen


@intrinsic(prefer_literal=True)
def finish_row(typingctx, tile, out, numbers, way):
    """Finish a tile of one row."""
    chosen = way.literal_value

    def codegen(context, builder, signature, args):
        value, out_pointer, told, _ = args
        registers = Registers(context, builder, tile, value)
        # As many registers at a time as make one of pixels, and what is left of them.
        group = max(1, _finished_lanes(out) // tile.lanes)
        for first in range(0, tile.vectors, group):
            held = [registers.held(v) for v in range(first, min(first + group, tile.vectors))]
            pixels = _finished(context, builder, _joined(builder, held), tile.dtype, out.dtype, told, chosen)
            target = builder.gep(out_pointer, [_INT32(first * tile.lanes)])
            builder.store(pixels, builder.bitcast(target, pixels.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(tile, out, numbers, way), codegen


@intrinsic
def as_double(typingctx, number):
    """A number in float64."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[0], number, types.float64)

    return types.float64(number), codegen


@intrinsic
def store_pixel(typingctx, pixels, value):
    """Store a number as a pixel: an integer is rounded half to even and saturated, a float is rounded to its type."""
    pixel = pixels.dtype

    def codegen(context, builder, signature, args):
        if isinstance(pixel, types.Float):
            stored = context.cast(builder, args[1], value, pixel)
        else:
            number = context.cast(builder, args[1], value, types.float64)
            single = builder.bitcast(number, ir.VectorType(ir.DoubleType(), 1))
            stored = _saturated(builder, single, pixel, fits=False)
        builder.store(stored, builder.bitcast(args[0], stored.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(pixels, value), codegen


def _joined(builder, vectors):
    """Vectors of one size, one behind the other."""
    joined, lanes = vectors[0], vectors[0].type.count
    for k, vector in enumerate(vectors[1:], 1):
        # LLVM joins vectors of one size only.
        wide = shuffle(builder, vector, vector, [j % lanes for j in range(k * lanes)])
        joined = shuffle(builder, joined, wide, range((k + 1) * lanes))
    return joined


def _finished(context, builder, sums, compute, pixel, told, way):
    """Sums, which lie one behind the other, as pixels."""
    lanes, real = sums.type.count, real_of(compute)
    vector = ir.VectorType(context.get_value_type(real), lanes)
    whole = isinstance(compute, types.Integer)
    to_integers = isinstance(pixel, types.Integer)
    if way == PLAIN and to_integers:
        if whole:
            return _saturated_whole(builder, sums, pixel, _told(builder, told, BIAS), _told(builder, told, OFFSET))
        return _saturated(builder, sums, pixel, fits=True)
    bias, unit, scale, reciprocal, offset = (_splat(builder, _told(builder, told, k), lanes) for k in range(WAY))
    if whole:
        shift = _splat(builder, builder.fptosi(_told(builder, told, BIAS), _INT32), lanes)
        sums = builder.uitofp(builder.add(sums, builder.trunc(shift, sums.type)), vector)
        sums = builder.fsub(sums, bias)
    if way == QUOTIENT:
        value = builder.fmul(sums, unit)
        exact = to_integers and real is types.float32 and compilation.processor().fma
        divide = _quotient if exact else _divided
        result = builder.fadd(divide(builder, value, scale, reciprocal), offset)
    else:
        result = fmuladd(builder, sums, unit, offset)
    if to_integers:
        return _saturated(builder, result, pixel, fits=False)
    stored = ir.VectorType(context.get_value_type(pixel), lanes)
    if result.type == stored:
        return result
    return builder.fptrunc(result, stored) if pixel is types.float32 else builder.fpext(result, stored)


def _divided(builder, value, scale, reciprocal):
    return builder.fdiv(value, scale)


def _quotient(builder, value, scale, reciprocal):
    """``value / scale``, a product that its own remainder corrects, as P. Markstein has it: faster than a division.

    It is as good as one for quotients that floats can hold, halves among them. No infinity survives it.
    """
    first = builder.fmul(value, reciprocal)
    remainder = fmuladd(builder, builder.fneg(first), scale, value)
    return fmuladd(builder, remainder, reciprocal, first)


def _told(builder, numbers, index):
    """A number that stays as it is while a leaf runs."""
    value = builder.load(builder.gep(numbers, [_INT32(index)]))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def _splat(builder, value, lanes):
    single = builder.insert_element(ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined), value, _INT32(0))
    return shuffle(builder, single, single, [0] * lanes)


def _saturated_whole(builder, sums, pixel, bias, offset):
    """Integer sums with an offset, as bytes: the bias is added, which makes them unsigned, and taken away again."""
    lanes, word = sums.type.count, sums.type.element

    def integer(number):
        return _splat(builder, builder.trunc(builder.fptosi(number, _INT32), word), lanes)

    zero = ir.Constant(bias.type, 0)
    less = builder.fsub(bias, offset)
    more = builder.fneg(less)
    down, up = (builder.select(builder.fcmp_ordered(">", size, zero), size, zero) for size in (less, more))
    unsigned = builder.add(sums, integer(bias))
    for name, amount in (("usub", down), ("uadd", up)):
        kind = ir.FunctionType(sums.type, [sums.type] * 2)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.sat.v{lanes}i{word.width}")
        unsigned = builder.call(function, [unsigned, integer(amount)])
    most = ir.Constant(sums.type, [pixel.maxval] * lanes)
    unsigned = builder.select(builder.icmp_unsigned("<", unsigned, most), unsigned, most)
    return builder.trunc(unsigned, ir.VectorType(ir.IntType(pixel.bitwidth), lanes))


def _saturated(builder, value, pixel, fits):
    """Floats as integers of type `pixel`, rounded half to even, and saturated; `fits` says that 32 bits hold them."""
    lanes = value.type.count
    single = isinstance(value.type.element, ir.FloatType)
    packs = pixel is types.uint8 and single and lanes % 8 == 0 and lanes <= 32 and _packs_words(builder)
    if packs and fits:
        return _packed(builder, value)
    most = ir.Constant(value.type, [float(pixel.maxval)] * lanes)
    value = builder.select(builder.fcmp_ordered("<", value, most), value, most)
    if packs:
        return _packed(builder, value)
    least = ir.Constant(value.type, [float(pixel.minval)] * lanes)
    value = builder.select(builder.fcmp_ordered(">", value, least), value, least)
    # So large a number leaves no fraction beside it, and the sum is rounded like every other.
    bits = 32 if single else 64
    large = ir.Constant(value.type, [1.5 * 2.0 ** (23 if bits == 32 else 52)] * lanes)
    whole = builder.bitcast(builder.fadd(value, large), ir.VectorType(ir.IntType(bits), lanes))
    return builder.trunc(whole, ir.VectorType(ir.IntType(pixel.bitwidth), lanes))


def _packs_words(builder):
    return builder.module.triple.startswith("x86_64") and compilation.processor().vector_bytes == 32


def _packed(builder, value):
    """Up to 32 floats as bytes: AVX2 rounds, and saturates as it packs.

    What does not fit into 32 bits becomes the least integer, and so 0: right from below, but not from above.
    """
    lanes = value.type.count
    words = [
        _x86(builder, "avx.cvt.ps2dq.256", 32, 8, shuffle(builder, value, value, range(k, k + 8)))
        for k in range(0, lanes, 8)
    ]
    words += words[-1:] * (4 - len(words))
    pairs = [_x86(builder, "avx2.packssdw", 16, 16, *words[k : k + 2]) for k in (0, 2)]
    # Both halves of a register are packed for themselves: four bytes of each of the words in turn.
    fours = builder.bitcast(_x86(builder, "avx2.packuswb", 8, 32, *pairs), ir.VectorType(_INT32, 8))
    ordered = shuffle(builder, fours, fours, [0, 4, 1, 5, 2, 6, 3, 7][: lanes // 4])
    return builder.bitcast(ordered, ir.VectorType(ir.IntType(8), lanes))


def _x86(builder, name, bits, lanes, *operands):
    """An instruction of the x86 with a result of `lanes` integers of so many bits."""
    kind = ir.FunctionType(ir.VectorType(ir.IntType(bits), lanes), [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), operands)
