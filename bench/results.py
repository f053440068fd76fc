"""The results of a run: read from the JSON of pytest-benchmark, validated, grouped by case, and compared.

All values are in seconds and bytes. A ratio is the time of a rival over ours: 2 is twice as fast.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Iterable, NamedTuple

OURS = "fastconv"
# Two groups measure whole processes: the first has no ratios, the other is in bytes.
COLD, MEMORY = "cold", "memory"

WANTED = "expected the output of `pytest bench/ --benchmark-json=FILE`"


class ResultsError(ValueError):
    """The results cannot be read; the message names the file and the reason."""


class Spread(NamedTuple):
    """A median and its quartiles."""

    low: float
    median: float
    high: float


class Measurement(NamedTuple):
    """One side of one case."""

    group: str
    case: str
    side: str
    library: str
    seconds: Spread
    series: str
    kernel_shape: tuple[int, ...]
    bound: float | None  # least seconds by the limits of the machine
    bound_by: str  # "arithmetic" or "memory"
    brief: bool
    difference: str  # from our definition, in words
    peak_bytes: int | None
    arrays_bytes: int | None
    beside_bytes: int | None


class Case(NamedTuple):
    """All sides of one case, in the order in which they were measured."""

    group: str
    name: str
    sides: tuple[Measurement, ...]

    @property
    def ours(self) -> Measurement | None:
        return self.side(OURS)

    def side(self, name: str) -> Measurement | None:
        return next((side for side in self.sides if side.side == name), None)

    @property
    def rivals(self) -> list[Measurement]:
        """The sides of other libraries, the fastest first; other uses of fastconv are not rivals."""
        return sorted((side for side in self.sides if side.library != OURS), key=lambda side: side.seconds.median)

    @property
    def best(self) -> Measurement | None:
        return next(iter(self.rivals), None)

    def ratio_to(self, rival: Measurement | None) -> Spread | None:
        """Return our speedup over `rival`, from their lower quartile over our upper one to the reverse."""
        if self.ours is None or rival is None:
            return None
        ours, theirs = self.ours.seconds, rival.seconds
        return Spread(theirs.low / ours.high, theirs.median / ours.median, theirs.high / ours.low)

    @property
    def ratio(self) -> Spread | None:
        return self.ratio_to(self.best)

    @property
    def is_loss(self) -> bool:
        return self.ratio is not None and self.ratio.median < 1

    @property
    def share(self) -> float | None:
        """The bound by the limits of the machine as a share of our time; 1 is the optimum."""
        if self.ours is None or self.ours.bound is None:
            return None
        return self.ours.bound / self.ours.seconds.median

    @property
    def brief(self) -> bool:
        return any(side.brief for side in self.sides)


class Machine(NamedTuple):
    """The origin of the results; fields are empty where the file has no entry."""

    processor: str
    threads: str
    system: str
    versions: str
    load: str
    roofline: list[dict[str, float]]
    left_out: list[str]


class Results(NamedTuple):
    cases: list[Case]
    cold: list[Case]
    memory: list[Case]
    machine: Machine
    date: str
    commit: str

    @property
    def groups(self) -> dict[str, list[Case]]:
        """The timed cases of each group."""
        return _by(self.cases, lambda case: case.group)

    @property
    def rivals(self) -> list[str]:
        """The rivals of the timed cases, without duplicates."""
        return _unique(side.side for case in self.cases for side in case.sides if side.library != OURS)

    @property
    def compared(self) -> list[tuple[Case, Spread]]:
        """The cases that have a ratio to the best rival, with that ratio; the worst first."""
        pairs = [(case, case.ratio) for case in self.cases]
        return sorted(((case, ratio) for case, ratio in pairs if ratio), key=lambda pair: pair[1].median)


class Standing(NamedTuple):
    """Summary of the ratios of several cases."""

    cases: int
    ahead: int
    mean: float | None  # geometric, of the ratios; None without a case


def standing(ratios: Iterable[Spread | None]) -> Standing:
    """Summarise ratios; cases without one are ignored."""
    medians = [ratio.median for ratio in ratios if ratio is not None]
    mean = math.exp(math.fsum(map(math.log, medians)) / len(medians)) if medians else None
    return Standing(len(medians), sum(median >= 1 for median in medians), mean)


def against_each(results: Results) -> dict[str, Standing]:
    """Summarise the ratios to each rival, over the cases that it can compute."""
    return {
        rival: standing(case.ratio_to(case.side(rival)) for case in results.cases if case.side(rival))
        for rival in results.rivals
    }


# ----------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> Results:
    """Read a file of pytest-benchmark; raise ResultsError if it is anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; {WANTED}") from None
    except (ValueError, RecursionError) as error:  # neither JSON nor, perhaps, text
        raise ResultsError(f"{path}: not JSON ({error}); {WANTED}") from None
    if not isinstance(content, dict) or not isinstance(content.get("benchmarks"), list):
        raise ResultsError(f"{path}: not written by pytest-benchmark; {WANTED}")
    measurements = []
    for number, entry in enumerate(content["benchmarks"]):
        if _is_ours(entry):
            try:
                measurements.append(_measurement(entry))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                name = entry.get("fullname", f"number {number}")
                raise ResultsError(f"{path}: benchmark {name}: {_reason(error)}; {WANTED}") from None
    if not measurements:
        raise ResultsError(f"{path}: contains no benchmarks of fastconv; {WANTED}")
    cases = _cases(measurements, path)
    return Results(
        cases=[case for case in cases if case.group not in (COLD, MEMORY)],
        cold=[case for case in cases if case.group == COLD],
        memory=[case for case in cases if case.group == MEMORY],
        machine=_machine(_mapping(content.get("machine_info"))),
        date=str(content.get("datetime") or "")[:10],
        commit=_commit(_mapping(content.get("commit_info"))),
    )


def _is_ours(entry: Any) -> bool:
    """Return whether an entry is one of our cases; a file may hold other benchmarks too."""
    return isinstance(entry, dict) and {"case", "group", "side"} <= set(_mapping(entry.get("extra_info")))


def _measurement(entry: dict[str, Any]) -> Measurement:
    info, stats = entry["extra_info"], entry["stats"]
    median = _positive(stats, "median")
    quartiles = [_positive(stats, name) if stats.get(name) is not None else median for name in ("q1", "q3")]
    return Measurement(
        group=str(info["group"]),
        case=str(info["case"]),
        side=str(info["side"]),
        library=str(info.get("library") or info["side"].partition(".")[0]),
        seconds=Spread(quartiles[0], median, quartiles[1]),
        series=str(info.get("series") or ""),
        kernel_shape=tuple(int(taps) for taps in info.get("kernel_shape") or ()),
        bound=_positive(info, "bound") if info.get("bound") is not None else None,
        bound_by=str(info.get("bound_by") or ""),
        brief=bool(info.get("brief")),
        difference=str(info.get("difference") or "").strip(),
        peak_bytes=_bytes(info, "peak_bytes"),
        arrays_bytes=_bytes(info, "arrays_bytes"),
        beside_bytes=_bytes(info, "beside_bytes"),
    )


def _positive(values: dict[str, Any], name: str) -> float:
    value = float(values[name])
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number; got {value}")
    return value


def _bytes(values: dict[str, Any], name: str) -> int | None:
    return int(values[name]) if values.get(name) is not None else None


def _reason(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def _cases(measurements: list[Measurement], path: Path) -> list[Case]:
    cases = []
    for (group, name), sides in _by(measurements, lambda each: (each.group, each.case)).items():
        names = [side.side for side in sides]
        for side in _unique(names):
            if names.count(side) > 1:
                raise ResultsError(f"{path}: {group}: {name}: {side} occurs {names.count(side)} times instead of once")
        cases.append(Case(group, name, tuple(sides)))
    return cases


def _machine(info: dict[str, Any]) -> Machine:
    """Return the description of the machine. Our "processor" and "system" replace those of pytest-benchmark."""
    versions, left_out, rows = info.get("versions"), info.get("left out"), info.get("roofline")
    if isinstance(versions, dict):
        versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    if isinstance(left_out, str):
        left_out = [left_out]
    return Machine(
        processor=str(info.get("processor") or ""),
        threads=str(info.get("threads") or ""),
        system=str(info.get("system") or ""),
        versions=str(versions or ""),
        load=str(info.get("load before") or ""),
        roofline=[row for row in _list(rows) if isinstance(row, dict) and _are_numbers(row.values())],
        left_out=[str(line) for line in _list(left_out)],
    )


def _commit(info: dict[str, Any]) -> str:
    commit = str(info.get("id") or "")[:10]
    return f"{commit}, with changes not committed" if commit and info.get("dirty") else commit


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _by(values: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    """Group values by `key`, in order of first appearance."""
    found: dict[Any, list[Any]] = {}
    for value in values:
        found.setdefault(key(value), []).append(value)
    return found
