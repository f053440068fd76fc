"""Memory of callers' arrays: pin it during a call, and hold no reference to it afterwards.

Public functions first take a view of each array (``array.view()``) and then use only the view: other threads may set
shape, strides or dtype of the array itself at any moment.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np


def pinned(*arrays: np.ndarray) -> list[weakref.ref]:
    """Return weak references that prevent the owners of these views' memory from being resized while they exist.

    ``owner.resize(n, refcheck=False)`` moves the memory despite views, but fails if there is a weak reference. Drop the
    references after the call, or the caller's own ``resize`` fails.
    """
    references = []
    for array in arrays:
        owner = array.base
        while isinstance(owner, np.ndarray):
            references.append(weakref.ref(owner))
            owner = owner.base
    return references


class _Memory:
    """An object that `numpy.asarray` converts to an array without a reference to the owner of the memory."""

    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]):
        self.__array_interface__ = interface


def non_owning_view(array: np.ndarray) -> np.ndarray:
    """Non-owning byte view of `array`, with its shape and strides; the caller keeps the memory alive.

    A late worker may enter a job after the caller's function has returned. If the job held a reference, the caller
    could not resize the array, or close its shared memory.
    """
    # Not `array.ctypes`, which imports a module at first use: impossible while the interpreter shuts down.
    address, _ = array.__array_interface__["data"]
    return array_at(address, np.dtype(np.uint8), array.shape, array.strides)


def for_threads(threads: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Arrays for a job of so many threads: no worker is late where there is none."""
    return arrays if threads == 1 else tuple(map(non_owning_view, arrays))


def array_at(address: int, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """The array at an address; the caller keeps the memory alive."""
    layout = {"data": (address, False), "shape": shape, "strides": strides}
    return np.asarray(_Memory({"version": 3, "typestr": dtype.str, **layout}))
