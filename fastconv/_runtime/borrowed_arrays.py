"""Memory of callers' arrays: pin it during a call, and hold no reference to it afterwards.

Public functions first take a view of each array (``array.view()``) and then use only the view: other threads may set
shape, strides or dtype of the array itself at any moment.
"""

from __future__ import annotations

import ctypes
import sys
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


# All memory from address 1 on, as a buffer for `numpy.ndarray`, which takes one at address 0 for none.
_MEMORY: Any = (ctypes.c_ubyte * (sys.maxsize - 1)).from_address(1)
_BYTE = np.dtype(np.uint8)


def non_owning_view(array: np.ndarray) -> np.ndarray:
    """Non-owning byte view of `array`, with its shape and strides; the caller keeps the memory alive.

    A late worker may enter a job after the caller's function has returned. If the job held a reference, the caller
    could not resize the array, or close its shared memory.
    """
    # Not `array.ctypes`, which imports a module at first use: impossible while the interpreter shuts down.
    address, _ = array.__array_interface__["data"]
    return array_at(address, _BYTE, array.shape, array.strides)


def for_threads(threads: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Arrays for a job of so many threads: no worker is late where there is none."""
    return arrays if threads == 1 else tuple(map(non_owning_view, arrays))


def array_at(address: int, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """The array at an address; the caller keeps the memory alive."""
    return np.ndarray(shape, dtype, _MEMORY, address - 1, strides)
