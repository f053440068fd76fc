"""Engines that compute the output block by block: prepare the job of `block_loop` and run it in the thread pool."""

from __future__ import annotations

import math
from typing import Callable, ClassVar, Mapping, NamedTuple, NoReturn, SupportsIndex

import numpy as np
from numba import types

from fastconv._engines import cost_model, scheduler
from fastconv._engines.layout import Layout
from fastconv._engines.routine_addresses import (
    compiled_routine,
    divide_routine,
    fill_bytes,
    pack_pairs_routine,
    pack_routine,
    pair_bytes,
    refuse_copies,
    rescale_parameters,
    store_routine,
    weigh_routine,
)
from fastconv._engines.scratch_memory import new_scratch, thread
from fastconv._microkernels.block_cutting import Table, cut_columns, cut_rows
from fastconv._microkernels.blocks import block_loop
from fastconv._microkernels.missing import missing_samples
from fastconv._microkernels.progress_counters import DONE
from fastconv._microkernels.sample_layout import pitch_of
from fastconv._model.problem import Problem
from fastconv._runtime.borrowed_arrays import non_owning_view, pinned
from fastconv._runtime.instrumentation import is_in_place, listeners, notify
from fastconv._simd import compilation

# Largest number of blocks along an axis; it bounds the size of the tables.
MOST_PIECES = 32768


@compilation.once
def _run():
    return compilation.compile_entry(block_loop.run, block_loop.signature(), nogil=False)  # it releases the GIL itself


class Cut(NamedTuple):
    """Size of a block, and the scratch memory that an engine needs for one."""

    rows: int  # of a block
    columns: int
    work: int  # approximate number of multiplications for each output
    weights: int = 0  # elements of weights in scratch memory
    lines: int = 0  # of input in each call of the microkernel, 0 for all of a block
    head: int = 0  # elements in front of the lines kept between two passes
    kept: int = 0  # number of those lines
    pixels: types.Type | None = None  # type of the microkernel's samples, if not the compute type


class BlockEngine:
    """An engine whose job is run by `block_loop`."""

    name: ClassVar[str]
    _scratch_bytes: int
    _tables: dict[str, np.ndarray]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    def __init__(self, problem: Problem, layout: Layout, cut: Cut, own: Mapping[str, object]):
        table = Table()
        row_blocks = cut_rows(table, layout.row_axis, cut.rows, cut.lines or cut.rows + layout.row_axis.taps - 1)
        column_blocks = cut_columns(
            table, layout.column_axis, cut.columns, -(-layout.minimum_width // layout.plane_channels)
        )
        blocks = len(row_blocks) * len(column_blocks) * math.prod(problem.x_shape[axis] for axis in layout.batch)
        self._set_work(problem, blocks, cut.work)
        # The job holds the addresses of these.
        self._rescale = None if cut.pixels else rescale_parameters(problem.finish, layout.compute)
        self._tables = {
            "pieces": table.pieces(),
            "runs": table.runs(),
            "row_blocks": row_blocks,
            "column_blocks": column_blocks,
            "batch_axes": np.array(layout.batch, np.intp),
        }

        scratch, self._scratch_bytes = _scratch_fields(layout, cut)
        fields = {
            **_layout_fields(problem, layout),
            **scratch,
            **_sample_fields(problem, layout, cut, self._rescale),
            **{name: table.ctypes.data for name, table in self._tables.items()},
            "single_threaded": self._alone,
            "keeps_gil": self._keeps_gil,
            "blocks": self._blocks,
            "blocks_down": len(row_blocks),
            "blocks_across": len(column_blocks),
            **own,
        }
        self._set_job(block_loop.BLOCK_JOB.filled(fields), _run())

    def _set_work(self, problem: Problem, blocks: int, work: int) -> None:
        """Set the number of blocks, and what depends on the number of multiplications for each output."""
        self._problem, self._blocks = problem, blocks
        self._work = math.prod(problem.out_shape) * (work + 8) + blocks * cost_model.PRODUCTS_OF_A_PIECE
        self._alone = self._work < cost_model.PRODUCTS_FOR_THREADS
        self._keeps_gil = self._work < cost_model.PRODUCTS_WITHOUT_GIL

    def _set_job(self, job: np.ndarray, run: Callable) -> None:
        """Set the job and its loop; the tables, to which the job has addresses, are set."""
        self.job, self._run = job, run
        self.nbytes = job.nbytes + sum(table.nbytes for table in self._tables.values())
        if not self._alone:
            scheduler.epoch_waiter()

    def __call__(
        self,
        x: np.ndarray,
        kernel: np.ndarray,
        out: np.ndarray,
        workers: int | None,
        job: np.ndarray | None = None,
        held: object = None,
    ) -> bool:
        """Compute `out`; return False if the kernel or a result is not finite although it must be, else True.

        At most `workers` threads compute, by default all that are available; one if the work is small. A `job` like
        that of the engine may be given, with addresses in `held`.
        """
        _pins = () if self._keeps_gil else pinned(x, kernel, out)
        if job is None:
            job = self.job
        if listeners:
            self._notify(x, out)
        if self._alone:
            # Inlined from `scheduler.run`: a function would cost 0.06 of the 2.5 us of a small call.
            scratch = thread.kept.scratch
            if scratch[0] < self._scratch_bytes:
                scratch = new_scratch(self._scratch_bytes)
            return self._run(x, kernel, out, job, job, 0, 0, scratch[1]) == DONE
        threads = scheduler.threads_for(self._blocks, workers)
        limit = max(1, cost_model.PRODUCTS_BETWEEN_SIGNALS * self._blocks // self._work)
        limit, after_call = scheduler.pieces_per_call(limit, self._blocks, threads, (x, out))
        # A late thread reads the kernel even after the end of the job: the threads share a copy, which the job keeps.
        arrays = (non_owning_view(x), kernel.copy(), non_owning_view(out)) if threads > 1 else (x, kernel, out)

        def step(progress, max_spins, scratch, _held=held):
            return self._run(*arrays, job, progress, limit, max_spins, scratch)

        return scheduler.run(step, self._blocks, self._scratch_bytes, threads, after_call=after_call)

    def compute_blocks(
        self,
        numbers: np.ndarray,
        x: np.ndarray,
        kernel: np.ndarray,
        out: np.ndarray,
        workers: int | None,
        job: np.ndarray | None = None,
        held: object = None,
    ) -> None:
        """Compute the blocks of `out` with these numbers, with a kernel that is finite.

        A `job` like that of the engine may be given, with addresses in `held`.
        """
        _pins = pinned(x, kernel, out)
        job, count = (self.job if job is None else job).copy(), len(numbers)
        job["listed"], job["blocks"] = numbers.ctypes.data, count
        job["single_threaded"] = job["keeps_gil"] = False
        work = max(1, self._work // self._blocks)
        alone = work * count < cost_model.PRODUCTS_FOR_THREADS
        threads = 1 if alone else scheduler.threads_for(count, workers)
        limit = max(1, cost_model.PRODUCTS_BETWEEN_SIGNALS // work)
        limit, after_call = scheduler.pieces_per_call(limit, count, threads, (x, out))
        arrays = non_owning_view(x), kernel.copy(), non_owning_view(out)

        def step(progress, max_spins, scratch, _held=held):
            return self._run(*arrays, job, progress, limit, max_spins, scratch)

        scheduler.run(step, count, self._scratch_bytes, threads, after_call=after_call)

    def _notify(self, x: np.ndarray, out: np.ndarray) -> None:
        job, batch_axes = self.job, self._tables["batch_axes"]
        x_in_place = bool(job["x_in_place"]) and is_in_place(x, job, batch_axes)
        out_in_place = bool(job["out_in_place"] and job["kernel_parts"] == 1) and is_in_place(out, job, batch_axes)
        paths = {"x_in_place": x_in_place, "out_in_place": out_in_place}
        notify(self.name, problem=self._problem, job=job, tables=self._tables, x=x, out=out, **paths)


def _layout_fields(problem: Problem, layout: Layout) -> dict[str, int]:
    """Fields of the job that describe the arrays."""
    return {
        "compute_bytes": layout.item,
        "x_bytes": problem.x_dtype.itemsize // (2 if problem.x_dtype.kind == "c" else 1),
        "out_bytes": problem.dtype.itemsize // (2 if problem.dtype.kind == "c" else 1),
        "x_parts": layout.x_parts,
        "kernel_parts": layout.kernel_parts,
        "row_axis": layout.role.row,
        "column_axis": layout.role.column,
        "channel_axis": layout.role.channel if layout.channels > 1 else -1,
        "batch_rank": len(layout.batch),
        "channels": layout.channels,
        "kernel_rows": layout.row_axis.taps,
        "taps": layout.column_axis.taps,
        "minimum_width": layout.minimum_width,
    }


def _scratch_fields(layout: Layout, cut: Cut) -> tuple[dict[str, int], int]:
    """Fields of the job that divide the scratch memory, and the size of that."""
    size = (cut.pixels or layout.compute).bitwidth // 8
    line = max(cut.columns * layout.plane_channels, layout.minimum_width)
    staging_pitch = pitch_of(line, size)
    packed_pitch = pitch_of(line + (layout.column_axis.taps - 1) * layout.plane_channels, size)
    staging_bytes = min(cut.rows, cut.lines or cut.rows) * staging_pitch * size
    sizes = {
        "weights_at": cut.weights * layout.item,
        "packed_at": (cut.lines or cut.rows + layout.row_axis.taps - 1) * packed_pitch * size,
        "staging_at": staging_bytes,
        "second_staging_at": staging_bytes if layout.kernel_parts == 2 else 0,
        "lines_at": (cut.head + cut.kept * staging_pitch) * layout.item + 8,
    }
    fields = {"packed_pitch": packed_pitch, "staging_pitch": staging_pitch, "lines_per_call": cut.lines}
    total = 0
    for name, part in sizes.items():
        fields[name] = total
        total += -(-part // 64) * 64
    return fields, total


def _sample_fields(problem: Problem, layout: Layout, cut: Cut, rescale: np.ndarray | None) -> dict[str, object]:
    """Fields of the job for the conversion of samples from the input and to the output."""
    samples, finish = cut.pixels or layout.compute, problem.finish
    if problem.pairs is not None:
        return {
            "pack": pack_pairs_routine(problem.pairs, layout.x_type, samples, not problem.x_dtype.isnative),
            "fill": compiled_routine(missing_samples.fill, missing_samples.signature(samples, samples)),
            "fill_value": pair_bytes(problem, samples),
            "weigh": weigh_routine(problem.pairs, samples),
            "divide": divide_routine(problem.pairs, finish, samples, layout.out_type),
            "sample_bytes": samples.bitwidth // 8,
        }
    premultiplied = finish is not None and finish.premultiplied
    # A fill value to be premultiplied is of the input's type. So are zeros, which saves a routine.
    fill_type = samples if problem.fills and not premultiplied else layout.x_type
    return {
        "pack": pack_routine(finish, layout.x_type, samples, not problem.x_dtype.isnative),
        "fill": pack_routine(finish, fill_type, samples),
        "fill_value": fill_bytes(problem, fill_type),
        "store": store_routine(None if cut.pixels else finish, samples, layout.out_type),
        "rescale": 0 if rescale is None else rescale.ctypes.data,
        "sample_bytes": samples.bitwidth // 8,
        "x_in_place": layout.x_type == samples and problem.x_dtype.isnative and not premultiplied,
        "out_in_place": layout.out_type == samples and rescale is None,
    }
