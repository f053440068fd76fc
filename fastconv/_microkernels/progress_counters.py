"""Shared progress of a job: how threads take and finish its pieces, the status of a loop, and spin-waits."""

from __future__ import annotations

from numba import types

from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.memory import fetch_add, integers_at, spin_load

# Counters shared by all threads of a job: the next piece to take, the number of finished ones, the address of the epoch
# (advanced when a thread begins), and the number of pieces with a result that is not finite.
NEXT, FINISHED, EPOCH, NON_FINITE, COUNTERS = range(5)

# Status of a call. DONE: all pieces are finished. MORE: the limit is reached, and pieces are left to take. PENDING:
# other threads may still be working on the last ones. KERNEL_NOT_FINITE: nothing was computed, because the kernel holds
# an infinity or a NaN. RESULT_NOT_FINITE: all pieces are finished, and some result is an infinity or a NaN.
DONE, MORE, PENDING, KERNEL_NOT_FINITE, RESULT_NOT_FINITE = range(5)


@compilation.paste
def advance_epoch(progress):
    """Tell waiting threads that this one begins."""
    fetch_add(integers_at(integers_at(progress.address, EPOCH)[0], 0), 1)


@compilation.paste
def take_piece(progress):
    """Take the next piece and return its number; none is left if that is not below the number of pieces."""
    return fetch_add(integers_at(progress.address, NEXT), 1)


@compilation.paste
def finish_piece(progress):
    """Count a piece as finished."""
    fetch_add(integers_at(progress.address, FINISHED), 1)


@compilation.paste
def wait_for_others(progress, count, max_spins):
    """Spin until all `count` pieces are finished, or `max_spins` is reached; return `DONE` or `PENDING`.

    With a negative `max_spins`, spin until the next job begins instead, and return either. So a worker without pieces
    does not ask for the GIL at the moment when the caller does: the one that comes second would sleep, and take 0.05 ms
    to wake up.
    """
    counter, wanted = integers_at(progress.address, FINISHED), count
    if max_spins < 0:
        counter, max_spins = integers_at(integers_at(progress.address, EPOCH)[0], 0), -max_spins
        wanted = spin_load(counter) + 1
    for _ in range(max_spins):
        if spin_load(counter) >= wanted:
            return DONE
    return PENDING


def wait_signature():
    """Signature of `wait_for_epoch`."""
    return types.intp(view, types.intp, types.intp)


def wait_for_epoch(epoch, seen, max_spins):
    """Spin until the epoch differs from `seen` or `max_spins` is reached; return the current epoch."""
    counter = integers_at(epoch.address, 0)
    for _ in range(max_spins):
        now = spin_load(counter)
        if now != seen:
            return now
    return seen
