"""Intrinsics for the floating-point environment of a thread: rounding, denormals, traps."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INT32 = ir.IntType(32)
_INTP = types.intp


@intrinsic
def set_default_float_environment(typingctx):
    """Round to nearest, keep denormals, disable traps; return the state for `restore_float_environment`.

    A library compiled with ``-ffast-math`` makes the thread that loads it, and threads that this one starts later,
    flush denormals to zero, but not other threads: results would depend on the thread that computes a block.
    """

    def codegen(context, builder, signature, args):
        state = context.get_constant(_INTP, 0)
        if _has_mxcsr(builder):
            word = cgutils.alloca_once(builder, _INT32)
            _mxcsr(builder, "stmxcsr", word)
            state = builder.zext(builder.load(word), state.type)
            builder.store(_INT32(0x1F80), word)
            _mxcsr(builder, "ldmxcsr", word)
        elif _has_fpcr(builder):
            state = _fpcr(builder, "get", state.type)
            _fpcr(builder, "set", ir.VoidType(), state.type(0))
        return state

    return _INTP(), codegen


@intrinsic
def restore_float_environment(typingctx, state):
    """Restore the state that `set_default_float_environment` returned."""

    def codegen(context, builder, signature, args):
        if _has_mxcsr(builder):
            word = cgutils.alloca_once(builder, _INT32)
            builder.store(builder.trunc(args[0], _INT32), word)
            _mxcsr(builder, "ldmxcsr", word)
        elif _has_fpcr(builder):
            _fpcr(builder, "set", ir.VoidType(), args[0])
        return context.get_dummy_value()

    return types.void(_INTP), codegen


def _has_mxcsr(builder):
    return builder.module.triple.startswith("x86_64")


def _has_fpcr(builder):
    return builder.module.triple.startswith(("aarch64", "arm64"))


def _mxcsr(builder, name, word):
    address = builder.bitcast(word, cgutils.voidptr_t)
    function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
    builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.sse.{name}"), [address])


def _fpcr(builder, name, result, *arguments):
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    intrinsic_function = cgutils.get_or_insert_function(builder.module, function, f"llvm.aarch64.{name}.fpcr")
    return builder.call(intrinsic_function, arguments)
