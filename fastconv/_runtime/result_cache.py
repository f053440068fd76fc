"""Results that are kept for later calls, under one bound in bytes: plans, engines, prepared kernels, tables.

Entries are dropped by second chance: those that were not used since they were last looked at go first. A hit sets a
flag and takes no lock, so it costs what `functools.lru_cache` costs.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import deque
from typing import Any, Callable, TypeVar

from fastconv._runtime import fork_safety

# Bytes of all entries: a plan of some 2 kB and its engine of as much, or a spectrum of 31x31 taps of 300 kB.
BOUND = 1 << 26
# Bytes of a value, beyond which it is not kept: it would drive most others out. A table of 32 MB is that of a transform
# of two million complex points in double precision.
LARGEST = 5 * BOUND // 8
# Bytes of an entry without its arrays, keys and other Python objects: 1400 were measured.
ENTRY = 2048

Function = TypeVar("Function", bound=Callable[..., Any])

# Reentrant: a signal handler may convolve.
_lock = fork_safety.new_lock(fork_safety.CACHE)
_tables: list[dict[tuple, _Entry]] = []
_entries: deque[_Entry] = deque()  # in the order in which they are looked at
_total = 0
_others: list[Callable[[], None]] = []


class _Entry:
    """A value, and where it stands."""

    __slots__ = ("key", "size", "table", "used", "value")

    def __init__(self, value: Any, table: dict[tuple, _Entry], key: tuple, size: int):
        self.value, self.table, self.key, self.size = value, table, key, size
        self.used = False


def kept(function: Function) -> Function:
    """Decorate a function of hashable positional arguments: its results are kept, and shared by all callers.

    A value is as large as its `nbytes` says, and as the bytes objects among its arguments are. It must not grow later.
    What two values have in common counts twice.
    """
    table: dict[tuple, _Entry] = {}
    _tables.append(table)

    @functools.wraps(function)
    def find(*arguments: Any) -> Any:
        try:
            entry = table[arguments]
        except KeyError:
            pass
        else:
            entry.used = True
            return entry.value
        value = function(*arguments)
        _keep(value, table, arguments)
        return value

    return find  # type: ignore[return-value]


def _keep(value: Any, table: dict[tuple, _Entry], key: tuple) -> None:
    global _total
    size = size_of(value) + sum(len(part) for part in key if type(part) is bytes)
    if size > LARGEST:
        return
    entry = _Entry(value, table, key, size + ENTRY)
    dropped = []  # and freed without the lock
    with _lock:
        if key in table:  # another thread was faster
            return
        while _entries and _total + entry.size > BOUND:
            oldest = _entries[0]
            if oldest.used:
                oldest.used = False
                _entries.rotate(-1)
            else:
                dropped.append(oldest)
                oldest.table.pop(oldest.key, None)
                _entries.popleft()
                _total -= oldest.size
        _entries.append(entry)
        _total += entry.size
        table[key] = entry


def size_of(value: Any) -> int:
    """Bytes of the arrays in a value that is kept."""
    return getattr(value, "nbytes", 0)


def total() -> int:
    """Bytes of all entries; never more than `BOUND`."""
    return _total


def also_clears(function: Callable[[], None]) -> Callable[[], None]:
    """Decorate a function that frees what is kept in another way; `clear_caches` calls it."""
    _others.append(function)
    return function


def clear_caches() -> None:
    """Free what is kept from call to call: prepared kernels, tables of transforms, scratch buffers.

    Nobody has to call it. What is kept takes at most 64 MB in a process, the least recently used is dropped first, and
    each thread has at most 4 MB of scratch beside that.

    It may be called at any time, also while other threads convolve: what they use is freed when they are done. The next
    calls prepare what they need again, in some 0.1 ms, or more for large kernels.

    Not freed are plans that `plan` has returned, which are the caller's, and compiled kernels, which another thread may
    be running.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.clear_caches()
    """
    global _total
    with _lock:
        dropped = [*_entries]  # and freed without the lock
        for table in _tables:
            table.clear()
        _entries.clear()
        _total = 0
    for clear in _others:
        clear()
    freed = sum(entry.size for entry in dropped)
    del dropped
    if freed > _WORTH_A_TRIM:
        _give_back()


_WORTH_A_TRIM = 1 << 20


def _give_back() -> None:
    """Return free memory to the system: glibc keeps that of arrays of some 100 kB. It takes some milliseconds."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # another C library has no such function
            import ctypes

            ctypes.CDLL(None).malloc_trim(0)
