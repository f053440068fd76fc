"""Vectors of complex numbers with operators, for the transforms.

A `ComplexVector` is two SIMD registers, one of real and one of imaginary parts, so that no operation mixes lanes: a sum
or difference takes two instructions, a product four, a multiplication by 1j none. Loads and stores assume the alignment
of the element, never that of the vector.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from fastconv._simd import emitters
from fastconv._simd.target import processor

_INT32 = ir.IntType(32)
_INTP = types.intp


class ComplexVector(types.Type):
    """Numba type of one complex number per lane of a register; the parts are of type `dtype`."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = lanes_of(dtype)
        super().__init__(f"ComplexVector({dtype}x{self.lanes})")


@register_model(ComplexVector)
class _ComplexVectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.ArrayType(ir.VectorType(element, fe_type.lanes), 2))


def lanes_of(dtype) -> int:
    """Number of elements of `dtype` in a register."""
    return processor().lanes(dtype.bitwidth)


@intrinsic
def lanes(typingctx, pointer):
    """Number of elements of the type of `pointer` in a register."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, lanes_of(pointer.dtype))

    return _INTP(pointer), codegen


# ------------------------------------------------------------------------------------------------------ memory


@intrinsic
def load(typingctx, pointer):
    """Load a register of real parts and, behind it, one of imaginary parts."""
    value = ComplexVector(pointer.dtype)

    def codegen(context, builder, signature, args):
        return _pair(builder, *_load_two(context, builder, value, args[0]))

    return value(pointer), codegen


@intrinsic
def load_interleaved(typingctx, pointer):
    """Load complex numbers in NumPy's layout: real and imaginary parts alternate."""
    value = ComplexVector(pointer.dtype)

    def codegen(context, builder, signature, args):
        a, b = _load_two(context, builder, value, args[0])
        return _pair(builder, *(emitters.shuffle(builder, a, b, range(part, 2 * value.lanes, 2)) for part in range(2)))

    return value(pointer), codegen


@intrinsic
def load_planes(typingctx, real, imag):
    """Load real and imaginary parts from separate arrays."""
    value = ComplexVector(real.dtype)

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(value).element
        return _pair(builder, *(builder.load(_cast(builder, pointer, vector), align=1) for pointer in args))

    return value(real, imag), codegen


@intrinsic
def store(typingctx, pointer, value):
    """Store in the layout of `load`."""

    def codegen(context, builder, signature, args):
        _store_two(builder, args[0], *_parts(builder, args[1]))
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


@intrinsic
def store_interleaved(typingctx, pointer, value):
    """Store in the layout of `load_interleaved`."""

    def codegen(context, builder, signature, args):
        real, imag = _parts(builder, args[1])
        count = value.lanes
        halves = range(count // 2), range(count // 2, count)
        pairs = [[lane + side for lane in half for side in (0, count)] for half in halves]
        _store_two(builder, args[0], *(emitters.shuffle(builder, real, imag, pair) for pair in pairs))
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


@intrinsic
def store_planes(typingctx, real, imag, value):
    """Store in the layout of `load_planes`."""

    def codegen(context, builder, signature, args):
        for pointer, part in zip(args[:2], _parts(builder, args[2])):
            builder.store(part, _cast(builder, pointer, part.type), align=1)
        return context.get_dummy_value()

    return types.void(real, imag, value), codegen


@intrinsic
def broadcast(typingctx, pointer):
    """Load one complex number, in NumPy's layout, into every lane."""
    value = ComplexVector(pointer.dtype)

    def codegen(context, builder, signature, args):
        parts = (builder.load(builder.gep(args[0], [_INT32(part)])) for part in range(2))
        return _pair(builder, *(emitters.splat(builder, part, value.lanes) for part in parts))

    return value(pointer), codegen


@intrinsic
def zero(typingctx, pointer):
    """A vector of zeros with parts of the type of `pointer`."""
    value = ComplexVector(pointer.dtype)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(value), None)

    return value(pointer), codegen


def _load_two(context, builder, value, pointer):
    vector = context.get_value_type(value).element
    pointers = (builder.gep(pointer, [_INT32(part * value.lanes)]) for part in range(2))
    return [builder.load(_cast(builder, part, vector), align=1) for part in pointers]


def _store_two(builder, pointer, a, b):
    for part, register in enumerate((a, b)):
        target = builder.gep(pointer, [_INT32(part * register.type.count)])
        builder.store(register, _cast(builder, target, register.type), align=1)


def _cast(builder, pointer, vector):
    return builder.bitcast(pointer, vector.as_pointer())


def _parts(builder, pair):
    return builder.extract_value(pair, 0), builder.extract_value(pair, 1)


def _pair(builder, real, imag):
    pair = ir.Constant(ir.ArrayType(real.type, 2), ir.Undefined)
    return builder.insert_value(builder.insert_value(pair, real, 0), imag, 1)


# -------------------------------------------------------------------------------------------------- arithmetic


def _operation(symbol):
    """Define the operator `symbol` on two `ComplexVector`; the decorated function emits the code."""

    @infer_global(symbol)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], ComplexVector) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    def decorate(emit):
        @lower_builtin(symbol, ComplexVector, ComplexVector)
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
    real = emitters.fmuladd(builder, builder.fneg(ai), bi, builder.fmul(ar, br))
    imag = emitters.fmuladd(builder, ar, bi, builder.fmul(ai, br))
    return _pair(builder, real, imag)


@intrinsic
def conjugate(typingctx, a):
    """Complex conjugate; free if it is multiplied next: the negation goes into the FMAs."""

    def codegen(context, builder, signature, args):
        real, imag = _parts(builder, args[0])
        return _pair(builder, real, builder.fneg(imag))

    return a(a), codegen


@intrinsic
def times_1j(typingctx, a):
    """``1j * a``; free if it is added or subtracted next: the negation turns sums into differences."""

    def codegen(context, builder, signature, args):
        real, imag = _parts(builder, args[0])
        return _pair(builder, builder.fneg(imag), real)

    return a(a), codegen


@intrinsic
def add_scaled(typingctx, a, factor, b):
    """``a + factor * b`` for a real `factor`."""

    def codegen(context, builder, signature, args):
        scale = context.cast(builder, args[1], types.float64, a.dtype)
        scale = emitters.splat(builder, scale, a.lanes)
        parts = zip(_parts(builder, args[0]), _parts(builder, args[2]))
        return _pair(builder, *(emitters.fmuladd(builder, scale, q, p) for p, q in parts))

    return a(a, types.float64, a), codegen


@intrinsic
def scaled(typingctx, factor, a):
    """``factor * a`` for a real `factor`."""

    def codegen(context, builder, signature, args):
        scale = context.cast(builder, args[0], types.float64, a.dtype)
        scale = emitters.splat(builder, scale, a.lanes)
        return _pair(builder, *(builder.fmul(scale, part) for part in _parts(builder, args[1])))

    return a(types.float64, a), codegen


@intrinsic
def all_zero(typingctx, a):
    """True if all numbers are zero; False if one is NaN."""

    def codegen(context, builder, signature, args):
        result = ir.Constant(ir.IntType(1), 1)
        for part in _parts(builder, args[0]):
            bits = builder.fcmp_ordered("==", part, ir.Constant(part.type, None))
            mask = builder.bitcast(bits, ir.IntType(part.type.count))
            result = builder.and_(result, builder.icmp_signed("==", mask, mask.type(-1)))
        return result

    return types.boolean(a), codegen


def _any(symbol: str):
    """Intrinsic: whether a real part, and whether an imaginary part, is `symbol` than zero."""

    @intrinsic
    def found(typingctx, a):
        def codegen(context, builder, signature, args):
            values = []
            for part in _parts(builder, args[0]):
                lanes = builder.fcmp_ordered(symbol, part, ir.Constant(part.type, None))
                mask = builder.bitcast(lanes, ir.IntType(part.type.count))
                values.append(builder.icmp_unsigned("!=", mask, mask.type(0)))
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(types.boolean, 2)(a), codegen

    return found


any_above_zero, any_below_zero = _any(">"), _any("<")


@intrinsic
def absolute(typingctx, a):
    """The absolute values of the real parts, and of the imaginary parts."""

    def codegen(context, builder, signature, args):
        return _pair(builder, *(_absolute(builder, part) for part in _parts(builder, args[0])))

    return a(a), codegen


def _pick(symbol: str):
    """Intrinsic: of the real parts, and of the imaginary parts, those of `b` that are `symbol` than those of `a`."""

    @intrinsic
    def pick(typingctx, a, b):
        def codegen(context, builder, signature, args):
            parts = zip(_parts(builder, args[0]), _parts(builder, args[1]))
            return _pair(builder, *(builder.select(builder.fcmp_ordered(symbol, q, p), q, p) for p, q in parts))

        return a(a, a), codegen

    return pick


# The larger, and the smaller, of each two parts; that of the first argument where the second is a NaN.
larger, smaller = _pick(">"), _pick("<")


def _absolute(builder, vector):
    name = f"llvm.fabs.v{vector.type.count}f{64 if vector.type.element == ir.DoubleType() else 32}"
    kind = ir.FunctionType(vector.type, [vector.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


# -------------------------------------------------------------------------------------------------- all lanes


@intrinsic
def store_sums(typingctx, real, imag, a):
    """Store the sum of the real parts and that of the imaginary parts."""

    def codegen(context, builder, signature, args):
        for pointer, part in zip(args[:2], _parts(builder, args[2])):
            builder.store(_sum(builder, part), pointer)
        return context.get_dummy_value()

    return types.void(real, imag, a), codegen


@intrinsic
def store_sums_of_four(typingctx, real, imag, a):
    """`store_sums` of each four lanes, or of all if there are fewer, one after the other."""

    def codegen(context, builder, signature, args):
        for pointer, part in zip(args[:2], _parts(builder, args[2])):
            for distance in (1, 2):
                if distance < part.type.count:
                    part = builder.fadd(part, _turned(builder, part, distance))
            sums = emitters.shuffle(builder, part, part, range(0, part.type.count, 4))
            builder.store(sums, _cast(builder, pointer, sums.type), align=1)
        return context.get_dummy_value()

    return types.void(real, imag, a), codegen


@intrinsic
def sums(typingctx, a):
    """The sum of the real parts and that of the imaginary parts, of float64."""

    def codegen(context, builder, signature, args):
        values = [_as_double(builder, _sum(builder, part)) for part in _parts(builder, args[0])]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(types.float64, 2)(a), codegen


def _extreme(symbol: str):
    """Intrinsic: the real part, and the imaginary part, that is `symbol` than those of all other lanes, of float64."""

    @intrinsic
    def extreme(typingctx, a):
        def codegen(context, builder, signature, args):
            values = []
            for part in _parts(builder, args[0]):
                for distance in _halvings(part):
                    turned = _turned(builder, part, distance)
                    part = builder.select(builder.fcmp_ordered(symbol, turned, part), turned, part)
                values.append(_as_double(builder, builder.extract_element(part, _INT32(0))))
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(types.float64, 2)(a), codegen

    return extreme


largest, smallest = _extreme(">"), _extreme("<")


def _sum(builder, vector):
    """The sum of all lanes, in pairs."""
    for distance in _halvings(vector):
        vector = builder.fadd(vector, _turned(builder, vector, distance))
    return builder.extract_element(vector, _INT32(0))


def _turned(builder, vector, distance):
    """The vector with lanes that are `distance`, a power of two, apart exchanged."""
    return emitters.shuffle(builder, vector, vector, (lane ^ distance for lane in range(vector.type.count)))


def _halvings(vector):
    return [vector.type.count >> k for k in range(1, vector.type.count.bit_length())]


def _as_double(builder, value):
    return value if value.type == ir.DoubleType() else builder.fpext(value, ir.DoubleType())


# ----------------------------------------------------------------------------------------------- transposition

# Shuffles within 16 bytes are cheap on every processor, those across are not: in a wider register each 16 bytes are
# loaded from a row of their own, so that no shuffle crosses them.
_SHUFFLED_BYTES = 16


def _columns_of(dtype) -> int:
    return 8 * _SHUFFLED_BYTES // dtype.bitwidth


@intrinsic
def transposed_columns(typingctx, pointer):
    """Number of columns that `rows_to_lanes` transposes at a time."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _columns_of(pointer.dtype))

    return _INTP(pointer), codegen


@intrinsic
def rows_to_lanes(typingctx, source, pitch, destination, step):
    """Transpose `lanes` rows of `transposed_columns` columns into as many registers, stored `step` elements apart."""
    columns, count = _columns_of(source.dtype), lanes_of(source.dtype)

    def codegen(context, builder, signature, args):
        source, pitch, destination, step = args
        part = ir.VectorType(source.type.pointee, columns)
        registers = []
        for k in range(columns):
            places = [_at(builder, source, pitch, k + row, part) for row in range(0, count, columns)]
            registers.append(_concatenate(builder, [builder.load(place, align=1) for place in places]))
        for k, register in enumerate(_transpose(builder, registers, columns)):
            builder.store(register, _at(builder, destination, step, k, register.type), align=1)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, _INTP), codegen


@intrinsic
def lanes_to_rows(typingctx, source, step, destination, pitch):
    """Transpose `transposed_columns` registers, `step` elements apart, back into rows: one for each lane."""
    columns, count = _columns_of(source.dtype), lanes_of(source.dtype)

    def codegen(context, builder, signature, args):
        source, step, destination, pitch = args
        vector, part = (ir.VectorType(source.type.pointee, n) for n in (count, columns))
        registers = [builder.load(_at(builder, source, step, k, vector), align=1) for k in range(columns)]
        for k, register in enumerate(_transpose(builder, registers, columns)):
            for first in range(0, count, columns):
                piece = emitters.shuffle(builder, register, register, range(first, first + columns))
                builder.store(piece, _at(builder, destination, pitch, first + k, part), align=1)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, _INTP), codegen


def _at(builder, pointer, pitch, row, vector):
    return _cast(builder, builder.gep(pointer, [builder.mul(pitch, pitch.type(row))]), vector)


def _concatenate(builder, parts):
    """Concatenate vectors of one size; their number is a power of two."""
    while len(parts) > 1:
        parts = [emitters.shuffle(builder, a, b, range(2 * a.type.count)) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def _transpose(builder, registers, columns):
    """Transpose the squares of `columns` a side in each 16 bytes of the registers, by repeated interleaving."""
    count, half = registers[0].type.count, columns // 2
    masks = []
    for first in (0, half):
        lanes = [square + first + k for square in range(0, count, columns) for k in range(half)]
        masks.append([lane + side for lane in lanes for side in (0, count)])
    for _ in range(columns.bit_length() - 1):
        pairs = list(zip(registers[:half], registers[half:]))
        registers = [emitters.shuffle(builder, a, b, mask) for a, b in pairs for mask in masks]
    return registers
