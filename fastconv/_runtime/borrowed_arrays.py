"""Memory of callers' arrays: kept where it is during a call, and let go of after it.

Functions that are called from outside take a view of each array first (``array.view()``), since other threads may set
the shape, strides or dtype of the array itself at any moment, and read nothing of it after that.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np


def pinned(*arrays: np.ndarray) -> list[weakref.ref]:
    """Weak references that keep the owners of these views' memory from being resized, as long as they exist.

    ``owner.resize(n, refcheck=False)`` moves the memory whatever views there are, but refuses if there is a weak
    reference. References of ours that stay would do the same to a caller's own ``resize``.
    """
    references = []
    for array in arrays:
        owner = array.base
        while isinstance(owner, np.ndarray):
            references.append(weakref.ref(owner))
            owner = owner.base
    return references


class _Memory:
    """Whatever has this interface, `numpy.asarray` makes an array of that holds no reference to the memory's owner."""

    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]):
        self.__array_interface__ = interface


def lent(array: np.ndarray) -> np.ndarray:
    """Non-owning byte view of `array`, with its shape and strides; the caller keeps the memory alive.

    A worker may come, and leave, when the work is done and the caller has its arrays back: to resize them, or to close
    the shared memory that they lie in, which fails as long as somebody holds a view.
    """
    # Not by `array.ctypes`: NumPy imports that at its first use, which may be when the interpreter is on its way out.
    address, _ = array.__array_interface__["data"]
    place = {"data": (address, False), "shape": array.shape, "strides": array.strides}
    return np.asarray(_Memory({"version": 3, "typestr": "|u1", **place}))
