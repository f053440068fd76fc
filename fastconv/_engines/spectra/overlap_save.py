"""The overlap-save engine: convolution by transforms of tiles, which `overlap_save_loop` runs.

Along an axis, a transform of `size` points gives ``size - taps + 1`` results, and the work for it hardly grows
faster than `size`. So the engine's work for a result does not depend on how many taps there are, but on their
logarithm.

Error: to first order, at most ``12 * eps * (log2(points of a tile) + 1) * norm(x) * norm(kernel)``, in 2-norms, `x`
over the tile and the one packed with it (C. Percival, Mathematics of Computation 72, 2003, theorem 5.1). Measured, of
random data, its root mean square is ``2 * eps * norm(kernel) * rms(x)``, which is 0.6 to 0.95 times that of
`scipy.signal.fftconvolve`. So that the error is relative to what lies under the kernel, results are checked by the
rules of `footprint_rules`, in four steps, the last three in `vague_results`:

1. While samples are moved into a tile, the sums of their sizes over small cells are taken. Groups of outputs whose
   footprints may hold too little, by the whole cells in them, are marked.
2. A second loop tests the outputs of marked groups one by one (`footprint_refinement`), and stores zeros where only
   zeros are under the kernel.
3. A unit with many outputs that hold too little is transformed once more, without the samples that are too loud to lie
   under the kernel there (`quiet_loop`): its errors are relative to the rest.
4. What is still marked is computed directly, or, if it is much of a tile of float32, in a tile of float64.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn, SupportsIndex

import numpy as np

from fastconv._engines import cost_model, layout, scheduler
from fastconv._engines.blocks.direct import compute_part, shared_engine
from fastconv._engines.routine_addresses import refuse_copies
from fastconv._engines.spectra import overlap_save_job, vague_results
from fastconv._engines.spectra.fft_tables import twiddles
from fastconv._engines.spectra.footprint_rules import check_fields, kernel_facts
from fastconv._engines.spectra.overlap_save_tiling import COMPUTE, TiledLayout, batch_axes, compute_type, tiled_layout
from fastconv._engines.spectra.vague_results import VagueResults
from fastconv._microkernels.spectra import overlap_save_loop, tile_job
from fastconv._model.guarantees import RAW
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.borrowed_arrays import for_threads
from fastconv._runtime.bounded_cache import Table, kept
from fastconv._runtime.instrumentation import listeners, notify, placed
from fastconv._simd import compilation, complex_vectors


def supports(problem: Problem) -> bool:
    """Whether a tile holds the kernel, and the results are integers, or floats of 32 or 64 bits, real or complex."""
    dtype = problem.sums
    if problem.finish is not None and problem.finish.premultiplied:
        return False  # channels are separate planes here, and alpha is a channel
    if problem.finish is not None and dtype.kind in "iu":
        return False
    usable = (dtype.kind, dtype.itemsize) in COMPUTE and layout.supports(dtype)
    return usable and tiled_layout(problem) is not None


def estimate(problem: Problem) -> float:
    """Nanoseconds for a problem that is supported."""
    found = tiled_layout(problem)
    assert found is not None
    return cost_model.fft(problem, found)


class Spectrum(NamedTuple):
    """A kernel ready for `OverlapSaveEngine.run`."""

    kernel: np.ndarray
    job: np.ndarray
    twiddles: np.ndarray | None  # the job has its address
    table: np.ndarray | None  # None where the kernel is not finite
    address: int = 0  # of the table
    is_checked: bool = False  # whether results are

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self if isinstance(array, np.ndarray))


class OverlapSaveEngine:
    """Convolutions of one `Problem` by overlap-save, with any arrays of its types and sizes."""

    _loop = overlap_save_loop

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    def __init__(self, problem: Problem, layout: TiledLayout | None = None, precision: np.dtype | None = None):
        """Prepare for a problem; results need the `precision` of a type, by default that of the sums."""
        layout = layout or tiled_layout(problem)
        assert layout is not None
        self._precision = precision or problem.sums
        self._problem, self._layout, self._tile, self._units = problem, layout, layout.tile, layout.units
        self._compute = compute_type(problem)
        self._cut = (layout.row, "down"), (layout.column, "across")
        self._parts = overlap_save_job.build(problem, layout)
        self._job, self._shared = self._parts.record, self._parts.shared_bytes
        self._unit_work = max(1, layout.tile.cost / (layout.units.total + 1))
        self._alone = layout.tile.cost < cost_model.WORK_FOR_THREADS or self._parts.pieces == 1
        self.tiles = overlap_save_job.Tiles(problem, layout, self._parts, self._unit_work, self._alone)
        self.nbytes = self._parts.nbytes
        self._run, self._prepare = _entries(self._loop)
        if not self._alone:
            scheduler.epoch_waiter()

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        overlap_save_job.compile_all(self._problem)
        if self._problem.sums.kind in "fc":
            vague_results.compile_loops()
            if self._compute.bitwidth == 32:
                _wide_engine(self._problem, self._layout).compile_all()

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> Spectrum:
        """Transform a kernel for `run`."""
        kernel = interruptible_numpy.converted(kernel, kernel.dtype)
        if not interruptible_numpy.is_finite(kernel) and not np.isfinite(kernel).all():
            return Spectrum(kernel, self._job, None, None)
        taps = self._taps_in_plane(kernel)
        facts = kernel_facts(taps)
        job = self._job.copy()
        job["check"] = check_fields(self._problem, self._layout, facts, self._precision)
        factors = self._set_twiddles(job)
        plane, width = self._spread(self._folded(taps))
        table = placed(self._transformed(job, plane, width, workers))
        return Spectrum(kernel, job, factors, table, table.ctypes.data, bool(job["check"]["rule"] != RAW))

    def _set_twiddles(self, job: np.ndarray) -> np.ndarray | None:
        """The twiddle factors of a four-step tile, whose address goes into the job."""
        tile = self._tile
        if not tile.four_step:
            return None
        factors = twiddles(tile.rows, tile.columns, self._compute)
        job["four_step_twiddles"] = factors.ctypes.data
        return factors

    def _taps_in_plane(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel as the rows and columns at the top left of a tile."""
        taps = kernel if self._problem.flip else np.flip(kernel)
        if taps.ndim == 2 and self._layout.kernel_row == 1:
            return taps.T
        if taps.ndim == 1:
            return taps[np.newaxis] if self._layout.kernel_column == 0 else taps[:, np.newaxis]
        return taps

    def _folded(self, taps: np.ndarray) -> np.ndarray:
        """The taps as they lie in the plane: a four-step tile holds one line, row after row."""
        if not self._tile.four_step:
            return taps
        columns = self._tile.columns
        used = -(-taps.size // columns)
        line = np.zeros(used * columns, taps.dtype)
        interruptible_numpy.copy(line[: taps.size], taps[0])
        return line.reshape(used, columns)

    def _spread(self, taps: np.ndarray, plane: np.ndarray | None = None) -> tuple[np.ndarray, int]:
        """A plane that holds the taps, a vector of real parts and then one of imaginary parts; and the columns used.

        A `plane` that is given is used again.
        """
        # Zeros cost nothing where they are not read, and columns of a plane beyond the kernel's are never read.
        lanes, pitch = complex_vectors.lanes_of(self._compute), int(self._job["pitch"])
        rows, columns = self._tile.rows, self._tile.columns
        width = -(-taps.shape[1] // lanes) * lanes
        if plane is None:
            plane = interruptible_numpy.zeros((rows, pitch), self._compute.name)
        else:
            for chunk in interruptible_numpy.chunk_slices(plane.shape):
                plane[chunk] = 0
        groups = plane[:, : 2 * columns].reshape(rows, -1, 2, lanes)
        for part, values in enumerate((taps.real, taps.imag) if taps.dtype.kind == "c" else (taps,)):
            for above in interruptible_numpy.chunk_slices(
                taps.shape[:1], max(1, interruptible_numpy.CHUNK_ELEMENTS // width)
            ):
                some = values[above]
                block = np.zeros((some.shape[0], width), self._compute.name)
                block[:, : taps.shape[1]] = some
                groups[: taps.shape[0], : width // lanes, part][above] = block.reshape(some.shape[0], -1, lanes)
        return plane, width

    def _transformed(self, job: np.ndarray, plane: np.ndarray, width: int, workers: int | None) -> np.ndarray:
        """The spectrum of a plane of which `width` columns are used, scaled by the number of points."""
        tile, lanes = self._tile, complex_vectors.lanes_of(self._compute)
        rows, columns = tile.rows, tile.columns
        raw = interruptible_numpy.zeros((rows * columns * 2 * plane.itemsize + 64,), np.uint8)
        table = raw[-raw.ctypes.data % 64 :][: raw.size - 64].view(plane.dtype)
        addresses = plane.ctypes.data, table.ctypes.data
        for down, end, used in ((1, width, tile.down), (0, rows, True)):
            if used:
                step = -(-end // lanes // (cost_model.SHARES if self._shared else 1)) * lanes
                parts = [(job, *addresses, down, k, min(k + step, end)) for k in range(0, end, step)]
                threads = scheduler.threads_for(len(parts), workers)
                scheduler.run_each(self._prepare, parts, threads)
        table = table.reshape(rows // lanes, columns, 2, lanes)
        if not tile.down:
            table = np.ascontiguousarray(table[0, :, :, 0])
        elif not tile.across:
            table = np.ascontiguousarray(table[:, 0].transpose(0, 2, 1))
        points = (rows if tile.down else 1) * (columns if tile.across else 1)
        with np.errstate(under="ignore"):
            for slab in interruptible_numpy.chunk_slices(table.shape):
                table[slab] *= table.dtype.type(1 / points)
        return table

    def run(self, x: np.ndarray, spectrum: Spectrum, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; False where this engine cannot compute, and has not touched it, as `DirectEngine`.

        At most `workers` threads compute, None for as many as there are, and one where the work is small.
        """
        if spectrum.table is None:
            return shared_engine(self._problem)(x, spectrum.kernel, out, workers)
        if listeners:
            self._notify(x, out)
        flags = np.zeros(self._units.total, np.intp)
        marks = judged = None
        if spectrum.is_checked:
            marks = interruptible_numpy.zeros(self._parts.marks, np.uint8)
            judged = interruptible_numpy.zeros(self._parts.judged, np.float64)
        self.fill(x, spectrum, out, flags, marks, judged, None, workers)
        if np.count_nonzero(flags):
            self._repair(x, spectrum.kernel, out, flags, workers)
        if marks is not None and judged is not None and np.count_nonzero(marks):
            marks[flags != 0] = 0
            VagueResults(self, x, spectrum, out, marks, judged, workers).mend()
        return True

    def _notify(self, x: np.ndarray, out: np.ndarray) -> None:
        shared, steps = bool(self._shared), dict(self._steps())
        notify("fft", problem=self._problem, x=x, out=out, tile=self._tile, shared=shared, steps=steps)

    def fill(self, x, spectrum, out, flags, marks, judged, units, workers) -> None:
        """Compute these units, None for all; flag those that are not finite, and mark what is vague."""
        steps = tile_job.ALL_STEPS
        checks = 0 if marks is None else marks.ctypes.data, 0 if judged is None else judged.ctypes.data
        if not self._shared:
            self._share(x, spectrum, out, flags, checks, units, (0, 0, sum(steps)), workers)
            return
        plane = interruptible_numpy.zeros((self._shared + 64,), np.uint8)
        address = -(-plane.ctypes.data // 64) * 64
        for unit in range(self._units.total) if units is None else map(int, units):
            for step in steps:
                self._share(x, spectrum, out, flags, checks, None, (address, unit, step), workers)

    def _share(self, x, spectrum, out, flags, checks, units, work: tuple[int, int, int], workers) -> None:
        """Do some steps, of all units or of one shared plane: `work` is its address, its unit and these steps."""
        pieces, table = self._parts.pieces if units is None else len(units), spectrum.address
        threads = 1 if self._alone else scheduler.threads_for(pieces, workers)
        limit = max(1, int(cost_model.WORK_BETWEEN_SIGNALS * self._units.total / self._parts.pieces / self._unit_work))
        limit, after_call = scheduler.pieces_per_call(limit, pieces, threads, (x, out))
        arrays = for_threads(threads, x, out)

        def step(progress, max_spins, scratch):
            return self._run(*arrays, spectrum.job, progress, flags, table, limit, max_spins, scratch)

        extra = *work, checks[0], 0 if units is None else units.ctypes.data, pieces, checks[1]
        scheduler.run(step, pieces, self._parts.scratch_bytes, threads, extra, after_call)

    def doubled(self, kernel: np.ndarray, workers: int | None) -> Doubled:
        """The engine in double precision, and the spectrum of a kernel for it."""
        key = self._problem, self._layout, kernel.tobytes()
        found = _doubled.get(key)
        if found is None:
            engine = _wide_engine(self._problem, self._layout)
            found = Doubled(engine, engine.prepare(kernel, workers))
            _doubled.keep(key, found)
        return found

    def _repair(self, x, kernel, out, flags, workers) -> None:
        """Recompute directly the tiles that came out infinite or NaN: each result then shows its own footprint only."""
        if listeners:
            notify("repair", method="fft")
        self._recompute(x, kernel, out, flags, workers)

    def _recompute(self, x, kernel, out, flags, workers) -> None:
        """Compute tiles directly."""
        if flags.all():
            shared_engine(self._problem)(x, kernel, out, workers)
            return
        for where in self._rectangles(np.flatnonzero(flags)):
            compute_part(self._problem, where, x, kernel, out[where], workers)

    def _steps(self) -> list[tuple[int, int]]:
        """Outputs of a tile along each axis that tiles cut."""
        return [(axis, int(self._job[name]["step"])) for axis, name in self._cut if axis >= 0]

    def _rectangles(self, units) -> list[tuple[slice, ...]]:
        """Parts of the output that cover the tiles of these units.

        The last axis is never cut where it is not convolved: by its length the direct engine chooses the order in
        which it sums, and the parts must be what the whole would be.
        """
        problem, row, column = self._problem, self._layout.row, self._layout.column
        shape, last = problem.out_shape, len(problem.out_shape) - 1
        found: dict[tuple, set[tuple[int, int]]] = {}
        for unit in map(int, units):
            index = unit // self._units.per_plane
            place = {}
            for axis in batch_axes(problem, self._layout):
                index, at = divmod(index, shape[axis])
                place[axis] = at, at + 1
            for both in self._units.tiles(unit):
                numbers = dict(zip((row, column), both))
                spans = dict(place)
                for axis, step in self._steps():
                    spans[axis] = numbers[axis] * step, min((numbers[axis] + 1) * step, shape[axis])
                if last not in problem.axes:
                    spans[last] = 0, shape[last]
                along = spans.pop(column)
                found.setdefault(tuple(sorted(spans.items())), set()).add(along)
        return [
            tuple(slice(*ends) for _, ends in sorted([*others, (column, along)]))
            for others, spans in found.items()
            for along in _joined(spans)
        ]


class Doubled(NamedTuple):
    """An engine in double precision, and a kernel ready for it."""

    engine: OverlapSaveEngine
    spectrum: Spectrum

    @property
    def nbytes(self) -> int:
        return self.spectrum.nbytes


_doubled = Table()


def _joined(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans, with those that touch or overlap joined."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and joined[-1][1] >= start:
            start, stop = joined[-1][0], max(joined.pop()[1], stop)
        joined.append((start, stop))
    return joined


@kept
def _wide_engine(problem: Problem, layout: TiledLayout) -> OverlapSaveEngine:
    """The engine for the same tiles in double precision."""
    sums = np.dtype(np.complex128 if problem.sums.kind == "c" else np.float64)
    return OverlapSaveEngine(problem._replace(sums=sums), layout, problem.sums)


@compilation.once
def _entries(loop):
    return compilation.compile_entry(loop.run, loop.signature()), _prepare_entry()


@compilation.once
def _prepare_entry():
    return compilation.compile_entry(overlap_save_loop.prepare, overlap_save_loop.prepare_signature())
