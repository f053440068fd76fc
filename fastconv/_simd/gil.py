"""Intrinsics that release and acquire the GIL."""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INTP = types.intp


@intrinsic
def release_gil(typingctx):
    """Release the GIL; return the thread state for `acquire_gil`."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(context.get_python_api(builder).save_thread(), context.get_value_type(_INTP))

    return _INTP(), codegen


@intrinsic
def acquire_gil(typingctx, state):
    """Acquire the GIL again."""

    def codegen(context, builder, signature, args):
        context.get_python_api(builder).restore_thread(builder.inttoptr(args[0], cgutils.voidptr_t))
        return context.get_dummy_value()

    return types.void(_INTP), codegen
