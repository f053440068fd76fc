"""LLVM IR that several intrinsics emit."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastconv._simd.target import processor

_INT32 = ir.IntType(32)


def opaque_pointer(builder, pointer):
    """Hide the origin of `pointer` from LLVM.

    Otherwise loop strength reduction keeps an induction variable for each pointer of each sweep in the surrounding
    loop, some 20, on the stack, which costs 100 cycles per sweep.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], False)


def opaque_vector(builder, value):
    """Hide the origin of a vector, of one register, from LLVM."""
    constraint = processor().vector_constraint
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", f"={constraint},0", [value], False)


def prefetch(builder, pointer, to_write=False):
    """Prefetch the cache line at `pointer`, which may be invalid; `to_write` if it will be written to."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    keep, data = _INT32(3), _INT32(1)
    builder.call(function, [builder.bitcast(pointer, byte), _INT32(int(to_write)), keep, data])


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
    store_vector(builder, convert_lanes(context, builder, value, source, destination), pointer)


def store_vector(builder, value, pointer):
    """Store a vector; no alignment is assumed."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=1)


def halves(builder, pairs, signed):
    """The low and the high half of each element of a vector of integers, in all of its bits."""
    bits, count = pairs.type.element.width // 2, pairs.type.count
    shift = ir.Constant(pairs.type, [bits] * count)
    if signed:
        return builder.ashr(builder.shl(pairs, shift), shift), builder.ashr(pairs, shift)
    return builder.and_(pairs, ir.Constant(pairs.type, [(1 << bits) - 1] * count)), builder.lshr(pairs, shift)


def joined(builder, even, odd, bits):
    """The low `bits`, half of them, of the elements of two vectors in turn, as one vector."""
    low, shift = (ir.Constant(even.type, [number] * even.type.count) for number in ((1 << bits) - 1, bits))
    pairs = builder.or_(builder.and_(even, low), builder.shl(odd, shift))
    return builder.bitcast(pairs, ir.VectorType(ir.IntType(bits), 2 * even.type.count))


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
    if isinstance(source, types.Float) and isinstance(destination, types.Integer):
        return truncate(builder, value, destination)
    if isinstance(source, types.Float):
        if bits_of(source) > bits_of(destination):
            return builder.fptrunc(value, target)
        return builder.fpext(value, target) if bits_of(source) < bits_of(destination) else value
    if isinstance(destination, types.Float):
        return builder.sitofp(value, target) if source.signed else builder.uitofp(value, target)
    if bits_of(source) < bits_of(destination):
        return builder.sext(value, target) if source.signed else builder.zext(value, target)
    return builder.trunc(value, target) if bits_of(source) > bits_of(destination) else value


def truncate(builder, value, destination):
    """Truncate floats, a scalar or a vector, to integers that wrap, as C compilers for x86 do.

    By way of 32 bits, or of 64 for unsigned ones of 32; beyond those the result is undefined.
    """
    count = value.type.count if isinstance(value.type, ir.VectorType) else 0

    def whole(bits):
        return ir.VectorType(ir.IntType(bits), count) if count else ir.IntType(bits)

    def constant(kind, number):
        return ir.Constant(kind, [number] * count if count else number)

    bits, target = destination.bitwidth, whole(destination.bitwidth)
    if bits < 64:
        wide = 32 if destination.signed or bits < 32 else 64
        converted = builder.fptosi(value, whole(wide))
        return builder.trunc(converted, target) if wide > bits else converted
    low = builder.fptosi(value, target)
    if destination.signed:
        return low
    limit = constant(value.type, 2.0**63)
    high = builder.xor(builder.fptosi(builder.fsub(value, limit), target), constant(target, -(2**63)))
    return builder.select(builder.fcmp_ordered(">=", value, limit), high, low)


# Products and sums that are each rounded. Numba gives the flag for contraction to operations without any flag, and
# "arcp" concerns quotients only.
_ROUNDED = ("arcp",)


def multiply(builder, a, b):
    """``a * b``, rounded before it is added to anything."""
    return builder.fmul(a, b, flags=_ROUNDED)


def add(builder, a, b):
    """``a + b``, of rounded numbers."""
    return builder.fadd(a, b, flags=_ROUNDED)


def subtract(builder, a, b):
    """``a - b``, of rounded numbers."""
    return builder.fsub(a, b, flags=_ROUNDED)


def fmuladd(builder, a, b, c):
    """``a * b + c``; fused if the processor can, never a library call."""
    return _call_intrinsic(builder, "fmuladd", a, b, c)


def square_root(builder, a):
    """The root of a vector of floats."""
    return _call_intrinsic(builder, "sqrt", a)


def _call_intrinsic(builder, name, *vectors):
    """Call an intrinsic of LLVM that is overloaded by one type of vectors of floats."""
    kind = vectors[0].type
    suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
    function = ir.FunctionType(kind, [kind] * len(vectors))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), vectors)


def magnitude(builder, x, y, may_be_infinite=True):
    """``sqrt(x**2 + y**2)`` of vectors of float32, in float64, where no square overflows or vanishes."""
    wide = ir.VectorType(ir.DoubleType(), x.type.count)
    a, b = (builder.fpext(value, wide) for value in (x, y))
    root = builder.fptrunc(square_root(builder, fmuladd(builder, a, a, multiply(builder, b, b))), x.type)
    if may_be_infinite:  # of an infinity, whatever the other is, as `hypot`
        infinity, edges = ir.Constant(x.type, [float("inf")] * x.type.count), (float("-inf"), float("inf"))
        for value in (x, y):
            for edge in edges:
                is_edge = builder.fcmp_ordered("==", value, ir.Constant(x.type, [edge] * x.type.count))
                root = builder.select(is_edge, infinity, root)
    return root
