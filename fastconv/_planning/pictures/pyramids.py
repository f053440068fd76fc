"""Steps of a Gaussian pyramid: a picture of half the size, or of twice the size."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import source_indices
from fastconv._model.geometry import BOUNDARIES
from fastconv._planning import engine_loader
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import copy


class Request(NamedTuple):
    """A step for pictures of a native type and a shape (rows, columns, channels)."""

    dtype: np.dtype
    shape: tuple[int, int, int]
    outputs: tuple[int, int]  # rows and columns of half the size; twice the size is fixed
    boundary: str
    doubles: bool


@kept
def find(request: Request) -> Pyramid:
    """Return the `Pyramid` for a request."""
    return Pyramid(request)


class Pyramid:
    """A request, with the rows and columns of the input under the taps, and the engine that computes it."""

    def __init__(self, request: Request):
        self.request, sizes = request, request.shape[:2]
        if request.doubles:
            # Mirrored in front, and repeated at the end.
            self.sources = tuple(np.r_[min(1, size - 1), :size, size - 1] for size in sizes)
        else:
            boundary = BOUNDARIES.index(request.boundary)
            self.sources = tuple(
                source_indices(-2, 2 * outputs + 3, size, boundary) for outputs, size in zip(request.outputs, sizes)
            )
        if any(table.min() < 0 for table in self.sources):  # the engine reads what they name
            raise ValueError(f"boundary must repeat samples of the picture; got {request.boundary!r}")
        self.engine = None
        if not sys.is_finalizing() and engine_loader.load().pyramid_engine.supports(request.dtype):
            pyramid_engine = engine_loader.load().pyramid_engine
            problem = pyramid_engine.PyramidProblem(request.dtype, request.shape, request.doubles, *self.sources)
            self.engine = pyramid_engine.PyramidEngine(problem)
        self.nbytes = sum(table.nbytes for table in self.sources) + (0 if self.engine is None else self.engine.nbytes)

    def __call__(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x`; both are of shape (rows, columns, channels).

        Rows of `out` are contiguous, and its type is native.
        """
        if self.engine is None or sys.is_finalizing():
            self._fill_by_numpy(x, out)
            return
        if not (x.dtype.isnative and x[0].flags.c_contiguous):
            given, x = x, np.empty(x.shape, out.dtype)
            copy(x, given)
        self.engine(x, out, workers)

    def _fill_by_numpy(self, x: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` by NumPy, where nothing can be compiled."""
        phases = [[1, 6, 1], [0, 4, 4]] if self.request.doubles else [[1, 4, 6, 4, 1]]
        step = 1 if self.request.doubles else 2
        total = math.prod(map(sum, (phases[0], phases[0])))
        integers = out.dtype.kind in "iu"
        extended = x[np.ix_(*self.sources)].astype(np.int64 if integers else out.dtype)
        with np.errstate(all="ignore"):
            for row_phase, column_phase in np.ndindex(len(phases), len(phases)):
                taps = np.multiply.outer(phases[row_phase], phases[column_phase])
                place = out[row_phase :: len(phases), column_phase :: len(phases)]
                sums = sum(
                    extended[i : i + step * len(place) : step, j : j + step * place.shape[1] : step]
                    * (tap if integers else tap / total)
                    for (i, j), tap in np.ndenumerate(taps)
                )
                place[...] = (sums + total // 2) // total if integers else sums
