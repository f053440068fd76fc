"""Compile Python functions with Numba: compiler flags, compiled routines, entry points.

A *compiled routine* (`compile_routine`) is a C function of addresses and integers that other compiled code calls by
address. An *entry point* (`compile_entry`) is called from Python. Both are kept on disk by `disk_cache`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Iterator
from typing import Any, Callable

import numba
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from fastconv._runtime.instrumentation import listeners, notify
from fastconv._runtime.signals import deferred
from fastconv._simd.disk_cache import KernelCache
from fastconv._simd.helper_code import HelperCompiler

# "contract" lets a product and a sum become one FMA. The rest of fast-math stays off: "nnan" deletes checks for
# NaN, "reassoc" makes the result depend on the shape of the tile. The "numpy" error model saves a branch to an
# exception for each integer division. Kernels allocate nothing and have no array expressions to rewrite; disabling
# both saves a tenth of the compile time.
_FLAGS = {"fastmath": {"contract"}, "error_model": "numpy", "_nrt": False, "no_rewrites": True}

# Held during every compilation: Numba's own. A compilation of a user's code, which holds it, compiles ours; with two
# locks, a thread with one each would wait for the other.
lock = global_compiler_lock._lock

_HELPER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": HelperCompiler, **_FLAGS}
# Decorator for helpers of kernels: always inlined, so that a tile of registers is not passed through memory.
inline = numba.njit(forceinline=True, **_HELPER)
# Decorator for helpers of a few statements in loops: Numba pastes them into its representation of the caller, where
# they take half as long to compile. For longer ones the copying takes longer than that saves.
paste = numba.njit(inline="always", **_HELPER)
# Decorator for long helpers that are called from several places: LLVM decides.
outline = numba.njit(**_HELPER)


_results: list[dict[tuple, Any]] = []


def once(make: Callable) -> Callable:
    """Cache the results of `make`; concurrent calls with the same arguments run it only once."""
    results: dict[tuple, Any] = {}
    _results.append(results)

    @functools.wraps(make)
    def find(*arguments):
        if arguments not in results:
            with lock:
                if arguments not in results:
                    results[arguments] = make(*arguments)
        return results[arguments]

    return find


def forget() -> None:
    """Clear what `once` has cached, so that a test sees what a call compiles."""
    for results in _results:
        results.clear()


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Hold the lock, defer signals, and put off garbage collection, which takes a tenth of a compilation's time."""
    with lock, deferred():
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()


# Keeps the routine objects alive: machine code is freed with its object.
_routines: list[Any] = []


def compile_routine(function: Callable, signature) -> int:
    """Compile `function` for one signature; return the address of the C function."""
    if listeners:
        notify("compile", routine=function.__name__, module=function.__module__, signature=str(signature))
    with _compiling():
        routine: Any = CFunc(
            function, (signature.args, signature.return_type), locals={}, options={"nopython": True, **_FLAGS}
        )
        routine._cache = KernelCache(function)
        routine.compile()
        _routines.append(routine)
        return routine.address


def compile_entry(function: Callable, signature, nogil: bool = True) -> Callable:
    """Compile `function` for one signature; return the Python callable, which releases the GIL if `nogil`.

    The callable is the compiled wrapper itself, without Numba's dispatcher, which looks up the types of the arguments
    at each call and mistakes a read-only byte-swapped array for a native one.
    """
    if listeners:
        notify("compile", routine=function.__name__, module=function.__module__, signature=str(signature))
    with _compiling():
        dispatcher = numba.njit(nogil=nogil, no_cfunc_wrapper=True, **_FLAGS)(function)
        dispatcher._cache = KernelCache(function, nogil)
        dispatcher.compile(signature)
        return dispatcher.overloads[signature.args].entry_point


def assembly() -> dict[str, str]:
    """Return the assembly of the routines compiled in this process by name; those loaded from disk have none."""
    return {f"{routine.__name__} {routine._sig}": routine._library.get_asm_str() for routine in _routines}
