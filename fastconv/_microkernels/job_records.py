"""Records for compiled loops: NumPy structured dtypes whose fields compiled code reads and writes by name.

Numba's own `Record` takes longer to compile, and a `CPointer` to it does not lower. Here a record is an address with
attributes: a scalar field evaluates to its value, a field of raw bytes or a nested record to its address.
"""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model

_BYTE = ir.IntType(8)
_SCALARS = {np.intp: types.intp, np.bool_: types.boolean, np.float64: types.float64}


class Record(types.Type):
    """Numba type of a record's address; a field is one of `_SCALARS`, a number of bytes, or a `Record`."""

    def __init__(self, name: str, fields: Mapping[str, Any]):
        self._types: dict[str, types.Type] = {}
        formats: list[Any] = []
        for field, kind in fields.items():
            if isinstance(kind, Record):
                self._types[field] = kind
                formats.append(kind.dtype)
            elif isinstance(kind, int):
                self._types[field] = types.intp
                formats.append((np.uint8, kind))
            else:
                self._types[field] = _SCALARS[kind]
                formats.append(kind)
        self.dtype: np.dtype = np.dtype({"names": [*fields], "formats": formats}, align=True)
        super().__init__(name)

    def type_of(self, field: str) -> types.Type | None:
        """Type of a field in compiled code; None if there is no such field."""
        return self._types.get(field)

    def is_scalar(self, field: str) -> bool:
        """True if a field is a value and not an address."""
        return self.dtype[field].kind in "ibf"

    def filled(self, fields: Mapping[str, Any]) -> np.ndarray:
        """Create a record with the given values of fields; the others are zero."""
        record = np.zeros((), self.dtype)
        for name, value in fields.items():
            record[name] = value
        return record

    def offset(self, field: str) -> int:
        """Offset of a field in bytes."""
        assert self.dtype.fields is not None
        return self.dtype.fields[field][1]


@register_model(Record)
class _RecordModel(models.PrimitiveModel):
    def __init__(self, manager, record):
        super().__init__(manager, record, _BYTE.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):
    key = Record

    def generic_resolve(self, record, field):
        return record.type_of(field)


def _place(context, builder, record, address, field):
    """Pointer to a field, typed if the field is a scalar."""
    place = builder.gep(address, [ir.IntType(32)(record.offset(field))])
    if record.is_scalar(field):
        place = builder.bitcast(place, context.get_data_type(record.type_of(field)).as_pointer())
    return place


@lower_getattr_generic(Record)
def _get(context, builder, record, address, field):
    place = _place(context, builder, record, address, field)
    if record.is_scalar(field):
        return context.unpack_value(builder, record.type_of(field), place)
    if isinstance(record.type_of(field), Record):
        return place
    return builder.ptrtoint(place, context.get_value_type(types.intp))


@lower_setattr_generic(Record)
def _set(context, builder, signature, args, field):
    record, kind = signature.args
    value = context.cast(builder, args[1], kind, record.type_of(field))
    context.pack_value(builder, record.type_of(field), value, _place(context, builder, record, args[0], field))


def reader(record: Record):
    """Return a function for compiled code that gives record `index` of an array of records at `address`."""

    @intrinsic
    def at(typingctx, address, index):
        def codegen(context, builder, signature, args):
            start = builder.inttoptr(args[0], _BYTE.as_pointer())
            step = context.get_constant(types.intp, record.dtype.itemsize)
            return builder.gep(start, [builder.mul(args[1], step)])

        return record(types.intp, types.intp), codegen

    return at


@intrinsic
def address_of_record(typingctx, record):
    """Address of a record."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], context.get_value_type(types.intp))

    return types.intp(record), codegen
