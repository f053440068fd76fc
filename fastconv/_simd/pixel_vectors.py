"""Intrinsics that rescale sums to pixels: scaled, rounded half to even, saturated.

``pixel = (sum - bias) * unit / scale + offset``. 16-bit integer sums become unsigned once the bias is added.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.register_tiles import Registers
from fastconv._simd.target import processor

_INT32 = ir.IntType(32)
_INTP = types.intp

# Parameters of a rescaling, an array of numbers of type `real_of`; METHOD is one of those below.
BIAS, UNIT, SCALE, RECIPROCAL, OFFSET, METHOD, PARAMETERS = range(7)

# PLAIN: sums are only rounded, and fit into 32 bits; integer sums also have an integer offset. PRODUCT: ``sum * unit +
# offset``. QUOTIENT: the product divided by the scale, correctly rounded, so that exact halves stay halves.
PLAIN, PRODUCT, QUOTIENT = range(3)


def real_of(compute):
    """Type in which sums of type `compute` are rescaled: float32 for 16-bit integers, which it represents exactly."""
    return compute if isinstance(compute, types.Float) else types.float32


@intrinsic
def parameters_at(typingctx, sums, address):
    """Pointer to the parameters at `address`, for sums of the type of `sums`."""
    pointer = types.CPointer(real_of(sums.dtype))

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[1], context.get_value_type(pointer))

    return pointer(sums, _INTP), codegen


def _pixel_lanes(pixels):
    """Lanes of a register of pixels; the sums for them fill several registers, which are packed into one."""
    return processor().lanes(pixels.dtype.bitwidth)


@intrinsic
def pixel_lanes(typingctx, source, destination):
    """Number of sums that `rescale_lanes` takes at a time."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _pixel_lanes(destination))

    return _INTP(source, destination), codegen


@intrinsic(prefer_literal=True)
def rescale_lanes(typingctx, source, destination, parameters, many, method):
    """Rescale `pixel_lanes` sums if `many`, else one; `many` and `method` are literals."""
    lanes = _pixel_lanes(destination) if many.literal_value else 1
    chosen = method.literal_value

    def codegen(context, builder, signature, args):
        src, dst, values, *_ = args
        sums = emitters.load_lanes(context, builder, source.dtype, src, lanes)
        pixels = _rescaled(context, builder, sums, source.dtype, destination.dtype, values, chosen)
        builder.store(pixels, builder.bitcast(dst, pixels.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(source, destination, parameters, many, method), codegen


@intrinsic(prefer_literal=True)
def rescale_row(typingctx, tile, out, parameters, method):
    """Rescale a tile of one row; `method` is a literal."""
    chosen = method.literal_value

    def codegen(context, builder, signature, args):
        value, out_pointer, values, _ = args
        registers = Registers(context, builder, tile, value)
        # Take as many registers at a time as fill one register of pixels; the last group may be smaller.
        group = max(1, _pixel_lanes(out) // tile.lanes)
        for first in range(0, tile.vectors, group):
            sums = [registers.get(v) for v in range(first, min(first + group, tile.vectors))]
            pixels = _rescaled(context, builder, _concatenated(builder, sums), tile.dtype, out.dtype, values, chosen)
            target = builder.gep(out_pointer, [_INT32(first * tile.lanes)])
            builder.store(pixels, builder.bitcast(target, pixels.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(tile, out, parameters, method), codegen


@intrinsic
def as_double(typingctx, number):
    """Convert a number to float64."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[0], number, types.float64)

    return types.float64(number), codegen


@intrinsic
def store_pixel(typingctx, pixels, value):
    """Store a number as a pixel: rounded half to even and saturated if that is an integer, else cast."""
    pixel = pixels.dtype

    def codegen(context, builder, signature, args):
        if isinstance(pixel, types.Float):
            stored = context.cast(builder, args[1], value, pixel)
        else:
            number = context.cast(builder, args[1], value, types.float64)
            single = builder.bitcast(number, ir.VectorType(ir.DoubleType(), 1))
            stored = saturated(builder, single, pixel, fits=False)
        builder.store(stored, builder.bitcast(args[0], stored.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(pixels, value), codegen


def _concatenated(builder, vectors):
    """Concatenate any number of vectors of one size."""
    joined, lanes = vectors[0], vectors[0].type.count
    for k, vector in enumerate(vectors[1:], 1):
        # LLVM concatenates vectors of one size only.
        wide = emitters.shuffle(builder, vector, vector, [j % lanes for j in range(k * lanes)])
        joined = emitters.shuffle(builder, joined, wide, range((k + 1) * lanes))
    return joined


def _rescaled(context, builder, sums, compute, pixel, parameters, method):
    """Rescale a vector of sums of type `compute` to pixels of type `pixel`."""
    lanes, real = sums.type.count, real_of(compute)
    vector = ir.VectorType(context.get_value_type(real), lanes)
    whole = isinstance(compute, types.Integer)
    to_integers = isinstance(pixel, types.Integer)
    if method == PLAIN and to_integers:
        if whole:
            return _saturated_whole(
                builder, sums, pixel, _parameter(builder, parameters, BIAS), _parameter(builder, parameters, OFFSET)
            )
        return saturated(builder, sums, pixel, fits=True)
    bias, unit, scale, reciprocal, offset = (
        emitters.splat(builder, _parameter(builder, parameters, k), lanes) for k in range(METHOD)
    )
    if whole:
        shift = emitters.splat(builder, builder.fptosi(_parameter(builder, parameters, BIAS), _INT32), lanes)
        sums = builder.uitofp(builder.add(sums, builder.trunc(shift, sums.type)), vector)
        sums = builder.fsub(sums, bias)
    if method == QUOTIENT:
        value = builder.fmul(sums, unit)
        exact = to_integers and real is types.float32 and processor().fma
        divide = _quotient if exact else _divided
        result = builder.fadd(divide(builder, value, scale, reciprocal), offset)
    else:
        result = emitters.fmuladd(builder, sums, unit, offset)
    if to_integers:
        return saturated(builder, result, pixel, fits=False)
    stored = ir.VectorType(context.get_value_type(pixel), lanes)
    if result.type == stored:
        return result
    return builder.fptrunc(result, stored) if pixel is types.float32 else builder.fpext(result, stored)


def _divided(builder, value, scale, reciprocal):
    return builder.fdiv(value, scale)


def _quotient(builder, value, scale, reciprocal):
    """``value / scale`` by the reciprocal and one correction (P. Markstein): faster than a division.

    Exact if the quotient is representable, as halves are. An infinity becomes NaN.
    """
    first = builder.fmul(value, reciprocal)
    remainder = emitters.fmuladd(builder, builder.fneg(first), scale, value)
    return emitters.fmuladd(builder, remainder, reciprocal, first)


def _parameter(builder, parameters, index):
    """Load a parameter; it does not change while a compiled routine runs."""
    value = builder.load(builder.gep(parameters, [_INT32(index)]))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def _saturated_whole(builder, sums, pixel, bias, offset):
    """Saturate integer sums plus `offset` to pixels: add the bias, which makes them unsigned, subtract it again."""
    lanes, word = sums.type.count, sums.type.element

    def integer(number):
        return emitters.splat(builder, builder.trunc(builder.fptosi(number, _INT32), word), lanes)

    zero = ir.Constant(bias.type, 0)
    decrease = builder.fsub(bias, offset)
    increase = builder.fneg(decrease)
    down, up = (builder.select(builder.fcmp_ordered(">", size, zero), size, zero) for size in (decrease, increase))
    unsigned = builder.add(sums, integer(bias))
    for name, amount in (("usub", down), ("uadd", up)):
        kind = ir.FunctionType(sums.type, [sums.type] * 2)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.sat.v{lanes}i{word.width}")
        unsigned = builder.call(function, [unsigned, integer(amount)])
    most = ir.Constant(sums.type, [pixel.maxval] * lanes)
    unsigned = builder.select(builder.icmp_unsigned("<", unsigned, most), unsigned, most)
    return builder.trunc(unsigned, ir.VectorType(ir.IntType(pixel.bitwidth), lanes))


def saturated(builder, value, pixel, fits):
    """Round floats half to even and saturate to the integer type `pixel`; `fits` promises that int32 holds them."""
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
    # Adding a number this large rounds the fraction, half to even.
    bits = 32 if single else 64
    large = ir.Constant(value.type, [1.5 * 2.0 ** (23 if bits == 32 else 52)] * lanes)
    whole = builder.bitcast(builder.fadd(value, large), ir.VectorType(ir.IntType(bits), lanes))
    return builder.trunc(whole, ir.VectorType(ir.IntType(pixel.bitwidth), lanes))


def _packs_words(builder):
    return builder.module.triple.startswith("x86_64") and processor().vector_bytes == 32


def _packed(builder, value):
    """Convert up to 32 floats to bytes: AVX2 rounds, and saturates as it packs.

    A float that int32 cannot hold becomes the smallest integer, and so 0, which is correct for negative values only.
    """
    lanes = value.type.count
    words = [
        _x86(builder, "avx.cvt.ps2dq.256", 32, 8, emitters.shuffle(builder, value, value, range(k, k + 8)))
        for k in range(0, lanes, 8)
    ]
    words += words[-1:] * (4 - len(words))
    pairs = [_x86(builder, "avx2.packssdw", 16, 16, *words[k : k + 2]) for k in (0, 2)]
    # The halves of a register are packed separately: restore the order of the groups of four bytes.
    fours = builder.bitcast(_x86(builder, "avx2.packuswb", 8, 32, *pairs), ir.VectorType(_INT32, 8))
    ordered = emitters.shuffle(builder, fours, fours, [0, 4, 1, 5, 2, 6, 3, 7][: lanes // 4])
    return builder.bitcast(ordered, ir.VectorType(ir.IntType(8), lanes))


def _x86(builder, name, bits, lanes, *operands):
    """Emit an x86 instruction that returns `lanes` integers of `bits` bits."""
    kind = ir.FunctionType(ir.VectorType(ir.IntType(bits), lanes), [operand.type for operand in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), operands)
