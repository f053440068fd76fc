"""Whole namespaces: what a replacement module does not have is looked up in the original, at first use."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Callable

from fastconv._runtime.lazy_modules import directory


def completed(module: str, original: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a module that falls back to `original` (PEP 562)."""

    def getattribute(name: str) -> Any:
        missing = f"module {module!r} has no attribute {name!r}"
        if not (name.startswith("__") and name.endswith("__")):
            try:
                return getattr(importlib.import_module(original), name)
            except AttributeError:
                missing += f", nor has {original}"
            except ImportError as error:
                missing += f", and {original} cannot be imported ({error})"
        raise AttributeError(missing, name=name, obj=sys.modules[module])

    def names() -> list[str]:
        try:
            return ["is_native", *dir(importlib.import_module(original))]
        except ImportError:
            return ["is_native"]

    return getattribute, directory(module, names)


def nativeness(module: str) -> Callable[[str], bool]:
    """Return the function `is_native` of a module."""

    def is_native(name: str) -> bool:
        """True if fastconv computes the function or class of this name; False if the original does.

        Parameters
        ----------
        name : str
            A name of the module.

        Returns
        -------
        bool

        Raises
        ------
        AttributeError
            If neither has it.
        """
        if name in sys.modules[module].__all__:
            return True
        getattr(sys.modules[module], name)
        return False

    is_native.__module__ = module
    return is_native
