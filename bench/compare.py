"""fastconv against each rival, in turn: the table of ratios.

    python -m bench.compare [--quick] [-k TEXT] [--json FILE] [--markdown FILE]

A machine that others use too is never as fast twice, and two benchmarks that run after each other tell apart two
moments as much as two libraries. Here the sides take turns in one process, so whatever slows one down slows down the
other, and the ratio of the medians stays. The FMA peak takes its turn with them.

A turn is some calls in a row, the first of them not counted: each library is measured as it is in use, its threads
awake, and not while the threads of the other still spin. (OpenCV's do so for about half a millisecond after a call,
on the core that the next library would take.)

A row for each case and rival, also where fastconv loses.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

from bench import cases, roofline
from bench.cases import CASES, Case, Versus
from fastconv import _crew

# Seconds of a sample at the least, in as many calls as it takes: the clock costs some 50 ns.
_SAMPLE = 2e-4


# Seconds of a turn that are not counted, in one call at the least.
_SETTLING = 2e-3


class Budget(NamedTuple):
    """How long to measure one pair: at least `least` turns, then until the seconds are used up; and a turn's length."""

    least: int
    seconds: float
    turn: float


THOROUGH = Budget(least=9, seconds=3.0, turn=0.02)
QUICK = Budget(least=3, seconds=0.1, turn=0.002)


class Timing(NamedTuple):
    """Seconds of a call: median and quartiles."""

    median: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, samples: list[float]) -> Timing:
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high, len(samples))


class Outcome(NamedTuple):
    """One row: a case, a rival, and how it went. `theirs` is None where the rival is not installed."""

    case: Case
    versus: Versus
    ours: Timing
    theirs: Timing | None
    peak: float | None  # GFLOP/s of the machine, meanwhile

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the rival fastconv is."""
        return self.theirs.median / self.ours.median if self.theirs else None

    @property
    def gflops(self) -> float:
        return self.case.operations / self.ours.median / 1e9

    @property
    def share(self) -> float | None:
        """Of the machine's peak."""
        return self.gflops / self.peak if self.peak else None

    @property
    def peak_target(self) -> float | None:
        return self.case.peak_target if self._is_first() else None

    @property
    def limit(self) -> float | None:
        return self.case.limit if self._is_first() else None

    def _is_first(self) -> bool:
        """Targets that have nothing to do with a rival count once a case."""
        return self.versus is self.case.versus[0]

    def misses(self) -> list[str]:
        """The targets that were not reached, each in words."""
        found = []
        if self.ratio is not None and self.versus.target is not None and self.ratio < self.versus.target:
            found.append(f"{self.ratio:.2f} x of {self.versus.target:g} x")
        if self.share is not None and self.peak_target is not None and self.share < self.peak_target:
            found.append(f"{self.share:.0%} of peak, not {self.peak_target:.0%}")
        if self.limit is not None and self.ours.median > self.limit:
            found.append(f"{self.ours.median * 1e6:.2f} us, not {self.limit * 1e6:g} us")
        return found

    def has_target(self) -> bool:
        measured = self.versus.target if self.theirs else None
        return any(target is not None for target in (measured, self.peak_target, self.limit))

    def verdict(self) -> str:
        """Whether the targets were met; where there is none, whether fastconv was slower."""
        if self.misses():
            return "**no**: " + "; ".join(self.misses())
        if self.has_target():
            return "yes"
        if self.ratio is None:
            return "not measured"
        return "no target" if self.ratio >= 1 else "no target; **slower**"


# --------------------------------------------------------------------------------------------------- measuring


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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


def _turn(side: Callable[[], object], calls: int, seconds: float) -> list[float]:
    """Samples of one side, after it has settled."""
    settled = time.perf_counter() + _SETTLING
    while True:
        _time(side, calls)
        if time.perf_counter() > settled:
            break
    end = time.perf_counter() + seconds
    samples = [_time(side, calls)]
    while time.perf_counter() < end:
        samples.append(_time(side, calls))
    return samples


def alternate(
    sides: list[Callable[[], object]], meter: Callable[[], float] | None, budget: Budget
) -> tuple[list[Timing], float | None]:
    """Let the sides take turns, and the meter of the peak; the timing of each side, and the meter's median."""
    calls = [_calls_per_sample(side) for side in sides]
    samples: list[list[float]] = [[] for _ in sides]
    peaks = []
    with _no_garbage_collection():
        end = time.perf_counter() + budget.seconds
        for turn in itertools.count():
            if turn >= budget.least and time.perf_counter() > end:
                break
            for side, count, taken in zip(sides, calls, samples):
                taken += _turn(side, count, budget.turn)
            if meter is not None:
                meter()
                peaks.append(meter())
    return [Timing.of(taken) for taken in samples], statistics.median(peaks) if peaks else None


def measure(case: Case, versus: Versus, budget: Budget) -> Outcome:
    """Check that both sides compute the same, then time them in turn."""
    ours = cases.ours(case)
    expected = ours()  # which also compiles
    sides = [ours]
    if versus.rival.is_installed():
        theirs = versus.rival.prepare(case)
        cases.check_same(case, versus.rival, theirs(), expected)
        sides.append(theirs)
    # As many threads as fastconv takes for an image of this size.
    meter = roofline.Peak(case.dtype, _crew.available_workers()) if case.compare_peak else None
    timings, peak = alternate(sides, meter, budget)
    return Outcome(case, versus, timings[0], timings[1] if len(timings) > 1 else None, peak)


# ----------------------------------------------------------------------------------------------------- writing

_COLUMNS = "case", "ours, ms", "quartiles", "rival", "its, ms", "quartiles", "ratio", "target", "of FMA peak", "met"


def _milliseconds(seconds: float) -> str:
    """To three digits: a call takes from a microsecond to a second."""
    milliseconds = 1e3 * seconds
    digits = 2 - math.floor(math.log10(milliseconds))
    return f"{milliseconds:.{max(digits, 0)}f}"


def row(outcome: Outcome) -> str:
    case, versus, ours, theirs = outcome.case, outcome.versus, outcome.ours, outcome.theirs
    targets = [f"{versus.target:g} x"] if versus.target is not None else []
    targets += [f"{outcome.peak_target:.0%} of peak"] if outcome.peak_target is not None else []
    targets += [f"{outcome.limit * 1e6:g} us"] if outcome.limit is not None else []
    cells = [
        case.name,
        _milliseconds(ours.median),
        f"{_milliseconds(ours.low)}-{_milliseconds(ours.high)}",
        versus.rival.name,
        _milliseconds(theirs.median) if theirs else "not installed",
        f"{_milliseconds(theirs.low)}-{_milliseconds(theirs.high)}" if theirs else "",
        f"{outcome.ratio:.2f} x" if outcome.ratio is not None else "",
        ", ".join(targets),
        f"{outcome.share:.0%}" if outcome.share is not None else "",
        outcome.verdict(),
    ]
    return f"| {' | '.join(cells)} |"


def header() -> str:
    return f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"


def summary(outcomes: list[Outcome]) -> str:
    wanted = [outcome for outcome in outcomes if outcome.has_target()]
    met = sum(not outcome.misses() for outcome in wanted)
    lines = [f"{met} of {len(wanted)} rows with a target meet it."]
    for outcome in wanted:
        if outcome.misses():
            lines.append(f"- {outcome.case.name}, {outcome.versus.rival.name}: {'; '.join(outcome.misses())}")
    return "\n".join(lines)


def as_json(outcome: Outcome) -> dict[str, Any]:
    case, versus = outcome.case, outcome.versus
    return {
        "group": case.group,
        "case": case.name,
        "rival": versus.rival.name,
        "ours": outcome.ours._asdict(),
        "theirs": outcome.theirs._asdict() if outcome.theirs else None,
        "ratio": outcome.ratio,
        "target": versus.target,
        "gflops": outcome.gflops,
        "peak_gflops": outcome.peak,
        "share_of_peak": outcome.share,
        "peak_target": outcome.peak_target,
        "limit": outcome.limit,
        "misses": outcome.misses(),
    }


def describe_machine() -> dict[str, str]:
    described = roofline.machine()
    if cases.FILTER2D.is_installed():
        import cv2

        described["threads"] += f"; OpenCV {cv2.getNumThreads()}"
    return described


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description="Time fastconv and its rivals in turn, and print the ratios."
    )
    parser.add_argument("--quick", action="store_true", help="a few turns each: to see that it works, not how fast")
    parser.add_argument("-k", metavar="TEXT", default="", help="only rows whose group, case or rival has this text")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write what is printed there too")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    text = options.k.lower()
    pairs = [
        (case, versus)
        for case in CASES
        for versus in case.versus
        if text in f"{case.group}: {case.name} - {versus.rival.name}".lower()
    ]
    if not pairs:
        raise SystemExit(f"-k: no case has {options.k!r} in it")
    budget = QUICK if options.quick else THOROUGH
    printed: list[str] = []

    def show(line: str) -> None:
        print(line, flush=True)
        printed.append(line)

    # The libraries are imported here, so that their versions can be told.
    machine = describe_machine()
    for name, value in machine.items():
        show(f"- {name}: {value}")
    show("")
    peaks = roofline.measure(samples=budget.least)
    show(roofline.markdown(peaks))
    show("")
    show(header())
    outcomes = []
    for case, versus in pairs:
        outcomes.append(measure(case, versus, budget))
        show(row(outcomes[-1]))
    show("")
    show(summary(outcomes))

    if options.markdown:
        options.markdown.write_text("\n".join(printed) + "\n")
    if options.json:
        report = {"machine": machine, "roofline": peaks, "results": [as_json(outcome) for outcome in outcomes]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
