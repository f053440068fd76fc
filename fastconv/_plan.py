"""Which engine computes a convolution, and all that can be known before its arrays are.

A plan depends on types, shapes and options alone, so plans are kept: a second call like the first finds its own.
"""

from __future__ import annotations

import functools
import math
import sys

import numpy as np

from fastconv._arguments import Problem, as_axes, check_choices, check_operands
from fastconv._geometry import BOUNDARIES, ZERO, span
from fastconv._tapwise import TapwiseEngine

_SINGLE = np.dtype(np.float32)


def _is_half(dtype: np.dtype) -> bool:
    return dtype.char == "e"


def _with_extents(shape, axes, extents) -> tuple[int, ...]:
    """`shape`, with other extents along `axes`."""
    changed = list(shape)
    for axis, extent in zip(axes, extents):
        changed[axis] = extent
    return tuple(changed)


class Plan:
    """A convolution ready to run.

    Attributes
    ----------
    shape, dtype
        Of the result.
    """

    def __init__(
        self, name, x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip
    ):
        check_operands(name, x_dtype, x_shape, kernel_dtype, kernel_shape)
        check_choices(mode, boundary, method)
        axes = as_axes(axes, len(kernel_shape), len(x_shape), "axis" if len(kernel_shape) == 1 else "axes")
        if mode == "valid" and len(axes) == 2:
            larger = [x_shape[axis] - extent for axis, extent in zip(axes, kernel_shape)]
            if min(larger) < 0 < max(larger):
                extents = tuple(x_shape[axis] for axis in axes)
                raise ValueError(
                    "in mode 'valid' one of image and kernel must be at least as large as the other along both axes; "
                    f"got {extents} and {kernel_shape}"
                )
        self.dtype = np.result_type(x_dtype, kernel_dtype)
        code = ZERO if mode == "valid" else BOUNDARIES.index(boundary)
        spans = [span(mode, x_shape[axis], extent) for axis, extent in zip(axes, kernel_shape)]
        self.shape = _with_extents(x_shape, axes, [length for length, _ in spans])
        starts = tuple(start for _, start in spans)

        if math.prod(self.shape) * self.dtype.itemsize > sys.maxsize >> 8:
            raise ValueError(
                f"{name} and kernel must have a result that fits into memory; theirs has shape {self.shape}"
            )

        # Half precision is computed in single, and a complex fill value makes a real input complex.
        self._half = _is_half(self.dtype)
        self._x_as = _SINGLE if _is_half(x_dtype) else None
        self._kernel_as = _SINGLE if _is_half(kernel_dtype) else None
        if boundary == "fill" and self.dtype.kind == "c" and x_dtype.kind != "c" and fill_value.imag != 0:
            self._x_as = self.dtype
        x_dtype = self._x_as or x_dtype
        kernel_dtype = self._kernel_as or kernel_dtype

        self._conjugate = not flip and kernel_dtype.kind in "cO"
        if self._conjugate:
            kernel_dtype = kernel_dtype.newbyteorder("=")  # as all that NumPy computes
        # Convolution commutes where nothing is outside; the engines want the short one as the kernel.
        self._swap = code == ZERO and len(axes) == len(x_shape) and math.prod(kernel_shape) > math.prod(x_shape)
        self._flip_kernel = self._swap and not flip
        if self._swap:
            extents = tuple(x_shape[axis] for axis in axes)
            x_dtype, kernel_dtype = kernel_dtype, x_dtype
            x_shape, kernel_shape = _with_extents(x_shape, axes, kernel_shape), extents
        self._axes = axes
        outside = any(
            start < extent - 1 or start + self.shape[axis] > x_shape[axis]
            for axis, extent, start in zip(axes, kernel_shape, starts)
        )
        self._problem = Problem(
            x_dtype=x_dtype,
            kernel_dtype=kernel_dtype,
            dtype=_SINGLE if self._half else self.dtype,
            x_shape=x_shape,
            kernel_shape=kernel_shape,
            out_shape=self.shape,
            axes=axes,
            starts=starts,
            flip=flip or self._flip_kernel,
            boundary=code,
            fill_value=fill_value,
            looks_outside=outside,
        )
        self._engine = _engine(self._problem)
        self._name = name
        changed = self._swap or self._half or self._x_as or self._kernel_as or self._conjugate
        self._plain = not changed and self.dtype.kind != "O"

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x` and `kernel`."""
        if self._plain and self._engine(x, kernel, out, workers):
            return
        try:
            self._convert_and_compute(x, kernel, out, workers)
        except (TypeError, AttributeError) as error:
            if self.dtype.kind != "O":
                raise
            message = f"{self._name} and kernel must hold objects that can be multiplied and added; {error}"
            raise TypeError(message) from error

    def _convert_and_compute(self, x, kernel, out, workers):
        if self._conjugate:
            kernel = np.conj(kernel)
        if self._x_as:
            x = x.astype(self._x_as)
        if self._kernel_as:
            kernel = kernel.astype(self._kernel_as)
        if self._swap:
            if self._flip_kernel:
                kernel = np.flip(kernel)
            if len(self._axes) == 2 and self._axes[0] > self._axes[1]:
                x, kernel = kernel.T, x.T
            else:
                x, kernel = kernel, x
        if not self._half:
            self._compute(x, kernel, out, workers)
            return
        single = np.empty(self.shape, _SINGLE)
        self._compute(x, kernel, single, workers)
        with np.errstate(over="ignore", under="ignore"):
            out[...] = single

    def _compute(self, x, kernel, out, workers):
        if not self._engine(x, kernel, out, workers):
            TapwiseEngine(self._problem)(x, kernel, out)


@functools.lru_cache(maxsize=128)
def plan(name, x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip) -> Plan:
    """The `Plan` of these types, shapes and options, which it checks; `name` is what `x` is called in errors."""
    return Plan(name, x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip)


def _engine(problem: Problem):
    # Imported here: `import fastconv` is to cost nothing, and Numba costs a third of a second.
    from fastconv import _direct

    return _direct.DirectEngine(problem) if _direct.supports(problem.dtype) else TapwiseEngine(problem)
