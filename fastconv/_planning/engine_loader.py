"""The engines, each imported at its first use: Numba takes a third of a second, and an engine some milliseconds."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastconv._runtime import fork_safety
from fastconv._runtime.signals import deferred

if TYPE_CHECKING:  # freezing tools follow these imports too
    from fastconv._engines import layout, scheduler  # noqa: F401
    from fastconv._engines.blocks import direct, scipy_order, separable, sparse  # noqa: F401
    from fastconv._engines.layers import (  # noqa: F401
        channelwise_engine,
        depthwise_upsampling,
        interleaving,
        layer_engine,
        layer_input,
        layer_numpy,
        planewise_engine,
        planewise_gradient,
        spectral_engine,
        weight_gradient,
    )
    from fastconv._engines.missing import missing_samples  # noqa: F401
    from fastconv._engines.pictures import (  # noqa: F401
        magnitudes,
        pixel_separable,
        pyramid_engine,
        separable_magnitudes,
        small_window_engine,
        template_scores,
        window_engine,
    )
    from fastconv._engines.planes import partly_separable, plane_engine, separable_volume  # noqa: F401
    from fastconv._engines.spectra import (  # noqa: F401
        integer_overlap_save,
        overlap_save,
        volume_overlap_save,
        whole_overlap_save,
    )

_ROOMS = {
    "": "layout scheduler",
    ".blocks": "direct scipy_order separable sparse",
    ".layers": "channelwise_engine depthwise_upsampling interleaving layer_engine layer_input layer_numpy "
    "planewise_engine planewise_gradient spectral_engine weight_gradient",
    ".missing": "missing_samples",
    ".pictures": "magnitudes pixel_separable pyramid_engine separable_magnitudes small_window_engine template_scores "
    "window_engine",
    ".planes": "partly_separable plane_engine separable_volume",
    ".spectra": "integer_overlap_save overlap_save volume_overlap_save whole_overlap_save",
}
_PATHS = {name: f"fastconv._engines{room}.{name}" for room, names in _ROOMS.items() for name in names.split()}


class Engines:
    """Modules of `_engines`, each imported when it is first asked for, atomically: signals are deferred, forks wait."""

    def __getattr__(self, name: str) -> ModuleType:
        if name not in _PATHS:
            raise AttributeError(name)
        with compiler_lock(), deferred():
            module = importlib.import_module(_PATHS[name])
        setattr(self, name, module)
        return module


_engines = Engines()


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
    """The engines; Numba is imported if necessary."""
    import_numba()
    return _engines
