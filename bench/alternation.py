"""Interleaved measurement of several libraries, with the samples passed to pytest-benchmark.

The speed of a shared machine varies, so sequential benchmarks compare moments as much as libraries. Here all sides take
turns: a slowdown affects all of them, and the ratio of the medians is stable. The measurements of the machine's limits
take turns with them.

A turn is a series of calls whose first ones are discarded, so that each library is measured with its own threads awake
and without those of the previous one spinning. (OpenCV's threads spin for about half a millisecond after a call, those
of PyTorch's OpenMP somewhat longer, on a core that the next library needs.)
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import statistics
import time
from typing import Any, Callable, Iterator, NamedTuple

# Minimum seconds of a sample, over as many calls as necessary: reading the clock costs some 50 ns.
_SAMPLE = 2e-4
# Seconds at the start of a turn that are discarded; at least one call.
_SETTLING = 5e-3


class Budget(NamedTuple):
    """Time to measure: at least `least` turns of `turn` seconds for each side, then until it has used `seconds`."""

    least: int
    seconds: float
    turn: float


THOROUGH = Budget(least=5, seconds=0.6, turn=0.02)
QUICK = Budget(least=2, seconds=0.05, turn=0.005)


def alternate(
    sides: dict[str, Callable[[], object]], meters: dict[str, Callable[[], float]], budget: Budget
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Measure sides and meters in turn: return the seconds of the calls of each side, and the median of each meter.

    A side that has used its time skips the remaining turns, so a side whose calls take seconds has few turns.
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
    """Return samples of one side after the discarded calls, and the seconds of the whole turn."""
    start = time.perf_counter()
    while True:
        settling = _time(side, calls)
        if time.perf_counter() > start + _SETTLING:
            break
    end = time.perf_counter() + seconds
    # A long call needs no discarded one, and another may take half a minute.
    samples = [settling] if settling > 1 else [_time(side, calls)]
    while time.perf_counter() < end:
        samples.append(_time(side, calls))
    return samples, time.perf_counter() - start


def _calls_per_sample(call: Callable[[], object]) -> int:
    seconds = _time(call, 1)
    if seconds < _SAMPLE:  # the first call may have been slow, which matters for fast calls only
        seconds = min(seconds, _time(call, 10))
    return max(1, math.ceil(_SAMPLE / seconds))


def _time(call: Callable[[], object], calls: int) -> float:
    """Return the mean seconds of a call, which include freeing its result."""
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
    """A timer that replays durations: the difference of two readings is the next recorded duration."""

    __name__ = "perf_counter, in turn"  # recorded by pytest-benchmark

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def load(self, durations: list[float]) -> None:
        self._readings = itertools.chain.from_iterable((0.0, seconds) for seconds in durations)

    def __call__(self) -> float:
        return next(self._readings)


TAPE = Tape()
"""The timer for ``@pytest.mark.benchmark(timer=TAPE)`` on each test that calls `record`."""


def record(benchmark: Any, samples: list[float]) -> None:
    """Pass `samples`, in seconds, to the `benchmark` fixture as if it had measured them itself.

    pytest-benchmark measures one function after another and cannot interleave, but it accepts a timer. There may be no
    samples if benchmarks are disabled.
    """
    TAPE.load(samples)
    benchmark.pedantic(lambda: None, rounds=max(1, len(samples)), iterations=1)
