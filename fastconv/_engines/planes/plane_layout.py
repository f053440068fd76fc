"""Layout of a convolution along any axes as stacks of planes: the role of each axis."""

from __future__ import annotations

from typing import NamedTuple

from fastconv._engines.layout import COMPUTE, stored
from fastconv._microkernels.planes import plane_tile
from fastconv._microkernels.planes.plane_cutting import StridedAxis
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._simd.target import processor

# With more channels than this a line of taps along columns would be long, and blocks narrow.
_MOST_CHANNELS = 64
# Rows further apart than this, that share samples, are planes of one row: each class of rows would be a block. So are
# those of a kernel of more rows, of which few would fit into scratch memory.
_MOST_SPACING = 4096
_MOST_ROWS = 2048


class PlaneRoles(NamedTuple):
    """Axes of the array by role; -1 for none."""

    row: int
    column: int
    channel: int
    planes: tuple[int, ...]  # the last one rolls
    batch: tuple[int, ...]
    undealt: bool = False  # whether taps along columns are not dealt out to phases


class PlaneLayout(NamedTuple):
    """A `Problem` as stacks of planes of the compute type, before they are cut into blocks."""

    problem: Problem
    roles: PlaneRoles
    x_parts: int
    kernel_parts: int
    axes: tuple[StridedAxis, ...]  # of the array, and for those that do not exist a last one

    @classmethod
    def of(cls, problem: Problem) -> PlaneLayout:
        x_parts = 2 if problem.x_dtype.kind == "c" else 1
        roles = _roles(problem, x_parts) if problem.roles is None else PlaneRoles(*problem.roles)
        axes = [_axis_of(problem, axis) for axis in (*range(len(problem.x_shape)), -1)]
        found = cls(problem, roles, x_parts, 2 if problem.kernel_dtype.kind == "c" else 1, tuple(axes))
        column = axes[roles.column]
        undealt = roles.undealt and column.stride == 2 and column.taps > 1
        if problem.roles is None and found.line_channels == 1 and found.item >= plane_tile.LEAST_APART:
            undealt = column.stride == 2 and column.dilation == 1 and column.taps > 1
        axes[roles.column] = column._replace(undealt=undealt)
        return found._replace(axes=tuple(axes), roles=roles._replace(undealt=undealt))

    @property
    def compute(self):
        return COMPUTE[self.problem.sums.kind, self.problem.sums.itemsize]

    @property
    def item(self) -> int:
        return self.compute.bitwidth // 8

    @property
    def x_type(self):
        return stored(self.problem.x_dtype, self.compute)

    @property
    def out_type(self):
        return stored(self.problem.dtype, self.compute)

    @property
    def channels(self) -> int:
        return self.problem.x_shape[self.roles.channel] if self.roles.channel >= 0 else 1

    @property
    def line_channels(self) -> int:
        """Elements in one column: channels, or the two parts of a complex number."""
        return self.channels * self.x_parts

    @property
    def has_rows(self) -> bool:
        """True if the rows of a tile share samples."""
        return self.axis(self.roles.row).taps > 1

    @property
    def least_rows(self) -> int:
        """Rows of a block that a tile fills."""
        return plane_tile.ROWS if self.has_rows else 1

    @property
    def vectors(self) -> int:
        """Vectors of a tile."""
        elements = self.axis(self.roles.column).outputs * self.line_channels
        return plane_tile.vectors_for(elements, self.item, self.has_rows, self.apart)

    @property
    def minimum_width(self) -> int:
        """Least width, in elements, of a rectangle that the microkernel computes."""
        return self.vectors * (processor().vector_bytes // self.item)

    @property
    def tile_columns(self) -> int:
        """Columns of the narrowest tile."""
        return max(1, self.minimum_width // self.line_channels)

    @property
    def apart(self) -> int:
        """Distance of the samples that the microkernel takes for adjacent outputs."""
        column = self.axis(self.roles.column)
        return column.stride if column.undealt else 1

    def axis(self, axis: int) -> StridedAxis:
        """An axis of the problem: convolved, iterated, or, with the number -1, absent."""
        return self.axes[axis]

    def kernel_axis(self, axis: int) -> int:
        """The axis of the kernel that goes along an axis of the array; -1 if none does."""
        problem = self.problem
        return len(problem.kernels) + problem.axes.index(axis) if axis in problem.axes else -1


def _axis_of(problem: Problem, axis: int) -> StridedAxis:
    if axis < 0:
        return StridedAxis(1, 1, 1, 0, ZERO)
    samples, outputs = problem.x_shape[axis], problem.out_shape[axis]
    if axis not in problem.axes:
        return StridedAxis(samples, outputs, 1, 0, ZERO)
    k = problem.axes.index(axis)
    taps = problem.kernel_shape[k]
    stride = problem.strides[k] if problem.strides else 1
    dilation = problem.dilations[k] if problem.dilations else 1
    first = problem.starts[k] - dilation * (taps - 1)
    if outputs == 1:  # so that no distance exceeds the array
        stride = 1
    if taps == 1:
        dilation = 1
    return StridedAxis(samples, outputs, taps, first, problem.boundaries[k], stride, dilation)


def _roles(problem: Problem, x_parts: int) -> PlaneRoles:
    """Choose the roles of axes: long lines in memory as columns, and as rows an axis whose rows share many samples."""
    last, axes, out = len(problem.x_shape) - 1, sorted(problem.axes), problem.out_shape
    width = min(plane_tile.TILES) * processor().lanes(COMPUTE[problem.sums.kind, problem.sums.itemsize].bitwidth)
    is_free = not problem.kernels  # whether other axes may be rows, columns or channels
    channel = -1
    if is_free and last not in axes and out[last] * x_parts >= width:
        column = last
    else:
        # The last axis of them that is long enough, or the longest one.
        column = next((axis for axis in reversed(axes) if out[axis] * x_parts >= width), -1)
        if column < 0:
            column = max(axes, key=lambda axis: (out[axis], axis))
        if is_free and last not in axes and problem.sums.kind != "c" and out[last] <= _MOST_CHANNELS:
            channel = last
    others = [axis for axis in axes if axis != column]
    row = max(others, key=lambda axis: _sharing(_axis_of(problem, axis), axis), default=-1)
    if row >= 0 and _sharing(_axis_of(problem, row), row) <= (1.0, row):
        row = -1
    planes = tuple(axis for axis in others if axis != row)
    if row < 0 and is_free:
        free = [axis for axis in range(last + 1) if axis not in (*axes, column, channel)]
        row = free[-1] if free else -1
    batch = tuple(axis for axis in range(last + 1) if axis not in (row, column, channel, *planes))
    return PlaneRoles(row, column, channel, planes, batch)


def _sharing(axis: StridedAxis, place: int) -> tuple[float, int]:
    """Products for each load of samples, with as many rows as there are; the last axis of equal ones."""
    rows = -(-axis.outputs // axis.spacing)
    if axis.spacing > _MOST_SPACING or rows < plane_tile.ROWS or axis.taps > _MOST_ROWS:
        return 1.0, place
    taps = max(axis.phases)
    return plane_tile.ROWS * taps / (taps + plane_tile.ROWS - 1), place
