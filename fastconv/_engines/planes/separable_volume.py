"""The separable engine for three and more axes: sums over planes, down columns and along rows, fused in cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines import layout as _layout
from fastconv._engines.blocks.block_engine import MOST_PIECES, BlockEngine
from fastconv._engines.blocks.separable import MOST_TO_ADD_UP, SeparableEngine, total_of
from fastconv._engines.layout import Layout, axis_of
from fastconv._engines.non_finite_repair import order_is_free, repair
from fastconv._engines.planes import plane_engine
from fastconv._engines.routine_addresses import (
    compiled_routine,
    fill_bytes,
    pack_routine,
    rescale_parameters,
    store_routine,
    transfer_routine,
)
from fastconv._microkernels.block_cutting import RUN, Axis, Table, cut_rows
from fastconv._microkernels.blocks import direct_tile, separable_passes
from fastconv._microkernels.planes import volume_loop
from fastconv._microkernels.sample_layout import pitch_of
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.problem import Problem
from fastconv._model.separability import Separable, Total, as_taps, factors
from fastconv._runtime.instrumentation import limited, notify, placed
from fastconv._simd import compilation


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem of three or more axes, if its kernel is an outer product."""
    steps = problem.strides + problem.dilations
    if len(problem.axes) < 3 or problem.kernels or problem.pairs is not None or steps.count(1) != len(steps):
        return False
    if problem.kernel_dtype.kind == "c" or not _layout.supports(problem.sums):
        return False
    if problem.finish is not None and problem.finish.premultiplied:
        return False
    # The second of two engines would take fill values that the first has summed.
    return len(_summed(problem)) <= 3 or not problem.fills


def estimate(problem: Problem) -> float:
    """Nanoseconds for a problem that is supported and whose kernel is an outer product."""
    return cost_model.separable_volume(problem)


def summed_axes(problem: Problem, least: int) -> list[int]:
    """The axes of the kernel along which there is something to sum or to shift, and others up to the least number."""
    places, found = range(len(problem.axes)), []
    for k, axis in enumerate(problem.axes):
        idle = problem.kernel_shape[k] == 1 and problem.starts[k] == 0
        if not idle or problem.x_shape[axis] != problem.out_shape[axis]:
            found.append(k)
    return sorted([*found, *(k for k in places if k not in found)][: max(least, len(found))])


def _summed(problem: Problem) -> list[int]:
    """At least two axes, or three where zeros lie outside along one axis and fill values along another."""
    return summed_axes(problem, 3 if problem.fills and ZERO in problem.boundaries else 2)


class VolumeFactors(NamedTuple):
    """A kernel ready for `SeparableVolumeEngine.run`: weights for each engine, and the kernel for repairs."""

    weights: tuple[np.ndarray, ...]
    kernel: np.ndarray | Separable

    @property
    def nbytes(self) -> int:
        return sum(weights.nbytes for weights in self.weights) + self.kernel.nbytes


class _Step(NamedTuple):
    """An engine, and the axes of the kernel that it sums over."""

    engine: Any
    problem: Problem
    axes: list[int]


class SeparableVolumeEngine:
    """Convolutions of one `Problem` of three or more axes, whose kernels are outer products.

    Axes of one tap are left out. Three axes are summed together; of more, the first ones before the others, with an
    array in between. Results that are not finite are recomputed directly, as by `SeparableEngine`.
    """

    def __init__(self, problem: Problem):
        self._problem, self._summed = problem, _summed(problem)
        compute = _layout.COMPUTE[problem.sums.kind, problem.sums.itemsize]
        self._dtype = np.dtype(compute.name)
        rest, shape, self._steps = sorted(self._summed, key=problem.axes.__getitem__), problem.x_shape, []
        while rest:
            count = len(rest) if len(rest) <= 3 else 3 if len(rest) % 3 == 0 else 2
            step = self._step(rest[:count], shape, count == len(rest))
            shape, rest = step.problem.out_shape, rest[count:]
            self._steps.append(step)
        channels = max(step.engine.channels for step in self._steps)
        longest = max(problem.kernel_shape[k] for k in self._summed)
        self._can_add_up = longest * channels <= MOST_TO_ADD_UP and isinstance(compute, types.Float)

    def _step(self, axes: list[int], shape: tuple[int, ...], is_last: bool) -> _Step:
        """Make the engine that sums along some axes; `shape` is that of its input."""
        problem = self._problem
        out_shape = list(shape)
        for k in axes:
            out_shape[problem.axes[k]] = problem.out_shape[problem.axes[k]]
        part = along(problem, axes)._replace(x_shape=shape, out_shape=tuple(out_shape))
        if shape != problem.x_shape or self._steps:
            part = part._replace(x_dtype=problem.sums)
        if not is_last:
            part = part._replace(dtype=problem.sums, finish=None)
        return _Step(PlanesEngine(part) if len(axes) == 3 else SeparableEngine(part), part, axes)

    @property
    def nbytes(self) -> int:
        return sum(step.engine.nbytes for step in self._steps)

    def prepare(self, kernel: np.ndarray | Separable) -> VolumeFactors | None:
        """Factor a kernel for `run`; None where it is not an outer product."""
        passes = [self._summed.index(step.axes[place]) for step in self._steps for place in step.engine.passes]
        found = factors(self._without_idle(kernel), self._dtype, self._total() if self._can_add_up else None, passes)
        if found is None:
            return None
        lines = dict(zip(self._summed, found))
        weights = (step.engine.weights([lines[k] for k in step.axes], self._problem.flip) for step in self._steps)
        return VolumeFactors(tuple(weights), kernel if isinstance(kernel, Separable) else kernel.copy())

    def _without_idle(self, kernel: np.ndarray | Separable) -> np.ndarray | Separable:
        """The kernel without axes of one tap along which nothing is summed or shifted."""
        if not isinstance(kernel, Separable):
            return kernel.reshape(_chosen(kernel.shape, self._summed))
        scale = math.prod(float(line[0]) for k, line in enumerate(kernel.lines) if k not in self._summed)
        first, *others = _chosen(kernel.lines, self._summed)
        return Separable((first * scale if scale != 1 else first, *others), kernel.dtype)

    def _total(self) -> Total:
        """Make a function that adds up a factor in the order of the engine that sums over its axis."""
        places = {k: (step.engine.total(), place) for step in self._steps for place, k in enumerate(step.axes)}

        def total(taps: np.ndarray, which: int) -> float:
            add_up, place = places[self._summed[which]]
            return add_up(taps, place)

        return total

    def run(self, x: np.ndarray, prepared: VolumeFactors, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`."""
        samples, finite = x, True
        for step, weights in zip(self._steps, prepared.weights):
            is_last = step is self._steps[-1]
            result = out if is_last else np.empty(step.problem.out_shape, step.problem.dtype)
            finite = step.engine(samples, weights, result, workers) and finite
            samples = result
        weights = np.concatenate(prepared.weights)
        if not finite and not order_is_free(x, prepared.kernel, weights):
            kernel = as_taps(prepared.kernel, self._problem.kernel_dtype)
            repair(self._problem, x, kernel, out, workers, _compute_part)
        return True


def along(problem: Problem, axes: Sequence[int]) -> Problem:
    """A problem with some of the axes of its kernel, in the order given; without strides and dilations."""
    names = "kernel_shape", "axes", "starts", "boundaries"
    fields: dict[str, Any] = {name: _chosen(getattr(problem, name), axes) for name in names}
    return problem._replace(**fields, strides=(), dilations=(), roles=None)


def _chosen(values: Sequence, places: Sequence[int]) -> tuple:
    return tuple(values[k] for k in places)


def _compute_part(problem: Problem, where: tuple[slice, ...], x, kernel, out, workers: int | None) -> None:
    """Compute the part `where` of a problem's result into `out`, an array of its shape."""
    part, source = problem.part(where)
    plane_engine.compute(part, x[source], kernel, out, workers)


@compilation.once
def _run():
    return compilation.compile_entry(
        volume_loop.run, volume_loop.signature(), nogil=False
    )  # it releases the GIL itself


class PlanesEngine(BlockEngine):
    """Convolutions of one `Problem` of three axes, in the order of the array, by factors; run by `volume_loop`.

    A call returns False if a result is not finite.
    """

    name = "volume"
    passes = 0, 2, 1  # axes of the kernel, in the order of the sums

    def __init__(self, problem: Problem):
        plane_axis = axis_of(problem, problem.axes[0], 0)
        layout = Layout.of(along(problem, (1, 2)))
        compute, role, item = layout.compute, layout.role, layout.item
        is_integer = isinstance(compute, types.Integer)
        batch = [axis for axis in layout.batch if axis != problem.axes[0]]
        self.channels, self._channel_axis = layout.channels, role.channel
        in_place = layout.x_type == compute and problem.x_dtype.isnative
        depth, rows, columns = _block(plane_axis, layout, in_place)
        table = Table()
        depths = _add_pieces(table, plane_axis, depth)
        across = _add_pieces(table, layout.column_axis, columns)
        lines = max(separable_passes.LINES, layout.row_axis.outputs // MOST_PIECES)
        row_blocks = cut_rows(table, layout.row_axis, rows, lines)
        together = max(_LEAST_DEPTHS, depths // MOST_PIECES + 1, -(-plane_axis.taps // depth))
        pieces, runs = table.pieces(), table.runs()
        # The job holds the addresses of these.
        self._rescale = rescale_parameters(problem.finish, compute)
        mains = [_main(piece, runs, layout, problem.fills) for piece in pieces[depths : depths + across]]
        self._tables = {
            "pieces": pieces,
            "runs": runs,
            "row_blocks": row_blocks,
            "mains": np.array(mains, np.intp),
            "batch_axes": np.array(batch, np.intp),
        }
        count = -(-depths // together) * len(row_blocks) * across * math.prod(problem.x_shape[axis] for axis in batch)
        self._set_work(problem, count, sum(problem.kernel_shape) * layout.x_parts)
        scratch, self._scratch_bytes = _scratch_fields(plane_axis, layout, depth, columns, lines)
        copy = transfer_routine(compute, compute)
        sums = direct_tile.convolve_tiles if is_integer else direct_tile.convolve_symmetric_columns
        passes = separable_passes.pass_integers_twice if is_integer else separable_passes.pass_twice
        fields = {
            **scratch,
            **{name: table.ctypes.data for name, table in self._tables.items()},
            "sum_planes": compiled_routine(sums, direct_tile.signature(compute)),
            "pass_twice": compiled_routine(passes, separable_passes.signature(compute)),
            "pack": pack_routine(None, layout.x_type, compute, not problem.x_dtype.isnative),
            "copy": copy,
            "store": store_routine(problem.finish, compute, layout.out_type),
            "rescale": 0 if self._rescale is None else self._rescale.ctypes.data,
            "single_threaded": self._alone,
            "keeps_gil": self._keeps_gil,
            "x_in_place": in_place,
            "out_in_place": layout.out_type == compute and self._rescale is None,
            "plane_fills": problem.boundaries[0] == FILL,
            "row_fills": problem.boundaries[1] == FILL,
            "column_fills": problem.boundaries[2] == FILL,
            "sample_bytes": item,
            "x_bytes": problem.x_dtype.itemsize // layout.x_parts,
            "out_bytes": problem.dtype.itemsize // layout.x_parts,
            "x_parts": layout.x_parts,
            "plane_axis": problem.axes[0],
            "row_axis": role.row,
            "column_axis": role.column,
            "channel_axis": role.channel if layout.channels > 1 else -1,
            "batch_rank": len(batch),
            "channels": layout.channels,
            "plane_taps": plane_axis.taps,
            "kernel_rows": layout.row_axis.taps,
            "taps": layout.column_axis.taps,
            "blocks": count,
            "blocks_down": len(row_blocks),
            "blocks_across": across,
            "depths": depths,
            "depths_together": together,
            "minimum_width": layout.minimum_width,
            "lines_per_call": lines,
            "planes": depth,
            "fill_value": fill_bytes(problem, compute),
        }
        self._set_job(volume_loop.VOLUME_JOB.filled(fields), _run())

    def weights(self, lines: Sequence[np.ndarray], flip: bool) -> np.ndarray:
        """The weights of all passes, of the factors of the kernel's axes."""
        plane, column, row = (line[::-1] for line in lines) if flip else lines
        return placed(np.concatenate((plane, row, column)))

    def total(self) -> Total:
        """Make a function that adds up the taps of a factor in the order of this engine."""
        return total_of(PlanesEngine, self._problem, self._channel_axis)

    def _notify(self, x: np.ndarray, out: np.ndarray) -> None:
        notify(self.name, problem=self._problem, job=self.job, tables=self._tables, x=x, out=out)


def _add_pieces(table: Table, axis: Axis, size: int) -> int:
    """Cut an axis into pieces of `size` outputs, each with all its samples; return how many there are."""
    starts = range(0, axis.outputs, size)
    for start in starts:
        length = min(size, axis.outputs - start)
        table.add(axis, start, length, start, length + axis.taps - 1, (0, axis.taps))
    return len(starts)


def _main(piece: np.void, runs: np.ndarray, layout: Layout, fills: bool) -> int:
    """The run of a piece of columns from which all others can be copied; -1 for none, or if values are filled in."""
    channels, least = layout.plane_channels, layout.minimum_width
    found = [dict(zip(RUN.dtype.names or (), run.tolist())) for run in runs[piece["first_run"] : piece["stop_run"]]]
    main = max(range(len(found)), key=lambda k: found[k]["length"] * (found[k]["direction"] == 1))
    first, length = found[main]["source"], found[main]["length"]
    if fills or found[main]["direction"] != 1 or channels * min(length, int(piece["length"])) < least:
        return -1
    for run in found:
        ends = run["source"], run["source"] + run["direction"] * (run["length"] - 1)
        if run["source"] >= 0 and not (first <= min(ends) and max(ends) < first + length):
            return -1
    return int(piece["first_run"]) + main


def _scratch_fields(
    plane_axis: Axis, layout: Layout, planes: int, columns: int, lines: int
) -> tuple[dict[str, int], int]:
    """Fields of the job that divide the scratch memory, and the size of that."""
    item, channels = layout.item, layout.plane_channels
    width = max(columns * channels, layout.minimum_width)
    line_pitch = pitch_of(width + layout.column_axis.taps * channels, item)
    staging_pitch = pitch_of(width, item)
    kept = separable_passes.HEAD + separable_passes.buffered(layout.row_axis.taps, lines) * staging_pitch
    lines_bytes = -(-(kept * item + 8) // 64) * 64
    sizes = {
        "packed_at": (planes + plane_axis.taps - 1) * line_pitch * item,
        "planes_at": planes * lines * line_pitch * item,
        "staging_at": lines * staging_pitch * item,
        "lines_at": planes * lines_bytes,
    }
    fields, total = {"packed_pitch": line_pitch, "line_pitch": line_pitch, "plane_pitch": lines * line_pitch}, 0
    fields |= {"staging_pitch": staging_pitch, "lines_bytes": lines_bytes}
    for name, part in sizes.items():
        fields[name] = total
        total += -(-part // 64) * 64
    return fields, total


# Groups of planes in a piece of work.
_LEAST_DEPTHS = 4
# Bytes of the lines kept between two passes, for all planes of a group.
_BETWEEN = 1 << 20


def _block(plane_axis: Axis, layout: Layout, in_place: bool) -> tuple[int, int, int]:
    """Planes, rows and columns that are computed at a time.

    Four planes, a tile of the microkernel, where the input is read in place; else more, since each time all planes
    under them are packed. Long lines and high blocks gain more than a buffer in the second-level cache: 256^3 float64
    by a Gaussian of sigma 1 took 44 ms in lines of 1 kB and 64 rows, 31 in 2 kB and 128 rows (AVX-512).
    """
    row_axis, column_axis, channels = layout.row_axis, layout.column_axis, layout.plane_channels
    planes = direct_tile.ROWS * (1 if in_place else 2)
    outputs = column_axis.outputs * channels
    elements = _BETWEEN // (layout.item * planes * separable_passes.buffered(row_axis.taps, separable_passes.LINES))
    elements = max(min(elements, 8192 // layout.item), 4 * layout.minimum_width, outputs // MOST_PIECES)
    across = -(-outputs // elements)
    rows = max(128, 4 * row_axis.taps, row_axis.outputs // MOST_PIECES)
    rows, columns = limited(min(rows, row_axis.outputs), -(-column_axis.outputs // across))
    return max(min(planes, plane_axis.outputs), plane_axis.outputs // MOST_PIECES), rows, columns
