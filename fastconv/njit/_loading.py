"""Routines for users' compiled code: provided before that is linked, also if Numba loads it from its cache on disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from typing import Any

import llvmlite.binding
import numpy as np

from fastconv._planning import engine_loader
from fastconv._runtime.signals import deferred
from fastconv._simd import disk_cache
from fastconv._version import VERSION
from fastconv.njit import _sharing

# Users' machine code depends on these sources: on layouts of records, on the numbers of modes and boundaries, and on
# what is inlined.
_SOURCES = (
    "_microkernels/calls/call_records.py",
    "_microkernels/job_records.py",
    "_model/geometry.py",
    "njit/_lowering.py",
    "njit/_numpy_overloads.py",
    "njit/_overloads.py",
    "njit/_requests.py",
)

# By the names of two types, the record of their routines. Compiled code has the addresses: nothing is ever removed.
provided: dict[tuple[str, str], Any] = {}


@functools.cache
def abi() -> str:
    """What identifies the interface between users' compiled code and the routines."""
    return disk_cache.digest_of(_SOURCES) or VERSION


def interface() -> int:
    """The same as a number."""
    return int.from_bytes(hashlib.sha256(abi().encode()).digest()[:7], "little")


def symbol(x: str, kernel: str) -> str:
    """Name of the record of routines for two types, for LLVM.

    It is the same for all interfaces: Numba cannot link code with an unknown name, and ends the process.
    """
    return f"fastconv_{x}_{kernel}"


class Requirement:
    """A constant of a user's compiled function: to unpickle it provides the routines that the function calls.

    Numba pickles constants with a function that it caches on disk, and unpickles them before it links that. This also
    holds for a function that is called by a cached one.
    """

    def __init__(self, x: str, kernel: str):
        self._names = x, kernel

    def __reduce__(self):
        return require, (abi(), *self._names)


def require(compiled_for: str, x: str, kernel: str) -> Requirement:
    """Provide the routines for two types, for code that was compiled for an interface.

    Users' caches refer to this function by its name, which must stay. The error of another interface is an OSError,
    which Numba takes for a missing file: it compiles the user's function again.
    """
    if compiled_for != abi():
        _ignore_cached_wrappers()
        raise FileNotFoundError(f"compiled for another version of fastconv: {compiled_for}, not {abi()}")
    if (x, kernel) not in provided:
        # Not `load`: the other engines, which no call may need, take longer to import than all of this.
        with engine_loader.compiler_lock(), deferred():
            from fastconv._engines.calls import call_routines

        dtypes = np.dtype(x), np.dtype(kernel)
        share = _sharing.sharing(*dtypes)
        record = call_routines.routines(*dtypes, interface(), share)
        llvmlite.binding.add_symbol(symbol(x, kernel), record.ctypes.data)
        provided[x, kernel] = record, share
    return Requirement(x, kernel)


def _ignore_cached_wrappers() -> None:
    """Make Numba compile the wrappers of generalized ufuncs again in this process.

    It caches them apart from the functions in them, and would use them after it has compiled such a function again.
    If it could not do without them, they would raise an error: see `_lowering`.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from numba.np.ufunc.wrappers import GufWrapperCache

        GufWrapperCache.load_overload = lambda self, *arguments: None
