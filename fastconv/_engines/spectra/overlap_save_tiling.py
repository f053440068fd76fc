"""The search for the overlap-save tile that takes the least time, by the estimates of `cost_model`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastconv._engines import cost_model
from fastconv._engines.layout import axis_of
from fastconv._engines.spectra.fft_tables import radices
from fastconv._microkernels.block_cutting import Axis
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import overrides
from fastconv._simd import complex_vectors

# Integers are transformed in float64, and rounded: see `integer_overlap_save`.
COMPUTE = {("f", 4): types.float32, ("f", 8): types.float64, ("c", 8): types.float32, ("c", 16): types.float64}
COMPUTE |= {(kind, size): types.float64 for kind in "iu" for size in (1, 2, 4, 8)}

_LONGEST = 1 << 20
MOST_POINTS = 1 << 26


class Tile(NamedTuple):
    """A plane of points and the transforms that it undergoes."""

    rows: int
    columns: int
    down: bool  # its columns are transformed,
    across: bool  # and its rows
    four_step: bool  # one long line laid out as a plane: both transforms, with twiddle factors in between
    cost: float  # of all tiles, in nanoseconds

    @property
    def extents(self) -> tuple[int, int]:
        """Points along the row axis and the column axis of the problem."""
        return (1, self.rows * self.columns) if self.four_step else (self.rows, self.columns)


class Units(NamedTuple):
    """How the tiles of all planes form units of work: one complex tile, two real ones packed as one, or one of pairs.

    Only tiles of one group are packed: lines that are not convolved with each other must not mix.
    """

    packed: int  # tiles in a unit: 2 if they are real
    down_first: bool  # the next tile of a group lies below, not to the right
    down_tiles: int
    across_tiles: int
    group: int  # tiles
    per_group: int
    per_plane: int
    total: int

    @classmethod
    def of(cls, tile: Tile, row: Axis, column: Axis, planes: int, packed: int) -> Units:
        down_tiles, across_tiles = (int(_tiles(*along)) for along in zip((row, column), tile.extents))
        if tile.down and tile.across:
            group = down_tiles * across_tiles
        else:
            group = down_tiles if tile.down else across_tiles
        per_group = -(-group // packed)
        per_plane = down_tiles * across_tiles // group * per_group
        down_first = tile.down and not tile.across
        return cls(packed, down_first, down_tiles, across_tiles, group, per_group, per_plane, planes * per_plane)

    def tiles(self, unit: int) -> Iterator[tuple[int, int]]:
        """Row and column, counted in tiles, of each tile of a unit in its plane."""
        group, part = divmod(unit % self.per_plane, self.per_group)
        begin, part = group * self.group, part * self.packed
        for tile in range(begin + part, begin + min(part + self.packed, self.group)):
            yield divmod(tile, self.down_tiles)[::-1] if self.down_first else divmod(tile, self.across_tiles)

    def places(self, units: np.ndarray, tiles: np.ndarray, problem: Problem, layout: TiledLayout) -> dict[int, Any]:
        """Number of tiles along the axes of a tile, and ranges of indices along all others."""
        index, place = np.divmod(units, self.per_plane)
        group, part = np.divmod(place, self.per_group)
        tile = group * self.group + part * self.packed + tiles
        if self.down_first:
            column, row = np.divmod(tile, self.down_tiles)
        else:
            row, column = np.divmod(tile, self.across_tiles)
        found: dict[int, Any] = {axis: at for axis, at in ((layout.row, row), (layout.column, column)) if axis >= 0}
        for axis in batch_axes(problem, layout):
            index, at = np.divmod(index, problem.out_shape[axis])
            found[axis] = at, at
        return found


class TiledLayout(NamedTuple):
    """A tile and its axes, of the input and of the kernel, -1 for none; all other axes are a batch of planes."""

    tile: Tile
    row: int
    column: int
    kernel_row: int
    kernel_column: int
    row_axis: Axis
    column_axis: Axis
    units: Units


def batch_axes(problem: Problem, layout: TiledLayout) -> list[int]:
    """Axes that are not along a tile."""
    return [axis for axis in range(len(problem.x_shape)) if axis not in (layout.row, layout.column)]


def compute_type(problem: Problem) -> types.Type:
    """The type of the real numbers in a tile."""
    return COMPUTE[problem.sums.kind, problem.sums.itemsize]


@kept
def tiled_layout(problem: Problem) -> TiledLayout | None:
    """The layout that takes the least time; None where no tile can hold the kernel."""
    compute = compute_type(problem)
    packed = 1 if problem.sums.kind == "c" or problem.pairs is not None else 2
    found = []
    for row, column, kernel_row, kernel_column in _axis_roles(problem):
        axes = axis_of(problem, row, kernel_row), axis_of(problem, column, kernel_column)
        planes = math.prod(n for axis, n in enumerate(problem.x_shape) if axis not in (row, column))
        tile = _Search(*axes, planes, packed, compute).best()
        if tile is not None:
            units = Units.of(tile, *axes, planes, packed)
            found.append(TiledLayout(tile, row, column, kernel_row, kernel_column, *axes, units))
    return min(found, key=lambda layout: layout.tile.cost, default=None)


def _axis_roles(problem: Problem) -> Iterator[tuple[int, int, int, int]]:
    """Possible axes along the rows and columns of a tile, in the input and in the kernel; -1 for none."""
    last = len(problem.x_shape) - 1
    if len(problem.axes) == 2:
        kernel_row, kernel_column = (0, 1) if problem.axes[0] < problem.axes[1] else (1, 0)
        row, column = sorted(problem.axes)
        yield row, column, kernel_row, kernel_column
        return
    (axis,) = problem.axes
    yield -1, axis, -1, 0
    if axis == last and axis > 0:
        yield axis - 1, axis, -1, 0
    elif axis < last:
        yield axis, last, 0, -1


def transform_sizes(compute) -> np.ndarray:
    """Lengths that can be transformed: multiples of 16 and of two vectors."""
    unit = max(16, 2 * complex_vectors.lanes_of(compute))
    found = {unit * odd << k for odd in (1, 3, 5, 9, 15) for k in range(17)}
    return np.array(sorted(size for size in found if size <= _LONGEST)[: overrides.tiles], np.intp)


@functools.cache  # of some 80 sizes
def _passes(size: int) -> float:
    return cost_model.transform_passes(radices(size))


def single_tile_size(axis: Axis) -> int:
    """The least size at which one tile is enough, however many taps: where nothing is outside, nothing wraps around."""
    every = axis.outputs + axis.taps - 1
    start, whole = axis.first + axis.taps - 1, axis.samples + axis.taps - 1
    # A kernel that has lost zeros around it may have outputs before the full convolution begins, and after its end.
    within = axis.boundary == ZERO and 0 <= start and start + axis.outputs <= whole
    return min(every, whole) if within else every


def _tiles(axis: Axis, size):
    """Number of tiles of `size` points, which may be an array, along an axis."""
    return np.where(size >= single_tile_size(axis), 1, -(-axis.outputs // np.maximum(1, size - axis.taps + 1)))


class _Search:
    """The cheapest tile for planes with these axes, over all sizes at once."""

    def __init__(self, row: Axis, column: Axis, planes: int, packed: int, compute):
        self._row, self._column, self._planes, self._packed = row, column, planes, packed
        self._item, self._lanes = compute.bitwidth // 8, complex_vectors.lanes_of(compute)
        self._sizes = transform_sizes(compute)
        self._passes = np.array([_passes(int(size)) for size in self._sizes])

    def best(self) -> Tile | None:
        if self._row.taps > 1 and self._column.taps > 1:
            found = [self._both_axes()]
        elif self._row.taps > 1:
            found = [self._down_only()]
        else:
            found = [self._across_only()]
            if self._row.outputs == 1:
                found.append(self._four_step())
        return min((tile for tile in found if tile is not None), key=lambda tile: tile.cost, default=None)

    def _both_axes(self) -> Tile | None:
        (rows, row_passes), (columns, passes) = self._fitting(self._row), self._fitting(self._column)
        rows, row_passes = rows[:, np.newaxis], row_passes[:, np.newaxis]
        point = cost_model.tile_point(self._item, columns, row_passes + passes, transposed=True)
        tiles = _tiles(self._row, rows) * _tiles(self._column, columns)
        return self._cheapest(rows, columns, self._cost(rows * columns, tiles, point), down=True, across=True)

    def _down_only(self) -> Tile | None:
        (rows, passes), (columns, _) = self._fitting(self._row), self._fitting(self._column)
        rows, passes = rows[:, np.newaxis], passes[:, np.newaxis]
        point = cost_model.tile_point(self._item, columns, passes, transposed=False)
        cost = self._cost(rows * columns, _tiles(self._row, rows), point, lines=_tiles(self._column, columns))
        return self._cheapest(rows, columns, cost, down=True, across=False)

    def _across_only(self) -> Tile | None:
        rows, (columns, passes) = np.full(1, self._lanes), self._fitting(self._column)
        point = cost_model.tile_point(self._item, columns, passes, transposed=True)
        cost = self._cost(rows * columns, _tiles(self._column, columns), point, lines=_tiles(self._row, rows))
        return self._cheapest(rows, columns, cost, down=False, across=True)

    def _four_step(self) -> Tile | None:
        columns, rows, row_passes = self._sizes, self._sizes[:, np.newaxis], self._passes[:, np.newaxis]
        points = rows * columns
        point = cost_model.tile_point(self._item, columns, row_passes + self._passes, transposed=True, four_step=True)
        fits = (points >= self._column.taps) & (rows <= columns) & (columns <= 4 * rows)
        cost = np.where(fits, self._cost(points, _tiles(self._column, points), point), np.inf)
        return self._cheapest(rows, columns, cost, down=True, across=True, four_step=True)

    def _fitting(self, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
        """Sizes that hold the taps, up to the one that holds all outputs; and the cost of their passes."""
        enough = np.searchsorted(self._sizes, single_tile_size(axis))
        use = slice(np.searchsorted(self._sizes, axis.taps), min(enough + 1, len(self._sizes)))
        return self._sizes[use], self._passes[use]

    def _cost(self, points, tiles, point, lines=1):
        units = self._planes * lines * -(-tiles // self._packed)
        return cost_model.tiles(self._item, units, points, point)

    @staticmethod
    def _cheapest(rows, columns, cost, down: bool, across: bool, four_step: bool = False) -> Tile | None:
        cost = np.where(rows * columns <= MOST_POINTS, cost, np.inf)
        k = int(np.argmin(cost)) if cost.size else -1
        if k < 0 or not np.isfinite(cost.flat[k]):
            return None
        rows, columns = np.broadcast_arrays(rows, columns)
        return Tile(int(rows.flat[k]), int(columns.flat[k]), down, across, four_step, float(cost.flat[k]))
