"""Scratch memory of engines: a buffer that each thread keeps between calls, since new memory costs page faults."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator

import numpy as np

from fastconv._runtime.bounded_cache import also_clears
from fastconv._runtime.instrumentation import listeners, notify, overrides

Scratch = tuple[int, int, "np.ndarray | None"]  # a buffer's size, its address, and the buffer
_NO_SCRATCH: Scratch = (-1, 0, None)
# Bytes of the largest buffer that a thread keeps.
KEPT_SCRATCH = 1 << 22


class _Kept:
    """Scratch buffer that a thread keeps between calls; a call holds its own reference while it uses the buffer."""

    __slots__ = ("__weakref__", "scratch")

    def __init__(self) -> None:
        self.scratch = _NO_SCRATCH
        all_kept.add(weakref.ref(self, all_kept.discard))


all_kept: set[weakref.ref[_Kept]] = set()


class _Thread(threading.local):
    """What each thread keeps: the buffer apart from it, so that `free_scratch` reaches those of all threads."""

    def __init__(self) -> None:
        self.kept = _Kept()


thread = _Thread()


@also_clears
def free_scratch() -> None:
    """Free the buffers of all threads; one in use is freed when its call ends."""
    for reference in all_kept.copy():
        kept = reference()
        if kept is not None:
            kept.scratch = _NO_SCRATCH


@contextlib.contextmanager
def lent_scratch(size: int) -> Iterator[np.ndarray]:
    """Lend `size` bytes of this thread's scratch buffer; a signal handler that convolves meanwhile takes another."""
    kept = thread.kept
    scratch, kept.scratch = kept.scratch, _NO_SCRATCH
    if scratch[0] < size:
        scratch = new_scratch(size)
        kept.scratch = _NO_SCRATCH
    _, address, buffer = scratch
    assert buffer is not None
    try:
        yield buffer[address - buffer.ctypes.data :][:size]
    finally:
        if size <= KEPT_SCRATCH and overrides.scratch is None:
            kept.scratch = scratch


def new_scratch(size: int) -> Scratch:
    """Allocate a buffer of at least `size` bytes; keep it for the thread's next call unless it is large."""
    if overrides.scratch is not None:
        buffer = overrides.scratch(size)
        return size, buffer.ctypes.data, buffer
    buffer = np.empty(size + 64, np.uint8)
    scratch = (size, -(-buffer.ctypes.data // 64) * 64, buffer)
    if size <= KEPT_SCRATCH:
        thread.kept.scratch = scratch
    if listeners:
        notify("scratch", buffer=buffer)
    return scratch
