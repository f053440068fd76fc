"""Import submodules at first use, as attributes of their package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Callable


def submodules(package: str, names: tuple[str, ...]) -> tuple[Callable[[str], ModuleType], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package with these submodules (PEP 562)."""

    def getattribute(name: str) -> ModuleType:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])

    return getattribute, directory(package, lambda: names)


def directory(module: str, others: Callable[[], Iterable[str]] = tuple) -> Callable[[], list[str]]:
    """Return the `__dir__` of a module: its public names, those with two underscores, and others."""

    def names() -> list[str]:
        own = vars(sys.modules[module])
        return sorted({*own["__all__"], *(name for name in own if name.startswith("__")), *others()})

    return names
