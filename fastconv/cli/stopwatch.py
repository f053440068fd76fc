"""Time convolutions, and print what was timed: for the command and its demonstration."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Any

from numpy.typing import NDArray

import fastconv
from fastconv._runtime.cache_folder import counts


class Stopwatch:
    """`fastconv.convolve2d`, timed.

    `first` is the time of the first call, which may have compiled something. `best` is that of the fastest of the
    calls after it: at most `calls`, and only one where they are slow.
    """

    first = best = math.inf

    def __init__(self, calls: int):
        self.calls = calls

    def __call__(self, *args: Any, **kwargs: Any) -> NDArray[Any]:
        self.first, result = self._time(*args, **kwargs)
        stop = time.perf_counter() + 0.2
        for _ in range(self.calls):
            seconds, result = self._time(*args, **kwargs)
            self.best = min(self.best, seconds)
            if time.perf_counter() > stop:
                break
        return result

    @staticmethod
    def _time(*args: Any, **kwargs: Any) -> tuple[float, NDArray[Any]]:
        start = time.perf_counter()
        result = fastconv.convolve2d(*args, **kwargs)
        return time.perf_counter() - start, result

    @property
    def preparation(self) -> float:
        """What the first call took longer than the best."""
        return max(self.first - self.best, 0.0)


def say(text: str) -> None:
    """Print, also a path that stdout has no characters for, or to a pipe that nobody reads any more.

    The work is done by then, and should not end in an error. A line stays a line, whatever characters are in a path.
    """
    text = printable(text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        forget_stdout()


def forget_stdout() -> None:
    """Let what is printed from now on, and what is flushed at exit, go nowhere: nobody reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """The text with escapes for what is no character to print: ends of lines, what moves the cursor, odd bytes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.{3 if seconds < 0.01 else 1}f} ms"


def prepared() -> int:
    """Return the number of kernels that this process has compiled or loaded from the cache."""
    return counts["compiled"] + counts["loaded"]


def tell_preparation(seconds: float) -> None:
    if seconds > 0.1:
        say(f"first call: {duration(seconds)} more, to compile or to load what was compiled before")
