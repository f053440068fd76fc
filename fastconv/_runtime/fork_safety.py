"""Fork safety: no child starts with a lock that another thread of its parent holds.

That thread does not exist in the child, so the lock would never be released. Before a fork, the forking thread acquires
all locks that a convolution may hold: that for importing Numba, and those of Numba and LLVM for compiling. So a fork
waits for an import or a compilation in another thread: some seconds, and half a minute at most.

The modules that own or take such locks register them, with ranks that define the order of acquisition.
"""

from __future__ import annotations

# `concurrent.futures.thread` and `logging`, which Numba imports, have fork hooks of their own. Before a fork, hooks run
# in reverse order of registration: earlier ones hold no lock while ours wait. Of those registered while ours wait, by
# an import that ends then, only the second half would run.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastconv._runtime.signals import deferred, send_later

# A thread that holds a lock may only acquire locks of higher rank.
RANKS = PATCH, IMPORT, COMPILATION, LLVM, CACHE = range(5)

# By rank, a function that returns the lock, or None while there is none.
_getters: dict[int, Callable[[], Any]] = {}
# Seconds that a fork waits for all locks: the holder of one may itself wait for a lock of the forking thread.
TIMEOUT = 30.0


def register(get_lock: Callable[[], Any], rank: int) -> None:
    """Make every fork acquire the lock that `get_lock` returns at that time, if it is not None.

    The lock must be reentrant: a signal handler may fork in the middle of a compilation.
    """
    _getters[rank] = get_lock


def new_lock(rank: int) -> threading.RLock:
    """Create a reentrant lock and register it."""
    lock = threading.RLock()
    register(lambda: lock, rank)
    return lock


def locks() -> Iterator[Any]:
    """Yield the existing locks by rank, each looked up when its turn comes: imports may end during the wait."""
    for rank in RANKS:
        lock = _getters[rank]() if rank in _getters else None
        if lock is not None:
            yield lock


# Held during the import of the engines and Numba: a child cannot release the lock of a half-imported module.
import_lock = new_lock(IMPORT)


class _Fork:
    """The locks acquired by the forking thread, and the signals received meanwhile."""

    def __init__(self) -> None:
        self.acquired: list[Any] = []
        self.received: list[int] = []


class _Forks(threading.local):
    """The forks under way in this thread, nested if a signal handler forks during the wait."""

    def __init__(self) -> None:
        self.under_way: list[_Fork] = []


forks = _Forks()


def before_fork() -> None:
    fork = _Fork()
    forks.under_way.append(fork)
    deadline = time.monotonic() + TIMEOUT
    with deferred(fork.received.extend):  # Python ignores an exception of a handler in a fork hook, and forks anyway
        for lock in locks():
            if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                fork.acquired.append(lock)


def after_in_parent() -> None:
    if forks.under_way:  # empty if this module was imported during the fork
        fork = forks.under_way.pop()
        for lock in reversed(fork.acquired):
            lock.release()
        send_later(fork.received)  # in a hook, the exception of a handler would be lost


def after_in_child() -> None:
    # A C program may have forked and called only this hook.
    acquired = forks.under_way.pop().acquired if forks.under_way else []
    for lock in reversed([*locks()]):
        if lock in acquired:
            lock.release()
        else:
            lock._at_fork_reinit()  # as `threading` and `logging` reset theirs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_parent=after_in_parent, after_in_child=after_in_child)
