"""Convolutions along three and more axes as those of matrices, by the engines for two axes.

Planes that follow each other are one plane: if rows ``y`` of plane ``z`` are rows ``z * pitch + y`` of a matrix, and
taps likewise, a convolution of the matrices is one of the volumes, as long as no sum reaches into the rows of the next
plane. For that each plane is extended by as many rows as the kernel needs; results that lie there are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv._engines.spectra import overlap_save
from fastconv._engines.spectra.integer_overlap_save import IntegerOverlapSaveEngine
from fastconv._engines.spectra.volume_parts import Parts
from fastconv._engines.spectra.whole_overlap_save import WholeOverlapSaveEngine
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept


def pitches_of(parts: Parts) -> tuple[int, ...]:
    """Rows of the matrix from one sample to the next, along all axes of the volume but the last."""
    return tuple(math.prod(parts.rows[k:]) for k in range(len(parts.places) - 1))


def matrix_of(parts: Parts) -> Problem:
    """The problem of the matrices."""
    volume, rank, pitches = parts.volume, parts.rank, pitches_of(parts)

    def row(indices: Sequence[int]) -> int:
        return sum(index * pitch for index, pitch in zip(indices, pitches))

    before = volume.x_shape[:rank]
    return volume._replace(
        x_shape=(*before, volume.x_shape[rank] * pitches[0], volume.x_shape[-1]),
        kernel_shape=(1 + row([more - 1 for more in volume.kernel_shape]), volume.kernel_shape[-1]),
        out_shape=(*before, 1 + row([results - 1 for results in volume.out_shape[rank:]]), volume.out_shape[-1]),
        axes=(rank, rank + 1),
        starts=(row(volume.starts), volume.starts[-1]),
        boundaries=(ZERO, ZERO),
    )


class MatrixTransform:
    """Transforms of the parts of a problem as matrices, with sums of the type `dtype`."""

    def __init__(self, parts: Parts, dtype: np.dtype):
        self._parts, self._pitches = parts, pitches_of(parts)
        self._problem = matrix_of(parts)._replace(sums=dtype, dtype=dtype)
        self._engine = _engine(self._problem)

    @property
    def nbytes(self) -> int:
        return self._engine.nbytes

    @property
    def most_added(self) -> int:
        """Numbers that a sum in a transform may be of."""
        return math.prod(self._problem.x_shape) + math.prod(self._problem.kernel_shape)

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        self._engine.compile_all()

    def prepare(self, taps: np.ndarray, workers: int | None) -> Any:
        """Transform a kernel whose axes are in the order of the array."""
        matrix = np.zeros(self._problem.kernel_shape, taps.dtype)
        rows = np.zeros(taps.shape[:-1], np.intp)
        for axis, pitch in enumerate(self._pitches):
            others = tuple(k for k in range(rows.ndim) if k != axis)
            rows += np.expand_dims(np.arange(taps.shape[axis]) * pitch, others)
        matrix[rows.ravel()] = taps.reshape(-1, taps.shape[-1])
        return self._engine.prepare(matrix, workers)

    def run(self, samples: np.ndarray, spectrum: Any, part: np.ndarray, workers: int | None) -> None:
        """Convolve the samples of a part, with zeros between planes, into a part of the output."""
        flat, rank = self._problem, self._parts.rank
        result = np.empty(flat.out_shape, flat.dtype)
        self._engine.run(samples.reshape(flat.x_shape), spectrum, result, workers)
        *before, row, column = result.strides
        steps = (*before, *(pitch * row for pitch in self._pitches), column)
        # Without the rows between planes.
        shape = (*result.shape[:rank], *self._parts.volume.out_shape[rank:])
        interruptible_numpy.copy(part, np.lib.stride_tricks.as_strided(result, shape, steps))


@kept
def _engine(problem: Problem) -> Any:
    """The engine for two axes."""
    if problem.sums.kind in "iu":
        return IntegerOverlapSaveEngine(problem)
    return (WholeOverlapSaveEngine if problem.sums.kind == "f" else overlap_save.OverlapSaveEngine)(problem)
