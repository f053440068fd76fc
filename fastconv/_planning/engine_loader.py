"""The engines, imported when they are first needed: with them comes Numba, which costs a third of a second."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from fastconv._runtime import fork_safety
from fastconv._runtime.signals import deferred


class Engines(NamedTuple):
    """Modules."""

    direct: ModuleType
    layout: ModuleType
    picture_separable: ModuleType
    separable: ModuleType
    sharing: ModuleType
    spectral: ModuleType


_engines: Engines | None = None


def load() -> Engines:
    """The engines; imported whole, whatever is pressed or forked meanwhile."""
    global _engines
    if _engines is None:
        with fork_safety.importing, deferred():
            from fastconv._engines import direct, layout, overlap_save, pixel_separable, scheduler, separable

            _engines = Engines(direct, layout, pixel_separable, separable, scheduler, overlap_save)
    return _engines
