"""Measuring several libraries in turn, and handing the samples to pytest-benchmark.

A machine that others use too is never as fast twice, and two benchmarks that run after each other tell apart two
moments as much as two libraries. Here the sides take turns, so whatever slows one down slows down the others, and the
ratio of the medians stays. The meters of the machine's limits take their turns with them.

A turn is some calls in a row, the first of them not counted: each library is measured as it is in use, its threads
awake, and not while the threads of the one before still spin. (OpenCV's do so for about half a millisecond after a
call, those of PyTorch's OpenMP for some more, on the core that the next library would take.)
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import statistics
import time
from typing import Any, Callable, Iterator, NamedTuple

# Seconds of a sample at the least, in as many calls as it takes: the clock costs some 50 ns.
_SAMPLE = 2e-4
# Seconds of a turn that are not counted, in one call at the least.
_SETTLING = 5e-3


class Budget(NamedTuple):
    """How long to measure: at least `least` turns of each side, then until it has had `seconds`; a turn's length."""

    least: int
    seconds: float
    turn: float


THOROUGH = Budget(least=5, seconds=0.6, turn=0.02)
QUICK = Budget(least=2, seconds=0.05, turn=0.005)


def alternate(
    sides: dict[str, Callable[[], object]], meters: dict[str, Callable[[], float]], budget: Budget
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Let the sides take turns, and the meters too: the seconds of a call, for each side, and each meter's median.

    A side that has used up its time waits for the others; whoever takes seconds for a call has few turns.
    """
    calls = {name: _calls_per_sample(side) for name, side in sides.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    spent = dict.fromkeys(sides, 0.0)
    readings: dict[str, list[float]] = {name: [] for name in meters}
    with _no_garbage_collection():
        for turn in itertools.count():
            playing = [name for name in sides if turn < budget.least or spent[name] < budget.seconds]
            if not playing:
                break
            for name in playing:
                taken, seconds = _turn(sides[name], calls[name], budget.turn)
                samples[name] += taken
                spent[name] += seconds
            for name, meter in meters.items():
                meter()
                readings[name].append(meter())
    return samples, {name: statistics.median(values) for name, values in readings.items()}


def _turn(side: Callable[[], object], calls: int, seconds: float) -> tuple[list[float], float]:
    """Samples of one side, after it has settled, and the seconds that all of it took."""
    start = time.perf_counter()
    while True:
        settling = _time(side, calls)
        if time.perf_counter() > start + _SETTLING:
            break
    end = time.perf_counter() + seconds
    # A call as long as this leaves nothing to settle, and half a minute matters more than one more sample.
    samples = [settling] if settling > 1 else [_time(side, calls)]
    while time.perf_counter() < end:
        samples.append(_time(side, calls))
    return samples, time.perf_counter() - start


def _calls_per_sample(call: Callable[[], object]) -> int:
    seconds = _time(call, 1)
    if seconds < _SAMPLE:  # the first call may have been slow; that only matters where calls are fast
        seconds = min(seconds, _time(call, 10))
    return max(1, math.ceil(_SAMPLE / seconds))


def _time(call: Callable[[], object], calls: int) -> float:
    """Seconds of one call, on average. The result is dropped at once: to free it is a part of the cost."""
    turns = itertools.repeat(None, calls)
    start = time.perf_counter()
    for _ in turns:
        call()
    return (time.perf_counter() - start) / calls


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Tape:
    """A timer that tells durations taken before: two readings of it are as far apart as the next of them is long."""

    __name__ = "perf_counter, in turn"  # pytest-benchmark writes it down

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def load(self, durations: list[float]) -> None:
        self._readings = itertools.chain.from_iterable((0.0, seconds) for seconds in durations)

    def __call__(self) -> float:
        return next(self._readings)


TAPE = Tape()
"""For ``@pytest.mark.benchmark(timer=TAPE)`` on each test that calls `record`."""


def record(benchmark: Any, samples: list[float]) -> None:
    """Give `samples`, seconds of a call, to the `benchmark` fixture, as if it had measured them itself.

    pytest-benchmark measures one function after another, and has no place for turns. It does take a timer. Where
    benchmarks are disabled there may be no samples.
    """
    TAPE.load(samples)
    benchmark.pedantic(lambda: None, rounds=max(1, len(samples)), iterations=1)
