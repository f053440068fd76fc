"""Exceptions that are not about the argument whose conversion raised them: these are passed on as they are."""

from __future__ import annotations

import functools
import signal
import sys
from types import CodeType
from typing import Any

# All others become errors that name the argument.
_ALWAYS = (MemoryError, Warning)


def passed() -> tuple[type[BaseException], ...]:
    """The types for ``except passed(): raise``: that of the exception too, if it is from a signal handler."""
    error = sys.exc_info()[1]
    return (*_ALWAYS, type(error)) if error is not None and is_from_signal_handler(error) else _ALWAYS


def is_from_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler, which may run anywhere, raised an exception: a time limit, for instance."""
    codes = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    """The code of a function, a method, a partial one, or an object that is called; None of others."""
    try:
        while isinstance(handler, functools.partial):
            handler = handler.func
        function = handler if hasattr(handler, "__code__") else type(handler).__call__
        return function.__code__
    except Exception:  # not written in Python, or with attributes that raise
        return None
