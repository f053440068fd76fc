"""A pool of worker threads that help a caller with divisible work.

Several threads process pieces of the work at once, until none is left. The calling thread works too, and never waits
for a worker to start: a worker that is late, busy with another caller or missing only costs speed.

Threads are daemons, started at first use and anew in a forked child. After a job a worker spins for a moment: a
sleeping thread takes 0.05 to 0.1 ms to wake up, longer than many jobs. No threading runtime of a compiler is used:
those abort when two Python threads enter, hang after a fork, or spin forever.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import Callable, NamedTuple


class Work(NamedTuple):
    """Divisible work, as callables."""

    process: Callable[[bool], None]  # process pieces until none is left; called with True in a worker
    stop: Callable[[], None]  # make `process` find no more pieces
    finished: Callable[[], bool]  # True if all pieces are finished, by any thread
    epoch: Callable[[], int]  # a counter that changes when new work begins
    spin_wait: Callable[[int], None]  # spin a moment, without the GIL, until the epoch differs from the one passed


def run(work: Work, threads: int) -> None:
    """Process `work` in this thread and up to ``threads - 1`` workers; return when all of it is finished.

    If it raises in this thread, the workers are stopped and waited for.
    """
    job = Job(work)
    try:
        pool.submit(job, threads - 1)
        work.process(False)
    except BaseException:
        work.stop()
        raise
    finally:
        try:
            job.close(work)
        except BaseException:
            if not job.closed:  # a signal handler raised outside of every `try` of `close`, such as at its entry
                work.stop()
                job.close(work)
            raise
        # Break the reference cycle from the job through the error's traceback to the caller's arrays.
        error, job.error = job.error, None
    try:
        if error is not None and not work.finished():
            raise error
    finally:
        del error


class Job:
    """The work of one caller, and the number of workers inside it."""

    __slots__ = ("_active", "_lock", "_pool", "_work", "closed", "error", "idle")

    def __init__(self, work: Work):
        self._pool = pool  # replaced in a forked child
        self._work: Work | None = work  # None once closed: it refers to the caller's arrays
        self._lock = threading.Lock()
        self._active = 0
        self.idle = threading.Lock()  # acquired by `close`, released by the last worker that leaves
        self.closed = False
        self.error: BaseException | None = None

    def process(self) -> Work | None:
        """Process pieces in a worker; return the work, or None if the job is closed already."""
        with self._lock:
            work = self._work
            if work is None:
                return None
            self._active += 1
        try:
            work.process(True)
        except BaseException as error:
            self.error = error
        finally:
            with self._lock:
                self._active -= 1
                if self._active == 0 and self.idle.locked():
                    self.idle.release()
        return work

    def close(self, work: Work) -> None:
        """Admit no more workers, and wait for those that still write into the caller's arrays."""
        interrupt = None
        while self._pool is pool:  # false if a signal handler has forked, and this is the child, without workers
            try:
                with self._lock:
                    self._work = None
                    if self._active == 0 or work.finished():
                        break
                    if not self.idle.locked():
                        self.idle.acquire()
                while self._pool is pool and not self.idle.acquire(timeout=1):
                    pass
                break
            except BaseException as error:  # Ctrl-C: deferred, since workers may still write into the arrays
                work.stop()
                interrupt = error
        self.closed = True
        try:
            if interrupt is not None:
                raise interrupt
        finally:
            del interrupt
        if self._pool is not pool and not work.finished():
            raise RuntimeError(
                "this process was forked in the middle of a convolution; the results of the other threads are lost"
            )


# Most entries in the queue for each worker.
_MAX_BACKLOG = 4


class Pool:
    """The workers and their queue."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.lock = threading.RLock()  # reentrant: a signal handler may convolve
        self.workers = 0

    def submit(self, job: Job, workers: int) -> None:
        """Queue the job for up to `workers` workers, and start those that are missing."""
        if workers > self.workers:
            self._grow(workers)
        if self.queue.qsize() > _MAX_BACKLOG * self.workers:
            return  # all workers are in long jobs, and entries of finished short jobs would accumulate
        for _ in range(min(workers, self.workers)):
            self.queue.put(job)

    def _grow(self, workers: int) -> None:
        if sys.is_finalizing():  # a thread started now never runs, and before Python 3.12 `start` waits for it
            return
        with self.lock:
            while self.workers < workers:
                thread = threading.Thread(
                    target=_work_loop, args=(self.queue,), name=f"fastconv-{self.workers + 1}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # the limit on threads is reached, or the interpreter is shutting down
                    return
                self.workers += 1


def _work_loop(jobs: queue.SimpleQueue[Job]) -> None:
    while True:
        work = jobs.get().process()
        if work is not None:
            epoch, spin_wait = work.epoch, work.spin_wait
            del work  # release the caller's arrays
            now = epoch()
            if jobs.empty():
                spin_wait(now)


pool = Pool()


# Identifiers of the threads inside a call. Each computes, so each takes the place of one worker.
callers: set[int] = set()


def _reset() -> None:
    global pool
    pool = Pool()
    callers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
