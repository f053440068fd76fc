"""Overlap-save with exact results for floats that are whole numbers, such as pictures and counts, by whole taps.

If samples and taps are whole, and small enough for `integer_overlap_save` to transform them in a single digit, results
are rounded, and therefore exact up to the precision of their type. For this, float32 is transformed in float64, or
summed directly if that takes less time. All other input is left to `overlap_save`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn, SupportsIndex

import numpy as np

from fastconv._engines import cost_model
from fastconv._engines.blocks.direct import shared_engine
from fastconv._engines.routine_addresses import compiled_routine, refuse_copies
from fastconv._engines.spectra.integer_overlap_save import IntegerOverlapSaveEngine, Pass
from fastconv._engines.spectra.overlap_save import OverlapSaveEngine, Spectrum
from fastconv._engines.spectra.overlap_save_tiling import compute_type
from fastconv._microkernels.spectra import digit_passes
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept, size_of
from fastconv._runtime.instrumentation import overrides


class WholeSpectrum(NamedTuple):
    """A kernel of whole numbers ready for `WholeOverlapSaveEngine.run`."""

    spectrum: Spectrum
    whole: Pass | None  # None if direct summation of whole numbers is faster

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.spectrum.nbytes + size_of(self.whole)


class WholeOverlapSaveEngine(OverlapSaveEngine):
    """Convolutions of one `Problem` of real floats by overlap-save, exact if all numbers are whole and small."""

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> Any:
        """Transform a kernel for `run`."""
        spectrum = super().prepare(kernel, workers)
        if spectrum.table is None or not is_whole(spectrum.kernel):
            return spectrum
        engine, table = _rounding_engine(self._problem), None
        if self._problem.sums.itemsize == 8:
            table = spectrum.table[np.newaxis]
        elif not overrides.rounding and engine.cost > cost_model.direct(self._problem):
            return WholeSpectrum(spectrum, None)
        whole = engine.whole(spectrum.kernel, workers, table)
        return spectrum if whole is None else WholeSpectrum(spectrum, whole)

    def run(self, x: np.ndarray, prepared: Any, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`: see `OverlapSaveEngine.run`."""
        if isinstance(prepared, WholeSpectrum):
            if looks_whole(x):
                if prepared.whole is None:
                    return shared_engine(self._problem)(x, prepared.spectrum.kernel, out, workers)
                engine = _rounding_engine(self._problem)
                left, _ = engine.cover(prepared.whole, np.arange(engine.units), x, out, workers)
                if not left.size:
                    return True
            prepared = prepared.spectrum
        return super().run(x, prepared, out, workers)

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        super().compile_all()
        _rounding_engine(self._problem).compile_all()


class _RoundingEngine(IntegerOverlapSaveEngine):
    """The passes over whole numbers of a `Problem` of real floats."""

    def __init__(self, problem: Problem):
        self._results = compute_type(problem)
        super().__init__(problem._replace(sums=np.dtype(np.float64)))
        self._least_limit = 1.0  # where most samples are zeros, too, results are exact if the bound says so
        self.cost = cost_model.fft(self._problem, self._layout)

    def _own_routines(self, alike: bool) -> dict[str, int]:
        results = self._results
        return {
            "split": compiled_routine(digit_passes.split_whole, digit_passes.split_whole_signature()),
            "join": compiled_routine(digit_passes.join_whole, digit_passes.join_whole_signature(results)),
        }


@kept
def _rounding_engine(problem: Problem) -> _RoundingEngine:
    return _RoundingEngine(problem)


def is_whole(array: np.ndarray) -> bool:
    """True if all elements are whole numbers."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(invalid="ignore"):
        return all(
            (np.rint(array[chunk]) == array[chunk]).all() for chunk in interruptible_numpy.chunk_slices(array.shape)
        )


# Number of elements that are tested before a pass over whole numbers.
_SAMPLE = 2048


def looks_whole(x: np.ndarray) -> bool:
    """True if a sample of elements from all parts of an array are whole numbers."""
    if overrides.rounding is not None:
        return overrides.rounding
    count = max(1, round(_SAMPLE ** (1 / x.ndim)))
    return is_whole(x[tuple(slice(None, None, max(1, extent // count)) for extent in x.shape)])
