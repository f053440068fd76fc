"""Overlap-save along three and more axes, by the tiles of two.

Planes that follow each other are one plane: if rows ``y`` of plane ``z`` are rows ``z * pitch + y`` of a matrix, and
taps likewise, a convolution of the matrices is one of the volumes, as long as no sum reaches into the rows of the next
plane. For that each plane is extended beyond its boundary, by as many rows as the kernel needs; results that lie there
are left out. The matrix is transformed by the engines for two axes, so integers and whole numbers are exact.

The error of a result is to be relative to what lies under the kernel, not under the rows of the matrix in between. So
results are checked here: sums of the sizes of samples over boxes as large as the kernel, by `separable_volume`, tell
what is under it. The rules are those of `footprint_rules`; results that they do not keep are computed directly, or, if
that takes longer, all in float64 first. Samples that are not finite are left out of transforms, and results that
depend on them computed directly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, SupportsIndex

import numpy as np

from fastconv._engines import cost_model, overlap_save, plane_engine, scheduler
from fastconv._engines.footprint_rules import core, kernel_facts
from fastconv._engines.integer_overlap_save import IntegerOverlapSaveEngine
from fastconv._engines.overlap_save_tiling import COMPUTE
from fastconv._engines.routine_addresses import refuse_copies
from fastconv._engines.separable_volume import SeparableVolumeEngine, along, summed_axes
from fastconv._engines.whole_overlap_save import WholeOverlapSaveEngine
from fastconv._microkernels import point_sums
from fastconv._model.geometry import ZERO, Run, runs
from fastconv._model.guarantees import LOST_BITS, MARGIN, RAW, RELATIVE
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept, size_of
from fastconv._runtime.instrumentation import listeners, notify, overrides
from fastconv._simd import compilation


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem of three or more axes."""
    steps = problem.strides + problem.dilations
    if (
        len(problem.axes) < 3
        or problem.kernels
        or problem.pairs is not None
        or steps.count(1) != len(steps)
        or problem.finish is not None
    ):
        return False
    if (problem.sums.kind, problem.sums.itemsize) not in COMPUTE or problem.sums != problem.dtype:
        return False
    return overlap_save.supports(_Matrix.of(problem).problem)


def estimate(problem: Problem) -> float:
    """Nanoseconds for a problem that is supported."""
    matrix = _Matrix.of(problem)
    samples = math.prod(matrix.problem.x_shape) + math.prod(matrix.problem.out_shape)
    moves = _MOVE if problem.sums.kind in "iu" or problem.guarantee == RAW else _MOVE + _CHECK
    cost = overlap_save.estimate(matrix.problem) + samples * problem.sums.itemsize * moves
    return matrix.matrices * _VERSUS_PLANES * cost


# Tall tiles do not stay in a cache, and gain less from wide vectors than the sums of `plane_engine`.
_VERSUS_PLANES = 2.0
# Nanoseconds for a byte that is moved to the matrix or back, and for one that is checked.
_MOVE = 0.15
_CHECK = 0.2
# Bytes of the samples of a matrix, if a kernel does not need more.
_MATRIX = 1 << 25


class _Matrix(NamedTuple):
    """A problem with its batch first and its axes in the order of the array, and the problem of the matrices."""

    order: tuple[int, ...]  # axes of the array: the batch, then those of the volume,
    places: list[int]  # and axes of the kernel, in that order
    volume: Problem  # for some planes of the output, of samples that are extended, with zeros around
    firsts: tuple[int, ...]  # of these samples along the axes of the volume, for the first planes
    pitches: tuple[int, ...]  # rows of the matrix from one sample to the next, along all axes but the last
    starts: tuple[range, ...]  # of the batch, and of the planes of the output, for each matrix
    problem: Problem

    @classmethod
    def of(cls, problem: Problem) -> _Matrix:
        places = sorted(summed_axes(problem, 2), key=problem.axes.__getitem__)
        axes = [problem.axes[k] for k in places]
        batch = [axis for axis in range(len(problem.x_shape)) if axis not in axes]
        before = [problem.x_shape[axis] for axis in batch]
        outputs = [problem.out_shape[axis] for axis in axes]
        taps = [problem.kernel_shape[k] for k in places]
        spans = [_samples(problem, k, 0, problem.out_shape[problem.axes[k]]) for k in places]
        starts = [problem.starts[k] - first for k, (first, _) in zip(places, spans)]
        # No sum for a row that is kept reaches the samples of the plane before or after.
        rows = [
            max(count + more - 1 - start, start + results)
            for (_, count), more, start, results in zip(spans, taps, starts, outputs)
        ][1:-1]
        plane = math.prod([*rows, max(spans[-1][1], outputs[-1])]) * problem.sums.itemsize
        most = overrides.block[0] if overrides.block else _MATRIX // (plane * math.prod(before)) - taps[0]
        count = -(-outputs[0] // min(outputs[0], max(most, taps[0] // 2, 1)))
        planes = -(-outputs[0] // count)
        room = overrides.block[1] if overrides.block else max(1, _MATRIX // (plane * (planes + taps[0])))
        for k, extent in enumerate(before):  # as few as there is room for
            others = math.prod(before[k + 1 :])
            before[k] = min(extent, max(1, room // others))
        starts_of = [range(0, problem.x_shape[axis], extent) for axis, extent in zip(batch, before)]
        starts_of.append(range(0, outputs[0], planes))
        if count > 1:  # all matrices have as many samples, also outside
            first = problem.starts[places[0]] - taps[0] + 1
            spans[0], starts[0], outputs[0] = (first, planes + taps[0] - 1), taps[0] - 1, planes
        volume = along(problem, places)._replace(
            x_dtype=_sample_type(problem),
            kernel_dtype=problem.kernel_dtype.newbyteorder("="),
            x_shape=(*before, *(count for _, count in spans)),
            out_shape=(*before, *outputs),
            axes=tuple(range(len(batch), len(batch) + len(axes))),
            starts=tuple(starts),
            flip=True,
            boundaries=(ZERO,) * len(axes),
            fill_value=0,
            looks_outside=True,
            guarantee=RAW,
        )
        pitches = tuple(math.prod(rows[k:]) for k in range(len(axes) - 1))

        def row(indices: Sequence[int]) -> int:
            return sum(index * pitch for index, pitch in zip(indices, pitches))

        flat = volume._replace(
            x_shape=(*before, spans[0][1] * pitches[0], spans[-1][1]),
            kernel_shape=(1 + row([more - 1 for more in taps]), taps[-1]),
            out_shape=(*before, 1 + row([results - 1 for results in outputs]), outputs[-1]),
            axes=(len(batch), len(batch) + 1),
            starts=(row(starts), starts[-1]),
            boundaries=(ZERO, ZERO),
        )
        firsts = tuple(first for first, _ in spans)
        return cls((*batch, *axes), places, volume, firsts, pitches, tuple(starts_of), flat)

    @property
    def matrices(self) -> int:
        """How many there are."""
        return math.prod(map(len, self.starts))


def _samples(problem: Problem, k: int, first: int, count: int) -> tuple[int, int]:
    """First sample, and number of samples, under some outputs along an axis of the kernel; none of zeros outside."""
    begin = problem.starts[k] + first - problem.kernel_shape[k] + 1
    stop = problem.starts[k] + first + count
    if problem.boundaries[k] == ZERO:
        extent = problem.x_shape[problem.axes[k]]
        begin = min(max(begin, 0), extent - 1)
        stop = max(min(stop, extent), begin + 1)
    return begin, stop - begin


def _sample_type(problem: Problem) -> np.dtype:
    """The type of the samples of a matrix, which may be fill values; floats if the sums are."""
    if problem.fills or (problem.x_dtype.kind in "biu" and problem.sums.kind == "f"):
        return problem.sums
    is_whole = problem.x_dtype.kind in "biu" and problem.sums.kind == "c"
    return np.empty(0, problem.sums).real.dtype if is_whole else problem.x_dtype.newbyteorder("=")


class Taps(NamedTuple):
    """Some taps of the kernel along an axis."""

    first: int
    length: int


class VolumeSpectrum(NamedTuple):
    """A kernel ready for `VolumeOverlapSaveEngine.run`."""

    kernel: np.ndarray  # of the problem,
    taps: np.ndarray  # and flipped if need be, with its axes in the order of the array
    spectrum: Any  # None where the kernel is not finite
    norm: float
    largest: float
    sign: int
    core: tuple[Taps, ...] = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.kernel.nbytes + self.taps.nbytes + size_of(self.spectrum)


class _Under(NamedTuple):
    """What is under the kernel: sums of sizes, None if they are large enough, and what the rules compare with."""

    sizes: np.ndarray | None
    empty: np.ndarray | None  # where only zeros are under the kernel
    most: float
    result: float  # 0 if results are not compared

    def weak(self, part: np.ndarray, portion: float) -> np.ndarray | None:
        """The results whose error may be too large."""
        weak = None if self.sizes is None else self.sizes < portion * self.most
        if self.result:
            small = np.abs(part) < portion * self.result
            weak = small if weak is None else weak | small
        return weak if weak is None or self.empty is None else weak & ~self.empty


class VolumeOverlapSaveEngine:
    """Convolutions of one `Problem` of three or more axes by transforms."""

    name = "volume_fft"

    def __init__(self, problem: Problem):
        self._problem, self._matrix = problem, _Matrix.of(problem)
        self._engine = _engine(self._matrix.problem)
        self._is_float = problem.sums.kind in "fc"
        self._real = np.empty(0, problem.sums).real.dtype
        self._parts = 2 if problem.sums.kind == "c" else 1
        rank = len(self._matrix.order) - len(self._matrix.places)
        self._sizes = [1] * rank + [_REFINED] * len(self._matrix.places)
        self._all = tuple(Taps(0, count) for count in self._matrix.volume.kernel_shape)
        self._part = MARGIN / 2.0 ** LOST_BITS[self._real.itemsize] if self._is_float else 0.0

    @property
    def nbytes(self) -> int:
        return self._engine.nbytes

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        self._engine.compile_all()
        if self._is_float:
            dtype, flat = _WIDE[self._problem.sums.kind], self._matrix.problem
            _engine(flat._replace(sums=dtype, dtype=dtype)).compile_all()
            if self._parts == 1:
                _compiled_sum_points(self._real.itemsize)
            _box_engine(self._box(self._all, (1,) * len(self._all), self._matrix.volume.x_shape))

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> VolumeSpectrum:
        """Transform a kernel for `run`."""
        kernel = interruptible_numpy.converted(kernel, kernel.dtype.newbyteorder("="))
        places = self._matrix.places
        others = [k for k in range(kernel.ndim) if k not in places]
        taps = kernel.transpose(*others, *places).reshape([kernel.shape[k] for k in places])
        if not self._problem.flip:
            taps = np.flip(taps)
        taps = np.ascontiguousarray(taps)
        if not interruptible_numpy.is_finite(kernel) and not np.isfinite(kernel).all():
            return VolumeSpectrum(kernel, taps, None, math.nan, math.nan, 0)
        facts = kernel_facts(taps.reshape(-1, taps.shape[-1]))
        spectrum = self._engine.prepare(self._flattened(taps), workers)
        return VolumeSpectrum(kernel, taps, spectrum, facts.norm, facts.largest, facts.sign, _core(taps))

    def _flattened(self, taps: np.ndarray) -> np.ndarray:
        """The kernel as a matrix, with its rows where those of the samples lie."""
        matrix = np.zeros(self._matrix.problem.kernel_shape, taps.dtype)
        rows = np.zeros(taps.shape[:-1], np.intp)
        for axis, pitch in enumerate(self._matrix.pitches):
            rows += np.expand_dims(np.arange(taps.shape[axis]) * pitch, _without(axis, rows.ndim))
        matrix[rows.ravel()] = taps.reshape(-1, taps.shape[-1])
        return matrix

    def run(self, x: np.ndarray, prepared: VolumeSpectrum, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; return False where only NumPy can compute it."""
        problem, matrix = self._problem, self._matrix
        if listeners:
            notify(self.name, problem=problem, x=x, out=out, matrix=matrix.problem, count=matrix.matrices)
        if prepared.spectrum is None:
            return _directly(problem, x, prepared.kernel, out, workers)
        for first in itertools.product(*matrix.starts):
            where = [slice(0, extent) for extent in out.shape]
            for axis, start, extent in zip(matrix.order, first, matrix.volume.out_shape):
                start = min(start, out.shape[axis] - extent)  # the last matrix is as large as all others
                where[axis] = slice(start, start + extent)
            self._run_part(x, prepared, out, tuple(where), workers)
        return True

    def _run_part(self, x, prepared: VolumeSpectrum, out: np.ndarray, where: tuple[slice, ...], workers) -> None:
        """Fill some planes of the output."""
        samples, part = self._extended(x, where), out[where].transpose(self._matrix.order)
        if not self._is_float:
            self._transform(self._matrix.problem, prepared.spectrum, samples, part, workers)
            return
        lowest, highest = _limits(samples)
        missing = None
        if not math.isfinite(lowest + highest):
            finite = np.isfinite(samples)
            if not finite.all():
                missing = self._boxes((~self._inside(finite)).astype(self._real), self._all, workers) > 0.5
                samples[~finite] = 0
                lowest, highest = _limits(samples)
        largest = max(-lowest, highest)
        if not self._may_transform(largest, prepared):
            self._refine(x, np.ones(part.shape, bool), prepared, out, where, workers)
            return
        sign = prepared.sign * (1 if lowest >= 0 else -1 if highest <= 0 else 0) * (self._parts == 1)
        under = self._look(samples, prepared, largest, sign, workers)
        flat, spectrum, portion = self._matrix.problem, prepared.spectrum, self._part
        if self._needs_double(under):
            dtype = _WIDE[self._problem.sums.kind]
            flat, portion = flat._replace(sums=dtype, dtype=dtype), portion * _DOUBLE_EPS
            spectrum = _engine(flat).prepare(self._flattened(prepared.taps), workers)
        self._transform(flat, spectrum, samples, part, workers)
        weak = under.weak(part, portion)
        if sign:
            (np.maximum if sign > 0 else np.minimum)(part, 0, out=part)
        if under.empty is not None:
            part[under.empty] = 0
        if weak is not None and weak.any() and not self._sum_points(samples, weak, prepared, part, workers):
            self._refine(x, weak, prepared, out, where, workers)
        if missing is not None and missing.any():
            self._refine(x, missing, prepared, out, where, workers)

    def _may_transform(self, largest: float, prepared: VolumeSpectrum) -> bool:
        """Whether no sum overflows, and no product that counts is too small for its type."""
        points = float(math.prod(self._matrix.problem.x_shape) + math.prod(self._matrix.problem.kernel_shape))
        limits = np.finfo(self._real)
        tiny, most = float(limits.tiny), float(limits.max)
        if not (largest * points < most and prepared.largest * points < most):
            return False
        if not largest * prepared.norm * points < most:
            return False
        if largest == 0 or prepared.norm == 0:
            return True
        return prepared.largest >= points * tiny and largest >= max(64 * tiny, points * tiny / prepared.norm)

    def _transform(self, flat: Problem, spectrum: Any, samples: np.ndarray, part: np.ndarray, workers) -> None:
        """Convolve samples, as a matrix, into a part of the output, its axes in the order of a volume."""
        volume, result = self._matrix.volume, np.empty(flat.out_shape, flat.dtype)
        _engine(flat).run(samples.reshape(flat.x_shape), spectrum, result, workers)
        rank = len(flat.x_shape) - 2
        *before, row, column = result.strides
        steps = (*before, *(pitch * row for pitch in self._matrix.pitches), column)
        # Without the rows between planes.
        found = np.lib.stride_tricks.as_strided(result, (*result.shape[:rank], *volume.out_shape[rank:]), steps)
        interruptible_numpy.copy(part, found)

    def _extended(self, x: np.ndarray, where: tuple[slice, ...]) -> np.ndarray:
        """Copy the samples of some planes of the output, extended by the boundary, with zeros between the planes."""
        problem, matrix = self._problem, self._matrix
        rank, volume = len(matrix.order) - len(matrix.places), matrix.volume
        rows = [before // after for before, after in zip(matrix.pitches, matrix.pitches[1:])]
        x, shape = x.transpose(matrix.order), volume.x_shape
        x = x[tuple(where[axis] for axis in matrix.order[:rank])]
        whole = np.empty((*shape[: rank + 1], *rows, shape[-1]), volume.x_dtype)
        cuts: list[list[Run]] = []
        for axis, k in enumerate(matrix.places, rank):
            first = matrix.firsts[axis - rank] + (where[problem.axes[k]].start if axis == rank else 0)
            cuts.append(runs(first, shape[axis], x.shape[axis], problem.boundaries[k]))
            whole[(slice(None),) * axis + (slice(shape[axis], None),)] = 0
        result = whole[tuple(slice(0, extent) for extent in shape)]
        for parts in itertools.product(*cuts):
            inside = tuple(slice(run.offset, run.offset + run.length) for run in parts)
            target = result[(slice(None),) * rank + inside]
            outside = [problem.boundaries[k] for k, run in zip(matrix.places, parts) if run.source < 0]
            if outside:
                target[...] = 0 if ZERO in outside else problem.fill_value
                continue
            source = x
            for axis, run in enumerate(parts, rank):
                source = source[(slice(None),) * axis + (run.indices,)]
            interruptible_numpy.copy(target, np.broadcast_to(source, target.shape))
        return whole

    def _inside(self, samples: np.ndarray) -> np.ndarray:
        """The samples without the zeros between planes."""
        return samples[tuple(slice(0, extent) for extent in self._matrix.volume.x_shape)]

    def _boxes(
        self, sizes: np.ndarray, taps: tuple[Taps, ...], workers: int | None, steps: Sequence[int] = ()
    ) -> np.ndarray:
        """Sums of the sizes of the samples under some taps of the kernel; or, with steps, of one sample in so many.

        Then there is a box for each sample taken, and every footprint holds one of those boxes.
        """
        box = self._box(taps, steps or (1,) * len(taps), sizes.shape)
        engine, result = _box_engine(box), np.empty(box.out_shape, sizes.dtype)
        ones = engine.unscaled([np.ones(count, sizes.dtype) for count in box.kernel_shape])
        engine.run(sizes, ones, result, workers)
        return result

    def _box(self, taps: tuple[Taps, ...], steps: Sequence[int], shape: tuple[int, ...]) -> Problem:
        """The problem of `_boxes`, of sizes of this shape."""
        dtype, volume, rank = self._real, self._matrix.volume, len(shape) - len(self._matrix.places)
        out_shape, counts, starts = list(volume.out_shape), [], []
        for axis, (start, some, step) in enumerate(zip(volume.starts, taps, steps), rank):
            left = start - some.first - some.length + 1  # the sample under the first of the taps, at output 0,
            first = -(-left // step)  # and the next one taken
            counts.append(some.length // step)
            starts.append(first + counts[-1] - 1)
            out_shape[axis] = -(-(left + volume.out_shape[axis] - 1) // step) - first + 1
        return volume._replace(
            x_dtype=dtype,
            kernel_dtype=dtype,
            sums=dtype,
            dtype=dtype,
            x_shape=shape,
            kernel_shape=tuple(counts),
            out_shape=tuple(out_shape),
            starts=tuple(starts),
        )

    def _is_clear(self, samples: np.ndarray, core: tuple[Taps, ...], most: float, workers: int | None) -> bool:
        """Whether a part of the samples already tells that enough of them is under the kernel everywhere."""
        wanted = _STEPS[self._real.itemsize]
        steps = [max(1, min(wanted, taps.length // 4)) for taps in core]
        if self._real.itemsize == 4:
            steps[0] = 1
        rank = samples.ndim - len(steps)
        some = samples[(slice(None),) * rank + tuple(slice(None, None, step) for step in steps)]
        under = self._boxes(np.abs(some).astype(self._real, copy=False), core, workers, steps)
        return bool((under >= most).all())

    def _look(self, samples, prepared: VolumeSpectrum, largest: float, sign: int, workers) -> _Under:
        """Look at what is under the kernel, unless a part of the samples shows that it is enough everywhere."""
        if self._problem.guarantee == RAW:
            return _Under(None, None, 0.0, 0.0)
        inside, norm = self._inside(samples), _norm(samples, largest)
        most = math.sqrt(math.prod(taps.length for taps in prepared.core) * self._parts) * norm
        result = prepared.norm * norm if sign and self._problem.guarantee == RELATIVE else 0.0
        if self._is_clear(inside, prepared.core, self._part * most, workers):
            return _Under(None, None, most, result)
        sizes = np.abs(inside).astype(self._real, copy=False)
        under = self._boxes(sizes, prepared.core, workers)
        empty = under == 0
        if prepared.core != self._all and empty.any():
            empty = self._boxes(sizes, self._all, workers) == 0
        return _Under(under, empty, most, result)

    def _needs_double(self, under: _Under) -> bool:
        """Whether so many results of float32 would be computed directly that a transform in float64 is faster."""
        if self._real.itemsize == 8 or under.sizes is None or under.empty is None:
            return False
        weak = (under.sizes < self._part * under.most) & ~under.empty
        if self._points_cost(weak) < WORK_OF_POINTS:
            return False
        direct = sum(self._cost_of(box) for box in _boxes_of(weak, self._sizes))
        return direct > (cost_model.IN_DOUBLE - 1) * estimate(self._problem) / self._matrix.matrices

    def _cost_of(self, box: tuple[slice, ...]) -> float:
        """Estimate the direct computation of a box of results of the volume."""
        volume, rank = self._matrix.volume, len(box) - len(self._matrix.places)
        products = math.prod(part.stop - part.start for part in box)
        for axis, (taps, start) in enumerate(zip(volume.kernel_shape, volume.starts), rank):
            first = max(0, start + box[axis].start - volume.x_shape[axis] + 1)
            products *= max(1, min(taps, start + box[axis].stop) - first)
        return _BLOCK_CALL + products * 0.25 * self._problem.sums.itemsize / 32

    def _points_cost(self, marked: np.ndarray) -> float:
        """Estimated nanoseconds to compute marked results one by one; infinite if impossible, or too long."""
        volume, rank = self._matrix.volume, marked.ndim - len(self._matrix.places)
        if not self._is_float or self._parts == 2 or marked.ndim - rank != 3:
            return math.inf
        if np.count_nonzero(marked) * _POINT > WORK_OF_POINTS:
            return math.inf
        places = np.unravel_index(np.flatnonzero(marked), marked.shape)[rank:]
        products = np.ones(places[0].size)
        for axis, at in enumerate(places, rank):
            firsts = volume.starts[axis - rank] + at - volume.kernel_shape[axis - rank] + 1
            inside = np.minimum(firsts + volume.kernel_shape[axis - rank], volume.x_shape[axis]) - np.maximum(firsts, 0)
            products *= np.maximum(inside, 0)
        return float(_POINT * products.size + _POINT_PRODUCT * products.sum())

    def _sum_points(self, samples: np.ndarray, weak: np.ndarray, prepared: VolumeSpectrum, part, workers) -> bool:
        """Compute marked results one by one, if that takes little time; return whether it did."""
        cost = self._points_cost(weak)
        if cost > WORK_OF_POINTS:
            return False
        if listeners:
            notify("points", marked=weak)
        volume, item = self._matrix.volume, samples.itemsize
        rank = weak.ndim - 3
        axes = np.zeros(3, point_sums.POINT_AXIS.dtype)
        for k, axis in enumerate(range(rank, weak.ndim)):
            axes[k] = (
                volume.x_shape[axis],
                samples.strides[axis] // item,
                volume.kernel_shape[k],
                prepared.taps.strides[k] // prepared.taps.itemsize,
                volume.out_shape[axis],
                volume.starts[k] - volume.kernel_shape[k] + 1,
            )
        taps = np.ascontiguousarray(np.flip(prepared.taps), self._real)
        whole = samples.astype(self._real, copy=False)
        job = point_sums.POINT_JOB.filled(
            {"x": whole.ctypes.data, "taps": taps.ctypes.data, "batch": math.prod(whole.shape[rank:])}
        )
        points = np.flatnonzero(weak)
        sums, step = np.empty(points.size), max(1, int(points.size * _AT_ONCE / cost))
        calls = [
            (
                job.ctypes.data,
                axes.ctypes.data,
                points[k:].ctypes.data,
                min(step, points.size - k),
                sums[k:].ctypes.data,
            )
            for k in range(0, points.size, step)
        ]
        scheduler.run_each(_compiled_sum_points(self._real.itemsize), calls, scheduler.threads_for(len(calls), workers))
        part[np.unravel_index(points, weak.shape)] = sums
        return True

    def _refine(self, x, weak: np.ndarray, prepared: VolumeSpectrum, out, where: tuple[slice, ...], workers) -> None:
        """Compute marked results of a part of the output directly, block by block."""
        matrix = self._matrix
        if listeners:
            notify("vague", double=np.zeros(0, np.intp), marked=weak)
        back = np.argsort(matrix.order)
        weak, sizes = weak.transpose(back), [self._sizes[place] for place in back]
        for box in _boxes_of(weak, sizes):
            block = tuple(slice(w.start + part.start, w.start + part.stop) for w, part in zip(where, box))
            target = out[block]
            direct = np.empty(target.shape, out.dtype)
            _directly(self._problem, x, prepared.kernel, direct, workers, block)
            np.copyto(target, direct, where=weak[box])


# Of so many samples along each axis one is looked at first, by bytes of a real number: float32 is closer to its limit.
_STEPS = {4: 2, 8: 4}
# Outputs of a block along each axis; adjacent blocks with marked results are computed together.
_REFINED = 8
# Nanoseconds for a result that is computed on its own, and each of its products; for all where that is always done,
# and of a call between two checks for signals.
_POINT, _POINT_PRODUCT = 40.0, 0.8
WORK_OF_POINTS = 20_000_000.0
_AT_ONCE = 2_000_000.0
# Nanoseconds to prepare and to run an engine for a box.
_BLOCK_CALL = 500_000.0
_DOUBLE_EPS = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)
_WIDE = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}


def _boxes_of(marked: np.ndarray, sizes: Sequence[int]) -> list[tuple[slice, ...]]:
    """Boxes that hold all marks: blocks of a size along each axis that hold one, joined where they are adjacent."""
    blocks = marked
    for axis, size in enumerate(sizes):
        if size > 1:
            blocks = np.logical_or.reduceat(blocks, np.arange(0, blocks.shape[axis], size), axis)
    blocks, found = blocks.copy(), []
    for place in np.argwhere(blocks).tolist():
        if not blocks[tuple(place)]:
            continue
        ends = [index + 1 for index in place]
        for axis in range(blocks.ndim):  # as far as all blocks are marked
            others = [slice(first, end) for first, end in zip(place, ends)]
            others[axis] = slice(place[axis], None)
            whole = blocks[tuple(others)].all(axis=_without(axis, blocks.ndim))
            ends[axis] = place[axis] + (int(np.argmin(whole)) if not whole.all() else whole.size)
        blocks[tuple(slice(first, end) for first, end in zip(place, ends))] = False
        corner = [index * size for index, size in zip(place, sizes)]
        inner = marked[tuple(slice(first, end * size) for first, end, size in zip(corner, ends, sizes))]
        places = [np.flatnonzero(inner.any(axis=_without(axis, inner.ndim))) for axis in range(inner.ndim)]
        found.append(tuple(slice(first + int(at[0]), first + int(at[-1]) + 1) for first, at in zip(corner, places)))
    return found


def _without(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(other for other in range(ndim) if other != axis)


@kept
def _engine(problem: Problem) -> Any:
    """The engine for two axes."""
    if problem.sums.kind in "iu":
        return IntegerOverlapSaveEngine(problem)
    return (WholeOverlapSaveEngine if problem.sums.kind == "f" else overlap_save.OverlapSaveEngine)(problem)


@compilation.once
def _compiled_sum_points(itemsize: int):
    return compilation.compile_entry(point_sums.SUM_POINTS[itemsize], point_sums.signature())


@kept
def _box_engine(problem: Problem) -> SeparableVolumeEngine:
    return SeparableVolumeEngine(problem)


def _core(taps: np.ndarray) -> tuple[Taps, ...]:
    """The taps along each axis that count for the rules."""
    sizes, found = np.abs(taps), []
    for axis in range(taps.ndim):
        first, last = core(sizes.max(axis=_without(axis, taps.ndim)).astype(np.float64))
        found.append(Taps(first, last - first + 1))
    return tuple(found)


def _limits(samples: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest sample, or part of one; NaN where one is NaN."""
    lowest, highest = math.inf, -math.inf
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        for array in (samples.real, samples.imag) if samples.dtype.kind == "c" else (samples,):
            for chunk in interruptible_numpy.chunk_slices(array.shape):
                low, high = float(array[chunk].min()), float(array[chunk].max())
                if math.isnan(low):
                    return low, low
                lowest, highest = min(lowest, low), max(highest, high)
    return lowest, highest


def _norm(samples: np.ndarray, largest: float) -> float:
    """The 2-norm of samples, the largest part of which is known, without overflow."""
    line, real = samples.reshape(-1).view(samples.real.dtype), samples.real.dtype.type
    if largest == 0:
        return 0.0
    unit = 1.0 if 2.0**-30 < largest < 2.0**30 else 2.0 ** math.frexp(largest)[1]
    squares = 0.0
    for (chunk,) in interruptible_numpy.chunk_slices(line.shape):
        part = line[chunk] if unit == 1.0 else line[chunk] * real(1 / unit)
        squares += float(part @ part)
    return unit * math.sqrt(squares)


def _directly(problem: Problem, x, kernel, out, workers: int | None, where: tuple[slice, ...] | None = None) -> bool:
    """Fill `out`, the part `where` of a problem's result, without the taps that reach no sample."""
    if where is not None:
        problem, source = problem.part(where)
        x = x[source]
    starts, within = list(problem.starts), [slice(None)] * kernel.ndim
    for k, axis in enumerate(problem.axes):
        if problem.boundaries[k] == ZERO:
            taps = kernel.shape[k]
            first = max(0, starts[k] - x.shape[axis] + 1)
            last = min(taps, starts[k] + out.shape[axis])
            if first >= last:
                out[...] = 0
                return True
            within[k] = slice(first, last) if problem.flip else slice(taps - last, taps - first)
            starts[k] -= first
    kernel = np.ascontiguousarray(kernel[tuple(within)])
    part = problem._replace(kernel_shape=kernel.shape, starts=tuple(starts), kernel_dtype=kernel.dtype)
    plane_engine.compute(part, x, kernel, out, workers)
    return True
