"""The separable engine: convolution by a kernel that is an outer product, in two passes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import layout as _layout
from fastconv._engines.blocks.block_engine import MOST_PIECES, BlockEngine, Cut
from fastconv._engines.blocks.direct import compute_part
from fastconv._engines.layout import COMPUTE, Layout
from fastconv._engines.non_finite_repair import order_is_free, repair
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.blocks import separable_passes
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._model.separability import Separable, Total, as_taps, factors
from fastconv._runtime.instrumentation import limited, placed


class Factors(NamedTuple):
    """A kernel ready for `SeparableEngine.run`: the weights of both passes, and the kernel for repairs."""

    weights: np.ndarray
    kernel: np.ndarray | Separable

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.kernel.nbytes


def supports(problem: Problem) -> bool:
    """Whether the engine takes a problem, if its kernel is an outer product."""
    return len(problem.kernel_shape) == 2 and problem.kernel_dtype.kind != "c" and _layout.supports(problem.sums)


class SeparableEngine(BlockEngine):
    """Convolutions of one `Problem` whose kernels are outer products: first along the rows, then down the columns.

    Results that are not finite are recomputed by the direct engine, so that neither an infinity in the input nor a sum
    that overflows shows in which order the sum was taken.
    """

    name = "separable"

    def __init__(self, problem: Problem):
        layout = Layout.of(problem)
        rows, taps = layout.row_axis.taps, layout.column_axis.taps
        work = (rows + taps) * layout.x_parts
        lines = max(separable_passes.LINES, layout.row_axis.outputs // MOST_PIECES)
        kept = separable_passes.buffered(rows, lines)
        cut = Cut(*block_of(layout), work, lines=lines, head=separable_passes.HEAD, kept=kept)
        is_integer = isinstance(layout.compute, types.Integer)
        passes = separable_passes.pass_integers_twice if is_integer else separable_passes.pass_twice
        routine = compiled_routine(passes, separable_passes.signature(layout.compute))
        super().__init__(problem, layout, cut, {"microkernel": routine, "is_prepared": True})
        self._can_add_up = max(rows, taps) * layout.channels <= MOST_TO_ADD_UP and not is_integer
        self.channels, self._channel_axis = layout.channels, layout.role.channel
        self._dtype = np.dtype(layout.compute.name)
        self._upright = layout.role.kernel_row == 0  # the kernel's rows lie along the rows of a plane
        self.passes = (1, 0) if self._upright else (0, 1)  # axes of the kernel, in the order of the sums

    def prepare(self, kernel: np.ndarray | Separable) -> Factors | None:
        """Factor a kernel for `run`; None where it is not an outer product."""
        found = factors(kernel, self._dtype, self.total() if self._can_add_up else None, self.passes)
        if found is None:
            return None
        weights = self.weights(found, self._problem.flip)
        return Factors(weights, kernel if isinstance(kernel, Separable) else kernel.copy())

    def total(self) -> Total:
        """Make a function that adds up the taps of a factor in the order of this engine."""
        return total_of(SeparableEngine, self._problem, self._channel_axis)

    def weights(self, lines: Sequence[np.ndarray], flip: bool) -> np.ndarray:
        """The weights of both passes, of the factors of the kernel's axes."""
        column, row = lines if self._upright else lines[::-1]
        return placed(np.concatenate((row[::-1], column[::-1]) if flip else (row, column)))

    def run(self, x: np.ndarray, prepared: Factors, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`."""
        if not self(x, prepared.weights, out, workers) and not order_is_free(x, prepared.kernel, prepared.weights):
            kernel = as_taps(prepared.kernel, self._problem.kernel_dtype)
            repair(self._problem, x, kernel, out, workers, compute_part)
        return True


def total_of(make: Callable[[Problem], Any], problem: Problem, channel_axis: int) -> Total:
    """Make a function that adds up the taps of the factor of an axis in the order of the engines of a class."""
    dtype = np.dtype(COMPUTE[problem.sums.kind, problem.sums.itemsize].name)

    @functools.cache
    def small_engine(which: int, count: int) -> tuple[Any, np.ndarray, np.ndarray]:
        extents = tuple(count if k == which else 1 for k in range(len(problem.axes)))
        x_shape = [extent if axis == channel_axis else 1 for axis, extent in enumerate(problem.x_shape)]
        out_shape = tuple(x_shape)
        for axis, extent in zip(problem.axes, extents):
            x_shape[axis] = extent
        small = problem._replace(
            x_dtype=problem.sums,
            kernel_dtype=dtype,
            dtype=problem.sums,
            x_shape=tuple(x_shape),
            kernel_shape=extents,
            out_shape=out_shape,
            starts=tuple(extent - 1 for extent in extents),
            boundaries=(ZERO,) * len(extents),
            looks_outside=False,
            finish=None,
            pairs=None,
        )
        return make(small), np.ones(small.x_shape, small.x_dtype), np.empty(out_shape, small.dtype)

    def total(taps: np.ndarray, which: int) -> float:
        engine, ones, out = small_engine(which, taps.size)
        one = np.ones(1, taps.dtype)
        lines = [taps if k == which else one for k in range(len(problem.axes))]
        engine(ones, engine.weights(lines, False), out, 1)
        return float(out.flat[0].real)

    return total


# Largest extent of a kernel, times channels, whose factors are made to add up to powers of two.
MOST_TO_ADD_UP = 1 << 18


def block_of(layout: Layout, buffers: int = 1) -> tuple[int, int]:
    """Rows and columns of a block, for passes with so many buffers.

    Lines are up to 8 kB long, less if those that a column needs would not fit into a cache of a megabyte: 2048 x 2048
    float32 by 15x15 took 6.4 ms in lines of 2 kB, 5.3 in 4 kB and 4.9 in 8 kB. Rows that two blocks share are filtered
    twice, so blocks are at least four times as high as the kernel. For images wider than 64 kB, whose lines may each be
    mapped from a file, they have 96 rows unless the kernel needs more.
    """
    row_axis, column_axis = layout.row_axis, layout.column_axis
    most = (1 << 20) // (buffers * separable_passes.buffered(row_axis.taps, separable_passes.LINES))
    elements = min(8192, most) // layout.item
    elements = max(elements, layout.minimum_width, column_axis.outputs * layout.plane_channels // MOST_PIECES)
    across = -(-column_axis.outputs * layout.plane_channels // elements)
    wide = column_axis.outputs * layout.plane_channels * layout.item > 1 << 16
    usual = 96 if wide else 128 if row_axis.outputs < 1024 else 256
    rows = max(usual, 4 * row_axis.taps, row_axis.outputs // MOST_PIECES)
    return limited(min(rows, row_axis.outputs), -(-column_axis.outputs // across))
