"""Defer signals during operations that must not be interrupted.

An exception from a signal handler (Ctrl-C, a time limit) during an import of Numba leaves Numba half imported for the
rest of the process; during a callback from LLVM into Python it is lost, or crashes the process.
"""

from __future__ import annotations

import _thread
import collections
import contextlib
import functools
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


@contextlib.contextmanager
def deferred(send: Callable[[list[int]], None] | None = None) -> Iterator[None]:
    """Defer signals that have a Python handler until the context ends, then `send` them, or call their handlers.

    Handlers are replaced and restored one by one, and an original one may raise in between. The others are replaced or
    restored nevertheless, and the exception is raised before the context begins or after it has ended.

    A signal received several times counts once, as pending signals do in POSIX. It is not sent to the process again:
    the wakeup file descriptor of an event loop was written to when it arrived.
    """
    if threading.current_thread() is not threading.main_thread():  # Python runs handlers only there
        yield
        return
    received: list[int] = []
    calls: list[functools.partial] = []
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in signal.valid_signals()}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    ended = False

    def receive(number: int, frame: Any) -> None:
        if not ended:
            if number not in received:
                received.append(number)
                calls.append(functools.partial(handlers[number], number, frame))
            return
        # Still installed: exceptions within microseconds of each other have interrupted the restoration.
        signal.signal(number, handlers[number])
        handlers[number](number, frame)

    def restore() -> None:
        for number, handler in handlers.items():
            if signal.getsignal(number) is receive:  # else the program has set another one
                signal.signal(number, handler)

    try:
        try:
            for number in handlers:
                signal.signal(number, receive)
        except ValueError as error:
            # A C program may run Python in a thread that cannot set handlers. Other errors come from a handler.
            if "main thread" not in str(error):
                raise
        yield
    finally:
        pending: Iterator[Any] = iter(calls if send is None else [received])
        act: Callable[[Any], None] = send or operator.methodcaller("__call__")

        def finish() -> None:
            nonlocal ended
            restore()
            ended = True
            _consume(map(act, pending))

        try:
            raised = _completed(finish)
        finally:
            ended = True
        if raised is not None:
            try:
                raise raised
            finally:
                del raised


def _completed(action: Callable[[], None]) -> BaseException | None:
    """Run `action` again until no signal handler raises in the middle of it; return the last exception."""
    raised = None
    while True:
        try:
            action()
            return raised
        except BaseException as error:
            if raised is not None and error.__context__ is None:
                error.__context__ = raised
            raised = error


def _consume(calls: Iterable[object]) -> None:
    """Exhaust an iterator in C: no signal is handled between taking an item and using it."""
    collections.deque(calls, maxlen=0)


def send_later(numbers: list[int]) -> None:
    """Send deferred signals to this process from another thread, some milliseconds later."""
    if numbers:
        _thread.start_new_thread(_send, (numbers,))  # `threading` would wait for it to start


def _send(numbers: list[int]) -> None:
    time.sleep(0.005)
    for number in numbers:
        os.kill(os.getpid(), number)
