"""Instrumentation for tests: observe the paths that engines take, and force paths that small arrays do not take.

    with observed() as events:
        fastconv.convolve2d(x, kernel, method="fft")
    assert [event.tile.four_step for event in events if event.name == "fft"] == [False]

    with forced(cpus=8, block=(5, 64)):
        fastconv.convolve2d(x, kernel)

Events, each with its fields:

- compile (routine, module, signature): a routine or an entry point is about to be compiled, or loaded from the disk
  cache; it is defined in the module.
- choose (problem): a method is about to be chosen for a kernel.
- look (lines): a part of an array is about to be searched for zeros around it.
- trim (spans): zeros around a kernel were found, and its taps are about to be copied.
- prepare (problem, method): the engine of a method is about to prepare a kernel.
- trimmed (problem): a kernel is about to be used without the zeros around it, since the input is finite.
- trim_input (problem): a problem is about to be computed without the zeros around the input; None if it is all zeros.
- direct, separable, pixels, rounded (problem, job, tables, x, out, x_in_place, out_in_place): a block engine runs a
  `BLOCK_JOB`. Each array is addressed by the microkernel itself, or packed and stored block by block.
- magnitudes (the same fields): so does the engine of magnitudes of two separable derivatives.
- volume (problem, job, tables, x, out): the separable engine for three axes runs a `VOLUME_JOB`.
- partly_separable (problem, x, out, steps): planes are about to be convolved with a matrix, and summed along a line,
  for so many outputs along each axis at a time.
- planes (problem, job, tables, x, out): the engine for stacks of planes runs a `PLANE_JOB`.
- fft (problem, x, out, tile, shared, steps): overlap-save runs with a tile, which threads may share. Steps are outputs
  of a tile along each axis that tiles cut.
- volume_fft (problem, x, out, volume, count): overlap-save along three and more axes begins, by so many parts, each of
  the problem `volume`.
- transform (problem, sums, sizes): a real volume is about to be transformed with sums of this type, at so many points.
- whole (problem): it is of whole numbers, and results will be rounded.
- survey (x, cells): samples are about to be surveyed, and their sizes summed over cells.
- boxes (x, axes, sums): the sizes of samples are about to be summed over boxes.
- digits (problem, x, out, tile, shared, planes, units): a pass of overlap-save for whole numbers begins, with so many
  planes of results for each unit: 1 if samples are not split, or in two.
- left (units): so many units of the pass had too large samples, and were left out.
- layer (problem, engine): the engine of that name is about to compute a layer; a second one follows if it gives up.
- windows (problem, x, out): the engine of means and deviations over windows runs.
- pyramid (problem, x, out): the engine of the steps of pyramids runs.
- numpy (problem, x, out): the NumPy engine runs.
- vague (double, marked): groups of outputs are about to be computed in another way than by a spectrum of so little
  precision: all of some units in double precision, and the marked groups of the others directly.
- points (marked): marked results of a volume are about to be computed one by one.
- quiet (units): so many units are about to be transformed without their loud samples.
- repair (method): outputs that are not finite are about to be recomputed by the direct engine.
- share (threads, pieces): a job is divided among threads.
- work, worked (job): a thread begins, or ends, to take pieces of a job, which is identified by its progress counters.
- scratch (buffer): a thread has allocated a scratch buffer, and is about to use it.
- release (maps): the pages of memory-mapped files were released.

Nothing but tests uses this. Without a listener, a call tests one empty list.
"""

from __future__ import annotations

import contextlib
import types
from typing import Any, Callable, Iterator

import numpy as np

from fastconv._runtime.bounded_cache import clear_caches


class Event(types.SimpleNamespace):
    """A name and fields."""

    name: str


Listener = Callable[[Event], object]
listeners: list[Listener] = []


def notify(name: str, **fields: Any) -> None:
    """Pass an event to all listeners, in the thread in which it happens; check `listeners` first to save the call."""
    event = Event(name=name, **fields)
    for listener in (*listeners,):
        listener(event)


@contextlib.contextmanager
def observed(listener: Listener | None = None) -> Iterator[list[Event]]:
    """Call `listener` at each event of any thread, or append events to the list that is yielded."""
    events: list[Event] = []
    added = events.append if listener is None else listener
    listeners.append(added)
    try:
        yield events
    finally:
        listeners.remove(added)


class Overrides:
    """Values that replace what the package would find or choose; None for none."""

    def __init__(self) -> None:
        self.cpus: int | None = None  # processors, whatever affinity and control groups say
        self.method: str | None = None  # the cheapest method, among those that are estimated
        self.block: tuple[int, int] | None = None  # most rows and columns of a block
        self.digits: bool | None = None  # whether integers too large for one transform are split, not summed directly
        self.error: float | None = None  # error of whole numbers relative to both norms, for smaller digits
        self.rounding: bool | None = None  # whether floats that are whole numbers are rounded
        self.tiles: int | None = None  # how many lengths of transforms to choose from, the shortest ones
        self.scratch: Callable[[int], np.ndarray] | None = None  # allocates scratch buffers
        self.tables: Callable[[np.ndarray], np.ndarray] | None = None  # copies what engines make of a kernel
        self.recompiled: Callable[[str], bool] | None = None  # whether to compile a kernel that is in the disk cache


overrides = Overrides()


@contextlib.contextmanager
def forced(**values: Any) -> Iterator[None]:
    """Set some of `Overrides`; the caches are cleared before and after, since engines keep what they were made with."""
    before = {name: getattr(overrides, name) for name in values}
    vars(overrides).update(values)
    clear_caches()
    try:
        yield
    finally:
        vars(overrides).update(before)
        clear_caches()


def limited(rows: int, columns: int) -> tuple[int, int]:
    """Limit the size of a block to what is forced."""
    if overrides.block is None:
        return rows, columns
    return min(rows, overrides.block[0]), min(columns, overrides.block[1])


def placed(table: np.ndarray) -> np.ndarray:
    """Move a table that compiled code reads to memory of a test."""
    return table if overrides.tables is None else overrides.tables(table)


def is_in_place(array: np.ndarray, job: np.ndarray, batch_axes: np.ndarray) -> bool:
    """Whether lines of an array are contiguous and its samples aligned, as `block_loop` tests it."""
    size, channels = int(job["sample_bytes"]), int(job["channels"] * job["x_parts"])
    strides = array.strides
    channel = strides[job["channel_axis"]] if job["channel_axis"] >= 0 else size
    steps = [strides[axis] for axis in (job["row_axis"], *batch_axes) if axis >= 0]
    contiguous = (channel == size or channels == 1) and strides[job["column_axis"]] == channels * size
    return contiguous and not any(step % size for step in (array.ctypes.data, *steps))
