"""Engines for real samples that may be missing: sums of pairs, divided as they are stored.

The direct and the separable engine convolve pairs as they do samples of two channels, and so in one job what is known
and its weight. Kernels of both signs also need the sum of the sizes of the taps: they are summed with a second kernel
of those, as the imaginary part of a complex kernel is. Overlap-save transforms tiles of pairs (`missing_overlap_save`),
and leaves to the direct engine what the spectrum is not precise enough for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv._engines import cost_model
from fastconv._engines.blocks import separable
from fastconv._engines.blocks.block_engine import BlockEngine
from fastconv._engines.blocks.direct import DirectBlocks, DirectEngine
from fastconv._engines.layout import supports as _supports
from fastconv._engines.missing import missing_overlap_save
from fastconv._engines.missing.missing_overlap_save import PairOverlapSaveEngine
from fastconv._model.missing_data import KernelSums, Missing, largest_unknown
from fastconv._model.problem import Pairs, Problem
from fastconv._model.separability import Separable
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import Table, kept
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd import pair_vectors


def supports(problem: Problem) -> bool:
    """Whether the engines take a problem of samples that may be missing."""
    kinds = problem.x_dtype.kind, problem.kernel_dtype.kind, problem.sums.kind
    return problem.is_plain and _supports(problem.sums) and kinds[0] in "biuf" and kinds[1:] == ("f", "f")


def of_pairs(problem: Problem, sums: KernelSums, missing: Missing, weights: np.dtype | None) -> Problem:
    """The problem of the pairs of a problem's samples with weights of a type, None for no array of them."""
    pairs = Pairs(missing.ignores_nan and problem.x_dtype.kind == "f", missing.normalize, weights)
    kernel_dtype = problem.kernel_dtype if sums.sign else np.result_type(problem.kernel_dtype, np.complex64)
    return problem._replace(pairs=pairs, kernel_dtype=kernel_dtype)


def estimates(problem: Problem, sums: KernelSums) -> dict[str, float]:
    """Estimates of all engines for a problem of pairs; that of the separable one counts if the kernel has factors."""
    found = {"direct": cost_model.direct(problem)}
    if sums.sign and separable.supports(problem):
        found["separable"] = cost_model.separable(problem)
    if missing_overlap_save.supports(problem):
        found["fft"] = missing_overlap_save.estimate(problem)
    return found


@kept
def _engine(problem: Problem, method: str) -> BlockEngine | PairOverlapSaveEngine:
    if method == "fft":
        return PairOverlapSaveEngine(problem)
    return separable.SeparableEngine(problem) if method == "separable" else DirectEngine(problem)


@kept
def _blocks(problem: Problem) -> DirectBlocks:
    return DirectBlocks(problem)


_prepared = Table()  # kernels, by the engine's problem and method, and their content


def _address(array: np.ndarray) -> int:
    # Not `array.ctypes`, which imports a module at first use: impossible while the interpreter shuts down.
    return array.__array_interface__["data"][0]


def packer(problem: Problem, missing: Missing) -> MissingEngine:
    """An engine whose results are the samples that a problem's sums need, and their shares the weights.

    Both as the boundary extends them, from the first sample that the first output needs; missing samples are 0.
    """
    shape, extents = list(problem.out_shape), problem.kernel_shape
    for axis, taps in zip(problem.axes, extents):
        shape[axis] += taps - 1
    starts = tuple(start - taps + 1 for start, taps in zip(problem.starts, extents))
    dtype = np.empty(0, problem.sums).real.dtype
    ones = (1,) * len(extents)
    around = problem._replace(
        kernel_dtype=dtype,
        dtype=dtype,
        kernel_shape=ones,
        out_shape=tuple(shape),
        starts=starts,
        looks_outside=True,
        finish=None,
    )
    treatment = Missing(missing.ignores_nan, 0.0, True, 0)
    return MissingEngine(around, np.ones(ones, dtype), KernelSums(1, 1.0, 1), treatment, "direct")


class MissingEngine:
    """Convolutions of one problem, whose samples may be missing, by one kernel."""

    def __init__(
        self, problem: Problem, kernel: np.ndarray | Separable, sums: KernelSums, missing: Missing, method: str
    ):
        self._problem, self._sums, self._missing, self._method = problem, sums, missing, method
        self._taps = kernel
        if not sums.sign and isinstance(kernel, np.ndarray):
            with np.errstate(all="ignore"):
                self._taps = kernel + 1j * np.abs(kernel).astype(kernel.dtype)
        lines = self._taps.lines if isinstance(self._taps, Separable) else (self._taps,)
        self._content = tuple(part for line in lines for part in (line.dtype, line.shape, line.tobytes()))
        real = problem.sums.type
        self._parameters = np.zeros(pair_vectors.PARAMETERS, problem.sums)
        with np.errstate(all="ignore"):
            finish = problem.finish
            size = real(sums.size)
            fields = {
                pair_vectors.TOTAL: sums.total,
                pair_vectors.SIZE: size,
                pair_vectors.SIGN: sums.sign or 1,
                pair_vectors.LEAST: largest_unknown(size, real(missing.min_weight)),
                pair_vectors.VALUE: missing.value,
                pair_vectors.SCALE: 1 if finish is None else finish.scale,
                pair_vectors.OFFSET: 0 if finish is None else finish.offset,
            }
            for index, number in fields.items():
                self._parameters[index] = number

    @property
    def nbytes(self) -> int:
        return 2 * self._taps.nbytes + self._parameters.nbytes  # the content of the taps, too

    def run(
        self,
        x: np.ndarray,
        weights: np.ndarray | None,
        out: np.ndarray,
        shares: np.ndarray | None,
        workers: int | None,
        where: tuple[slice, ...],
    ) -> None:
        """Fill the part `where` of `out`, and of `shares` if they are wanted."""
        self.run_part(x, weights, out[where], None if shares is None else shares[where], workers, where)

    def run_part(
        self,
        x: np.ndarray,
        weights: np.ndarray | None,
        part: np.ndarray,
        shares: np.ndarray | None,
        workers: int | None,
        where: tuple[slice, ...],
    ) -> None:
        """Fill `part`, and `shares`, with the results at `where`."""
        problem, source = self._problem.part(where)
        problem = of_pairs(problem, self._sums, self._missing, None if weights is None else weights.dtype)
        arrays = _Arrays(x[source], None if weights is None else weights[source], part, shares)
        engine, prepared = self._prepared(problem, self._method, workers)
        if not isinstance(engine, PairOverlapSaveEngine):
            self._run_blocks(engine, prepared, arrays, workers)
            return
        job, _held = self._addressed(prepared.job, arrays)
        left = engine.compute(arrays.x, prepared, part, workers, job)
        for outputs in left.parts:
            within, samples = problem.part(outputs)
            self._run_blocks(*self._prepared(within, "direct", workers), arrays.part(samples, outputs), workers)
        if left.groups is not None:
            blocks = _blocks(problem)
            numbers = blocks.numbers(left.groups, problem.out_shape)
            blocks.compute_blocks(
                numbers, arrays.x, prepared.kernel, part, workers, *self._addressed(blocks.job, arrays)
            )

    def _prepared(self, problem: Problem, method: str, workers: int | None) -> tuple[Any, Any]:
        """The engine of a problem of pairs, and the kernel prepared for it."""
        engine: Any = _engine(problem, method)
        if method == "direct":
            return engine, self._taps
        key = problem, method, *self._content
        found = _prepared.get(key)
        if found is None:
            if listeners:
                notify("prepare", problem=problem, method=method)
            found = engine.prepare(self._taps, workers) if method == "fft" else engine.prepare(self._taps)
            _prepared.keep(key, found)
        return engine, found

    def _addressed(self, job: np.ndarray, arrays: _Arrays) -> tuple[np.ndarray, list[Any]]:
        """A copy of a job with the addresses of arrays, and what it holds the addresses of."""
        job = job.copy()
        held: list[Any] = [self._parameters]
        job["divide_parameters"] = _address(self._parameters)
        for name, array in (("sample_weight", arrays.weights), ("share", arrays.shares)):
            if array is not None:
                steps = np.array(array.strides, np.intp)
                held += pinned(array), steps
                job[f"{name}s"], job[f"{name}_strides"] = _address(array), _address(steps)
        return job, held

    def _run_blocks(self, engine: Any, prepared: Any, arrays: _Arrays, workers: int | None) -> None:
        """Run the direct or the separable engine."""
        job, held = self._addressed(engine.job, arrays)
        kernel = prepared.weights if isinstance(engine, separable.SeparableEngine) else prepared
        engine(arrays.x, kernel, arrays.out, workers, job, held)


class _Arrays(NamedTuple):
    """Input and output of a problem."""

    x: np.ndarray
    weights: np.ndarray | None
    out: np.ndarray
    shares: np.ndarray | None

    def part(self, samples: tuple[slice, ...], outputs: tuple[slice, ...]) -> _Arrays:
        """The arrays of a part of the problem."""
        x, weights, out, shares = self
        return _Arrays(
            x[samples],
            None if weights is None else weights[samples],
            out[outputs],
            None if shares is None else shares[outputs],
        )
