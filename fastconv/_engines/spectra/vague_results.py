"""Results of overlap-save that may be imprecise: tested one by one, transformed once more, or summed directly.

A run marks groups of outputs (`footprint_windows`), and judges what was under them. What is marked goes through the
steps that `overlap_save` describes, and loses its mark where a result is known to be within the bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._engines import cost_model, scheduler
from fastconv._engines.blocks.direct import DirectBlocks
from fastconv._engines.spectra import overlap_save_job
from fastconv._engines.spectra.overlap_save_job import Tiles
from fastconv._microkernels.spectra import footprint_refinement, quiet_loop
from fastconv._microkernels.spectra.footprint_windows import LOST, QUIET, VAGUE
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.borrowed_arrays import non_owning_view
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd import compilation

if TYPE_CHECKING:
    from fastconv._engines.spectra.overlap_save import Doubled, OverlapSaveEngine, Spectrum

# Groups of outputs that are looked at one by one.
_MOST_AT_THE_ENDS = 4096


@compilation.once
def _quiet_loop():
    return compilation.compile_entry(quiet_loop.run, quiet_loop.signature())


@compilation.once
def _refining_loop():
    return compilation.compile_entry(footprint_refinement.run, footprint_refinement.signature())


def compile_loops() -> None:
    """Compile the loops that test results and transform units once more."""
    _refining_loop()
    _quiet_loop()


@kept
def _direct_blocks(problem: Problem) -> DirectBlocks:
    return DirectBlocks(problem)


class VagueResults:
    """What a run of an engine has marked in `out`: `marks` of groups of outputs, and what is `judged` of each unit."""

    def __init__(
        self,
        engine: OverlapSaveEngine,
        x: np.ndarray,
        spectrum: Spectrum,
        out: np.ndarray,
        marks: np.ndarray,
        judged: np.ndarray,
        workers: int | None,
    ):
        self._engine, self._tiles, self._spectrum, self._workers = engine, engine.tiles, spectrum, workers
        self._x, self._out, self._marks, self._judged = x, out, marks, judged
        # A byte for each output of each tile: those that keep their results where others of a group are replaced.
        # Memory is taken where there is one that is not zero.
        record = self._tiles.parts.record
        steps = (int(record[name]["step"]) for name in ("down", "across"))
        units = self._tiles.layout.units
        self._retained = np.zeros((units.total, units.packed, *steps), np.uint8)

    def mend(self) -> None:
        """Compute all that is marked, until it is within the bound."""
        self.settle()
        if self._marks.any():
            self._compute_otherwise()

    def settle(self) -> None:
        """Test what is vague, and transform units once more without loud samples while that pays."""
        marks = self._marks
        units = np.arange(len(marks))
        while True:
            tests = (marks != 0) & (marks < QUIET)
            if tests.any():
                self._refine(tests)
            quiet = (marks[units] >= QUIET) & (marks[units] < LOST)
            if self._tiles.parts.shared_bytes or not quiet.any():
                return
            direct, cost = self._direct_cost(quiet, units), cost_model.AGAIN * self._tiles.unit_work
            worth = _where_it_pays(direct, cost)
            if not worth.size:
                return
            units = units[worth]
            self._transform_quiet(units, cost * float(np.count_nonzero(quiet[worth]) / direct[worth].sum()))
            changed = (marks[units] == VAGUE).any(axis=(1, 2, 3))
            units = units[changed]

    def _refine(self, tests: np.ndarray) -> None:
        """Unmark what proves to be within the bound when the samples under the kernel are looked at one by one."""
        tiles, units = self._tiles, self._tiles.layout.units
        refinement = overlap_save_job.refinement(tiles.problem, tiles.layout)
        record = refinement.of(self._spectrum.job)
        numbers = np.flatnonzero(tests.reshape(units.total * units.packed, -1).any(axis=1))
        run, judged, retained = _refining_loop(), self._judged, self._retained
        arrays = non_owning_view(self._x), non_owning_view(self._out)

        def step(progress, limit, max_spins, scratch):
            return run(*arrays, record, progress, numbers, judged, retained, limit, max_spins, scratch)

        extra = 0, 0, 0, self._marks.ctypes.data, 0, len(numbers), 0
        self._run(step, tiles, len(numbers), refinement.scratch_bytes, extra)

    def _transform_quiet(self, units: np.ndarray, groups: float) -> None:
        """Transform units without loud samples, and unmark what comes out within the bound; the rest may be vague."""
        if listeners:
            notify("quiet", units=len(units))
        tiles, spectrum = self._tiles, self._spectrum
        job = overlap_save_job.quiet(tiles.problem, tiles.layout)
        record = job.of(spectrum.job)
        in_double = np.inf if tiles.is_double else cost_model.IN_DOUBLE
        record["groups"], record["least_won"] = spectrum.job, math.ceil(groups)
        record["most_left"] = min(groups * (in_double - 1), self._marks[0].size)
        self._transform_again(tiles, spectrum, units, record, job.scratch_bytes)

    def _transform_double(self, doubled: Doubled, units: np.ndarray) -> None:
        """Transform units in double precision, and unmark the quiet outputs that come out within the bound."""
        tiles, marks = doubled.engine.tiles, self._marks
        job = overlap_save_job.quiet(tiles.problem, tiles.layout)
        record = job.of(doubled.spectrum.job)
        single, double = (float(each.job["check"]["least_norm"]) for each in (self._spectrum, doubled.spectrum))
        record["groups"], record["drop"] = self._spectrum.job, 0
        record["halvings"], record["most_left"] = int(math.log2(single / double)), marks[0].size
        self._transform_again(tiles, doubled.spectrum, units, record, job.scratch_bytes)
        marks[marks == VAGUE] = LOST

    def _transform_again(self, tiles: Tiles, spectrum: Spectrum, units, record: np.ndarray, scratch_bytes: int) -> None:
        """Run `quiet_loop` for some units."""
        run, judged, retained = _quiet_loop(), self._judged, self._retained
        assert spectrum.table is not None
        table, arrays = spectrum.table.ctypes.data, (non_owning_view(self._x), non_owning_view(self._out))

        def step(progress, limit, max_spins, scratch):
            return run(*arrays, record, progress, judged, retained, table, limit, max_spins, scratch)

        extra = 0, 0, 0, self._marks.ctypes.data, units.ctypes.data, len(units), 0
        self._run(step, tiles, len(units), scratch_bytes, extra)

    def _run(self, step, tiles: Tiles, pieces: int, scratch_bytes: int, extra: tuple[int, ...]) -> None:
        """Run a loop over tiles or units, which ``step(progress, limit, max_spins, scratch)`` calls."""
        threads = 1 if tiles.alone else scheduler.threads_for(pieces, self._workers)
        limit = max(1, int(cost_model.WORK_BETWEEN_SIGNALS / tiles.unit_work))
        limit, after_call = scheduler.pieces_per_call(limit, pieces, threads, (self._x, self._out))

        def call(progress, max_spins, scratch):
            return step(progress, limit, max_spins, scratch)

        scheduler.run(call, pieces, scratch_bytes, threads, extra, after_call)

    def _compute_otherwise(self) -> None:
        """Compute what is still marked in another way: tiles with much of it in double precision, all else directly."""
        tiles, marks = self._tiles, self._marks
        many = self._units_for_double()
        if listeners:
            notify("vague", double=len(many), marked=int(np.count_nonzero(marks)))
        doubled = self._engine.doubled(self._spectrum.kernel, self._workers) if many.size else None
        if doubled is not None and not (tiles.parts.shared_bytes or doubled.engine.tiles.parts.shared_bytes):
            self._transform_double(doubled, many)
            many = self._units_for_double()
        if doubled is not None and many.size:
            marks[many] = 0
            self._compute_in_double(doubled, many)
        if marks.any():
            self._compute_directly(tiles.problem)

    def _compute_in_double(self, doubled: Doubled, units: np.ndarray) -> None:
        """Compute units by the engine in double precision, and what that marks."""
        engine, spectrum = doubled.engine, doubled.spectrum
        parts = engine.tiles.parts
        flags, judged = np.zeros(self._tiles.layout.units.total, np.intp), np.zeros(parts.judged)
        marks = interruptible_numpy.zeros(parts.marks, np.uint8)
        engine.fill(self._x, spectrum, self._out, flags, marks, judged, units, self._workers)
        if marks.any():
            vague = VagueResults(engine, self._x, spectrum, self._out, marks, judged, self._workers)
            vague.settle()
            if marks.any():
                vague._compute_directly(self._tiles.problem)

    def _compute_directly(self, problem: Problem) -> None:
        """Compute the outputs that are marked directly."""
        blocks = _direct_blocks(problem)
        numbers = blocks.numbers(spans_of(self._tiles, self._marks, self._spectrum.job["check"]), problem.out_shape)
        blocks.compute_blocks(numbers, self._x, self._spectrum.kernel, self._out, self._workers)

    def _units_for_double(self) -> np.ndarray:
        """The units of which so many outputs are marked that a transform in double precision is cheaper."""
        if self._tiles.is_double:
            return np.zeros(0, np.intp)
        cost = self._direct_cost(self._marks != 0, np.arange(len(self._marks)))
        return _where_it_pays(cost, cost_model.IN_DOUBLE * self._tiles.unit_work)

    def _direct_cost(self, marked: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Nanoseconds that direct sums of the marked groups of each of `units` take, by the blocks that they lie in."""
        problem, record = self._tiles.problem, self._tiles.parts.record
        cells = int(record["cell_rows"]), int(record["cell_columns"])
        sizes = [max(1, block // cell) for block, cell in zip(_direct_blocks(problem).block, cells)]
        block = cost_model.direct_outputs(problem, math.prod(sizes) * math.prod(cells))
        found = block * np.count_nonzero(marked.reshape(len(marked), -1), axis=1)
        many = np.flatnonzero(found >= self._tiles.unit_work)  # less does not matter
        if many.size:
            across = np.logical_or.reduceat(marked[many], np.arange(0, marked.shape[3], sizes[1]), axis=3)
            blocks = np.logical_or.reduceat(across, np.arange(0, marked.shape[2], sizes[0]), axis=2)
            found[many] = block * np.count_nonzero(blocks, axis=(1, 2, 3))
            found = np.minimum(found, self._cost_at_the_ends(marked, units))
        return found

    def _cost_at_the_ends(self, marked: np.ndarray, units: np.ndarray) -> np.ndarray | float:
        """The same where few groups are marked: near the ends of an array few taps reach a sample."""
        problem, layout = self._tiles.problem, self._tiles.layout
        numbers = np.nonzero(marked)[0]
        if numbers.size > _MOST_AT_THE_ENDS:
            return math.inf
        spans = spans_of(self._tiles, marked, self._spectrum.job["check"], units)
        products = np.ones(numbers.size)
        for axis, size in zip((layout.row, layout.column), _direct_blocks(problem).block):
            if axis >= 0:
                first, last = (end // size for end in spans[axis])
                first, stop = first * size, (last + 1) * size
                products *= stop - first
                if axis in problem.axes:  # lines of a batch may be the rows or the columns of a tile
                    products *= cost_model.most_taps_inside(problem, problem.axes.index(axis), first, stop)
        outputs = products / math.prod(problem.kernel_shape)  # of as many products
        return np.bincount(numbers, cost_model.direct_outputs(problem, outputs), len(marked))


def _where_it_pays(direct: np.ndarray, cost: float) -> np.ndarray:
    """The units whose direct sums take longer than another transform, if all of them together gain enough."""
    units = np.flatnonzero(direct > cost)
    return units if (direct[units] - cost).sum() > cost_model.CALL_AGAIN else units[:0]


def spans_of(tiles: Tiles, marks: np.ndarray, check: np.ndarray, units: np.ndarray | None = None) -> dict[int, Any]:
    """The first and the last output along each axis of each group that is marked, of all units or some."""
    layout, job = tiles.layout, tiles.parts.record
    numbers, places, *groups = np.unravel_index(np.flatnonzero(marks != 0), marks.shape)
    units = numbers if units is None else units[numbers]
    spans = layout.units.places(units, places, tiles.problem, layout)
    for axis, (name, first, count), group in zip(
        (layout.row, layout.column),
        (("down", "first_row", "rows"), ("across", "first_column", "columns")),
        groups,
    ):
        if axis < 0:
            continue
        record = job[name]
        cell = int(job["cell_rows" if name == "down" else "cell_columns"])
        begin = int(record["skip"]) - int(check[first] + check[count] - 1)
        number = group - -begin // cell
        start = spans[axis] * int(record["step"])
        length = np.minimum(int(record["step"]), int(record["outputs"]) - start)
        low = np.maximum(0, (number - 1) * cell + 1 - begin)
        spans[axis] = start + low, start + np.minimum(length - 1, number * cell - begin)
    return spans
