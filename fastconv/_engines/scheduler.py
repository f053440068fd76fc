"""Run a job in the thread pool, by shared progress counters; threads spin for a moment before they sleep.

A compiled loop takes pieces of a job from a shared counter, a limited number in each call, and returns a status.
Between calls the interpreter handles pending signals.
"""

from __future__ import annotations

import threading
from typing import Callable

import numpy as np

from fastconv._engines import cost_model
from fastconv._engines.scratch_memory import new_scratch, thread
from fastconv._microkernels import progress_counters
from fastconv._runtime import cpu_limits, memory_maps, progress_reports, thread_pool
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd import compilation

# Spins of a thread that waits for another, before it sleeps: some 0.1 ms, the time that waking a thread takes.
MAX_SPINS = 3000

# Advanced by each thread that begins to work on a shared job.
epoch = np.zeros(1, np.intp)
_EPOCH_ADDRESS = epoch.ctypes.data


def read_epoch() -> int:
    return int(epoch[0])


@compilation.once
def epoch_waiter() -> Callable[[int], None]:
    """Return a function that spins briefly until the next job, since callers often convolve frame after frame.

    Call this before the job, not in a worker: a fork might inherit a running compilation.
    """
    wait = compilation.compile_entry(progress_counters.wait_for_epoch, progress_counters.wait_signature())
    return lambda seen: wait(epoch, seen, MAX_SPINS)


def pieces_per_call(
    most: int, pieces: int, threads: int, arrays: tuple[np.ndarray, ...]
) -> tuple[int, Callable[[], None] | None]:
    """Return the number of pieces per call, at most `most`, and a function to call after each: see `memory_maps`."""
    found = memory_maps.mapped(*arrays)
    if found is None:
        return most, None
    return min(most, found.turn(pieces, threads)), found.release_pages


def threads_for(pieces: int, workers: int | None) -> int:
    """Number of threads for a job: at most `workers`, by default all that no other caller uses."""
    if pieces == 1 or workers == 1:
        return 1
    threads = max(1, min(cpu_limits.available_workers(workers is None) - len(thread_pool.callers), pieces))
    return threads if workers is None else min(threads, workers)


def run(
    step: Callable[[np.ndarray, int, int], int],
    pieces: int,
    scratch_bytes: int,
    threads: int,
    extra: tuple[int, ...] = (),
    after_call: Callable[[], None] | None = None,
) -> bool:
    """Run a job to its end; return True if kernel and results are finite, as far as the loop checks them.

    ``step(progress, max_spins, scratch)`` calls the compiled loop and returns its status; `scratch` is the address of
    at least `scratch_bytes` bytes, and `extra` follows the counters in `progress`. `after_call` is called after each
    call except a thread's last. A late thread may call `step` after the end of the job: it finds no piece, and must
    neither access nor hold the caller's arrays (see `borrowed_arrays.non_owning_view`).
    """
    if listeners and threads > 1:
        notify("share", threads=threads, pieces=pieces)
    progress = np.zeros(progress_counters.COUNTERS + len(extra), np.intp)
    progress[progress_counters.EPOCH] = _EPOCH_ADDRESS
    progress[progress_counters.COUNTERS :] = extra
    kernel_is_finite = True

    def work(helping):
        nonlocal kernel_is_finite
        if listeners:
            notify("work", job=progress)
        scratch = thread.kept.scratch
        if scratch[0] < scratch_bytes:
            scratch = new_scratch(scratch_bytes)
        max_spins = 0 if threads == 1 else -MAX_SPINS if helping else MAX_SPINS
        report = None if helping else progress_reports.current.report
        status = progress_counters.MORE
        while status == progress_counters.MORE:
            status = step(progress, max_spins, scratch[1])
            if after_call is not None and status == progress_counters.MORE:
                after_call()
            if report is not None:
                report.tell(progress, int(progress[progress_counters.FINISHED]), pieces)
        kernel_is_finite = kernel_is_finite and status != progress_counters.KERNEL_NOT_FINITE
        if listeners:
            notify("worked", job=progress)

    def stop():
        progress[progress_counters.NEXT] = pieces

    def finished():
        return progress[progress_counters.FINISHED] >= pieces

    _run_in_threads(work, stop, finished, threads)
    return kernel_is_finite and not progress[progress_counters.NON_FINITE]


def _run_in_threads(
    take: Callable[[bool], None], stop: Callable[[], None], finished: Callable[[], bool], threads: int
) -> None:
    """Run work in `threads` threads, including this one: see `thread_pool.Work`."""
    me = threading.get_ident()
    thread_pool.callers.add(me)
    try:
        if threads == 1:
            take(False)
        else:
            thread_pool.run(thread_pool.Work(take, stop, finished, read_epoch, epoch_waiter()), threads)
    finally:
        thread_pool.callers.discard(me)


def run_each(function: Callable[..., object], calls: list[tuple], threads: int) -> None:
    """Call a function that releases the GIL with each tuple of arguments, in `threads` threads."""
    waiting = calls[::-1]
    done: list[None] = []

    def work(helping):
        while waiting:
            try:
                arguments = waiting.pop()
            except IndexError:  # another thread was faster
                return
            function(*arguments)
            done.append(None)
            progress_reports.tick()  # in the calling thread: workers have none

    _run_in_threads(work, waiting.clear, lambda: len(done) == len(calls), threads)


# Nanoseconds of a call of compiled code between two checks for signals.
_CALL = 2_000_000.0


def run_slices(
    function: Callable[[int, int], object], units: range, most: int, cost: float, workers: int | None
) -> None:
    """Call ``function(first, stop)`` for slices of a range, at most `most` long, as `run_each` does.

    There are several threads if the cost of all of it, in nanoseconds, is worth that.
    """
    calls = [(first, min(first + most, units.stop)) for first in range(units.start, units.stop, most)]
    run_each(function, calls, 1 if cost < cost_model.WORK_FOR_THREADS else threads_for(len(calls), workers))


def run_ranges(
    function: Callable[[int, int], object], units: range, cost: float, parts: int, workers: int | None
) -> None:
    """As `run_slices`, with so many `parts` at least, and more where these took too long between signals."""
    run_slices(function, units, max(1, -(-len(units) // max(parts, int(cost / _CALL)))), cost, workers)
