"""Layout of an array as planes of one type: the role of each axis, and the type to compute in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import config, types

from fastconv._microkernels.block_cutting import Axis
from fastconv._microkernels.blocks import direct_tile
from fastconv._microkernels.calls.axis_roles import axis_roles
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem

# Compute type of a result, or of the parts of a complex one, by kind and bytes. Integers wrap, so a product needs no
# more bits than the result. There is no vector multiplication of 8 bits. Bools are summed as integers.
COMPUTE = {
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
# Exponent bits of a float: all set in an infinity or NaN.
EXPONENTS = {types.float32: 0x7F800000, types.float64: 0x7FF0000000000000}


def supports(dtype: np.dtype) -> bool:
    """True if compiled engines support this type of result."""
    return (dtype.kind, dtype.itemsize) in COMPUTE and not config.DISABLE_JIT


def stored(dtype: np.dtype, compute) -> types.Type:
    """Type in memory of `dtype`, or of its parts, for compiled routines; signed if signedness makes no difference."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "b":
        return types.boolean
    if dtype.kind in "iu":
        narrow = isinstance(compute, types.Integer) and compute.bitwidth <= bits
        return types.Integer.from_bitwidth(bits, signed=dtype.kind == "i" or narrow)
    return {32: types.float32, 64: types.float64}[bits // (2 if dtype.kind == "c" else 1)]


class Roles(NamedTuple):
    """Axes of the input and the kernel by role; -1 for none. All other axes are a batch."""

    row: int
    column: int
    channel: int
    kernel_row: int
    kernel_column: int


def roles(shape: tuple[int, ...], axes: tuple[int, ...], is_complex: bool, minimum_width: int) -> Roles:
    """Choose the roles of axes."""
    second = axes[1] if len(axes) == 2 else -1
    return Roles(*axis_roles(len(shape), shape[-1], axes[0], second, is_complex, minimum_width))


class Layout(NamedTuple):
    """A `Problem` as planes of the compute type, before they are cut into blocks."""

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
    minimum_width: int  # of a rectangle that the microkernels compute, in elements

    @classmethod
    def of(cls, problem: Problem) -> Layout:
        compute = COMPUTE[problem.sums.kind, problem.sums.itemsize]
        item = compute.bitwidth // 8
        minimum_width = direct_tile.minimum_width(item)
        role = roles(problem.x_shape, problem.axes, problem.sums.kind == "c", minimum_width)
        return cls(
            compute=compute,
            item=item,
            x_type=stored(problem.x_dtype, compute),
            out_type=stored(problem.dtype, compute),
            x_parts=2 if problem.x_dtype.kind == "c" or problem.pairs else 1,
            kernel_parts=2 if problem.kernel_dtype.kind == "c" else 1,
            role=role,
            row_axis=axis_of(problem, role.row, role.kernel_row),
            column_axis=axis_of(problem, role.column, role.kernel_column),
            channels=problem.x_shape[role.channel] if role.channel >= 0 else 1,
            batch=[axis for axis in range(len(problem.x_shape)) if axis not in role[:3]],
            minimum_width=minimum_width,
        )

    @property
    def plane_channels(self) -> int:
        """Elements in one column of a plane: channels, and the two parts of complex numbers and of pairs."""
        return self.channels * self.x_parts


def axis_of(problem: Problem, axis: int, kernel_axis: int) -> Axis:
    """An axis of the problem: convolved, iterated, or absent."""
    if axis < 0:
        return Axis(1, 1, 1, 0, ZERO)
    if kernel_axis < 0:
        return Axis(problem.x_shape[axis], problem.out_shape[axis], 1, 0, ZERO)
    taps = problem.kernel_shape[kernel_axis]
    first = problem.starts[kernel_axis] - (taps - 1)
    return Axis(problem.x_shape[axis], problem.out_shape[axis], taps, first, problem.boundaries[kernel_axis])
