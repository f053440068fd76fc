"""Worker threads: a crew of helpers for callers who bring work that can be shared.

Work is a callable that several threads may call at once; each call takes pieces until none is left. The calling
thread works too, and never waits for a helper to begin, so a helper that is late, busy with another caller or
missing costs speed and never a result.

Threads are made at first use, are daemons, and are made anew in a forked child. There is no thread pool of a
compiler's runtime underneath: those abort when two Python threads enter, hang after a fork, or spin.
"""

from __future__ import annotations

import functools
import math
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Callable

VARIABLE = "FASTCONV_NUM_THREADS"


def available_workers() -> int:
    """How many threads may work: the least of `FASTCONV_NUM_THREADS`, the CPU affinity and the cgroup's quota."""
    limits = [_cpus(), _cgroup_quota() or sys.maxsize]
    wanted = os.environ.get(VARIABLE, "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"{VARIABLE} must be a positive integer; got {wanted!r}")
        limits.append(int(wanted))
    return min(limits)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """CPUs' worth of time that a container grants, rounded up; None where no limit can be read."""
    try:
        quota, period = (root / "cpu.max").read_text().split()  # version 2
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()  # version 1
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return max(1, math.ceil(share)) if share > 0 else None


def share(work: Callable[[], None], stop: Callable[[], None], workers: int) -> None:
    """Call `work` in this thread and in up to ``workers - 1`` helpers, and return when all calls have.

    `stop` is called when `work` raised in this thread; it makes the helpers find no more pieces.
    """
    job = _Job(work)
    _crew.offer(job, workers - 1)
    try:
        work()
    except BaseException:
        stop()
        raise
    finally:
        job.close()
    if job.error is not None:
        raise job.error


class _Job:
    """One caller's work, and the count of the helpers in it."""

    __slots__ = ("_closed", "_empty", "_inside", "_lock", "_work", "error")

    def __init__(self, work):
        self._work = work
        self._lock = threading.Lock()
        self._inside = 0
        self._closed = False
        self._empty = threading.Lock()  # held by who waits until the last helper has left
        self.error: BaseException | None = None

    def help(self):
        with self._lock:
            if self._closed:
                return
            self._inside += 1
        try:
            self._work()
        except BaseException as error:
            self.error = error
        finally:
            with self._lock:
                self._inside -= 1
                if self._closed and self._inside == 0:
                    self._empty.release()

    def close(self):
        """Let no more helpers in, and wait for those inside: they write into the caller's arrays."""
        with self._lock:
            self._closed = True
            if self._inside == 0:
                return
            self._empty.acquire()
        self._empty.acquire()


class _Crew:
    """The helpers, and the queue that they wait at."""

    def __init__(self):
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0

    def offer(self, job: _Job, helpers: int) -> None:
        if helpers > self._threads:
            self._grow(helpers)
        for _ in range(helpers):
            self._queue.put(job)

    def _grow(self, helpers: int) -> None:
        with self._lock:
            while self._threads < helpers:
                thread = threading.Thread(
                    target=_help, args=(self._queue,), name=f"fastconv-{self._threads + 1}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no more threads to be had, or the interpreter is on its way out
                    return
                self._threads += 1


def _help(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        job = jobs.get()
        job.help()
        del job  # the arrays in it are the caller's to free


_crew = _Crew()


def _forget() -> None:
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
