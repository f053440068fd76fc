"""Convolutions along two or three axes by transforms of whole volumes: runs `_microkernels.volume_transform`.

A matrix is a volume whose planes have one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import cost_model, scheduler
from fastconv._engines.compiled_routines import compiled_routine, transfer_routine
from fastconv._engines.layout import stored
from fastconv._engines.scratch_memory import lent_scratch
from fastconv._engines.spectra.fft_tables import NO_TRANSFORM, frequencies, radices, roots, transform
from fastconv._engines.spectra.overlap_save_tiling import COMPUTE
from fastconv._microkernels.spectra import fft_passes, real_lines, volume_transform
from fastconv._model.problem import Problem
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import listeners, notify, placed
from fastconv._simd import compilation, complex_vectors

# Parts of a step, to share among threads.
_PARTS = 32
# Passes that are as long as those along an axis, in units of one of radix 4: those along the others, and moves.
_OTHER_PASSES = 8.0


@kept
def sizes(problem: Problem) -> tuple[int, int, int]:
    """Samples along each axis of the transforms that take the least time; the last axis has twice as many as points."""
    planes, rows, columns = map(_least, *_extents(problem))
    return _size(planes), 1 if rows == 1 else _size(rows), 2 * _size(-(-columns // 2))


def _extents(problem: Problem) -> tuple[Sequence[int], ...]:
    shape, out_shape = ([extents[axis] for axis in problem.axes] for extents in (problem.x_shape, problem.out_shape))
    sizes = (_with_rows(extents, 1) for extents in (shape, problem.kernel_shape, out_shape))
    return *sizes, _with_rows(problem.starts, 0)


def _with_rows(values: Sequence[int], of_rows: int) -> tuple[int, ...]:
    """Values for planes, rows and columns, of a matrix too."""
    return tuple(values) if len(values) == 3 else (values[0], of_rows, values[1])


def _volume(array: np.ndarray, axes: int) -> np.ndarray:
    """An array whose last three axes are planes, rows and columns."""
    return array if axes == 3 else array[..., np.newaxis, :]


def _least(samples: int, taps: int, outputs: int, start: int) -> int:
    """Least size: the wanted results are the only ones at their places, and those that wrap around lie elsewhere."""
    return max(samples + taps - 1 - start, start + outputs, samples, taps)


def _size(least: int) -> int:
    """The cheapest length of a transform of at least so many points."""
    odd = [3**a * 5**b for a in range(6) for b in range(5)]
    found = (factor << shift for factor in odd for shift in range(3, 22))
    possible = (size for size in found if least <= size < 2 * max(least, 8))
    return min(possible, key=lambda size: (size * (_OTHER_PASSES + cost_model.transform_passes(radices(size))), size))


def points(problem: Problem) -> int:
    """Points of the spectrum of a volume."""
    planes, rows, columns = sizes(problem)
    return planes * rows * (columns // 2 + 1)


def estimate(problem: Problem, count: int = 1) -> float:
    """Nanoseconds to transform a kernel, and so many times samples, and their products back."""
    planes, rows, columns = sizes(problem)
    along_planes, down, across = (cost_model.transform_passes(radices(size)) for size in (planes, rows, columns // 2))
    first, before = problem.axes[0], problem.x_shape[: problem.axes[0]]
    taps = along_planes + problem.kernel_shape[0] / planes * (down + across)
    others = 2 * along_planes + (problem.x_shape[first] + problem.out_shape[first]) / planes * (down + across)
    volumes = count * math.prod(before)
    return cost_model.volume_transform(points(problem), taps + volumes * others, 1 + 2 * volumes, problem.sums.itemsize)


class VolumeTransform:
    """Transforms of real volumes of one `Problem` of two or three axes, the last ones, with zeros outside.

    Sums are of the type `dtype`, which may be wider than that of the results.
    """

    def __init__(self, problem: Problem, dtype: np.dtype):
        self._problem, self._dtype = problem, dtype
        self.compute = compute = COMPUTE[dtype.kind, dtype.itemsize]
        self._item, self._lanes = dtype.itemsize, complex_vectors.lanes_of(compute)
        planes, rows, columns = self.sizes = sizes(problem)
        self._rank = len(problem.axes)
        points, lanes, item = columns // 2, self._lanes, self._item
        self._groups = -(-rows * (points + 1) // lanes)  # of places in a slab, as many as lanes
        self._slab_bytes = self._groups * lanes * 2 * lanes * item
        self._lengths = [transform(size, compute) if size > 1 else NO_TRANSFORM for size in (planes, rows, points)]
        self._tangles, self._factors = _tangles(points, compute.name)
        buffer = max(-(-planes // lanes) * lanes, points) * 2 * lanes * item
        line_pitch = columns + 64 // item  # not a power of two
        self._scratch_bytes = buffer + lanes * line_pitch * item
        self._fields = {
            **_routines(compute),
            "store": transfer_routine(compute, stored(problem.dtype, compute)),
            "item": item,
            "lanes": lanes,
            "bins": points + 1,
            "tangles": self._tangles.ctypes.data,
            "tangle_factors": self._factors.ctypes.data,
            "tangle_count": len(self._tangles),
            "scale": _bytes(1 / (4 * planes * rows * columns), dtype),
            "slab_bytes": self._slab_bytes,
            **dict(zip(("first_plane", "first_row", "first_column"), _with_rows(problem.starts, 0))),
            **dict(zip(("out_planes", "out_rows", "out_columns"), _with_rows(problem.out_shape[-self._rank :], 1))),
            "line_pitch": line_pitch,
            "lines_at": buffer,
        }
        self._samples_job = self._job(problem.x_dtype, problem.x_shape[-self._rank :])
        self._taps_job = self._job(problem.kernel_dtype, problem.kernel_shape)
        self._work = max(1.0, estimate(problem))
        self.nbytes = self._tangles.nbytes + self._factors.nbytes + sum(length.nbytes for length in self._lengths)

    def _job(self, dtype: np.dtype, shape: Sequence[int]) -> np.ndarray:
        """The job for an input of a type and a shape."""
        pack = transfer_routine(stored(dtype, self.compute), self.compute)
        extents = dict(zip(("x_planes", "x_rows", "x_columns"), _with_rows(shape, 1)))
        job = volume_transform.VOLUME_TRANSFORM.filled({**self._fields, "pack": pack, **extents})
        for name, size, found in zip(("planes", "rows", "points"), self._points, self._lengths):
            job[name] = size, found.passes.ctypes.data, found.number
        return job

    @property
    def _points(self) -> tuple[int, int, int]:
        planes, rows, columns = self.sizes
        return planes, rows, columns // 2

    @property
    def most_added(self) -> int:
        """Numbers that a sum in a transform may be of, twice for each half of a real line."""
        return 4 * math.prod(self.sizes)

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        transform(480, self.compute)  # passes of every radix
        _run()

    def prepare(self, taps: np.ndarray, workers: int | None) -> np.ndarray:
        """The spectrum of a native kernel whose taps are in the order of a convolution."""
        planes, taps = self.sizes[0], _volume(taps, self._rank)
        table = placed(_aligned(self._groups * planes * 2 * self._lanes * self._item))
        slabs = self._slabs(taps.shape[0])
        step = self._steps(self._taps_job, slabs.ctypes.data, table.ctypes.data, workers)
        step(volume_transform.SPREAD, taps, range(-(-taps.shape[0] // self._lanes)))
        step(volume_transform.PREPARE, taps, range(self._groups))
        return table

    def run(self, samples: np.ndarray, table: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Convolve native samples into `out`, of any layout."""
        first, lanes = self._problem.starts[0], self._lanes
        samples, out = _volume(samples, self._rank), _volume(out, self._rank)
        slabs = self._slabs(max(samples.shape[-3], first + out.shape[-3]))
        step = self._steps(self._samples_job, slabs.ctypes.data, table.ctypes.data, workers)
        if listeners:
            notify("transform", problem=self._problem, sums=self._dtype, sizes=self.sizes)
        for where in np.ndindex(samples.shape[:-3]):
            step(volume_transform.SPREAD, samples[where], range(-(-samples.shape[-3] // lanes)))
            step(volume_transform.MULTIPLY, samples[where], range(self._groups))
            step(volume_transform.COLLECT, out[where], range(first // lanes, -(-(first + out.shape[-3]) // lanes)))

    def _slabs(self, planes: int) -> np.ndarray:
        """Memory for slabs of so many planes."""
        return _aligned(-(-planes // self._lanes) * self._slab_bytes)

    def _steps(self, job: np.ndarray, slabs: int, table: int, workers: int | None) -> Callable:
        """A function that takes a step for some slabs, or groups of places, in several threads."""
        compiled = _run()

        def take(step: int, array: np.ndarray, units: range) -> None:
            def part(first: int, stop: int) -> None:
                with lent_scratch(self._scratch_bytes) as scratch:
                    compiled(job, array, slabs, table, step, first, stop, scratch.ctypes.data)

            scheduler.run_ranges(part, units, self._work, _PARTS, workers)

        return take


class _Tangles(NamedTuple):
    """A table of `real_lines`, and its factors."""

    table: np.ndarray
    factors: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.table.nbytes + self.factors.nbytes


@kept
def _tangles(points: int, dtype: str) -> _Tangles:
    order = frequencies(points)
    places = np.empty(points + 1, np.intp)
    places[order] = np.arange(points)
    places[points] = places[0]
    table = np.zeros(points // 2 + 1, real_lines.TANGLE.dtype)
    low = np.arange(len(table))
    table["point"], table["opposite_point"] = places[low], places[points - low]
    table["bin"], table["opposite_bin"] = places[low], places[points - low]
    table["opposite_bin"][0] = points
    factors = -1j * roots(2 * points, len(table))
    return _Tangles(table, np.stack([factors.real, factors.imag], -1).astype(dtype))


def _aligned(size: int) -> np.ndarray:
    """So many bytes, at the start of a cache line."""
    raw = np.empty(size + 64, np.uint8)
    return raw[-raw.ctypes.data % 64 :][:size]


def _bytes(number: float, dtype: np.dtype) -> np.ndarray:
    """A number at the start of 8 bytes."""
    return np.array([number, 0], dtype).view(np.uint8)[:8]


def _routines(compute: types.Type) -> dict[str, int]:
    """Compiled routines by their fields in the job."""
    middle, rows = fft_passes.middle_signature(compute), fft_passes.rows_signature(compute)
    lines, tangles = real_lines.lines_signature(compute), real_lines.tangle_signature(compute)
    found: dict[str, tuple[Any, Any]] = {
        "lines_to_points": (real_lines.lines_to_points, lines),
        "points_to_lines": (real_lines.points_to_lines, lines),
        "untangle": (real_lines.untangle, tangles),
        "tangle": (real_lines.tangle, tangles),
        "to_planes": (fft_passes.transpose_rows, rows),
        "from_planes": (fft_passes.transpose_back, rows),
        "last_pass": (fft_passes.last_pass, middle),
        "first_pass_back": (fft_passes.first_pass_back, middle),
        "product": (fft_passes.spectrum_product, middle),
        "scale_points": (real_lines.scale_points, real_lines.scale_signature(compute)),
    }
    return {name: compiled_routine(*routine) for name, routine in found.items()}


@compilation.once
def _run():
    return compilation.compile_entry(volume_transform.run, volume_transform.signature())
