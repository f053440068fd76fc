"""Argument type `View`: any NumPy array as address, extents and strides."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, make_attribute_wrapper, models, register_model, unbox

_INT32 = ir.IntType(32)
_INTP = types.intp


class View(types.Type):
    """Numba type of a NumPy array of any dtype and rank: address, extents and byte strides.

    One signature takes read-only, unaligned, byte-swapped and negatively strided arrays alike.
    """

    def __init__(self):
        super().__init__("View")


view = View()


@register_model(View)
class _ViewModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        members = [("address", _INTP), ("extents", types.CPointer(_INTP)), ("strides", types.CPointer(_INTP))]
        super().__init__(dmm, fe_type, members)


make_attribute_wrapper(View, "address", "address")
make_attribute_wrapper(View, "extents", "extents")
make_attribute_wrapper(View, "strides", "strides")


@intrinsic
def view_of(typingctx, address, extents, strides):
    """The `View` of an array; extents and strides are addresses of integers."""

    def codegen(context, builder, signature, args):
        pointer = context.get_value_type(types.CPointer(_INTP))
        result = cgutils.create_struct_proxy(view)(context, builder)
        result.address = args[0]
        result.extents, result.strides = (builder.inttoptr(table, pointer) for table in args[1:])
        return result._getvalue()

    return view(_INTP, _INTP, _INTP), codegen


@unbox(View)
def _unbox_view(typ, obj, c):
    """Read the fields of the array's C struct behind the object header: data, dimensions, strides.

    Not checked: the engines pass nothing but arrays.
    """
    builder = c.builder
    word = c.context.get_value_type(_INTP)
    fields = builder.bitcast(obj, word.as_pointer())
    header = object.__basicsize__ // (word.width // 8)
    data, dimensions, strides = (builder.load(builder.gep(fields, [_INT32(header + k)])) for k in (0, 2, 3))
    pointer = c.context.get_value_type(types.CPointer(_INTP))
    result = cgutils.create_struct_proxy(typ)(c.context, builder)
    result.address = data
    result.extents = builder.inttoptr(dimensions, pointer)
    result.strides = builder.inttoptr(strides, pointer)
    return NativeValue(result._getvalue())
