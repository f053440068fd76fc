"""Arrays in files (`numpy.memmap`): what a call has gone over is given back while it runs.

The pages of a mapped file that were touched count as the process's memory until somebody else wants the room. Of a
file larger than what a container may have, that is too late for those who watch. To give pages back loses nothing:
they are the file's, also where they were written to, and come back when they are asked for.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np

# Bytes of maps from which on that is done: what was given back costs a fault of each page when it is used again.
_LARGE = 1 << 27
# Bytes that each look at what there is may find before pages are given back. Between two looks there are as many, or a
# block of each thread and what the kernel maps around it, 64 kB for each of its lines.
_BUDGET = 8 << 20
# Files, and not copies of them: in a private map (mode 'c') what was written would be lost.
_SHARED_MODES = ("r", "r+", "w+")
# What the advice does elsewhere, it does not say.
_KNOWN = sys.platform == "linux" and hasattr(mmap, "MADV_DONTNEED")


class Mapped:
    """The maps that some arrays lie in."""

    def __init__(self, maps: list[mmap.mmap], size: int):
        self._maps, self._size = maps, size
        self._least: int | None = None  # bytes of files that were there at the least, pages having been given back

    def turn(self, pieces: int, threads: int) -> int:
        """How many of so many pieces of a job each thread may take before it calls `look`."""
        return max(1, pieces * _BUDGET // (self._size * threads))

    def look(self) -> None:
        """Give pages back if there are many."""
        found = _resident()
        if found is not None and self._least is not None and found < self._least + _BUDGET:
            return
        for each in self._maps:
            try:
                each.madvise(mmap.MADV_DONTNEED)
            except (OSError, ValueError):  # locked pages, a file system that will not: they stay
                self._maps = []
        found = _resident()
        if found is not None:  # other threads have begun to fetch theirs again
            self._least = found if self._least is None else min(found, self._least)


def _resident() -> int | None:
    """Bytes of files that are in this process's memory; None where nobody tells."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * mmap.PAGESIZE
    except OSError:
        return None


def mapped(*arrays: np.ndarray) -> Mapped | None:
    """The maps of large arrays in files; None if there are none."""
    found: dict[int, mmap.mmap] = {}
    size = 0
    if _KNOWN:
        for array in arrays:
            source = _map_of(array)
            if source is not None:
                found[id(source)] = source
                size += array.nbytes
    return Mapped(list(found.values()), size) if size >= _LARGE else None


def _map_of(array: Any) -> mmap.mmap | None:
    """The map of a file that an array lies in."""
    mode = None  # of the first of the arrays that it is a view of
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            mode = array.mode
        array = array.base
    return array if isinstance(array, mmap.mmap) and mode in _SHARED_MODES else None
