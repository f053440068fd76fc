"""Memory-mapped files (`numpy.memmap`): release their pages during a call, and recognize two maps of one file.

Touched pages of a mapped file count as memory of the process until the system reclaims them, which may be too late if
the file is larger than the memory limit of a container. Releasing pages loses no data: even modified ones belong to the
file, and are read again at the next access.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any

import numpy as np

from fastconv._runtime.instrumentation import listeners, notify

# Smallest maps, in bytes, whose pages are released: each page costs a fault when it is used again.
LARGE = 1 << 27
# Pages are released when the resident bytes exceed their smallest count by this. Between two checks as many more may be
# added, or one block of each thread with what Linux maps around it, 64 kB for each line.
BUDGET = 8 << 20
# Not private maps (mode 'c'): written data would be lost.
_SHARED_MODES = ("r", "r+", "w+")
# Other systems do not document what the advice does.
_SUPPORTED = sys.platform == "linux" and hasattr(mmap, "MADV_DONTNEED")


class Mapped:
    """The memory maps that hold the arrays of a call."""

    def __init__(self, maps: list[mmap.mmap], size: int):
        self.maps, self._size = maps, size
        self._least: int | None = None  # smallest number of resident bytes after a release

    def turn(self, pieces: int, threads: int) -> int:
        """Return how many pieces of a job each thread may process between two calls of `release_pages`."""
        return max(1, pieces * BUDGET // (self._size * threads))

    def release_pages(self) -> None:
        """Release all pages of the maps if many are resident."""
        found = _resident()
        if found is not None and self._least is not None and found < self._least + BUDGET:
            return
        for each in self.maps:
            try:
                each.madvise(mmap.MADV_DONTNEED)
            except (OSError, ValueError):  # locked pages, or not supported by the file system: stop trying
                self.maps = []
        if listeners:
            notify("release", maps=len(self.maps))
        found = _resident()
        if found is not None:  # not 0: other threads are using pages again
            self._least = found if self._least is None else min(found, self._least)


def _resident() -> int | None:
    """Return the resident bytes of files in this process; None if the system does not report them."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * mmap.PAGESIZE
    except OSError:
        return None


def mapped(*arrays: np.ndarray) -> Mapped | None:
    """Return the maps of arrays in mapped files; None if there are none, or they are small."""
    found: dict[int, mmap.mmap] = {}
    size = 0
    if _SUPPORTED:
        for array in arrays:
            source = _map_of(array)
            if source is not None:
                found[id(source)] = source
                size += array.nbytes
    return Mapped(list(found.values()), size) if size >= LARGE else None


def _map_of(array: Any) -> mmap.mmap | None:
    """Return the shared map that holds an array; None if there is none."""
    mode = None  # of the memmap that owns the memory, the last in the chain of views
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            mode = array.mode
        array = array.base
    return array if isinstance(array, mmap.mmap) and mode in _SHARED_MODES else None


def may_share_memory(one: np.ndarray, other: np.ndarray) -> bool:
    """True if two arrays may overlap in memory, or are of the same mapped file."""
    if np.may_share_memory(one, other):
        return True
    file = _file_of(one)
    return file is not None and file == _file_of(other)


def _file_of(array: Any) -> Any:
    """What identifies the mapped file of an array; None if it has none, or a nameless one."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.filename is not None:
            try:
                found = os.stat(array.filename)
            except OSError:  # deleted meanwhile
                return array.filename
            return found.st_dev, found.st_ino
        array = array.base
    return None
