"""How many threads may compute: CPU affinity, quotas of control groups, environment variables."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from pathlib import Path
from typing import Iterator

from fastconv._runtime.instrumentation import overrides

VARIABLE = "FASTCONV_NUM_THREADS"
# Variables of other libraries, which process pools set so that each process starts few threads.
OTHERS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
CGROUP_ROOT, CGROUP_MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_workers(by_default: bool = True) -> int:
    """Return the smallest of the `limits`, and of that of `limited_to`.

    Pass ``by_default=False`` if the caller asked for a number of workers.
    """
    return min(filter(None, (*limits(by_default).values(), _of_thread.most)))


class _OfThread(threading.local):
    """The limit of a thread."""

    most: int | None = None


_of_thread = _OfThread()


@contextlib.contextmanager
def limited_to(workers: int) -> Iterator[None]:
    """Limit what the calling thread computes, for the time of a block, to a number of threads."""
    before, _of_thread.most = _of_thread.most, workers
    try:
        yield
    finally:
        _of_thread.most = before


def limits(by_default: bool = True) -> dict[str, int | None]:
    """Return each limit on the number of threads by its name; None if it does not apply.

    Other libraries' variables limit only the default, and only if FASTCONV_NUM_THREADS is not set.
    """
    requested = _own_variable()
    cpus, quota = (_cpus(), cgroup_quota()) if overrides.cpus is None else (overrides.cpus, None)
    found = {"CPU affinity": cpus, "quota of the control groups": quota, VARIABLE: requested}
    for name in OTHERS:
        found[name] = _first_number(_variable(name)) if by_default and requested is None else None
    return found


def check_variable() -> None:
    """Raise a ValueError if FASTCONV_NUM_THREADS is not a positive integer."""
    _own_variable()


@functools.cache
def check_variable_once() -> None:
    """Check the variable before work that precedes planning; cached, so later calls cost nothing."""
    check_variable()


def _own_variable() -> int | None:
    text = _variable(VARIABLE)
    if not text or text.isspace():
        return None
    number = _positive(text)
    if number is None:
        raise ValueError(f"{VARIABLE} must be a positive integer; got {text.strip()!r:.200}")
    return number


def _variable(name: str) -> str | None:
    """``os.environ.get(name)``, in less than half of the time where it is not set."""
    return os.environ[name] if name in os.environ else None


def _first_number(text: str | None) -> int | None:
    """Parse the first number of a list: OMP_NUM_THREADS has one for each level of nested parallelism."""
    return _positive(text.partition(",")[0]) if text else None


def _positive(text: str) -> int | None:
    """Parse a positive integer; None if `text` is anything else."""
    digits = text.strip().lstrip("0")
    return int(digits[:18]) if digits.isdecimal() else None  # larger numbers make no difference


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def cgroup_quota() -> int | None:
    """Return the CPU quota of the process's control groups in CPUs, rounded up; None if no limit can be read.

    Reads the groups that the process is in and all their ancestors up to the root: a container's own group may or may
    not be the root, and a service has its limit in a group of its own.
    """
    quotas = [quota for folder in _cgroups(CGROUP_ROOT, CGROUP_MEMBERSHIP) if (quota := _quota_of(folder)) is not None]
    return max(1, math.ceil(min(quotas))) if quotas else None


def _cgroups(root: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that may limit the CPU time of the process."""
    yield from (root, root / "cpu")
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except (OSError, ValueError):
        return
    for line in lines:
        if len(line) == 3 and (line[0] == "0" or "cpu" in line[1].split(",")):
            folder = root if line[0] == "0" else root / "cpu"  # version 2, or 1
            for part in Path(line[2].lstrip("/")).parts:
                if part == "..":  # the group lies outside of the visible root
                    break
                folder /= part
                yield folder


def _quota_of(folder: Path) -> float | None:
    """Return the CPU quota of one group in CPUs; None if it has no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()  # version 2
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text()  # version 1
            period = (folder / "cpu.cfs_period_us").read_text()
        except (OSError, ValueError):
            return None
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return cpus if cpus > 0 else None
