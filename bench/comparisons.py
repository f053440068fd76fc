"""A command that measures the sides of some cases in turns, and prints how many times as long the others take as ours.

A case has a name, and `prepare(case, workers)` returns the calls of its sides, ours first. The results of all sides
are compared with ours before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Collection, Sequence
from typing import Any, Callable, NamedTuple, Protocol

import numpy as np

from bench.alternation import QUICK, THOROUGH, Budget, alternate
from bench.rivals import threads

Sides = dict[str, Callable[[], Any]]


class Case(Protocol):
    """A case of a comparison."""

    @property
    def name(self) -> str: ...


class Comparison(NamedTuple):
    """Cases with their sides.

    Attributes
    ----------
    subject
        Heading of the column of the cases.
    cases
        The cases that the command measures.
    prepare
        Returns the calls of the sides of a case, for a number of threads; ours are the first.
    unlike
        Names of sides that compute something else, and are not compared.
    tolerance
        Largest difference of results, relative to the largest one.
    """

    subject: str
    cases: Sequence[Any]
    prepare: Callable[[Any, int], Sides]
    unlike: Collection[str] = ()
    tolerance: float = 1e-5

    def check(self, sides: Sides) -> None:
        """Raise an AssertionError if results differ from ours by more than rounding."""
        ours = np.asarray(next(iter(sides.values()))(), float)  # differences of pixels would wrap
        for name, side in sides.items():
            if name not in self.unlike:
                error = np.abs(np.asarray(side()) - ours).max() / np.abs(ours).max()
                assert error < self.tolerance, f"{name} differs by {error:.1e} of the largest"

    def table(self, cases: Sequence[Case], workers: int, budget: Budget) -> str:
        """Measure cases; return a table in Markdown: our median in milliseconds, and the ratios of the others to it."""
        rows: list[tuple[str, dict[str, str]]] = []
        for case in cases:
            sides = self.prepare(case, workers)
            self.check(sides)
            samples, _ = alternate(sides, {}, budget)
            ours, *others = sides
            first = statistics.median(samples[ours])
            ratios = {name: f"{statistics.median(samples[name]) / first:.2f} x" for name in others}
            rows.append((case.name, {ours: f"{1e3 * first:.3g} ms", **ratios}))
        names = list(dict.fromkeys(name for _, row in rows for name in row))
        lines = [f"| {' | '.join([self.subject, *names])} |", "| --- |" + " ---: |" * len(names)]
        return "\n".join(
            lines + [f"| {' | '.join([name, *(row.get(one, '') for one in names)])} |" for name, row in rows]
        )

    def command(self, description: str) -> None:
        """Parse the options of the command, and print the table."""
        parser = argparse.ArgumentParser(description=description.split("\n", 1)[0])
        parser.add_argument("--threads", type=int, default=threads(), help="of fastconv; by default all that there are")
        parser.add_argument("--brief", action="store_true", help="little time for each case: rough figures")
        options = parser.parse_args()
        print(self.table(self.cases, options.threads, QUICK if options.brief else THOROUGH))
