"""Registers of complex numbers, as values with operators: what the transforms are written with.

Numba has no type for a SIMD register. A `Complexes` is two of them, real parts in one and imaginary parts in the
other, so that no operation ever mixes lanes: sums and differences are two instructions, a product is four, and a
rotation by a right angle is none. Kernels written with it read like their formulas.

Loads and stores carry the alignment of the element, never that of the vector.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from fastconv._simd import compilation

_INT32 = ir.IntType(32)
_INTP = types.intp


class Complexes(types.Type):
    """Numba type of as many complex numbers as a register has lanes, each part of them a `dtype`."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = lanes_of(dtype)
        super().__init__(f"Complexes({dtype}x{self.lanes})")


@register_model(Complexes)
class _ComplexesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.ArrayType(ir.VectorType(element, fe_type.lanes), 2))


def lanes_of(dtype) -> int:
    """How many elements of `dtype` a register holds."""
    return 8 * compilation.processor().vector_bytes // dtype.bitwidth


@intrinsic
def lanes(typingctx, pointer):
    """How many elements like those at `pointer` a register holds."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, lanes_of(pointer.dtype))

    return _INTP(pointer), codegen


# ------------------------------------------------------------------------------------------------------ memory


@intrinsic
def get(typingctx, pointer):
    """A register of real parts, and behind it one of imaginary parts."""
    value = Complexes(pointer.dtype)

    def codegen(context, builder, signature, args):
        return _pair(builder, *_load_two(context, builder, value, args[0]))

    return value(pointer), codegen


@intrinsic
def get_interleaved(typingctx, pointer):
    """Complex numbers as NumPy stores them."""
    value = Complexes(pointer.dtype)

    def codegen(context, builder, signature, args):
        a, b = _load_two(context, builder, value, args[0])
        return _pair(builder, *(_pick(builder, a, b, range(part, 2 * value.lanes, 2)) for part in range(2)))

    return value(pointer), codegen


@intrinsic
def get_apart(typingctx, real, imag):
    """A register from each of two places."""
    value = Complexes(real.dtype)

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(value).element
        return _pair(builder, *(builder.load(_as(builder, place, vector), align=1) for place in args))

    return value(real, imag), codegen


@intrinsic
def put(typingctx, pointer, value):
    """Store as `get` loads."""

    def codegen(context, builder, signature, args):
        _store_two(builder, args[0], *_parts(builder, args[1]))
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


@intrinsic
def put_interleaved(typingctx, pointer, value):
    """Store as `get_interleaved` loads."""

    def codegen(context, builder, signature, args):
        real, imag = _parts(builder, args[1])
        count = value.lanes
        halves = range(count // 2), range(count // 2, count)
        pairs = [[lane + side for lane in half for side in (0, count)] for half in halves]
        _store_two(builder, args[0], *(_pick(builder, real, imag, pair) for pair in pairs))
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


@intrinsic
def put_apart(typingctx, real, imag, value):
    """Store as `get_apart` loads."""

    def codegen(context, builder, signature, args):
        for place, part in zip(args[:2], _parts(builder, args[2])):
            builder.store(part, _as(builder, place, part.type), align=1)
        return context.get_dummy_value()

    return types.void(real, imag, value), codegen


@intrinsic
def get_one(typingctx, pointer):
    """The complex number at `pointer`, its parts side by side, in every lane."""
    value = Complexes(pointer.dtype)

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(value).element
        parts = (builder.load(builder.gep(args[0], [_INT32(part)])) for part in range(2))
        return _pair(builder, *(_splat(builder, vector, part) for part in parts))

    return value(pointer), codegen


@intrinsic
def nothing(typingctx, pointer):
    """Zeros of the type that `pointer` points to."""
    value = Complexes(pointer.dtype)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(value), None)

    return value(pointer), codegen


def _load_two(context, builder, value, pointer):
    vector = context.get_value_type(value).element
    places = (builder.gep(pointer, [_INT32(part * value.lanes)]) for part in range(2))
    return [builder.load(_as(builder, place, vector), align=1) for place in places]


def _store_two(builder, pointer, a, b):
    for part, register in enumerate((a, b)):
        place = builder.gep(pointer, [_INT32(part * register.type.count)])
        builder.store(register, _as(builder, place, register.type), align=1)


def _as(builder, pointer, vector):
    return builder.bitcast(pointer, vector.as_pointer())


def _parts(builder, pair):
    return builder.extract_value(pair, 0), builder.extract_value(pair, 1)


def _pair(builder, real, imag):
    pair = ir.Constant(ir.ArrayType(real.type, 2), ir.Undefined)
    return builder.insert_value(builder.insert_value(pair, real, 0), imag, 1)


def _splat(builder, vector, scalar):
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, _INT32(0))
    return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(_INT32, vector.count), None))


# -------------------------------------------------------------------------------------------------- arithmetic


def _operation(symbol):
    """Let `symbol` take two `Complexes`; the decorated function emits the code."""

    @infer_global(symbol)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Complexes) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    def decorate(emit):
        @lower_builtin(symbol, Complexes, Complexes)
        def lower(context, builder, sig, args):
            return emit(builder, *args)

        return emit

    return decorate


@_operation(operator.add)
def _add(builder, a, b):
    return _pair(builder, *(builder.fadd(p, q) for p, q in zip(_parts(builder, a), _parts(builder, b))))


@_operation(operator.sub)
def _subtract(builder, a, b):
    return _pair(builder, *(builder.fsub(p, q) for p, q in zip(_parts(builder, a), _parts(builder, b))))


@_operation(operator.mul)
def _multiply(builder, a, b):
    (ar, ai), (br, bi) = _parts(builder, a), _parts(builder, b)
    real = _multiply_add(builder, builder.fneg(ai), bi, builder.fmul(ar, br))
    imag = _multiply_add(builder, ar, bi, builder.fmul(ai, br))
    return _pair(builder, real, imag)


def _multiply_add(builder, a, b, c):
    """``a * b + c``; fused where the processor has it, never a call into a library."""
    suffix = f"v{a.type.count}f{32 if a.type.element == ir.FloatType() else 64}"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    fmuladd = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{suffix}")
    return builder.call(fmuladd, [a, b, c])


@intrinsic
def conjugate(typingctx, a):
    """Of each; a product with it costs no more than one without."""

    def codegen(context, builder, signature, args):
        real, imag = _parts(builder, args[0])
        return _pair(builder, real, builder.fneg(imag))

    return a(a), codegen


@intrinsic
def turn_left(typingctx, a):
    """``1j * a``, at no cost: what it is added to or subtracted from takes the parts from each other."""

    def codegen(context, builder, signature, args):
        real, imag = _parts(builder, args[0])
        return _pair(builder, builder.fneg(imag), real)

    return a(a), codegen


@intrinsic
def add_scaled(typingctx, a, factor, b):
    """``a + factor * b``, for a real number."""

    def codegen(context, builder, signature, args):
        scale = context.cast(builder, args[1], types.float64, a.dtype)
        scale = _splat(builder, context.get_value_type(a).element, scale)
        parts = zip(_parts(builder, args[0]), _parts(builder, args[2]))
        return _pair(builder, *(_multiply_add(builder, scale, q, p) for p, q in parts))

    return a(a, types.float64, a), codegen


@intrinsic
def scaled(typingctx, factor, a):
    """``factor * a``, for a real number."""

    def codegen(context, builder, signature, args):
        scale = context.cast(builder, args[0], types.float64, a.dtype)
        scale = _splat(builder, context.get_value_type(a).element, scale)
        return _pair(builder, *(builder.fmul(scale, part) for part in _parts(builder, args[1])))

    return a(types.float64, a), codegen


@intrinsic
def all_zero(typingctx, a):
    """Whether all parts of all numbers are zero; False if one is not a number."""

    def codegen(context, builder, signature, args):
        result = ir.Constant(ir.IntType(1), 1)
        for part in _parts(builder, args[0]):
            bits = builder.fcmp_ordered("==", part, ir.Constant(part.type, None))
            mask = builder.bitcast(bits, ir.IntType(part.type.count))
            result = builder.and_(result, builder.icmp_signed("==", mask, mask.type(-1)))
        return result

    return types.boolean(a), codegen


# ----------------------------------------------------------------------------------------------- transposition

# Shuffles within 16 bytes are cheap on every processor, those across are not: where a register is wider, its
# sixteenths come from different rows, and find their place as they are loaded.
_CHUNK = 16


def chunk_of(dtype) -> int:
    """How many columns `rows_to_lanes` takes at once."""
    return 8 * _CHUNK // dtype.bitwidth


@intrinsic
def chunk(typingctx, pointer):
    """How many columns of elements like those at `pointer` `rows_to_lanes` takes at once."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, chunk_of(pointer.dtype))

    return _INTP(pointer), codegen


@intrinsic
def rows_to_lanes(typingctx, source, pitch, destination, step):
    """Bring `lanes` rows of `chunk` columns into the lanes of `chunk` registers, stored `step` elements apart."""
    columns, count = chunk_of(source.dtype), lanes_of(source.dtype)

    def codegen(context, builder, signature, args):
        source, pitch, destination, step = args
        part = ir.VectorType(source.type.pointee, columns)
        registers = []
        for k in range(columns):
            places = [_at(builder, source, pitch, k + row, part) for row in range(0, count, columns)]
            registers.append(_join(builder, [builder.load(place, align=1) for place in places]))
        for k, register in enumerate(_transposed(builder, registers, columns)):
            builder.store(register, _at(builder, destination, step, k, register.type), align=1)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, _INTP), codegen


@intrinsic
def lanes_to_rows(typingctx, source, step, destination, pitch):
    """Bring the lanes of `chunk` registers, `step` elements apart, back into as many rows of `chunk` columns."""
    columns, count = chunk_of(source.dtype), lanes_of(source.dtype)

    def codegen(context, builder, signature, args):
        source, step, destination, pitch = args
        vector, part = (ir.VectorType(source.type.pointee, n) for n in (count, columns))
        registers = [builder.load(_at(builder, source, step, k, vector), align=1) for k in range(columns)]
        for k, register in enumerate(_transposed(builder, registers, columns)):
            for first in range(0, count, columns):
                piece = _pick(builder, register, register, range(first, first + columns))
                builder.store(piece, _at(builder, destination, pitch, first + k, part), align=1)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, _INTP), codegen


def _at(builder, pointer, pitch, row, vector):
    place = builder.gep(pointer, [builder.mul(pitch, pitch.type(row))])
    return builder.bitcast(place, vector.as_pointer())


def _pick(builder, a, b, lanes):
    mask = list(lanes)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(mask)), mask))


def _join(builder, parts):
    while len(parts) > 1:
        parts = [_pick(builder, a, b, range(2 * a.type.count)) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def _transposed(builder, registers, columns):
    """Squares of `columns` a side, one in each 16 bytes of the registers, transposed by repeated interleaving."""
    count, half = registers[0].type.count, columns // 2
    masks = []
    for first in (0, half):
        lanes = [square + first + k for square in range(0, count, columns) for k in range(half)]
        masks.append([lane + side for lane in lanes for side in (0, count)])
    for _ in range(columns.bit_length() - 1):
        pairs = list(zip(registers[:half], registers[half:]))
        registers = [_pick(builder, a, b, mask) for a, b in pairs for mask in masks]
    return registers
