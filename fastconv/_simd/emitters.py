"""LLVM IR that several intrinsics emit."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

_INT32 = ir.IntType(32)


def opaque_pointer(builder, pointer):
    """Hide the origin of `pointer` from LLVM.

    Otherwise loop strength reduction keeps an induction variable for each pointer of each sweep in the surrounding
    loop, some 20, on the stack, which costs 100 cycles per sweep.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], False)


def prefetch(builder, pointer):
    """Prefetch the cache line at `pointer`, which may be invalid."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, keep, data = _INT32(0), _INT32(3), _INT32(1)
    builder.call(function, [builder.bitcast(pointer, byte), read, keep, data])


def offset_bytes(builder, pointer, offset):
    """``pointer + offset``, with the offset in bytes."""
    start = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [offset]), pointer.type)


def bits_of(dtype):
    """Size of an element in memory in bits."""
    return 8 if dtype is types.boolean else dtype.bitwidth


def splat(builder, scalar, lanes):
    """A vector with `scalar` in every lane."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    single = builder.insert_element(undefined, scalar, _INT32(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(_INT32, lanes), None))


def shuffle(builder, a, b, lanes):
    """Pick lanes by index from `a` followed by `b`."""
    mask = list(lanes)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(mask)), mask))


def load_lanes(context, builder, dtype, pointer, lanes, swapped=False):
    """Load a vector at `pointer`, with the bytes of each element reversed if `swapped`; no alignment is assumed."""
    vector = ir.VectorType(context.get_data_type(dtype), lanes)
    bits = bits_of(dtype)
    if not swapped or bits == 8:
        return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=1)
    whole = ir.VectorType(ir.IntType(bits), lanes)
    raw = builder.load(builder.bitcast(pointer, whole.as_pointer()), align=1)
    bswap = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(whole, [whole]), f"llvm.bswap.v{lanes}i{bits}"
    )
    return builder.bitcast(builder.call(bswap, [raw]), vector)


def store_lanes(context, builder, source, value, destination, pointer):
    """Convert a vector from type `source` to type `destination` and store it; no alignment is assumed."""
    value = convert_lanes(context, builder, value, source, destination)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=1)


def convert_lanes(context, builder, value, source, destination):
    """Convert a vector from the memory type `source` to the memory type `destination`, as a C cast."""
    target = ir.VectorType(context.get_data_type(destination), value.type.count)
    if source is types.boolean or destination is types.boolean:
        if isinstance(source, types.Float):
            truth = builder.fcmp_unordered("!=", value, ir.Constant(value.type, None))
        else:
            truth = builder.icmp_unsigned("!=", value, ir.Constant(value.type, None))
        whole = builder.zext(truth, ir.VectorType(ir.IntType(bits_of(destination)), value.type.count))
        return builder.uitofp(whole, target) if isinstance(destination, types.Float) else whole
    if isinstance(source, types.Float):
        if bits_of(source) > bits_of(destination):
            return builder.fptrunc(value, target)
        return builder.fpext(value, target) if bits_of(source) < bits_of(destination) else value
    if isinstance(destination, types.Float):
        return builder.sitofp(value, target) if source.signed else builder.uitofp(value, target)
    if bits_of(source) < bits_of(destination):
        return builder.sext(value, target) if source.signed else builder.zext(value, target)
    return builder.trunc(value, target) if bits_of(source) > bits_of(destination) else value


def fmuladd(builder, a, b, c):
    """``a * b + c``; fused if the processor can, never a library call."""
    suffix = f"v{a.type.count}f{32 if isinstance(a.type.element, ir.FloatType) else 64}"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{suffix}"), [a, b, c])
