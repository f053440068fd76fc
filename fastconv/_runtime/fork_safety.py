"""Forks: a child must not begin with a lock that a thread of its parent holds.

That thread does not exist in the child, so nobody would ever release the lock. Before a fork, the forking thread takes
the locks of all that a convolution may do under one: import Numba, compile, and what Numba and LLVM lock meanwhile. So
a fork waits for the end of an import or a compilation that is under way in another thread: some seconds, and half a
minute at most.
"""

from __future__ import annotations

# `concurrent.futures.thread` and `logging` have hooks of their own, and Numba imports them. Hooks run in reverse: those
# registered before these ones hold no lock while these ones wait. Those registered in between would only have their
# second half run.
import _thread
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from fastconv._runtime.signals import deferred

# Held while the engines, and Numba, are imported: the lock of a module half imported is never released in a child.
importing = threading.RLock()

# The others by the names that they have once their module is there, in the order in which threads take them. All are
# reentrant: a signal handler may fork in the middle of a compilation.
_LOCKS = (
    ("fastconv.compat._patch", "_lock"),
    ("fastconv._runtime.fork_safety", "importing"),
    ("fastconv._simd.compilation", "_lock"),
    ("numba.core.compiler_lock", "global_compiler_lock", "_lock"),
    ("llvmlite.binding.ffi", "lib", "_lock", "_lock"),
    ("fastconv._runtime.result_cache", "_lock"),
)
# How long a fork waits for all of them, in seconds. Whoever holds one may wait for what the forking thread holds.
_PATIENCE = 30.0


def locks() -> Iterator[Any]:
    """The locks that are there; each is looked up when its turn has come, since an import may have ended meanwhile."""
    for module, *names in _LOCKS:
        found: Any = sys.modules.get(module)
        for name in names:
            found = getattr(found, name, None)
        if found is not None:
            yield found


class _Fork:
    """What the forking thread has taken, and the signals that came while it waited."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.received: list[int] = []


class _Forks(threading.local):
    """The forks that this thread is in: a signal handler may fork while it waits for one."""

    def __init__(self) -> None:
        self.under_way: list[_Fork] = []


_forks = _Forks()


def _before() -> None:
    fork = _Fork()
    _forks.under_way.append(fork)
    deadline = time.monotonic() + _PATIENCE
    with deferred(fork.received.extend):  # an exception here is ignored, and the fork goes on
        for lock in locks():
            if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                fork.taken.append(lock)


def _after_in_parent() -> None:
    if _forks.under_way:  # else we were imported while it was
        fork = _forks.under_way.pop()
        for lock in reversed(fork.taken):
            lock.release()
        if fork.received:
            _thread.start_new_thread(_send_again, (fork.received,))  # not `threading`, which waits for it to begin


def _send_again(numbers: list[int]) -> None:
    """Send deferred signals after the fork: an exception of a handler would be lost in a hook."""
    time.sleep(0.005)
    for number in numbers:
        os.kill(os.getpid(), number)


def _after_in_child() -> None:
    # A program in C may have forked, and called this hook alone.
    taken = _forks.under_way.pop().taken if _forks.under_way else []
    for lock in reversed([*locks()]):
        if lock in taken:
            lock.release()
        else:
            lock._at_fork_reinit()  # as `threading` and `logging` do with theirs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
