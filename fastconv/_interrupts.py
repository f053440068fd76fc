"""Ctrl-C, postponed while something is done that must be done whole or not at all.

An interrupted import of Numba cannot be repeated in the same process, and an interrupt in one of LLVM's callbacks into
Python is lost at best, and at worst crashes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """A context at whose end a Ctrl-C that has come in it is handled, as it would have been."""
    handler: Any = signal.getsignal(signal.SIGINT)
    # Only the main thread handles signals; what is ignored, or ends the process, calls no Python.
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    caught: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *arguments: caught.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if caught:
            handler(*caught[0])
