"""Worker threads: a crew of helpers for callers who bring work that can be shared.

Several threads may take pieces of the work at once, until none is left. The calling thread works too, and never waits
for a helper to begin, so a helper that is late, busy with another caller or missing costs speed and never a result.

Threads are made at first use, are daemons, and are made anew in a forked child. After a job a helper stays awake for a
moment: a sleeping thread takes 0.05 to 0.1 ms to wake up, which is more than many a job. There is no thread pool of a
compiler's runtime underneath: those abort when two Python threads enter, hang after a fork, or spin without end.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import Callable, NamedTuple


class Work(NamedTuple):
    """What callers bring."""

    take: Callable[[bool], None]  # take pieces until none is left; the caller passes False, helpers True
    stop: Callable[[], None]  # makes `take` find no more pieces
    finished: Callable[[], bool]  # whether all pieces are finished, whoever took them
    listen: Callable[[], int]  # what is heard before looking for more work,
    linger: Callable[[int], None]  # and a moment's wait, without the GIL, for something else to be heard


def share(work: Work, workers: int) -> None:
    """Have `work` done by this thread and up to ``workers - 1`` helpers, and return when all is finished.

    If it raises in this thread, the helpers stop, and are waited for.
    """
    job = _Job(work)
    try:
        _crew.offer(job, workers - 1)
        work.take(False)
    except BaseException:
        work.stop()
        raise
    finally:
        job.close()
        # The error knows where it was raised, and from there the job and the caller's arrays: let go of one of them.
        error, job.error = job.error, None
    try:
        if error is not None and not work.finished():
            raise error
    finally:
        del error


class _Job:
    """One caller's work, and the count of the helpers in it."""

    __slots__ = ("_crew", "_empty", "_inside", "_lock", "_work", "error")

    def __init__(self, work: Work):
        self._crew = _crew  # another one in a forked child
        self._work: Work | None = work  # None when it is closed: it holds the caller's arrays
        self._lock = threading.Lock()
        self._inside = 0
        self._empty = threading.Lock()  # held by who waits until the last helper has left
        self.error: BaseException | None = None

    def help(self) -> Work | None:
        """Take part; return what was done, or None if it was too late for that."""
        with self._lock:
            work = self._work
            if work is None:
                return None
            self._inside += 1
        try:
            work.take(True)
        except BaseException as error:
            self.error = error
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0 and self._empty.locked():
                    self._empty.release()
        return work

    def close(self) -> None:
        """Let no more helpers in, and wait for those who still write into the caller's arrays."""
        work, interrupt = self._work, None
        assert work is not None
        while self._crew is _crew:  # a signal handler may have forked: then this is a child, without the helpers
            try:
                with self._lock:
                    self._work = None
                    if self._inside == 0 or work.finished():
                        break
                    if not self._empty.locked():
                        self._empty.acquire()
                while self._crew is _crew and not self._empty.acquire(timeout=1):
                    pass
                break
            except BaseException as error:  # Ctrl-C, which has to wait: the arrays are not the caller's yet
                work.stop()
                interrupt = error
        try:
            if interrupt is not None:
                raise interrupt
        finally:
            del interrupt
        if self._crew is not _crew and not work.finished():
            raise RuntimeError("this process was forked in the middle of a convolution; what its threads had is lost")


_MOST_OFFERS = 4


class _Crew:
    """The helpers, and the queue that they wait at."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.RLock()  # a signal handler may convolve, too
        self._threads = 0

    def offer(self, job: _Job, helpers: int) -> None:
        if helpers > self._threads:
            self._grow(helpers)
        if self._queue.qsize() > _MOST_OFFERS * self._threads:
            return  # all are in long jobs, and callers of short ones would pile up what they have long done
        for _ in range(min(helpers, self._threads)):
            self._queue.put(job)

    def _grow(self, helpers: int) -> None:
        if sys.is_finalizing():  # a thread that begins now never runs, and before Python 3.12 it is waited for
            return
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
        work = jobs.get().help()
        if work is not None:
            listen, linger = work.listen, work.linger
            del work  # the arrays in it are the caller's to free
            heard = listen()
            if jobs.empty():
                linger(heard)


_crew = _Crew()


# Threads in whose calls there is work to be shared. Each of them works itself, so for each a helper less is needed.
callers: set[int] = set()


def _forget() -> None:
    global _crew
    _crew = _Crew()
    callers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
