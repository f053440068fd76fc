"""Engines that go from block to block of the output: the job that `block_loop` runs, shared out to threads."""

from __future__ import annotations

import math
from typing import NamedTuple, NoReturn, SupportsIndex

import numpy as np
from numba import types

from fastconv._engines import scheduler
from fastconv._engines.layout import Layout
from fastconv._engines.routines import pack_leaf, refuse_copies, store_leaf, told
from fastconv._engines.scheduler import new_scratch, thread
from fastconv._microkernels import block_loop
from fastconv._microkernels.block_tables import BLOCK, ROW_BLOCK, Table, cut_columns, cut_rows
from fastconv._microkernels.progress_counters import DONE
from fastconv._model.geometry import FILL
from fastconv._model.problem import Problem
from fastconv._runtime.borrowed_arrays import non_owning_view, pinned
from fastconv._simd import compilation

# Below this many multiplications (and a few for each output), some 0.15 ms, one thread alone is as fast: another one
# takes 0.05 to 0.1 ms to wake up.
_WORK_FOR_THREADS = 6_000_000
# Below this, some 10 us, to release and take the GIL costs more than other threads gain by it.
_WORK_WITHOUT_GIL = 500_000
# How much of it, about, between two looks at pending signals: some 10 ms.
_WORK_BETWEEN_SIGNALS = 300_000_000


# Blocks along an axis at the most, so that the tables stay small.
MOST_PIECES = 32768


@compilation.once
def _run():
    return compilation.compile_entry(block_loop.run, block_loop.signature(), nogil=False)  # it releases the GIL itself


class Cut(NamedTuple):
    """How an engine cuts the output into blocks, and what room it needs for one."""

    rows: int  # of a block
    columns: int
    work: int  # for each output, about, in multiplications
    weights: int = 0  # elements of weights in the scratch buffer
    lines: int = 0  # of input that are taken at a time, 0 for all that a block needs
    head: int = 0  # elements before the lines between two passes
    kept: int = 0  # such lines
    pixels: types.Type | None = None  # what the leaf takes and gives, where that is not the type of the sums


class BlockEngine:
    """An engine that has `block_loop` go from block to block: the job, and its sharing out to the crew."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    def __init__(self, problem: Problem, layout: Layout, cut: Cut, own: dict[int, int]):
        item, rows, taps = layout.item, layout.row_axis.taps, layout.column_axis.taps
        plane_type = stage_type = cut.pixels or layout.compute
        pixel_item = plane_type.bitwidth // 8
        table = Table()
        row_blocks = cut_rows(table, layout.row_axis, cut.rows, cut.lines or cut.rows + rows - 1)
        column_blocks = cut_columns(table, layout.column_axis, cut.columns, -(-layout.least // layout.plane_channels))
        down, across = len(row_blocks) // ROW_BLOCK, len(column_blocks) // BLOCK
        self._tables = table.pieces(), table.runs(), row_blocks, column_blocks  # the job has their addresses
        self._blocks = down * across * math.prod(problem.x_shape[axis] for axis in layout.batch)
        self._work = math.prod(problem.out_shape) * (cut.work + 8)
        self._alone = self._work < _WORK_FOR_THREADS
        self._keeps_gil = self._work < _WORK_WITHOUT_GIL

        line = max(cut.columns * layout.plane_channels, layout.least)
        # A pitch that is a power of two would put the rows of a tile into the same few sets of the cache.
        stage_pitch = -(-line // 16) * 16 + 16
        plane_pitch = -(-(line + (taps - 1) * layout.plane_channels) // 16) * 16 + 16
        stage_bytes = min(cut.rows, cut.lines or cut.rows) * stage_pitch * pixel_item
        sizes = (
            cut.weights * item,
            (cut.lines or cut.rows + rows - 1) * plane_pitch * pixel_item,
            stage_bytes,
            stage_bytes if layout.kernel_parts == 2 else 0,
            (cut.head + cut.kept * stage_pitch) * item + 8,
        )
        starts = [0]
        for size in sizes:
            starts.append(starts[-1] + -(-size // 64) * 64)
        self._scratch_bytes = starts[-1]

        self._told = None if cut.pixels else told(problem.finish, layout.compute)  # the job has its address
        # A fill value is of the type that is packed, but where it is still to be multiplied. A zero is a zero.
        premultiplied = problem.finish is not None and problem.finish.premultiplied
        fill_type = plane_type if problem.boundary == FILL and not premultiplied else layout.x_type
        job = np.zeros(block_loop.BATCH + len(layout.batch), np.intp)
        fields = {
            block_loop.PACK: pack_leaf(problem.finish, layout.x_type, plane_type, not problem.x_dtype.isnative),
            # A zero is a zero in every type: no leaf of its own to compile.
            block_loop.COPY: pack_leaf(problem.finish, fill_type, plane_type),
            block_loop.STORE: store_leaf(None if cut.pixels else problem.finish, stage_type, layout.out_type),
            block_loop.TOLD: 0 if self._told is None else self._told.ctypes.data,
            block_loop.ITEM: item,
            block_loop.PLANE_ITEM: pixel_item,
            block_loop.STAGE_ITEM: pixel_item,
            block_loop.X_ITEM: problem.x_dtype.itemsize // layout.x_parts,
            block_loop.IN_PLACE: layout.x_type == plane_type and problem.x_dtype.isnative and not premultiplied,
            block_loop.OUT_IN_PLACE: layout.out_type == stage_type and self._told is None,
            block_loop.X_PARTS: layout.x_parts,
            block_loop.KERNEL_PARTS: layout.kernel_parts,
            block_loop.ROW_AXIS: layout.role.row,
            block_loop.COLUMN_AXIS: layout.role.column,
            block_loop.CHANNEL_AXIS: layout.role.channel if layout.channels > 1 else -1,
            block_loop.CHANNELS: layout.channels,
            block_loop.ROWS: rows,
            block_loop.TAPS: taps,
            block_loop.BLOCKS: self._blocks,
            block_loop.DOWN: down,
            block_loop.ACROSS: across,
            block_loop.MINIMUM_WIDTH: layout.least,
            block_loop.PLANE_PITCH: plane_pitch,
            block_loop.STAGE_PITCH: stage_pitch,
            block_loop.PLANE_AT: starts[1],
            block_loop.STAGE_AT: starts[2],
            block_loop.SECOND_STAGE_AT: starts[3],
            block_loop.LINES_AT: starts[4],
            block_loop.LINES: cut.lines,
            block_loop.KEEPS_GIL: self._keeps_gil,
            block_loop.PIECES: self._tables[0].ctypes.data,
            block_loop.RUNS: self._tables[1].ctypes.data,
            block_loop.ROW_BLOCKS: self._tables[2].ctypes.data,
            block_loop.COLUMN_BLOCKS: self._tables[3].ctypes.data,
            block_loop.BATCH_AXES: len(layout.batch),
            **own,
        }
        job[list(fields)] = list(fields.values())
        job[block_loop.BATCH :] = layout.batch
        if problem.boundary == FILL:
            value = np.asarray(problem.fill_value, problem.sums)
            places = job[block_loop.FILL_VALUE : block_loop.FILL_VALUE + 2].view(fill_type.name)
            for part, number in enumerate((value.real, value.imag)):
                places[part * 8 // places.itemsize] = number.astype(fill_type.name)
        self._job = job
        self.nbytes = job.nbytes + sum(table.nbytes for table in self._tables)
        self._run = _run()
        if not self._alone:
            scheduler.lingerer()

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; False where something was not finite.

        At most `workers` threads compute, None for as many as there are, and one where the work is small.
        """
        _pins = () if self._keeps_gil else pinned(x, kernel, out)
        if self._alone:
            # `scheduler.run` has this too: a function for it would cost 0.06 of the 2.5 us of a small call.
            scratch = thread.kept.scratch
            if scratch[0] < self._scratch_bytes:
                scratch = new_scratch(self._scratch_bytes)
            return self._run(x, kernel, out, self._job, self._job, -1, 0, scratch[1]) == DONE
        threads = scheduler.threads_for(self._blocks, workers)
        turn = max(1, _WORK_BETWEEN_SIGNALS * self._blocks // self._work)
        turn, after_turn = scheduler.turn_of(turn, self._blocks, threads, (x, out))
        # Each thread looks at the kernel before it takes a piece, and may be late: a copy is one to all, and stays.
        arrays = non_owning_view(x), kernel.copy(), non_owning_view(out)

        def step(progress, patience, scratch):
            return self._run(*arrays, self._job, progress, turn, patience, scratch)

        return scheduler.run(step, self._blocks, self._scratch_bytes, threads, after_turn=after_turn)
