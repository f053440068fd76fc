"""Machine code of a call in a user's function: check the arguments, allocate the result, call `direct_call`.

It is emitted as LLVM IR, without a Numba function of its own for each step: compiling `numpy.empty` alone takes as long
as all of this.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils, imputils
from numba.extending import intrinsic
from numba.np import arrayobj
from numba.np.numpy_support import as_dtype

from fastconv._microkernels.calls import call_records
from fastconv._microkernels.calls.call_records import CALL, KINDS, ROUTINES
from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._model.message_formatting import one_of
from fastconv.njit import _loading
from fastconv.njit._requests import Request

_BYTE, _INT64, _DOUBLE = ir.IntType(8), ir.IntType(64), ir.DoubleType()
_WORD = types.intp


def _messages(request: Request) -> dict[int, str]:
    """The errors that a call may raise, by what `direct_call` returns: constants, since nothing is formatted there."""
    (name, kernel), several = request.names, request.dimensions == 2
    found = {
        call_records.BAD_AXIS: f"{'axes' if several else 'axis'} must be in range for {name}",
        call_records.EMPTY: f"{name} and {kernel} must not be empty",
        call_records.TOO_LARGE: f"{name} and {kernel} must have a result that fits into memory",
        call_records.BAD_FILL_VALUE: f"fill_value must be a number that {as_dtype(request.result.dtype)} can hold",
        call_records.UNUSED_FILL_VALUE: "fill_value is for boundary='fill' only",
        call_records.BAD_WORKERS: "workers must be None or a positive integer",
        call_records.BAD_OUT_SHAPE: "out must have the shape of the result",
        call_records.BAD_OUT_STRIDES: "out must have separate memory for each element",
    }
    if several:
        found[call_records.EQUAL_AXES] = "axes must be different"
        found[call_records.NO_FIT] = (
            f"in mode 'valid' one of {name} and {kernel} must be at least as large as the other along both axes"
        )
    if request.mode is None:
        found[call_records.BAD_MODE] = f"mode must be {one_of(MODES)}"
    if request.boundary is None:
        found[call_records.BAD_BOUNDARY] = f"boundary must be {one_of(BOUNDARIES)}"
    return found


class _Call:
    """A `CALL` on the stack, as code is emitted."""

    def __init__(self, context, builder):
        self._context, self._builder, self.word = context, builder, context.get_value_type(_WORD)
        self._record = cgutils.alloca_once(builder, ir.ArrayType(_INT64, CALL.dtype.itemsize // 8))

    def put(self, field: str, value, index: int = 0) -> None:
        """Store a number, or an address, in a field, or at number `index` of one of raw bytes."""
        builder, kind = self._builder, CALL.type_of(field)
        if isinstance(value, (int, bool)):
            value = (_BYTE if kind is types.boolean else self.word)(int(value))
        elif isinstance(value.type, ir.PointerType):
            value = builder.ptrtoint(value, self.word)
        start = builder.bitcast(self._record, _BYTE.as_pointer())
        place = builder.gep(start, [self.word(CALL.offset(field) + 8 * index)])
        builder.store(value, builder.bitcast(place, value.type.as_pointer()))

    def put_array(self, name: str, array) -> None:
        """Store the address of an array, and copy its extents and strides to the stack."""
        self.put(name, array.data)
        for field, values in (("extents", array.shape), ("strides", array.strides)):
            self.put(f"{name}_{field}", cgutils.alloca_once_value(self._builder, values))

    def run(self, routines):
        """Call `direct_call.convolve`, the first of the routines; return what that returns."""
        builder, word = self._builder, self.word
        function = ir.FunctionType(word, [word, word]).as_pointer()
        address = builder.inttoptr(builder.load(routines), function)
        return builder.call(address, [builder.ptrtoint(part, word) for part in (routines, self._record)])


@functools.cache
def call_of(request: Request) -> Callable[..., Any]:
    """The function to call in an overload of this request: of arrays, axes, and options as they are given."""

    @intrinsic
    def call(typingctx, x, kernel, mode, axes, boundary, fill_value, workers, out):
        result = request.result if isinstance(out, types.NoneType) else out
        names = [str(as_dtype(array.dtype)) for array in (x, kernel)]

        def codegen(context, builder, signature, args):
            context.get_env_manager(builder).add_const(_loading.require(_loading.abi(), *names))
            given = dict(zip(("x", "kernel", "mode", "axes", "boundary", "fill_value", "workers", "out"), args))
            arrays = {
                name: cgutils.create_struct_proxy(kind)(context, builder, given[name])
                for name, kind in (("x", x), ("kernel", kernel))
            }
            record = _Call(context, builder)
            for name, array in arrays.items():
                record.put_array(name, array)
            for field, number in (("rank", x.ndim), ("count", request.dimensions), ("flip", request.flip)):
                record.put(field, number)
            record.put("numpy_sizes", request.numpy_sizes)
            codes = {"mode": (request.mode, MODES), "boundary": (request.boundary, BOUNDARIES)}
            for field, (known, allowed) in codes.items():
                record.put(field, _index_of(context, builder, given[field], allowed) if known is None else known)
            for index, axis in enumerate(_axes(context, builder, axes, given["axes"])):
                record.put("axes", axis, index)
            _put_fill_value(context, builder, record, fill_value, given["fill_value"])
            record.put("workers", _workers(context, builder, workers, given["workers"]))
            is_new = isinstance(out, types.NoneType)
            record.put("has_out", not is_new)
            record.put("checked", False)
            if is_new:
                shape = cgutils.alloca_once(builder, ir.ArrayType(record.word, x.ndim))
                record.put("out_extents", shape)
            else:
                record.put_array("out", cgutils.create_struct_proxy(out)(context, builder, given["out"]))

            routines = _external(builder, _loading.symbol(*names), record.word)
            _check_interface(context, builder, routines)
            status = record.run(routines)
            with builder.if_then(builder.icmp_signed("!=", status, record.word(0)), likely=False):
                for code, message in _messages(request).items():
                    with builder.if_then(builder.icmp_signed("==", status, record.word(code))):
                        context.call_conv.return_user_exc(builder, ValueError, (message,))
            value = _allocated(context, builder, result, shape) if is_new else given["out"]
            if is_new:
                record.put_array("out", cgutils.create_struct_proxy(result)(context, builder, value))
            record.put("checked", True)
            status = record.run(routines)
            with builder.if_then(builder.icmp_signed("!=", status, record.word(0)), likely=False):
                if is_new:
                    context.nrt.decref(builder, result, value)
                context.call_conv.return_user_exc(builder, MemoryError, ("no memory for the buffers of a convolution",))
            returned = imputils.impl_ret_new_ref if is_new else imputils.impl_ret_borrowed
            return returned(context, builder, result, value)

        return result(x, kernel, mode, axes, boundary, fill_value, workers, out), codegen

    return call


def _check_interface(context, builder, routines) -> None:
    """Raise an error if the routines are not those that this code is compiled for."""
    word = routines.type.pointee
    place = builder.gep(routines, [word(ROUTINES.offset("interface") // (word.width // 8))])
    differs = builder.icmp_signed("!=", builder.load(place), word(_loading.interface()))
    with builder.if_then(differs, likely=False):
        message = "compiled for another version of fastconv: delete this function from Numba's cache"
        context.call_conv.return_user_exc(builder, RuntimeError, (message,))


def _external(builder, name: str, word):
    """The first word of a record of another module, by its name."""
    found = builder.module.globals.get(name)
    if found is None:
        found = ir.GlobalVariable(builder.module, word, name)
        found.linkage = "external"
    return found


def _index_of(context, builder, text, allowed: tuple[str, ...]):
    """Index of a string among ASCII names; -1 for any other. Numba's comparison of strings takes long to compile."""
    word = context.get_value_type(_WORD)
    string = cgutils.create_struct_proxy(types.unicode_type)(context, builder, text)
    found = cgutils.alloca_once_value(builder, word(-1))
    is_plain = builder.icmp_signed("==", string.kind, string.kind.type(1))  # one byte for each character
    for index, name in enumerate(allowed):
        as_long = builder.icmp_signed("==", string.length, string.length.type(len(name)))
        with builder.if_then(builder.and_(is_plain, as_long)):
            letters = ir.IntType(8 * len(name))
            stored = builder.load(builder.bitcast(string.data, letters.as_pointer()), align=1)
            # Loaded from memory, as the text is: in the byte order of the processor.
            wanted = cgutils.global_constant(builder, "name", cgutils.make_bytearray(name.encode()))
            expected = builder.load(builder.bitcast(wanted, letters.as_pointer()), align=1)
            with builder.if_then(builder.icmp_unsigned("==", stored, expected)):
                builder.store(word(index), found)
    return builder.load(found)


def _axes(context, builder, kind, value) -> list:
    """The axes as integers, from one or a tuple of them."""
    if not isinstance(kind, types.BaseTuple):
        return [context.cast(builder, value, kind, _WORD)]
    values = cgutils.unpack_tuple(builder, value, len(kind))
    return [context.cast(builder, one, one_kind, _WORD) for one, one_kind in zip(values, kind)]


def _put_fill_value(context, builder, record: _Call, kind, value) -> None:
    """Store a number as `CALL` has it: an integer of 64 bits, or one or two doubles."""
    kind = types.unliteral(kind)
    record.put("fill_kind", KINDS.index(as_dtype(kind).kind))
    if isinstance(kind, types.Complex):
        number = context.make_complex(builder, kind, value=value)
        parts = [
            context.cast(builder, part, kind.underlying_float, types.float64) for part in (number.real, number.imag)
        ]
    elif isinstance(kind, types.Float):
        parts = [context.cast(builder, value, kind, types.float64)]
    else:
        signed = isinstance(kind, types.Boolean) or kind.signed
        parts = [context.cast(builder, value, kind, types.int64 if signed else types.uint64)]
    for index, part in enumerate(parts):
        record.put("fill_value", part, index)


def _workers(context, builder, kind, value):
    """The number of workers as `CALL` has it: 0 for None, and -1 for a number below 1."""
    word = context.get_value_type(_WORD)
    if isinstance(kind, types.NoneType):
        return word(0)
    number = context.cast(builder, value, kind, _WORD)
    return builder.select(builder.icmp_signed("<", number, word(1)), word(-1), number)


def _allocated(context, builder, kind: types.Array, shape):
    """A new C-contiguous array; `shape` is the address of its extents."""
    word = context.get_value_type(_WORD)
    item = word(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    extents = cgutils.unpack_tuple(builder, builder.load(shape), kind.ndim)
    strides = [item]
    for extent in reversed(extents[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    size = builder.mul(strides[0], extents[0])
    block = context.nrt.meminfo_alloc_aligned(builder, size, context.get_preferred_array_alignment(kind.dtype))
    array = cgutils.create_struct_proxy(kind)(context, builder)
    data = builder.bitcast(context.nrt.meminfo_data(builder, block), context.get_data_type(kind.dtype).as_pointer())
    arrayobj.populate_array(array, data=data, shape=extents, strides=strides, itemsize=item, meminfo=block)
    return array._getvalue()
