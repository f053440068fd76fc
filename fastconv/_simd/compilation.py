"""Compilation of kernels, and the cache of what was compiled.

The only place that knows compiler flags and the processor compiled for.

Two kinds of function come out of here. A *leaf* (`compile_leaf`) is a C function of addresses and integers, known
by its address and called from other compiled code. An *entry* (`compile_entry`) is what Python calls.

Why not ``@njit(cache=True)``: Numba's cache looks at the file that holds the function and not at what it calls
elsewhere, raises where no folder is writable, and raises on a damaged file. Here one file holds one kernel. Its
name is a digest of everything that the machine code depends on, so two versions, processors or Pythons share a
folder (`cache_folder`); and whatever goes wrong with it costs the compilation and nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pickle
import pkgutil
import sys
import threading
from types import CodeType
from typing import Any, Callable, NamedTuple

import llvmlite
import numba
from numba.core import config
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from fastconv._runtime.cache_folder import store
from fastconv._runtime.signals import deferred

# Every file whose text, or code where that is all there is, decides what machine code a kernel becomes.
KERNEL_SOURCES = (
    "_microkernels/batch_index.py",
    "_microkernels/block_loop.py",
    "_microkernels/block_tables.py",
    "_microkernels/direct_tile.py",
    "_microkernels/fft_passes.py",
    "_microkernels/pixel_passes.py",
    "_microkernels/premultiplication.py",
    "_microkernels/progress_counters.py",
    "_microkernels/records.py",
    "_microkernels/rescaling.py",
    "_microkernels/separable_passes.py",
    "_microkernels/tile_loop.py",
    "_microkernels/transfers.py",
    "_model/geometry.py",
    "_simd/compilation.py",
    "_simd/complex_vectors.py",
    "_simd/pixel_vectors.py",
    "_simd/vectors.py",
)

# "contract" lets a product and a sum become one FMA. The rest of fast-math stays off: "nnan" deletes checks for
# NaN, "reassoc" makes the result depend on the shape of the tile. The "numpy" error model spares a branch to an
# exception for each integer division. Nothing is allocated and no array expression is rewritten: to say so saves a
# tenth of the compilation.
_FLAGS = {"fastmath": {"contract"}, "error_model": "numpy", "_nrt": False, "no_rewrites": True}

_lock = threading.RLock()

# For what a kernel calls: a tile of registers must not travel through memory.
inline = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_FLAGS)
# For what several places call, and is long.
outline = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_FLAGS)


class Processor(NamedTuple):
    """What a kernel needs to know of the processor that it is compiled for."""

    name: str
    vector_bytes: int
    registers: int
    fma: bool


@functools.cache
def processor() -> Processor:
    """The processor compiled for; ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` change it."""
    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    enabled = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if "avx512f" in enabled:
        return Processor(name, 64, 32, True)
    if "avx2" in enabled:
        return Processor(name, 32, 16, "fma" in enabled)
    if triple.startswith(("aarch64", "arm64")):
        return Processor(name, 16, 32, True)
    return Processor(name, 16, 16, "fma" in enabled)


def once(make: Callable) -> Callable:
    """A function whose results are kept: threads that want the same at once do not all compile it."""
    kept: dict[tuple, Any] = {}

    @functools.wraps(make)
    def find(*arguments):
        if arguments not in kept:
            with _lock:
                if arguments not in kept:
                    kept[arguments] = make(*arguments)
        return kept[arguments]

    find.cache_clear = kept.clear  # type: ignore[attr-defined]
    return find


def compile_leaf(function: Callable, signature) -> int:
    """Compile `function` for one signature, and return the address of the C function."""
    with _lock, deferred():
        leaf: Any = CFunc(
            function, (signature.args, signature.return_type), locals={}, options={"nopython": True, **_FLAGS}
        )
        leaf._cache = _KernelCache(function)
        leaf.compile()
        _leaves.append(leaf)
        return leaf.address


# An address is only good while the library that it lies in lives.
_leaves: list[Any] = []


def compile_entry(function: Callable, signature, nogil: bool = True) -> Callable:
    """Compile `function` for one signature, and return the Python callable, which runs without the GIL if `nogil`.

    The callable is the compiled wrapper itself. Numba's dispatcher, which sits in front of it elsewhere, would
    look up the types of the arguments at each call, and takes a byte-swapped array for a native one when the
    arrays are read-only.
    """
    with _lock, deferred():
        dispatcher = numba.njit(nogil=nogil, no_cfunc_wrapper=True, **_FLAGS)(function)
        dispatcher._cache = _KernelCache(function)
        dispatcher.compile(signature)
        return dispatcher.overloads[signature.args].entry_point


class _KernelCache:
    """What Numba asks of a cache: load and save the compilation of one function for one signature."""

    def __init__(self, function: Callable):
        self._name, self._module = function.__name__, function.__module__

    def load_overload(self, signature, target_context) -> CompileResult | None:
        name = self._file(signature)
        payload = None if name is None else store().load(name)
        if payload is None:
            return None
        try:
            result = CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever is wrong with a cached file costs the compilation, never the call
            return None
        counts["loaded"] += 1
        return result

    def save_overload(self, signature, result: CompileResult) -> None:
        counts["compiled"] += 1
        name = self._file(signature)
        if name is None:
            return
        try:
            store().save(name, dumps(result._reduce()))
            counts["saved"] += 1
        except Exception:  # a full disk, a folder gone: the kernel in memory is good all the same
            return

    def _file(self, signature) -> str | None:
        sources = _source_digest()
        if store().folder is None or not can_be_kept():
            return None
        versions = (numba.__version__, llvmlite.__version__, sys.version, sys.abiflags, config.OPT)
        processor = cpu_target.target_context.codegen().magic_tuple()
        key = repr((sources, versions, processor, self._module, str(signature)))
        return f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


# How many kernels this process has compiled, how many of them it has saved, and how many it has loaded.
counts = {"compiled": 0, "saved": 0, "loaded": 0}


def can_be_kept() -> bool:
    """Whether it is known what a kernel was compiled from."""
    return _source_digest() is not None


@functools.cache
def _source_digest() -> str | None:
    """Digest of all kernel sources; None where neither they nor their code can be read, and nothing can be cached."""
    digest = hashlib.sha256()
    for name in KERNEL_SOURCES:
        content = _text_of(name) or _code_of(name)
        if content is None:
            return None
        digest.update(content)
    return digest.hexdigest()


def _text_of(name: str) -> bytes | None:
    try:
        return pkgutil.get_data("fastconv", name)  # also from a zip
    except OSError:  # compiled files alone have been installed, or frozen into a program
        return None


def _code_of(name: str) -> bytes | None:
    """What the interpreter has of a file."""
    module = "fastconv." + name.removesuffix(".py").replace("/", ".")
    try:
        code = importlib.util.find_spec(module).loader.get_code(module)  # type: ignore[union-attr]
    except (AttributeError, ImportError, ValueError):  # a loader of its own kind, or none
        return None
    return None if code is None else repr(_described(code)).encode()


def _described(value: Any) -> Any:
    """A constant, or code, as what has the same `repr` wherever and whenever it was compiled.

    That leaves out paths and lines. `marshal` would not do: what it writes depends on how often an object is used.
    """
    if isinstance(value, CodeType):
        return tuple(_described(getattr(value, name)) for name in _PARTS if hasattr(value, name))
    if isinstance(value, tuple):
        return tuple(map(_described, value))
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return value


# Of code, what decides what it does.
_PARTS = (
    "co_name",
    "co_code",
    "co_consts",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_flags",
    "co_exceptiontable",  # since Python 3.11
)


def assembly() -> dict[str, str]:
    """Assembly of the leaves compiled in this process, by name; for looking at, not for the engine."""
    return {f"{leaf.__name__} {leaf._sig}": leaf._library.get_asm_str() for leaf in _leaves}
