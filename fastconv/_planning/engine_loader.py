"""Import the engines at first use: they import Numba, which takes a third of a second."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NamedTuple

from fastconv._runtime import fork_safety
from fastconv._runtime.signals import deferred


class Engines(NamedTuple):
    """Modules of `_engines`."""

    direct: ModuleType
    integer_overlap_save: ModuleType
    layout: ModuleType
    magnitudes: ModuleType
    missing_samples: ModuleType
    overlap_save: ModuleType
    partly_separable: ModuleType
    pixel_separable: ModuleType
    plane_engine: ModuleType
    pyramid_engine: ModuleType
    scipy_order: ModuleType
    scheduler: ModuleType
    separable: ModuleType
    separable_magnitudes: ModuleType
    separable_volume: ModuleType
    small_window_engine: ModuleType
    sparse: ModuleType
    template_scores: ModuleType
    volume_overlap_save: ModuleType
    whole_overlap_save: ModuleType
    window_engine: ModuleType


_engines: Engines | None = None


def _lock_of(module: str, *names: str) -> Any:
    """Look up a lock in a module that may not have been imported, or only in part."""
    found: Any = sys.modules.get(module)
    for name in names:
        found = getattr(found, name, None)
    return found


def _compiler_lock() -> Any:
    """Numba's lock for compilation; None before Numba is imported."""
    return _lock_of("numba.core.compiler_lock", "global_compiler_lock", "_lock")


# Registered immediately: another part of the program may import Numba, and compile, before the engines do.
fork_safety.register(_compiler_lock, fork_safety.COMPILATION)
fork_safety.register(lambda: _lock_of("llvmlite.binding.ffi", "lib", "_lock", "_lock"), fork_safety.LLVM)


def import_numba() -> None:
    """Import Numba atomically, unless it is imported."""
    if _lock_of("numba", "__spec__", "_initializing") is not False:
        with fork_safety.import_lock, deferred():
            import numba.core.compiler_lock  # noqa: F401


def compiler_lock() -> Any:
    """Numba's lock for compilation; Numba is imported if necessary.

    A thread that compiles a user's code holds this lock when it needs the engines, and must not wait for the import
    lock then, which has a lower rank: another thread may fork, which acquires that one first.
    """
    import_numba()
    return _compiler_lock()


def load() -> Engines:
    """Import all engines atomically: signals are deferred and forks wait."""
    global _engines
    if _engines is None:
        with compiler_lock(), deferred():
            from fastconv._engines import layout, scheduler
            from fastconv._engines.blocks import direct, scipy_order, separable, sparse
            from fastconv._engines.missing import missing_samples
            from fastconv._engines.pictures import (
                magnitudes,
                pixel_separable,
                pyramid_engine,
                separable_magnitudes,
                small_window_engine,
                template_scores,
                window_engine,
            )
            from fastconv._engines.planes import partly_separable, plane_engine, separable_volume
            from fastconv._engines.spectra import (
                integer_overlap_save,
                overlap_save,
                volume_overlap_save,
                whole_overlap_save,
            )

            _engines = Engines(
                direct,
                integer_overlap_save,
                layout,
                magnitudes,
                missing_samples,
                overlap_save,
                partly_separable,
                pixel_separable,
                plane_engine,
                pyramid_engine,
                scipy_order,
                scheduler,
                separable,
                separable_magnitudes,
                separable_volume,
                small_window_engine,
                sparse,
                template_scores,
                volume_overlap_save,
                whole_overlap_save,
                window_engine,
            )
    return _engines
