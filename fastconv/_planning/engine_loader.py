"""Import of the engines at first use: with them comes Numba, which costs a third of a second."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from fastconv._runtime import fork_safety
from fastconv._runtime.signals import deferred


class Engines(NamedTuple):
    """Modules of `_engines`."""

    direct: ModuleType
    layout: ModuleType
    overlap_save: ModuleType
    pixel_separable: ModuleType
    scheduler: ModuleType
    separable: ModuleType


_engines: Engines | None = None


def load() -> Engines:
    """Import all engines atomically: signals are deferred and forks wait."""
    global _engines
    if _engines is None:
        with fork_safety.importing, deferred():
            from fastconv._engines import direct, layout, overlap_save, pixel_separable, scheduler, separable

            _engines = Engines(direct, layout, overlap_save, pixel_separable, scheduler, separable)
    return _engines
