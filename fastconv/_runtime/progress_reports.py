"""Progress of a call: a function of the caller's, called in its thread while the work goes on.

Whatever it raises stops the work, as Ctrl-C does, and comes out of the call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

from fastconv._model.message_formatting import shown

Progress = Callable[[int, int], object]

# The whole of a call. How much is done is an estimate, which never decreases.
TOTAL = 1000
# Seconds between two calls of the function, at least.
_PERIOD = 0.02
# The share of what is left that the next job is taken for: others, which repair or refine its results, may follow.
_SHARE = 0.9


class Report:
    """A function to call, and how much is done."""

    __slots__ = ("_callback", "_done", "_high", "_job", "_last", "_low")

    def __init__(self, callback: Progress):
        self._callback, self._done, self._low, self._high = callback, 0.0, 0.0, float(TOTAL)
        self._job: Any = None
        self._last = 0.0

    def tell(self, job: Any, finished: int, pieces: int) -> None:
        """Tell how many pieces of a job are finished."""
        if job is not self._job:
            self._job, self._low = job, self._done
        self._done = max(self._done, self._low + _SHARE * (self._high - self._low) * min(1.0, finished / pieces))
        self.tick()

    def tick(self) -> None:
        """Call the function if it is time to: it may raise."""
        if time.perf_counter() - self._last >= _PERIOD:
            self.call()

    def call(self) -> None:
        """Call the function; convolutions that it computes report nothing."""
        current.report = None
        try:
            self._callback(int(self._done), TOTAL)
        finally:
            current.report = self
            self._last = time.perf_counter()

    @contextlib.contextmanager
    def within(self, low: float, high: float) -> Iterator[None]:
        """Report jobs as a part of what there is to do, from one share of it to another."""
        done, before = self._done, self._high
        room = before - done
        self._done, self._high, self._job = done + low * room, done + high * room, None
        yield
        self._done, self._high, self._job = self._high, before, None


class _Current(threading.local):
    report: Report | None = None


current = _Current()


@contextlib.contextmanager
def reporting(callback: Progress | None) -> Iterator[None]:
    """Report the work of this thread to a function, from 0 to `TOTAL`; None reports nothing.

    Raises
    ------
    TypeError
        For anything else that cannot be called.
    """
    if callback is None:
        yield
        return
    if not callable(callback):
        raise TypeError(f"progress must be None or a function of two integers; got {shown(callback)}")
    outer, report = current.report, Report(callback)
    current.report = report
    try:
        report.call()
        yield
        report._done = float(TOTAL)
        report.call()
    finally:
        current.report = outer


@contextlib.contextmanager
def part(number: int, count: int) -> Iterator[None]:
    """Report the work as one of several parts, which follow each other."""
    report = current.report
    if report is None:
        yield
    else:
        with report.within(0, 1 / (count - number)):
            yield


def tick() -> None:
    """Call the function of this thread, if there is one and it is time to."""
    report = current.report
    if report is not None:
        report.tick()
