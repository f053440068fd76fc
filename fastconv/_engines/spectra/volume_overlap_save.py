"""Overlap-save along three and more axes: transforms of some planes at a time, whose results are checked.

Real volumes of three axes are transformed as they are (`volume_transform`), all others as matrices of their planes by
the tiles for two axes (`plane_matrices`), so integers are exact. So are whole numbers: if the kernel is whole, samples
are transformed in float64, and if they are whole and small enough, results are rounded.

Real problems of two axes are transformed whole where tiles would hardly be smaller: a tile holds two of them, and half
of it would be empty. 1024 x 1024 by as many taps in float32 took 35 ms in tiles, and 11 whole.

The error of a result is to be relative to what lies under the kernel. So results are checked here: by bounds for groups
of results first (`window_bounds`); where these fail for more than a few, sums of the sizes of samples over boxes as
large as the kernel, by `box_sums`, tell what is under it. A box of n samples has a norm of at least its sum over
``sqrt(n)``, where n counts the samples that there are, few at the ends of the array. The rules are those of
`footprint_rules`; results that they do not keep are computed directly, or, if that takes longer, all in float64 first.
Samples that are not finite are left out of transforms, and results that depend on them computed directly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, SupportsIndex

import numpy as np

from fastconv._engines import cost_model, layout, scheduler
from fastconv._engines.planes import plane_engine
from fastconv._engines.routine_addresses import refuse_copies
from fastconv._engines.spectra import box_sums, overlap_save, volume_transform, window_bounds
from fastconv._engines.spectra.box_sums import BoxAxis, sum_boxes
from fastconv._engines.spectra.integer_overlap_save import WHOLE_ERROR
from fastconv._engines.spectra.overlap_save_tiling import COMPUTE, MOST_POINTS
from fastconv._engines.spectra.plane_matrices import MatrixTransform, matrix_of
from fastconv._engines.spectra.volume_facts import (
    Taps,
    all_but,
    core_of,
    facts_of,
    norm_of,
    smallest_of,
    squares_are_precise,
)
from fastconv._engines.spectra.volume_parts import Parts
from fastconv._engines.spectra.volume_transform import VolumeTransform
from fastconv._engines.spectra.whole_overlap_save import is_whole, looks_whole
from fastconv._engines.spectra.window_bounds import Survey, WindowAxis, groups_of, results_of, survey
from fastconv._microkernels.spectra import point_sums
from fastconv._model.geometry import ZERO
from fastconv._model.guarantees import LOST_BITS, MARGIN, RAW, RELATIVE
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept, size_of
from fastconv._runtime.instrumentation import listeners, notify, overrides
from fastconv._simd import compilation


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem of several axes, of two only if it is real."""
    steps = problem.strides + problem.dilations
    if problem.kernels or problem.pairs is not None or steps.count(1) != len(steps) or problem.finish is not None:
        return False
    if (problem.sums.kind, problem.sums.itemsize) not in COMPUTE or problem.sums != problem.dtype:
        return False
    if len(problem.axes) == 1 or (len(problem.axes) == 2 and problem.sums.kind != "f"):
        return False
    parts, is_volume = _parts_of(problem)
    if is_volume:
        return layout.supports(problem.sums) and volume_transform.points(parts.volume) <= MOST_POINTS
    return overlap_save.supports(matrix_of(parts))


def estimate(problem: Problem) -> float:
    """Nanoseconds for a problem that is supported."""
    parts, is_volume = _parts_of(problem)
    shape = matrix_of(parts) if not is_volume else parts.volume
    samples = math.prod(shape.x_shape) + math.prod(shape.out_shape)
    moves = _MOVE if problem.sums.kind in "iu" or problem.guarantee == RAW else _MOVE + _CHECK
    moves *= samples * problem.sums.itemsize
    if is_volume:
        return _VERSUS_PLANES * (volume_transform.estimate(parts.volume, parts.number) + parts.number * moves)
    return parts.number * _VERSUS_PLANES * (overlap_save.estimate(shape) + moves)


def estimate_whole(problem: Problem) -> float:
    """Nanoseconds for a problem of two axes; infinite where tiles are far smaller, or the engine does not take it."""
    extents = [problem.x_shape[axis] for axis in problem.axes]
    if len(extents) != 2 or math.prod(problem.kernel_shape) * _SMALLER < math.prod(extents) or not supports(problem):
        return math.inf
    if volume_transform.points(_parts_of(problem).parts.volume) < _LEAST_POINTS:
        return math.inf
    return _VERSUS_TILES * estimate(problem) + _WHOLE_CALL


# A kernel may have so many times fewer taps than there are samples, and spectra have at least so many points: those of
# a batch are transformed one by one.
_SMALLER, _LEAST_POINTS = 16, 1 << 16
# Compared with `overlap_save`: time as estimated, and that of a call, of which the bounds take most.
_VERSUS_TILES, _WHOLE_CALL = 0.85, 700_000.0
# Transforms and checks that do not stay in a cache gain less from wide vectors than the sums of `plane_engine`.
_VERSUS_PLANES = 2.0
# Nanoseconds for a byte that is moved to a part or back, and for one that is checked.
_MOVE = 0.15
_CHECK = 0.2


class _Cut(NamedTuple):
    """The parts of a problem, and whether they are transformed as volumes, not as matrices."""

    parts: Parts
    is_volume: bool


@kept
def _parts_of(problem: Problem) -> _Cut:
    parts = Parts.of(problem, False)
    if problem.sums.kind == "f" and (len(parts.places) == 3 or len(problem.axes) == 2):
        return _Cut(parts, True)
    return _Cut(Parts.of(problem, True), False)


class VolumeSpectrum(NamedTuple):
    """A kernel ready for `VolumeOverlapSaveEngine.run`."""

    kernel: np.ndarray  # of the problem,
    taps: np.ndarray  # and flipped if need be, with its axes in the order of the array
    spectrum: Any  # None where the kernel is not finite
    norm: float
    largest: float
    sign: int
    core: tuple[Taps, ...] = ()
    is_whole: bool = False

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.kernel.nbytes + self.taps.nbytes + size_of(self.spectrum)


class _Points(NamedTuple):
    """Numbers of results that are computed one by one, and the estimated nanoseconds for all."""

    numbers: np.ndarray
    cost: float


class _Under(NamedTuple):
    """What is under the kernel: bounds of norms, None if they are large enough but for a few results, and all."""

    norms: np.ndarray | None
    empty: np.ndarray | None  # where only zeros are under the kernel
    few: _Points | None  # results that are computed one by one, whatever is under the kernel
    norm: float  # of all samples

    def weak(self, portion: float) -> np.ndarray | None:
        """The results whose error may be too large."""
        weak = None if self.norms is None else self.norms < portion * self.norm
        return weak if weak is None or self.empty is None else weak & ~self.empty


class VolumeOverlapSaveEngine:
    """Convolutions of one `Problem` of two or more axes by transforms."""

    name = "volume_fft"

    def __init__(self, problem: Problem):
        self._problem = problem
        self._parts, self._is_volume = _parts_of(problem)
        self._real = np.empty(0, problem.sums).real.dtype
        self._is_float, self._is_complex = problem.sums.kind in "fc", problem.sums.kind == "c"
        self._sizes = [1] * self._parts.rank + [_REFINED] * len(self._parts.places)
        self._all = tuple(Taps(0, count) for count in self._parts.volume.kernel_shape)
        self._part = MARGIN / 2.0 ** LOST_BITS[self._real.itemsize] if self._is_float else 0.0

    @property
    def nbytes(self) -> int:
        return self._transform(False).nbytes

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        self._transform(False).compile_all()
        if self._is_float:
            self._transform(True).compile_all()
            if self._is_volume:  # for whole numbers
                _transform(self._parts, _WIDE["f"], True, _WIDE["f"])
            sizes = self._real if self._is_complex else self._parts.volume.x_dtype
            window_bounds.compile_all(sizes)
            box_sums.compile_all(sizes, self._real)
            if not self._is_complex:
                _compiled_sum_points(self._real.itemsize)

    def _transform(self, in_double: bool) -> Any:
        """The transform of parts in the type of the sums, or in double precision."""
        dtype = _WIDE[self._problem.sums.kind] if in_double else self._problem.sums
        return _transform(self._parts, dtype, self._is_volume)

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> VolumeSpectrum:
        """Transform a kernel for `run`."""
        kernel = interruptible_numpy.converted(kernel, kernel.dtype.newbyteorder("="))
        places = self._parts.places
        others = [k for k in range(kernel.ndim) if k not in places]
        taps = kernel.transpose(*others, *places).reshape([kernel.shape[k] for k in places])
        if not self._problem.flip:
            taps = np.flip(taps)
        taps = np.ascontiguousarray(taps)
        facts = facts_of(taps, workers)
        if facts is None:
            return VolumeSpectrum(kernel, taps, None, math.nan, math.nan, 0)
        whole = self._is_volume and looks_whole(taps) and is_whole(taps)
        spectrum = self._transform(whole).prepare(taps, workers)
        return VolumeSpectrum(
            kernel, taps, spectrum, facts.norm, facts.largest, facts.sign, core_of(taps, facts.largest), whole
        )

    def run(self, x: np.ndarray, prepared: VolumeSpectrum, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; return False where only NumPy can compute it."""
        problem, parts = self._problem, self._parts
        if listeners:
            notify(self.name, problem=problem, x=x, out=out, volume=parts.volume, count=parts.number)
        if prepared.spectrum is None:
            return _directly(problem, x, prepared.kernel, out, workers)
        with np.errstate(all="ignore"):  # samples may be a view of the input, which another thread may change
            for where in parts.outputs(out.shape):
                self._run_part(x, prepared, out, where, workers)
        return True

    def _run_part(self, x, prepared: VolumeSpectrum, out: np.ndarray, where: tuple[slice, ...], workers) -> None:
        """Fill some planes of the output."""
        samples, part = self._parts.samples(self._problem, x, where), out[where].transpose(self._parts.order)
        if not self._is_float:
            self._transform(False).run(samples, prepared.spectrum, part, workers)
            return
        found, missing = self._survey(samples, prepared.core, workers), None
        if not found.is_finite:
            finite = np.isfinite(samples)
            if not finite.all():
                absent = ~self._parts.inside(finite)
                missing = self._boxes(absent.astype(self._real), self._all, workers) > 0.5
                samples = np.where(finite, samples, samples.dtype.type(0))  # which may be a view of the input
                found = self._survey(samples, prepared.core, workers)
        if not self._may_transform(found.largest, prepared):
            self._refine(x, np.ones(part.shape, bool), prepared, out, where, workers)
            return
        if not squares_are_precise(found.largest):
            found = found._replace(norm=norm_of(samples, found.largest))
        if not (prepared.is_whole and self._run_whole(samples, found.norm, prepared, part, workers)):
            weak = self._run_checked(samples, found, prepared, part, workers)
            if weak is not None and weak.any() and not self._sum_points(samples, weak, prepared, part, workers):
                self._refine(x, weak, prepared, out, where, workers)
        if missing is not None and missing.any():
            self._refine(x, missing, prepared, out, where, workers)

    def _run_whole(self, samples, norm: float, prepared: VolumeSpectrum, part: np.ndarray, workers) -> bool:
        """Convolve samples that are whole and small enough to round results in float64; return whether they are."""
        points = volume_transform.points(self._parts.volume)
        error = overrides.error or WHOLE_ERROR * (math.log2(points) + 2)
        if not (looks_whole(samples) and error * norm * prepared.norm < 0.5 and is_whole(samples)):
            return False
        if listeners:
            notify("whole", problem=self._problem)
        exact = part if part.dtype.itemsize == 8 else np.empty(part.shape)
        _transform(self._parts, _WIDE["f"], True, _WIDE["f"]).run(samples, prepared.spectrum, exact, workers)
        for chunk in interruptible_numpy.chunk_slices(part.shape):
            np.rint(exact[chunk], part[chunk], casting="same_kind")
        return True

    def _run_checked(
        self, samples, found: Survey, prepared: VolumeSpectrum, part: np.ndarray, workers
    ) -> np.ndarray | None:
        """Convolve samples; return where the error may be too large, None for nowhere."""
        under, spectrum, portion = self._look(samples, found, prepared, workers), prepared.spectrum, self._part
        in_double = prepared.is_whole
        if not in_double and self._needs_double(under):
            in_double, spectrum = True, self._transform(True).prepare(prepared.taps, workers)
        if in_double and self._real.itemsize == 4:
            portion *= _DOUBLE_EPS
        self._transform(in_double).run(samples, spectrum, part, workers)
        weak = under.weak(portion)
        sign = 0 if self._is_complex else prepared.sign * found.sign
        if sign:
            smallest, limit = smallest_of(part, sign), portion * prepared.norm * found.norm
            if self._problem.guarantee == RELATIVE and smallest < limit:
                small = sign * part < limit
                weak = small if weak is None else weak | small
                weak = weak if under.empty is None else weak & ~under.empty
            if smallest < 0:
                (np.maximum if sign > 0 else np.minimum)(part, 0, out=part)
        if under.empty is not None:
            part[under.empty] = 0
        if under.few is not None:
            self._compute_points(samples, under.few, prepared, part, workers)
        return weak

    def _may_transform(self, largest: float, prepared: VolumeSpectrum) -> bool:
        """Whether no sum overflows, and no product that counts is too small for its type."""
        points = float(self._transform(False).most_added)
        limits = np.finfo(self._real)
        tiny, most = float(limits.tiny), float(limits.max)
        if not (largest * points < most and prepared.largest * points < most):
            return False
        if not largest * prepared.norm * points < most:
            return False
        if largest == 0 or prepared.norm == 0:
            return True
        return prepared.largest >= points * tiny and largest >= max(64 * tiny, points * tiny / prepared.norm)

    def _windows(self, taps: tuple[Taps, ...]) -> list[WindowAxis]:
        """What some taps of the kernel lie on, for each result."""
        volume, rank = self._parts.volume, self._parts.rank
        return [
            WindowAxis(start - some.first - some.length + 1, some.length, outputs, samples)
            for start, some, outputs, samples in zip(
                volume.starts, taps, volume.out_shape[rank:], volume.x_shape[rank:]
            )
        ]

    def _boxes(self, sizes: np.ndarray, taps: tuple[Taps, ...], workers: int | None) -> np.ndarray:
        """Sums of the sizes of the samples under some taps of the kernel, for each result."""
        axes = [BoxAxis(*axis[:3]) for axis in self._windows(taps)]
        return sum_boxes(np.ascontiguousarray(sizes), self._real, axes, workers)

    def _sizes_of(self, samples: np.ndarray) -> np.ndarray:
        """Samples without zeros between planes, real ones as they are."""
        sizes = self._parts.inside(samples)
        return np.abs(sizes).astype(self._real, copy=False) if self._is_complex else sizes

    def _survey(self, samples: np.ndarray, taps: tuple[Taps, ...], workers: int | None) -> Survey:
        """Look at the samples, for bounds of what is under some taps of the kernel."""
        groups = [groups_of(axis) for axis in self._windows(taps)]
        return survey(self._sizes_of(samples), groups, workers)

    def _look(self, samples, found: Survey, prepared: VolumeSpectrum, workers) -> _Under:
        """Look at what is under the kernel."""
        if self._problem.guarantee == RAW:
            return _Under(None, None, None, found.norm)
        limit, windows = self._part * found.norm, self._windows(prepared.core)
        few = self._few(~(found.least_norms() >= limit), windows)
        if few is not None:
            return _Under(None, None, few if few.numbers.size else None, found.norm)
        sizes = self._sizes_of(samples)
        norms = self._boxes(sizes, prepared.core, workers)
        empty = None if norms.min() else norms == 0  # before they are scaled, which makes zeros of denormals
        for axis, window in enumerate(windows, self._parts.rank):
            low, high = window.spans
            scale = 1 / np.sqrt(np.maximum(high - low, 1))
            norms *= np.expand_dims(scale.astype(self._real), all_but(0, norms.ndim - axis))
        if float(norms.min()) >= limit:
            return _Under(None, None, None, found.norm)
        if empty is not None and prepared.core != self._all:
            empty = self._boxes(sizes, self._all, workers) == 0
        return _Under(norms, empty, None, found.norm)

    def _few(self, failing: np.ndarray, windows: Sequence[WindowAxis]) -> _Points | None:
        """The results of failing groups, if computing these takes less time than sums over all boxes."""
        if np.count_nonzero(failing) > _MOST_GROUPS:
            return None
        volume = self._parts.volume
        few = results_of(failing, [groups_of(axis) for axis in windows], volume.out_shape)
        looking = _CHECK * self._problem.sums.itemsize * (math.prod(volume.x_shape) + math.prod(volume.out_shape))
        cost = self._points_cost(few) if few.size else 0.0
        return _Points(few, cost) if cost < looking else None

    def _needs_double(self, under: _Under) -> bool:
        """Whether so many results of float32 would be computed directly that a transform in float64 is faster."""
        weak = under.weak(self._part) if self._real.itemsize == 4 else None
        if weak is None or self._points_cost(np.flatnonzero(weak)) < WORK_OF_POINTS:
            return False
        direct = sum(self._cost_of(box) for box in _boxes_of(weak, self._sizes))
        return direct > (cost_model.IN_DOUBLE - 1) * estimate(self._problem) / self._parts.number

    def _cost_of(self, box: tuple[slice, ...]) -> float:
        """Estimate the direct computation of a box of results of the volume."""
        volume, rank = self._parts.volume, self._parts.rank
        products = math.prod(part.stop - part.start for part in box)
        for axis, (taps, start) in enumerate(zip(volume.kernel_shape, volume.starts), rank):
            first = max(0, start + box[axis].start - volume.x_shape[axis] + 1)
            products *= max(1, min(taps, start + box[axis].stop) - first)
        return _BLOCK_CALL + products * 0.25 * self._problem.sums.itemsize / 32

    def _points_cost(self, numbers: np.ndarray) -> float:
        """Estimated nanoseconds to compute results one by one; infinite if impossible, or too long."""
        volume, rank = self._parts.volume, self._parts.rank
        if self._is_complex or len(volume.out_shape) - rank > 3 or numbers.size * _POINT > WORK_OF_POINTS:
            return math.inf
        places = np.unravel_index(numbers, volume.out_shape)[rank:]
        products = np.ones(numbers.size)
        for axis, at in zip(self._windows(self._all), places):
            low, high = axis.spans
            products *= (high - low)[at]
        return float(_POINT * numbers.size + _POINT_PRODUCT * products.sum())

    def _sum_points(self, samples: np.ndarray, weak: np.ndarray, prepared: VolumeSpectrum, part, workers) -> bool:
        """Compute marked results one by one, if that takes little time; return whether it did."""
        numbers = np.flatnonzero(weak)
        cost = self._points_cost(numbers)
        if cost <= WORK_OF_POINTS:
            self._compute_points(samples, _Points(numbers, cost), prepared, part, workers)
        return cost <= WORK_OF_POINTS

    def _compute_points(self, samples, points: _Points, prepared: VolumeSpectrum, part, workers) -> None:
        """Compute results one by one."""
        numbers, cost = points
        volume, item, rank = self._parts.volume, samples.itemsize, self._parts.rank
        if listeners:
            marked = np.zeros(volume.out_shape, bool)
            marked.flat[numbers] = True
            notify("points", marked=marked)
        axes = np.ones(3, point_sums.POINT_AXIS.dtype)
        axes["first"] = 0
        for k, axis in enumerate(range(rank, len(volume.out_shape))):
            axes[k - len(volume.kernel_shape)] = (
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
        sums, step = np.empty(numbers.size), max(1, int(numbers.size * _AT_ONCE / cost))
        calls = [
            (
                job.ctypes.data,
                axes.ctypes.data,
                numbers[k:].ctypes.data,
                min(step, numbers.size - k),
                sums[k:].ctypes.data,
            )
            for k in range(0, numbers.size, step)
        ]
        threads = 1 if cost < cost_model.WORK_FOR_THREADS else scheduler.threads_for(len(calls), workers)
        scheduler.run_each(_compiled_sum_points(self._real.itemsize), calls, threads)
        part[np.unravel_index(numbers, part.shape)] = sums

    def _refine(self, x, weak: np.ndarray, prepared: VolumeSpectrum, out, where: tuple[slice, ...], workers) -> None:
        """Compute marked results of a part of the output directly, block by block."""
        if listeners:
            notify("vague", double=np.zeros(0, np.intp), marked=weak)
        back = np.argsort(self._parts.order)
        weak, sizes = weak.transpose(back), [self._sizes[place] for place in back]
        for box in _boxes_of(weak, sizes):
            block = tuple(slice(w.start + part.start, w.start + part.stop) for w, part in zip(where, box))
            target = out[block]
            direct = np.empty(target.shape, out.dtype)
            _directly(self._problem, x, prepared.kernel, direct, workers, block)
            np.copyto(target, direct, where=weak[box])


# Groups of results that are looked at one by one.
_MOST_GROUPS = 256
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
            whole = blocks[tuple(others)].all(axis=all_but(axis, blocks.ndim))
            ends[axis] = place[axis] + (int(np.argmin(whole)) if not whole.all() else whole.size)
        blocks[tuple(slice(first, end) for first, end in zip(place, ends))] = False
        corner = [index * size for index, size in zip(place, sizes)]
        inner = marked[tuple(slice(first, end * size) for first, end, size in zip(corner, ends, sizes))]
        places = [np.flatnonzero(inner.any(axis=all_but(axis, inner.ndim))) for axis in range(inner.ndim)]
        found.append(tuple(slice(first + int(at[0]), first + int(at[-1]) + 1) for first, at in zip(corner, places)))
    return found


@kept
def _transform(parts: Parts, sums: np.dtype, is_volume: bool, results: np.dtype | None = None) -> Any:
    """The transform of parts with sums of a type, and results of the type of the problem, or of another one."""
    if not is_volume:
        return MatrixTransform(parts, sums)
    volume = parts.volume if results is None else parts.volume._replace(dtype=results)
    return VolumeTransform(volume, sums)


@compilation.once
def _compiled_sum_points(itemsize: int):
    return compilation.compile_entry(point_sums.SUM_POINTS[itemsize], point_sums.signature())


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
