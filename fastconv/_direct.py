"""The direct engine, seen from Python: it prepares the job that `_driver` runs, and shares it out to the crew."""

from __future__ import annotations

import functools
import math
import threading
from typing import Callable, NamedTuple

import numpy as np
from numba import config, types

from fastconv import _crew, _driver, _jit, _tile, _transfer
from fastconv._arguments import Problem
from fastconv._geometry import FILL, ZERO
from fastconv._grid import BLOCK, ROW_BLOCK, Axis, Table, cut_columns, cut_rows

# By kind and bytes, the type that a result, or the parts of a complex one, is computed in. Integers wrap, so a product
# needs no more bits than the result; 8 bits have no vector multiplication. The truth of bools is counted.
_COMPUTE = {
    ("b", 1): types.int32,
    ("i", 1): types.int16,
    ("u", 1): types.int16,
    ("i", 2): types.int16,
    ("u", 2): types.int16,
    ("i", 4): types.int32,
    ("u", 4): types.int32,
    ("i", 8): types.int64,
    ("u", 8): types.int64,
    ("f", 4): types.float32,
    ("f", 8): types.float64,
    ("c", 8): types.float32,
    ("c", 16): types.float64,
}

_EXPONENTS = {types.float32: 0x7F800000, types.float64: 0x7FF0000000000000}

# Below this many multiplications (and a few for each output), some 0.15 ms, one thread alone is as fast: another one
# takes 0.05 to 0.1 ms to wake up.
_WORK_FOR_THREADS = 6_000_000
# How much of it, about, between two looks at pending signals: some 10 ms.
_WORK_BETWEEN_SIGNALS = 300_000_000


def supports(dtype: np.dtype) -> bool:
    """Whether a result of this type can be computed here."""
    return (dtype.kind, dtype.itemsize) in _COMPUTE and not config.DISABLE_JIT


def _stored(dtype: np.dtype, compute) -> types.Type:
    """The type that a leaf reads or writes for `dtype`, or for its parts; signed where the sign makes no difference."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "b":
        return types.boolean
    if dtype.kind in "iu":
        narrow = isinstance(compute, types.Integer) and compute.bitwidth <= bits
        return types.Integer.from_bitwidth(bits, signed=dtype.kind == "i" or narrow)
    return {32: types.float32, 64: types.float64}[bits // (2 if dtype.kind == "c" else 1)]


# A plane with more channels than this has too few columns in a block. Then each channel is a plane, far slower.
_MOST_CHANNELS = 1024


class Roles(NamedTuple):
    """Which axis of the input is what to the engine; -1 for none. All others are a batch."""

    row: int
    column: int
    channel: int
    kernel_row: int
    kernel_column: int


def roles(shape: tuple[int, ...], axes: tuple[int, ...], is_complex: bool, minimum_width: int) -> Roles:
    """Lay an array out as planes: long lines in memory, and taps along rows where those may share loads."""
    last = len(shape) - 1
    if len(axes) == 2:
        kernel_row, kernel_column = (0, 1) if axes[0] < axes[1] else (1, 0)
        row, column = sorted(axes)
        channel = last if column < last and shape[last] <= _MOST_CHANNELS and not is_complex else -1
        return Roles(row, column, channel, kernel_row, kernel_column)
    (axis,) = axes
    if axis == last:
        return Roles(axis - 1, axis, -1, -1, 0)
    if shape[last] * (2 if is_complex else 1) >= minimum_width:
        return Roles(axis, last, -1, 0, -1)
    if axis < last - 1 and not is_complex:
        return Roles(axis, last - 1, last, 0, -1)
    return Roles(axis - 1, axis, -1 if is_complex else last, -1, 0)


@functools.cache
def _run():
    return _jit.compile_entry(_driver.run, _driver.signature())


@functools.cache
def leaf(function, signature) -> int:
    """The address of a leaf, compiled once."""
    return _jit.compile_leaf(function, signature)


def _transfer_leaf(source, destination) -> int:
    return leaf(_transfer.transfer, _transfer.signature(source, destination))


class Layout(NamedTuple):
    """A `Problem` as planes of the compute type: what does not depend on how they are cut into blocks."""

    compute: types.Type
    item: int
    x_type: types.Type
    out_type: types.Type
    x_parts: int
    kernel_parts: int
    role: Roles
    row_axis: Axis
    column_axis: Axis
    channels: int
    batch: list[int]
    least: int

    @classmethod
    def of(cls, problem: Problem) -> Layout:
        compute = _COMPUTE[problem.dtype.kind, problem.dtype.itemsize]
        item = compute.bitwidth // 8
        least = _tile.minimum_width(item)
        role = roles(problem.x_shape, problem.axes, problem.dtype.kind == "c", least)
        return cls(
            compute=compute,
            item=item,
            x_type=_stored(problem.x_dtype, compute),
            out_type=_stored(problem.dtype, compute),
            x_parts=2 if problem.x_dtype.kind == "c" else 1,
            kernel_parts=2 if problem.kernel_dtype.kind == "c" else 1,
            role=role,
            row_axis=_axis(problem, role.row, role.kernel_row),
            column_axis=_axis(problem, role.column, role.kernel_column),
            channels=problem.x_shape[role.channel] if role.channel >= 0 else 1,
            batch=[axis for axis in range(len(problem.x_shape)) if axis not in role[:3]],
            least=least,
        )

    @property
    def plane_channels(self) -> int:
        """Elements of a column of a plane: channels, or the parts of a complex number."""
        return self.channels * self.x_parts


class Cut(NamedTuple):
    """How an engine cuts the output into blocks, and what room it needs for one."""

    rows: int  # of a block
    columns: int
    work: int  # for each output, about, in multiplications
    weights: int = 0  # elements of weights in the scratch buffer
    lines: int = 0  # of input that are taken at a time, 0 for all that a block needs
    head: int = 0  # elements before the lines between two passes
    kept: int = 0  # such lines


class BlockEngine:
    """An engine that has `_driver` go from block to block: the job, and its sharing out to the crew."""

    def __init__(self, problem: Problem, layout: Layout, cut: Cut, own: dict[int, int]):
        item, rows, taps = layout.item, layout.row_axis.taps, layout.column_axis.taps
        table = Table()
        row_blocks = cut_rows(table, layout.row_axis, cut.rows, cut.lines or cut.rows + rows - 1)
        column_blocks = cut_columns(table, layout.column_axis, cut.columns, -(-layout.least // layout.plane_channels))
        down, across = len(row_blocks) // ROW_BLOCK, len(column_blocks) // BLOCK
        self._tables = table.pieces(), table.runs(), row_blocks, column_blocks  # the job has their addresses
        self._blocks = down * across * math.prod(problem.x_shape[axis] for axis in layout.batch)
        self._work = math.prod(problem.out_shape) * (cut.work + 8)
        self._alone = self._work < _WORK_FOR_THREADS

        line = max(cut.columns * layout.plane_channels, layout.least)
        # A pitch that is a power of two would put the rows of a tile into the same few sets of the cache.
        stage_pitch = -(-line // 16) * 16 + 16
        plane_pitch = -(-(line + (taps - 1) * layout.plane_channels) // 16) * 16 + 16
        stage_bytes = min(cut.rows, cut.lines or cut.rows) * stage_pitch * item
        sizes = (
            cut.weights * item,
            (cut.lines or cut.rows + rows - 1) * plane_pitch * item,
            stage_bytes,
            stage_bytes if layout.kernel_parts == 2 else 0,
            (cut.head + cut.kept * stage_pitch) * item + 8,
        )
        starts = [0]
        for size in sizes:
            starts.append(starts[-1] + -(-size // 64) * 64)
        self._scratch_bytes = starts[-1]

        job = np.zeros(_driver.BATCH + len(layout.batch), np.intp)
        fields = {
            _driver.PACK: _transfer_leaf(layout.x_type, layout.compute),
            # A zero is a zero in every type: no leaf of its own to compile.
            _driver.COPY: _transfer_leaf(layout.compute if problem.boundary == FILL else layout.x_type, layout.compute),
            _driver.STORE: _transfer_leaf(layout.compute, layout.out_type),
            _driver.ITEM: item,
            _driver.X_ITEM: problem.x_dtype.itemsize // layout.x_parts,
            _driver.IN_PLACE: layout.x_type == layout.compute and problem.x_dtype.isnative,
            _driver.OUT_IN_PLACE: layout.out_type == layout.compute,
            _driver.SWAPPED: not problem.x_dtype.isnative,
            _driver.X_PARTS: layout.x_parts,
            _driver.KERNEL_PARTS: layout.kernel_parts,
            _driver.ROW_AXIS: layout.role.row,
            _driver.COLUMN_AXIS: layout.role.column,
            _driver.CHANNEL_AXIS: layout.role.channel if layout.channels > 1 else -1,
            _driver.CHANNELS: layout.channels,
            _driver.ROWS: rows,
            _driver.TAPS: taps,
            _driver.BLOCKS: self._blocks,
            _driver.DOWN: down,
            _driver.ACROSS: across,
            _driver.MINIMUM_WIDTH: layout.least,
            _driver.PLANE_PITCH: plane_pitch,
            _driver.STAGE_PITCH: stage_pitch,
            _driver.PLANE_AT: starts[1],
            _driver.STAGE_AT: starts[2],
            _driver.SECOND_STAGE_AT: starts[3],
            _driver.LINES_AT: starts[4],
            _driver.LINES: cut.lines,
            _driver.PIECES: self._tables[0].ctypes.data,
            _driver.RUNS: self._tables[1].ctypes.data,
            _driver.ROW_BLOCKS: self._tables[2].ctypes.data,
            _driver.COLUMN_BLOCKS: self._tables[3].ctypes.data,
            _driver.BATCH_AXES: len(layout.batch),
            **own,
        }
        job[list(fields)] = list(fields.values())
        job[_driver.BATCH :] = layout.batch
        if problem.boundary == FILL:
            value = np.asarray(problem.fill_value, problem.dtype)
            places = job[_driver.FILL_VALUE : _driver.FILL_VALUE + 2].view(layout.compute.name)
            for part, number in enumerate((value.real, value.imag)):
                places[part * 8 // item] = number.astype(layout.compute.name)
        self._job = job
        self._run = _run()
        if not self._alone:
            self._linger = _linger()  # here, and not in a helper: a fork meanwhile would inherit a compiler at work

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; False where something was not finite.

        At most `workers` threads compute, None for as many as there are, and one where the work is small.
        """
        if self._alone:
            scratch = getattr(_thread, "scratch", _NO_SCRATCH)
            if scratch[0] < self._scratch_bytes:
                scratch = _new_scratch(self._scratch_bytes)
            return self._run(x, kernel, out, self._job, self._job, -1, 0, scratch[1]) == _driver.DONE
        progress = np.zeros(_driver.PROGRESS, np.intp)
        progress[_driver.BELL] = _BELL_ADDRESS
        turn = max(1, _WORK_BETWEEN_SIGNALS * self._blocks // self._work)
        finite = True

        def work(helping):
            nonlocal finite
            scratch = getattr(_thread, "scratch", _NO_SCRATCH)
            if scratch[0] < self._scratch_bytes:
                scratch = _new_scratch(self._scratch_bytes)
            patience = 0 if helping else _PATIENCE
            status = _driver.MORE
            while status == _driver.MORE:
                status = self._run(x, kernel, out, self._job, progress, turn, patience, scratch[1])
            finite = finite and status != _driver.NOT_FINITE

        threads = min(_crew.available_workers(), self._blocks)
        if workers is not None:
            threads = min(threads, workers)
        if threads == 1:
            work(False)
            return finite and not progress[_driver.FLAWS]

        def stop():
            progress[_driver.NEXT] = self._blocks

        def finished():
            return progress[_driver.FINISHED] >= self._blocks

        _crew.share(_crew.Work(work, stop, finished, _listen, self._linger), threads)
        return finite and not progress[_driver.FLAWS]


class DirectEngine(BlockEngine):
    """Convolutions of one `Problem`, by the definition; to be called with any arrays of its types and sizes.

    It returns False where it cannot compute, and has not touched `out`: zeros outside a kernel not finite.
    """

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        compute, parts = layout.compute, layout.kernel_parts
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        block_rows, block_columns = _block(
            layout.row_axis, layout.column_axis, layout.plane_channels, layout.least, layout.item
        )
        cut = Cut(block_rows, block_columns, rows * taps * layout.x_parts * parts, weights=parts * rows * taps)
        # Where a kernel is not finite, a zero outside is not the same as nothing there.
        guard = problem.boundary == ZERO and problem.looks_outside and isinstance(compute, types.Float)
        microkernel = _tile.convolve_rows if rows == 1 else _tile.convolve_tiles
        own = {
            _driver.TILE: leaf(microkernel, _tile.signature(compute)),
            _driver.WEIGH: _transfer_leaf(_stored(problem.kernel_dtype, compute), compute),
            _driver.ROTATE: leaf(_transfer.add_rotated, _transfer.rotate_signature(compute)) if parts == 2 else 0,
            _driver.KERNEL_ITEM: problem.kernel_dtype.itemsize // parts,
            _driver.KERNEL_SWAPPED: not problem.kernel_dtype.isnative,
            _driver.KERNEL_ROW_AXIS: layout.role.kernel_row,
            _driver.KERNEL_COLUMN_AXIS: layout.role.kernel_column,
            _driver.FLIP: problem.flip,
            _driver.EXPONENT: _EXPONENTS[compute] if guard else 0,
        }
        super().__init__(problem, layout, cut, own)

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel, for `run`: as it is, since it is converted and flipped in cache."""
        return kernel

    run = BlockEngine.__call__


# How often a thread that waits for another looks before it goes to sleep: some 0.1 ms. To wake one up takes as long.
_PATIENCE = 3000

# Rung by whoever begins a job that is shared.
_bell = np.zeros(1, np.intp)
_BELL_ADDRESS = _bell.ctypes.data


def _listen() -> int:
    return int(_bell[0])


@functools.cache
def _linger() -> Callable[[int], None]:
    """A function that waits a moment for the next job: callers who convolve frame after frame come back at once."""
    linger = _jit.compile_entry(_driver.linger, _driver.linger_signature())
    return lambda heard: linger(_bell, heard, _PATIENCE)


def _axis(problem: Problem, axis: int, kernel_axis: int) -> Axis:
    """An axis of the problem: convolved, or only gone along, or not there."""
    if axis < 0:
        return Axis(1, 1, 1, 0, problem.boundary)
    if kernel_axis < 0:
        return Axis(problem.x_shape[axis], problem.out_shape[axis], 1, 0, problem.boundary)
    taps = problem.kernel_shape[kernel_axis]
    first = problem.starts[kernel_axis] - (taps - 1)
    return Axis(problem.x_shape[axis], problem.out_shape[axis], taps, first, problem.boundary)


def _block(row_axis: Axis, column_axis: Axis, channels: int, least: int, item: int) -> tuple[int, int]:
    """Rows and columns of a block.

    64 rows of 8 kB, or 32 where a small image would else have too few blocks to share out. Long lines are worth more
    than many rows: 2048 x 2048 float32 by 5x5 took 3.4 ms in blocks of 64 x 512 and 2.7 in blocks of 64 x 1024.

    With a large kernel a block is smaller, so that what it packs stays within some megabytes, and its work within a
    tenth of a second: between blocks the interpreter looks for Ctrl-C. Of very long axes blocks are larger, so that the
    tables stay small.
    """
    elements = min(2048, 8192 // item) if row_axis.outputs > 1 else 8192
    rows = 32 if row_axis.outputs < 1024 else 64
    taps = row_axis.taps * column_axis.taps
    most = _WORK_OF_A_BLOCK // taps
    while rows * elements > most and max(rows // 4, elements // 512) > 1:
        rows, elements = (rows // 2, elements) if rows > 16 or elements <= 512 else (rows, elements // 2)
    elements = max(elements, least, column_axis.outputs * channels // MOST_PIECES)
    rows = max(rows, row_axis.outputs // MOST_PIECES // 4 * 4)
    across = -(-column_axis.outputs * channels // elements)
    return min(rows, row_axis.outputs), -(-column_axis.outputs // across)


_WORK_OF_A_BLOCK = 2_000_000_000
MOST_PIECES = 32768


# Each thread keeps a scratch buffer from call to call: its size, its address, and the buffer.
_thread = threading.local()
_NO_SCRATCH: tuple[int, int, np.ndarray | None] = (-1, 0, None)
_KEPT_SCRATCH = 1 << 22


def _new_scratch(size: int) -> tuple[int, int, np.ndarray | None]:
    """A buffer of at least `size` bytes; kept for the thread's next call unless it is large."""
    buffer = np.empty(size + 64, np.uint8)
    scratch = (size, -(-buffer.ctypes.data // 64) * 64, buffer)
    if size <= _KEPT_SCRATCH:
        _thread.scratch = scratch
    return scratch
