"""Intrinsics for raw memory: pointers, loads, stores, calls by address, atomic counters."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv._simd import emitters

_INT32 = ir.IntType(32)
_INTP = types.intp


@intrinsic
def advance(typingctx, pointer, elements):
    """``pointer + elements``"""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, _INTP), codegen


@intrinsic
def advance_bytes(typingctx, pointer, offset):
    """``pointer + offset``, with the offset in bytes."""

    def codegen(context, builder, signature, args):
        return emitters.offset_bytes(builder, *args)

    return pointer(pointer, _INTP), codegen


@intrinsic
def opaque(typingctx, pointer):
    """Hide the origin of `pointer` from LLVM, which then does not optimise the loop around it.

    For loops that rarely run: vectorising them took longer to compile than everything else.
    """

    def codegen(context, builder, signature, args):
        return emitters.opaque_pointer(builder, args[0])

    return pointer(pointer), codegen


@intrinsic
def itemsize(typingctx, pointer):
    """Size of an element in bytes."""
    size = emitters.bits_of(pointer.dtype) // 8

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, size)

    return _INTP(pointer), codegen


@intrinsic
def load(typingctx, pointer):
    """Load the element at `pointer`; any alignment."""

    def codegen(context, builder, signature, args):
        return _from_memory(builder, pointer.dtype, builder.load(args[0], align=1))

    return pointer.dtype(pointer), codegen


@intrinsic(prefer_literal=True)
def load_any(typingctx, pointer, swapped):
    """`load`, with the bytes reversed if `swapped` (a literal)."""

    def codegen(context, builder, signature, args):
        stored = context.get_data_type(pointer.dtype)
        bits = context.get_abi_sizeof(stored) * 8
        if bits == 8 or not swapped.literal_value:
            return _from_memory(builder, pointer.dtype, builder.load(args[0], align=1))
        whole = ir.IntType(bits)
        raw = builder.load(builder.bitcast(args[0], whole.as_pointer()), align=1)
        return builder.bitcast(builder.bswap(raw), stored)

    return pointer.dtype(pointer, swapped), codegen


@intrinsic
def store(typingctx, pointer, value):
    """Store `value`, converted to the type of `pointer`: integers wrap, bools are ``!= 0``; any alignment."""
    truncates = isinstance(value, types.Float) and isinstance(pointer.dtype, types.Integer)

    def codegen(context, builder, signature, args):
        if truncates:
            raw = emitters.truncate(builder, args[1], pointer.dtype)
        else:
            raw = context.cast(builder, args[1], value, pointer.dtype)
        if pointer.dtype is types.boolean:
            raw = builder.zext(raw, ir.IntType(8))
        builder.store(raw, args[0], align=1)
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


@intrinsic
def as_element(typingctx, pointer, value):
    """Convert a number to the type of the elements at `pointer`, as a C cast."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[1], value, pointer.dtype)

    return pointer.dtype(pointer, value), codegen


def _from_memory(builder, dtype, stored):
    """Convert from the type in memory: for a bool any byte but 0 is true, as in NumPy."""
    return builder.icmp_unsigned("!=", stored, stored.type(0)) if dtype is types.boolean else stored


def _array_of(kind):
    """Intrinsic: pointer to the number `index`, of type `kind`, of an array at `address`."""
    pointer = types.CPointer(kind)

    @intrinsic
    def at(typingctx, address, index):
        def codegen(context, builder, signature, args):
            return builder.gep(builder.inttoptr(args[0], context.get_value_type(pointer)), [args[1]])

        return pointer(_INTP, _INTP), codegen

    return at


integers_at, doubles_at, floats_at, bytes_at = map(_array_of, (_INTP, types.float64, types.float32, types.uint8))


@intrinsic
def pointer_to(typingctx, pointer, address):
    """Pointer to `address`, of the type of `pointer`."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[1], args[0].type)

    return pointer(pointer, _INTP), codegen


@intrinsic
def address_of(typingctx, pointer):
    """The address that a pointer holds."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], context.get_value_type(_INTP))

    return _INTP(pointer), codegen


@intrinsic
def load_int32(typingctx, address):
    """Load the 32-bit integer at `address`."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], _INT32.as_pointer()), align=4)

    return types.int32(_INTP), codegen


@intrinsic
def load_int64(typingctx, address):
    """Load the 64-bit integer at `address`."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), align=8)

    return types.int64(_INTP), codegen


@intrinsic
def call(typingctx, address, *arguments):
    """Call the compiled routine at `address` with integers and addresses."""
    kinds = arguments[0] if arguments and isinstance(arguments[0], tuple) else arguments
    count = len(kinds)

    def codegen(context, builder, signature, args):
        word = context.get_value_type(_INTP)
        routine = ir.FunctionType(ir.VoidType(), [word] * count)
        function = builder.inttoptr(args[0], routine.as_pointer())
        values = cgutils.unpack_tuple(builder, args[1], count)
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(_INTP, types.StarArgTuple.from_types([_INTP] * count)), codegen


@intrinsic
def call_for(typingctx, address, argument):
    """Call the C function of one integer, or address, at `address`; return the integer that it returns."""

    def codegen(context, builder, signature, args):
        word = context.get_value_type(_INTP)
        function = builder.inttoptr(args[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(function, [args[1]])

    return _INTP(_INTP, _INTP), codegen


@intrinsic
def call_for_two(typingctx, address, first, second):
    """The same with two integers."""

    def codegen(context, builder, signature, args):
        word = context.get_value_type(_INTP)
        function = builder.inttoptr(args[0], ir.FunctionType(word, [word, word]).as_pointer())
        return builder.call(function, [args[1], args[2]])

    return _INTP(_INTP, _INTP, _INTP), codegen


@intrinsic(prefer_literal=True)
def prefetch(typingctx, address, to_write):
    """Prefetch the cache line at an address, which may be invalid; `to_write` (a literal) if it will be written to."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        emitters.prefetch(builder, pointer, bool(to_write.literal_value))
        return context.get_dummy_value()

    return types.void(_INTP, to_write), codegen


@intrinsic
def fetch_add(typingctx, pointer, amount):
    """Add to the integer at `pointer` atomically; return the old value.

    Acquire and release: a thread that reads the sum also sees everything that this thread stored before.
    """

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "acq_rel")

    return _INTP(types.CPointer(_INTP), _INTP), codegen


@intrinsic
def spin_load(typingctx, pointer):
    """Load the integer at `pointer` atomically (acquire), with a pause: for spin-waits."""

    def codegen(context, builder, signature, args):
        value = builder.load_atomic(args[0], "acquire", align=args[0].type.pointee.width // 8)
        if builder.module.triple.startswith("x86_64"):
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        return value

    return _INTP(types.CPointer(_INTP)), codegen
