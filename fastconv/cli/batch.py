"""Convert many pictures in parallel."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from fastconv.cli.conversion import Conversion, Outcome
from fastconv.cli.inputs import Job


def run(jobs: list[Job], convert: Conversion, workers: int, report: Callable[[int, Outcome | Exception], None]) -> None:
    """Convert pictures in parallel, one per worker, and report each by its number when it is done.

    Each thread holds one picture in memory. With fewer pictures than workers, the workers are divided among them. If
    the caller is interrupted, `report` raises, or a worker raises anything but an Exception, remaining threads are
    abandoned and can no longer write.
    """
    at_once = min(workers, len(jobs))
    waiting = deque(enumerate(jobs))
    done: queue.SimpleQueue[tuple[int, Outcome | BaseException]] = queue.SimpleQueue()
    threads: list[threading.Thread] = []

    def work() -> None:
        while True:
            try:
                number, job = waiting.popleft()
            except IndexError:
                return
            try:
                outcome: Outcome | BaseException = convert(job, workers // at_once, make_folders=True)
            except BaseException as error:
                outcome = error
            done.put((number, outcome))

    try:
        for _ in range(at_once):
            # Daemon threads: after Ctrl-C the process does not wait for them.
            thread = threading.Thread(target=work, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not threads:
                    raise OSError("cannot start a thread") from error
            else:
                threads.append(thread)
        for _ in jobs:
            number, outcome = _next(done, threads)
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
            report(number, outcome)
    except BaseException:
        waiting.clear()
        convert.writer.abandon()
        raise


def _next(done: queue.SimpleQueue, threads: list[threading.Thread]) -> Any:
    """Return the next outcome; raise a RuntimeError if all workers ended without one."""
    while True:
        alive = any(thread.is_alive() for thread in threads)  # before `get`: the last outcome may arrive in between
        try:
            return done.get(timeout=0.5 if alive else 0)  # on Windows, Ctrl-C waits for the timeout
        except queue.Empty:
            if not alive:
                raise RuntimeError("all workers ended before all pictures were converted") from None
