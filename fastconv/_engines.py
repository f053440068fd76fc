"""The engines, imported when they are first needed: with them comes Numba, which costs a third of a second."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from fastconv import _forks
from fastconv._interrupts import deferred


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
        with _forks.importing, deferred():
            from fastconv import _direct, _layout, _picture_separable, _separable, _sharing, _spectral

            _engines = Engines(_direct, _layout, _picture_separable, _separable, _sharing, _spectral)
    return _engines
