"""Signals, withheld while something is done that must be done whole or not at all.

What a handler raises (Ctrl-C, a time limit) in an import of Numba leaves it half imported for the rest of the process;
in one of LLVM's callbacks into Python it is lost at best, and at worst crashes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Signal(NamedTuple):
    """A signal that has come, and what is to be done with it."""

    handler: Callable[..., Any]
    number: int
    frame: Any


@contextlib.contextmanager
def withheld() -> Iterator[list[Signal]]:
    """A context in which signals are not handled but noted: those that call Python."""
    if threading.current_thread() is not threading.main_thread():  # no other handles signals
        yield []
        return
    caught: list[Signal] = []
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in signal.valid_signals()}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def note(number: int, frame: Any) -> None:
        caught.append(Signal(handlers[number], number, frame))

    try:
        for number in handlers:
            signal.signal(number, note)
    except ValueError:  # a program in C has Python in a thread that handles no signals, whatever it is called
        handlers.clear()
    try:
        yield caught
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """A context at whose end the signals that have come in it are handled."""
    caught: list[Signal] = []
    try:
        with withheld() as caught:
            yield
    finally:
        with contextlib.ExitStack() as handled:  # each of them, whatever another raises
            for each in reversed(caught):
                handled.callback(each.handler, each.number, each.frame)
