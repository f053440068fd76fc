"""All that can be known of a convolution before its arrays are: checked, and made a problem for an engine.

A plan depends on types, shapes and options alone, so plans are kept: a second call like the first finds its own.
"""

from __future__ import annotations

import contextlib
import math
from typing import Callable, Iterator

import numpy as np

from fastconv._engines.numpy_engine import TapwiseEngine
from fastconv._model.arguments import as_axes, as_choices, as_fill_value, check_no_fill_value
from fastconv._model.checks import check_kernel_size, check_method, check_operands, check_result_size
from fastconv._model.geometry import BOUNDARIES, ZERO, span
from fastconv._model.messages import clipped
from fastconv._model.problem import Problem
from fastconv._planning.method_choice import Choice, Decision, Prepared
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.chunks import converted, copy
from fastconv._runtime.result_cache import kept, size_of

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
        self,
        name,
        x_dtype,
        x_shape,
        kernel_dtype,
        kernel_shape,
        mode,
        axes,
        boundary,
        fill_value,
        method,
        flip,
        decision: Decision | None = None,
    ):
        check_operands(name, x_dtype, x_shape, kernel_dtype, kernel_shape)
        as_choices(mode, boundary, method)
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
        check_method(method, kernel_dtype, kernel_shape, self.dtype)
        code = ZERO if mode == "valid" else BOUNDARIES.index(boundary)
        spans = [span(mode, x_shape[axis], extent) for axis, extent in zip(axes, kernel_shape)]
        self.shape = _with_extents(x_shape, axes, [length for length, _ in spans])
        starts = tuple(start for _, start in spans)

        check_result_size(name, self.shape, self.dtype)
        check_kernel_size(kernel_shape, kernel_dtype)

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
        shorter = math.prod(x_shape) < math.prod(kernel_shape)
        self._swap = shorter and code == ZERO and len(axes) == len(x_shape) and method != "separable"
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
            sums=_SINGLE if self._half else self.dtype,
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
        self._choice = Choice(self._problem, method, decision)
        self._engine = self._choice.only
        self._name = name
        changed = self._swap or self._half or self._x_as or self._kernel_as or self._conjugate
        self._plain = not changed and self.dtype.kind != "O" and self._engine is not None

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x` and `kernel`."""
        if self._plain and self._engine(x, kernel, out, workers):
            return
        with self._explained():
            self._convert_and_compute(x, kernel, out, workers)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of what Python objects cannot do that it is the arguments'."""
        try:
            yield
        except (TypeError, AttributeError, OverflowError) as error:
            if self.dtype.kind != "O":
                raise
            message = f"{self._name} and kernel must hold objects that can be multiplied and added; {clipped(error)}"
            raise (ValueError if isinstance(error, OverflowError) else TypeError)(message) from error

    def _convert_and_compute(self, x, kernel, out, workers):
        _pins = pinned(x, kernel, out)
        x, kernel = self._converted(x), self._converted_kernel(kernel)
        if self._swap:
            if self._flip_kernel:
                kernel = np.flip(kernel)
            if len(self._axes) == 2 and self._axes[0] > self._axes[1]:
                x, kernel = kernel.T, x.T
            else:
                x, kernel = kernel, x
        self._fill(out, lambda result: self._compute(x, kernel, result, workers))

    def _compute(self, x, kernel, out, workers):
        if self._engine is None:
            self._choice.kept(kernel).run(x, out, workers)
        elif not self._engine(x, kernel, out, workers):
            TapwiseEngine(self._problem)(x, kernel, out)

    def _converted(self, x):
        return converted(x, self._x_as) if self._x_as else x

    def _converted_kernel(self, kernel):
        if self._conjugate:
            kernel = np.conj(kernel)
        return converted(kernel, self._kernel_as) if self._kernel_as else kernel

    def _fill(self, out, compute):
        """Have `out` computed, in single precision if it is of half."""
        if not self._half:
            compute(out)
            return
        single = np.empty(self.shape, _SINGLE)
        compute(single)
        with np.errstate(over="ignore", under="ignore"):
            copy(out, single)

    @property
    def nbytes(self) -> int:
        return size_of(self._engine)

    @property
    def fill_value(self):
        return self._problem.fill_value

    def decision(self, prepared: Prepared | None) -> Decision:
        """What was decided for a kernel that `prepare` was called with."""
        return self._choice.decision(prepared)

    @property
    def method(self) -> str:
        """The one for most kernels."""
        return self._choice.usual

    @property
    def reason(self) -> str:
        return self._choice.reason(self.method)

    def compile_all(self) -> None:
        """Compile what convolutions of these types need, along as many axes, whatever their sizes and the kernel."""
        self._choice.compile_all()

    def prepare(self, kernel: np.ndarray) -> Prepared | None:
        """What depends on the kernel alone, for `run`; None where there is no such thing, since both change places."""
        with self._explained():
            return None if self._swap else self._choice.prepare(self._converted_kernel(kernel))

    def run(self, x: np.ndarray, prepared: Prepared, out: np.ndarray, workers: int | None) -> None:
        """`__call__` with a kernel that has been prepared."""
        with self._explained():
            x = self._converted(x)
            self._fill(out, lambda result: prepared.run(x, result, workers))


@kept
def plan(name, x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip) -> Plan:
    """The `Plan` of these types, shapes and options, which it checks; `name` is what `x` is called in errors."""
    return Plan(name, x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip)


def find(name, x_dtype, x_shape, kernel, mode, axes, boundary, fill_value, method, flip) -> Plan:
    """The `Plan` of these, whatever they are: kept, or made for this time where it cannot be."""
    make: Callable[..., Plan] = plan
    if not (type(mode) is type(boundary) is type(method) is str):
        mode, boundary, method = as_choices(mode, boundary, method)
    if boundary == "fill":
        check_operands(name, x_dtype, x_shape, kernel.dtype, kernel.shape)
        dtype = np.result_type(x_dtype, kernel.dtype)
        fill_value = as_fill_value(fill_value, dtype)
        # Equal fill values are one to a plan, but not among objects (a Fraction, a float), and no NaN equals another.
        if dtype.kind == "O" or (fill_value != fill_value and fill_value is not math.nan):
            make = Plan
    elif type(fill_value) is not int or fill_value != 0:
        check_no_fill_value(fill_value)
        fill_value = 0
    return make(name, x_dtype, x_shape, kernel.dtype, kernel.shape, mode, axes, boundary, fill_value, method, flip)
