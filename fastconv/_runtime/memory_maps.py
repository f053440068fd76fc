"""Memory-mapped files (`numpy.memmap`): release their pages during a call.

Touched pages of a mapped file count as memory of the process until the system reclaims them. For a file larger than the
memory limit of a container, that may be too late. Releasing pages loses nothing: they belong to the file, also modified
ones, and are read again at the next access.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np

# Bytes of maps from which on pages are released: each costs a page fault when it is used again.
_LARGE = 1 << 27
# Resident bytes above the least count seen, from which on pages are released. Between two checks come as many more, or
# one block of each thread and what Linux maps around it, 64 kB for each line.
_BUDGET = 8 << 20
# Not private maps (mode 'c'): written data would be lost.
_SHARED_MODES = ("r", "r+", "w+")
# Other systems do not document what the advice does.
_SUPPORTED = sys.platform == "linux" and hasattr(mmap, "MADV_DONTNEED")


class Mapped:
    """The maps that the arrays of a call lie in."""

    def __init__(self, maps: list[mmap.mmap], size: int):
        self._maps, self._size = maps, size
        self._least: int | None = None  # smallest number of resident bytes after a release

    def turn(self, pieces: int, threads: int) -> int:
        """Return how many pieces of a job each thread may process between two calls of `release_pages`."""
        return max(1, pieces * _BUDGET // (self._size * threads))

    def release_pages(self) -> None:
        """Release all pages of the maps if many are resident."""
        found = _resident()
        if found is not None and self._least is not None and found < self._least + _BUDGET:
            return
        for each in self._maps:
            try:
                each.madvise(mmap.MADV_DONTNEED)
            except (OSError, ValueError):  # locked pages, or not supported by the file system: stop trying
                self._maps = []
        found = _resident()
        if found is not None:  # not 0: other threads are using pages again
            self._least = found if self._least is None else min(found, self._least)


def _resident() -> int | None:
    """Return the resident bytes of files in this process; None if the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * mmap.PAGESIZE
    except OSError:
        return None


def mapped(*arrays: np.ndarray) -> Mapped | None:
    """Return the maps of those arrays that lie in files; None if they are small or there are none."""
    found: dict[int, mmap.mmap] = {}
    size = 0
    if _SUPPORTED:
        for array in arrays:
            source = _map_of(array)
            if source is not None:
                found[id(source)] = source
                size += array.nbytes
    return Mapped(list(found.values()), size) if size >= _LARGE else None


def _map_of(array: Any) -> mmap.mmap | None:
    """Return the map of a file that an array lies in, if it is a shared one."""
    mode = None  # of the memmap that owns the memory, the last of the chain of views
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            mode = array.mode
        array = array.base
    return array if isinstance(array, mmap.mmap) and mode in _SHARED_MODES else None
