"""A cache of results with one bound in bytes: plans, engines, prepared kernels, tables.

Eviction is by second chance (clock): entries not used since the last pass go first. A hit sets a flag and takes no
lock, so it costs as much as with `functools.lru_cache`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import deque
from typing import Any, Callable, TypeVar

from fastconv._runtime import fork_safety

# Bound on the bytes of all entries. A plan and its engine take some 2 kB each, the spectrum of 31x31 taps 300 kB.
BOUND = 1 << 26
# Bound on the bytes of one value: larger ones would evict most others. The table of a transform of two million
# complex points in double precision takes 32 MB.
LARGEST = 5 * BOUND // 8
# Bytes added for the Python objects of an entry, its key among them: 1400 were measured.
ENTRY = 2048

Function = TypeVar("Function", bound=Callable[..., Any])

# Reentrant: a signal handler may convolve.
lock = fork_safety.new_lock(fork_safety.CACHE)
all_tables: list[dict[tuple, _Entry]] = []
all_entries: deque[_Entry] = deque()  # in the order of eviction
_total = 0
_others: list[Callable[[], None]] = []


class _Entry:
    """A value, and its table and key."""

    __slots__ = ("key", "size", "table", "used", "value")

    def __init__(self, value: Any, table: dict[tuple, _Entry], key: tuple, size: int):
        self.value, self.table, self.key, self.size = value, table, key, size
        self.used = False


class Table:
    """Results by key, in the cache that all tables share.

    The size of an entry is the `nbytes` of the value plus the bytes objects in the key. Values must not grow. Arrays
    shared by two values count twice.
    """

    def __init__(self) -> None:
        self.entries: dict[tuple, _Entry] = {}
        all_tables.append(self.entries)

    def get(self, key: tuple) -> Any:
        """Return the cached value, None if there is none."""
        try:
            entry = self.entries[key]
        except KeyError:
            return None
        entry.used = True
        return entry.value

    def keep(self, key: tuple, value: Any) -> None:
        """Cache a value, unless it is too large."""
        global _total
        size = size_of(value) + sum(len(part) for part in key if type(part) is bytes)
        if size > LARGEST:
            return
        table = self.entries
        entry = _Entry(value, table, key, size + ENTRY)
        dropped = []  # freed after the lock is released
        with lock:
            if key in table:  # another thread was faster
                return
            while all_entries and _total + entry.size > BOUND:
                oldest = all_entries[0]
                if oldest.used:
                    oldest.used = False
                    all_entries.rotate(-1)
                else:
                    # Signal handlers, which may convolve, run after calls: the count must be right before the first.
                    del all_entries[0]
                    _total -= oldest.size
                    oldest.table.pop(oldest.key, None)
                    dropped.append(oldest)
            _total += entry.size
            table[key] = entry
            all_entries.append(entry)


def kept(function: Function) -> Function:
    """Decorate a function of hashable positional arguments to cache its results, which all callers share."""
    table = Table()
    entries = table.entries

    @functools.wraps(function)
    def find(*arguments: Any) -> Any:
        try:
            entry = entries[arguments]
        except KeyError:
            pass
        else:
            entry.used = True
            return entry.value
        value = function(*arguments)
        table.keep(arguments, value)
        return value

    return find  # type: ignore[return-value]


def size_of(value: Any) -> int:
    """Return the bytes of the arrays in a cached value."""
    return getattr(value, "nbytes", 0)


def total() -> int:
    """Return the bytes of all entries, at most `BOUND`."""
    return _total


def also_clears(function: Callable[[], None]) -> Callable[[], None]:
    """Decorate a function that frees memory cached elsewhere; `clear_caches` calls it."""
    _others.append(function)
    return function


def clear_caches() -> None:
    """Free the memory cached between calls: prepared kernels, transform tables, scratch buffers.

    This is never necessary: the cache takes at most 64 MB of a process and evicts the least recently used entries
    first; in addition, each thread has at most 4 MB of scratch memory.

    It may be called at any time, even while other threads convolve: memory in use is freed when they are done. Later
    calls prepare what they need anew, in some 0.1 ms, or more for large kernels.

    Not freed are plans returned by `plan`, which the caller owns, and compiled kernels, which another thread may be
    running.

    See Also
    --------
    warmup : Compile ahead of time.
    show_config : Describe the installation.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.clear_caches()
    """
    global _total
    with lock:
        dropped = [*all_entries]  # freed after the lock is released
        _total = 0
        all_entries.clear()
        for table in all_tables:
            table.clear()
    for clear in _others:
        clear()
    freed = sum(entry.size for entry in dropped)
    del dropped
    if freed > 1 << 20:
        _trim_heap()


def _trim_heap() -> None:
    """Return free memory to the system, in some milliseconds: glibc retains that of arrays of about 100 kB."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # not glibc
            import ctypes

            ctypes.CDLL(None).malloc_trim(0)
