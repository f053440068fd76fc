"""Timing of convolutions, for the command and the demonstration."""

from __future__ import annotations

import math
import time
from typing import Any

from numpy.typing import NDArray

import fastconv
from fastconv._runtime.cache_folder import counts
from fastconv.cli.console import print_stdout


class Stopwatch:
    """Times calls of `fastconv.convolve2d`.

    `first` is the time of the first call, which may compile. `best` is the fastest of the following calls: at most
    `calls`, and only one if they are slow.
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
        """How much longer the first call took than the best."""
        return max(self.first - self.best, 0.0)


def duration(seconds: float) -> str:
    """Format a duration in s or ms."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.{3 if seconds < 0.01 else 1}f} ms"


def kernels_prepared() -> int:
    """Return how many kernels this process has compiled or loaded from the cache."""
    return counts["compiled"] + counts["loaded"]


def print_preparation(seconds: float) -> None:
    """Print how long the first call took to compile or load kernels, if it was long."""
    if seconds > 0.1:
        print_stdout(f"first call: {duration(seconds)} longer, to compile kernels or load them from the cache")
