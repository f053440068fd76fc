"""Overlap-save for real samples that may be missing: tiles of pairs, which `pair_loop` runs.

A tile of pairs is one complex tile, where two tiles of samples alone are one, so transforms take twice the time of
those without missing samples. Kernels of both signs, which need a third sum, are not taken, nor are planes that threads
share.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import compiled_routine, divide_routine, weigh_routine
from fastconv._engines.spectra import overlap_save, overlap_save_job
from fastconv._engines.spectra.overlap_save import OverlapSaveEngine, Spectrum
from fastconv._engines.spectra.overlap_save_tiling import tiled_layout
from fastconv._engines.spectra.vague_results import spans_of
from fastconv._microkernels.missing import missing_samples, pair_loop
from fastconv._microkernels.spectra import tile_job
from fastconv._microkernels.spectra.footprint_windows import EMPTY
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.instrumentation import listeners, notify

estimate = overlap_save.estimate


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem of pairs."""
    if problem.kernel_dtype.kind == "c" or not overlap_save.supports(problem):
        return False
    layout = tiled_layout(problem)
    return layout is not None and not overlap_save_job.is_shared(problem, layout)


class Left(NamedTuple):
    """What is left to be computed directly: parts of the output, and spans of groups of outputs along each axis."""

    parts: list[tuple[slice, ...]]
    groups: dict[int, Any] | None


class PairOverlapSaveEngine(OverlapSaveEngine):
    """Convolutions of one problem of pairs by overlap-save, with any arrays of its types and sizes."""

    _loop = pair_loop

    def __init__(self, problem: Problem):
        super().__init__(problem)
        assert problem.pairs is not None
        compute, weigh = self._compute, weigh_routine(problem.pairs, self._compute, apart=True)
        weighing = self._job.copy()
        weighing["pack"] = weigh
        if weigh:
            weighing["fill"] = compiled_routine(missing_samples.keep, missing_samples.signature(compute, compute))
            weighing["x_item"] = 0
        fields = {
            "weighing": weighing,
            "divide": divide_routine(
                problem.pairs, problem.finish, compute, stored(problem.dtype, compute), apart=True
            ),
            "scale": compiled_routine(missing_samples.scale, missing_samples.scale_signature(compute)),
            "most_exponent": 120 if compute.bitwidth == 32 else 1000,
        }
        self._pair_job = pair_loop.PAIR_JOB.filled(fields)
        self.nbytes += self._pair_job.nbytes

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> Spectrum:
        """Transform a kernel, which is finite and of one sign."""
        spectrum = super().prepare(kernel, workers)
        job = self._pair_job.copy()
        job["tile"] = spectrum.job
        return spectrum._replace(job=job)

    def compute(self, x: np.ndarray, spectrum: Spectrum, out: np.ndarray, workers: int | None, job: np.ndarray) -> Left:
        """Fill `out` by `job`, that of the spectrum with all addresses; return what is left."""
        if listeners:
            self._notify(x, out)
        flags = np.zeros(self._units.total, np.intp)
        marks = interruptible_numpy.zeros(self._parts.marks, np.uint8)
        checks, work = (marks.ctypes.data, 0), (0, 0, sum(tile_job.ALL_STEPS))
        self._share(x, spectrum._replace(job=job), out, flags, checks, None, work, workers)
        parts, groups = [], None
        if np.count_nonzero(flags):
            parts = self._rectangles(np.flatnonzero(flags))
            marks[flags != 0] = 0
        if np.count_nonzero(marks):
            vague = ((marks != 0) & (marks != EMPTY)).any(axis=1, keepdims=True)
            if vague.any():
                groups = spans_of(self.tiles, vague, job["tile"]["check"])
                if listeners:
                    notify("vague", double=0, marked=int(np.count_nonzero(vague)))
        return Left(parts, groups)
