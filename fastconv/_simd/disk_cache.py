"""Disk cache of compiled kernels, keyed on everything that the machine code depends on.

Why not ``@njit(cache=True)``: Numba's cache checks the file that defines the function but not the files of functions
that it calls, raises if no folder is writable, and raises on a damaged file. Here one file holds one kernel. Its name
is a digest of sources, versions, processor and signature, so that different versions, processors and Pythons can share
a folder (`cache_folder`). After any failure the kernel is compiled.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pickle
import pkgutil
import sys
from collections.abc import Sequence
from types import CodeType
from typing import Any, Callable

import llvmlite
import numba
from numba.core import config
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from fastconv._runtime.cache_folder import counts, store
from fastconv._runtime.instrumentation import overrides

# The machine code of kernels depends on all modules of these folders, and on these files.
_KERNEL_FOLDERS = ("_microkernels", "_simd")
_KERNEL_FILES = ("_model/flat_windows.py", "_model/geometry.py", "_model/guarantees.py")


class KernelCache:
    """Numba's cache interface: load and save the compilation of one function, with or without the GIL."""

    def __init__(self, function: Callable, nogil: bool = False):
        self._name, self._module, self._nogil = function.__name__, function.__module__, nogil

    def load_overload(self, signature, target_context) -> CompileResult | None:
        name = self._file(signature)
        anew = overrides.recompiled is not None and overrides.recompiled(self._name)
        payload = None if name is None or anew else store().load(name)
        if payload is None:
            return None
        try:
            result = CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # a damaged file: compile
            return None
        counts["loaded"] += 1
        return result

    def save_overload(self, signature, result: CompileResult) -> None:
        counts["compiled"] += 1
        name = self._file(signature)
        if name is None:
            return
        try:
            store().save(name, dumps(result._replace(type_annotation="")._reduce()))  # it takes 10 ms to write
            counts["saved"] += 1
        except Exception:  # disk full, folder deleted: the kernel in memory is still valid
            return

    def _file(self, signature) -> str | None:
        sources = source_digest()
        if store().folder is None or sources is None:
            return None
        abi = getattr(sys, "abiflags", "")  # Windows has none
        versions = numba.__version__, llvmlite.__version__, sys.version, abi
        options = config.OPT, config.DEBUGINFO_DEFAULT, config.DEBUG_JIT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE
        processor = cpu_target.target_context.codegen().magic_tuple()
        key = repr((sources, versions, options, self._nogil, processor, self._module, str(signature)))
        return f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def has_sources() -> bool:
    """True if the sources of kernels, or their bytecode, can be read; otherwise nothing is cached."""
    return source_digest() is not None


@functools.cache
def source_digest() -> str | None:
    """Return the digest of all kernel sources; None if neither a source nor its bytecode can be read."""
    names = kernel_sources()
    return digest_of(names) if names else None


def digest_of(names: Sequence[str]) -> str | None:
    """Return the digest of source files, given as paths below the package; None if one cannot be read at all."""
    digest = hashlib.sha256()
    for name in names:
        content = source(name) or bytecode(name)
        if content is None:
            return None
        digest.update(content)
    return digest.hexdigest()


def kernel_sources() -> list[str]:
    """List the source files of compiled code, as paths below the package; empty if they are unknown."""
    names = [*_KERNEL_FILES]
    for folder in _KERNEL_FOLDERS:
        found = _files(folder)
        if not found:  # a loader that cannot list modules
            return []
        names += found
    return sorted(names)


def _files(folder: str) -> list[str]:
    """List the modules in a folder and those below it, except packages, as paths below `fastconv`."""
    spec = importlib.util.find_spec("fastconv." + folder.replace("/", "."))
    paths = spec.submodule_search_locations if spec else None
    found = []
    for module in pkgutil.iter_modules([*paths] if paths else []):
        path = f"{folder}/{module.name}"
        found += _files(path) if module.ispkg else [f"{path}.py"]
    return found


def source(name: str) -> bytes | None:
    try:
        return pkgutil.get_data("fastconv", name)  # also from a zip
    except OSError:  # installed as bytecode only, or frozen into a program
        return None


def bytecode(name: str) -> bytes | None:
    """Return the bytecode of a source file in a reproducible form."""
    module = "fastconv." + name.removesuffix(".py").replace("/", ".")
    try:
        code = importlib.util.find_spec(module).loader.get_code(module)  # type: ignore[union-attr]
    except (AttributeError, ImportError, ValueError):  # no loader, or one without `get_code`
        return None
    return None if code is None else repr(canonical(code)).encode()


def canonical(value: Any) -> Any:
    """Convert code, or a constant of it, to an object whose `repr` is the same in every process.

    Paths and line numbers are left out. `marshal` is unsuitable: its output depends on reference counts.
    """
    if isinstance(value, CodeType):
        return tuple(canonical(getattr(value, name)) for name in _CODE_ATTRIBUTES if hasattr(value, name))
    if isinstance(value, tuple):
        return tuple(map(canonical, value))
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return value


# The attributes of a code object that determine its behaviour.
_CODE_ATTRIBUTES = (
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
