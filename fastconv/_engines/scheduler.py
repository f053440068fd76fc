"""A job shared out to the crew: its progress, a scratch buffer for each thread, and how long threads wait awake.

A compiled driver takes pieces of a job from a counter, a turn of them in each call, and says with its status whether
there are more. In between, the interpreter looks for signals.
"""

from __future__ import annotations

import threading
import weakref
from typing import Callable

import numpy as np

from fastconv._microkernels import progress_counters
from fastconv._runtime import cpu_limits, memory_maps, thread_pool
from fastconv._runtime.result_cache import also_clears
from fastconv._simd import compilation

# How often a thread that waits for another looks before it goes to sleep: some 0.1 ms. To wake one up takes as long.
_PATIENCE = 3000

# Rung by whoever begins a job that is shared.
_bell = np.zeros(1, np.intp)
_BELL_ADDRESS = _bell.ctypes.data


def _listen() -> int:
    return int(_bell[0])


@compilation.once
def lingerer() -> Callable[[int], None]:
    """A function that waits a moment for the next job: callers who convolve frame after frame come back at once.

    To be asked for before the job, and not in a helper: a fork meanwhile would inherit a compiler at work.
    """
    linger = compilation.compile_entry(progress_counters.linger, progress_counters.linger_signature())
    return lambda heard: linger(_bell, heard, _PATIENCE)


def turn_of(
    turn: int, pieces: int, threads: int, arrays: tuple[np.ndarray, ...]
) -> tuple[int, Callable[[], None] | None]:
    """How many pieces a thread takes in a turn, `turn` or fewer, and what it does after one: see `memory_maps`."""
    found = memory_maps.mapped(*arrays)
    if found is None:
        return turn, None
    return min(turn, found.turn(pieces, threads)), found.release_pages


def threads_for(pieces: int, workers: int | None) -> int:
    """How many threads may work at a job: at most `workers`, None for as many as there are and no other caller has."""
    threads = max(1, min(cpu_limits.available_workers(workers is None) - len(thread_pool.callers), pieces))
    return threads if workers is None else min(threads, workers)


def run(
    step: Callable[[np.ndarray, int, int], int],
    pieces: int,
    scratch_bytes: int,
    threads: int,
    told: tuple[int, ...] = (),
    after_turn: Callable[[], None] | None = None,
) -> bool:
    """Run a job to its end; False if something in it was not finite.

    ``step(progress, patience, scratch)`` calls the driver for a turn and returns its status; `scratch` is the address
    of at least `scratch_bytes` bytes, and what the driver is `told` stands behind the progress. `after_turn` is called
    after each turn but a thread's last. `step` may be called once more when all is done: then it finds no piece, and
    must neither need the caller's arrays nor hold them (see `borrowed_arrays.non_owning_view`).
    """
    progress = np.zeros(progress_counters.PROGRESS + len(told), np.intp)
    progress[progress_counters.BELL] = _BELL_ADDRESS
    progress[progress_counters.PROGRESS :] = told
    finite = True

    def work(helping):
        nonlocal finite
        scratch = thread.kept.scratch
        if scratch[0] < scratch_bytes:
            scratch = new_scratch(scratch_bytes)
        patience = 0 if helping or threads == 1 else _PATIENCE
        status = progress_counters.MORE
        while status == progress_counters.MORE:
            status = step(progress, patience, scratch[1])
            if after_turn is not None and status == progress_counters.MORE:
                after_turn()
        finite = finite and status != progress_counters.NOT_FINITE

    def stop():
        progress[progress_counters.NEXT] = pieces

    def finished():
        return progress[progress_counters.FINISHED] >= pieces

    _do(work, stop, finished, threads)
    return finite and not progress[progress_counters.FLAWS]


def _do(take: Callable[[bool], None], stop: Callable[[], None], finished: Callable[[], bool], threads: int) -> None:
    """Have work done by so many threads, this one among them: see `thread_pool.Work`."""
    me = threading.get_ident()
    thread_pool.callers.add(me)
    try:
        if threads == 1:
            take(False)
        else:
            thread_pool.run(thread_pool.Work(take, stop, finished, _listen, lingerer()), threads)
    finally:
        thread_pool.callers.discard(me)


def run_each(function: Callable[..., object], calls: list[tuple], threads: int) -> None:
    """Call a function, which frees the GIL, with each of these arguments, in `threads` threads."""
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

    _do(work, waiting.clear, lambda: len(done) == len(calls), threads)


Scratch = tuple[int, int, "np.ndarray | None"]  # a buffer's size, its address, and the buffer
_NO_SCRATCH: Scratch = (-1, 0, None)
_KEPT_SCRATCH = 1 << 22


class _Kept:
    """The scratch buffer that a thread keeps from call to call. A call that uses it holds it as well."""

    __slots__ = ("__weakref__", "scratch")

    def __init__(self) -> None:
        self.scratch = _NO_SCRATCH
        _all_kept.add(weakref.ref(self, _all_kept.discard))


_all_kept: set[weakref.ref[_Kept]] = set()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.kept = _Kept()


thread = _Thread()


@also_clears
def _free_scratch() -> None:
    """Free the buffers of all threads: of those that are in a call, when it is over."""
    for reference in _all_kept.copy():
        kept = reference()
        if kept is not None:
            kept.scratch = _NO_SCRATCH


def new_scratch(size: int) -> Scratch:
    """A buffer of at least `size` bytes; kept for the thread's next call unless it is large."""
    buffer = np.empty(size + 64, np.uint8)
    scratch = (size, -(-buffer.ctypes.data // 64) * 64, buffer)
    if size <= _KEPT_SCRATCH:
        thread.kept.scratch = scratch
    return scratch
