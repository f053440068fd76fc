"""How far a job has got, as integers that all who work at it share, and how a thread waits for a new one."""

from __future__ import annotations

from numba import types

from fastconv._simd.array_view import view
from fastconv._simd.memory import integers_at, spin_load

# The next piece to take, how many are finished, the address of the bell that is rung when somebody begins, and in how
# many pieces a result was not finite.
NEXT, FINISHED, BELL, FLAWS, PROGRESS = range(5)

# What a driver returns.
DONE, MORE, LEFT, NOT_FINITE = 0, 1, 2, -1


def linger_signature():
    """Signature of `linger`."""
    return types.intp(view, types.intp, types.intp)


def linger(bell, heard, patience):
    """Wait until the `bell` has been rung since it was `heard`, looking `patience` times; return what is heard now."""
    strokes = integers_at(bell.address, 0)
    for _ in range(patience):
        now = spin_load(strokes)
        if now != heard:
            return now
    return heard
