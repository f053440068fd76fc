"""The results as Markdown: a table for each group, a summary, and notes."""

from __future__ import annotations

import math
from typing import Callable, Iterable, Sequence

from bench.results import OURS, Case, Machine, Measurement, Results, Spread, Standing, against_each, standing

TO = "\N{EN DASH}"  # between quartiles, and for missing values
_UNITS = [("s", 1.0), ("ms", 1e-3), ("\N{MICRO SIGN}s", 1e-6), ("ns", 1e-9)]
_MEGABYTE = 2**20

_READING = f"""\
- Times are medians of a call, with their quartiles; the ratio is the best rival's median over ours, so 2 x is twice as
  fast. Its spread is from our upper and its lower quartile to the reverse.
- The roofline is the least time that the machine allows: the operations of the cheapest known method (the definition, a
  pass along each axis, transforms of tiles) at its peak multiply-add rate, or input, kernel and result once each at its
  copy bandwidth, whichever takes longer. A transform has mostly additions, and can reach half of that peak at most.
- A {TO} marks cases that a library cannot compute, or too slowly to be measured."""


def report(results: Results, chart: Callable[[str], Sequence[str]] = lambda group: ()) -> str:
    """Return the whole report; `chart` returns the lines that embed the charts of a group; "" stands for all groups."""
    parts = [f"# {OURS} and other libraries"]
    for group, cases in results.groups.items():
        parts += [f"## {group.capitalize()}", _group(cases), *chart(group)]
        parts += [_folded(f"Every rival: {group}", _every_rival(cases, results.rivals))] if results.rivals else []
    if results.cold:
        parts += ["## Cold", "Whole processes, from start to end: medians, and quartiles.", _cold(results.cold)]
    if results.memory:
        parts += ["## Memory", _MEMORY, _memory(results.memory)]
    if results.cases:
        parts += ["## Summary", _summary(results), *chart("")]
        if results.rivals:
            parts.append(_standings(results))
    notes = [_READING, *_differences(results), *_machine(results)]
    return "\n\n".join([*parts, "## Notes", *notes]) + "\n"


def brief(results: Results) -> str:
    """Return the short table for the README: the cases marked `brief`, and a summary of all."""
    rows = [
        [case.name, _time_of(case.ours), _name_of(case.best), _ratio_to(case, case.best), _share(case)]
        for case in results.cases
        if case.brief
    ]
    parts = [_table(["", OURS, "best rival", "ratio", "of the roofline"], rows, words=(0, 2))] if rows else []
    compared = results.compared
    if compared:
        total = standing(ratio for _, ratio in compared)
        worst, ratio = compared[0]
        parts.append(
            f"Over all {_counted(total.cases, 'case')}, the best rival of each: {mean_of(total)} (geometric mean), "
            f"ahead in {total.ahead}; the worst is {worst.group}, {worst.name}, {times(ratio.median)} beside "
            f"{_name_of(worst.best)}."
        )
    machine = results.machine
    facts = [machine.processor, machine.threads and f"threads: {machine.threads}", machine.versions, results.date]
    parts += ["; ".join(filter(None, facts)) + "."] if any(facts) else []
    return "\n\n".join(parts) + "\n"


# ----------------------------------------------------------------------------------------------------- numbers


def seconds(value: float, like: float | None = None, unit: bool = True) -> str:
    """Format a time with three digits, in the unit that fits it, or that fits `like`."""
    like = value if like is None else like
    name, size = next((each for each in _UNITS if like >= 0.9995 * each[1]), _UNITS[-1])
    return f"{_digits(value / size, 3)} {name}" if unit else _digits(value / size, 3)


def times(ratio: float) -> str:
    """Format a ratio with two digits, and more near 1."""
    return f"{_ratio(ratio)} x"


def mean_of(total: Standing) -> str:
    """Format a geometric mean with three digits: it is less noisy than a single ratio."""
    return TO if total.mean is None else f"{_digits(total.mean, 3)} x"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if 0.095 < ratio < 1.095 else _digits(ratio, 2)


def _digits(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(float(f"{value:.{digits - 1}e}")))  # after rounding: 9.996 has two before the dot
    return f"{value:.{max(digits - 1 - magnitude, 0)}f}"


# ------------------------------------------------------------------------------------------------------- cells


def _spread(spread: Spread) -> str:
    low, high = (seconds(value, like=spread.median, unit=False) for value in (spread.low, spread.high))
    return f"{seconds(spread.median)} ({low}{TO}{high})"


def _time_of(side: Measurement | None) -> str:
    return seconds(side.seconds.median) if side else TO


def _name_of(side: Measurement | None) -> str:
    return f"`{side.side}`" if side else "none"


def _ratio_to(case: Case, rival: Measurement | None, quartiles: bool = False) -> str:
    """Format a ratio; losses are bold and labelled."""
    ratio = case.ratio_to(rival)
    if ratio is None:
        return TO
    spread = f" ({_ratio(ratio.low)}{TO}{_ratio(ratio.high)})" if quartiles else ""
    text = f"{times(ratio.median)}{spread}"
    return text if ratio.median >= 1 else f"**{text}, slower**"


def _share(case: Case) -> str:
    if case.ours is None or case.share is None:
        return TO
    percent = 100 * case.share
    return ", ".join(filter(None, [f"{percent:.{0 if percent >= 1 else 1}f} %", case.ours.bound_by]))


def _megabytes(size: int | None) -> str:
    if size is None:
        return TO
    return f"{size / _MEGABYTE:.{0 if abs(size) >= 10 * _MEGABYTE else 1}f} MB"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """Format a table; columns are right-aligned except those in `words`."""
    lines = [header, ["---" if column in words else "---:" for column in range(len(header))], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{content}\n\n</details>"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# ------------------------------------------------------------------------------------------------------ tables


def _group(cases: list[Case]) -> str:
    rows = []
    for case in cases:
        best = _spread(case.best.seconds) if case.best else TO
        ours = _spread(case.ours.seconds) if case.ours else "not measured"
        rows.append([case.name, ours, _name_of(case.best), best, _ratio_to(case, case.best, True), _share(case)])
    table = _table(["case", OURS, "best rival", "its time", "ratio", "of the roofline"], rows, words=(0, 2))
    total = standing(case.ratio for case in cases)
    if not total.cases:
        return table
    return f"{_counted(total.cases, 'ratio')}, geometric mean {mean_of(total)}, ahead in {total.ahead}.\n\n{table}"


def _every_rival(cases: list[Case], order: list[str]) -> str:
    """Format the median of each side, with the ratio for other libraries; the order of sides is that of all groups."""
    found = {side.side for case in cases for side in case.sides}
    variants = sorted(found - {OURS, *order})  # fastconv called in other ways
    names = [OURS, *variants, *(rival for rival in order if rival in found)]
    rows = []
    for case in cases:
        cells = [case.name]
        for name in names:
            side = case.side(name)
            ratio = _ratio_to(case, side) if side and name in order else TO
            cells.append(_time_of(side) if ratio == TO else f"{_time_of(side)}, {ratio}")
        rows.append(cells)
    return _table(["case", *names], rows)


def _cold(cases: list[Case]) -> str:
    """Format cases by sides, ours first; the more numerous of the two become rows."""
    libraries = {side.side: side.library for case in cases for side in case.sides}
    names = sorted(libraries, key=lambda name: libraries[name] != OURS)
    rows = [["", *names]]
    for case in cases:
        found = [case.side(name) for name in names]
        rows.append([case.name, *(_spread(side.seconds) if side else TO for side in found)])
    header, *rows = rows if len(cases) >= len(names) else [list(column) for column in zip(*rows)]
    return _table(header, rows)


_MEMORY = (
    "The peak memory of the process; the part of it that is input, kernel and result; and the increase during the call "
    "beyond its result. MB are 2^20 bytes."
)


def _memory(cases: list[Case]) -> str:
    rows = []
    for case in cases:
        for side in sorted(case.sides, key=lambda side: (side.library != OURS, side.peak_bytes or 0)):
            sizes = side.peak_bytes, side.arrays_bytes, side.beside_bytes
            rows.append([case.name, side.side, *map(_megabytes, sizes)])
    return _table(["case", "side", "whole process", "its arrays", "beside them"], rows, words=(0, 1))


def _summary(results: Results) -> str:
    compared = results.compared
    total = standing(ratio for _, ratio in compared)
    lines = [f"- {_counted(len(results.cases), 'case')}, {total.cases} of them with a ratio to the best rival."]
    for text, cases in (
        ("Without a rival", [case for case in results.cases if case.best is None]),
        (f"Without a result of {OURS}", [case for case in results.cases if case.ours is None]),
    ):
        if cases:
            lines.append(f"- {text}: {len(cases)} ({'; '.join(f'{case.group}: {case.name}' for case in cases)}).")
    if compared:
        worst, ratio = compared[0]
        lines += [
            f"- Geometric mean of the ratio to the best rival: {mean_of(total)}.",
            f"- Ahead of the best rival in {total.ahead} of {_counted(total.cases, 'case')}.",
            f"- The worst: {worst.group}: {worst.name}, {times(ratio.median)} beside {_name_of(worst.best)}.",
        ]
        losses = [case for case, _ in compared if case.is_loss]
        lines.append(f"- Slower than the best rival: {_counted(len(losses), 'case')}{':' if losses else '.'}")
        for case in losses:
            sides = f"{_time_of(case.ours)} beside {_time_of(case.best)} of {_name_of(case.best)}"
            lines.append(f"  - {case.group}: {case.name}: {_ratio_to(case, case.best, True)}, {sides}")
    return "\n".join(lines)


def _standings(results: Results) -> str:
    standings = sorted(against_each(results).items(), key=lambda pair: pair[1].mean or math.inf)
    rows = [[f"`{rival}`", str(total.cases), str(total.ahead), mean_of(total)] for rival, total in standings]
    table = _table(["each rival by itself", "cases", f"{OURS} ahead", "geometric mean"], rows)
    return f"{table}\n\nClosest first, over the cases that both have computed."


# ------------------------------------------------------------------------------------------------------- notes


def _differences(results: Results) -> list[str]:
    """Format the differences of each side, each text once, with its groups if a side has several texts."""
    found: dict[str, dict[str, list[str]]] = {}
    for case in results.cases:
        for side in case.sides:
            if side.difference:
                groups = found.setdefault(side.side, {}).setdefault(side.difference, [])
                groups += [] if case.group in groups else [case.group]
    rows = []
    for name, texts in found.items():
        parts = [f"{text} ({', '.join(groups)})" if len(texts) > 1 else text for text, groups in texts.items()]
        rows.append([f"`{name}`", "; ".join(parts)])
    return ["### Differences of the other libraries", _table(["", "difference"], rows, words=(0, 1))] if rows else []


def _machine(results: Results) -> list[str]:
    machine: Machine = results.machine
    named = {
        "processor": machine.processor,
        "threads": machine.threads,
        "system": machine.system,
        "versions": machine.versions,
        "load before": machine.load,
        "date": results.date,
        "commit": results.commit,
        "left out": "".join(f"\n  - {line}" for line in machine.left_out),
    }
    lines = "\n".join(f"- {name}: {value}".replace(": \n", ":\n") for name, value in named.items() if value)
    parts = ["### The machine", lines] if lines or machine.roofline else []
    if machine.roofline:
        header = list(machine.roofline[0])
        rows = [[_limit(row.get(name)) for name in header] for row in machine.roofline]
        parts.append(_table(header, rows, words=()))
    return [part for part in parts if part]


def _limit(value: float | None) -> str:
    return TO if value is None else str(value) if isinstance(value, int) else f"{value:.1f}"
