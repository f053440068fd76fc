"""What the checks of overlap-save along three and more axes need to know of kernels, samples and results."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.spectra.footprint_rules import core, counts, kernel_facts
from fastconv._engines.spectra.window_bounds import WindowAxis, groups_of, survey
from fastconv._runtime import interruptible_numpy


class Taps(NamedTuple):
    """Some taps of the kernel along an axis."""

    first: int
    length: int


class TapFacts(NamedTuple):
    """What the rules need to know of a kernel: 2-norm, largest size of a tap, and the sign of all taps or 0."""

    norm: float
    largest: float
    sign: int


def facts_of(taps: np.ndarray, workers: int | None) -> TapFacts | None:
    """Look at the taps of a kernel; None if they are not finite."""
    if taps.dtype.char in "fd":
        whole = [groups_of(WindowAxis(0, extent, 1, extent)) for extent in taps.shape]
        found = survey(taps, whole, workers)
        if found.is_finite and squares_are_precise(found.largest):
            return TapFacts(found.norm, found.largest, found.sign)
    if not interruptible_numpy.is_finite(taps) and not np.isfinite(taps).all():
        return None
    facts = kernel_facts(taps.reshape(-1, taps.shape[-1]))
    return TapFacts(facts.norm, facts.largest, facts.sign)


def core_of(taps: np.ndarray, largest: float) -> tuple[Taps, ...]:
    """The taps along each axis that count for the rules."""
    ends = (taps.take((0, -1), axis) for axis in range(taps.ndim))
    if all(counts(np.abs(end).max(axis=all_but(axis, taps.ndim)), largest).all() for axis, end in enumerate(ends)):
        return tuple(Taps(0, extent) for extent in taps.shape)
    sizes, found = np.abs(taps), []
    for axis in range(taps.ndim):
        first, last = core(sizes.max(axis=all_but(axis, taps.ndim)).astype(np.float64))
        found.append(Taps(first, last - first + 1))
    return tuple(found)


def smallest_of(part: np.ndarray, sign: int) -> float:
    """The smallest result, times a sign."""
    chunks = interruptible_numpy.chunk_slices(part.shape)
    return min([float(part[chunk].min()) if sign > 0 else -float(part[chunk].max()) for chunk in chunks])


def norm_of(samples: np.ndarray, largest: float) -> float:
    """The 2-norm of samples, the largest part of which is known, whose squares may overflow."""
    if largest == 0:
        return 0.0
    line, real = samples.reshape(-1).view(samples.real.dtype), samples.real.dtype.type
    unit, squares = 2.0 ** math.frexp(largest)[1], 0.0
    for (chunk,) in interruptible_numpy.chunk_slices(line.shape):
        part = line[chunk] * real(1 / unit)
        squares += float(np.add.reduce(part * part, dtype=np.float64))  # no BLAS: its threads take longer
    return unit * math.sqrt(squares)


def squares_are_precise(largest: float) -> bool:
    """Whether squares of samples neither overflow nor vanish, by the largest sample."""
    return 2.0**-30 < largest < 2.0**30


def all_but(axis: int, ndim: int) -> tuple[int, ...]:
    """All axes but one."""
    return tuple(other for other in range(ndim) if other != axis)
