"""The direct and the separable engine for real samples that may be missing: sums of pairs, divided as they are stored.

Both engines convolve pairs as they do samples of two channels, and so in one job what is known and its weight. Kernels
of both signs also need the sum of the sizes of the taps: they are summed with a second kernel of those, as the
imaginary part of a complex kernel is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._engines import cost_model, separable
from fastconv._engines.block_engine import BlockEngine
from fastconv._engines.direct import DirectEngine
from fastconv._engines.layout import supports as _supports
from fastconv._model.missing_data import KernelSums, Missing, largest_unknown
from fastconv._model.problem import Pairs, Problem
from fastconv._model.separability import Separable
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
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
    """Estimates of both engines for a problem of pairs; that of the separable one counts if the kernel has factors."""
    found = {"direct": cost_model.direct(problem)}
    if sums.sign and separable.supports(problem):
        found["separable"] = cost_model.separable(problem)
    return found


@kept
def _engine(problem: Problem, method: str) -> BlockEngine:
    return separable.SeparableEngine(problem) if method == "separable" else DirectEngine(problem)


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
        self._ready: tuple[BlockEngine, Any] | None = None  # the last engine, and the kernel prepared for it
        if not sums.sign and isinstance(kernel, np.ndarray):
            with np.errstate(all="ignore"):
                self._taps = kernel + 1j * np.abs(kernel).astype(kernel.dtype)
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
        return self._taps.nbytes + self._parameters.nbytes

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
        engine = _engine(problem, self._method)
        ready = self._ready
        if ready is None or ready[0] is not engine:
            ready = self._ready = engine, engine.prepare(self._taps)  # type: ignore[attr-defined]
        prepared = ready[1]
        job = engine.job.copy()
        held = [self._parameters]
        job["divide_parameters"] = _address(self._parameters)
        arrays = {"sample_weight": None if weights is None else weights[source], "share": shares}
        _pins = [pinned(array) for array in arrays.values() if array is not None]
        for name, array in arrays.items():
            if array is not None:
                steps = np.array(array.strides, np.intp)
                held.append(steps)
                job[f"{name}s"], job[f"{name}_strides"] = _address(array), _address(steps)
        kernel = prepared.weights if self._method == "separable" else prepared
        engine(x[source], kernel, part, workers, job, held)
